//! `/v1/tasks`: requests whose answers are fetched later, and where every task of a key stands.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use gavel_node::ReceiptFile;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Named, body, place, tell};
use crate::desk::{Done, Placed};
use crate::error::TASK_HEADER;
use crate::gateway::{Asked, Gateway};
use crate::journal::Endpoint;
use crate::limits::Caller;
use crate::network::NetworkError;
use crate::{ApiError, Fields, fields, render};

/// Most tasks on a page.
pub(crate) const MOST_LISTED: usize = 100;

pub(super) async fn post(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, ApiError> {
    let _running = gateway.limits.enter(&caller).await?;
    let sent = body(&gateway, sent).await?;
    let mut asked = Asked::read("/v1/tasks", &headers, &sent)?;
    let path = asked.fields.needed_text("endpoint")?;
    let endpoint = Endpoint::at(&path).ok_or_else(|| {
        fields::expected("endpoint", "a path: /v1/chat/completions, /v1/completions, /v1/embeddings or /v1/images/generations")
    })?;
    let mut request = Fields::of(asked.fields.needed("body")?, "body")?;
    request.only("stream", &[json!(false)])?;
    std::mem::replace(&mut asked.fields, request).end()?;
    let (_, placed) = place(&gateway, &caller, endpoint, asked).await?;
    let objects: Vec<Value> = placed.iter().map(|p| object(&gateway, p)).collect();
    let mut response = (
        StatusCode::ACCEPTED,
        Json(json!({"object": "list", "data": objects})),
    )
        .into_response();
    if let Some(first) = placed.first() {
        response
            .headers_mut()
            .insert(TASK_HEADER, first.task.into());
    }
    Ok(response)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<u64>,
}

pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let _running = gateway.limits.enter(&caller).await?;
    let Query(page) = page.map_err(|e| ApiError::request("invalid_value", e.body_text()))?;
    let limit = page.limit.unwrap_or(20);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(fields::expected(
            "limit",
            format!("a whole number from 1 to {MOST_LISTED}"),
        ));
    }
    let mut found = gateway.desk.tasks(&caller, page.cursor, limit + 1);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|last| last.task).filter(|_| has_more);
    let data: Vec<Value> = found.iter().map(|p| object(&gateway, p)).collect();
    Ok(Json(json!({
        "object": "list", "data": data, "next_cursor": next, "has_more": has_more,
    })))
}

fn number(id: &str) -> Result<u64, ApiError> {
    id.parse().map_err(|_| ApiError::no_task(id))
}

fn object(gateway: &Gateway, placed: &Placed) -> Value {
    let view = gateway.network.task(placed.task);
    let served = gateway.model(&placed.ticket.model).ok();
    json!({
        "id": placed.task,
        "object": "task",
        "created": placed.ticket.created,
        "endpoint": placed.ticket.endpoint.path(),
        "model": placed.ticket.model,
        "status": view.as_ref().map(|view| view.state),
        "gavel": render::of_task(placed, view.as_ref(), served.as_deref()),
    })
}

fn unreachable(error: &NetworkError, id: u64) -> ApiError {
    ApiError::network(
        StatusCode::SERVICE_UNAVAILABLE,
        "network_unreachable",
        error,
    )
    .of_task(id)
}

/// A task, with its answer once there is one.
pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Response, ApiError> {
    let _running = gateway.limits.enter(&caller).await?;
    let placed = gateway.desk.task(&caller, number(&id)?)?;
    let (task, mut object) = (placed.task, object(&gateway, &placed));
    let answer = gateway
        .network
        .answer(task)
        .await
        .map_err(|e| unreachable(&e, task))?;
    let (Some(answer), Some(view)) = (answer, gateway.network.task(task)) else {
        object["response"] = Value::Null;
        return Ok(Json(object).into_response());
    };
    let served = gateway.model(&placed.ticket.model)?;
    let done = [Done {
        placed,
        view,
        answer,
    }];
    object["gavel"] = render::gavel(&served, &done);
    object["response"] = render::answer(&served, &done, 1)?;
    let mut response = Json(object).into_response();
    tell(response.headers_mut(), &done);
    Ok(response)
}

/// The receipt with all that it is about: what `gavel verify` takes.
pub(super) async fn receipt(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Json<ReceiptFile>, ApiError> {
    let _running = gateway.limits.enter(&caller).await?;
    let task = gateway.desk.task(&caller, number(&id)?)?.task;
    let found = gateway
        .network
        .receipt_file(task)
        .await
        .map_err(|e| unreachable(&e, task))?;
    let missing = || {
        let message = "There is no receipt yet: the task has no result";
        ApiError::client(StatusCode::CONFLICT, "no_receipt", message).of_task(task)
    };
    found.map(Json).ok_or_else(missing)
}

/// Where a task stands, whenever that changes, until nothing can happen to it any more.
pub(super) async fn events(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Response, ApiError> {
    let running = gateway.limits.enter(&caller).await?;
    let placed = gateway.desk.task(&caller, number(&id)?)?;
    let keep_alive = KeepAlive::new()
        .interval(gateway.options.keep_alive)
        .text("keep-alive");
    let events = async_stream::stream! {
        let _running = running;
        let mut head = gateway.network.head();
        let mut last = None;
        loop {
            head.borrow_and_update();
            let view = gateway.network.task(placed.task);
            if view != last && view.is_some() {
                let event = Event::default().event("task").data(object(&gateway, &placed).to_string());
                yield Ok::<_, Infallible>(event);
            }
            let is_over = view.as_ref().is_some_and(|view| view.state.is_final());
            last = view;
            if is_over || head.changed().await.is_err() {
                return;
            }
        }
    };
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}
