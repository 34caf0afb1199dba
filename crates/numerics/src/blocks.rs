//! Formats in which weights are stored, and the format of activations beside quantised weights.
//!
//! A weight matrix is `n` rows of `k` values; a row has the bytes that it has in a GGUF file. Rows of f32 are tensors of
//! f32, all others tensors of bytes, so that identity and openings are those of the file's content. What a row's values
//! are, and what a product with it is: `spec/numerics.md`, "Weight formats".

use crate::convert::{bf16_to_f32, f16_to_f32, f32_to_int};
use crate::scalar::{canonical, max};

/// Values of one block of quantised activations.
pub const ACTIVATION_BLOCK: usize = 32;
/// Bytes of one block of quantised activations: the scale as little-endian f32, then 32 signed bytes.
pub const ACTIVATION_BYTES: usize = 36;

/// How a row of weights is stored. The discriminant is the attribute word of the operators that read weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
#[allow(non_camel_case_types)] // the field's names
pub enum WeightFormat {
    /// IEEE-754 binary32.
    F32 = 0,
    /// IEEE-754 binary16.
    F16 = 1,
    /// bfloat16.
    Bf16 = 2,
    /// 32 values: f16 scale, 32 signed bytes.
    Q8_0 = 3,
    /// 32 values: f16 scale, 32 nibbles less 8.
    Q4_0 = 4,
    /// 256 values: f16 scale and minimum, eight 6-bit scales and minima, 256 nibbles.
    Q4_K = 5,
    /// 256 values: 256 six-bit numbers less 32, sixteen 8-bit scales, f16 scale.
    Q6_K = 6,
}

impl WeightFormat {
    /// Every format.
    pub const ALL: [WeightFormat; 7] = [
        WeightFormat::F32,
        WeightFormat::F16,
        WeightFormat::Bf16,
        WeightFormat::Q8_0,
        WeightFormat::Q4_0,
        WeightFormat::Q4_K,
        WeightFormat::Q6_K,
    ];

    /// The attribute word.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The format with this attribute word.
    pub fn from_id(id: u32) -> Option<WeightFormat> {
        WeightFormat::ALL
            .into_iter()
            .find(|f| u32::from(f.id()) == id)
    }

    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            WeightFormat::F32 => "F32",
            WeightFormat::F16 => "F16",
            WeightFormat::Bf16 => "BF16",
            WeightFormat::Q8_0 => "Q8_0",
            WeightFormat::Q4_0 => "Q4_0",
            WeightFormat::Q4_K => "Q4_K",
            WeightFormat::Q6_K => "Q6_K",
        }
    }

    /// Values of a block.
    pub fn block_values(self) -> usize {
        match self {
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16 => 1,
            WeightFormat::Q8_0 | WeightFormat::Q4_0 => 32,
            WeightFormat::Q4_K | WeightFormat::Q6_K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            WeightFormat::F32 => 4,
            WeightFormat::F16 | WeightFormat::Bf16 => 2,
            WeightFormat::Q8_0 => 34,
            WeightFormat::Q4_0 => 18,
            WeightFormat::Q4_K => 144,
            WeightFormat::Q6_K => 210,
        }
    }

    /// Whether activations are quantised for a product with such weights.
    pub fn is_quantised(self) -> bool {
        self.block_values() > 1
    }

    /// Bytes of a row of `k` values; `None` where `k` is no whole number of blocks.
    pub fn row_bytes(self, k: usize) -> Option<usize> {
        k.is_multiple_of(self.block_values())
            .then(|| k / self.block_values())?
            .checked_mul(self.block_bytes())
    }

    /// Values of a row of so many bytes; `None` where that is no whole number of blocks.
    pub fn row_values(self, bytes: usize) -> Option<usize> {
        bytes
            .is_multiple_of(self.block_bytes())
            .then(|| bytes / self.block_bytes())?
            .checked_mul(self.block_values())
    }
}

