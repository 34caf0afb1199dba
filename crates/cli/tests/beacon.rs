//! Networks whose draws are made of secrets: deploying them, taking part as a process that is killed, and getting the bond back.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/net.rs"]
mod net;
#[path = "common/telling.rs"]
mod telling;

use common::root;
use net::Net;
use serde_json::Value;
use telling::Running;

/// Seconds of the chain in one of the wall's.
const SPEED: &str = "6";

impl Net<'_> {
    fn joins(&self, name: &str) -> Running {
        let key = format!("{name}.json");
        let args = ["beacon", "join", "--yes", "--poll", "50", "--key", &key];
        let running = Running::start(self.command(&args));
        running.wait_for("it joins", |e| e["event"] == "joining");
        running
    }

    fn wallet(&self, address: &str) -> u128 {
        let shown = self.run(&["account", "show", address]);
        shown["wallet"].as_str().unwrap().parse().unwrap()
    }
}

#[test]
fn every_beacon_is_deployed_shown_and_refused_with_numbers_that_let_it_down() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = Net::up(dir.path(), SPEED);
    let deploy = |more: &[&'static str]| {
        let args = ["chain", "deploy", "--key", "deployer.json"];
        [&args[..], more].concat()
    };
    for (more, rule, remedy) in [
        (
            &["--beacon", "commit-reveal", "--commit-reveal-bond", "0.5"][..],
            "P-B4",
            "--commit-reveal-bond",
        ),
        (
            &["--beacon", "commit-reveal", "--commit-reveal-quorum", "1"],
            "P-B3",
            "--commit-reveal-quorum",
        ),
        (
            &["--beacon", "commit-reveal", "--commit-reveal-period", "600"],
            "P-V4",
            "beacon_slack = 1200",
        ),
        (
            &["--beacon", "fallback", "--fallback-slack", "0"],
            "P-B5",
            "--fallback-slack 3",
        ),
        (
            &["--commit-reveal-period", "9"],
            "is made of secrets",
            "--beacon fallback",
        ),
    ] {
        let (status, told) = net.fails(&deploy(more));
        assert_eq!(status, Some(2), "{told}");
        assert!(told.contains(rule) && told.contains(remedy), "{told}");
    }
    for (name, scheme, numbers) in [
        ("development", "development", Value::Null),
        ("drand", "drand", Value::Null),
        ("commit-reveal", "commit-reveal", 7.into()),
        ("fallback", "drand, commit-reveal", 3.into()),
    ] {
        let file = format!("{name}.deployment");
        let args = [&deploy(&["--beacon"])[..], &[name, "--deployment", &file]].concat();
        let deployed = net.run(&args);
        assert_eq!(deployed["beacon"]["scheme"], scheme, "{deployed}");
        assert_eq!(
            deployed["beacon"]["secrets"]["period"], numbers,
            "{deployed}"
        );
        let shown = net.run(&["beacon", "show", "--deployment", &file]);
        assert_eq!(shown["scheme"], scheme, "{shown}");
        assert_eq!(shown["beacon"], deployed["deployment"]["beacon"], "{shown}");
        for number in ["period", "quorum", "bond"] {
            let fixed = &deployed["beacon"]["secrets"][number];
            assert_eq!(&shown["secrets"][number], fixed, "{shown}");
        }
        assert_eq!(shown["slack"].is_u64(), name == "fallback", "{shown}");
        if numbers.is_null() {
            let join = [
                "beacon",
                "join",
                "--key",
                "deployer.json",
                "--deployment",
                &file,
            ];
            let (_, told) = net.fails(&join);
            assert!(told.contains("not made of secrets"), "{told}");
        }
    }
}

/// Parameters under which rounds of secrets may be as long as processes need that are killed and started again.
fn patient_rules(net: &Net<'_>) {
    let written = net.run(&["chain", "params", "--probation", "0"]);
    let mut rules = written["parameters"].clone();
    rules["court"]["beacon_slack"] = 240.into();
    for (section, number) in [
        ("stake", "unbonding_seconds"),
        ("stake", "correlation_window_seconds"),
    ] {
        let seconds = rules[section][number].as_u64().unwrap();
        rules[section][number] = (seconds + 10_000).into();
    }
    let text = toml::to_string(&rules).unwrap();
    std::fs::write(net.dir.join("rules.toml"), text).unwrap();
}

