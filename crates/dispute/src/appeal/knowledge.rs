//! What a party knows of the isolated place.

use std::sync::Arc;

use gavel_numerics::Tensor;
use gavel_trace::Digest;

use super::{NodeFacts, SegmentOpening, SlotProof, SourceOpening};

/// All that a party knows of the isolated place, on the inputs that the provider committed.
#[derive(Clone, Debug)]
pub enum Case {
    /// An operator.
    Operator(Box<OperatorCase>),
    /// A live slot: what it copies.
    Slot(Box<SlotProof>),
}

/// An isolated operator.
#[derive(Clone, Debug)]
pub struct OperatorCase {
    /// The node.
    pub node: NodeFacts,
    /// Of the node under the nodes root.
    pub node_proof: Vec<Digest>,
    /// Its inputs, by position.
    pub operands: Vec<Operand>,
    /// The segment before; `None` at leaf 0.
    pub before: Option<SegmentOpening>,
    /// The output that the party stands by: for a defender the claimed one, for an accuser its own.
    pub output: Arc<Tensor>,
}

/// One input of the operator.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Place of its edge in the model's edge table.
    pub edge_index: u32,
    /// Of the edge under the edges root.
    pub edge_proof: Vec<Digest>,
    /// Where the edge leads to.
    pub at: SourceOpening,
    /// The tensor there.
    pub tensor: Arc<Tensor>,
}
