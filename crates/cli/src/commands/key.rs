//! `gavel key new|address|import|export|list`

use std::io::Read as _;
use std::path::Path;

use gavel_settlement::account::{create_keystore, load_keystore, parse_secret, store_key};
use gavel_settlement::alloy::primitives::Address;
use serde_json::json;

use crate::args::{KeyCommand, PasswordArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::network::{key_failure, password};
use crate::output::Output;

pub(crate) fn run(command: &KeyCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        KeyCommand::New { file, password } => new(file, password, out),
        KeyCommand::Address { file, password } => address(file, password, out),
        KeyCommand::Import {
            file,
            from,
            password,
        } => import(file, from.as_deref(), password, out),
        KeyCommand::Export { file, password } => export(file, password, out),
        KeyCommand::List { folder } => list(folder, out),
    }
}

const MAX_SECRET_BYTES: u64 = 1 << 10;
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The password of a file that is about to be made.
fn new_password(file: &Path, args: &PasswordArgs) -> Result<String, Failure> {
    let password = password(args)?;
    if password.is_empty() {
        return Err(Failure::usage("the password is empty").expected("at least one character"));
    }
    if file.exists() {
        return Err(Failure::new(format!("{} exists", file.display()))
            .expected("a new file: keys are never overwritten"));
    }
    Ok(password)
}

fn new(file: &Path, args: &PasswordArgs, out: Output) -> Result<Exit, Failure> {
    let password = new_password(file, args)?;
    let key = create_keystore(file, &password).map_err(Failure::new)?;
    written(file, key.address(), out)
}

fn import(
    file: &Path,
    from: Option<&Path>,
    args: &PasswordArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let password = new_password(file, args)?;
    let text = match from {
        Some(from) => files::read(from, MAX_SECRET_BYTES, "a file with a secret key")?,
        None => {
            let mut text = Vec::new();
            let mut stdin = std::io::stdin().take(MAX_SECRET_BYTES);
            stdin.read_to_end(&mut text).at("standard input")?;
            text
        }
    };
    let text = String::from_utf8_lossy(&text);
    let key = parse_secret(&text).map_err(Failure::new)?;
    store_key(&key, file, &password).map_err(Failure::new)?;
    written(file, key.address(), out)
}

fn export(file: &Path, args: &PasswordArgs, out: Output) -> Result<Exit, Failure> {
    out.confirm(&format!("show the secret key of {}", file.display()))?;
    let key = load_keystore(file, &password(args)?).map_err(|e| key_failure(file, e))?;
    let secret = key.to_bytes().to_string();
    out.line(&secret);
    out.json(&json!({"address": key.address(), "secret": secret}))?;
    Ok(Exit::Done)
}

fn list(folder: &Path, out: Output) -> Result<Exit, Failure> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(folder).at(folder.display())? {
        let path = entry.at(folder.display())?.path();
        if let Some(address) = named(&path) {
            keys.push((path, address));
        }
    }
    keys.sort();
    let rows = keys
        .iter()
        .map(|(path, address)| vec![address.clone(), path.display().to_string()]);
    out.table(&["address", "file"], rows.collect(), &[]);
    let objects = keys
        .iter()
        .map(|(path, address)| json!({"address": address, "file": path}));
    out.json(&json!({"keys": objects.collect::<Vec<_>>()}))?;
    Ok(Exit::Done)
}

/// The address that a key file names, unproved and perhaps not at all; `None` for other files.
fn named(path: &Path) -> Option<String> {
    if !path.is_file() || path.metadata().ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let file: serde_json::Value = serde_json::from_str(&text).ok()?;
    file.get("crypto")?.get("kdf")?;
    let address = file
        .get("address")
        .and_then(|a| a.as_str()?.parse::<Address>().ok());
    Some(address.map_or_else(|| "not named".to_owned(), |a| a.to_string()))
}

fn written(file: &Path, address: Address, out: Output) -> Result<Exit, Failure> {
    out.facts(&[
        ("address", address.to_string()),
        ("written", file.display().to_string()),
    ]);
    out.next(format!("gavel key address {}", file.display()));
    out.json(&json!({"address": address, "file": file}))?;
    Ok(Exit::Done)
}

fn address(file: &Path, args: &PasswordArgs, out: Output) -> Result<Exit, Failure> {
    let key = load_keystore(file, &password(args)?).map_err(|e| key_failure(file, e))?;
    out.line(key.address().to_string());
    out.json(&json!({"address": key.address()}))?;
    Ok(Exit::Done)
}
