//! What a key has signed and may be under way: the list that outlives the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use alloy::primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Everything that was signed for one nonce. All transactions of a record do the same thing: at most one of them can
/// take effect, and it does not matter which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentRecord {
    /// The nonce, the record's key within a log.
    pub nonce: u64,
    /// Contract that is called; none where one is created.
    pub to: Option<Address>,
    /// Calldata, or the code of the creation.
    pub data: Bytes,
    /// Last second, in the chain's time, at which the transaction is of use; none where any time will do.
    pub deadline: Option<u64>,
    /// Signed transactions, the first and then its replacements in the order of signing, each dearer than the one before.
    /// Never empty.
    pub signed: Vec<SignedTransaction>,
    /// Its caller knows how it ended (`Account::heard`): the same call is another one.
    #[serde(default)]
    pub is_delivered: bool,
}

/// One signed transaction of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTransaction {
    /// Its hash.
    pub hash: B256,
    /// Its bytes, as they are broadcast (EIP-2718).
    pub raw: Bytes,
    /// Most wei a unit of gas may cost (`maxFeePerGas`).
    pub max_fee: u128,
    /// Wei a unit of gas for the block's producer (`maxPriorityFeePerGas`).
    pub tip: u128,
    /// When it was signed, in seconds since the epoch by this machine's clock; its broadcast follows at once.
    pub signed_at: u64,
}

/// Why the log did not do as told. Nothing is broadcast that the log did not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process writes with this key: this one must not sign anything more.
    #[error("another process sends with this key: {0}")]
    Taken(String),
    /// The store cannot be read or written.
    #[error("the list of signed transactions: {0}")]
    Store(String),
}

/// The durable list of what one key has signed on one chain and that may be under way.
///
/// A log belongs to one key on one chain, and to one writer: an implementation over a store shared by processes holds an
/// exclusive lock for as long as it lives, and refuses to be opened, or answers [`LogError::Taken`], where another has it.
/// Within a process a [`Sender`](super::Sender) serialises its calls.
///
/// A record is open from its first [`put`](Self::put) to its [`finish`](Self::finish). After a crash at any moment the log
/// holds every record whose `put` had returned and whose `finish` had not been called; for a `put` or `finish` that was
/// under way, it may hold the state before or the state after, and nothing in between.
#[async_trait]
pub trait IntentLog: fmt::Debug + Send + Sync {
    /// All open records, by ascending nonce.
    ///
    /// # Errors
    /// See [`LogError`].
    async fn open(&self) -> Result<Vec<IntentRecord>, LogError>;

    /// Writes a record, in place of the one with its nonce if there is one. Durable when it returns: only then is the last
    /// transaction of the record broadcast. After an error it may be there or not.
    ///
    /// # Errors
    /// See [`LogError`].
    async fn put(&self, record: &IntentRecord) -> Result<(), LogError>;

    /// Takes the record of a nonce from the list: the nonce is used up in a block with enough blocks above it, or nothing of
    /// the record was ever broadcast. Nothing happens where there is no such record. May become durable later than it
    /// returns: a record that comes back is looked up again and finished again.
    ///
    /// # Errors
    /// See [`LogError`].
    async fn finish(&self, nonce: u64) -> Result<(), LogError>;
}

/// A log that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<BTreeMap<u64, IntentRecord>>);

impl MemoryLog {
    fn records(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, IntentRecord>> {
        // whole records are put in: a panic leaves none in between
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl IntentLog for MemoryLog {
    async fn open(&self) -> Result<Vec<IntentRecord>, LogError> {
        Ok(self.records().values().cloned().collect())
    }

    async fn put(&self, record: &IntentRecord) -> Result<(), LogError> {
        self.records().insert(record.nonce, record.clone());
        Ok(())
    }

    async fn finish(&self, nonce: u64) -> Result<(), LogError> {
        self.records().remove(&nonce);
        Ok(())
    }
}
