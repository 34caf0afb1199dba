//! The engine: options, and the ways to run a model.

use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_numerics::kernels::{Isa, Parallel as _};

use crate::plan::Plans;
use crate::team::Team;
use crate::trace::RunOutput;
use crate::{EngineError, NodeObserver, memory};

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

/// Runs models. Holds threads and limits, and of the models that ran last their packed weights; one engine serves all.
pub struct Engine {
    pub(crate) isa: Isa,
    pub(crate) team: Team,
    pub(crate) max_tensor_bytes: u64,
    pub(crate) plans: Plans,
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
        let threads = options.threads;
        let team = Team::new(threads).map_err(|source| EngineError::Threads { threads, source })?;
        Ok(Engine {
            isa,
            team,
            max_tensor_bytes: options.max_tensor_bytes,
            plans: Plans::default(),
        })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads in use.
    pub fn threads(&self) -> usize {
        self.team.workers()
    }

    /// Whether a run of `model` and the fine trace of each of its segments stay within the memory bound. Known from
    /// shapes: nothing is computed.
    ///
    /// # Errors
    /// The memory bound.
    pub fn check(&self, model: &Model) -> Result<(), EngineError> {
        memory::check(model, self.max_tensor_bytes)
    }

    /// Runs `model` on `inputs`, given in the order of the model's inputs (see [`crate::bind`]): one step, or, where the
    /// model may take more, the steps up to the first whose output 0 is 1.
    ///
    /// # Errors
    /// Inputs that do not fit, the memory bound, a malformed model.
    pub fn run(&self, model: &Model, inputs: &[Tensor]) -> Result<RunOutput, EngineError> {
        self.run_all(model, &[inputs], None).and_then(only)
    }

    /// Runs so many steps, whatever output 0 says: how a claim of another length is followed to its end.
    ///
    /// # Errors
    /// As [`Engine::run`], and a number of steps that no run of the model has.
    pub fn run_steps(
        &self,
        model: &Model,
        inputs: &[Tensor],
        steps: u32,
        mut observer: Option<&mut dyn NodeObserver>,
    ) -> Result<RunOutput, EngineError> {
        let max_steps = model.header().max_steps;
        if steps == 0 || steps > max_steps {
            return Err(EngineError::Steps { steps, max_steps });
        }
        self.run_loop(model, &[inputs], Some(steps), &mut observer)
            .and_then(only)
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
        if model.header().max_steps == 1 {
            return self.run_loop(model, items, None, &mut observer);
        }
        // items stop at steps of their own
        let alone = |item: &&[Tensor]| {
            self.run_loop(model, &[*item], None, &mut observer)
                .and_then(only)
        };
        items.iter().map(alone).collect()
    }
}

/// The only result of a run of one item.
fn only(mut results: Vec<RunOutput>) -> Result<RunOutput, EngineError> {
    results
        .pop()
        .ok_or_else(|| EngineError::Model("no result".to_owned()))
}
