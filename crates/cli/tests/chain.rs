//! The embedded chain as a process of its own: keys, contracts, and what a kill leaves behind.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use common::text;
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::primitives::{Address, Bytes};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::{Endpoint, Sender};
use process::{chain_up, chain_up_with, command, gavel};
use serde_json::Value;

#[test]
fn a_key_file_gives_its_address_to_whoever_has_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let (status, new, stderr) = gavel(dir.path(), &["key", "new", "k.json"]);
    assert_eq!(status, Some(0), "{stderr}");
    let (status, read, _) = gavel(dir.path(), &["key", "address", "k.json"]);
    assert_eq!(status, Some(0));
    assert_eq!(new["address"], read["address"]);
    assert_eq!(new["address"].as_str().unwrap().len(), 42);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(dir.path().join("k.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // never overwritten, not without a password, not with another one
    let (status, _, stderr) = gavel(dir.path(), &["key", "new", "k.json"]);
    assert!(
        status == Some(1) && stderr.contains("k.json exists"),
        "{stderr}"
    );
    std::fs::write(dir.path().join("wrong"), "battery staple\n").unwrap();
    let (status, _, stderr) = gavel(
        dir.path(),
        &["key", "address", "k.json", "--password-file", "wrong"],
    );
    assert!(status == Some(3) && stderr.contains("password"), "{stderr}");
    let (status, _, stderr) = gavel(dir.path(), &["key", "address", "absent.json"]);
    assert!(
        status == Some(3) && stderr.contains("gavel key new absent.json"),
        "{stderr}"
    );
    let mut bare = command(dir.path(), &["key", "address", "k.json"]);
    let bare = bare.env_remove("GAVEL_PASSWORD").output().unwrap();
    assert_eq!(bare.status.code(), Some(2));
    assert!(text(&bare.stderr).contains("GAVEL_PASSWORD"));
}

#[test]
fn contracts_are_deployed_over_http_and_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_, key, _) = gavel(dir, &["key", "new", "deployer.json"]);
    let address = key["address"].as_str().unwrap();
    let (mut chain, url, _) = chain_up(dir, "gavel-chain");
    let deploy = [
        "chain",
        "deploy",
        "--rpc",
        &url,
        "--key",
        "deployer.json",
        "--mint",
        address,
    ];
    let (status, deployed, stderr) = gavel(dir, &deploy);
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(deployed["deployment"]["chain_id"], 31337);
    let written: Value =
        serde_json::from_slice(&std::fs::read(dir.join("gavel-deployment.json")).unwrap()).unwrap();
    assert_eq!(written, deployed["deployment"]);
    // a second deployment would orphan the first
    let (status, _, stderr) = gavel(dir, &deploy);
    assert!(status == Some(1) && stderr.contains("exists"), "{stderr}");
    // the folder belongs to one process
    let (status, _, stderr) = gavel(dir, &["chain", "up", "--port", "0"]);
    assert!(
        status == Some(1) && !stderr.contains("panicked"),
        "{stderr}"
    );

    chain.0.kill().unwrap();
    chain.0.wait().unwrap();
    let (_again, _, block) = chain_up(dir, "gavel-chain");
    assert!(
        block >= 9,
        "nine contracts were deployed, the chain is at block {block}"
    );
}

/// Whoever sends without end tells here which transaction is in which block by the chain's answer.
type Told = tokio::sync::mpsc::UnboundedSender<[[u8; 32]; 2]>;

