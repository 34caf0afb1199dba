//! What a key says, and about what: the rows of the protection database.

use std::fmt;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::board::{Dispute, Task};

/// What kind of thing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The result of an attempt: its commitment on the chain and its receipt, which say the same.
    Result,
    /// A claim of an attempt.
    Claim,
    /// A challenge of an attempt's result: what is committed, and what its revelation opens.
    Challenge,
    /// An audit of an attempt's result.
    Audit,
    /// A move in a dispute or its appeal.
    Move,
    /// A referee's ruling.
    Ruling,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Result,
        Kind::Claim,
        Kind::Challenge,
        Kind::Audit,
        Kind::Move,
        Kind::Ruling,
    ];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Result => "result",
            Kind::Claim => "claim",
            Kind::Challenge => "challenge",
            Kind::Audit => "audit",
            Kind::Move => "move",
            Kind::Ruling => "ruling",
        }
    }

    /// What its ids count.
    pub fn space(self) -> Space {
        match self {
            Kind::Move | Kind::Ruling => Space::Disputes,
            _ => Space::Tasks,
        }
    }
}

/// What ids count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Tasks.
    Tasks,
    /// Disputes.
    Disputes,
}

impl Space {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Space::Tasks => "tasks",
            Space::Disputes => "disputes",
        }
    }
}

/// What something is said about. Of each subject one thing may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// What kind of thing.
    pub kind: Kind,
    /// Task or dispute.
    pub id: u64,
    /// Attempt at the task; 0 for disputes.
    pub attempt: u8,
    /// What the id names: another task has the number after a reorg, and another thing may then be said of it.
    pub case: B256,
    /// The claim that is answered, where there may be several in one case; else zero.
    pub answers: B256,
}

impl Subject {
    /// Its key in the database: sorted by kind, then id.
    pub fn key(&self) -> String {
        let Subject {
            kind,
            id,
            attempt,
            case,
            answers,
        } = self;
        format!(
            "{}/{id:020}/{attempt:03}/{case:#x}/{answers:#x}",
            kind.name()
        )
    }

    /// The subject of a key.
    pub fn parse(key: &str) -> Option<Subject> {
        let mut parts = key.split('/');
        let name = parts.next()?;
        let subject = Subject {
            kind: Kind::ALL.into_iter().find(|kind| kind.name() == name)?,
            id: parts.next()?.parse().ok()?,
            attempt: parts.next()?.parse().ok()?,
            case: parts.next()?.parse().ok()?,
            answers: parts.next()?.parse().ok()?,
        };
        (subject.key() == key).then_some(subject)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject {
            kind, id, attempt, ..
        } = self;
        let kind = kind.name();
        match self.kind.space() {
            Space::Tasks => write!(f, "{kind} of task {id}, attempt {attempt}"),
            Space::Disputes => write!(f, "{kind} in dispute {id}"),
        }
    }
}

/// One thing said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// About what.
    pub subject: Subject,
    /// What: a root or a commitment where there is one, else the hash of the call that says it.
    pub value: B256,
}

/// A statement as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// What was said.
    pub value: B256,
    /// When, in the chain's time.
    pub at: u64,
}

/// What a task's number names.
pub fn task_case(task: &Task) -> B256 {
    let parts: [&[u8]; 5] = [
        task.requester.as_slice(),
        &task.model.0,
        &task.class.0,
        &task.input_digest.0,
        &task.seed.to_be_bytes(),
    ];
    keccak256(parts.concat())
}

/// What a dispute's number names.
pub fn dispute_case(task: &Task, dispute: &Dispute) -> B256 {
    let of_task = task_case(task);
    let parts: [&[u8]; 4] = [
        of_task.as_slice(),
        &[dispute.attempt],
        dispute.provider.as_slice(),
        dispute.challenger.as_slice(),
    ];
    keccak256(parts.concat())
}
