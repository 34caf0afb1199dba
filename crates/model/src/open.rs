//! Models by their place: what a file or a folder of the hub holds.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;

use crate::gguf::Gguf;
use crate::llama::{HfFiles, ImportOptions, LanguageModel, from_gguf, from_hf};
use crate::safetensors::{Safetensors, shards};
use crate::{Hashing, ModelError, map};

/// Largest file beside the tensors of a model.
const MAX_SIDE_BYTES: u64 = 128 << 20;

/// The language model at `path`: a GGUF file, or a folder with `config.json` and safetensors. What [`map`] asks of a file
/// holds for all of them.
///
/// # Errors
/// If a file is missing or cannot be read, and those of [`from_gguf`] and [`from_hf`].
pub fn open_language_model(
    path: &Path,
    options: &ImportOptions,
    hashing: &mut Hashing<'_>,
) -> Result<LanguageModel, ModelError> {
    if path.is_dir() {
        return from_hf(&hf_folder(path)?, options, hashing);
    }
    from_gguf(&Gguf::parse(mapped(path)?)?, options, hashing)
}

/// The files of a folder of the hub. An index names its shards; without one there is `model.safetensors`.
///
/// # Errors
/// If a file is missing or cannot be read, or one with tensors is malformed.
pub fn hf_folder(folder: &Path) -> Result<HfFiles, ModelError> {
    let small = |name: &str| side_file(&folder.join(name));
    let shards = match small("model.safetensors.index.json")? {
        Some(index) => shards(&index)?,
        None => vec!["model.safetensors".to_owned()],
    };
    let config = small("config.json")?.ok_or_else(|| ModelError::Io {
        path: folder.join("config.json"),
        source: io::ErrorKind::NotFound.into(),
    })?;
    Ok(HfFiles {
        config,
        generation_config: small("generation_config.json")?,
        tokenizer: small("tokenizer.json")?,
        tokenizer_config: small("tokenizer_config.json")?,
        chat_template: small("chat_template.jinja")?,
        shards: shards
            .iter()
            .map(|name| Safetensors::parse(mapped(&folder.join(name))?))
            .collect::<Result<_, _>>()?,
    })
}

fn mapped(path: &Path) -> Result<Bytes, ModelError> {
    map(path).map_err(|source| ModelError::Io {
        path: path.to_owned(),
        source,
    })
}

/// The content of a file that may be missing.
fn side_file(path: &Path) -> Result<Option<Vec<u8>>, ModelError> {
    let fail = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    let mut content = Vec::new();
    file.take(MAX_SIDE_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(fail)?;
    match content.len() as u64 <= MAX_SIDE_BYTES {
        true => Ok(Some(content)),
        false => Err(fail(io::ErrorKind::FileTooLarge.into())),
    }
}
