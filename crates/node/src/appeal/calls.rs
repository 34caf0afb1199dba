//! Moves as calls of the contract.

use gavel_dispute::appeal::{
    ChunkProof, NodeFacts, OpenTensor, OperandProof, SegmentOpening, SlotProof, SourceOpening,
    StepProof,
};
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::IAppealLevels as levels;
use gavel_trace::Digest;

use crate::play::word;
use crate::{Address, B256};

pub(super) fn open_tensor(court: Address, id: U256, open: OpenTensor) -> levels::openTensorCall {
    levels::openTensorCall {
        court,
        disputeId: id,
        claimed: word(&open.claimed),
        node: node(open.node),
        nodeProof: words(&open.node_proof),
        chunkRoot: word(&open.chunk_root),
        row: words(&open.row),
        chunk: open.chunk.into(),
    }
}

pub(super) fn reveal_row(
    court: Address,
    id: U256,
    node: Digest,
    row: &[Digest],
) -> levels::revealRowCall {
    levels::revealRowCall {
        court,
        disputeId: id,
        node: word(&node),
        row: words(row),
    }
}

pub(super) fn pick_chunk(
    court: Address,
    id: U256,
    row: &[Digest],
    child: u8,
) -> levels::pickChunkCall {
    levels::pickChunkCall {
        court,
        disputeId: id,
        row: words(row),
        childIndex: child,
    }
}

pub(super) fn reveal_chunk(
    court: Address,
    id: U256,
    node: Digest,
    chunk: Vec<u8>,
) -> levels::revealChunkCall {
    levels::revealChunkCall {
        court,
        disputeId: id,
        node: word(&node),
        chunk: chunk.into(),
    }
}

pub(super) fn pick_element(
    court: Address,
    id: U256,
    chunk: Vec<u8>,
    within: u16,
) -> levels::pickElementCall {
    levels::pickElementCall {
        court,
        disputeId: id,
        chunk: chunk.into(),
        within,
    }
}

pub(super) fn reveal_states(
    court: Address,
    id: U256,
    end: Digest,
    batches: u64,
    states: &[Digest],
) -> levels::revealStatesCall {
    levels::revealStatesCall {
        court,
        disputeId: id,
        end: word(&end),
        batches,
        states: words(states),
    }
}

pub(super) fn pick_state(
    court: Address,
    id: U256,
    states: &[Digest],
    part: u8,
) -> levels::pickStateCall {
    levels::pickStateCall {
        court,
        disputeId: id,
        states: words(states),
        part,
    }
}

pub(super) fn step(court: Address, id: U256, end: Digest, proof: StepProof) -> levels::stepCall {
    levels::stepCall {
        court,
        disputeId: id,
        end: word(&end),
        proof: levels::StepProof {
            machine: proof.machine.into(),
            node: node(proof.node),
            program: proof.program.into(),
            programProof: words(&proof.program_proof),
            before: segment(proof.before.as_ref()),
            operands: proof.operands.into_iter().map(operand).collect(),
            chunks: proof.chunks.into_iter().map(chunk).collect(),
        },
    }
}

pub(super) fn resolve_slot(
    court: Address,
    id: U256,
    claimed: Digest,
    proof: SlotProof,
) -> levels::resolveSlotCall {
    levels::resolveSlotCall {
        court,
        disputeId: id,
        claimed: word(&claimed),
        proof: levels::SlotProof {
            segment: segment(Some(&proof.segment)),
            listProof: words(&proof.list_proof),
            before: segment(proof.before.as_ref()),
            at: source(proof.at),
            digest: word(&proof.digest),
        },
    }
}

pub(super) fn claim_timeout(court: Address, id: U256) -> levels::claimTimeoutCall {
    levels::claimTimeoutCall {
        court,
        disputeId: id,
    }
}

fn node(node: NodeFacts) -> levels::NodeFacts {
    levels::NodeFacts {
        op: node.op,
        attributes: node.attributes,
        dtype: node.dtype,
        dims: node.dims,
    }
}

fn operand(operand: OperandProof) -> levels::OperandProof {
    levels::OperandProof {
        position: operand.position,
        count: operand.count,
        edgeIndex: operand.edge_index,
        edgeProof: words(&operand.edge_proof),
        at: source(operand.at),
        dtype: operand.dtype,
        dims: operand.dims,
        chunkRoot: word(&operand.chunk_root),
    }
}

fn chunk(chunk: ChunkProof) -> levels::ChunkProof {
    levels::ChunkProof {
        position: chunk.position,
        index: chunk.index,
        data: chunk.data.into(),
        proof: words(&chunk.proof),
    }
}

fn source(at: SourceOpening) -> levels::SourceOpening {
    levels::SourceOpening {
        source: levels::Source {
            kind: at.source.kind as u8,
            stepOffset: at.source.step_offset,
            index: at.source.index,
            port: at.source.port,
        },
        slot: at.slot,
        proof: words(&at.proof),
        listProof: words(&at.list_proof),
    }
}

/// An opening of the segment table; all zero where none is needed.
fn segment(opening: Option<&SegmentOpening>) -> levels::SegmentOpening {
    let entry = opening.map(|opening| opening.entry);
    levels::SegmentOpening {
        index: entry.map_or(0, |e| e.index),
        firstNode: entry.map_or(0, |e| e.first_node),
        opCount: entry.map_or(0, |e| e.op_count),
        liveCount: entry.map_or(0, |e| e.live_count),
        liveListRoot: entry.map_or(B256::ZERO, |e| word(&e.live_list_root)),
        proof: opening.map_or_else(Vec::new, |opening| words(&opening.proof)),
    }
}

fn words(digests: &[Digest]) -> Vec<B256> {
    digests.iter().map(word).collect()
}
