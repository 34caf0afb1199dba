//! The sender on anvil: a node with a pool, fees that rise, and reorgs. Runs where `GAVEL_ANVIL` names the binary.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use alloy::providers::Provider as _;
use common::SEED;
use common::anvil::Anvil;
use gavel_settlement::account::{IntentLog, MemoryLog, dev_key};
use gavel_settlement::bindings::DevToken;
use gavel_settlement::{Account, Deployment, Network, Patience, SendError, SendPolicy};
use serde_json::json;

const GWEI: u128 = 1_000_000_000;

fn friend() -> Address {
    dev_key(SEED, 77).address()
}

fn pays(value: u64) -> DevToken::transferCall {
    DevToken::transferCall {
        to: friend(),
        value: U256::from(value),
    }
}

struct Scene {
    anvil: Anvil,
    deployment: Deployment,
    log: Arc<MemoryLog>,
}

impl Scene {
    async fn start() -> Option<Scene> {
        let anvil = Anvil::start()?;
        anvil.give_coin(dev_key(SEED, 0).address()).await;
        let deployment = common::deployed(&anvil.endpoint()).await;
        anvil.mine(20).await;
        Some(Scene {
            anvil,
            deployment,
            log: Arc::default(),
        })
    }

    /// A process with the key: what it remembers is in the log.
    fn account(&self, policy: SendPolicy, receipt_tries: u32) -> Account {
        let patience = Patience {
            pause: Duration::from_millis(5),
            pause_max: Duration::from_millis(20),
            tries: 3,
            receipt_tries,
        };
        let endpoint = self.anvil.endpoint();
        let endpoint = endpoint.with_policy(policy).with_patience(patience);
        let network = Network::new(endpoint, self.deployment.clone());
        Account::new(dev_key(SEED, 0), network)
            .with_log(Arc::clone(&self.log) as Arc<dyn IntentLog>)
    }

    async fn send(&self, account: &Account, value: u64) -> Result<(), SendError> {
        let sent = account.send(self.deployment.token, pays(value)).await;
        sent.map(|_| ())
    }

    async fn paid(&self) -> u64 {
        let network = Network::new(self.anvil.endpoint(), self.deployment.clone());
        let paid = network.token().balanceOf(friend()).call().await;
        paid.unwrap().to()
    }

    async fn nonce(&self) -> u64 {
        let endpoint = self.anvil.endpoint();
        let me = dev_key(SEED, 0).address();
        endpoint.provider().get_transaction_count(me).await.unwrap()
    }
}

fn in_doubt(sent: Result<(), SendError>) {
    assert!(
        matches!(sent, Err(SendError::Unresolved { .. })),
        "{sent:?}"
    );
}

const PATIENT: u32 = 2_000;

