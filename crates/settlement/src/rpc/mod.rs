//! JSON-RPC over the embedded chain: what wallets, `cast` and alloy clients need, and a few development
//! methods. A function of chain and request; HTTP and the in-process transport both end here.

mod methods;
mod params;
mod render;

use alloy::primitives::Bytes;
use serde_json::{Value, json};

use crate::chain::{CallOutcome, Chain, ChainError};
use crate::revert;

pub use methods::call;

/// Largest request answered, in bytes: a transaction of the largest calldata that fits under the gas cap, in hex, and room.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Most requests in a batch.
pub const BATCH_MAX: usize = 1024;

/// Why a request failed, as JSON-RPC says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// JSON-RPC code; 3 is a revert.
    pub code: i64,
    /// What is wrong.
    pub message: String,
    /// Revert data.
    pub data: Option<Bytes>,
}

/// The code of an answer that says nothing about the request: the server is at fault.
pub(crate) const INTERNAL: i64 = -32603;

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> RpcError {
        RpcError {
            code,
            message: message.into(),
            data: None,
        }
    }

    fn params(message: impl Into<String>) -> RpcError {
        RpcError::new(-32602, message)
    }

    fn server(message: impl Into<String>) -> RpcError {
        RpcError::new(-32000, message)
    }

    pub(crate) fn failed(outcome: CallOutcome) -> RpcError {
        match outcome {
            CallOutcome::Reverted(data) => RpcError {
                code: 3,
                message: match revert::decode(&data) {
                    Some(revert) => format!("execution reverted: {revert}"),
                    None => "execution reverted".to_owned(),
                },
                data: Some(data),
            },
            CallOutcome::Halted(reason) => RpcError::server(format!("execution halted: {reason}")),
            CallOutcome::Returned { .. } => RpcError::new(INTERNAL, "a call returned and failed"),
        }
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> RpcError {
        match error {
            ChainError::WouldFail(outcome) => RpcError::failed(outcome),
            // what was asked for may be on disk all the same: not a refusal
            ChainError::Journal(_)
            | ChainError::Failed(_)
            | ChainError::Archive(_)
            | ChainError::State(_) => RpcError::new(INTERNAL, error.to_string()),
            other => RpcError::server(other.to_string()),
        }
    }
}

/// Answers a request body: one request or a batch. `None` if nothing is to be answered (notifications only).
pub fn handle(chain: &mut Chain, body: &[u8]) -> Option<Value> {
    if body.len() > REQUEST_BYTES_MAX {
        let error = RpcError::new(-32600, format!("more than {REQUEST_BYTES_MAX} bytes"));
        return Some(response(&Value::Null, Err(error)));
    }
    let request: Value = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => {
            let error = RpcError::new(-32700, error.to_string());
            return Some(response(&Value::Null, Err(error)));
        }
    };
    match request {
        Value::Array(batch) if batch.is_empty() || batch.len() > BATCH_MAX => {
            let error = RpcError::new(-32600, format!("a batch has 1 to {BATCH_MAX} requests"));
            Some(response(&Value::Null, Err(error)))
        }
        Value::Array(batch) => {
            let answers: Vec<Value> = batch.iter().filter_map(|r| single(chain, r)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        request => single(chain, &request),
    }
}

fn single(chain: &mut Chain, request: &Value) -> Option<Value> {
    let id = request.get("id");
    let bad_id = id.is_some_and(|i| !(i.is_string() || i.is_number() || i.is_null()));
    let method = request.get("method").and_then(Value::as_str);
    let (Some(method), false) = (method, bad_id) else {
        let error = RpcError::new(-32600, "not a JSON-RPC request");
        return Some(response(&Value::Null, Err(error)));
    };
    let params = request.get("params").unwrap_or(&Value::Null);
    let answer = call(chain, method, params);
    // without an id it is a notification
    id.map(|id| response(id, answer))
}

fn response(id: &Value, answer: Result<Value, RpcError>) -> Value {
    match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => {
            let mut body = json!({"code": error.code, "message": error.message});
            if let Some(data) = error.data {
                body["data"] = json!(data);
            }
            json!({"jsonrpc": "2.0", "id": id, "error": body})
        }
    }
}

#[cfg(test)]
mod tests;
