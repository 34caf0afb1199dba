//! Results as OpenAI's objects.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::ApiError;
use crate::desk::{Done, Placed};
use crate::journal::Endpoint;
use crate::network::TaskView;
use crate::served::{self, Served};

/// What a language model said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The answer in pieces, up to where it ends.
    pub(crate) pieces: Vec<String>,
    /// OpenAI's word for why it ends.
    pub(crate) reason: &'static str,
    /// Tokens of the prompt.
    pub(crate) prompt_tokens: usize,
    /// Tokens of the answer: all that were generated and paid for, those behind a stop text too.
    pub(crate) completion_tokens: usize,
}

impl Said {
    pub(crate) fn of(served: &Served, done: &Done) -> Result<Said, ApiError> {
        let spoken = served.language()?.text.spoken(&done.answer.outputs.tensors);
        let spoken = spoken.ok_or_else(|| unreadable(done))?;
        let (pieces, is_cut) = cut(&spoken.pieces, &done.placed.ticket.stop);
        Ok(Said {
            pieces,
            reason: match spoken.ended || is_cut {
                true => "stop",
                false => "length",
            },
            prompt_tokens: spoken.prompt.len(),
            completion_tokens: spoken.pieces.len(),
        })
    }
}

fn unreadable(done: &Done) -> ApiError {
    let message = "The result is what was committed, and cannot be read as an answer";
    ApiError::network(StatusCode::BAD_GATEWAY, "unreadable_result", message)
        .of_task(done.placed.task)
}

/// The pieces before the first place where one of the texts begins, and whether there is one.
fn cut(pieces: &[String], stops: &[String]) -> (Vec<String>, bool) {
    let text = pieces.concat();
    let first = stops
        .iter()
        .filter_map(|stop| text.find(stop.as_str()))
        .min();
    let mut left = first.unwrap_or(text.len());
    let mut kept = Vec::new();
    for piece in pieces {
        // a stop text begins at a character, so a piece is cut at one
        let part = piece.get(..left.min(piece.len())).unwrap_or_default();
        left -= part.len();
        if !part.is_empty() {
            kept.push(part.to_owned());
        }
    }
    (kept, first.is_some())
}

/// `usage` of some answers to so many prompts: tokens of a prompt count once, however often it is answered.
pub(crate) fn usage(said: &[Said], per_prompt: usize) -> Value {
    let prompts = said.iter().step_by(per_prompt.max(1));
    let prompt: usize = prompts.map(|s| s.prompt_tokens).sum();
    let completion: usize = said.iter().map(|s| s.completion_tokens).sum();
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    })
}

/// `gavel` of a task that may have no result yet.
pub(crate) fn of_task(placed: &Placed, view: Option<&TaskView>, served: Option<&Served>) -> Value {
    json!({
        "task_id": placed.task,
        "status": view.map(|view| view.state),
        "attempt": view.map(|view| view.attempt),
        "model_id": view.map(|view| view.model),
        "class_id": served.map(|served| served.class),
        "provider": view.and_then(|view| view.provider),
        "seed": placed.ticket.seed,
        "receipt": null,
        "challenge_until": view.and_then(|view| view.challenge_until),
    })
}

/// `gavel` of results: of the first, with those of all where there are more.
pub(crate) fn gavel(served: &Served, done: &[Done]) -> Value {
    let one = |done: &Done| {
        let mut object = of_task(&done.placed, Some(&done.view), Some(served));
        object["receipt"] = json!(done.answer.receipt);
        object
    };
    let mut all = done.iter().map(one);
    let first = all.next().unwrap_or_default();
    let others: Vec<Value> = all.collect();
    let mut gavel = first.clone();
    if !others.is_empty() {
        let mut choices = vec![first];
        choices.extend(others);
        gavel["choices"] = json!(choices);
    }
    gavel
}

/// A receipt for a header: base64url of its JSON.
pub(crate) fn receipt_header(done: &Done) -> Option<String> {
    let text = serde_json::to_vec(&done.answer.receipt).ok()?;
    Some(URL_SAFE_NO_PAD.encode(text))
}

