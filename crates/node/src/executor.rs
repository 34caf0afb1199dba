//! Running models for the roles: verified models, cached runs, fine traces on demand.
//!
//! An [`Executor`] is what a party *computes with*. The honest one is [`EngineExecutor`]; the liars of
//! [`crate::faults`] are executors too, so that a role cannot tell and need not be told.

mod cache;
mod language;

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_engine::lm::LanguageError;
use gavel_engine::{Engine, EngineError, FineRun, Trace};
use gavel_model::diffusion::Diffusion;
use gavel_model::family::Family;
use gavel_model::{Model, ModelError};
use gavel_numerics::{NumericsError, Tensor};
use gavel_trace::{CommitPoint, Digest, TraceError, live_root};

pub(crate) use cache::Cache;
use language::{LanguageRunner, LanguageTask};

/// Runs kept by an executor.
const RUNS_KEPT: usize = 64;
/// Recomputed segments kept by an executor: a dispute asks for one, many times.
const SEGMENTS_KEPT: usize = 8;
/// Bindings of families kept by an executor: graphs and trees, the weights are shared.
const BINDINGS_KEPT: usize = 16;

/// Why an executor has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// Asked for a model that the executor does not have.
    #[error("no model {model_id} here")]
    UnknownModel {
        /// The model asked for.
        model_id: Digest,
    },
    /// A model file whose identity is another than the one it was fetched for.
    #[error("model file is not {expected}: its identity is {found}")]
    Identity {
        /// The identity that it should have.
        expected: Digest,
        /// The identity of what is in the file.
        found: Digest,
    },
    /// A model that the engine could not run or not retrace.
    #[error("model {model_id} cannot be served: {source}")]
    Unservable {
        /// The model.
        model_id: Digest,
        /// The engine's bound.
        source: Box<EngineError>,
    },
    /// A leaf of level 1 that the run does not have.
    #[error("the run has no commit point at leaf {leaf_index}")]
    Leaf {
        /// The leaf asked for.
        leaf_index: u64,
    },
    /// A fault that changes nothing that is committed, wherever it was tried.
    #[error("fault {fault} leaves no mark on this run after {tried} tries")]
    Absorbed {
        /// The fault.
        fault: crate::Fault,
        /// Places tried.
        tried: u64,
    },
    /// A game between two runs that differ ended without an isolated place.
    #[error("nothing was isolated after {moves} moves")]
    NotIsolated {
        /// Moves made.
        moves: u32,
    },
    /// Another process of the fleet is at it.
    #[error("a run of {model_id} is under way at a worker")]
    Pending {
        /// The model.
        model_id: Digest,
    },
    /// No process of the fleet could do it.
    #[error("no worker of the fleet could do a run: {why}")]
    GivenUp {
        /// What the last one said.
        why: String,
    },
    /// The process that models run in has no answer.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::SandboxError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine of a language model refused.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// An operator refused its operands.
    #[error(transparent)]
    Numerics(#[from] NumericsError),
    /// A model refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A trace that cannot be built.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// What identifies a run: execution is exact, so nothing else matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// The model.
    pub model_id: Digest,
    /// Digest of its inputs.
    pub input_digest: Digest,
}

/// One run as a party has it: what it commits to, and what its trace is made from.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The model that was asked for; the trace has its shape.
    pub model: Arc<Model>,
    /// The inputs, in the model's order.
    pub inputs: Vec<Tensor>,
    /// The graph outputs, in declared order.
    pub outputs: Vec<Arc<Tensor>>,
    /// What is committed.
    pub trace: Trace,
}

impl RunRecord {
    /// Its key.
    pub fn key(&self) -> RunKey {
        RunKey {
            model_id: self.model.model_id(),
            input_digest: self.trace.input_digest,
        }
    }

    /// The commit point at a leaf of level 1.
    ///
    /// # Errors
    /// The run has no such leaf.
    pub fn commit_point(&self, leaf_index: u64) -> Result<CommitPoint, ExecutorError> {
        let points = self.model.header().commit_points;
        let inside = leaf_index < self.trace.leaves().len() as u64;
        CommitPoint::at_leaf(leaf_index, points)
            .filter(|_| inside)
            .ok_or(ExecutorError::Leaf { leaf_index })
    }
}

/// The digest that a task binds its inputs by: the live root before segment 0.
///
/// # Errors
/// More inputs than the model's live height admits.
pub fn input_digest(model: &Model, inputs: &[Tensor]) -> Result<Digest, ExecutorError> {
    let digests: Vec<Digest> = inputs.iter().map(gavel_engine::digest).collect();
    Ok(live_root(model.header().live_height, &digests)?)
}

