//! What callers are told of tasks that do not come to a result.

use std::fmt::Display;
use std::io;

use axum::http::StatusCode;
use gavel_node::board::TaskState;

use crate::ApiError;
use crate::error::IN_DOUBT;
use crate::network::{NetworkError, TaskView};

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

pub(super) fn internal(error: &dyn Display) -> ApiError {
    ApiError::network(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error)
}

pub(super) fn unwritten(error: &io::Error) -> ApiError {
    internal(&format!("the journal cannot be written: {error}"))
}

/// Of a ticket that has no task.
pub(super) fn unposted(error: &NetworkError) -> ApiError {
    match error {
        NetworkError::Refused(reason) => {
            let message = format!("The network refuses the task: {reason}");
            ApiError::network(UNAVAILABLE, "task_refused", message)
        }
        NetworkError::Doubtful(reason) => {
            let message = format!(
                "The task may be on its way, and is then among /v1/tasks; the same Idempotency-Key goes on with it: {reason}"
            );
            ApiError::network(UNAVAILABLE, IN_DOUBT, message)
        }
        NetworkError::Unreachable(reason) => {
            let message = format!("The network cannot be reached: {reason}");
            ApiError {
                retry_after: Some(5),
                ..ApiError::network(UNAVAILABLE, "network_unreachable", message)
            }
        }
    }
}

pub(super) fn stopping() -> ApiError {
    ApiError::network(UNAVAILABLE, "stopping", "The gateway is stopping")
}

pub(super) fn late(id: u64) -> ApiError {
    let message = format!("No result yet; the task goes on: GET /v1/tasks/{id}");
    ApiError::network(StatusCode::GATEWAY_TIMEOUT, "timeout", message).of_task(id)
}

pub(super) fn over(view: &TaskView) -> ApiError {
    let (code, message) = match view.state {
        TaskState::Expired => (
            "no_bid",
            "No provider took the task at this price in time; its escrow is back",
        ),
        TaskState::Cancelled => ("task_cancelled", "The task was cancelled"),
        _ => (
            "no_receipt",
            "The task is settled, and its provider shows no outputs or signed no receipt",
        ),
    };
    ApiError::network(UNAVAILABLE, code, message)
}
