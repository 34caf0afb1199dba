//! Models by their place: what a file or a folder of the hub holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::gguf::Gguf;
use crate::llama::{HfFiles, ImportOptions, LanguageModel, from_gguf, from_hf};
use crate::onnx::external_files;
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

/// The names of the files that [`hf_folder`] reads in a folder.
///
/// # Errors
/// If the index cannot be read.
pub fn hf_names(folder: &Path) -> Result<Vec<String>, ModelError> {
    const INDEX: &str = "model.safetensors.index.json";
    let sides = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        INDEX,
    ];
    let there = sides.iter().filter(|name| folder.join(name).exists());
    let mut names: Vec<String> = there.map(|name| (*name).to_owned()).collect();
    match side_file(&folder.join(INDEX))? {
        Some(index) => names.extend(shards(&index)?),
        None => names.push("model.safetensors".to_owned()),
    }
    Ok(names)
}

/// What the files hold that tensors of an ONNX file lie in, by their names, for
/// [`ImportOptions::files`](crate::onnx::ImportOptions::files): `file` is the content of the one at `path`. They are regular files
/// without another name, in the folder of `path` or beside the file that `path` leads to: a link that leads elsewhere is refused.
/// What [`map`] asks of a file holds for all of them.
///
/// # Errors
/// If a file is missing, lies elsewhere or cannot be read, and those of [`external_files`].
pub fn files_beside(path: &Path, file: &Bytes) -> Result<BTreeMap<String, Bytes>, ModelError> {
    let locations = external_files(file)?;
    if locations.is_empty() {
        return Ok(BTreeMap::new());
    }
    let fail = |path: &Path, source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let real = path.canonicalize().map_err(|e| fail(path, e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let own = Path::new(".").join(folder);
    let own = own.canonicalize().map_err(|e| fail(&own, e))?;
    let mut found = BTreeMap::new();
    for location in locations {
        let named = folder.join(&location);
        let inner = inside(&location, &own, &real).map_err(|e| fail(&named, e))?;
        found.insert(location, mapped(&inner)?);
    }
    Ok(found)
}

/// The file that a location of a tensor names: in this folder or beside this file, and nowhere else.
fn inside(location: &str, own: &Path, real: &Path) -> io::Result<PathBuf> {
    let refused = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    let location = Path::new(location);
    let mut parts = location.components();
    if !parts.all(|part| matches!(part, Component::Normal(_))) {
        return refused("it is no file in the folder of the model");
    }
    let path = own.join(location).canonicalize()?;
    // a cache of the hub has links beside each other to files beside each other
    if !path.starts_with(own) && path.parent() != real.parent() {
        return refused("it leads out of the folder of the model");
    }
    let about = path.metadata()?;
    if !about.is_file() {
        return refused("it is no regular file");
    }
    // a second name may be that of anything on this machine
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&about) != 1 {
        return refused("the file has other names (hard links); a copy of it has not");
    }
    Ok(path)
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
