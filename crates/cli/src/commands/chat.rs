//! `gavel chat MODEL`

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gavel_engine::lm::{Sequence, SequenceOptions};
use gavel_node::LanguageText;
use gavel_numerics::kernels::SamplingParams;
use gavel_text::{Message, Role};
use serde_json::json;

use crate::args_language::ChatArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::language::{Session, Speaker, Stop, follow, signed};
use crate::output::{BAD, HEAD, Output};

pub(crate) fn run(args: &ChatArgs, out: Output) -> Result<Exit, Failure> {
    let session = Session::open(&args.language)?;
    let text = session.text()?;
    if !text.has_template() {
        let name = &session.name;
        return Err(Failure::new(format!("{name} has no chat template"))
            .expected("a model that was trained to answer")
            .hint(format!(
                "gavel generate {name} --prompt TEXT goes on with a text"
            )));
    }
    let interrupt = Interrupt::listen()?;
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        out.progress(format!(
            "{}, context of {} tokens. /clear starts anew, /quit ends, Ctrl-C stops an answer.",
            session.name,
            session.context()
        ));
    }
    let mut chat = Chat {
        system: args
            .system
            .as_ref()
            .map(|said| Message::new(Role::System, said)),
        turns: Vec::new(),
        before: None,
        params: args.sampling.params(args.seed),
        session,
        out,
    };
    while let Some(line) = ask(terminal, out)? {
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => break,
            "/clear" => {
                chat.clear();
                out.progress("a new conversation");
            }
            word if word.starts_with('/') && !word.contains(char::is_whitespace) => {
                out.progress(format!("{word} is no command; there are /clear and /quit"));
            }
            said => match chat.turn(said, &text, &interrupt) {
                Err(failure) if terminal => {
                    // a person can say something else
                    let _ = writeln!(anstream::stderr(), "{BAD}error{BAD:#}: {}", failure.text());
                }
                other => other?,
            },
        }
    }
    Ok(Exit::Done)
}

/// The next line; `None` at the end of the input.
fn ask(terminal: bool, out: Output) -> Result<Option<String>, Failure> {
    if terminal && !out.is_json() {
        let mut stdout = anstream::stdout();
        let _ = write!(stdout, "{HEAD}> {HEAD:#}");
        let _ = stdout.flush();
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read.at("standard input")? {
        0 => {
            if terminal {
                out.line("");
            }
            Ok(None)
        }
        _ => Ok(Some(line)),
    }
}

/// A conversation.
struct Chat {
    session: Session,
    system: Option<Message>,
    /// What was said, in turns.
    turns: Vec<Message>,
    /// The last turn, with what is computed of it.
    before: Option<Sequence>,
    params: SamplingParams,
    out: Output,
}

impl Chat {
    fn clear(&mut self) {
        self.turns.clear();
        self.before = None;
    }

    /// Takes up what the user says, and answers.
    fn turn(
        &mut self,
        said: &str,
        text: &LanguageText,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        self.turns.push(Message::new(Role::User, said));
        let answer = self.answer(text, interrupt);
        match answer {
            Ok(answer) => self.turns.push(Message::new(Role::Assistant, answer)),
            Err(failure) => {
                self.turns.pop();
                return Err(failure);
            }
        }
        Ok(())
    }

    fn answer(&mut self, text: &LanguageText, interrupt: &Interrupt) -> Result<String, Failure> {
        let prompt = self.prompt(text)?;
        let tokens = signed(&prompt);
        let engine = &mut self.session.engine;
        let opened = match self.before.take() {
            Some(before) => engine.resume(before, &tokens, self.params),
            None => engine.open(&tokens, self.params, &SequenceOptions::default()),
        };
        let mut sequence = opened.map_err(|e| self.session.failed(&e))?;
        let mut speaker = Speaker::new(Some(text), &prompt, self.out);
        let mut on_token = |token| {
            speaker.token(token);
            match interrupt.is_asked() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        interrupt.begin();
        let followed = follow(&mut self.session.engine, &mut sequence, &mut on_token);
        interrupt.end();
        let pace = followed.map_err(|e| self.session.failed(&e))?;
        let answer = speaker.end();
        let stop = Stop::of(&self.session, &sequence);
        self.out.progress(match stop {
            Stop::EndToken => pace.words(),
            other => format!("{}; {}", pace.words(), other.words()),
        });
        self.out.event(&json!({
            "event": "answer", "text": answer, "tokens": sequence.generated(), "stop": stop.name(),
            "prompt_tokens": prompt.len(), "computed_prompt_tokens": pace.prompt_rows,
            "prompt_seconds": pace.prompt.as_secs_f64(), "decode_seconds": pace.more.as_secs_f64(),
            "decode_tokens_per_second": pace.rate(),
        }));
        self.before = Some(sequence);
        Ok(answer)
    }

    /// The tokens of the conversation, without the oldest turns if they leave no room for an answer.
    fn prompt(&mut self, text: &LanguageText) -> Result<Vec<u32>, Failure> {
        let context = self.session.context();
        let wanted = usize::try_from(self.params.max_new_tokens).unwrap_or(usize::MAX);
        let room = wanted.min(context / 4);
        let mut forgotten = 0;
        loop {
            let messages: Vec<Message> = self.system.iter().chain(&self.turns).cloned().collect();
            let tokens = text.conversation(&messages).at(&self.session.name)?;
            if tokens.len() + room <= context {
                if forgotten > 0 {
                    self.out.progress(format!(
                        "the context is full: {forgotten} of the oldest messages left out"
                    ));
                }
                return Ok(tokens);
            }
            if self.turns.len() < 3 {
                return Err(Failure::new(format!(
                    "the conversation has {} tokens, the context of {} has {context}",
                    tokens.len(),
                    self.session.name
                ))
                .expected(format!(
                    "a message that leaves room for {room} tokens of an answer"
                )));
            }
            // a question and its answer
            self.turns.drain(..2);
            forgotten += 2;
        }
    }
}

/// Ctrl-C: during an answer it ends the answer, otherwise the program.
struct Interrupt {
    answering: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    fn listen() -> Result<Interrupt, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .at("listening to signals")?;
        let interrupt = Interrupt {
            answering: Arc::default(),
            asked: Arc::default(),
        };
        let (answering, asked) = (
            Arc::clone(&interrupt.answering),
            Arc::clone(&interrupt.asked),
        );
        let listen = move || {
            runtime.block_on(async {
                while tokio::signal::ctrl_c().await.is_ok() {
                    if !answering.load(Ordering::SeqCst) {
                        let _ = writeln!(std::io::stdout());
                        std::process::exit(130);
                    }
                    asked.store(true, Ordering::SeqCst);
                }
            });
        };
        std::thread::Builder::new()
            .name("gavel-interrupt".to_owned())
            .spawn(listen)
            .at("listening to signals")?;
        Ok(interrupt)
    }

    fn begin(&self) {
        self.asked.store(false, Ordering::SeqCst);
        self.answering.store(true, Ordering::SeqCst);
    }

    fn end(&self) {
        self.answering.store(false, Ordering::SeqCst);
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}
