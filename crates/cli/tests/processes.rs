//! The roles as processes of their own against one RPC URL, a cheat and a killed party among them. The chain's
//! clock runs fast, so that its windows pass within the test.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/net.rs"]
mod net;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/telling.rs"]
mod telling;

use std::path::Path;

use common::{root, text};
use gavel_model::npy::write_npy;
use gavel_numerics::Tensor;
use net::Net;
use serde_json::Value;
use telling::Running;

/// Seconds of the chain in one of the wall's: a window of a minute takes some seconds, and the shortest deadline
/// is still hundreds of times what a party needs.
const SPEED: &str = "6";

impl Net<'_> {
    fn provider(&self, name: &str, reserve: &str, more: &[&str]) -> Running {
        let key = format!("{name}.json");
        let args = [
            "provider",
            "run",
            "--model",
            "digits-small",
            "--poll",
            "100",
        ];
        let args = [&args[..], &["--key", &key, "--reserve", reserve], more].concat();
        let running = Running::start(self.command(&args));
        running.wait_for("it serves", |e| e["event"] == "serving");
        running
    }
}

/// A chain with the contracts on it, and a key with tokens for each name.
fn network<'a>(dir: &'a Path, names: &[&str]) -> (Net<'a>, Running, Vec<String>) {
    let (net, chain) = Net::up(dir, SPEED);
    let addresses = net.deploy(names, &[]);
    (net, chain, addresses)
}

#[test]
fn a_cheat_among_processes_is_caught_over_lossy_lines_and_though_its_watcher_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["cheat", "ann", "bob", "cyd", "rosa", "wanda"];
    let (mut net, _chain, addresses) = network(dir.path(), &names);
    // from here on the answers to one in four requests are lost at first, to everybody
    let proxy = proxy::losing_one_in(4, &net.url);
    net.url = proxy.url.clone();
    // nobody serves what the registry does not know
    let early = [
        "provider",
        "run",
        "--model",
        "digits-small",
        "--key",
        "ann.json",
    ];
    let refused = net.command(&early).output().unwrap();
    assert_eq!(refused.status.code(), Some(10));
    assert!(
        text(&refused.stderr).contains("not in the registry"),
        "{}",
        text(&refused.stderr)
    );
    net.register("digits-small");

    let _cheat = net.provider("cheat", "1", &["--fault", "weight"]);
    let _honest = [
        net.provider("ann", "4", &[]),
        net.provider("bob", "4", &[]),
        net.provider("cyd", "4", &[]),
    ];
    let watch = [
        "challenge",
        "watch",
        "--model",
        "digits-small",
        "--key",
        "wanda.json",
        "--poll",
        "100",
    ];
    let mut watcher = Running::start(net.command(&watch));
    watcher.wait_for("it watches", |e| e["event"] == "watching");
    let png = root().join("models/images/digit-7-b.png");
    let post = [
        "task",
        "post",
        "digits-small",
        png.to_str().unwrap(),
        "--key",
        "rosa.json",
    ];
    let post = [&post[..], &["--ramp", "60", "--exec", "300", "--wait"]].concat();
    let rosa = Running::start(net.command(&post));

    // killed between two moves of its dispute, and started again from nothing but its key
    watcher.wait_for("a pick", |e| {
        e["what"].as_str().is_some_and(|w| w.contains("pick"))
    });
    watcher.child.kill().unwrap();
    watcher.child.wait().unwrap();
    drop(watcher);
    let _watcher = Running::start(net.command(&watch));

    let served = rosa.wait_for("the task is over", |e| e["state"].is_string());
    assert_eq!(served["state"], "settled", "{served}");
    assert_eq!(served["prediction"], "7", "{served}");
    let attempts = served["attempts"].as_array().unwrap();
    assert_eq!(attempts[0]["ended"], "guilty", "{served}");
    assert!(
        attempts[0]["provider"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(&addresses[0])
    );
    assert!(attempts.last().unwrap()["ended"].is_null(), "{served}");
    let providers = net.run(&["provider", "list"]);
    for provider in providers["providers"].as_array().unwrap() {
        let cheat = provider["provider"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(&addresses[0]);
        assert_eq!(provider["standing"] == "tombstoned", cheat, "{provider}");
    }
    let disputes = net.run(&["challenge", "list"]);
    let first = &disputes["disputes"][0];
    assert_eq!(first["state"], "upheld", "{disputes}");
    assert!(first["isolated"]["node"].is_number(), "{disputes}");
    net.run(&["challenge", "evidence", "1", "--model", "digits-small"]);
    let judged = net.command(&["verify", "dispute-1.json"]).output().unwrap();
    assert_eq!(
        judged.status.code(),
        Some(7),
        "the claim is false: {}",
        text(&judged.stderr)
    );
    let paid = net.run(&["account", "show", &addresses[5]]);
    assert_ne!(paid["credit"], "0", "the watcher is rewarded");
    let withdrawn = net.run(&["account", "withdraw", "--key", "wanda.json"]);
    assert_eq!(withdrawn["withdrawn"], paid["credit"]);
    assert!(proxy.lost.load(std::sync::atomic::Ordering::Relaxed) > 50);
    let result = net.run(&["task", "result", "1", "--model", "digits-small"]);
    assert_eq!(result["prediction"], "7");
}

#[test]
fn an_honest_provider_that_is_killed_in_a_dispute_is_cleared_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["ann", "bob", "cyd", "rosa", "fergus"];
    let (net, _chain, addresses) = network(dir.path(), &names);
    net.register("digits-small");
    let mut ann = net.provider("ann", "1", &[]);
    let _others = [net.provider("bob", "9", &[]), net.provider("cyd", "9", &[])];
    let watch = [
        "challenge",
        "watch",
        "--model",
        "digits-small",
        "--key",
        "fergus.json",
    ];
    let watch = [&watch[..], &["--poll", "100", "--fault", "false-challenge"]].concat();
    let _fergus = Running::start(net.command(&watch));
    let png = root().join("models/images/digit-3-b.png");
    let post = [
        "task",
        "post",
        "digits-small",
        png.to_str().unwrap(),
        "--key",
        "rosa.json",
    ];
    let post = [&post[..], &["--ramp", "60", "--exec", "300", "--wait"]].concat();
    let rosa = Running::start(net.command(&post));

    ann.wait_for("a reveal", |e| {
        e["what"]
            .as_str()
            .is_some_and(|w| w.contains("reveals a row"))
    });
    ann.child.kill().unwrap();
    ann.child.wait().unwrap();
    drop(ann);
    let _ann = net.provider("ann", "1", &[]);

    let served = rosa.wait_for("the task is over", |e| e["state"].is_string());
    assert_eq!(served["state"], "settled", "{served}");
    assert_eq!(served["attempts"].as_array().unwrap().len(), 1, "{served}");
    assert_eq!(served["disputes"][0]["state"], "cleared", "{served}");
    let stake = net.run(&["account", "show", &addresses[0]]);
    assert_eq!(stake["stake"], "1000000000000000000000", "{stake}");
    let liar = net.run(&["account", "show", &addresses[4]]);
    let wallet: u128 = liar["wallet"].as_str().unwrap().parse().unwrap();
    assert!(
        wallet < 100_000 * 10u128.pow(18),
        "the bond went to the provider"
    );
}

