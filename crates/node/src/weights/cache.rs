//! Models that were fetched, in a folder each, and what has come of others so far.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gavel_trace::Digest;

use super::manifest::MAX_MANIFEST;
use super::{Manifest, WeightsError, WeightsFormat};

/// The manifest beside a model's files.
pub(super) const MANIFEST_NAME: &str = "gavel-weights.json";

/// A folder of models by identity. What is under `parts` has not come whole, what is under `incoming` was not identified; a
/// folder with a model's name has been, and still is whenever the model is loaded.
#[derive(Clone, Debug)]
pub struct WeightsCache {
    root: PathBuf,
}

/// A model that is in a cache.
#[derive(Clone, Debug)]
pub struct CachedModel {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files.
    pub manifest: Manifest,
}

/// Held while a process writes into a cache; let go of when the process ends, however it does.
#[derive(Debug)]
pub struct CacheLock(File);

impl Drop for CacheLock {
    fn drop(&mut self) {
        // closing it does the same
        let _ = self.0.unlock();
    }
}

impl CachedModel {
    /// What the program calls the model: a path, and what stands behind its `@`.
    pub fn name(&self) -> String {
        named(&self.folder, &self.manifest)
    }
}

fn named(folder: &Path, manifest: &Manifest) -> String {
    let path = match (manifest.kind, manifest.files.first()) {
        (WeightsFormat::Safetensors, _) | (_, None) => folder.to_owned(),
        (_, Some(first)) => folder.join(&first.name),
    };
    match manifest.binding.as_str() {
        "" => path.display().to_string(),
        binding => format!("{}@{binding}", path.display()),
    }
}

impl WeightsCache {
    /// The cache in a folder, which is made when something is fetched.
    pub fn new(root: PathBuf) -> WeightsCache {
        WeightsCache { root }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model, there or not.
    pub fn folder(&self, model_id: &Digest) -> PathBuf {
        self.root.join(model_id.to_string())
    }

    /// A model whose files are all there, each as long as it has to be. What they hold is for the model's identity to say.
    pub fn find(&self, model_id: &Digest) -> Option<CachedModel> {
        let folder = self.folder(model_id);
        let manifest = manifest_in(&folder)?;
        let whole = manifest.files.iter().all(|file| {
            let found = fs::metadata(folder.join(&file.name));
            found.is_ok_and(|m| m.is_file() && m.len() == file.bytes)
        });
        (whole && manifest.model_id == *model_id).then_some(CachedModel { folder, manifest })
    }

    /// Waits until no other process writes here; `waiting` is called if one does.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<CacheLock, WeightsError> {
        for folder in ["parts", "incoming"] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(|e| at(&path, e))?;
        }
        let path = self.root.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| at(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(|e| at(&path, e))?;
            }
            Err(fs::TryLockError::Error(e)) => return Err(at(&path, e)),
        }
        Ok(CacheLock(file))
    }

    pub(super) fn part(&self, sha256: &Digest) -> PathBuf {
        self.root.join("parts").join(format!("{sha256}.part"))
    }

    pub(super) fn incoming(&self, model_id: &Digest) -> PathBuf {
        self.root.join("incoming").join(model_id.to_string())
    }

    /// Puts what is here already where it is gone on with: files that came before an interruption, and those of other models
    /// with the same content. All of it is hashed before it counts.
    pub(super) fn reuse(&self, manifest: &Manifest) -> Result<(), WeightsError> {
        let incoming = self.incoming(&manifest.model_id);
        for file in &manifest.files {
            let part = self.part(&file.sha256);
            if part.exists() {
                continue;
            }
            let before = incoming.join(&file.name);
            if before.is_file() {
                fs::rename(&before, &part).map_err(|e| at(&before, e))?;
            } else if let Some(other) = self.same_content(&file.sha256) {
                let copy = part.with_extension("copy");
                let copied = fs::copy(&other, &copy).and_then(|_| fs::rename(&copy, &part));
                copied.map_err(|e| at(&copy, e))?;
            }
        }
        Ok(())
    }

    /// A file of a cached model that has this digest by its manifest.
    fn same_content(&self, sha256: &Digest) -> Option<PathBuf> {
        let folders = fs::read_dir(&self.root).ok()?.flatten();
        folders.map(|entry| entry.path()).find_map(|folder| {
            let manifest = manifest_in(&folder)?;
            let file = manifest.files.iter().find(|f| f.sha256 == *sha256)?;
            Some(folder.join(&file.name)).filter(|path| path.is_file())
        })
    }
}

fn manifest_in(folder: &Path) -> Option<Manifest> {
    let path = folder.join(MANIFEST_NAME);
    if fs::metadata(&path).ok()?.len() > MAX_MANIFEST {
        return None;
    }
    let id: Digest = folder.file_name()?.to_str()?.parse().ok()?;
    Manifest::read(&fs::read(&path).ok()?, &id).ok()
}

/// A model whose files have come whole, and which is not identified yet.
#[derive(Debug)]
#[must_use = "kept or discarded"]
pub struct Staged {
    folder: PathBuf,
    manifest: Manifest,
    /// Bytes that came over the network.
    pub fetched: u64,
}

impl Staged {
    pub(super) fn new(
        cache: &WeightsCache,
        manifest: Manifest,
        fetched: u64,
    ) -> Result<Staged, WeightsError> {
        let folder = cache.incoming(&manifest.model_id);
        let fresh = match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => fs::create_dir_all(&folder),
        };
        fresh.map_err(|e| at(&folder, e))?;
        let mut moved: Vec<(Digest, PathBuf)> = Vec::new();
        for file in &manifest.files {
            let to = folder.join(&file.name);
            // two names of one content were fetched once
            let before = moved.iter().find(|(sha256, _)| *sha256 == file.sha256);
            let done = match before {
                Some((_, first)) => fs::copy(first, &to).map(|_| ()),
                None => fs::rename(cache.part(&file.sha256), &to),
            };
            done.map_err(|e| at(&to, e))?;
            moved.push((file.sha256, to));
        }
        let text = serde_json::to_vec(&manifest).map_err(io::Error::other);
        let path = folder.join(MANIFEST_NAME);
        text.and_then(|text| fs::write(&path, text))
            .map_err(|e| at(&path, e))?;
        Ok(Staged {
            folder,
            manifest,
            fetched,
        })
    }

    /// What the program calls the model while it is here.
    pub fn name(&self) -> String {
        named(&self.folder, &self.manifest)
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the model its name in the cache: it was identified.
    ///
    /// # Errors
    /// The file system said no.
    pub fn keep(self, cache: &WeightsCache) -> Result<CachedModel, WeightsError> {
        let folder = cache.folder(&self.manifest.model_id);
        // one that was there was not whole, or this one would not have been fetched
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| at(&folder, e))?;
        }
        fs::rename(&self.folder, &folder).map_err(|e| at(&folder, e))?;
        Ok(CachedModel {
            folder,
            manifest: self.manifest,
        })
    }

    /// Removes what is another model than was asked for.
    ///
    /// # Errors
    /// The file system said no.
    pub fn discard(self) -> Result<(), WeightsError> {
        fs::remove_dir_all(&self.folder).map_err(|e| at(&self.folder, e))
    }
}

/// Bytes that may still be written into a folder, where the system says.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let found = rustix::fs::statvfs(folder).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

pub(super) fn at(path: &Path, source: io::Error) -> WeightsError {
    WeightsError::Io {
        path: path.to_owned(),
        source,
    }
}
