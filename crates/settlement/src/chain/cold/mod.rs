//! State that was not written for long: on disk, in segments that are never changed. Copies of a chain share them, and a
//! snapshot refers to them.

mod build;
mod key;
mod page;
mod segment;
mod values;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy::primitives::{Address, U256};

use super::tables::{Holding, Slot};
pub(super) use build::{Order, of_segments, of_tables};
use key::{Key, Probe, Value};
pub(super) use page::Cache;
pub(super) use segment::{Reference, Segment};
use values::Values;

/// Why state on disk cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system said no.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A page that is not what was written.
    #[error(
        "{path} is damaged at byte {offset}: stop the chain and start it again: what the file holds is made anew from the journal"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the page starts.
        offset: u64,
    },
    /// A file that is not the one that a snapshot refers to.
    #[error(
        "{path} is damaged, or is not the file that is meant: its length or its hash is another"
    )]
    Other {
        /// The file.
        path: PathBuf,
    },
}

/// Values that were found take this part of what pages take.
const OF_CACHE: u64 = 3;

/// Segments, the newest first; one hides what those after it say.
#[derive(Clone, Debug)]
pub(super) struct Cold {
    segments: Arc<[Arc<Segment>]>,
    cache: Arc<Cache>,
    values: Arc<Values>,
}

impl Default for Cold {
    fn default() -> Self {
        Cold::new(Vec::new(), Arc::new(Cache::new(0)))
    }
}

impl Cold {
    pub(super) fn new(segments: Vec<Arc<Segment>>, cache: Arc<Cache>) -> Cold {
        Cold {
            segments: segments.into(),
            values: Arc::new(Values::new(cache.limit() / OF_CACHE)),
            cache,
        }
    }

    /// Opens the segments that are referred to.
    pub(super) fn open(
        folder: &Path,
        references: &[Reference],
        cache: Arc<Cache>,
    ) -> Result<Cold, StateError> {
        let open = |reference| Segment::open(folder, reference).map(Arc::new);
        let segments: Result<Vec<_>, _> = references.iter().map(open).collect();
        Ok(Cold::new(segments?, cache))
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        self.segments.iter().map(|s| s.reference.clone()).collect()
    }

    /// Puts a segment in the place of those with these ids, or before all others.
    pub(super) fn take_in(&mut self, segment: Segment, of: &[u64]) {
        let is_replaced = |s: &Arc<Segment>| of.contains(&s.reference.id);
        let place = self.segments.iter().position(is_replaced).unwrap_or(0);
        let mut segments = self.segments.to_vec();
        segments.retain(|s| !is_replaced(s));
        segments.insert(place, Arc::new(segment));
        self.segments = segments.into();
        if of.is_empty() {
            self.values = Arc::new(self.values.emptied());
        }
    }

    /// An account that is written here, also where it is nothing.
    pub(super) fn account(&self, address: &Address) -> Result<Option<Holding>, StateError> {
        self.get(|| key::of_account(address), key::holding)
    }

    /// A slot that is written here, also where it is zero.
    pub(super) fn slot(&self, slot: &Slot) -> Result<Option<U256>, StateError> {
        self.get(|| key::of_slot(slot), key::word)
    }

    fn get<T>(
        &self,
        key: impl Fn() -> Key,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, StateError> {
        if self.segments.is_empty() {
            return Ok(None);
        }
        let key = key();
        let is_one = |value: &Value| read(value).is_some();
        let value = self.values.get(key, || self.find(&key, is_one))?;
        Ok(value.and_then(|value| read(&value)))
    }

    fn find(
        &self,
        key: &Key,
        is_one: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, StateError> {
        let probe = Probe::of(key);
        for segment in self.segments.iter() {
            match segment.get(key, probe, &self.cache)? {
                Some(value) if is_one(&value) => return Ok(Some(value)),
                Some(_) => return Err(segment.damaged(0)),
                None => {}
            }
        }
        Ok(None)
    }

    /// Every account and slot that is something, with what these layers say before it, the older first.
    #[cfg(test)]
    pub(super) fn all<'a>(
        &self,
        layers: impl Iterator<Item = &'a super::tables::Tables>,
    ) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all: std::collections::BTreeMap<_, _> = build::merged(&self.segments)
            .map(|entry| entry.unwrap())
            .collect();
        all.extend(layers.flat_map(key::sorted));
        all.retain(|_, value| !value.is_empty());
        all.into_iter()
            .map(|(key, value)| (key.to_vec(), value))
            .collect()
    }

    /// Bytes in memory: pages, and the indexes of segments.
    pub(super) fn bytes(&self) -> u64 {
        let indexes = self.segments.iter().map(|s| s.index_bytes());
        self.cache.bytes() + self.values.bytes() + indexes.sum::<u64>()
    }

    /// Bytes on disk.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.segments.iter().map(|s| s.reference.length).sum()
    }

    /// Accounts and slots on disk; those that were written again since are counted again.
    pub(super) fn entries(&self) -> u64 {
        self.segments.iter().map(|s| s.entries()).sum()
    }

    /// Pages that were read from the disk.
    pub(super) fn pages_read(&self) -> u64 {
        self.cache.read()
    }
}

/// Removes what was not finished. Returns a number above those of all segments.
pub(super) fn tidy(folder: &Path) -> io::Result<u64> {
    let mut next = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match segment::id(&path) {
            Some((_, false)) => std::fs::remove_file(path)?,
            Some((id, true)) => next = next.max(id.saturating_add(1)),
            None => {}
        }
    }
    Ok(next)
}

/// Removes the segments below `next` that are not among these.
pub(super) fn sweep(folder: &Path, next: u64, kept: &HashSet<u64>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some((id, true)) = segment::id(&path)
            && id < next
            && !kept.contains(&id)
        {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
