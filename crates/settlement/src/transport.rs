//! Alloy transports of ours: into the embedded chain, with no socket and no thread; and one that asks again.

use std::task;
use std::time::Duration;

use alloy::rpc::json_rpc::{
    ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest,
};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::rpc::{self, RpcError, Told};
use crate::shared::SharedChain;

/// A transport whose requests are answered by the embedded chain: at once, and told when that is on disk.
#[derive(Clone, Debug)]
pub struct InProcess(SharedChain);

impl InProcess {
    /// A transport into `chain`.
    pub fn new(chain: SharedChain) -> InProcess {
        InProcess(chain)
    }

    /// The answer, and what must be on disk before it is given.
    fn answer(&self, request: &SerializedRequest) -> Told<Result<Response, TransportError>> {
        let params = request
            .params()
            .map_or(Ok(Value::Null), |params| serde_json::from_str(params.get()));
        match params {
            Ok(params) => {
                let told = rpc::tell(&mut self.0.lock(), request.method(), &params);
                Told {
                    answer: InProcess::response(request, told.answer),
                    shown: told.shown,
                }
            }
            Err(error) => Told {
                answer: Err(TransportErrorKind::custom(error)),
                shown: Ok(0),
            },
        }
    }

    fn response(
        request: &SerializedRequest,
        answer: Result<Value, RpcError>,
    ) -> Result<Response, TransportError> {
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
        let (answer, shown) = match packet {
            RequestPacket::Single(request) => {
                let told = self.answer(&request);
                (told.answer.map(ResponsePacket::Single), told.shown)
            }
            RequestPacket::Batch(requests) => {
                let answers = requests.iter().map(|request| self.answer(request).answer);
                let answers = answers.collect::<Result<Vec<_>, _>>();
                (answers.map(ResponsePacket::Batch), self.0.lock().shown())
            }
        };
        let chain = self.0.clone();
        Box::pin(async move {
            let on_disk = chain.on_disk(shown).await;
            on_disk.map_err(TransportErrorKind::custom)?;
            answer
        })
    }
}

/// Times that a question is asked before its error is passed on, and the pause after the first.
const ASKED: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);
/// The one request that is no question: whether it is sent again is the sender's to decide.
pub(crate) const SENDING: &str = "eth_sendRawTransaction";

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
                if !is_question || !is_lost(&answer) {
                    return answer;
                }
                tokio::time::sleep(PAUSE * tries * tries).await;
                std::future::poll_fn(|context| inner.poll_ready(context)).await?;
            }
            inner.call(packet).await
        })
    }
}

/// Whether there was no answer, a garbled one, or one about the node and not the question.
pub(crate) fn is_lost(answer: &Result<ResponsePacket, TransportError>) -> bool {
    match answer {
        Err(TransportError::Transport(_) | TransportError::DeserError { .. }) => true,
        Err(_) => false,
        Ok(packet) => packet.iter_errors().any(is_no_answer),
    }
}

/// Whether the node speaks of itself and not of the request: it limits requests, or it is broken.
pub(crate) fn is_no_answer(payload: &ErrorPayload) -> bool {
    // with data it is a revert: some nodes say those so
    (payload.code == rpc::INTERNAL && payload.data.is_none())
        || payload.code == 429
        || payload.code == -32005
        || payload.message.contains("rate limit")
}

/// Whether a node says that it has a transaction already. Nodes say it in words alone.
pub(crate) fn has_it(message: &str) -> bool {
    let message = message.to_lowercase();
    let says = |words: &str| message.contains(words);
    says("already known")
        || says("already imported")
        || says("alreadyknown")
        || (says("known transaction") && !says("unknown transaction"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use alloy::rpc::json_rpc::{Id, Request};
    use tower::Service as _;

    use super::*;

    /// Fails so many times in one way, then answers.
    #[derive(Clone)]
    struct Failing {
        failure: fn(&SerializedRequest) -> Result<ResponsePacket, TransportError>,
        left: Arc<AtomicU32>,
        asked: Arc<AtomicU32>,
    }

    impl tower::Service<RequestPacket> for Failing {
        type Response = ResponsePacket;
        type Error = TransportError;
        type Future = TransportFut<'static>;

        fn poll_ready(
            &mut self,
            _: &mut task::Context<'_>,
        ) -> task::Poll<Result<(), TransportError>> {
            task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
            let RequestPacket::Single(request) = packet else {
                panic!("one request at a time");
            };
            self.asked.fetch_add(1, Ordering::Relaxed);
            let left = self.left.load(Ordering::Relaxed);
            let answer = match left.checked_sub(1) {
                Some(fewer) => {
                    self.left.store(fewer, Ordering::Relaxed);
                    (self.failure)(&request)
                }
                None => Ok(says(&request, ResponsePayload::Success(text("\"0x1\"")))),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    fn text(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn says(request: &SerializedRequest, payload: ResponsePayload) -> ResponsePacket {
        ResponsePacket::Single(Response {
            id: request.id().clone(),
            payload,
        })
    }

    fn error(request: &SerializedRequest, code: i64, data: Option<&str>) -> ResponsePacket {
        let payload = ErrorPayload {
            code,
            message: "no".into(),
            data: data.map(text),
        };
        says(request, ResponsePayload::Failure(payload))
    }

    fn lost(_: &SerializedRequest) -> Result<ResponsePacket, TransportError> {
        Err(TransportErrorKind::custom_str("the answer was lost"))
    }

    fn garbled(_: &SerializedRequest) -> Result<ResponsePacket, TransportError> {
        let page = "<html>";
        let error = serde_json::from_str::<Value>(page).unwrap_err();
        Err(TransportError::deser_err(error, page))
    }

    fn limited(request: &SerializedRequest) -> Result<ResponsePacket, TransportError> {
        Ok(error(request, -32005, None))
    }

    fn reverted(request: &SerializedRequest) -> Result<ResponsePacket, TransportError> {
        Ok(error(request, 3, Some("\"0x08c379a0\"")))
    }

    /// Whether the last answer is good, and how often the node was asked.
    async fn ask(
        method: &'static str,
        failure: fn(&SerializedRequest) -> Result<ResponsePacket, TransportError>,
        times: u32,
    ) -> (bool, u32) {
        let asked = Arc::new(AtomicU32::new(0));
        let mut service = AskAgain::new(Failing {
            failure,
            left: Arc::new(AtomicU32::new(times)),
            asked: Arc::clone(&asked),
        });
        let request = Request::new(method, Id::Number(1), ());
        let request: SerializedRequest = request.try_into().unwrap();
        let answer = service.call(RequestPacket::Single(request)).await;
        let good = answer.is_ok_and(|packet| packet.iter_errors().next().is_none());
        (good, asked.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_asked_again_until_it_is_answered_and_not_for_ever() {
        for failure in [lost, garbled, limited] {
            assert_eq!(ask("eth_call", failure, 0).await, (true, 1));
            assert_eq!(ask("eth_call", failure, 2).await, (true, 3));
            assert_eq!(ask("eth_call", failure, 100).await, (false, ASKED));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_an_answer_and_a_transaction_is_no_question() {
        assert_eq!(ask("eth_call", reverted, 1).await, (false, 1));
        assert_eq!(ask(SENDING, lost, 1).await, (false, 1));
    }
}
