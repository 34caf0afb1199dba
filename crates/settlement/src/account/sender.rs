//! Signing and sending.

use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use tokio::sync::Mutex;

use super::book::Book;
use super::error::SendError;
use super::fees::Fees;
use super::intents::{IntentLog, IntentRecord, MemoryLog};
use super::remote;
use crate::chain::{Chain, ChainError, LogEntry, Receipt};
use crate::endpoint::Endpoint;
use crate::shared::SharedChain;

/// The most gas a transaction may have (EIP-7825).
pub(super) const GAS_CAP: u64 = 1 << 24;

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its hash.
    pub hash: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Gas it used.
    pub gas_used: u64,
    /// Contract it created.
    pub created: Option<Address>,
    /// Its logs.
    pub logs: Vec<LogEntry>,
}

/// What a transaction is to do: a call, or a creation where `to` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) to: Option<Address>,
    pub(super) data: Bytes,
    /// Last second, in the chain's time, at which it is of use.
    pub(super) deadline: Option<u64>,
}

/// A signed transaction.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) envelope: TxEnvelope,
    pub(super) raw: Bytes,
    pub(super) hash: B256,
}

/// A key that sends transactions through an endpoint, knowing no contracts.
#[derive(Debug)]
pub struct Sender {
    signer: PrivateKeySigner,
    pub(super) endpoint: Endpoint,
    pub(super) log: Arc<dyn IntentLog>,
    /// Held from the choice of a nonce until the node has the transaction.
    pub(super) turn: Mutex<()>,
    pub(super) chain_id: OnceLock<u64>,
    book: std::sync::Mutex<Book>,
}

impl Sender {
    /// A sender with a key.
    pub fn new(signer: PrivateKeySigner, endpoint: Endpoint) -> Sender {
        Sender {
            signer,
            endpoint,
            log: Arc::new(MemoryLog::default()),
            turn: Mutex::default(),
            chain_id: OnceLock::new(),
            book: Default::default(),
        }
    }

    /// The same, with a list of what it has signed that outlives it. Before the first send.
    pub fn with_log(mut self, log: Arc<dyn IntentLog>) -> Sender {
        self.log = log;
        self
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Its key.
    pub fn signer(&self) -> &PrivateKeySigner {
        &self.signer
    }

    /// Its connection.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls a contract and waits until the call is in a block.
    ///
    /// A call that would revert is not sent. What is sent is in the [log](Sender::with_log) first. A request whose answer is
    /// lost is repeated with the same signed bytes, so it takes effect once; when even that fails, or a receipt does not come
    /// in time, [`SendError::Unresolved`] says so, and the same call, sent again through this sender or another one over
    /// the same log, resumes the old transaction, also after other calls. So it does where the future was dropped, the
    /// process was killed, or a reorg took the transaction out of the chain. Several calls may be in flight.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, to: Address, data: Bytes) -> Result<Mined, SendError> {
        self.send_by(to, data, None).await
    }

    /// [`send`](Self::send) for a call that is of no use after a second of the chain's time. Near it more is paid: see
    /// [`SendPolicy`](super::SendPolicy).
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_by(
        &self,
        to: Address,
        data: Bytes,
        deadline: Option<u64>,
    ) -> Result<Mined, SendError> {
        let to = Some(to);
        self.execute(Intent { to, data, deadline }).await
    }

