//! Steps of a run, one after the other: the outputs of a step are the inputs of the next.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Model, Source};
use gavel_numerics::Tensor;
use gavel_trace::{Digest, Level1, live_root};

use crate::clock::Stopwatch;
use crate::exec::{Exec, range};
use crate::plan::Plan;
use crate::trace::{RunOutput, Timing, Trace};
use crate::{Engine, EngineError, NodeObserver, binding, hash};

/// The inputs of a step, with the digests that are known.
pub(crate) struct State(Vec<(Arc<Tensor>, Option<Digest>)>);

impl State {
    /// The state before step 0.
    pub(crate) fn of_inputs(model: &Model, inputs: &[Tensor]) -> Result<State, EngineError> {
        binding::check(model, inputs)?;
        let unhashed = |tensor: &Tensor| (Arc::new(tensor.clone()), None);
        Ok(State(inputs.iter().map(unhashed).collect()))
    }

    /// A state in the midst of a run.
    pub(crate) fn of_tensors(model: &Model, tensors: &[Arc<Tensor>]) -> Result<State, EngineError> {
        binding::check(model, tensors)?;
        Ok(State(
            tensors.iter().map(|t| (Arc::clone(t), None)).collect(),
        ))
    }

    /// Gives an item of a step these inputs.
    pub(crate) fn provide(self, exec: &mut Exec<'_>, item: usize) -> Result<(), EngineError> {
        for (i, (tensor, digest)) in self.0.into_iter().enumerate() {
            exec.provide(item, &Source::Input(i as u32), tensor, digest)?;
        }
        Ok(())
    }

    /// Whether the step that ended in this state was the last of its run.
    fn has_stopped(&self) -> bool {
        let stop = self.0.first().and_then(|(stop, _)| stop.as_i64());
        stop == Some(&[1])
    }
}

/// Tells the observer that a step begins.
pub(crate) fn begin(observer: &mut Option<&mut dyn NodeObserver>, step: u32) {
    if let Some(observer) = observer {
        observer.begin_step(step);
    }
}

fn output_sources(model: &Model) -> Vec<Source> {
    model.graph().outputs.iter().map(|(_, s)| *s).collect()
}

impl Engine {
    /// Runs every item the same number of steps: `steps`, or as many as the first item takes.
    pub(crate) fn run_loop(
        &self,
        model: &Model,
        items: &[&[Tensor]],
        steps: Option<u32>,
        observer: &mut Option<&mut dyn NodeObserver>,
    ) -> Result<Vec<RunOutput>, EngineError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut states = Vec::with_capacity(items.len());
        for inputs in items {
            states.push(State::of_inputs(model, inputs)?);
        }
        let start = Stopwatch::start();
        let height = model.header().live_height;
        let mut input_digests = Vec::with_capacity(items.len());
        for state in &mut states {
            let tensors: Vec<&Tensor> = state.0.iter().map(|(tensor, _)| &**tensor).collect();
            let digests = hash::digests(&self.team, &tensors);
            input_digests.push(live_root(height, &digests)?);
            for ((_, known), digest) in state.0.iter_mut().zip(digests) {
                *known = Some(digest);
            }
        }
        let share = items.len() as u32;
        let mut timing = Timing {
            input_hashing: start.elapsed() / share,
            ..Timing::default()
        };
        let mut leaves = vec![Vec::new(); items.len()];
        for step in 0..steps.unwrap_or(model.header().max_steps) {
            begin(observer, step);
            let (compute, hashing);
            (states, compute, hashing) = self.traced_step(model, states, &mut leaves, observer)?;
            timing.compute += compute / share;
            timing.hashing += hashing / share;
            if steps.is_none() && states.first().is_some_and(State::has_stopped) {
                break;
            }
        }
        let ends = states.into_iter().zip(leaves).zip(input_digests);
        ends.map(|((state, leaves), input_digest)| {
            let level1 = Level1::of_model(model.header(), leaves)?;
            Ok(RunOutput {
                outputs: state.0.into_iter().map(|(tensor, _)| tensor).collect(),
                trace: Trace {
                    level1,
                    input_digest,
                },
                timing,
            })
        })
        .collect()
    }

    /// One step of every item, with the live root at each commit point; the states after it, and the time spent on
    /// operators and on digests.
    fn traced_step(
        &self,
        model: &Model,
        states: Vec<State>,
        leaves: &mut [Vec<Digest>],
        observer: &mut Option<&mut dyn NodeObserver>,
    ) -> Result<(Vec<State>, Duration, Duration), EngineError> {
        let (items, outputs) = (states.len(), output_sources(model));
        let mut exec = self.exec(model, items, observer, &outputs);
        for (item, state) in states.into_iter().enumerate() {
            state.provide(&mut exec, item)?;
        }
        for segment in model.segments() {
            exec.run(range(segment), observer)?;
            for (leaves, live) in leaves.iter_mut().zip(exec.digests(&segment.live)?) {
                leaves.push(live_root(model.header().live_height, &live)?);
            }
        }
        let states = (0..items)
            .map(|item| state_after(&mut exec, item, &outputs))
            .collect::<Result<_, _>>()?;
        Ok((states, exec.compute, exec.hashing))
    }

    /// A run over all nodes: by a plan, or one by one for whoever looks at every node's output.
    fn exec<'a>(
        &'a self,
        model: &'a Model,
        items: usize,
        observer: &Option<&mut dyn NodeObserver>,
        outputs: &[Source],
    ) -> Exec<'a> {
        let sees_nodes = observer.as_ref().is_some_and(|o| o.sees_nodes());
        let plan = match sees_nodes {
            true => None,
            false => self.plan(model, items),
        };
        let nodes = 0..model.graph().nodes.len();
        match plan {
            Some(plan) => Exec::planned(self, model, items, plan),
            None => Exec::new(self, model, items, nodes, outputs),
        }
    }

    /// The plan of a model, unless so many items at once do not fit: then the node that is too much is found one by one.
    fn plan(&self, model: &Model, items: usize) -> Option<Arc<Plan>> {
        let plan = self.plans.of(self.isa, model);
        let needed = plan.peak_bytes.checked_mul(items as u64)?;
        (needed <= self.max_tensor_bytes).then_some(plan)
    }

    /// One step of one item, of which nothing is hashed.
    pub(crate) fn silent_step(
        &self,
        model: &Model,
        state: State,
        observer: &mut Option<&mut dyn NodeObserver>,
    ) -> Result<State, EngineError> {
        let (outputs, nodes) = (output_sources(model), model.graph().nodes.len());
        let mut exec = self.exec(model, 1, observer, &outputs);
        state.provide(&mut exec, 0)?;
        exec.run(0..nodes, observer)?;
        state_after(&mut exec, 0, &outputs)
    }
}

fn state_after(exec: &mut Exec<'_>, item: usize, outputs: &[Source]) -> Result<State, EngineError> {
    let known = outputs
        .iter()
        .map(|source| exec.value_with_digest(item, source));
    Ok(State(known.collect::<Result<_, _>>()?))
}
