//! A provider is set up, measured, and starts from what that wrote.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::text;
use process::{Running, chain_up, command, gavel};
use serde_json::Value;

fn config(dir: &Path) -> (String, toml::Table) {
    let text = std::fs::read_to_string(dir.join("gavel-provider/config.toml")).unwrap();
    let table = toml::from_str(&text).unwrap();
    (text, table)
}

#[test]
fn a_folder_is_made_once_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let init = ["provider", "init", "--model", "digits-small"];
    let (status, made, error) = gavel(dir, &init);
    assert_eq!(status, Some(0), "{error}");
    assert_eq!(made["made"].as_array().unwrap().len(), 3);
    let next: Vec<_> = made["next"].as_array().unwrap().iter().collect();
    assert_eq!(next.len(), 4);
    let names = ["key.json", "password", "config.toml"];
    let contents = || names.map(|n| std::fs::read(dir.join("gavel-provider").join(n)).unwrap());
    let before = contents();
    #[cfg(unix)]
    for name in names {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(dir.join("gavel-provider").join(name)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o077, 0, "{name}");
    }
    let (status, again, _) = gavel(dir, &["provider", "init", "--model", "llm"]);
    assert_eq!(status, Some(0));
    assert_eq!(again["made"].as_array().unwrap().len(), 0);
    assert_eq!(again["provider"], made["provider"]);
    assert_eq!(contents(), before);
    let (_, table) = config(dir);
    assert_eq!(table["provider"]["model"][0].as_str(), Some("digits-small"));
    // the configuration is one, and its key opens with its password
    let file = "gavel-provider/config.toml";
    let checked = gavel(dir, &["config", "check", "--config", file]);
    assert_eq!(checked.0, Some(0), "{}", checked.2);
    std::fs::remove_file(dir.join("gavel-provider/password")).unwrap();
    let (status, said, _) = gavel(dir, &init);
    assert_eq!(status, Some(3), "{said}");
    assert!(!dir.join("gavel-provider/password").exists());
}

#[test]
fn a_provider_starts_from_what_was_written_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_chain, url, _) = chain_up(dir, "chain");
    let run = |args: &[&str]| -> Value {
        let output = command(dir, args).env("GAVEL_RPC", &url).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    };
    run(&["key", "new", "deployer.json"]);
    // without a network, there is an address to mint for
    run(&["provider", "init", "first"]);
    let address = run(&["provider", "init", "first"]);
    let address = address["provider"].as_str().unwrap();
    run(&[
        "chain",
        "deploy",
        "--key",
        "deployer.json",
        "--mint",
        address,
    ]);
    run(&[
        "model",
        "register",
        "digits-small",
        "--key",
        "deployer.json",
    ]);
    std::fs::create_dir(dir.join("gavel-provider")).unwrap();
    for name in ["key.json", "password"] {
        let (from, to) = (
            dir.join("first").join(name),
            dir.join("gavel-provider").join(name),
        );
        std::fs::rename(from, to).unwrap();
    }
    let made = run(&["provider", "init"]);
    assert_eq!(made["provider"], address);
    assert_eq!(made["models"], serde_json::json!(["digits-small"]));
    let file = "gavel-provider/config.toml";
    let calibrate = [
        "provider",
        "calibrate",
        "--config",
        file,
        "--runs",
        "3",
        "--write",
    ];
    let price = [
        "--cost-per-hour",
        "3.6",
        "--utilisation",
        "50",
        "--margin",
        "20",
    ];
    let before = config(dir).0;
    let found = run(&[&calibrate[..], &price[..]].concat());
    let model = &found["models"][0];
    assert_eq!(model["seconds"]["runs"], 3);
    let seconds = |key: &str| model["seconds"][key].as_f64().unwrap();
    assert!(0.0 < seconds("least") && seconds("least") <= seconds("median"));
    assert!(seconds("median") <= seconds("most"));
    // 3.6 an hour are 1e15 units a second; half of it is idle, and a fifth comes on top
    let paid: f64 = found["reserve"].as_str().unwrap().parse().unwrap();
    let longest = model["longest_seconds"].as_f64().unwrap();
    let priced = model["priced_seconds"].as_f64().unwrap();
    assert!(priced <= longest);
    // up to the microsecond that is begun
    let pays_for = paid / 2.4e15;
    assert!(priced <= pays_for && pays_for < priced + 2e-6, "{pays_for}");
    assert!(model["exec_floor_seconds"].as_u64().is_some());
    let (after, table) = config(dir);
    let own = table["provider"].as_table().unwrap();
    for (key, value) in [
        ("concurrency", &found["concurrency"]),
        ("least_exec", &found["least_exec_seconds"]),
    ] {
        assert_eq!(own[key].as_integer(), value.as_i64(), "{key}");
    }
    let kept = |text: &str| -> Vec<String> {
        let owned = ["reserve = ", "concurrency = ", "least_exec = "];
        let lines = text
            .lines()
            .filter(|l| !owned.iter().any(|o| l.starts_with(o)));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(kept(&before), kept(&after), "only its own keys");
    let mut child = command(dir, &["provider", "run", "--config", file])
        .env("GAVEL_RPC", &url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let _running = Running(child);
    let mut events = stdout
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let serving = events.find(|event| event["event"] == "serving");
    let serving = serving.expect("it serves");
    assert_eq!(serving["models"], serde_json::json!([model["model_id"]]));
}

#[test]
fn a_language_model_is_measured_in_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let calibrate = ["provider", "calibrate", "--model", "llm@32", "--runs", "3"];
    let (status, found, error) = gavel(dir, &calibrate);
    assert_eq!(status, Some(0), "{error}");
    let model = &found["models"][0];
    assert!(model["tokens_per_second"]["median"].as_f64().unwrap() > 0.0);
    assert_eq!(
        model["exec_floor_seconds"],
        Value::Null,
        "no network was asked"
    );
    assert_eq!(found["written"], Value::Null);
    let longest = model["longest_seconds"].as_f64().unwrap();
    assert!(longest >= model["seconds"]["most"].as_f64().unwrap());
    // nothing is written where there is no file
    let (status, said, _) = gavel(
        dir,
        &[&calibrate[..], &["--write", "--config", "absent.toml"]].concat(),
    );
    assert_eq!(status, Some(3), "{said}");
}
