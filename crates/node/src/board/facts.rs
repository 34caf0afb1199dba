//! The protocol's records as plain values, in the units of the contracts: seconds since the epoch,
//! amounts in units of the asset, ids from 1.

use std::collections::BTreeSet;

use gavel_dispute::Side;
use gavel_trace::{Digest, FamilyHeader, ModelHeader};

use crate::{Address, B256};

/// Where the chain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Height of the newest block.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The time that a transaction sent now may count on: no earlier block time can come.
    pub time: u64,
}

/// Where a task stands (`spec/protocol.md`, "Task lifecycle").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// In the auction.
    #[default]
    Open,
    /// A provider owes a result.
    Claimed,
    /// A result is in its challenge window, or waits for its audit.
    Committed,
    /// At least one dispute about the result is open.
    Disputed,
    /// Paid.
    Settled,
    /// Withdrawn by its requester.
    Cancelled,
    /// Refunded because nobody served it in time.
    Expired,
}

impl TaskState {
    /// Whether nothing can happen to the task any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            TaskState::Settled | TaskState::Cancelled | TaskState::Expired
        )
    }

    /// Whether there is a result under judgement.
    pub fn is_committed(self) -> bool {
        matches!(self, TaskState::Committed | TaskState::Disputed)
    }
}

/// A task as the market shows it. Fields of a claim and of a result are zero while there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Who asked.
    pub requester: Address,
    /// Model to run.
    pub model: Digest,
    /// What it is served as: a family, or the model itself.
    pub class: Digest,
    /// Live root of the inputs.
    pub input_digest: Digest,
    /// Seed of the task's randomness.
    pub seed: u64,
    /// Where it stands.
    pub state: TaskState,
    /// Attempt, from 0; above 0 it stands in the retry lane.
    pub attempt: u8,
    /// When this attempt entered the auction.
    pub opened_at: u64,
    /// Price at `opened_at`.
    pub min_price: u128,
    /// Price from `opened_at + ramp_seconds` on.
    pub max_price: u128,
    /// Length of the price's rise.
    pub ramp_seconds: u32,
    /// From the claim to the deadline.
    pub exec_seconds: u32,
    /// Who claimed it.
    pub provider: Address,
    /// Price of the claim.
    pub price: u128,
    /// Stake locked by the claim.
    pub collateral: u128,
    /// Last second for the result.
    pub deadline: u64,
    /// When the result came.
    pub committed_at: u64,
    /// Steps of the result.
    pub steps: u32,
    /// Live root of the outputs.
    pub output_digest: Digest,
    /// Root of the provider's trace.
    pub trace_root: Digest,
    /// Disputes that are open.
    pub open_challenges: u16,
    /// An audit was drawn and is not closed.
    pub audit_pending: bool,
    /// The audit is closed, or the beacon said none.
    pub audit_closed: bool,
}

/// Where a dispute stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeState {
    /// Dissecting level 1 down to one commit point.
    #[default]
    Level1,
    /// The provider owes the root rows of the fine trace.
    SegmentWanted,
    /// Dissecting the segment.
    Level2,
    /// One operator or live slot found; a referee is to be drawn.
    Isolated,
    /// A referee owes a ruling.
    Refereed,
    /// A provisional ruling; the appeal window runs.
    Ruled,
    /// Handed to the appeal levels.
    Appealed,
    /// The provider is guilty.
    Upheld,
    /// The provider is cleared.
    Cleared,
    /// Neither; bonds back.
    Void,
}

impl DisputeState {
    /// Whether nothing is accepted any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            DisputeState::Upheld | DisputeState::Cleared | DisputeState::Void
        )
    }
}

