//! Tasks about bindings of a family, served, audited and judged by parties that joined the family once.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::network::{STAKE, World, stake, state};
use gavel_model::Hashing;
use gavel_model::family::{Domain, Family};
use gavel_model::onnx::OnnxFile;
use gavel_node::board::{DisputeState, TaskState};
use gavel_node::faults::FaultyExecutor;
use gavel_node::roles::{self, Auditor, OrderError, Referee, Requester, Watcher};
use gavel_node::{Executor, Fault, Party, Role};
use gavel_numerics::Tensor;

const AUDITS: u32 = 250_000;

type Roles = Vec<Box<dyn Role>>;

fn family() -> Arc<Family> {
    let file = include_bytes!("../../model/tests/fixtures/open-encoder.onnx");
    let file = OnnxFile::parse(file.to_vec().into()).unwrap();
    let domain = Domain::parse("batch=1..2,seq=4..12/4").unwrap();
    let built = Hashing::quiet(|h| Family::build(file, domain, h, &mut |_, _| {}));
    Arc::new(built.unwrap())
}

/// Words for binding `index`: batch 1 and 2, and 4, 8, 12 words of each.
fn words(index: u32) -> Vec<Tensor> {
    let dims = [u64::from(1 + index / 3), u64::from(4 + index % 3 * 4)];
    let ids = (0..dims[0] * dims[1]).map(|i| (i * 7 % 40) as i64);
    vec![Tensor::i64(dims, ids.collect()).unwrap()]
}

/// A world whose next task is about this binding.
fn ask(world: &mut World, family: &Family, index: u32) {
    world.model = family.model_ids()[index as usize];
    world.inputs = words(index);
}

/// Registers and shows what is missing about a binding, and posts a task.
async fn post(world: &mut World, family: &Family, requester: &Party, index: u32) -> (u64, usize) {
    ask(world, family, index);
    let mut acts = 0;
    while let Some(_act) = roles::introduce(requester, world.board().await, family, index)
        .await
        .unwrap()
    {
        acts += 1;
    }
    (world.post(requester).await, acts)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joined_a_family_serves_every_binding_and_the_first_to_ask_introduces_it() {
    let family = family();
    let mut world = World::of_family(&family, AUDITS).await;
    let server = world.staked("server").await;
    let requester = world.party("requester").await;
    let mut roles: Roles = vec![
        Box::new(world.provider(&server, 1)),
        Box::new(Requester::new(requester.clone())),
        world.keeper().await,
    ];
    let mut tasks = Vec::new();
    for (index, introductions) in [(1, 2), (5, 2), (1, 0)] {
        let (task, acts) = post(&mut world, &family, &requester, index).await;
        assert_eq!(acts, introductions, "binding {index}");
        tasks.push((task, index));
    }
    let settled = |board: &gavel_node::Board| {
        let mut all = tasks.iter();
        all.all(|(task, _)| state(board, *task) == TaskState::Settled)
    };
    world.until(&mut roles, settled).await;
    let board = world.board().await.clone();
    assert_eq!(board.pools.len(), 1);
    assert_eq!(board.models.len(), 2);
    for (task, index) in tasks {
        let found = board.task(task).unwrap();
        let model = family.binding(index).unwrap();
        assert_eq!((found.class, found.model), (family.id(), model.model_id()));
        let outputs = roles::outputs_of(&requester, &board, task).await.unwrap();
        let dims = outputs.unwrap().tensors[0].dims().to_vec();
        assert_eq!(dims, [u64::from(1 + index / 3), 24]);
        // the receipt names what was asked for, and what was run
        let receipt = roles::receipt_of(&requester, &board, task)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (receipt.class_id, receipt.model_id),
            (family.id(), model.model_id())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_about_what_nobody_has_shown_is_not_posted() {
    let family = family();
    let mut world = World::of_family(&family, AUDITS).await;
    let requester = world.party("requester").await;
    ask(&mut world, &family, 2);
    let order = |world: &World| roles::Order {
        model: world.model,
        family: Some(family.id()),
        inputs: world.inputs.clone(),
        seed: 7,
        min_price: 1,
        max_price: 10,
        ramp_seconds: 100,
        exec_seconds: None,
    };
    let wanted = order(&world);
    let refused = roles::post(&requester, world.board().await, &wanted).await;
    assert!(matches!(refused, Err(OrderError::NotRegistered(_))));
    // its header alone makes it a model like others
    let header = *family.binding(2).unwrap().header();
    let call = roles::registration(&header, String::new());
    let market = requester.contracts().market;
    requester.account.send(market, call).await.unwrap();
    let refused = roles::post(&requester, world.board().await, &wanted).await;
    assert!(matches!(refused, Err(OrderError::NotShown { .. })));
    assert_eq!(post(&mut world, &family, &requester, 2).await.1, 1);
    let none = roles::introduce(&requester, world.board().await, &family, 6).await;
    assert!(none.is_err());
}

/// Wrong at one operator by the last bit, or in the committed tensors: an auditor or a watcher of the family finds it, one of the
/// family's referees rules, and another of its providers takes the retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_cheat_about_a_binding_is_isolated_and_convicted_by_the_family() {
    let family = family();
    for (fault, audited) in [(Fault::OneUlp, false), (Fault::WrongTrace, true)] {
        let mut world = World::of_family(&family, if audited { 1_000_000 } else { AUDITS }).await;
        let lies = FaultyExecutor::new(Arc::clone(&world.honest), &[fault], 3);
        let liar = world
            .party_with("liar", Arc::new(lies) as Arc<dyn Executor>)
            .await;
        world.join(&liar).await;
        let (first, second) = (world.staked("first").await, world.staked("second").await);
        let third = world.staked("third").await;
        let requester = world.party("requester").await;
        let watcher = world.party("watcher").await;
        let (task, _) = post(&mut world, &family, &requester, 4).await;
        let mut roles: Roles = vec![Box::new(world.provider(&liar, 1)), world.keeper().await];
        if !audited {
            roles.push(Box::new(Watcher::new(watcher.clone())));
        }
        for judge in [&first, &second, &third] {
            roles.push(Box::new(Referee::new(judge.clone())));
            if audited {
                roles.push(Box::new(Auditor::new(judge.clone())));
            }
        }
        let over = |board: &gavel_node::Board| board.is_tombstoned(&liar.address());
        world.until(&mut roles, over).await;
        let board = world.board().await.clone();
        let dispute = &board.disputes[&1].dispute;
        assert_eq!(dispute.state, DisputeState::Upheld, "{fault}");
        assert_eq!(board.disputes[&1].by_audit, audited);
        assert!(
            dispute.isolated_at != 0 && !dispute.referee.is_zero(),
            "{fault}"
        );
        assert!(stake(&board, &liar.address()) < STAKE);
        assert_eq!(board.retry_head(&family.id()).unwrap().0, task);
        assert!(board.retry_head(&world.model).is_none());
        roles.push(Box::new(world.provider(&first, 1)));
        let settled = |board: &gavel_node::Board| state(board, task) == TaskState::Settled;
        world.until(&mut roles, settled).await;
    }
}
