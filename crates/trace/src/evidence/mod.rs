//! Evidence: one dispute as one self-contained file that a third party replays offline.
//!
//! The file is JSON: digests and short byte strings in `0x` hex, tensor bytes in base64. It holds
//! what the chain agreed on (task, commitment), the openings that lead from there to one operator
//! and its inputs, and the provider's claim. [`Evidence::check_openings`] checks everything that
//! hashes decide; recomputing the operator on the opened inputs is the caller's part, because
//! graph nodes, edges and live lists are opaque here (`spec/model.md` says how to read them).

mod check;
mod encoding;

pub use check::{CheckedEvidence, HeldCheck};
pub use encoding::{Base64Bytes, HexBytes};

use crate::{
    CHUNK_BYTES, ChunkOpening, Digest, FineIndex, ModelHeader, ModelLeaf, Opening, SegmentEntry,
    TensorHeader, TraceCommitment, TraceError, graph_node_leaf, model_leaf,
};
use serde::{Deserialize, Serialize};

/// Version of the file format that this crate writes and reads.
pub const EVIDENCE_FORMAT: u32 = 1;

/// What a reader accepts. The defaults fit the largest operator a court takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceLimits {
    /// Most bytes of the file. Nothing is parsed beyond it; parsing allocates in proportion to it.
    pub file_bytes: usize,
    /// Most inputs of the disputed operator.
    pub inputs: usize,
}

impl Default for EvidenceLimits {
    fn default() -> Self {
        EvidenceLimits {
            file_bytes: 512 << 20,
            inputs: 4096,
        }
    }
}

/// Why an evidence file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The file is larger than the reader accepts.
    #[error("evidence of {actual} bytes is above the limit of {limit}")]
    TooLarge {
        /// Bytes of the file.
        actual: usize,
        /// The reader's limit.
        limit: usize,
    },
    /// Not JSON, or not this shape.
    #[error("not an evidence file: {0}")]
    Json(#[from] serde_json::Error),
    /// A format version that this crate does not know.
    #[error("evidence format {found}: this reader knows format {EVIDENCE_FORMAT}")]
    Format {
        /// Version in the file.
        found: u32,
    },
    /// More inputs than the reader accepts.
    #[error("{actual} operator inputs are above the limit of {limit}")]
    TooManyInputs {
        /// Inputs in the file.
        actual: usize,
        /// The reader's limit.
        limit: usize,
    },
    /// Something that does not hash or open to what it should.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// The task as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFacts {
    /// EVM chain id.
    pub chain_id: u64,
    /// Address of the court.
    pub court: HexBytes,
    /// Task id.
    pub task_id: u64,
    /// Attempt, from 0.
    pub attempt: u8,
    /// The model asked for.
    pub model_id: Digest,
    /// Live root of the graph inputs.
    pub input_digest: Digest,
    /// Seed of the task's randomness.
    pub seed: u64,
    /// Address of the provider.
    pub provider: HexBytes,
}

/// Canonical bytes of something in the model, opened under one of the header's roots.
///
/// Leaves and inner nodes have different tags, so an opening of another length than the tree's
/// height leads to another root: the height need not be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedBytes {
    /// Canonical bytes (`spec/model.md`).
    pub bytes: HexBytes,
    /// Opening of their leaf.
    pub opening: Opening,
}

impl OpenedBytes {
    /// Leaf of a graph node with these bytes.
    pub fn graph_node_leaf(&self) -> Digest {
        graph_node_leaf(&self.bytes.0)
    }

    /// Leaf of that kind with these bytes.
    pub fn model_leaf(&self, kind: ModelLeaf) -> Digest {
        model_leaf(kind, &self.bytes.0)
    }
}

/// A row of the model's segment table, opened under the segments root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedSegment {
    /// The row.
    pub entry: SegmentEntry,
    /// Its opening.
    pub opening: Opening,
}

/// Where an input of the disputed operator comes from, with the opening that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum InputSource {
    /// Output of operator `opening.index` of the same segment, under the ops root.
    Op {
        /// Tensor digest under the ops root.
        opening: Opening,
    },
    /// Slot `opening.index` of the agreed live root before the segment.
    Live {
        /// Tensor digest under the previous leaf.
        opening: Opening,
        /// The slot's entry in the live list before, which names the value; absent in the first segment of a step,
        /// where slots are the graph inputs in order.
        list_entry: Option<OpenedBytes>,
    },
    /// A weight of the model; its leaf's bytes end with its tensor digest.
    Weight {
        /// The weight's leaf under the weights root.
        leaf: OpenedBytes,
    },
}

/// One input tensor of the disputed operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputTensor {
    /// dtype and shape.
    pub header: TensorHeader,
    /// Little-endian elements in row-major order.
    pub bytes: Base64Bytes,
    /// Where it comes from.
    pub source: InputSource,
    /// The entry of the model's edge table that names that source; absent for a live slot's copy.
    pub edge: Option<OpenedBytes>,
}

