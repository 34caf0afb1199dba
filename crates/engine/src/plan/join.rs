//! Joins steps of a plan: convolutions that run as a chain.

use gavel_model::Source;

use super::Step;
use super::build::Builder;
use super::job::{Action, Convolution, Kernel};

/// Values of an image that the second-level cache does not hold beside others.
const WORTH_CHAINING: usize = 1 << 18;

impl Builder<'_> {
    /// Joins convolutions over large images of which only the next one reads the output: one that widens, one of each channel by
    /// itself, and one that narrows.
    pub(super) fn join_chains(&mut self) {
        for last in 0..self.steps.len() {
            let Some(depthwise) =
                self.follows(last, |conv| matches!(conv.kernel, Kernel::Depthwise(..)))
            else {
                continue;
            };
            let large = self.images[last].is_some_and(|image| image.values() >= WORTH_CHAINING);
            if !large || !self.is_single(last) {
                continue;
            }
            let narrow = self.follows(depthwise, |conv| {
                matches!(conv.kernel, Kernel::Full(..)) && conv.window.kernel == [1, 1]
            });
            let links = [Some(last), Some(depthwise), narrow].into_iter().flatten();
            let steps: Vec<Step> = links.filter_map(|end| self.steps[end].take()).collect();
            let nodes: Vec<usize> = steps.iter().flat_map(|step| step.nodes.clone()).collect();
            let convs = steps.into_iter().filter_map(|step| match step.action {
                Action::Convolution(conv) => Some(conv),
                _ => None,
            });
            self.steps[narrow.unwrap_or(depthwise)] = Some(Step {
                nodes,
                action: Action::Chain(convs.collect()),
                dead: Vec::new(),
            });
        }
    }

    /// Whether the step that ends with a node is one convolution.
    fn is_single(&self, end: usize) -> bool {
        let step = self.steps[end].as_ref();
        step.is_some_and(|step| matches!(step.action, Action::Convolution(_)))
    }

    /// The end of the step that alone reads the value of a node, once, if it is a convolution of this kind.
    fn follows(&self, node: usize, kind: impl Fn(&Convolution) -> bool) -> Option<usize> {
        let reader = self.readers.single(node)?;
        let of = |step: &Step| match &step.action {
            Action::Convolution(conv) => {
                step.nodes.first() == Some(&reader)
                    && conv.x == Source::node(node as u32)
                    && kind(conv)
            }
            _ => false,
        };
        let ends = self.steps.iter().enumerate().skip(reader);
        let mut found = ends.filter(|(_, step)| step.as_ref().is_some_and(&of));
        found.next().map(|(end, _)| end)
    }
}
