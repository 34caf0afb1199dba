//! `POST /v1/images/generations`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::sampling::MAX_CHOICES;
use super::{Plan, respond};
use crate::ApiError;
use crate::desk::Job;
use crate::gateway::{Asked, Gateway};
use crate::journal::Endpoint;
use crate::limits::Caller;
use crate::served::Bound;

pub(super) async fn ask(
    state: State<Arc<Gateway>>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    respond(Endpoint::Image, (state, caller, headers, body)).await
}

pub(super) fn plan(
    gateway: &Gateway,
    caller: &Caller,
    asked: &mut Asked,
) -> Result<Plan, ApiError> {
    let fields = &mut asked.fields;
    let served = gateway.model(&fields.needed_text("model")?)?;
    let pictures = served.pictures()?;
    let prompt = fields.needed_text("prompt")?;
    let choices = fields.integer("n", 1, MAX_CHOICES)?.unwrap_or(1);
    let [_, height, width] = pictures.extents();
    let size = json!(format!("{width}x{height}"));
    fields.only("size", &[size, json!("auto")])?;
    // no place that a URL could name
    fields.only("response_format", &[json!("b64_json")])?;
    fields.only("output_format", &[json!("png")])?;
    fields.only("output_compression", &[json!(100)])?;
    fields.only("background", &[json!("auto"), json!("opaque")])?;
    fields.only("quality", &[json!("auto"), json!("standard")])?;
    fields.only("style", &[])?;
    fields.only("stream", &[json!(false)])?;
    fields.only("partial_images", &[json!(0)])?;
    fields.only("moderation", &[json!("auto"), json!("low")])?;
    fields.harmless(&["user"]);
    let seed = asked.seed(&gateway.desk, caller)?;
    let model = gateway.network.model(&served.class);
    let model = model.ok_or_else(|| served.unfit("is not here"))?;
    let mut jobs = Vec::new();
    for index in 0..choices {
        let seed = seed.wrapping_add(index);
        let inputs = pictures.task_inputs(&prompt, seed).map_err(|e| {
            let words: Vec<&str> = e.vocabulary().lines().collect();
            let message = format!("`prompt`: {e}; it knows: {}", words.join("; "));
            ApiError::field("prompt", "invalid_value", message)
        })?;
        let bound = Bound {
            model: Arc::clone(&model),
            family: None,
            inputs,
        };
        jobs.push(Job {
            bound,
            seed,
            tokens: None,
        });
    }
    Ok(Plan::of(Arc::clone(&served), jobs))
}
