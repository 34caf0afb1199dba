//! Digests of weights: most of what computing an identity costs, so in parts that a caller may run on threads.

use std::sync::Mutex;

use gavel_numerics::kernels::{Parallel, Sequential};
use gavel_trace::{CHUNK_BYTES, Digest, TensorHeader, TraceError, part_root, root_of_parts};

use crate::Constant;

/// Height of the subtree of one part: 4 MiB.
const PART_HEIGHT: u8 = 12;
const PART_BYTES: usize = CHUNK_BYTES << PART_HEIGHT;

/// How far the hashing of a model's weights is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes hashed.
    pub done: u64,
    /// Bytes of all weights.
    pub total: u64,
}

/// How to hash the weights of a model: on which threads, and whom to tell.
pub struct Hashing<'a> {
    /// Runs the parts.
    pub parallel: &'a dyn Parallel,
    /// Called after each weight, on the calling thread.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Hashing<'_> {
    /// Hashes on the calling thread and tells nobody.
    pub fn quiet<T>(body: impl FnOnce(&mut Hashing<'_>) -> T) -> T {
        body(&mut Hashing {
            parallel: &Sequential,
            progress: &mut |_| {},
        })
    }

    /// Digests of `constants`, in order.
    pub(crate) fn digests<'t>(
        &mut self,
        constants: impl Iterator<Item = &'t Constant> + Clone,
    ) -> Result<Vec<Digest>, TraceError> {
        let bytes = |constant: &Constant| constant.byte_len() as u64;
        let total = constants.clone().map(bytes).sum();
        let mut done = 0;
        constants
            .map(|constant| {
                let ty = constant.ty();
                let header = TensorHeader::new(ty.dtype.id(), ty.dims.clone())?;
                let digest =
                    constant.with_le_bytes(|bytes| digest(self.parallel, &header, bytes))?;
                done += bytes(constant);
                (self.progress)(Progress { done, total });
                Ok(digest)
            })
            .collect()
    }
}

/// The digest of a tensor: subtrees of its chunks in parts, and the levels above them.
fn digest(
    parallel: &dyn Parallel,
    header: &TensorHeader,
    bytes: &[u8],
) -> Result<Digest, TraceError> {
    if bytes.len() <= PART_BYTES {
        return header.digest_bytes(bytes);
    }
    let parts: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
    let roots = Mutex::new(vec![Digest::ZERO; parts.len()]);
    parallel.run(parts.len(), &|i| {
        let root = part_root(parts[i], PART_HEIGHT);
        // a part that panicked has its panic raised by whoever ran it
        roots.lock().unwrap_or_else(|e| e.into_inner())[i] = root;
    });
    let roots = roots.into_inner().unwrap_or_else(|e| e.into_inner());
    Ok(header.digest(&root_of_parts(roots, PART_HEIGHT)))
}

#[cfg(test)]
mod tests {
    use gavel_numerics::Tensor;
    use gavel_trace::tensor_digest;

    use super::*;

    #[test]
    fn parts_give_the_digest_of_the_whole() {
        for bytes in [
            0,
            1,
            PART_BYTES,
            PART_BYTES + 1,
            2 * PART_BYTES,
            4 * PART_BYTES + 5 * CHUNK_BYTES + 3,
        ] {
            let content: Vec<u8> = (0..bytes).map(|i| (i / 700 % 251) as u8).collect();
            let whole = tensor_digest(4, &[bytes as u64], &content);
            let header = TensorHeader::new(4, vec![bytes as u64]).unwrap();
            assert_eq!(
                digest(&Sequential, &header, &content).unwrap(),
                whole,
                "{bytes}"
            );
        }
    }

    #[test]
    fn progress_ends_at_the_total() {
        let constants =
            [10u64, 0, 20].map(|n| Constant::from(Tensor::u8([n], vec![0; n as usize]).unwrap()));
        let mut seen = Vec::new();
        Hashing {
            parallel: &Sequential,
            progress: &mut |p| seen.push((p.done, p.total)),
        }
        .digests(constants.iter())
        .unwrap();
        assert_eq!(seen, [(10, 30), (10, 30), (30, 30)]);
    }
}
