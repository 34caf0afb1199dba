//! An explorer while its chain goes on, is reorganised, or cannot be read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::task;
use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use gavel_engine::FineRun;
use gavel_model::Model;
use gavel_node::{Executor, ExecutorError, RunKey, RunRecord};
use gavel_numerics::Tensor;
use gavel_settlement::Endpoint;
use gavel_settlement::alloy::primitives::hex;
use gavel_settlement::alloy::rpc::client::RpcClient;
use gavel_settlement::alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use gavel_settlement::bindings::Parameters::guardianCall;
use gavel_settlement::transport::InProcess;
use gavel_trace::Digest;

use super::*;

/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those who listen from now on.
async fn listen(router: &Router) -> BodyDataStream {
    let request = Request::get("/api/v1/events").body(Body::empty());
    let response = router.clone().oneshot(request.unwrap()).await.unwrap();
    let mut events = response.into_body().into_data_stream();
    events.next().await.unwrap().unwrap();
    events
}

/// What is heard up to something.
async fn heard_until(events: &mut BodyDataStream, what: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, events.next()).await;
        let next = next.expect("it is never heard").unwrap().unwrap();
        heard.push(String::from_utf8(next.to_vec()).unwrap());
        if heard.last().unwrap().contains(what) {
            return heard;
        }
    }
}

/// Two servers of one chain answer alike, but for what the wall's clock says.
async fn same_answers(one: &Told, other: &Told) {
    let lists = "activity auction tasks providers models disputes audits parameters trust";
    let lists = lists.split(' ').map(|name| format!("/{name}?limit=200"));
    let mut paths: Vec<String> = lists.collect();
    for list_of in ["tasks", "disputes"] {
        for item in list(&one.get(&format!("/{list_of}?limit=200")).await["items"]) {
            paths.push(format!("/{list_of}/{}", item["id"]));
        }
    }
    for party in &one.report.parties {
        paths.push(format!("/accounts/{}", party.address));
    }
    for path in paths {
        assert_eq!(one.get(&path).await, other.get(&path).await, "{path}");
    }
    let status = async |told: &Told| {
        let mut status = told.get("/status").await;
        status["clock"].take();
        status
    };
    assert_eq!(status(one).await, status(other).await);
}

#[tokio::test]
async fn a_reorg_is_followed_and_told() {
    let mut told = told(&[Fault::OneUlp], true).await;
    let before = told.get("/activity?limit=200").await;
    let mut events = listen(&told.router).await;
    told.stage.chain.reorg(40).unwrap();
    told.stage.chain.mine().unwrap();
    told.follower.refresh().await.unwrap();
    let head = told.stage.chain.lock().head().number;
    let heard = heard_until(&mut events, "event: head").await;
    let reorgs = heard.iter().filter(|frame| frame.contains("event: reorg"));
    assert_eq!(reorgs.count(), 1, "{heard:?}");
    // no line is told as if it were new
    assert!(!heard.iter().any(|frame| frame.contains("event: activity")));
    let to = heard.iter().find_map(|frame| {
        let data = frame.split("event: reorg\ndata: ").nth(1)?;
        serde_json::from_str::<Value>(data.trim()).unwrap()["to"].as_u64()
    });
    assert!(to.unwrap() < head, "{to:?}, {head}");
    let after = told.get("/activity?limit=200").await;
    assert!(after["total"].as_u64() < before["total"].as_u64());
    // what was followed through the reorg is what a server finds that starts after it
    let network = Network::in_process(told.stage.chain.clone(), told.stage.deployment.clone());
    let mut fresh = told.again(network);
    fresh.follower = fresh.follower.with_party(told.party.clone());
    fresh.follower.refresh().await.unwrap();
    same_answers(&told, &fresh).await;
}

/// A node that cannot say who the guardian is while it is unwell; a follower asks that when the logs have been read.
#[derive(Clone)]
struct Unwell {
    inner: InProcess,
    is_unwell: Arc<AtomicBool>,
}

impl tower::Service<RequestPacket> for Unwell {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(
        &mut self,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Result<(), TransportError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let question = hex::encode(guardianCall::SELECTOR);
        let mut asked = packet.requests().iter();
        let asks = asked.any(|request| request.serialized().get().contains(&question));
        if asks && self.is_unwell.load(Ordering::SeqCst) {
            let error = TransportErrorKind::custom_str("the node is unwell");
            return Box::pin(std::future::ready(Err(error)));
        }
        self.inner.call(packet)
    }
}

/// Another explorer of a world, over a node that is unwell while the switch is on.
fn over(told: &Told, is_unwell: &Arc<AtomicBool>) -> Told {
    let unwell = Unwell {
        inner: InProcess::new(told.stage.chain.clone()),
        is_unwell: Arc::clone(is_unwell),
    };
    let endpoint = Endpoint::over(RpcClient::new(unwell, true));
    let network = Network::new(endpoint, told.stage.deployment.clone());
    told.again(network)
}

