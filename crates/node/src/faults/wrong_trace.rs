//! `wrong-trace`: the result is right, one commit point of the trace is not.
//!
//! One live slot of one commit point before the last carries a digest of nothing. Everything else is
//! honest, so a dispute runs to that slot, past a whole row of operators that agree.

use gavel_engine::{FineRun, Trace};
use gavel_model::Model;
use gavel_trace::{Digest, FineTrace, Level1, live_root, node};

use super::draw;
use crate::ExecutorError;

/// Where the lie is: a leaf of level 1 and a live slot there. `None` for a model with one commit point,
/// whose only leaf is the result itself.
pub(super) fn place(model: &Model, seed: u64) -> Option<(u64, usize)> {
    let intermediate = (model.segments().len() as u64).checked_sub(1)?;
    let leaf = draw(seed, 0).checked_rem(intermediate)?;
    let slots = model.segments().get(leaf as usize)?.live.len() as u64;
    let slot = draw(seed, 1).checked_rem(slots)?;
    Some((leaf, slot as usize))
}

/// The trace with the lie in it. `live` are the digests of what is really live at the lie's leaf.
pub(super) fn bend(
    model: &Model,
    trace: &Trace,
    (leaf, slot): (u64, usize),
    live: &[Digest],
) -> Result<Trace, ExecutorError> {
    let mut leaves = trace.leaves().to_vec();
    if let Some(bent) = leaves.get_mut(leaf as usize) {
        *bent = live_root(model.header().live_height, &bend_slot(live, slot))?;
    }
    Ok(Trace {
        level1: Level1::of_model(model.header(), leaves)?,
        input_digest: trace.input_digest,
    })
}

/// The segment that ends at the lie's leaf: its operators are right.
pub(super) fn bend_fine(
    model: &Model,
    fine: &FineRun,
    slot: usize,
) -> Result<FineRun, ExecutorError> {
    let header = model.header();
    Ok(FineRun {
        tensors: fine.tensors.clone(),
        live: fine.live.clone(),
        trace: FineTrace::new(
            header.ops_height,
            fine.trace.ops().leaves().to_vec(),
            header.live_height,
            bend_slot(fine.trace.live().leaves(), slot),
        )?,
    })
}

fn bend_slot(live: &[Digest], slot: usize) -> Vec<Digest> {
    let mut bent = live.to_vec();
    if let Some(digest) = bent.get_mut(slot) {
        *digest = node(digest, &Digest::ZERO);
    }
    bent
}
