//! Who may ask.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::ApiError;
use crate::keys::{KeyFile, KeyFileError};
use crate::limits::Caller;

/// Name of whoever asks where no key is wanted.
const ANYBODY: &str = "anybody";

/// Who may ask.
#[derive(Debug)]
pub enum Access {
    /// Whoever reaches the listener: for loopback alone.
    Anybody {
        /// Requests at once.
        max_concurrent: u32,
    },
    /// Whoever has a key of a file, which is read again when it changes.
    Keys(KeyRing),
}

/// A file of keys as it was read last.
#[derive(Debug)]
pub struct KeyRing {
    path: PathBuf,
    read: RwLock<(Option<SystemTime>, KeyFile)>,
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
}

impl Access {
    /// The keys in a file.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn keys(path: &Path) -> Result<Access, KeyFileError> {
        Ok(Access::Keys(KeyRing {
            path: path.to_owned(),
            read: RwLock::new((changed(path), KeyFile::load(path)?)),
        }))
    }

    /// Who asks, by the `Authorization` of a request.
    ///
    /// # Errors
    /// There is none, or it is nobody's.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let ring = match self {
            Access::Anybody { max_concurrent } => {
                return Ok(Caller {
                    name: ANYBODY.to_owned(),
                    budget: None,
                    requests_per_minute: u32::MAX,
                    max_concurrent: *max_concurrent,
                });
            }
            Access::Keys(ring) => ring,
        };
        let missing = || {
            ApiError::key("You didn't provide an API key. Send it as `Authorization: Bearer KEY`")
        };
        let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let secret = header.to_str().ok().and_then(|text| text.split_once(' '));
        let secret = secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, secret) = secret.ok_or_else(missing)?;
        ring.find(secret.trim())
            .ok_or_else(|| ApiError::key("Incorrect API key provided"))
    }
}

impl KeyRing {
    fn find(&self, secret: &str) -> Option<Caller> {
        let now = changed(&self.path);
        // a panic elsewhere leaves the file that was read whole
        let is_old = self.read.read().unwrap_or_else(PoisonError::into_inner).0 != now;
        if is_old {
            let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
            // of a file that cannot be read now the last one stays in force
            if let Ok(file) = KeyFile::load(&self.path) {
                *read = (now, file);
            }
        }
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.1.find(secret).map(|key| Caller {
            name: key.name.clone(),
            budget: key.budget(),
            requests_per_minute: key.requests_per_minute,
            max_concurrent: key.max_concurrent,
        })
    }
}
