//! What commands print with `--json` is what their schemas say, and the kept schemas are those of the program.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;
#[path = "../../gateway/tests/common/schema.rs"]
mod schema;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::root;
use process::{Running, chain_up, command};
use serde_json::Value;

fn kept(name: &str) -> Value {
    let path = root().join("docs/reference/schemas").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Holds an object that a command printed against the command's schema.
fn hold(command: &str, object: Value) -> Value {
    let name = match object.get("error").is_some_and(Value::is_object) {
        true => "error.json".to_owned(),
        false => format!("{}.json", command.replace(' ', "-")),
    };
    let schema = kept(&name);
    let errors = schema::errors(&schema, &schema, &object);
    assert!(errors.is_empty(), "{command}: {errors:?}: {object}");
    object
}

/// Commands that run in a folder.
struct Held<'a> {
    dir: &'a Path,
    url: Option<String>,
}

impl Held<'_> {
    fn command(&self, name: &str, args: &[&str]) -> Command {
        let args: Vec<&str> = name.split(' ').chain(args.iter().copied()).collect();
        let mut command = command(self.dir, &args);
        if let Some(url) = &self.url {
            command.env("GAVEL_RPC", url);
        }
        command
    }

    /// Runs to the end, and gives the status and the last object.
    fn run(&self, name: &str, args: &[&str]) -> (i32, Value) {
        let output = self.command(name, args).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let mut last = Value::Null;
        for object in serde_json::Deserializer::from_str(&stdout).into_iter() {
            last = hold(
                name,
                object.unwrap_or_else(|e| panic!("{name}: {e}: {stdout}")),
            );
        }
        (output.status.code().unwrap(), last)
    }

    fn done(&self, name: &str, args: &[&str]) -> Value {
        let (status, object) = self.run(name, args);
        assert_eq!(status, 0, "{name} {args:?}: {object}");
        object
    }
}

#[test]
fn the_kept_schemas_are_those_of_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    let made = common::gavel(&["reference", "--schemas", place]);
    assert!(made.status.success(), "{}", common::text(&made.stderr));
    let files = |folder: &Path| -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder.join("schemas")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, std::fs::read_to_string(path).unwrap());
        }
        files.insert(
            "page".to_owned(),
            std::fs::read_to_string(folder.join("json.md")).unwrap(),
        );
        files
    };
    assert!(
        files(dir.path()) == files(&root().join("docs/reference")),
        "renew them: gavel reference --schemas docs/reference"
    );
}

#[test]
fn commands_without_a_network_print_what_their_schemas_say() {
    let dir = tempfile::tempdir().unwrap();
    let held = Held {
        dir: dir.path(),
        url: None,
    };
    let picture = root().join("models/images/digit-3-a.png");
    let picture = picture.to_str().unwrap();
    held.done("run", &["digits", picture]);
    for model in ["digits-small", "llm"] {
        held.done("model id", &[model]);
        held.done("model inspect", &[model]);
    }
    held.done("model operators", &[]);
    held.done(
        "generate",
        &[
            "llm",
            "--prompt",
            "Once",
            "--max-tokens",
            "2",
            "--save",
            "tale.json",
        ],
    );
    held.done("verify", &["tale.json", "--model", "llm"]);
    held.done("chain params", &[]);
    held.done("config show", &["--origin"]);
    held.done("config check", &[]);
    held.done("config init", &["config.toml"]);
    held.done("man", &["--dir", "man"]);
    held.done("key new", &["ann.json"]);
    held.done("key address", &["ann.json"]);
    held.done("key list", &["."]);
    held.done("key export", &["ann.json", "--yes"]);
    held.done("gateway key new", &["--name", "ann", "--budget", "5"]);
    held.done("gateway key new", &["--name", "bob"]);
    let account = held.done("key address", &["ann.json"])["address"].clone();
    let account = account.as_str().unwrap();
    held.done("gateway key new", &["--name", "cyd", "--account", account]);
    held.done("gateway key list", &[]);
    held.done("gateway key revoke", &["ann"]);
    held.done("demo", &[]);
    held.done("bench isolate", &["--faults", "1"]);
    // failures are objects too, with the exit status in them
    for (name, args) in [
        ("model id", &["nothing.onnx"][..]),
        ("run", &[]),
        ("verify", &[picture]),
        ("key address", &["nobody.json"]),
    ] {
        let (exit, object) = held.run(name, args);
        assert_ne!(exit, 0, "{name}");
        assert_eq!(object["error"]["exit"], exit, "{name}: {object}");
    }
}

#[test]
fn commands_on_a_network_print_what_their_schemas_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = Held {
        dir: dir.path(),
        url: None,
    };
    let (_chain, url, _) = chain_up(dir.path(), "chain");
    held.url = Some(url);
    let address = |name: &str| {
        let made = held.done("key new", &[&format!("{name}.json")]);
        made["address"].as_str().unwrap().to_owned()
    };
    let (_, ann, rosa) = (address("deployer"), address("ann"), address("rosa"));
    held.done(
        "chain deploy",
        &[
            "--key",
            "deployer.json",
            "--probation",
            "0",
            "--mint",
            &ann,
            "--mint",
            &rosa,
        ],
    );
    for _ in 0..2 {
        held.done(
            "model register",
            &["digits-small", "--key", "deployer.json"],
        );
    }
    held.done("account show", &[&ann]);
    let url = "http://127.0.0.1:4280/v1/models";
    held.done(
        "gateway sign",
        &[url, "--gateway", &rosa, "--key", "ann.json"],
    );
    held.done("account withdraw", &["--key", "ann.json"]);
    held.done("provider list", &[]);
    let picture = root().join("models/images/digit-7-a.png");
    let post = [
        "digits-small",
        picture.to_str().unwrap(),
        "--key",
        "rosa.json",
    ];
    held.done("task post", &post);
    held.done("task post", &post);
    held.done("task show", &["1"]);
    held.done("task list", &[]);
    held.done("task cancel", &["2", "--key", "rosa.json"]);
    held.done("task wait", &["2"]);
    let (status, _) = held.run("task show", &["99"]);
    assert_eq!(status, 10);
    held.done("dispute list", &[]);
    held.run("doctor", &["--quick"]);
    held.done("blobs prune", &[]);
    let provider = [
        "--model",
        "digits-small",
        "--key",
        "ann.json",
        "--poll",
        "100",
    ];
    let mut running = held.command("provider run", &provider);
    let mut child = running.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let _running = Running(child);
    // it serves, claims, and delivers
    let mut acts = 0;
    for line in lines.lines() {
        let event = hold(
            "provider run",
            serde_json::from_str(&line.unwrap()).unwrap(),
        );
        acts += usize::from(event["event"] == "acted");
        if acts == 2 {
            break;
        }
    }
    let shown = held.done("task show", &["1"]);
    assert!(!shown["attempts"].as_array().unwrap().is_empty(), "{shown}");
    held.done("task result", &["1", "--model", "digits-small"]);
    held.done("provider stake", &["50000", "--key", "ann.json", "--yes"]);
    held.done("provider list", &[]);
    held.done("provider unstake", &["1000", "--key", "ann.json", "--yes"]);
    held.done("provider withdraw", &["--key", "ann.json"]);
}
