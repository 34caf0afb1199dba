//! Where the time of a run goes, step by step of its plan.

use std::time::Duration;

use gavel_model::Model;
use gavel_numerics::Tensor;

use crate::exec::Exec;
use crate::steps::State;
use crate::{Engine, EngineError};

/// Nodes that were computed together, and how long that took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// Their places in the graph, in order.
    pub nodes: Vec<usize>,
    /// Wall-clock time.
    pub time: Duration,
}

impl Engine {
    /// Runs one step of `model` on `inputs` and says how long the parts of its plan took. Nothing is hashed.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn profile(&self, model: &Model, inputs: &[Tensor]) -> Result<Vec<StepTime>, EngineError> {
        self.check(model)?;
        let plan = self.plans.of(self.isa, model);
        let mut exec = Exec::planned(self, model, 1, plan);
        exec.profile = Some(Vec::new());
        State::of_inputs(model, inputs)?.provide(&mut exec, 0)?;
        exec.run(0..model.graph().nodes.len(), &mut None)?;
        Ok(exec.profile.unwrap_or_default())
    }
}
