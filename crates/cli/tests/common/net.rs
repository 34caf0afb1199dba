//! The program in a folder, against a chain.
#![allow(dead_code, clippy::unwrap_used)] // each test uses a part

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::telling::Running;

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

/// A folder with keys, and a chain that runs in it.
pub(crate) struct Net<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) url: String,
}

impl<'a> Net<'a> {
    /// A chain whose clock runs so many times as fast as the wall's, with nothing on it, and the key of who deploys.
    pub(crate) fn up(dir: &'a Path, speed: &str) -> (Net<'a>, Running) {
        let up = ["chain", "up", "--port", "0", "--speed", speed, "--json"];
        let chain = Running::start(command(dir, "", &up));
        let url = chain.event("listening")["rpc"].as_str().unwrap().to_owned();
        let net = Net { dir, url };
        net.key("deployer");
        (net, chain)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command(self.dir, &self.url, &[args, &["--json"]].concat())
    }

    pub(crate) fn run(&self, args: &[&str]) -> Value {
        answer(self.command(args))
    }

    /// It must fail; its status, and what it says.
    pub(crate) fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(args).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told)
    }

    /// Puts the contracts on the chain, with nobody on probation, 100,000 tokens for a new key of each name, and what
    /// more is asked for; the addresses.
    pub(crate) fn deploy(&self, names: &[&str], more: &[&str]) -> Vec<String> {
        let addresses: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        let mint = addresses.iter().flat_map(|who| ["--mint", who.as_str()]);
        let mint: Vec<&str> = mint.collect();
        let deploy = ["chain", "deploy", "--key", "deployer.json"];
        self.run(&[&deploy[..], &["--probation", "0"], &mint, more].concat());
        addresses
    }

    /// Has a model in the registry.
    pub(crate) fn register(&self, model: &str) -> Value {
        self.run(&["model", "register", model, "--key", "deployer.json"])
    }

    /// Makes a key; its address.
    pub(crate) fn key(&self, name: &str) -> String {
        let key = self.run(&["key", "new", &format!("{name}.json")]);
        key["address"].as_str().unwrap().to_owned()
    }
}
