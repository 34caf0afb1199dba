//! A language model with its engine, ready to be asked, and what an answer is told by.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_engine::lm::{LanguageEngine, LanguageError, LanguageOptions, Sequence};
use gavel_model::Progress;
use gavel_model::llama::LanguageModel;
use gavel_node::LanguageText;
use gavel_text::DecodeStream;
use serde_json::json;

use crate::args_language::LanguageArgs;
use crate::failure::{Context as _, Failure};
use crate::files;
use crate::meter::Meter;
use crate::output::Output;

/// A model that is ready.
pub(crate) struct Session {
    /// As the user calls it.
    pub(crate) name: String,
    /// The model.
    pub(crate) model: Arc<LanguageModel>,
    /// Its engine.
    pub(crate) engine: LanguageEngine,
    /// How long it took to get ready.
    pub(crate) load: Duration,
}

impl Session {
    /// Reads a model and packs its weights.
    pub(crate) fn open(args: &LanguageArgs) -> Result<Session, Failure> {
        let start = Instant::now();
        let name = args.model.clone();
        let model = Arc::new(files::language(&name, args.context)?);
        let mut options = LanguageOptions::default();
        options.threads = args.threads.map_or(0, usize::from);
        // one sequence at a time, which the context bounds
        options.max_cache_bytes = u64::MAX;
        let mut meter = Meter::new(format!("packing {name}"));
        let engine = LanguageEngine::new(
            Arc::clone(&model),
            &options,
            &mut |Progress { done, total }| meter.show(done, total),
        )
        .at(&name)?;
        Ok(Session {
            name,
            model,
            engine,
            load: start.elapsed(),
        })
    }

    /// The model's tokenizer and template.
    pub(crate) fn text(&self) -> Result<LanguageText, Failure> {
        LanguageText::of(&self.model.model).at(&self.name)
    }

    /// Positions of the model.
    pub(crate) fn context(&self) -> usize {
        self.model.config.context as usize
    }

    /// Says what is wrong with a sequence.
    pub(crate) fn failed(&self, error: &LanguageError) -> Failure {
        match error {
            LanguageError::Prompt { tokens: 0, .. } => {
                Failure::new("the prompt has no tokens").expected("some text")
            }
            LanguageError::Prompt { tokens, most } => Failure::new(format!(
                "the prompt has {tokens} tokens, the context of {} has {most}",
                self.name
            ))
            .expected("a prompt that leaves room for an answer"),
            other => Failure::new(format!("{}: {other}", self.name)),
        }
    }
}

/// Token ids as the engine has them.
pub(crate) fn signed(tokens: &[u32]) -> Vec<i32> {
    // ids of a vocabulary; others are none there either
    tokens.iter().map(|&t| t.cast_signed()).collect()
}

/// Token ids as vocabularies have them.
pub(crate) fn unsigned(tokens: &[i32]) -> Vec<u32> {
    tokens.iter().map(|&t| t.cast_unsigned()).collect()
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The model ended it.
    EndToken,
    /// It has as many tokens as were asked for.
    MaxTokens,
    /// The context is full.
    Context,
    /// The user stopped it.
    Interrupted,
}

impl Stop {
    /// Of a sequence that is left as it is.
    pub(crate) fn of(session: &Session, sequence: &Sequence) -> Stop {
        let last = sequence.generated().last();
        if last.is_some_and(|token| session.model.config.end.contains(token)) {
            Stop::EndToken
        } else if sequence.generated().len() as u64 >= sequence.params().max_new_tokens {
            Stop::MaxTokens
        } else if sequence.is_finished() {
            Stop::Context
        } else {
            Stop::Interrupted
        }
    }

    /// For programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stop::EndToken => "end_token",
            Stop::MaxTokens => "max_tokens",
            Stop::Context => "context",
            Stop::Interrupted => "interrupted",
        }
    }

    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Stop::EndToken => "the model ended it",
            Stop::MaxTokens => "cut by --max-tokens",
            Stop::Context => "cut by the context's end",
            Stop::Interrupted => "stopped",
        }
    }
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Rows that were computed before the first token.
    pub(crate) prompt_rows: usize,
    /// Up to the first token.
    pub(crate) prompt: Duration,
    /// Tokens behind the first.
    pub(crate) more_tokens: usize,
    /// Their time.
    pub(crate) more: Duration,
}

impl Pace {
    pub(crate) fn prompt_rate(&self) -> f64 {
        rate(self.prompt_rows, self.prompt)
    }

    pub(crate) fn rate(&self) -> f64 {
        rate(self.more_tokens, self.more)
    }

    pub(crate) fn total(&self) -> Duration {
        self.prompt + self.more
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} tokens, {:.1} tokens/s; {} of prompt, {:.0} tokens/s",
            self.more_tokens + 1,
            self.rate(),
            self.prompt_rows,
            self.prompt_rate()
        )
    }
}

/// So many a second; 0 where there was no time.
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    match time.as_secs_f64() {
        seconds if seconds > 0.0 => count as f64 / seconds,
        _ => 0.0,
    }
}

/// Runs a sequence to its end, or until `on_token` breaks off.
pub(crate) fn follow(
    engine: &mut LanguageEngine,
    sequence: &mut Sequence,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Pace, LanguageError> {
    let (start, before) = (Instant::now(), sequence.steps());
    let mut pace = Pace::default();
    let mut first = true;
    'run: while !sequence.is_finished() {
        for advance in engine.advance(&mut [&mut *sequence])? {
            for token in unsigned(&advance.tokens) {
                match first {
                    true => {
                        pace.prompt = start.elapsed();
                        pace.prompt_rows = sequence.steps() - before;
                    }
                    false => pace.more_tokens += 1,
                }
                first = false;
                if on_token(token).is_break() {
                    break 'run;
                }
            }
        }
    }
    pace.more = start.elapsed().saturating_sub(pace.prompt);
    Ok(pace)
}

/// Tells an answer while it comes: text for people, an object per token for programs.
pub(crate) struct Speaker<'a> {
    out: Output,
    decoder: Option<DecodeStream<'a>>,
    text: String,
    index: usize,
}

impl<'a> Speaker<'a> {
    /// Of what follows `prompt`; without a text, programs get ids alone.
    pub(crate) fn new(text: Option<&'a LanguageText>, prompt: &[u32], out: Output) -> Speaker<'a> {
        Speaker {
            out,
            decoder: text.map(|text| text.tokenizer().decode_stream(prompt)),
            text: String::new(),
            index: 0,
        }
    }

    /// The next token.
    pub(crate) fn token(&mut self, token: u32) {
        let piece = match &mut self.decoder {
            Some(decoder) => decoder.push(token).unwrap_or_default(),
            None => format!("{token} "),
        };
        self.out.event(&json!({
            "event": "token", "index": self.index, "token": token,
            "text": self.decoder.is_some().then_some(&piece),
        }));
        self.index += 1;
        self.piece(&piece);
    }

    /// Ends it: the whole text; none where there was no tokenizer.
    pub(crate) fn end(mut self) -> String {
        if let Some(rest) = self.decoder.as_mut().and_then(DecodeStream::flush) {
            self.piece(&rest);
        }
        self.out.piece("\n");
        self.text
    }

    fn piece(&mut self, piece: &str) {
        self.out.piece(piece);
        if self.decoder.is_some() {
            self.text.push_str(piece);
        }
    }
}
