//! A sender that dies at any of its operations, before or after it took effect: another one over the same log ends in the
//! same state, and every call took effect once.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::U256;
use alloy::providers::Provider as _;
use async_trait::async_trait;
use common::SEED;
use common::flaky::{self, Fate};
use gavel_settlement::account::{IntentLog, IntentRecord, LogError, MemoryLog, dev_key};
use gavel_settlement::bindings::DevToken;
use gavel_settlement::chain::Genesis;
use gavel_settlement::{
    Account, Deployment, Endpoint, Network, SendError, SendPolicy, SharedChain,
};
use tokio::sync::Notify;

/// What a process does until it dies: so many operations, and whether the last one still takes effect.
#[derive(Debug)]
struct Life {
    left: AtomicUsize,
    last_takes_effect: bool,
    died: Notify,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    DoneAndDead,
    Dead,
}

impl Life {
    fn of(operations: usize, last_takes_effect: bool) -> Arc<Life> {
        Arc::new(Life {
            left: AtomicUsize::new(operations),
            last_takes_effect,
            died: Notify::new(),
        })
    }

    fn step(&self) -> Step {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left > 1 {
            return Step::Done;
        }
        self.died.notify_one();
        match left == 1 && self.last_takes_effect {
            true => Step::DoneAndDead,
            false => Step::Dead,
        }
    }

    fn tell(self: &Arc<Self>) -> impl FnMut(&str) -> Fate + Send + use<> {
        let this = Arc::clone(self);
        move |_| match this.step() {
            Step::Done => Fate::Good,
            Step::DoneAndDead => Fate::Hangs,
            Step::Dead => Fate::HangsBefore,
        }
    }
}

/// A log on a disk that outlives the process that writes it.
#[derive(Debug)]
struct Written {
    disk: Arc<MemoryLog>,
    life: Arc<Life>,
}

impl Written {
    async fn step<T>(&self, act: impl Future<Output = T>) -> T {
        match self.life.step() {
            Step::Done => act.await,
            Step::DoneAndDead => {
                act.await;
                std::future::pending().await
            }
            Step::Dead => std::future::pending().await,
        }
    }
}

#[async_trait]
impl IntentLog for Written {
    async fn open(&self) -> Result<Vec<IntentRecord>, LogError> {
        self.step(self.disk.open()).await
    }

    async fn put(&self, record: &IntentRecord) -> Result<(), LogError> {
        self.step(self.disk.put(record)).await
    }

    async fn finish(&self, nonce: u64) -> Result<(), LogError> {
        self.step(self.disk.finish(nonce)).await
    }
}

struct Scene {
    chain: SharedChain,
    deployment: Deployment,
    disk: Arc<MemoryLog>,
    policy: SendPolicy,
    done: AtomicUsize,
}

const CALLS: [u64; 3] = [1, 2, 4];

impl Scene {
    fn account(&self, life: &Arc<Life>) -> Account {
        let endpoint = flaky::in_process(self.chain.clone(), life.tell());
        let network = Network::new(endpoint.with_policy(self.policy), self.deployment.clone());
        Account::new(dev_key(SEED, 0), network).with_log(Arc::new(Written {
            disk: Arc::clone(&self.disk),
            life: Arc::clone(life),
        }))
    }

    fn network(&self) -> Network {
        Network::in_process(self.chain.clone(), self.deployment.clone())
    }

    async fn paid(&self) -> u64 {
        let token = self.network().token();
        let friend = dev_key(SEED, 77).address();
        token.balanceOf(friend).call().await.unwrap().to()
    }

    async fn nonce(&self) -> u64 {
        let me = dev_key(SEED, 0).address();
        let count = self.network().provider().get_transaction_count(me).await;
        count.unwrap()
    }

    /// Does what is left to do; whether it lived to the end.
    async fn live(&self, life: Arc<Life>) -> bool {
        let account = self.account(&life);
        let work = async {
            while let Some(value) = CALLS.get(self.done.load(Ordering::Relaxed)) {
                let call = DevToken::transferCall {
                    to: dev_key(SEED, 77).address(),
                    value: U256::from(*value),
                };
                match account.send(self.deployment.token, call).await {
                    Ok(_) => self.done.fetch_add(1, Ordering::Relaxed),
                    Err(error @ SendError::Reverted { .. }) => panic!("{error}"),
                    Err(error) => panic!("nothing fails here: {error}"),
                };
            }
            account.sender().tend().await.unwrap();
        };
        tokio::select! {
            biased;
            () = work => true,
            () = life.died.notified() => false,
        }
    }
}

/// Lives until every operation has been the last once; how many there were.
async fn every_death(confirmations: u64, reorg: usize) -> usize {
    let base = SharedChain::in_memory(Genesis::default());
    let deployment = common::deployed(&Endpoint::in_process(base.clone())).await;
    for operations in 0.. {
        let mut lived = true;
        for last_takes_effect in [false, true] {
            let scene = Scene {
                chain: base.fork(),
                deployment: deployment.clone(),
                disk: Arc::default(),
                policy: SendPolicy {
                    confirmations,
                    ..SendPolicy::default()
                },
                done: AtomicUsize::new(0),
            };
            let nonce = scene.nonce().await;
            lived &= scene.live(Life::of(operations, last_takes_effect)).await;
            let here = format!("{operations} operations, the last {last_takes_effect}");
            if reorg > 0 && scene.nonce().await > nonce {
                let depth = reorg.min((scene.nonce().await - nonce) as usize);
                scene.chain.reorg(depth).unwrap();
            }
            // the second life may be cut short as well
            scene.live(Life::of(operations / 2 + 1, true)).await;
            assert!(scene.live(Life::of(usize::MAX, true)).await, "{here}");
            assert_eq!(scene.paid().await, 7, "{here}");
            assert_eq!(scene.nonce().await, nonce + 3, "{here}");
            // in the end nothing is under way
            for _ in 0..confirmations {
                scene.chain.mine().unwrap();
            }
            let scene = Scene {
                policy: SendPolicy {
                    resumable_seconds: 0,
                    ..scene.policy
                },
                ..scene
            };
            for _ in 0..2 {
                assert!(scene.live(Life::of(usize::MAX, true)).await, "{here}");
            }
            assert_eq!(scene.disk.open().await.unwrap(), [], "{here}");
            assert_eq!(scene.paid().await, 7, "{here}");
        }
        if lived {
            return operations;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_process_that_dies_at_any_operation_leaves_nothing_undone_and_does_nothing_twice() {
    let operations = every_death(0, 0).await;
    assert!(operations > 20, "{operations}");
}

#[tokio::test]
async fn nor_where_transactions_are_done_only_when_they_are_buried() {
    let operations = every_death(3, 0).await;
    assert!(operations > 20, "{operations}");
}

#[tokio::test]
async fn nor_where_the_chain_is_reorganised_while_nobody_lives() {
    let operations = every_death(3, 2).await;
    assert!(operations > 20, "{operations}");
}
