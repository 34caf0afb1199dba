//! `cheaper-quantisation`: the weights have fewer bits than those of the model that was asked for.
//!
//! Every block of 32 weights is rounded to 16 levels, the way Q4_0 stores them, and kept in the model's own format: what
//! comes out is bit for bit what the cheaper file gives.

use gavel_model::{Model, ModelError, Source};
use gavel_numerics::convert::{f16_to_f32, f32_to_f16};
use gavel_numerics::{Op, Tensor, WeightFormat};

/// Weights of a block.
const BLOCK: usize = 32;

/// The model with cheaper weights; `None` where it has none that can be made cheaper.
pub(super) fn of(model: &Model) -> Result<Option<Model>, ModelError> {
    let mut cheaper = Vec::new();
    for node in &model.graph().nodes {
        let (format, source) = match (&node.op, node.inputs.as_slice()) {
            (Op::Embed { format }, [table, ..]) => (*format, *table),
            (Op::Linear { format }, [_, weights]) => (*format, *weights),
            _ => continue,
        };
        let Source::Weight(index) = source else {
            continue;
        };
        if cheaper.iter().any(|(known, _)| *known == index as usize) {
            continue;
        }
        let Some(weight) = model.weights().get(index as usize) else {
            continue;
        };
        if let Some(tensor) = requantised(format, &weight.value.tensor()) {
            cheaper.push((index as usize, tensor));
        }
    }
    if cheaper.is_empty() {
        return Ok(None);
    }
    model.with_weights(cheaper).map(Some)
}

fn requantised(format: WeightFormat, weights: &Tensor) -> Option<Tensor> {
    if format != WeightFormat::Q8_0 {
        return None;
    }
    let mut bytes = weights.le_bytes().into_owned();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        let (scale, quants) = block.split_first_chunk_mut::<2>()?;
        let d = f16_to_f32(u16::from_le_bytes(*scale));
        let values: Vec<f32> = quants.iter().map(|&q| f32::from(q as i8) * d).collect();
        let (cheap, levels) = sixteen_levels(&values);
        *scale = cheap.to_le_bytes();
        for (quant, level) in quants.iter_mut().zip(levels) {
            *quant = level as u8;
        }
    }
    Tensor::from_le_bytes(weights.ty().clone(), &bytes).ok()
}

/// The nearest block of 16 levels: its scale as binary16, and each value's level from -8 to 7. The value that is largest in
/// size is level -8.
fn sixteen_levels(values: &[f32]) -> (u16, [i8; BLOCK]) {
    let largest =
        (values.iter().copied()).fold(0.0f32, |m, x| if x.abs() > m.abs() { x } else { m });
    let scale = largest / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut levels = [0; BLOCK];
    for (level, x) in levels.iter_mut().zip(values) {
        *level = (x * inverse).round_ties_even().clamp(-8.0, 7.0) as i8;
    }
    (f32_to_f16(scale), levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_model::llama::{Architecture, Formats, random, tiny};

    #[test]
    fn sixteen_levels_are_left_and_the_graph_is_the_same() {
        let config = tiny(Architecture::Llama);
        let model = random(&config, &Formats::uniform(&config, WeightFormat::Q8_0), 3).unwrap();
        let cheap = of(&model.model).unwrap().unwrap();
        assert_ne!(cheap.model_id(), model.model.model_id());
        assert_eq!(cheap.header().nodes_root, model.model.header().nodes_root);
        let matrix = model.roles.layers[0].down.weight as usize;
        let tensor = cheap.weights()[matrix].value.tensor();
        let bytes = tensor.le_bytes();
        for block in bytes.chunks_exact(34) {
            assert!(block[2..].iter().all(|&q| (-8..8).contains(&(q as i8))));
        }
        let before = model.model.weights()[matrix].value.tensor();
        let (before, after) = (before.le_bytes(), bytes);
        let error: f32 = (before.chunks_exact(34).zip(after.chunks_exact(34)))
            .map(|(a, b)| {
                (0..32)
                    .map(|i| {
                        (WeightFormat::Q8_0.value(a, i) - WeightFormat::Q8_0.value(b, i)).abs()
                    })
                    .fold(0.0, f32::max)
            })
            .fold(0.0, f32::max);
        assert!(error > 0.0 && error < 1.0, "{error}");
    }

    #[test]
    fn a_model_without_quantised_weights_is_left_alone() {
        let config = tiny(Architecture::Llama);
        let model = random(&config, &Formats::uniform(&config, WeightFormat::F32), 3).unwrap();
        assert!(of(&model.model).unwrap().is_none());
    }
}
