//! Linear, Quantize and Embed on whole tensors, whose types the caller has checked.

use std::sync::Mutex;

use super::{Activations, PackedMatrix, dequantise, linear_all};
use crate::blocks::{ACTIVATION_BLOCK, ACTIVATION_BYTES};
use crate::kernels::parallel::{Parallel, Sequential, SharedOut, split};
use crate::kernels::{Isa, linear::layout::PANEL};
use crate::{DType, Data, NumericsError, Op, Tensor, TensorType, WeightFormat};

/// An input of another element type than the shape program lets through.
fn mismatch(op: &Op, input: usize, expected: DType, found: &Tensor) -> NumericsError {
    NumericsError::InputType {
        op: op.name(),
        input,
        expected,
        found: found.dtype(),
    }
}

fn extents(tensor: &Tensor) -> (usize, usize) {
    match *tensor.dims() {
        [rows, columns] => (rows as usize, columns as usize),
        _ => (0, 0),
    }
}

fn f32s<'a>(op: &Op, input: usize, tensor: &'a Tensor) -> Result<&'a [f32], NumericsError> {
    let values = tensor.as_f32();
    values.ok_or_else(|| mismatch(op, input, DType::F32, tensor))
}

/// Activations of the operator's first input.
fn activations(
    op: &Op,
    isa: Isa,
    par: &dyn Parallel,
    x: &Tensor,
    quantised: bool,
) -> Result<Activations, NumericsError> {
    let (m, width) = extents(x);
    if quantised {
        let k = width / ACTIVATION_BYTES * ACTIVATION_BLOCK;
        return Ok(Activations::from_quantised(m, k, &x.le_bytes()));
    }
    let mut activations = Activations::new();
    activations.resize(m, width, false);
    activations.set_rows(isa, par, f32s(op, 0, x)?);
    Ok(activations)
}

/// The product: weights are packed panel by panel, used, and forgotten.
pub(in crate::kernels) fn linear_op(
    isa: Isa,
    par: &dyn Parallel,
    op: &Op,
    format: WeightFormat,
    x: &Tensor,
    w: &Tensor,
) -> Result<Tensor, NumericsError> {
    let x = activations(op, isa, par, x, format.is_quantised())?;
    let ((n, columns), (m, k), bytes) = (extents(w), (x.m(), x.k()), w.le_bytes());
    let row_bytes = columns * w.dtype().size();
    let mut out = vec![0.0f32; m * n];
    let shared = SharedOut::new(&mut out);
    let failure = Mutex::new(None);
    split(par, n, PANEL, &|start, end| {
        let mut part = vec![0.0f32; m * (end - start).min(PANEL)];
        for first in (start..end).step_by(PANEL) {
            let columns = PANEL.min(end - first);
            let rows = &bytes[first * row_bytes..(first + columns) * row_bytes];
            let part = &mut part[..m * columns];
            match PackedMatrix::pack(&Sequential, format, columns, k, rows) {
                Ok(packed) => linear_all(isa, &Sequential, &packed, &x, part),
                Err(error) => {
                    *failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(error);
                    return;
                }
            }
            for (i, row) in part.chunks_exact(columns).enumerate() {
                // SAFETY: the columns of this part.
                unsafe { shared.slice(i * n + first, columns) }.copy_from_slice(row);
            }
        }
    });
    match failure.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some(error) => Err(error),
        None => Tensor::f32([m as u64, n as u64], out),
    }
}

/// Quantised activations as bytes.
pub(in crate::kernels) fn quantize_op(
    isa: Isa,
    par: &dyn Parallel,
    op: &Op,
    x: &Tensor,
) -> Result<Tensor, NumericsError> {
    let (m, k) = extents(x);
    let mut activations = Activations::new();
    activations.resize(m, k, true);
    activations.set_rows(isa, par, f32s(op, 0, x)?);
    let width = k / ACTIVATION_BLOCK * ACTIVATION_BYTES;
    let ty = TensorType::new(DType::U8, [m as u64, width as u64]);
    Tensor::from_le_bytes(ty, &activations.to_quantised())
}

/// The row of the table that the token at `position` names; outside of either, a row of zero bytes.
pub(in crate::kernels) fn embed_op(
    op: &Op,
    format: WeightFormat,
    table: &Tensor,
    tokens: &Tensor,
    position: &Tensor,
) -> Result<Tensor, NumericsError> {
    let Data::I32(ids) = tokens.data() else {
        return Err(mismatch(op, 1, DType::I32, tokens));
    };
    let Some(&[position]) = position.as_i64() else {
        return Err(mismatch(op, 2, DType::I64, position));
    };
    let ((n, columns), bytes) = (extents(table), table.le_bytes());
    let row_bytes = columns * table.dtype().size();
    let id = usize::try_from(position).ok().and_then(|i| ids.get(i));
    let id = id.and_then(|&id| usize::try_from(id).ok());
    let zeros = vec![0; row_bytes];
    let row = match id.filter(|&id| id < n) {
        Some(id) => &bytes[id * row_bytes..(id + 1) * row_bytes],
        None => &zeros,
    };
    let k = format.row_values(row_bytes).unwrap_or(0);
    let mut out = vec![0.0; k];
    dequantise(format, row, &mut out);
    Tensor::f32([1, k as u64], out)
}
