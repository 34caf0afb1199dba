//! Language models on their own engine: the bits and the trace of the step graph, at native speed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gavel_engine::lm::{LanguageEngine, LanguageError, LanguageOptions, SequenceOptions};
use gavel_engine::{Engine, RunOutput};
use gavel_model::Model;
use gavel_model::llama::{CONFIG_ASSET, LanguageModel, prompt_of, roles};
use gavel_numerics::kernels::SamplingParams;
use gavel_numerics::{Data, Tensor};
use gavel_trace::CommitPoint;

use super::ExecutorError;

/// One language model, ready to run.
pub(super) struct LanguageRunner {
    model: Arc<LanguageModel>,
    engine: Mutex<LanguageEngine>,
}

impl LanguageRunner {
    /// `None` for a model of another kind.
    pub(super) fn of(model: &Model, engine: &Engine) -> Result<Option<Self>, ExecutorError> {
        if model.header().max_steps == 1 || !model.assets().contains_key(CONFIG_ASSET) {
            return Ok(None);
        }
        // any recurrent model may have an asset of that name
        let Ok(language) = LanguageModel::from_model(model.clone()) else {
            return Ok(None);
        };
        let mut options = LanguageOptions::default();
        options.threads = engine.threads();
        options.isa = Some(engine.isa());
        let model = Arc::new(language);
        let engine = LanguageEngine::new(Arc::clone(&model), &options, &mut |_| {})?;
        Ok(Some(LanguageRunner {
            model,
            engine: Mutex::new(engine),
        }))
    }

    /// The task that these inputs are; `None` where they are another state than that before a first step.
    pub(super) fn task(&self, inputs: &[Tensor]) -> Option<LanguageTask<'_>> {
        let (prompt, params) = prompt_of(&self.model.model, inputs)?;
        Some(LanguageTask {
            runner: self,
            prompt,
            params,
        })
    }

    fn engine(&self) -> MutexGuard<'_, LanguageEngine> {
        // what a panic leaves behind is of no sequence that is opened later
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A prompt and how it is sampled.
pub(super) struct LanguageTask<'a> {
    runner: &'a LanguageRunner,
    prompt: Vec<i32>,
    params: SamplingParams,
}

impl LanguageTask<'_> {
    /// The run: up to its end, or of so many steps.
    pub(super) fn run(&self, steps: Option<u32>) -> Result<RunOutput, ExecutorError> {
        let mut options = SequenceOptions::traced();
        options.steps = steps.map(|steps| steps as usize);
        let mut engine = self.runner.engine();
        let go_on = &mut |_| std::ops::ControlFlow::Continue(());
        let generated = engine.generate(&self.prompt, self.params, &options, go_on)?;
        let run = generated.run;
        Ok(run.ok_or_else(|| missing("a traced run has a trace"))?)
    }

    /// What is live before a segment of the run with these outputs.
    pub(super) fn live_before(
        &self,
        engine: &Engine,
        outputs: &[Arc<Tensor>],
        at: CommitPoint,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        let tokens = match outputs.get(roles::TOKENS).map(|tokens| tokens.data()) {
            Some(Data::I32(tokens)) => tokens.as_slice(),
            _ => &[],
        };
        let known = tokens.iter().take_while(|&&token| token >= 0).count();
        let generated = tokens.get(self.prompt.len()..known).unwrap_or_default();
        let mut language = self.runner.engine();
        Ok(language.live_before(engine, &self.prompt, generated, self.params, at)?)
    }
}

fn missing(what: &str) -> LanguageError {
    LanguageError::Retrace(Box::new(gavel_engine::EngineError::Model(what.to_owned())))
}
