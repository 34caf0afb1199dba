//! What a model's files are: names, sizes, digests, and what stands behind the `@` of the model's name.

use std::collections::BTreeSet;

use gavel_trace::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::WeightsError;

/// What a manifest says it is.
pub const MANIFEST_FORMAT: &str = "gavel-weights-1";
/// Bytes of a piece where the publisher does not say otherwise.
pub const PIECE_BYTES: u64 = 8 << 20;
/// Bytes of a manifest, at most: 300 GiB in pieces of 8 MiB take 3 MB.
pub(super) const MAX_MANIFEST: u64 = 16 << 20;
const MAX_FILES: usize = 1024;
const MAX_NAME: usize = 255;
const MAX_BINDING: usize = 1024;
const MIN_PIECE: u64 = 1 << 10;
const MAX_PIECE: u64 = 64 << 20;
/// Bytes of a model, at most.
const MAX_BYTES: u64 = 1 << 44;

/// The formats that models are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsFormat {
    /// An ONNX file, the first, and those that its tensors lie in.
    Onnx,
    /// One GGUF file.
    Gguf,
    /// A folder of the hub: `config.json`, a tokenizer, safetensors.
    Safetensors,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsFile {
    /// Its plain name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, by which the store names it.
    pub sha256: Digest,
    /// The SHA-256 of each of its pieces: what came before an interruption is checked piece by piece.
    pub pieces: Vec<Digest>,
}

/// The files that a model is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// The `model_id`, or the `family_id`, that the files give.
    pub model_id: Digest,
    /// How they are read.
    pub kind: WeightsFormat,
    /// What stands behind the `@` of its name: a context, extents, a domain. Empty: nothing.
    #[serde(default)]
    pub binding: String,
    /// Size of a piece; the last of a file may be shorter.
    pub piece_bytes: u64,
    /// The files; the one that names the model comes first.
    pub files: Vec<WeightsFile>,
}

impl WeightsFile {
    /// The name of its object in a store.
    pub(super) fn object(&self) -> String {
        format!("files/{}", self.sha256)
    }
}

impl Manifest {
    /// Describes files by their contents. `progress` hears of every byte that was hashed.
    ///
    /// # Errors
    /// What [`fetch`](super::Weights::fetch) would refuse.
    pub fn describe(
        model_id: Digest,
        kind: WeightsFormat,
        binding: &str,
        files: &[(String, bytes::Bytes)],
        piece_bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Manifest, WeightsError> {
        let mut described = Vec::with_capacity(files.len());
        for (name, content) in files {
            let mut whole = Sha256::new();
            let mut pieces = Vec::new();
            for piece in content.chunks(piece_bytes.clamp(MIN_PIECE, MAX_PIECE) as usize) {
                whole.update(piece);
                pieces.push(Digest(Sha256::digest(piece).into()));
                progress(piece.len() as u64);
            }
            described.push(WeightsFile {
                name: name.clone(),
                bytes: content.len() as u64,
                sha256: Digest(whole.finalize().into()),
                pieces,
            });
        }
        let manifest = Manifest {
            format: MANIFEST_FORMAT.to_owned(),
            model_id,
            kind,
            binding: binding.to_owned(),
            piece_bytes,
            files: described,
        };
        manifest.check(&model_id)?;
        Ok(manifest)
    }

    /// Reads a manifest of this model, which a stranger has written.
    pub(super) fn read(bytes: &[u8], model_id: &Digest) -> Result<Manifest, WeightsError> {
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|e| bad(model_id, e.to_string()))?;
        manifest.check(model_id)?;
        Ok(manifest)
    }

    /// All bytes of the model.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn check(&self, model_id: &Digest) -> Result<(), WeightsError> {
        let fail = |reason: String| Err(bad(model_id, reason));
        if self.format != MANIFEST_FORMAT {
            return fail(format!(
                "its format is {:?}, expected {MANIFEST_FORMAT:?}",
                harmless(&self.format)
            ));
        }
        if self.model_id != *model_id {
            return fail(format!("it is the manifest of {}", self.model_id));
        }
        if !(MIN_PIECE..=MAX_PIECE).contains(&self.piece_bytes) {
            return fail(format!(
                "pieces of {} bytes, expected {MIN_PIECE} to {MAX_PIECE}",
                self.piece_bytes
            ));
        }
        let binding = &self.binding;
        if binding.len() > MAX_BINDING
            || binding.contains('@')
            || binding.contains(|c: char| c.is_control())
        {
            return fail(format!(
                "the binding {:?} stands behind no model's name",
                harmless(binding)
            ));
        }
        let most = match self.kind {
            WeightsFormat::Gguf => 1,
            _ => MAX_FILES,
        };
        if self.files.is_empty() || self.files.len() > most {
            return fail(format!(
                "{} files, expected 1 to {most} for {:?}",
                self.files.len(),
                self.kind
            ));
        }
        let (mut names, mut total) = (BTreeSet::new(), 0u64);
        for file in &self.files {
            if !is_plain(&file.name) {
                return fail(format!("{:?} is no plain file name", harmless(&file.name)));
            }
            // on some systems two names that differ in case are one file
            if !names.insert(file.name.to_lowercase()) {
                return fail(format!("two files are called {:?}", file.name));
            }
            let pieces = file.bytes.div_ceil(self.piece_bytes);
            if file.pieces.len() as u64 != pieces {
                return fail(format!(
                    "{}: {} pieces of a file of {} bytes, expected {pieces}",
                    file.name,
                    file.pieces.len(),
                    file.bytes
                ));
            }
            total = total.saturating_add(file.bytes);
        }
        match total > MAX_BYTES {
            true => fail(format!("{total} bytes, at most {MAX_BYTES} are fetched")),
            false => Ok(()),
        }
    }
}

/// A name in the folder that it is in, on any system, and not one of ours.
fn is_plain(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('.')
        && !name.contains(odd)
        && !name.eq_ignore_ascii_case(super::cache::MANIFEST_NAME)
}

/// A stranger's text as it may be shown: without control characters, and not long.
fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn bad(model_id: &Digest, reason: String) -> WeightsError {
    WeightsError::Manifest {
        model_id: *model_id,
        reason,
    }
}
