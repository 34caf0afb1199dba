//! What a role knows in a dispute: its own run, and for a referee what the provider committed.

use std::sync::Arc;

use gavel_dispute::{Knowledge, SegmentFacts};
use gavel_trace::{Digest, FineIndex, FineTrace, MerkleTree, Opening, SegmentEntry};

use crate::{Committed, Executor, ExecutorError, RunRecord, ShownSegment};

/// A party's own run, as the game asks about it.
pub struct RunKnowledge<'a> {
    executor: &'a dyn Executor,
    run: Arc<RunRecord>,
    committed: Option<&'a Committed>,
}

impl<'a> RunKnowledge<'a> {
    /// Knowledge of one run.
    pub fn new(executor: &'a dyn Executor, run: Arc<RunRecord>) -> RunKnowledge<'a> {
        RunKnowledge {
            executor,
            run,
            committed: None,
        }
    }

    /// With what the provider showed of its own run in the disputed segment.
    pub fn with_committed(mut self, committed: &'a Committed) -> RunKnowledge<'a> {
        self.committed = Some(committed);
        self
    }

    /// The run.
    pub fn run(&self) -> &Arc<RunRecord> {
        &self.run
    }

    /// What the party shows of a segment of its own run, for a referee to compute on.
    ///
    /// # Errors
    /// Those of the executor.
    pub fn show(&self, leaf_index: u64) -> Result<ShownSegment, ExecutorError> {
        ShownSegment::of(self.executor, &self.run, leaf_index)
    }

    /// Whether the party's own run has the inputs that the provider committed at a place: the agreed
    /// live root before the segment, and every operator before the place where those are known.
    fn shares_inputs(&self, segment: &SegmentFacts, place: FineIndex) -> bool {
        let before = match segment.leaf_index.checked_sub(1) {
            None => Ok(self.run.trace.input_digest),
            Some(index) => self.run.trace.level1.tree().leaf(index),
        };
        let earlier = match self
            .provider_fine(segment.leaf_index)
            .zip(self.fine_trace(segment.leaf_index))
        {
            Some((theirs, own)) => theirs
                .first_difference(&own)
                .is_some_and(|first| first < place),
            None => false,
        };
        before == Ok(segment.previous_leaf) && !earlier
    }
}

impl Knowledge for RunKnowledge<'_> {
    fn level1(&self) -> Option<&MerkleTree> {
        Some(self.run.trace.level1.tree())
    }

    fn fine_trace(&self, leaf_index: u64) -> Option<FineTrace> {
        let fine = self.executor.fine(&self.run, leaf_index).ok()?;
        Some(fine.trace.clone())
    }

    fn segment(&self, index: u32) -> Option<(SegmentEntry, Opening)> {
        self.run.model.open_segment(index)
    }

    fn provider_fine(&self, leaf_index: u64) -> Option<FineTrace> {
        let committed = self.committed.filter(|c| c.leaf_index() == leaf_index)?;
        committed.fine().cloned()
    }

    /// On the provider's tensors where the party's own differ and the provider showed them; else on
    /// the party's own. A provider that hides the inputs that it committed differs from an honest run
    /// before the isolated place, so a ruling on the honest inputs calls nobody a cheat who is none.
    fn output_on_committed_inputs(
        &self,
        segment: &SegmentFacts,
        place: FineIndex,
    ) -> Option<Digest> {
        if !self.shares_inputs(segment, place)
            && let Some(committed) = self.committed
            && let Some(digest) = committed.output(&self.run.model, segment, place)
        {
            return Some(digest);
        }
        self.fine_trace(segment.leaf_index)?.digest_at(place).ok()
    }
}
