//! `POST /v1/embeddings`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::completions::{Prompt, prompts};
use super::{Plan, respond};
use crate::desk::Job;
use crate::gateway::{Asked, Gateway};
use crate::journal::Endpoint;
use crate::limits::Caller;
use crate::{ApiError, fields};

pub(super) async fn ask(
    state: State<Arc<Gateway>>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    respond(Endpoint::Embedding, (state, caller, headers, body)).await
}

pub(super) fn plan(gateway: &Gateway, _: &Caller, asked: &mut Asked) -> Result<Plan, ApiError> {
    let fields = &mut asked.fields;
    let served = gateway.model(&fields.needed_text("model")?)?;
    let encoder = served.embedding()?;
    let base64 = match fields.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(fields::expected("encoding_format", "float or base64")),
    };
    // a vector cut short is another vector
    fields.only("dimensions", &[])?;
    fields.harmless(&["user"]);
    let mut jobs = Vec::new();
    for input in prompts("input", fields.needed("input")?)? {
        let tokens = match input {
            Prompt::Text(text) => encoder.tokens(&served, &text)?,
            Prompt::Tokens(tokens) => tokens,
        };
        jobs.push(Job {
            bound: encoder.bind(&tokens)?,
            seed: 0,
            tokens: Some(tokens.len()),
        });
    }
    Ok(Plan {
        base64,
        ..Plan::of(Arc::clone(&served), jobs)
    })
}