#[test]
fn participants_draw_an_audit_though_one_is_killed_and_have_their_bonds_back() {
    let dir = tempfile::tempdir().unwrap();
    let (net, _chain) = Net::up(dir.path(), SPEED);
    let names = ["ann", "bob", "cyd", "rosa"];
    let addresses = names.map(|name| net.key(name));
    patient_rules(&net);
    let mut deploy = vec!["chain", "deploy", "--key", "deployer.json"];
    deploy.extend(["--params", "rules.toml", "--beacon", "commit-reveal"]);
    deploy.extend(["--commit-reveal-quorum", "2"]);
    deploy.extend(addresses.iter().flat_map(|a| ["--mint", a.as_str()]));
    let deployed = net.run(&deploy);
    let bond: u128 = deployed["beacon"]["secrets"]["bond"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    net.register("digits-small");

    // money moves only where that was said
    let asked = net.fails(&["beacon", "join", "--key", "ann.json"]);
    assert!(asked.1.contains("--yes"), "{}", asked.1);
    let (status, told) = net.fails(&["beacon", "leave", "--key", "ann.json"]);
    assert_eq!(status, Some(10), "{told}");
    let before = net.wallet(&addresses[0]);
    let mut ann = net.joins("ann");
    ann.acts("joins the beacon");
    assert_eq!(net.wallet(&addresses[0]), before - bond);
    // bob serves too, with the same key
    let provider = |name: &str, more: &[&str]| {
        let key = format!("{name}.json");
        let args = ["provider", "run", "--model", "digits-small", "--poll", "50"];
        let args = [&args[..], &["--key", &key], more].concat();
        let running = Running::start(net.command(&args));
        running.wait_for("it serves", |e| e["event"] == "serving");
        running
    };
    let bob = provider("bob", &["--join-beacon"]);
    bob.acts("joins the beacon");
    let _cyd = provider("cyd", &["--reserve", "5"]);
    let png = root().join("models/images/digit-7-b.png");
    let png = png.to_str().unwrap();
    let post = ["task", "post", "digits-small", png, "--key", "rosa.json"];
    let post = [&post[..], &["--ramp", "60", "--exec", "300", "--wait"]].concat();
    let rosa = Running::start(net.command(&post));

    // killed between commitment and reveal, and started again from nothing but its key and its files
    ann.acts("commits a secret");
    ann.child.kill().unwrap();
    ann.child.wait().unwrap();
    drop(ann);
    let standing = |address: &str| {
        let shown = net.run(&["beacon", "show", address]);
        shown["participant"].clone()
    };
    assert_eq!(standing(&addresses[0])["joined"], true);
    let mut ann = net.joins("ann");
    ann.acts("reveals its secret");
    let served = rosa.wait_for("the task is over", |e| e["state"].is_string());
    assert_eq!(served["state"], "settled", "{served}");
    let shown = net.run(&["beacon", "show"]);
    assert!(shown["newest"]["round"].is_u64(), "{shown}");

    // one process a key
    let (status, told) = net.fails(&["beacon", "leave", "--key", "ann.json"]);
    assert_eq!(status, Some(8), "{told}");
    ann.signal("-TERM");
    let ended = ann.event("ended");
    assert_eq!(ended["bond_back"], false);
    assert!(ann.child.wait().unwrap().success());
    assert_eq!(standing(&addresses[0])["joined"], true);
    let left =
        Running::start(net.command(&["beacon", "leave", "--poll", "50", "--key", "ann.json"]));
    left.acts("takes its bond");
    assert_eq!(left.event("ended")["bond_back"], true);
    assert_eq!(net.wallet(&addresses[0]), before);
    assert_eq!(standing(&addresses[0])["joined"], false);
    // a provider that drains takes its bond along
    bob.signal("-TERM");
    bob.acts("takes its bond");
    bob.event("drained");
    assert_eq!(standing(&addresses[1])["joined"], false);
}