/// What a party computes with. Shared between the roles of a process.
pub trait Executor: Send + Sync {
    /// A model, if the executor has it.
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>>;

    /// A run that the executor still has, so that its inputs need not be fetched again.
    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>>;

    /// Whether a run on these inputs costs what runs of the model are expected to: what a provider asks before it bids.
    /// Others can be run too, as a dispute may demand.
    fn serves(&self, _model_id: &Digest, _inputs: &[Tensor]) -> bool {
        true
    }

    /// Runs a model on inputs given in the model's order.
    ///
    /// # Errors
    /// An unknown model, inputs that do not fit, the engine's limits.
    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError>;

    /// [`Executor::run`] for a task of this class: where several processes share the work, it says which of them can.
    ///
    /// # Errors
    /// As [`Executor::run`]; [`ExecutorError::Pending`] where another process is at it.
    fn run_in(
        &self,
        _class: &Digest,
        model_id: &Digest,
        inputs: &[Tensor],
    ) -> Result<Arc<RunRecord>, ExecutorError> {
        self.run(model_id, inputs)
    }

    /// Whether somebody is free to run another task of this class: what a provider asks before it bids.
    fn has_room(&self, _class: &Digest) -> bool {
        true
    }

    /// A run that goes on to at least `steps` steps, whatever its stop flag says: how a claim of more steps is followed
    /// to its end.
    ///
    /// # Errors
    /// As [`Executor::run`], and more steps than the model takes.
    fn extended(&self, run: Arc<RunRecord>, _steps: u32) -> Result<Arc<RunRecord>, ExecutorError> {
        Ok(run)
    }

    /// The segment of a run that ends at a leaf of level 1, operator by operator. Its trace folds to
    /// the run's leaf.
    ///
    /// # Errors
    /// A leaf that the run does not have, the engine's limits.
    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError>;

    /// The tensors that are live before the segment that ends at a leaf: its inputs in a dispute.
    ///
    /// # Errors
    /// As [`Executor::fine`].
    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError>;

    /// The tensors that are live at the commit point of a leaf: what an audit opens chunks of.
    ///
    /// # Errors
    /// As [`Executor::fine`].
    fn live_at(&self, run: &RunRecord, leaf_index: u64) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        Ok(self.fine(run, leaf_index)?.live.clone())
    }
}

/// Models by the identity that was computed from what is in them, and families of models.
#[derive(Clone, Default)]
pub struct Models {
    single: BTreeMap<Digest, Arc<Model>>,
    families: Vec<Arc<Family>>,
}

impl Models {
    /// No models.
    pub fn new() -> Models {
        Models::default()
    }

    /// Adds a model under its own identity, and returns that.
    pub fn add(&mut self, model: Model) -> Digest {
        let id = model.model_id();
        self.single.insert(id, Arc::new(model));
        id
    }

    /// Adds a family, whose bindings are built when they are asked for, and returns its identity.
    pub fn add_family(&mut self, family: Arc<Family>) -> Digest {
        let id = family.id();
        self.families.push(family);
        id
    }

    /// Adds a model that was fetched for an identity.
    ///
    /// # Errors
    /// What was fetched has another identity: a file that was edited, or another model.
    pub fn add_as(&mut self, expected: &Digest, model: Model) -> Result<(), ExecutorError> {
        let found = model.model_id();
        if found != *expected {
            let expected = *expected;
            return Err(ExecutorError::Identity { expected, found });
        }
        self.add(model);
        Ok(())
    }

    /// A model that is no binding of a family.
    pub fn get(&self, model_id: &Digest) -> Option<&Arc<Model>> {
        self.single.get(model_id)
    }

    /// Identities of those that are no bindings, in order.
    pub fn ids(&self) -> impl Iterator<Item = &Digest> {
        self.single.keys()
    }

    /// The binding of a family that this is.
    fn binding(&self, model_id: &Digest) -> Option<Result<Model, ModelError>> {
        let mut families = self.families.iter();
        families.find_map(|family| Some(family.binding(family.index_of(model_id)?)))
    }
}

/// The honest executor.
pub struct EngineExecutor {
    engine: Engine,
    models: Models,
    /// Those of the models that are language models.
    languages: BTreeMap<Digest, LanguageRunner>,
    bindings: Cache<Digest, Arc<Model>>,
    runs: Cache<RunKey, Arc<RunRecord>>,
    longer: Cache<(RunKey, u32), Arc<RunRecord>>,
    segments: Cache<(RunKey, u64), Arc<FineRun>>,
}

