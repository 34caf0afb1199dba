//! The tensors of a GGUF file: their types by number, and where their bytes are.

use std::ops::Range;

use gavel_numerics::WeightFormat;

use super::cursor::Cursor;
use crate::ModelError;

const MAX_RANK: u32 = 4;
/// Longest name.
const MAX_NAME: usize = 64;
/// Bytes that the description of a tensor takes at least: name of one byte, one extent.
pub(super) const LEAST_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// A type of tensor: number, name, values and bytes of a block. Numbers that the format has withdrawn are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorKind {
    id: u32,
    name: &'static str,
    block_values: u64,
    block_bytes: u64,
}

const KINDS: &[TensorKind] = &[
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(9, "Q8_1", 32, 36),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(16, "IQ2_XXS", 256, 66),
    kind(17, "IQ2_XS", 256, 74),
    kind(18, "IQ3_XXS", 256, 98),
    kind(19, "IQ1_S", 256, 50),
    kind(20, "IQ4_NL", 32, 18),
    kind(21, "IQ3_S", 256, 110),
    kind(22, "IQ2_S", 256, 82),
    kind(23, "IQ4_XS", 256, 136),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 56),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
    kind(39, "MXFP4", 32, 17),
];

const fn kind(id: u32, name: &'static str, block_values: u64, block_bytes: u64) -> TensorKind {
    TensorKind {
        id,
        name,
        block_values,
        block_bytes,
    }
}

impl TensorKind {
    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The format of weights that it is, if it is one.
    pub fn format(self) -> Option<WeightFormat> {
        WeightFormat::ALL
            .into_iter()
            .find(|f| f.name() == self.name)
    }

    #[cfg(test)]
    pub(super) fn id(self) -> u32 {
        self.id
    }

    #[cfg(test)]
    pub(super) fn all() -> &'static [TensorKind] {
        KINDS
    }

    #[cfg(test)]
    pub(super) fn block(self) -> [u64; 2] {
        [self.block_values, self.block_bytes]
    }
}

/// What a file says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its type.
    pub kind: TensorKind,
    /// Extents, outermost first: the reverse of the file's order.
    pub dims: Vec<u64>,
    /// Offset of its bytes behind the start of the data, then in the file.
    pub(super) at: Range<u64>,
}

/// Reads one description. The place is still counted from the start of the data.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<(String, TensorInfo), ModelError> {
    let name = cursor.string("name of a tensor")?;
    let name = match std::str::from_utf8(name) {
        Ok(text) if (1..=MAX_NAME).contains(&text.len()) => text.to_owned(),
        _ => {
            return Err(ModelError::File(format!(
                "the name of a tensor is UTF-8 of 1 to {MAX_NAME} bytes, found {} bytes",
                name.len()
            )));
        }
    };
    let fail = |reason: String| ModelError::Tensor {
        name: name.clone(),
        reason,
    };
    let rank = cursor.u32("rank of a tensor")?;
    if !(1..=MAX_RANK).contains(&rank) {
        return Err(fail(format!("rank {rank} is outside 1 to {MAX_RANK}")));
    }
    let mut dims = Vec::with_capacity(MAX_RANK as usize);
    for _ in 0..rank {
        dims.push(cursor.u64("extent of a tensor")?);
    }
    let id = cursor.u32("type of a tensor")?;
    let kind = KINDS
        .iter()
        .copied()
        .find(|k| k.id == id)
        .ok_or_else(|| fail(format!("{id} is no type of tensor")))?;
    let values = dims
        .iter()
        .try_fold(1u64, |n, &d| n.checked_mul(d))
        .filter(|&n| n > 0)
        .ok_or_else(|| fail(format!("extents {dims:?} are no number of values")))?;
    if !dims[0].is_multiple_of(kind.block_values) {
        return Err(fail(format!(
            "rows of {} values are no whole blocks of {}, which has {}",
            dims[0], kind.name, kind.block_values
        )));
    }
    let offset = cursor.u64("offset of a tensor")?;
    let end = (values / kind.block_values)
        .checked_mul(kind.block_bytes)
        .and_then(|bytes| offset.checked_add(bytes))
        .ok_or_else(|| fail(format!("extents {dims:?} at offset {offset} are too large")))?;
    dims.reverse();
    Ok((
        name,
        TensorInfo {
            kind,
            dims,
            at: offset..end,
        },
    ))
}
