//! What the ledger keeps: accounts, tasks, disputes; and the calls that move them.

use serde::Serialize;

use super::traps::{Audited, SealId, TrapOp};

/// Somebody with money: its place in [`Ledger::accounts`](super::Ledger::accounts).
pub type Party = u32;
/// A task's number, counted from 1 as the market does.
pub type TaskId = u64;
/// A dispute's number, counted from 1 as the court does.
pub type DisputeId = u64;
/// What a result says. Two runs of the same task that are both right have the same.
pub type Answer = u64;

/// Why money came to an account, or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Prices of results; of who asked for them, what it paid.
    Price,
    /// The levy on every task, and registrations.
    Levy,
    /// Fees of auditors and referees.
    Fee,
    /// Shares of a slash (requester, challenger, referee, appellant) and of a trap's deposit.
    Reward,
    /// Bonds and deposits, put up, given back, won and lost.
    Bond,
    /// Stake that a safety fault cost.
    Slash,
    /// Stake that a missed deadline, a retract or a neglected duty cost.
    Penalty,
}

/// How many reasons there are.
pub const REASONS: usize = 7;

/// One account: a requester, a challenger or a provider. Owner and payout address of a provider are its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Brought into the vault: stake, registration, escrow, bonds.
    pub brought: u128,
    /// Taken out of it again.
    pub drawn: u128,
    /// Payouts, not drawn.
    pub credit: u128,
    /// Stake that is not locked.
    pub free: u128,
    /// Stake locked for tasks.
    pub locked: u128,
    /// Stake on its way out: number, amount and when it may leave, in the order in which penalties reach it.
    pub unbonding: Vec<(u64, u128, u64)>,
    /// Numbers given to it so far.
    pub entries: u64,
    /// Money by reason; what is still in escrow or bond counts as gone.
    pub flows: [i128; REASONS],
    /// Whether it has staked.
    pub is_provider: bool,
    /// Out for ever.
    pub tombstoned: bool,
    /// Disputes that run about its results.
    pub frozen: u32,
    /// End of its jail; 0 while it is in none.
    pub jailed_until: u64,
    /// Tasks that it has claimed and that are not over.
    pub live: u32,
    /// Results of its that were settled.
    pub settled: u64,
    /// Claims of normal tasks that it may still make while a retry waits, by class.
    pub retry_credit: Vec<(u8, u16)>,
}

impl Account {
    /// All that it has in the vault.
    pub fn held(&self) -> u128 {
        self.credit + self.free + self.locked + self.leaving()
    }

    /// Stake on its way out.
    pub fn leaving(&self) -> u128 {
        self.unbonding.iter().map(|(_, amount, _)| amount).sum()
    }

    /// What it has, and had, beyond what it brought. The sum of its flows.
    pub fn gained(&self) -> i128 {
        (self.held() + self.drawn) as i128 - self.brought as i128
    }

    /// Money by one reason.
    pub fn flow(&self, reason: Reason) -> i128 {
        self.flows.get(reason as usize).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, reason: Reason, amount: i128) {
        if let Some(flow) = self.flows.get_mut(reason as usize) {
            *flow += amount;
        }
    }
}

/// Where a task stands, as on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TaskPhase {
    Open,
    Claimed,
    Committed,
    Disputed,
    Settled,
    Cancelled,
    Expired,
}

/// Where an attempt's audit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AuditPhase {
    Undecided,
    NotDrawn,
    Drawn,
    Committed,
    Closed,
}

/// The bond of a challenge that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Against which attempt.
    pub attempt: u8,
    /// Whose.
    pub by: Party,
    /// When.
    pub at: u64,
    /// What it says the result is.
    pub answer: Answer,
    /// The bond; nothing once it is gone.
    pub bond: u128,
    /// Whether a dispute came of it.
    pub revealed: bool,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Who asked.
    pub requester: Party,
    /// Its class.
    pub class: u8,
    /// Where it stands.
    pub phase: TaskPhase,
    /// Counted from 0.
    pub attempt: u8,
    /// Since when it is at auction.
    pub opened_at: u64,
    /// Where the price begins.
    pub min: u128,
    /// Where it ends.
    pub max: u128,
    /// Seconds that the price takes.
    pub ramp: u64,
    /// When it was claimed.
    pub claimed_at: u64,
    /// When its result was committed.
    pub committed_at: u64,
    /// Who claimed last.
    pub provider: Party,
    /// Collateral that is locked for it.
    pub collateral: u128,
    /// What is in its pot.
    pub pot: u128,
    /// What was committed.
    pub answer: Answer,
    /// Whether a challenge against this attempt was committed.
    pub is_challenged: bool,
    /// Whether a dispute about this attempt ended for nobody.
    pub is_voided: bool,
    /// Disputes about this attempt that run.
    pub disputes: u32,
    /// The attempt's audit.
    pub audit: AuditPhase,
    /// Its last auditor, and what that said.
    pub audited: Audited,
    /// Last second of the auditor; later where its chunk's seed came late.
    pub audit_deadline: u64,
    /// Auditors drawn.
    pub audit_draws: u8,
    /// Traps of its attempts that were shown and whose claims are not closed.
    pub open_traps: u8,
    /// Challenges that were committed.
    pub challenges: Vec<Challenge>,
    /// Providers that had an attempt.
    pub excluded: Vec<Party>,
    /// Who lost stake over it: once each.
    pub slashed: Vec<Party>,
}

impl Task {
    /// The price at a time, as the market computes it.
    pub fn price_at(&self, time: u64) -> u128 {
        let elapsed = time.saturating_sub(self.opened_at);
        match elapsed >= self.ramp {
            true => self.max,
            false => self.min + (self.max - self.min) * u128::from(elapsed) / u128::from(self.ramp),
        }
    }

