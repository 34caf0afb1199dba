//! What a model's tensors take, by its shapes alone: known before anything is computed.

use std::collections::BTreeMap;
use std::ops::Range;

use gavel_model::{Model, Source};

use crate::EngineError;
use crate::exec::last_uses;

/// Whether a run of one item, and the fine trace of every segment, stay within `bound`. Both count: who
/// can run a model and not retrace it loses its disputes.
pub(crate) fn check(model: &Model, bound: u64) -> Result<(), EngineError> {
    let (inputs, outputs) = ends(model);
    let nodes = model.graph().nodes.len();
    simulate(model, bound, &inputs, 0..nodes, &outputs)?;
    let mut before = &inputs;
    for segment in model.segments() {
        let nodes = crate::exec::range(segment);
        let ops = nodes.clone().map(|node| Source::node(node as u32));
        let keep: Vec<Source> = ops.chain(segment.live.iter().copied()).collect();
        simulate(model, bound, before, nodes, &keep)?;
        before = &segment.live;
    }
    Ok(())
}

/// Most bytes that a run of one item holds; more than there can be where that is not known.
pub(crate) fn peak(model: &Model) -> u64 {
    let (inputs, outputs) = ends(model);
    let nodes = 0..model.graph().nodes.len();
    simulate(model, u64::MAX - 1, &inputs, nodes, &outputs).unwrap_or(u64::MAX)
}

/// What is given, and what is kept.
fn ends(model: &Model) -> (Vec<Source>, Vec<Source>) {
    let graph = model.graph();
    let inputs = (0..graph.inputs.len() as u32).map(Source::Input);
    let outputs = graph.outputs.iter().map(|(_, source)| *source);
    (inputs.collect(), outputs.collect())
}

/// The accounting of `Exec` without tensors: `given` is held from the start, `keep` to the end.
fn simulate(
    model: &Model,
    bound: u64,
    given: &[Source],
    nodes: Range<usize>,
    keep: &[Source],
) -> Result<u64, EngineError> {
    let bytes = |source: Source| {
        let ty = model.type_of(source);
        ty.and_then(|ty| ty.byte_len().ok())
            .map_or(u64::MAX, |bytes| bytes as u64)
    };
    let mut held: BTreeMap<Source, u64> = given.iter().map(|&s| (s, bytes(s))).collect();
    let mut total = held.values().fold(0u64, |sum, b| sum.saturating_add(*b));
    let mut most = total;
    let dead_after = last_uses(model, &nodes, keep);
    for index in nodes {
        let own = Source::node(index as u32);
        let output = bytes(own);
        total = total.saturating_add(output);
        if total > bound {
            let node = model.graph().nodes.get(index);
            return Err(EngineError::Memory {
                node: node.map(|node| node.name.clone()).unwrap_or_default(),
                needed: total,
                bound,
            });
        }
        most = most.max(total);
        held.insert(own, output);
        for source in dead_after.get(&index).into_iter().flatten() {
            total -= held.remove(source).unwrap_or(0);
        }
    }
    Ok(most)
}
