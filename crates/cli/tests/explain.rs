//! What a dispute on a network came down to: `gavel dispute explain`, on the chains that demos leave behind.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::path::Path;

use common::text;
use process::{Running, chain_up, command, gavel};
use serde_json::Value;

/// The chain of a demo with this fault, and its address.
fn kept(dir: &Path, fault: &str, seed: &str) -> (Running, String) {
    let demo = ["demo", "--fault", fault, "--seed", seed, "--data-dir", "."];
    let (status, _, stderr) = gavel(dir, &demo);
    assert_eq!(status, Some(0), "{stderr}");
    let (chain, url, _) = chain_up(dir, "chain");
    (chain, url)
}

fn explain<'a>(id: &'a str, url: &'a str, blobs: &'a str) -> Vec<&'a str> {
    let explain = ["dispute", "explain", id, "--model", "digits"];
    [&explain[..], &["--rpc", url, "--blobs", blobs]].concat()
}

/// What people read of a command that succeeds.
fn said(dir: &Path, args: &[&str]) -> String {
    let output = common::gavel_in(dir, args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A demo whose first dispute is about a Conv and ended with an appeal: an audit may find the same before, and a referee be drawn who stakes less
/// than the one that lies. With what is explained of it.
fn appealed() -> (tempfile::TempDir, Running, String, Value) {
    for seed in 6..38 {
        let dir = tempfile::tempdir().unwrap();
        let (chain, url) = kept(dir.path(), "lying-referee", &seed.to_string());
        let (status, object, stderr) = gavel(dir.path(), &explain("1", &url, "blobs"));
        assert_eq!(status, Some(0), "{stderr}");
        // where it was neither overtaken nor settled by the ruling, the step was executed
        let is_appealed = object["dispute"]["state"] == "upheld" && !object["appeal"].is_null();
        if is_appealed && object["place"]["operator"] == "Conv" {
            return (dir, chain, url, object);
        }
    }
    panic!("no demo ends with an appeal")
}

#[test]
fn an_appeal_is_explained_down_to_the_step_on_the_network_and_offline() {
    let (dir, _chain, url, object) = appealed();
    let dir = dir.path();
    assert_eq!(object["claim"], false);
    assert_eq!(object["executed_on_chain"], true);
    assert_eq!(object["appeal"]["outcome"], "the provider is guilty");
    assert!(object["appeal"]["rounds"].as_u64() > Some(1), "{object}");
    let step = &object["step"];
    assert_eq!(step["instruction"], "Fma");
    let bits = |word: &Value| {
        let digits = word.as_str().unwrap().strip_prefix("0x").unwrap();
        u32::from_str_radix(digits, 16).unwrap()
    };
    let operand = |i: usize| f32::from_bits(bits(&step["operands"][i]));
    let sum = operand(0).mul_add(operand(1), operand(2));
    assert_eq!(bits(&step["result"]), sum.to_bits());
    assert_ne!(step["computed"], step["claimed"]);

    let people = said(dir, &explain("1", &url, "blobs"));
    let words = step["words"].as_str().unwrap();
    let parts: Vec<&str> = words.split("; ").collect();
    let [at, outcome] = parts[..] else {
        panic!("{words}")
    };
    assert!(
        at.contains(", block 0, tap ") && at.contains(": fma(0x"),
        "{at}"
    );
    let value = f32::from_bits(bits(&step["computed"]));
    assert!(
        outcome.contains(&format!("({value}), claimed 0x")),
        "{outcome}"
    );
    for part in [
        at,
        outcome,
        "executed by the contract",
        "place         Conv node",
        "loaded before it",
        "next: gavel challenge evidence 1 --model digits",
    ] {
        assert!(people.contains(part), "{part:?} is missing:\n{people}");
    }

    // the file says the same to somebody without a network
    let verify = ["verify", "evidence/dispute-1.json"];
    let (status, file, stderr) = gavel(dir, &verify);
    assert_eq!(status, Some(7), "{stderr}");
    assert_eq!(&file["step"], step);
    let people = text(&common::gavel_in(dir, &verify).stdout);
    assert!(people.contains(at) && people.contains(outcome), "{people}");

    // without the task's input nothing is computed, and nothing is claimed
    let (status, object, _) = gavel(dir, &explain("1", &url, "elsewhere"));
    assert_eq!(status, Some(0));
    assert!(object["claim"].is_null() && object["step"].is_null());
    let people = said(dir, &explain("1", &url, "elsewhere"));
    assert!(people.contains("is not in elsewhere"), "{people}");

    let (status, _, stderr) = gavel(dir, &explain("9", &url, "blobs"));
    assert_eq!(status, Some(10));
    assert!(stderr.contains("there is no dispute 9"), "{stderr}");
    assert!(stderr.contains("gavel dispute list"), "{stderr}");

    // a model that the network knows, and that is not the task's
    gavel(dir, &["key", "new", "k.json"]);
    let register = ["model", "register", "digits-small", "--key", "k.json"];
    let registered = command(dir, &[&register[..], &["--rpc", &url]].concat());
    let registered = { registered }.output().unwrap();
    assert!(registered.status.success(), "{}", text(&registered.stderr));
    let mut other = explain("1", &url, "blobs");
    other[4] = "digits-small";
    let (status, _, stderr) = gavel(dir, &other);
    assert_eq!(status, Some(1));
    assert!(
        stderr.contains("dispute 1 is not about digits-small"),
        "{stderr}"
    );
    assert!(stderr.contains("gavel task show 1"), "{stderr}");
}

#[test]
fn a_dispute_that_isolated_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_chain, url) = kept(dir, "withhold", "6");
    let (status, object, stderr) = gavel(dir, &explain("1", &url, "blobs"));
    assert_eq!(status, Some(0), "{stderr}");
    for key in ["place", "claim", "step", "appeal"] {
        assert!(object[key].is_null(), "{key}: {object}");
    }
    assert_eq!(object["executed_on_chain"], false);
    let people = said(dir, &explain("1", &url, "blobs"));
    assert!(people.contains("No operator was isolated"), "{people}");
    assert!(people.contains("next: gavel dispute show 1"), "{people}");
}
