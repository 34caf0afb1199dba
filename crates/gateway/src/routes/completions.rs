//! `POST /v1/completions`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use gavel_numerics::kernels::SamplingParams;
use serde_json::{Value, json};

use super::sampling::{self, MAX_CHOICES};
use super::{Plan, respond};
use crate::desk::Job;
use crate::gateway::{Asked, Gateway};
use crate::journal::Endpoint;
use crate::limits::Caller;
use crate::{ApiError, fields};

/// What OpenAI's interface gives where nothing is said.
pub(crate) const DEFAULT_TOKENS: u64 = 16;

pub(super) async fn ask(
    state: State<Arc<Gateway>>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    respond(Endpoint::Completion, (state, caller, headers, body)).await
}

pub(super) fn plan(
    gateway: &Gateway,
    caller: &Caller,
    asked: &mut Asked,
) -> Result<Plan, ApiError> {
    let served = gateway.model(&asked.fields.needed_text("model")?)?;
    let language = served.language()?;
    let prompts = prompts("prompt", asked.fields.needed("prompt")?)?;
    let sampling = sampling::read(asked, Some(DEFAULT_TOKENS))?;
    let fields = &mut asked.fields;
    fields.only("logprobs", &[])?;
    fields.only("echo", &[json!(false)])?;
    fields.only("suffix", &[json!("")])?;
    fields.only("best_of", &[json!(1)])?;
    let seed = asked.seed(&gateway.desk, caller)?;
    let mut jobs = Vec::new();
    for prompt in &prompts {
        let tokens = match prompt {
            Prompt::Text(text) => language.prompt(text)?,
            Prompt::Tokens(tokens) => tokens.clone(),
        };
        for _ in 0..sampling.choices {
            let seed = seed.wrapping_add(jobs.len() as u64);
            let params = SamplingParams {
                seed,
                ..sampling.params
            };
            let bound = language.bind("prompt", &tokens, sampling.most, params)?;
            jobs.push(Job {
                bound,
                seed,
                tokens: None,
            });
        }
    }
    if jobs.len() as u64 > MAX_CHOICES {
        let message = format!(
            "{} answers to one request; at most {MAX_CHOICES}",
            jobs.len()
        );
        return Err(ApiError::field("n", "invalid_value", message));
    }
    Ok(Plan {
        per_prompt: sampling.choices as usize,
        stop: sampling.stop,
        stream: sampling.stream,
        ..Plan::of(Arc::clone(&served), jobs)
    })
}

/// A prompt in either form.
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// One text or list of tokens, or several.
pub(super) fn prompts(param: &str, value: Value) -> Result<Vec<Prompt>, ApiError> {
    let wrong = || {
        fields::expected(
            param,
            format!("a text or a list of token ids, or a list of up to {MAX_CHOICES} of them"),
        )
    };
    let one = |value: &Value| match value {
        Value::String(text) => Some(Prompt::Text(text.clone())),
        Value::Array(ids) if !ids.is_empty() => {
            let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
            ids.iter()
                .map(id)
                .collect::<Option<Vec<_>>>()
                .map(Prompt::Tokens)
        }
        _ => None,
    };
    if let Some(prompt) = one(&value) {
        return Ok(vec![prompt]);
    }
    let prompts = value
        .as_array()
        .and_then(|values| values.iter().map(one).collect());
    let prompts: Vec<Prompt> = prompts.ok_or_else(wrong)?;
    match (1..=MAX_CHOICES as usize).contains(&prompts.len()) {
        true => Ok(prompts),
        false => Err(wrong()),
    }
}
