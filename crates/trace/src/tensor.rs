//! Tensor digests: a Merkle tree over 1 KiB chunks, with dtype and shape in the root.

use crate::{
    Digest, HASH_ID_SHA256, MAX_HEIGHT, MerkleTree, Opening, Tag, TraceError, height, node,
    sha::{full_chunk, tagged, two_full_chunks},
    zero_subtree,
};
use serde::{Deserialize, Serialize};

/// Bytes of a chunk; the last chunk of a tensor may be shorter.
pub const CHUNK_BYTES: usize = 1024;

/// Chunks of `bytes` bytes; an empty tensor has none.
pub const fn chunk_count(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES as u64)
}

/// Elements of `size` bytes in a full chunk: sizes are 1, 4 and 8, so that none lies in two.
pub const fn chunk_elements(size: u64) -> u64 {
    CHUNK_BYTES as u64 / size
}

/// `H(0x00 || chunk)`.
pub fn chunk_leaf(chunk: &[u8]) -> Digest {
    match chunk.try_into() {
        Ok(full) => full_chunk(full),
        Err(_) => tagged(Tag::Chunk, &[chunk]),
    }
}

/// The chunk leaves of a tensor's bytes, in order. Independent of each other: callers may cut
/// `bytes` at multiples of [`CHUNK_BYTES`] and hash the parts in parallel.
pub fn chunk_leaves(bytes: &[u8]) -> impl ExactSizeIterator<Item = Digest> + '_ {
    ChunkLeaves {
        rest: bytes,
        ready: None,
    }
}

/// Takes full chunks in pairs, which two interleaved hashes do in less time than one after the other.
struct ChunkLeaves<'a> {
    rest: &'a [u8],
    ready: Option<Digest>,
}

impl Iterator for ChunkLeaves<'_> {
    type Item = Digest;

    fn next(&mut self) -> Option<Digest> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        if let Some((a, rest)) = self.rest.split_first_chunk()
            && let Some((b, rest)) = rest.split_first_chunk()
        {
            let [first, second] = two_full_chunks(a, b);
            (self.rest, self.ready) = (rest, Some(second));
            return Some(first);
        }
        if self.rest.is_empty() {
            return None;
        }
        let (chunk, rest) = self.rest.split_at(self.rest.len().min(CHUNK_BYTES));
        self.rest = rest;
        Some(chunk_leaf(chunk))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len().div_ceil(CHUNK_BYTES) + usize::from(self.ready.is_some());
        (left, Some(left))
    }
}

impl ExactSizeIterator for ChunkLeaves<'_> {}

/// Root of the chunk tree of `bytes`, without keeping the tree.
pub fn chunk_root(bytes: &[u8]) -> Digest {
    root_of_leaves(chunk_leaves(bytes))
}

/// Root of the subtree of height `top` over the chunks of a part of a tensor: at most as many as it has leaves. Parts are independent
/// of each other; [`root_of_parts`] joins them.
pub fn part_root(part: &[u8], top: u8) -> Digest {
    let own = height(chunk_count(part.len() as u64));
    (own..top).fold(chunk_root(part), |root, level| {
        node(&root, &zero_subtree(level))
    })
}

/// Root of the chunk tree of a tensor from those of its parts, two or more: subtrees of height `top`, of which the last may not be
/// full.
pub fn root_of_parts(mut parts: Vec<Digest>, top: u8) -> Digest {
    let mut level = top;
    while parts.len() > 1 {
        let pairs = parts.chunks(2);
        let joined = pairs.map(|pair| node(&pair[0], pair.get(1).unwrap_or(&zero_subtree(level))));
        parts = joined.collect();
        level += 1;
    }
    parts.first().copied().unwrap_or_default()
}

/// Root of the tree of height `height(n)` over `n` leaves that come in order. Keeps one digest per level.
pub(crate) fn root_of_leaves(leaves: impl Iterator<Item = Digest>) -> Digest {
    let mut pending = [Digest::ZERO; 64];
    let mut count = 0u64;
    for leaf in leaves {
        // Like adding one to a binary counter: every carry closes a left subtree.
        let (mut current, mut level) = (leaf, 0);
        while count >> level & 1 == 1 {
            current = node(&pending[level], &current);
            level += 1;
        }
        pending[level] = current;
        count += 1;
    }
    let top = height(count);
    if count.is_power_of_two() {
        return pending[top as usize];
    }
    let mut current = zero_subtree(0);
    for level in 0..top {
        current = match count >> level & 1 {
            1 => node(&pending[level as usize], &current),
            _ => node(&current, &zero_subtree(level)),
        };
    }
    current
}