fn policy() -> SendPolicy {
    SendPolicy {
        confirmations: 8,
        raise_after: Duration::from_millis(200),
        ..SendPolicy::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reorgs_of_one_to_eight_blocks_undo_nothing_for_long() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let account = scene.account(policy(), PATIENT);
    let (before, mut due) = (scene.nonce().await, 0);
    for (i, depth) in [1, 2, 3, 4, 5, 6, 7, 8, 1, 8].into_iter().enumerate() {
        // some are deep in the reorg, some at its edge, and after some nobody sends again
        for value in 1..=(i as u64 % 3 + 1) {
            scene.send(&account, value).await.unwrap();
            due += value;
        }
        scene.anvil.mine(i as u64 % 4).await;
        scene.anvil.reorg(depth).await;
        account.sender().tend().await.unwrap();
        // the pool is given to a block
        scene.anvil.mine(1).await;
        assert_eq!(scene.paid().await, due, "{depth} blocks");
    }
    assert_eq!(scene.nonce().await, before + 19);
    scene.anvil.mine(9).await;
    account.sender().tend().await.unwrap();
    assert_eq!(scene.log.open().await.unwrap(), []);
    assert_eq!(scene.paid().await, due);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_after_a_reorg_is_not_a_second_one() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let account = scene.account(policy(), PATIENT);
    let before = scene.nonce().await;
    scene.send(&account, 5).await.unwrap();
    scene.anvil.reorg(2).await;
    assert_eq!(scene.paid().await, 0);
    scene.send(&account, 5).await.unwrap();
    assert_eq!(scene.paid().await, 5);
    // while nothing happened to the first, it is one more
    scene.send(&account, 5).await.unwrap();
    assert_eq!((scene.paid().await, scene.nonce().await), (10, before + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_spike_is_followed_by_replacements_up_to_the_cap_and_further_near_a_deadline() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let before = scene.nonce().await;
    scene.anvil.stop_mining().await;
    let capped = SendPolicy {
        max_fee: 20 * GWEI,
        hard_max_fee: 400 * GWEI,
        urgent_seconds: 100,
        ..policy()
    };
    let account = scene.account(capped, 60);
    // not enough blocks: in doubt, and dearer each time
    in_doubt(scene.send(&account, 5).await);
    in_doubt(scene.send(&account, 5).await);
    // what a block costs now is above the cap
    let spike = json!([format!("{:#x}", 100 * GWEI)]);
    scene
        .anvil
        .tell("anvil_setNextBlockBaseFeePerGas", spike.clone())
        .await;
    scene.anvil.mine(1).await;
    in_doubt(scene.send(&account, 5).await);
    let open = scene.log.open().await.unwrap();
    let signed = &open[0].signed;
    assert_eq!(open.len(), 1);
    assert!(signed.len() > 1, "{signed:?}");
    for pair in signed.windows(2) {
        assert!(pair[1].max_fee * 8 >= pair[0].max_fee * 9, "{signed:?}");
        assert!(pair[1].tip * 8 >= pair[0].tip * 9 || pair[1].tip == pair[1].max_fee);
    }
    assert!(signed.iter().all(|s| s.max_fee <= 20 * GWEI), "{signed:?}");
    // a deadline far away changes nothing, a near one everything
    let now = account.network().head().await.unwrap().time;
    in_doubt(scene.send(&account.until(Some(now + 10_000)), 5).await);
    let open = scene.log.open().await.unwrap();
    assert!(open[0].signed.iter().all(|s| s.max_fee <= 20 * GWEI));
    assert_eq!(open[0].signed.len(), signed.len());
    let urgent = account.until(Some(now + 60));
    in_doubt(scene.send(&urgent, 5).await);
    let open = scene.log.open().await.unwrap();
    let dearest = open[0].signed.last().unwrap().max_fee;
    assert!(dearest > 100 * GWEI && dearest <= 400 * GWEI, "{dearest}");
    scene
        .anvil
        .tell("anvil_setNextBlockBaseFeePerGas", spike)
        .await;
    scene.anvil.mine(1).await;
    scene.send(&urgent, 5).await.unwrap();
    assert_eq!((scene.paid().await, scene.nonce().await), (5, before + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_lost_is_sent_again_and_a_gap_is_filled() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let before = scene.nonce().await;
    scene.anvil.stop_mining().await;
    let account = scene.account(policy(), 3);
    for value in [1, 2, 4] {
        in_doubt(scene.send(&account, value).await);
    }
    let open = scene.log.open().await.unwrap();
    assert_eq!(open.len(), 3);
    // the first is forgotten by the node
    let lost = open[0].signed.last().unwrap().hash;
    scene
        .anvil
        .tell("anvil_dropTransaction", json!([lost]))
        .await;
    scene.anvil.mine(1).await;
    assert_eq!(scene.nonce().await, before);
    // another process over the same log sends the lost one before anything else
    let restarted = scene.account(policy(), PATIENT);
    restarted.sender().tend().await.unwrap();
    scene.anvil.mine(1).await;
    assert_eq!((scene.paid().await, scene.nonce().await), (7, before + 3));
    for value in [1, 2, 4] {
        scene.send(&restarted, value).await.unwrap();
    }
    assert_eq!((scene.paid().await, scene.nonce().await), (7, before + 3));

    // now the log has lost it as well: a transfer of nothing takes its place
    let forgetful = scene.account(policy(), 3);
    for value in [8, 16] {
        in_doubt(scene.send(&forgetful, value).await);
    }
    let open = scene.log.open().await.unwrap();
    let first = &open[open.len() - 2];
    let lost = first.signed.last().unwrap().hash;
    scene
        .anvil
        .tell("anvil_dropTransaction", json!([lost]))
        .await;
    scene.log.finish(first.nonce).await.unwrap();
    let restarted = scene.account(policy(), PATIENT);
    restarted.sender().tend().await.unwrap();
    scene.anvil.mine(1).await;
    assert_eq!((scene.paid().await, scene.nonce().await), (23, before + 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_somebody_else_used_costs_another_signature_and_no_second_effect() {
    let Some(scene) = Scene::start().await else {
        return;
    };
    let before = scene.nonce().await;
    scene.anvil.stop_mining().await;
    let account = scene.account(policy(), 3);
    in_doubt(scene.send(&account, 5).await);
    let mine = scene.log.open().await.unwrap();
    // a wallet with the same key takes the nonce
    let lost = mine[0].signed.last().unwrap().hash;
    scene
        .anvil
        .tell("anvil_dropTransaction", json!([lost]))
        .await;
    scene.anvil.tell("evm_setAutomine", json!([true])).await;
    let endpoint = scene.anvil.endpoint();
    let stranger = Account::new(
        dev_key(SEED, 0),
        Network::new(endpoint, scene.deployment.clone()),
    );
    stranger
        .send(scene.deployment.token, pays(100))
        .await
        .unwrap();
    // as long as a reorg may give the nonce back, nothing else is signed
    let account = scene.account(policy(), 40);
    in_doubt(scene.send(&account, 5).await);
    assert_eq!((scene.paid().await, scene.nonce().await), (100, before + 1));
    scene.anvil.mine(9).await;
    let account = scene.account(policy(), PATIENT);
    scene.send(&account, 5).await.unwrap();
    assert_eq!((scene.paid().await, scene.nonce().await), (105, before + 2));
}
