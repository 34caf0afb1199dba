//! A task from claim to settlement, with a cheat and its dispute, on a chain that is reorganised when each of ten stages is
//! first seen, one to eight blocks deep: on the embedded chain, on the embedded chain over JSON-RPC, and on anvil where
//! `GAVEL_ANVIL` names it.
#![allow(clippy::unwrap_used)]

mod common;

use common::anvil;
use common::network::{STAKE, World, stake, state};
use gavel_node::board::{DisputeEntry, TaskState};
use gavel_node::{Board, Mirror};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::chain::Genesis;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Endpoint, SendPolicy, SharedChain, Windows};
use serde_json::{Value, json};

/// Where the task and its dispute are when the chain is reorganised, and how deep.
type Stage = (&'static str, u64, fn(&Board, u64) -> bool);

const STAGES: [Stage; 10] = [
    ("claimed", 1, |board, task| {
        at(board, task).0 == 0 && at(board, task).1 == TaskState::Claimed
    }),
    ("committed", 2, |board, task| {
        at(board, task).0 == 0 && at(board, task).1.is_committed()
    }),
    ("challenge committed", 3, |board, _| {
        !board.challenges.is_empty()
    }),
    ("dispute opened", 4, |board, _| !board.disputes.is_empty()),
    ("first row", 5, |board, _| {
        any(board, |entry| !entry.rows.is_empty())
    }),
    ("segment", 6, |board, _| {
        any(board, |entry| entry.segment.is_some())
    }),
    ("referee drawn", 7, |board, _| {
        any(board, |entry| entry.dispute.draws > 0)
    }),
    ("ruled", 8, |board, _| {
        any(board, |entry| entry.dispute.ruled_at != 0)
    }),
    ("requeued", 2, |board, task| at(board, task).0 > 0),
    ("second commit", 8, |board, task| {
        at(board, task).0 > 0 && at(board, task).1.is_committed()
    }),
];

/// Longest pause, with a block at its end: eight of them are shorter than every window in which something must be said.
const STEP_MOST: u64 = 30;

/// The task's attempt and state.
fn at(board: &Board, task: u64) -> (u8, TaskState) {
    let task = board.task(task).unwrap();
    (task.attempt, task.state)
}

fn any(board: &Board, is: impl Fn(&DisputeEntry) -> bool) -> bool {
    board.disputes.values().any(is)
}

async fn tell(world: &World, method: &'static str, params: Value) {
    let provider = world.network.provider();
    let _: Value = provider.client().request(method, params).await.unwrap();
}

/// Replaces the newest blocks with their transactions by empty ones.
async fn reorg(world: &World, method: &'static str, depth: u64) {
    match method {
        "anvil_reorg" => tell(world, method, json!([depth, []])).await,
        method => {
            tell(world, method, json!([depth])).await;
            for _ in 0..depth {
                tell(world, "evm_mine", json!([])).await;
            }
        }
    }
}

/// What was read step by step is what a mirror reads that sees the chain for the first time.
async fn is_whole(world: &mut World) {
    let mut fresh = Mirror::new(world.network.clone());
    let read = format!("{:#?}", fresh.refresh().await.unwrap());
    let followed = format!("{:#?}", world.mirror.refresh().await.unwrap());
    let differs = read.lines().zip(followed.lines()).position(|(a, b)| a != b);
    if let Some(line) = differs {
        let around = |text: &str| -> Vec<String> {
            let lines = text.lines().skip(line.saturating_sub(30)).take(60);
            lines.map(str::to_owned).collect()
        };
        panic!(
            "read at once:\n{}\nread step by step:\n{}",
            around(&read).join("\n"),
            around(&followed).join("\n")
        );
    }
    assert_eq!(read.len(), followed.len());
}

async fn survives(endpoint: Endpoint, method: &'static str) {
    let (mut world, cast) = World::with_a_cheat(endpoint, Windows::Normal).await;
    let (task, cheat, honest) = (cast.task, cast.cheat, cast.honest);
    let (mut roles, mut servers) = (cast.roles, cast.servers);
    // what happened until here stays
    for _ in 0..8 {
        tell(&world, "evm_mine", json!([])).await;
    }
    let (mut left, mut step) = (STAGES.to_vec(), 3);
    let mut failed = String::new();
    for _ in 0..2_000 {
        let mut acted = false;
        for role in &mut roles {
            let board = world.mirror.refresh().await.unwrap();
            // what fails because of a reorg succeeds later
            let ticked = role.tick(board).await;
            if let Err(error) = &ticked {
                failed = format!("{}: {error}", role.name());
            }
            let Ok(Some(_)) = ticked else {
                continue;
            };
            acted = true;
            let board = world.board().await;
            let reached = left.iter().position(|(.., is)| is(board, task));
            if let Some(reached) = reached {
                let (_, depth, _) = left.remove(reached);
                reorg(&world, method, depth).await;
                is_whole(&mut world).await;
            }
        }
        // the task is the cheat's alone until its guilt has survived a reorg too
        if left.iter().all(|(stage, ..)| *stage == "second commit") {
            roles.append(&mut servers);
        }
        let board = world.board().await;
        if left.is_empty() && state(board, task) == TaskState::Settled {
            break;
        }
        step = if acted { 3 } else { (step + 3).min(STEP_MOST) };
        if !acted {
            world.pass(step).await;
            tell(&world, "evm_mine", json!([])).await;
        }
    }
    is_whole(&mut world).await;
    let board = world.board().await;
    let left: Vec<_> = left.iter().map(|(stage, ..)| *stage).collect();
    assert!(left.is_empty(), "{left:?}, the last failure: {failed}");
    assert_eq!(
        state(board, task),
        TaskState::Settled,
        "the last failure: {failed}"
    );
    assert!(board.is_tombstoned(&cheat.address()));
    assert_ne!(board.tasks[&task].task.provider, cheat.address());
    let run = honest[0].run_of(board, task).await.unwrap().unwrap();
    assert_eq!(board.tasks[&task].task.trace_root, run.trace.trace_root());
    for party in &honest {
        assert_eq!(stake(board, &party.address()), STAKE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_honest_loses_on_an_embedded_chain_that_is_reorganised() {
    let chain = SharedChain::in_memory(Genesis::default());
    survives(Endpoint::in_process(chain), "gavel_reorg").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_honest_loses_over_json_rpc() {
    let chain = SharedChain::in_memory(Genesis::default());
    let endpoint = Endpoint::over(RpcClient::new(InProcess::new(chain), true));
    let policy = SendPolicy {
        confirmations: 8,
        ..SendPolicy::default()
    };
    survives(endpoint.with_policy(policy), "gavel_reorg").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_honest_loses_on_anvil() {
    let Some((_anvil, url)) = anvil::start() else {
        return;
    };
    survives(Endpoint::http(&url).unwrap(), "anvil_reorg").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_honest_loses_where_three_endpoints_are_asked() {
    let Some((_anvil, url)) = anvil::start() else {
        return;
    };
    let urls = format!("{url},{url},{url}");
    survives(Endpoint::http(&urls).unwrap(), "anvil_reorg").await;
}
