//! API keys: a file of hashes with what each key may spend and how fast.

use std::io::Write as _;
use std::path::Path;

use alloy_primitives::{Address, B256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Version of the file format that this crate writes and reads.
pub const KEYS_FORMAT: u32 = 1;
/// What a key begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "gvk-";
const MAX_KEYS: usize = 10_000;
const TWICE: &str = "its account has an entry";

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Name, unique in the file.
    pub name: String,
    /// SHA-256 of the key, in hex. A key has 256 random bits: nothing slower is needed. Absent where an account is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The account that signs requests in place of a key: of a key or a contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Address>,
    /// The most that its tasks may cost together, in units of the asset; no bound where absent.
    pub budget: Option<String>,
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Requests at once.
    pub max_concurrent: u32,
}

impl ApiKey {
    /// The budget as a number.
    pub fn budget(&self) -> Option<u128> {
        // checked when the file was read
        self.budget.as_ref().and_then(|text| text.parse().ok())
    }
}

/// All keys of a gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// [`KEYS_FORMAT`].
    pub format: u32,
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Names that were taken out of force. Tasks and spending are by name: a new key would have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
}

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not JSON, or not this shape.
    #[error("no file of API keys: {0}")]
    Json(#[from] serde_json::Error),
    /// A format version that this crate does not know.
    #[error("format {0} of API keys: this program knows {KEYS_FORMAT}")]
    Format(u32),
    /// A key that is malformed.
    #[error("key {name:?}: {reason}")]
    Key {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Default for KeyFile {
    fn default() -> KeyFile {
        KeyFile {
            format: KEYS_FORMAT,
            keys: Vec::new(),
            revoked: Vec::new(),
        }
    }
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn load(path: &Path) -> Result<KeyFile, KeyFileError> {
        let file: KeyFile = serde_json::from_slice(&std::fs::read(path)?)?;
        if file.format != KEYS_FORMAT {
            return Err(KeyFileError::Format(file.format));
        }
        let wrong = |key: &ApiKey, reason| KeyFileError::Key {
            name: key.name.clone(),
            reason,
        };
        for (i, key) in file.keys.iter().enumerate() {
            let is_hash =
                |hash: &String| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            match (&key.sha256, &key.account) {
                (Some(hash), None) if !is_hash(hash) => {
                    return Err(wrong(key, "sha256 is not 64 hexadecimal digits"));
                }
                (Some(_), None) => {}
                (None, Some(account)) if is_there(&file.keys[..i], account) => {
                    return Err(wrong(key, TWICE));
                }
                (None, Some(_)) => {}
                _ => return Err(wrong(key, "expected either sha256 or account")),
            }
            if key.budget.is_some() && key.budget().is_none() {
                return Err(wrong(
                    key,
                    "budget is not a whole number of the asset's units",
                ));
            }
            if i >= MAX_KEYS || file.keys[..i].iter().any(|other| other.name == key.name) {
                return Err(wrong(
                    key,
                    "its name is there twice, or there are too many keys",
                ));
            }
        }
        Ok(file)
    }

    /// Writes the file, whole or not at all, readable by its owner alone.
    ///
    /// # Errors
    /// The file system said no.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&name)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(name, path)?;
        Ok(())
    }

    /// Makes a key and gives its secret, which is written nowhere.
    ///
    /// # Errors
    /// The name is there already, or was.
    pub fn add(&mut self, key: ApiKey) -> Result<String, KeyFileError> {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(B256::random()));
        self.push(ApiKey {
            sha256: Some(hash(&secret)),
            account: None,
            ..key
        })?;
        Ok(secret)
    }

    /// Lets an account sign requests.
    ///
    /// # Errors
    /// The name is there already, or was; or the account is.
    pub fn add_account(&mut self, key: ApiKey, account: Address) -> Result<(), KeyFileError> {
        if is_there(&self.keys, &account) {
            return Err(KeyFileError::Key {
                name: key.name,
                reason: TWICE,
            });
        }
        self.push(ApiKey {
            sha256: None,
            account: Some(account),
            ..key
        })
    }

    fn push(&mut self, key: ApiKey) -> Result<(), KeyFileError> {
        if self.keys.iter().any(|other| other.name == key.name) {
            return Err(KeyFileError::Key {
                name: key.name,
                reason: "there is a key of this name",
            });
        }
        if self.revoked.contains(&key.name) {
            return Err(KeyFileError::Key {
                name: key.name,
                reason: "a key of this name was revoked, and its tasks are of that name; take another",
            });
        }
        self.keys.push(key);
        Ok(())
    }

    /// Removes a key for good; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.keys.len();
        self.keys.retain(|key| key.name != name);
        let was_there = self.keys.len() < before;
        if was_there {
            self.revoked.push(name.to_owned());
        }
        was_there
    }

    /// The key with this secret. Looks at all of them for the same time whichever it is.
    pub fn find(&self, secret: &str) -> Option<&ApiKey> {
        let hash = hash(secret);
        let (mut found, mut place) = (Choice::from(0), 0u64);
        for (i, key) in (0u64..).zip(&self.keys) {
            let Some(lower) = key.sha256.as_ref().map(|hash| hash.to_ascii_lowercase()) else {
                continue;
            };
            let same = lower.as_bytes().ct_eq(hash.as_bytes());
            place.conditional_assign(&i, same);
            found |= same;
        }
        let place = usize::try_from(place).ok()?;
        bool::from(found).then(|| self.keys.get(place)).flatten()
    }

    /// The entry of an account.
    pub fn of_account(&self, account: &Address) -> Option<&ApiKey> {
        self.keys
            .iter()
            .find(|key| key.account.as_ref() == Some(account))
    }
}

