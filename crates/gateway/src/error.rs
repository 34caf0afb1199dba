//! What a client is told when it does not get what it asked for: OpenAI's form, with the codes that clients branch on.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Header that OpenAI's clients obey before they send a request again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// `code` of a post whose fate is not known.
pub(crate) const IN_DOUBT: &str = "task_in_doubt";
/// Header with the number of a task.
pub const TASK_HEADER: HeaderName = HeaderName::from_static("x-gavel-task-id");

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// OpenAI's `code`.
    pub code: &'static str,
    /// Field of the request that is at fault.
    pub param: Option<String>,
    /// For people.
    pub message: String,
    /// Seconds after which it may be asked again.
    pub retry_after: Option<u64>,
    /// A task that goes on all the same.
    pub task: Option<u64>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: impl ToString,
    ) -> ApiError {
        ApiError {
            status,
            kind,
            code,
            param: None,
            message: message.to_string(),
            retry_after: None,
            task: None,
        }
    }

    /// 400 about one field.
    pub fn field(param: &str, code: &'static str, message: impl ToString) -> ApiError {
        ApiError {
            param: Some(param.to_owned()),
            ..ApiError::request(code, message)
        }
    }

    /// 400 about the request as a whole.
    pub fn request(code: &'static str, message: impl ToString) -> ApiError {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            code,
            message,
        )
    }

    /// Another status of the request's own fault.
    pub fn client(status: StatusCode, code: &'static str, message: impl ToString) -> ApiError {
        ApiError::new(status, "invalid_request_error", code, message)
    }

    /// 401.
    pub fn key(message: impl ToString) -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "invalid_api_key",
            message,
        )
    }

    /// 401 of a signed request.
    pub fn signature(code: &'static str, message: impl ToString) -> ApiError {
        let status = StatusCode::UNAUTHORIZED;
        ApiError::new(status, "authentication_error", code, message)
    }

    /// 404 of a model.
    pub fn model(name: &str, known: &str) -> ApiError {
        ApiError {
            param: Some("model".to_owned()),
            ..ApiError::client(
                StatusCode::NOT_FOUND,
                "model_not_found",
                format!("The model `{name}` is not served here; these are: {known}"),
            )
        }
    }

    /// 404 of a task.
    pub fn no_task(id: impl std::fmt::Display) -> ApiError {
        ApiError::client(
            StatusCode::NOT_FOUND,
            "task_not_found",
            format!("There is no task {id} of this key"),
        )
    }

    /// 410 of a task.
    pub fn forgotten(id: u64) -> ApiError {
        ApiError::client(
            StatusCode::GONE,
            "task_forgotten",
            format!(
                "Task {id} is not remembered here: a gateway forgets tasks when they have been over for a time. The chain knows it: gavel task show {id}"
            ),
        )
    }

    /// 429: too many requests in a time.
    pub fn rate(seconds: u64, message: impl ToString) -> ApiError {
        ApiError {
            retry_after: Some(seconds.max(1)),
            ..ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "rate_limit_exceeded",
                message,
            )
        }
    }

    /// 429: too much at once.
    pub fn queue(code: &'static str, message: impl ToString) -> ApiError {
        ApiError {
            retry_after: Some(2),
            ..ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                code,
                message,
            )
        }
    }

    /// 429: the money is spent; asking again does not help.
    pub fn quota(message: impl ToString) -> ApiError {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "insufficient_quota",
            message,
        )
    }

    /// The network's side of things.
    pub fn network(status: StatusCode, code: &'static str, message: impl ToString) -> ApiError {
        ApiError::new(status, "api_error", code, message)
    }

    /// About a task that is on its way.
    pub fn of_task(self, task: u64) -> ApiError {
        ApiError {
            task: Some(task),
            ..self
        }
    }

    /// `{"error": {...}}`
    pub fn body(&self) -> serde_json::Value {
        let mut body = json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }});
        if let Some(task) = self.task {
            body["error"]["gavel"] = json!({"task_id": task});
        }
        body
    }

    /// Whether the same request may go well when it is sent again. A task that was posted is paid for: asking again would
    /// pay for another.
    fn may_be_repeated(&self) -> bool {
        let by_status =
            self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error();
        let is_final = ["insufficient_quota", IN_DOUBT].contains(&self.code);
        by_status && self.task.is_none() && !is_final
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        let retry = HeaderValue::from_static(match self.may_be_repeated() {
            true => "true",
            false => "false",
        });
        headers.insert(SHOULD_RETRY, retry);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(task) = self.task {
            headers.insert(TASK_HEADER, task.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"gavel\""),
            );
        }
        response
    }
}
