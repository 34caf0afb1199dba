//! A task from claim to settlement, with a cheat and its dispute, on a chain that is reorganised at ten stages of it, one to
//! eight blocks deep: on the embedded chain, on the embedded chain over JSON-RPC, and on anvil where `GAVEL_ANVIL` names it.
#![allow(clippy::unwrap_used)]

mod common;

use common::anvil;
use common::network::{STAKE, World, stake, state};
use gavel_node::Mirror;
use gavel_node::board::TaskState;
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::chain::Genesis;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Endpoint, SendPolicy, SharedChain};
use serde_json::{Value, json};

const DEPTHS: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 2, 8];

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
    let differs = read.lines().zip(followed.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None);
    assert_eq!(read.len(), followed.len());
}

async fn survives(endpoint: Endpoint, method: &'static str) {
    let (mut world, cast) = World::with_a_cheat(endpoint).await;
    let (task, cheat, honest) = (cast.task, cast.cheat, cast.honest);
    let mut roles = cast.roles;
    // what happened until here stays
    for _ in 0..8 {
        tell(&world, "evm_mine", json!([])).await;
    }
    let (mut acts, mut depths, mut step) = (0, DEPTHS.iter(), 3);
    let mut failed = String::new();
    for _ in 0..1_000 {
        let mut acted = false;
        for role in &mut roles {
            let board = world.mirror.refresh().await.unwrap();
            // what fails because of a reorg succeeds later
            let ticked = role.tick(board).await;
            if let Err(error) = &ticked {
                failed = format!("{}: {error}", role.name());
            }
            if let Ok(Some(_)) = ticked {
                (acted, acts) = (true, acts + 1);
                if acts % 2 == 1
                    && let Some(depth) = depths.next()
                {
                    reorg(&world, method, *depth).await;
                    is_whole(&mut world).await;
                }
            }
        }
        let board = world.board().await;
        if depths.len() == 0 && state(board, task) == TaskState::Settled {
            break;
        }
        step = if acted { 3 } else { (step + 3).min(60) };
        if !acted {
            world.pass(step).await;
        }
    }
    is_whole(&mut world).await;
    let board = world.board().await;
    assert_eq!(depths.len(), 0, "{acts} acts, the last failure: {failed}");
    assert_eq!(state(board, task), TaskState::Settled);
    // a reorg may take the task from the cheat before it did anything wrong; what settles is right in any case
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
