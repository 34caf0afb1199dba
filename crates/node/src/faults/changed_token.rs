//! `changed-token`: one token of the answer is another than the one that was sampled.

use gavel_engine::NodeObserver;
use gavel_model::Model;
use gavel_model::llama::roles::PARAMS;
use gavel_numerics::{Op, Tensor};

use super::draw;

/// The fault: in one step the list of tokens gets another token than the sampled one.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangedToken {
    /// Node that appends what was sampled.
    node: usize,
    /// Step whose token is changed.
    step: u32,
    /// What it becomes, unless it was that.
    token: i32,
    /// The step that is being run.
    now: u32,
}

impl ChangedToken {
    /// Candidate number `index` of a seed: one of the steps that sample, another token of the vocabulary. `None` for a model
    /// that samples nothing.
    pub(super) fn draw(
        model: &Model,
        inputs: &[Tensor],
        steps: u32,
        seed: u64,
        index: u64,
    ) -> Option<ChangedToken> {
        let nodes = &model.graph().nodes;
        let node = nodes.iter().position(|n| n.op == Op::AppendToken)?;
        let sampler = nodes.iter().find(|n| n.op == Op::Sample)?;
        let vocabulary = *model.type_of(*sampler.inputs.first()?)?.dims.get(1)?;
        let prompt = *inputs.get(PARAMS)?.as_i64()?.first()?;
        let first = u32::try_from(prompt.checked_sub(1)?).ok()?;
        let sampled = steps.checked_sub(first).filter(|&n| n > 0)?;
        let choice = draw(seed, 2 * index) % u64::from(sampled);
        Some(ChangedToken {
            node,
            step: first + choice as u32,
            token: draw(seed, 2 * index + 1).checked_rem(vocabulary)? as i32,
            now: 0,
        })
    }
}

impl NodeObserver for ChangedToken {
    fn begin_step(&mut self, step: u32) {
        self.now = step;
    }

    fn after_node(&mut self, _item: usize, node: usize, output: &mut Tensor) {
        if node != self.node || self.now != self.step {
            return;
        }
        let raw: Option<Vec<u64>> = (0..output.len()).map(|i| output.raw(i)).collect();
        let Some(mut raw) = raw else {
            return;
        };
        // a run starts at position 0, so this step's token stands behind its number
        if let Some(token) = raw.get_mut(self.step as usize + 1) {
            *token = u64::from(self.token as u32);
        }
        if let Ok(changed) = Tensor::from_raw(output.ty().clone(), &raw) {
            *output = changed;
        }
    }
}
