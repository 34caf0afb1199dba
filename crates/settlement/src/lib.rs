//! The chain that settles everything: embedded in this process or behind any RPC URL, with one typed
//! client for both. revm and alloy live behind this crate.
//!
//! ```no_run
//! use gavel_settlement::account::dev_key;
//! use gavel_settlement::bindings::Market;
//! use gavel_settlement::{
//!     Account, DeployOptions, DevParams, Endpoint, Network, Sender, SharedChain, deploy, dev_params,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let chain = SharedChain::in_memory(Default::default());
//! let deployer = Sender::new(dev_key("demo", 0), Endpoint::in_process(chain.clone()));
//! let params = dev_params(DevParams::default());
//! let deployment = deploy(&deployer, &params, &DeployOptions::default()).await?;
//! let network = Network::in_process(chain, deployment); // or Network::connect(url, deployment).await?
//!
//! let anyone = Account::new(dev_key("demo", 1), network.clone());
//! let receipt = anyone.send(network.deployment().market, Market::settleCall { taskId: "1".parse()? }).await?;
//! println!("block {}: {:?}", receipt.block_number, receipt.logs);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod account;
pub mod amount;
pub mod artifacts;
pub mod bindings;
pub mod chain;
pub mod deploy;
pub mod deployment;
pub mod dev_params;
pub mod drand;
mod endpoint;
pub mod events;
pub mod evm;
pub mod http;
mod many;
pub mod network;
pub mod params;
pub mod quorum;
pub mod revert;
pub mod rpc;
mod shared;
pub mod transport;
mod unchecked;
mod wallet;

pub use alloy;

pub use account::{Account, SendError, SendPolicy, Sender, TxReceipt};
pub use deploy::{BeaconChoice, CommitRevealChoice, DeployOptions, deploy};
pub use deployment::Deployment;
pub use dev_params::{DevParams, Windows, dev_params};
pub use endpoint::{Endpoint, Patience, REORG_DEPTH};
pub use events::{LoggedEvent, ProtocolEvent};
pub use many::{FullBlock, Sent};
pub use network::{Head, Network, NetworkError};
pub use quorum::{Answer, Disagreement, Question, Witness};
pub use shared::SharedChain;
pub use wallet::{WalletVerdict, wallet_says};
