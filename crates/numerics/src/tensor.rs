//! Tensors as values: element type, extents, row-major elements.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{DType, NumericsError};

/// Largest number of elements of one tensor; keeps every index computation inside i64 and every
/// allocation bounded.
pub const MAX_ELEMENTS: u64 = 1 << 34;

/// Largest rank.
pub const MAX_RANK: usize = 8;

impl DType {
    /// All of them, by id.
    pub const ALL: [DType; 13] = [
        DType::F32,
        DType::I64,
        DType::I32,
        DType::U8,
        DType::Bool,
        DType::I8,
        DType::I16,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::F16,
        DType::BF16,
        DType::F64,
    ];

    /// The `dtype` byte of `spec/trace.md`.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::I64 | DType::U64 | DType::F64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::I16 | DType::U16 | DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool | DType::I8 => 1,
        }
    }

    /// The element type with this `dtype` byte.
    pub fn from_id(id: u8) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.id() == id)
    }
}

/// Element type and extents.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first; a scalar has none.
    pub dims: Vec<u64>,
}

impl TensorType {
    /// A type; extents are not checked until [`elements`](Self::elements).
    pub fn new(dtype: DType, dims: impl Into<Vec<u64>>) -> Self {
        TensorType {
            dtype,
            dims: dims.into(),
        }
    }

    /// Number of elements.
    ///
    /// # Errors
    /// Rank above [`MAX_RANK`] or more than [`MAX_ELEMENTS`]; an empty tensor's other extents have the same bound, so
    /// that no product of some of them overflows.
    pub fn elements(&self) -> Result<usize, NumericsError> {
        if self.dims.len() > MAX_RANK {
            return Err(NumericsError::Rank {
                rank: self.dims.len(),
                max: MAX_RANK,
            });
        }
        let mut total: u64 = 1;
        for &dim in &self.dims {
            total = total
                .checked_mul(dim.max(1))
                .filter(|&n| n <= MAX_ELEMENTS)
                .ok_or_else(|| NumericsError::TooLarge {
                    dims: self.dims.clone(),
                    max: MAX_ELEMENTS,
                })?;
        }
        if self.dims.contains(&0) {
            return Ok(0);
        }
        usize::try_from(total).map_err(|_| NumericsError::TooLarge {
            dims: self.dims.clone(),
            max: MAX_ELEMENTS,
        })
    }

    /// Number of bytes of the row-major elements.
    ///
    /// # Errors
    /// As [`elements`](Self::elements).
    pub fn byte_len(&self) -> Result<usize, NumericsError> {
        Ok(self.elements()? * self.dtype.size())
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}[", self.dtype)?;
        for (i, dim) in self.dims.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { "x" })?;
        }
        f.write_str("]")
    }
}

