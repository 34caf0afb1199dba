//! The step graph: nodes in canonical order, edges by place, no names in the identity.

use gavel_numerics::{Op, TensorType};

use crate::Constant;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Graph input by position.
    Input(u32),
    /// Weight by position.
    Weight(u32),
    /// Output `port` of node `node`, `step_offset` steps ago (0: this step).
    Node {
        /// Steps back.
        step_offset: u32,
        /// Node in canonical order.
        node: u32,
        /// Output of the node; always 0 in version 1.
        port: u32,
    },
}

impl Source {
    /// Output 0 of a node of this step.
    pub fn node(node: u32) -> Source {
        Source::Node {
            step_offset: 0,
            node,
            port: 0,
        }
    }

    /// `kind:u8 || step_offset:u32 || index:u32 || port:u32`; kind 0 input, 1 weight, 2 node.
    pub fn encode(self) -> [u8; 13] {
        let (kind, offset, index, port) = match self {
            Source::Input(i) => (0, 0, i, 0),
            Source::Weight(i) => (1, 0, i, 0),
            Source::Node {
                step_offset,
                node,
                port,
            } => (2, step_offset, node, port),
        };
        let mut out = [0; 13];
        out[0] = kind;
        out[1..5].copy_from_slice(&u32::to_be_bytes(offset));
        out[5..9].copy_from_slice(&u32::to_be_bytes(index));
        out[9..13].copy_from_slice(&u32::to_be_bytes(port));
        out
    }

    /// The source with these bytes, if they are canonical.
    pub fn decode(bytes: &[u8]) -> Option<Source> {
        let bytes: &[u8; 13] = bytes.try_into().ok()?;
        let word =
            |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let source = match bytes[0] {
            0 => Source::Input(word(5)),
            1 => Source::Weight(word(5)),
            2 => Source::Node {
                step_offset: word(1),
                node: word(5),
                port: word(9),
            },
            _ => return None,
        };
        (source.encode() == *bytes).then_some(source)
    }
}

/// One operator of the step graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// For people; not part of the identity.
    pub name: String,
    /// The operator and its attributes.
    pub op: Op,
    /// Its inputs in the operator's order.
    pub inputs: Vec<Source>,
    /// Type of its output, as the shape program gives it.
    pub output: TensorType,
}

impl Node {
    /// Canonical bytes: `op:u16 || attributes:u16 || word:u64.. || dtype:u8 || rank:u8 || dim:u64..`.
    pub fn encode(&self) -> Vec<u8> {
        let words = self.op.attributes();
        let mut out = Vec::with_capacity(6 + 8 * (words.len() + self.output.dims.len()));
        out.extend(self.op.id().to_be_bytes());
        out.extend((words.len() as u16).to_be_bytes());
        for word in words {
            out.extend(word.to_be_bytes());
        }
        out.extend([self.output.dtype.id(), self.output.dims.len() as u8]);
        for dim in &self.output.dims {
            out.extend(dim.to_be_bytes());
        }
        out
    }

    /// Operator and output type with these canonical bytes.
    pub fn decode(bytes: &[u8]) -> Option<(Op, TensorType)> {
        let (id, rest) = bytes.split_first_chunk::<2>()?;
        let (count, rest) = rest.split_first_chunk::<2>()?;
        let count = usize::from(u16::from_be_bytes(*count));
        let (words, rest) = rest.split_at_checked(8 * count)?;
        let (&[dtype, rank], dims) = rest.split_first_chunk::<2>()?;
        if dims.len() != 8 * usize::from(rank) {
            return None;
        }
        let all = |bytes: &[u8]| {
            bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|&b| u64::from_be_bytes(b))
                .collect::<Vec<_>>()
        };
        let op = Op::from_parts(u16::from_be_bytes(*id), &all(words))?;
        Some((
            op,
            TensorType::new(gavel_numerics::DType::from_id(dtype)?, all(dims)),
        ))
    }
}

/// A constant of the model.
#[derive(Clone, Debug)]
pub struct Weight {
    /// For people; not part of the identity.
    pub name: String,
    /// Its value.
    pub value: Constant,
}

/// One pass of the model: what is computed from what, in canonical topological order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Names (for people) and types of the inputs.
    pub inputs: Vec<(String, TensorType)>,
    /// Operators; each reads only earlier ones.
    pub nodes: Vec<Node>,
    /// Names (for people) and sources of the outputs; each is a node's output.
    pub outputs: Vec<(String, Source)>,
}

/// The nodes between two commit points, and what is live at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First node.
    pub first_node: u32,
    /// Number of nodes.
    pub op_count: u32,
    /// Values needed later, graph inputs first, then by (node, port); in the last segment the graph outputs.
    pub live: Vec<Source>,
}

impl Segment {
    /// Its nodes.
    pub fn nodes(&self) -> std::ops::Range<u32> {
        self.first_node..self.first_node + self.op_count
    }
}
