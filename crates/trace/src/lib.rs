//! Digests, Merkle trees, openings and evidence files: what a provider commits to and what a
//! dispute opens. Normative text: `spec/trace.md`; vectors: `spec/vectors/trace/`.
//!
//! Everything here is pure: bytes in, digests out. No clock, no chain, no threads. The model's
//! graph is opaque to this crate: nodes, edges and live lists are byte strings whose leaves are
//! hashed and opened, so that a dispute can be checked without an importer.
//!
//! ```
//! use gavel_trace::{MerkleTree, tensor_digest};
//!
//! let a = tensor_digest(1, &[2], &1.5f32.to_le_bytes().repeat(2));
//! let b = tensor_digest(1, &[1], &0.25f32.to_le_bytes());
//! let tree = MerkleTree::new(3, vec![a, b])?;
//! let opening = tree.open(1)?;
//! assert!(opening.verify(3, &b, &tree.root()));
//! # Ok::<(), gavel_trace::TraceError>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod audit;
mod digest;
mod error;
mod evidence;
mod family;
mod growing;
mod identity;
mod levels;
mod sha;
#[cfg(target_arch = "x86_64")]
mod sha_pair;
mod tensor;
mod tree;

pub use audit::{AuditSalt, salted_root, trap_leaf};
pub use digest::{Digest, HASH_ID_SHA256, ParseDigestError, Tag};
pub use error::TraceError;
pub use evidence::{
    Base64Bytes, CheckedEvidence, ClaimedElement, EVIDENCE_FORMAT, Evidence, EvidenceError,
    EvidenceLimits, HeldCheck, HexBytes, InputSource, InputTensor, OpenedBytes, OpenedSegment,
    Ruling, TaskFacts,
};
pub use family::{FamilyHeader, binding_leaf, bindings_tree};
pub use growing::{GrowingDigest, RowsShape, append_rows};
pub use identity::{
    ModelHeader, ModelLeaf, SegmentEntry, graph_node_leaf, model_leaf, segments_tree,
};
pub use levels::{
    CommitPoint, FineIndex, FineTrace, Level1, TraceCommitment, fine_root, live_root, live_roots,
    live_tree,
};
pub use sha::node;
pub use tensor::{
    CHUNK_BYTES, ChunkOpening, TensorHeader, chunk_count, chunk_elements, chunk_leaf, chunk_leaves,
    chunk_root, chunk_tree, part_root, root_of_parts, tensor_digest,
};
pub use tree::{MAX_HEIGHT, MerkleTree, Opening, ROW_LEVELS, fold, height, row_len, zero_subtree};
