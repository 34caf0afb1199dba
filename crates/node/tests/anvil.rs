//! The scenario of the demo on another chain: anvil, behind its URL. Runs where `GAVEL_ANVIL` names the binary.
#![allow(clippy::unwrap_used)]

mod common;

use common::anvil;
use common::network::{STAKE, World, stake, state};
use gavel_node::board::{DisputeState, TaskState};
use gavel_settlement::{Endpoint, Windows};

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
