//! Retracing a run for a dispute: what was live before a segment, and every operator inside it.

use std::sync::Arc;

use gavel_model::{Model, Source};
use gavel_numerics::Tensor;
use gavel_trace::{CommitPoint, FineTrace};

use crate::exec::{Exec, range};
use crate::steps::{State, begin};
use crate::trace::FineRun;
use crate::{Engine, EngineError, NodeObserver};

impl Engine {
    /// The tensors that are live before a segment of a step in a run on `inputs`: its inputs in a dispute, in the
    /// order of the live list (of the graph inputs for segment 0). The observer, if any, is that of
    /// the run that is being retraced.
    ///
    /// # Errors
    /// As [`Engine::run`]; a step or a segment that no run of the model has.
    pub fn live_before(
        &self,
        model: &Model,
        inputs: &[Tensor],
        at: CommitPoint,
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<Vec<Arc<Tensor>>, EngineError> {
        sources_before(model, at)?;
        let mut state = State::of_inputs(model, inputs)?;
        for step in 0..at.step {
            begin(&mut observer, step);
            state = self.silent_step(model, state, &mut observer)?;
        }
        self.live_in_step(model, state, at, &mut observer)
    }

    /// [`live_before`](Self::live_before), given the inputs of the step: what the steps before it end in.
    ///
    /// # Errors
    /// Inputs that do not fit, the memory bound, a step or a segment that no run of the model has.
    pub fn live_from(
        &self,
        model: &Model,
        state: &[Arc<Tensor>],
        at: CommitPoint,
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<Vec<Arc<Tensor>>, EngineError> {
        let state = State::of_tensors(model, state)?;
        self.live_in_step(model, state, at, &mut observer)
    }

    fn live_in_step(
        &self,
        model: &Model,
        state: State,
        at: CommitPoint,
        observer: &mut Option<&mut dyn NodeObserver>,
    ) -> Result<Vec<Arc<Tensor>>, EngineError> {
        let (sources, first) = sources_before(model, at)?;
        begin(observer, at.step);
        let mut exec = Exec::new(self, model, 1, 0..first, &sources);
        state.provide(&mut exec, 0)?;
        exec.run(0..first, observer)?;
        sources.iter().map(|source| exec.value(0, source)).collect()
    }

    /// Recomputes one segment of a step from the tensors live before it, and builds its fine trace. The
    /// observer, if any, is that of the run that is being retraced.
    ///
    /// # Errors
    /// Live tensors that do not fit, the memory bound, a step or a segment that no run of the model has.
    pub fn fine_trace(
        &self,
        model: &Model,
        at: CommitPoint,
        live: &[Arc<Tensor>],
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<FineRun, EngineError> {
        let (sources, _) = sources_before(model, at)?;
        let segment = at.segment as usize;
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
            exec.provide(0, source, Arc::clone(tensor), None)?;
        }
        begin(&mut observer, at.step);
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
}

/// What is live before a segment, and its first node.
fn sources_before(model: &Model, at: CommitPoint) -> Result<(Vec<Source>, usize), EngineError> {
    let segment = at.segment as usize;
    let max_steps = model.header().max_steps;
    if at.step >= max_steps {
        let steps = at.step.saturating_add(1);
        return Err(EngineError::Steps { steps, max_steps });
    }
    let missing = || EngineError::Segment {
        segment,
        segments: model.segments().len(),
    };
    let sources = model.live_before(at.segment).ok_or_else(missing)?;
    let first = model.segments()[segment].first_node as usize;
    Ok((sources, first))
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
