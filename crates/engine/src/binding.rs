//! Binding tensors to a model's inputs: names, element types and shapes, with errors that say what
//! was expected.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use gavel_model::Model;
use gavel_numerics::Tensor;

use crate::EngineError;

/// Orders named tensors as the model's inputs, after checking names, element types and shapes.
pub fn bind(
    model: &Model,
    named: impl IntoIterator<Item = (String, Tensor)>,
) -> Result<Vec<Tensor>, EngineError> {
    let inputs = &model.graph().inputs;
    let mut given = BTreeMap::new();
    for (name, tensor) in named {
        if !inputs.iter().any(|(input, _)| *input == name) {
            let listed = inputs.iter().map(|(name, ty)| format!("{name:?} {ty}"));
            let expected = listed.collect::<Vec<_>>().join(", ");
            return Err(EngineError::UnknownInput { name, expected });
        }
        if given.insert(name.clone(), tensor).is_some() {
            return Err(EngineError::DuplicateInput { name });
        }
    }
    let mut ordered = Vec::with_capacity(inputs.len());
    for (name, ty) in inputs {
        let tensor = given
            .remove(name)
            .ok_or_else(|| EngineError::MissingInput {
                name: name.clone(),
                expected: ty.to_string(),
            })?;
        ordered.push(tensor);
    }
    check(model, &ordered)?;
    Ok(ordered)
}

/// Checks tensors given in the order of the model's inputs.
pub(crate) fn check<T: Borrow<Tensor>>(model: &Model, tensors: &[T]) -> Result<(), EngineError> {
    let inputs = &model.graph().inputs;
    if inputs.len() != tensors.len() {
        return Err(EngineError::InputCount {
            expected: inputs.len(),
            found: tensors.len(),
        });
    }
    for ((name, ty), tensor) in inputs.iter().zip(tensors) {
        let tensor = tensor.borrow();
        if ty != tensor.ty() {
            return Err(EngineError::InputMismatch {
                name: name.clone(),
                expected: ty.to_string(),
                found: tensor.ty().to_string(),
            });
        }
    }
    Ok(())
}
