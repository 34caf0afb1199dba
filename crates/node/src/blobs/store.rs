//! Bytes by name: bounded before they are read, asked for again when a line breaks, and never waited for without end.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::prefix::PrefixStore;
use object_store::{GetOptions, GetResult, ObjectStore, ObjectStoreExt as _};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::NodeError;

/// Longest time of one attempt.
const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts at what failed on the way.
const ATTEMPTS: u32 = 4;
/// Pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are sent at once of what is large.
const SENT: usize = 16 << 20;
/// Longest time of a request, however much it brings; whoever waits for one watches it more closely.
const REQUEST: &str = "1h";

/// A store, and how it is asked. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    inner: Arc<dyn ObjectStore>,
    patience: Duration,
}

/// A blob that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was written.
    pub written: SystemTime,
}

impl Store {
    pub(super) fn memory() -> Store {
        Store::over(Arc::new(InMemory::new()))
    }

    pub(super) fn over(inner: Arc<dyn ObjectStore>) -> Store {
        Store {
            inner,
            patience: PATIENCE,
        }
    }

    #[cfg(test)]
    pub(super) fn patience(self, patience: Duration) -> Store {
        Store { patience, ..self }
    }

    /// A directory, created if absent.
    pub(super) fn directory(path: &Path) -> Result<Store, NodeError> {
        let failed = |source: std::io::Error| {
            NodeError::Store(object_store::Error::Generic {
                store: "directory",
                source: format!("{}: {source}", path.display()).into(),
            })
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        Ok(Store::over(Arc::new(LocalFileSystem::new_with_prefix(
            path,
        )?)))
    }

    /// A directory, or a URL: `file:`, `http:`, `https:`, `s3:`, `gs:`, `az:`. What those need more (keys, regions,
    /// endpoints) comes from the variables of their own tools: `AWS_...`, `GOOGLE_...`, `AZURE_...`.
    pub(crate) fn open(place: &str) -> Result<Store, NodeError> {
        let url = match Url::parse(place) {
            // a letter and a colon begin a path on some systems
            Ok(url) if url.scheme().len() > 1 => url,
            _ => return Store::directory(Path::new(place)),
        };
        if url.scheme() == "file" {
            return match url.to_file_path() {
                Ok(path) => Store::directory(&path),
                Err(()) => Store::directory(Path::new(url.path())),
            };
        }
        let own = std::env::vars().filter(|(name, _)| {
            ["AWS_", "GOOGLE_", "AZURE_"]
                .iter()
                .any(|p| name.starts_with(p))
        });
        let own = own.map(|(name, value)| (name.to_lowercase(), value));
        // who writes http: means it
        let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
        let request = [("timeout".to_owned(), REQUEST.to_owned())];
        let options = request.into_iter().chain(own).chain(plain);
        let (store, prefix) = object_store::parse_url_opts(&url, options)?;
        Ok(Store::over(Arc::new(PrefixStore::new(store, prefix))))
    }

    /// The bytes of a blob. One of more than `most` bytes is corrupt, and not read.
    pub(crate) async fn get(&self, name: &str, most: u64) -> Result<Option<Bytes>, NodeError> {
        let path = Name::from(name);
        let read = || async {
            let found = self.inner.get(&path).await?;
            let size = found.meta.size;
            if size > most {
                return Ok(Err(size));
            }
            found.bytes().await.map(Ok)
        };
        match self.patiently(name, read).await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(size)) => Err(NodeError::Blob {
                name: name.to_owned(),
                reason: format!("it has {size} bytes, and what belongs there at most {most}"),
            }),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), NodeError> {
        let path = Name::from(name);
        let write = || async {
            self.inner
                .put(&path, bytes.clone().into())
                .await
                .map(|_| ())
        };
        Ok(self.patiently(name, write).await?)
    }

    /// An answer with the bytes of a blob, all or those of a range: asked for once, and not waited for.
    pub(crate) async fn open_range(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> object_store::Result<GetResult> {
        let options = GetOptions {
            range: range.map(Into::into),
            ..GetOptions::default()
        };
        self.inner.get_opts(&Name::from(name), options).await
    }

    /// The size of a blob, if it is there.
    pub(crate) async fn size(&self, name: &str) -> Result<Option<u64>, NodeError> {
        let path = Name::from(name);
        match self.patiently(name, || self.inner.head(&path)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Stores a blob of any size, in parts where the store takes them; `sent` hears how many bytes have gone.
    pub(crate) async fn put_large(
        &self,
        name: &str,
        bytes: Bytes,
        sent: &mut dyn FnMut(u64),
    ) -> Result<(), NodeError> {
        let path = Name::from(name);
        let parts = bytes.len().div_ceil(SENT).max(1) as u32;
        let begun = match parts {
            1 => Err(object_store::Error::NotImplemented {
                operation: String::new(),
                implementer: String::new(),
            }),
            _ => self.inner.put_multipart(&path).await,
        };
        let mut upload = match begun {
            Ok(upload) => upload,
            // at once, in as much time as the parts would have
            Err(object_store::Error::NotImplemented { .. }) => {
                let patient = Store {
                    inner: Arc::clone(&self.inner),
                    patience: self.patience.saturating_mul(parts),
                };
                let size = bytes.len() as u64;
                patient.put(name, bytes).await?;
                sent(size);
                return Ok(());
            }
            Err(other) => return Err(other.into()),
        };
        for from in (0..bytes.len()).step_by(SENT) {
            let to = (from + SENT).min(bytes.len());
            // the store's client asks again when a line breaks; a part that was begun cannot be begun again here
            let part = upload.put_part(bytes.slice(from..to).into());
            let done = match timeout(self.patience, part).await {
                Ok(done) => done,
                Err(_) => Err(object_store::Error::Generic {
                    store: "blobs",
                    source: format!("{name}: a part was not taken within {:?}", self.patience)
                        .into(),
                }),
            };
            if let Err(error) = done {
                // what was sent is of no use any more, and a store may charge for it
                let _ = upload.abort().await;
                return Err(error.into());
            }
            sent(to as u64);
        }
        upload.complete().await?;
        Ok(())
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), NodeError> {
        let path = Name::from(name);
        match self.patiently(name, || self.inner.delete(&path)).await {
            // somebody else was faster
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Blobs in a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Found>, NodeError> {
        let path = Name::from(folder);
        let list = || self.inner.list_with_delimiter(Some(&path));
        let found = self.patiently(folder, list).await?;
        let each = found.objects.into_iter().map(|object| Found {
            name: object.location.to_string(),
            size: object.size,
            written: object.last_modified.into(),
        });
        Ok(each.collect())
    }

    /// What comes of an operation within bounded attempts of bounded time.
    async fn patiently<T, W: Future<Output = object_store::Result<T>>>(
        &self,
        name: &str,
        work: impl Fn() -> W,
    ) -> object_store::Result<T> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let error = match timeout(self.patience, work()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                Err(_) => object_store::Error::Generic {
                    store: "blobs",
                    source: format!("{name}: no answer within {:?}", self.patience).into(),
                },
            };
            // whatever has a name of its own is an answer, and the same tomorrow
            let broken = matches!(&error, object_store::Error::Generic { .. });
            if !broken || attempt == ATTEMPTS {
                return Err(error);
            }
            sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }
}
