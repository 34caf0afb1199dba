//! One node over the items of a batch: rows of different items go through one product where the
//! operator allows it. Every output element is computed by itself, so the bits are those of each
//! item alone.

use std::sync::Arc;

use gavel_numerics::{Data, NumericsError, Op, Tensor};

/// Computes `op` for every item. `weight[i]` says that operand `i` is the same tensor for all items;
/// `eval` computes the operator once.
pub(crate) fn eval_items(
    op: &Op,
    weight: &[bool],
    operands: &[Vec<Arc<Tensor>>],
    eval: impl Fn(&[&Tensor]) -> Result<Tensor, NumericsError>,
) -> Result<Vec<Tensor>, NumericsError> {
    let alone = |item: &Vec<Arc<Tensor>>| {
        let inputs: Vec<&Tensor> = item.iter().map(Arc::as_ref).collect();
        eval(&inputs)
    };
    if operands.len() > 1 && stackable(op, weight, &operands[0]) {
        let firsts: Vec<&Tensor> = operands
            .iter()
            .filter_map(|item| item.first().map(Arc::as_ref))
            .collect();
        if let Some(stacked) = stack(&firsts)? {
            let rest = operands[0].iter().skip(1).map(Arc::as_ref);
            let inputs: Vec<&Tensor> = std::iter::once(&stacked).chain(rest).collect();
            return unstack(&eval(&inputs)?, operands.len());
        }
    }
    operands.iter().map(alone).collect()
}

/// Whether operand 0 of all items may be laid one after the other along its first axis.
fn stackable(op: &Op, weight: &[bool], operands: &[Arc<Tensor>]) -> bool {
    let [false, weights @ ..] = weight else {
        return false;
    };
    if !weights.iter().all(|&w| w) {
        return false;
    }
    let rank = |i: usize| operands.get(i).map_or(0, |t| t.dims().len());
    match op {
        Op::Conv2d { .. } => true,
        // a C with one value per row belongs to one item's rows
        Op::Gemm { trans_a, .. } => {
            !trans_a
                && operands
                    .get(2)
                    .is_none_or(|c| c.dims().len() < 2 || c.dims()[0] == 1)
        }
        Op::MatMul => rank(0) >= 2 && (1..=2).contains(&rank(1)),
        _ => false,
    }
}

/// The tensors laid one after the other along the first axis; `None` unless all are f32 of one shape.
fn stack(tensors: &[&Tensor]) -> Result<Option<Tensor>, NumericsError> {
    let Some((first, rest)) = tensors.split_first() else {
        return Ok(None);
    };
    let alike = rest.iter().all(|tensor| tensor.ty() == first.ty());
    let mut dims = first.dims().to_vec();
    let (Some(rows), true) = (dims.first_mut(), alike) else {
        return Ok(None);
    };
    *rows = rows.saturating_mul(tensors.len() as u64);
    let mut values = Vec::with_capacity(first.len() * tensors.len());
    for tensor in tensors {
        match tensor.data() {
            Data::F32(part) => values.extend_from_slice(part),
            _ => return Ok(None),
        }
    }
    Tensor::f32(dims, values).map(Some)
}

/// Cuts a tensor into `items` equal parts along its first axis.
fn unstack(tensor: &Tensor, items: usize) -> Result<Vec<Tensor>, NumericsError> {
    let mut dims = tensor.dims().to_vec();
    if let Some(rows) = dims.first_mut() {
        *rows /= items as u64;
    }
    let values = tensor.as_f32().unwrap_or_default();
    let part = values.len() / items;
    (0..items)
        .map(|i| Tensor::f32(dims.clone(), values[i * part..(i + 1) * part].to_vec()))
        .collect()
}