/// The chunk tree of a tensor's bytes, for openings.
pub fn chunk_tree(bytes: &[u8]) -> Result<MerkleTree, TraceError> {
    MerkleTree::of(chunk_leaves(bytes).collect())
}

/// The digest of a tensor: `H(0x02 || hash_id || dtype || rank || dims.. || chunk_root)`.
///
/// `bytes` are the little-endian elements in row-major order. `dims` has at most 255 entries (the
/// engine's tensors have far fewer; [`TensorHeader::new`] refuses more).
pub fn tensor_digest(dtype: u8, dims: &[u64], bytes: &[u8]) -> Digest {
    debug_assert!(dims.len() <= 255);
    header_digest(dtype, dims, &chunk_root(bytes))
}

fn header_digest(dtype: u8, dims: &[u64], chunk_root: &Digest) -> Digest {
    tagged(Tag::Tensor, &[&header_bytes(dtype, dims), &chunk_root.0])
}

fn header_bytes(dtype: u8, dims: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + 8 * dims.len());
    out.extend([HASH_ID_SHA256, dtype, dims.len() as u8]);
    out.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    out
}

/// What a tensor digest says about a tensor besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorHeader {
    /// dtype byte of `spec/trace.md`.
    pub dtype: u8,
    /// Extents, outermost first.
    pub dims: Vec<u64>,
}

impl TensorHeader {
    /// A header with a known dtype, a rank that fits one byte and a byte length that fits 64 bits.
    pub fn new(dtype: u8, dims: Vec<u64>) -> Result<Self, TraceError> {
        let header = TensorHeader { dtype, dims };
        header.byte_len()?;
        Ok(header)
    }

    /// Bytes of one element.
    pub fn element_bytes(&self) -> Result<u64, TraceError> {
        match self.dtype {
            1 | 3 | 9 => Ok(4),
            2 | 10 | 13 => Ok(8),
            4..=6 => Ok(1),
            7 | 8 | 11 | 12 => Ok(2),
            other => Err(TraceError::UnknownDType(other)),
        }
    }

    /// Bytes of the tensor; refuses unknown dtypes, ranks above 255 and products beyond 64 bits.
    pub fn byte_len(&self) -> Result<u64, TraceError> {
        if self.dims.len() > 255 {
            return Err(TraceError::Rank(self.dims.len()));
        }
        let element = self.element_bytes()?;
        if self.dims.contains(&0) {
            return Ok(0);
        }
        self.dims
            .iter()
            .try_fold(element, |bytes, d| bytes.checked_mul(*d))
            .ok_or(TraceError::TensorBytes {
                expected: u64::MAX,
                actual: 0,
            })
    }

    /// Bytes of its chunk `index`; 0 beyond its last.
    pub fn chunk_len(&self, index: u64) -> Result<u64, TraceError> {
        let before = index.saturating_mul(CHUNK_BYTES as u64);
        let rest = self.byte_len()?.saturating_sub(before);
        Ok(rest.min(CHUNK_BYTES as u64))
    }

    /// Height of the tensor's chunk tree: follows from the shape alone.
    pub fn chunk_height(&self) -> Result<u8, TraceError> {
        let height = height(chunk_count(self.byte_len()?));
        if height > MAX_HEIGHT {
            Err(TraceError::HeightTooLarge(height))
        } else {
            Ok(height)
        }
    }

    /// `hash_id || dtype || rank || dims..`: the preimage of the digest between tag and chunk root.
    pub fn encode(&self) -> Vec<u8> {
        header_bytes(self.dtype, &self.dims)
    }

    /// The digest of a tensor with this header and that chunk root.
    pub fn digest(&self, chunk_root: &Digest) -> Digest {
        header_digest(self.dtype, &self.dims, chunk_root)
    }

    /// The digest of a tensor with this header and these bytes, whose number must be the shape's.
    pub fn digest_bytes(&self, bytes: &[u8]) -> Result<Digest, TraceError> {
        let expected = self.byte_len()?;
        if expected != bytes.len() as u64 {
            return Err(TraceError::TensorBytes {
                expected,
                actual: bytes.len() as u64,
            });
        }
        Ok(self.digest(&chunk_root(bytes)))
    }
}

