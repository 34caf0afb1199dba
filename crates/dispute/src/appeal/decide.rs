//! What a party does next in an appeal.

use gavel_numerics::Tensor;
use gavel_trace::{CHUNK_BYTES, Digest, MerkleTree, TensorHeader, chunk_leaf, chunk_tree};

use super::{
    AppealMove, AppealPhase, AppealRole, AppealView, Case, ChunkClaim, OpenTensor, OperatorCase,
};
use crate::decide::leftmost;

/// The party's next move in an appeal, or `None` when it has nothing to do now or nothing to gain. Without a
/// case it only claims time-outs.
pub fn decide_appeal(
    view: &AppealView,
    role: AppealRole,
    case: Option<&Case>,
    now: u64,
) -> Option<AppealMove> {
    let turn = view.turn()?;
    if now > view.deadline {
        return (role != turn).then_some(AppealMove::ClaimTimeout);
    }
    if role == AppealRole::Bystander {
        return None;
    }
    match case? {
        Case::Operator(case) => operator(view, role, case),
        Case::Slot(proof) => {
            let right = proof.digest == view.claimed;
            let wins = right == (role == AppealRole::Defender);
            (view.phase == AppealPhase::Slot && wins).then(|| AppealMove::ResolveSlot {
                claimed: view.claimed,
                proof: proof.clone(),
            })
        }
    }
}

fn operator(view: &AppealView, role: AppealRole, case: &OperatorCase) -> Option<AppealMove> {
    match (role, &view.phase) {
        (AppealRole::Defender, AppealPhase::Tensor) => open_tensor(view, case),
        (AppealRole::Defender, AppealPhase::Row { claim }) => reveal_row(claim, &case.output),
        (AppealRole::Defender, AppealPhase::Chunk { node, index }) => {
            let chunk = chunk(&case.output, *index)?;
            (chunk_leaf(&chunk) == *node).then_some(AppealMove::RevealChunk { node: *node, chunk })
        }
        (AppealRole::Accuser, AppealPhase::PickChunk { claim, row }) => {
            let own = tree(&case.output)?.row(claim.height, claim.index).ok()?;
            let child = leftmost(row, &own)?;
            let row = row.clone();
            Some(AppealMove::PickChunk { row, child })
        }
        (AppealRole::Accuser, AppealPhase::PickElement { index, chunk }) => {
            pick_element(*index, chunk, &case.output)
        }
        _ => None,
    }
}

fn tree(tensor: &Tensor) -> Option<MerkleTree> {
    chunk_tree(&tensor.le_bytes()).ok()
}

/// Chunk `index` of a tensor's bytes.
fn chunk(tensor: &Tensor, index: u64) -> Option<Vec<u8>> {
    let bytes = tensor.le_bytes();
    let first = usize::try_from(index).ok()?.checked_mul(CHUNK_BYTES)?;
    let rest = bytes.get(first..).filter(|rest| !rest.is_empty())?;
    Some(rest[..rest.len().min(CHUNK_BYTES)].to_vec())
}

/// Opens the claimed digest, which must be that of the party's tensor.
fn open_tensor(view: &AppealView, case: &OperatorCase) -> Option<AppealMove> {
    let (node, output) = (&case.node, &case.output);
    let tree = tree(output)?;
    let (chunk_root, claimed) = (tree.root(), view.claimed);
    let header = TensorHeader::new(node.dtype, node.dims.clone()).ok()?;
    if header.digest(&chunk_root) != claimed {
        return None;
    }
    let (row, chunk) = match tree.height() {
        0 => (Vec::new(), chunk(output, 0).unwrap_or_default()),
        height => (tree.row(height, 0).ok()?, Vec::new()),
    };
    Some(AppealMove::OpenTensor(Box::new(OpenTensor {
        claimed,
        node: node.clone(),
        node_proof: case.node_proof.clone(),
        chunk_root,
        row,
        chunk,
    })))
}

fn reveal_row(claim: &ChunkClaim, output: &Tensor) -> Option<AppealMove> {
    let row = tree(output)?.row(claim.height, claim.index).ok()?;
    let node: Digest = claim.node;
    claim
        .is_answered_by(&row)
        .then_some(AppealMove::RevealRow { node, row })
}

/// The first element of a chunk that is not the party's own.
fn pick_element(index: u64, theirs: &[u8], output: &Tensor) -> Option<AppealMove> {
    let own = chunk(output, index)?;
    let size = output.dtype().size();
    let mut elements = theirs.chunks(size).zip(own.chunks(size));
    let within = elements.position(|(theirs, own)| theirs != own)?;
    Some(AppealMove::PickElement {
        chunk: theirs.to_vec(),
        within: u16::try_from(within).ok()?,
    })
}
