//! Which call a random history tries next: one that there is reason to make, or, one in eight, any.

use crate::ledger::{
    Account, AuditPhase, Dispute, DisputePhase, Ledger, Op, Party, SealId, TRAP, Task, TaskId,
    TaskPhase, Trap, TrapOp,
};
use crate::market::EXEC;

use super::history::{Draws, PARTIES, PROVIDERS, SEALER, TOKEN};

/// A call to try, and how long before it.
pub(super) fn next(ledger: &Ledger, draws: Draws) -> (u64, Op) {
    let [what, which, who, how] = draws;
    let c = &ledger.params().court;
    let party = who % PARTIES;
    let tasks: Vec<u64> = ledger
        .task_ids()
        .filter(|id| ledger.task(*id).is_some_and(|t| !t.is_over()))
        .collect();
    let disputes: Vec<u64> = ledger
        .dispute_ids()
        .filter(|id| ledger.dispute(*id).is_some_and(|d| d.is_open()))
        .collect();
    let one = |of: &[u64]| {
        of.get(which as usize % of.len().max(1))
            .copied()
            .unwrap_or_default()
    };
    let (task, dispute) = (one(&tasks), one(&disputes));
    // one call in eight is about anything at all
    if how.is_multiple_of(8) {
        let is_out =
            |key: Party| (ledger.accounts().get(key as usize)).is_some_and(|a| a.tombstoned);
        let op = match anything(what, task, dispute, party, how) {
            // what a convict loses with the others of its time, when it leaves, is not in the ledger
            Op::Withdraw { key, .. } if is_out(key) => Op::Draw { by: key, amount: 0 },
            op => op,
        };
        return (u64::from(how / 8 % 40), op);
    }
    if let Some(d) = ledger
        .dispute(dispute)
        .filter(|_| !disputes.is_empty() && what.is_multiple_of(2))
    {
        return of_dispute(ledger, dispute, d, what / 2, u64::from(c.clockBudget) + 1);
    }
    if let Some(op) = passed(ledger).filter(|_| what % 5 == 1) {
        return (0, op);
    }
    if let Some(op) = of_traps(ledger, [what, which, who, how]).filter(|_| what % 5 > 2) {
        return op;
    }
    let jailed = |a: &Account| a.jailed_until != 0 && a.jailed_until <= ledger.now();
    if let Some(key) = ledger
        .accounts()
        .iter()
        .position(jailed)
        .filter(|_| what.is_multiple_of(3))
    {
        return (0, Op::Unjail { key: key as Party });
    }
    if tasks.is_empty() || (what % 9 == 1 && tasks.len() < 12) {
        let op = Op::Post {
            requester: 0,
            class: (how / 8 % 4 / 3) as u8,
            min: TOKEN,
            max: (2 + u128::from(who % 5)) * TOKEN,
        };
        return (0, op);
    }
    match ledger.task(task) {
        Some(t) => of_task(ledger, task, t, what, party),
        None => (0, Op::Settle { task }),
    }
}

