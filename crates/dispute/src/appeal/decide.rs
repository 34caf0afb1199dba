//! What a party does next in an appeal.

use gavel_numerics::Tensor;
use gavel_numerics::batch::State;
use gavel_trace::Digest;

use super::check::Roots;
use super::prove::{chunk, step_proof, tree};
use super::rules::{AppealSituation, broken_appeal_rules};
use super::state::{boundary, parts, state_hash};
use super::{
    AppealMove, AppealPhase, AppealRole, AppealView, Case, Execution, OpenTensor, OperatorCase, Run,
};
use crate::decide::leftmost;

/// The party's next move in an appeal, or `None` when it has nothing to do now or nothing to gain. A move that would
/// break one of the [`super::APPEAL_RULES`] is never returned. Without a case a party only claims time-outs.
pub fn decide_appeal(
    view: &AppealView,
    role: AppealRole,
    case: Option<&Case>,
    now: u64,
) -> Option<AppealMove> {
    let proposed = propose_appeal(view, role, case, now)?;
    let situation = AppealSituation {
        view,
        role,
        case,
        proposed: &proposed,
        now,
    };
    broken_appeal_rules(&situation)
        .is_empty()
        .then_some(proposed)
}

/// [`decide_appeal`] before the rules are applied.
pub fn propose_appeal(
    view: &AppealView,
    role: AppealRole,
    case: Option<&Case>,
    now: u64,
) -> Option<AppealMove> {
    let turn = view.turn()?;
    if now > view.deadline {
        return (role != turn).then_some(AppealMove::ClaimTimeout);
    }
    match case? {
        Case::Operator(case) => operator(view, role, case),
        Case::Slot(proof) => {
            let wins = speaks_for(proof.digest == view.claimed) == role;
            (view.phase == AppealPhase::Slot && wins).then(|| AppealMove::ResolveSlot {
                claimed: view.claimed,
                proof: proof.clone(),
            })
        }
    }
}

/// Whom it favours that the claim is right, or that it is not.
pub(super) fn speaks_for(right: bool) -> AppealRole {
    match right {
        true => AppealRole::Defender,
        false => AppealRole::Accuser,
    }
}

fn operator(view: &AppealView, role: AppealRole, case: &OperatorCase) -> Option<AppealMove> {
    let output = &case.output;
    match (role, &view.phase) {
        (AppealRole::Defender, AppealPhase::Tensor) => open_tensor(view, case),
        (AppealRole::Defender, AppealPhase::Row { claim }) => {
            let row = tree(output)?.row(claim.height, claim.index).ok()?;
            let node = claim.node;
            Some(AppealMove::RevealRow { node, row })
        }
        (AppealRole::Accuser, AppealPhase::PickChunk { claim, row }) => {
            let own = tree(output)?.row(claim.height, claim.index).ok()?;
            let child = leftmost(row, &own)?;
            let row = row.clone();
            Some(AppealMove::PickChunk { row, child })
        }
        (AppealRole::Defender, AppealPhase::Chunk { node, index }) => {
            let (node, chunk) = (*node, chunk(output, *index)?);
            Some(AppealMove::RevealChunk { node, chunk })
        }
        (AppealRole::Accuser, AppealPhase::PickElement { index, chunk }) => {
            pick_element(*index, chunk, output)
        }
        (_, AppealPhase::States { run } | AppealPhase::Step { run }) => {
            let execution = Execution::new(case, run.element)?;
            if judge(&view.phase, run, &execution).map(speaks_for) == Some(role) {
                return step(view, case, run, &execution);
            }
            let states = matches!(view.phase, AppealPhase::States { .. });
            (states && role == AppealRole::Defender)
                .then(|| reveal_states(run, &execution))
                .flatten()
        }
        (AppealRole::Accuser, AppealPhase::PickState { run, states }) => {
            let execution = Execution::new(case, run.element)?;
            let part = wrong_part(run, states, &execution)?;
            let states = states.clone();
            Some(AppealMove::PickState { states, part })
        }
        _ => None,
    }
}

fn open_tensor(view: &AppealView, case: &OperatorCase) -> Option<AppealMove> {
    let tree = tree(&case.output)?;
    let (row, chunk) = match tree.height() {
        0 => (Vec::new(), chunk(&case.output, 0).unwrap_or_default()),
        height => (tree.row(height, 0).ok()?, Vec::new()),
    };
    Some(AppealMove::OpenTensor(Box::new(OpenTensor {
        claimed: view.claimed,
        node: case.node.clone(),
        node_proof: case.node_proof.clone(),
        chunk_root: tree.root(),
        row,
        chunk,
    })))
}

/// The first element of a chunk that is not the party's own.
pub(super) fn wrong_element(index: u64, theirs: &[u8], output: &Tensor) -> Option<u16> {
    let own = chunk(output, index)?;
    let size = output.dtype().size();
    let mut elements = theirs.chunks(size).zip(own.chunks(size));
    let within = elements.position(|(theirs, own)| theirs != own)?;
    u16::try_from(within).ok()
}

fn pick_element(index: u64, theirs: &[u8], output: &Tensor) -> Option<AppealMove> {
    Some(AppealMove::PickElement {
        chunk: theirs.to_vec(),
        within: wrong_element(index, theirs, output)?,
    })
}

/// What executing a run's first batch says of its end; `None` where it may not be executed now, or where the machine did not
/// get where the run starts.
pub(super) fn judge(phase: &AppealPhase, run: &Run, execution: &Execution<'_>) -> Option<bool> {
    let (start, end) = (run.first_batch, run.first_batch.checked_add(1)?);
    let (first, last) = (execution.state(start), execution.state(end));
    let due = match phase {
        AppealPhase::Step { .. } => true,
        AppealPhase::States { .. } => matches!(last, State::Halted(_)),
        _ => false,
    };
    let agreed = state_hash(&first) == run.start;
    (due && agreed).then(|| state_hash(&last) == run.end)
}

fn step(
    view: &AppealView,
    case: &OperatorCase,
    run: &Run,
    execution: &Execution<'_>,
) -> Option<AppealMove> {
    let roots = Roots {
        header: &view.header,
        segment: &view.segment,
    };
    let proof = step_proof(&roots, case, execution, run.first_batch)?;
    Some(AppealMove::Step {
        end: run.end,
        proof: Box::new(proof),
    })
}

/// The states inside a run of so many batches.
pub(super) fn states_inside(run: &Run, batches: u64, execution: &Execution<'_>) -> Vec<Digest> {
    (1..parts(batches))
        .map(|i| execution.hash(run.first_batch + boundary(batches, i)))
        .collect()
}

/// The states that the program has, whether or not they lead to the claimed end.
fn reveal_states(run: &Run, execution: &Execution<'_>) -> Option<AppealMove> {
    let batches = run.batches.unwrap_or(execution.batches());
    Some(AppealMove::RevealStates {
        end: run.end,
        batches,
        states: states_inside(run, batches, execution),
    })
}

/// The leftmost part of a run whose end is not the program's.
pub(super) fn wrong_part(run: &Run, states: &[Digest], execution: &Execution<'_>) -> Option<u8> {
    let batches = run.batches?;
    let ends = states.iter().chain([&run.end]);
    let wrong = |(i, end): (usize, &Digest)| {
        execution.hash(run.first_batch + boundary(batches, i as u64 + 1)) != *end
    };
    let part = ends.enumerate().position(wrong)?;
    u8::try_from(part).ok()
}
