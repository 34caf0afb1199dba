//! What the index remembers.

use std::collections::VecDeque;
use std::sync::Arc;

use gavel_node::{Address, B256};
use gavel_trace::{Digest, ModelHeader};
use serde::Serialize;

use super::ledger::{Account, Transfer, Why};

/// How a line is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Everyday business.
    Plain,
    /// A settlement, a match.
    Good,
    /// A fault or a loss.
    Bad,
    /// Under dispute.
    Dispute,
    /// Machinery.
    #[default]
    Quiet,
}

/// One transaction, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub n: u64,
    /// Its block.
    pub block: u64,
    /// Its time.
    pub time: u64,
    /// Its hash.
    pub transaction: B256,
    /// Who sent it.
    pub who: Address,
    /// What it did: a sentence without its subject.
    pub what: String,
    /// What followed.
    pub details: Vec<String>,
    /// How it is meant.
    pub tone: Tone,
    /// The pages that it changes.
    pub touches: Vec<String>,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) time: u64,
    pub(crate) block: u64,
    pub(crate) transaction: B256,
    pub(crate) by: Address,
}

/// A step in a task's life.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: At,
    pub(crate) stage: &'static str,
    pub(crate) attempt: u8,
    pub(crate) text: String,
    pub(crate) dispute: Option<u64>,
}

/// A claim and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct AttemptTale {
    pub(crate) attempt: u8,
    pub(crate) provider: Address,
    pub(crate) price: u128,
    pub(crate) collateral: u128,
    pub(crate) claimed_at: u64,
    pub(crate) deadline: u64,
    pub(crate) committed_at: Option<u64>,
    /// Steps, output digest, trace root.
    pub(crate) result: Option<(u32, Digest, Digest)>,
    pub(crate) outcome: String,
    pub(crate) ended_at: Option<u64>,
    pub(crate) outcome_text: String,
}

/// A challenge of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct ChallengeTale {
    pub(crate) attempt: u8,
    pub(crate) challenger: Address,
    pub(crate) bond: u128,
    pub(crate) committed_at: u64,
    pub(crate) dispute: Option<u64>,
    pub(crate) paid: Option<Arc<Transfer>>,
}

/// A task's history.
#[derive(Clone, Debug)]
pub(crate) struct TaskTale {
    pub(crate) model: Digest,
    pub(crate) posted_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) min_price: u128,
    pub(crate) max_price: u128,
    pub(crate) attempts: Vec<AttemptTale>,
    pub(crate) history: Vec<Step>,
    pub(crate) challenges: Vec<ChallengeTale>,
    pub(crate) disputes: Vec<u64>,
    pub(crate) money: Vec<Arc<Transfer>>,
}

impl TaskTale {
    /// The attempt that runs or ran last.
    pub(crate) fn running_attempt(&self) -> u8 {
        self.attempts.last().map_or(0, |a| a.attempt)
    }
}

/// A part of what a dispute is about: leaves of one of its trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) level: Level,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What a move is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Trace,
    Operators,
    Live,
    Chunks,
    Element,
    States,
}

/// A digest that a move showed.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) digest: Digest,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) picked: bool,
}

/// A move of a dispute.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) at: At,
    pub(crate) gas: Option<u64>,
    pub(crate) side: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) round: u32,
    pub(crate) level: Option<Level>,
    pub(crate) text: String,
    pub(crate) before: Option<Range>,
    pub(crate) after: Option<Range>,
    pub(crate) digests: Vec<Shown>,
    pub(crate) used: Option<u64>,
}

/// A round that a pick closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) round: u32,
    pub(crate) level: Level,
    pub(crate) at_move: usize,
    pub(crate) disputed: Range,
}

/// A referee drawn.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    pub(crate) draw: u8,
    pub(crate) party: Address,
    pub(crate) drawn_at: u64,
    pub(crate) deadline: u64,
    pub(crate) outcome: &'static str,
    pub(crate) penalty: u128,
    pub(crate) transaction: B256,
    /// When the place was isolated for which it was drawn.
    pub(crate) isolated_at: u64,
}

/// A ruling.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    pub(crate) by: Address,
    pub(crate) guilty: bool,
    pub(crate) digest: Digest,
    pub(crate) earlier: bool,
    pub(crate) time: u64,
    pub(crate) transaction: B256,
}

/// The isolated place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) step: u32,
    pub(crate) segment: u32,
    pub(crate) live: bool,
    /// Operator within the segment, or live slot.
    pub(crate) index: u32,
    /// Node, or slot, as the court says it.
    pub(crate) node_or_slot: u32,
    pub(crate) claimed: Digest,
    pub(crate) earlier: bool,
}

/// How a dispute ended.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) verdict: &'static str,
    pub(crate) reason: String,
    pub(crate) text: String,
    pub(crate) at: At,
    pub(crate) requeued_to: Option<u8>,
}

