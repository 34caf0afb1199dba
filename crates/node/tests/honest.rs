//! Parties that keep their word, on the embedded chain: the market, the audits, the keeper's chores.
#![allow(clippy::unwrap_used)]

mod common;

use common::network::{STAKE, World, stake, state};
use gavel_node::board::{AuditState, TaskState};
use gavel_node::roles::{Auditor, Provider, ProviderPolicy, Requester, outputs_of, receipt_of};
use gavel_node::{Executor, Mirror, ReceiptFile, Role, replay_receipt};
use gavel_settlement::dev_params::UNIT;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_served_by_the_cheaper_provider_audited_and_settled() {
    let mut world = World::new(1_000_000).await;
    let (dear, cheap) = (world.staked("dear").await, world.staked("cheap").await);
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&dear, 8 * UNIT)),
        Box::new(world.provider(&cheap, 3 * UNIT)),
        Box::new(Auditor::new(dear.clone())),
        Box::new(Auditor::new(cheap.clone())),
        Box::new(Requester::new(requester.clone())),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    let served = board.task(task).unwrap();
    assert_eq!(served.provider, cheap.address());
    assert!(
        served.price >= 3 * UNIT && served.price < 4 * UNIT,
        "{}",
        served.price
    );
    let audit = &board.audits[&(task, 0)].audit;
    assert_eq!(
        (audit.state, audit.auditor),
        (AuditState::Matched, dear.address())
    );
    for party in [&dear, &cheap] {
        assert_eq!(stake(board, &party.address()), STAKE);
    }
    let outputs = outputs_of(&requester, board, task).await.unwrap().unwrap();
    let receipt = receipt_of(&requester, board, task).await.unwrap().unwrap();
    let committed = served.trace_root;
    let run = world.honest.run(&world.model, &world.inputs).unwrap();
    assert_eq!(
        outputs.tensors,
        run.outputs
            .iter()
            .map(|t| (**t).clone())
            .collect::<Vec<_>>()
    );
    // what the requester keeps says who is liable for what, without a chain
    assert_eq!(receipt.provider.0, cheap.address().to_vec());
    let file = ReceiptFile::new(receipt.clone(), &world.inputs, &outputs);
    let text = serde_json::to_string(&file).unwrap();
    let read = ReceiptFile::parse(text.as_bytes()).unwrap();
    let found = replay_receipt(&read, world.honest.engine(), &run.model).unwrap();
    assert!(found.holds);
    assert_eq!(found.trace_root, committed);
    // signed for something else, by somebody else, about other inputs
    let mut edited = receipt.clone();
    edited.trace_root.0[0] ^= 1;
    assert!(edited.check().is_err());
    let mut stolen = receipt.clone();
    stolen.provider.0 = dear.address().to_vec();
    assert!(stolen.check().is_err());
    let mut other = world.inputs.clone();
    other[0].as_f32_mut().unwrap()[0] += 1.0;
    let file = ReceiptFile::new(receipt, &other, &outputs);
    assert!(replay_receipt(&file, world.honest.engine(), &run.model).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_delivers_nothing_pays_little_and_the_task_is_served_again() {
    let mut world = World::new(250_000).await;
    let (idle, steady) = (world.staked("idle").await, world.staked("steady").await);
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let lets_down = ProviderPolicy {
        delivers: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    };
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(idle.clone(), lets_down)),
        Box::new(world.provider(&steady, 5 * UNIT)),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    let entry = &board.tasks[&task];
    assert_eq!(entry.task.provider, steady.address());
    let ended: Vec<_> = entry.attempts.iter().map(|a| a.ended.as_deref()).collect();
    assert_eq!(ended, [Some("deadline"), None]);
    assert!(stake(board, &idle.address()) < STAKE);
    assert!(!board.is_tombstoned(&idle.address()));
    assert_eq!(stake(board, &steady.address()), STAKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_auditor_cannot_open_what_it_never_computed() {
    let mut world = World::new(1_000_000).await;
    let (server, lazy) = (world.staked("server").await, world.staked("lazy").await);
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&server, UNIT)),
        Box::new(Auditor::new(lazy.clone()).lazy(true)),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let board = world.board().await;
    // there was nobody else to draw, so in the end the audit was waived
    assert_eq!(board.audits[&(task, 0)].audit.state, AuditState::Waived);
    assert!(stake(board, &lazy.address()) < STAKE);
    assert_eq!(stake(board, &server.address()), STAKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_followed_shows_what_a_new_one_reads_also_after_a_reorg() {
    let mut world = World::new(1_000_000).await;
    let (a, b) = (world.staked("a").await, world.staked("b").await);
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&a, UNIT)),
        Box::new(Auditor::new(b.clone())),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Committed)
        .await;
    let fresh = async |world: &World| {
        let mut mirror = Mirror::new(world.network.clone());
        format!("{:?}", mirror.refresh().await.unwrap())
    };
    let followed = format!("{:?}", world.board().await);
    assert_eq!(followed, fresh(&world).await);

    // the commit leaves the chain, the claim before it stays
    world.network.embedded().unwrap().reorg(1).unwrap();
    assert_eq!(state(world.board().await, task), TaskState::Claimed);
    let followed = format!("{:?}", world.board().await);
    assert_eq!(followed, fresh(&world).await);
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_dropped_after_every_act_misses_nothing() {
    let mut world = World::new(1_000_000).await;
    let (a, b) = (world.staked("a").await, world.staked("b").await);
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let keeper = world.party("keeper").await;
    for _ in 0..1_000 {
        // nothing is kept from one round to the next but keys, models and blobs
        let mut roles: Vec<Box<dyn Role>> = vec![
            Box::new(world.provider(&a, UNIT)),
            Box::new(Auditor::new(b.clone())),
            Box::new(gavel_node::roles::Keeper::new(keeper.clone())),
        ];
        let mut acted = false;
        for role in &mut roles {
            acted |= role
                .tick(world.mirror.refresh().await.unwrap())
                .await
                .unwrap()
                .is_some();
        }
        if state(world.board().await, task) == TaskState::Settled {
            break;
        }
        if !acted {
            world.pass(3).await;
        }
    }
    let board = world.board().await;
    assert_eq!(state(board, task), TaskState::Settled);
    for party in [&a, &b] {
        assert_eq!(stake(board, &party.address()), STAKE);
    }
    let audit = &board.audits[&(task, 0)].audit;
    assert_eq!(audit.state, AuditState::Matched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_input_is_not_what_it_binds_is_claimed_by_nobody_and_stops_nobody() {
    let mut world = World::new(250_000).await;
    let (a, b) = (world.staked("a").await, world.staked("b").await);
    let requester = world.party("requester").await;
    let bad = world.post(&requester).await;
    let digest = world.board().await.task(bad).unwrap().input_digest;
    let right = world.inputs.clone();
    // other numbers under the same name: whoever ran them would commit to another input than the task's
    let other = gavel_numerics::Tensor::f32(right[0].dims(), vec![0.5; right[0].len()]).unwrap();
    for inputs in [
        vec![other],
        vec![],
        vec![right[0].clone(), right[0].clone()],
    ] {
        world.blobs.put_inputs(&digest, &inputs).await.unwrap();
        let board = world.board().await.clone();
        let task = board.task(bad).unwrap();
        assert_eq!(a.inputs_of(task).await.unwrap(), None);
        assert!(a.run_of(&board, bad).await.unwrap().is_none());
    }
    world.inputs = vec![gavel_numerics::Tensor::f32(right[0].dims(), vec![0.25; 64]).unwrap()];
    let good = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&a, UNIT)),
        Box::new(Auditor::new(b.clone())),
        Box::new(gavel_node::roles::Watcher::new(requester.clone())),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| {
            state(b, good) == TaskState::Settled && state(b, bad) == TaskState::Expired
        })
        .await;
    assert_eq!(stake(world.board().await, &a.address()), STAKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_vanishes_after_the_claim_costs_no_auditor_and_hides_nothing_from_who_kept_it()
 {
    let mut world = World::new(1_000_000).await;
    let lie = gavel_node::faults::FaultyExecutor::new(
        std::sync::Arc::clone(&world.honest),
        &[gavel_node::Fault::OneUlp],
        3,
    );
    // everybody has a store of their own, as on machines of their own
    let mut cheat = world.party_with("cheat", std::sync::Arc::new(lie)).await;
    let mut auditors = Vec::new();
    for name in ["a", "b", "c"] {
        let mut auditor = world.staked(name).await;
        // it computes with an engine of its own: runs of others are not its own
        let mut models = gavel_node::Models::new();
        models.add(gavel_model::shipped::load("digits-small").unwrap());
        let engine = gavel_node::EngineExecutor::new(common::engine(), models).unwrap();
        auditor.executor = std::sync::Arc::new(engine);
        auditor.blobs = gavel_node::Blobs::memory();
        auditors.push(auditor);
    }
    world.join(&cheat).await;
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let digest = world.board().await.task(task).unwrap().input_digest;
    // the cheat and one watcher got the input, then it went
    let watcher = world.party("watcher").await;
    watcher
        .keep_inputs(&world.board().await.clone())
        .await
        .unwrap();
    cheat.blobs = gavel_node::Blobs::memory();
    cheat
        .blobs
        .put_inputs(&digest, &world.inputs)
        .await
        .unwrap();
    let policy = ProviderPolicy {
        appeals: false,
        ..ProviderPolicy::honest(UNIT, vec![world.model])
    };
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(cheat.clone(), policy)),
        world.keeper().await,
    ];
    for auditor in &auditors {
        roles.push(Box::new(Auditor::new(auditor.clone())));
        roles.push(Box::new(gavel_node::roles::Referee::new(auditor.clone())));
    }
    roles.push(Box::new(gavel_node::roles::Watcher::new(watcher)));
    for _ in 0..2_000 {
        let mut acted = false;
        for role in &mut roles {
            // auditors and referees say loudly that the input is missing
            match role.tick(world.mirror.refresh().await.unwrap()).await {
                Ok(act) => acted |= act.is_some(),
                Err(error) => assert!(error.to_string().contains("input of task"), "{error}"),
            }
        }
        if world.board().await.task(task).unwrap().attempt > 0 {
            break;
        }
        if !acted {
            world.pass(3).await;
        }
    }
    let board = world.board().await;
    let entry = &board.tasks[&task];
    // no referee could judge it, so the sides play it to the step; nobody honest is the poorer
    assert_eq!(entry.attempts[0].ended.as_deref(), Some("guilty"));
    assert!(board.is_tombstoned(&cheat.address()));
    for auditor in &auditors {
        assert_eq!(stake(board, &auditor.address()), STAKE, "{}", auditor.name);
    }
}

