//! Weights by `model_id`: a model's files in a store behind a URL, and in a cache on this machine.
//!
//! A store has `models/<model_id>.json`, the [`Manifest`], and `files/<sha256>`, the contents. It may be anybody's: nothing that
//! comes from it is believed. Pieces are hashed as they come, a whole file once more, and a model gets its name in the cache when
//! whoever fetched it has computed that identity from the files ([`Staged::keep`]).

mod cache;
mod manifest;
mod part;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use gavel_trace::Digest;
use tokio::time::{sleep, timeout};

use crate::NodeError;
use crate::blobs::Store;
use cache::{at, free_bytes};
use manifest::MAX_MANIFEST;
use part::{Part, Taken};

pub use cache::{CacheLock, CachedModel, Staged, WeightsCache};
pub use manifest::{MANIFEST_FORMAT, Manifest, PIECE_BYTES, WeightsFile, WeightsFormat};

/// Attempts in a row that bring nothing.
const ATTEMPTS: u32 = 5;
/// Pause before the second of them; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest time without a byte.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that a disk keeps free beside what is fetched.
const SPARE: u64 = 64 << 20;

/// Why a model's files cannot be had, or not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The store has no such model.
    #[error("{place} has no model {model_id}")]
    Absent {
        /// The store.
        place: String,
        /// The model.
        model_id: Digest,
    },
    /// A manifest that nothing may be fetched by.
    #[error("the manifest of {model_id} is refused: {reason}")]
    Manifest {
        /// The model.
        model_id: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest names a file that the store does not have.
    #[error("{name} is in the manifest and not in the store, which has no {object}")]
    Lost {
        /// The file.
        name: String,
        /// Its object.
        object: String,
    },
    /// A file that is longer or shorter than its manifest says.
    #[error("{name} has {found} bytes in the store, the manifest says {said}")]
    Size {
        /// The file.
        name: String,
        /// By the manifest.
        said: u64,
        /// By the store.
        found: u64,
    },
    /// A piece that came wrong twice.
    #[error("bytes {from} to {to} of {name} are not those of the manifest, twice in a row")]
    Corrupt {
        /// The file.
        name: String,
        /// Where the piece begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
    /// Pieces that are each right, and together another file.
    #[error("{name} has SHA-256 {found}, the manifest says {said}")]
    Whole {
        /// The file.
        name: String,
        /// By the manifest.
        said: Digest,
        /// Of its pieces.
        found: Digest,
    },
    /// A disk that is too full.
    #[error("{needed} bytes are missing, and {} has {free} free", path.display())]
    Space {
        /// Bytes still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Where.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store said no.
    #[error(transparent)]
    Store(#[from] NodeError),
}

impl From<object_store::Error> for WeightsError {
    fn from(error: object_store::Error) -> Self {
        WeightsError::Store(error.into())
    }
}

/// How far it is: of the file that is coming, and of all.
#[derive(Clone, Copy, Debug)]
pub struct WeightsProgress<'a> {
    /// The file.
    pub name: &'a str,
    /// Bytes that are there, of all files.
    pub done: u64,
    /// Bytes of all files.
    pub total: u64,
}

/// A store of models.
#[derive(Clone, Debug)]
pub struct Weights {
    store: Store,
    place: String,
}

impl Weights {
    /// A directory, or the URL of a store, as [`Blobs::open`](crate::Blobs::open) takes them.
    ///
    /// # Errors
    /// An unknown scheme, or a directory that cannot be made.
    pub fn open(place: &str) -> Result<Weights, WeightsError> {
        Ok(Weights {
            store: Store::open(place)?,
            place: place.to_owned(),
        })
    }

    /// The manifest of a model.
    ///
    /// # Errors
    /// There is none, or one that cannot be used.
    pub async fn manifest(&self, model_id: &Digest) -> Result<Manifest, WeightsError> {
        let name = manifest_name(model_id);
        let found = self.store.get(&name, MAX_MANIFEST).await?;
        let bytes = found.ok_or_else(|| WeightsError::Absent {
            place: self.place.clone(),
            model_id: *model_id,
        })?;
        Manifest::read(&bytes, model_id)
    }

    /// Fetches what is missing of a model, from where an interruption left it. Reads and writes files, so that it is for a
    /// thread that may block. The lock is the cache's.
    ///
    /// # Errors
    /// The store does not give what the manifest says, or cannot be asked, or the disk is full.
    pub async fn fetch(
        &self,
        manifest: &Manifest,
        cache: &WeightsCache,
        _lock: &CacheLock,
        progress: &mut dyn FnMut(WeightsProgress<'_>),
    ) -> Result<Staged, WeightsError> {
        cache.reuse(manifest)?;
        let there = |file: &WeightsFile| {
            let part = std::fs::metadata(cache.part(&file.sha256));
            part.map_or(0, |m| m.len().min(file.bytes))
        };
        let missing: u64 = manifest.files.iter().map(|f| f.bytes - there(f)).sum();
        if let Some(free) = free_bytes(cache.root())
            && missing > 0
            && missing.saturating_add(SPARE) > free
        {
            return Err(WeightsError::Space {
                needed: missing,
                free,
                path: cache.root().to_owned(),
            });
        }
        let (mut before, mut fetched) = (0, 0);
        let total = manifest.bytes();
        for file in &manifest.files {
            let mut tell = |done: u64| {
                progress(WeightsProgress {
                    name: &file.name,
                    done: before + done,
                    total,
                });
            };
            let path = cache.part(&file.sha256);
            let io = |e| at(&path, e);
            let mut part = Part::open(&path, file, manifest.piece_bytes).map_err(io)?;
            tell(part.done());
            fetched += self.file(file, &mut part, &path, &mut tell).await?;
            let found = part.finish().map_err(io)?;
            if found != file.sha256 {
                std::fs::remove_file(&path).map_err(io)?;
                return Err(WeightsError::Whole {
                    name: file.name.clone(),
                    said: file.sha256,
                    found,
                });
            }
            before += file.bytes;
        }
        Staged::new(cache, manifest.clone(), fetched)
    }

    /// Fetches what is missing of a file; gives the bytes that came.
    async fn file(
        &self,
        file: &WeightsFile,
        part: &mut Part<'_>,
        path: &std::path::Path,
        tell: &mut dyn FnMut(u64),
    ) -> Result<u64, WeightsError> {
        let (mut fetched, mut ranges, mut wrong) = (0, true, None);
        let (mut failures, mut pause) = (0, PAUSE);
        while part.done() < file.bytes {
            let from = part.done();
            let result = self.stream(file, part, &mut ranges).await;
            let error = match result {
                Err(error) => error,
                Ok(stream) => {
                    match pour(stream, file, part, path, &mut fetched, &mut wrong, tell).await? {
                        None => continue,
                        Some(error) => error,
                    }
                }
            };
            // whatever has a name of its own is an answer, and the same tomorrow
            let WeightsError::Store(NodeError::Store(object_store::Error::Generic { .. })) = error
            else {
                return Err(error);
            };
            if part.done() > from {
                (failures, pause) = (0, PAUSE);
            }
            failures += 1;
            if failures == ATTEMPTS {
                return Err(error);
            }
            sleep(pause).await;
            pause *= 2;
        }
        Ok(fetched)
    }

    /// The bytes of a file from where it has come to: those of a piece, or all that follow from a store without ranges.
    async fn stream(
        &self,
        file: &WeightsFile,
        part: &Part<'_>,
        ranges: &mut bool,
    ) -> Result<(BoxStream<'static, object_store::Result<Bytes>>, u64), WeightsError> {
        let object = file.object();
        loop {
            let range = ranges.then(|| part.done()..part.piece_end());
            let answer = match timeout(SILENCE, self.store.open_range(&object, range)).await {
                Ok(answer) => answer,
                Err(_) => return Err(silent(&file.name).into()),
            };
            let found = match answer {
                Ok(found) => found,
                Err(object_store::Error::NotFound { .. }) => {
                    let name = file.name.clone();
                    return Err(WeightsError::Lost { name, object });
                }
                // everything came where a range was asked for
                Err(object_store::Error::NotSupported { .. }) if *ranges => {
                    *ranges = false;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if found.meta.size != file.bytes {
                return Err(WeightsError::Size {
                    name: file.name.clone(),
                    said: file.bytes,
                    found: found.meta.size,
                });
            }
            let skip = part.done() - found.range.start.min(part.done());
            return Ok((found.into_stream(), skip));
        }
    }

    /// Stores a model's files and then its manifest. What is there already is not sent again. Gives the bytes that were sent.
    ///
    /// # Errors
    /// The store said no.
    pub async fn publish(
        &self,
        manifest: &Manifest,
        contents: &[Bytes],
        progress: &mut dyn FnMut(WeightsProgress<'_>),
    ) -> Result<u64, WeightsError> {
        let (mut done, mut sent) = (0, 0);
        let total = manifest.bytes();
        for (file, content) in manifest.files.iter().zip(contents) {
            let object = file.object();
            if self.store.size(&object).await? != Some(file.bytes) {
                let mut tell = |bytes: u64| {
                    progress(WeightsProgress {
                        name: &file.name,
                        done: done + bytes,
                        total,
                    });
                };
                self.store
                    .put_large(&object, content.clone(), &mut tell)
                    .await?;
                sent += file.bytes;
            }
            done += file.bytes;
        }
        let text = serde_json::to_vec(manifest)
            .map_err(|e| at(std::path::Path::new("manifest"), std::io::Error::other(e)))?;
        let name = manifest_name(&manifest.model_id);
        self.store.put(&name, text.into()).await?;
        Ok(sent)
    }
}

/// Takes what a stream brings until it ends or the file is whole. The inner error may pass.
async fn pour(
    (mut stream, mut skip): (BoxStream<'static, object_store::Result<Bytes>>, u64),
    file: &WeightsFile,
    part: &mut Part<'_>,
    path: &std::path::Path,
    fetched: &mut u64,
    wrong: &mut Option<u64>,
    tell: &mut dyn FnMut(u64),
) -> Result<Option<WeightsError>, WeightsError> {
    let from = part.done();
    while part.done() < file.bytes {
        let bytes = match timeout(SILENCE, stream.next()).await {
            Err(_) => return Ok(Some(silent(&file.name).into())),
            Ok(None) if part.done() == from => {
                let nothing = generic(format!("{}: the answer was empty", file.name));
                return Ok(Some(nothing.into()));
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Ok(Some(error.into())),
            Ok(Some(Ok(bytes))) => bytes,
        };
        *fetched += bytes.len() as u64;
        let skipped = skip.min(bytes.len() as u64);
        skip -= skipped;
        let taken = part.take(&bytes[skipped as usize..]);
        if let Taken::Wrong { piece } = taken.map_err(|e| at(path, e))? {
            // a line may garble once what a store has right
            if wrong.replace(piece) == Some(piece) {
                return Err(WeightsError::Corrupt {
                    name: file.name.clone(),
                    from: part.done(),
                    to: part.piece_end(),
                });
            }
            return Ok(None);
        }
        tell(part.done());
    }
    Ok(None)
}

fn manifest_name(model_id: &Digest) -> String {
    format!("models/{model_id}.json")
}

fn silent(name: &str) -> object_store::Error {
    generic(format!("{name}: nothing came for {} s", SILENCE.as_secs()))
}

fn generic(reason: String) -> object_store::Error {
    object_store::Error::Generic {
        store: "weights",
        source: reason.into(),
    }
}