#[test]
fn what_a_network_cannot_accept_is_refused_in_words_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain, addresses) = network(dir.path(), &["ann", "rosa"]);
    let refused = |args: &[&str], words: &[&str]| {
        let output = net.command(args).output().unwrap();
        let stderr = text(&output.stderr);
        // failed, refused by the contracts, too poor, not found
        let status = output.status.code();
        assert!(matches!(status, Some(1 | 5 | 6 | 10)), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{args:?}: {stderr}");
        }
    };
    let other = [
        "chain",
        "deploy",
        "--key",
        "deployer.json",
        "--deployment",
        "other.json",
    ];
    let mut unaudited = net.command(&other);
    let unaudited = unaudited.args(["--audit-rate", "0"]).output().unwrap();
    assert_eq!(unaudited.status.code(), Some(2));
    assert!(text(&unaudited.stderr).contains("audited"));
    // a model whose file was changed by one bit of one weight has another identity
    let file = root().join("models/digits-small.onnx");
    let mut edited = std::fs::read(&file).unwrap();
    let at = edited.windows(4).position(|w| w == b"conv").unwrap();
    let weights = at + edited[at..].windows(2).position(|w| w[0] == 0x4a).unwrap() + 40;
    edited[weights] ^= 1;
    std::fs::write(dir.path().join("edited.onnx"), edited).unwrap();
    net.register("digits-small");
    let serve = |model: &'static str, stake: &'static str| {
        [
            "provider", "run", "--key", "ann.json", "--model", model, "--stake", stake,
        ]
    };
    refused(
        &serve("edited.onnx", "1000"),
        &["edited.onnx", "not in the registry", "changed"],
    );
    refused(&serve("digits-small", "0"), &["StakeBelowMinimum", "104"]);
    refused(&serve("digits-small", "1000000000"), &["cannot register"]);
    refused(&serve("nowhere.onnx", "1000"), &["no such file"]);
    let png = root().join("models/images/digit-3-b.png");
    let post = [
        "task",
        "post",
        "digits-small",
        png.to_str().unwrap(),
        "--key",
        "rosa.json",
    ];
    let ask = |more: &[&'static str], words: &[&str]| refused(&[&post[..], more].concat(), words);
    let mut falling = net.command(&post);
    let falling = falling.args(["--min-price", "9", "--max-price", "8"]);
    assert_eq!(falling.output().unwrap().status.code(), Some(2));
    ask(&["--max-price", "1000000"], &["PriceOutOfRange"]);
    ask(&["--exec", "1000000"], &["ExecSecondsOutOfRange"]);
    refused(&["task", "show", "1"], &["no task 1", "gavel task list"]);
    refused(
        &["task", "cancel", "1", "--key", "rosa.json"],
        &["cannot be cancelled"],
    );
    for address in &addresses {
        let account = net.run(&["account", "show", address]);
        assert_eq!(account["wallet"], "100000000000000000000000", "{account}");
    }
}

