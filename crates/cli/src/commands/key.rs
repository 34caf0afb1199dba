//! `gavel key new|address`

use std::path::Path;

use gavel_settlement::account::{create_keystore, load_keystore};
use serde_json::json;

use crate::args::{KeyCommand, PasswordArgs};
use crate::failure::{Exit, Failure};
use crate::network::{key_failure, password};
use crate::output::Output;

pub(crate) fn run(command: &KeyCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        KeyCommand::New { file, password } => new(file, password, out),
        KeyCommand::Address { file, password } => address(file, password, out),
    }
}

fn new(file: &Path, args: &PasswordArgs, out: Output) -> Result<Exit, Failure> {
    let password = password(args)?;
    if password.is_empty() {
        return Err(Failure::usage("the password is empty").expected("at least one character"));
    }
    if file.exists() {
        return Err(Failure::new(format!("{} exists", file.display()))
            .expected("a new file: keys are never overwritten"));
    }
    let key = create_keystore(file, &password).map_err(Failure::new)?;
    private(file)?;
    out.facts(&[
        ("address", key.address().to_string()),
        ("written", file.display().to_string()),
    ]);
    out.next(format!("gavel key address {}", file.display()));
    out.json(&json!({"address": key.address(), "file": file}))?;
    Ok(Exit::Done)
}

/// Nobody else on this machine needs to read it, encrypted as it is.
fn private(file: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        use crate::failure::Context as _;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).at(file.display())?;
    }
    Ok(())
}

fn address(file: &Path, args: &PasswordArgs, out: Output) -> Result<Exit, Failure> {
    let key = load_keystore(file, &password(args)?).map_err(|e| key_failure(file, e))?;
    out.line(key.address().to_string());
    out.json(&json!({"address": key.address()}))?;
    Ok(Exit::Done)
}
