//! JSON-RPC over the embedded chain: what wallets, `cast` and alloy clients need, and a few development
//! methods. A function of chain and request; HTTP and the in-process transport both end here.

mod methods;
mod params;
mod render;

use alloy::primitives::Bytes;
use serde_json::{Value, json};

use crate::chain::{CallOutcome, Chain, ChainError, Signed};
use crate::revert;
use crate::transport::SENDING;
use params::Params;

pub use methods::tell;

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

/// An answer, and what must be on disk before anybody is told.
#[derive(Debug)]
pub struct Told<T> {
    /// The answer.
    pub answer: T,
    /// As [`Chain::shown`] says.
    pub shown: Result<u64, ChainError>,
}

/// A request body, as far as it can be read without the chain: all that can, so that the chain is not waited for longer than
/// it is needed.
#[derive(Debug)]
pub struct Body(Result<Content, RpcError>);

#[derive(Debug)]
enum Content {
    One(Box<Request>),
    Batch(Vec<Request>),
}

#[derive(Debug)]
struct Request {
    value: Value,
    /// Of one that sends a transaction.
    signed: Option<Result<Signed, ChainError>>,
}

/// Reads a request body: one request or a batch.
pub fn read(body: &[u8]) -> Body {
    if body.len() > REQUEST_BYTES_MAX {
        let error = RpcError::new(-32600, format!("more than {REQUEST_BYTES_MAX} bytes"));
        return Body(Err(error));
    }
    Body(match serde_json::from_slice(body) {
        Err(error) => Err(RpcError::new(-32700, error.to_string())),
        Ok(Value::Array(batch)) if batch.is_empty() || batch.len() > BATCH_MAX => {
            let error = format!("a batch has 1 to {BATCH_MAX} requests");
            Err(RpcError::new(-32600, error))
        }
        Ok(Value::Array(batch)) => Ok(Content::Batch(batch.into_iter().map(request).collect())),
        Ok(value) => Ok(Content::One(Box::new(request(value)))),
    })
}

fn request(value: Value) -> Request {
    let is_sent = value.get("method").and_then(Value::as_str) == Some(SENDING);
    let params = value.get("params").filter(|params| params.is_array());
    let raw = params.filter(|_| is_sent).map(|p| Params(p).required(0));
    Request {
        // what is no transaction is refused when it is called
        signed: raw.and_then(Result::ok).map(Signed::decode),
        value,
    }
}

impl Body {
    /// Its answer; `None` if nothing is to be answered (notifications only).
    pub fn told(self, chain: &mut Chain) -> Told<Option<Value>> {
        let content = match self.0 {
            Ok(content) => content,
            Err(error) => {
                return Told {
                    answer: Some(response(&Value::Null, Err(error))),
                    shown: Ok(0),
                };
            }
        };
        match content {
            Content::One(request) => request.told(chain),
            Content::Batch(requests) => {
                let mut answers = Vec::new();
                for request in requests {
                    answers.extend(request.told(chain).answer);
                }
                Told {
                    answer: (!answers.is_empty()).then_some(Value::Array(answers)),
                    shown: chain.shown(),
                }
            }
        }
    }
}

impl Request {
    fn told(self, chain: &mut Chain) -> Told<Option<Value>> {
        let id = self.value.get("id");
        let bad_id = id.is_some_and(|i| !(i.is_string() || i.is_number() || i.is_null()));
        let method = self.value.get("method").and_then(Value::as_str);
        let (Some(method), false) = (method, bad_id) else {
            let error = RpcError::new(-32600, "not a JSON-RPC request");
            return Told {
                answer: Some(response(&Value::Null, Err(error))),
                shown: Ok(0),
            };
        };
        let params = self.value.get("params").unwrap_or(&Value::Null);
        let Told { answer, shown } = match self.signed {
            Some(signed) => {
                let hash = chain.submit_signed(signed);
                Told {
                    answer: hash.map(|hash| json!(hash)).map_err(RpcError::from),
                    shown: chain.shown(),
                }
            }
            None => tell(chain, method, params),
        };
        Told {
            // without an id it is a notification
            answer: id.map(|id| response(id, answer)),
            shown,
        }
    }
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
