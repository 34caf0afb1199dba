//! Several processes behind one key, some of which die or stop, over a real PostgreSQL.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/net.rs"]
mod net;
#[path = "../../state/tests/common/mod.rs"]
mod postgres;
#[path = "common/telling.rs"]
mod telling;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use common::{root, text};
use net::Net;
use postgres::Server;
use telling::Running;

/// Seconds of the chain in one of the wall's.
const SPEED: &str = "6";
/// Seconds after which a job or the lead is another's: some hundred times what a sign of life takes.
const LEASE: &str = "3";
/// Requesters: a key has one process at a time.
const ASKERS: [&str; 3] = ["rosa", "ruth", "ron"];
const STAKE: &str = "1000000000000000000000";

/// A provider `ann` whose processes share a database, on a chain of its own.
struct Fleet<'a> {
    net: Net<'a>,
    _chain: Running,
    server: Server,
    address: String,
}

impl<'a> Fleet<'a> {
    /// `None` where there is no PostgreSQL.
    fn start(dir: &'a Path) -> Option<Fleet<'a>> {
        let server = Server::start()?;
        let (net, chain) = Net::up(dir, SPEED);
        let addresses = net.deploy(&[&["ann"], &ASKERS[..]].concat(), &[]);
        net.register("digits-small");
        Some(Fleet {
            net,
            _chain: chain,
            server,
            address: addresses[0].clone(),
        })
    }

    fn leader(&self) -> Running {
        let state = self.server.url();
        let run = ["provider", "run", "--fleet", "--model", "digits-small"];
        let own = ["--key", "ann.json", "--poll", "100", "--state", &state];
        let more = ["--lead-lease", LEASE];
        Running::start(self.net.command(&[&run[..], &own, &more].concat()))
    }

    fn worker(&self, name: &str, more: &[&str]) -> Running {
        let state = self.server.url();
        let work = ["provider", "work", "--model", "digits-small"];
        let own = ["--name", name, "--state", &state, "--lease", LEASE];
        let mut command = self.net.command(&[&work[..], &own, more].concat());
        // it has none of these, and needs none
        command.env_remove("GAVEL_PASSWORD").env_remove("GAVEL_RPC");
        Running::start(command)
    }

    /// Somebody who asks what a picture shows, and waits.
    fn ask(&self, who: &str, picture: &str) -> Running {
        let png = root().join(format!("models/images/{picture}.png"));
        let post = ["task", "post", "digits-small", png.to_str().unwrap()];
        let key = format!("{who}.json");
        let own = ["--key", &key, "--ramp", "60", "--exec", "300"];
        Running::start(self.net.command(&[&post[..], &own, &["--wait"]].concat()))
    }

    /// The task was served at its first attempt, and nobody paid for it.
    fn is_settled(&self, asked: &Running) {
        let served = asked.wait_for("the task is over", |e| e["state"].is_string());
        assert_eq!(served["state"], "settled", "{served}");
        assert_eq!(served["attempts"].as_array().unwrap().len(), 1, "{served}");
        let account = self.net.run(&["account", "show", &self.address]);
        assert_eq!(account["stake"], STAKE, "{account}");
    }
}

#[test]
fn workers_without_a_key_serve_the_tasks_of_one_leader() {
    let dir = tempfile::tempdir().unwrap();
    let Some(fleet) = Fleet::start(dir.path()) else {
        return;
    };
    let leader = fleet.leader();
    leader.event("leading");
    let mut one = fleet.worker("one", &[]);
    let _two = fleet.worker("two", &[]);
    leader.sees_workers(2);
    let asked = [0, 1, 2].map(|i| fleet.ask(ASKERS[i], ["digit-7-a", "digit-7-b", "digit-3-b"][i]));
    let known = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
    for _ in &asked {
        let ran = leader.event("ran");
        let worker = ran["worker"].as_str().unwrap().to_owned();
        assert!(known.contains(&worker), "{ran}");
    }
    for asked in &asked {
        fleet.is_settled(asked);
    }
    // one is told to end, and the other is enough
    one.signal("-TERM");
    assert_eq!(one.child.wait().unwrap().code(), Some(0));
    leader.sees_workers(1);
    let asked = fleet.ask("rosa", "digit-0-a");
    assert_eq!(leader.event("ran")["worker"], "two");
    fleet.is_settled(&asked);
}

#[test]
fn a_worker_that_is_killed_in_the_middle_of_a_job_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(fleet) = Fleet::start(dir.path()) else {
        return;
    };
    let leader = fleet.leader();
    leader.event("leading");
    // its blob store never answers: it is in the middle of its job until it is killed
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let blobs = format!("http://{}/", silent.local_addr().unwrap());
    let mut stuck = fleet.worker("stuck", &["--blobs", &blobs]);
    leader.sees_workers(1);
    let asked = fleet.ask("rosa", "digit-7-a");
    let began = stuck.event("began");
    stuck.child.kill().unwrap();
    stuck.child.wait().unwrap();
    let _other = fleet.worker("other", &[]);
    let ran = leader.event("ran");
    assert_eq!(ran["worker"], "other", "{ran}");
    assert_eq!((&ran["job"], &ran["tries"]), (&began["job"], &2.into()));
    leader.acts("commits the result");
    fleet.is_settled(&asked);
}

#[test]
fn a_leader_that_dies_or_stops_is_followed_and_never_contradicted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(fleet) = Fleet::start(dir.path()) else {
        return;
    };
    let mut first = fleet.leader();
    first.event("serving");
    let mut second = fleet.leader();
    second.event("standby");
    let _worker = fleet.worker("one", &[]);
    first.sees_workers(1);

    let asked = fleet.ask("rosa", "digit-7-a");
    first.acts("claims task");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    second.event("leading");
    fleet.is_settled(&asked);

    // stopped, it neither says that it lives nor gives its connection up
    let third = fleet.leader();
    third.event("standby");
    let asked = fleet.ask("rosa", "digit-3-b");
    second.acts("claims task");
    second.signal("-STOP");
    third.event("leading");
    fleet.is_settled(&asked);
    second.signal("-CONT");
    assert_eq!(second.child.wait().unwrap().code(), Some(8));
    assert!(
        fleet.net.run(&["challenge", "list"])["disputes"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn workers_take_jobs_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
        let command = command.args(args).current_dir(dir.path());
        let output = command.env_remove("GAVEL_STATE").output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let work = ["provider", "work", "--model", "digits-small"];
    let (status, told) = run(&[&work[..], &["--state", "state.db"]].concat());
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("postgres://"), "{told}");
}
