//! Determinants of small matrices, by their first rows: no pivot is sought, which would depend on data.

use gavel_numerics::Op;

use super::Value;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["Det"];

/// Rows of the largest matrix: the terms grow with the factorial.
const MAX_ROWS: u64 = 4;

/// Determinants of the last two axes.
pub(super) fn lower(l: &mut Lowering<'_, '_>) -> Result<Value, ModelError> {
    l.some_inputs(1..=1)?;
    let value = l.value(0)?;
    let dims = l.dims(&value);
    let &[.., rows, columns] = dims.as_slice() else {
        return Err(l.fail("a matrix was expected"));
    };
    if rows != columns || !(1..=MAX_ROWS).contains(&rows) {
        return Err(l.fail(format!(
            "its matrices are {rows}x{columns}; square ones of 1 to {MAX_ROWS} rows are supported"
        )));
    }
    let axis = dims.len() - 2;
    let mut elements = Vec::new();
    for row in 0..rows {
        let row = l.at(&value, axis, row)?;
        let row: Result<Vec<Value>, _> = (0..columns)
            .map(|column| l.at(&row, axis, column))
            .collect();
        elements.push(row?);
    }
    let columns: Vec<usize> = (0..columns as usize).collect();
    expanded(l, &elements, &columns)
}

/// The determinant of these rows in these columns: elements of the first, times the determinants without it, with signs in turn.
fn expanded(
    l: &mut Lowering<'_, '_>,
    rows: &[Vec<Value>],
    columns: &[usize],
) -> Result<Value, ModelError> {
    let Some((first, rest)) = rows.split_first() else {
        return Err(l.fail("a matrix without a row"));
    };
    let mut sum: Option<Value> = None;
    for (i, &column) in columns.iter().enumerate() {
        let mut term = first[column].clone();
        if !rest.is_empty() {
            let mut others = columns.to_vec();
            others.remove(i);
            let minor = expanded(l, rest, &others)?;
            term = l.mul(&term, &minor)?;
        }
        sum = Some(match sum {
            None => term,
            Some(sum) if i % 2 == 0 => l.add(&sum, &term)?,
            Some(sum) => l.node(Op::Sub, &[sum, term])?,
        });
    }
    sum.ok_or_else(|| l.fail("a matrix without a column"))
}
