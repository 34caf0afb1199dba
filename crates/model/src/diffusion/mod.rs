//! Models that draw: a denoiser and a scheduler become a step graph (`spec/model.md`, "Diffusion models").
//!
//! A step takes a part of the noise out of a picture. Words and seed are inputs of the first step; the noise that everything
//! starts from is made of the seed, in the graph.

mod graph;
mod picture;
mod scheduler;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use gavel_numerics::{Tensor, TensorType};

pub use picture::Picture;
pub use scheduler::{Pixels, Scheduler};
pub use words::{Field, PromptError};

use crate::{CommitPolicy, Graph, Hashing, Model, ModelError, Source, Weight};
use graph::StepGraph;

/// Name of the asset with the scheduler, the pixels and the words.
pub const ASSET: &str = "diffusion";

/// Inputs of a step, which are the outputs of the one before it.
pub mod slots {
    /// `i64[1]`: whether the run is over.
    pub const STOP: usize = 0;
    /// `i64[1]`: number of the step.
    pub const STEP: usize = 1;
    /// f32 `[1, channels, height, width]`
    pub const PICTURE: usize = 2;
    /// `i64[1]`
    pub const SEED: usize = 3;
    /// `i64`: for each field the place of its word from 1 on, 0 where nothing is said. Absent in a model without words.
    pub const PROMPT: usize = 4;
}

/// The step graph of a denoiser with the scheduler that is among the assets, as a model.
///
/// # Errors
/// A denoiser with other inputs and outputs than the scheduler's, a scheduler that is malformed.
pub fn model(
    denoiser: Graph,
    weights: Vec<Weight>,
    assets: BTreeMap<String, Vec<u8>>,
    policy: &CommitPolicy,
) -> Result<Model, ModelError> {
    let scheduler = Scheduler::of(&assets)?;
    let made = StepGraph::new(denoiser, weights, &scheduler)?;
    let steps = scheduler.steps();
    Hashing::quiet(|hashing| {
        Model::recurrent(made.graph, made.weights, assets, policy, steps, hashing)
    })
}

/// A model that draws, as its tasks and results are read.
#[derive(Clone, Debug)]
pub struct Diffusion {
    scheduler: Scheduler,
    inputs: Vec<(String, TensorType)>,
}

impl Diffusion {
    /// `None` for a model of another kind.
    pub fn of(model: &Model) -> Option<Diffusion> {
        let scheduler = Scheduler::of(model.assets()).ok()?;
        let inputs = model.graph().inputs.clone();
        let rank = inputs.get(slots::PICTURE)?.1.dims.len();
        let fits = rank == 4
            && model.header().max_steps == scheduler.steps()
            && inputs.get(slots::SEED)?.1.elements() == Ok(1)
            && inputs.len() == slots::PROMPT + usize::from(!scheduler.fields.is_empty());
        fits.then_some(Diffusion { scheduler, inputs })
    }

    /// How noise is taken out, and what can be said.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Channels, height and width of a picture.
    pub fn extents(&self) -> [u64; 3] {
        match self
            .inputs
            .get(slots::PICTURE)
            .map(|(_, ty)| ty.dims.as_slice())
        {
            Some(&[_, c, h, w]) => [c, h, w],
            _ => [0; 3],
        }
    }

    /// Inputs of step 0.
    ///
    /// # Errors
    /// Words that the model does not know.
    pub fn task_inputs(&self, prompt: &str, seed: u64) -> Result<Vec<Tensor>, PromptError> {
        Ok(self.first(&self.scheduler.read(prompt)?, seed))
    }

    fn first(&self, places: &[u64], seed: u64) -> Vec<Tensor> {
        let made = self
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(slot, (_, ty))| {
                let raw = match slot {
                    slots::SEED => vec![seed],
                    slots::PROMPT => places.to_vec(),
                    _ => vec![0; ty.elements().ok()?],
                };
                Tensor::from_raw(ty.clone(), &raw).ok()
            });
        made.collect()
    }

    /// What is said by the inputs of a first step, and its seed; `None` where they are not what
    /// [`task_inputs`](Self::task_inputs) gives.
    pub fn task_of(&self, inputs: &[Tensor]) -> Option<(String, u64)> {
        let seed = inputs.get(slots::SEED)?.raw(0)?;
        let places = match inputs.get(slots::PROMPT) {
            Some(prompt) => (0..prompt.len())
                .map(|i| prompt.raw(i))
                .collect::<Option<_>>()?,
            None => Vec::new(),
        };
        let said = self.scheduler.said(&places)?;
        (self.first(&places, seed) == inputs).then_some((said, seed))
    }

    /// The picture in the outputs of a run.
    pub fn picture(&self, outputs: &[impl std::borrow::Borrow<Tensor>]) -> Option<Picture> {
        let values = outputs.get(slots::PICTURE)?.borrow();
        Picture::new(values, self.scheduler.pixels)
    }
}

/// The nodes of a step that the denoiser makes of the picture: from the noisy picture on up to what it finds. Empty for a
/// model of another kind.
pub fn denoiser_nodes(model: &Model) -> BTreeSet<usize> {
    let nodes = &model.graph().nodes;
    let found = || {
        let (_, Source::Node { node: last, .. }) = *model.graph().outputs.get(slots::PICTURE)?
        else {
            return None;
        };
        match *nodes.get(last as usize)?.inputs.first()? {
            Source::Node { node, .. } => Some((node as usize, last as usize)),
            _ => None,
        }
    };
    let mut made = BTreeSet::new();
    let Some((sample, last)) = Diffusion::of(model).and_then(|_| found()) else {
        return made;
    };
    for (i, node) in nodes.iter().enumerate().take(last).skip(sample + 1) {
        let reads = |source: &Source| match *source {
            Source::Node { node, .. } => node as usize == sample || made.contains(&(node as usize)),
            _ => false,
        };
        if node.inputs.iter().any(reads) {
            made.insert(i);
        }
    }
    made
}

#[cfg(test)]
mod tests;
