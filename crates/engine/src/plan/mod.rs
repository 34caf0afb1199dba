//! The fast way through a graph, with the bits of the slow one: built once per model, weights packed, images with channels
//! last, and operators that follow each other done together.
//!
//! A [`Step`] computes the value of its last node; the values of its other nodes never exist, which is possible where
//! nobody else reads them: no other node, no commit point, no output.

mod build;
mod cache;
mod chain;
mod graph;
mod job;
mod join;
mod patterns;
mod spare;
mod step;
mod tail;
mod value;

pub(crate) use cache::Plans;
pub(crate) use step::{Context, Values};
pub(crate) use value::Value;

use std::sync::{Arc, OnceLock};

use gavel_model::{Model, Source};
use gavel_numerics::kernels::fused::ImageShape;
use gavel_numerics::kernels::{Isa, Parallel};
use gavel_numerics::{NumericsError, Tensor};

use job::Action;
use spare::Spare;

/// Nodes that are computed together.
pub(crate) struct Step {
    /// Its nodes, in order; the last one's value is what it makes.
    pub(crate) nodes: Vec<usize>,
    /// How.
    action: Action,
    /// Values that nothing reads after it.
    pub(crate) dead: Vec<Source>,
}

/// A model made ready for an instruction set.
pub(crate) struct Plan {
    /// By node: the step whose last one it is.
    steps: Vec<Option<Step>>,
    /// By node: the shape of its value where that is an image.
    images: Vec<Option<ImageShape>>,
    /// Weights that are read as they are, once they were.
    weights: Vec<OnceLock<Arc<Tensor>>>,
    /// Memory that was used before.
    spare: Spare,
    /// Most bytes of tensors that a run holds, node by node.
    pub(crate) peak_bytes: u64,
}

impl Plan {
    /// The plan of a model.
    pub(crate) fn new(isa: Isa, model: &Model) -> Plan {
        build::plan(isa, model)
    }

    /// The step that ends with a node; none where the node is part of a later one.
    pub(crate) fn step(&self, node: usize) -> Option<&Step> {
        self.steps.get(node)?.as_ref()
    }

    fn image(&self, source: Source) -> Option<ImageShape> {
        match source {
            Source::Node { node, .. } => self.images.get(node as usize).copied().flatten(),
            Source::Input(_) | Source::Weight(_) => None,
        }
    }

    /// A weight of the plan's model.
    fn weight(&self, model: &Model, index: u32) -> Option<&Arc<Tensor>> {
        let weight = model.weights().get(index as usize)?;
        let kept = self.weights.get(index as usize)?;
        Some(kept.get_or_init(|| weight.value.tensor()))
    }

    /// A value as a tensor.
    pub(crate) fn tensor(
        &self,
        par: &dyn Parallel,
        value: &mut Value,
    ) -> Result<Arc<Tensor>, NumericsError> {
        value.tensor(par, &self.spare)
    }

    /// Gives back a value's memory.
    pub(crate) fn reuse(&self, value: Value) {
        value.give_back(&self.spare);
    }
}
