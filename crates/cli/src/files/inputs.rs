//! A model's inputs from pictures and arrays.

use std::path::Path;

use gavel_model::Model;
use gavel_model::npy::{NPY_MAGIC, NPZ_MAGIC, read_npy, read_npz};
use gavel_model::onnx::SEED;
use gavel_model::preprocess::png_to_input;
use gavel_numerics::{Tensor, TensorType};

use super::read;
use crate::failure::{Context as _, Failure};

/// More than any tensor within the engine's bound takes.
pub(super) const MAX_INPUT_BYTES: u64 = 1 << 34;
/// An archive without an array, for a model without an input.
const EMPTY_NPZ_MAGIC: &[u8] = b"PK\x05\x06";
const PNG_MAGIC: &[u8] = b"\x89PNG";

/// The model's inputs, in its order, from a PNG, `.npy` or `.npz` file.
pub(crate) fn inputs(model: &Model, path: &Path, max_bytes: u64) -> Result<Vec<Tensor>, Failure> {
    inputs_beside(model, path, max_bytes, &[], None)
}

/// [`inputs`], where the file also has arrays that are part of the model already, or the seed of what the model draws is said
/// beside it.
pub(crate) fn inputs_beside(
    model: &Model,
    path: &Path,
    max_bytes: u64,
    bound: &[(String, TensorType)],
    seed: Option<u64>,
) -> Result<Vec<Tensor>, Failure> {
    let place = path.display();
    let seed = seed.map(|seed| Tensor::i64([1], vec![seed.cast_signed()]));
    let seed = seed.transpose().at("the seed")?;
    let is_said = |(name, ty): &&(String, TensorType)| {
        name == SEED && seed.as_ref().is_some_and(|seed| seed.ty() == ty)
    };
    let all = &model.graph().inputs;
    let wanted: Vec<_> = all.iter().filter(|i| !is_said(i)).cloned().collect();
    let listed = wanted
        .iter()
        .map(|(name, ty)| format!("{name:?} {ty}"))
        .collect::<Vec<_>>()
        .join(", ");
    let expected = format!("a PNG, .npy or .npz file for {listed}");
    let needed = wanted.iter().fold(0u64, |n, (_, ty)| {
        n.saturating_add(ty.byte_len().map_or(u64::MAX, |b| b as u64))
    });
    if needed > max_bytes {
        return Err(Failure::new(format!(
            "the model's inputs ({listed}) take {needed} bytes, the bound is {max_bytes}"
        ))
        .hint("raise it with --max-memory"));
    }
    let file = read(path, MAX_INPUT_BYTES, &expected)?;
    let fail =
        |e: &dyn std::fmt::Display| Failure::new(format!("{place}: {e}")).expected(&expected);
    let mut named = if file.starts_with(PNG_MAGIC) {
        let name = wanted
            .first()
            .map(|(name, _)| name.clone())
            .unwrap_or_default();
        vec![(name, png_to_input(model, &file).map_err(|e| fail(&e))?)]
    } else if file.starts_with(NPY_MAGIC) {
        let [(name, _)] = wanted.as_slice() else {
            return Err(Failure::new(format!(
                "{place} holds one array, the model has {} inputs",
                wanted.len()
            ))
            .expected(format!("an .npz file for {listed}")));
        };
        vec![(name.clone(), read_npy(&file).map_err(|e| fail(&e))?)]
    } else if file.starts_with(NPZ_MAGIC) || file.starts_with(EMPTY_NPZ_MAGIC) {
        let known = [wanted.as_slice(), bound].concat();
        let mut arrays = read_npz(&file, &known).map_err(|e| fail(&e))?;
        arrays.retain(|(name, _)| bound.iter().all(|(bound, _)| bound != name));
        arrays
    } else {
        return Err(fail(&"neither PNG nor NumPy array"));
    };
    if wanted.len() < all.len() {
        named.extend(seed.map(|seed| (SEED.to_owned(), seed)));
    }
    gavel_engine::bind(model, named).at(place)
}
