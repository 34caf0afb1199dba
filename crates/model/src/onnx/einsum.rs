//! Einstein sums: operands joined one after the other, each join a matrix product of batches.

use gavel_numerics::{DType, Reduction, ViewAxis};

use super::Value;
use super::build::product;
use super::lower::Lowering;
use super::reductions::reduced;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["Einsum"];

/// An axis's name; those of an ellipsis have names that no letter has.
type Label = char;

/// A value with its axes' names, each once.
struct Term {
    value: Value,
    labels: Vec<Label>,
}

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>) -> Result<Vec<Value>, ModelError> {
    let equation = l.attributes.text("equation")?;
    let equation = equation.ok_or_else(|| l.fail("equation is missing"))?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (operands, output) = match equation.split_once("->") {
        Some((operands, output)) => (operands, Some(output)),
        None => (equation.as_str(), None),
    };
    let operands: Vec<&str> = operands.split(',').collect();
    if operands.len() != l.inputs.len() {
        return Err(l.fail(format!(
            "{equation:?} does not take {} inputs",
            l.inputs.len()
        )));
    }
    let mut terms = Vec::with_capacity(operands.len());
    let mut widest = 0;
    for (i, text) in operands.iter().enumerate() {
        let value = l.value(i)?;
        if l.dtype(&value) != DType::F32 {
            return Err(l.fail(format!("it takes float, found {:?}", l.dtype(&value))));
        }
        let rank = l.dims(&value).len();
        let (labels, dots) = labels(l, text, rank)?;
        widest = widest.max(dots);
        terms.push((value, labels));
    }
    let output = match output {
        Some(output) => names(l, output, widest)?,
        None => implied(&operands, widest),
    };
    let mut all = Vec::with_capacity(terms.len());
    for (value, labels) in terms {
        let term = without_repeats(l, value, labels)?;
        all.push(term);
    }
    check_extents(l, &all)?;
    let mut rest = all.into_iter();
    let mut term = rest.next().ok_or_else(|| l.fail("it has no input"))?;
    let mut behind: Vec<Term> = rest.collect();
    while !behind.is_empty() {
        let next = behind.remove(0);
        let wanted = |label: Label| {
            output.contains(&label) || behind.iter().any(|term| term.labels.contains(&label))
        };
        term = joined(l, term, next, &wanted)?;
    }
    let term = summed(l, term, &|label| output.contains(&label))?;
    let perm: Option<Vec<usize>> = output
        .iter()
        .map(|label| term.labels.iter().position(|l| l == label))
        .collect();
    let perm = perm.ok_or_else(|| l.fail("the output names an axis that no input has"))?;
    if perm.len() != term.labels.len() {
        return Err(l.fail("the output names an axis twice"));
    }
    Ok(vec![l.permuted(&term.value, &perm)?])
}

/// The names of an ellipsis's axis, counted from the last.
fn dot(at: usize) -> Label {
    char::from_u32(0xe000 + at as u32).unwrap_or('.')
}

fn names(l: &Lowering<'_, '_>, text: &str, dots: usize) -> Result<Vec<Label>, ModelError> {
    let letters = |text: &str| -> Result<Vec<Label>, ModelError> {
        match text.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(found) => Err(l.fail(format!("{found:?} is no name of an axis"))),
            None => Ok(text.chars().collect()),
        }
    };
    match text.split_once("...") {
        None => letters(text),
        Some((before, behind)) => {
            let dots = (0..dots).rev().map(dot);
            Ok(letters(before)?
                .into_iter()
                .chain(dots)
                .chain(letters(behind)?)
                .collect())
        }
    }
}

/// Names of an operand's axes, and how many of them are the ellipsis's.
fn labels(
    l: &Lowering<'_, '_>,
    text: &str,
    rank: usize,
) -> Result<(Vec<Label>, usize), ModelError> {
    let letters = text.chars().filter(|&c| c != '.').count();
    let dots = match text.contains("...") {
        true => rank.saturating_sub(letters),
        false => 0,
    };
    let labels = names(l, text, dots)?;
    if labels.len() != rank {
        return Err(l.fail(format!("{text:?} does not name {rank} axes")));
    }
    Ok((labels, dots))
}

/// Without an arrow: the ellipsis, then the letters that are there once, in order.
fn implied(operands: &[&str], dots: usize) -> Vec<Label> {
    let all: Vec<char> = operands
        .iter()
        .flat_map(|text| text.chars())
        .filter(|c| c.is_ascii_alphabetic())
        .collect();
    let mut once: Vec<char> = all.clone();
    once.retain(|c| all.iter().filter(|other| *other == c).count() == 1);
    once.sort_unstable();
    (0..dots).rev().map(dot).chain(once).collect()
}

