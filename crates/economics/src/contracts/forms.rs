//! A model of one operator and one commit point, and its results: all that the contracts ask to see of one is a few hashes.

use gavel_settlement::alloy::primitives::{B256, Bytes};
use gavel_settlement::bindings::{IAppealLevels, IAudits, ICourt, Market};
use sha2::{Digest as _, Sha256};

use crate::ledger::{Answer, TRAP};

const HASH_SHA256: u8 = 1;
const I64: u8 = 2;
const TAG_CHUNK: u8 = 0;
const TAG_TENSOR: u8 = 2;
const TAG_TRACE: u8 = 3;
const TAG_SEGMENT: u8 = 4;
const TAG_NODE: u8 = 6;
const TAG_TRAP: u8 = 10;
/// Steps of every run.
pub(super) const STEPS: u32 = 1;

fn sha256(parts: &[&[u8]]) -> B256 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    B256::from_slice(&hash.finalize())
}

/// Digest of every task's input.
pub(super) fn input() -> B256 {
    sha256(&[b"input"])
}

/// The one number that a result is.
pub(super) fn chunk(answer: Answer) -> Bytes {
    Bytes::copy_from_slice(&answer.to_le_bytes())
}

pub(super) fn chunk_root(answer: Answer) -> B256 {
    sha256(&[&[TAG_CHUNK], &answer.to_le_bytes()])
}

/// What a trap's leaf is made of.
pub(super) fn trap_salt(answer: Answer) -> B256 {
    sha256(&[b"trap", &answer.to_be_bytes()])
}

/// A leaf that is wrong on purpose.
pub(super) fn trap_leaf(answer: Answer) -> B256 {
    sha256(&[&[TAG_TRAP], trap_salt(answer).as_slice()])
}

/// Digest of the result, which is its output, its only leaf and its level-1 root.
pub(super) fn digest(answer: Answer) -> B256 {
    if answer & TRAP != 0 {
        return trap_leaf(answer);
    }
    let header = [TAG_TENSOR, HASH_SHA256, I64, 1];
    let extent = 1u64.to_be_bytes();
    sha256(&[&header, &extent, chunk_root(answer).as_slice()])
}

/// Root of its trace.
pub(super) fn trace_root(answer: Answer) -> B256 {
    let steps = STEPS.to_be_bytes();
    sha256(&[&[TAG_TRACE], &steps, digest(answer).as_slice()])
}

/// The model's only segment: one operator, no live tensors that an auditor would have to open.
pub(super) fn segment() -> ICourt::SegmentOpening {
    ICourt::SegmentOpening {
        index: 0,
        firstNode: 0,
        opCount: 1,
        liveCount: 0,
        liveListRoot: B256::ZERO,
        proof: Vec::new(),
    }
}

/// What an auditor shows of a commit point without live tensors.
pub(super) fn opening() -> IAudits::ChunkOpening {
    let s = segment();
    IAudits::ChunkOpening {
        chunk: Bytes::new(),
        slot: 0,
        chunkIndex: 0,
        tensorHeader: Bytes::new(),
        chunkProof: Vec::new(),
        liveProof: Vec::new(),
        traceProof: Vec::new(),
        saltedChunkProof: Vec::new(),
        saltedLiveProof: Vec::new(),
        segment: IAudits::SegmentOpening {
            index: s.index,
            firstNode: s.firstNode,
            opCount: s.opCount,
            liveCount: s.liveCount,
            liveListRoot: s.liveListRoot,
            proof: s.proof,
        },
    }
}

pub(super) fn node() -> IAppealLevels::NodeFacts {
    IAppealLevels::NodeFacts {
        op: 0,
        attributes: Vec::new(),
        dtype: I64,
        dims: vec![1],
    }
}

/// The header of a class's model, told from the others by its number.
pub(super) fn header(class: u8, numerics: u32) -> Market::ModelHeader {
    let s = segment();
    let entry = sha256(&[
        &[TAG_SEGMENT],
        &s.index.to_be_bytes(),
        &s.firstNode.to_be_bytes(),
        &s.opCount.to_be_bytes(),
        &s.liveCount.to_be_bytes(),
        s.liveListRoot.as_slice(),
    ]);
    let n = node();
    let leaf = sha256(&[
        &[TAG_NODE],
        &n.op.to_be_bytes(),
        &0u16.to_be_bytes(),
        &[n.dtype, 1],
        &1u64.to_be_bytes(),
    ]);
    Market::ModelHeader {
        numericsVersion: numerics,
        loweringVersion: 1,
        nodeCount: 1,
        maxSteps: STEPS,
        commitPoints: 1,
        traceHeight: 0,
        opsHeight: 0,
        liveHeight: 0,
        work: 1,
        nodesRoot: leaf,
        edgesRoot: B256::ZERO,
        weightsRoot: B256::ZERO,
        segmentsRoot: entry,
        assetsRoot: sha256(&[b"class", &[class]]),
    }
}