/// One chunk of a tensor, opened from its bytes up to the tensor's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkOpening {
    /// dtype and shape of the tensor.
    pub header: TensorHeader,
    /// Bytes of the chunk.
    pub chunk: Vec<u8>,
    /// Chunk leaf under the chunk root; its index is the chunk's.
    pub opening: Opening,
}

impl ChunkOpening {
    /// Opens chunk `index` of a tensor.
    pub fn open(header: TensorHeader, bytes: &[u8], index: u64) -> Result<Self, TraceError> {
        header.digest_bytes(bytes)?;
        let chunks = chunk_count(bytes.len() as u64);
        let height = header.chunk_height()?;
        let outside = TraceError::OutOfTree {
            at: 0,
            index,
            height,
        };
        if index >= chunks {
            return Err(outside);
        }
        let at = usize::try_from(index).map_err(|_| outside.clone())?;
        let chunk = bytes.chunks(CHUNK_BYTES).nth(at).ok_or(outside)?.to_vec();
        Ok(ChunkOpening {
            header,
            chunk,
            opening: chunk_tree(bytes)?.open(index)?,
        })
    }

    /// The tensor digest that this opening leads to. The chunk's length, the opening's length and
    /// its index must be those that the shape demands.
    pub fn tensor_digest(&self) -> Result<Digest, TraceError> {
        let bytes = self.header.byte_len()?;
        let height = self.header.chunk_height()?;
        let index = self.opening.index;
        if index >= chunk_count(bytes) {
            return Err(TraceError::OutOfTree {
                at: 0,
                index,
                height,
            });
        }
        let expected = self.header.chunk_len(index)?;
        if self.chunk.len() as u64 != expected {
            return Err(TraceError::TensorBytes {
                expected,
                actual: self.chunk.len() as u64,
            });
        }
        if self.opening.siblings.len() != height as usize {
            let found = self.opening.siblings.len();
            return Err(TraceError::OpeningLength {
                what: "chunk",
                height,
                found,
            });
        }
        Ok(self
            .header
            .digest(&self.opening.root(&chunk_leaf(&self.chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_that_overflow_are_refused() {
        assert!(TensorHeader::new(1, vec![u64::MAX, 2]).is_err());
        assert!(TensorHeader::new(14, vec![1]).is_err());
        assert!(TensorHeader::new(4, vec![1; 256]).is_err());
        assert_eq!(
            TensorHeader::new(1, vec![u64::MAX, 0]).unwrap().byte_len(),
            Ok(0)
        );
        assert!(
            TensorHeader::new(4, vec![1 << 50])
                .unwrap()
                .chunk_height()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn streaming_root_is_the_tree_root(chunks in 0usize..70, cut in 0usize..1024) {
            let bytes: Vec<u8> = (0..(chunks * 1024).saturating_sub(cut)).map(|i| ((i * 7) >> 3) as u8).collect();
            prop_assert_eq!(chunk_root(&bytes), chunk_tree(&bytes).unwrap().root());
            let leaves: Vec<_> = bytes.chunks(CHUNK_BYTES).map(chunk_leaf).collect();
            prop_assert_eq!(chunk_leaves(&bytes).len(), leaves.len());
            prop_assert!(chunk_leaves(&bytes).eq(leaves));
        }

        #[test]
        fn every_chunk_opens_to_the_digest(len in 1usize..9000, at: u64, bend in 0usize..8) {
            let bytes: Vec<u8> = (0..len).map(|i| ((i * 11) >> 4) as u8).collect();
            let header = TensorHeader::new(4, vec![len as u64]).unwrap();
            let digest = header.digest_bytes(&bytes).unwrap();
            prop_assert_eq!(digest, tensor_digest(4, &[len as u64], &bytes));
            let index = at % chunk_count(len as u64);
            let good = ChunkOpening::open(header.clone(), &bytes, index).unwrap();
            prop_assert_eq!(good.tensor_digest(), Ok(digest));
            let mut bad = good.clone();
            match bend {
                0 => bad.chunk[0] ^= 1,
                1 => bad.chunk.push(0),
                2 => { bad.chunk.pop(); }
                3 => bad.opening.siblings.push(Digest::ZERO),
                4 => bad.opening.index += chunk_count(len as u64),
                5 => bad.header.dims.push(1),
                6 => bad.header.dtype = 6,
                _ => bad.opening.index ^= 1,
            }
            prop_assert!(bad.tensor_digest() != Ok(digest));
            prop_assert!(ChunkOpening::open(header, &bytes, chunk_count(len as u64)).is_err());
        }
    }
}
