//! What a party can send to the appeal levels; field by field what `IAppealLevels` takes.

use gavel_trace::{Digest, SegmentEntry};
use serde::{Deserialize, Serialize};

/// Canonical bytes of a graph node (`spec/model.md`), as fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// The operator.
    pub op: u16,
    /// Its attribute words.
    pub attributes: Vec<u64>,
    /// Element type of the output.
    pub dtype: u8,
    /// Extents of the output.
    pub dims: Vec<u64>,
}

impl NodeFacts {
    /// `op || n || attribute words || dtype || rank || dims`.
    pub fn encode(&self) -> Vec<u8> {
        let words = |words: &[u64]| {
            words
                .iter()
                .flat_map(|w| w.to_be_bytes())
                .collect::<Vec<_>>()
        };
        [
            &self.op.to_be_bytes()[..],
            &(self.attributes.len() as u16).to_be_bytes(),
            &words(&self.attributes),
            &[self.dtype, self.dims.len() as u8],
            &words(&self.dims),
        ]
        .concat()
    }
}

/// What kind of value an edge names. The discriminant is the byte of `spec/model.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SourceKind {
    /// A graph input.
    Input = 0,
    /// A weight.
    Weight = 1,
    /// Output of a node.
    Node = 2,
}

/// Where an edge, or an entry of a live list, says that a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// What `index` counts.
    pub kind: SourceKind,
    /// Steps back.
    pub step_offset: u32,
    /// Which one.
    pub index: u32,
    /// Output of a node.
    pub port: u32,
}

impl Source {
    /// The 13 bytes of `spec/model.md`.
    pub fn encode(&self) -> Vec<u8> {
        let fields = [self.step_offset, self.index, self.port];
        let fields = fields.iter().flat_map(|f| f.to_be_bytes());
        [self.kind as u8].into_iter().chain(fields).collect()
    }
}

/// The digest at a source with its opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOpening {
    /// The source.
    pub source: Source,
    /// Slot of the live root before, where the source is read from there; else 0.
    pub slot: u32,
    /// Of the weight's leaf, or of the digest under the ops root or the live root before.
    pub proof: Vec<Digest>,
    /// Of the live list's entry for `slot`; empty where no list is read.
    pub list_proof: Vec<Digest>,
}

/// A row of the model's segment table with its opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentOpening {
    /// The row; it lies at its index.
    pub entry: SegmentEntry,
    /// Of its leaf under the segments root.
    pub proof: Vec<Digest>,
}

/// One input of the operator: its edge, its digest, and the digest's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperandProof {
    /// Which input.
    pub position: u16,
    /// Inputs of the node.
    pub count: u16,
    /// Place of the edge in the model's edge table.
    pub edge_index: u32,
    /// Of the edge under the edges root.
    pub edge_proof: Vec<Digest>,
    /// Where the edge leads to.
    pub at: SourceOpening,
    /// Element type.
    pub dtype: u8,
    /// Extents.
    pub dims: Vec<u64>,
    /// Root of the tensor's chunk tree.
    pub chunk_root: Digest,
}

/// A chunk of an operand that is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkProof {
    /// Of the operand.
    pub position: u16,
    /// Of the chunk.
    pub index: u64,
    /// Its bytes.
    pub data: Vec<u8>,
    /// Of its leaf under the operand's chunk root.
    pub proof: Vec<Digest>,
}

/// All that one batch needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProof {
    /// Preimage of the start: counter, then registers 1 to 63; or the value of a machine that has halted, and nothing else counts.
    pub machine: Vec<u8>,
    /// The operator.
    pub node: NodeFacts,
    /// Its program.
    pub program: Vec<u8>,
    /// Of the program under the table's root.
    pub program_proof: Vec<Digest>,
    /// The segment before, where a shown operand is read from the live root before and the leaf is not 0.
    pub before: Option<SegmentOpening>,
    /// Operands that are read, by position.
    pub operands: Vec<OperandProof>,
    /// Chunks that are read.
    pub chunks: Vec<ChunkProof>,
}

/// What a live slot copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotProof {
    /// The disputed segment.
    pub segment: SegmentOpening,
    /// Of the slot's entry under its live list.
    pub list_proof: Vec<Digest>,
    /// As in [`StepProof`].
    pub before: Option<SegmentOpening>,
    /// What the entry leads to.
    pub at: SourceOpening,
    /// The digest there.
    pub digest: Digest,
}

/// Opening of the claimed digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTensor {
    /// The digest that this answers.
    pub claimed: Digest,
    /// The isolated node.
    pub node: NodeFacts,
    /// Of the node under the nodes root.
    pub node_proof: Vec<Digest>,
    /// Root of the claimed tensor's chunk tree.
    pub chunk_root: Digest,
    /// Row of the chunk root; empty where the tensor has at most one chunk.
    pub row: Vec<Digest>,
    /// The one chunk; else empty.
    pub chunk: Vec<u8>,
}

/// One transaction in an appeal. Every move carries the claim it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppealMove {
    /// Anyone, for the defender: open the claimed digest.
    OpenTensor(Box<OpenTensor>),
    /// Anyone, for the defender: open a node of the chunk tree.
    RevealRow {
        /// The node.
        node: Digest,
        /// Its row.
        row: Vec<Digest>,
    },
    /// Accuser: the leftmost child that is wrong.
    PickChunk {
        /// The row that is picked from.
        row: Vec<Digest>,
        /// Index in it.
        child: u8,
    },
    /// Anyone, for the defender: show a chunk.
    RevealChunk {
        /// Its leaf.
        node: Digest,
        /// Its bytes.
        chunk: Vec<u8>,
    },
    /// Accuser: the first element that is wrong.
    PickElement {
        /// The chunk that is picked from.
        chunk: Vec<u8>,
        /// Index of the element in it.
        within: u16,
    },
    /// Defender: the machine's states in a run.
    RevealStates {
        /// The disputed state that this answers.
        end: Digest,
        /// Batches of the run.
        batches: u64,
        /// States between its parts.
        states: Vec<Digest>,
    },
    /// Accuser: the leftmost part whose end is wrong.
    PickState {
        /// The states that are picked from.
        states: Vec<Digest>,
        /// The part.
        part: u8,
    },
    /// Anyone: execute a batch.
    Step {
        /// The disputed state that this judges.
        end: Digest,
        /// What the batch needs.
        proof: Box<StepProof>,
    },
    /// Anyone: show what a live slot copies.
    ResolveSlot {
        /// The digest that this judges.
        claimed: Digest,
        /// What it is compared with.
        proof: Box<SlotProof>,
    },
    /// Anyone: the side to move has no clock left.
    ClaimTimeout,
}
