//! `GET /v1/gateway`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::desk::now;
use crate::gateway::Gateway;

pub(super) async fn show(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let identity = gateway.network.identity();
    Json(json!({
        "object": "gateway",
        "chain_id": identity.chain_id,
        "market": identity.market,
        "gateway": identity.gateway,
        "now": now(),
        "horizon_seconds": gateway.options.horizon.as_secs(),
    }))
}
