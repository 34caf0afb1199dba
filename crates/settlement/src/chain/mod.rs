//! The embedded chain: an EVM in this process with a clock of its own and a durable history.
//!
//! Its state is a function of its history ([`Event`]s), so durability is a journal of events, and time travel is an event like
//! any other. Snapshots of the whole shorten the replay; newest blocks are in memory with what takes them back, older ones are
//! final and on disk, and so is state that was not written for long. Gas is metered and free.

mod archive;
mod cold;
mod execute;
mod group;
mod history;
mod journal;
mod keeper;
mod open;
mod query;
mod snapshot;
mod spill;
mod stored;
mod tables;
mod types;
mod world;

use std::sync::Arc;
use std::time::Instant;

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::primitives::{B256, Bytes, keccak256};

pub use archive::ArchiveError;
pub use cold::StateError;
pub use execute::Signed;
pub use group::Disk;
pub use journal::JournalError;
pub use keeper::SnapshotReport;
pub use open::Opening;
pub use query::LogFilter;
pub use types::{
    Block, CallOutcome, CallRequest, ChainError, Event, Genesis, LogEntry, Options, Receipt,
    Retained,
};

use execute::Executed;
use group::UnderWay;
use history::{History, Recent};
use journal::Journal;
use keeper::Keeper;
use snapshot::{Frozen, Place};
use spill::Spill;
use world::{Undo, World};

/// Seconds between a block and the next where nothing else moves the clock.
const BLOCK_SECONDS: u64 = 1;
/// The latest time that the clock can be moved to: blocks after it still have times that only grow.
const LAST_TIME: u64 = u64::MAX >> 1;

/// The chain. One writer: share it behind a lock.
#[derive(Debug)]
pub struct Chain {
    genesis: Genesis,
    world: World,
    history: History,
    /// The clock: the next block's time is at least this.
    now: u64,
    /// Least seconds between two blocks.
    block_seconds: u64,
    // before the journal, whose lock the folder is guarded by
    keeper: Option<Keeper>,
    spill: Option<Spill>,
    journal: Option<Journal>,
    under_way: UnderWay,
    opening: Opening,
    /// Set when the journal failed: what is in memory may not be on disk, so nothing more is accepted.
    failed: Option<String>,
}

impl Chain {
    /// From now on a change returns when it is written, and is on disk when the answer, asked for
    /// [`written`](Self::written), says so.
    ///
    /// # Errors
    /// The file system said no.
    pub fn sync_in_groups(&mut self) -> Result<Disk, ChainError> {
        match &mut self.journal {
            Some(journal) => Ok(journal.sync_in_groups()?),
            None => Ok(Disk::none()),
        }
    }

