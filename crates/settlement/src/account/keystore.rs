//! Web3 Secret Storage, version 3: writing with a strong key derivation, and what is looked at before a file is decrypted.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use aes::Aes128;
use alloy::primitives::{Address, B256, hex, keccak256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use rand::RngCore as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// Rounds of scrypt are 2 to this: a quarter of a second and 256 MiB, as other clients have it.
pub(super) const LOG_N: u8 = 18;
const R: u32 = 8;
const P: u32 = 1;
/// Most that a file may ask for before its password can be tried.
const MAX_SCRYPT_BYTES: u64 = 512 << 20;
const MAX_SCRYPT_PARALLEL: u64 = 16;
const MAX_PBKDF2_ROUNDS: u64 = 10_000_000;
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The file of a secret. `None` where scrypt refuses its parameters, which a test may choose.
pub(super) fn encrypted(
    secret: &[u8; 32],
    address: Address,
    password: &str,
    log_n: u8,
) -> Option<Value> {
    let mut random = rand::rngs::OsRng;
    let (mut salt, mut iv, mut id) = ([0; 32], [0; 16], [0; 16]);
    for part in [&mut salt[..], &mut iv[..], &mut id[..]] {
        random.fill_bytes(part);
    }
    let mut derived = [0; 32];
    let params = scrypt::Params::new(log_n, R, P).ok()?;
    scrypt::scrypt(password.as_bytes(), &salt, &params, &mut derived).ok()?;
    let (ciphertext, mac) = sealed(&derived, iv, secret);
    Some(json!({
        "address": hex::encode(address),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": hex::encode(iv)},
            "ciphertext": hex::encode(ciphertext),
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 1u64 << log_n, "p": P, "r": R, "salt": hex::encode(salt),
            },
            "mac": hex::encode(mac),
        },
        "id": uuid(id),
        "version": 3,
    }))
}

/// Ciphertext and its authentication, under the two halves of the derived key.
fn sealed(derived: &[u8; 32], iv: [u8; 16], secret: &[u8; 32]) -> ([u8; 32], B256) {
    let (mut key, mut mac_key) = ([0; 16], [0; 16]);
    key.copy_from_slice(&derived[..16]);
    mac_key.copy_from_slice(&derived[16..]);
    let mut ciphertext = *secret;
    Ctr128BE::<Aes128>::new(&key.into(), &iv.into()).apply_keystream(&mut ciphertext);
    let mac = keccak256([&mac_key[..], &ciphertext[..]].concat());
    (ciphertext, mac)
}

/// A random UUID (RFC 9562, version 4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

/// Writes a file that nobody else may read, whole or not at all, and never over another. Its folder is made likewise.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    // no name that a process that was killed may have left behind
    let mut random = [0; 8];
    rand::rngs::OsRng.fill_bytes(&mut random);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", hex::encode(random)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&name)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        // unlike a renaming, a second name is never put over a file
        .and_then(|()| std::fs::hard_link(&name, path));
    std::fs::remove_file(&name)?;
    written?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[derive(Deserialize)]
struct Stored {
    crypto: Crypto,
    version: u64,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u64,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    r: u64,
    #[serde(default)]
    p: u64,
    #[serde(default)]
    c: u64,
    #[serde(default)]
    prf: String,
}

/// Refuses what is no keystore, and one that asks for more memory or time than any honest one: a file is a stranger's until
/// its password fits.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("more than {MAX_FILE_BYTES} bytes: no keystore"));
    }
    checked(&text)
}

