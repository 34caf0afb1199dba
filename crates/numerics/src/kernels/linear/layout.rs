//! Where the bytes of 32 rows of weights lie in a panel: the same bytes as in the file, interleaved so that vectors of
//! neighbouring rows are loaded whole. One layout serves every instruction set.
//!
//! Floating formats: `[k][32]`, f32 in the machine's byte order. Quantised formats: superblocks (the format's blocks of 32 rows), each the parts below in
//! order; `[g][32 x 4]` are groups of four consecutive values of each row.
//!
//! | format | parts of a superblock |
//! |---|---|
//! | Q8_0 | d `[32]` f16; q + 128 `[8][32 x 4]` |
//! | Q4_0 | d `[32]` f16; q `[4][32 x 4]`: low nibbles values 0..16, high nibbles values 16..32 |
//! | Q4_K | d `[32]` f16; dmin `[32]` f16; the 12 bytes of scales as words `[3][32]`; 8 x q as of Q4_0 |
//! | Q6_K | d `[32]` f16; 8 x (scales `[2][32]` i8; high two bits `[2][32 x 4]`, bits 2i of vector v: group 4v + i; low four bits as of Q4_0) |
//!
//! A kernel reads them from first to last: what the processor fetches ahead by itself is what comes next.

use crate::WeightFormat;

/// Rows of a panel. A power of two of every vector's lanes, and 32 f16 scales fill a cache line.
pub(super) const PANEL: usize = 32;
/// Bytes of four values of each row.
pub(super) const GROUP: usize = PANEL * 4;
/// Bytes of one f16 of each row.
pub(super) const HALVES: usize = PANEL * 2;
/// Bytes of 32 nibbles of each row.
pub(super) const NIBBLES: usize = 4 * GROUP;
/// Bytes of 32 pairs of bits of each row.
pub(super) const PAIRS: usize = 2 * GROUP;
/// Where the scales of Q4_K begin in a superblock, and its values.
pub(super) const Q4K_SCALES: usize = 2 * HALVES;
pub(super) const Q4K_VALUES: usize = Q4K_SCALES + 3 * GROUP;
/// Bytes of 32 values of each row of Q6_K: scales, high bits, low bits.
pub(super) const Q6K_BLOCK: usize = Q6K_HIGH + PAIRS + NIBBLES;
/// Where the high bits begin in them.
pub(super) const Q6K_HIGH: usize = 2 * PANEL;
/// Where the low bits begin in them.
pub(super) const Q6K_LOW: usize = Q6K_HIGH + PAIRS;

/// Turns the bytes of Q8_0, signed, into unsigned ones greater by 128, and back.
const BIAS: u32 = 0x8080_8080;
const LOW: u32 = 0x0f0f_0f0f;
const TWO: u32 = 0x0303_0303;

/// Writes row `r` of a panel from its bytes in the file.
pub(super) fn pack_row(format: WeightFormat, row: &[u8], r: usize, panel: &mut [u8]) {
    each_block(format, row.len(), |b, size| {
        let block = &row[b * size..][..size];
        pack_block(
            format,
            block,
            r,
            &mut panel[b * size * PANEL..][..size * PANEL],
        );
    });
}

/// Writes the bytes that row `r` of a panel has in the file.
pub(super) fn unpack_row(format: WeightFormat, panel: &[u8], r: usize, row: &mut [u8]) {
    each_block(format, row.len(), |b, size| {
        let block = &panel[b * size * PANEL..][..size * PANEL];
        unpack_block(format, block, r, &mut row[b * size..][..size]);
    });
}

