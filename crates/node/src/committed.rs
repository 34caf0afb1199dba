//! What a provider showed of its own run in a disputed segment.

use std::sync::Arc;

use gavel_dispute::SegmentFacts;
use gavel_engine::digest;
use gavel_model::{Model, Source};
use gavel_numerics::Tensor;
use gavel_trace::{CommitPoint, Digest, FineTrace, live_root};
use gavel_verifier::ShownTensor;
use serde::{Deserialize, Serialize};

use crate::{Executor, ExecutorError, RunRecord};

/// Tensors of a disputed segment as the provider hands them out: by themselves they bind nobody, so a
/// reader checks them against what the game has bound ([`ShownSegment::check`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownSegment {
    /// Leaf of level 1 that the segment ends at.
    pub leaf_index: u64,
    /// Live before the segment, in live-list order.
    pub live_before: Vec<ShownTensor>,
    /// Output of every operator, in canonical order.
    pub ops: Vec<ShownTensor>,
    /// Digests of the live tensors at the segment's end.
    pub live: Vec<Digest>,
}

impl ShownSegment {
    /// Shows the segment of a run that ends at a leaf.
    ///
    /// # Errors
    /// Those of the executor.
    pub fn of(
        executor: &dyn Executor,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<ShownSegment, ExecutorError> {
        let fine = executor.fine(run, leaf_index)?;
        let show = |tensors: &[Arc<Tensor>]| {
            let shown = tensors.iter().map(|t| ShownTensor::trimmed(t));
            shown.collect()
        };
        Ok(ShownSegment {
            leaf_index,
            live_before: show(&executor.live_before(run, leaf_index)?),
            ops: show(&fine.tensors),
            live: fine.trace.live().leaves().to_vec(),
        })
    }

    /// What of it holds against the segment that the game is about; `None` if nothing does.
    pub fn check(&self, model: &Model, segment: &SegmentFacts) -> Option<Committed> {
        if self.leaf_index != segment.leaf_index {
            return None;
        }
        let header = model.header();
        let tensors = |shown: &[ShownTensor], sources: &[Source]| {
            let types: Option<Vec<_>> = sources.iter().map(|s| model.type_of(*s)).collect();
            let read = ShownTensor::tensors(shown, types?)?;
            Some(read.into_iter().map(Arc::new).collect::<Vec<_>>())
        };
        let digests = |tensors: &[Arc<Tensor>]| tensors.iter().map(|t| digest(t)).collect();
        let at = CommitPoint::at_leaf(self.leaf_index, header.commit_points)?;
        let own = model.segments().get(at.segment as usize)?;
        let nodes: Vec<_> = own.nodes().map(Source::node).collect();
        let live_before = tensors(&self.live_before, &model.live_before(at.segment)?)?;
        let ops = tensors(&self.ops, &nodes)?;
        if live_root(header.live_height, &(digests(&live_before) as Vec<_>))
            != Ok(segment.previous_leaf)
        {
            return None;
        }
        let fine = FineTrace::new(
            header.ops_height,
            digests(&ops),
            header.live_height,
            self.live.clone(),
        )
        .ok()?;
        let bound = fine.ops_root() == segment.ops_root && fine.live_root() == segment.leaf;
        bound.then_some(Committed {
            leaf_index: self.leaf_index,
            fine: Some(fine),
            tensors: Some(Tensors { live_before, ops }),
        })
    }
}

/// What is known of the provider's run in the disputed segment, checked against what it bound itself to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    leaf_index: u64,
    fine: Option<FineTrace>,
    tensors: Option<Tensors>,
}

/// Tensors whose digests were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensors {
    /// Live before the segment, in live-list order.
    pub(crate) live_before: Vec<Arc<Tensor>>,
    /// Output of every operator.
    pub(crate) ops: Vec<Arc<Tensor>>,
}

impl Committed {
    /// What the two root rows say that every provider posts: the whole fine trace where a segment
    /// has at most sixteen operators and live slots.
    pub fn from_rows(
        model: &Model,
        segment: &SegmentFacts,
        ops_row: &[Digest],
        live_row: &[Digest],
    ) -> Option<Committed> {
        let header = model.header();
        let fine = FineTrace::new(
            header.ops_height,
            trimmed(ops_row, segment.op_count),
            header.live_height,
            trimmed(live_row, segment.live_count),
        )
        .ok()?;
        let whole = fine.ops_root() == segment.ops_root && fine.live_root() == segment.leaf;
        whole.then_some(Committed {
            leaf_index: segment.leaf_index,
            fine: Some(fine),
            tensors: None,
        })
    }

    /// The segment, by the leaf of level 1 that it ends at.
    pub fn leaf_index(&self) -> u64 {
        self.leaf_index
    }

    /// The provider's fine trace.
    pub fn fine(&self) -> Option<&FineTrace> {
        self.fine.as_ref()
    }

    /// The provider's tensors, where it showed them.
    pub(crate) fn tensors(&self) -> Option<&Tensors> {
        self.tensors.as_ref()
    }
}

/// The leaves of a row that are not padding; all of them where the provider put something into it.
fn trimmed(row: &[Digest], count: u32) -> Vec<Digest> {
    let count = (count as usize).min(row.len());
    let padding = row.get(count..).unwrap_or_default();
    let end = if padding.iter().all(Digest::is_zero) {
        count
    } else {
        row.len()
    };
    row.get(..end).unwrap_or_default().to_vec()
}