    /// Records of the history written so far; nothing else can be seen in the chain.
    pub fn written(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::written)
    }

    /// Records that must be on disk before anybody is told of what can be seen in the chain now.
    ///
    /// # Errors
    /// The chain takes nothing more: what can be seen may get to no disk.
    pub fn shown(&self) -> Result<u64, ChainError> {
        self.usable().map(|()| self.written())
    }

    /// [`shown`](Self::shown) for who is told of blocks up to this one, and of nothing else.
    ///
    /// # Errors
    /// As [`shown`](Self::shown).
    pub fn shown_of(&self, block: u64) -> Result<u64, ChainError> {
        self.usable().map(|()| self.under_way.until(block))
    }

    /// From now on only the clock moves time: blocks made in one second have the same, as if they were one block of
    /// many transactions. For a chain whose clock follows the wall's.
    pub fn share_seconds(&mut self) {
        self.block_seconds = 0;
    }

    /// Chain id.
    pub fn chain_id(&self) -> u64 {
        self.genesis.chain_id
    }

    /// The clock, in seconds since the epoch.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The newest block.
    pub fn head(&self) -> &Block {
        self.history.head()
    }

    /// Executes a signed transaction in a block of its own. When this returns, it is on disk, or will be when
    /// [`sync_in_groups`](Self::sync_in_groups) says.
    ///
    /// # Errors
    /// Undecodable, wrongly signed, wrong chain or nonce, above the gas cap: nothing changes. A transaction that
    /// reverts is a receipt, not an error.
    pub fn submit(&mut self, raw: &[u8]) -> Result<B256, ChainError> {
        self.submit_signed(Signed::decode(Bytes::copy_from_slice(raw)))
    }

    /// [`submit`](Self::submit) for what was decoded before, when nobody had to wait for the chain.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_signed(
        &mut self,
        signed: Result<Signed, ChainError>,
    ) -> Result<B256, ChainError> {
        // what could not be written is not acknowledged the second time either
        self.usable()?;
        let Signed { raw, transaction } = signed?;
        // a duplicated request is answered like the first
        if transaction.nonce() < self.nonce(transaction.signer())?
            && self.history.receipt(keccak256(&raw))?.is_some()
        {
            return Ok(keccak256(&raw));
        }
        self.execute_and_seal(&raw, &transaction, false)
    }

    /// Like [`submit`](Self::submit) for a transaction whose sender is known, but only if it succeeds: one
    /// execution does for estimate and transaction. `raw` is its encoding.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and [`ChainError::WouldFail`]: nothing changes.
    pub fn submit_if_it_succeeds(
        &mut self,
        raw: &Bytes,
        transaction: &Recovered<TxEnvelope>,
    ) -> Result<B256, ChainError> {
        self.execute_and_seal(raw, transaction, true)
    }

    fn execute_and_seal(
        &mut self,
        raw: &Bytes,
        transaction: &Recovered<TxEnvelope>,
        only_success: bool,
    ) -> Result<B256, ChainError> {
        self.usable()?;
        let time = self.next_time();
        let executed = self.execute_transaction(raw, transaction, time)?;
        let receipt = &executed.receipt;
        if only_success && !receipt.success {
            return Err(ChainError::WouldFail(match &receipt.halted {
                Some(reason) => CallOutcome::Halted(reason.clone()),
                None => CallOutcome::Reverted(receipt.output.clone()),
            }));
        }
        let event = Event::Transaction {
            time,
            raw: raw.clone(),
            block_hash: executed.block.hash,
        };
        let hash = receipt.transaction_hash;
        self.seal(executed);
        self.record(&event)?;
        Ok(hash)
    }

    fn seal(&mut self, executed: Executed) {
        let undo = self.world.commit(executed.changes);
        self.append(executed.block, Some(executed.receipt), undo);
    }

    /// A chain in memory that goes on from this one's state, history included. Blocks that are final here are final there.
    pub fn fork(&self) -> Chain {
        Chain {
            genesis: self.genesis.clone(),
            world: self.world.clone(),
            history: self.history.fork(),
            now: self.now,
            block_seconds: self.block_seconds,
            keeper: None,
            spill: None,
            journal: None,
            under_way: UnderWay::default(),
            opening: Opening::default(),
            failed: self.failed.clone(),
        }
    }

    /// Why the chain accepts no more writes, if so.
    pub fn failure(&self) -> Option<String> {
        let of_journal = || self.journal.as_ref().and_then(Journal::failure);
        let failed = self.failed.clone().or_else(of_journal);
        let failed = failed.or_else(|| self.history.failure());
        failed.or_else(|| self.spill.as_ref()?.failure())
    }

    pub(crate) fn next_time(&self) -> u64 {
        self.now.max(self.head().time + self.block_seconds)
    }

    fn usable(&self) -> Result<(), ChainError> {
        match self.failure() {
            Some(reason) => Err(ChainError::Failed(reason)),
            None => Ok(()),
        }
    }

    fn append(&mut self, block: Block, receipt: Option<Receipt>, undo: Undo) {
        self.now = self.now.max(block.time);
        self.history.append(Recent {
            block,
            receipt: receipt.map(Arc::new),
            undo,
        });
        self.tend();
    }

    /// Keeps the state within its bound.
    fn tend(&mut self) {
        if let Some(spill) = &mut self.spill {
            spill.tend(&mut self.world);
        }
    }

    /// Moves the clock forward to `time`; an earlier time changes nothing.
    ///
    /// # Errors
    /// A time after the end of time, or the journal cannot be written.
    pub fn advance_to(&mut self, time: u64) -> Result<(), ChainError> {
        self.usable()?;
        if time > LAST_TIME {
            return Err(ChainError::Time { last: LAST_TIME });
        }
        if time > self.now {
            self.now = time;
            self.record(&Event::Clock { time })?;
        }
        Ok(())
    }

    /// A block without transactions.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn mine(&mut self) -> Result<(), ChainError> {
        self.usable()?;
        self.mine_next(self.next_time())
    }

    /// A block without transactions at `time`, to which the clock moves with it, or as soon after the last block as may be.
    /// One record, where [`advance_to`](Self::advance_to) and [`mine`](Self::mine) are two.
    ///
    /// # Errors
    /// As [`advance_to`](Self::advance_to).
    pub fn mine_by(&mut self, time: u64) -> Result<(), ChainError> {
        self.usable()?;
        if time > LAST_TIME {
            return Err(ChainError::Time { last: LAST_TIME });
        }
        self.mine_next(time.max(self.next_time()))
    }

    fn mine_next(&mut self, time: u64) -> Result<(), ChainError> {
        self.mine_at(time);
        self.record(&Event::Mine { time })
    }

    fn mine_at(&mut self, time: u64) {
        let block = Block::after(self.head(), time, B256::ZERO, 0);
        self.append(block, None, Undo::default());
    }

    /// Drops the newest `depth` blocks, as a reorg would; their transactions may be submitted again. The clock stays.
    ///
    /// # Errors
    /// If there are not that many blocks that are not final.
    pub fn reorg(&mut self, depth: usize) -> Result<Vec<Bytes>, ChainError> {
        self.usable()?;
        let depth = depth as u64;
        let dropped = self.drop_blocks(depth)?;
        self.record(&Event::Reorg { depth })?;
        Ok(dropped)
    }

    fn drop_blocks(&mut self, depth: u64) -> Result<Vec<Bytes>, ChainError> {
        let droppable = self.history.droppable();
        if depth > droppable {
            return Err(ChainError::Reorg {
                depth,
                droppable,
                last_final: self.history.last_final(),
            });
        }
        let mut dropped = Vec::new();
        for _ in 0..depth {
            let Some(block) = self.history.pop() else {
                break;
            };
            self.world.take_back(&block.undo);
            self.tend();
            dropped.extend(block.receipt.as_ref().map(|receipt| receipt.raw.clone()));
        }
        dropped.reverse();
        Ok(dropped)
    }

    /// State to come back to with [`revert_to`](Self::revert_to): the number of blocks.
    pub fn snapshot(&self) -> u64 {
        self.head().number + 1
    }

    /// Drops the blocks since a snapshot.
    ///
    /// # Errors
    /// If the chain is shorter than the snapshot, or the blocks since it are more than can be dropped.
    pub fn revert_to(&mut self, snapshot: u64) -> Result<(), ChainError> {
        let depth = self.snapshot().checked_sub(snapshot);
        // a snapshot that is still to come is none
        self.reorg(depth.map_or(usize::MAX, |depth| depth as usize))
            .map(|_| ())
    }

    fn record(&mut self, event: &Event) -> Result<(), ChainError> {
        if let Some(journal) = &mut self.journal {
            if let Err(error) = journal.append(event) {
                self.failed = Some(error.to_string());
                return Err(error.into());
            }
            let head = self.history.head().number;
            let lowest = match event {
                Event::Transaction { .. } | Event::Mine { .. } => Some(head),
                Event::Reorg { .. } => Some(head + 1),
                Event::Clock { .. } => None,
            };
            if let Some(lowest) = lowest {
                self.under_way
                    .add(journal.written(), lowest, journal.synced());
            }
            self.save_when_due();
        }
        Ok(())
    }

    /// Begins a snapshot if it is time for one.
    fn save_when_due(&mut self) {
        if let (Some(journal), Some(keeper)) = (&self.journal, &mut self.keeper)
            && keeper.is_due(journal.written(), journal.length())
        {
            self.save();
        }
    }

    /// Begins a snapshot.
    fn save(&mut self) {
        let (Some(journal), Some(keeper), Some(spill)) =
            (&self.journal, &mut self.keeper, &self.spill)
        else {
            return;
        };
        let asked = Instant::now();
        let Ok(file) = journal.file.try_clone() else {
            // out of descriptors: at the next record
            return;
        };
        let (offset, prefix) = journal.prefix();
        let frozen = Frozen {
            place: Place {
                offset,
                records: journal.written(),
                prefix,
                now: self.now,
                last_final: self.history.last_final(),
            },
            recent: self.history.recent().cloned().collect(),
            world: self.world.clone(),
            segments: self.world.cold().references(),
        };
        keeper.start(frozen, spill.live(&self.world), file, asked);
    }

    fn apply(&mut self, event: &Event) -> Result<(), ChainError> {
        match event {
            Event::Transaction {
                time,
                raw,
                block_hash,
            } => {
                let signed = Signed::decode(raw.clone())?;
                let executed = self.execute_transaction(raw, &signed.transaction, *time)?;
                let (number, found) = (executed.block.number, executed.block.hash);
                if found != *block_hash {
                    return Err(ChainError::Replay {
                        number,
                        expected: *block_hash,
                        found,
                    });
                }
                self.seal(executed);
            }
            Event::Clock { time } => self.now = self.now.max(*time),
            Event::Mine { time } => self.mine_at(*time),
            Event::Reorg { depth } => {
                let depth = *depth;
                let dropped = self.drop_blocks(depth).map_err(|error| match error {
                    ChainError::Reorg { droppable, .. } => {
                        ChainError::Forgotten { depth, droppable }
                    }
                    other => other,
                });
                dropped?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