/// A dispute as the court shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// Task in dispute.
    pub task: u64,
    /// Attempt that the dispute is about.
    pub attempt: u8,
    /// Whose result it is.
    pub provider: Address,
    /// Who plays against it.
    pub challenger: Address,
    /// Where it stands.
    pub state: DisputeState,
    /// Side to move.
    pub turn: Side,
    /// When its turn began.
    pub turn_started_at: u64,
    /// Seconds left to the provider.
    pub provider_clock: u32,
    /// Seconds left to the challenger.
    pub challenger_clock: u32,
    /// Bond at stake.
    pub bond: u128,
    /// The claim under dissection.
    pub node: Digest,
    /// Height of `node` above the leaves of its tree.
    pub height: u8,
    /// Index of `node` among the nodes of that height.
    pub index: u64,
    /// keccak of the row that waits for a pick, else zero.
    pub row_hash: B256,
    /// Level-1 result: disputed leaf.
    pub leaf_index: u64,
    /// The provider's live root there.
    pub leaf: Digest,
    /// The agreed live root before it.
    pub previous_leaf: Digest,
    /// Root over the segment's operators, once posted.
    pub ops_root: Digest,
    /// Dissecting live slots, not operators.
    pub in_live: bool,
    /// First node of the segment.
    pub first_node: u32,
    /// Operators of the segment.
    pub op_count: u32,
    /// Live slots at its end.
    pub live_count: u32,
    /// Operator within the segment, or live slot.
    pub isolated_index: u32,
    /// The provider's digest of the isolated output.
    pub claimed_digest: Digest,
    /// When it was isolated.
    pub isolated_at: u64,
    /// Referee drawn, or zero.
    pub referee: Address,
    /// Referees drawn so far.
    pub draws: u8,
    /// Last second for the ruling.
    pub referee_deadline: u64,
    /// The referee's digest.
    pub ruled_digest: Digest,
    /// Its ruling.
    pub ruled_guilty: bool,
    /// When it ruled.
    pub ruled_at: u64,
    /// When the dispute was opened.
    pub opened_at: u64,
    /// The ruling is about an operator before the one that the challenger had isolated.
    pub earlier: bool,
    /// Rulings of that kind so far.
    pub hops: u8,
    /// When it was handed to the appeal levels.
    pub appealed_at: u64,
}

/// Where an audit stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditState {
    /// Not decided.
    #[default]
    None,
    /// The beacon said no audit.
    NotDrawn,
    /// An auditor owes its commitment.
    Drawn,
    /// The auditor owes its opening.
    Committed,
    /// Closed: the auditor agrees.
    Matched,
    /// Closed: a dispute runs.
    Mismatched,
    /// Closed: the result was overtaken by another verdict.
    Moot,
    /// No auditor could be had.
    Waived,
}

/// An audit as the audits contract shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Task audited.
    pub task: u64,
    /// Attempt audited.
    pub attempt: u8,
    /// Where it stands.
    pub state: AuditState,
    /// Auditor drawn, or zero.
    pub auditor: Address,
    /// Auditors drawn so far.
    pub draws: u8,
    /// When the auditor was drawn.
    pub drawn_at: u64,
    /// Last second for what the auditor owes.
    pub deadline: u64,
    /// The auditor's salted root.
    pub salted_root: Digest,
    /// Its commitment to its trace root.
    pub root_commitment: B256,
    /// Commit point drawn for the content check.
    pub leaf_index: u64,
    /// When it committed.
    pub committed_at: u64,
    /// Dispute that a mismatch opened, or 0.
    pub dispute: u64,
    /// The auditor may not withdraw until it is released.
    pub on_duty: bool,
}

/// Standing of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Who owns its stake.
    pub owner: Address,
    /// Who gets its pay.
    pub payout: Address,
    /// Stake that is neither locked nor leaving.
    pub free: u128,
    /// Collateral of its tasks.
    pub locked: u128,
    /// Stake on its way out.
    pub unbonding: u128,
    /// Open disputes about its results.
    pub frozen: u32,
    /// When it may ask to be unjailed; 0 when it is not jailed.
    pub jailed_until: u64,
    /// Removed for ever.
    pub tombstoned: bool,
    /// Tasks it holds.
    pub live_tasks: u32,
    /// Most tasks it holds at once.
    pub max_concurrency: u32,
    /// Results settled.
    pub settled_tasks: u64,
    /// When it registered.
    pub registered_at: u64,
}

/// A family of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyEntry {
    /// What the identity is the hash of.
    pub header: FamilyHeader,
    /// Where its file may be had, as its registrar said.
    pub uri: String,
    /// Models that were shown to be bindings of it.
    pub shown: BTreeSet<Digest>,
}

/// A model in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// What the identity is the hash of.
    pub header: ModelHeader,
    /// Where its file may be had, as its registrar said.
    pub uri: String,
}
