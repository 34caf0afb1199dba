//! Formats in which weights are stored, and the format of activations beside quantised weights.
//!
//! A weight matrix is `n` rows of `k` values; a row has the bytes that it has in a GGUF file. Rows of f32 are tensors of
//! f32, all others tensors of bytes, so that identity and openings are those of the file's content. What a row's values
//! are, and what a product with it is: `spec/numerics.md`, "Weight formats".

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
}
