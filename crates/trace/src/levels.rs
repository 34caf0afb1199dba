//! The two-level trace: live roots under the trace root, and the fine trace of one segment.

use crate::{
    Digest, MerkleTree, ModelHeader, Opening, Tag, TraceError, fold, height, node,
    sha::{self, tagged},
    zero_subtree,
};
use serde::{Deserialize, Serialize};

/// A commit point of one step: it closes segment `segment` of step `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitPoint {
    /// Step, from 0.
    pub step: u32,
    /// Number of the commit point, which is that of the segment it closes.
    pub segment: u32,
}

impl CommitPoint {
    /// Leaf of level 1: `step * commit_points + segment`.
    pub fn leaf_index(&self, commit_points: u32) -> u64 {
        u64::from(self.step) * u64::from(commit_points) + u64::from(self.segment)
    }

    /// The commit point at a leaf of level 1; `None` where a model has no commit points or the
    /// leaf lies beyond the last possible step.
    pub fn at_leaf(index: u64, commit_points: u32) -> Option<Self> {
        let points = u64::from(commit_points);
        let step = u32::try_from(index.checked_div(points)?).ok()?;
        let segment = u32::try_from(index.checked_rem(points)?).ok()?;
        Some(CommitPoint { step, segment })
    }
}

/// The tree over the tensor digests that are live at a commit point, in live-list order.
pub fn live_tree(live_height: u8, live: &[Digest]) -> Result<MerkleTree, TraceError> {
    MerkleTree::new(live_height, live.to_vec())
}

/// Root of [`live_tree`]. Over the graph inputs' digests this is the task's input digest.
pub fn live_root(live_height: u8, live: &[Digest]) -> Result<Digest, TraceError> {
    Ok(live_tree(live_height, live)?.root())
}

/// [`live_root`] of many lists of `len` digests each, laid one after the other: in less time than one by one.
pub fn live_roots(
    live_height: u8,
    len: usize,
    lists: &[Digest],
) -> Result<Vec<Digest>, TraceError> {
    let mut width = len.max(1);
    if live_height > crate::MAX_HEIGHT {
        return Err(TraceError::HeightTooLarge(live_height));
    }
    if len as u64 > 1 << live_height {
        return Err(TraceError::TooManyLeaves {
            leaves: len as u64,
            height: live_height,
        });
    }
    if len == 0 || !lists.len().is_multiple_of(len) {
        return Err(TraceError::Inconsistent(
            "lists of live digests have one length, and are not empty",
        ));
    }
    let mut level = lists.to_vec();
    let mut pairs = Vec::with_capacity(level.len().div_ceil(2));
    for at in 0..live_height {
        let absent = zero_subtree(at);
        pairs.clear();
        for list in level.chunks(width) {
            pairs.extend(
                list.chunks(2)
                    .map(|pair| [pair[0], pair.get(1).copied().unwrap_or(absent)]),
            );
        }
        width = width.div_ceil(2);
        level.clear();
        sha::nodes(&pairs, &mut level);
    }
    Ok(level)
}

/// `node(ops_root, live_root)`.
pub fn fine_root(ops_root: &Digest, live_root: &Digest) -> Digest {
    node(ops_root, live_root)
}

/// What is committed with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceCommitment {
    /// Steps that were run.
    pub steps: u32,
    /// Root of the level-1 tree.
    pub level1_root: Digest,
    /// `H(0x03 || steps || level1_root)`.
    pub trace_root: Digest,
}

impl TraceCommitment {
    /// The commitment to `steps` steps under a level-1 root.
    pub fn new(steps: u32, level1_root: Digest) -> Self {
        let trace_root = tagged(Tag::TraceRoot, &[&steps.to_be_bytes(), &level1_root.0]);
        TraceCommitment {
            steps,
            level1_root,
            trace_root,
        }
    }

    /// Whether `trace_root` is that of `steps` and `level1_root`: needed for one that was read.
    pub fn is_consistent(&self) -> bool {
        *self == Self::new(self.steps, self.level1_root)
    }
}

/// Level 1 of a trace: the live root at every (step, commit point).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level1 {
    tree: MerkleTree,
    steps: u32,
}