/// What every object of an answer begins with.
pub(crate) fn head(endpoint: Endpoint, served: &Served, placed: &Placed, is_chunk: bool) -> Value {
    let (prefix, object) = match (endpoint, is_chunk) {
        (Endpoint::Chat, false) => ("chatcmpl", "chat.completion"),
        (Endpoint::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
        _ => ("cmpl", "text_completion"),
    };
    json!({
        "id": format!("{prefix}-{}", placed.task),
        "object": object,
        "created": placed.ticket.created,
        "model": served.name,
        "system_fingerprint": served.fingerprint(),
    })
}

/// The whole answer to a request.
pub(crate) fn answer(served: &Served, done: &[Done], per_prompt: usize) -> Result<Value, ApiError> {
    let Some(first) = done.first() else {
        return Ok(Value::Null);
    };
    let endpoint = first.placed.ticket.endpoint;
    let mut answer = match endpoint {
        Endpoint::Chat | Endpoint::Completion => words(endpoint, served, done, per_prompt)?,
        Endpoint::Embedding => vectors(served, done)?,
        Endpoint::Image => pictures(served, done)?,
    };
    answer["gavel"] = gavel(served, done);
    Ok(answer)
}

fn words(
    endpoint: Endpoint,
    served: &Served,
    done: &[Done],
    per_prompt: usize,
) -> Result<Value, ApiError> {
    let said: Vec<Said> =
        (done.iter().map(|done| Said::of(served, done))).collect::<Result<_, _>>()?;
    let choices = said.iter().enumerate().map(|(index, said)| {
        let text = said.pieces.concat();
        let (name, content) = match endpoint {
            Endpoint::Chat => (
                "message",
                json!({"role": "assistant", "content": text, "refusal": null}),
            ),
            _ => ("text", json!(text)),
        };
        json!({"index": index, name: content, "logprobs": null, "finish_reason": said.reason})
    });
    let choices: Vec<Value> = choices.collect();
    let Some(first) = done.first() else {
        return Ok(Value::Null);
    };
    let mut answer = head(endpoint, served, &first.placed, false);
    answer["choices"] = json!(choices);
    answer["usage"] = usage(&said, per_prompt);
    Ok(answer)
}

fn vectors(served: &Served, done: &[Done]) -> Result<Value, ApiError> {
    let (mut data, mut total) = (Vec::new(), 0);
    for (index, done) in done.iter().enumerate() {
        let tokens = done.placed.ticket.tokens.unwrap_or(0);
        total += tokens;
        let vector = served::embedding(&done.answer.outputs.tensors, tokens);
        let vector = vector.ok_or_else(|| unreadable(done))?;
        let embedding = match done.placed.ticket.base64 {
            true => {
                let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
                json!(STANDARD.encode(bytes))
            }
            false => json!(vector),
        };
        data.push(json!({"object": "embedding", "index": index, "embedding": embedding}));
    }
    Ok(json!({
        "object": "list",
        "data": data,
        "model": served.name,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }))
}

fn pictures(served: &Served, done: &[Done]) -> Result<Value, ApiError> {
    let model = served.pictures()?;
    let mut data = Vec::new();
    for done in done {
        let picture = model.picture(&done.answer.outputs.tensors);
        let png = picture.and_then(|picture| picture.png().ok());
        let png = png.ok_or_else(|| unreadable(done))?;
        data.push(json!({"b64_json": STANDARD.encode(png)}));
    }
    let [_, height, width] = model.extents();
    Ok(json!({
        "created": done.first().map(|done| done.placed.ticket.created),
        "data": data,
        "output_format": "png",
        "size": format!("{width}x{height}"),
        "system_fingerprint": served.fingerprint(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_before_the_first_of_its_stop_texts_wherever_tokens_end() {
        let pieces = ["", "ab", "", "c\u{e9}d", "ef"].map(str::to_owned);
        let of = |stops: &[&str]| {
            let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
            let (kept, is_cut) = cut(&pieces, &stops);
            (kept.concat(), is_cut)
        };
        assert_eq!(of(&[]), ("abc\u{e9}def".to_owned(), false));
        assert_eq!(of(&["x"]), ("abc\u{e9}def".to_owned(), false));
        assert_eq!(of(&["\u{e9}", "f"]), ("abc".to_owned(), true));
        assert_eq!(of(&["bc"]), ("a".to_owned(), true));
        assert_eq!(of(&["de"]), ("abc\u{e9}".to_owned(), true));
        assert_eq!(of(&["a"]), (String::new(), true));
    }
}