/// An appeal.
#[derive(Clone, Debug)]
pub(crate) struct AppealTale {
    pub(crate) by: Option<Address>,
    pub(crate) bond: u128,
    pub(crate) opened_at: u64,
}

/// A dispute's history.
#[derive(Clone, Debug)]
pub(crate) struct DisputeTale {
    pub(crate) task: u64,
    pub(crate) attempt: u8,
    pub(crate) model: Digest,
    pub(crate) header: Option<ModelHeader>,
    pub(crate) provider: Address,
    pub(crate) challenger: Address,
    pub(crate) provider_root: Digest,
    pub(crate) challenger_root: Digest,
    pub(crate) output_digest: Option<Digest>,
    pub(crate) steps: u32,
    pub(crate) by_audit: bool,
    pub(crate) opened_at: u64,
    pub(crate) moves: Vec<Move>,
    pub(crate) rounds: Vec<Round>,
    pub(crate) round: u32,
    /// What is in dispute now, above the element.
    pub(crate) range: Range,
    /// Segment under dissection: leaf of level 1, first node, operators, live slots.
    pub(crate) segment: Option<Segment>,
    pub(crate) isolated: Option<Place>,
    pub(crate) draws: Vec<Draw>,
    pub(crate) ruling: Option<Ruling>,
    pub(crate) appeal: Option<AppealTale>,
    pub(crate) closed: Option<Closed>,
    pub(crate) money: Vec<Arc<Transfer>>,
    pub(crate) slashes: Vec<Slash>,
    /// When the clock of the side to move began to run.
    pub(crate) turn_since: u64,
}

/// The segment of a dispute's second level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) first_node: u32,
    pub(crate) leaf: u64,
    pub(crate) ops: u64,
    pub(crate) live: u64,
}

/// An auditor drawn.
#[derive(Clone, Debug)]
pub(crate) struct AuditorTale {
    pub(crate) party: Address,
    pub(crate) drawn_at: u64,
    pub(crate) deadline: u64,
    pub(crate) outcome: &'static str,
    pub(crate) penalty: u128,
    pub(crate) fee: u128,
    pub(crate) reason: Option<String>,
}

/// The history of an audit.
#[derive(Clone, Debug)]
pub(crate) struct AuditTale {
    pub(crate) provider: Address,
    pub(crate) round: u64,
    pub(crate) selected: bool,
    pub(crate) auditors: Vec<AuditorTale>,
    pub(crate) leaf: Option<u64>,
    pub(crate) dispute: Option<u64>,
    /// Results of the provider that had settled when it was decided.
    pub(crate) settled_before: u64,
}

/// A registration of a model.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) at: u64,
    pub(crate) by: Address,
    pub(crate) header: ModelHeader,
}

/// A claim, for the auction's page.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) task: u64,
    pub(crate) attempt: u8,
    pub(crate) provider: Address,
    pub(crate) price: u128,
    pub(crate) min_price: u128,
    pub(crate) max_price: u128,
    pub(crate) time: u64,
    pub(crate) transaction: B256,
}

/// A share of a slash.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) to: Account,
    pub(crate) amount: u128,
    pub(crate) why: Why,
}

/// A loss of stake, with where its coins went.
#[derive(Clone, Debug)]
pub(crate) struct Slash {
    pub(crate) party: Address,
    pub(crate) amount: u128,
    pub(crate) why: Why,
    pub(crate) task: Option<u64>,
    pub(crate) dispute: Option<u64>,
    pub(crate) time: u64,
    pub(crate) transaction: B256,
    /// Where it was put first.
    pub(crate) into: Account,
    pub(crate) split: Vec<Share>,
}

impl Slash {
    /// What has no taker yet.
    pub(crate) fn left(&self) -> u128 {
        let taken = self.split.iter().map(|share| share.amount).sum();
        self.amount.saturating_sub(taken)
    }
}

/// What an address has done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) claimed: u64,
    pub(crate) served: u64,
    pub(crate) settled: u64,
    pub(crate) missed: u64,
    pub(crate) retracted: u64,
    pub(crate) reversed: u64,
    pub(crate) convicted: u64,
    pub(crate) cleared: u64,
    pub(crate) audited: u64,
    pub(crate) audits_done: u64,
    pub(crate) audits_failed: u64,
    pub(crate) rulings: u64,
    pub(crate) rulings_overturned: u64,
    pub(crate) rulings_missed: u64,
    pub(crate) is_provider: bool,
    pub(crate) posted: u64,
    pub(crate) challenged: u64,
    pub(crate) tombstoned_at: Option<u64>,
    pub(crate) tombstoned_by: Option<u64>,
    pub(crate) jailed_for: Option<String>,
    pub(crate) slashed: u128,
    pub(crate) earned: u128,
    pub(crate) tasks: VecDeque<u64>,
    pub(crate) disputes: VecDeque<u64>,
    pub(crate) slashes: VecDeque<Slash>,
    pub(crate) money: VecDeque<Arc<Transfer>>,
}
