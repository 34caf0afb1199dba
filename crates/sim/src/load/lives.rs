//! Lives of tasks, from their posting to their settlement, by pairs of a requester and a provider and a keeper each; and the clock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gavel_engine::resident;
use gavel_node::{B256, Executor as _, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::bindings::{DevBeacon, IAudits, Market};
use gavel_settlement::chain::Retained;
use gavel_settlement::events::ProtocolEvent;
use gavel_settlement::{Network, SharedChain};
use gavel_trace::Digest;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::client::Client;
use super::latency::Samples;
use super::report::{Growth, Rate};
use super::{BEACON_PERIOD, TICK};
use crate::{TOKEN, Workload, WorldError};

/// Seconds of the chain in one of the wall's.
const SPEED: u64 = 300;
/// Price of every task.
const PRICE: u128 = TOKEN / 1000;
/// Longest wait for the first settlement.
const FIRST: Duration = Duration::from_secs(60);
/// Seconds of the chain beyond the windows before a task is looked at again.
const SLACK: u64 = 5;

/// A result that waits for its windows.
pub(super) struct Committed {
    task: u64,
    due: u64,
}

/// What all workers share.
pub(super) struct Arena {
    pub(super) chain: SharedChain,
    pub(super) network: Network,
    pub(super) samples: Samples,
    pub(super) stop: AtomicBool,
    pub(super) begun: AtomicU64,
    pub(super) settled: AtomicU64,
    pub(super) drawn: AtomicU64,
    /// Time of the beacon's first round that is not out.
    next_round: AtomicU64,
    /// Transactions that were answered, and their blocks.
    pub(super) answered: Mutex<Vec<(B256, B256)>>,
    post: Market::TaskSpec,
    commit: Market::commitCall,
}

fn post(workload: &Workload) -> Result<Market::TaskSpec, WorldError> {
    let model = workload.model();
    let input = workload.inputs.first().map(|i| i.tensors.as_slice());
    let digest = gavel_node::input_digest(model, input.unwrap_or_default())?;
    Ok(Market::TaskSpec {
        modelId: model.model_id().0.into(),
        familyId: B256::ZERO,
        inputDigest: digest.0.into(),
        seed: 0,
        minPrice: PRICE,
        maxPrice: PRICE,
        rampSeconds: 0,
        execSeconds: 3_600,
    })
}

/// The one result of the one input.
fn commit(workload: &Workload) -> Result<Market::commitCall, WorldError> {
    let input = workload.inputs.first().map(|i| i.tensors.as_slice());
    let id = workload.model().model_id();
    let run = workload.honest().run(&id, input.unwrap_or_default())?;
    let words = |digests: &[Digest]| digests.iter().map(|d| d.0.into()).collect();
    let opening = run.trace.level1.output_opening();
    let opening = opening.map_err(gavel_node::NodeError::from)?;
    Ok(Market::commitCall {
        taskId: U256::ZERO,
        steps: run.trace.steps(),
        outputDigest: run.trace.output_digest().0.into(),
        level1Root: run.trace.level1.tree().root().0.into(),
        outputProof: words(&opening.siblings),
        stopProof: Vec::new(),
    })
}

pub(super) async fn post_many(
    arena: &Arc<Arena>,
    pairs: &[(Client, Client)],
    many: u32,
) -> Result<(), WorldError> {
    let requesters = pairs.iter().map(|(requester, _)| requester);
    for (_, requester) in (0..many).zip(requesters.cycle()) {
        arena.post(requester).await?;
    }
    Ok(())
}

impl Arena {
    pub(super) fn new(
        chain: SharedChain,
        network: Network,
        workload: &Workload,
    ) -> Result<Arena, WorldError> {
        Ok(Arena {
            chain,
            network,
            samples: Samples::default(),
            stop: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            drawn: AtomicU64::new(0),
            next_round: AtomicU64::new(0),
            answered: Mutex::default(),
            post: post(workload)?,
            commit: commit(workload)?,
        })
    }

    /// What is in memory when the windows of the first life have passed.
    pub(super) async fn first_life(&self) -> (u64, Retained) {
        let waiting = Instant::now();
        let settled = || self.settled.load(Ordering::Relaxed);
        while settled() == 0 && waiting.elapsed() < FIRST {
            tokio::time::sleep(TICK).await;
        }
        (settled(), self.chain.lock().retained())
    }

    pub(super) fn grown(&self, (lives, before): (u64, Retained)) -> Growth {
        Growth {
            lives: self.settled.load(Ordering::Relaxed) - lives,
            before,
            after: self.chain.lock().retained(),
        }
    }

    /// How many lives are completed in this time.
    pub(super) async fn count_lives(
        &self,
        time: Duration,
        progress: &mut impl FnMut(String),
    ) -> Rate {
        let settled = || self.settled.load(Ordering::Relaxed);
        let (start, first, memory) = (Instant::now(), settled(), resident::now_bytes());
        let mut last = first;
        while start.elapsed() < time {
            tokio::time::sleep(TICK.max(time / 20).min(Duration::from_secs(1))).await;
            if last != settled() {
                last = settled();
                progress(format!("{last} tasks settled"));
            }
        }
        let (lives, seconds) = (settled() - first, start.elapsed().as_secs_f64());
        let grown = resident::now_bytes().zip(memory);
        let grown = grown.map(|(now, before)| now.saturating_sub(before));
        Rate {
            lives,
            seconds,
            lives_per_second: lives as f64 / seconds.max(f64::MIN_POSITIVE),
            bytes_per_life: grown.and_then(|bytes| bytes.checked_div(lives)),
        }
    }

    async fn post(&self, requester: &Client) -> Result<u64, WorldError> {
        let call = Market::postCall {
            spec: self.post.clone(),
            inputUri: String::new(),
        };
        let logs = self.send("post", requester, self.market(), call.abi_encode());
        let posted = logs.await?.into_iter().find_map(|event| match event {
            ProtocolEvent::Market(Market::MarketEvents::TaskPosted(e)) => {
                u64::try_from(e.taskId).ok()
            }
            _ => None,
        });
        posted.ok_or_else(|| WorldError::View("a post without a task".to_owned()))
    }

    fn market(&self) -> gavel_node::Address {
        self.network.deployment().market
    }

    async fn send(
        &self,
        what: &'static str,
        who: &Client,
        to: gavel_node::Address,
        data: Vec<u8>,
    ) -> Result<Vec<ProtocolEvent>, WorldError> {
        let start = Instant::now();
        let done = who.send(to, data).await?;
        self.samples.add(what, start.elapsed());
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.push((done.transaction, done.block));
        Ok(done.events)
    }
}

/// Moves the clock and publishes what the beacon owes.
pub(super) async fn keep_time(arena: Arc<Arena>) -> Result<(), WorldError> {
    let network = &arena.network;
    let keeper = gavel_settlement::Account::new(dev_key("load clock", 0), network.clone());
    let view = |e: &dyn std::fmt::Display| WorldError::View(e.to_string());
    let genesis = network
        .beacon()
        .genesis()
        .call()
        .await
        .map_err(|e| view(&e))?;
    let (start, started) = (arena.chain.now(), Instant::now());
    let mut published = (start.saturating_sub(genesis)) / BEACON_PERIOD;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let now = start + started.elapsed().as_millis() as u64 * SPEED / 1000;
        arena.chain.advance_to(now)?;
        while genesis + published * BEACON_PERIOD <= now {
            let round = published + 1;
            let call = DevBeacon::publishCall { round };
            keeper.send(network.deployment().beacon, call).await?;
            published = round;
        }
        let next = genesis + published * BEACON_PERIOD;
        arena.next_round.store(next, Ordering::Relaxed);
    }
}

