//! Operators the extent of whose output depends on data: of data that is known at import.

use std::collections::BTreeMap;

use gavel_numerics::{DType, Tensor, TensorType};

use super::Value;
use super::build::product;
use super::indexing::flattened;
use super::lower::Lowering;
use super::types;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["Compress", "NonZero", "Unique"];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    match op {
        "Compress" => Ok(vec![compress(l)?]),
        "NonZero" => Ok(vec![non_zero(l)?]),
        _ => unique(l),
    }
}

/// Rows by a condition that is known.
fn compress(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(2..=2)?;
    let (value, condition) = (l.value(0)?, l.value(1)?);
    let condition = match condition {
        Value::Constant(value) => value.tensor(),
        Value::Dynamic(source) => return Err(l.unbound(source, "the condition")),
    };
    let kept = (0..condition.len()).filter(|&i| condition.raw(i).unwrap_or_default() != 0);
    let kept: Vec<i64> = kept.map(|i| i as i64).collect();
    let (value, axis) = match l.attributes.optional_int("axis")? {
        None => (flattened(l, &value)?, 0),
        Some(axis) => {
            let axis = l.axis(axis, l.dims(&value).len())?;
            (value, axis as usize)
        }
    };
    let kept = l.integers(&[kept.len() as u64], kept)?;
    l.gather(&value, &kept, axis)
}

/// What the shape of the output depends on must be known.
fn known_input(l: &Lowering<'_, '_>) -> Result<std::sync::Arc<Tensor>, ModelError> {
    match l.value(0)? {
        Value::Constant(value) => Ok(value.tensor()),
        Value::Dynamic(source) => {
            Err(l.unbound(source, "its input, on which the output's shape depends,"))
        }
    }
}

fn non_zero(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    let tensor = known_input(l)?;
    let dims = tensor.dims().to_vec();
    let zero = |raw: u64| match tensor.dtype() {
        DType::F32 => f32::from_bits(raw as u32) == 0.0,
        DType::F64 => f64::from_bits(raw) == 0.0,
        DType::F16 | DType::BF16 => raw & 0x7fff == 0,
        _ => raw == 0,
    };
    let found: Vec<u64> = (0..tensor.len())
        .filter(|&i| !zero(tensor.raw(i).unwrap_or_default()))
        .map(|i| i as u64)
        .collect();
    let mut places = Vec::with_capacity(found.len() * dims.len());
    for axis in 0..dims.len() {
        let stride = product(&dims[axis + 1..]);
        places.extend(found.iter().map(|&at| (at / stride % dims[axis]) as i64));
    }
    l.integers(&[dims.len() as u64, found.len() as u64], places)
}

/// Distinct elements, or rows along an axis, of what is known: themselves, the first place of each, which one each element is, and how
/// often each is there.
fn unique(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    let tensor = known_input(l)?;
    let sorted = l.attributes.flag("sorted", true)?;
    let axis = l.attributes.optional_int("axis")?;
    let dims = tensor.dims().to_vec();
    let (outer, len, inner) = match axis {
        None => (1, tensor.len() as u64, 1),
        Some(axis) => {
            let axis = l.axis(axis, dims.len())? as usize;
            (
                product(&dims[..axis]),
                dims[axis],
                product(&dims[axis + 1..]),
            )
        }
    };
    let key = |raw: u64| match tensor.dtype() {
        DType::F32 => {
            let bits = raw as u32;
            u64::from(if bits >> 31 == 1 {
                !bits
            } else {
                bits | 1 << 31
            })
        }
        DType::I64 => raw ^ 1 << 63,
        DType::I32 => raw ^ 1 << 31,
        DType::I8 => raw ^ 1 << 7,
        DType::I16 => raw ^ 1 << 15,
        _ => raw,
    };
    if types::is_narrow(tensor.dtype()) || tensor.dtype() == DType::F64 {
        return Err(l.fail(format!("{:?} is not supported", tensor.dtype())));
    }
    let row = |i: u64| -> Vec<u64> {
        (0..outer)
            .flat_map(|o| (0..inner).map(move |n| (o * len + i) * inner + n))
            .map(|at| key(tensor.raw(at as usize).unwrap_or_default()))
            .collect()
    };
    let rows: Vec<Vec<u64>> = (0..len).map(row).collect();
    let mut first: BTreeMap<&[u64], u64> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        first.entry(row).or_insert(i as u64);
    }
    let mut order: Vec<(&[u64], u64)> = first.iter().map(|(&row, &i)| (row, i)).collect();
    if !sorted {
        order.sort_by_key(|&(_, i)| i);
    }
    let number: BTreeMap<&[u64], usize> = order
        .iter()
        .enumerate()
        .map(|(n, &(row, _))| (row, n))
        .collect();
    let inverse: Vec<i64> = rows
        .iter()
        .map(|row| number.get(row.as_slice()).map_or(0, |&n| n as i64))
        .collect();
    let mut counts = vec![0i64; order.len()];
    for &n in &inverse {
        counts[n as usize] += 1;
    }
    let places: Vec<i64> = order.iter().map(|&(_, i)| i as i64).collect();
    let raw: Vec<u64> = (0..outer)
        .flat_map(|o| places.iter().map(move |&i| (o, i as u64)))
        .flat_map(|(o, i)| (0..inner).map(move |n| (o * len + i) * inner + n))
        .map(|at| tensor.raw(at as usize).unwrap_or_default())
        .collect();
    let mut own = dims;
    match axis {
        None => own = vec![places.len() as u64],
        Some(axis) => {
            let axis = l.axis(axis, own.len())? as usize;
            own[axis] = places.len() as u64;
        }
    }
    let values = Tensor::from_raw(TensorType::new(tensor.dtype(), own), &raw);
    let row = |values: Vec<i64>, l: &Lowering<'_, '_>| l.integers(&[values.len() as u64], values);
    Ok(vec![
        l.constant_of(values)?,
        row(places, l)?,
        row(inverse, l)?,
        row(counts, l)?,
    ])
}