fn checked(text: &str) -> Result<(), String> {
    let Stored { crypto, version } =
        serde_json::from_str(text).map_err(|e| format!("no keystore: {e}"))?;
    let expect = |what: &str, found: String, expected: &str| match found == expected {
        true => Ok(()),
        false => Err(format!("{what} {found}; expected {expected}")),
    };
    expect("version", version.to_string(), "3")?;
    expect("cipher", crypto.cipher, "aes-128-ctr")?;
    expect(
        "derived key of bytes",
        crypto.kdfparams.dklen.to_string(),
        "32",
    )?;
    for (what, hex, bytes) in [
        ("iv", &crypto.cipherparams.iv, 16),
        ("ciphertext", &crypto.ciphertext, 32),
        ("mac", &crypto.mac, 32),
    ] {
        expect(
            &format!("{what} of hex digits"),
            hex.len().to_string(),
            &(2 * bytes).to_string(),
        )?;
    }
    let KdfParams {
        n, r, p, c, prf, ..
    } = crypto.kdfparams;
    match crypto.kdf.as_str() {
        "scrypt" => {
            let bytes = n.checked_mul(r).and_then(|nr| nr.checked_mul(128));
            if !n.is_power_of_two() || n < 2 || r == 0 || p == 0 || p > MAX_SCRYPT_PARALLEL {
                return Err(format!(
                    "scrypt with n {n}, r {r}, p {p}; expected n a power of two, r and p of 1 and more, p up to {MAX_SCRYPT_PARALLEL}"
                ));
            }
            if u64::from(n.ilog2()) >= r.saturating_mul(16) {
                return Err(format!(
                    "scrypt with n {n} and r {r}; expected n below {} (RFC 7914)",
                    1u64 << (16 * r)
                ));
            }
            match bytes {
                Some(bytes) if bytes <= MAX_SCRYPT_BYTES => Ok(()),
                _ => Err(format!(
                    "scrypt with n {n} and r {r} takes more than {} MiB",
                    MAX_SCRYPT_BYTES >> 20
                )),
            }
        }
        "pbkdf2" => {
            expect("prf", prf, "hmac-sha256")?;
            match (1..=MAX_PBKDF2_ROUNDS).contains(&c) {
                true => Ok(()),
                false => Err(format!(
                    "pbkdf2 of {c} rounds; expected 1 to {MAX_PBKDF2_ROUNDS}"
                )),
            }
        }
        other => Err(format!("key derivation {other}; expected scrypt or pbkdf2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two test vectors of the format's own page; password `testpassword`.
    const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    #[test]
    fn the_vectors_of_the_format_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pbkdf2");
        std::fs::write(&path, PBKDF2).unwrap();
        let key = super::super::load_keystore(&path, "testpassword").unwrap();
        assert_eq!(hex::encode(key.to_bytes()), SECRET);
        // the derived keys that the page gives, with what is made of them
        for (derived, text) in [
            (
                "f06d69cdc7da0faffb1008270bca38f5e31891a3a773950e6d0fea48a7188551",
                PBKDF2,
            ),
            (
                "fac192ceb5fd772906bea3e118a69e8bbb5cc24229e20d8766fd298291bba6bd",
                SCRYPT,
            ),
        ] {
            let crypto = serde_json::from_str::<Stored>(text).unwrap().crypto;
            let bytes = |text: &str| hex::decode(text).unwrap();
            let derived = bytes(derived).try_into().unwrap();
            let iv = bytes(&crypto.cipherparams.iv).try_into().unwrap();
            let secret = bytes(SECRET).try_into().unwrap();
            let (ciphertext, mac) = sealed(&derived, iv, &secret);
            assert_eq!(hex::encode(ciphertext), crypto.ciphertext);
            assert_eq!(hex::encode(mac), crypto.mac);
        }
        // the page's scrypt parameters are outside of RFC 7914, which the libraries hold to
        assert!(checked(SCRYPT).unwrap_err().contains("65536"));
    }

    #[test]
    fn what_is_written_is_read_and_is_its_owner_s_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/one.json");
        let key = super::super::dev_key("keystore", 0);
        let file = encrypted(&key.to_bytes().0, key.address(), "pass", 4).unwrap();
        write_new(&path, &file.to_string()).unwrap();
        assert_eq!(super::super::load_keystore(&path, "pass").unwrap(), key);
        assert!(super::super::load_keystore(&path, "word").is_err());
        assert!(write_new(&path, "{}").is_err(), "written over");
        // what a process of this number has left behind is in nobody's way
        let other = folder.path().join("two.json");
        let left = format!("two.json.{}.new", std::process::id());
        std::fs::write(folder.path().join(left), "").unwrap();
        write_new(&other, "{}").unwrap();
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            assert_eq!(mode(path.parent().unwrap()), 0o700);
        }
        let id = file["id"].as_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
    }

    #[test]
    fn greedy_and_broken_files_are_refused_before_anything_is_derived() {
        let scrypt = SCRYPT.replace("\"p\":8,\"r\":1", "\"p\":1,\"r\":8");
        for text in [PBKDF2, &scrypt] {
            checked(text).unwrap();
        }
        for (from, to) in [
            ("\"n\":262144", "\"n\":1073741824"),
            ("\"n\":262144", "\"n\":262143"),
            ("\"n\":262144", "\"n\":18446744073709551615"),
            ("\"r\":8", "\"r\":4294967295"),
            ("\"r\":8", "\"r\":0"),
            ("\"p\":1", "\"p\":4096"),
            ("\"dklen\":32", "\"dklen\":16"),
            ("\"version\":3", "\"version\":1"),
            ("aes-128-ctr", "aes-128-cbc"),
            ("\"iv\":\"83", "\"iv\":\""),
            ("\"kdf\":\"scrypt\"", "\"kdf\":\"argon\""),
            ("\"mac\":\"21", "\"mac\":\""),
        ] {
            let bad = scrypt.replace(from, to);
            assert_ne!(bad, scrypt);
            assert!(checked(&bad).is_err(), "{to}");
        }
        for (from, to) in [
            ("262144", "4294967295"),
            ("262144", "0"),
            ("hmac-sha256", "hmac-md5"),
        ] {
            assert!(checked(&PBKDF2.replace(from, to)).is_err(), "{to}");
        }
    }
}
