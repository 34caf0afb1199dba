//! What opens under the committed roots: the contract's checks, for the model of it and for whoever wants to know before sending.

use gavel_numerics::program::TABLE_ROOT;
use gavel_trace::{
    CHUNK_BYTES, CommitPoint, Digest, ModelHeader, ModelLeaf, Opening, TensorHeader, chunk_count,
    chunk_leaf, graph_node_leaf, height, model_leaf,
};

use super::prove::program_leaf;
use super::{
    ChunkProof, NodeFacts, OpenTensor, OperandProof, SegmentOpening, SlotProof, Source, SourceKind,
    SourceOpening, StepProof,
};
use crate::SegmentFacts;

/// Numerics version whose program table is [`TABLE_ROOT`].
pub(super) const NUMERICS_VERSION: u32 = 1;

/// What a disputed place's inputs open under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots<'a> {
    pub(super) header: &'a ModelHeader,
    pub(super) segment: &'a SegmentFacts,
}

/// Whether a leaf opens; the tree's height is known, or the tag of the leaf tells it from a node.
fn opens(leaf: &Digest, index: u64, proof: &[Digest], root: &Digest) -> bool {
    let Ok(height) = u8::try_from(proof.len()) else {
        return false;
    };
    let siblings = proof.to_vec();
    Opening { index, siblings }.verify(height, leaf, root)
}

fn opens_at(leaf: &Digest, index: u64, proof: &[Digest], height: u8, root: &Digest) -> bool {
    proof.len() == usize::from(height) && opens(leaf, index, proof, root)
}