/// What single values and products are, plainly: the oracle of kernels. Bytes that a row lacks read as 0.
impl WeightFormat {
    /// Value `i` of a row of weights.
    pub fn value(self, row: &[u8], i: usize) -> f32 {
        let block = row.get(i / self.block_values() * self.block_bytes()..);
        let block = Block(block.unwrap_or_default());
        let i = i % self.block_values();
        canonical(match self {
            WeightFormat::F32 => block.f32(0),
            WeightFormat::F16 => block.f16(0),
            WeightFormat::Bf16 => bf16_to_f32(block.u16(0)),
            WeightFormat::Q8_0 => block.i8(2 + i) as f32 * block.f16(0),
            WeightFormat::Q4_0 => block.q4_0(i) as f32 * block.f16(0),
            WeightFormat::Q4_K => {
                let (scale, minimum) = block.q4_k_scales(i / 32);
                scale.mul_add(block.q4_k(i) as f32, -minimum)
            }
            WeightFormat::Q6_K => {
                let scale = block.f16(208) * block.i8(192 + i / 16) as f32;
                scale * block.q6_k(i) as f32
            }
        })
    }

    /// Product of `k` activations, quantised by [`quantise`], with a row of weights of a quantised format.
    pub fn product(self, x: &[u8], weights: &[u8], k: usize) -> f32 {
        let mut sum = 0.0f32;
        for first in (0..k).step_by(ACTIVATION_BLOCK) {
            let x = x.get(first / ACTIVATION_BLOCK * ACTIVATION_BYTES..);
            let x = Block(x.unwrap_or_default());
            let weights = weights.get(first / self.block_values() * self.block_bytes()..);
            sum = self.add_block(sum, &x, &Block(weights.unwrap_or_default()), first);
        }
        canonical(sum)
    }

    /// `sum` and the product of the 32 values from `first` of the row.
    fn add_block(self, sum: f32, x: &Block<'_>, w: &Block<'_>, first: usize) -> f32 {
        let at = first % self.block_values();
        let dx = x.f32(0);
        // exact: at most 2^24 in magnitude
        let dot = |range: std::ops::Range<usize>, q: &dyn Fn(usize) -> i32| {
            range.map(|l| q(at + l) * x.i8(4 + l)).sum::<i32>()
        };
        match self {
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16 => sum,
            WeightFormat::Q8_0 => {
                let dot = dot(0..32, &|i| w.i8(2 + i));
                (dot as f32).mul_add(w.f16(0) * dx, sum)
            }
            WeightFormat::Q4_0 => {
                let dot = dot(0..32, &|i| w.q4_0(i));
                (dot as f32).mul_add(w.f16(0) * dx, sum)
            }
            WeightFormat::Q4_K => {
                let (scale, minimum) = w.q4_k_scales(at / 32);
                let ones = dot(0..32, &|_| 1) as f32;
                let sum = (dot(0..32, &|i| w.q4_k(i)) as f32).mul_add(scale * dx, sum);
                (-minimum).mul_add(ones * dx, sum)
            }
            WeightFormat::Q6_K => {
                let [low, high] = [0..16, 16..32].map(|half| dot(half, &|i| w.q6_k(i)));
                let scales = [w.i8(192 + at / 16), w.i8(193 + at / 16)];
                let dot = scales[0] * low + scales[1] * high;
                (dot as f32).mul_add(w.f16(208) * dx, sum)
            }
        }
    }
}

/// Bytes of a block.
struct Block<'a>(&'a [u8]);

