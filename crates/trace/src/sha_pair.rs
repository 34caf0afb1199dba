//! Two chunks at once with SHA-NI.
//!
//! One SHA-256 stream waits for the latency of `sha256rnds2`; two independent streams fill the gaps.
//! Same digests, checked against the portable path in tests.

use crate::CHUNK_BYTES;
use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
    _mm_setr_epi32, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
};

/// Round constants of SHA-256 (FIPS 180-4, 4.2.2).
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// Whether this processor has what [`compress`] needs.
#[inline]
pub(crate) fn available() -> bool {
    std::arch::is_x86_feature_detected!("sha")
        && std::arch::is_x86_feature_detected!("sse4.1")
        && std::arch::is_x86_feature_detected!("ssse3")
}

/// Final states of `H(0x00 || chunk)` for two full chunks. Panics on a processor where
/// [`available`] is false.
pub(crate) fn full_chunks(
    initial: [u32; 8],
    a: &[u8; CHUNK_BYTES],
    b: &[u8; CHUNK_BYTES],
) -> [[u32; 8]; 2] {
    assert!(available(), "SHA extensions are absent");
    let mut edges = [[[0; 64]; 2]; 2];
    for ([first, last], chunk) in edges.iter_mut().zip([a, b]) {
        first[0] = crate::Tag::Chunk as u8;
        first[1..].copy_from_slice(&chunk[..63]);
        last[0] = chunk[CHUNK_BYTES - 1];
        last[1] = 0x80;
        last[56..].copy_from_slice(&((CHUNK_BYTES as u64 + 1) * 8).to_be_bytes());
    }
    let [[first_a, last_a], [first_b, last_b]] = &edges;
    let (blocks_a, _) = a[63..].as_chunks::<64>();
    let (blocks_b, _) = b[63..].as_chunks::<64>();
    let mut states = [initial; 2];
    // SAFETY: the features are there, as just asserted.
    unsafe {
        compress(
            &mut states,
            core::slice::from_ref(first_a),
            core::slice::from_ref(first_b),
        );
        compress(&mut states, blocks_a, blocks_b);
        compress(
            &mut states,
            core::slice::from_ref(last_a),
            core::slice::from_ref(last_b),
        );
    }
    states
}

/// Final states of two messages of `B` padded blocks each. Panics on a processor where [`available`] is
/// false.
pub(crate) fn messages<const B: usize>(
    initial: [u32; 8],
    a: &[[u8; 64]; B],
    b: &[[u8; 64]; B],
) -> [[u32; 8]; 2] {
    assert!(available(), "SHA extensions are absent");
    let mut states = [initial; 2];
    // SAFETY: the features are there, as just asserted.
    unsafe { compress(&mut states, a, b) };
    states
}

/// Four rounds of one stream with the words `w` and the constants `k`.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn rounds(abef: &mut __m128i, cdgh: &mut __m128i, w: __m128i, k: __m128i) {
    let wk = _mm_add_epi32(w, k);
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

/// The next four words of the message schedule from the last sixteen.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    _mm_sha256msg2_epu32(sum, w3)
}

/// Compresses block `i` of `a` into `states[0]` and block `i` of `b` into `states[1]`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress(states: &mut [[u32; 8]; 2], a: &[[u8; 64]], b: &[[u8; 64]]) {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let zero = _mm_setr_epi32(0, 0, 0, 0);
    let mut abef = [zero; 2];
    let mut cdgh = [zero; 2];
    for l in 0..2 {
        let state: *const __m128i = states[l].as_ptr().cast();
        // SAFETY: a state is 32 bytes, and the loads are unaligned ones.
        let (dcba, hgfe) = unsafe { (_mm_loadu_si128(state), _mm_loadu_si128(state.add(1))) };
        let (cdab, efgh) = (_mm_shuffle_epi32(dcba, 0xb1), _mm_shuffle_epi32(hgfe, 0x1b));
        abef[l] = _mm_alignr_epi8(cdab, efgh, 8);
        cdgh[l] = _mm_blend_epi16(efgh, cdab, 0xf0);
    }
    let constants = |group: usize| {
        // SAFETY: groups are 0..16 of four constants each.
        unsafe { _mm_loadu_si128(K.as_ptr().add(4 * (group & 15)).cast()) }
    };
    for blocks in a.iter().zip(b) {
        let saved = (abef, cdgh);
        let mut w = [[zero; 4]; 2];
        for (l, block) in [blocks.0, blocks.1].into_iter().enumerate() {
            for (i, words) in w[l].iter_mut().enumerate() {
                // SAFETY: a block is 64 bytes, and the load is an unaligned one.
                let loaded = unsafe { _mm_loadu_si128(block.as_ptr().add(16 * i).cast()) };
                *words = _mm_shuffle_epi8(loaded, swap);
            }
        }
        for turn in 0..4 {
            for g in 0..4 {
                let k = constants(4 * turn + g);
                for l in 0..2 {
                    let w = &mut w[l];
                    if turn > 0 {
                        w[g] = schedule(w[g], w[(g + 1) & 3], w[(g + 2) & 3], w[(g + 3) & 3]);
                    }
                    rounds(&mut abef[l], &mut cdgh[l], w[g], k);
                }
            }
        }
        for l in 0..2 {
            abef[l] = _mm_add_epi32(abef[l], saved.0[l]);
            cdgh[l] = _mm_add_epi32(cdgh[l], saved.1[l]);
        }
    }
    for l in 0..2 {
        let (feba, dchg) = (
            _mm_shuffle_epi32(abef[l], 0x1b),
            _mm_shuffle_epi32(cdgh[l], 0xb1),
        );
        let state: *mut __m128i = states[l].as_mut_ptr().cast();
        // SAFETY: a state is 32 bytes, and the stores are unaligned ones.
        unsafe {
            _mm_storeu_si128(state, _mm_blend_epi16(feba, dchg, 0xf0));
            _mm_storeu_si128(state.add(1), _mm_alignr_epi8(dchg, feba, 8));
        }
    }
}
