//! The protocol's state as a party sees it: one mirror of the chain, shared by all roles of a process.
//!
//! A board is data. [`Mirror::refresh`] keeps it in step with the chain; the questions that decisions ask of
//! it are in `query`, and are pure, so that a test may write a board by hand.

mod appeal;
mod beacon;
pub(crate) mod confirm;
mod demands;
mod entries;
mod facts;
mod history;
mod mirror;
mod query;
mod records;
mod rules;
mod traps;

use std::collections::BTreeMap;

use gavel_trace::Digest;

use crate::{Address, B256};

pub use appeal::{Appeal, AppealGame, ExecutedStep, ShownOutput};
pub use beacon::{Beacon, BeaconScheme, SecretRounds};
pub use demands::DemandEntry;
pub use entries::{
    Attempt, AuditEntry, ChallengeEntry, CommittedResult, DisputeEntry, Row, SegmentRows, TaskEntry,
};
pub use facts::{
    Audit, AuditState, Dispute, DisputeState, FamilyEntry, Head, ModelEntry, Provider, Task,
    TaskState,
};
#[cfg(test)]
pub(crate) use history::opened as blank_dispute;
pub use mirror::Mirror;
pub(crate) use mirror::unread;
pub use rules::{AuditRules, CourtRules, MarketRules, Rules, StakeRules};
pub use traps::{SealEntry, TrapEntry};

/// Key of a challenge: task, attempt, challenger.
pub type ChallengeKey = (u64, u8, Address);

/// Everything that the protocol's contracts hold, as of one block.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Where the chain stands.
    pub head: Head,
    /// Chain id, part of what challenges and signatures bind.
    pub chain_id: u64,
    /// The contracts.
    pub contracts: Contracts,
    /// Parameters by version.
    pub rules: BTreeMap<u16, Rules>,
    /// New tasks are refused.
    pub paused: bool,
    /// Models by id.
    pub models: BTreeMap<Digest, ModelEntry>,
    /// Families by id.
    pub families: BTreeMap<Digest, FamilyEntry>,
    /// Tasks by id.
    pub tasks: BTreeMap<u64, TaskEntry>,
    /// Providers by key.
    pub providers: BTreeMap<Address, Provider>,
    /// Convicts that have not yet paid with the others of their time (P-V6), with the second from which it is due.
    pub convicts: BTreeMap<Address, u64>,
    /// Members of each class's pool with their recorded weight.
    pub pools: BTreeMap<Digest, BTreeMap<Address, u128>>,
    /// Challenges that were committed.
    pub challenges: BTreeMap<ChallengeKey, ChallengeEntry>,
    /// Disputes by id.
    pub disputes: BTreeMap<u64, DisputeEntry>,
    /// Audits by task and attempt, once decided.
    pub audits: BTreeMap<(u64, u8), AuditEntry>,
    /// Demands by id.
    pub demands: BTreeMap<u64, DemandEntry>,
    /// Deposits of traps, by sealer and commitment.
    pub seals: BTreeMap<(Address, B256), SealEntry>,
    /// Results that were shown to be traps, by task and attempt.
    pub traps: BTreeMap<(u64, u8), TrapEntry>,
    /// The beacon.
    pub beacon: Beacon,
}

/// Addresses of one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contracts {
    /// The ERC-20 that everything is paid in.
    pub asset: Address,
    /// Parameters.
    pub parameters: Address,
    /// Beacon.
    pub beacon: Address,
    /// Stake vault.
    pub vault: Address,
    /// Provider pool.
    pub pool: Address,
    /// Market.
    pub market: Address,
    /// Court.
    pub court: Address,
    /// Audits.
    pub audits: Address,
    /// Appeal levels.
    pub appeal_levels: Address,
    /// Demands; zero where a network has none.
    pub demands: Address,
    /// Traps; zero where a network has none.
    pub traps: Address,
}
