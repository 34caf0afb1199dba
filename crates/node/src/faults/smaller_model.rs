//! `smaller-model`: the provider runs a smaller model and claims its output under the big one's id.
//!
//! Of the trace only the two ends are real, the inputs and the outputs that it delivers; every digest
//! between them is made up, in the shape that the big model demands. Such a provider can play a dispute to the end, and
//! whatever operator is isolated is one that nobody ever computed.

use std::sync::Arc;

use gavel_engine::{FineRun, Trace};
use gavel_model::{Model, shipped};
use gavel_numerics::Tensor;
use gavel_trace::{Digest, FineTrace, Level1, live_root, node};

use super::draw;
use crate::{EngineExecutor, ExecutorError, RunRecord};

/// The shipped model that saves the work.
const SMALLER: &str = "digits-small";

/// What the provider delivers: the outputs of the smaller model where it takes the same inputs and gives
/// the same outputs, else zeros, from the smallest model that fits anything.
pub(super) fn run(
    honest: &EngineExecutor,
    model: &Arc<Model>,
    inputs: &[Tensor],
    input_digest: Digest,
    seed: u64,
) -> Result<RunRecord, ExecutorError> {
    let outputs = match smaller(honest, model, inputs)? {
        Some(outputs) => outputs,
        None => zeros(model)?,
    };
    let header = model.header();
    let mut leaves = Vec::with_capacity(model.segments().len());
    for segment in 0..model.segments().len() {
        let live = live(model, &outputs, segment, seed);
        leaves.push(live_root(header.live_height, &live)?);
    }
    Ok(RunRecord {
        model: Arc::clone(model),
        inputs: inputs.to_vec(),
        outputs,
        trace: Trace {
            level1: Level1::of_model(header, leaves)?,
            input_digest,
        },
    })
}

/// A segment of the made-up trace. There are no tensors behind it.
pub(super) fn fine(run: &RunRecord, segment: usize, seed: u64) -> Result<FineRun, ExecutorError> {
    let header = run.model.header();
    let ops = run.model.segments().get(segment).map_or(0, |s| s.op_count);
    let ops = (0..u64::from(ops)).map(|i| made_up(seed, segment, i, 0));
    let live = live(&run.model, &run.outputs, segment, seed);
    Ok(FineRun {
        tensors: Vec::new(),
        live: Vec::new(),
        trace: FineTrace::new(header.ops_height, ops.collect(), header.live_height, live)?,
    })
}

/// Digests of the live tensors at the end of a segment: real ones for the outputs.
fn live(model: &Model, outputs: &[Arc<Tensor>], segment: usize, seed: u64) -> Vec<Digest> {
    if segment + 1 == model.segments().len() {
        return outputs.iter().map(|t| gavel_engine::digest(t)).collect();
    }
    let slots = model.segments().get(segment).map_or(0, |s| s.live.len());
    (0..slots as u64)
        .map(|slot| made_up(seed, segment, slot, 1))
        .collect()
}

/// Bytes that look like a digest.
fn made_up(seed: u64, segment: usize, index: u64, tree: u64) -> Digest {
    let mut bytes = [0; 32];
    for (word, out) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let place = (segment as u64) << 40 | index << 8 | tree << 4 | word as u64;
        *out = draw(seed, place).to_be_bytes();
    }
    node(&Digest(bytes), &Digest(bytes))
}

fn smaller(
    honest: &EngineExecutor,
    model: &Model,
    inputs: &[Tensor],
) -> Result<Option<Vec<Arc<Tensor>>>, ExecutorError> {
    let small = shipped::load(SMALLER)?;
    let types = |model: &Model| -> Vec<_> {
        let (graph, ty) = (model.graph(), |source| model.type_of(source).cloned());
        let inputs = graph.inputs.iter().map(|(_, ty)| Some(ty.clone()));
        let outputs = graph.outputs.iter().map(|(_, source)| ty(*source));
        inputs.chain(outputs).collect()
    };
    if types(&small) != types(model) {
        return Ok(None);
    }
    Ok(Some(honest.engine().run(&small, inputs)?.outputs))
}

fn zeros(model: &Model) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
    let sources = model.graph().outputs.iter().map(|(_, source)| *source);
    sources
        .filter_map(|source| model.type_of(source))
        .map(|ty| {
            let raw = vec![0; ty.elements()?];
            Ok(Arc::new(Tensor::from_raw(ty.clone(), &raw)?))
        })
        .collect()
}
