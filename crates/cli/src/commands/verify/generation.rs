//! One saved generation: every token sampled again in one pass over prompt and answer.

use std::time::{Duration, Instant};

use gavel_engine::Trace;
use gavel_engine::lm::Verdict;
use gavel_node::LanguageText;
use gavel_trace::Digest;
use serde_json::{Value, json};

use super::proves_nothing;
use crate::args::VerifyArgs;
use crate::args_language::LanguageArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::language::{Session, signed};
use crate::output::{BAD, GOOD, Output, paint, time};
use crate::saved::{FORMAT, SavedGeneration};

/// What is wrong with a claim.
enum Wrong {
    /// A token of the answer is another one.
    Token {
        index: usize,
        claimed: u32,
        sampled: u32,
    },
    /// The model ends after so many tokens of the answer.
    EndsBefore(usize),
    /// The model goes on behind the last one.
    GoesOn,
    /// The text is not that of the tokens.
    Text,
    /// The tokens are right, the commitment is to something else.
    Trace,
}

pub(super) fn run(
    place: &str,
    bytes: &[u8],
    args: &VerifyArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let saved: SavedGeneration = serde_json::from_slice(bytes)
        .at(place)
        .map_err(proves_nothing)?;
    check_form(place, &saved)?;
    let mut session = open(place, &saved, args)?;
    let text = session.text().ok();
    let prompt = signed(&saved.prompt_tokens);
    let claimed = signed(&saved.output_tokens);
    let start = Instant::now();
    let (verdict, sequence) = session
        .engine
        .check(
            &prompt,
            &claimed,
            saved.params.into(),
            saved.trace_root.is_some(),
        )
        .map_err(|e| session.failed(&e))
        .map_err(proves_nothing)?;
    let trace = session.engine.trace(sequence).at(place)?;
    let elapsed = start.elapsed();
    let recomputed = trace.as_ref().map(Trace::trace_root);
    let wrong = wrong(verdict, &saved, recomputed, text.as_ref());
    let ratio = elapsed.as_secs_f64() / saved.seconds;

    out.line(match &wrong {
        None => paint(GOOD, "true: every token is the one that the model samples"),
        Some(wrong) => paint(
            BAD,
            format!("false: {}", said(wrong, &saved, text.as_ref())),
        ),
    });
    out.line("");
    let generating = Duration::try_from_secs_f64(saved.seconds).ok();
    let share = match generating.filter(|_| ratio.is_finite()) {
        Some(generating) => format!(
            ", {ratio:.2} of the {} that generating took on {} thread{}",
            time(generating),
            saved.threads,
            if saved.threads == 1 { "" } else { "s" }
        ),
        None => String::new(),
    };
    out.facts(&[
        ("model", session.name.clone()),
        ("model_id", saved.model_id.to_string()),
        (
            "checked",
            format!(
                "{} tokens behind a prompt of {}",
                saved.output_tokens.len(),
                saved.prompt_tokens.len()
            ),
        ),
        (
            "trace_root",
            match (saved.trace_root, recomputed) {
                (Some(claimed), Some(found)) if claimed == found => format!("{found}, the same"),
                (Some(claimed), Some(found)) => format!("{claimed} claimed, {found} recomputed"),
                (Some(claimed), None) => format!("{claimed} claimed"),
                (None, _) => "none claimed".to_owned(),
            },
        ),
        (
            "time",
            format!(
                "{} on {} thread{}{share}",
                time(elapsed),
                session.engine.threads(),
                if session.engine.threads() == 1 {
                    ""
                } else {
                    "s"
                }
            ),
        ),
    ]);
    out.json(&json!({
        "kind": "generation",
        "claim": wrong.is_none(),
        "wrong": wrong.as_ref().map(|wrong| as_json(wrong, &saved, text.as_ref())),
        "model_id": saved.model_id,
        "tokens": saved.output_tokens.len(),
        "trace_root": saved.trace_root,
        "recomputed": recomputed,
        "verify_seconds": elapsed.as_secs_f64(),
        "generate_seconds": saved.seconds,
        "ratio": ratio.is_finite().then_some(ratio),
        "threads": session.engine.threads(),
    }))?;
    Ok(match wrong {
        None => Exit::Done,
        Some(_) => Exit::False,
    })
}

