//! The scenario of the demo on another chain: anvil, behind its URL. Runs where `GAVEL_ANVIL` names the binary.
#![allow(clippy::unwrap_used)]

mod common;

use common::anvil;
use common::network::{STAKE, World, stake, state};
use gavel_model::shipped;
use gavel_node::board::{AuditState, DisputeState, TaskState};
use gavel_node::roles::{Auditor, Participant, standing};
use gavel_node::{NodeError, Role};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::{BeaconChoice, CommitRevealChoice, Endpoint, Windows};

#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_is_caught_and_the_task_served_again_on_anvil() {
    let Some((_anvil, url)) = anvil::start() else {
        return;
    };
    let endpoint = Endpoint::http(&url).unwrap();
    let (mut world, cast) = World::with_a_cheat(endpoint, Windows::Fast).await;
    let (task, cheat, honest) = (cast.task, cast.cheat, cast.honest);
    let mut roles = cast.roles;
    roles.extend(cast.servers);
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

#[tokio::test(flavor = "multi_thread")]
async fn secrets_draw_on_anvil_and_who_could_not_pay_for_a_reveal_commits_to_nothing() {
    let Some((_anvil, url)) = anvil::start() else {
        return;
    };
    let endpoint = Endpoint::http(&url).unwrap();
    let beacon = BeaconChoice::CommitReveal(CommitRevealChoice {
        period: 600,
        quorum: 2,
        bond: 50 * UNIT,
    });
    let model = shipped::load("digits-small").unwrap();
    let mut world = World::drawn_by(beacon, endpoint, model, 1_000_000, Windows::Fast).await;
    let (served, other) = (world.staked("served").await, world.staked("other").await);
    let requester = world.party("requester").await;
    let poor = world.party("poor").await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&served, UNIT)),
        Box::new(Auditor::new(other.clone())),
        world.keeper().await,
    ];
    for name in ["one", "two"] {
        roles.push(Box::new(Participant::new(world.party(name).await)));
    }
    let mut without = Participant::new(poor.clone());
    while without.tick(world.board().await).await.unwrap().is_some() {}
    // coin for a day's small change
    let provider = world.network.provider();
    let coin = format!("{:#x}", 1_000_000_000);
    let set = provider
        .client()
        .request("anvil_setBalance", (poor.address(), coin));
    let _: serde_json::Value = set.await.unwrap();
    let task = world.post(&requester).await;
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Committed)
        .await;
    let rounds = world.board().await.beacon.secrets.unwrap();
    let awaited = world.board().await.audit_round(task).unwrap();
    while rounds.round_after(world.board().await.now()) < awaited {
        world.pass(30).await;
    }
    let told = without.tick(world.board().await).await.unwrap_err();
    assert!(matches!(told, NodeError::Beacon { .. }), "{told}");
    assert!(
        told.to_string().contains("no secret is committed"),
        "{told}"
    );
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    assert_eq!(board.audits[&(task, 0)].audit.state, AuditState::Matched);
    assert!(board.beacon.values.len() >= 2, "{:?}", board.beacon.values);
    let found = standing(&world.network, &rounds, poor.address(), 2).await;
    let found = found.unwrap();
    assert_eq!((found.joined, found.round), (true, 0));
}