fn is_there(keys: &[ApiKey], account: &Address) -> bool {
    keys.iter().any(|key| key.account.as_ref() == Some(account))
}

/// SHA-256 in hex.
pub(crate) fn hash(bytes: impl AsRef<[u8]>) -> String {
    gavel_trace::Digest(Sha256::digest(bytes).into())
        .to_string()
        .trim_start_matches("0x")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ApiKey {
        ApiKey {
            name: name.to_owned(),
            sha256: None,
            account: None,
            budget: Some("5".to_owned()),
            requests_per_minute: 60,
            max_concurrent: 2,
        }
    }

    #[test]
    fn a_key_is_found_by_its_secret_alone_also_after_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let mut file = KeyFile::default();
        let secrets: Vec<_> = ["a", "b"].map(|name| file.add(key(name)).unwrap()).into();
        assert!(file.add(key("a")).is_err());
        file.save(&path).unwrap();
        let mut file = KeyFile::load(&path).unwrap();
        assert_eq!(file.find(&secrets[0]).unwrap().name, "a");
        assert_eq!(file.find(&secrets[1]).unwrap().name, "b");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(secrets.iter().all(|secret| !text.contains(secret)));
        for wrong in ["", "gvk-", &secrets[0][..20], &format!("{}x", secrets[0])] {
            assert!(file.find(wrong).is_none());
        }
        assert!(file.remove("a") && !file.remove("a"));
        assert!(file.find(&secrets[0]).is_none());
        // whoever had the name next would have its tasks
        file.save(&path).unwrap();
        let mut file = KeyFile::load(&path).unwrap();
        assert!(matches!(file.add(key("a")), Err(KeyFileError::Key { .. })));
        file.add(key("c")).unwrap();
    }

    #[test]
    fn a_broken_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let mut broken = KeyFile::default();
        broken.keys.push(ApiKey {
            sha256: Some("00".to_owned()),
            ..key("short hash")
        });
        let mut neither = KeyFile::default();
        neither.keys.push(key("neither"));
        let mut both = KeyFile::default();
        both.add(key("both")).unwrap();
        both.keys[0].account = Some(Address::ZERO);
        let mut shared = KeyFile::default();
        shared.add_account(key("a"), Address::ZERO).unwrap();
        shared.add_account(key("b"), Address::ZERO).unwrap_err();
        shared
            .add_account(key("b"), Address::repeat_byte(1))
            .unwrap();
        shared.keys[1].account = Some(Address::ZERO);
        let mut twice = KeyFile::default();
        twice.add(key("a")).unwrap();
        twice.keys.push(twice.keys[0].clone());
        let mut price = KeyFile::default();
        price
            .add(ApiKey {
                budget: Some("1.5".to_owned()),
                ..key("a")
            })
            .unwrap();
        for file in [broken, neither, both, shared, twice, price] {
            file.save(&path).unwrap();
            assert!(matches!(
                KeyFile::load(&path),
                Err(KeyFileError::Key { .. })
            ));
        }
        std::fs::write(&path, "{\"format\": 2, \"keys\": []}").unwrap();
        assert!(matches!(KeyFile::load(&path), Err(KeyFileError::Format(2))));
    }
}
