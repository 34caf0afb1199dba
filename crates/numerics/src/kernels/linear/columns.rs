//! Activations that are written by columns: what makes a product's input out of another's output part by part, while
//! the part is in the processor's caches.

use std::ops::Range;
use std::sync::Mutex;

use super::activations::{BLOCK_WORDS, quantise};
use crate::blocks::ACTIVATION_BLOCK;
use crate::kernels::Isa;
use crate::kernels::parallel::{Scratch, SharedOut};

/// Writes columns of [`Activations`](super::Activations), each once.
pub struct ColumnsWriter<'a> {
    m: usize,
    k: usize,
    stride: usize,
    quantised: bool,
    floats: SharedOut<'a, f32>,
    blocks: SharedOut<'a, u32>,
    claims: Mutex<Vec<Range<usize>>>,
}

impl<'a> ColumnsWriter<'a> {
    /// `[m, k, stride]` are the extents, and the values from row to row of `floats`.
    pub(super) fn new(
        [m, k, stride]: [usize; 3],
        quantised: bool,
        floats: SharedOut<'a, f32>,
        blocks: SharedOut<'a, u32>,
    ) -> ColumnsWriter<'a> {
        ColumnsWriter {
            m,
            k,
            stride,
            quantised,
            floats,
            blocks,
            claims: Mutex::new(Vec::new()),
        }
    }

    /// These columns of all rows, for one caller.
    ///
    /// # Panics
    /// If some have been claimed before, lie outside, or are no whole blocks of activations that are quantised.
    pub fn part(&self, columns: Range<usize>) -> ColumnsPart<'_> {
        let whole = columns.start.is_multiple_of(ACTIVATION_BLOCK)
            && columns.len().is_multiple_of(ACTIVATION_BLOCK);
        assert!(
            columns.start <= columns.end && columns.end <= self.k && (whole || !self.quantised),
            "columns {columns:?} of {}",
            self.k
        );
        // a panicking claim leaves the list whole
        let mut claims = self.claims.lock().unwrap_or_else(|e| e.into_inner());
        assert!(
            !claims
                .iter()
                .any(|c| c.start < columns.end && columns.start < c.end),
            "columns {columns:?} are written twice"
        );
        claims.push(columns.clone());
        ColumnsPart { of: self, columns }
    }
}

/// Claimed columns.
pub struct ColumnsPart<'a> {
    of: &'a ColumnsWriter<'a>,
    columns: Range<usize>,
}

impl ColumnsPart<'_> {
    /// Lets `write` fill the columns of row `i` (of arbitrary content before), then quantises them where that is asked
    /// for.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn fill_row(&mut self, isa: Isa, i: usize, write: impl FnOnce(&mut [f32])) {
        let (of, len) = (self.of, self.columns.len());
        assert!(i < of.m, "row {i} of {}", of.m);
        if of.quantised {
            let mut scratch = Scratch::take(len);
            write(scratch.as_mut());
            let first = (i * of.k + self.columns.start) / ACTIVATION_BLOCK * BLOCK_WORDS;
            // SAFETY: `part` gave these columns to this value alone, which writes one row at a time.
            let out = unsafe { of.blocks.slice(first, len / ACTIVATION_BLOCK * BLOCK_WORDS) };
            quantise(isa, scratch.as_mut(), out);
        } else {
            let first = i * of.stride + self.columns.start;
            // SAFETY: as above.
            write(unsafe { of.floats.slice(first, len) });
        }
    }
}
