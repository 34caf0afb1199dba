//! Tensor digests, spread over the engine's threads.

use gavel_numerics::Tensor;
use gavel_numerics::kernels::Parallel as _;
use gavel_trace::{CHUNK_BYTES, Digest, MerkleTree, TensorHeader, chunk_leaves, tensor_digest};

use crate::team::Team;

/// Bytes below which hashing stays on the calling thread.
const WORTH_SPLITTING_BYTES: usize = 1 << 16;
/// Bytes from which one tensor's chunks are shared among threads.
const PARALLEL_BYTES: usize = 1 << 18;

/// The digest of one tensor.
pub fn digest(tensor: &Tensor) -> Digest {
    tensor_digest(tensor.dtype().id(), tensor.dims(), &tensor.le_bytes())
}

/// The digests of `tensors`, in order.
pub(crate) fn digests(team: &Team, tensors: &[&Tensor]) -> Vec<Digest> {
    let bytes = |tensor: &Tensor| tensor.len() * tensor.dtype().size();
    let total: usize = tensors.iter().map(|tensor| bytes(tensor)).sum();
    if team.workers() == 1 || total < WORTH_SPLITTING_BYTES {
        return tensors.iter().map(|tensor| digest(tensor)).collect();
    }
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..tensors.len()).partition(|&i| bytes(tensors[i]) >= PARALLEL_BYTES);
    let mut found = vec![Digest::ZERO; tensors.len()];
    for (&i, value) in small.iter().zip(team.map(&small, |&i| digest(tensors[i]))) {
        found[i] = value;
    }
    for i in large {
        found[i] = digest_in_parts(team, tensors[i]);
    }
    found
}

/// The digest of a large tensor: its chunk leaves in parts, the tree above them on one thread.
fn digest_in_parts(team: &Team, tensor: &Tensor) -> Digest {
    let bytes = tensor.le_bytes();
    let part = bytes
        .len()
        .div_ceil(team.workers() * 4)
        .next_multiple_of(CHUNK_BYTES)
        .max(CHUNK_BYTES);
    let parts: Vec<&[u8]> = bytes.chunks(part).collect();
    let leaves = team
        .map(&parts, |part| chunk_leaves(part).collect::<Vec<_>>())
        .concat();
    let header = TensorHeader::new(tensor.dtype().id(), tensor.dims().to_vec());
    match (header, MerkleTree::of(leaves)) {
        (Ok(header), Ok(tree)) => header.digest(&tree.root()),
        // a tensor that exists fits both; hashing it whole is always right
        _ => digest(tensor),
    }
}
