//! Rounds that are made elsewhere, fetched beside a role's other work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gavel_settlement::drand::{BeaconSource, DrandNetwork, DrandRound};
use tokio::time::Instant;

use crate::NodeError;

/// A round that was not to be had is asked for again after this long.
const PAUSE: Duration = Duration::from_secs(2);
/// Rounds that are kept: those that somebody waits for are few.
const KEPT: usize = 256;

/// What is known of a round.
#[derive(Clone, Debug)]
enum Fetch {
    UnderWay,
    Here(Box<DrandRound>),
    Failed { reason: String, at: Instant },
}

/// A source, and what came of asking it.
pub(super) struct Feed {
    network: DrandNetwork,
    source: Arc<dyn BeaconSource>,
    rounds: Arc<Mutex<BTreeMap<u64, Fetch>>>,
}

impl Feed {
    pub(super) fn new(network: DrandNetwork, source: Arc<dyn BeaconSource>) -> Feed {
        Feed {
            network,
            source,
            rounds: Arc::default(),
        }
    }

    /// A round, once it has come; the first call asks for it and does not wait.
    ///
    /// # Errors
    /// It was not to be had; it is asked for again after a while.
    pub(super) fn take(&self, round: u64) -> Result<Option<DrandRound>, NodeError> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        match rounds.get(&round) {
            Some(Fetch::UnderWay) => return Ok(None),
            Some(Fetch::Here(found)) => return Ok(Some((**found).clone())),
            Some(Fetch::Failed { reason, at }) if at.elapsed() < PAUSE => {
                let reason = reason.clone();
                return Err(NodeError::Beacon { round, reason });
            }
            Some(Fetch::Failed { .. }) | None => {}
        }
        rounds.insert(round, Fetch::UnderWay);
        while rounds.len() > KEPT {
            rounds.pop_first();
        }
        let (network, source) = (self.network.clone(), Arc::clone(&self.source));
        let all = Arc::clone(&self.rounds);
        tokio::spawn(async move {
            let fetched = match source.round(&network, round).await {
                Ok(found) => Fetch::Here(Box::new(found)),
                Err(error) => Fetch::Failed {
                    reason: error.to_string(),
                    at: Instant::now(),
                },
            };
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(round, fetched);
        });
        Ok(None)
    }
}
