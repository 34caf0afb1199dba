//! Finding a fault by playing the whole dissection in memory: the measurement behind `gavel bench isolate`.

use std::sync::Arc;

use gavel_dispute::{CourtModel, CourtSetup, Knowledge, Phase, Policy, Role, Side, decide};
use gavel_numerics::Tensor;
use gavel_trace::{Digest, FineIndex};

use crate::faults::one_ulp::OneUlp;
use crate::faults::{Fault, FaultyExecutor};
use crate::{EngineExecutor, Executor, ExecutorError, RunKnowledge};

/// Moves after which a game that has not ended counts as stuck; real ones take a dozen.
const MOVES_MOST: usize = 1024;
/// Draws after which a model counts as absorbing everything.
const DRAWS_MOST: u64 = 512;

/// Where a game between two runs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// The node that was falsified, in canonical order.
    pub node: usize,
    /// The element of its output.
    pub element: usize,
    /// The place that the game isolated, in its segment.
    pub isolated: FineIndex,
    /// The leaf of level 1 that the segment ends at.
    pub leaf_index: u64,
    /// The isolated node in canonical order; `None` for a live slot.
    pub isolated_node: Option<usize>,
    /// Whether the isolated operator is the falsified one.
    pub exact: bool,
    /// Rounds: one reveal (or posted segment) and one pick.
    pub rounds: u32,
    /// Moves of both sides.
    pub moves: u32,
}

/// Falsifies one element of one node's output by one unit in the last place, commits that run, and plays
/// the game against an honest challenger, both sides by [`decide`] against the court's rules.
///
/// `None` where the fault is *absorbed*: it changes nothing that is committed (a negative value that the
/// next Relu cuts off, a NaN, which has no neighbour), so both runs have the same trace root, the result is right, and
/// there is nothing to dispute.
///
/// # Errors
/// The executor's; a node or element that is not there is absorbed, not an error.
pub fn isolate_fault(
    executor: &Arc<EngineExecutor>,
    model_id: &Digest,
    inputs: &[Tensor],
    node: usize,
    element: usize,
) -> Result<Option<Isolation>, ExecutorError> {
    let ulp = OneUlp { node, element };
    let faulty = FaultyExecutor::one_ulp_at(Arc::clone(executor), ulp);
    let provider = RunKnowledge::new(&faulty, faulty.run(model_id, inputs)?);
    let challenger = RunKnowledge::new(executor.as_ref(), executor.run(model_id, inputs)?);
    let (committed, own) = (&provider.run().trace, &challenger.run().trace);
    if committed.trace_root() == own.trace_root() {
        return Ok(None);
    }
    let model = &challenger.run().model;
    let court = CourtModel::open(
        CourtSetup {
            model: *model.header(),
            steps: committed.steps(),
            input_digest: committed.input_digest,
            level1_root: committed.level1.tree().root(),
            clock_budget: u32::MAX,
            clock_increment: 0,
            referee_seconds: u32::MAX,
            appeal_window: u32::MAX,
            max_earlier: 0,
        },
        0,
    );
    let court = play(court, &provider, &challenger);
    let (
        Phase::Isolated {
            place: isolated, ..
        },
        Some(segment),
    ) = (&court.view().phase, court.view().segment)
    else {
        return Err(ExecutorError::NotIsolated {
            moves: court.moves(),
        });
    };
    let isolated = *isolated;
    let isolated_node = match isolated {
        FineIndex::Op(i) => Some((segment.first_node + i) as usize),
        FineIndex::Live(_) => None,
    };
    Ok(Some(Isolation {
        node,
        element,
        isolated,
        leaf_index: segment.leaf_index,
        isolated_node,
        exact: isolated_node == Some(node),
        rounds: court.moves().div_ceil(2),
        moves: court.moves(),
    }))
}

/// Faults of a seed that were tried in [`isolate_random`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomIsolation {
    /// The first one that changed what is committed.
    pub isolation: Isolation,
    /// Those before it, which were absorbed.
    pub absorbed: Vec<OneUlp>,
}

/// [`isolate_fault`] at a node drawn with equal chances, and an element of its output; absorbed faults
/// are drawn again, and counted.
///
/// # Errors
/// The executor's; [`ExecutorError::Absorbed`] where nothing that was tried is ever committed.
pub fn isolate_random(
    executor: &Arc<EngineExecutor>,
    model_id: &Digest,
    inputs: &[Tensor],
    seed: u64,
) -> Result<RandomIsolation, ExecutorError> {
    let model = executor.known(model_id)?;
    let mut absorbed = Vec::new();
    for index in 0..DRAWS_MOST {
        let Some(ulp) = OneUlp::draw(&model, seed, index) else {
            continue;
        };
        match isolate_fault(executor, model_id, inputs, ulp.node, ulp.element)? {
            Some(isolation) => {
                return Ok(RandomIsolation {
                    isolation,
                    absorbed,
                });
            }
            None => absorbed.push(ulp),
        }
    }
    Err(ExecutorError::Absorbed {
        fault: Fault::OneUlp,
        tried: DRAWS_MOST,
    })
}

/// Lets both sides move in turn until neither does: at the isolation, unless something is wrong.
fn play(mut court: CourtModel, provider: &dyn Knowledge, challenger: &dyn Knowledge) -> CourtModel {
    let policy = Policy::default();
    for _ in 0..MOVES_MOST {
        let (role, knowledge) = match court.view().turn() {
            Some((Side::Provider, _)) => (Role::Provider, provider),
            Some((Side::Challenger, _)) => (Role::Challenger, challenger),
            None => break,
        };
        let proposed = decide(court.view(), role, knowledge, &policy, 0);
        match proposed.map(|proposed| court.apply(role, &proposed, 0)) {
            Some(Ok(())) => {}
            _ => break,
        }
    }
    court
}
