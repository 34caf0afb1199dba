//! What operators watch: `/metrics`, `/livez` and `/readyz`, on a listener of their own, without keys.

mod metrics;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gavel_node::{Act, Address, Board};
use tokio::time::Instant;

pub use metrics::{Described, ExplorerSight, Kind, Metrics};

use crate::desk::now;

/// Content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// After this without a look at the chain a process is not ready.
const STALE: Duration = Duration::from_secs(60);

/// A process as its operator sees it.
#[derive(Debug)]
pub struct Ops {
    /// Its metrics.
    pub metrics: Metrics,
    me: Address,
    chain: Mutex<Option<Instant>>,
}

impl Ops {
    /// Of a process in this role with this key.
    pub fn new(role: &str, me: Address) -> Ops {
        Ops {
            metrics: Metrics::new(role),
            me,
            chain: Mutex::new(None),
        }
    }

    /// The chain was read just now.
    pub fn see(&self, board: &Board) {
        self.metrics.see(board, &self.me, now());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A transaction was made.
    pub fn acted(&self, act: &Act) {
        self.metrics.acted(act);
    }

    /// Whether the chain was read not long ago.
    fn reads_the_chain(&self) -> bool {
        let last = *self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < STALE)
    }
}

/// The listener's routes.
pub fn router(ops: Arc<Ops>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(ops)
}

/// A router whose requests are counted.
pub fn measured(router: Router, ops: Arc<Ops>) -> Router {
    router.layer(from_fn_with_state(ops, measure))
}

async fn measure(State(ops): State<Arc<Ops>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    // what strangers make up is no label
    let route = path.map_or("other".to_owned(), |path| path.as_str().to_owned());
    let start = Instant::now();
    let response = next.run(request).await;
    let seconds = start.elapsed().as_secs_f64();
    ops.metrics
        .answered(&route, response.status().as_u16(), seconds);
    response
}

async fn metrics_text(State(ops): State<Arc<Ops>>) -> Response {
    ops.metrics.pass(now());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], ops.metrics.text()).into_response()
}

async fn ready(State(ops): State<Arc<Ops>>, RawQuery(query): RawQuery) -> Response {
    let chain = ops.reads_the_chain();
    let status = match chain {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let sign = |ok| match ok {
        true => "[+]",
        false => "[-]",
    };
    let is_verbose = query.is_some_and(|query| query.split('&').any(|part| part == "verbose"));
    let word = match (chain, is_verbose) {
        (true, false) => "ok\n".to_owned(),
        (false, false) => "not ready\n".to_owned(),
        (_, true) => format!(
            "{} the chain was read in the last {} s\n",
            sign(chain),
            STALE.as_secs()
        ),
    };
    (status, word).into_response()
}