/// A referee's ruling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// Address of the referee.
    pub referee: HexBytes,
    /// Digest it posted for the isolated operator's output.
    pub digest: Digest,
}

/// An element of the provider's output that is not what its program gives: where it is known, because the
/// provider showed the tensor or an appeal went that far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedElement {
    /// dtype and shape of the provider's output.
    pub header: TensorHeader,
    /// The chunk that holds the element.
    pub chunk: Base64Bytes,
    /// That chunk in the output's chunk tree; the output's digest is the claimed one.
    pub opening: Opening,
    /// Flat index of the element.
    pub element: u64,
    /// The batch of its run that the contract has executed, if one decided.
    pub batch: Option<u64>,
}

impl ClaimedElement {
    /// Its chunk, as it opens.
    pub fn chunk_opening(&self) -> ChunkOpening {
        ChunkOpening {
            header: self.header.clone(),
            chunk: self.chunk.0.clone(),
            opening: self.opening.clone(),
        }
    }

    /// The element's bits in the chunk, zero-extended; `None` where the chunk does not hold it.
    pub fn value(&self) -> Option<u64> {
        let size = self.header.element_bytes().ok()?;
        let first = self.opening.index.checked_mul(CHUNK_BYTES as u64)?;
        let at = self.element.checked_mul(size)?.checked_sub(first)?;
        let at = usize::try_from(at).ok()?;
        let bytes = self.chunk.0.get(at..at.checked_add(size as usize)?)?;
        let little_endian = bytes.iter().rev();
        Some(little_endian.fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }
}

/// One dispute, self-contained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// [`EVIDENCE_FORMAT`].
    pub format: u32,
    /// What was asked, of whom.
    pub task: TaskFacts,
    /// Header of the model.
    pub model: ModelHeader,
    /// What the provider committed.
    pub commitment: TraceCommitment,
    /// Disputed leaf of level 1: `step * commit_points + segment`.
    pub leaf_index: u64,
    /// The provider's live root there.
    pub leaf: Digest,
    /// `leaf` under the level-1 root.
    pub leaf_opening: Opening,
    /// Agreed live root before: the leaf to the left, or the task's input digest.
    pub previous_leaf: Digest,
    /// `previous_leaf` under the level-1 root; absent for leaf 0.
    pub previous_opening: Option<Opening>,
    /// The disputed segment.
    pub segment: OpenedSegment,
    /// The segment before, whose live list the agreed live root follows; absent in the first segment of a step.
    pub previous_segment: Option<OpenedSegment>,
    /// Root over the segment's operators, as the provider posted or signed it.
    pub ops_root: Digest,
    /// The isolated operator or live slot.
    pub isolated: FineIndex,
    /// The provider's digest of its output.
    pub claimed_digest: Digest,
    /// `claimed_digest` under the ops root, or under `leaf` for a live slot.
    pub claimed_opening: Opening,
    /// The isolated operator under the nodes root, or the live list's entry under its root.
    pub node: OpenedBytes,
    /// Inputs of the operator in its order; the copied value for a live slot.
    pub inputs: Vec<InputTensor>,
    /// The ruling, where there was one.
    pub ruling: Option<Ruling>,
    /// Where in the provider's output it is wrong, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<ClaimedElement>,
}

impl Evidence {
    /// Reads a file. The result is well-formed, not yet checked: see [`Evidence::check_openings`].
    pub fn parse(file: &[u8], limits: &EvidenceLimits) -> Result<Self, EvidenceError> {
        /// Read first, so that another version is named as such.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if file.len() > limits.file_bytes {
            return Err(EvidenceError::TooLarge {
                actual: file.len(),
                limit: limits.file_bytes,
            });
        }
        let Format { format } = serde_json::from_slice(file)?;
        if format != EVIDENCE_FORMAT {
            return Err(EvidenceError::Format { found: format });
        }
        let evidence: Evidence = serde_json::from_slice(file)?;
        if evidence.inputs.len() > limits.inputs {
            return Err(EvidenceError::TooManyInputs {
                actual: evidence.inputs.len(),
                limit: limits.inputs,
            });
        }
        Ok(evidence)
    }

    /// The file, as indented JSON.
    pub fn to_json(&self) -> Result<String, EvidenceError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Whether the provider's claim stands, given the digest of the recomputed output.
    pub fn claim_holds(&self, recomputed: &Digest) -> bool {
        self.claimed_digest == *recomputed
    }

    /// Whether the ruling in the file is right, given the digest of the recomputed output.
    pub fn ruling_holds(&self, recomputed: &Digest) -> Option<bool> {
        self.ruling
            .as_ref()
            .map(|ruling| ruling.digest == *recomputed)
    }
}