impl Level1 {
    /// Level 1 of a run of a model with `commit_points` commit points and up to `max_steps` steps.
    /// `leaves` are the live roots in order; their number is a multiple of `commit_points`, and at
    /// least one step was run.
    pub fn new(
        commit_points: u32,
        max_steps: u32,
        leaves: Vec<Digest>,
    ) -> Result<Self, TraceError> {
        let points = u64::from(commit_points);
        let count = leaves.len() as u64;
        if points == 0 || !count.is_multiple_of(points) {
            return Err(TraceError::Inconsistent(
                "level 1 has one leaf per step and commit point, and a model has at least one commit point",
            ));
        }
        let steps = u32::try_from(count / points).unwrap_or(u32::MAX);
        if steps == 0 || steps > max_steps {
            return Err(TraceError::Steps { steps, max_steps });
        }
        let tree = MerkleTree::new(height(u64::from(max_steps) * points), leaves)?;
        Ok(Level1 { tree, steps })
    }

    /// Level 1 of a run of the model with this header.
    pub fn of_model(model: &ModelHeader, leaves: Vec<Digest>) -> Result<Self, TraceError> {
        Self::new(model.commit_points, model.max_steps, leaves)
    }

    /// The tree, for rows and openings.
    pub fn tree(&self) -> &MerkleTree {
        &self.tree
    }

    /// Steps that were run.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// What goes on chain.
    pub fn commitment(&self) -> TraceCommitment {
        TraceCommitment::new(self.steps, self.tree.root())
    }

    /// The live root after the last segment of the last step: the result's output digest.
    pub fn output_digest(&self) -> Digest {
        self.tree.leaves().last().copied().unwrap_or_default()
    }

    /// Opening of the output digest, as `commit` carries it.
    pub fn output_opening(&self) -> Result<Opening, TraceError> {
        self.tree
            .open((self.tree.leaves().len() as u64).saturating_sub(1))
    }
}

/// A place in a segment's fine trace, in canonical order: operators first, then live slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FineIndex {
    /// Operator of the segment, from 0: node `first_node + i`.
    Op(u32),
    /// Slot of the live root that closes the segment.
    Live(u32),
}

/// The fine trace of one segment: every operator's output digest and the live tensors at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FineTrace {
    ops: MerkleTree,
    live: MerkleTree,
}

impl FineTrace {
    /// A fine trace; the heights are the model's `ops_height` and `live_height`.
    pub fn new(
        ops_height: u8,
        ops: Vec<Digest>,
        live_height: u8,
        live: Vec<Digest>,
    ) -> Result<Self, TraceError> {
        Ok(FineTrace {
            ops: MerkleTree::new(ops_height, ops)?,
            live: MerkleTree::new(live_height, live)?,
        })
    }

    /// Tree over the operators' output digests.
    pub fn ops(&self) -> &MerkleTree {
        &self.ops
    }

    /// Tree over the live tensors at the segment's end.
    pub fn live(&self) -> &MerkleTree {
        &self.live
    }

    /// Root over the operators' output digests.
    pub fn ops_root(&self) -> Digest {
        self.ops.root()
    }

    /// The level-1 leaf that this segment ends in.
    pub fn live_root(&self) -> Digest {
        self.live.root()
    }

    /// `node(ops_root, live_root)`.
    pub fn fine_root(&self) -> Digest {
        fine_root(&self.ops_root(), &self.live_root())
    }

    /// The row of the ops root: what `postSegment` carries.
    pub fn ops_row(&self) -> Result<Vec<Digest>, TraceError> {
        self.ops.row(self.ops.height(), 0)
    }

    /// The row of the live root: what `postSegment` carries.
    pub fn live_row(&self) -> Result<Vec<Digest>, TraceError> {
        self.live.row(self.live.height(), 0)
    }

    /// The tree that holds a place, and its index there.
    pub fn tree_of(&self, at: FineIndex) -> (&MerkleTree, u64) {
        match at {
            FineIndex::Op(i) => (&self.ops, u64::from(i)),
            FineIndex::Live(j) => (&self.live, u64::from(j)),
        }
    }

    /// The digest at a place.
    pub fn digest_at(&self, at: FineIndex) -> Result<Digest, TraceError> {
        let (tree, index) = self.tree_of(at);
        tree.leaf(index)
    }

    /// The opening of a place.
    pub fn open(&self, at: FineIndex) -> Result<Opening, TraceError> {
        let (tree, index) = self.tree_of(at);
        tree.open(index)
    }

