//! The engine: options, and the ways to run a model.

use std::sync::Arc;

use gavel_model::{Model, Segment, Source};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::Isa;
use gavel_trace::{FineTrace, Level1, live_root};

use crate::clock::Stopwatch;
use crate::exec::Exec;
use crate::pool::Pool;
use crate::trace::{FineRun, RunOutput, Timing, Trace};
use crate::{EngineError, NodeObserver, binding, hash, memory};

/// How an engine runs. None of it changes a bit of any result.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads; 0 means one per CPU.
    pub threads: usize,
    /// Instruction set; `None` means the one forced by `GAVEL_ISA`, else the widest of this CPU.
    pub isa: Option<Isa>,
    /// Most bytes of intermediate tensors that a run may hold at once, weights apart.
    pub max_tensor_bytes: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            threads: 0,
            isa: None,
            max_tensor_bytes: 1 << 30,
        }
    }
}

impl EngineOptions {
    /// As [`Engine::check`], before there is an engine.
    ///
    /// # Errors
    /// The memory bound.
    pub fn check(&self, model: &Model) -> Result<(), EngineError> {
        memory::check(model, self.max_tensor_bytes)
    }
}

/// Runs models. Holds threads and limits, no model and no state: one engine serves all.
pub struct Engine {
    pub(crate) isa: Isa,
    pub(crate) pool: Pool,
    pub(crate) max_tensor_bytes: u64,
}

