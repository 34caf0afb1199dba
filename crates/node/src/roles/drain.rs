//! Ceasing to be a provider: what is owed still, and leaving the pools.

use std::fmt;

use gavel_settlement::bindings::ProviderPool;

use crate::board::{AuditState, DisputeState, TaskState};
use crate::{Act, Address, Board, NodeError, Party};

/// Something that a provider must be there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Obligation {
    /// It claimed a task and owes the result.
    Result {
        /// The task.
        task: u64,
        /// Last second for it.
        deadline: u64,
    },
    /// Its result of a task may still be challenged or audited, or is being disputed.
    Judgement {
        /// The task.
        task: u64,
    },
    /// It was drawn to audit a task.
    Audit {
        /// The task.
        task: u64,
        /// Last second for what it owes.
        deadline: u64,
    },
    /// It was drawn to rule in a dispute.
    Ruling {
        /// The dispute.
        dispute: u64,
        /// Last second for the ruling.
        deadline: u64,
    },
    /// It is a side of a dispute.
    Dispute {
        /// The dispute.
        dispute: u64,
    },
}

impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obligation::Result { task, .. } => write!(f, "the result of task {task}"),
            Obligation::Judgement { task } => {
                write!(
                    f,
                    "its word for the result of task {task}, which is not settled"
                )
            }
            Obligation::Audit { task, .. } => write!(f, "the audit of task {task}"),
            Obligation::Ruling { dispute, .. } => write!(f, "the ruling in dispute {dispute}"),
            Obligation::Dispute { dispute } => write!(f, "its part in dispute {dispute}"),
        }
    }
}

/// Everything that a provider must be there for, tasks first.
pub fn obligations(board: &Board, provider: &Address) -> Vec<Obligation> {
    let mut owed = Vec::new();
    for (&task, entry) in &board.tasks {
        let t = &entry.task;
        let own = t.provider == *provider;
        if own && t.state == TaskState::Claimed && board.now() <= t.deadline {
            let deadline = t.deadline;
            owed.push(Obligation::Result { task, deadline });
        }
        if own && t.state.is_committed() && !board.is_tombstoned(provider) {
            owed.push(Obligation::Judgement { task });
        }
    }
    for entry in board.audits.values() {
        let audit = &entry.audit;
        let due = matches!(audit.state, AuditState::Drawn | AuditState::Committed);
        if audit.auditor == *provider && due && board.now() <= audit.deadline {
            let (task, deadline) = (audit.task, audit.deadline);
            owed.push(Obligation::Audit { task, deadline });
        }
    }
    for (dispute, entry) in board.open_disputes() {
        let d = &entry.dispute;
        let referees = d.referee == *provider && d.state == DisputeState::Refereed;
        if referees && board.now() <= d.referee_deadline {
            let deadline = d.referee_deadline;
            owed.push(Obligation::Ruling { dispute, deadline });
        } else if d.provider == *provider || d.challenger == *provider {
            owed.push(Obligation::Dispute { dispute });
        }
    }
    owed
}

/// Leaves the next pool that the party may be drawn from. `None`: it is in none.
///
/// # Errors
/// The chain cannot be reached.
pub async fn leave(party: &Party, board: &Board) -> Result<Option<Act>, NodeError> {
    let me = party.address();
    let member = board
        .pools
        .iter()
        .find(|(_, members)| members.contains_key(&me));
    let Some((class, _)) = member else {
        return Ok(None);
    };
    let call = ProviderPool::leaveCall {
        classId: class.0.into(),
    };
    let what = format!("leaves the pool of auditors and referees of {class:#}");
    party.act(board, party.contracts().pool, call, what).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{AuditEntry, DisputeEntry};

    fn task(board: &mut Board, id: u64, state: TaskState, provider: Address, deadline: u64) {
        let entry = board.tasks.entry(id).or_default();
        entry.task.state = state;
        entry.task.provider = provider;
        entry.task.deadline = deadline;
    }

    #[test]
    fn what_is_owed_is_what_would_be_lost_by_leaving() {
        let (me, other) = (Address::with_last_byte(1), Address::with_last_byte(2));
        let mut board = Board::default();
        board.head.time = 100;
        task(&mut board, 1, TaskState::Claimed, me, 100);
        task(&mut board, 2, TaskState::Claimed, me, 99); // late: nothing to deliver any more
        task(&mut board, 3, TaskState::Committed, me, 0);
        task(&mut board, 4, TaskState::Settled, me, 0);
        task(&mut board, 5, TaskState::Disputed, other, 0);
        for (task, state) in [(5, AuditState::Drawn), (6, AuditState::Matched)] {
            let mut entry = AuditEntry::default();
            entry.audit.task = task;
            entry.audit.auditor = me;
            entry.audit.state = state;
            entry.audit.deadline = 100;
            board.audits.insert((task, 0), entry);
        }
        let owed = obligations(&board, &me);
        assert_eq!(
            owed,
            [
                Obligation::Result {
                    task: 1,
                    deadline: 100
                },
                Obligation::Judgement { task: 3 },
                Obligation::Audit {
                    task: 5,
                    deadline: 100
                },
            ]
        );
        assert_eq!(
            obligations(&board, &other),
            [Obligation::Judgement { task: 5 }]
        );
        board.head.time = 101;
        assert_eq!(
            obligations(&board, &me),
            [Obligation::Judgement { task: 3 }]
        );
    }

    #[test]
    fn sides_and_referees_of_open_disputes_owe_something() {
        let (me, other) = (Address::with_last_byte(1), Address::with_last_byte(2));
        let mut board = Board::default();
        let entry = |referee, state| {
            let mut entry: DisputeEntry = crate::board::blank_dispute();
            entry.dispute.provider = other;
            entry.dispute.referee = referee;
            entry.dispute.state = state;
            entry
        };
        board.disputes.insert(1, entry(me, DisputeState::Refereed));
        board.disputes.insert(2, entry(me, DisputeState::Ruled));
        board.disputes.insert(3, entry(me, DisputeState::Upheld));
        let ruling = Obligation::Ruling {
            dispute: 1,
            deadline: 0,
        };
        assert_eq!(obligations(&board, &me), [ruling]);
        let sides = [1, 2].map(|dispute| Obligation::Dispute { dispute });
        assert_eq!(obligations(&board, &other), sides);
    }
}
