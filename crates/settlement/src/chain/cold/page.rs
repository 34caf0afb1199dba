//! Pages of segments: in the file, and those that are in memory.

use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::Bytes;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use lru::LruCache;

use super::key::Key;

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Located {
    /// The first key in it.
    pub(super) first: Key,
    /// Of its checksum, which it follows.
    pub(super) offset: u64,
    /// Without its checksum.
    pub(super) length: u32,
}

/// The page of those in their order that would hold a key.
pub(super) fn that_may_hold<'a>(pages: &'a [Located], key: &Key) -> Option<&'a Located> {
    let after = pages.partition_point(|page| page.first <= *key);
    pages.get(after.checked_sub(1)?)
}

/// Pages of data that lie together, and a filter of all their keys.
#[derive(Debug, RlpEncodable, RlpDecodable)]
pub(super) struct Group {
    pub(super) filter: Bytes,
    pub(super) pages: Vec<Located>,
}

/// Checksum of a page: one that is read from where it does not belong has another.
pub(super) fn checksum(offset: u64, page: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_le_bytes());
    crc.update(page);
    crc.finalize()
}

/// Adds an entry to a page of data: how much of the key is as in the one before, the rest of it, and the value.
pub(super) fn push(page: &mut Vec<u8>, before: &Key, key: &Key, value: &[u8]) {
    let shared = match page.is_empty() {
        true => 0,
        false => key.iter().zip(before).take_while(|(a, b)| a == b).count(),
    };
    // both are short: a key has 53 bytes, an account at most 76
    page.push(shared as u8);
    page.extend(&key[shared..]);
    page.push(value.len() as u8);
    page.extend(value);
}

/// How far a page of data is read.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    pub(super) at: usize,
    /// The last that was read.
    pub(super) key: Key,
}

impl Cursor {
    /// The value of the next key; none where there is no whole entry.
    pub(super) fn next<'a>(&mut self, page: &'a [u8]) -> Option<&'a [u8]> {
        let (shared, rest) = page.get(self.at..)?.split_first()?;
        let tail = self.key.get_mut(usize::from(*shared)..)?;
        let (key, rest) = rest.split_at_checked(tail.len())?;
        tail.copy_from_slice(key);
        let (length, rest) = rest.split_first()?;
        let value = rest.get(..usize::from(*length))?;
        self.at += 2 + key.len() + value.len();
        Some(value)
    }
}

/// A page in memory.
#[derive(Debug)]
pub(super) enum Page {
    Group(Group),
    Data(Vec<u8>),
}

impl Page {
    /// Bytes that it takes, with its place in the cache.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Page::Group(group) => group.filter.len() + size_of_val(group.pages.as_slice()),
            Page::Data(data) => data.len(),
        };
        (bytes + size_of::<Page>() + 64) as u64
    }
}

/// Pages that were read last. Segments are never changed, so a page is true as long as it is there.
#[derive(Debug)]
pub(crate) struct Cache {
    limit: u64,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    /// By segment and offset.
    pages: LruCache<(u64, u64), Arc<Page>>,
    bytes: u64,
    read: u64,
}

impl Cache {
    /// One that takes so many bytes at most.
    pub(crate) fn new(limit: u64) -> Cache {
        let inside = Inside {
            pages: LruCache::unbounded(),
            bytes: 0,
            read: 0,
        };
        Cache {
            limit,
            inside: Mutex::new(inside),
        }
    }

    /// A segment's page at an offset, which is read where it is not here.
    pub(super) fn page<E>(
        &self,
        place: (u64, u64),
        read: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Arc<Page>, E> {
        if let Some(page) = self.locked(|inside| inside.pages.get(&place).cloned()) {
            return Ok(page);
        }
        let page = Arc::new(read()?);
        self.locked(|inside| {
            inside.read += 1;
            inside.bytes += page.bytes();
            let before = inside.pages.put(place, Arc::clone(&page));
            inside.bytes -= before.map_or(0, |page| page.bytes());
            while inside.bytes > self.limit
                && let Some((_, gone)) = inside.pages.pop_lru()
            {
                inside.bytes -= gone.bytes();
            }
        });
        Ok(page)
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Inside) -> T) -> T {
        // no act panics half done
        act(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes that it may take.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.locked(|inside| inside.bytes)
    }

    /// Pages that were read from the disk.
    pub(super) fn read(&self) -> u64 {
        self.locked(|inside| inside.read)
    }
}