impl Block<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn i8(&self, at: usize) -> i32 {
        self.byte(at).cast_signed().into()
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }

    fn f16(&self, at: usize) -> f32 {
        f16_to_f32(self.u16(at))
    }

    fn f32(&self, at: usize) -> f32 {
        f32::from_le_bytes([0, 1, 2, 3].map(|j| self.byte(at + j)))
    }

    /// Bits `shift .. shift + bits` of a byte.
    fn bits(&self, at: usize, shift: usize, bits: usize) -> i32 {
        i32::from(self.byte(at) >> shift) & ((1 << bits) - 1)
    }

    fn q4_0(&self, i: usize) -> i32 {
        self.bits(2 + i % 16, i / 16 * 4, 4) - 8
    }

    fn q4_k(&self, i: usize) -> i32 {
        self.bits(16 + i / 64 * 32 + i % 32, i / 32 % 2 * 4, 4)
    }

    /// Scale and minimum of the 32 values of number `j`, times those of the block.
    fn q4_k_scales(&self, j: usize) -> (f32, f32) {
        let (scale, minimum) = if j < 4 {
            (self.bits(4 + j, 0, 6), self.bits(8 + j, 0, 6))
        } else {
            (
                self.bits(8 + j, 0, 4) | self.bits(j, 6, 2) << 4,
                self.bits(8 + j, 4, 4) | self.bits(4 + j, 6, 2) << 4,
            )
        };
        (self.f16(0) * scale as f32, self.f16(2) * minimum as f32)
    }

    fn q6_k(&self, i: usize) -> i32 {
        let (half, quarter, l) = (i / 128, i / 32 % 4, i % 32);
        let low = self.bits(half * 64 + quarter % 2 * 32 + l, quarter / 2 * 4, 4);
        let high = self.bits(128 + half * 32 + l, quarter * 2, 2);
        (low | high << 4) - 32
    }
}

