//! Tensors with their bytes, as files carry them, and the operator that is computed on them.

use gavel_numerics::kernels::{Isa, Sequential, eval};
use gavel_numerics::{DType, NumericsError, Op, Tensor, TensorType};
use gavel_trace::{Base64Bytes, Digest, TensorHeader, TraceError, tensor_digest};
use serde::{Deserialize, Serialize};

/// One tensor with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownTensor {
    /// dtype and shape.
    pub header: TensorHeader,
    /// Little-endian elements; those that are missing at the end are zeros.
    pub bytes: Base64Bytes,
}

impl ShownTensor {
    /// Shows a tensor.
    pub fn of(tensor: &Tensor) -> ShownTensor {
        ShownTensor {
            header: TensorHeader {
                dtype: tensor.dtype().id(),
                dims: tensor.dims().to_vec(),
            },
            bytes: Base64Bytes(tensor.le_bytes().into_owned()),
        }
    }

    /// Shows a tensor without the zeros at its end: most of a cache is zeros.
    pub fn trimmed(tensor: &Tensor) -> ShownTensor {
        let mut shown = ShownTensor::of(tensor);
        let used = shown.bytes.0.iter().rposition(|&byte| byte != 0);
        shown.bytes.0.truncate(used.map_or(0, |last| last + 1));
        shown
    }

    /// The tensors of a list, if they have these types. Nothing is allocated for one of another type: a few bytes may stand
    /// for many zeros.
    pub fn tensors<'a>(
        shown: &[ShownTensor],
        types: impl IntoIterator<Item = &'a TensorType>,
    ) -> Option<Vec<Tensor>> {
        let mut types = types.into_iter();
        let read = |shown: &ShownTensor| {
            let ty = types.next()?;
            if shown.header.dtype != ty.dtype.id() || shown.header.dims != ty.dims {
                return None;
            }
            let len = ty.byte_len().ok()?;
            let mut bytes = shown.bytes.0.clone();
            if bytes.len() < len {
                bytes.resize(len, 0);
            }
            read_tensor(&shown.header, &bytes)
        };
        shown.iter().map(read).collect()
    }
}

impl ShownTensor {
    /// Bytes of the tensor, the zeros that are not shown among them.
    ///
    /// # Errors
    /// A header that is none, or more bytes than it has room for.
    pub(crate) fn byte_len(&self) -> Result<u64, TraceError> {
        let (expected, actual) = (self.header.byte_len()?, self.bytes.0.len() as u64);
        match actual <= expected {
            true => Ok(expected),
            false => Err(TraceError::TensorBytes { expected, actual }),
        }
    }

    /// Its digest. Takes as much memory as the tensor: the caller bounds [`byte_len`](Self::byte_len).
    pub(crate) fn digest(&self) -> Result<Digest, TraceError> {
        let length = self.byte_len()?;
        if length == self.bytes.0.len() as u64 {
            return self.header.digest_bytes(&self.bytes.0);
        }
        let mut bytes = self.bytes.0.clone();
        bytes.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.header.digest_bytes(&bytes)
    }
}

/// Digest of a tensor.
pub fn digest(tensor: &Tensor) -> Digest {
    tensor_digest(tensor.dtype().id(), tensor.dims(), &tensor.le_bytes())
}

/// Computes one operator on one thread: what a judgement is made with.
///
/// # Errors
/// Those of the operator's shape program.
pub fn recompute(op: &Op, inputs: &[&Tensor]) -> Result<Tensor, NumericsError> {
    eval(Isa::best(), &Sequential, op, inputs)
}

/// The tensor of a header and bytes, if they are one.
pub fn read_tensor(header: &TensorHeader, bytes: &[u8]) -> Option<Tensor> {
    let dtype = DType::from_id(header.dtype)?;
    let ty = TensorType::new(dtype, header.dims.clone());
    Tensor::from_le_bytes(ty, bytes).ok()
}
