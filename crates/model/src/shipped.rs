//! The models that come with the project (`models/README.md`), embedded.

use bytes::Bytes;

use crate::gguf::Gguf;
use crate::llama::{self, LanguageModel};
use crate::onnx::{ImportOptions, import};
use crate::{Hashing, Model, ModelError};

/// Names of the shipped networks with their ONNX files.
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

/// Names of the shipped models that draw ([`crate::diffusion`]) with their ONNX files.
pub const DRAWING_MODELS: [(&str, &[u8]); 1] =
    [("diffusion", include_bytes!("../../../models/shapes.onnx"))];

/// Names of the shipped language models with their GGUF files.
pub const LANGUAGE_MODELS: [(&str, &[u8]); 1] =
    [("llm", include_bytes!("../../../models/tales-q8_0.gguf"))];

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

/// The names of all shipped models.
pub fn names() -> impl Iterator<Item = &'static str> {
    let all = MODELS.iter().chain(&DRAWING_MODELS).chain(&LANGUAGE_MODELS);
    all.map(|(name, _)| *name)
}

/// The ONNX file of a shipped network or model that draws.
pub fn file(name: &str) -> Option<&'static [u8]> {
    MODELS
        .iter()
        .chain(&DRAWING_MODELS)
        .find(|(n, _)| *n == name)
        .map(|(_, file)| *file)
}

/// The GGUF file of a shipped language model.
pub fn language_file(name: &str) -> Option<Bytes> {
    LANGUAGE_MODELS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, file)| Bytes::from_static(file))
}

fn unknown(name: &str) -> ModelError {
    ModelError::File(format!(
        "no shipped model is called {name:?}; there are {}",
        names().collect::<Vec<_>>().join(", ")
    ))
}

/// A shipped model.
///
/// # Errors
/// If there is none of that name.
pub fn load(name: &str) -> Result<Model, ModelError> {
    match file(name) {
        Some(file) => import(file, &ImportOptions::default()),
        None => Ok(language(name)?.model),
    }
}

/// A shipped language model.
///
/// # Errors
/// If there is none of that name.
pub fn language(name: &str) -> Result<LanguageModel, ModelError> {
    let file = language_file(name).ok_or_else(|| unknown(name))?;
    let options = llama::ImportOptions::default();
    Hashing::quiet(|hashing| llama::from_gguf(&Gguf::parse(file)?, &options, hashing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_a_model_and_no_other_does() {
        for name in names() {
            load(name).unwrap();
        }
        let refused = load("absent").unwrap_err().to_string();
        assert!(refused.ends_with("digits, digits-small, digits-mlp, diffusion, llm"));
        assert!(language("digits").is_err());
        let model = language("llm").unwrap();
        assert_eq!(model.config.vocabulary, 3072);
        assert!(model.model.assets().contains_key(llama::TOKENIZER_ASSET));
    }
}
