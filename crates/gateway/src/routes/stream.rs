//! Answers as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Plan;
use crate::desk::Placed;
use crate::error::TASK_HEADER;
use crate::gateway::Gateway;
use crate::journal::Endpoint;
use crate::limits::Running;
use crate::render::{self, Said};
use crate::{ApiError, Fields};

/// How a stream is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamOptions {
    include_usage: bool,
}

impl StreamOptions {
    pub(super) fn read(fields: &mut Fields) -> Result<Option<StreamOptions>, ApiError> {
        let wanted = fields.flag("stream")?;
        let Some(options) = fields.value("stream_options") else {
            return Ok(wanted.then_some(StreamOptions {
                include_usage: false,
            }));
        };
        if !wanted {
            let message = "`stream_options` is for streams: set `stream`";
            return Err(ApiError::field("stream_options", "invalid_value", message));
        }
        let mut options = Fields::of(options, "stream_options")?;
        let include_usage = options.flag("include_usage")?;
        // padding against eavesdroppers, which changes no text
        options.harmless(&["include_obfuscation"]);
        options.end()?;
        Ok(Some(StreamOptions { include_usage }))
    }
}

fn event(value: &Value) -> Result<Event, Infallible> {
    Ok(Event::default().data(value.to_string()))
}

/// Comments while the tasks are under way, then the answers piece by piece; the last chunk has the receipts.
pub(super) fn stream(
    gateway: Arc<Gateway>,
    plan: Plan,
    options: StreamOptions,
    placed: Vec<Placed>,
    running: Running,
) -> Response {
    let first = placed.first().map(|placed| placed.task);
    let keep_alive = KeepAlive::new()
        .interval(gateway.options.keep_alive)
        .text("keep-alive");
    let events = async_stream::stream! {
        let _running = running;
        let Plan { served, per_prompt, .. } = plan;
        let Some(first) = placed.first().cloned() else { return };
        let endpoint = first.ticket.endpoint;
        let head = render::head(endpoint, &served, &first, true);
        let chunk = |choices: Value, usage: Option<Value>| {
            let mut chunk = head.clone();
            chunk["choices"] = choices;
            if options.include_usage {
                chunk["usage"] = usage.unwrap_or_default();
            }
            chunk
        };
        if endpoint == Endpoint::Chat {
            for index in 0..placed.len() {
                let delta = json!({"role": "assistant", "content": ""});
                yield event(&chunk(json!([choice(endpoint, index, delta, None)]), None));
            }
        }
        let until = Instant::now() + gateway.options.wait;
        let (mut done, mut said) = (Vec::new(), Vec::new());
        let count = placed.len();
        for (index, placed) in placed.into_iter().enumerate() {
            let found = match gateway.desk.wait(placed, until).await {
                Ok(found) => Said::of(&served, &found).map(|said| (found, said)),
                Err(error) => Err(error),
            };
            let (found, spoken) = match found {
                Ok(found) => found,
                Err(error) => {
                    yield event(&error.body());
                    yield Ok(Event::default().data("[DONE]"));
                    return;
                }
            };
            for piece in &spoken.pieces {
                let delta = match endpoint {
                    Endpoint::Chat => json!({"content": piece}),
                    _ => json!(piece),
                };
                yield event(&chunk(json!([choice(endpoint, index, delta, None)]), None));
            }
            let nothing = match endpoint {
                Endpoint::Chat => json!({}),
                _ => json!(""),
            };
            let end = json!([choice(endpoint, index, nothing, Some(spoken.reason))]);
            done.push(found);
            said.push(spoken);
            let mut last = chunk(end, None);
            if index + 1 == count && !options.include_usage {
                last["gavel"] = render::gavel(&served, &done);
            }
            yield event(&last);
        }
        if options.include_usage {
            let mut last = chunk(json!([]), Some(render::usage(&said, per_prompt)));
            last["gavel"] = render::gavel(&served, &done);
            yield event(&last);
        }
        yield Ok(Event::default().data("[DONE]"));
    };
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    if let Some(task) = first {
        response.headers_mut().insert(TASK_HEADER, task.into());
    }
    response
}

fn choice(endpoint: Endpoint, index: usize, content: Value, reason: Option<&str>) -> Value {
    let name = match endpoint {
        Endpoint::Chat => "delta",
        _ => "text",
    };
    json!({"index": index, name: content, "logprobs": null, "finish_reason": reason})
}
