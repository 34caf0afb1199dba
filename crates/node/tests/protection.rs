//! A key that has said something, and processes that would say something else.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::network::{World, state};
use gavel_node::board::TaskState;
use gavel_node::faults::FaultyExecutor;
use gavel_node::protection::{ProtectionError, identity, reset};
use gavel_node::{Executor, Fault, NodeError, Party, Protection, Role};
use gavel_state::Store;

async fn guarded(party: Party, store: &Arc<dyn Store>) -> Party {
    let protection = Protection::open(Arc::clone(store)).await.unwrap();
    Party {
        protection: Arc::new(protection),
        ..party
    }
}

/// A restored copy whose machine computes something else says nothing, and claims nothing any more; the honest one goes on.
#[tokio::test]
async fn a_key_never_says_two_things_whatever_process_has_it() {
    let mut world = World::new(250_000).await;
    let folder = tempfile::tempdir().unwrap();
    let party = world.staked("provider").await;
    let place = folder.path().join("state.db").display().to_string();
    let of = identity(&party.account);
    let store = gavel_state::open(&place, of).await.unwrap();
    let honest = guarded(party.clone(), &store).await;
    let requester = world.party("requester").await;
    let id = world.post(&requester).await;
    let mut provider = world.provider(&honest, 1);
    while state(world.board().await, id) != TaskState::Claimed {
        let board = world.mirror.refresh().await.unwrap();
        provider.tick(board).await.unwrap();
    }
    // what the honest process signs first is its receipt; it dies before the commitment is sent
    let run = honest
        .run_of(world.board().await, id)
        .await
        .unwrap()
        .unwrap();
    let task = world.board().await.task(id).unwrap().clone();
    let statement = gavel_node::protection::Statement {
        subject: gavel_node::protection::Subject {
            kind: gavel_node::protection::Kind::Result,
            id,
            attempt: task.attempt,
            case: gavel_node::protection::task_case(&task),
            answers: Default::default(),
        },
        value: run.trace.trace_root().0.into(),
    };
    honest.protection.admit(&statement, 1).await.unwrap();
    drop((provider, honest, store));

    let store = gavel_state::open(&place, of).await.unwrap();
    let faulty: Arc<dyn Executor> = Arc::new(FaultyExecutor::new(
        Arc::clone(&world.honest),
        &[Fault::OneUlp],
        1,
    ));
    let copy = Party {
        executor: faulty,
        ..guarded(party.clone(), &store).await
    };
    let mut wrong = world.provider(&copy, 1);
    let board = world.mirror.refresh().await.unwrap();
    let refused = wrong.tick(board).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            NodeError::Protection(ProtectionError::Contradiction { .. })
        ),
        "{refused}"
    );
    assert_eq!(state(world.board().await, id), TaskState::Claimed);
    assert!(copy.protection.breaker().unwrap().is_tripped());
    assert!(copy.protection.refused() > 0);
    drop((wrong, copy, store));

    // the breaker holds over the restart: it delivers, and claims nothing more
    let store = gavel_state::open(&place, of).await.unwrap();
    let honest = guarded(party.clone(), &store).await;
    let mut provider = world.provider(&honest, 1);
    let board = world.mirror.refresh().await.unwrap();
    provider.tick(board).await.unwrap().unwrap();
    assert!(state(world.board().await, id).is_committed());
    let next = world.post(&requester).await;
    let board = world.mirror.refresh().await.unwrap();
    assert_eq!(provider.tick(board).await.unwrap(), None);
    assert_eq!(reset(&*store).await.unwrap().len(), 1);
    let again = guarded(party, &store).await;
    let mut provider = world.provider(&again, 1);
    let board = world.mirror.refresh().await.unwrap();
    let act = provider.tick(board).await.unwrap().unwrap();
    assert_eq!(act.what, format!("claims task {next}"));
}
