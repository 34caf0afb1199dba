//! Sustained load on the embedded chain: whole lives of tasks a second, on disk, with thousands of tasks open.
//!
//! A life is what the contracts ask of a task that nobody disputes: post, claim, commit, the audit's decision, settle.
//! The model is run once and its result committed for every task: what is measured is the chain. Windows pass because the
//! chain's clock runs faster than the wall's.

mod client;
mod latency;
mod lives;
mod readers;
mod report;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use gavel_node::{B256, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::bindings::{DevToken, StakeVault};
use gavel_settlement::chain::{ChainError, JournalError, Options};
use gavel_settlement::http::Server;
use gavel_settlement::{Network, SharedChain};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

use crate::template::{Stage, WorldRules};
use crate::{TOKEN, Workload, WorldError};

use client::Client;
pub use client::Submission;
pub use latency::Latencies;
use lives::{Arena, keep_time, live, post_many, settle};
use readers::Readers;
pub use readers::ReadersReport;
pub use report::{Growth, LoadReport, Rate, Snapshots};

/// Share of results audited, in millionths: the least that the contracts take, so that hardly any life waits for an auditor.
const AUDIT_PPM: u32 = 10;
/// Seconds between the beacon's rounds.
const BEACON_PERIOD: u64 = 30;
/// How often the clock is moved and due rounds are published.
const TICK: Duration = Duration::from_millis(20);
/// Stake of a provider: what it locks for its tasks is a small share.
const STAKE: u128 = 100_000_000 * TOKEN;

/// How much load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where the chain is kept; empty or absent.
    pub folder: PathBuf,
    /// How long lives are begun; where there are clients of the explorer, as long without them and then with them.
    pub duration: Duration,
    /// Tasks that are open all the time beside those that live.
    pub open: u32,
    /// Pairs of a requester and a provider that work at once.
    pub pairs: u32,
    /// How transactions get to the chain.
    pub submission: Submission,
    /// Clients of an explorer that follows the chain, over sockets.
    pub explorer_clients: u32,
    /// How the chain is kept.
    pub chain: Options,
}

