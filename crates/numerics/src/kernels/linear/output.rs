//! Rows of an output that several threads write at once, each its own rectangle.

use std::ops::Range;
use std::sync::Mutex;

use crate::kernels::parallel::SharedOut;

/// A matrix of f32 in a slice, element `(i, j)` at `i * stride + j`, whose rectangles are written by calls on any threads.
/// Every element is written by one call at most, so that no two calls touch the same one.
pub struct SharedRows<'a> {
    out: SharedOut<'a>,
    stride: usize,
    /// Column at the start of a row.
    first: usize,
    claims: Mutex<Vec<(Range<usize>, Range<usize>)>>,
}

impl<'a> SharedRows<'a> {
    /// Rows of `out`, `stride` apart.
    pub fn new(out: &'a mut [f32], stride: usize) -> SharedRows<'a> {
        SharedRows::window(out, 0..stride)
    }

    /// Rows of `out` that have only these columns of the matrix.
    pub fn window(out: &'a mut [f32], columns: Range<usize>) -> SharedRows<'a> {
        SharedRows {
            out: SharedOut::new(out),
            stride: columns.len(),
            first: columns.start,
            claims: Mutex::new(Vec::new()),
        }
    }

    /// The rectangle of these rows and columns, for one caller.
    ///
    /// # Panics
    /// If part of it has been claimed before or lies outside.
    pub(super) fn claim(&self, rows: Range<usize>, columns: Range<usize>) -> Rectangle<'_> {
        assert!(
            self.first <= columns.start && columns.end <= self.first + self.stride,
            "columns overlap another row"
        );
        let first = rows.start * self.stride + columns.start - self.first;
        let start = self
            .out
            .block(first, rows.len(), columns.len(), self.stride);
        {
            let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
            // a panicking claim leaves the list whole
            let mut claims = self.claims.lock().unwrap_or_else(|e| e.into_inner());
            assert!(
                !claims
                    .iter()
                    .any(|(r, c)| overlap(r, &rows) && overlap(c, &columns)),
                "rows {rows:?}, columns {columns:?} are written twice"
            );
            claims.push((rows.clone(), columns.clone()));
        }
        Rectangle {
            start,
            stride: self.stride,
            rows: rows.len(),
            columns: columns.len(),
            borrow: std::marker::PhantomData,
        }
    }
}

/// A claimed rectangle.
pub(super) struct Rectangle<'a> {
    start: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
    borrow: std::marker::PhantomData<&'a mut [f32]>,
}

impl Rectangle<'_> {
    /// Columns `from ..` of row `i`.
    ///
    /// # Panics
    /// If they lie outside.
    #[inline(always)]
    pub(super) fn row(&mut self, i: usize, from: usize, len: usize) -> &mut [f32] {
        assert!(
            i < self.rows && from + len <= self.columns,
            "outside of the rectangle"
        );
        // SAFETY: inside the rectangle, which `claim` gave to this value alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.stride + from), len) }
    }
}
