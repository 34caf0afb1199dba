//! Models run by the reference interpreter, for tests.

use std::sync::Arc;

use gavel_numerics::{Tensor, reference};

use crate::{Model, Source};

/// Values of all nodes of one step.
pub(crate) fn values(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::new();
    for node in &model.graph().nodes {
        let operands: Vec<Arc<Tensor>> = node
            .inputs
            .iter()
            .map(|&source| match source {
                Source::Input(i) => Arc::new(inputs[i as usize].clone()),
                Source::Weight(i) => model.weights()[i as usize].value.tensor(),
                Source::Node { node, .. } => Arc::new(values[node as usize].clone()),
            })
            .collect();
        let operands: Vec<&Tensor> = operands.iter().map(Arc::as_ref).collect();
        values.push(reference::eval(&node.op, &operands).unwrap());
    }
    values
}

/// Those of them that are outputs.
pub(crate) fn outputs(model: &Model, values: &[Tensor]) -> Vec<Tensor> {
    let outputs = model.graph().outputs.iter();
    let outputs = outputs.map(|(_, source)| match source {
        Source::Node { node, .. } => values[*node as usize].clone(),
        _ => unreachable!(),
    });
    outputs.collect()
}
