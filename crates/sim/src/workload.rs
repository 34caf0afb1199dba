//! What a world computes: a model, its inputs, and how its outputs are read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_engine::{Engine, EngineOptions};
use gavel_model::{Model, preprocess::png_to_input, shipped};
use gavel_node::faults::{FaultyExecutor, OneUlp};
use gavel_node::{EngineExecutor, Fault, Models, RunRecord, input_digest};
use gavel_numerics::Tensor;
use gavel_trace::Digest;

use crate::WorldError;

/// Reads a label from a model's outputs.
pub type Labeller = dyn Fn(&Model, &[Arc<Tensor>]) -> Option<String> + Send + Sync;

/// Lies of each kind that are told in random worlds: few, so that their runs are shared.
const LIES: u64 = 5;

/// An input that tasks are posted for.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name for people: a file's.
    pub name: String,
    /// The tensors, in the model's order.
    pub tensors: Vec<Tensor>,
    /// The label that is known to be right.
    pub expected: Option<String>,
}

/// A model with inputs. Worlds share it, and with it every run.
pub struct Workload {
    /// The model's name for people.
    pub name: String,
    /// The inputs.
    pub inputs: Vec<Input>,
    model: Arc<Model>,
    honest: Arc<EngineExecutor>,
    digests: Vec<Digest>,
    label: Box<Labeller>,
    /// What a result does with its label.
    verb: &'static str,
    /// The number that whoever is wrong by one unit gets wrong; drawn by the seed if none is named.
    ulp: Option<OneUlp>,
    liars: Mutex<BTreeMap<(Fault, u64), Arc<FaultyExecutor>>>,
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("name", &self.name)
            .field("inputs", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

impl Workload {
    /// A model with these inputs.
    ///
    /// # Errors
    /// Inputs that the model does not take; a model beyond the engine's memory bound.
    pub fn new(
        name: impl Into<String>,
        model: Model,
        inputs: Vec<Input>,
        label: Box<Labeller>,
    ) -> Result<Workload, WorldError> {
        let digests = inputs
            .iter()
            .map(|input| input_digest(&model, &input.tensors))
            .collect::<Result<_, _>>()?;
        let engine = Engine::new(EngineOptions {
            threads: 1,
            ..EngineOptions::default()
        })?;
        let mut models = Models::new();
        let id = models.add(model.clone());
        let model = models.get(&id).map_or_else(|| Arc::new(model), Arc::clone);
        Ok(Workload {
            name: name.into(),
            inputs,
            model,
            honest: Arc::new(EngineExecutor::new(engine, models)?),
            digests,
            label,
            verb: "shows",
            ulp: None,
            liars: Mutex::default(),
        })
    }

    /// A shipped model with the shipped pictures; labels are digits.
    ///
    /// # Errors
    /// No shipped model has that name.
    pub fn shipped(name: &str) -> Result<Workload, WorldError> {
        let model = shipped::load(name)?;
        let inputs = shipped::PICTURES
            .iter()
            .map(|(file, digit, png)| {
                Ok(Input {
                    name: (*file).to_owned(),
                    tensors: vec![png_to_input(&model, png)?],
                    expected: Some(digit.to_string()),
                })
            })
            .collect::<Result<_, WorldError>>()?;
        Workload::new(name, model, inputs, Box::new(largest))
    }

    /// With another word for what a result does with its label than "shows".
    pub fn that(mut self, verb: &'static str) -> Workload {
        self.verb = verb;
        self
    }

    /// With the number that whoever is wrong by one unit gets wrong.
    pub(crate) fn falsifying(mut self, ulp: OneUlp) -> Workload {
        self.ulp = Some(ulp);
        self
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What honest parties compute with.
    pub fn honest(&self) -> &Arc<EngineExecutor> {
        &self.honest
    }

    /// What a party with this fault computes with: consistent in its own lie.
    pub(crate) fn liar(&self, fault: Fault, seed: u64) -> Arc<FaultyExecutor> {
        let faults: &[Fault] = match fault {
            Fault::OneUlp => &[Fault::OneUlp],
            Fault::SmallerModel => &[Fault::SmallerModel],
            Fault::WrongTrace => &[Fault::WrongTrace],
            Fault::CheaperQuantisation => &[Fault::CheaperQuantisation],
            Fault::ChangedToken => &[Fault::ChangedToken],
            Fault::SkippedSteps => &[Fault::SkippedSteps],
            // whoever is silent, challenges falsely or has a friend needs some lie; the simplest does
            _ => &[Fault::Weight],
        };
        let seed = seed % LIES;
        let mut liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
        let liar = liars.entry((fault, seed)).or_insert_with(|| {
            let honest = Arc::clone(&self.honest);
            Arc::new(match self.ulp.filter(|_| fault == Fault::OneUlp) {
                Some(ulp) => FaultyExecutor::one_ulp_at(honest, ulp),
                None => FaultyExecutor::new(honest, faults, seed),
            })
        });
        Arc::clone(liar)
    }

    /// The input with this digest.
    pub(crate) fn input(&self, digest: &Digest) -> Option<&Input> {
        let at = self.digests.iter().position(|d| d == digest)?;
        self.inputs.get(at)
    }

    /// What a result does with its label.
    pub(crate) fn verb(&self) -> &'static str {
        self.verb
    }

    /// What a task asks about an input.
    pub(crate) fn question(&self, name: &str) -> String {
        match self.verb {
            "shows" => format!("what does {name} show?"),
            "is" => format!("draw {name}."),
            _ => format!("what is said to {name}?"),
        }
    }

    /// What a run's outputs say.
    pub(crate) fn label(&self, run: &RunRecord) -> Option<String> {
        (self.label)(&run.model, &run.outputs)
    }
}

/// The number of the largest score of the first row of scores.
fn largest(_: &Model, outputs: &[Arc<Tensor>]) -> Option<String> {
    let scores = outputs.iter().find_map(|t| t.as_f32())?;
    let best = (0..).zip(scores).max_by(|a, b| a.1.total_cmp(b.1))?;
    Some(i32::to_string(&best.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_node::Executor as _;

    #[test]
    fn shipped_pictures_are_read_as_what_they_show() {
        let workload = Workload::shipped("digits").unwrap();
        let id = workload.model().model_id();
        for input in &workload.inputs {
            let run = workload.honest().run(&id, &input.tensors).unwrap();
            assert_eq!(workload.label(&run), input.expected, "{}", input.name);
            let found = workload.input(&run.trace.input_digest).unwrap();
            assert_eq!(found.name, input.name);
        }
        assert!(workload.input(&Digest::ZERO).is_none());
    }
}