#[test]
fn a_model_that_cannot_be_run_within_the_bound_is_never_served() {
    let model = gavel_model::shipped::load("digits").unwrap();
    let id = model.model_id();
    let mut models = gavel_node::Models::new();
    models.add(model);
    let small = gavel_engine::EngineOptions {
        threads: 1,
        isa: None,
        max_tensor_bytes: 300,
    };
    let engine = gavel_engine::Engine::new(small).unwrap();
    let refused = gavel_node::EngineExecutor::new(engine, models)
        .err()
        .unwrap();
    let words = refused.to_string();
    for word in [&id.to_string(), "would hold", "the bound is 300"] {
        assert!(words.contains(word), "{word:?} is not in {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_leaves_no_time_to_deliver_finds_nobody() {
    let mut world = World::new(250_000).await;
    let a = world.staked("a").await;
    let requester = world.party("requester").await;
    let order = |seconds| gavel_node::roles::Order {
        model: world.model,
        family: None,
        inputs: world.inputs.clone(),
        seed: 7,
        min_price: UNIT,
        max_price: 10 * UNIT,
        ramp_seconds: 100,
        exec_seconds: Some(seconds),
    };
    let least = gavel_node::roles::LEAST_EXEC_SECONDS;
    let orders = [order(least - 1), order(least)];
    for order in &orders {
        let board = world.mirror.refresh().await.unwrap();
        gavel_node::roles::post(&requester, board, order)
            .await
            .unwrap();
    }
    let mut roles: Vec<Box<dyn Role>> =
        vec![Box::new(world.provider(&a, UNIT)), world.keeper().await];
    world
        .until(&mut roles, |b| {
            state(b, 1) == TaskState::Expired && state(b, 2) == TaskState::Settled
        })
        .await;
    assert_eq!(stake(world.board().await, &a.address()), STAKE);
}