fn anything(what: u32, task: u64, dispute: u64, party: Party, how: u32) -> Op {
    let answer = u64::from(how / 16 % 3);
    let attempt = (how / 64 % 2) as u8;
    let seal = u64::from(how / 128 % 8);
    match what % 39 {
        0 => Op::Register {
            key: party,
            stake: 100 * TOKEN,
        },
        1 => Op::Stake {
            key: party,
            amount: u128::from(how / 16 % 3) * TOKEN,
        },
        2 => Op::Unjail { key: party },
        3 => Op::Post {
            requester: party,
            class: 0,
            min: 1,
            max: TOKEN,
        },
        4 => Op::Cancel { task, by: party },
        5 => Op::Claim { task, key: party },
        6 => Op::Commit {
            task,
            key: party,
            answer,
        },
        7 => Op::Retract { task, key: party },
        8 => Op::MissDeadline { task },
        9 => Op::Expire { task },
        10 => Op::Settle { task },
        11 => Op::Reverse { task },
        12 => Op::Decide { task },
        13 => Op::AuditCommit {
            task,
            auditor: party,
            answer,
        },
        14 => Op::AuditOpen {
            task,
            auditor: party,
        },
        15 => Op::AuditTimeout { task },
        16 => Op::Challenge {
            task,
            by: party,
            answer,
        },
        17 => Op::Reveal { task, by: party },
        18 => Op::Reclaim {
            task,
            attempt,
            by: party,
        },
        19 => Op::PostSegment { dispute },
        20 => Op::Pick { dispute },
        21 => Op::Timeout { dispute },
        22 => Op::DrawReferee { dispute },
        23 => Op::RefereeTimeout { dispute },
        24 => Op::Appeal { dispute, by: party },
        25 => Op::ShowTensor { dispute },
        26 => Op::AppealTimeout { dispute },
        27 => Op::CloseMoot { dispute },
        31 => Op::Trap(TrapOp::Seal {
            by: party,
            requester: 0,
            provider: party,
            answer: TRAP | task,
            jackpot: u128::from(how / 16 % 20) * TOKEN,
        }),
        32 => Op::Trap(TrapOp::Unseal { seal, by: party }),
        33 => Op::Trap(TrapOp::Reveal {
            task,
            seal,
            by: party,
        }),
        34 => Op::Trap(TrapOp::Penalise { task, attempt }),
        35 => Op::Trap(TrapOp::Enter {
            task,
            attempt,
            finder: party,
        }),
        36 => Op::Trap(TrapOp::Show {
            task,
            attempt,
            by: party,
            answer,
        }),
        37 => Op::Trap(TrapOp::Close { task, attempt }),
        38 => Op::Trap(TrapOp::Collect {
            task,
            attempt,
            finder: party,
        }),
        28 => Op::Unbond {
            key: party,
            amount: u128::from(how / 16 % 30) * TOKEN,
        },
        29 => Op::Withdraw {
            key: party,
            entry: u64::from(how / 16 % 3),
        },
        _ => Op::Draw {
            by: party,
            amount: u128::from(how / 16 % 4) * TOKEN,
        },
    }
}

/// The deposit for a trap in a task's current attempt, where there is one.
fn seal_of(ledger: &Ledger, id: TaskId, task: &Task) -> Option<SealId> {
    ledger.seal_ids().rev().find(|seal| {
        let found = ledger.seal(*seal).filter(|s| !s.is_used);
        found.is_some_and(|s| s.answer == TRAP | id && s.provider == task.provider)
    })
}

/// A trap that an auditor let pass, and that settled before it was shown.
fn passed(ledger: &Ledger) -> Option<Op> {
    let settled = ledger
        .task_ids()
        .filter_map(|id| Some((id, ledger.task(id)?)));
    let mut settled =
        settled.filter(|(_, t)| t.phase == TaskPhase::Settled && t.audited.matched == Some(true));
    settled.find_map(|(task, t)| {
        let (seal, by) = (seal_of(ledger, task, t)?, t.requester);
        Some(Op::Trap(TrapOp::Reveal { task, seal, by }))
    })
}

/// Claims on the deposits of traps that were shown.
fn of_traps(ledger: &Ledger, [what, which, who, how]: Draws) -> Option<(u64, Op)> {
    let is_open = |trap: &Trap| trap.share.is_none() || trap.finders.iter().any(|f| !f.1);
    let all: Vec<_> = ledger.traps().filter(|t| is_open(t.2)).collect();
    let (task, attempt, trap) = *all.get(which as usize % all.len().max(1))?;
    let about = ledger.task(task);
    let challenges = about.map_or(&[][..], |t| &t.challenges);
    let own: Vec<_> = challenges.iter().filter(|c| c.attempt == attempt).collect();
    let auditor = about.map_or(0, |t| t.audited.auditor);
    // whoever may have found it, and now and then anybody
    let by = match (who % 8, own.get(who as usize / 8 % own.len().max(1))) {
        (0, _) => who / 8 % PARTIES,
        (1..4, _) | (_, None) => auditor,
        (_, Some(c)) => c.by,
    };
    let left = (trap.claims_until + 1).saturating_sub(ledger.now());
    let said = own.iter().find(|c| c.by == by);
    let is_heard = match said {
        Some(c) => c.revealed,
        None => about.is_some_and(|t| t.audited.matched == Some(false)),
    };
    let open = match (what / 5 % 8, is_heard) {
        (0..5, true) | (5, false) => TrapOp::Enter {
            task,
            attempt,
            finder: by,
        },
        (0..5, false) | (5, true) => TrapOp::Show {
            task,
            attempt,
            by,
            answer: said.map_or(0, |c| c.answer),
        },
        (6, _) => TrapOp::Penalise { task, attempt },
        _ => TrapOp::Close { task, attempt },
    };
    let op = match trap.share {
        Some(_) if !how.is_multiple_of(4) => TrapOp::Collect {
            task,
            attempt,
            finder: by,
        },
        _ => open,
    };
    let wait = match op {
        TrapOp::Close { .. } if !how.is_multiple_of(4) => left,
        _ => 1,
    };
    Some((wait, Op::Trap(op)))
}

