//! What a batch needs, as the contract takes it.

use std::collections::{BTreeMap, BTreeSet};

use gavel_numerics::Tensor;
use gavel_numerics::batch::{Reads, State};
use gavel_numerics::program::{Program, TABLE_LEN, program};
use gavel_trace::{
    CHUNK_BYTES, Digest, MerkleTree, ModelHeader, ModelLeaf, chunk_elements, chunk_tree, model_leaf,
};

use super::check::Roots;
use super::{ChunkProof, Execution, Operand, OperandProof, OperatorCase, StepProof};
use crate::SegmentFacts;

/// The chunk tree of a tensor.
pub(super) fn tree(tensor: &Tensor) -> Option<MerkleTree> {
    chunk_tree(&tensor.le_bytes()).ok()
}

/// Chunk `index` of a tensor's bytes.
pub(super) fn chunk(tensor: &Tensor, index: u64) -> Option<Vec<u8>> {
    let bytes = tensor.le_bytes();
    let first = usize::try_from(index).ok()?.checked_mul(CHUNK_BYTES)?;
    let rest = bytes.get(first..).filter(|rest| !rest.is_empty())?;
    Some(rest[..rest.len().min(CHUNK_BYTES)].to_vec())
}

/// Leaf of an operator's program in the program table.
pub(super) fn program_leaf(id: u16, program: &[u8]) -> Digest {
    model_leaf(
        ModelLeaf::Program,
        &[&id.to_be_bytes()[..], program].concat(),
    )
}

fn program_table() -> Option<MerkleTree> {
    let leaf = |id| {
        let found = program(id).map(Program::encode);
        found.map_or(Digest::ZERO, |bytes| program_leaf(id, &bytes))
    };
    MerkleTree::of((0..TABLE_LEN).map(leaf).collect()).ok()
}

/// What a party would show to have the batch after `batch` others executed.
pub fn batch_proof(
    header: &ModelHeader,
    segment: &SegmentFacts,
    case: &OperatorCase,
    execution: &Execution<'_>,
    batch: u64,
) -> Option<StepProof> {
    step_proof(&Roots { header, segment }, case, execution, batch)
}

/// The proof of the batch after `batch` others. Of a machine that has halted before it the value is all that is shown.
pub(super) fn step_proof(
    roots: &Roots<'_>,
    case: &OperatorCase,
    execution: &Execution<'_>,
    batch: u64,
) -> Option<StepProof> {
    let (start, _, reads) = execution.batch(batch);
    let machine = start.preimage();
    if let State::Halted(_) = start {
        return Some(StepProof {
            machine,
            node: case.node.clone(),
            program: Vec::new(),
            program_proof: Vec::new(),
            before: None,
            operands: Vec::new(),
            chunks: Vec::new(),
        });
    }
    let id = case.node.op;
    let shown = shown(case, &reads)?;
    let mut operands = Vec::new();
    let mut chunks = Vec::new();
    for (&position, indices) in &shown {
        let operand = case.operands.get(position)?;
        let tree = tree(&operand.tensor)?;
        let count = case.operands.len();
        operands.push(operand_proof(position, count, operand, tree.root())?);
        for &index in indices {
            chunks.push(ChunkProof {
                position: u16::try_from(position).ok()?,
                index,
                data: chunk(&operand.tensor, index)?,
                proof: tree.open(index).ok()?.siblings,
            });
        }
    }
    let mut sources = operands.iter().map(|operand| &operand.at.source);
    let before = (case.before.as_ref()).filter(|_| sources.any(|source| roots.is_live(source)));
    Some(StepProof {
        machine,
        node: case.node.clone(),
        program: execution.application().program.encode(),
        program_proof: program_table()?.open(id.into()).ok()?.siblings,
        before: before.cloned(),
        operands,
        chunks,
    })
}

/// Operands that are shown, and which of their chunks. One at least: how many inputs there are stands in each.
fn shown(case: &OperatorCase, reads: &Reads) -> Option<BTreeMap<usize, BTreeSet<u64>>> {
    let mut shown: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for &position in &reads.inputs {
        shown.entry(position).or_default();
    }
    for &(position, element) in &reads.elements {
        let size = case.operands.get(position)?.tensor.dtype().size() as u64;
        let chunks = shown.entry(position).or_default();
        chunks.insert(element / chunk_elements(size));
    }
    if shown.is_empty() {
        shown.insert(0, BTreeSet::new());
    }
    Some(shown)
}

fn operand_proof(
    position: usize,
    count: usize,
    operand: &Operand,
    chunk_root: Digest,
) -> Option<OperandProof> {
    Some(OperandProof {
        position: u16::try_from(position).ok()?,
        count: u16::try_from(count).ok()?,
        edge_index: operand.edge_index,
        edge_proof: operand.edge_proof.clone(),
        at: operand.at.clone(),
        dtype: operand.tensor.dtype().id(),
        dims: operand.tensor.dims().to_vec(),
        chunk_root,
    })
}
