//! The identity of a model: segment table, header, and the leaves that its roots are made of.

use crate::{Digest, MerkleTree, Tag, TraceError, height, sha::tagged};
use serde::{Deserialize, Serialize};

/// Kinds of model leaf under tag `0x08`; the value is the sub-tag byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ModelLeaf {
    /// One input of a node: where it comes from.
    Edge = 1,
    /// One weight tensor.
    Weight = 2,
    /// A file that belongs to the model (tokenizer, template, labels).
    Asset = 3,
    /// One slot of a segment's live list.
    LiveSlot = 4,
    /// One binding of a family of models.
    Binding = 5,
    /// An operator's program, in the program table of a numerics version.
    Program = 0x70,
}

/// `H(0x06 || bytes)`: the leaf of a graph node's canonical bytes (`spec/model.md`).
pub fn graph_node_leaf(bytes: &[u8]) -> Digest {
    tagged(Tag::GraphNode, &[bytes])
}

/// `H(0x08 || sub-tag || bytes)`: the leaf of an edge, weight, asset or live slot (`spec/model.md`).
pub fn model_leaf(kind: ModelLeaf, bytes: &[u8]) -> Digest {
    tagged(Tag::ModelLeaf, &[&[kind as u8], bytes])
}

/// One row of a model's segment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Number of the segment and of the commit point that closes it.
    pub index: u32,
    /// First node of the segment in canonical order.
    pub first_node: u32,
    /// Nodes in the segment.
    pub op_count: u32,
    /// Live tensors at its end.
    pub live_count: u32,
    /// Root of the live list: where each live slot's value comes from.
    pub live_list_root: Digest,
}

impl SegmentEntry {
    /// `H(0x04 || c || first_node || op_count || live_count || live_list_root)`.
    pub fn leaf(&self) -> Digest {
        tagged(
            Tag::Segment,
            &[
                &self.index.to_be_bytes(),
                &self.first_node.to_be_bytes(),
                &self.op_count.to_be_bytes(),
                &self.live_count.to_be_bytes(),
                &self.live_list_root.0,
            ],
        )
    }
}

/// The tree over a model's segment table, of height `height(number of segments)`.
pub fn segments_tree(entries: &[SegmentEntry]) -> Result<MerkleTree, TraceError> {
    MerkleTree::new(
        height(entries.len() as u64),
        entries.iter().map(SegmentEntry::leaf).collect(),
    )
}

/// The committed facts of a model. [`ModelHeader::model_id`] hashes all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelHeader {
    /// Version of the arithmetic.
    pub numerics_version: u32,
    /// Version of the importer's rewriting.
    pub lowering_version: u32,
    /// Nodes of the step graph.
    pub node_count: u32,
    /// Most steps that a task may run.
    pub max_steps: u32,
    /// Commit points of the step graph.
    pub commit_points: u32,
    /// Height of level 1: `height(max_steps * commit_points)`.
    pub trace_height: u8,
    /// Height of every ops tree: `height(max op_count)`.
    pub ops_height: u8,
    /// Height of every live tree: `height(max(live_count, inputs))`.
    pub live_height: u8,
    /// Multiply-adds and element operations of one step.
    pub work: u64,
    /// Root over graph nodes.
    pub nodes_root: Digest,
    /// Root over the edge table.
    pub edges_root: Digest,
    /// Root over weights.
    pub weights_root: Digest,
    /// Root over segment entries.
    pub segments_root: Digest,
    /// Root over tokenizer, template and other assets.
    pub assets_root: Digest,
}

impl ModelHeader {
    /// Bytes of [`ModelHeader::encode`].
    pub const ENCODED_BYTES: usize = 5 * 4 + 3 + 8 + 5 * 32;

