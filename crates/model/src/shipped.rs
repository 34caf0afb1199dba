//! The models that come with the project (`models/README.md`), embedded.

use crate::onnx::{ImportOptions, import};
use crate::{Model, ModelError};

/// Names of the shipped models with their files.
pub const MODELS: [(&str, &[u8]); 3] = [
    ("digits", include_bytes!("../../../models/digits.onnx")),
    (
        "digits-small",
        include_bytes!("../../../models/digits-small.onnx"),
    ),
    (
        "digits-mlp",
        include_bytes!("../../../models/digits-mlp.onnx"),
    ),
];

/// Held-out pictures: file name, digit, PNG.
pub const PICTURES: [(&str, u8, &[u8]); 6] = [
    (
        "digit-3-a.png",
        3,
        include_bytes!("../../../models/images/digit-3-a.png"),
    ),
    (
        "digit-7-a.png",
        7,
        include_bytes!("../../../models/images/digit-7-a.png"),
    ),
    (
        "digit-1-a.png",
        1,
        include_bytes!("../../../models/images/digit-1-a.png"),
    ),
    (
        "digit-5-b.png",
        5,
        include_bytes!("../../../models/images/digit-5-b.png"),
    ),
    (
        "digit-8-a.png",
        8,
        include_bytes!("../../../models/images/digit-8-a.png"),
    ),
    (
        "digit-0-a.png",
        0,
        include_bytes!("../../../models/images/digit-0-a.png"),
    ),
];

/// The file of a shipped model.
pub fn file(name: &str) -> Option<&'static [u8]> {
    MODELS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, file)| *file)
}

/// A shipped model.
///
/// # Errors
/// If there is none of that name.
pub fn load(name: &str) -> Result<Model, ModelError> {
    let file = file(name).ok_or_else(|| {
        let names: Vec<_> = MODELS.iter().map(|(n, _)| *n).collect();
        ModelError::File(format!(
            "no shipped model is called {name:?}; there are {}",
            names.join(", ")
        ))
    })?;
    import(file, &ImportOptions::default())
}
