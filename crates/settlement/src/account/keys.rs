//! Keys: files under a password, and development keys from a seed.

use std::path::{Path, PathBuf};

use alloy::primitives::keccak256;
use alloy::signers::local::{LocalSigner, PrivateKeySigner};

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
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let (folder, Some(name)) = (
        folder.unwrap_or(Path::new(".")),
        path.file_name().and_then(|n| n.to_str()),
    ) else {
        return Err(KeyError::Path(path.to_owned()));
    };
    if path.exists() {
        return Err(KeyError::Exists(path.to_owned()));
    }
    let failed = |reason: String| KeyError::Keystore {
        path: path.to_owned(),
        reason,
    };
    std::fs::create_dir_all(folder).map_err(|e| failed(e.to_string()))?;
    let key = PrivateKeySigner::random();
    let secret = key.to_bytes();
    LocalSigner::encrypt_keystore(
        folder,
        &mut rand::thread_rng(),
        secret,
        password,
        Some(name),
    )
    .map_err(|e| failed(e.to_string()))?;
    Ok(key)
}

/// Reads a key from a keystore file.
///
/// # Errors
/// Wrong password, or no keystore.
pub fn load_keystore(path: &Path, password: &str) -> Result<PrivateKeySigner, KeyError> {
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
        let key = create_keystore(&path, "secret").unwrap();
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
