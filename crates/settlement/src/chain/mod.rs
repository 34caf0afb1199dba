//! The embedded chain: an EVM in this process with a clock of its own and a durable history.
//!
//! Its state is a function of its history ([`Event`]s), so durability is a journal of events, a reorg
//! is a shorter history, and time travel is an event like any other. Gas is metered and free.

mod execute;
mod group;
mod journal;
mod query;
mod types;

use std::collections::HashMap;
use std::path::Path;

use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::Recovered;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use revm::database::{CacheDB, EmptyDB};
use revm::state::AccountInfo;

pub use group::Disk;
pub use journal::JournalError;
pub use query::LogFilter;
pub use types::{Block, CallOutcome, CallRequest, ChainError, Event, Genesis, LogEntry, Receipt};

use execute::Keep;
use journal::Journal;

type State = CacheDB<EmptyDB>;

/// Seconds between a block and the next where nothing else moves the clock.
const BLOCK_SECONDS: u64 = 1;
/// Most events kept in memory and replayed on opening; a chain that needs more has outgrown one process.
const MAX_EVENTS: usize = 1 << 22;
/// The latest time that the clock can be moved to: blocks after it still have times that only grow.
const LAST_TIME: u64 = u64::MAX >> 1;

/// The chain. One writer: share it behind a lock.
#[derive(Debug)]
pub struct Chain {
    genesis: Genesis,
    state: State,
    /// The clock: the next block's time is at least this.
    now: u64,
    /// Least seconds between two blocks.
    block_seconds: u64,
    blocks: Vec<Block>,
    receipts: HashMap<B256, Receipt>,
    events: Vec<Event>,
    journal: Option<Journal>,
    /// Set when the journal failed: what is in memory may not be on disk, so nothing more is accepted.
    failed: Option<String>,
}

impl Chain {
    /// A chain that lives in memory.
    pub fn in_memory(genesis: Genesis) -> Chain {
        let mut state = State::default();
        for (address, balance) in &genesis.accounts {
            state.insert_account_info(
                *address,
                AccountInfo {
                    balance: *balance,
                    ..Default::default()
                },
            );
        }
        let first = Block::genesis(&genesis);
        state.cache.block_hashes.insert(U256::ZERO, first.hash);
        Chain {
            now: genesis.time,
            block_seconds: BLOCK_SECONDS,
            blocks: vec![first],
            genesis,
            state,
            receipts: HashMap::new(),
            events: Vec::new(),
            journal: None,
            failed: None,
        }
    }

