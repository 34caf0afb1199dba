//! The program in a folder, against a chain.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// It, with nothing of the environment that would name another place.
pub(crate) fn command(dir: &Path, rpc: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command
        .args(args)
        .current_dir(dir)
        .env("GAVEL_PASSWORD", "correct horse")
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("GAVEL_RPC", rpc)
        .env_remove("GAVEL_STATE")
        .env_remove("GAVEL_DEPLOYMENT")
        .env_remove("GAVEL_BLOBS")
        .env_remove("GAVEL_API_KEYS")
        .stdin(Stdio::null());
    command
}

/// What it answers; it must succeed.
pub(crate) fn answer(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}
