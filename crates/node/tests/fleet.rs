//! A leader and its workers over a store in memory.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gavel_engine::{Engine, EngineOptions, FineRun};
use gavel_model::{Model, shipped};
use gavel_numerics::Tensor;
use gavel_state::{Identity, Jobs as _, Lease, Memory, Store};
use gavel_trace::Digest;

use gavel_node::fleet::{FleetExecutor, WorkOptions, dispatch, work};
use gavel_node::{
    Address, Blobs, EngineExecutor, Executor, ExecutorError, Models, NodeError, RunKey, RunRecord,
};

const POLL: Duration = Duration::from_millis(5);

fn engine() -> (Arc<dyn Executor>, Digest, Vec<Tensor>) {
    let model = shipped::load("digits-small").unwrap();
    let ty = model.graph().inputs[0].1.clone();
    let input = Tensor::from_le_bytes(ty.clone(), &vec![0x3e; ty.byte_len().unwrap()]).unwrap();
    let mut models = Models::new();
    let id = models.add(model);
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let executor = EngineExecutor::new(engine, models).unwrap();
    (Arc::new(executor), id, vec![input])
}

fn store() -> Arc<Memory> {
    Arc::new(Memory::new(Identity {
        chain_id: 1,
        contract: Address::ZERO,
        address: Address::ZERO,
    }))
}

fn options(id: Digest) -> WorkOptions {
    WorkOptions {
        name: "worker".to_owned(),
        classes: vec![id],
        lease_seconds: 60,
        poll: POLL,
    }
}

/// Asks until there is an answer that is not "not yet".
async fn asked(
    leader: &FleetExecutor,
    id: &Digest,
    inputs: &[Tensor],
) -> Result<Arc<RunRecord>, ExecutorError> {
    loop {
        match leader.run_in(id, id, inputs) {
            Err(ExecutorError::Pending { .. }) => tokio::time::sleep(POLL).await,
            other => return other,
        }
    }
}

/// An executor that has a model and cannot run it.
struct Broken(Arc<dyn Executor>);

impl Executor for Broken {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.0.model(model_id)
    }

    fn known_run(&self, _: &RunKey) -> Option<Arc<RunRecord>> {
        None
    }

    fn run(&self, _: &Digest, _: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        let why = "out of memory".to_owned();
        Err(gavel_node::sandbox::SandboxError::Ended(why).into())
    }

    fn fine(&self, run: &RunRecord, leaf: u64) -> Result<Arc<FineRun>, ExecutorError> {
        self.0.fine(run, leaf)
    }

    fn live_before(&self, run: &RunRecord, leaf: u64) -> Result<Vec<Arc<Tensor>>, ExecutorError> {
        self.0.live_before(run, leaf)
    }
}

/// What a leader is told by a worker with this executor, and what it told on the way.
async fn served_by(
    worker: Arc<dyn Executor>,
) -> (Result<Arc<RunRecord>, ExecutorError>, Vec<String>, bool) {
    let (local, id, inputs) = engine();
    let (leader, store, blobs) = (FleetExecutor::new(local), store(), Blobs::memory());
    assert!(!leader.has_room(&id), "nobody is there");
    let (options, told) = (options(id), RefCell::new(Vec::new()));
    let connect = || {
        let store: Arc<dyn Store> = Arc::<Memory>::clone(&store);
        async { Ok(store) }
    };
    let draining = AtomicBool::new(false);
    let never = std::future::pending();
    tokio::select! {
        error = dispatch(&leader, &*store, &blobs, POLL, |e| {
            told.borrow_mut().push(format!("{e:?}"));
        }) => panic!("{error}"),
        () = work(&options, &worker, &blobs, connect, &draining, never, |_| {}) => panic!("it ended"),
        (found, room) = async {
            while !leader.has_room(&id) {
                tokio::time::sleep(POLL).await;
            }
            let first = leader.run_in(&id, &id, &inputs);
            assert!(matches!(first, Err(ExecutorError::Pending { .. })));
            let room = leader.has_room(&id);
            (asked(&leader, &id, &inputs).await, room)
        } => (found, told.take(), room),
    }
}

