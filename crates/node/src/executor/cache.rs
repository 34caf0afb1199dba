//! A small bounded cache: the least recently used entry leaves.

use std::sync::{Mutex, PoisonError};

use super::ExecutorError;

/// Bounded, shared, with a linear search: for tens of entries whose making takes milliseconds.
pub(crate) struct Cache<K, V> {
    most: usize,
    /// Oldest first.
    entries: Mutex<Vec<(K, V)>>,
}

impl<K: PartialEq, V: Clone> Cache<K, V> {
    /// A cache of at most `most` entries.
    pub(crate) fn new(most: usize) -> Cache<K, V> {
        Cache {
            most,
            entries: Mutex::new(Vec::new()),
        }
    }

    /// The value of a key, made if absent. Nothing is locked while it is made: two callers may make
    /// the same value, which costs time and nothing else.
    pub(crate) fn get_or_make(
        &self,
        key: K,
        make: impl FnOnce() -> Result<V, ExecutorError>,
    ) -> Result<V, ExecutorError> {
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        let value = make()?;
        // A panic elsewhere leaves the list whole: entries are pushed and removed in one step each.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(other, _)| *other != key);
        entries.push((key, value.clone()));
        if entries.len() > self.most {
            entries.remove(0);
        }
        Ok(value)
    }

    /// The value of a key, if it is kept.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|(other, _)| other == key)?;
        let entry = entries.remove(at);
        let value = entry.1.clone();
        entries.push(entry);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entry_leaves() {
        let cache = Cache::new(2);
        let mut made = Vec::new();
        for key in [1, 2, 1, 3, 1, 2] {
            let value = cache.get_or_make(key, || {
                made.push(key);
                Ok(key * 10)
            });
            assert_eq!(value.unwrap(), key * 10);
        }
        assert_eq!(made, [1, 2, 3, 2]);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let cache: Cache<u8, u8> = Cache::new(2);
        let leaf_index = 9;
        assert!(
            cache
                .get_or_make(1, || Err(ExecutorError::Leaf { leaf_index }))
                .is_err()
        );
        assert_eq!(cache.get_or_make(1, || Ok(5)).unwrap(), 5);
    }
}