#[test]
fn an_answer_from_the_market_is_the_one_that_everybody_gets_alone() {
    const MODEL: &str = "llm@96";
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain, _) = network(dir.path(), &["ann", "rosa"]);
    net.register(MODEL);
    let serve = [
        "provider", "run", "--model", MODEL, "--poll", "100", "--key", "ann.json",
    ];
    let ann = Running::start(net.command(&serve));
    ann.wait_for("it serves", |e| e["event"] == "serving");
    let ask = [
        "--prompt",
        "Tell me a story about a fox.",
        "--max-tokens",
        "16",
        "--seed",
        "3",
    ];
    let post = [
        "task",
        "post",
        MODEL,
        "--key",
        "rosa.json",
        "--ramp",
        "60",
        "--exec",
        "300",
    ];
    let post = [&post[..], &["--wait"], &ask].concat();
    let rosa = Running::start(net.command(&post));
    let served = rosa.wait_for("the task is over", |e| e["state"].is_string());
    assert_eq!(served["state"], "settled", "{served}");
    assert!(served["prediction"].is_null(), "{served}");

    let alone = net
        .command(&[&["generate", MODEL], &ask[..]].concat())
        .output()
        .unwrap();
    let alone: Value = serde_json::from_str(text(&alone.stdout).lines().last().unwrap()).unwrap();
    assert_eq!(served["text"], alone["text"]);
    assert_eq!(served["input_digest"], alone["input_digest"]);
    assert_eq!(served["attempts"][0]["trace_root"], alone["trace_root"]);
    assert_eq!(
        served["attempts"][0]["output_digest"],
        alone["output_digest"]
    );

    let result = ["task", "result", "1", "--model", MODEL];
    let files = ["--output", "answer.txt", "--receipt", "receipt.json"];
    let result = net.run(&[&result[..], &files].concat());
    assert_eq!(result["text"], alone["text"]);
    let written = std::fs::read_to_string(dir.path().join("answer.txt")).unwrap();
    assert_eq!(result["text"], written);
    let receipt = net.run(&["verify", "receipt.json", "--model", MODEL]);
    assert_eq!(receipt["claim"], true);

    for (args, word) in [
        (
            &["task", "post", MODEL, "x.png", "--key", "rosa.json"][..],
            "takes no x.png",
        ),
        (
            &["task", "post", "digits", "--key", "rosa.json"],
            "nothing to run digits on",
        ),
        (&["run", "llm", "x.png"], "gavel generate llm"),
    ] {
        let refused = net.command(args).output().unwrap();
        assert!(
            text(&refused.stderr).contains(word),
            "{}",
            text(&refused.stderr)
        );
    }
}

#[test]
fn a_picture_from_the_market_is_the_one_that_everybody_draws_alone() {
    const MODEL: &str = "diffusion";
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain, _) = network(dir.path(), &["ann", "rosa"]);
    net.register(MODEL);
    let serve = [
        "provider", "run", "--model", MODEL, "--poll", "100", "--key", "ann.json",
    ];
    let ann = Running::start(net.command(&serve));
    ann.wait_for("it serves", |e| e["event"] == "serving");
    let post = ["task", "post", MODEL, "--key", "rosa.json", "--ramp", "60"];
    let ask = ["--exec", "300", "--wait", "--seed", "7"];
    let words = ["--prompt", "a red circle on blue"];
    let rosa = Running::start(net.command(&[&post[..], &ask, &words].concat()));
    let served = rosa.wait_for("the task is over", |e| e["state"].is_string());
    assert_eq!(served["state"], "settled", "{served}");

    let alone = ["generate-image", words[1], "--seed", "7"];
    let alone = net.run(&[&alone[..], &["--output", "alone.png"]].concat());
    assert_eq!(served["picture_digest"], alone["picture_digest"]);
    assert_eq!(served["input_digest"], alone["input_digest"]);
    assert_eq!(served["attempts"][0]["trace_root"], alone["trace_root"]);
    let result = ["task", "result", "1", "--model", MODEL];
    let files = ["--output", "settled.png", "--receipt", "receipt.json"];
    let result = net.run(&[&result[..], &files].concat());
    assert_eq!(result["picture_digest"], alone["picture_digest"]);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("settled.png") == read("alone.png"));
    let receipt = net.run(&["verify", "receipt.json", "--model", MODEL]);
    assert_eq!(receipt["claim"], true);
    let wrong = [&post[..], &["--prompt", "a fox"]].concat();
    let refused = net.command(&wrong).output().unwrap();
    assert!(text(&refused.stderr).contains("\"fox\" is no word"));
}

