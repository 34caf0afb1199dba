//! A row of weights as f32, block by block: what [`WeightFormat::value`] says of each value.

use crate::WeightFormat;
use crate::convert::{bf16_to_f32, f16_to_f32};
use crate::scalar::canonical;

/// Writes the values of a row as in a file. A NaN is canonical.
///
/// # Panics
/// If `out` has another number of values than the row.
pub fn dequantise(format: WeightFormat, row: &[u8], out: &mut [f32]) {
    assert_eq!(
        format.row_values(row.len()),
        Some(out.len()),
        "values of a row"
    );
    let blocks = row.chunks_exact(format.block_bytes());
    for (block, out) in blocks.zip(out.chunks_exact_mut(format.block_values())) {
        let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        match format {
            WeightFormat::F32 => {
                let bits = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
                out[0] = canonical(f32::from_bits(bits));
            }
            WeightFormat::F16 => out[0] = f16_to_f32(half(0)),
            WeightFormat::Bf16 => out[0] = bf16_to_f32(half(0)),
            WeightFormat::Q8_0 => {
                let scale = f16_to_f32(half(0));
                for (out, &q) in out.iter_mut().zip(&block[2..]) {
                    *out = canonical(f32::from(q.cast_signed()) * scale);
                }
            }
            WeightFormat::Q4_0 => {
                let scale = f16_to_f32(half(0));
                for (i, out) in out.iter_mut().enumerate() {
                    let q = block[2 + i % 16] >> (i / 16 * 4) & 15;
                    *out = canonical((f32::from(q) - 8.0) * scale);
                }
            }
            WeightFormat::Q4_K => {
                let (d, dmin) = (f16_to_f32(half(0)), f16_to_f32(half(2)));
                for (j, out) in out.chunks_exact_mut(32).enumerate() {
                    let (scale, minimum) = q4k_scales(&block[4..16], j);
                    let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
                    for (l, out) in out.iter_mut().enumerate() {
                        let q = block[16 + j / 2 * 32 + l] >> (j % 2 * 4) & 15;
                        *out = canonical(scale.mul_add(f32::from(q), -minimum));
                    }
                }
            }
            WeightFormat::Q6_K => {
                let d = f16_to_f32(half(208));
                for (j, out) in out.chunks_exact_mut(16).enumerate() {
                    let scale = d * f32::from(block[192 + j].cast_signed());
                    let (half, quarter) = (j / 8, j / 2 % 4);
                    for (l, out) in out.iter_mut().enumerate() {
                        let l = j % 2 * 16 + l;
                        let low = block[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
                        let high = block[128 + half * 32 + l] >> (quarter * 2) & 3;
                        *out = canonical(scale * (f32::from(low | high << 4) - 32.0));
                    }
                }
            }
        }
    }
}

/// Scale and minimum of sub-block `j` of Q4_K, six bits each, from its 12 bytes.
fn q4k_scales(bytes: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (bytes[j] & 63, bytes[4 + j] & 63)
    } else {
        (
            bytes[4 + j] & 15 | bytes[j - 4] >> 6 << 4,
            bytes[4 + j] >> 4 | bytes[j] >> 6 << 4,
        )
    }
}
