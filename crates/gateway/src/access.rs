//! Who may ask.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use alloy_primitives::Address;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};

use crate::ApiError;
use crate::keys::{ApiKey, KeyFile, KeyFileError};
use crate::limits::Caller;
use crate::nonces::Nonces;

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
    /// Whoever has a key of a file, which is read again when it changes, or signs for an account that is there.
    Keys(KeyRing),
}

/// A file of keys as it was read last.
#[derive(Debug)]
pub struct KeyRing {
    path: PathBuf,
    read: RwLock<(Option<SystemTime>, KeyFile)>,
    nonces: Arc<Nonces>,
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
}

impl Access {
    /// The keys in a file, and what its accounts have signed.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn keys(path: &Path, nonces: Nonces) -> Result<Access, KeyFileError> {
        Ok(Access::Keys(KeyRing {
            path: path.to_owned(),
            read: RwLock::new((changed(path), KeyFile::load(path)?)),
            nonces: Arc::new(nonces),
        }))
    }

    /// Who asks, by the `Authorization` of a request.
    ///
    /// # Errors
    /// There is none, or it is nobody's.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let ring = match self {
            Access::Anybody { max_concurrent } => {
                if !is_of_this_machine(headers) {
                    return Err(ApiError::client(
                        StatusCode::FORBIDDEN,
                        "foreign_page",
                        "Without keys only programs on this machine may ask, and no pages of a browser",
                    ));
                }
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
            ApiError::key(
                "You didn't provide an API key. Send it as `Authorization: Bearer KEY`, or sign the request",
            )
        };
        let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let secret = header.to_str().ok().and_then(|text| text.split_once(' '));
        let secret = secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, secret) = secret.ok_or_else(missing)?;
        ring.find(secret.trim())
            .ok_or_else(|| ApiError::key("Incorrect API key provided"))
    }
}

/// Not from a page in a browser, which would spend by being looked at: a browser names the page, or, where a name of the
/// page's own leads here, that name.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    if headers.contains_key(ORIGIN) {
        return false;
    }
    headers.get(HOST).is_none_or(|host| {
        let host = host.to_str().unwrap_or_default();
        let name = match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next(),
            None => host.split(':').next(),
        };
        let name = name.unwrap_or_default();
        let address = name.parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

impl KeyRing {
    fn find(&self, secret: &str) -> Option<Caller> {
        self.caller(|file| file.find(secret))
    }

    /// Who signs with an account.
    pub(crate) fn caller_of(&self, account: &Address) -> Option<Caller> {
        self.caller(|file| file.of_account(account))
    }

    /// What was signed and taken.
    pub(crate) fn nonces(&self) -> &Arc<Nonces> {
        &self.nonces
    }

    fn caller(&self, find: impl FnOnce(&KeyFile) -> Option<&ApiKey>) -> Option<Caller> {
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
        find(&read.1).map(|key| Caller {
            name: key.name.clone(),
            budget: key.budget(),
            requests_per_minute: key.requests_per_minute,
            max_concurrent: key.max_concurrent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_no_page_of_a_browser_may_spend() {
        let access = Access::Anybody { max_concurrent: 1 };
        let may = |named: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in named {
                headers.insert(*name, value.parse().unwrap());
            }
            let asked = access.caller(&headers);
            asked.map(drop).map_err(|e| (e.status.as_u16(), e.code))
        };
        for host in [
            "127.0.0.1:4280",
            "127.9.9.9",
            "localhost",
            "LocalHost:4280",
            "[::1]:4280",
        ] {
            assert_eq!(may(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(may(&[]), Ok(()), "no browser leaves it out");
        let refused = Err((403, "foreign_page"));
        for host in [
            "evil.example",
            "evil.example:4280",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.168.0.7:4280",
            "[2001:db8::1]",
            "",
        ] {
            assert_eq!(may(&[("host", host)]), refused, "{host}");
        }
        for origin in ["https://evil.example", "null", "http://localhost:4280"] {
            let named = [("host", "localhost:4280"), ("origin", origin)];
            assert_eq!(may(&named), refused, "{origin}");
        }
    }
}
