//! Faults of computation: another model, or a machine that errs.

use std::sync::Arc;

use gavel_engine::{FineRun, NodeObserver, RunOutput};
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::CommitPoint;

use super::one_ulp::OneUlp;
use super::{Fault, weight};
use crate::{EngineExecutor, ExecutorError};

/// Candidates tried before a fault counts as absorbed everywhere.
const TRIES: u64 = 512;

/// How a run deviates.
#[derive(Clone, Debug)]
pub(super) struct Deviation {
    /// What is really run; its graph is the registered one.
    pub(super) model: Arc<Model>,
    /// The elements that the machine gets wrong.
    pub(super) ulps: Ulps,
}

/// Several elements that one machine gets wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Ulps(Vec<OneUlp>);

impl Ulps {
    fn and(&self, one: OneUlp) -> Ulps {
        let mut all = self.0.clone();
        all.push(one);
        Ulps(all)
    }
}

impl NodeObserver for Ulps {
    fn after_node(&mut self, item: usize, node: usize, output: &mut Tensor) {
        for ulp in &mut self.0 {
            ulp.after_node(item, node, output);
        }
    }

    fn begin_step(&mut self, step: u32) {
        for ulp in &mut self.0 {
            ulp.begin_step(step);
        }
    }
}

impl Deviation {
    /// An honest run.
    pub(super) fn none(model: Arc<Model>) -> Deviation {
        Deviation {
            model,
            ulps: Ulps::default(),
        }
    }

    /// The same, with one more element wrong.
    pub(super) fn and(&self, ulp: OneUlp) -> Deviation {
        Deviation {
            model: Arc::clone(&self.model),
            ulps: self.ulps.and(ulp),
        }
    }

    /// The run.
    pub(super) fn run(
        &self,
        honest: &EngineExecutor,
        inputs: &[Tensor],
    ) -> Result<RunOutput, ExecutorError> {
        let mut ulps = self.ulps.clone();
        Ok(honest
            .engine()
            .run_observed(&self.model, inputs, &mut ulps)?)
    }

    /// What is live before a segment of the run.
    pub(super) fn live_before(
        &self,
        honest: &EngineExecutor,
        inputs: &[Tensor],
        at: CommitPoint,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        let mut ulps = self.ulps.clone();
        let engine = honest.engine();
        Ok(engine.live_before(&self.model, inputs, at, Some(&mut ulps))?)
    }

    /// A segment of the run.
    pub(super) fn fine(
        &self,
        honest: &EngineExecutor,
        inputs: &[Tensor],
        at: CommitPoint,
    ) -> Result<FineRun, ExecutorError> {
        let live = self.live_before(honest, inputs, at)?;
        let mut ulps = self.ulps.clone();
        let engine = honest.engine();
        Ok(engine.fine_trace(&self.model, at, &live, Some(&mut ulps))?)
    }

    /// This deviation and one more: the first candidate of the seed that changes what is committed. A
    /// deviation that changes nothing committed is no lie, and nobody is harmed by it.
    pub(super) fn with(
        &self,
        fault: Fault,
        honest: &EngineExecutor,
        inputs: &[Tensor],
        seed: u64,
    ) -> Result<Deviation, ExecutorError> {
        let before = self.run(honest, inputs)?.trace.trace_root();
        for index in 0..TRIES {
            let candidate = match fault {
                Fault::Weight => {
                    weight::falsified(&self.model, seed, index)?.map(|model| Deviation {
                        model: Arc::new(model),
                        ulps: self.ulps.clone(),
                    })
                }
                _ => OneUlp::draw(&self.model, seed, index).map(|ulp| self.and(ulp)),
            };
            if let Some(candidate) = candidate
                && candidate.run(honest, inputs)?.trace.trace_root() != before
            {
                return Ok(candidate);
            }
        }
        Err(ExecutorError::Absorbed {
            fault,
            tried: TRIES,
        })
    }
}
