//! The circuit breaker: after the first failure of its own a node claims nothing more, and goes on with what it owes.
//!
//! A peer's provider lost three hundred tokens in one night because nothing stopped it from claiming while every task it
//! held was failing. What broke it is for a person to look at, so only a person closes it again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gavel_state::{Change, StateError, Store, Table};
use serde::{Deserialize, Serialize};

use crate::board::{AuditState, DisputeState};
use crate::{Address, Board};

const KEY: &str = "breaker";
/// Reasons that are told at once, and refusals that are kept.
const MOST: usize = 16;

/// What is known of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    /// Why nothing is claimed; empty while things are claimed.
    pub(crate) tripped: Vec<String>,
    /// Failures that a person has seen.
    pub(crate) seen: BTreeSet<String>,
}

/// The circuit breaker of one key.
#[derive(Debug)]
pub struct Breaker {
    store: Arc<dyn Store>,
    standing: Mutex<Standing>,
}

impl Breaker {
    /// As it was left.
    ///
    /// # Errors
    /// The database fails.
    pub async fn load(store: Arc<dyn Store>) -> Result<Breaker, StateError> {
        let standing = standing(&*store).await?;
        Ok(Breaker {
            store,
            standing: Mutex::new(standing),
        })
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // whole values are put in
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is claimed, by the first few reasons; empty while things are claimed.
    pub fn tripped(&self) -> Vec<String> {
        let standing = self.standing();
        standing.tripped.iter().take(MOST).cloned().collect()
    }

    /// Whether claims are stopped.
    pub fn is_tripped(&self) -> bool {
        !self.standing().tripped.is_empty()
    }

    /// Looks for failures that nobody has seen yet. Whether claims are stopped.
    pub async fn look(&self, board: &Board, me: &Address) -> bool {
        let mut found = failures(board, me);
        let standing = {
            let mut standing = self.standing();
            let known: BTreeSet<_> = standing.tripped.iter().chain(&standing.seen).collect();
            found.retain(|failure| !known.contains(failure));
            if found.is_empty() {
                return !standing.tripped.is_empty();
            }
            // all of them, so that whoever closes the breaker has seen all of them
            standing.tripped.append(&mut found);
            standing.clone()
        };
        self.keep(&standing).await;
        true
    }

    /// Stops claims. Of refusals after the first the first few are kept.
    pub async fn trip(&self, reason: &str) {
        let standing = {
            let mut standing = self.standing();
            let known = standing.tripped.iter().any(|known| known == reason);
            if known || standing.tripped.len() >= MOST {
                return;
            }
            standing.tripped.push(reason.to_owned());
            standing.clone()
        };
        self.keep(&standing).await;
    }

    async fn keep(&self, standing: &Standing) {
        // a store that fails has stopped this process already, and it will trip the next one too
        let _ = keep(&*self.store, standing).await;
    }
}

/// Why claims are stopped, for a reader.
///
/// # Errors
/// The database fails.
pub async fn tripped(store: &dyn Store) -> Result<Vec<String>, StateError> {
    Ok(standing(store).await?.tripped)
}

/// Lets claims through again. What tripped it, and what failed until now, trips it no more. Gives what had tripped it.
///
/// # Errors
/// The database fails.
pub async fn reset(store: &dyn Store) -> Result<Vec<String>, StateError> {
    let mut standing = standing(store).await?;
    let tripped = std::mem::take(&mut standing.tripped);
    standing.seen.extend(tripped.iter().cloned());
    keep(store, &standing).await?;
    Ok(tripped)
}

async fn standing(store: &dyn Store) -> Result<Standing, StateError> {
    let text = store.get(Table::Node, KEY).await?;
    let text = text.unwrap_or_else(|| "{\"tripped\":[],\"seen\":[]}".to_owned());
    serde_json::from_str(&text).map_err(|e| StateError::Failed {
        place: store.place().to_owned(),
        reason: format!("the circuit breaker's standing: {e}"),
    })
}

async fn keep(store: &dyn Store, standing: &Standing) -> Result<(), StateError> {
    let text = serde_json::json!(standing).to_string();
    store
        .write(&[Change::Put(Table::Node, KEY.to_owned(), text)])
        .await
}

/// A provider's failures that a board shows, each under a name that stays: deadlines missed, results that an audit or a
/// dispute found wrong, jail and conviction.
pub fn failures(board: &Board, me: &Address) -> Vec<String> {
    let mut found = Vec::new();
    for (id, entry) in &board.tasks {
        for attempt in entry.attempts.iter().filter(|a| a.provider == *me) {
            let number = attempt.attempt;
            match attempt.ended.as_deref() {
                Some("deadline") => found.push(format!(
                    "missed the deadline of task {id}, attempt {number}"
                )),
                Some("guilty") => found.push(format!(
                    "was found guilty of its result of task {id}, attempt {number}"
                )),
                _ => {}
            }
            let audit = board.audits.get(&(*id, number));
            if audit.is_some_and(|a| a.audit.state == AuditState::Mismatched) {
                found.push(format!(
                    "an auditor disputes its result of task {id}, attempt {number}"
                ));
            }
        }
    }
    for (id, entry) in &board.disputes {
        let dispute = &entry.dispute;
        if dispute.provider == *me && dispute.state == DisputeState::Upheld {
            found.push(format!("lost dispute {id}"));
        }
    }
    if let Some(provider) = board.providers.get(me) {
        if provider.jailed_until != 0 {
            found.push(format!("was jailed until {}", provider.jailed_until));
        }
        if provider.tombstoned {
            found.push("was convicted".to_owned());
        }
    }
    found
}
