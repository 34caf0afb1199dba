//! `gavel generate MODEL`

use std::ops::ControlFlow;
use std::path::Path;

use gavel_engine::Trace;
use gavel_engine::lm::SequenceOptions;
use serde_json::{Value, json};

use crate::args_language::GenerateArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::language::{Pace, Session, Speaker, Stop, follow, signed, unsigned};
use crate::output::Output;
use crate::prompt::{is_raw, question, tokens};
use crate::saved::{FORMAT, SavedGeneration};

/// A file of token ids.
const MAX_TOKEN_BYTES: u64 = 64 << 20;

pub(crate) fn run(args: &GenerateArgs, out: Output) -> Result<Exit, Failure> {
    let asked = match args.prompt_tokens {
        Some(_) => None,
        None => Some(question(&args.prompt)?),
    };
    let mut session = Session::open(&args.language)?;
    let text = match args.prompt_tokens {
        // ids need no tokenizer; where there is one, it is shown
        Some(_) => session.text().ok(),
        None => Some(session.text()?),
    };
    let prompt = match (&args.prompt_tokens, &text, &asked) {
        (Some(file), ..) => token_ids(file)?,
        (None, Some(text), Some(asked)) => tokens(&session.name, text, &args.prompt, asked)?,
        _ => Vec::new(),
    };
    if let Some(file) = &args.logits {
        return logits(&mut session, &prompt, file, out);
    }
    let params = args.sampling.params(args.seed);
    let mut sequence = session
        .engine
        .open(&signed(&prompt), params, &SequenceOptions::traced())
        .map_err(|e| session.failed(&e))?;
    if let Some(asked) = asked.filter(|_| is_raw(&args.prompt, text.as_ref())) {
        out.echo(&asked);
    }
    let mut speaker = Speaker::new(text.as_ref(), &prompt, out);
    let mut on_token = |token| {
        speaker.token(token);
        ControlFlow::Continue(())
    };
    let pace = follow(&mut session.engine, &mut sequence, &mut on_token)
        .map_err(|e| session.failed(&e))?;
    let answer = speaker.end();
    let stop = Stop::of(&session, &sequence);
    let output_tokens = unsigned(sequence.generated());
    let hashing = sequence.timing().hashing_share();
    let trace = session.engine.trace(sequence).at(&session.name)?;
    let saved = SavedGeneration {
        generation: FORMAT,
        model: session.name.clone(),
        model_id: session.model.model.model_id(),
        context: session.model.config.context,
        params: params.into(),
        prompt_tokens: prompt,
        output_tokens,
        text: answer,
        trace_root: trace.as_ref().map(Trace::trace_root),
        steps: trace.as_ref().map_or(0, Trace::steps),
        seconds: pace.total().as_secs_f64(),
        threads: session.engine.threads(),
    };
    if let Some(path) = &args.save {
        let file = serde_json::to_vec_pretty(&saved).at("the answer as JSON")?;
        files::write(path, &file)?;
    }
    told(&session, &saved, &pace, stop, hashing, args, out);
    out.event(&object(
        &session,
        &saved,
        &pace,
        stop,
        hashing,
        trace.as_ref(),
    )?);
    Ok(Exit::Done)
}

/// Token ids of a file.
fn token_ids(path: &Path) -> Result<Vec<u32>, Failure> {
    const EXPECTED: &str = "a JSON array of token ids";
    let bytes = files::read(path, MAX_TOKEN_BYTES, EXPECTED)?;
    let ids: Vec<u32> = serde_json::from_slice(&bytes)
        .at(path.display())
        .map_err(|failure| failure.expected(EXPECTED))?;
    match ids.iter().find(|&&id| i32::try_from(id).is_err()) {
        None => Ok(ids),
        Some(id) => {
            Err(Failure::new(format!("{}: {id} is no token", path.display())).expected(EXPECTED))
        }
    }
}

/// Writes the logits after every token.
fn logits(
    session: &mut Session,
    prompt: &[u32],
    file: &Path,
    out: Output,
) -> Result<Exit, Failure> {
    if prompt.len() > session.context() || prompt.is_empty() {
        let (tokens, most) = (prompt.len(), session.context());
        return Err(session.failed(&gavel_engine::lm::LanguageError::Prompt { tokens, most }));
    }
    let found = session.engine.logits(&signed(prompt));
    let found = found.map_err(|e| session.failed(&e))?;
    let bytes: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()).collect();
    files::write(file, &bytes)?;
    let vocabulary = session.model.config.vocabulary;
    out.facts(&[(
        "written",
        format!(
            "{} x {vocabulary} logits to {}",
            prompt.len(),
            file.display()
        ),
    )]);
    out.json(&json!({
        "model_id": session.model.model.model_id(), "positions": prompt.len(), "vocabulary": vocabulary,
    }))?;
    Ok(Exit::Done)
}

/// What there is to say besides the text, on standard error.
fn told(
    session: &Session,
    saved: &SavedGeneration,
    pace: &Pace,
    stop: Stop,
    hashing: f64,
    args: &GenerateArgs,
    out: Output,
) {
    out.progress(format!(
        "\n{}; {}; hashing {:.1} %, {} thread{}",
        pace.words(),
        stop.words(),
        100.0 * hashing,
        saved.threads,
        if saved.threads == 1 { "" } else { "s" }
    ));
    out.progress(format!("model_id   {}", saved.model_id));
    if let Some(root) = &saved.trace_root {
        out.progress(format!("trace_root {root}"));
    }
    match &args.save {
        Some(path) => out.progress(format!("next: gavel verify {}", path.display())),
        None => out.progress(format!(
            "next: gavel generate {} ... --save answer.json, then gavel verify answer.json",
            session.name
        )),
    }
}

/// The last object for programs.
fn object(
    session: &Session,
    saved: &SavedGeneration,
    pace: &Pace,
    stop: Stop,
    hashing: f64,
    trace: Option<&Trace>,
) -> Result<Value, Failure> {
    let mut object = serde_json::to_value(saved).at("the answer as JSON")?;
    object["event"] = json!("done");
    object["stop"] = json!(stop.name());
    object["input_digest"] = json!(trace.map(|t| t.input_digest));
    object["output_digest"] = json!(trace.map(Trace::output_digest));
    object["isa"] = json!(session.engine.isa().kind().name());
    object["timings"] = json!({
        "load_seconds": session.load.as_secs_f64(),
        "prompt_seconds": pace.prompt.as_secs_f64(),
        "prompt_tokens_per_second": pace.prompt_rate(),
        "decode_seconds": pace.more.as_secs_f64(),
        "decode_tokens_per_second": pace.rate(),
        "hashing_share": hashing,
    });
    Ok(object)
}
