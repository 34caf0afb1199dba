//! The cache of keys and values, in pages: memory is taken as sequences grow, and bounded for all of them together.

use std::sync::{Arc, Mutex, PoisonError};

use gavel_numerics::kernels::{KV_PAGE, KvShape, Storage};

use super::LanguageError;

/// Keys and values of every layer at [`KV_PAGE`] consecutive positions of one sequence.
pub(crate) struct Page {
    storage: Storage,
    /// Values of a layer.
    layer: usize,
}

impl Page {
    fn new(layers: usize, layer: usize) -> Page {
        Page {
            storage: Storage::new(layers * layer * size_of::<f32>()),
            layer,
        }
    }

    /// A layer's part.
    pub(crate) fn layer(&self, layer: usize) -> &[f32] {
        // storage begins on a cache line
        let values: &[f32] = bytemuck::cast_slice(self.storage.bytes());
        &values[layer * self.layer..][..self.layer]
    }

    /// A layer's part, to be written.
    pub(crate) fn layer_mut(&mut self, layer: usize) -> &mut [f32] {
        let values: &mut [f32] = bytemuck::cast_slice_mut(self.storage.bytes_mut());
        &mut values[layer * self.layer..][..self.layer]
    }
}

/// Where pages come from and go back to. Clones share the pages.
#[derive(Clone)]
pub(crate) struct PagePool(Arc<Mutex<Pool>>);

struct Pool {
    free: Vec<Page>,
    /// Pages that exist, free or not.
    made: usize,
    most: usize,
    layers: usize,
    layer: usize,
}

impl PagePool {
    /// A pool of at most `most_bytes` of pages.
    pub(crate) fn new(layers: usize, shape: KvShape, most_bytes: u64) -> PagePool {
        let layer = shape.page_len();
        let page_bytes = (layers * layer * size_of::<f32>()).max(1) as u64;
        PagePool(Arc::new(Mutex::new(Pool {
            free: Vec::new(),
            made: 0,
            most: usize::try_from(most_bytes / page_bytes).unwrap_or(usize::MAX),
            layers,
            layer,
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pool> {
        // pages are pushed and popped whole
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pages of all sequences together.
    pub(crate) fn most(&self) -> usize {
        self.lock().most
    }
}

/// The pages of one sequence, in order of positions. They go back when it is dropped.
pub(crate) struct PageTable {
    pool: PagePool,
    pages: Vec<Page>,
}

impl PageTable {
    /// No pages.
    pub(crate) fn new(pool: PagePool) -> PageTable {
        let pages = Vec::new();
        PageTable { pool, pages }
    }

    /// Pages that are missing for `positions` positions.
    pub(crate) fn missing(&self, positions: usize) -> usize {
        positions.div_ceil(KV_PAGE).saturating_sub(self.pages.len())
    }

    /// Takes the pages of the first `positions` positions, or none if there are too few.
    pub(crate) fn grow(&mut self, positions: usize) -> Result<(), LanguageError> {
        let missing = self.missing(positions);
        if missing == 0 {
            return Ok(());
        }
        let mut pool = self.pool.lock();
        let available = pool.free.len() + pool.most.saturating_sub(pool.made);
        if missing > available {
            return Err(LanguageError::CacheFull {
                needed: missing,
                available,
                page: KV_PAGE,
            });
        }
        for _ in 0..missing {
            let page = match pool.free.pop() {
                Some(page) => page,
                None => {
                    pool.made += 1;
                    Page::new(pool.layers, pool.layer)
                }
            };
            self.pages.push(page);
        }
        Ok(())
    }

    /// A layer's part of every page.
    pub(crate) fn layer(&self, layer: usize) -> Vec<&[f32]> {
        self.pages.iter().map(|page| page.layer(layer)).collect()
    }

    /// The pages, to be written.
    pub(crate) fn pages_mut(&mut self) -> &mut [Page] {
        &mut self.pages
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        self.pool.lock().free.append(&mut self.pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_come_back() {
        let shape = KvShape {
            kv_heads: 1,
            head_dim: 4,
        };
        let page_bytes = (2 * shape.page_len() * 4) as u64;
        let pool = PagePool::new(2, shape, 3 * page_bytes + 1);
        let mut first = PageTable::new(pool.clone());
        let mut second = PageTable::new(pool.clone());
        first.grow(KV_PAGE + 1).unwrap();
        assert_eq!(first.layer(0).len(), 2);
        first.grow(KV_PAGE).unwrap();
        second.grow(1).unwrap();
        assert!(matches!(
            second.grow(KV_PAGE + 1),
            Err(LanguageError::CacheFull {
                needed: 1,
                available: 0,
                ..
            })
        ));
        assert_eq!(second.layer(0).len(), 1);
        assert_eq!(second.layer(1)[0].len(), shape.page_len());
        assert!(second.layer(0)[0].as_ptr().addr().is_multiple_of(64));
        drop(first);
        assert_eq!(pool.most(), 3);
        second.grow(3 * KV_PAGE).unwrap();
    }
}