impl Roots<'_> {
    /// Whether the levels can judge here (P-L8).
    pub(super) fn judgeable(&self) -> bool {
        let (at, points) = (self.segment.leaf_index, self.header.commit_points);
        let first = CommitPoint::at_leaf(at, points).is_none_or(|at| at.segment == 0);
        self.header.numerics_version == NUMERICS_VERSION && (at == 0 || !first)
    }

    fn within_segment(&self, source: &Source) -> Option<u32> {
        let segment = self.segment;
        let own = source.kind == SourceKind::Node && (source.step_offset, source.port) == (0, 0);
        let index = source.index.checked_sub(segment.first_node)?;
        (own && index < segment.op_count).then_some(index)
    }

    /// Whether a source is read from the live root before.
    pub(super) fn is_live(&self, source: &Source) -> bool {
        source.kind != SourceKind::Weight && self.within_segment(source).is_none()
    }

    pub(super) fn node_opens(&self, op: u32, node: &NodeFacts, proof: &[Digest]) -> bool {
        let index = u64::from(self.segment.first_node) + u64::from(op);
        let height = height(self.header.node_count.into());
        let leaf = graph_node_leaf(&node.encode());
        opens_at(&leaf, index, proof, height, &self.header.nodes_root)
    }

    fn segment_opens(&self, opening: &SegmentOpening, leaf_index: u64) -> bool {
        let entry = &opening.entry;
        let points = self.header.commit_points;
        let at = CommitPoint::at_leaf(leaf_index, points).map(|at| at.segment);
        let (index, root) = (u64::from(entry.index), &self.header.segments_root);
        at == Some(entry.index)
            && opens_at(
                &entry.leaf(),
                index,
                &opening.proof,
                height(points.into()),
                root,
            )
    }

    /// Whether the digest at a source opens where the source says.
    fn source_opens(
        &self,
        at: &SourceOpening,
        before: Option<&SegmentOpening>,
        digest: &Digest,
    ) -> bool {
        let (header, segment, source) = (self.header, self.segment, &at.source);
        if source.kind == SourceKind::Weight {
            let leaf = [&source.index.to_be_bytes()[..], &digest.0].concat();
            let leaf = model_leaf(ModelLeaf::Weight, &leaf);
            let plain = (source.step_offset, source.port) == (0, 0);
            return plain && opens(&leaf, source.index.into(), &at.proof, &header.weights_root);
        }
        if let Some(op) = self.within_segment(source) {
            let root = &segment.ops_root;
            return opens_at(digest, op.into(), &at.proof, header.ops_height, root);
        }
        let named = match segment.leaf_index.checked_sub(1) {
            None => source.kind == SourceKind::Input && source.index == at.slot,
            Some(leaf_before) => before.is_some_and(|before| {
                let entry = &before.entry;
                self.segment_opens(before, leaf_before)
                    && at.slot < entry.live_count
                    && list_names(at.slot, source, &at.list_proof, &entry.live_list_root)
            }),
        };
        let root = &segment.previous_leaf;
        named && opens_at(digest, at.slot.into(), &at.proof, header.live_height, root)
    }

    fn operand_opens(
        &self,
        op: u32,
        operand: &OperandProof,
        before: Option<&SegmentOpening>,
    ) -> bool {
        let Some(header) = operand_header(operand) else {
            return false;
        };
        let node = self.segment.first_node + op;
        let edge = [
            &node.to_be_bytes()[..],
            &operand.position.to_be_bytes(),
            &operand.count.to_be_bytes(),
            &operand.at.source.encode(),
        ];
        let edge = model_leaf(ModelLeaf::Edge, &edge.concat());
        let (index, root) = (u64::from(operand.edge_index), &self.header.edges_root);
        opens(&edge, index, &operand.edge_proof, root)
            && self.source_opens(&operand.at, before, &header.digest(&operand.chunk_root))
    }

    /// Whether all that a step shows of an operator opens. Which operator it is, what is read, and what the batch starts from
    /// are other matters.
    pub(super) fn step_opens(&self, op: u32, proof: &StepProof) -> bool {
        let id = proof.node.op;
        let table = opens_at(
            &program_leaf(id, &proof.program),
            id.into(),
            &proof.program_proof,
            height(gavel_numerics::program::TABLE_LEN.into()),
            &Digest(TABLE_ROOT),
        );
        let ordered = proof.operands.is_sorted_by(|a, b| a.position < b.position)
            && (proof.chunks).is_sorted_by(|a, b| (a.position, a.index) < (b.position, b.index));
        let before = proof.before.as_ref();
        let mut operands = proof.operands.iter();
        let mut chunks = proof.chunks.iter();
        table
            && ordered
            && operands.all(|operand| self.operand_opens(op, operand, before))
            && chunks.all(|chunk| {
                let of = |operand: &&OperandProof| operand.position == chunk.position;
                (proof.operands.iter().find(of)).is_some_and(|operand| chunk_opens(operand, chunk))
            })
    }

    /// Whether all that a live slot's proof shows opens.
    pub(super) fn slot_opens(&self, slot: u32, proof: &SlotProof) -> bool {
        let entry = &proof.segment.entry;
        self.segment_opens(&proof.segment, self.segment.leaf_index)
            && list_names(
                slot,
                &proof.at.source,
                &proof.list_proof,
                &entry.live_list_root,
            )
            && proof.at.source.kind != SourceKind::Weight
            && self.source_opens(&proof.at, proof.before.as_ref(), &proof.digest)
    }

    /// Whether the claimed digest is opened, with what comes next: a row, or the one chunk.
    pub(super) fn tensor_opens(&self, op: u32, claimed: &Digest, opened: &OpenTensor) -> bool {
        let Ok(header) = TensorHeader::new(opened.node.dtype, opened.node.dims.clone()) else {
            return false;
        };
        let Ok(bytes) = header.byte_len() else {
            return false;
        };
        let next = match chunk_count(bytes) {
            0 => opened.row.is_empty() && opened.chunk.is_empty(),
            1 => {
                let whole = opened.chunk.len() as u64 == bytes;
                whole && opened.row.is_empty() && chunk_leaf(&opened.chunk) == opened.chunk_root
            }
            n => {
                let root = super::ChunkClaim {
                    node: opened.chunk_root,
                    height: height(n),
                    index: 0,
                };
                opened.chunk.is_empty() && root.is_answered_by(&opened.row)
            }
        };
        opened.claimed == *claimed
            && header.digest(&opened.chunk_root) == *claimed
            && self.node_opens(op, &opened.node, &opened.node_proof)
            && next
    }
}

fn list_names(slot: u32, source: &Source, proof: &[Digest], list: &Digest) -> bool {
    let entry = [&slot.to_be_bytes()[..], &source.encode()].concat();
    let leaf = model_leaf(ModelLeaf::LiveSlot, &entry);
    opens(&leaf, slot.into(), proof, list)
}

fn operand_header(operand: &OperandProof) -> Option<TensorHeader> {
    TensorHeader::new(operand.dtype, operand.dims.clone()).ok()
}

/// Bytes that a tensor gives its chunk `index`; 0 beyond its last.
pub(super) fn chunk_len(header: &TensorHeader, index: u64) -> u64 {
    let bytes = header.byte_len().unwrap_or(0);
    let before = index.saturating_mul(CHUNK_BYTES as u64);
    bytes.saturating_sub(before).min(CHUNK_BYTES as u64)
}

fn chunk_opens(operand: &OperandProof, chunk: &ChunkProof) -> bool {
    let Some(header) = operand_header(operand) else {
        return false;
    };
    let height = header.chunk_height().unwrap_or(u8::MAX);
    !chunk.data.is_empty()
        && chunk.data.len() as u64 == chunk_len(&header, chunk.index)
        && opens_at(
            &chunk_leaf(&chunk.data),
            chunk.index,
            &chunk.proof,
            height,
            &operand.chunk_root,
        )
}
