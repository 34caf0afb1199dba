//! What an operator does beside running roles: stake, drain, look, wait; and the exit status of what goes wrong.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/net.rs"]
mod net;
#[path = "common/process.rs"]
mod process;
#[path = "common/telling.rs"]
mod telling;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use common::root;
use net::Net;
use process::gavel;
use serde_json::Value;
use telling::Running;

/// A chain with the contracts, the small model, and 100,000 tokens for each name.
fn network<'a>(dir: &'a Path, speed: &str, names: &[&str]) -> (Net<'a>, Running) {
    let (net, chain) = Net::up(dir, speed);
    net.deploy(names, &[]);
    net.register("digits-small");
    (net, chain)
}

impl Net<'_> {
    /// Its status, and the object that it prints.
    fn status(&self, args: &[&str]) -> (i32, Value) {
        let output = self.command(args).output().unwrap();
        let object = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), object)
    }

    fn post(&self) {
        let png = root().join("models/images/digit-7-a.png");
        let png = png.to_str().unwrap();
        self.run(&["task", "post", "digits-small", png, "--key", "rosa.json"]);
    }
}

/// The first object of those that a process printed in which this is that.
fn said(output: &Output, field: &str, value: &str) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let objects = text.lines().flat_map(serde_json::from_str::<Value>);
    let found = objects.into_iter().find(|object| object[field] == value);
    found.unwrap_or_else(|| panic!("no {value}: {text}"))
}

const PROVIDE: [&str; 8] = [
    "provider",
    "run",
    "--model",
    "digits-small",
    "--key",
    "ann.json",
    "--poll",
    "50",
];

#[test]
fn stake_goes_in_and_comes_out_after_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = network(dir.path(), "1000", &["ann", "rosa"]);
    let unknown = net.status(&["provider", "stake", "5", "--key", "rosa.json", "--yes"]);
    assert_eq!(unknown.0, 10, "{}", unknown.1);
    let ann = Running::start(net.command(&PROVIDE));
    ann.event("serving");
    drop(ann);

    // nobody is there to ask
    let asked = net.status(&["provider", "stake", "2.5", "--key", "ann.json"]);
    assert_eq!(asked.0, 2, "{}", asked.1);
    let staked = net.run(&["provider", "stake", "2.5", "--key", "ann.json", "--yes"]);
    assert_eq!(staked["staked"], "2500000000000000000");
    assert_eq!(staked["free"], "1002500000000000000000");
    let (status, beyond) =
        net.status(&["provider", "unstake", "5000", "--key", "ann.json", "--yes"]);
    assert_eq!(status, 6, "{beyond}");
    assert!(
        beyond["error"]["what"]
            .as_str()
            .unwrap()
            .contains("1002.5 tokens"),
        "{beyond}"
    );
    let leaving = net.run(&["provider", "unstake", "100", "--key", "ann.json", "--yes"]);
    assert!(leaving["mature_at"].as_u64().unwrap() > 0, "{leaving}");
    assert!(
        leaving["unbonding_seconds"].as_u64().unwrap() > 0,
        "{leaving}"
    );
    // whatever the chain's clock says by now, one of the two answers
    let mut taken = net.run(&["provider", "withdraw", "--key", "ann.json"]);
    while taken["withdrawn"] == "0" {
        assert_eq!(taken["waiting"], "100000000000000000000", "{taken}");
        taken = net.run(&["provider", "withdraw", "--key", "ann.json"]);
    }
    assert_eq!(taken["withdrawn"], "100000000000000000000", "{taken}");
    assert_eq!(taken["waiting"], "0", "{taken}");
    let empty = net.run(&["provider", "withdraw", "--key", "ann.json"]);
    assert_eq!(empty["withdrawn"], "0", "{empty}");
}

#[cfg(unix)]
#[test]
fn a_provider_that_is_told_to_end_first_does_what_it_owes() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = network(dir.path(), "6", &["ann", "rosa"]);
    let mut ann = Running::start(net.command(&PROVIDE));
    ann.event("serving");
    net.post();
    ann.acts("claims task 1");
    ann.signal("-TERM");
    ann.event("draining");
    net.post();
    // the first task is seen through; the second is nobody's
    ann.event("drained");
    assert!(ann.child.wait().unwrap().success());
    assert_eq!(net.run(&["task", "show", "1"])["state"], "settled");
    assert_eq!(net.run(&["task", "show", "2"])["state"], "open");
    let (status, late) = net.status(&["task", "wait", "2", "--timeout", "0"]);
    assert_eq!(status, 9, "{late}");
    assert_eq!(net.run(&["task", "wait", "1"])["state"], "settled");
    // nothing is owed: it ends at once
    let drain = [&["provider", "drain"], &PROVIDE[2..]].concat();
    assert!(net.command(&drain).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_drain_that_is_interrupted_says_that_something_is_owed() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = network(dir.path(), "1", &["ann", "rosa"]);
    let faulty = [&PROVIDE[..], &["--fault", "no-result"]].concat();
    let ann = Running::start(net.command(&faulty));
    ann.event("serving");
    net.post();
    ann.acts("claims task 1");
    drop(ann);
    // it answers for the result until a window is over that is minutes long at this speed
    let drain = [&["provider", "drain"], &PROVIDE[2..]].concat();
    let mut ann = Running::start(net.command(&drain));
    ann.acts("commits the result");
    ann.signal("-INT");
    assert_eq!(ann.child.wait().unwrap().code(), Some(130));
}

