//! Seams to the outside: who runs the parts of a kernel, and where the parts write.
//!
//! Kernels start no threads. They cut their output into disjoint parts and hand the parts to a
//! [`Parallel`]; since every element is computed by itself, neither the cut nor the order changes a bit.

use std::cell::Cell;
use std::marker::PhantomData;

/// Runs the independent parts of a kernel, in any order, on any threads.
pub trait Parallel: Sync {
    /// How many parts can make progress at once; kernels cut their work accordingly.
    fn workers(&self) -> usize;

    /// Calls `part(i)` once for every `i` in `0 .. parts`, and returns when all calls have returned.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// Runs the parts one after the other on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequential;

impl Parallel for Sequential {
    fn workers(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        for i in 0..parts {
            part(i);
        }
    }
}

/// An output slice that several parts write at once, each its own elements.
pub(super) struct SharedOut<'a, T = f32> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the accessors hand out elements only under the promise that no two parts touch the same one.
unsafe impl<T: Send> Sync for SharedOut<'_, T> {}

impl<'a, T> SharedOut<'a, T> {
    pub(super) fn new(out: &'a mut [T]) -> SharedOut<'a, T> {
        SharedOut {
            start: out.as_mut_ptr(),
            len: out.len(),
            borrow: PhantomData,
        }
    }

    /// The `count` elements from `first`.
    ///
    /// # Safety
    /// No other part holds or writes any of these elements at the same time.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // disjointness is the caller's promise
    pub(super) unsafe fn slice(&self, first: usize, count: usize) -> &mut [T] {
        assert!(
            first <= self.len && count <= self.len - first,
            "part outside of its output"
        );
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), count) }
    }

    /// Pointer to element `first`, after checking that a strided block of `rows` rows of `cols`
    /// elements, `stride` apart, lies inside.
    #[inline(always)]
    pub(super) fn block(&self, first: usize, rows: usize, cols: usize, stride: usize) -> *mut T {
        let last = first + rows.saturating_sub(1) * stride + cols;
        assert!(last <= self.len, "block outside of its output");
        // SAFETY: `first <= last <= len`.
        unsafe { self.start.add(first) }
    }
}

/// Cuts `0 .. len` into parts of whole multiples of `grain` (the last may be short) and runs
/// `body(start, end)` on each. Small work stays on the calling thread.
pub(super) fn split(
    par: &dyn Parallel,
    len: usize,
    grain: usize,
    body: &(dyn Fn(usize, usize) + Sync),
) {
    let grain = grain.max(1);
    let units = len.div_ceil(grain);
    let parts = (par.workers() * 3).min(units);
    if par.workers() <= 1 || parts <= 1 {
        if len > 0 {
            body(0, len);
        }
        return;
    }
    par.run(parts, &|i| {
        let start = (units * i / parts) * grain;
        let end = ((units * (i + 1) / parts) * grain).min(len);
        if start < end {
            body(start, end);
        }
    });
}

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// A per-thread buffer of f32 of arbitrary content, aligned to 64 bytes; goes back when dropped.
/// Nested use is safe and allocates. (A guard rather than a closure: kernel bodies must be inlined
/// into the function that enables their instructions.)
pub(super) struct Scratch {
    buffer: Vec<f32>,
    skip: usize,
    len: usize,
}

impl Scratch {
    pub(super) fn take(len: usize) -> Scratch {
        let mut buffer = SCRATCH.take();
        if buffer.len() < len + 16 {
            buffer = vec![0.0; len + 16];
        }
        let skip = buffer.as_ptr().align_offset(64).min(16);
        Scratch { buffer, skip, len }
    }

    pub(super) fn as_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.skip..self.skip + self.len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        SCRATCH.set(std::mem::take(&mut self.buffer));
    }
}
