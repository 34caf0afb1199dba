//! Losses, as numbers to look at.

use gavel_numerics::{DType, Reduction};

use super::Value;
use super::functions as f;
use super::indexing::elements_at;
use super::lower::Lowering;
use super::reductions::{log_softmax_along, reduced};
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"];

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    l.some_inputs(2..=3)?;
    let x = l.value(0)?;
    if l.dims(&x).len() < 2 {
        return Err(l.fail("its input must have classes"));
    }
    if op == "NegativeLogLikelihoodLoss" {
        return Ok(vec![negative_likelihood(l, &x)?]);
    }
    let logs = log_softmax_along(l, &x, &[1])?;
    let loss = negative_likelihood(l, &logs)?;
    Ok(vec![loss, logs])
}

fn negative_likelihood(l: &mut Lowering<'_, '_>, logs: &Value) -> Result<Value, ModelError> {
    let target = l.value(1)?;
    let target = l.cast(&target, DType::I64)?;
    let ignored = l.attributes.optional_int("ignore_index")?;
    let reduction = l.attributes.text("reduction")?;
    let classes = l.dims(logs)[1];
    // 1 where an element counts; what does not is class 0 in the meantime
    let counts = l.map(std::slice::from_ref(&target), DType::F32, |p, x| {
        let (zero, one) = (p.float(0.0), p.float(1.0));
        match ignored {
            None => one,
            Some(ignored) => {
                let ignored = p.wide(ignored.cast_unsigned());
                let same = p.equal(x[0], ignored);
                p.select(same, zero, one)
            }
        }
    })?;
    let class = l.map(&[target, counts.clone()], DType::I64, |p, x| {
        let zero = p.number(0);
        let none = p.equal(x[1], zero);
        p.select(none, zero, x[0])
    })?;
    let own = l.unsqueeze(&class, 1)?;
    let picked = elements_at(l, logs, &own, 1)?;
    let picked = l.reshape_to(&picked, l.dims(&class))?;
    let weights = match l.optional(2) {
        None => counts.clone(),
        Some(weights) => {
            if l.dims(&weights) != [classes] {
                return Err(l.fail(format!("weights must be {classes}, one for each class")));
            }
            let weights = l.gather(&weights, &class, 0)?;
            l.mul(&weights, &counts)?
        }
    };
    let loss = l.floats(&[&picked, &weights], |p, x| {
        let (negative, zero) = (f::negate(p, x[0]), p.float(0.0));
        let product = p.fmul(negative, x[1]);
        let nothing = f::equal(p, x[1], zero);
        p.select(nothing, zero, product)
    })?;
    let axes: Vec<usize> = (0..l.dims(&loss).len()).collect();
    let total = |l: &mut Lowering<'_, '_>, value: &Value| {
        let sum = reduced(l, Reduction::Sum, value, &axes)?;
        l.reshape_to(&sum, Vec::new())
    };
    match reduction.as_deref().unwrap_or("mean") {
        "none" => Ok(loss),
        "sum" => total(l, &loss),
        "mean" => {
            let (sum, weight) = (total(l, &loss)?, total(l, &weights)?);
            l.node(gavel_numerics::Op::Div, &[sum, weight])
        }
        other => Err(l.fail(format!("reduction {other:?} is not known"))),
    }
}