/// What the operators' listener of a process shows, once it shows this.
fn metrics_with(ops: &Value, wanted: &[&str]) -> String {
    let address = ops.as_str().unwrap().strip_prefix("http://").unwrap();
    let started = Instant::now();
    loop {
        let mut socket = TcpStream::connect(address).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        if wanted
            .iter()
            .all(|wanted| text.lines().any(|l| l == *wanted))
        {
            return text;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{wanted:?}\n{text}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One wrong result is on the chain, and nobody has challenged it.
fn operators_see_what_readers_see(net: &Net<'_>) {
    let ops = ["--ops", "127.0.0.1:0"];
    let watch = ["watch", "--poll", "50", "--model", "digits-small"];
    let watch = [&watch[..], &ops].concat();
    let watcher = Running::start(net.command(&watch));
    let begun = watcher.event("watching");
    let seen = [
        "gavel_watch_alerts_total{code=\"GVL-WATCH-001\"} 1",
        "gavel_watch_alerts_total{code=\"GVL-WATCH-006\"} 0",
        "gavel_watch_forecasts{of=\"results\",forecast=\"disagree\"} 1",
        "gavel_watch_unjudged 0",
        "gavel_providers_below_minimum 0",
    ];
    metrics_with(&begun["ops"], &seen);

    let page = [&["explorer", "--port", "0"], &ops[..]].concat();
    let explorer = Running::start(net.command(&page));
    let begun = explorer.event("listening");
    let address = begun["explorer"].as_str().unwrap();
    let mut listener = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    let request = "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
    listener.write_all(request.as_bytes()).unwrap();
    let seen = [
        "gavel_explorer_clients 1",
        "gavel_explorer_behind_blocks 0",
        "gavel_explorer_kept{of=\"tasks\"} 1",
        "gavel_tasks{state=\"committed\"} 1",
    ];
    metrics_with(&begun["ops"], &seen);
}

#[test]
fn whoever_watches_is_told_what_is_wrong_and_may_challenge_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = network(dir.path(), "2", &["ann", "rosa", "wanda"]);
    let args = [&PROVIDE[..], &["--fault", "weight"]].concat();
    let ann = Running::start(net.command(&args));
    ann.event("serving");
    net.post();
    ann.acts("commits the result");

    let watch = ["watch", "--once", "--model", "digits-small"];
    let output = net.command(&watch).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let alert = said(&output, "code", "GVL-WATCH-001");
    assert_eq!(alert["task"], 1);
    // without the model there is nothing to judge
    let blind = net.command(&["watch", "--once"]).output().unwrap();
    assert_eq!(blind.status.code(), Some(0));
    operators_see_what_readers_see(&net);

    let hand = ["--model", "digits-small", "--key", "wanda.json"];
    let open = [
        &["challenge", "open", "1", "--poll", "50", "--yes"],
        &hand[..],
    ]
    .concat();
    let opened = net.command(&open).output().unwrap();
    assert_eq!(opened.status.code(), Some(0));
    let disputed = said(&opened, "event", "disputed");
    assert_eq!(disputed["dispute"], 1);
    // the provider may move between the two
    let (shown, listed) = loop {
        let before = net.run(&["dispute", "show", "1"]);
        let listed = net.run(&["dispute", "list"]);
        if before == net.run(&["dispute", "show", "1"]) {
            break (before, listed);
        }
    };
    assert_eq!(shown["task"], 1);
    assert_eq!(shown, listed["disputes"][0]);
    // played by hand to the operator
    let step = [&["challenge", "move", "1"], &hand[..]].concat();
    let dry = [&step[..], &["--dry-run"]].concat();
    let mut moved = 0;
    while net.run(&["dispute", "show", "1"])["isolated"].is_null() {
        let planned = net.run(&dry);
        assert_eq!(
            (&planned["role"], &planned["sent"]),
            (&"challenger".into(), &false.into())
        );
        moved += u32::from(net.run(&step)["sent"] == true);
    }
    assert!(moved > 0);
    let again = net.command(&watch).output().unwrap();
    let forecast = said(&again, "code", "GVL-WATCH-004");
    assert!(
        forecast["what"]
            .as_str()
            .unwrap()
            .contains("should be found guilty"),
        "{forecast}"
    );
}

#[test]
fn every_kind_of_failure_has_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let status = |args: &[&str]| gavel(dir.path(), args).0;
    let nobody = ["--rpc", "http://127.0.0.1:9"];
    let listed = [&["task", "list"], &nobody[..]].concat();
    assert_eq!(status(&listed), Some(3), "no deployment file");
    assert_eq!(status(&["task", "frobnicate"]), Some(2));
    let (net, _chain) = network(dir.path(), "1", &["rosa"]);
    assert_eq!(status(&listed), Some(4), "nobody listens there");
    assert_eq!(net.status(&["task", "show", "99"]).0, 10);
    assert_eq!(net.status(&["dispute", "show", "99"]).0, 10);
    let lost = ["account", "withdraw", "--key", "nowhere.json"];
    assert_eq!(net.status(&lost).0, 3);
    let mut wrong = net.command(&["account", "withdraw", "--key", "rosa.json"]);
    assert_eq!(
        wrong
            .env("GAVEL_PASSWORD", "wrong")
            .status()
            .unwrap()
            .code(),
        Some(3)
    );
    net.post();
    let foreign = ["task", "cancel", "1", "--key", "deployer.json"];
    assert_eq!(net.status(&foreign).0, 5, "another's task");
    let png = root().join("models/images/digit-7-a.png");
    let png = png.to_str().unwrap();
    let poor = ["task", "post", "digits-small", png, "--key", "poor.json"];
    net.run(&["key", "new", "poor.json"]);
    assert_eq!(net.status(&poor).0, 6, "no tokens");
}

#[test]
fn the_doctor_names_what_is_wrong_and_how_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    let check = |report: &Value, name: &str| {
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|c| c["check"] == name).unwrap()
    };
    let (status, ill, _) = gavel(dir.path(), &["doctor", "--rpc", "http://127.0.0.1:9"]);
    assert_eq!(status, Some(4), "{ill}");
    assert_eq!(ill["status"], "fail");
    assert_eq!(check(&ill, "rpc")["status"], "fail");
    assert_eq!(check(&ill, "blobs")["status"], "ok");
    for line in ill["checks"].as_array().unwrap() {
        assert_eq!(line["fix"].is_null(), line["status"] == "ok", "{line}");
    }

    let (net, _chain) = network(dir.path(), "1", &["rosa"]);
    let whole = ["doctor", "--key", "rosa.json", "--model", "digits-small"];
    let well = net.run(&whole);
    for name in [
        "rpc",
        "deployment",
        "clock",
        "blobs",
        "key",
        "stake",
        "model",
        "processor",
    ] {
        assert_eq!(check(&well, name)["status"], "ok", "{well}");
    }
    let sandbox = match cfg!(target_os = "linux") {
        true => "ok",
        false => "warn",
    };
    assert_eq!(check(&well, "sandbox")["status"], sandbox, "{well}");
    // a key that a model could read is no key to serve with
    std::fs::create_dir(dir.path().join("models")).unwrap();
    std::fs::copy(
        dir.path().join("rosa.json"),
        dir.path().join("models/rosa.json"),
    )
    .unwrap();
    let among = ["--key", "models/rosa.json", "--model", "models"];
    let (status, among) = net.status(&[&["doctor"], &among[..]].concat());
    if cfg!(target_os = "linux") {
        assert_eq!(check(&among, "sandbox")["status"], "fail", "{among}");
        assert_eq!(status, 3, "{among}");
    }
    assert_eq!(check(&well, "coin")["status"], "warn", "{well}");
    let other = net.status(&["doctor", "--model", "digits-mlp"]);
    assert_eq!(
        (other.0, &check(&other.1, "model")["status"]),
        (10, &"fail".into())
    );
    std::fs::write(dir.path().join("blobs-file"), "").unwrap();
    let full = net.status(&["doctor", "--quick", "--blobs", "blobs-file"]);
    assert_eq!(check(&full.1, "blobs")["status"], "fail", "{}", full.1);
    assert_ne!(full.0, 0);
}

#[test]
fn the_reference_says_what_the_program_takes() {
    let output = common::gavel(&["reference"]);
    let made = common::text(&output.stdout);
    let kept = std::fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    assert!(
        made == kept,
        "renew it: gavel reference > docs/reference/cli.md"
    );
    let bash = common::gavel(&["completions", "bash"]);
    assert!(
        common::text(&bash.stdout).contains("provider"),
        "a script for bash"
    );
    assert_eq!(
        common::gavel(&["completions", "cobol"]).status.code(),
        Some(2)
    );
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man");
    let place = pages.to_str().unwrap();
    assert!(common::gavel(&["man", "--dir", place]).status.success());
    let page = std::fs::read_to_string(pages.join("gavel-provider-unstake.1")).unwrap();
    assert!(page.contains("unbonding"), "{page}");
}
