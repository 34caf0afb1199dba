//! The client against a node behind a connection that fails in every way: what is sent takes effect once.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider as _;
use alloy::transports::http::Client;
use common::SEED;
use common::flaky::{self, Fate, often};
use common::served::Served;
use gavel_settlement::account::{MemoryLog, dev_key};
use gavel_settlement::bindings::{DevToken, Market};
use gavel_settlement::chain::Genesis;
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::{
    Account, Deployment, Endpoint, Network, NetworkError, SendError, SendPolicy, SharedChain,
    TxReceipt,
};
use tokio::sync::Notify;

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";

fn friend() -> Address {
    dev_key(SEED, 77).address()
}

fn pays(value: u64) -> DevToken::transferCall {
    DevToken::transferCall {
        to: friend(),
        value: U256::from(value),
    }
}

/// Two networks of one deployment on an embedded chain: one good, one whose requests fare as told.
async fn networks(tell: impl FnMut(&str) -> Fate + Send + 'static) -> (Network, Network) {
    let chain = SharedChain::in_memory(Genesis::default());
    let deployment = common::deployed(&Endpoint::in_process(chain.clone())).await;
    let good = Network::in_process(chain.clone(), deployment.clone());
    let bad = Network::new(flaky::in_process(chain, tell), deployment);
    (good, bad)
}

async fn served() -> (Arc<Served>, Network) {
    let served = Served::start();
    let endpoint = Endpoint::http(&served.url()).unwrap();
    let deployment = common::deployed(&endpoint).await;
    let network = Network::connect(&served.url(), deployment).await.unwrap();
    (served, network)
}

fn payer(network: &Network) -> Account {
    Account::new(dev_key(SEED, 0), network.clone())
}

async fn paid(network: &Network) -> u64 {
    network
        .token()
        .balanceOf(friend())
        .call()
        .await
        .unwrap()
        .to()
}

async fn nonce(network: &Network) -> u64 {
    let address = dev_key(SEED, 0).address();
    network
        .provider()
        .get_transaction_count(address)
        .await
        .unwrap()
}

