//! Made-up models with one disputed operator whose inputs come from everywhere, and players of its appeal.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod operators;
pub mod players;
pub mod recorded;
pub mod slot;

use std::sync::Arc;

use gavel_dispute::SegmentFacts;
use gavel_dispute::appeal::*;
use gavel_numerics::kernels::{Isa, Sequential, eval};
use gavel_numerics::{Op, Tensor};
use gavel_trace::*;

pub const BUDGET: u32 = 1000;
pub const INCREMENT: u32 = 50;

/// A digest that means nothing.
pub fn number(i: u64) -> Digest {
    let mut out = [7; 32];
    out[24..].copy_from_slice(&i.to_be_bytes());
    Digest(out)
}

pub fn digest_of(tensor: &Tensor) -> Digest {
    tensor_digest(tensor.dtype().id(), tensor.dims(), &tensor.le_bytes())
}

/// Where an input of the disputed operator is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    Weight,
    Op,
    Live,
    /// An operator after the disputed one, which no model allows.
    Later,
    /// The second output of an operator, which none has.
    SecondOutput,
    /// A slot before a step that is not the input's.
    Misplaced,
    /// A slot that the segment before does not have.
    Beyond,
}

/// Sizes around the disputed operator.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    pub max_steps: u32,
    pub commit_points: u32,
    pub leaf_index: u64,
    pub op_count: u32,
    /// The disputed operator.
    pub op: u32,
}

pub const SMALL: Around = Around {
    max_steps: 2,
    commit_points: 3,
    leaf_index: 1,
    op_count: 40,
    op: 37,
};

/// A disputed operator with all that is committed around it.
pub struct World {
    pub around: Around,
    pub header: ModelHeader,
    pub segment: SegmentFacts,
    pub entries: Vec<SegmentEntry>,
    pub table: MerkleTree,
    pub ops: Vec<Digest>,
    pub node: NodeFacts,
    pub node_proof: Vec<Digest>,
    pub operands: Vec<Operand>,
    pub before: Option<SegmentOpening>,
    pub truth: Tensor,
    pub claimed: Digest,
}

pub fn tree_with(height: u8, count: usize, salt: u64, at: &[(usize, Digest)]) -> MerkleTree {
    let mut leaves: Vec<_> = (0..count as u64).map(|i| number(salt + i)).collect();
    for (index, leaf) in at {
        leaves[*index] = *leaf;
    }
    MerkleTree::new(height, leaves).unwrap()
}

pub fn proof(tree: &MerkleTree, index: usize) -> Vec<Digest> {
    tree.open(index as u64).unwrap().siblings
}

fn live_leaf(slot: u32, source: &Source) -> Digest {
    let bytes = [&slot.to_be_bytes()[..], &source.encode()].concat();
    model_leaf(ModelLeaf::LiveSlot, &bytes)
}

