//! `gavel task trap` against processes: a trap that a watcher finds, one that nobody does, and what is refused before
//! anything is in escrow.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/net.rs"]
mod net;
#[path = "../../gateway/tests/common/schema.rs"]
mod schema;
#[path = "common/telling.rs"]
mod telling;

use std::path::Path;
use std::process::Command;

use common::{root, text};
use net::Net;
use serde_json::Value;
use telling::Running;

/// Seconds of the chain in one of the wall's.
const SPEED: &str = "6";
const MODEL: &str = "digits-small";
/// Whoever serves this one audits no task of the other.
const OTHER_MODEL: &str = "digits";
const TOKEN: u128 = 10u128.pow(18);
const STAKE: u128 = 1_000 * TOKEN;

/// A chain with the contracts and the models on it, on which every result is audited; each of these has tokens.
fn network<'a>(dir: &'a Path, names: &[&str]) -> (Net<'a>, Running) {
    let (net, chain) = Net::up(dir, SPEED);
    net.deploy(names, &["--audit-rate", "1"]);
    for model in [MODEL, OTHER_MODEL] {
        net.register(model);
    }
    (net, chain)
}

impl Net<'_> {
    fn address(&self, name: &str) -> String {
        let key = self.run(&["key", "address", &format!("{name}.json")]);
        key["address"].as_str().unwrap().to_owned()
    }

    fn account(&self, name: &str) -> Value {
        self.run(&["account", "show", &self.address(name)])
    }

    /// A provider that is registered, and runs.
    fn served(&self, name: &str, model: &str) -> Running {
        let key = format!("{name}.json");
        let role = ["provider", "run", "--poll", "100", "--key", &key];
        let running = Running::start(self.command(&[&role[..], &["--model", model]].concat()));
        running.event("serving");
        running
    }

    /// The command, with the keys of these.
    fn trap(&self, keys: [&str; 3], more: &[&str]) -> Command {
        let png = root().join("models/images/digit-7-b.png");
        let [requester, provider, sealer] = keys.map(|name| format!("{name}.json"));
        let post = ["task", "trap", MODEL, png.to_str().unwrap()];
        let terms = ["--ramp", "60", "--exec", "300", "--poll", "100"];
        let keys = [
            "--key",
            &requester,
            "--provider-key",
            &provider,
            "--sealer-key",
            &sealer,
        ];
        self.command(&[&post[..], &terms, &keys, more].concat())
    }
}

fn units(of: &Value) -> u128 {
    let text = of.as_str().unwrap_or_else(|| panic!("no amount: {of}"));
    text.parse().unwrap()
}