fn each_block(format: WeightFormat, bytes: usize, mut body: impl FnMut(usize, usize)) {
    let size = format.block_bytes();
    for b in 0..bytes / size {
        body(b, size);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

fn copy(from: &[u8], at: usize, to: &mut [u8], to_at: usize, len: usize) {
    to[to_at..to_at + len].copy_from_slice(&from[at..at + len]);
}

/// Where value group `g` of sub-block `s` of Q4_K lies in a file's block, and the shift of its nibbles.
fn q4k_place(s: usize, g: usize) -> (usize, usize) {
    (16 + s / 2 * 32 + 4 * g, s % 2 * 4)
}

/// The same for the low four and the high two bits of Q6_K.
fn q6k_place(s: usize, g: usize) -> [(usize, usize); 2] {
    let (half, quarter) = (s / 4, s % 4);
    [
        (half * 64 + quarter % 2 * 32 + 4 * g, quarter / 2 * 4),
        (128 + half * 32 + 4 * g, quarter * 2),
    ]
}

fn pack_block(format: WeightFormat, from: &[u8], r: usize, to: &mut [u8]) {
    match format {
        WeightFormat::F32 => to[4 * r..4 * r + 4].copy_from_slice(&word(from, 0).to_ne_bytes()),
        WeightFormat::F16 | WeightFormat::Bf16 => copy(from, 0, to, 2 * r, 2),
        WeightFormat::Q8_0 => {
            copy(from, 0, to, 2 * r, 2);
            for g in 0..8 {
                put(to, HALVES + g * GROUP + 4 * r, word(from, 2 + 4 * g) ^ BIAS);
            }
        }
        WeightFormat::Q4_0 => {
            copy(from, 0, to, 2 * r, 2);
            for g in 0..4 {
                copy(from, 2 + 4 * g, to, HALVES + g * GROUP + 4 * r, 4);
            }
        }
        WeightFormat::Q4_K => {
            copy(from, 0, to, 2 * r, 2);
            copy(from, 2, to, HALVES + 2 * r, 2);
            for i in 0..3 {
                copy(from, 4 + 4 * i, to, Q4K_SCALES + i * GROUP + 4 * r, 4);
            }
            for s in 0..8 {
                let nibbles = |g: usize| {
                    let (at, shift) = q4k_place(s, g);
                    word(from, at) >> shift & LOW
                };
                for g in 0..4 {
                    let at = Q4K_VALUES + s * NIBBLES + g * GROUP + 4 * r;
                    put(to, at, nibbles(g) | nibbles(g + 4) << 4);
                }
            }
        }
        WeightFormat::Q6_K => {
            copy(from, 208, to, 2 * r, 2);
            for s in 0..8 {
                let block = HALVES + s * Q6K_BLOCK;
                for half in 0..2 {
                    to[block + half * PANEL + r] = from[192 + 2 * s + half];
                }
                let base = block + 4 * r;
                let low = |g: usize| {
                    let [(at, shift), _] = q6k_place(s, g);
                    word(from, at) >> shift & LOW
                };
                let high = |g: usize| {
                    let [_, (at, shift)] = q6k_place(s, g);
                    word(from, at) >> shift & TWO
                };
                for g in 0..4 {
                    put(to, base + Q6K_LOW + g * GROUP, low(g) | low(g + 4) << 4);
                }
                for v in 0..2 {
                    let pairs = (0..4).fold(0, |w, i| w | high(4 * v + i) << (2 * i));
                    put(to, base + Q6K_HIGH + v * GROUP, pairs);
                }
            }
        }
    }
}

fn unpack_block(format: WeightFormat, from: &[u8], r: usize, to: &mut [u8]) {
    match format {
        WeightFormat::F32 => put(
            to,
            0,
            u32::from_ne_bytes([0, 1, 2, 3].map(|i| from[4 * r + i])),
        ),
        WeightFormat::F16 | WeightFormat::Bf16 => copy(from, 2 * r, to, 0, 2),
        WeightFormat::Q8_0 => {
            copy(from, 2 * r, to, 0, 2);
            for g in 0..8 {
                let values = word(from, HALVES + g * GROUP + 4 * r);
                put(to, 2 + 4 * g, values ^ BIAS);
            }
        }
        WeightFormat::Q4_0 => {
            copy(from, 2 * r, to, 0, 2);
            for g in 0..4 {
                copy(from, HALVES + g * GROUP + 4 * r, to, 2 + 4 * g, 4);
            }
        }
        WeightFormat::Q4_K => {
            to.fill(0);
            copy(from, 2 * r, to, 0, 2);
            copy(from, HALVES + 2 * r, to, 2, 2);
            for i in 0..3 {
                copy(from, Q4K_SCALES + i * GROUP + 4 * r, to, 4 + 4 * i, 4);
            }
            for (s, g) in (0..8).flat_map(|s| (0..8).map(move |g| (s, g))) {
                let at = Q4K_VALUES + s * NIBBLES + g % 4 * GROUP + 4 * r;
                let nibbles = word(from, at) >> (g / 4 * 4) & LOW;
                let (at, shift) = q4k_place(s, g);
                let others = word(to, at);
                put(to, at, others | nibbles << shift);
            }
        }
        WeightFormat::Q6_K => {
            to.fill(0);
            copy(from, 2 * r, to, 208, 2);
            for j in 0..16 {
                to[192 + j] = from[HALVES + j / 2 * Q6K_BLOCK + j % 2 * PANEL + r];
            }
            for (s, g) in (0..8).flat_map(|s| (0..8).map(move |g| (s, g))) {
                let base = HALVES + s * Q6K_BLOCK + 4 * r;
                let low = word(from, base + Q6K_LOW + g % 4 * GROUP) >> (g / 4 * 4) & LOW;
                let high = word(from, base + Q6K_HIGH + g / 4 * GROUP) >> (g % 4 * 2) & TWO;
                for ((at, shift), bits) in q6k_place(s, g).into_iter().zip([low, high]) {
                    let others = word(to, at);
                    put(to, at, others | bits << shift);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_row_comes_back() {
        for format in WeightFormat::ALL {
            let bytes = format.row_bytes(512).unwrap();
            let row = |r: usize| -> Vec<u8> {
                (0..bytes)
                    .map(|i| ((i * 7919 + r * 104_729) >> 3) as u8)
                    .collect()
            };
            let mut panel = vec![0; bytes * PANEL];
            for r in 0..PANEL {
                pack_row(format, &row(r), r, &mut panel);
            }
            for r in 0..PANEL {
                let mut found = vec![0xaa; bytes];
                unpack_row(format, &panel, r, &mut found);
                assert_eq!(found, row(r), "{format:?} row {r}");
            }
        }
    }
}
