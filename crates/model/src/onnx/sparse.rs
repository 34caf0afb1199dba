//! Tensors of which a file has what is not zero: made dense where they are read.

use std::sync::Arc;

use gavel_numerics::{Tensor, TensorType};

use super::Importer;
use super::proto::{SparseTensorProto, TensorProto};
use crate::ModelError;

/// Name of a sparse tensor.
pub(super) fn name(proto: &SparseTensorProto) -> &str {
    proto.values.as_ref().map_or("", |values| &values.name)
}

impl Importer<'_> {
    /// The dense value of a sparse tensor: its indices are places of row-major order, or one for each axis, and ascend.
    pub(super) fn sparse(&mut self, proto: &SparseTensorProto) -> Result<Tensor, ModelError> {
        let fail = |reason: String| ModelError::Tensor {
            name: name(proto).to_owned(),
            reason,
        };
        let none = TensorProto::default();
        let values = self
            .constant(proto.values.as_ref().unwrap_or(&none))?
            .tensor();
        let &[count] = values.dims() else {
            return Err(fail("values of a sparse tensor have one axis".into()));
        };
        let dims = proto.dims.iter().map(|&d| u64::try_from(d));
        let dims: Vec<u64> = dims
            .collect::<Result<_, _>>()
            .map_err(|_| fail(format!("extents {:?} must not be negative", proto.dims)))?;
        let ty = TensorType::new(values.dtype(), dims);
        let elements = ty.elements().map_err(|e| fail(e.to_string()))? as u64;
        let size = ty.dtype.size();
        if !self.folding.takes(elements * size as u64) {
            return Err(fail(format!("{ty} is too large for a sparse tensor")));
        }
        let indices = match &proto.indices {
            Some(indices) => self.constant(indices)?.tensor(),
            None => Arc::new(Tensor::i64([0], Vec::new()).map_err(|e| fail(e.to_string()))?),
        };
        let per_value = match *indices.dims() {
            [n] if n == count => 1,
            [n, rank] if n == count && rank == ty.dims.len() as u64 && rank > 0 => ty.dims.len(),
            ref other => {
                return Err(fail(format!(
                    "indices of {count} elements of {ty} are {count} or {count}x{}, found {other:?}",
                    ty.dims.len()
                )));
            }
        };
        let linear = indices.dims().len() == 1;
        let indices = indices
            .as_i64()
            .ok_or_else(|| fail(format!("indices are int64, found {}", indices.ty())))?;
        let bytes = values.le_bytes();
        let mut dense = vec![0; elements as usize * size];
        let mut next = 0;
        for (value, place) in bytes
            .chunks_exact(size)
            .zip(indices.chunks_exact(per_value))
        {
            let at = match linear {
                true => u64::try_from(place[0]).ok().filter(|&at| at < elements),
                false => place
                    .iter()
                    .zip(&ty.dims)
                    .try_fold(0, |at, (&index, &extent)| {
                        let index = u64::try_from(index).ok().filter(|&i| i < extent)?;
                        Some(at * extent + index)
                    }),
            };
            let at = at.ok_or_else(|| fail(format!("index {place:?} is outside {ty}")))?;
            if at < next {
                return Err(fail(format!(
                    "index {place:?} does not come after the one before it"
                )));
            }
            next = at + 1;
            let at = at as usize * size;
            dense[at..at + size].copy_from_slice(value);
        }
        Tensor::from_le_bytes(ty, &dense).map_err(|e| fail(e.to_string()))
    }
}
