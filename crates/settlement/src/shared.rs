//! The embedded chain as a handle that can be cloned.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::Bytes;

use crate::chain::{Chain, ChainError, Genesis};

/// The embedded chain behind a lock. Clones are the same chain; [`fork`](Self::fork) makes another one.
#[derive(Clone, Debug)]
pub struct SharedChain(Arc<Mutex<Chain>>);

impl SharedChain {
    /// Shares a chain.
    pub fn new(chain: Chain) -> SharedChain {
        SharedChain(Arc::new(Mutex::new(chain)))
    }

    /// A new chain in memory.
    pub fn in_memory(genesis: Genesis) -> SharedChain {
        SharedChain::new(Chain::in_memory(genesis))
    }

    /// Opens a durable chain, as [`Chain::open`].
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub fn open(folder: &Path, genesis: Genesis) -> Result<SharedChain, ChainError> {
        Chain::open(folder, genesis).map(SharedChain::new)
    }

    /// The chain, for this thread alone while the guard lives: never hold it across an await.
    pub fn lock(&self) -> MutexGuard<'_, Chain> {
        // a panic under the lock leaves at worst a transaction applied without its block; the journal has neither
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another chain, in memory, that goes on from this one's state.
    pub fn fork(&self) -> SharedChain {
        SharedChain::new(self.lock().fork())
    }

    /// The clock, in seconds since the epoch.
    pub fn now(&self) -> u64 {
        self.lock().now()
    }

    /// Moves the clock forward to `time`; an earlier time changes nothing.
    ///
    /// # Errors
    /// As [`Chain::advance_to`].
    pub fn advance_to(&self, time: u64) -> Result<(), ChainError> {
        self.lock().advance_to(time)
    }

    /// Appends a block without transactions.
    ///
    /// # Errors
    /// As [`Chain::mine`].
    pub fn mine(&self) -> Result<(), ChainError> {
        self.lock().mine()
    }

    /// Drops the newest `depth` blocks and returns the transactions they held.
    ///
    /// # Errors
    /// As [`Chain::reorg`].
    pub fn reorg(&self, depth: usize) -> Result<Vec<Bytes>, ChainError> {
        self.lock().reorg(depth)
    }
}
