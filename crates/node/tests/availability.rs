//! Inputs that are not in the blob store of whoever needs them: demanded on chain, shown there, or not.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::network::{STAKE, World, purse, stake, state};
use gavel_model::shipped;
use gavel_node::board::{AuditState, DisputeState, TaskState};
use gavel_node::faults::FaultyExecutor;
use gavel_node::roles::{Auditor, Provider, ProviderPolicy, Referee, Requester, Watcher};
use gavel_node::{Act, Blobs, Board, EngineExecutor, Executor, Fault, Models, Party, Role, U256};
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::{UNIT, Windows};
use gavel_settlement::{Endpoint, SharedChain};

type Roles = Vec<Box<dyn Role>>;

async fn world(audit_ppm: u32) -> World {
    let endpoint = Endpoint::in_process(SharedChain::in_memory(Genesis::default()));
    let model = shipped::load("digits").unwrap();
    World::on(endpoint, model, audit_ppm, Windows::Normal).await
}

/// Somebody with stake whose blob store has nothing, and whose executor has run nothing.
async fn bereft(world: &mut World, name: &str) -> Party {
    let mut models = Models::new();
    models.add((*world.honest.model(&world.model).unwrap()).clone());
    let executor = EngineExecutor::new(common::engine(), models).unwrap();
    let party = Party {
        blobs: Blobs::memory(),
        ..world.party_with(name, Arc::new(executor)).await
    };
    world.join(&party).await;
    party
}

/// A wrong result, a watcher that says so, and a referee that has not the input; as far as the referee's draw.
async fn drawn(world: &mut World) -> (Roles, Party, Party, Party) {
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::Weight], 3);
    let liar = world.party_with("liar", Arc::new(lie)).await;
    world.join(&liar).await;
    let judge = bereft(world, "judge").await;
    let (requester, watcher) = (world.party("requester").await, world.party("watcher").await);
    world.post(&requester).await;
    let meek = ProviderPolicy {
        appeals: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    };
    let mut roles: Roles = vec![
        Box::new(Provider::new(liar.clone(), meek)),
        Box::new(Watcher::new(watcher)),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| {
            b.disputes
                .values()
                .any(|entry| entry.dispute.state == DisputeState::Refereed)
        })
        .await;
    assert!(world.board().await.demands.is_empty());
    (roles, liar, judge, requester)
}

fn did(acts: &[(String, Act)], who: &str, what: &str) -> usize {
    let same = acts.iter().filter(|(name, _)| name == who);
    same.filter(|(_, act)| act.what.starts_with(what)).count()
}

/// What open demands hold.
async fn held(world: &World) -> U256 {
    let token = world.network.token();
    let demands = world.network.deployment().demands;
    token.balanceOf(demands).call().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referee_without_the_input_is_shown_it_and_the_liar_is_convicted() {
    // an audit would draw the referee, who is all that is there to draw: in some of these rounds there is none
    for round in 0..16 {
        if shown_to_the_referee(round * 40).await {
            return;
        }
    }
    panic!("the beacon draws an audit in every round");
}

fn is_audited(board: &Board) -> bool {
    let mut audits = board.audits.values();
    audits.any(|entry| entry.audit.state != AuditState::NotDrawn)
}

/// Whether it came to that without an audit.
async fn shown_to_the_referee(later: u64) -> bool {
    let mut world = world(250_000).await;
    world.pass(later).await;
    let (mut roles, liar, judge, requester) = drawn(&mut world).await;
    let before = purse(&world, &requester).await;
    roles.push(Box::new(Referee::new(judge.clone())));
    // the only one that shows something here
    roles.remove(1);
    roles.push(Box::new(Requester::new(requester.clone())));
    let acts = world
        .until(&mut roles, |b| {
            matches!(
                b.disputes[&1].dispute.state,
                DisputeState::Ruled | DisputeState::Upheld
            )
        })
        .await;
    if is_audited(world.board().await) {
        return false;
    }
    assert_eq!(
        did(&acts, "judge", "demands 1 chunk of the input"),
        1,
        "{acts:#?}"
    );
    assert_eq!(
        did(&acts, "requester", "shows 1 chunk of the input"),
        1,
        "{acts:#?}"
    );
    let fee = world.board().await.least_answer_fee(1).unwrap();
    assert_eq!(purse(&world, &requester).await, before + fee);
    assert_eq!(held(&world).await, U256::ZERO);
    // what was shown is in the referee's store, as what it is
    let (digest, model) = {
        let task = world.board().await.task(1).unwrap();
        let model = judge.executor.model(&task.model).unwrap();
        (task.input_digest, model)
    };
    let found = judge.blobs.inputs(&digest, &model).await.unwrap();
    assert_eq!(found.unwrap(), world.inputs);

    world
        .until(&mut roles, |b| b.disputes[&1].dispute.state.is_final())
        .await;
    let board = world.board().await;
    if is_audited(board) {
        return false;
    }
    assert_eq!(board.disputes[&1].dispute.state, DisputeState::Upheld);
    assert_eq!(board.disputes[&1].dispute.draws, 1);
    assert!(board.is_tombstoned(&liar.address()));
    assert!(stake(board, &judge.address()) >= STAKE);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_shows_the_input_the_referee_is_out_and_nobody_is_slashed() {
    let mut world = world(250_000).await;
    let (_, liar, judge, _) = drawn(&mut world).await;
    let before = purse(&world, &judge).await;
    let mut roles: Roles = vec![Box::new(Referee::new(judge.clone())), world.keeper().await];
    let is_out = |b: &Board| {
        b.disputes[&1].dispute.state != DisputeState::Refereed
            && b.demands.values().all(|demand| demand.closed)
    };
    let acts = world.until(&mut roles, is_out).await;
    assert_eq!(
        did(&acts, "judge", "demands 1 chunk of the input"),
        1,
        "{acts:#?}"
    );
    assert_eq!(did(&acts, "judge", "takes back the fees"), 1, "{acts:#?}");
    assert_eq!(
        did(&acts, "judge", "has not what dispute 1 is about"),
        1,
        "{acts:#?}"
    );
    assert_eq!(purse(&world, &judge).await, before);
    assert_eq!(held(&world).await, U256::ZERO);
    let board = world.board().await;
    let demand = &board.demands[&1];
    assert_eq!(demand.unanswered().count(), 1);
    for party in [&judge, &liar] {
        assert_eq!(stake(board, &party.address()), STAKE);
        assert!(!board.is_tombstoned(&party.address()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_without_the_input_is_shown_it_by_the_provider() {
    let mut world = world(1_000_000).await;
    let server = world.staked("server").await;
    let auditor = bereft(&mut world, "auditor").await;
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Roles = vec![
        Box::new(world.provider(&server, UNIT)),
        Box::new(Auditor::new(auditor.clone())),
        world.keeper().await,
    ];
    let acts = world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    assert_eq!(
        did(&acts, "auditor", "demands 1 chunk of the input"),
        1,
        "{acts:#?}"
    );
    assert_eq!(
        did(&acts, "server", "shows 1 chunk of the input"),
        1,
        "{acts:#?}"
    );
    let board = world.board().await;
    let audit = &board.audits[&(task, 0)].audit;
    assert_eq!(audit.state, AuditState::Matched);
    assert_eq!((audit.auditor, audit.draws), (auditor.address(), 1));
    assert_eq!(stake(board, &server.address()), STAKE);
}
