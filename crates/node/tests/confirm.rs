//! Three nodes of which the one that is asked first tells another story: nothing that costs stake is sent on its word.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::network::World;
use gavel_model::shipped;
use gavel_node::board::DisputeState;
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{Provider, ProviderPolicy, Referee, Watcher};
use gavel_node::{Board, Mirror, Party, Protection, Role};
use gavel_settlement::alloy::transports::BoxTransport;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::transport::InProcess;
use gavel_settlement::{Account, Endpoint, Network, SharedChain, Witness};

fn chain(world: &World) -> SharedChain {
    world.network.embedded().unwrap().clone()
}

fn height(chain: &SharedChain) -> u64 {
    chain.lock().head().number
}

/// The same party on another network.
fn on(party: &Party, network: &Network) -> Party {
    let account = Account::new(party.account.signer().clone(), network.clone());
    Party {
        protection: Protection::for_account(&account),
        account,
        ..party.clone()
    }
}

/// With nodes `a`, that has the fork, and `b` and `c`, that have the world's chain, a role acts neither on what `a` tells, nor
/// on what of it `lie` puts into the board of the others.
async fn is_refused(
    world: &World,
    fork: &SharedChain,
    role: impl Fn(&Network) -> Box<dyn Role>,
    lie: impl Fn(&mut Board, &Board),
    what: &str,
) {
    let chain = chain(world);
    while height(fork) < height(&chain) {
        fork.mine().unwrap();
    }
    while height(&chain) < height(fork) {
        chain.mine().unwrap();
    }
    let nodes = [("a", fork), ("b", &chain), ("c", &chain)].map(|(name, chain)| {
        let transport = InProcess::new(chain.clone());
        Witness::new(name, BoxTransport::new(transport))
    });
    let endpoint = Endpoint::quorum(nodes.into());
    let network = Network::new(endpoint, world.network.deployment().clone());
    let heads = [fork, &chain].map(|chain| chain.lock().head().hash);

    let lied = Mirror::new(network.clone())
        .refresh()
        .await
        .unwrap()
        .clone();
    assert_eq!(lied.head.hash, heads[0]);
    let refused = role(&network).tick(&lied).await.unwrap_err().to_string();
    for part in [
        "2 of 3 must".to_owned(),
        format!("a says {}", heads[0]),
        format!("b says {}", heads[1]),
        format!("c says {}", heads[1]),
    ] {
        assert!(refused.contains(&part), "{refused}");
    }

    // who lied is not read from any more
    let mut board = Mirror::new(network.clone())
        .refresh()
        .await
        .unwrap()
        .clone();
    assert_eq!(board.head.hash, heads[1]);
    lie(&mut board, &lied);
    let refused = role(&network).tick(&board).await.unwrap_err().to_string();
    for part in [
        format!("{what}, which is"),
        "on the board and".to_owned(),
        "for the majority, 2 of 3 must: a says 0x".to_owned(),
        ", b says 0x".to_owned(),
        ", c says 0x".to_owned(),
    ] {
        assert!(refused.contains(&part), "{refused}");
    }
    assert_eq!(network.endpoint().disagreements(), 2);
    assert_eq!([fork, &chain].map(|chain| chain.lock().head().hash), heads);
}

fn tasks(board: &mut Board, lied: &Board) {
    board.tasks = lied.tasks.clone();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_claim_and_no_challenge_is_sent_on_the_word_of_one_node() {
    let mut world = World::new(250_000).await;
    let (late, server) = (world.staked("late").await, world.staked("server").await);
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    let task = world.post(&requester).await;
    let policy = ProviderPolicy::honest(UNIT, vec![world.class]);
    let mut serving = Provider::new(server.clone(), policy.clone());

    // to `a` it is open, to the others it is taken
    let fork = chain(&world).fork();
    let board = world.board().await;
    serving.tick(board).await.unwrap().unwrap();
    let claims = |network: &Network| -> Box<dyn Role> {
        Box::new(Provider::new(on(&late, network), policy.clone()))
    };
    is_refused(&world, &fork, claims, tasks, &format!("task {task}")).await;

    // to `a` its result is wrong, to the others it is right
    let fork = chain(&world).fork();
    let of_fork = Network::in_process(fork.clone(), world.network.deployment().clone());
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::OneUlp], 3);
    let lying = Party {
        executor: Arc::new(lie),
        ..on(&server, &of_fork)
    };
    let mut mirror = Mirror::new(of_fork);
    let board = mirror.refresh().await.unwrap();
    let committed = Provider::new(lying, policy.clone()).tick(board).await;
    committed.unwrap().unwrap();
    let board = world.board().await;
    serving.tick(board).await.unwrap().unwrap();
    let challenges =
        |network: &Network| -> Box<dyn Role> { Box::new(Watcher::new(on(&watcher, network))) };
    is_refused(&world, &fork, challenges, tasks, &format!("task {task}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ruling_is_sent_on_the_word_of_one_node() {
    let model = shipped::load("digits-small").unwrap();
    let mut world = World::of(model, 250_000).await;
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::OneUlp], 3);
    let liar = world.party_with("liar", Arc::new(lie)).await;
    world.join(&liar).await;
    let judges = [world.staked("a").await, world.staked("b").await];
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    world.post(&requester).await;
    let policy = ProviderPolicy::honest(UNIT, vec![world.class]);
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(liar, policy)),
        Box::new(Watcher::new(watcher)),
        world.keeper().await,
    ];
    let is_drawn = |board: &Board| {
        let mut disputes = board.disputes.values();
        disputes.any(|entry| entry.dispute.state == DisputeState::Refereed)
    };
    world.until(&mut roles, is_drawn).await;

    // to `a` a ruling is owed, to the others it was given
    let fork = chain(&world).fork();
    let board = world.board().await;
    let (id, entry) = board.disputes.first_key_value().unwrap();
    let (id, referee) = (*id, entry.dispute.referee);
    let judge = judges.iter().find(|judge| judge.address() == referee);
    let judge = judge.unwrap();
    let ruled = Referee::new(judge.clone()).tick(board).await;
    ruled.unwrap().unwrap();
    let rules = |network: &Network| -> Box<dyn Role> { Box::new(Referee::new(on(judge, network))) };
    let disputes = |board: &mut Board, lied: &Board| board.disputes = lied.disputes.clone();
    is_refused(&world, &fork, rules, disputes, &format!("dispute {id}")).await;
}
