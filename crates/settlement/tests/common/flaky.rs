//! A connection that fails as told: it loses requests, loses answers, delivers twice or late, or hangs.

use std::sync::{Arc, Mutex};
use std::task;

use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{
    ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload,
};
use alloy::transports::http::Http;
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Endpoint, Patience, SharedChain};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;

use super::served::Served;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Good,
    /// It never arrives.
    Lost,
    /// It arrives, and the answer is lost.
    AnswerLost,
    /// It arrives twice; the second answer is the one.
    Twice,
    /// It arrives before the next request, when nobody waits for it any more.
    Late,
    /// It arrives, and the answer never comes.
    Hangs,
    /// It does not arrive, and no answer comes.
    HangsBefore,
    /// It does not arrive, and the answer is this error.
    Says(i64, &'static str),
    /// The server is killed and started again before or after it arrives.
    Restart {
        arrives: bool,
    },
}

type Tell = dyn FnMut(&str) -> Fate + Send;

#[derive(Clone)]
pub(crate) struct Flaky<S> {
    inner: S,
    tell: Arc<Mutex<Box<Tell>>>,
    late: Arc<Mutex<Vec<RequestPacket>>>,
    served: Option<Arc<Served>>,
}

/// Gives up soon and never waits.
pub(crate) const HASTY: Patience = Patience {
    pause: Duration::ZERO,
    pause_max: Duration::ZERO,
    tries: 3,
    receipt_tries: 4,
};

/// Over HTTP, a method's fate being told by `tell`.
pub(crate) fn over_http(
    served: &Arc<Served>,
    tell: impl FnMut(&str) -> Fate + Send + 'static,
) -> Endpoint {
    let http = Http::new(served.url().parse().unwrap());
    over(http, Some(Arc::clone(served)), Box::new(tell))
}

/// The same without a server.
pub(crate) fn in_process(
    chain: SharedChain,
    tell: impl FnMut(&str) -> Fate + Send + 'static,
) -> Endpoint {
    over(InProcess::new(chain), None, Box::new(tell))
}

fn over<S>(inner: S, served: Option<Arc<Served>>, tell: Box<Tell>) -> Endpoint
where
    Flaky<S>: alloy::transports::IntoBoxTransport,
{
    let flaky = Flaky {
        inner,
        tell: Arc::new(Mutex::new(tell)),
        late: Arc::default(),
        served,
    };
    Endpoint::over(RpcClient::new(flaky, true)).with_patience(HASTY)
}

/// Two of five requests go wrong, in every way; which ones follows from the seed.
pub(crate) fn often(seed: u64) -> impl FnMut(&str) -> Fate + Send + 'static {
    let mut dice = StdRng::seed_from_u64(seed);
    move |_| match dice.gen_range(0..20) {
        0 | 1 => Fate::Lost,
        2..=4 => Fate::AnswerLost,
        5 => Fate::Twice,
        6 | 7 => Fate::Late,
        _ => Fate::Good,
    }
}

fn method(packet: &RequestPacket) -> String {
    match packet {
        RequestPacket::Single(request) => request.method().to_owned(),
        RequestPacket::Batch(_) => panic!("nobody sends batches here"),
    }
}

fn says(packet: &RequestPacket, code: i64, message: &'static str) -> ResponsePacket {
    let RequestPacket::Single(request) = packet else {
        panic!("nobody sends batches here");
    };
    ResponsePacket::Single(Response {
        id: request.id().clone(),
        payload: ResponsePayload::Failure(ErrorPayload {
            code,
            message: message.into(),
            data: None,
        }),
    })
}

impl<S> tower::Service<RequestPacket> for Flaky<S>
where
    S: tower::Service<RequestPacket, Response = ResponsePacket, Error = TransportError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, c: &mut task::Context<'_>) -> task::Poll<Result<(), TransportError>> {
        self.inner.poll_ready(c)
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let fate = (self.tell.lock().unwrap())(&method(&packet));
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        let this = self.clone();
        Box::pin(async move {
            let mut inner = this.inner.clone();
            for forgotten in late {
                let _ = inner.call(forgotten).await;
            }
            let lost = Err(TransportErrorKind::custom_str("lost"));
            match fate {
                Fate::Good => inner.call(packet).await,
                Fate::Lost => lost,
                Fate::AnswerLost => {
                    let _ = inner.call(packet).await;
                    lost
                }
                Fate::Twice => {
                    let _ = inner.call(packet.clone()).await;
                    inner.call(packet).await
                }
                Fate::Late => {
                    this.late.lock().unwrap().push(packet);
                    lost
                }
                Fate::Hangs => {
                    let _ = inner.call(packet).await;
                    std::future::pending().await
                }
                Fate::HangsBefore => std::future::pending().await,
                Fate::Says(code, message) => Ok(says(&packet, code, message)),
                Fate::Restart { arrives } => {
                    if arrives {
                        let _ = inner.call(packet).await;
                    }
                    let served = this.served.unwrap();
                    tokio::task::spawn_blocking(move || served.restart())
                        .await
                        .unwrap();
                    lost
                }
            }
        })
    }
}