    /// The packed big-endian fields, without the tag.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::ENCODED_BYTES);
        for field in [
            self.numerics_version,
            self.lowering_version,
            self.node_count,
            self.max_steps,
            self.commit_points,
        ] {
            out.extend(field.to_be_bytes());
        }
        out.extend([self.trace_height, self.ops_height, self.live_height]);
        out.extend(self.work.to_be_bytes());
        for root in [
            self.nodes_root,
            self.edges_root,
            self.weights_root,
            self.segments_root,
            self.assets_root,
        ] {
            out.extend(root.0);
        }
        out
    }

    /// `H(0x05 || encode())`.
    pub fn model_id(&self) -> Digest {
        tagged(Tag::Model, &[&self.encode()])
    }

    /// Refuses headers whose counts and heights contradict each other or the format's limits.
    pub fn check(&self) -> Result<(), TraceError> {
        if self.node_count == 0 || self.max_steps == 0 || self.commit_points == 0 {
            return Err(TraceError::Inconsistent(
                "a model has at least one node, one step and one commit point",
            ));
        }
        if self.commit_points > self.node_count {
            return Err(TraceError::Inconsistent(
                "a model has at most one commit point per node",
            ));
        }
        if self.trace_height != height(u64::from(self.max_steps) * u64::from(self.commit_points)) {
            return Err(TraceError::Inconsistent(
                "trace height does not follow from steps and commit points",
            ));
        }
        for at in [self.trace_height, self.ops_height, self.live_height] {
            if at > crate::MAX_HEIGHT {
                return Err(TraceError::HeightTooLarge(at));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ModelHeader {
        let d = |i| Digest([i; 32]);
        ModelHeader {
            numerics_version: 1,
            lowering_version: 1,
            node_count: 12,
            max_steps: 1,
            commit_points: 3,
            trace_height: 2,
            ops_height: 3,
            live_height: 1,
            work: 1 << 40,
            nodes_root: d(1),
            edges_root: d(2),
            weights_root: d(3),
            segments_root: d(4),
            assets_root: d(5),
        }
    }

    #[test]
    fn every_field_counts() {
        let base = header();
        assert_eq!(base.encode().len(), ModelHeader::ENCODED_BYTES);
        assert!(base.check().is_ok());
        let d = Digest([9; 32]);
        let changed = [
            ModelHeader {
                numerics_version: 2,
                ..base
            },
            ModelHeader {
                lowering_version: 2,
                ..base
            },
            ModelHeader {
                node_count: 13,
                ..base
            },
            ModelHeader {
                max_steps: 2,
                ..base
            },
            ModelHeader {
                commit_points: 4,
                ..base
            },
            ModelHeader {
                trace_height: 3,
                ..base
            },
            ModelHeader {
                ops_height: 4,
                ..base
            },
            ModelHeader {
                live_height: 2,
                ..base
            },
            ModelHeader { work: 1, ..base },
            ModelHeader {
                nodes_root: d,
                ..base
            },
            ModelHeader {
                edges_root: d,
                ..base
            },
            ModelHeader {
                weights_root: d,
                ..base
            },
            ModelHeader {
                segments_root: d,
                ..base
            },
            ModelHeader {
                assets_root: d,
                ..base
            },
        ];
        for header in changed {
            assert_ne!(header.model_id(), base.model_id());
        }
    }

    #[test]
    fn impossible_headers_are_refused() {
        for bad in [
            ModelHeader {
                node_count: 0,
                ..header()
            },
            ModelHeader {
                max_steps: 0,
                ..header()
            },
            ModelHeader {
                commit_points: 0,
                ..header()
            },
            ModelHeader {
                commit_points: 13,
                trace_height: 4,
                ..header()
            },
            ModelHeader {
                trace_height: 1,
                ..header()
            },
            ModelHeader {
                live_height: 33,
                ..header()
            },
            ModelHeader {
                max_steps: u32::MAX,
                commit_points: 12,
                trace_height: 36,
                ..header()
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn leaf_kinds_do_not_collide() {
        let kinds = [
            ModelLeaf::Edge,
            ModelLeaf::Weight,
            ModelLeaf::Asset,
            ModelLeaf::LiveSlot,
            ModelLeaf::Binding,
            ModelLeaf::Program,
        ];
        let mut leaves: Vec<_> = kinds.iter().map(|k| model_leaf(*k, b"x")).collect();
        leaves.push(graph_node_leaf(b"x"));
        leaves.sort();
        leaves.dedup();
        assert_eq!(leaves.len(), 7);
    }
}
