//! What every proposed move in an appeal must satisfy, each with the reason.

use gavel_numerics::batch::MACHINE_BYTES;
use gavel_trace::chunk_leaf;

use super::check::Roots;
use super::decide::{judge, speaks_for, states_inside, wrong_element, wrong_part};
use super::prove::{step_proof, tree};
use super::{AppealMove, AppealPhase, AppealRole, AppealView, Case, Execution, OperatorCase, Run};
use crate::decide::leftmost;

/// A proposed move and everything that it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct AppealSituation<'a> {
    /// The appeal.
    pub view: &'a AppealView,
    /// Who proposes.
    pub role: AppealRole,
    /// What the proposer knows of the place.
    pub case: Option<&'a Case>,
    /// What is proposed.
    pub proposed: &'a AppealMove,
    /// Chain time, seconds.
    pub now: u64,
}

/// One rule of good play in an appeal.
#[derive(Clone, Copy)]
pub struct AppealRule {
    /// Short name.
    pub id: &'static str,
    /// What it demands.
    pub demands: &'static str,
    /// What is lost without it.
    pub because: &'static str,
    /// Whether a proposed move satisfies it; true where it does not apply.
    pub holds: fn(&AppealSituation<'_>) -> bool,
}

impl std::fmt::Debug for AppealRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.demands)
    }
}

/// The rules that a situation breaks.
pub fn broken_appeal_rules(situation: &AppealSituation<'_>) -> Vec<&'static AppealRule> {
    APPEAL_RULES
        .iter()
        .filter(|rule| !(rule.holds)(situation))
        .collect()
}

/// All rules of the appeal.
pub const APPEAL_RULES: &[AppealRule] = &[
    AppealRule {
        id: "not-after-the-end",
        demands: "no move in an appeal that has ended",
        because: "it is refused and the gas is lost",
        holds: |s| s.view.turn().is_some(),
    },
    AppealRule {
        id: "in-turn",
        demands: "the defender opens and gives states, the accuser picks, either executes; each in the phase that waits for it",
        because: "a move out of turn is refused, and one that raced a reorg would answer another claim",
        holds: in_turn,
    },
    AppealRule {
        id: "in-time",
        demands: "no move after the clock of the side to move ran out, but the claim of it",
        because: "it is refused; whoever still sends it has missed that the game is lost, or won",
        holds: |s| *s.proposed == AppealMove::ClaimTimeout || s.now <= s.view.deadline,
    },
    AppealRule {
        id: "timeout-is-late",
        demands: "a time-out is claimed only after the deadline, and not by the side that let it pass",
        because: "an early claim is refused; claiming one's own time-out concedes the game",
        holds: |s| {
            *s.proposed != AppealMove::ClaimTimeout
                || (s.now > s.view.deadline && s.view.turn() != Some(s.role))
        },
    },
    AppealRule {
        id: "answers-the-claim",
        demands: "a move names the digest, node or state that stands, a pick repeats what is picked from",
        because: "the contract authenticates by hashes; anything else is another claim, and refused",
        holds: answers_the_claim,
    },
    AppealRule {
        id: "opening-holds",
        demands: "an opened digest, row or chunk hashes to what it opens, and the node opens in the model",
        because: "any other is refused while the clock runs",
        holds: opening_holds,
    },
    AppealRule {
        id: "never-an-equal-pick",
        demands: "the picked chunk, element or state differs from the party's own",
        because: "picking what one agrees with leads to a batch that is right, and loses",
        holds: |s| picked(s).is_none_or(|(differs, _)| differs),
    },
    AppealRule {
        id: "leftmost-only",
        demands: "all before the picked chunk, element or state agrees with the party's own",
        because: "a part starts where both sides agree; past an earlier error the batch may be right",
        holds: |s| picked(s).is_none_or(|(_, leftmost)| leftmost),
    },
    AppealRule {
        id: "states-are-the-programs",
        demands: "revealed states are those of the program",
        because: "the accuser picks the first that is not, and the batch that leads to it convicts",
        holds: states_are_the_programs,
    },
    AppealRule {
        id: "batches-are-counted",
        demands: "the number of batches first said is the run's, and later what stands",
        because: "too few claim a halted state that is none; a different number later is refused",
        holds: batches_are_counted,
    },
    AppealRule {
        id: "never-for-the-other-side",
        demands: "a batch is executed, or a slot resolved, only where the result favours the party; before its turn only where the machine ends in it",
        because: "the verdict is at once and final",
        holds: favours_the_party,
    },
    AppealRule {
        id: "shown-opens",
        demands: "what is shown for a batch or a slot opens under the committed roots, is what the batch reads, and starts at the agreed state",
        because: "an instruction that finds an input missing makes the call fail, and so does an opening that does not hold",
        holds: shown_opens,
    },
];

fn roots<'a>(s: &AppealSituation<'a>) -> Roots<'a> {
    Roots {
        header: &s.view.header,
        segment: &s.view.segment,
    }
}

