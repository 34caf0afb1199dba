//! Commands that need a password, and a chain that runs while they do.
#![allow(dead_code, clippy::unwrap_used)] // each test uses a part

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::common::text;

const PASSWORD: &str = "correct horse";

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command
        .args(args)
        .arg("--json")
        .current_dir(dir)
        .env("GAVEL_PASSWORD", PASSWORD)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env_remove("GAVEL_STATE")
        .env_remove("GAVEL_RPC")
        .env_remove("GAVEL_DEPLOYMENT")
        .stdin(Stdio::null());
    command
}

/// Runs to the end; gives status, the object printed, and standard error.
pub(crate) fn gavel(dir: &Path, args: &[&str]) -> (Option<i32>, Value, String) {
    let output = command(dir, args).output().unwrap();
    let object = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), object, text(&output.stderr))
}

/// Starts the chain in this database of `dir` and gives its endpoint and block.
pub(crate) fn chain_up(dir: &Path, database: &str) -> (Running, String, u64) {
    chain_up_with(dir, database, &[])
}

/// [`chain_up`] with more arguments.
pub(crate) fn chain_up_with(dir: &Path, database: &str, more: &[&str]) -> (Running, String, u64) {
    let mut child = command(dir, &["chain", "up", "--port", "0", "--data-dir", database])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let first: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(first["event"], "listening");
    let url = first["rpc"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    (Running(child), url, first["block"].as_u64().unwrap())
}
