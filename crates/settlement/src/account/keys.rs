//! Keys: files under a password, and development keys from a seed.

use std::path::{Path, PathBuf};

use alloy::primitives::keccak256;
use alloy::signers::local::{LocalSigner, PrivateKeySigner};

use super::keystore::{LOG_N, check, encrypted, write_new};

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key is there already; it is never overwritten.
    #[error("{0} exists")]
    Exists(PathBuf),
    /// The path names no file.
    #[error("{0} names no file")]
    Path(PathBuf),
    /// No secret of 32 bytes that is a key.
    #[error("not a secret key: expected 64 hexadecimal digits")]
    Secret,
    /// Wrong password, no keystore, or unreadable.
    #[error("{path}: {reason}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Makes a random key and stores it under a password, in Web3 Secret Storage format.
///
/// # Errors
/// The file exists or cannot be written.
pub fn create_keystore(path: &Path, password: &str) -> Result<PrivateKeySigner, KeyError> {
    let key = PrivateKeySigner::random();
    store_key(&key, path, password)?;
    Ok(key)
}

/// Stores a key under a password, in Web3 Secret Storage format.
///
/// # Errors
/// The file exists or cannot be written.
pub fn store_key(key: &PrivateKeySigner, path: &Path, password: &str) -> Result<(), KeyError> {
    store_with(key, path, password, LOG_N)
}

fn store_with(
    key: &PrivateKeySigner,
    path: &Path,
    password: &str,
    log_n: u8,
) -> Result<(), KeyError> {
    if path.file_name().is_none() {
        return Err(KeyError::Path(path.to_owned()));
    }
    if path.exists() {
        return Err(KeyError::Exists(path.to_owned()));
    }
    let failed = |reason: String| KeyError::Keystore {
        path: path.to_owned(),
        reason,
    };
    let file = encrypted(&key.to_bytes().0, key.address(), password, log_n);
    let file = file.ok_or_else(|| failed("scrypt refuses its parameters".to_owned()))?;
    match write_new(path, &file.to_string()) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(KeyError::Exists(path.to_owned()))
        }
        other => other.map_err(|e| failed(e.to_string())),
    }
}

/// A key from its secret in hexadecimal, with or without `0x`.
///
/// # Errors
/// It is none. The text is not repeated.
pub fn parse_secret(text: &str) -> Result<PrivateKeySigner, KeyError> {
    text.trim().parse().map_err(|_| KeyError::Secret)
}

/// Reads a key from a keystore file.
///
/// # Errors
/// Wrong password, or no keystore.
pub fn load_keystore(path: &Path, password: &str) -> Result<PrivateKeySigner, KeyError> {
    check(path).map_err(|reason| KeyError::Keystore {
        path: path.to_owned(),
        reason,
    })?;
    LocalSigner::decrypt_keystore(path, password).map_err(|e| KeyError::Keystore {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

/// Key number `index` of a development seed: the same on every machine, and known to everybody.
pub fn dev_key(seed: &str, index: u32) -> PrivateKeySigner {
    let mut secret = keccak256([seed.as_bytes(), b"/", &index.to_be_bytes()].concat());
    loop {
        // all but some 2^-128 of the words are keys
        match PrivateKeySigner::from_bytes(&secret) {
            Ok(key) => return key,
            Err(_) => secret = keccak256(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keystore_gives_its_key_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys").join("provider.json");
        let key = parse_secret(&format!("0x{}\n", "17".repeat(32))).unwrap();
        store_with(&key, &path, "secret", 4).unwrap();
        assert_eq!(load_keystore(&path, "secret").unwrap(), key);
        assert!(load_keystore(&path, "wrong").is_err());
        assert!(matches!(
            create_keystore(&path, "secret"),
            Err(KeyError::Exists(_))
        ));
    }

    #[test]
    fn development_keys_are_fixed_and_distinct() {
        assert_eq!(dev_key("gavel", 0), dev_key("gavel", 0));
        assert_ne!(dev_key("gavel", 0), dev_key("gavel", 1));
        assert_ne!(dev_key("gavel", 0), dev_key("other", 0));
    }
}