/// Runs the load and opens the chain again to see what is left of it.
///
/// # Errors
/// The folder cannot be used, or the contracts refuse what they should not.
pub async fn load(
    options: &LoadOptions,
    mut progress: impl FnMut(String),
) -> Result<LoadReport, WorldError> {
    progress("deploying".to_owned());
    let workload = Workload::shipped("digits-small")?;
    let stage = stage(options, &workload).await?;
    let network = Network::in_process(stage.chain.clone(), stage.deployment.clone());
    let arena = Arc::new(Arena::new(stage.chain.clone(), network, &workload)?);
    stage.chain.lock().share_seconds();
    let server = Server::bind(stage.chain.clone(), 0).await?;
    let url = format!("http://{}", server.address()?);
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let client = {
        let network = arena.network.clone();
        move |seed: &str, index: u32| {
            let key = dev_key(seed, index);
            Client::new(options.submission, key, &network, &url)
        }
    };

    let pairs =
        (0..options.pairs).map(|i| (client("load requester", i), client("load provider", i)));
    let pairs: Vec<(Client, Client)> = pairs.collect();
    set_up(&stage, &pairs).await?;
    progress(format!("posting {} tasks that stay open", options.open));
    post_many(&arena, &pairs, options.open).await?;

    let clock = tokio::spawn(keep_time(Arc::clone(&arena)));
    let (started, first) = (Instant::now(), stage.chain.lock().head().number);
    let mut begin = JoinSet::new();
    let mut end = JoinSet::new();
    for (i, (requester, provider)) in (0..).zip(pairs) {
        let (sender, receiver) = unbounded_channel();
        begin.spawn(live(Arc::clone(&arena), requester, provider, sender));
        let keeper = client("load keeper", i);
        end.spawn(settle(Arc::clone(&arena), keeper, receiver));
    }
    let before = arena.first_life().await;
    let alone = arena.count_lives(options.duration, &mut progress).await;
    let (mut readers, mut watched) = (None, None);
    if options.explorer_clients > 0 {
        progress("connecting the explorer's clients".to_owned());
        let attached =
            Readers::attach(&arena.network, &arena.chain, options.explorer_clients).await?;
        readers = Some(attached);
        watched = Some(arena.count_lives(options.duration, &mut progress).await);
    }
    let growth = arena.grown(before);
    arena.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = begin.join_next().await {
        ended.map_err(|e| WorldError::View(e.to_string()))??;
    }
    progress("the last windows".to_owned());
    while let Some(ended) = end.join_next().await {
        ended.map_err(|e| WorldError::View(e.to_string()))??;
    }
    let seconds = started.elapsed().as_secs_f64();
    clock.abort();
    serving.abort();
    // both let go of the chain
    let _ = (clock.await, serving.await);
    let head = head(&stage.chain);
    let readers = match readers {
        None => None,
        Some(readers) => {
            progress("the last events".to_owned());
            Some(readers.finish(head.0).await?)
        }
    };
    let arena = Arc::into_inner(arena)
        .ok_or_else(|| WorldError::View("somebody still works on the chain".to_owned()))?;
    let Arena {
        samples,
        begun,
        settled,
        drawn,
        answered,
        chain,
        network,
        ..
    } = arena;
    let snapshots = chain.lock().snapshots().unwrap_or_default();
    if let Some(reason) = &snapshots.failed {
        return Err(WorldError::View(format!("no snapshot: {reason}")));
    }
    drop((chain, network, stage, client));
    progress("opening the chain again".to_owned());
    let again = open_again(&options.folder, options.chain).await?;
    let opening = again.lock().opening().clone();
    let answered = answered
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let is_there = holds(&again, &answered)? && head == self::head(&again);
    drop(again);
    progress("opening the chain from its journal alone".to_owned());
    let alone_from = Options {
        replay_all: true,
        ..options.chain
    };
    let again = open_again(&options.folder, alone_from).await?;
    let replaying = again.lock().opening().clone();
    let is_there = is_there && head == self::head(&again);
    let (lives, drawn) = (settled.into_inner(), drawn.into_inner());
    let transactions = head.0 - first;
    let bytes = |file| std::fs::metadata(options.folder.join(file)).map(|found| found.len());
    Ok(LoadReport {
        submission: options.submission,
        lives,
        drawn,
        seconds,
        lives_per_second: lives as f64 / seconds,
        transactions,
        transactions_per_second: transactions as f64 / seconds,
        open: options.open,
        latencies: samples.latencies(),
        alone,
        watched,
        readers,
        growth,
        snapshots: Snapshots::from(&snapshots),
        journal_bytes: bytes("chain.journal")?,
        archive_bytes: bytes("chain.archive")?,
        head,
        reopened_seconds: opening.time.as_secs_f64(),
        reopened_records: opening.replayed,
        replayed_seconds: replaying.time.as_secs_f64(),
        replayed_records: replaying.replayed,
        answered: answered.len() as u64,
        nothing_lost: is_there && lives + drawn == begun.into_inner(),
    })
}

