//! Whether another process has acted with this key.
//!
//! The chain remembers every act of a key, the database every act of this one's processes. An act of late that is on the
//! chain and not in the database was another process's: a second copy that may still run, or one on a machine whose database
//! was lost.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use gavel_state::{StateError, Store, Table};

use super::classify::about_task;
use super::statement::{Kind, Said, Subject, dispute_case};
use crate::{Address, Board};

/// Seconds of the chain's time in which an act is of late.
pub const RECENT_SECONDS: u64 = 3_600;

/// What comes of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All acts of late are this database's, and there are some, or the key has nothing at stake: no need to wait.
    Clear,
    /// The key has a stake and the database has no acts of late: another process may just be silent.
    Quiet,
    /// Acts that are not in the database.
    Foreign(Vec<String>),
}

/// Compares the chain with the database.
pub fn look(board: &Board, me: &Address, rows: &[(Subject, Said)]) -> Verdict {
    let since = board.now().saturating_sub(RECENT_SECONDS);
    // an act's kind, number, attempt and case: what a claim it answered is cannot be read from the chain afterwards
    let whole = |s: &Subject| (s.kind, s.id, s.attempt, s.case);
    let own: BTreeSet<_> = rows.iter().map(|(subject, _)| whole(subject)).collect();
    let foreign: Vec<_> = acts(board, me, since)
        .iter()
        .filter(|subject| !own.contains(&whole(subject)))
        .map(ToString::to_string)
        .collect();
    if !foreign.is_empty() {
        return Verdict::Foreign(foreign);
    }
    let is_fresh = rows.iter().any(|(_, said)| said.at >= since);
    match is_fresh || !has_stake(board, me) {
        true => Verdict::Clear,
        false => Verdict::Quiet,
    }
}

fn has_stake(board: &Board, me: &Address) -> bool {
    let challenges = board.challenges.keys();
    board.providers.contains_key(me) || { challenges }.any(|(.., challenger)| challenger == me)
}

/// What the chain shows that a key did since then.
fn acts(board: &Board, me: &Address, since: u64) -> Vec<Subject> {
    let mut acts = Vec::new();
    for (id, entry) in &board.tasks {
        let mut say = |kind, attempt| {
            let subject = about_task(kind, *id, &entry.task).subject;
            acts.push(Subject { attempt, ..subject });
        };
        for attempt in entry.attempts.iter().filter(|a| a.provider == *me) {
            let claimed_at = attempt
                .deadline
                .saturating_sub(entry.task.exec_seconds.into());
            if claimed_at >= since {
                say(Kind::Claim, attempt.attempt);
            }
            // when it came is not kept for attempts that are over; not before the claim
            if attempt.result.is_some() && claimed_at >= since {
                say(Kind::Result, attempt.attempt);
            }
        }
        let live = !entry.task.state.is_final() && entry.task.committed_at >= since;
        let challenge = (*id, entry.task.attempt, *me);
        if live && board.challenges.contains_key(&challenge) {
            say(Kind::Challenge, entry.task.attempt);
        }
        let audits = (0..=entry.task.attempt).filter_map(|n| board.audits.get(&(*id, n)));
        for audit in audits.map(|entry| &entry.audit) {
            let committed = audit.committed_at >= since && !audit.root_commitment.is_zero();
            if audit.auditor == *me && committed {
                say(Kind::Audit, audit.attempt);
            }
        }
    }
    for (id, entry) in &board.disputes {
        let dispute = &entry.dispute;
        let Some(task) = board.task(dispute.task) else {
            continue;
        };
        if dispute.referee == *me && dispute.ruled_at >= since && dispute.ruled_at > 0 {
            acts.push(Subject {
                kind: Kind::Ruling,
                id: *id,
                attempt: 0,
                case: dispute_case(task, dispute),
                answers: B256::ZERO,
            });
        }
    }
    acts
}

const STARTED: &str = "started";

/// Whether no process has acted on this database yet.
///
/// # Errors
/// The database fails.
pub async fn is_new(store: &dyn Store) -> Result<bool, StateError> {
    Ok(store.get(Table::Node, STARTED).await?.is_none())
}

/// Notes that a process acts on this database from now on.
///
/// # Errors
/// The database fails.
pub async fn started(store: &dyn Store) -> Result<(), StateError> {
    store.insert(Table::Node, STARTED, "1").await.map(drop)
}
