//! The embedded chain as a handle that can be cloned.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::Bytes;

use crate::chain::{Chain, ChainError, Disk, Genesis, Options};

/// The embedded chain behind a lock. Clones are the same chain; [`fork`](Self::fork) makes another one.
///
/// A chain that was [opened](Self::open) syncs its history in groups: whoever changed it or read it speaks of that to
/// somebody else only after [`on_disk`](Self::on_disk).
#[derive(Clone, Debug)]
pub struct SharedChain {
    chain: Arc<Mutex<Chain>>,
    disk: Disk,
}

impl SharedChain {
    /// Shares a chain, whose changes are on disk when they return.
    pub fn new(chain: Chain) -> SharedChain {
        SharedChain {
            chain: Arc::new(Mutex::new(chain)),
            disk: Disk::none(),
        }
    }

    /// A new chain in memory.
    pub fn in_memory(genesis: Genesis) -> SharedChain {
        SharedChain::new(Chain::in_memory(genesis))
    }

    /// Opens a durable chain, as [`Chain::open`], to be synced in groups.
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub fn open(folder: &Path, genesis: Genesis) -> Result<SharedChain, ChainError> {
        SharedChain::open_with(folder, genesis, Options::default())
    }

    /// [`open`](Self::open) with other numbers.
    ///
    /// # Errors
    /// As [`Chain::open_with`].
    pub fn open_with(
        folder: &Path,
        genesis: Genesis,
        options: Options,
    ) -> Result<SharedChain, ChainError> {
        let mut chain = Chain::open_with(folder, genesis, options)?;
        let disk = chain.sync_in_groups()?;
        Ok(SharedChain {
            disk,
            ..SharedChain::new(chain)
        })
    }

    /// The chain, for this thread alone while the guard lives: never hold it across an await.
    pub fn lock(&self) -> MutexGuard<'_, Chain> {
        // a panic under the lock leaves at worst a transaction applied without its block; the journal has neither
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what was [shown](Chain::shown) at some time is on disk.
    ///
    /// # Errors
    /// It cannot be put there, and may be lost.
    pub async fn on_disk(&self, shown: Result<u64, ChainError>) -> Result<(), ChainError> {
        self.disk.holds(shown?).await
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
