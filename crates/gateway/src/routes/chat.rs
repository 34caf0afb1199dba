//! `POST /v1/chat/completions`

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use gavel_numerics::kernels::SamplingParams;
use gavel_text::{Message, Role};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{Plan, respond, sampling};
use crate::desk::Job;
use crate::gateway::{Asked, Gateway};
use crate::journal::Endpoint;
use crate::limits::Caller;
use crate::{ApiError, Fields, fields};

/// Longest conversation.
pub(crate) const MAX_MESSAGES: usize = 1024;

pub(super) async fn ask(
    state: State<Arc<Gateway>>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    respond(Endpoint::Chat, (state, caller, headers, body)).await
}

pub(super) fn plan(
    gateway: &Gateway,
    caller: &Caller,
    asked: &mut Asked,
) -> Result<Plan, ApiError> {
    let served = gateway.model(&asked.fields.needed_text("model")?)?;
    let language = served.language()?;
    let messages = messages(asked.fields.needed("messages")?)?;
    let sampling = sampling::read(asked, None)?;
    let fields = &mut asked.fields;
    fields.only("logprobs", &[json!(false)])?;
    fields.only("top_logprobs", &[json!(0)])?;
    fields.only("tools", &[json!([])])?;
    fields.only("tool_choice", &[json!("none"), json!("auto")])?;
    fields.only("functions", &[json!([])])?;
    fields.only("function_call", &[json!("none"), json!("auto")])?;
    fields.harmless(&["parallel_tool_calls"]);
    fields.only("response_format", &[json!({"type": "text"})])?;
    fields.only("modalities", &[json!(["text"])])?;
    let seed = asked.seed(&gateway.desk, caller)?;
    let prompt = language.conversation(&messages)?;
    let mut jobs = Vec::new();
    for index in 0..sampling.choices {
        let seed = seed.wrapping_add(index);
        let params = SamplingParams {
            seed,
            ..sampling.params
        };
        let bound = language.bind("messages", &prompt, sampling.most, params)?;
        jobs.push(Job {
            bound,
            seed,
            tokens: None,
        });
    }
    Ok(Plan {
        per_prompt: jobs.len(),
        stop: sampling.stop,
        stream: sampling.stream,
        ..Plan::of(Arc::clone(&served), jobs)
    })
}

/// A conversation: texts alone.
pub(super) fn messages(value: Value) -> Result<Vec<Message>, ApiError> {
    let Value::Array(values) = value else {
        return Err(fields::expected("messages", "a list of messages"));
    };
    if values.is_empty() || values.len() > MAX_MESSAGES {
        return Err(fields::expected(
            "messages",
            format!("1 to {MAX_MESSAGES} messages"),
        ));
    }
    let said = values.into_iter().enumerate();
    said.map(|(index, value)| message(&format!("messages[{index}]"), value))
        .collect()
}

fn message(place: &str, value: Value) -> Result<Message, ApiError> {
    let mut fields = Fields::of(value, place)?;
    let role = match fields.needed_text("role")?.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => {
            let param = format!("{place}.role");
            return Err(fields::expected(
                &param,
                "system, developer, user or assistant",
            ));
        }
    };
    let param = format!("{place}.content");
    let content = match fields.needed("content")? {
        Value::String(text) => text,
        Value::Array(parts) => {
            let texts = parts.into_iter().enumerate();
            let texts = texts.map(|(index, part)| text_part(&format!("{param}[{index}]"), part));
            texts.collect::<Result<Vec<_>, _>>()?.concat()
        }
        _ => {
            return Err(fields::expected(
                &param,
                "a string, or a list of text parts",
            ));
        }
    };
    // what clients send back of an answer
    fields.only("refusal", &[])?;
    fields.only("tool_calls", &[json!([])])?;
    fields.end()?;
    Ok(Message::new(role, content))
}

fn text_part(place: &str, value: Value) -> Result<String, ApiError> {
    let mut fields = Fields::of(value, place)?;
    let kind = fields.needed_text("type")?;
    if kind != "text" {
        let message =
            format!("`{place}.type`: parts of type {kind:?} are not supported here, only text");
        return Err(ApiError::field(
            &format!("{place}.type"),
            "unsupported_parameter",
            message,
        ));
    }
    let text = fields.needed_text("text")?;
    fields.end()?;
    Ok(text)
}
