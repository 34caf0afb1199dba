//! The client on the embedded chain, in process.
#![allow(clippy::unwrap_used)]

mod common;

use alloy::primitives::U256;
use gavel_settlement::bindings::{Market, TaskState};
use gavel_settlement::chain::Genesis;
use gavel_settlement::{Endpoint, Network, NetworkError, ProtocolEvent, SendError, SharedChain};

async fn network() -> Network {
    let chain = SharedChain::in_memory(Genesis::default());
    let deployment = common::deployed(&Endpoint::in_process(chain.clone())).await;
    Network::in_process(chain, deployment)
}

#[tokio::test]
async fn a_task_is_posted_claimed_and_committed() {
    let network = network().await;
    match network.check().await {
        Ok(()) => {}
        // a build without court and audits puts plain accounts in their places
        Err(NetworkError::NoCode { what, .. }) => assert_eq!(what, "court"),
        Err(error) => panic!("{error}"),
    }
    let before = network.head().await.unwrap().number;
    let requester = common::funded(&network, 1).await;
    let provider = common::funded(&network, 2).await;
    let model = common::registered(&requester).await;
    common::staked(&provider).await;
    let id = common::committed(&requester, &provider, model).await;

    let task = network.market().task(id).call().await.unwrap();
    assert_eq!(TaskState::try_from(task.state), Ok(TaskState::Committed));
    assert_eq!(task.provider, provider.address());
    let head = network.head().await.unwrap().number;
    let events = network.logs(before, head).await.unwrap();
    assert!(
        events
            .iter()
            .all(|e| !matches!(e.event, ProtocolEvent::Unknown(_)))
    );
    assert!(matches!(
        &events.last().unwrap().event,
        ProtocolEvent::Market(Market::MarketEvents::ResultCommitted(e)) if e.taskId == id
    ));
}

#[tokio::test]
async fn a_revert_is_named_with_its_values_and_uses_no_nonce() {
    let network = network().await;
    let requester = common::funded(&network, 1).await;
    let market = network.deployment().market;
    let count = || async {
        let provider = network.provider();
        let address = requester.address();
        alloy::providers::Provider::get_transaction_count(&provider, address)
            .await
            .unwrap()
    };
    let before = count().await;
    let settle = Market::settleCall {
        taskId: U256::from(9),
    };
    let error = requester.send(market, settle).await.unwrap_err();
    let SendError::Reverted {
        error: text,
        selector,
        transaction,
    } = &error
    else {
        panic!("{error}");
    };
    assert!(text.contains('(') && text.contains('9'), "{text}");
    assert!(selector.is_some() && transaction.is_none());
    assert!(error.is_permanent());
    assert_eq!(count().await, before);
}

#[tokio::test]
async fn a_fork_starts_from_the_deployed_state_and_goes_its_own_way() {
    let network = network().await;
    let fork = network.embedded().unwrap().fork();
    let other = Network::in_process(fork, network.deployment().clone());
    let model = common::registered(&common::funded(&other, 1).await).await;
    assert!(other.market().model(model).call().await.is_ok());
    assert!(network.market().model(model).call().await.is_err());
    assert_ne!(
        other.head().await.unwrap().hash,
        network.head().await.unwrap().hash
    );
}
