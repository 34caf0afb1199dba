//! Known-answer tasks. All that there is to know of them is in the log.

use std::collections::{BTreeMap, BTreeSet};

use gavel_settlement::bindings::ITraps::ITrapsEvents;

use crate::{Address, NodeError};

use super::Board;
use super::records::id;

/// A deposit that was sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealEntry {
    /// Its size.
    pub jackpot: u128,
    /// It stood for a result, or was taken back.
    pub used: bool,
}

/// A result that was shown to be wrong on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrapEntry {
    /// Whose deposit.
    pub sealer: Address,
    /// Last second in which a finder can be entered.
    pub claims_until: u64,
    /// Challengers that had committed when it was shown.
    pub challengers: BTreeSet<Address>,
    /// Finders, and whether they were paid.
    pub finders: BTreeMap<Address, bool>,
    /// The auditor that let it pass, and what it paid.
    pub passed_by: Option<(Address, u128)>,
    /// Of each finder, once that is known.
    pub share: Option<u128>,
}

/// Puts an event into the board.
pub(super) fn apply(board: &mut Board, event: &ITrapsEvents) -> Result<(), NodeError> {
    match event {
        ITrapsEvents::Sealed(e) => {
            let entry = SealEntry {
                jackpot: e.jackpot,
                used: false,
            };
            board.seals.insert((e.sealer, e.commitment), entry);
        }
        ITrapsEvents::Unsealed(e) => use_up(board, e.sealer, e.commitment),
        ITrapsEvents::TrapRevealed(e) => {
            use_up(board, e.sealer, e.commitment);
            let key = (id(e.taskId)?, e.attempt);
            let challengers = board.challenges.keys();
            let challengers = challengers.filter(|(task, attempt, _)| (*task, *attempt) == key);
            let entry = TrapEntry {
                sealer: e.sealer,
                claims_until: e.claimsUntil,
                challengers: challengers.map(|(.., challenger)| *challenger).collect(),
                ..TrapEntry::default()
            };
            board.traps.insert(key, entry);
        }
        ITrapsEvents::TrapPassed(e) => {
            if let Some(entry) = board.traps.get_mut(&(id(e.taskId)?, e.attempt)) {
                entry.passed_by = Some((e.auditor, e.penalty));
            }
        }
        ITrapsEvents::TrapFound(e) => {
            if let Some(entry) = board.traps.get_mut(&(id(e.taskId)?, e.attempt)) {
                entry.finders.insert(e.finder, false);
            }
        }
        ITrapsEvents::TrapClosed(e) => {
            if let Some(entry) = board.traps.get_mut(&(id(e.taskId)?, e.attempt)) {
                entry.share = Some(e.share);
            }
        }
        ITrapsEvents::JackpotPaid(e) => {
            if let Some(entry) = board.traps.get_mut(&(id(e.taskId)?, e.attempt)) {
                entry.finders.insert(e.finder, true);
            }
        }
    }
    Ok(())
}

fn use_up(board: &mut Board, sealer: Address, commitment: crate::B256) {
    if let Some(entry) = board.seals.get_mut(&(sealer, commitment)) {
        entry.used = true;
    }
}
