//! Demands for inputs. All that there is to know of them is in the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_settlement::bindings::IDemands::IDemandsEvents;
use gavel_trace::Digest;

use crate::{Address, NodeError};

use super::Board;
use super::records::{digest, id};

/// Answers that the price of a provider's gas in a dispute covers (P-I3).
const ANSWERS_PER_DISPUTE: u128 = 16;

/// A demand, and what was shown to answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemandEntry {
    /// Whose input.
    pub task: u64,
    /// Who pays.
    pub demander: Address,
    /// The task's input digest.
    pub input_digest: Digest,
    /// Which graph input.
    pub slot: u32,
    /// First chunk.
    pub first: u64,
    /// How many chunks.
    pub count: u16,
    /// For each of them.
    pub fee: u128,
    /// Last second of an answer.
    pub deadline: u64,
    /// Answered, or its money is back.
    pub closed: bool,
    /// Bytes of the chunks that were shown; the contract has checked them against the digest.
    pub shown: BTreeMap<u64, Arc<[u8]>>,
}

impl DemandEntry {
    /// Whether an answer is taken at this time.
    pub fn is_open(&self, now: u64) -> bool {
        !self.closed && now <= self.deadline
    }

    /// Whether it is about this chunk.
    pub fn names(&self, slot: u32, chunk: u64) -> bool {
        let offset = chunk.checked_sub(self.first);
        self.slot == slot && offset.is_some_and(|offset| offset < self.count.into())
    }

    /// Chunks that nobody has shown to answer it.
    pub fn unanswered(&self) -> impl Iterator<Item = u64> + '_ {
        let all = self.first..self.first.saturating_add(self.count.into());
        all.filter(|chunk| !self.shown.contains_key(chunk))
    }
}

impl Board {
    /// P-I5: seconds that a demand about a task is open; 0 where there can be none.
    pub fn answer_seconds(&self, task: u64) -> u64 {
        let rules = self.rules_of(task);
        rules.map_or(0, |r| {
            u64::from(r.court.referee_seconds.min(r.audit.commit_seconds) / 2)
        })
    }

    /// P-I3: least fee for a chunk.
    pub fn least_answer_fee(&self, task: u64) -> Option<u128> {
        let rules = self.rules_of(task)?;
        let cost = rules.court.provider_gas_cost;
        Some(cost.div_ceil(ANSWERS_PER_DISPUTE))
    }

    /// Demands about this input, whichever task they name.
    pub fn demands_of<'a>(
        &'a self,
        input: &Digest,
    ) -> impl Iterator<Item = (u64, &'a DemandEntry)> + use<'a> {
        let input = *input;
        let all = self.demands.iter().map(|(id, entry)| (*id, entry));
        all.filter(move |(_, entry)| entry.input_digest == input)
    }
}

/// Puts an event into the board.
pub(super) fn apply(board: &mut Board, event: &IDemandsEvents) -> Result<(), NodeError> {
    match event {
        IDemandsEvents::Demanded(e) => {
            let entry = DemandEntry {
                task: id(e.taskId)?,
                demander: e.demander,
                input_digest: digest(e.inputDigest),
                slot: e.slot,
                first: e.first,
                count: e.count,
                fee: e.fee,
                deadline: e.deadline,
                closed: false,
                shown: BTreeMap::new(),
            };
            board.demands.insert(id(e.demandId)?, entry);
        }
        IDemandsEvents::ChunkAnswered(e) => {
            if let Some(entry) = board.demands.get_mut(&id(e.demandId)?) {
                entry.shown.insert(e.index, e.chunk.to_vec().into());
            }
        }
        IDemandsEvents::DemandClosed(e) => {
            if let Some(entry) = board.demands.get_mut(&id(e.demandId)?) {
                entry.closed = true;
            }
        }
    }
    Ok(())
}