/// A row of activations as the operator Quantize stores it; a last block that is not whole is filled with +0.
pub fn quantise(x: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(x.len().div_ceil(ACTIVATION_BLOCK) * ACTIVATION_BYTES);
    for block in x.chunks(ACTIVATION_BLOCK) {
        let largest = block.iter().fold(0.0f32, |m, x| max(m, x.abs()));
        let inverse = if 0.0 < largest { 127.0 / largest } else { 0.0 };
        bytes.extend(canonical(largest / 127.0).to_le_bytes());
        bytes.extend((0..ACTIVATION_BLOCK).map(|l| {
            let q = f32_to_int(block.get(l).copied().unwrap_or(0.0) * inverse).cast_signed();
            q.clamp(-127, 127) as u8
        }));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_blocks() {
        for format in WeightFormat::ALL {
            assert_eq!(WeightFormat::from_id(format.id().into()), Some(format));
            let bytes = format.row_bytes(512).unwrap();
            assert_eq!(format.row_values(bytes), Some(512));
            assert_eq!(format.row_bytes(513).is_some(), !format.is_quantised());
        }
        assert_eq!(WeightFormat::from_id(7), None);
    }

    /// A block of every format written from the values that it shall have.
    #[test]
    fn values_lie_where_the_file_format_puts_them() {
        let half = 0x3800u16.to_le_bytes(); // 0.5
        let mut q4_k = [half, [0, 0]].concat();
        // scale of the values 32 j: j + 32 (all six bits are in use), minimum: 63 - j
        let (scale, minimum) = (|j: u8| j + 32, |j: u8| 63 - j);
        q4_k.extend((0..4).map(|j| scale(j) | (scale(j + 4) >> 4) << 6));
        q4_k.extend((0..4).map(|j| minimum(j) | (minimum(j + 4) >> 4) << 6));
        q4_k.extend((4..8).map(|j| scale(j) & 15 | (minimum(j) & 15) << 4));
        q4_k[2..4].copy_from_slice(&0x3c00u16.to_le_bytes()); // 1
        let nibble = |i: usize| (i * 7 % 16) as u8;
        q4_k.extend((0..128).map(|b| {
            let low = b / 32 * 64 + b % 32;
            nibble(low) | nibble(low + 32) << 4
        }));
        for i in 0..256 {
            let j = (i / 32) as u8;
            let value = 0.5 * f32::from(scale(j)) * f32::from(nibble(i)) - f32::from(minimum(j));
            assert_eq!(WeightFormat::Q4_K.value(&q4_k, i), value, "Q4_K {i}");
        }

        let six = |i: usize| (i * 5 % 64) as u8;
        let scale = |j: usize| (j as i8 - 8) * 16;
        let mut q6_k = vec![0; 192];
        for i in 0..256 {
            // a half of 128: bytes 0..64 hold the low four bits of two quarters and of the two after them
            let (base, quarter, l) = (i / 128, i % 128 / 32, i % 32);
            q6_k[base * 64 + quarter % 2 * 32 + l] |= (six(i) & 15) << (4 * (quarter / 2));
            q6_k[128 + base * 32 + l] |= (six(i) >> 4) << (2 * quarter);
        }
        q6_k.extend((0..16).map(|j| scale(j) as u8));
        q6_k.extend(half);
        for i in 0..256 {
            let value = 0.5 * f32::from(scale(i / 16)) * (f32::from(six(i)) - 32.0);
            assert_eq!(WeightFormat::Q6_K.value(&q6_k, i), value, "Q6_K {i}");
        }

        let q4_0 = [&half[..], &[0x2f; 16]].concat();
        assert_eq!(WeightFormat::Q4_0.value(&q4_0, 15), 3.5);
        assert_eq!(WeightFormat::Q4_0.value(&q4_0, 16), -3.0);
        let q8_0 = [&half[..], &[0x80; 32]].concat();
        assert_eq!(WeightFormat::Q8_0.value(&q8_0, 31), -64.0);
        assert_eq!(WeightFormat::F16.value(&half, 0), 0.5);
        assert_eq!(WeightFormat::Bf16.value(&[0, 0, 0x80, 0x3f], 1), 1.0);
        assert_eq!(WeightFormat::F32.value(&2.5f32.to_le_bytes(), 0), 2.5);
    }

    /// Where every rounding is exact, a product is the sum of products of values.
    #[test]
    fn products_are_those_of_the_values() {
        let k = 512;
        // every block's largest is 127, so that activations come back
        let x: Vec<f32> = (0..k)
            .map(|i| {
                if i % 32 == 5 {
                    -127.0
                } else {
                    (i * 11 % 23) as f32 - 9.0
                }
            })
            .collect();
        let quantised = quantise(&x);
        for format in WeightFormat::ALL.into_iter().filter(|f| f.is_quantised()) {
            let bytes = format.row_bytes(k).unwrap();
            let mut row: Vec<u8> = (0..bytes).map(|i| (i * 29 % 251) as u8).collect();
            for block in row.chunks_exact_mut(format.block_bytes()) {
                let at = if format == WeightFormat::Q6_K { 208 } else { 0 };
                block[at..at + 2].copy_from_slice(&0x3800u16.to_le_bytes());
                if format == WeightFormat::Q4_K {
                    block[2..4].copy_from_slice(&0x3400u16.to_le_bytes());
                }
            }
            let exact: f32 = (0..k).map(|i| x[i] * format.value(&row, i)).sum();
            assert_eq!(
                format.product(&quantised, &row, k),
                exact,
                "{}",
                format.name()
            );
        }
    }

    #[test]
    fn activations_without_a_finite_scale_quantise_to_something() {
        let scale = |bytes: &[u8]| f32::from_le_bytes(bytes[..4].try_into().unwrap());
        let zeros = quantise(&[0.0; 32]);
        assert_eq!(zeros, [0; ACTIVATION_BYTES]);
        let nan = quantise(&[f32::NAN, 1.0]);
        assert!(scale(&nan).is_nan() && nan[4..] == [0; 32]);
        let infinite = quantise(&[f32::NEG_INFINITY, 1.0]);
        assert!(scale(&infinite) == f32::INFINITY && infinite[4..] == [0; 32]);
        // the inverse overflows: every number but zero is an end of the range
        let tiny = quantise(&[1e-40, -1e-45, 0.0]);
        assert_eq!(tiny[4..7], [127, 129, 0]);
    }
}
