//! A key on a network: sends transactions so that each has its effect once, whatever the connection does.

mod book;
mod error;
mod fees;
mod intents;
mod keys;
mod keystore;
mod policy;
mod receipts;
mod remote;
mod resume;
mod sender;
mod submit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;

pub use error::SendError;
pub use intents::{IntentLog, IntentRecord, LogError, MemoryLog, SignedTransaction};
pub use keys::{KeyError, create_keystore, dev_key, load_keystore, parse_secret, store_key};
pub use policy::SendPolicy;
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
    deadline: Option<u64>,
    /// Somebody sees to it that what was sent stays in the chain.
    is_tended: Arc<AtomicBool>,
}

/// How often that is looked at.
const TEND_EVERY: Duration = Duration::from_secs(2);

impl Account {
    /// The account of a key.
    pub fn new(signer: PrivateKeySigner, network: Network) -> Account {
        let sender = Sender::new(signer, network.endpoint().clone());
        Account {
            sender: Arc::new(sender),
            network,
            deadline: None,
            is_tended: Arc::default(),
        }
    }

    /// The same, with a list of what it has signed that outlives it. Before the first send: what this account and its
    /// clones have under way is left behind.
    pub fn with_log(self, log: Arc<dyn IntentLog>) -> Account {
        let sender = Sender::new(self.signer().clone(), self.network.endpoint().clone());
        Account {
            sender: Arc::new(sender.with_log(log)),
            is_tended: Arc::default(),
            ..self
        }
    }

    /// The same account, for calls that are of no use after this second of the chain's time: see [`Sender::send_by`].
    pub fn until(&self, deadline: Option<u64>) -> Account {
        Account {
            deadline,
            ..self.clone()
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
        let data = call.abi_encode().into();
        let mined = self.sender.send_by(to, data, self.deadline).await;
        self.tend_on();
        let mined = mined?;
        Ok(TxReceipt {
            hash: mined.hash,
            block_number: mined.block_number,
            block_hash: mined.block_hash,
            gas_used: mined.gas_used,
            logs: mined.logs.iter().map(|l| self.network.event(l)).collect(),
        })
    }

    /// Notes in the log that whoever called knows how its calls ended: what a command does before it ends in good order. A
    /// call that the next process makes is then another one, be it the same; without this it would resume the last.
    ///
    /// # Errors
    /// The log fails.
    pub async fn heard(&self) -> Result<(), SendError> {
        resume::heard(&self.sender).await
    }

    /// The sender behind it.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Goes on with what is under way, also while nothing new is sent, until all of it is buried or the account is dropped.
    fn tend_on(&self) {
        let endpoint = self.network.endpoint();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if endpoint.embedded().is_some()
            || endpoint.policy().confirmations == 0
            || self.is_tended.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (sender, is_tended) = (Arc::downgrade(&self.sender), Arc::clone(&self.is_tended));
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(TEND_EVERY).await;
                let Some(sender) = sender.upgrade() else {
                    return;
                };
                // what fails now is tried again
                let _ = remote::tend(&sender, false).await;
                if sender.under_way().is_empty() {
                    is_tended.store(false, Ordering::Relaxed);
                    return;
                }
            }
        });
    }

    /// Allows the vault to pull any amount of the asset from this account, unless it may already.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn approve_vault(&self) -> Result<(), SendError> {
        self.approve(self.network.deployment().vault).await
    }

    /// Allows the demands to pull any amount of the asset from this account, unless they may already.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn approve_demands(&self) -> Result<(), SendError> {
        self.approve(self.network.deployment().demands).await
    }

    async fn approve(&self, spender: Address) -> Result<(), SendError> {
        let token = self.network.deployment().token;
        let allowed = self
            .network
            .token()
            .allowance(self.address(), spender)
            .call()
            .await
            .map_err(|e| SendError::Unsent(e.to_string()))?;
        if allowed < U256::MAX >> 1 {
            let call = DevToken::approveCall {
                spender,
                value: U256::MAX,
            };
            self.send(token, call).await?;
        }
        Ok(())
    }
}