fn of_dispute(ledger: &Ledger, dispute: u64, d: &Dispute, what: u32, clock: u64) -> (u64, Op) {
    let is_trap = ledger.trap(d.task, d.attempt).is_some();
    // whoever audits a trap while it is shown may still say what it likes
    if let Some(task) = ledger
        .task(d.task)
        .filter(|t| is_trap && !t.is_audit_over())
    {
        return of_task(ledger, d.task, task, what, d.challenger);
    }
    if (is_trap || !ledger.stands(d)) && !what.is_multiple_of(3) {
        return (0, Op::CloseMoot { dispute });
    }
    let referee = u64::from(ledger.params().court.refereeSeconds) + 1;
    let window = u64::from(ledger.params().court.appealWindow) + 1;
    match d.phase {
        DisputePhase::SegmentWanted if what.is_multiple_of(3) => (clock, Op::Timeout { dispute }),
        DisputePhase::SegmentWanted => (1, Op::PostSegment { dispute }),
        DisputePhase::PickWanted if what.is_multiple_of(4) => (clock, Op::Timeout { dispute }),
        DisputePhase::PickWanted => (1, Op::Pick { dispute }),
        DisputePhase::Isolated => (10, Op::DrawReferee { dispute }),
        DisputePhase::Refereed if what.is_multiple_of(4) => {
            (referee, Op::RefereeTimeout { dispute })
        }
        DisputePhase::Refereed => (
            1,
            Op::Rule {
                dispute,
                guilty: what.is_multiple_of(2),
            },
        ),
        DisputePhase::Ruled if what % 5 < 3 => {
            let by = match d.ruling {
                Some(true) => d.provider,
                _ => d.challenger,
            };
            (1, Op::Appeal { dispute, by })
        }
        DisputePhase::Ruled => (window, Op::Finalize { dispute }),
        DisputePhase::Appealed(game) if game.outcome.is_some() => (1, Op::Finalize { dispute }),
        DisputePhase::Appealed(game) => match what % 4 {
            0 | 1 if !game.is_shown => (1, Op::ShowTensor { dispute }),
            _ => (clock, Op::AppealTimeout { dispute }),
        },
        DisputePhase::Closed(_) => (1, Op::Finalize { dispute }),
    }
}

