//! An alloy transport into the embedded chain: no socket, no thread.

use std::task;

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
