//! The embedded chain over HTTP JSON-RPC, on the loopback interface, for wallets and `cast`.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::rpc;
use crate::shared::SharedChain;

/// A server that listens and has not begun to answer.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    chain: SharedChain,
}

impl Server {
    /// Listens on the loopback interface; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn bind(chain: SharedChain, port: u16) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Server { listener, chain })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` resolves, then finishes the requests that have begun.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        axum::serve(self.listener, router(self.chain))
            .with_graceful_shutdown(stop)
            .await
    }
}

/// The routes: JSON-RPC at `/`, `GET /health`.
pub fn router(chain: SharedChain) -> Router {
    Router::new()
        .route("/", post(answer))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(rpc::REQUEST_BYTES_MAX))
        .with_state(chain)
}

async fn answer(State(chain): State<SharedChain>, body: Bytes) -> Response {
    let shared = chain.clone();
    // execution takes the processor: it does not belong on an async thread
    let told = tokio::task::spawn_blocking(move || {
        let body = rpc::read(&body);
        let told = body.told(&mut chain.lock());
        (told.answer.map(|value| value.to_string()), told.shown)
    });
    let Ok((answer, shown)) = told.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if let Err(error) = shared.on_disk(shown).await {
        // no answer: what was asked for may be done or lost, and a 5xx is asked again
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response();
    }
    match answer {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn health(State(chain): State<SharedChain>) -> Response {
    let chain = chain.lock();
    match chain.failure() {
        None => (StatusCode::OK, format!("block {}\n", chain.head().number)).into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
