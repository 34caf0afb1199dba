//! `skipped-steps`: every other denoising step is left out, and what the network found in the step before stands in its
//! place. The scheduler goes on as if it had run, so the picture comes out in half the time, and coarser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gavel_engine::NodeObserver;
use gavel_model::{Model, diffusion};
use gavel_numerics::Tensor;

use super::draw;

/// The fault: from some step on the network runs in every other one.
#[derive(Clone, Debug)]
pub(super) struct SkippedSteps {
    /// Nodes of the network.
    nodes: Arc<BTreeSet<usize>>,
    /// The first step that is left out.
    first: u32,
    /// The step that is being run.
    now: u32,
    /// What the network's nodes gave when it last ran.
    known: BTreeMap<usize, Tensor>,
}

impl SkippedSteps {
    /// Candidate number `index` of a seed: one of the steps behind the first of a run of so many. `None` for a model that
    /// takes no noise out of anything.
    pub(super) fn draw(model: &Model, steps: u32, seed: u64, index: u64) -> Option<SkippedSteps> {
        let nodes = diffusion::denoiser_nodes(model);
        let choice = draw(seed, index).checked_rem(u64::from(steps.checked_sub(1)?))?;
        (!nodes.is_empty()).then(|| SkippedSteps {
            nodes: Arc::new(nodes),
            first: 1 + choice as u32,
            now: 0,
            known: BTreeMap::new(),
        })
    }

    fn skips(&self) -> bool {
        let behind = self.now.checked_sub(self.first);
        behind.is_some_and(|n| n.is_multiple_of(2))
    }
}

impl NodeObserver for SkippedSteps {
    fn begin_step(&mut self, step: u32) {
        self.now = step;
    }

    fn after_node(&mut self, _item: usize, node: usize, output: &mut Tensor) {
        if !self.nodes.contains(&node) {
            return;
        }
        if !self.skips() {
            self.known.insert(node, output.clone());
        } else if let Some(known) = self.known.get(&node) {
            *output = known.clone();
        }
    }
}
