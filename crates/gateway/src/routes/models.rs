//! `GET /v1/models`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Named;
use crate::ApiError;
use crate::gateway::Gateway;
use crate::served::{Kind, Served};

pub(super) async fn list(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let data: Vec<Value> = gateway.models.iter().map(|m| object(&gateway, m)).collect();
    Json(json!({"object": "list", "data": data}))
}

pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    Named(id): Named,
) -> Result<Json<Value>, ApiError> {
    let served = gateway.model(&id)?;
    Ok(Json(object(&gateway, &served)))
}

fn object(gateway: &Gateway, served: &Served) -> Value {
    let prices = gateway.network.prices();
    let size = match &served.kind {
        Kind::Pictures(pictures) => {
            let [_, height, width] = pictures.extents();
            Some(format!("{width}x{height}"))
        }
        _ => None,
    };
    json!({
        "id": served.name,
        "object": "model",
        "created": gateway.started,
        "owned_by": "gavel",
        "gavel": {
            "class_id": served.class,
            "kind": served.kind_name(),
            "context": served.context(),
            "size": size,
            "system_fingerprint": served.fingerprint(),
            "price": {
                "min": prices.min.to_string(),
                "max": prices.max.to_string(),
                "levy": prices.levy.to_string(),
            },
        },
    })
}
