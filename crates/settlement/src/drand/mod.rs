//! Rounds of a drand network (scheme bls-unchained-g1-rfc9380, as quicknet's): verified here before they are paid for, and
//! fetched from the network's HTTP API. `DrandBeacon.sol` verifies them once more.

mod http;
mod verify;

pub use http::{HttpSource, PUBLIC_ENDPOINTS};
pub use verify::{
    DrandError, DrandNetwork, DrandRound, QUICKNET_CHAIN, QUICKNET_KEY, SIGNATURE_BYTES,
};

use async_trait::async_trait;

/// Why no source has a round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Not a URL, or no TLS.
    #[error("{endpoint} cannot be asked: {reason}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// None of the endpoints has a good answer.
    #[error("round {round} is to be had nowhere: {}", reasons.join("; "))]
    Nowhere {
        /// Which.
        round: u64,
        /// What each endpoint said.
        reasons: Vec<String>,
    },
}

/// Whoever has the rounds of a beacon. What it hands out has been verified.
#[async_trait]
pub trait BeaconSource: Send + Sync {
    /// A round of `network`.
    ///
    /// # Errors
    /// It is not to be had, or what there is does not verify.
    async fn round(&self, network: &DrandNetwork, round: u64) -> Result<DrandRound, SourceError>;
}
