//! A gateway: what its routes share.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use axum::http::HeaderMap;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::desk::{Desk, now};
use crate::keys::hash;
use crate::limits::{Caller, Limits};
use crate::network::Network;
use crate::served::Served;
use crate::signed::WALLETS_AT_ONCE;
use crate::{ApiError, Fields};

/// Longest `Idempotency-Key`.
pub(crate) const MAX_IDEMPOTENCY: usize = 255;
/// Seeds that are drawn stay exact in clients whose numbers are doubles.
const DRAWN_BITS: u32 = 53;

/// What a gateway allows itself and its callers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of a request.
    pub max_body: usize,
    /// Longest time for a request to come in.
    pub body_time: Duration,
    /// Longest time for a result.
    pub wait: Duration,
    /// Between two comments on a stream with nothing to say.
    pub keep_alive: Duration,
    /// Requests that may wait for others of their keys, all keys together.
    pub queue: usize,
    /// How far away the deadline of a signed request may be: so long is its nonce remembered.
    pub horizon: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_body: 1 << 20,
            body_time: Duration::from_secs(30),
            wait: Duration::from_secs(600),
            keep_alive: Duration::from_secs(10),
            queue: 64,
            horizon: Duration::from_secs(300),
        }
    }
}

/// See the module.
pub struct Gateway {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) models: Vec<Arc<Served>>,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) options: Options,
    pub(crate) started: u64,
    /// Places for questions to contract wallets.
    pub(crate) wallets: Semaphore,
}

impl Gateway {
    /// These models of a network, for whoever has access.
    pub fn new(
        network: Arc<dyn Network>,
        desk: Arc<Desk>,
        models: Vec<Served>,
        access: Access,
        options: Options,
    ) -> Gateway {
        Gateway {
            network,
            desk,
            models: models.into_iter().map(Arc::new).collect(),
            access,
            limits: Limits::new(options.queue, options.wait),
            options,
            started: now(),
            wallets: Semaphore::new(WALLETS_AT_ONCE),
        }
    }

    /// A model by its name or its identity.
    pub(crate) fn model(&self, name: &str) -> Result<Arc<Served>, ApiError> {
        let is = |served: &&Arc<Served>| served.name == name || served.class.to_string() == name;
        let found = self.models.iter().find(is).cloned();
        found.ok_or_else(|| {
            let known: Vec<&str> = self.models.iter().map(|m| m.name.as_str()).collect();
            ApiError::model(name, &known.join(", "))
        })
    }
}

/// A request's body, and what makes it the same request as another.
pub(crate) struct Asked {
    pub(crate) fields: Fields,
    pub(crate) digest: String,
    pub(crate) idempotency: Option<String>,
}

impl Asked {
    pub(crate) fn read(path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Asked, ApiError> {
        let fields = Fields::parse(body)?;
        // spaces and the order of fields are no difference
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let digest = hash(format!("{path}\n{value}"));
        let idempotency = headers.get("idempotency-key").map(|key| key.to_str());
        let idempotency = match idempotency {
            None => None,
            Some(Ok(key)) if !key.is_empty() && key.len() <= MAX_IDEMPOTENCY => {
                Some(key.to_owned())
            }
            Some(_) => {
                let message =
                    format!("Idempotency-Key: expected 1 to {MAX_IDEMPOTENCY} visible characters");
                return Err(ApiError::request("invalid_idempotency_key", message));
            }
        };
        Ok(Asked {
            fields,
            digest,
            idempotency,
        })
    }

    /// The seed that was asked for, or was drawn when this was asked before, or is drawn now.
    pub(crate) fn seed(&mut self, desk: &Desk, caller: &Caller) -> Result<u64, ApiError> {
        let before = desk.seed_before(caller, self.idempotency.as_deref(), &self.digest)?;
        let asked = self.fields.seed()?;
        Ok(asked.or(before).unwrap_or_else(|| {
            let drawn = B256::random().0;
            let [a, b, c, d, e, f, g, h, ..] = drawn;
            u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> (u64::BITS - DRAWN_BITS)
        }))
    }
}
