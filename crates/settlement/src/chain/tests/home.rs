//! A folder in which a chain lives.

use std::fs;
use std::path::PathBuf;

use super::*;

pub(super) struct Home(pub(super) tempfile::TempDir);

impl Home {
    pub(super) fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    pub(super) fn open(&self) -> Result<Chain, ChainError> {
        Chain::open(self.0.path(), genesis())
    }

    /// [`open`](Self::open) with little in memory, and no snapshot unless a test [saves](Chain::saved) one.
    pub(super) fn open_small(&self) -> Chain {
        let options = Options {
            recent_blocks: 6,
            snapshot_records: u64::MAX,
            ..Options::default()
        };
        Chain::open_with(self.0.path(), genesis(), options).unwrap()
    }

    /// [`open_small`](Self::open_small) with all state on disk, but for what the newest blocks have written.
    pub(super) fn open_without_memory(&self) -> Chain {
        let options = Options {
            recent_blocks: 6,
            snapshot_records: u64::MAX,
            state_memory: 0,
            replay_all: false,
        };
        Chain::open_with(self.0.path(), genesis(), options).unwrap()
    }

    /// The snapshots, the newest first.
    pub(super) fn snapshots(&self) -> Vec<PathBuf> {
        snapshot::list(self.0.path()).unwrap()
    }

    /// A folder in which a chain has lived, and what was seen of it.
    pub(super) fn lived() -> (Home, Seen) {
        let home = Home::new();
        let mut chain = home.open().unwrap();
        lived(&mut chain);
        let before = seen(&chain);
        (home, before)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.0.path().join("chain.journal")
    }

    /// The journal as it is when it can be written, and its records.
    pub(super) fn replayed(&self) -> (Journal, u64) {
        let (mut journal, _) = Journal::open(self.0.path(), &genesis()).unwrap();
        journal.replay(|_| Ok(())).unwrap();
        let records = journal.written();
        (journal, records)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        fs::read(self.journal()).unwrap()
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        fs::write(self.journal(), bytes).unwrap();
    }
}