    /// First place, in canonical order, where two fine traces of one segment differ.
    pub fn first_difference(&self, other: &FineTrace) -> Option<FineIndex> {
        let first = |a: &MerkleTree, b: &MerkleTree| {
            let len = a.leaves().len().max(b.leaves().len()) as u64;
            (0..len)
                .find(|i| a.leaf(*i) != b.leaf(*i))
                .and_then(|i| u32::try_from(i).ok())
        };
        first(&self.ops, &other.ops)
            .map(FineIndex::Op)
            .or_else(|| first(&self.live, &other.live).map(FineIndex::Live))
    }

    /// Whether rows given for this segment's roots fold to them.
    pub fn rows_fold(
        ops_root: &Digest,
        ops_row: &[Digest],
        leaf: &Digest,
        live_row: &[Digest],
    ) -> bool {
        fold(ops_row).as_ref() == Ok(ops_root) && fold(live_row).as_ref() == Ok(leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(n: u8) -> Vec<Digest> {
        (1..=n).map(|i| Digest([i; 32])).collect()
    }

    #[test]
    fn level1_has_ends() {
        let level1 = Level1::new(3, 5, digests(6)).unwrap();
        assert_eq!(level1.steps(), 2);
        assert_eq!(level1.tree().height(), 4);
        assert_eq!(level1.output_digest(), Digest([6; 32]));
        let opening = level1.output_opening().unwrap();
        assert!(opening.verify(4, &level1.output_digest(), &level1.commitment().level1_root));
        assert_eq!(level1.tree().leaf(6), Ok(Digest::ZERO));
        assert!(Level1::new(3, 5, digests(7)).is_err());
        assert!(Level1::new(3, 5, vec![]).is_err());
        assert!(Level1::new(3, 1, digests(6)).is_err());
        assert!(Level1::new(0, 1, digests(6)).is_err());
    }

    #[test]
    fn many_live_roots_are_the_roots_of_each() {
        for (height, len) in [(0, 1), (1, 2), (3, 5), (4, 5), (6, 33)] {
            let lists = digests(3 * len as u8);
            let expected: Vec<_> = lists
                .chunks(len)
                .map(|list| live_root(height, list).unwrap())
                .collect();
            assert_eq!(live_roots(height, len, &lists), Ok(expected));
        }
        assert!(live_roots(2, 5, &digests(5)).is_err());
        assert!(live_roots(3, 5, &digests(6)).is_err());
        assert!(live_roots(3, 0, &[]).is_err());
        assert!(live_roots(33, 1, &digests(1)).is_err());
    }

    #[test]
    fn steps_are_part_of_the_root() {
        let a = TraceCommitment::new(1, Digest([1; 32]));
        assert!(a.is_consistent());
        assert_ne!(
            a.trace_root,
            TraceCommitment::new(2, Digest([1; 32])).trace_root
        );
        assert!(!TraceCommitment { steps: 2, ..a }.is_consistent());
    }

    #[test]
    fn operators_come_before_live_slots() {
        let base = FineTrace::new(2, digests(3), 1, digests(2)).unwrap();
        let op = FineTrace::new(2, vec![digests(3)[0], Digest([9; 32])], 1, digests(1)).unwrap();
        let live = FineTrace::new(2, digests(3), 1, digests(1)).unwrap();
        assert_eq!(base.first_difference(&base), None);
        assert_eq!(base.first_difference(&op), Some(FineIndex::Op(1)));
        assert_eq!(base.first_difference(&live), Some(FineIndex::Live(1)));
        assert!(FineIndex::Op(9) < FineIndex::Live(0));
        let rows = (base.ops_row().unwrap(), base.live_row().unwrap());
        assert!(FineTrace::rows_fold(
            &base.ops_root(),
            &rows.0,
            &base.live_root(),
            &rows.1
        ));
    }

    #[test]
    fn commit_points_and_leaves() {
        let point = CommitPoint {
            step: 4,
            segment: 2,
        };
        assert_eq!(point.leaf_index(3), 14);
        assert_eq!(CommitPoint::at_leaf(14, 3), Some(point));
        assert_eq!(CommitPoint::at_leaf(14, 0), None);
        assert_eq!(CommitPoint::at_leaf(u64::MAX, 1), None);
    }
}
