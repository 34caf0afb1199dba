//! `weight`: one weight of the provider's model is changed.
//!
//! The provider serves a file that it does not verify; its graph, segments and heights are those of
//! the registered model, so its trace has the registered shape.

use gavel_model::Model;
use gavel_numerics::Tensor;

use super::draw;
use crate::ExecutorError;

/// Candidate number `index` of a seed: the model with one element of one f32 weight changed. `None`
/// where the drawn weight is empty or holds no f32.
///
/// # Errors
/// Those of [`Model::with_weight`].
pub fn falsified(model: &Model, seed: u64, index: u64) -> Result<Option<Model>, ExecutorError> {
    let weights = model.weights();
    let at = (draw(seed, 2 * index) % weights.len().max(1) as u64) as usize;
    let Some(values) = weights.get(at).and_then(|w| w.value.as_f32()) else {
        return Ok(None);
    };
    let mut values = values.into_owned();
    let Some(element) = draw(seed, 2 * index + 1).checked_rem(values.len() as u64) else {
        return Ok(None);
    };
    for (i, value) in values.iter_mut().enumerate() {
        if i as u64 == element {
            // Large beside what training leaves, small enough to stay finite downstream.
            *value = value.mul_add(1.5, 0.25);
        }
    }
    let dims = weights.get(at).map(|w| w.value.ty().dims.clone());
    let changed = Tensor::f32(dims.unwrap_or_default(), values)?;
    Ok(Some(model.with_weight(at, changed)?))
}