async fn send_for_ever(sender: Sender, told: Told) {
    for n in 0_u64.. {
        let data = Bytes::from(n.to_be_bytes());
        let Ok(mined) = sender.send(Address::repeat_byte(7), data).await else {
            return;
        };
        if told.send([mined.hash.0, mined.block_hash.0]).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_before_a_kill_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    // hardly anything stays in memory, and there is always a snapshot under way
    let numbers = [
        "--recent-blocks",
        "16",
        "--snapshot-records",
        "16",
        "--state-memory",
        "1",
    ];
    let up = || chain_up_with(dir.path(), "gavel-chain", &numbers);
    let mut answered = Vec::new();
    for round in 1..=3 {
        let (mut chain, url, _) = up();
        let (told, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let mut sending = tokio::task::JoinSet::new();
        for i in 0..4 {
            let sender = Sender::new(dev_key("killed", i), Endpoint::http(&url).unwrap());
            sending.spawn(send_for_ever(sender, told.clone()));
        }
        drop(told);
        while answered.len() < 40 * round {
            answered.push(answers.recv().await.unwrap());
        }
        // in the middle of whatever it does for the others
        chain.0.kill().unwrap();
        chain.0.wait().unwrap();
        sending.shutdown().await;
        while let Some(answer) = answers.recv().await {
            answered.push(answer);
        }
    }
    let names = std::fs::read_dir(dir.path().join("gavel-chain")).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.starts_with("chain.snapshot-")));
    let (_again, url, _) = up();
    let endpoint = Endpoint::http(&url).unwrap();
    for [transaction, block] in answered {
        let receipt = endpoint
            .provider()
            .get_transaction_receipt(transaction.into());
        let receipt = receipt.await.unwrap().unwrap();
        assert_eq!(receipt.block_hash, Some(block.into()));
    }
}

#[test]
fn a_chain_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _, _) = gavel(dir.path(), &["key", "new", "k.json"]);
    let args = [
        "chain",
        "deploy",
        "--rpc",
        "http://127.0.0.1:1",
        "--key",
        "k.json",
    ];
    let (status, object, stderr) = gavel(dir.path(), &args);
    assert_eq!(status, Some(4));
    assert!(stderr.contains("http://127.0.0.1:1"), "{stderr}");
    assert!(object["error"]["what"].is_string());
    assert!(!dir.path().join("gavel-deployment.json").exists());
    let args = ["chain", "deploy", "--rpc", "no url", "--key", "k.json"];
    let (status, _, stderr) = gavel(dir.path(), &args);
    assert!(status == Some(3) && stderr.contains("no url"), "{stderr}");
}

#[test]
fn parameters_are_written_edited_judged_with_the_reason_and_deployed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = text(&common::gavel(&["chain", "params", "--windows", "normal"]).stdout);
    let check = |name: &str, text: &str| {
        std::fs::write(dir.join(name), text).unwrap();
        gavel(dir, &["chain", "params", "--check", name])
    };
    let (status, _, stderr) = check("good.toml", &text);
    assert_eq!(status, Some(0), "{stderr}");
    let greedy = text.replace("burn_bps = 5000", "burn_bps = 4999");
    let (status, object, stderr) = check(
        "greedy.toml",
        &greedy.replace("referee_bps = 500", "referee_bps = 501"),
    );
    assert_eq!(status, Some(1));
    assert!(
        stderr.contains("P-V1") && stderr.contains("challenging oneself"),
        "{stderr}"
    );
    assert!(
        object["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("burn_bps")
    );
    let (status, _, stderr) = check("typo.toml", &text.replace("exec_max", "exec_most"));
    assert!(
        status == Some(1) && stderr.contains("exec_most"),
        "{stderr}"
    );

    gavel(dir, &["key", "new", "k.json"]);
    let (_chain, url, _) = chain_up(dir, "gavel-chain");
    let deploy = |params: &str| {
        let args = [
            "chain", "deploy", "--rpc", &url, "--key", "k.json", "--params", params,
        ];
        gavel(dir, &args)
    };
    // nothing is deployed that the last contract would refuse
    let (status, _, stderr) = deploy("greedy.toml");
    assert!(status == Some(1) && stderr.contains("P-V1"), "{stderr}");
    assert!(!dir.join("gavel-deployment.json").exists());
    let (status, _, stderr) = deploy("good.toml");
    assert_eq!(status, Some(0), "{stderr}");
}