    /// Opens the chain in `folder`, or starts one there with `genesis`. The folder is locked for this process.
    ///
    /// # Errors
    /// The folder is in use or unreadable, its journal is corrupt before its end, or it holds another chain.
    pub fn open(folder: &Path, genesis: Genesis) -> Result<Chain, ChainError> {
        let (journal, stored, events) = Journal::open(folder, &genesis)?;
        let mut chain = Chain::in_memory(stored);
        for event in events {
            chain.replay(event)?;
        }
        chain.journal = Some(journal);
        Ok(chain)
    }

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
        // the genesis block is never dropped
        &self.blocks[self.blocks.len() - 1]
    }

    /// Executes a signed transaction in a block of its own. When this returns, it is on disk, or will be when
    /// [`sync_in_groups`](Self::sync_in_groups) says.
    ///
    /// # Errors
    /// Undecodable, wrongly signed, wrong chain or nonce, above the gas cap: nothing changes. A transaction that
    /// reverts is a receipt, not an error.
    pub fn submit(&mut self, raw: &[u8]) -> Result<B256, ChainError> {
        // what could not be written is not acknowledged the second time either
        self.usable()?;
        if self.receipts.contains_key(&keccak256(raw)) {
            // a duplicated request is answered like the first
            return Ok(keccak256(raw));
        }
        let transaction = self.decode(raw)?;
        let raw = Bytes::copy_from_slice(raw);
        self.execute_and_seal(&raw, &transaction, Keep::Everything)
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
        self.execute_and_seal(raw, transaction, Keep::Success)
    }

    fn execute_and_seal(
        &mut self,
        raw: &Bytes,
        transaction: &Recovered<TxEnvelope>,
        keep: Keep,
    ) -> Result<B256, ChainError> {
        self.usable()?;
        let time = self.next_time();
        let executed = self.execute_transaction(raw, transaction, time, keep)?;
        let receipt = &executed.receipt;
        if keep == Keep::Success && !receipt.success {
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
        self.append(executed.block, Some(executed.receipt));
        self.record(event)?;
        Ok(hash)
    }

    /// A chain in memory that goes on from this one's state, history included.
    pub fn fork(&self) -> Chain {
        Chain {
            genesis: self.genesis.clone(),
            state: self.state.clone(),
            now: self.now,
            block_seconds: self.block_seconds,
            blocks: self.blocks.clone(),
            receipts: self.receipts.clone(),
            events: self.events.clone(),
            journal: None,
            failed: self.failed.clone(),
        }
    }

    /// Why the chain accepts no more writes, if so.
    pub fn failure(&self) -> Option<String> {
        let of_journal = || self.journal.as_ref().and_then(Journal::failure);
        self.failed.clone().or_else(of_journal)
    }

    pub(crate) fn next_time(&self) -> u64 {
        self.now.max(self.head().time + self.block_seconds)
    }

    fn usable(&self) -> Result<(), ChainError> {
        match self.failure() {
            Some(reason) => Err(ChainError::Failed(reason)),
            None if self.events.len() >= MAX_EVENTS => Err(ChainError::Full { events: MAX_EVENTS }),
            None => Ok(()),
        }
    }

    fn append(&mut self, block: Block, receipt: Option<Receipt>) {
        self.now = self.now.max(block.time);
        // what the BLOCKHASH instruction sees
        self.state
            .cache
            .block_hashes
            .insert(U256::from(block.number), block.hash);
        self.blocks.push(block);
        if let Some(receipt) = receipt {
            self.receipts.insert(receipt.transaction_hash, receipt);
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
            self.record(Event::Clock { time })?;
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
        self.record(Event::Mine { time })
    }

    fn mine_at(&mut self, time: u64) {
        let block = Block::after(self.head(), time, B256::ZERO, 0);
        self.append(block, None);
    }

    /// Drops the newest `depth` blocks, as a reorg would; their transactions may be submitted again. The clock stays.
    ///
    /// # Errors
    /// If there are not that many blocks above the genesis block.
    pub fn reorg(&mut self, depth: usize) -> Result<Vec<Bytes>, ChainError> {
        self.usable()?;
        let dropped = self.drop_blocks(depth)?;
        self.record(Event::Reorg {
            depth: depth as u64,
        })?;
        Ok(dropped)
    }

    fn drop_blocks(&mut self, depth: usize) -> Result<Vec<Bytes>, ChainError> {
        if depth >= self.blocks.len() {
            return Err(ChainError::Reorg {
                depth,
                blocks: self.blocks.len() - 1,
            });
        }
        let (now, keep) = (self.now, self.blocks.len() - depth);
        let mut chain = Chain::in_memory(self.genesis.clone());
        let mut dropped = Vec::new();
        for event in &self.events {
            match event {
                Event::Transaction { raw, .. } if chain.blocks.len() >= keep => {
                    dropped.push(raw.clone())
                }
                Event::Mine { .. } if chain.blocks.len() >= keep => {}
                _ => {
                    chain.apply(event)?;
                    chain.events.push(event.clone());
                }
            }
        }
        *self = Chain {
            now: now.max(chain.now),
            block_seconds: self.block_seconds,
            journal: self.journal.take(),
            failed: self.failed.take(),
            ..chain
        };
        Ok(dropped)
    }

    /// State to come back to with [`revert_to`](Self::revert_to): the number of blocks.
    pub fn snapshot(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Drops the blocks since a snapshot.
    ///
    /// # Errors
    /// If the chain is shorter than the snapshot.
    pub fn revert_to(&mut self, snapshot: u64) -> Result<(), ChainError> {
        let blocks = self.blocks.len() as u64;
        let depth = blocks.checked_sub(snapshot).ok_or(ChainError::Reorg {
            depth: 0,
            blocks: self.blocks.len() - 1,
        })?;
        self.reorg(depth as usize).map(|_| ())
    }

    fn record(&mut self, event: Event) -> Result<(), ChainError> {
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(&event)
        {
            self.failed = Some(error.to_string());
            return Err(error.into());
        }
        // a reorg's effect is already in `events`
        if !matches!(event, Event::Reorg { .. }) {
            self.events.push(event);
        }
        Ok(())
    }

    fn replay(&mut self, event: Event) -> Result<(), ChainError> {
        if let Event::Reorg { depth } = event {
            self.drop_blocks(depth as usize)?;
            return Ok(());
        }
        self.apply(&event)?;
        self.events.push(event);
        Ok(())
    }

    fn apply(&mut self, event: &Event) -> Result<(), ChainError> {
        match event {
            Event::Transaction {
                time,
                raw,
                block_hash,
            } => {
                let transaction = self.decode(raw)?;
                let executed =
                    self.execute_transaction(raw, &transaction, *time, Keep::Everything)?;
                let (number, found) = (executed.block.number, executed.block.hash);
                if found != *block_hash {
                    return Err(ChainError::Replay {
                        number,
                        expected: *block_hash,
                        found,
                    });
                }
                self.append(executed.block, Some(executed.receipt));
            }
            Event::Clock { time } => self.now = self.now.max(*time),
            Event::Mine { time } => self.mine_at(*time),
            Event::Reorg { .. } => {}
        }
        Ok(())
    }

    /// Balance of an account, in wei.
    pub fn balance(&self, address: Address) -> U256 {
        self.account(address)
            .map_or(U256::ZERO, |info| info.balance)
    }

    /// Next nonce of an account.
    pub fn nonce(&self, address: Address) -> u64 {
        self.account(address).map_or(0, |info| info.nonce)
    }

    fn account(&self, address: Address) -> Option<&AccountInfo> {
        self.state
            .cache
            .accounts
            .get(&address)
            .map(|account| &account.info)
    }
}

#[cfg(test)]
pub(crate) mod tests;
