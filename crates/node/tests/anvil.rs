//! The scenario of the demo on another chain: anvil, behind its URL. Runs where `GAVEL_ANVIL` names the binary.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::anvil;
use common::network::{STAKE, World, stake, state};
use gavel_model::shipped;
use gavel_node::Role;
use gavel_node::board::{DisputeState, TaskState};
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{Auditor, Provider, ProviderPolicy, Referee, Requester, Watcher};
use gavel_settlement::Endpoint;
use gavel_settlement::dev_params::UNIT;

#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_is_caught_and_the_task_served_again_on_anvil() {
    let Some((_anvil, url)) = anvil::start() else {
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