    /// The price that was agreed.
    pub fn price(&self) -> u128 {
        self.price_at(self.claimed_at)
    }

    /// Whether there is a provider and nothing is final.
    pub fn is_served(&self) -> bool {
        use TaskPhase::{Claimed, Committed, Disputed};
        matches!(self.phase, Claimed | Committed | Disputed)
    }

    /// Whether there is a result that is not final.
    pub fn has_result(&self) -> bool {
        matches!(self.phase, TaskPhase::Committed | TaskPhase::Disputed)
    }

    /// Whether no auditor will be heard any more.
    pub fn is_audit_over(&self) -> bool {
        matches!(self.audit, AuditPhase::NotDrawn | AuditPhase::Closed)
    }

    /// Whether nothing can happen to it any more.
    pub fn is_over(&self) -> bool {
        use TaskPhase::{Cancelled, Expired, Settled};
        matches!(self.phase, Settled | Cancelled | Expired)
    }
}

/// How an appeal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Outcome {
    Guilty,
    Cleared,
    Void,
}

/// The game of the appeal levels, of which the opening of the disputed tensor is all that is played here: who lets its clock
/// run out after it has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppealGame {
    /// Whether the tensor was shown: the accuser's turn.
    pub is_shown: bool,
    /// Whether the referee plays it again.
    pub is_replay: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// Where a dispute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DisputePhase {
    SegmentWanted,
    PickWanted,
    Isolated,
    Refereed,
    Ruled,
    Appealed(AppealGame),
    Closed(Outcome),
}

/// One dispute.
#[derive(Clone, Debug)]
pub struct Dispute {
    /// About which task.
    pub task: TaskId,
    /// About which attempt.
    pub attempt: u8,
    /// The accused.
    pub provider: Party,
    /// What it says the result is.
    pub answer: Answer,
    /// The accuser; the auditor, where an audit opened it.
    pub challenger: Party,
    /// Whether an audit opened it.
    pub is_audit: bool,
    /// The accuser's bond, or the audit pool's.
    pub bond: u128,
    /// Where it stands.
    pub phase: DisputePhase,
    /// Who was drawn last.
    pub referee: Party,
    /// Referees drawn.
    pub draws: u8,
    /// What the referee ruled: guilty or not.
    pub ruling: Option<bool>,
    /// When it was handed to the appeal levels.
    pub appealed_at: u64,
    /// Who appealed.
    pub appellant: Option<Party>,
    /// The bond of the appeal.
    pub appeal_bond: u128,
}

impl Dispute {
    /// Whether it runs.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, DisputePhase::Closed(_))
    }
}

/// A call of the contracts, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Register {
        key: Party,
        stake: u128,
    },
    Stake {
        key: Party,
        amount: u128,
    },
    Unjail {
        key: Party,
    },
    Unbond {
        key: Party,
        amount: u128,
    },
    Withdraw {
        key: Party,
        entry: u64,
    },
    Draw {
        by: Party,
        amount: u128,
    },
    Post {
        requester: Party,
        class: u8,
        min: u128,
        max: u128,
    },
    Cancel {
        task: TaskId,
        by: Party,
    },
    Claim {
        task: TaskId,
        key: Party,
    },
    Commit {
        task: TaskId,
        key: Party,
        answer: Answer,
    },
    Retract {
        task: TaskId,
        key: Party,
    },
    MissDeadline {
        task: TaskId,
    },
    Expire {
        task: TaskId,
    },
    Settle {
        task: TaskId,
    },
    Reverse {
        task: TaskId,
    },
    Decide {
        task: TaskId,
    },
    AuditCommit {
        task: TaskId,
        auditor: Party,
        answer: Answer,
    },
    AuditOpen {
        task: TaskId,
        auditor: Party,
    },
    AuditTimeout {
        task: TaskId,
    },
    Challenge {
        task: TaskId,
        by: Party,
        answer: Answer,
    },
    Reveal {
        task: TaskId,
        by: Party,
    },
    Reclaim {
        task: TaskId,
        attempt: u8,
        by: Party,
    },
    PostSegment {
        dispute: DisputeId,
    },
    Pick {
        dispute: DisputeId,
    },
    Timeout {
        dispute: DisputeId,
    },
    DrawReferee {
        dispute: DisputeId,
    },
    Rule {
        dispute: DisputeId,
        guilty: bool,
    },
    RefereeTimeout {
        dispute: DisputeId,
    },
    Appeal {
        dispute: DisputeId,
        by: Party,
    },
    ShowTensor {
        dispute: DisputeId,
    },
    AppealTimeout {
        dispute: DisputeId,
    },
    Finalize {
        dispute: DisputeId,
    },
    CloseMoot {
        dispute: DisputeId,
    },
    Trap(TrapOp),
}

/// What chance, or the beacon, says in a call that asks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// A number below a million: the result is audited where it is below the rate.
    pub lot: u32,
    /// Who is drawn, where somebody is.
    pub drawn: Option<Party>,
    /// When the round is due by which an auditor's chunk is drawn.
    pub seed_due: u64,
    /// When its value came out; nothing while it has not.
    pub seed_at: Option<u64>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Nothing,
    /// A task was posted.
    Task(TaskId),
    /// A dispute was opened.
    Dispute(DisputeId),
    /// It was decided whether a result is audited.
    Decided(bool),
    /// A deposit was sealed.
    Seal(SealId),
}

/// A call that the contracts refuse, by the name of their error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);
