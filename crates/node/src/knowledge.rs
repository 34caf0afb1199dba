//! What a role knows in a dispute: its own run, and for a referee what the provider committed.

use std::sync::Arc;

use gavel_dispute::{Knowledge, SegmentFacts};
use gavel_trace::{Digest, FineIndex, FineTrace, MerkleTree, Opening, SegmentEntry};

use crate::board::Row;
use crate::evidence::path::ProviderTree;
use crate::{Committed, Executor, ExecutorError, RunRecord, ShownSegment};

/// A party's own run, as the game asks about it.
pub struct RunKnowledge<'a> {
    executor: &'a dyn Executor,
    run: Arc<RunRecord>,
    committed: Option<&'a Committed>,
    judges_by: Option<&'a [Row]>,
}

impl<'a> RunKnowledge<'a> {
    /// Knowledge of one run.
    pub fn new(executor: &'a dyn Executor, run: Arc<RunRecord>) -> RunKnowledge<'a> {
        RunKnowledge {
            executor,
            run,
            committed: None,
            judges_by: None,
        }
    }

    /// With what the provider showed of its own run in the disputed segment.
    pub fn with_committed(mut self, committed: &'a Committed) -> RunKnowledge<'a> {
        self.committed = Some(committed);
        self
    }

    /// As a referee, who has to make sure that its inputs are the provider's: by these rows, which the provider revealed.
    pub fn judging(mut self, rows: &'a [Row]) -> RunKnowledge<'a> {
        self.judges_by = Some(rows);
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

    /// Whether the party's own run has the inputs that the provider committed at a place: the agreed live root before
    /// the segment, and every operator before the place. Sides know that they do, from what they committed or picked.
    fn shares_inputs(&self, segment: &SegmentFacts, place: FineIndex, rows: &[Row]) -> bool {
        let before = match segment.leaf_index.checked_sub(1) {
            None => Ok(self.run.trace.input_digest),
            Some(index) => self.run.trace.level1.tree().leaf(index),
        };
        let Some(own) = self.fine_trace(segment.leaf_index) else {
            return false;
        };
        let alike = match place {
            FineIndex::Op(index) => {
                let theirs = ProviderTree::find(own.ops(), &segment.ops_root, index.into(), rows);
                theirs.is_some_and(|theirs| theirs.agrees_before())
            }
            FineIndex::Live(_) => own.ops_root() == segment.ops_root,
        };
        alike && before == Ok(segment.previous_leaf)
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

    /// On the party's own inputs. A referee has to defend its ruling on those that the provider committed, with what is on
    /// the chain; so it rules where these are its own, and leaves the case to another where somebody has passed over
    /// an earlier error or nothing shows that nobody has.
    fn output_on_committed_inputs(
        &self,
        segment: &SegmentFacts,
        place: FineIndex,
    ) -> Option<Digest> {
        let shares = |rows| self.shares_inputs(segment, place, rows);
        if !self.judges_by.is_none_or(shares) {
            return None;
        }
        self.fine_trace(segment.leaf_index)?.digest_at(place).ok()
    }
}
