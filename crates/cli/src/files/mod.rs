//! From what the user names to models and tensors.

mod family;
mod inputs;
mod model;
mod weights;

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;

pub(crate) use family::binding;
pub(crate) use inputs::{inputs, inputs_beside};
pub(crate) use model::{
    Loaded, Servable, language, load, model_as, network, network_for, servable, servable_model,
};

pub(crate) use weights::{
    cache as weights_cache, check_asked, failure as weights_failure, fetch, located, models_are,
    publishable, store as weights_store,
};

use crate::failure::{Context as _, Failure};

/// The bytes of a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64, expected: &str) -> Result<Vec<u8>, Failure> {
    let place = path.display();
    checked(path, limit, expected)?;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).at(place.to_string())?;
    // the file may grow while it is read
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .at(place.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(too_large(path, limit, expected));
    }
    Ok(bytes)
}

/// The content of a file of at most `limit` bytes, mapped: what [`gavel_model::map`] asks of it holds.
pub(crate) fn map(path: &Path, limit: u64, expected: &str) -> Result<Bytes, Failure> {
    checked(path, limit, expected)?;
    gavel_model::map(path).at(path.display())
}

fn checked(path: &Path, limit: u64, expected: &str) -> Result<(), Failure> {
    match regular(path, expected)? > limit {
        true => Err(too_large(path, limit, expected)),
        false => Ok(()),
    }
}

fn too_large(path: &Path, limit: u64, expected: &str) -> Failure {
    let place = path.display();
    Failure::new(format!("{place} has more than {limit} bytes")).expected(expected)
}

/// The size of what must be a regular file.
fn regular(path: &Path, expected: &str) -> Result<u64, Failure> {
    let place = path.display();
    let metadata = std::fs::metadata(path)
        .map_err(|e| Failure::new(format!("{place}: {}", lower_first(&e))).expected(expected))?;
    if metadata.is_dir() {
        return Err(Failure::new(format!("{place} is a directory")).expected(expected));
    }
    if !metadata.is_file() {
        return Err(Failure::new(format!("{place} is not a regular file")).expected(expected));
    }
    Ok(metadata.len())
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
