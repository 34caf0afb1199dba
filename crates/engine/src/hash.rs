//! Tensor digests, spread over the engine's threads.

use gavel_numerics::Tensor;
use gavel_numerics::kernels::Parallel as _;
use gavel_trace::{
    CHUNK_BYTES, Digest, TensorHeader, chunk_count, part_root, root_of_parts, tensor_digest,
};

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

/// The digest of a large tensor: subtrees of its chunks on all threads, a few for each, and the levels above them.
fn digest_in_parts(team: &Team, tensor: &Tensor) -> Digest {
    let bytes = tensor.le_bytes();
    let chunks = chunk_count(bytes.len() as u64);
    let top = (chunks / (4 * team.workers() as u64)).max(1).ilog2() as u8;
    let parts: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES << top).collect();
    let header = TensorHeader::new(tensor.dtype().id(), tensor.dims().to_vec());
    match (header, parts.len()) {
        (Ok(header), 2..) => {
            let roots = team.map(&parts, |part| part_root(part, top));
            header.digest(&root_of_parts(roots, top))
        }
        _ => digest(tensor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_the_digest_of_the_whole() {
        for threads in [2, 3, 80] {
            let team = Team::new(threads).unwrap();
            for bytes in [1, CHUNK_BYTES, 5 * CHUNK_BYTES + 1, PARALLEL_BYTES, 602_112] {
                let content: Vec<u8> = (0..bytes).map(|i| (i / 700 % 251) as u8).collect();
                let tensor = Tensor::u8([bytes as u64], content).unwrap();
                let found = digest_in_parts(&team, &tensor);
                assert_eq!(found, digest(&tensor), "{bytes} bytes, {threads} threads");
            }
        }
    }
}
