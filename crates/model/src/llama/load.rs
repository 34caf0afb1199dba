//! From a file's bytes to the tensor that a role asks for.

use bytes::Bytes;
use gavel_numerics::convert::{bf16_to_f32, f16_to_f32};
use gavel_numerics::{NumericsError, Tensor, TensorType, WeightFormat};

use super::{WeightKind, WeightSpec};
use crate::ModelError;

/// A tensor of a file.
pub(super) struct FileTensor {
    /// The name of its type, as the file's format has it.
    pub(super) kind: String,
    /// The format of weights that this type is, if it is one.
    pub(super) format: Option<WeightFormat>,
    /// Extents in values, outermost first.
    pub(super) dims: Vec<u64>,
    /// Its bytes.
    pub(super) bytes: Bytes,
}

/// The format of a matrix that is called `name`.
pub(super) fn format(
    name: &str,
    kind: &str,
    format: Option<WeightFormat>,
) -> Result<WeightFormat, ModelError> {
    format.ok_or_else(|| ModelError::Tensor {
        name: name.to_owned(),
        reason: format!(
            "its type {kind} is not supported (supported: {})",
            WeightFormat::ALL.map(WeightFormat::name).join(", ")
        ),
    })
}

pub(super) fn missing(name: &str) -> ModelError {
    ModelError::Tensor {
        name: name.to_owned(),
        reason: "the file has no such tensor".to_owned(),
    }
}

/// The tensor that `spec` asks for: matrices keep their bytes, vectors become f32. Its name is shown as `name`.
pub(super) fn tensor(
    spec: &WeightSpec,
    name: &str,
    file: &FileTensor,
) -> Result<Tensor, ModelError> {
    let fail = |reason: String| ModelError::Tensor {
        name: name.to_owned(),
        reason,
    };
    let expected = match spec.kind {
        WeightKind::Matrix(format) => matrix_dims(format, &spec.ty),
        _ => spec.ty.dims.clone(),
    };
    if file.dims != expected {
        return Err(fail(format!(
            "expected extents {expected:?}, found {:?}",
            file.dims
        )));
    }
    let made = match spec.kind {
        WeightKind::Matrix(WeightFormat::F32) => {
            Tensor::from_le_bytes(spec.ty.clone(), &file.bytes)
        }
        WeightKind::Matrix(_) => Tensor::u8(spec.ty.dims.clone(), file.bytes.clone()),
        _ => vector(file, &spec.ty)
            .ok_or_else(|| fail(format!("a vector is F32, F16 or BF16, found {}", file.kind)))?,
    };
    made.map_err(|e| fail(e.to_string()))
}

/// Rows and values of a matrix whose tensor may have rows of bytes.
fn matrix_dims(format: WeightFormat, ty: &TensorType) -> Vec<u64> {
    let mut dims = ty.dims.clone();
    if let (true, Some(extent)) = (format != WeightFormat::F32, dims.last_mut()) {
        let values = usize::try_from(*extent)
            .ok()
            .and_then(|bytes| format.row_values(bytes));
        *extent = values.unwrap_or(0) as u64;
    }
    dims
}

/// Values of a vector as f32, each exactly.
fn vector(file: &FileTensor, ty: &TensorType) -> Option<Result<Tensor, NumericsError>> {
    let halves = |widen: fn(u16) -> f32| {
        let pairs = file.bytes.as_chunks().0.iter();
        let values = pairs.map(|&b| widen(u16::from_le_bytes(b)));
        Tensor::f32(ty.dims.clone(), values.collect())
    };
    Some(match file.format? {
        WeightFormat::F32 => Tensor::from_le_bytes(ty.clone(), &file.bytes),
        WeightFormat::F16 => halves(f16_to_f32),
        WeightFormat::Bf16 => halves(bf16_to_f32),
        _ => return None,
    })
}
