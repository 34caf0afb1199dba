//! Blocks and receipts: the newest in memory, with what takes them back; those that are final in the archive.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy::primitives::B256;
use alloy::primitives::map::B256Map;

use super::LogFilter;
use super::archive::{Archive, ArchiveError, Writer};
use super::types::{Block, LogEntry, Receipt};
use super::world::Undo;

/// Final blocks that are given to the archive at once, at most.
const BATCH: u64 = 256;
/// Batches that the archive may be behind before the chain waits for it.
const BEHIND: u64 = 16;

/// A block with all that it did.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) block: Block,
    pub(super) receipt: Option<Arc<Receipt>>,
    pub(super) undo: Undo,
}

/// The chain of blocks.
#[derive(Debug)]
pub(super) struct History {
    /// The newest, at least one.
    recent: VecDeque<Arc<Recent>>,
    /// Heights of recent blocks, by their hashes and by their transactions'.
    hashes: B256Map<u64>,
    transactions: B256Map<u64>,
    /// This block and those before it are never dropped.
    last_final: u64,
    /// Blocks that can be dropped; none where all of them can.
    keep: Option<u64>,
    archive: Option<Archive>,
    writer: Option<Writer>,
}

impl History {
    /// A history in memory whose newest blocks are these; older ones, if any, are in the archive.
    pub(super) fn new(
        recent: impl IntoIterator<Item = Arc<Recent>>,
        last_final: u64,
        archive: Option<Archive>,
    ) -> History {
        let mut history = History {
            recent: VecDeque::new(),
            hashes: B256Map::default(),
            transactions: B256Map::default(),
            last_final,
            keep: None,
            archive,
            writer: None,
        };
        recent.into_iter().for_each(|recent| history.push(recent));
        history
    }

    /// A history that goes on in memory from this one.
    pub(super) fn fork(&self) -> History {
        let recent = self.recent.iter().cloned();
        History::new(recent, self.last_final, self.archive.clone())
    }

    /// From now on the newest `keep` blocks can be dropped, and others go into the archive.
    pub(super) fn keep(&mut self, keep: u64) -> Result<(), ArchiveError> {
        self.keep = Some(keep);
        if let Some(archive) = &self.archive {
            self.writer = Some(archive.writer()?);
        }
        Ok(())
    }

    fn push(&mut self, recent: Arc<Recent>) {
        let block = &recent.block;
        self.hashes.insert(block.hash, block.number);
        if let Some(transaction) = block.transaction {
            self.transactions.insert(transaction, block.number);
        }
        self.recent.push_back(recent);
    }

    fn forget(&mut self, block: &Block) {
        self.hashes.remove(&block.hash);
        if let Some(transaction) = block.transaction {
            self.transactions.remove(&transaction);
        }
    }

    pub(super) fn append(&mut self, recent: Recent) {
        let head = recent.block.number;
        self.push(Arc::new(recent));
        if let Some(keep) = self.keep {
            self.last_final = self.last_final.max(head.saturating_sub(keep));
            self.move_out();
        }
    }

    /// Lets go of what the archive has, and gives it what is final.
    fn move_out(&mut self) {
        let (Some(archive), Some(writer), Some(keep)) =
            (&mut self.archive, &mut self.writer, self.keep)
        else {
            return;
        };
        let many = (keep / 16).clamp(1, BATCH);
        let first = self.recent[0].block.number;
        // what can be dropped, and what it is dropped onto, stays
        let end = self.last_final;
        if writer.done() == Ok(writer.given()) && end >= writer.given() + many {
            let start = (writer.given() - first) as usize;
            let batch = self.recent.range(start..(end - first) as usize);
            writer.give(batch.cloned().collect());
        }
        if end - writer.done().unwrap_or(end) > BEHIND * many {
            writer.finish();
        }
        // after a failure nothing moves, and the chain takes nothing more
        let Ok(done) = writer.done() else { return };
        archive.see(done);
        for _ in first..done.max(first) {
            if let Some(gone) = self.recent.pop_front() {
                self.forget(&gone.block);
            }
        }
    }

    /// Waits for the archive to have what it was given, and what that kept it from being given.
    #[cfg(test)]
    pub(super) fn settle(&mut self) {
        for _ in 0..2 {
            if let Some(writer) = &self.writer {
                writer.finish();
            }
            self.move_out();
        }
    }

    /// Why no more blocks can be archived.
    pub(super) fn failure(&self) -> Option<String> {
        self.writer.as_ref()?.done().err()
    }

    /// How many blocks can be dropped.
    pub(super) fn droppable(&self) -> u64 {
        self.head().number - self.last_final
    }

    /// Drops the newest block, which must not be the last.
    pub(super) fn pop(&mut self) -> Option<Arc<Recent>> {
        let dropped = self.recent.pop_back()?;
        self.forget(&dropped.block);
        Some(dropped)
    }

    pub(super) fn head(&self) -> &Block {
        // the last block is never dropped
        &self.recent[self.recent.len() - 1].block
    }

    pub(super) fn last_final(&self) -> u64 {
        self.last_final
    }

    /// Blocks in memory.
    pub(super) fn recent(&self) -> impl ExactSizeIterator<Item = &Arc<Recent>> {
        self.recent.iter()
    }

    /// Blocks on disk.
    pub(super) fn archived(&self) -> u64 {
        self.archive.as_ref().map_or(0, Archive::blocks)
    }

    fn recent_at(&self, number: u64) -> Option<&Arc<Recent>> {
        let first = self.recent.front()?.block.number;
        self.recent
            .get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    pub(super) fn block(&self, number: u64) -> Result<Option<Block>, ArchiveError> {
        match (self.recent_at(number), &self.archive) {
            (Some(recent), _) => Ok(Some(recent.block.clone())),
            (None, Some(archive)) => Ok(archive.block(number)?.map(|(block, _)| block)),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn block_by_hash(&self, hash: B256) -> Result<Option<Block>, ArchiveError> {
        match (self.hashes.get(&hash), &self.archive) {
            (Some(number), _) => self.block(*number),
            (None, Some(archive)) => Ok(archive.block_by_hash(hash)?.map(|(block, _)| block)),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn receipt(&self, transaction: B256) -> Result<Option<Arc<Receipt>>, ArchiveError> {
        match (self.transactions.get(&transaction), &self.archive) {
            (Some(number), _) => Ok(self.recent_at(*number).and_then(|r| r.receipt.clone())),
            (None, Some(archive)) => {
                let row = archive.of_transaction(transaction)?;
                Ok(row.and_then(|(_, receipt)| receipt.map(Arc::new)))
            }
            (None, None) => Ok(None),
        }
    }

    pub(super) fn logs(&self, filter: &LogFilter) -> Result<Vec<LogEntry>, ArchiveError> {
        let (from, to) = (filter.from_block, filter.to_block);
        let mut found = Vec::new();
        let mut see = |receipt: &Receipt| {
            let matching = receipt.logs.iter().filter(|entry| filter.matches(entry));
            found.extend(matching.cloned());
        };
        let first = self.recent[0].block.number;
        if let Some(archive) = &self.archive
            && from < first
        {
            archive.receipts(from, to.min(first - 1), &mut see)?;
        }
        let start = from.saturating_sub(first).min(self.recent.len() as u64);
        self.recent
            .range(start as usize..)
            .take_while(|recent| recent.block.number <= to)
            .filter_map(|recent| recent.receipt.as_deref())
            .for_each(see);
        Ok(found)
    }
}
