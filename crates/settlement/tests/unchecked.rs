//! Parameters that the constructor refuses can be deployed for simulations, and are what was asked for.
#![allow(clippy::unwrap_used)]

use gavel_settlement::account::dev_key;
use gavel_settlement::bindings::Parameters;
use gavel_settlement::chain::Genesis;
use gavel_settlement::{
    DeployOptions, DevParams, Endpoint, Network, Sender, SharedChain, deploy, dev_params,
};

#[tokio::test]
async fn what_the_constructor_refuses_stands_on_the_chain_word_for_word() {
    let mut params = dev_params(DevParams::default());
    params.court.challengerBps += params.court.burnBps;
    params.court.burnBps = 0;
    params.stake.minStake = 7;
    let chain = SharedChain::in_memory(Genesis::default());
    let key = dev_key("unchecked deployment", 0);
    let sender = Sender::new(key, Endpoint::in_process(chain.clone()));
    let refused = deploy(&sender, &params, &DeployOptions::default()).await;
    assert!(refused.unwrap_err().to_string().contains("BurnFloor"));

    let options = DeployOptions {
        unchecked: true,
        ..DeployOptions::default()
    };
    let deployment = deploy(&sender, &params, &options).await.unwrap();
    params.court.appealLevels = deployment.appeal_levels;
    let network = Network::in_process(chain, deployment.clone());
    let contract = Parameters::new(deployment.parameters, network.provider());
    assert_eq!(contract.paramsAt(1).call().await.unwrap(), params);
    assert_eq!(contract.version().call().await.unwrap(), 1);
    assert_eq!(contract.guardian().call().await.unwrap(), sender.address());
    assert_eq!(contract.owner().call().await.unwrap(), deployment.timelock);
}
