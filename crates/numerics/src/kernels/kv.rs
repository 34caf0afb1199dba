//! Pages of a key/value cache: a layer's keys and values at [`KV_PAGE`] consecutive positions.
//!
//! Per KV head a page has its keys as `[position/16][head_dim][16]`, so that a query meets 16 positions at once, and
//! its values as `[position][head_dim]`, rows filled up with zeros to a multiple of 16. Keys of all heads come first.

/// Positions of a page.
pub const KV_PAGE: usize = 64;

/// Positions of keys side by side, and the multiple that rows of values are filled up to: the most lanes of a vector.
pub(super) const KV_BLOCK: usize = 16;

/// Extents of a layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Heads with keys and values of their own.
    pub kv_heads: usize,
    /// Values of a head.
    pub head_dim: usize,
}

impl KvShape {
    /// Values of a row of keys, or of values: all heads at one position.
    pub fn row_len(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Values of a page. Fastest where it begins at a multiple of 64 bytes.
    pub fn page_len(self) -> usize {
        self.kv_heads * KV_PAGE * (self.head_dim + self.padded_dim())
    }

    /// Writes the rows of one position, `slot` within the page.
    ///
    /// # Panics
    /// If a slice has another length than the shape, or `slot` is not below [`KV_PAGE`].
    pub fn write(self, page: &mut [f32], slot: usize, keys: &[f32], values: &[f32]) {
        self.check(page.len(), slot, [keys.len(), values.len()]);
        for head in 0..self.kv_heads {
            let row = head * self.head_dim..(head + 1) * self.head_dim;
            let at = self.key(head, slot);
            let column = page[at..].iter_mut().step_by(KV_BLOCK);
            for (to, from) in column.zip(&keys[row.clone()]) {
                *to = *from;
            }
            let at = self.value(head, slot);
            page[at..at + self.head_dim].copy_from_slice(&values[row]);
        }
    }

    /// Reads the rows of one position, `slot` within the page.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub fn read(self, page: &[f32], slot: usize, keys: &mut [f32], values: &mut [f32]) {
        self.check(page.len(), slot, [keys.len(), values.len()]);
        for head in 0..self.kv_heads {
            let row = head * self.head_dim..(head + 1) * self.head_dim;
            let at = self.key(head, slot);
            let column = page[at..].iter().step_by(KV_BLOCK);
            for (to, from) in keys[row.clone()].iter_mut().zip(column) {
                *to = *from;
            }
            let at = self.value(head, slot);
            values[row].copy_from_slice(&page[at..at + self.head_dim]);
        }
    }

    fn check(self, page: usize, slot: usize, rows: [usize; 2]) {
        assert!(
            page == self.page_len() && slot < KV_PAGE && rows == [self.row_len(); 2],
            "a page, a slot and rows of {self:?}"
        );
    }

    /// Values between rows of a head's values.
    pub(super) fn padded_dim(self) -> usize {
        self.head_dim.next_multiple_of(KV_BLOCK)
    }

    /// Index of the first value of a key; the others follow at distances of [`KV_BLOCK`].
    pub(super) fn key(self, head: usize, slot: usize) -> usize {
        let block = head * KV_PAGE / KV_BLOCK + slot / KV_BLOCK;
        block * KV_BLOCK * self.head_dim + slot % KV_BLOCK
    }

    /// Index of the first value of a row of values.
    pub(super) fn value(self, head: usize, slot: usize) -> usize {
        self.kv_heads * KV_PAGE * self.head_dim + (head * KV_PAGE + slot) * self.padded_dim()
    }
}