#[tokio::test]
async fn a_run_by_a_worker_is_the_leader_s_own() {
    let (own, id, inputs) = engine();
    let (found, _, room) = served_by(Arc::clone(&own)).await;
    assert!(!room, "the one worker has something to do");
    let (found, own) = (found.unwrap(), own.run(&id, &inputs).unwrap());
    assert_eq!((&found.outputs, &found.trace), (&own.outputs, &own.trace));
}

#[tokio::test]
async fn what_no_worker_can_do_is_given_up_and_said() {
    let (own, ..) = engine();
    let (found, told, _) = served_by(Arc::new(Broken(own))).await;
    let Err(ExecutorError::GivenUp { why }) = found else {
        panic!("{found:?}");
    };
    assert!(why.contains("out of memory"), "{why}");
    assert!(told.last().unwrap().starts_with("GivenUp"), "{told:?}");
}

#[tokio::test]
async fn a_worker_s_word_is_checked_as_far_as_it_can_be() {
    let (local, id, inputs) = engine();
    let right = local.run(&id, &inputs).unwrap();
    let (leader, store, blobs) = (FleetExecutor::new(local), store(), Blobs::memory());
    blobs.put_run(&right).await.unwrap();
    let root = right.trace.trace_root();
    let lies = [
        "nothing".to_owned(),
        serde_json::json!({"trace_root": Digest([7; 32]), "output_digest": Digest([7; 32])})
            .to_string(),
        serde_json::json!({"trace_root": root, "output_digest": Digest([7; 32])}).to_string(),
    ];
    let kinds = [id.to_string()];
    let next = || async {
        loop {
            let lease: Option<Lease> = store.lease("liar", &kinds, 60).await.unwrap();
            match lease {
                Some(lease) => return lease,
                None => tokio::time::sleep(POLL).await,
            }
        }
    };
    let told = RefCell::new(Vec::new());
    tokio::select! {
        error = dispatch(&leader, &*store, &blobs, POLL, |e| {
            told.borrow_mut().push(format!("{e:?}"));
        }) => panic!("{error}"),
        found = async {
            for lie in &lies {
                let asking = leader.run_in(&id, &id, &inputs);
                assert!(matches!(asking, Err(ExecutorError::Pending { .. })));
                let lease = next().await;
                assert!(store.finish(&lease, lie).await.unwrap());
            }
            asked(&leader, &id, &inputs).await
        } => assert!(matches!(found, Err(ExecutorError::GivenUp { .. })), "{found:?}"),
    }
    let told = told.take();
    let rejected = told.iter().filter(|e| e.starts_with("Rejected")).count();
    assert_eq!(rejected, lies.len(), "{told:?}");
    assert!(store.jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_is_handed_over_as_it_is_and_a_changed_one_is_none() {
    let (executor, id, inputs) = engine();
    let run = executor.run(&id, &inputs).unwrap();
    let (root, bound) = (run.trace.trace_root(), run.trace.input_digest);
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::directory(folder.path()).unwrap();
    let read = || blobs.run(&root, &run.model, &inputs, bound);
    assert!(read().await.unwrap().is_none());
    blobs.put_run(&run).await.unwrap();
    let found = read().await.unwrap().unwrap();
    assert_eq!((&found.outputs, &found.trace), (&run.outputs, &run.trace));

    let file = folder.path().join(format!("runs/{root}.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    let handed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let other = serde_json::json!(Digest([7; 32]));
    let (mut leaf, mut output, mut fewer) = (handed.clone(), handed.clone(), handed.clone());
    leaf["leaves"][0] = other;
    output["outputs"][0]["bytes"] = "AAAA".into();
    fewer["outputs"] = serde_json::json!([]);
    for changed in [leaf, output, fewer] {
        assert_ne!(changed, handed);
        std::fs::write(&file, changed.to_string()).unwrap();
        let refused = read().await.unwrap_err();
        assert!(matches!(refused, NodeError::Blob { .. }), "{refused}");
    }
    blobs.remove_run(&root).await.unwrap();
    assert!(read().await.unwrap().is_none());
}
