//! What a party can compute, as far as the game needs it.

use crate::SegmentFacts;
use gavel_trace::{Digest, FineIndex, FineTrace, MerkleTree, Opening, SegmentEntry};

/// A fine trace that the provider handed out with its signature over the ops root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedSegment {
    /// The provider's fine trace.
    pub fine: FineTrace,
    /// EIP-712 signature over (chain, court, task, attempt, trace root, leaf index, ops root); the
    /// caller has verified it.
    pub signature: Vec<u8>,
}

/// What a party knows or can recompute. Implementations may be slow and should cache.
pub trait Knowledge {
    /// Level-1 tree of the party's own run; for the provider, of the run it committed.
    fn level1(&self) -> Option<&MerkleTree>;

    /// Fine trace of the segment that ends at `leaf_index`, computed on the party's own live tensors
    /// before it (which are the agreed ones wherever the game gets).
    fn fine_trace(&self, leaf_index: u64) -> Option<FineTrace>;

    /// Entry of segment `index` with its opening under the model's segments root.
    fn segment(&self, index: u32) -> Option<(SegmentEntry, Opening)>;

    /// The provider's level-1 tree, where it was handed out.
    fn provider_level1(&self) -> Option<&MerkleTree> {
        None
    }

    /// The provider's fine trace of a segment, signed, where it was handed out.
    fn provider_signed(&self, leaf_index: u64) -> Option<SignedSegment> {
        let _ = leaf_index;
        None
    }

    /// The provider's fine trace of a segment, signed or not; it counts only if it has the ops root
    /// that the game is about.
    fn provider_fine(&self, leaf_index: u64) -> Option<FineTrace> {
        self.provider_signed(leaf_index).map(|signed| signed.fine)
    }

    /// Output digest of a place, computed on the inputs that the provider committed: what a ruling
    /// and an appeal are about.
    ///
    /// Where the party agrees with everything before the place, these are its own inputs, and the
    /// default is right. Where it does not (a challenger who passed over an earlier error, which
    /// only a referee meets), an implementation answers only if it can show the committed inputs in an
    /// appeal too, checked against `segment.previous_leaf` and `segment.ops_root`: a ruling on other
    /// inputs, or on inputs that the provider takes back, would be overturned.
    fn output_on_committed_inputs(
        &self,
        segment: &SegmentFacts,
        place: FineIndex,
    ) -> Option<Digest> {
        self.fine_trace(segment.leaf_index)?.digest_at(place).ok()
    }
}