/// Refuses what cannot have been written by `gavel generate`.
fn check_form(place: &str, saved: &SavedGeneration) -> Result<(), Failure> {
    let refuse = |what: String| Err(proves_nothing(Failure::new(format!("{place}: {what}"))));
    if saved.generation != FORMAT {
        return refuse(format!(
            "a saved generation of format {}; this program knows {FORMAT}",
            saved.generation
        ));
    }
    if saved.output_tokens.is_empty() {
        return refuse("an answer without tokens".to_owned());
    }
    Ok(())
}

/// The model that the file is about.
fn open(place: &str, saved: &SavedGeneration, args: &VerifyArgs) -> Result<Session, Failure> {
    let name = args.model.as_ref().unwrap_or(&saved.model);
    let session = Session::open(&LanguageArgs {
        model: name.clone(),
        context: Some(saved.context),
        threads: args.engine.threads,
    })
    .map_err(|failure| failure.hint("--model names the model that the answer is said to be of"))?;
    let found = session.model.model.model_id();
    match found == saved.model_id {
        true => Ok(session),
        false => Err(Failure::new(format!(
            "{name} has model_id {found}, {place} is about {}",
            saved.model_id
        ))
        .expected("the model that the answer is said to be of")
        .hint("--model names it")),
    }
}

fn wrong(
    verdict: Verdict,
    saved: &SavedGeneration,
    recomputed: Option<Digest>,
    text: Option<&LanguageText>,
) -> Option<Wrong> {
    let prompt = saved.prompt_tokens.len();
    match verdict {
        Verdict::Differs(difference) => Some(Wrong::Token {
            index: difference.index.saturating_sub(prompt),
            claimed: difference.claimed.cast_unsigned(),
            sampled: difference.sampled.cast_unsigned(),
        }),
        // the run's last step samples the token behind it
        Verdict::StopsAt(steps) => Some(Wrong::EndsBefore((steps + 1).saturating_sub(prompt))),
        Verdict::GoesOn => Some(Wrong::GoesOn),
        Verdict::Match => {
            let of_tokens = text.map(|text| {
                let mut decoder = text.tokenizer().decode_stream(&saved.prompt_tokens);
                let tokens = saved.output_tokens.iter();
                let mut found: String = tokens.filter_map(|&t| decoder.push(t)).collect();
                found.extend(decoder.flush());
                found
            });
            match (saved.trace_root, recomputed) {
                (Some(claimed), Some(found)) if claimed != found => Some(Wrong::Trace),
                _ if of_tokens.is_some_and(|found| found != saved.text) => Some(Wrong::Text),
                _ => None,
            }
        }
    }
}

/// A token as people see it.
fn shown(token: u32, text: Option<&LanguageText>) -> String {
    let bytes = text.and_then(|text| text.tokenizer().token_bytes(token));
    match bytes {
        Some(bytes) => format!("{:?} ({token})", String::from_utf8_lossy(bytes)),
        None => format!("token {token}"),
    }
}

fn said(wrong: &Wrong, saved: &SavedGeneration, text: Option<&LanguageText>) -> String {
    let tokens = saved.output_tokens.len();
    match wrong {
        Wrong::Token {
            index,
            claimed,
            sampled,
        } => format!(
            "token {index} of the answer is {}, the model samples {}",
            shown(*claimed, text),
            shown(*sampled, text)
        ),
        Wrong::EndsBefore(count) => {
            format!("the model ends after {count} tokens, the answer has {tokens}")
        }
        Wrong::GoesOn => format!("the model goes on after the answer's {tokens} tokens"),
        Wrong::Text => "the text is not that of the tokens".to_owned(),
        Wrong::Trace => "the tokens are the model's, the trace_root is not".to_owned(),
    }
}

fn as_json(wrong: &Wrong, saved: &SavedGeneration, text: Option<&LanguageText>) -> Value {
    let token = |id: u32| {
        let bytes = text.and_then(|text| text.tokenizer().token_bytes(id));
        json!({"token": id, "text": bytes.map(String::from_utf8_lossy)})
    };
    match wrong {
        Wrong::Token {
            index,
            claimed,
            sampled,
        } => json!({
            "what": "token", "index": index, "position": saved.prompt_tokens.len() + index,
            "claimed": token(*claimed), "sampled": token(*sampled),
        }),
        Wrong::EndsBefore(count) => json!({"what": "ends_before", "tokens": count}),
        Wrong::GoesOn => json!({"what": "goes_on"}),
        Wrong::Text => json!({"what": "text"}),
        Wrong::Trace => json!({"what": "trace_root"}),
    }
}
