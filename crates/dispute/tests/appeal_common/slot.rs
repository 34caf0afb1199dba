//! A disputed live slot.

use gavel_dispute::SegmentFacts;
use gavel_dispute::appeal::*;
use gavel_trace::*;

use super::{BUDGET, From, INCREMENT, number, proof, tree_with};

/// A live slot that copies a value of digest `number(42)`.
pub struct SlotWorld {
    pub setup: AppealSetup,
    pub proof: SlotProof,
}

impl SlotWorld {
    /// `from` says what it copies; weights are never live.
    pub fn new(leaf_index: u64, from: From, claimed: Digest) -> SlotWorld {
        let (points, first_node, op_count, slot) = (3u32, 11, 40, 2u32);
        let own = (leaf_index % u64::from(points)) as u32;
        let (kind, index) = match from {
            From::Op => (SourceKind::Node, first_node + 7),
            From::Weight => (SourceKind::Weight, 1),
            From::Later | From::SecondOutput => panic!("operands only"),
            From::Misplaced => (SourceKind::Input, 3),
            From::Live if own == 0 => (SourceKind::Input, 4),
            From::Live | From::Beyond => (SourceKind::Node, 1),
        };
        let source = Source {
            kind,
            step_offset: 0,
            index,
            port: 0,
        };
        let value = number(42);
        let named = |slot: u32| {
            let bytes = [&slot.to_be_bytes()[..], &source.encode()].concat();
            model_leaf(ModelLeaf::LiveSlot, &bytes)
        };
        let weight = [&1u32.to_be_bytes()[..], &value.0].concat();
        let weights = tree_with(2, 4, 5, &[(1, model_leaf(ModelLeaf::Weight, &weight))]);
        let own_list = tree_with(3, 5, 800, &[(slot as usize, named(slot))]);
        let list_before = tree_with(3, 5, 900, &[(4, named(4))]);
        let live_before = tree_with(3, 5, 700, &[(4, value)]);
        let ops = tree_with(6, op_count as usize, 1000, &[(7, value)]);
        let live = tree_with(3, 5, 300, &[(slot as usize, claimed)]);
        let entries: Vec<SegmentEntry> = (0..points)
            .map(|c| SegmentEntry {
                index: c,
                first_node: if c == own { first_node } else { 0 },
                op_count: if c == own { op_count } else { 9 },
                live_count: if from == From::Beyond { 4 } else { 5 },
                live_list_root: if c == own {
                    own_list.root()
                } else {
                    list_before.root()
                },
            })
            .collect();
        let table = segments_tree(&entries).unwrap();
        let opening = |c: u32| SegmentOpening {
            entry: entries[c as usize],
            proof: proof(&table, c as usize),
        };
        let header = ModelHeader {
            numerics_version: 1,
            lowering_version: 1,
            node_count: 100,
            max_steps: 2,
            commit_points: points,
            trace_height: 3,
            ops_height: 6,
            live_height: 3,
            work: 1,
            nodes_root: number(1),
            edges_root: number(2),
            weights_root: weights.root(),
            segments_root: table.root(),
            assets_root: Digest::ZERO,
        };
        let segment = SegmentFacts {
            leaf_index,
            leaf: live.root(),
            previous_leaf: live_before.root(),
            first_node,
            op_count,
            live_count: 5,
            ops_root: ops.root(),
        };
        let is_live = !matches!(from, From::Op | From::Weight);
        let in_list = own > 0 && is_live;
        let before = in_list.then(|| opening(own - 1));
        let at = SourceOpening {
            source,
            slot: if is_live { 4 } else { 0 },
            proof: match from {
                From::Op => proof(&ops, 7),
                From::Weight => proof(&weights, 1),
                _ => proof(&live_before, 4),
            },
            list_proof: if in_list {
                proof(&list_before, 4)
            } else {
                Vec::new()
            },
        };
        SlotWorld {
            setup: AppealSetup {
                header,
                segment,
                place: FineIndex::Live(slot),
                claimed,
                guilty: None,
                referee_accuses: false,
                clock_budget: BUDGET,
                clock_increment: INCREMENT,
            },
            proof: SlotProof {
                segment: opening(own),
                list_proof: proof(&own_list, slot as usize),
                before,
                at,
                digest: value,
            },
        }
    }

    pub fn case(&self) -> Case {
        Case::Slot(Box::new(self.proof.clone()))
    }
}