#[tokio::test]
async fn a_read_that_broke_off_is_finished_and_a_reorg_meanwhile_is_seen() {
    let world = told(&[Fault::OneUlp], true).await;
    let (well, unwell) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    let mut finished = over(&world, &unwell);
    finished.follower.refresh().await.unwrap_err();
    let mut moved = over(&world, &unwell);
    moved.follower.refresh().await.unwrap_err();
    unwell.store(false, Ordering::SeqCst);
    // no block comes, and what was missed is asked for again
    finished.follower.refresh().await.unwrap();
    assert!(finished.get("/trust").await["guardian"].is_object());
    let mut fresh = over(&world, &well);
    fresh.follower.refresh().await.unwrap();
    same_answers(&finished, &fresh).await;
    // blocks that were read before it broke off are replaced before it goes on
    world.stage.chain.reorg(40).unwrap();
    world.stage.chain.mine().unwrap();
    moved.follower.refresh().await.unwrap();
    let mut fresh = over(&world, &well);
    fresh.follower.refresh().await.unwrap();
    same_answers(&moved, &fresh).await;
}

/// Takes as long as somebody wants to find a run.
struct Slow {
    inner: Arc<EngineExecutor>,
    begun: mpsc::Sender<()>,
    end: Mutex<mpsc::Receiver<()>>,
}

impl Executor for Slow {
    fn model(&self, model_id: &Digest) -> Option<Arc<Model>> {
        self.inner.model(model_id)
    }

    fn known_run(&self, key: &RunKey) -> Option<Arc<RunRecord>> {
        let _ = self.begun.send(());
        // ends when the sender is dropped
        let _ = self.end.lock().unwrap().recv();
        self.inner.known_run(key)
    }

    fn run(&self, model_id: &Digest, inputs: &[Tensor]) -> Result<Arc<RunRecord>, ExecutorError> {
        self.inner.run(model_id, inputs)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inference_that_takes_long_does_not_hold_up_the_reading() {
    let told = told(&[Fault::OneUlp], true).await;
    let network = Network::in_process(told.stage.chain.clone(), told.stage.deployment.clone());
    let (follower, router) = explorer(network, &told.options);
    let ((begun, has_begun), (go_on, end)) = (mpsc::channel(), mpsc::channel());
    let executor = Arc::new(Slow {
        inner: Arc::clone(WORKLOAD.honest()),
        begun,
        end: Mutex::new(end),
    });
    let follower = follower.with_party(Party {
        executor,
        ..told.party.clone()
    });
    let mut events = listen(&router).await;
    let pause = Duration::from_millis(1);
    let running = tokio::spawn(follower.run(std::future::pending(), pause));
    let begun = tokio::task::spawn_blocking(move || has_begun.recv_timeout(PATIENCE));
    begun.await.unwrap().unwrap();
    told.stage.chain.mine().unwrap();
    let number = told.stage.chain.lock().head().number;
    heard_until(&mut events, &format!("\"number\":{number},")).await;
    drop(go_on);
    running.abort();
}

#[tokio::test]
async fn an_answer_is_another_when_the_clock_has_run() {
    let mut told = told(&[], false).await;
    let tag = async |told: &Told| {
        let request = Request::get("/api/v1/auction").body(Body::empty());
        told.send(request.unwrap()).await.headers()[header::ETAG].clone()
    };
    let before = tag(&told).await;
    told.follower.refresh().await.unwrap();
    assert_eq!(tag(&told).await, before);
    let now = told.stage.chain.now();
    told.stage.chain.advance_to(now + 60).unwrap();
    told.follower.refresh().await.unwrap();
    assert_ne!(tag(&told).await, before);
}

#[tokio::test]
async fn who_listens_hears_what_happens_and_what_it_missed() {
    let mut told = told(&[], false).await;
    let mut events = listen(&told.router).await;
    told.stage.chain.mine().unwrap();
    told.follower.refresh().await.unwrap();
    let heard = heard_until(&mut events, "event: head").await;
    let id = heard[0].lines().next().unwrap();
    let id = id.strip_prefix("id: ").unwrap().to_owned();
    told.stage.chain.mine().unwrap();
    told.follower.refresh().await.unwrap();
    let again = Request::get("/api/v1/events")
        .header("last-event-id", id)
        .body(Body::empty());
    let again = told.send(again.unwrap()).await;
    let mut events = again.into_body().into_data_stream();
    events.next().await.unwrap().unwrap();
    let missed = heard_until(&mut events, "event: head").await;
    assert_eq!(missed.len(), 1, "{missed:?}");
}
