//! A record with what its logs say about its past.

use gavel_trace::{Digest, Opening};

use crate::{Address, B256};

use super::{Appeal, Audit, Dispute, Task};

/// A task with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskEntry {
    /// The record.
    pub task: Task,
    /// Version of the parameters that it lives under.
    pub rules: u16,
    /// Where the inputs may be had, as the requester said.
    pub input_uri: String,
    /// Root of the current result's level-1 tree; zero while there is none.
    pub level1_root: Digest,
    /// Claims, oldest first.
    pub attempts: Vec<Attempt>,
    /// Position in the log at which it last entered the auction: the order of the lanes.
    pub enqueued: u64,
}

/// One provider's turn at a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 0.
    pub attempt: u8,
    /// Who claimed.
    pub provider: Address,
    /// At this price.
    pub price: u128,
    /// Stake locked.
    pub collateral: u128,
    /// Last second for the result.
    pub deadline: u64,
    /// The result, if one came.
    pub result: Option<CommittedResult>,
    /// Why it ended without settling: "deadline", "retract", "guilty", "void", "reversed".
    pub ended: Option<String>,
}

/// A result as it was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommittedResult {
    /// Steps run.
    pub steps: u32,
    /// Live root of the outputs.
    pub output_digest: Digest,
    /// Root of the trace.
    pub trace_root: Digest,
}

/// A dispute with the rows that its logs carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeEntry {
    /// The record.
    pub dispute: Dispute,
    /// The challenger's own trace root, as it was revealed.
    pub challenger_root: Digest,
    /// Rows that were revealed, in order.
    pub rows: Vec<Row>,
    /// The rows with which the segment was posted.
    pub segment: Option<SegmentRows>,
    /// Moves so far, of the dissection and of appeals; rulings, appeals and time-outs are not among them.
    pub moves: u32,
    /// Whether the audits contract opened it.
    pub by_audit: bool,
    /// Who appealed last; zero where no referee could be had.
    pub appealed_by: Option<Address>,
    /// The last operator that a referee pointed at before the isolated one, under the ops root.
    pub earlier: Option<Opening>,
    /// Its appeals.
    pub appeal: Appeal,
}

/// A revealed row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Node that it folds to.
    pub node: Digest,
    /// Its height.
    pub height: u8,
    /// Its descendants, left to right.
    pub row: Vec<Digest>,
}

/// The root rows of a fine trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentRows {
    /// Root over the operators.
    pub ops_root: Digest,
    /// Agreed live root before the segment.
    pub previous_leaf: Digest,
    /// Row of the ops root.
    pub ops_row: Vec<Digest>,
    /// Row of the disputed leaf.
    pub live_row: Vec<Digest>,
}

/// A challenge that was committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChallengeEntry {
    /// Hash of what will be revealed.
    pub commitment: B256,
    /// Bond pulled.
    pub bond: u128,
    /// The dispute that its revelation opened.
    pub dispute: Option<u64>,
    /// The bond is gone: forfeited or reclaimed.
    pub closed: bool,
}

/// An audit with what its logs say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEntry {
    /// The record.
    pub audit: Audit,
}
