//! SHA-256 for fixed-size preimages.
//!
//! Inner nodes (65 bytes) and full chunks (1,025 bytes) are almost everything that is hashed. Their
//! padding is known beforehand, so they go to the compression function directly, without a block
//! buffer. The backend (SHA-NI, ARMv8 crypto, portable) is picked at run time by `sha2`.

use crate::{Digest, Tag};
use sha2::{Digest as _, Sha256, block_api::compress256};

/// Initial state of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

fn finish(state: [u32; 8]) -> Digest {
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    Digest(out)
}

/// `H(0x01 || l || r)`: the inner node of every tree.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut state = INITIAL;
    compress256(&mut state, &node_blocks(left, right));
    finish(state)
}

/// [`node`] of many pairs, appended to `out`: independent hashes run two at a time where the processor gains
/// from it.
pub(crate) fn nodes(pairs: &[[Digest; 2]], out: &mut Vec<Digest>) {
    padded(pairs, |[left, right]| node_blocks(left, right), out);
}

/// The padded preimage of an inner node.
fn node_blocks(left: &Digest, right: &Digest) -> [[u8; 64]; 2] {
    let mut blocks = [[0; 64]; 2];
    let [first, second] = &mut blocks;
    first[0] = Tag::Node as u8;
    first[1..33].copy_from_slice(&left.0);
    first[33..].copy_from_slice(&right.0[..31]);
    second[0] = right.0[31];
    second[1] = 0x80;
    second[56..].copy_from_slice(&(65u64 * 8).to_be_bytes());
    blocks
}

/// `H(tag || prefix || digest)` of many digests, appended to `out`. `prefix` has at most 22 bytes, so that all
/// of it fits one block.
pub(crate) fn tagged_each(tag: Tag, prefix: &[u8], digests: &[Digest], out: &mut Vec<Digest>) {
    let len = 1 + prefix.len() + 32;
    let mut block = [0; 64];
    block[0] = tag as u8;
    block[1..=prefix.len()].copy_from_slice(prefix);
    block[len] = 0x80;
    block[56..].copy_from_slice(&(len as u64 * 8).to_be_bytes());
    let preimage = |digest: &Digest| {
        let mut block = block;
        block[len - 32..len].copy_from_slice(&digest.0);
        [block]
    };
    padded(digests, preimage, out);
}

/// Hashes of messages of `B` blocks, padding included, appended to `out`.
fn padded<T, const B: usize>(
    items: &[T],
    blocks: impl Fn(&T) -> [[u8; 64]; B],
    out: &mut Vec<Digest>,
) {
    let alone = |item: &T| {
        let mut state = INITIAL;
        compress256(&mut state, &blocks(item));
        finish(state)
    };
    #[cfg(target_arch = "x86_64")]
    if crate::sha_pair::available() {
        let (pairs, rest) = items.as_chunks::<2>();
        for [a, b] in pairs {
            out.extend(crate::sha_pair::messages(INITIAL, &blocks(a), &blocks(b)).map(finish));
        }
        out.extend(rest.iter().map(alone));
        return;
    }
    out.extend(items.iter().map(alone));
}

/// `H(0x00 || chunk)` of a full chunk.
pub(crate) fn full_chunk(chunk: &[u8; crate::CHUNK_BYTES]) -> Digest {
    let mut state = INITIAL;
    let mut edge = [0; 64];
    edge[0] = Tag::Chunk as u8;
    edge[1..].copy_from_slice(&chunk[..63]);
    compress256(&mut state, core::slice::from_ref(&edge));
    let (middle, rest) = chunk[63..].as_chunks::<64>();
    compress256(&mut state, middle);
    edge = [0; 64];
    edge[0] = rest[0];
    edge[1] = 0x80;
    edge[56..].copy_from_slice(&(1025u64 * 8).to_be_bytes());
    compress256(&mut state, core::slice::from_ref(&edge));
    finish(state)
}

/// [`full_chunk`] of two chunks, interleaved where the processor gains from it.
pub(crate) fn two_full_chunks(
    a: &[u8; crate::CHUNK_BYTES],
    b: &[u8; crate::CHUNK_BYTES],
) -> [Digest; 2] {
    #[cfg(target_arch = "x86_64")]
    if crate::sha_pair::available() {
        return crate::sha_pair::full_chunks(INITIAL, a, b).map(finish);
    }
    [full_chunk(a), full_chunk(b)]
}

/// `H(tag || parts...)`.
pub(crate) fn tagged(tag: Tag, parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([tag as u8]);
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fast_paths_are_plain_sha256(l: [u8; 32], r: [u8; 32], seed: u8) {
            let fast = node(&Digest(l), &Digest(r));
            prop_assert_eq!(fast, tagged(Tag::Node, &[&l, &r]));
            let chunk: [u8; 1024] = core::array::from_fn(|i| (i as u8).wrapping_mul(31) ^ seed ^ l[i % 32]);
            prop_assert_eq!(full_chunk(&chunk), tagged(Tag::Chunk, &[&chunk]));
            let other: [u8; 1024] = core::array::from_fn(|i| chunk[i] ^ r[(i * 7) % 32]);
            prop_assert_eq!(two_full_chunks(&chunk, &other), [full_chunk(&chunk), full_chunk(&other)]);
            let (l, r) = (Digest(l), Digest(r));
            for count in 0..4 {
                let digests = [l, r, fast][..count].to_vec();
                let pairs: Vec<_> = digests.iter().map(|&d| [d, r]).collect();
                let (mut many, mut each) = (vec![l], vec![l]);
                nodes(&pairs, &mut many);
                tagged_each(Tag::Tensor, &l.0[..19], &digests, &mut each);
                for (i, d) in digests.iter().enumerate() {
                    prop_assert_eq!(many[i + 1], node(d, &r));
                    prop_assert_eq!(each[i + 1], tagged(Tag::Tensor, &[&l.0[..19], &d.0]));
                }
            }
        }
    }
}
