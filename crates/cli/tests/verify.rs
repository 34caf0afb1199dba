//! `gavel verify` on files of real disputes, and on files that prove nothing.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../node/tests/common/mod.rs"]
mod games;

use std::path::Path;
use std::sync::Arc;

use common::{gavel, text};
use gavel_node::evidence::{Sources, build};
use gavel_node::faults::FaultyExecutor;
use gavel_node::{EngineExecutor, Executor, Fault};

/// Evidence of a dispute about the digit model, in which one side lies.
fn evidence(provider_lies: bool) -> String {
    let (honest, id, inputs) = games::shipped("digits", 1);
    let liar = FaultyExecutor::new(Arc::clone(&honest), &[Fault::Weight], 1);
    let honest: &EngineExecutor = &honest;
    let (provider, challenger): (&dyn Executor, &dyn Executor) = match provider_lies {
        true => (&liar, honest),
        false => (honest, &liar),
    };
    let (provider, challenger) = (
        games::knows(provider, &id, &inputs),
        games::knows(challenger, &id, &inputs),
    );
    let (facts, rows) = games::isolated(&provider, &challenger).unwrap();
    let known = if provider_lies {
        &challenger
    } else {
        &provider
    };
    let sources = Sources {
        executor: honest,
        run: known.run(),
        rows: &rows,
        committed: None,
        appeal: None,
    };
    build(&facts, &sources).unwrap().to_json().unwrap()
}

/// Exit status, what people read, what programs read.
fn verify(dir: &Path, file: &str) -> (Option<i32>, String, serde_json::Value) {
    let path = dir.join("evidence.json");
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let (people, programs) = (gavel(&["verify", path]), gavel(&["verify", path, "--json"]));
    assert_eq!(people.status.code(), programs.status.code());
    let object = serde_json::from_slice(&programs.stdout).unwrap();
    (
        people.status.code(),
        text(&people.stdout) + &text(&people.stderr),
        object,
    )
}

#[test]
fn a_false_claim_ends_with_seven_and_a_true_one_with_zero() {
    let dir = tempfile::tempdir().unwrap();
    let (status, text, object) = verify(dir.path(), &evidence(true));
    assert_eq!(status, Some(7), "{text}");
    assert_eq!(object["claim"], false);
    assert_ne!(object["claimed"], object["recomputed"]);
    assert!(text.starts_with("false"), "{text}");
    assert!(object["operator"].is_string() && object["node"].is_u64());
    for key in ["claimed", "recomputed", "trace_root"] {
        assert!(
            text.contains(object[key].as_str().unwrap()),
            "{key}: {text}"
        );
    }

    let (status, text, object) = verify(dir.path(), &evidence(false));
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(object["claim"], true);
    assert_eq!(object["claimed"], object["recomputed"]);
    assert!(text.starts_with("true"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
}

#[test]
fn a_demo_that_is_kept_leaves_evidence_of_its_disputes() {
    let dir = tempfile::tempdir().unwrap();
    for (fault, status) in [("weight", 7), ("wrong-trace", 7), ("false-challenge", 0)] {
        let kept = dir.path().join(fault);
        let demo = gavel(&[
            "demo",
            "--fault",
            fault,
            "--data-dir",
            kept.to_str().unwrap(),
        ]);
        assert!(demo.status.success(), "{}", text(&demo.stderr));
        let file = kept.join("evidence/dispute-1.json");
        let found = gavel(&["verify", file.to_str().unwrap()]);
        assert_eq!(
            found.status.code(),
            Some(status),
            "{fault}: {}",
            text(&found.stderr)
        );
    }
}

/// The page's verifier is pinned by `verdicts.json`, natively and as wasm.
#[test]
fn the_command_and_the_page_give_the_same_verdicts() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../explorer/wasm/fixtures");
    let pinned = std::fs::read(fixtures.join("verdicts.json")).unwrap();
    let pinned: serde_json::Value = serde_json::from_slice(&pinned).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, report) in pinned.as_object().unwrap() {
        // the command takes a receipt with what it is about
        if name == "receipt-alone.json" {
            continue;
        }
        let file = std::fs::read_to_string(fixtures.join(name)).unwrap();
        let (status, text, object) = verify(dir.path(), &file);
        let verdict = match (status, object["signed"].as_bool()) {
            (Some(0), Some(true)) => "signed",
            (Some(0), None) => "true",
            (Some(7), None) => "false",
            _ => panic!("{name}: {status:?} {text}"),
        };
        assert_eq!(report["verdict"], verdict, "{name}");
        if object["signed"].is_null() {
            assert_eq!(report["step"], object["step"], "{name}");
        }
    }
}

#[test]
fn a_file_that_proves_nothing_ends_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let good = evidence(true);
    let object: serde_json::Value = serde_json::from_str(&good).unwrap();
    let bent = |change: fn(&mut serde_json::Value)| {
        let mut object = object.clone();
        change(&mut object);
        object.to_string()
    };
    let files = [
        ("not JSON", "no".to_owned(), "expected an evidence file"),
        (
            "cut",
            good[..good.len() / 2].to_owned(),
            "expected an evidence file",
        ),
        ("version", bent(|e| e["format"] = 2.into()), "format 2"),
        (
            "claim",
            bent(|e| e["claimed_digest"] = e["leaf"].clone()),
            "claimed digest",
        ),
        (
            "input",
            bent(|e| e["inputs"][0]["bytes"] = "AAAA".into()),
            "bytes",
        ),
        (
            "missing input",
            bent(|e| {
                e["inputs"].as_array_mut().unwrap().pop();
            }),
            "the operator reads",
        ),
    ];
    for (name, file, says) in files {
        let (status, text, object) = verify(dir.path(), &file);
        assert_eq!(status, Some(1), "{name}: {text}");
        assert!(text.contains(says), "{name}: {text}");
        assert!(text.contains("proves nothing"), "{name}: {text}");
        assert_eq!(object["error"]["exit"], 1, "{name}");
    }
    let missing = gavel(&["verify", "no-such-file.json"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there is no such file"));
}