impl EngineExecutor {
    /// An executor of these models. One that the engine could not run or not retrace is refused here: after
    /// the claim of a task it would cost a bond.
    ///
    /// # Errors
    /// A model beyond the engine's memory bound.
    pub fn new(engine: Engine, models: Models) -> Result<EngineExecutor, ExecutorError> {
        let mut languages = BTreeMap::new();
        for family in &models.families {
            let last = family.model_ids().len().saturating_sub(1);
            check(&engine, &family.binding(last as u32)?)?;
        }
        for (model_id, model) in &models.single {
            check(&engine, model)?;
            if let Some(runner) = LanguageRunner::of(model, &engine)? {
                languages.insert(*model_id, runner);
            }
        }
        Ok(EngineExecutor {
            engine,
            models,
            languages,
            bindings: Cache::new(BINDINGS_KEPT),
            runs: Cache::new(RUNS_KEPT),
            longer: Cache::new(SEGMENTS_KEPT),
            segments: Cache::new(SEGMENTS_KEPT),
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The models.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The task of a run, if a language model's own engine can run it: one that starts from a prompt.
    fn task_of<'a>(&'a self, run: &RunRecord) -> Option<LanguageTask<'a>> {
        let language = self.languages.get(&run.model.model_id())?;
        language.task(&run.inputs)
    }

    pub(crate) fn known(&self, model_id: &Digest) -> Result<Arc<Model>, ExecutorError> {
        if let Some(model) = self.models.get(model_id) {
            return Ok(Arc::clone(model));
        }
        self.bindings.get_or_make(*model_id, || {
            let model = self.models.binding(model_id);
            let model = model.ok_or(ExecutorError::UnknownModel {
                model_id: *model_id,
            })??;
            check(&self.engine, &model)?;
            Ok(Arc::new(model))
        })
    }
}

/// Refuses a model that the engine could not run or not retrace.
fn check(engine: &Engine, model: &Model) -> Result<(), ExecutorError> {
    let checked = engine.check(model);
    checked.map_err(|source| ExecutorError::Unservable {
        model_id: model.model_id(),
        source: Box::new(source),
    })
}

impl Executor for EngineExecutor {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.known(model_id).ok()
    }

    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>> {
        self.runs.get(key)
    }

    /// A language model runs fast from a prompt; from any other state node by node, step for step. A model that draws is
    /// asked in words, from the first step on.
    fn serves(&self, model_id: &Digest, inputs: &[Tensor]) -> bool {
        if let Some(language) = self.languages.get(model_id) {
            return language.task(inputs).is_some();
        }
        let drawing = self.models.get(model_id).and_then(|m| Diffusion::of(m));
        drawing.is_none_or(|drawing| drawing.task_of(inputs).is_some())
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        let model = self.known(model_id)?;
        let key = RunKey {
            model_id: *model_id,
            input_digest: input_digest(&model, inputs)?,
        };
        self.runs.get_or_make(key, || {
            let language = self.languages.get(model_id);
            let output = match language.and_then(|language| language.task(inputs)) {
                Some(task) => task.run(None)?,
                None => self.engine.run(&model, inputs)?,
            };
            Ok(Arc::new(RunRecord {
                model,
                inputs: inputs.to_vec(),
                outputs: output.outputs,
                trace: output.trace,
            }))
        })
    }

    fn extended(&self, run: Arc<RunRecord>, steps: u32) -> Result<Arc<RunRecord>, ExecutorError> {
        if run.trace.steps() >= steps {
            return Ok(run);
        }
        self.longer.get_or_make((run.key(), steps), || {
            let output = match self.task_of(&run) {
                Some(task) => task.run(Some(steps))?,
                None => (self.engine).run_steps(&run.model, &run.inputs, steps, None)?,
            };
            Ok(Arc::new(RunRecord {
                model: Arc::clone(&run.model),
                inputs: run.inputs.clone(),
                outputs: output.outputs,
                trace: output.trace,
            }))
        })
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        let at = run.commit_point(leaf_index)?;
        self.segments.get_or_make((run.key(), leaf_index), || {
            let live = self.live_before(run, leaf_index)?;
            let fine = self.engine.fine_trace(&run.model, at, &live, None)?;
            Ok(Arc::new(fine))
        })
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        let at = run.commit_point(leaf_index)?;
        match self.task_of(run) {
            Some(task) => task.live_before(&self.engine, &run.outputs, at),
            None => Ok(self.engine.live_before(&run.model, &run.inputs, at, None)?),
        }
    }
}