/// One life after the other, up to the commit.
pub(super) async fn live(
    arena: Arc<Arena>,
    requester: Client,
    provider: Client,
    committed: UnboundedSender<Committed>,
) -> Result<(), WorldError> {
    let windows = arena.network.parameters();
    let view = |e: &dyn std::fmt::Display| WorldError::View(e.to_string());
    let market = windows.marketAt(1).call().await.map_err(|e| view(&e))?;
    let windows = u64::from(market.challengeWindow) + u64::from(market.revealWindow);
    while !arena.stop.load(Ordering::Relaxed) {
        arena.begun.fetch_add(1, Ordering::Relaxed);
        let task = arena.post(&requester).await?;
        let id = U256::from(task);
        let call = Market::claimCall { taskId: id }.abi_encode();
        arena.send("claim", &provider, arena.market(), call).await?;
        let call = Market::commitCall {
            taskId: id,
            ..arena.commit.clone()
        };
        let call = call.abi_encode();
        arena
            .send("commit", &provider, arena.market(), call)
            .await?;
        let due = arena.chain.now() + windows + SLACK;
        // whoever settles lives as long as this
        let _ = committed.send(Committed { task, due });
    }
    Ok(())
}

/// Has audits decided and settles, when it is time.
pub(super) async fn settle(
    arena: Arc<Arena>,
    keeper: Client,
    mut committed: UnboundedReceiver<Committed>,
) -> Result<(), WorldError> {
    while let Some(Committed { task, due }) = committed.recv().await {
        loop {
            let now = arena.chain.now();
            if now >= due {
                break;
            }
            tokio::time::sleep(Duration::from_millis((due - now) * 1000 / SPEED + 1)).await;
        }
        // on a busy machine the clock is ahead of the beacon
        while arena.next_round.load(Ordering::Relaxed) <= due {
            tokio::time::sleep(TICK).await;
        }
        let id = U256::from(task);
        let call = IAudits::decideCall { taskId: id }.abi_encode();
        let audits = arena.network.deployment().audits;
        let logs = arena.send("decide", &keeper, audits, call).await?;
        let is_drawn = logs.iter().any(|event| {
            matches!(event, ProtocolEvent::Audits(IAudits::IAuditsEvents::AuditDecided(e)) if e.selected)
        });
        if is_drawn {
            arena.drawn.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let call = Market::settleCall { taskId: id }.abi_encode();
        arena.send("settle", &keeper, arena.market(), call).await?;
        arena.settled.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