#[test]
fn providers_of_a_family_serve_whatever_length_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain, _) = network(dir.path(), &["ann", "rosa"]);
    let file = root().join("crates/model/tests/fixtures/open-encoder.onnx");
    let family = format!("{}@batch=1..2,seq=4..12/4", file.display());
    let registered = net.register(&family);
    let id = net.run(&["model", "id", &family])["family_id"].clone();
    assert_eq!(registered["family_id"], id);
    let serve = [
        "provider", "run", "--model", &family, "--poll", "100", "--key", "ann.json",
    ];
    let ann = Running::start(net.command(&serve));
    let serving = ann.wait_for("it serves", |e| e["event"] == "serving");
    assert_eq!(serving["models"], serde_json::json!([id]));
    let mut models = Vec::new();
    for (task, dims) in [(1, [1u64, 4]), (2, [2, 12])] {
        let count = dims[0] * dims[1];
        let ids = Tensor::i64(dims, (0..count as i64).collect()).unwrap();
        std::fs::write(dir.path().join("ids.npy"), write_npy(&ids)).unwrap();
        let post = ["task", "post", &family, "ids.npy", "--key", "rosa.json"];
        let post = [&post[..], &["--ramp", "60", "--exec", "300", "--wait"]].concat();
        let rosa = Running::start(net.command(&post));
        for what in ["registers", "shows that"] {
            let introduced = rosa.wait_for(what, |e| e["event"] == "introduced");
            assert!(
                introduced["act"]["what"]
                    .as_str()
                    .unwrap()
                    .starts_with(what)
            );
        }
        let served = rosa.wait_for("the task is over", |e| e["state"].is_string());
        assert_eq!(served["state"], "settled", "{served}");
        assert_eq!(served["class"], id);
        let alone = net.run(&["run", &family, "ids.npy"]);
        assert_eq!(served["model"], alone["model_id"]);
        assert_eq!(served["attempts"][0]["trace_root"], alone["trace_root"]);
        models.push(served["model"].clone());

        let task = task.to_string();
        let result = ["task", "result", &task, "--model", &family];
        net.run(&[&result[..], &["--receipt", "receipt.json"]].concat());
        let receipt = net.run(&["verify", "receipt.json", "--model", &family]);
        assert_eq!(receipt["claim"], true);
        assert_eq!(receipt["receipt"]["class_id"], id);
    }
    assert_ne!(models[0], models[1]);
    let long = Tensor::i64([1, 16], vec![0; 16]).unwrap();
    std::fs::write(dir.path().join("ids.npy"), write_npy(&long)).unwrap();
    let other = format!("{}@seq=1..3", file.display());
    for (args, words) in [
        (
            &["task", "post", &family, "ids.npy", "--key", "rosa.json"][..],
            "16 is outside of the family's seq=4..12/4",
        ),
        (
            &["task", "post", &family, "--key", "rosa.json"],
            "there is nothing to run",
        ),
        (
            &["provider", "run", "--model", &other, "--key", "ann.json"],
            "which is not in the registry",
        ),
    ] {
        let refused = net.command(args).output().unwrap();
        let said = text(&refused.stderr);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_key_is_served_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain, addresses) = network(dir.path(), &["ann"]);
    net.register("digits-small");
    let mut first = net.provider("ann", "1", &[]);
    let second = [
        "provider",
        "run",
        "--model",
        "digits-small",
        "--key",
        "ann.json",
    ];
    let refused = net.command(&second).output().unwrap();
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(8), "{told}");
    assert!(told.contains("one key is served by one process"), "{told}");
    // however the first ends, the next goes on at once
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let again = net.provider("ann", "1", &[]);
    drop(again);
    // its database is where the network and the key say
    let state = dir.path().join("state/gavel");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    let network = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap();
    let name = format!("{}.db", addresses[0].to_lowercase());
    assert!(network.path().join(name).exists());
}