fn operator<'a>(s: &AppealSituation<'a>) -> Option<&'a OperatorCase> {
    match s.case? {
        Case::Operator(case) => Some(case),
        Case::Slot(_) => None,
    }
}

fn run_of(phase: &AppealPhase) -> Option<&Run> {
    match phase {
        AppealPhase::States { run }
        | AppealPhase::PickState { run, .. }
        | AppealPhase::Step { run } => Some(run),
        _ => None,
    }
}

fn execution<'a>(s: &AppealSituation<'a>) -> Option<(&'a Run, Execution<'a>)> {
    let run = run_of(&s.view.phase)?;
    Some((run, Execution::new(operator(s)?, run.element)?))
}

fn in_turn(s: &AppealSituation<'_>) -> bool {
    use AppealPhase as P;
    let (defends, accuses) = (
        s.role == AppealRole::Defender,
        s.role == AppealRole::Accuser,
    );
    match (s.proposed, &s.view.phase) {
        (AppealMove::ClaimTimeout, _) => true,
        (AppealMove::OpenTensor(_), P::Tensor)
        | (AppealMove::RevealRow { .. }, P::Row { .. })
        | (AppealMove::RevealChunk { .. }, P::Chunk { .. })
        | (AppealMove::RevealStates { .. }, P::States { .. }) => defends,
        (AppealMove::PickChunk { .. }, P::PickChunk { .. })
        | (AppealMove::PickElement { .. }, P::PickElement { .. })
        | (AppealMove::PickState { .. }, P::PickState { .. }) => accuses,
        (AppealMove::Step { .. }, P::States { .. } | P::Step { .. })
        | (AppealMove::ResolveSlot { .. }, P::Slot) => defends || accuses,
        _ => false,
    }
}

fn answers_the_claim(s: &AppealSituation<'_>) -> bool {
    let claimed = s.view.claimed;
    let end = run_of(&s.view.phase).map(|run| run.end);
    match (s.proposed, &s.view.phase) {
        (AppealMove::OpenTensor(opened), _) => opened.claimed == claimed,
        (
            AppealMove::ResolveSlot {
                claimed: judged, ..
            },
            _,
        ) => *judged == claimed,
        (AppealMove::RevealRow { node, .. }, AppealPhase::Row { claim }) => *node == claim.node,
        (AppealMove::RevealChunk { node, .. }, AppealPhase::Chunk { node: wanted, .. }) => {
            node == wanted
        }
        (AppealMove::PickChunk { row, child }, AppealPhase::PickChunk { row: waiting, .. }) => {
            row == waiting && usize::from(*child) < row.len()
        }
        (
            AppealMove::PickElement { chunk, .. },
            AppealPhase::PickElement { chunk: waiting, .. },
        ) => chunk == waiting,
        (
            AppealMove::PickState { states, part },
            AppealPhase::PickState {
                states: waiting, ..
            },
        ) => states == waiting && usize::from(*part) <= states.len(),
        (
            AppealMove::RevealStates { end: answered, .. } | AppealMove::Step { end: answered, .. },
            _,
        ) => Some(*answered) == end,
        (AppealMove::ClaimTimeout, _) => true,
        _ => false,
    }
}

