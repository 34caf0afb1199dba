//! Whoever found a trap takes its share of the jackpot (`spec/protocol.md`, P-K5).

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::ITraps;

use crate::board::{AuditState, TrapEntry};
use crate::roles::auditor::root_commitment;
use crate::roles::watcher::commitment;
use crate::{Act, B256, Board, NodeError, Party};

/// Has this party entered as a finder of a trap that it said was wrong, or collects its share.
///
/// # Errors
/// The chain, the blobs or the model fail.
pub(crate) async fn claim(party: &Party, board: &Board) -> Result<Option<Act>, NodeError> {
    for ((task, attempt), trap) in &board.traps {
        let act = claim_one(party, board, *task, *attempt, trap).await?;
        if act.is_some() {
            return Ok(act);
        }
    }
    Ok(None)
}

async fn claim_one(
    party: &Party,
    board: &Board,
    task: u64,
    attempt: u8,
    trap: &TrapEntry,
) -> Result<Option<Act>, NodeError> {
    let (me, at) = (party.address(), board.contracts.traps);
    let task_id = U256::from(task);
    match (trap.finders.get(&me), trap.share) {
        (Some(false), Some(share)) if share != 0 => {
            let what = format!("collects its share of the jackpot of task {task}");
            let call = ITraps::collectCall {
                taskId: task_id,
                attempt,
                finder: me,
            };
            party.act(board, at, call, what).await
        }
        (None, None) if board.now() <= trap.claims_until => {
            let what = format!("found the trap of task {task}");
            if is_heard(board, party, task, attempt, trap) {
                let call = ITraps::enterCall {
                    taskId: task_id,
                    attempt,
                    finder: me,
                };
                return party.act(board, at, call, what).await;
            }
            let Some((root, salt)) = unheard(party, board, task, attempt, trap).await? else {
                return Ok(None);
            };
            let call = ITraps::showCall {
                taskId: task_id,
                attempt,
                ownTraceRoot: root,
                salt,
            };
            party.act(board, at, call, what).await
        }
        _ => Ok(None),
    }
}

/// It has said on chain, in time, that the result is wrong.
fn is_heard(board: &Board, party: &Party, task: u64, attempt: u8, trap: &TrapEntry) -> bool {
    let me = party.address();
    let as_auditor = board.audits.get(&(task, attempt)).is_some_and(|entry| {
        entry.audit.auditor == me && entry.audit.state == AuditState::Mismatched
    });
    let challenge = board.challenges.get(&(task, attempt, me));
    let as_challenger =
        trap.challengers.contains(&me) && challenge.is_some_and(|c| c.dispute.is_some());
    as_auditor || as_challenger
}

/// It had committed to another trace, and the trap was shown before it could say so: what it opens that by.
async fn unheard(
    party: &Party,
    board: &Board,
    task: u64,
    attempt: u8,
    trap: &TrapEntry,
) -> Result<Option<(B256, B256)>, NodeError> {
    let me = party.address();
    let challenge = board.challenges.get(&(task, attempt, me));
    let challenge = challenge.filter(|_| trap.challengers.contains(&me));
    let audit = board.audits.get(&(task, attempt)).map(|entry| &entry.audit);
    let audit = audit.filter(|audit| audit.auditor == me && audit.committed_at != 0);
    if challenge.is_none() && audit.is_none() {
        return Ok(None);
    }
    let Some(run) = party.run_of(board, task).await? else {
        return Ok(None);
    };
    let root = run.trace.trace_root();
    let committed = board.tasks.get(&task).and_then(|entry| {
        let mut attempts = entry.attempts.iter();
        attempts.find(|a| a.attempt == attempt)?.result
    });
    if committed.is_none_or(|result| result.trace_root == root) {
        return Ok(None);
    }
    if let Some(challenge) = challenge {
        let salt = party.secret("challenge", task, attempt)?;
        if commitment(board, me, task, attempt, &root, salt) == challenge.commitment {
            return Ok(Some((B256::from(root.0), salt)));
        }
    }
    if let Some(audit) = audit {
        let salt = party.secret("audit", task, attempt)?;
        if root_commitment(me, task, attempt, root, salt) == audit.root_commitment {
            return Ok(Some((B256::from(root.0), salt)));
        }
    }
    Ok(None)
}
