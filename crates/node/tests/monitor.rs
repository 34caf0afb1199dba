//! Whoever watches without a key: one task that cannot be judged hides no other, and what is over is judged once.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::network::{World, state};
use gavel_engine::FineRun;
use gavel_model::Model;
use gavel_node::board::TaskState;
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{Look, Monitor};
use gavel_node::{Blobs, Board, EngineExecutor, Executor, ExecutorError, Role, RunKey, RunRecord};
use gavel_numerics::Tensor;
use gavel_settlement::dev_params::UNIT;
use gavel_trace::Digest;

/// An executor whose first runs fail, and that counts how often it is asked for a model.
struct Ailing {
    inner: Arc<EngineExecutor>,
    failures: AtomicUsize,
    asked: AtomicUsize,
}

impl Ailing {
    fn new(inner: &Arc<EngineExecutor>, failures: usize) -> Arc<Ailing> {
        Arc::new(Ailing {
            inner: Arc::clone(inner),
            failures: AtomicUsize::new(failures),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Executor for Ailing {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.model(model_id)
    }

    fn known_run(&self, _key: &RunKey) -> Option<Arc<RunRecord>> {
        None
    }

    fn serves(&self, model_id: &Digest, inputs: &[Tensor]) -> bool {
        self.inner.serves(model_id, inputs)
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(ExecutorError::Leaf { leaf_index: 0 });
        }
        self.inner.run(model_id, inputs)
    }

    fn extended(&self, run: Arc<RunRecord>, steps: u32) -> Result<Arc<RunRecord>, ExecutorError> {
        self.inner.extended(run, steps)
    }

    fn fine(&self, run: &RunRecord, leaf_index: u64) -> Result<Arc<FineRun>, ExecutorError> {
        self.inner.fine(run, leaf_index)
    }

    fn live_before(
        &self,
        run: &RunRecord,
        leaf_index: u64,
    ) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.inner.live_before(run, leaf_index)
    }
}

fn wrong(look: &Look) -> Vec<u64> {
    let results = look.alerts.iter().filter(|a| a.code == "GVL-WATCH-001");
    results.map(|alert| alert.task.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_run_hides_no_other() {
    let mut world = World::new(250_000).await;
    let lie = FaultyExecutor::new(Arc::clone(&world.honest), &[Fault::OneUlp], 3);
    let cheat = world.party_with("cheat", Arc::new(lie)).await;
    world.join(&cheat).await;
    let requester = world.party("requester").await;
    let (first, second) = (world.post(&requester).await, world.post(&requester).await);
    let mut roles: Vec<Box<dyn Role>> = vec![Box::new(world.provider(&cheat, UNIT))];
    let committed = |b: &Board, task| state(b, task) == TaskState::Committed;
    world
        .until(&mut roles, |b| committed(b, first) && committed(b, second))
        .await;
    let ailing = Ailing::new(&world.honest, 1);
    let mut monitor = Monitor::new(world.party_with("reader", ailing).await);
    let board = world.board().await;
    let look = monitor.look(board).await;
    assert_eq!(wrong(&look), [second], "{look:?}");
    assert_eq!(look.unjudged.len(), 1, "{look:?}");
    assert!(look.unjudged[0].starts_with(&format!("task {first}: ")));
    // once its run succeeds it is told as well, and nothing is told twice
    let look = monitor.look(board).await;
    assert_eq!(wrong(&look), [first], "{look:?}");
    assert!(look.unjudged.is_empty(), "{look:?}");
    assert!(monitor.look(board).await.alerts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_is_looked_for_once() {
    let mut world = World::new(250_000).await;
    let provider = world.staked("provider").await;
    let requester = world.party("requester").await;
    let task = world.post(&requester).await;
    let mut roles: Vec<Box<dyn Role>> = vec![
        Box::new(world.provider(&provider, UNIT)),
        world.keeper().await,
    ];
    world
        .until(&mut roles, |b| state(b, task) == TaskState::Settled)
        .await;
    let ailing = Ailing::new(&world.honest, 0);
    let mut reader = world
        .party_with("reader", Arc::clone(&ailing) as Arc<dyn Executor>)
        .await;
    // its input is gone
    reader.blobs = Blobs::memory();
    let mut monitor = Monitor::new(reader);
    let board = world.board().await;
    monitor.look(board).await;
    let asked = ailing.asked.load(Ordering::Relaxed);
    assert!(asked > 0);
    for _ in 0..3 {
        let look = monitor.look(board).await;
        assert!(look.alerts.is_empty() && look.unjudged.is_empty());
    }
    assert_eq!(ailing.asked.load(Ordering::Relaxed), asked);
}