impl Engine {
    /// An engine with these options.
    ///
    /// # Errors
    /// The instruction set is absent, or threads cannot be started.
    pub fn new(options: EngineOptions) -> Result<Engine, EngineError> {
        let isa = match options.isa {
            Some(isa) => isa,
            None => Isa::from_env()?,
        };
        let pool = Pool::new(options.threads)?;
        Ok(Engine {
            isa,
            pool,
            max_tensor_bytes: options.max_tensor_bytes,
        })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Whether a run of `model` and the fine trace of each of its segments stay within the memory bound. Known from
    /// shapes: nothing is computed.
    ///
    /// # Errors
    /// The memory bound.
    pub fn check(&self, model: &Model) -> Result<(), EngineError> {
        memory::check(model, self.max_tensor_bytes)
    }

    /// Runs `model` on `inputs`, given in the order of the model's inputs (see [`crate::bind`]).
    ///
    /// # Errors
    /// Inputs that do not fit, the memory bound, a malformed model.
    pub fn run(&self, model: &Model, inputs: &[Tensor]) -> Result<RunOutput, EngineError> {
        self.run_all(model, &[inputs], None).and_then(only)
    }

    /// Runs `model` on every item, node by node over all of them. Each result has the bits of its
    /// item run alone.
    ///
    /// # Errors
    /// As [`Engine::run`]; one bad item refuses the batch.
    pub fn run_batch<I: AsRef<[Tensor]>>(
        &self,
        model: &Model,
        items: &[I],
    ) -> Result<Vec<RunOutput>, EngineError> {
        let items: Vec<&[Tensor]> = items.iter().map(AsRef::as_ref).collect();
        self.run_all(model, &items, None)
    }

    /// [`Engine::run`] with an observer that sees, and may change, every node's output.
    ///
    /// # Errors
    /// As [`Engine::run`], or an observer that changed a type.
    pub fn run_observed(
        &self,
        model: &Model,
        inputs: &[Tensor],
        observer: &mut dyn NodeObserver,
    ) -> Result<RunOutput, EngineError> {
        self.run_all(model, &[inputs], Some(observer))
            .and_then(only)
    }

    fn run_all(
        &self,
        model: &Model,
        items: &[&[Tensor]],
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<Vec<RunOutput>, EngineError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let outputs: Vec<Source> = model
            .graph()
            .outputs
            .iter()
            .map(|(_, source)| *source)
            .collect();
        let mut exec = Exec::new(
            self,
            model,
            items.len(),
            0..model.graph().nodes.len(),
            &outputs,
        );
        provide_inputs(&mut exec, model, items)?;
        let start = Stopwatch::start();
        let mut input_digests = Vec::with_capacity(items.len());
        for inputs in items {
            let tensors: Vec<&Tensor> = inputs.iter().collect();
            input_digests.push(live_root(
                model.header().live_height,
                &hash::digests(&self.pool, &tensors),
            )?);
        }
        let input_hashing = start.elapsed();
        let mut leaves = vec![Vec::with_capacity(model.segments().len()); items.len()];
        for segment in model.segments() {
            exec.run(range(segment), &mut observer)?;
            for (item, live) in exec.digests(&segment.live)?.iter().enumerate() {
                leaves[item].push(live_root(model.header().live_height, live)?);
            }
        }
        let share = items.len() as u32;
        let timing = Timing {
            compute: exec.compute / share,
            hashing: exec.hashing / share,
            input_hashing: input_hashing / share,
        };
        let mut results = Vec::with_capacity(items.len());
        for (item, (leaves, input_digest)) in leaves.into_iter().zip(input_digests).enumerate() {
            let level1 = Level1::of_model(model.header(), leaves)?;
            let outputs = outputs
                .iter()
                .map(|source| exec.value(item, source))
                .collect::<Result<_, _>>()?;
            results.push(RunOutput {
                outputs,
                trace: Trace {
                    level1,
                    input_digest,
                },
                timing,
            });
        }
        Ok(results)
    }

    /// The tensors that are live before `segment` in a run on `inputs`: its inputs in a dispute, in the
    /// order of the live list (of the graph inputs for segment 0). The observer, if any, is that of
    /// the run that is being retraced.
    ///
    /// # Errors
    /// As [`Engine::run`]; a segment that the model does not have.
    pub fn live_before(
        &self,
        model: &Model,
        inputs: &[Tensor],
        segment: usize,
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<Vec<Arc<Tensor>>, EngineError> {
        let (sources, first) = self.sources_before(model, segment)?;
        let mut exec = Exec::new(self, model, 1, 0..first, &sources);
        provide_inputs(&mut exec, model, &[inputs])?;
        exec.run(0..first, &mut observer)?;
        sources.iter().map(|source| exec.value(0, source)).collect()
    }

    /// Recomputes one segment from the tensors live before it, and builds its fine trace. The
    /// observer, if any, is that of the run that is being retraced.
    ///
    /// # Errors
    /// Live tensors that do not fit, the memory bound, a segment that the model does not have.
    pub fn fine_trace(
        &self,
        model: &Model,
        segment: usize,
        live: &[Arc<Tensor>],
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<FineRun, EngineError> {
        let (sources, _) = self.sources_before(model, segment)?;
        if sources.len() != live.len() {
            return Err(EngineError::LiveCount {
                segment,
                expected: sources.len(),
                found: live.len(),
            });
        }
        let nodes = range(&model.segments()[segment]);
        let ops: Vec<Source> = nodes
            .clone()
            .map(|node| Source::node(node as u32))
            .collect();
        let ends = &model.segments()[segment].live;
        let keep: Vec<Source> = ops.iter().chain(ends).copied().collect();
        let mut exec = Exec::new(self, model, 1, nodes.clone(), &keep);
        for (source, tensor) in sources.iter().zip(live) {
            check_live(model, segment, source, tensor)?;
            exec.provide(0, source, Arc::clone(tensor))?;
        }
        exec.run(nodes, &mut observer)?;
        let op_digests = exec.digests(&ops)?.pop().unwrap_or_default();
        let live_digests = exec.digests(ends)?.pop().unwrap_or_default();
        let header = model.header();
        Ok(FineRun {
            tensors: ops
                .iter()
                .map(|source| exec.value(0, source))
                .collect::<Result<_, _>>()?,
            live: ends
                .iter()
                .map(|source| exec.value(0, source))
                .collect::<Result<_, _>>()?,
            trace: FineTrace::new(
                header.ops_height,
                op_digests,
                header.live_height,
                live_digests,
            )?,
        })
    }

    /// What is live before `segment`, and its first node.
    fn sources_before(
        &self,
        model: &Model,
        segment: usize,
    ) -> Result<(Vec<Source>, usize), EngineError> {
        let missing = EngineError::Segment {
            segment,
            segments: model.segments().len(),
        };
        let first = model.segments().get(segment).ok_or(missing)?.first_node as usize;
        let sources = match segment
            .checked_sub(1)
            .and_then(|before| model.segments().get(before))
        {
            Some(before) => before.live.clone(),
            None => (0..model.graph().inputs.len() as u32)
                .map(Source::Input)
                .collect(),
        };
        Ok((sources, first))
    }
}

/// The only result of a run of one item.
fn only(mut results: Vec<RunOutput>) -> Result<RunOutput, EngineError> {
    results
        .pop()
        .ok_or_else(|| EngineError::Model("no result".to_owned()))
}

pub(crate) fn range(segment: &Segment) -> std::ops::Range<usize> {
    let first = segment.first_node as usize;
    first..first + segment.op_count as usize
}

fn provide_inputs(
    exec: &mut Exec<'_>,
    model: &Model,
    items: &[&[Tensor]],
) -> Result<(), EngineError> {
    for (item, inputs) in items.iter().enumerate() {
        binding::check(model, inputs)?;
        for (i, tensor) in inputs.iter().enumerate() {
            exec.provide(item, &Source::Input(i as u32), Arc::new(tensor.clone()))?;
        }
    }
    Ok(())
}

/// A live tensor must have the type that the model gives its source.
fn check_live(
    model: &Model,
    segment: usize,
    source: &Source,
    tensor: &Tensor,
) -> Result<(), EngineError> {
    let expected = match *source {
        Source::Input(i) => model.graph().inputs.get(i as usize).map(|(_, ty)| ty),
        Source::Node { node, .. } => model
            .graph()
            .nodes
            .get(node as usize)
            .map(|node| &node.output),
        Source::Weight(_) => None,
    };
    match expected {
        Some(ty) if ty == tensor.ty() => Ok(()),
        Some(ty) => Err(EngineError::LiveMismatch {
            segment,
            expected: ty.to_string(),
            found: tensor.ty().to_string(),
        }),
        None => Err(EngineError::Model(format!("{source:?} cannot be live"))),
    }
}
