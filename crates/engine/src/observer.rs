//! The seam between a node's kernel and its successors.

use gavel_numerics::Tensor;

/// Sees every node's output right after it was computed, before anything else reads it.
///
/// What an observer leaves in `output` is what the run goes on with, traces and returns: a test can
/// falsify one element of one operator and get the run that a machine with that fault would produce.
/// Element type and shape must stay as they are. [`crate::Engine::run`] has no observer.
pub trait NodeObserver {
    /// The nodes seen from now on are those of step `step` of a run, from 0.
    fn begin_step(&mut self, _step: u32) {}

    /// Whether it looks at nodes. Who waits for steps alone does not keep nodes from being computed together.
    fn sees_nodes(&self) -> bool {
        true
    }

    /// Node `node` (canonical index) of batch item `item` has produced `output`.
    fn after_node(&mut self, item: usize, node: usize, output: &mut Tensor);
}

impl<F: FnMut(usize, &mut Tensor)> NodeObserver for F {
    fn after_node(&mut self, _item: usize, node: usize, output: &mut Tensor) {
        self(node, output);
    }
}
