//! What was found on disk lately, or not found: some of what contracts read again and again is hardly ever written.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::key::{Key, Value};

/// Of one value, with its place in two directions and in a table.
const BYTES: u64 = 256;

/// Values of keys, none where no segment has one. True of the segments that it was made for, and of what becomes of them in
/// merges.
#[derive(Debug)]
pub(super) struct Values {
    found: Option<Mutex<LruCache<Key, Option<Value>>>>,
    limit: u64,
}

impl Values {
    /// As many as fit so many bytes.
    pub(super) fn new(limit: u64) -> Values {
        let count = usize::try_from(limit / BYTES).ok();
        let count = count.and_then(NonZeroUsize::new);
        Values {
            found: count.map(|count| Mutex::new(LruCache::sparse(count))),
            limit,
        }
    }

    /// None of them.
    pub(super) fn emptied(&self) -> Values {
        Values::new(self.limit)
    }

    /// The value of a key, looked for where it is not here.
    pub(super) fn get<E>(
        &self,
        key: Key,
        find: impl FnOnce() -> Result<Option<Value>, E>,
    ) -> Result<Option<Value>, E> {
        let Some(found) = &self.found else {
            return find();
        };
        let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = lock().get(&key).cloned() {
            return Ok(value);
        }
        let value = find()?;
        lock().put(key, value.clone());
        Ok(value)
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        let count = self.found.as_ref().map_or(0, |found| {
            let found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.len()
        });
        count as u64 * BYTES
    }
}
