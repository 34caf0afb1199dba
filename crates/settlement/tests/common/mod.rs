//! One small market for the tests: a deployment, a requester, a provider, a model of one step.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod anvil;
pub(crate) mod flaky;
pub(crate) mod served;

use alloy::primitives::{Address, B256, U256, keccak256};
use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::{DevToken, Market, StakeVault};
use gavel_settlement::dev_params::UNIT;
use gavel_settlement::events::ProtocolEvent;
use gavel_settlement::{
    Account, DeployOptions, Deployment, DevParams, Endpoint, Network, Sender, artifacts, deploy,
    dev_params,
};

pub(crate) const SEED: &str = "settlement tests";

/// Deploys the whole system, or all but court and audits where this build has none.
pub(crate) async fn deployed(endpoint: &Endpoint) -> Deployment {
    let deployer = Sender::new(dev_key(SEED, 0), endpoint.clone());
    let whole = ["Court", "Audits"]
        .iter()
        .all(|name| artifacts::bytecode(name).is_ok());
    let options = DeployOptions {
        stand_ins: (!whole).then(|| (Address::repeat_byte(0xc0), Address::repeat_byte(0xa0))),
        ..DeployOptions::default()
    };
    deploy(&deployer, &dev_params(DevParams::default()), &options)
        .await
        .unwrap()
}

/// The account of development key `index`, with tokens from the deployer and the vault approved.
pub(crate) async fn funded(network: &Network, index: u32) -> Account {
    let account = Account::new(dev_key(SEED, index), network.clone());
    let deployer = Account::new(dev_key(SEED, 0), network.clone());
    let transfer = DevToken::transferCall {
        to: account.address(),
        value: U256::from(10_000 * UNIT),
    };
    deployer
        .send(network.deployment().token, transfer)
        .await
        .unwrap();
    account.approve_vault().await.unwrap();
    account
}

pub(crate) fn header() -> Market::ModelHeader {
    Market::ModelHeader {
        numericsVersion: 1,
        loweringVersion: 1,
        nodeCount: 1,
        maxSteps: 1,
        commitPoints: 1,
        traceHeight: 0,
        opsHeight: 0,
        liveHeight: 0,
        work: 1_000_000,
        nodesRoot: keccak256("nodes"),
        edgesRoot: keccak256("edges"),
        weightsRoot: keccak256("weights"),
        segmentsRoot: keccak256("segments"),
        assetsRoot: keccak256("assets"),
    }
}

pub(crate) fn spec(model: B256) -> Market::TaskSpec {
    Market::TaskSpec {
        modelId: model,
        familyId: B256::ZERO,
        inputDigest: keccak256("input"),
        seed: 7,
        minPrice: UNIT,
        maxPrice: 3 * UNIT,
        rampSeconds: 100,
        execSeconds: 600,
    }
}

pub(crate) async fn registered(requester: &Account) -> B256 {
    let market = requester.network().deployment().market;
    let call = Market::registerModelCall {
        header: header(),
        uri: "mem://model".into(),
    };
    let receipt = requester.send(market, call).await.unwrap();
    receipt
        .logs
        .iter()
        .find_map(|l| match &l.event {
            ProtocolEvent::Market(Market::MarketEvents::ModelRegistered(e)) => Some(e.modelId),
            _ => None,
        })
        .unwrap()
}

pub(crate) async fn staked(provider: &Account) {
    let call = StakeVault::registerCall {
        owner: provider.address(),
        payout: provider.address(),
        maxConcurrency: 4,
        stakeAmount: 1_000 * UNIT,
    };
    let vault = provider.network().deployment().vault;
    provider.send(vault, call).await.unwrap();
}

/// Posts, claims and commits one task; returns its id.
pub(crate) async fn committed(requester: &Account, provider: &Account, model: B256) -> U256 {
    let market = requester.network().deployment().market;
    let call = Market::postCall {
        spec: spec(model),
        inputUri: "mem://input".into(),
    };
    let receipt = requester.send(market, call).await.unwrap();
    let task = receipt
        .logs
        .iter()
        .find_map(|l| match &l.event {
            ProtocolEvent::Market(Market::MarketEvents::TaskPosted(e)) => Some(e.taskId),
            _ => None,
        })
        .unwrap();
    provider
        .send(market, Market::claimCall { taskId: task })
        .await
        .unwrap();
    // one step, one commit point: the trace is its only leaf
    let output = keccak256("output");
    let commit = Market::commitCall {
        taskId: task,
        steps: 1,
        outputDigest: output,
        level1Root: output,
        outputProof: Vec::new(),
        stopProof: Vec::new(),
    };
    provider.send(market, commit).await.unwrap();
    task
}