/// Elements by type.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// [`DType::F32`]
    F32(Vec<f32>),
    /// [`DType::I64`]
    I64(Vec<i64>),
    /// [`DType::I32`]
    I32(Vec<i32>),
    /// [`DType::U8`] and [`DType::Bool`]; shared, so that the bytes of a weight may stay where its file is mapped.
    U8(Bytes),
    /// [`DType::I8`]
    I8(Vec<i8>),
    /// Elements of two bytes: [`DType::I16`], [`DType::U16`], [`DType::F16`], [`DType::BF16`].
    Bits16(Vec<u16>),
    /// [`DType::U32`]
    Bits32(Vec<u32>),
    /// [`DType::U64`] and [`DType::F64`].
    Bits64(Vec<u64>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::U8(v) => v.len(),
            Data::I8(v) => v.len(),
            Data::Bits16(v) => v.len(),
            Data::Bits32(v) => v.len(),
            Data::Bits64(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor: its NaNs of f32 are `0x7fc00000`, its elements row-major.
#[derive(Clone, Debug)]
pub struct Tensor {
    ty: TensorType,
    data: Data,
}

impl Tensor {
    /// A tensor of f32; NaNs are canonicalised.
    ///
    /// # Errors
    /// If the extents do not give the number of values.
    pub fn f32(dims: impl Into<Vec<u64>>, mut values: Vec<f32>) -> Result<Tensor, NumericsError> {
        for value in &mut values {
            *value = crate::scalar::canonical(*value);
        }
        Tensor::checked(
            TensorType::new(DType::F32, dims),
            values.len(),
            Data::F32(values),
        )
    }

    /// A tensor of f32 that a kernel has computed: its NaNs are canonical already.
    ///
    /// # Errors
    /// If the extents do not give the number of values.
    pub fn of_canonical(
        dims: impl Into<Vec<u64>>,
        values: Vec<f32>,
    ) -> Result<Tensor, NumericsError> {
        debug_assert!(
            values
                .iter()
                .all(|x| !x.is_nan() || x.to_bits() == crate::scalar::NAN_BITS),
            "a NaN that is not canonical"
        );
        Tensor::checked(
            TensorType::new(DType::F32, dims),
            values.len(),
            Data::F32(values),
        )
    }

    /// A tensor of i64.
    ///
    /// # Errors
    /// If the extents do not give the number of values.
    pub fn i64(dims: impl Into<Vec<u64>>, values: Vec<i64>) -> Result<Tensor, NumericsError> {
        Tensor::checked(
            TensorType::new(DType::I64, dims),
            values.len(),
            Data::I64(values),
        )
    }

    /// A tensor of bytes, which are not copied.
    ///
    /// # Errors
    /// If the extents do not give the number of values.
    pub fn u8(
        dims: impl Into<Vec<u64>>,
        values: impl Into<Bytes>,
    ) -> Result<Tensor, NumericsError> {
        let values = values.into();
        Tensor::checked(
            TensorType::new(DType::U8, dims),
            values.len(),
            Data::U8(values),
        )
    }

    /// A tensor of i32.
    ///
    /// # Errors
    /// If the extents do not give the number of values.
    pub fn i32(dims: impl Into<Vec<u64>>, values: Vec<i32>) -> Result<Tensor, NumericsError> {
        Tensor::checked(
            TensorType::new(DType::I32, dims),
            values.len(),
            Data::I32(values),
        )
    }

    /// A tensor of any type from elements as [`data`](Self::data) gives them; NaNs of f32 are canonicalised.
    ///
    /// # Errors
    /// If the extents do not give the number of values, the elements are those of another type, or a bool is neither 0 nor 1.
    pub fn from_data(ty: TensorType, data: Data) -> Result<Tensor, NumericsError> {
        match (ty.dtype, data) {
            (DType::F32, Data::F32(values)) => Tensor::f32(ty.dims, values),
            (DType::Bool, Data::U8(values)) => Tensor::from_le_bytes(ty, &values),
            (DType::I64, data @ Data::I64(_))
            | (DType::I32, data @ Data::I32(_))
            | (DType::U8, data @ Data::U8(_))
            | (DType::I8, data @ Data::I8(_))
            | (DType::I16 | DType::U16 | DType::F16 | DType::BF16, data @ Data::Bits16(_))
            | (DType::U32, data @ Data::Bits32(_))
            | (DType::U64 | DType::F64, data @ Data::Bits64(_)) => {
                Tensor::checked(ty, data.len(), data)
            }
            (_, data) => {
                let found = data.len();
                let expected = ty.elements()?;
                Err(NumericsError::Length {
                    ty,
                    expected,
                    found,
                })
            }
        }
    }

    fn checked(ty: TensorType, len: usize, data: Data) -> Result<Tensor, NumericsError> {
        let expected = ty.elements()?;
        if expected != len {
            return Err(NumericsError::Length {
                ty,
                expected,
                found: len,
            });
        }
        Ok(Tensor { ty, data })
    }

    /// A tensor from its little-endian bytes; NaNs are canonicalised.
    ///
    /// # Errors
    /// If the number of bytes is not the type's, or a bool is neither 0 nor 1.
    pub fn from_le_bytes(ty: TensorType, bytes: &[u8]) -> Result<Tensor, NumericsError> {
        let expected = ty.byte_len()?;
        if bytes.len() != expected {
            return Err(NumericsError::Length {
                ty,
                expected,
                found: bytes.len(),
            });
        }
        fn all<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
            bytes
                .as_chunks::<N>()
                .0
                .iter()
                .map(|&chunk| f(chunk))
                .collect()
        }
        let data = match ty.dtype {
            DType::F32 => Data::F32(all(bytes, |b| {
                crate::scalar::canonical(f32::from_le_bytes(b))
            })),
            DType::I64 => Data::I64(all(bytes, i64::from_le_bytes)),
            DType::I32 => Data::I32(all(bytes, i32::from_le_bytes)),
            DType::I8 => Data::I8(all(bytes, i8::from_le_bytes)),
            DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
                Data::Bits16(all(bytes, u16::from_le_bytes))
            }
            DType::U32 => Data::Bits32(all(bytes, u32::from_le_bytes)),
            DType::U64 | DType::F64 => Data::Bits64(all(bytes, u64::from_le_bytes)),
            DType::U8 => Data::U8(Bytes::copy_from_slice(bytes)),
            DType::Bool => match bytes.iter().find(|&&b| b > 1) {
                Some(&found) => return Err(NumericsError::NotBool { found }),
                None => Data::U8(Bytes::copy_from_slice(bytes)),
            },
        };
        Ok(Tensor { ty, data })
    }

    /// Element type and extents.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// Extents, outermost first.
    pub fn dims(&self) -> &[u64] {
        &self.ty.dims
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, taken out.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The f32 elements, if it is a tensor of f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The f32 elements, mutable: for whoever means to change a result. Store canonical NaNs only.
    pub fn as_f32_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The bytes, if it is a tensor of u8 or bool.
    pub fn as_u8(&self) -> Option<&[u8]> {
        match &self.data {
            Data::U8(v) => Some(v),
            _ => None,
        }
    }

    /// The i64 elements, if it is a tensor of i64.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The i64 elements, mutable.
    pub fn as_i64_mut(&mut self) -> Option<&mut [i64]> {
        match &mut self.data {
            Data::I64(v) => Some(v),
            _ => None,
        }
    }

    /// Raw bits of element `i`, zero-extended; what data movement copies.
    pub fn raw(&self, i: usize) -> Option<u64> {
        match &self.data {
            Data::F32(v) => v.get(i).map(|x| u64::from(x.to_bits())),
            Data::I64(v) => v.get(i).map(|&x| x as u64),
            Data::I32(v) => v.get(i).map(|&x| u64::from(x as u32)),
            Data::U8(v) => v.get(i).map(|&x| u64::from(x)),
            Data::I8(v) => v.get(i).map(|&x| u64::from(x as u8)),
            Data::Bits16(v) => v.get(i).map(|&x| u64::from(x)),
            Data::Bits32(v) => v.get(i).map(|&x| u64::from(x)),
            Data::Bits64(v) => v.get(i).copied(),
        }
    }

    /// A tensor from raw bits of each element, as [`raw`](Self::raw) gives them.
    ///
    /// # Errors
    /// If the extents do not give the number of values.
    pub fn from_raw(ty: TensorType, raw: &[u64]) -> Result<Tensor, NumericsError> {
        let data = match ty.dtype {
            DType::F32 => Data::F32(
                raw.iter()
                    .map(|&b| crate::scalar::canonical(f32::from_bits(b as u32)))
                    .collect(),
            ),
            DType::I64 => Data::I64(raw.iter().map(|&b| b as i64).collect()),
            DType::I32 => Data::I32(raw.iter().map(|&b| b as u32 as i32).collect()),
            DType::U8 | DType::Bool => Data::U8(raw.iter().map(|&b| b as u8).collect()),
            DType::I8 => Data::I8(raw.iter().map(|&b| b as u8 as i8).collect()),
            DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
                Data::Bits16(raw.iter().map(|&b| b as u16).collect())
            }
            DType::U32 => Data::Bits32(raw.iter().map(|&b| b as u32).collect()),
            DType::U64 | DType::F64 => Data::Bits64(raw.to_vec()),
        };
        Tensor::checked(ty, raw.len(), data)
    }

    /// The same elements under other extents.
    ///
    /// # Errors
    /// If the numbers of elements differ.
    pub fn reshaped(mut self, dims: impl Into<Vec<u64>>) -> Result<Tensor, NumericsError> {
        let ty = TensorType::new(self.ty.dtype, dims);
        let (expected, found) = (ty.elements()?, self.len());
        if expected != found {
            return Err(NumericsError::Length {
                ty,
                expected,
                found,
            });
        }
        self.ty = ty;
        Ok(self)
    }

    /// The little-endian bytes that digests are made of; borrowed on little-endian machines.
    pub fn le_bytes(&self) -> Cow<'_, [u8]> {
        #[cfg(target_endian = "little")]
        return Cow::Borrowed(match &self.data {
            Data::F32(v) => bytemuck::cast_slice(v),
            Data::I64(v) => bytemuck::cast_slice(v),
            Data::I32(v) => bytemuck::cast_slice(v),
            Data::U8(v) => v,
            Data::I8(v) => bytemuck::cast_slice(v),
            Data::Bits16(v) => bytemuck::cast_slice(v),
            Data::Bits32(v) => bytemuck::cast_slice(v),
            Data::Bits64(v) => bytemuck::cast_slice(v),
        });
        #[cfg(target_endian = "big")]
        Cow::Owned(match &self.data {
            Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::U8(v) => v.to_vec(),
            Data::I8(v) => v.iter().map(|&x| x as u8).collect(),
            Data::Bits16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::Bits32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::Bits64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }
}

/// Equal type and equal bits.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty && self.le_bytes() == other.le_bytes()
    }
}

impl Eq for Tensor {}
