//! A task from claim to settlement, with a cheat and its dispute, on a chain that is reorganised at ten stages of it, one to
//! eight blocks deep: on the embedded chain, on the embedded chain over JSON-RPC, and on anvil where `GAVEL_ANVIL` names it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::anvil;
use common::network::{STAKE, World, stake, state};
use gavel_model::shipped;
use gavel_node::board::TaskState;
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{Auditor, Provider, ProviderPolicy, Referee, Watcher};
use gavel_node::{Mirror, Role};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::UNIT;
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
    let policy = ProviderPolicy {
        appeals: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    };
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(cheat.clone(), policy)),
        Box::new(Watcher::new(watcher)),
        world.keeper().await,
    ];
    for party in &honest {
        roles.push(Box::new(world.provider(party, 5 * UNIT)));
        roles.push(Box::new(Auditor::new(party.clone())));
        roles.push(Box::new(Referee::new(party.clone())));
    }
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
    // windows are seconds long here, so that a reorg may outlast one that was the honest parties' only chance; what they
    // have is never touched
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