fn opening_holds(s: &AppealSituation<'_>) -> bool {
    match (s.proposed, &s.view.phase) {
        (AppealMove::OpenTensor(opened), _) => match s.view.place {
            gavel_trace::FineIndex::Op(op) => roots(s).tensor_opens(op, &s.view.claimed, opened),
            gavel_trace::FineIndex::Live(_) => false,
        },
        (AppealMove::RevealRow { row, .. }, AppealPhase::Row { claim }) => {
            claim.is_answered_by(row)
        }
        (AppealMove::RevealChunk { chunk, .. }, AppealPhase::Chunk { node, .. }) => {
            chunk_leaf(chunk) == *node
        }
        _ => true,
    }
}

/// Of a pick: whether what it names differs from the party's own, and whether it is the first that does. `None` for other
/// moves; a pick from something that the party cannot compute satisfies neither.
fn picked(s: &AppealSituation<'_>) -> Option<(bool, bool)> {
    let found: Option<(bool, bool)> = match (s.proposed, &s.view.phase) {
        (AppealMove::PickChunk { row, child }, AppealPhase::PickChunk { claim, .. }) => {
            let own = operator(s)
                .and_then(|case| tree(&case.output)?.row(claim.height, claim.index).ok());
            own.map(|own| {
                let at = usize::from(*child);
                (
                    row.get(at) != own.get(at),
                    leftmost(row, &own) == Some(*child),
                )
            })
        }
        (AppealMove::PickElement { chunk, within }, AppealPhase::PickElement { index, .. }) => {
            operator(s).and_then(|case| {
                let size = case.output.dtype().size();
                let own = super::prove::chunk(&case.output, *index)?;
                let at = usize::from(*within);
                let differs = chunk.chunks(size).nth(at) != own.chunks(size).nth(at);
                Some((
                    differs,
                    wrong_element(*index, chunk, &case.output) == Some(*within),
                ))
            })
        }
        (AppealMove::PickState { states, part }, AppealPhase::PickState { .. }) => execution(s)
            .and_then(|(run, execution)| {
                let end = states.get(usize::from(*part)).unwrap_or(&run.end);
                let at = super::state::boundary(run.batches?, u64::from(*part) + 1);
                let differs = execution.hash(run.first_batch.checked_add(at)?) != *end;
                Some((differs, wrong_part(run, states, &execution) == Some(*part)))
            }),
        _ => return None,
    };
    Some(found.unwrap_or((false, false)))
}

fn states_are_the_programs(s: &AppealSituation<'_>) -> bool {
    let AppealMove::RevealStates {
        batches, states, ..
    } = s.proposed
    else {
        return true;
    };
    execution(s).is_some_and(|(run, execution)| *states == states_inside(run, *batches, &execution))
}

fn batches_are_counted(s: &AppealSituation<'_>) -> bool {
    let AppealMove::RevealStates { batches, .. } = s.proposed else {
        return true;
    };
    execution(s)
        .is_some_and(|(run, execution)| *batches == run.batches.unwrap_or(execution.batches()))
}

fn favours_the_party(s: &AppealSituation<'_>) -> bool {
    match s.proposed {
        AppealMove::Step { .. } => {
            let judged =
                execution(s).and_then(|(run, execution)| judge(&s.view.phase, run, &execution));
            judged.map(speaks_for) == Some(s.role)
        }
        AppealMove::ResolveSlot { proof, .. } => {
            speaks_for(proof.digest == s.view.claimed) == s.role
        }
        _ => true,
    }
}

fn shown_opens(s: &AppealSituation<'_>) -> bool {
    use gavel_trace::FineIndex;
    match (s.proposed, s.view.place) {
        (AppealMove::Step { proof, .. }, FineIndex::Op(op)) => {
            let expected = execution(s).and_then(|(run, execution)| {
                let keccak = super::state::keccak(&proof.machine);
                let proof = step_proof(&roots(s), operator(s)?, &execution, run.first_batch)?;
                (keccak == run.start).then_some(proof)
            });
            let halted = proof.machine.len() != MACHINE_BYTES;
            expected.as_ref() == Some(&**proof) && (halted || roots(s).step_opens(op, proof))
        }
        (AppealMove::ResolveSlot { proof, .. }, FineIndex::Live(slot)) => {
            roots(s).slot_opens(slot, proof)
        }
        (AppealMove::Step { .. } | AppealMove::ResolveSlot { .. }, _) => false,
        _ => true,
    }
}