/// Opens the chain as soon as the connections that were served have let go of it.
async fn open_again(folder: &Path, options: Options) -> Result<SharedChain, WorldError> {
    let mut tries = 0;
    loop {
        match SharedChain::open_with(folder, Default::default(), options) {
            Err(ChainError::Journal(JournalError::Locked(_))) if tries < 1000 => {
                tries += 1;
                tokio::time::sleep(TICK).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// Whether these transactions are in these blocks.
fn holds(chain: &SharedChain, answered: &[(B256, B256)]) -> Result<bool, ChainError> {
    let chain = chain.lock();
    for (transaction, block) in answered {
        let receipt = chain.receipt_of(*transaction)?;
        if !receipt.is_some_and(|receipt| receipt.success && receipt.block_hash == *block) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn head(chain: &SharedChain) -> (u64, B256) {
    let chain = chain.lock();
    (chain.head().number, chain.head().hash)
}

async fn stage(options: &LoadOptions, workload: &Workload) -> Result<Stage, WorldError> {
    let rules = WorldRules {
        audit_ppm: AUDIT_PPM,
        probation_tasks: 0,
    };
    let model = workload.model();
    Stage::in_folder_with(&options.folder, options.chain, rules, model, BEACON_PERIOD).await
}

/// Tokens for everybody, and a stake for the providers.
async fn set_up(stage: &Stage, pairs: &[(Client, Client)]) -> Result<(), WorldError> {
    let deployment = &stage.deployment;
    let deployer = stage.deployer();
    for (requester, provider) in pairs {
        for (who, tokens) in [(requester, STAKE), (provider, 2 * STAKE)] {
            let call = DevToken::transferCall {
                to: who.address(),
                value: U256::from(tokens),
            };
            deployer.send(deployment.token, call).await?;
            let call = DevToken::approveCall {
                spender: deployment.vault,
                value: U256::MAX,
            };
            who.send(deployment.token, call.abi_encode()).await?;
        }
        let call = StakeVault::registerCall {
            owner: provider.address(),
            payout: provider.address(),
            maxConcurrency: u16::MAX.into(),
            stakeAmount: STAKE,
        };
        provider.send(deployment.vault, call.abi_encode()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Options {
        Options {
            recent_blocks: 64,
            snapshot_records: 64,
            state_memory: 64 << 10,
            replay_all: false,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_life_that_began_ends_and_is_on_disk() {
        for submission in [Submission::Direct, Submission::Rpc] {
            let home = tempfile::tempdir().unwrap();
            let report = load(
                &LoadOptions {
                    folder: home.path().join("chain"),
                    duration: Duration::from_millis(200),
                    open: 5,
                    pairs: 2,
                    submission,
                    explorer_clients: 0,
                    chain: small(),
                },
                |_| {},
            )
            .await
            .unwrap();
            assert!(report.nothing_lost, "{report:?}");
            assert!(report.lives > 0, "{report:?}");
            // five for each life, and the tasks that stay open
            assert!(report.answered >= 5 * report.lives + 5, "{report:?}");
            let folder = home.path().join("chain");
            let again = SharedChain::open_with(&folder, Default::default(), small()).unwrap();
            let (newest, block) = {
                let chain = again.lock();
                let mut blocks = (0..=chain.head().number)
                    .rev()
                    .filter_map(|n| chain.block(n).unwrap());
                blocks.find_map(|b| Some((b.transaction?, b.hash))).unwrap()
            };
            assert!(holds(&again, &[(newest, block)]).unwrap());
            assert!(!holds(&again, &[(newest, block), (newest, B256::ZERO)]).unwrap());
            again.reorg(9).unwrap();
            assert!(!holds(&again, &[(newest, block)]).unwrap());
            // blocks leave memory as lives go by, and opening takes the snapshot and little more
            let kept = report.growth.after;
            assert!(kept.blocks <= 64 + 17 * 4 + 1, "{kept:?}");
            assert!(kept.archived > 0, "{kept:?}");
            assert!(report.snapshots.written > 0, "{report:?}");
            assert!(
                report.reopened_records < report.replayed_records,
                "{report:?}"
            );
            let actions: Vec<_> = report.latencies.iter().map(|l| l.action).collect();
            assert_eq!(actions, ["claim", "commit", "decide", "post", "settle"]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_looks_on_misses_nothing() {
        let home = tempfile::tempdir().unwrap();
        let options = LoadOptions {
            folder: home.path().join("chain"),
            duration: Duration::from_millis(1_000),
            open: 5,
            pairs: 4,
            submission: Submission::Direct,
            explorer_clients: 50,
            chain: Options::default(),
        };
        let report = load(&options, |_| {}).await.unwrap();
        assert!(report.nothing_lost, "{report:?}");
        let readers = report.readers.as_ref().unwrap();
        assert!(readers.is_whole(), "{readers:?}");
        assert_eq!((readers.clients, readers.resets), (50, 0), "{readers:?}");
        // at least the head of one look, to each
        let latency = readers.latency.as_ref().unwrap();
        assert!(latency.count >= 50 && latency.p50 > 0.0, "{readers:?}");
        assert!(readers.made > 0 && readers.events >= 50, "{readers:?}");
        let watched = report.watched.unwrap();
        assert!(report.alone.lives > 0 && watched.lives > 0, "{report:?}");
    }
}
