//! Whether a provider's claim about one place is true: what its rulings are measured by.

use gavel_engine::digest;
use gavel_node::{EngineExecutor, Executor, RunRecord};
use gavel_numerics::Tensor;
use gavel_trace::{Digest, FineIndex};

/// What a place gives, computed again from the provider's own inputs; from an honest run's where the provider made its
/// trace up and has none.
pub(crate) fn honest_digest(
    honest: &EngineExecutor,
    provider: &dyn Executor,
    run: &RunRecord,
    leaf: u64,
    place: FineIndex,
) -> Option<Digest> {
    let fine = provider.fine(run, leaf).ok()?;
    let at = run.commit_point(leaf).ok()?;
    let own = run.model.segments().get(at.segment as usize)?;
    match place {
        FineIndex::Live(slot) if fine.live.len() == own.live.len() => {
            fine.live.get(slot as usize).map(|tensor| digest(tensor))
        }
        FineIndex::Op(index) if fine.tensors.len() == own.op_count as usize => {
            let live = provider.live_before(run, leaf).ok()?;
            let mut found = None;
            // every operator but this one leaves what the provider says that it left
            let mut observer = |node: usize, output: &mut Tensor| {
                let place = node.wrapping_sub(own.first_node as usize);
                if place == index as usize {
                    found = Some(digest(output));
                } else if let Some(shown) = fine.tensors.get(place) {
                    output.clone_from(shown);
                }
            };
            let engine = honest.engine();
            let again = engine.fine_trace(&run.model, at, &live, Some(&mut observer));
            again.ok().and(found)
        }
        _ => {
            let run = honest.run(&run.model.model_id(), &run.inputs).ok()?;
            let fine = honest.fine(&run, leaf).ok()?;
            let (leaves, at) = match place {
                FineIndex::Op(index) => (fine.trace.ops().leaves(), index),
                FineIndex::Live(slot) => (fine.trace.live().leaves(), slot),
            };
            leaves.get(at as usize).copied()
        }
    }
}
