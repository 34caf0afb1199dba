//! From what the user names to models and tensors.

use std::io::Read as _;
use std::path::Path;

use gavel_engine::EngineOptions;
use gavel_model::npy::{NPY_MAGIC, NPZ_MAGIC, read_npy, read_npz};
use gavel_model::onnx::{ImportOptions, import};
use gavel_model::preprocess::png_to_input;
use gavel_model::{Model, ModelError, shipped};
use gavel_numerics::Tensor;

use crate::failure::{Context as _, Failure};

/// A protobuf message has at most this many bytes.
const MAX_MODEL_BYTES: u64 = (1 << 31) - 1;
/// More than any tensor within the engine's bound takes.
const MAX_INPUT_BYTES: u64 = 1 << 34;
const PNG_MAGIC: &[u8] = b"\x89PNG";

/// The bytes of a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64, expected: &str) -> Result<Vec<u8>, Failure> {
    let place = path.display();
    let metadata = std::fs::metadata(path)
        .map_err(|e| Failure::new(format!("{place}: {}", lower_first(&e))).expected(expected))?;
    if metadata.is_dir() {
        return Err(Failure::new(format!("{place} is a directory")).expected(expected));
    }
    if !metadata.is_file() {
        return Err(Failure::new(format!("{place} is not a regular file")).expected(expected));
    }
    let too_large =
        || Failure::new(format!("{place} has more than {limit} bytes")).expected(expected);
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).at(place.to_string())?;
    // the file may grow while it is read
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .at(place.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Writes a file, or says why it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).at(path.display())
}

fn lower_first(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => error.to_string(),
    }
}

/// What stands where a model is expected.
fn model_words() -> String {
    let names: Vec<_> = shipped::MODELS.iter().map(|(name, _)| *name).collect();
    format!(
        "an ONNX file or the name of a shipped model ({})",
        names.join(", ")
    )
}

/// The file behind a name of a shipped model or a path.
pub(crate) fn model_file(name: &str) -> Result<Vec<u8>, Failure> {
    match shipped::file(name) {
        Some(file) => Ok(file.to_vec()),
        None => read(Path::new(name), MAX_MODEL_BYTES, &model_words()),
    }
}

/// The model behind a name of a shipped model or a path.
pub(crate) fn model(name: &str) -> Result<Model, Failure> {
    let file = model_file(name)?;
    import(&file, &ImportOptions::default()).map_err(|e| {
        let failure = Failure::new(format!("{name}: {e}"));
        match e {
            ModelError::Protobuf(_) => failure.expected(model_words()),
            ModelError::Unsupported { .. } => failure.hint(
                "export the model with operators of that list, for inference and not for training",
            ),
            _ => failure,
        }
    })
}

/// The model behind a name, if this program's parties could run and retrace it.
pub(crate) fn servable_model(name: &str) -> Result<Model, Failure> {
    let model = model(name)?;
    EngineOptions::default().check(&model).map_err(|e| {
        Failure::new(format!("{name}: {e}"))
            .expected("a model that every party can run and retrace")
    })?;
    Ok(model)
}

/// The model's inputs, in its order, from a PNG, `.npy` or `.npz` file.
pub(crate) fn inputs(model: &Model, path: &Path, max_bytes: u64) -> Result<Vec<Tensor>, Failure> {
    let place = path.display();
    let wanted = &model.graph().inputs;
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
    let named = if file.starts_with(PNG_MAGIC) {
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
    } else if file.starts_with(NPZ_MAGIC) {
        read_npz(&file, wanted).map_err(|e| fail(&e))?
    } else {
        return Err(fail(&"neither PNG nor NumPy array"));
    };
    gavel_engine::bind(model, named).at(place)
}
