//! Alloy transports of ours: into the embedded chain, with no socket and no thread; and one that asks again.

use std::task;
use std::time::Duration;

use alloy::rpc::json_rpc::{
    ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest,
};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::rpc;
use crate::shared::SharedChain;

/// A transport whose requests are answered by the embedded chain, before the future is first polled.
#[derive(Clone, Debug)]
pub struct InProcess(SharedChain);

impl InProcess {
    /// A transport into `chain`.
    pub fn new(chain: SharedChain) -> InProcess {
        InProcess(chain)
    }

    fn answer(&self, request: &SerializedRequest) -> Result<Response, TransportError> {
        let params = request
            .params()
            .map_or(Ok(Value::Null), |params| serde_json::from_str(params.get()));
        let params = params.map_err(TransportErrorKind::custom)?;
        let answer = rpc::call(&mut self.0.lock(), request.method(), &params);
        let raw = |value: &Value| -> Result<Box<RawValue>, TransportError> {
            to_raw_value(value).map_err(TransportErrorKind::custom)
        };
        let payload = match answer {
            Ok(value) => ResponsePayload::Success(raw(&value)?),
            Err(error) => ResponsePayload::Failure(ErrorPayload {
                code: error.code,
                message: error.message.into(),
                data: error
                    .data
                    .map(|data| raw(&serde_json::json!(data)))
                    .transpose()?,
            }),
        };
        Ok(Response {
            id: request.id().clone(),
            payload,
        })
    }
}

impl tower::Service<RequestPacket> for InProcess {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), TransportError>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let answer = match packet {
            RequestPacket::Single(request) => self.answer(&request).map(ResponsePacket::Single),
            RequestPacket::Batch(requests) => requests
                .iter()
                .map(|request| self.answer(request))
                .collect::<Result<Vec<_>, _>>()
                .map(ResponsePacket::Batch),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// Times that a question is asked before its error is passed on, and the pause after the first.
const ASKED: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);
/// The one request that is no question: whether it is sent again is the sender's to decide.
const SENDING: &str = "eth_sendRawTransaction";

/// A transport that asks again where the answer to a question was lost.
#[derive(Clone, Debug)]
pub struct AskAgain<S>(S);

impl<S> AskAgain<S> {
    /// Over a transport that may lose answers.
    pub fn new(inner: S) -> AskAgain<S> {
        AskAgain(inner)
    }
}

impl<S> tower::Service<RequestPacket> for AskAgain<S>
where
    S: tower::Service<
            RequestPacket,
            Response = ResponsePacket,
            Error = TransportError,
            Future = TransportFut<'static>,
        > + Clone
        + Send
        + 'static,
{
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(
        &mut self,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Result<(), TransportError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let is_question = !packet.requests().iter().any(|r| r.method() == SENDING);
        // the one that is ready answers first; its clone is asked again
        let again = self.0.clone();
        let mut inner = std::mem::replace(&mut self.0, again);
        Box::pin(async move {
            for tries in 1..ASKED {
                let answer = inner.call(packet.clone()).await;
                if !is_question || !is_no_answer(&answer) {
                    return answer;
                }
                tokio::time::sleep(PAUSE * tries * tries).await;
                std::future::poll_fn(|context| inner.poll_ready(context)).await?;
            }
            inner.call(packet).await
        })
    }
}

/// Lost, garbled, or about the node and not the question: it limits requests.
fn is_no_answer(answer: &Result<ResponsePacket, TransportError>) -> bool {
    const LIMITED: [i64; 2] = [-32005, 429];
    match answer {
        Err(TransportError::Transport(_) | TransportError::DeserError { .. }) => true,
        Err(_) => false,
        Ok(packet) => packet
            .iter_errors()
            .any(|error| LIMITED.contains(&error.code)),
    }
}