/// What a trap's process says until it is over; each line is as its schema says.
fn told(trap: &Running) -> (Vec<Value>, Value) {
    let file = root().join("docs/reference/schemas/task-trap.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut said = Vec::new();
    loop {
        let line = trap.wait_for("it goes on", |_| true);
        let errors = schema::errors(&schema, &schema, &line);
        assert!(errors.is_empty(), "{errors:?}: {line}");
        if line["event"] == "over" {
            return (said, line);
        }
        said.push(line);
    }
}

/// The places of these among what was done, which come in this order.
fn in_order(said: &[Value], wanted: &[&str]) {
    let done = said.iter().filter_map(|line| line["what"].as_str());
    let done: Vec<&str> = done.collect();
    let mut rest = done.iter();
    for what in wanted {
        let found = rest.any(|did| did.contains(what));
        assert!(found, "{what:?} is not in its place: {done:#?}");
    }
}

#[test]
fn a_trap_is_shown_once_nobody_can_find_it_any_more_or_somebody_has() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = network(dir.path(), &["rosa", "pat", "sam", "lars", "wanda"]);
    // the trap's provider is registered, and nobody runs it
    drop(net.served("pat", MODEL));
    let lars = net.served("lars", OTHER_MODEL);
    let least = {
        let trap = Running::start(net.trap(["rosa", "pat", "sam"], &[]));
        // there is nobody who could audit; and nobody who settles before the trap is shown
        lars.acts("decide about an audit of task 1");
        drop(lars);
        let (said, over) = told(&trap);
        let posted = &said[0];
        assert_eq!(posted["event"], "posted", "{posted}");
        for (name, who) in [("provider", "pat"), ("sealer", "sam")] {
            let named = posted[name].as_str().unwrap();
            assert!(named.eq_ignore_ascii_case(&net.address(who)), "{posted}");
        }
        in_order(
            &said,
            &[
                "claims",
                "seals a deposit",
                "commits",
                "shows",
                "shared out",
            ],
        );
        assert_eq!(over["task"], 1, "{over}");
        assert_eq!(
            (&over["shown"], &over["finders"]),
            (&true.into(), &0.into())
        );
        let least = units(&posted["jackpot"]);
        assert!(least > 0);
        // nobody vouched for the result: its deposit is back
        assert!(over["passed_by"].is_null(), "{over}");
        let sam = net.account("sam");
        let left = units(&sam["wallet"]) + units(&sam["credit"]);
        assert_eq!(left, 100_000 * TOKEN, "{sam}");
        let task = net.run(&["task", "show", "1"]);
        assert_eq!(task["state"], "settled", "{task}");
        least
    };

    let watch = ["challenge", "watch", "--model", MODEL];
    let key = ["--key", "wanda.json", "--poll", "100"];
    let wanda = Running::start(net.command(&[watch, key].concat()));
    wanda.event("watching");
    let jackpot = least + TOKEN / 2;
    let asked = format!("{}.{:018}", jackpot / TOKEN, jackpot % TOKEN);
    let more = ["--jackpot", &asked, "--seed", "1"];
    let trap = Running::start(net.trap(["rosa", "pat", "sam"], &more));
    let (said, over) = told(&trap);
    assert_eq!(units(&said[0]["jackpot"]), jackpot);
    // whose turn it is to end the dispute may be anybody's: the watcher is as quick at times
    in_order(&said, &["commits", "shows", "takes task 2 back"]);
    let dispute = net.run(&["dispute", "show", "1"]);
    assert_eq!(dispute["state"], "void", "{dispute}");
    assert_eq!(
        (&over["shown"], &over["finders"]),
        (&true.into(), &1.into())
    );
    assert_eq!(units(&over["share"]), jackpot, "{over}");
    let task = net.run(&["task", "show", "2"]);
    assert_eq!(task["state"], "cancelled", "{task}");
    let paid = |who: &Value| units(&who["wallet"]) + units(&who["credit"]);
    // the finder has its bond and the prize; the one that was found has lost nothing
    wanda.acts("collects its share of the jackpot");
    assert_eq!(paid(&net.account("wanda")), 100_000 * TOKEN + jackpot);
    assert_eq!(units(&net.account("pat")["stake"]), STAKE);
    let standing = net.run(&["provider", "list"]);
    for provider in standing["providers"].as_array().unwrap() {
        assert_eq!(provider["tombstoned"], false, "{standing}");
        assert_eq!(provider["frozen"], 0, "{standing}");
    }
}

#[test]
fn what_makes_no_trap_is_refused_before_anything_is_in_escrow() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = network(dir.path(), &["rosa", "pat", "sam"]);
    net.key("poor");
    let refused = |mut trap: Command, status: i32, words: &[&str]| {
        let output = trap.output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?}: {stderr}");
        }
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["error"]["exit"], status, "{object}");
    };
    let three = ["rosa", "pat", "sam"];
    refused(
        net.trap(three, &[]),
        1,
        &["serves nothing now", "registered", "gavel provider list"],
    );
    drop(net.served("pat", MODEL));
    refused(
        net.trap(three, &["--jackpot", "0.5"]),
        2,
        &["--jackpot 0.5 tokens is no prize", "at least"],
    );
    refused(
        net.trap(three, &["--jackpot", "200000"]),
        6,
        &["the sealer", "has 100000 tokens", "gavel account show"],
    );
    refused(
        net.trap(["rosa", "pat", "poor"], &[]),
        6,
        &["the sealer", "has 0 tokens"],
    );
    for keys in [
        ["rosa", "pat", "pat"],
        ["rosa", "pat", "rosa"],
        ["pat", "pat", "sam"],
    ] {
        refused(net.trap(keys, &[]), 2, &["are not three", "--sealer-key"]);
    }
    refused(
        net.trap(["rosa", "pat", "nobody"], &[]),
        3,
        &["nobody.json"],
    );
    refused(
        net.trap(three, &["--min-price", "9", "--max-price", "8"]),
        2,
        &["--min-price 9 is above --max-price 8"],
    );
    let none = net.run(&["task", "list"]);
    assert_eq!(none["tasks"].as_array().unwrap().len(), 0, "{none}");
    for who in ["rosa", "sam"] {
        assert_eq!(units(&net.account(who)["wallet"]), 100_000 * TOKEN);
    }
}