    /// Creates a contract.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn create(&self, code: Bytes) -> Result<Mined, SendError> {
        self.execute(Intent {
            to: None,
            data: code,
            deadline: None,
        })
        .await
    }

    /// Goes on with what is under way without sending anything new: sends again what a node forgot or a reorg took out of the
    /// chain, and forgets what is buried. Done by each send as well.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn tend(&self) -> Result<(), SendError> {
        match self.endpoint.embedded() {
            Some(_) => Ok(()),
            None => remote::tend(self, true).await,
        }
    }

    /// What it has signed and is not buried yet, by nonce, as far as this process has read the log.
    pub fn under_way(&self) -> Vec<IntentRecord> {
        let book = self.book();
        book.open.values().map(|open| open.record.clone()).collect()
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn execute(&self, intent: Intent) -> Result<Mined, SendError> {
        match self.endpoint.embedded() {
            Some(chain) => {
                let (done, shown) = self.execute_embedded(chain, intent);
                match (done, chain.on_disk(shown).await) {
                    (done, Ok(())) => done,
                    (Ok(mined), Err(error)) => Err(SendError::Unresolved {
                        hash: mined.hash,
                        reason: error.to_string(),
                    }),
                    (Err(doubt @ SendError::Unresolved { .. }), Err(_)) => Err(doubt),
                    // it was refused because of something that may be lost
                    (Err(_), Err(error)) => Err(error.into()),
                }
            }
            None => remote::execute(self, intent).await,
        }
    }

    /// The direct way: nonce, execution and receipt under one lock, and what is to be on disk before it is told.
    fn execute_embedded(
        &self,
        chain: &SharedChain,
        intent: Intent,
    ) -> (Result<Mined, SendError>, Result<u64, ChainError>) {
        let mut chain = chain.lock();
        let done = self.execute_on(&mut chain, intent);
        (done, chain.shown())
    }

    fn execute_on(&self, chain: &mut Chain, intent: Intent) -> Result<Mined, SendError> {
        let (chain_id, nonce) = (chain.chain_id(), chain.nonce(self.address())?);
        let fees = Fees {
            gas: GAS_CAP,
            ..Fees::default()
        };
        let signed = self.sign(intent, chain_id, nonce, fees)?;
        let transaction = Recovered::new_unchecked(signed.envelope, self.address());
        let hash = chain
            .submit_if_it_succeeds(&signed.raw, &transaction)
            .map_err(|error| match error {
                // it may be on disk all the same: who opens the chain next will tell
                ChainError::Journal(error) => SendError::Unresolved {
                    hash: signed.hash,
                    reason: error.to_string(),
                },
                other => other.into(),
            })?;
        let receipt = chain
            .receipt_of(hash)?
            .ok_or_else(|| SendError::Refused("the chain lost its receipt".into()))?;
        Ok(Mined::from(&*receipt))
    }

    pub(super) fn sign(
        &self,
        intent: Intent,
        chain_id: u64,
        nonce: u64,
        fees: Fees,
    ) -> Result<Signed, SendError> {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: fees.gas,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to: intent.to.map_or(TxKind::Create, TxKind::Call),
            value: U256::ZERO,
            access_list: Default::default(),
            input: intent.data,
        };
        let signature = self
            .signer
            .sign_hash_sync(&transaction.signature_hash())
            .map_err(|e| SendError::Unsent(e.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok(Signed {
            raw: envelope.encoded_2718().into(),
            hash: *envelope.tx_hash(),
            envelope,
        })
    }
}

impl From<&Receipt> for Mined {
    fn from(receipt: &Receipt) -> Mined {
        Mined {
            hash: receipt.transaction_hash,
            block_number: receipt.block_number,
            block_hash: receipt.block_hash,
            gas_used: receipt.gas_used,
            created: receipt.created,
            logs: receipt.logs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::dev_key;
    use crate::chain::Genesis;

    #[tokio::test]
    async fn a_chain_that_cannot_write_leaves_a_doubt_and_then_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut chain = Chain::open(folder.path(), Genesis::default()).unwrap();
        chain.stop_writing(folder.path());
        let endpoint = Endpoint::in_process(SharedChain::new(chain));
        let sender = Sender::new(dev_key("sender tests", 0), endpoint);
        let send = || sender.send(Address::ZERO, Bytes::new());
        let doubt = send().await.unwrap_err();
        assert!(matches!(doubt, SendError::Unresolved { .. }), "{doubt}");
        let later = send().await.unwrap_err();
        assert!(matches!(later, SendError::Unsent(_)), "{later}");
    }
}
