//! The configuration file: flags, then variables, then the file, then what is built in.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    for name in [
        "GAVEL_RPC",
        "GAVEL_KEY",
        "GAVEL_BLOBS",
        "GAVEL_DEPLOYMENT",
        "GAVEL_CONFIG",
    ] {
        command.env_remove(name);
    }
    command
        .current_dir(dir)
        .env("XDG_CONFIG_HOME", dir.join("xdg"));
    command
        .envs(env.iter().copied())
        .args(args)
        .arg("--json")
        .output()
        .unwrap()
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Value and origin of a key.
fn value(shown: &Value, key: &str) -> (String, String) {
    let values = shown["values"].as_array().unwrap();
    let found = values.iter().find(|v| v["key"] == key).unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (text(&found["value"]), text(&found["origin"]))
}

#[test]
fn every_value_says_where_it_comes_from_and_the_nearer_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let show = ["config", "show", "--origin"];
    let bare = object(&run(dir, &[], &show));
    assert_eq!(bare["file"], Value::Null);
    assert_eq!(value(&bare, "rpc").1, "built in");
    assert_eq!(value(&bare, "key").1, "nowhere");

    let made = object(&run(dir, &[], &["config", "init"]));
    let file = dir.join("xdg/gavel/config.toml");
    assert_eq!(made["file"], file.to_str().unwrap());
    assert_eq!(
        object(&run(dir, &[], &["config", "check"]))["keys"],
        0,
        "a template sets nothing"
    );
    assert_eq!(
        run(dir, &[], &["config", "init"]).status.code(),
        Some(1),
        "never overwritten"
    );

    // a port that nobody listens on: which one is tried, and therefore named, says whose value held
    let port = |n: u32| format!("http://127.0.0.1:{n}");
    std::fs::write(
        &file,
        format!(
            "rpc = \"{}\"\nblobs = \"here\"\n[provider]\nreserve = 7\n",
            port(1)
        ),
    )
    .unwrap();
    let shown = object(&run(dir, &[], &show));
    assert_eq!(
        value(&shown, "rpc"),
        (port(1), format!("file {}", file.display()))
    );
    assert_eq!(value(&shown, "provider.reserve").0, "7");
    let with = [("GAVEL_RPC", "http://127.0.0.1:2")];
    let shown = object(&run(dir, &with, &show));
    assert_eq!(
        value(&shown, "rpc"),
        (port(2), "variable GAVEL_RPC".to_owned())
    );

    let asked = |env: &[(&str, &str)], more: &[&str]| {
        let output = run(dir, env, &[&["doctor", "--quick"], more].concat());
        object(&output)["checks"][0]["found"].to_string()
    };
    assert!(asked(&[], &[]).contains(&port(1)));
    assert!(asked(&with, &[]).contains(&port(2)));
    assert!(asked(&with, &["--rpc", &port(3)]).contains(&port(3)));
    let other = dir.join("other.toml");
    std::fs::write(&other, format!("rpc = \"{}\"", port(4))).unwrap();
    assert!(asked(&[], &["--config", other.to_str().unwrap()]).contains(&port(4)));
    assert!(
        dir.join("here").is_dir(),
        "the blobs were looked for where the file says"
    );
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_with_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    for (text, words) in [
        ("rcp = \"x\"", "did you mean \\\"rpc\\\"?"),
        ("[provider]\nresreve = 1", "did you mean \\\"reserve\\\"?"),
        ("[provider]\nrpc = \"x\"", "there is no key"),
        ("[somewhere]\nx = 1", "there is no key"),
        ("rpc = [[1]]", "rpc is a array"),
        ("rpc = ", "c.toml"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(
            dir.path(),
            &[],
            &["config", "check", "--config", file.to_str().unwrap()],
        );
        assert_eq!(output.status.code(), Some(3), "{text}");
        let said = object(&output)["error"].to_string();
        assert!(said.contains(words), "{text}: {said}");
    }
    let absent = run(
        dir.path(),
        &[],
        &["task", "list", "--config", "nowhere.toml"],
    );
    assert_eq!(absent.status.code(), Some(3));
    std::fs::write(
        &file,
        "[provider]\nreserve = \"much\"\nmodel = [\"digits\"]",
    )
    .unwrap();
    let wrong = run(
        dir.path(),
        &[],
        &["provider", "run", "--config", file.to_str().unwrap()],
    );
    assert_eq!(
        wrong.status.code(),
        Some(2),
        "a value that the flag would not take"
    );
}