/// Sends the same call until it is done, as is promised to be safe; counts the times that its fate was unknown.
async fn insist(account: &Account, value: u64, doubts: &AtomicUsize) -> TxReceipt {
    let token = account.network().deployment().token;
    for _ in 0..10_000 {
        match account.send(token, pays(value)).await {
            Ok(receipt) => return receipt,
            Err(error) if error.is_permanent() => panic!("{error}"),
            Err(SendError::Unresolved { .. }) => {
                doubts.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
    panic!("it is never done");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_hundred_transfers_takes_effect_once() {
    let (served, network) = served().await;
    let before = nonce(&network).await;
    let endpoint = flaky::over_http(&served, often(1));
    let account = payer(&Network::new(endpoint, network.deployment().clone()));
    let (doubts, mut hashes) = (AtomicUsize::new(0), HashSet::new());
    // all alike: what is taken for another is missing or there twice
    for _ in 0..100 {
        hashes.insert(insist(&account, 3, &doubts).await.hash);
    }
    assert_eq!(paid(&network).await, 300);
    assert_eq!(nonce(&network).await, before + 100);
    assert_eq!(hashes.len(), 100);
    assert!(doubts.into_inner() > 5);
}

#[tokio::test]
async fn whatever_goes_wrong_calls_in_turn_take_effect_once() {
    for seed in 2..12 {
        let (good, bad) = networks(often(seed)).await;
        let (account, doubts) = (payer(&bad), AtomicUsize::new(0));
        let before = nonce(&good).await;
        let mut due: Vec<u64> = (0..40).map(|i| 1 << (i % 8)).collect();
        let total: u64 = due.iter().sum();
        // nobody insists: who fails queues again behind the others
        while !due.is_empty() {
            let value = due.remove(0);
            match account.send(bad.deployment().token, pays(value)).await {
                Ok(_) => {}
                Err(error) if error.is_permanent() => panic!("{error}"),
                Err(_) => {
                    doubts.fetch_add(1, Ordering::Relaxed);
                    due.push(value);
                }
            }
        }
        assert_eq!(paid(&good).await, total, "seed {seed}");
        assert_eq!(nonce(&good).await, before + 40, "seed {seed}");
        assert!(doubts.into_inner() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_at_once_take_effect_once_each() {
    let (good, bad) = networks(often(20)).await;
    let account = payer(&bad);
    let doubts = AtomicUsize::new(0);
    let before = nonce(&good).await;
    let calls = (0..8).map(|i| {
        let (account, doubts) = (account.clone(), &doubts);
        async move {
            for _ in 0..5 {
                insist(&account, 1 + i, doubts).await;
            }
        }
    });
    join(calls).await;
    assert_eq!(paid(&good).await, 5 * 36);
    assert_eq!(nonce(&good).await, before + 40);
}

async fn join(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|f| f.as_mut().poll(context).is_pending());
        match all.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_of_one_key_get_along() {
    let (served, network) = served().await;
    let before = nonce(&network).await;
    let doubts = AtomicUsize::new(0);
    let sends = (0..2).map(|i| {
        let endpoint = flaky::over_http(&served, often(30 + i));
        let account = payer(&Network::new(endpoint, network.deployment().clone()));
        let doubts = &doubts;
        async move {
            for _ in 0..25 {
                insist(&account, 1 + 100 * i, doubts).await;
            }
        }
    });
    join(sends).await;
    assert_eq!(paid(&network).await, 25 * 102);
    assert_eq!(nonce(&network).await, before + 50);
}

/// A fate for one method that the test sets; the others are good.
#[derive(Clone)]
struct Switch(Arc<Mutex<(&'static str, Fate)>>);

impl Switch {
    fn new() -> Switch {
        Switch(Arc::new(Mutex::new(("", Fate::Good))))
    }

    fn set(&self, method: &'static str, fate: Fate) {
        *self.0.lock().unwrap() = (method, fate);
    }

    fn tell(&self) -> impl FnMut(&str) -> Fate + Send + 'static {
        let this = self.clone();
        move |method| match &*this.0.lock().unwrap() {
            (of, fate) if *of == method => fate.clone(),
            _ => Fate::Good,
        }
    }
}

fn in_doubt(sent: Result<TxReceipt, SendError>) -> B256 {
    match sent {
        Err(SendError::Unresolved { hash, .. }) => hash,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_call_resumes_what_is_in_doubt_and_does_not_repeat_it() {
    for (method, fate, arrived) in [
        (SEND, Fate::AnswerLost, 5),
        (SEND, Fate::Lost, 0),
        (SEND, Fate::Says(-32603, "out of order"), 0),
        (SEND, Fate::Says(429, "too many requests"), 0),
        (RECEIPT, Fate::AnswerLost, 5),
        (RECEIPT, Fate::Says(-32005, "limit exceeded"), 5),
    ] {
        let switch = Switch::new();
        let (good, bad) = networks(switch.tell()).await;
        let (account, token) = (payer(&bad), bad.deployment().token);
        switch.set(method, fate.clone());
        let doubt = in_doubt(account.send(token, pays(5)).await);
        assert_eq!(paid(&good).await, arrived, "{fate:?}");
        // as often as one likes; where it can be seen in a block, looking is enough
        match account.send(token, pays(5)).await {
            Ok(receipt) if method == SEND && arrived > 0 => assert_eq!(receipt.hash, doubt),
            still => {
                assert_eq!(in_doubt(still), doubt);
                switch.set("", Fate::Good);
                assert_eq!(account.send(token, pays(5)).await.unwrap().hash, doubt);
            }
        }
        switch.set("", Fate::Good);
        assert_eq!(paid(&good).await, 5, "{fate:?}");
        // and what was resumed is done: the next is another
        assert_ne!(account.send(token, pays(5)).await.unwrap().hash, doubt);
        assert_eq!(paid(&good).await, 10, "{fate:?}");
    }
}

#[tokio::test]
async fn a_call_in_between_does_not_make_the_one_in_doubt_be_forgotten() {
    for fate in [Fate::AnswerLost, Fate::Lost] {
        let switch = Switch::new();
        let (good, bad) = networks(switch.tell()).await;
        let (account, token) = (payer(&bad), bad.deployment().token);
        switch.set(SEND, fate.clone());
        let doubt = in_doubt(account.send(token, pays(5)).await);
        // another is not sent while the fate of the first is unknown, and is told so; if the chain shows it, it is known
        let other = account.send(token, pays(70)).await;
        match &fate {
            Fate::Lost => assert!(matches!(other, Err(SendError::Unsent(_))), "{other:?}"),
            _ => assert_ne!(in_doubt(other), doubt),
        }
        switch.set("", Fate::Good);
        account.send(token, pays(70)).await.unwrap();
        assert_eq!(account.send(token, pays(5)).await.unwrap().hash, doubt);
        assert_eq!(paid(&good).await, 75, "{fate:?}");
    }
}

#[tokio::test]
async fn an_error_of_an_overloaded_node_after_the_effect_is_a_doubt_not_a_refusal() {
    let mut sent = 0;
    let (good, bad) = networks(move |method| match method {
        SEND => {
            sent += 1;
            match sent {
                1 => Fate::AnswerLost,
                2..=3 => Fate::Says(-32005, "limit exceeded"),
                _ => Fate::Good,
            }
        }
        _ => Fate::Good,
    })
    .await;
    let (account, token) = (payer(&bad), bad.deployment().token);
    let doubt = in_doubt(account.send(token, pays(5)).await);
    assert_eq!(account.send(token, pays(5)).await.unwrap().hash, doubt);
    assert_eq!(paid(&good).await, 5);
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_no_refusal_of_what_arrived() {
    for refusal in [
        "insufficient funds for gas * price + value",
        "replacement transaction underpriced",
    ] {
        let mut sent = 0;
        let (good, bad) = networks(move |method| match method {
            SEND => {
                sent += 1;
                match sent {
                    1 => Fate::AnswerLost,
                    2 => Fate::Says(-32000, refusal),
                    _ => Fate::Good,
                }
            }
            _ => Fate::Good,
        })
        .await;
        let before = nonce(&good).await;
        let (account, token) = (payer(&bad), bad.deployment().token);
        account.send(token, pays(5)).await.unwrap();
        assert_eq!(paid(&good).await, 5, "{refusal}");
        assert_eq!(nonce(&good).await, before + 1, "{refusal}");
    }
    // what did not arrive is refused
    let mut sent = 0;
    let (good, bad) = networks(move |method| match method {
        SEND => {
            sent += 1;
            match sent {
                1 => Fate::Lost,
                _ => Fate::Says(-32000, "insufficient funds for gas * price + value"),
            }
        }
        _ => Fate::Good,
    })
    .await;
    let refused = payer(&bad).send(bad.deployment().token, pays(5)).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    assert_eq!(paid(&good).await, 0);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_can_resume() {
    for method in [SEND, RECEIPT] {
        let (hangs, hung) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        let (on, noted) = (Arc::clone(&hangs), Arc::clone(&hung));
        let (good, bad) = networks(move |asked| {
            if asked == method && on.load(Ordering::Relaxed) {
                noted.notify_one();
                return Fate::Hangs;
            }
            Fate::Good
        })
        .await;
        let (account, token) = (payer(&bad), bad.deployment().token);
        tokio::select! {
            biased;
            sent = account.send(token, pays(5)) => panic!("{sent:?}"),
            () = hung.notified() => {}
        }
        hangs.store(false, Ordering::Relaxed);
        assert_eq!(paid(&good).await, 5, "{method}");
        let block = good.head().await.unwrap().number;
        let resumed = account.send(token, pays(5)).await.unwrap();
        assert_eq!(resumed.block_number, block, "{method}");
        assert_eq!(paid(&good).await, 5, "{method}");
        // nothing is left over that would choose a wrong nonce
        good.embedded().unwrap().reorg(1).unwrap();
        account.send(token, pays(6)).await.unwrap();
        assert_eq!(paid(&good).await, 6, "{method}");
    }
}

#[tokio::test]
async fn a_transaction_that_a_reorg_drops_is_sent_again_while_it_is_waited_for() {
    let chain = SharedChain::in_memory(Genesis::default());
    let deployment = common::deployed(&Endpoint::in_process(chain.clone())).await;
    let good = Network::in_process(chain.clone(), deployment.clone());
    let (told, mut receipts) = (chain.clone(), 0);
    let endpoint = flaky::in_process(chain, move |method| {
        if method == RECEIPT {
            receipts += 1;
            if receipts == 1 {
                told.reorg(1).unwrap();
            }
        }
        Fate::Good
    });
    let endpoint = endpoint.with_patience(gavel_settlement::Patience {
        receipt_tries: 40,
        ..flaky::HASTY
    });
    let account = payer(&Network::new(endpoint, deployment.clone()));
    account.send(deployment.token, pays(5)).await.unwrap();
    assert_eq!(paid(&good).await, 5);
}

#[tokio::test]
async fn a_revert_is_named_over_http_as_in_process_and_uses_no_nonce() {
    let (served, network) = served().await;
    let endpoint = flaky::over_http(&served, often(40));
    let account = payer(&Network::new(endpoint, network.deployment().clone()));
    let settle = || Market::settleCall {
        taskId: U256::from(9),
    };
    let before = nonce(&network).await;
    let error = loop {
        match account.send(network.deployment().market, settle()).await {
            Err(SendError::Unsent(_)) => {}
            other => break other.unwrap_err(),
        }
    };
    let SendError::Reverted {
        error, transaction, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(error == "UnknownTask(taskId=9, taskCount=0)", "{error}");
    assert_eq!(*transaction, None);
    assert_eq!(nonce(&network).await, before);
}

#[tokio::test]
async fn connecting_names_what_is_wrong() {
    let (served, network) = served().await;
    let deployment = network.deployment().clone();
    let connect = |deployment: Deployment| {
        let url = served.url();
        async move { Network::connect(&url, deployment).await.unwrap_err() }
    };
    let other = connect(Deployment {
        chain_id: 1,
        ..deployment.clone()
    })
    .await;
    assert!(matches!(
        other,
        NetworkError::OtherChain {
            expected: 1,
            found: 31337
        }
    ));
    let nobody = dev_key(SEED, 99).address();
    type Place = fn(&mut Deployment) -> &mut Address;
    let places: [(&str, Place); 8] = [
        ("parameters", |d| &mut d.parameters),
        ("beacon", |d| &mut d.beacon),
        ("vault", |d| &mut d.vault),
        ("pool", |d| &mut d.pool),
        ("market", |d| &mut d.market),
        ("court", |d| &mut d.court),
        ("audits", |d| &mut d.audits),
        ("token", |d| &mut d.token),
    ];
    for (name, place) in places {
        let mut wrong = deployment.clone();
        *place(&mut wrong) = nobody;
        let error = connect(wrong).await;
        let NetworkError::NoCode {
            what,
            address,
            chain_id: 31337,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((what, address), (name, nobody));
    }
    let nowhere = Network::connect("no url", deployment.clone()).await;
    assert!(matches!(nowhere, Err(NetworkError::Url(_))));
    let url = served.url();
    tokio::task::spawn_blocking(move || served.kill())
        .await
        .unwrap();
    let gone = Network::connect(&url, deployment).await;
    assert!(matches!(gone, Err(NetworkError::Rpc(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_started_again_loses_nothing() {
    let (served, network) = served().await;
    let before = nonce(&network).await;
    let mut asked = 0;
    // at every place in the course of a send, before and after the request arrives
    let endpoint = flaky::over_http(&served, move |_| {
        asked += 1;
        match asked % 11 {
            0 => Fate::Restart {
                arrives: asked % 2 == 0,
            },
            _ => Fate::Good,
        }
    });
    let account = payer(&Network::new(endpoint, network.deployment().clone()));
    let doubts = AtomicUsize::new(0);
    let mut receipts = Vec::new();
    for value in 1..=30 {
        receipts.push(insist(&account, value, &doubts).await);
    }
    let url = served.url();
    let again = Network::connect(&url, network.deployment().clone())
        .await
        .unwrap();
    assert_eq!(paid(&again).await, 465);
    assert_eq!(nonce(&again).await, before + 30);
    for receipt in receipts {
        let there = again
            .provider()
            .get_transaction_receipt(receipt.hash)
            .await
            .unwrap();
        assert_eq!(there.unwrap().block_hash, Some(receipt.block_hash));
    }
}

#[tokio::test]
async fn the_whole_market_works_over_http() {
    let (_served, network) = served().await;
    let requester = common::funded(&network, 1).await;
    let provider = common::funded(&network, 2).await;
    let model = common::registered(&requester).await;
    common::staked(&provider).await;
    let id = common::committed(&requester, &provider, model).await;
    let task = network.market().task(id).call().await.unwrap();
    assert_eq!(task.provider, provider.address());
    // the same events by HTTP as in the receipts, in order
    let head = network.head().await.unwrap();
    let events = network.logs(0, head.number).await.unwrap();
    assert_eq!(events.last().unwrap().block_hash, head.hash);
    assert!(events.is_sorted_by_key(|e| (e.block_number, e.index)));
    let balance = network
        .token()
        .balanceOf(requester.address())
        .call()
        .await
        .unwrap();
    assert!(balance < U256::from(10_000 * UNIT));
}

#[tokio::test]
async fn http_has_a_health_page_a_limit_and_no_other_pages() {
    let served = Served::start();
    let (client, url) = (Client::new(), served.url());
    let health = client.get(format!("{url}/health")).send().await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
    assert_eq!(health.text().await.unwrap(), "block 0\n");
    let posted = |body: Vec<u8>| {
        let request = client.post(&url).body(body);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        }
    };
    let (status, text) = posted(b"nonsense".to_vec()).await;
    assert_eq!(status, 200);
    assert!(text.contains("-32700"), "{text}");
    let note = b"{\"method\":\"evm_mine\"}".to_vec();
    assert_eq!(posted(note).await, (204, String::new()));
    assert_eq!(posted(vec![b' '; (4 << 20) + 1]).await.0, 413);
    let elsewhere = client.get(format!("{url}/metrics")).send().await.unwrap();
    assert_eq!(elsewhere.status().as_u16(), 404);
    let got = client.get(&url).send().await.unwrap();
    assert_eq!(got.status().as_u16(), 405);
}

#[tokio::test]
async fn the_same_call_of_the_next_process_is_another_one_once_the_last_was_heard_of() {
    for confirmations in [0, 2] {
        let chain = SharedChain::in_memory(Genesis::default());
        let deployment = common::deployed(&Endpoint::in_process(chain.clone())).await;
        let policy = SendPolicy {
            confirmations,
            ..SendPolicy::default()
        };
        let endpoint = flaky::in_process(chain, |_| Fate::Good).with_policy(policy);
        let network = Network::new(endpoint, deployment);
        let log = Arc::new(MemoryLog::default());
        let process = || payer(&network).with_log(Arc::clone(&log) as _);
        let first = process().send(network.deployment().token, pays(5)).await;
        // it died before it said so
        let again = process();
        let resumed = again.send(network.deployment().token, pays(5)).await;
        assert_eq!(resumed.unwrap().hash, first.unwrap().hash);
        again.heard().await.unwrap();
        process()
            .send(network.deployment().token, pays(5))
            .await
            .unwrap();
        assert_eq!(paid(&network).await, 10, "{confirmations}");
    }
}
