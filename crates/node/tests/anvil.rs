//! The scenario of the demo on another chain: anvil, behind its URL. Runs where `GAVEL_ANVIL` names the binary.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::network::{STAKE, World, stake, state};
use gavel_model::shipped;
use gavel_node::Role;
use gavel_node::board::{DisputeState, TaskState};
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{Auditor, Provider, ProviderPolicy, Referee, Requester, Watcher};
use gavel_settlement::Endpoint;
use gavel_settlement::dev_params::UNIT;

/// A node that ends with the test.
struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a node on a free port of loopback.
fn anvil() -> Option<(Anvil, String)> {
    let binary = std::env::var_os("GAVEL_ANVIL")?;
    let mut child = Command::new(binary)
        .args(["--host", "127.0.0.1", "--port", "0", "--chain-id", "31337"])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let anvil = Anvil(child);
    let mut line = String::new();
    while stdout.read_line(&mut line).unwrap() > 0 {
        if let Some((_, address)) = line.split_once("Listening on ") {
            let url = format!("http://{}", address.trim());
            // whatever else it says must not fill the pipe
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
            return Some((anvil, url));
        }
        line.clear();
    }
    panic!("anvil never listened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_is_caught_and_the_task_served_again_on_anvil() {
    let Some((_anvil, url)) = anvil() else {
        println!("skipped: GAVEL_ANVIL names no anvil");
        return;
    };
    let endpoint = Endpoint::http(&url).unwrap();
    let model = shipped::load("digits-small").unwrap();
    let mut world = World::on(endpoint, model, 250_000).await;
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::OneUlp], 3);
    let cheat = world.party_with("cheat", Arc::new(lie)).await;
    world.join(&cheat).await;
    let honest = [
        world.staked("a").await,
        world.staked("b").await,
        world.staked("c").await,
    ];
    let requester = world.party("requester").await;
    let watcher = world.party("watcher").await;
    let task = world.post(&requester).await;
    // until there are appeal levels a cheat that appeals gets away with a reversal
    let policy = ProviderPolicy {
        appeals: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    };
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(cheat.clone(), policy)),
        Box::new(Requester::new(requester)),
        Box::new(Watcher::new(watcher.clone())),
        world.keeper().await,
    ];
    for party in &honest {
        roles.push(Box::new(world.provider(party, 5 * UNIT)));
        roles.push(Box::new(Auditor::new(party.clone())));
        roles.push(Box::new(Referee::new(party.clone())));
    }
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    assert!(board.is_tombstoned(&cheat.address()));
    let entry = &board.tasks[&task];
    assert_eq!(entry.attempts[0].ended.as_deref(), Some("guilty"));
    assert_ne!(entry.task.provider, cheat.address());
    assert!(
        board
            .disputes
            .values()
            .any(|d| d.dispute.state == DisputeState::Upheld)
    );
    for party in &honest {
        assert_eq!(stake(board, &party.address()), STAKE);
    }
}