/// The diagonal of axes that have one name.
fn without_repeats(
    l: &mut Lowering<'_, '_>,
    mut value: Value,
    mut labels: Vec<Label>,
) -> Result<Term, ModelError> {
    while let Some((first, second)) = (0..labels.len())
        .flat_map(|a| (a + 1..labels.len()).map(move |b| (a, b)))
        .find(|&(a, b)| labels[a] == labels[b])
    {
        let dims = l.dims(&value);
        let extent = dims[first];
        if dims[second] != extent {
            return Err(l.fail(format!("axes of one name with extents {dims:?}")));
        }
        // the two axes last, as one, of which every (extent + 1)-th element
        let rest = (0..labels.len()).filter(|&a| a != first && a != second);
        let perm: Vec<usize> = rest.chain([first, second]).collect();
        let moved = l.permuted(&value, &perm)?;
        let mut own: Vec<u64> = perm[..perm.len() - 2].iter().map(|&a| dims[a]).collect();
        own.push(extent.saturating_mul(extent));
        let flat = l.reshape_to(&moved, own)?;
        let mut axes = l.axes_of(&flat);
        if let Some(last) = axes.last_mut() {
            *last = ViewAxis {
                extent,
                step: extent as i64 + 1,
                ..ViewAxis::whole(0)
            };
        }
        value = l.view(&flat, axes)?;
        let label = labels[first];
        labels = perm[..perm.len() - 2].iter().map(|&a| labels[a]).collect();
        labels.push(label);
    }
    Ok(Term { value, labels })
}

/// Axes of one name have one extent, or 1.
fn check_extents(l: &Lowering<'_, '_>, terms: &[Term]) -> Result<(), ModelError> {
    let mut extents = std::collections::BTreeMap::new();
    for term in terms {
        for (&label, &extent) in term.labels.iter().zip(&l.dims(&term.value)) {
            let known = extents.entry(label).or_insert(extent);
            if *known == 1 {
                *known = extent;
            }
            if extent != *known && extent != 1 {
                return Err(l.fail(format!(
                    "axes of one name with extents {known} and {extent}"
                )));
            }
        }
    }
    Ok(())
}

/// The sum over axes that nobody wants.
fn summed(
    l: &mut Lowering<'_, '_>,
    term: Term,
    wanted: &dyn Fn(Label) -> bool,
) -> Result<Term, ModelError> {
    let drop: Vec<usize> = (0..term.labels.len())
        .filter(|&a| !wanted(term.labels[a]))
        .collect();
    if drop.is_empty() {
        return Ok(term);
    }
    let value = reduced(l, Reduction::Sum, &term.value, &drop)?;
    let kept: Vec<usize> = (0..term.labels.len())
        .filter(|a| !drop.contains(a))
        .collect();
    let dims = l.dims(&value);
    let own = kept.iter().map(|&a| dims[a]).collect();
    Ok(Term {
        value: l.reshape_to(&value, own)?,
        labels: kept.iter().map(|&a| term.labels[a]).collect(),
    })
}

/// The product of two, summed over what both have and nobody wants.
fn joined(
    l: &mut Lowering<'_, '_>,
    a: Term,
    b: Term,
    wanted: &dyn Fn(Label) -> bool,
) -> Result<Term, ModelError> {
    let a = summed(l, a, &|label| wanted(label) || b.labels.contains(&label))?;
    let b = summed(l, b, &|label| wanted(label) || a.labels.contains(&label))?;
    let shared: Vec<Label> = a
        .labels
        .iter()
        .copied()
        .filter(|label| b.labels.contains(label))
        .collect();
    let (batch, inner): (Vec<Label>, Vec<Label>) = shared.iter().partition(|&&label| wanted(label));
    let own = |term: &Term| -> Vec<Label> {
        let labels = term.labels.iter().copied();
        labels.filter(|label| !shared.contains(label)).collect()
    };
    let (rows, columns) = (own(&a), own(&b));
    let extent = |l: &Lowering<'_, '_>, label: Label| -> u64 {
        let of = |term: &Term| {
            let at = term.labels.iter().position(|&own| own == label);
            at.map_or(1, |at| l.dims(&term.value)[at])
        };
        of(&a).max(of(&b))
    };
    let extents = |l: &Lowering<'_, '_>, labels: &[Label]| -> Vec<u64> {
        labels.iter().map(|&label| extent(l, label)).collect()
    };
    let (batch_dims, inner_dims) = (extents(l, &batch), extents(l, &inner));
    let (row_dims, column_dims) = (extents(l, &rows), extents(l, &columns));
    let arranged = |l: &mut Lowering<'_, '_>,
                    term: &Term,
                    order: &[Label],
                    dims: Vec<u64>,
                    shape: [u64; 3]| {
        let perm: Vec<usize> = order
            .iter()
            .filter_map(|label| term.labels.iter().position(|own| own == label))
            .collect();
        let moved = l.permuted(&term.value, &perm)?;
        let whole = l.expand_to(&moved, &dims)?;
        l.reshape_to(&whole, shape.to_vec())
    };
    let (n, k) = (product(&batch_dims), product(&inner_dims));
    let left = arranged(
        l,
        &a,
        &[batch.as_slice(), &rows, &inner].concat(),
        [batch_dims.as_slice(), &row_dims, &inner_dims].concat(),
        [n, product(&row_dims), k],
    )?;
    let right = arranged(
        l,
        &b,
        &[batch.as_slice(), &inner, &columns].concat(),
        [batch_dims.as_slice(), &inner_dims, &column_dims].concat(),
        [n, k, product(&column_dims)],
    )?;
    let found = if inner.is_empty() {
        l.mul(&left, &right)?
    } else {
        l.matmul(&left, &right)?
    };
    let dims = [batch_dims.as_slice(), &row_dims, &column_dims].concat();
    Ok(Term {
        value: l.reshape_to(&found, dims)?,
        labels: [batch.as_slice(), &rows, &columns].concat(),
    })
}
