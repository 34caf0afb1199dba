//! A key on a network: sends transactions so that each has its effect once, whatever the connection does.

mod error;
mod intents;
mod keys;
mod remote;
mod sender;

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;

pub use error::SendError;
pub use intents::{IntentLog, IntentRecord, LogError, MemoryLog, SignedTransaction};
pub use keys::{KeyError, create_keystore, dev_key, load_keystore};
pub use sender::{Mined, Sender};

use crate::bindings::DevToken;
use crate::events::LoggedEvent;
use crate::network::Network;

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxReceipt {
    /// Its hash.
    pub hash: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Gas it used.
    pub gas_used: u64,
    /// Its events.
    pub logs: Vec<LoggedEvent>,
}

/// A key and the network it acts on. Clones share the nonce bookkeeping; two accounts made apart from the same
/// key get along, but slower.
#[derive(Clone, Debug)]
pub struct Account {
    sender: Arc<Sender>,
    network: Network,
}

impl Account {
    /// The account of a key.
    pub fn new(signer: PrivateKeySigner, network: Network) -> Account {
        let sender = Sender::new(signer, network.endpoint().clone());
        Account {
            sender: Arc::new(sender),
            network,
        }
    }

    /// The same, with a list of what it has signed that outlives it. Before the first send: what this account and its
    /// clones have under way is left behind.
    pub fn with_log(self, log: Arc<dyn IntentLog>) -> Account {
        let sender = Sender::new(self.signer().clone(), self.network.endpoint().clone());
        Account {
            sender: Arc::new(sender.with_log(log)),
            network: self.network,
        }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.sender.address()
    }

    /// The key, to sign what is not a transaction.
    pub fn signer(&self) -> &PrivateKeySigner {
        self.sender.signer()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Calls a contract and waits until the call is in a block. See [`Sender::send`] for what is promised.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<C: SolCall>(&self, to: Address, call: C) -> Result<TxReceipt, SendError> {
        let mined = self.sender.send(to, call.abi_encode().into()).await?;
        Ok(TxReceipt {
            hash: mined.hash,
            block_number: mined.block_number,
            block_hash: mined.block_hash,
            gas_used: mined.gas_used,
            logs: mined.logs.iter().map(|l| self.network.event(l)).collect(),
        })
    }

    /// Allows the vault to pull any amount of the asset from this account, unless it may already.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn approve_vault(&self) -> Result<(), SendError> {
        let (vault, token) = (
            self.network.deployment().vault,
            self.network.deployment().token,
        );
        let allowed = self
            .network
            .token()
            .allowance(self.address(), vault)
            .call()
            .await
            .map_err(|e| SendError::Unsent(e.to_string()))?;
        if allowed < U256::MAX >> 1 {
            let call = DevToken::approveCall {
                spender: vault,
                value: U256::MAX,
            };
            self.send(token, call).await?;
        }
        Ok(())
    }
}