impl World {
    /// `op` on inputs from everywhere; `claim` makes the claimed digest of the true output.
    pub fn new(
        around: Around,
        op: &Op,
        inputs: Vec<(Tensor, From)>,
        claim: impl FnOnce(&Tensor) -> Digest,
    ) -> World {
        let tensors: Vec<&Tensor> = inputs.iter().map(|(t, _)| t).collect();
        let truth = eval(Isa::best(), &Sequential, op, &tensors).unwrap();
        let claimed = claim(&truth);
        let points = around.commit_points;
        let first_node = 11;
        let (own, live_slots) = ((around.leaf_index % u64::from(points)) as u32, 5);
        let node_count = first_node + around.op_count + 9;
        let node = NodeFacts {
            op: op.id(),
            attributes: op.attributes(),
            dtype: truth.dtype().id(),
            dims: truth.dims().to_vec(),
        };
        let at_node = (first_node + around.op) as usize;

        // where each input is: weight 2 + p, operator op - 1 - p, slot p
        let sources: Vec<Source> = (inputs.iter().enumerate())
            .map(|(p, (_, from))| {
                let p = p as u32;
                let (kind, index) = match from {
                    From::Weight => (SourceKind::Weight, 2 + p),
                    From::Op | From::SecondOutput => {
                        (SourceKind::Node, first_node + around.op - 1 - p)
                    }
                    From::Later => (SourceKind::Node, first_node + around.op + 1 + p),
                    From::Misplaced | From::Beyond => panic!("slots only"),
                    From::Live if own == 0 => (SourceKind::Input, p),
                    From::Live => (SourceKind::Node, p),
                };
                Source {
                    kind,
                    step_offset: 0,
                    index,
                    port: u32::from(*from == From::SecondOutput),
                }
            })
            .collect();
        let digests: Vec<Digest> = inputs.iter().map(|(t, _)| digest_of(t)).collect();
        let placed = |kind: From, leaf: &dyn Fn(usize) -> (usize, Digest)| {
            let places = inputs.iter().enumerate().filter(|(_, (_, f))| *f == kind);
            places.map(|(p, _)| leaf(p)).collect::<Vec<_>>()
        };
        let weights = tree_with(
            4,
            9,
            100,
            &placed(From::Weight, &|p| {
                let bytes = [&(2 + p as u32).to_be_bytes()[..], &digests[p].0].concat();
                (2 + p, model_leaf(ModelLeaf::Weight, &bytes))
            }),
        );
        let ops_height = height(around.op_count.into());
        let mut in_segment = placed(From::Op, &|p| (around.op as usize - 1 - p, digests[p]));
        in_segment.extend(placed(From::SecondOutput, &|p| {
            (around.op as usize - 1 - p, digests[p])
        }));
        in_segment.extend(placed(From::Later, &|p| {
            (around.op as usize + 1 + p, digests[p])
        }));
        in_segment.push((around.op as usize, claimed));
        let ops = tree_with(ops_height, around.op_count as usize, 1000, &in_segment);
        let live = tree_with(3, 5, 300, &placed(From::Live, &|p| (p, digests[p])));
        let list = tree_with(
            3,
            5,
            400,
            &placed(From::Live, &|p| (p, live_leaf(p as u32, &sources[p]))),
        );
        let edge_at = |p: usize| 3 + p;
        let edges: Vec<_> = (0..inputs.len())
            .map(|p| {
                let bytes = [
                    &(at_node as u32).to_be_bytes()[..],
                    &(p as u16).to_be_bytes(),
                    &(inputs.len() as u16).to_be_bytes(),
                    &sources[p].encode(),
                ];
                (edge_at(p), model_leaf(ModelLeaf::Edge, &bytes.concat()))
            })
            .collect();
        let edges = tree_with(4, 16, 500, &edges);
        let nodes = tree_with(
            height(node_count.into()),
            node_count as usize,
            600,
            &[(at_node, graph_node_leaf(&node.encode()))],
        );
        let entries: Vec<SegmentEntry> = (0..points)
            .map(|c| SegmentEntry {
                index: c,
                first_node: if c == own { first_node } else { 0 },
                op_count: if c == own { around.op_count } else { 9 },
                live_count: live_slots,
                live_list_root: list.root(),
            })
            .collect();
        let table = segments_tree(&entries).unwrap();
        let header = ModelHeader {
            numerics_version: 1,
            lowering_version: 1,
            node_count,
            max_steps: around.max_steps,
            commit_points: points,
            trace_height: height(u64::from(around.max_steps) * u64::from(points)),
            ops_height,
            live_height: 3,
            work: 1,
            nodes_root: nodes.root(),
            edges_root: edges.root(),
            weights_root: weights.root(),
            segments_root: table.root(),
            assets_root: Digest::ZERO,
        };
        let segment = SegmentFacts {
            leaf_index: around.leaf_index,
            leaf: number(9),
            previous_leaf: live.root(),
            first_node,
            op_count: around.op_count,
            live_count: live_slots,
            ops_root: ops.root(),
        };
        let operands = (inputs.into_iter().enumerate())
            .map(|(p, (tensor, from))| Operand {
                edge_index: edge_at(p) as u32,
                edge_proof: proof(&edges, edge_at(p)),
                at: SourceOpening {
                    source: sources[p],
                    slot: if from == From::Live { p as u32 } else { 0 },
                    proof: match from {
                        From::Weight => proof(&weights, 2 + p),
                        From::Op | From::SecondOutput => proof(&ops, around.op as usize - 1 - p),
                        From::Later => proof(&ops, around.op as usize + 1 + p),
                        _ => proof(&live, p),
                    },
                    list_proof: match from {
                        From::Live if own > 0 => proof(&list, p),
                        _ => Vec::new(),
                    },
                },
                tensor: Arc::new(tensor),
            })
            .collect();
        let before = own.checked_sub(1).map(|c| SegmentOpening {
            entry: entries[c as usize],
            proof: proof(&table, c as usize),
        });
        World {
            around,
            header,
            segment,
            table,
            entries,
            ops: ops.leaves().to_vec(),
            node_proof: proof(&nodes, at_node),
            node,
            operands,
            before,
            truth,
            claimed,
        }
    }

    pub fn setup(&self, guilty: Option<bool>) -> AppealSetup {
        AppealSetup {
            header: self.header,
            segment: self.segment,
            place: FineIndex::Op(self.around.op),
            claimed: self.claimed,
            guilty,
            referee_accuses: false,
            clock_budget: BUDGET,
            clock_increment: INCREMENT,
        }
    }

    /// What a party knows that stands by this output.
    pub fn case(&self, output: &Tensor) -> Case {
        Case::Operator(Box::new(OperatorCase {
            node: self.node.clone(),
            node_proof: self.node_proof.clone(),
            operands: self.operands.clone(),
            before: self.before.clone(),
            output: Arc::new(output.clone()),
        }))
    }
}
