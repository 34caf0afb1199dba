//! What opens under the committed roots: the contract's checks, for the model of it and for whoever wants to know before sending.

use std::collections::BTreeSet;

use gavel_numerics::program::TABLE_ROOT;
use gavel_trace::{
    CommitPoint, Digest, ModelHeader, ModelLeaf, Opening, TensorHeader, chunk_count, chunk_leaf,
    graph_node_leaf, height, model_leaf,
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
        self.header.numerics_version == NUMERICS_VERSION
    }

    /// Whether a source is read from the live root before.
    pub(super) fn is_live(&self, source: &Source) -> bool {
        match source.kind {
            SourceKind::Input => true,
            SourceKind::Weight => false,
            SourceKind::Node => source.index < self.segment.first_node,
        }
    }

    pub(super) fn node_opens(&self, op: u32, node: &NodeFacts, proof: &[Digest]) -> bool {
        let index = u64::from(self.segment.first_node) + u64::from(op);
        let height = height(self.header.node_count.into());
        let leaf = graph_node_leaf(&node.encode());
        opens_at(&leaf, index, proof, height, &self.header.nodes_root)
    }

    /// The disputed segment's number.
    fn own_segment(&self) -> Option<u32> {
        let at = CommitPoint::at_leaf(self.segment.leaf_index, self.header.commit_points)?;
        Some(at.segment)
    }

    fn segment_opens(&self, opening: &SegmentOpening, number: u32) -> bool {
        let entry = &opening.entry;
        let points = self.header.commit_points;
        let (index, root) = (u64::from(entry.index), &self.header.segments_root);
        entry.index == number
            && opens_at(
                &entry.leaf(),
                index,
                &opening.proof,
                height(points.into()),
                root,
            )
    }

    /// Whether the digest at a source opens where the source says; `readable` operators of the segment may be read.
    fn source_opens(
        &self,
        at: &SourceOpening,
        before: Option<&SegmentOpening>,
        digest: &Digest,
        readable: u32,
    ) -> bool {
        let (header, segment, source) = (self.header, self.segment, &at.source);
        if (source.step_offset, source.port) != (0, 0) {
            return false;
        }
        if source.kind == SourceKind::Weight {
            let leaf = [&source.index.to_be_bytes()[..], &digest.0].concat();
            let leaf = model_leaf(ModelLeaf::Weight, &leaf);
            return opens(&leaf, source.index.into(), &at.proof, &header.weights_root);
        }
        if !self.is_live(source) {
            let op = source.index - segment.first_node;
            let (height, root) = (header.ops_height, &segment.ops_root);
            return op < readable && opens_at(digest, op.into(), &at.proof, height, root);
        }
        let Some(own) = self.own_segment() else {
            return false;
        };
        let named = match own.checked_sub(1) {
            // before a step there are its inputs: the task's, or what the step before gave
            None => source.kind == SourceKind::Input && source.index == at.slot,
            Some(number) => before.is_some_and(|before| {
                let entry = &before.entry;
                self.segment_opens(before, number)
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
            && self.source_opens(&operand.at, before, &header.digest(&operand.chunk_root), op)
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
        let positions = proof.operands.iter().map(|operand| operand.position);
        let once = positions.collect::<BTreeSet<_>>().len() == proof.operands.len();
        let before = proof.before.as_ref();
        let mut operands = proof.operands.iter();
        let mut chunks = proof.chunks.iter();
        table
            && once
            && operands.all(|operand| self.operand_opens(op, operand, before))
            && chunks.all(|chunk| {
                let of = |operand: &&OperandProof| operand.position == chunk.position;
                (proof.operands.iter().find(of)).is_some_and(|operand| chunk_opens(operand, chunk))
            })
    }

    /// Whether all that a live slot's proof shows opens.
    pub(super) fn slot_opens(&self, slot: u32, proof: &SlotProof) -> bool {
        let entry = &proof.segment.entry;
        self.own_segment()
            .is_some_and(|own| self.segment_opens(&proof.segment, own))
            && list_names(
                slot,
                &proof.at.source,
                &proof.list_proof,
                &entry.live_list_root,
            )
            && proof.at.source.kind != SourceKind::Weight
            && self.source_opens(
                &proof.at,
                proof.before.as_ref(),
                &proof.digest,
                self.segment.op_count,
            )
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
            0 => true,
            1 => {
                let whole = opened.chunk.len() as u64 == bytes;
                whole && chunk_leaf(&opened.chunk) == opened.chunk_root
            }
            n => {
                let root = super::ChunkClaim {
                    node: opened.chunk_root,
                    height: height(n),
                    index: 0,
                };
                root.is_answered_by(&opened.row)
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

fn chunk_opens(operand: &OperandProof, chunk: &ChunkProof) -> bool {
    let Some(header) = operand_header(operand) else {
        return false;
    };
    let height = header.chunk_height().unwrap_or(u8::MAX);
    !chunk.data.is_empty()
        && header.chunk_len(chunk.index) == Ok(chunk.data.len() as u64)
        && opens_at(
            &chunk_leaf(&chunk.data),
            chunk.index,
            &chunk.proof,
            height,
            &operand.chunk_root,
        )
}