fn of_task(ledger: &Ledger, task: u64, t: &Task, what: u32, party: Party) -> (u64, Op) {
    let (m, a) = (&ledger.params().market, &ledger.params().audit);
    let tombstoned = |key: Party| {
        ledger
            .accounts()
            .get(key as usize)
            .is_some_and(|a| a.tombstoned)
    };
    let key = t.provider;
    let answer = if what % 5 < 2 { task } else { 0 };
    if t.is_served() && tombstoned(key) && !what.is_multiple_of(4) {
        return (1, Op::Reverse { task });
    }
    let round = u64::from(m.retractWindow + m.seedDelay) + 10;
    let windows = u64::from(m.challengeWindow + m.revealWindow);
    let trapped = seal_of(ledger, task, t);
    let is_late = ledger.now() >= t.claimed_at + EXEC;
    let is_old = ledger.now() >= t.committed_at + u64::from(m.retractWindow);
    match (t.phase, t.audit) {
        (TaskPhase::Open, _) => match what % 25 {
            0 => (
                1,
                Op::Cancel {
                    task,
                    by: t.requester,
                },
            ),
            1 => (u64::from(m.retryLifetime), Op::Expire { task }),
            2 => (u64::from(m.openLifetime), Op::Expire { task }),
            _ => (
                u64::from(what % 30),
                Op::Claim {
                    task,
                    // the first ones get a record
                    key: 1 + (party % PROVIDERS).min(what / 25 % PROVIDERS),
                },
            ),
        },
        (TaskPhase::Claimed, _) if what.is_multiple_of(16) || is_late => {
            (EXEC + 1, Op::MissDeadline { task })
        }
        // a trap: its deposit first
        (TaskPhase::Claimed, _) if what % 5 < 4 && trapped.is_some() => {
            let answer = TRAP | task;
            (1, Op::Commit { task, key, answer })
        }
        (TaskPhase::Claimed, _) if what.is_multiple_of(3) => {
            let op = TrapOp::Seal {
                by: SEALER,
                requester: t.requester,
                provider: key,
                answer: TRAP | task,
                jackpot: ledger.bond() + u128::from(what % 7) * TOKEN - TOKEN,
            };
            (1, Op::Trap(op))
        }
        (TaskPhase::Claimed, _) => (1, Op::Commit { task, key, answer }),
        // it is shown once it is found, or could not be found any more
        (phase, _) if what % 3 == 2 && trapped.is_some() => {
            let (seal, by) = (trapped.unwrap_or_default(), t.requester);
            let wait = match phase {
                TaskPhase::Disputed => 1,
                _ if t.is_audit_over() => u64::from(m.challengeWindow),
                _ => 0,
            };
            let op = match what.is_multiple_of(11) {
                true => TrapOp::Unseal { seal, by: SEALER },
                false => TrapOp::Reveal { task, seal, by },
            };
            (wait, Op::Trap(op))
        }
        (_, AuditPhase::Undecided) => match what % 8 {
            0 | 4 if !is_old => (1, Op::Retract { task, key }),
            1..=3 => {
                // whoever has committed reveals, or has it back, or loses it
                let mut own = t.challenges.iter().filter(|c| c.bond != 0);
                match own.next() {
                    Some(c) if c.attempt == t.attempt && what % 16 < 12 => {
                        (u64::from(m.retractWindow), Op::Reveal { task, by: c.by })
                    }
                    Some(c) => (
                        windows,
                        Op::Reclaim {
                            task,
                            attempt: c.attempt,
                            by: c.by,
                        },
                    ),
                    None => (
                        1,
                        Op::Challenge {
                            task,
                            by: party,
                            answer: answer + u64::from(what / 8 % 2),
                        },
                    ),
                }
            }
            _ => (round, Op::Decide { task }),
        },
        (_, AuditPhase::Drawn) if what.is_multiple_of(5) => {
            (u64::from(a.commitSeconds) + 1, Op::AuditTimeout { task })
        }
        (_, AuditPhase::Drawn) => (
            1,
            Op::AuditCommit {
                task,
                auditor: t.audited.auditor,
                answer: u64::from(what / 5 % 2) * t.answer,
            },
        ),
        (_, AuditPhase::Committed) if what.is_multiple_of(5) => {
            let wait = a.openSeconds + ledger.params().court.beaconSlack;
            (u64::from(wait) + 10, Op::AuditTimeout { task })
        }
        (_, AuditPhase::Committed) => (
            10,
            Op::AuditOpen {
                task,
                auditor: t.audited.auditor,
            },
        ),
        (_, AuditPhase::NotDrawn | AuditPhase::Closed) => match what % 6 {
            0 => (
                1,
                Op::Challenge {
                    task,
                    by: party,
                    answer: t.answer + 1,
                },
            ),
            _ => (windows, Op::Settle { task }),
        },
    }
}
