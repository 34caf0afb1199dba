//! An executor that remembers no run: a party whose machine nobody else has used.

use std::sync::Arc;

use gavel_engine::FineRun;
use gavel_model::Model;
use gavel_node::{Executor, ExecutorError, RunKey, RunRecord};
use gavel_numerics::Tensor;
use gavel_trace::Digest;

/// Computes what another does, on inputs that it is given. Worlds share the honest executor, and with it its runs: where it
/// matters who has an input, what others have run must be no source of it.
pub(crate) struct Forgetful(pub(crate) Arc<dyn Executor>);

impl Executor for Forgetful {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.0.model(model_id)
    }

    fn known_run(&self, _key: &RunKey) -> Option<Arc<RunRecord>> {
        None
    }

    fn serves(&self, model_id: &Digest, inputs: &[Tensor]) -> bool {
        self.0.serves(model_id, inputs)
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        self.0.run(model_id, inputs)
    }

    fn extended(&self, run: Arc<RunRecord>, steps: u32) -> Result<Arc<RunRecord>, ExecutorError> {
        self.0.extended(run, steps)
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        self.0.fine(run, leaf_index)
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.0.live_before(run, leaf_index)
    }

    fn live_at(&self, run: &RunRecord, leaf_index: u64) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.0.live_at(run, leaf_index)
    }
}
