//! Faults of computation: another model, or a machine that errs.

use std::sync::Arc;

use gavel_engine::{FineRun, NodeObserver, RunOutput};
use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::CommitPoint;

use super::changed_token::ChangedToken;
use super::one_ulp::OneUlp;
use super::skipped_steps::SkippedSteps;
use super::{Fault, cheaper_quantisation, weight};
use crate::{EngineExecutor, ExecutorError};

/// Candidates tried before a fault counts as absorbed everywhere.
const TRIES: u64 = 512;

/// How a run deviates.
#[derive(Clone, Debug)]
pub(super) struct Deviation {
    /// What is really run; its graph is the registered one.
    pub(super) model: Arc<Model>,
    /// What the machine gets wrong.
    pub(super) errors: Errors,
}

/// Something that a machine gets wrong.
#[derive(Clone, Debug)]
pub(super) enum MachineError {
    Ulp(OneUlp),
    Token(ChangedToken),
    Steps(SkippedSteps),
}

/// All that one machine gets wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors(Vec<MachineError>);

impl Errors {
    fn and(&self, one: MachineError) -> Errors {
        let mut all = self.0.clone();
        all.push(one);
        Errors(all)
    }

    fn each(&mut self, mut f: impl FnMut(&mut dyn NodeObserver)) {
        for error in &mut self.0 {
            match error {
                MachineError::Ulp(ulp) => f(ulp),
                MachineError::Token(token) => f(token),
                MachineError::Steps(steps) => f(steps),
            }
        }
    }
}

impl NodeObserver for Errors {
    fn begin_step(&mut self, step: u32) {
        self.each(|error| error.begin_step(step));
    }

    fn after_node(&mut self, item: usize, node: usize, output: &mut Tensor) {
        self.each(|error| error.after_node(item, node, output));
    }
}

impl Deviation {
    /// An honest run.
    pub(super) fn none(model: Arc<Model>) -> Deviation {
        Deviation {
            model,
            errors: Errors::default(),
        }
    }

    /// The same, with one more thing wrong.
    pub(super) fn and(&self, error: MachineError) -> Deviation {
        Deviation {
            model: Arc::clone(&self.model),
            errors: self.errors.and(error),
        }
    }

    /// The same on another model.
    fn on(&self, model: gavel_model::Model) -> Deviation {
        Deviation {
            model: Arc::new(model),
            errors: self.errors.clone(),
        }
    }

    /// The run.
    pub(super) fn run(
        &self,
        honest: &EngineExecutor,
        inputs: &[Tensor],
    ) -> Result<RunOutput, ExecutorError> {
        let mut errors = self.errors.clone();
        Ok(honest
            .engine()
            .run_observed(&self.model, inputs, &mut errors)?)
    }

    /// What is live before a segment of the run.
    pub(super) fn live_before(
        &self,
        honest: &EngineExecutor,
        inputs: &[Tensor],
        at: CommitPoint,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        let mut errors = self.errors.clone();
        let engine = honest.engine();
        Ok(engine.live_before(&self.model, inputs, at, Some(&mut errors))?)
    }

    /// A segment of the run.
    pub(super) fn fine(
        &self,
        honest: &EngineExecutor,
        inputs: &[Tensor],
        at: CommitPoint,
    ) -> Result<FineRun, ExecutorError> {
        let mut errors = self.errors.clone();
        let engine = honest.engine();
        let live = engine.live_before(&self.model, inputs, at, Some(&mut errors))?;
        // the same machine goes on
        Ok(engine.fine_trace(&self.model, at, &live, Some(&mut errors))?)
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
        let before = self.run(honest, inputs)?.trace;
        let steps = before.steps();
        for index in 0..TRIES {
            let candidate = match fault {
                Fault::Weight => {
                    weight::falsified(&self.model, seed, index)?.map(|model| self.on(model))
                }
                // there is one way to do it
                Fault::CheaperQuantisation if index == 0 => {
                    cheaper_quantisation::of(&self.model)?.map(|model| self.on(model))
                }
                Fault::CheaperQuantisation => break,
                Fault::ChangedToken => ChangedToken::draw(&self.model, inputs, steps, seed, index)
                    .map(|token| self.and(MachineError::Token(token))),
                Fault::SkippedSteps => SkippedSteps::draw(&self.model, steps, seed, index)
                    .map(|skipped| self.and(MachineError::Steps(skipped))),
                _ => OneUlp::draw(&self.model, seed, index)
                    .map(|ulp| self.and(MachineError::Ulp(ulp))),
            };
            if let Some(candidate) = candidate
                && candidate.run(honest, inputs)?.trace != before
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
