//! Inputs and outputs of graphs.

use gavel_numerics::{DType, TensorType};

use super::proto::ValueInfo;
use super::{ImportOptions, tensor};
use crate::ModelError;

/// An error of an input or output.
pub(super) fn boundary(what: &'static str, info: &ValueInfo, reason: &str) -> ModelError {
    ModelError::Boundary {
        what,
        name: info.name.clone(),
        reason: reason.to_owned(),
    }
}

/// The type of an input, with the extents that the file leaves open as they are given.
pub(super) fn input_type(
    info: &ValueInfo,
    options: &ImportOptions,
) -> Result<TensorType, ModelError> {
    let fail = |reason: String| ModelError::Boundary {
        what: "input",
        name: info.name.clone(),
        reason,
    };
    // an input that may be absent is given
    let declared = info.r#type.as_ref();
    let optional = declared.and_then(|ty| ty.optional_type.as_ref()?.elem_type.as_ref());
    let ty = optional
        .or(declared)
        .and_then(|ty| ty.tensor_type.as_ref())
        .ok_or_else(|| fail("only tensors are supported".into()))?;
    let dtype: DType = tensor::dtype(ty.elem_type).ok_or_else(|| {
        fail(format!(
            "element type {} is not supported",
            tensor::type_name(ty.elem_type)
        ))
    })?;
    let given = options.shapes.get(&info.name);
    let shape = match (&ty.shape, given) {
        (Some(shape), _) => shape,
        (None, Some(given)) => return typed(info, dtype, given.clone()),
        (None, None) => return Err(fail("its shape is not declared".into())),
    };
    let given = given.filter(|given| given.len() == shape.dim.len());
    let dims = shape
        .dim
        .iter()
        .enumerate()
        .map(|(axis, dim)| {
            let name = dim.dim_param.as_deref().filter(|n| !n.is_empty());
            match (dim.dim_value, name.and_then(|n| options.dimensions.get(n))) {
                (_, Some(&bound)) => Ok(bound),
                (Some(value), None) if value > 0 => Ok(value as u64),
                (_, None) if given.is_some() => Ok(given.map_or(0, |given| given[axis])),
                (Some(0), None) if axis > 0 || shape.dim.len() == 1 => Ok(0),
                // a batch of one: strangers' tasks are batched by the engine, not by the model
                _ if axis == 0 => Ok(1),
                _ => Err(fail(format!(
                    "dimension {axis} ({}) has no value; bind it by name: MODEL@{}=128",
                    name.unwrap_or("unnamed"),
                    name.unwrap_or("NAME")
                ))),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    typed(info, dtype, dims)
}

fn typed(info: &ValueInfo, dtype: DType, dims: Vec<u64>) -> Result<TensorType, ModelError> {
    let ty = TensorType::new(dtype, dims);
    ty.elements()
        .map_err(|e| boundary("input", info, &e.to_string()))?;
    Ok(ty)
}
