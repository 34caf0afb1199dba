//! Operators on each element of rows that begin anywhere.

use super::super::isa::Isa;
use super::super::parallel::{Parallel, split};
use super::super::simd::{Kernel, Simd};
use super::rows::{MutRows, Rows};
use super::tail::{Block, Tail};

/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 14;

/// Rows of `x`, done `tail` to, into the rows of `out`.
///
/// # Panics
/// If operands do not fit together.
pub fn pointwise(isa: Isa, par: &dyn Parallel, x: Rows<'_>, tail: &[Tail<'_>], out: &MutRows<'_>) {
    assert!(
        x.map.fits(out.count, out.len, x.values.len())
            && tail.iter().all(|tail| tail.covers(out.count, out.len)),
        "operands do not cover the rows"
    );
    let grain = GRAIN / out.len.max(1) + 1;
    split(par, out.count, grain, &|start, end| {
        isa.run(Part {
            x: &x,
            tail,
            out,
            start,
            end,
        });
    });
}

struct Part<'a> {
    x: &'a Rows<'a>,
    tail: &'a [Tail<'a>],
    out: &'a MutRows<'a>,
    start: usize,
    end: usize,
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.start..self.end {
            let (from, to) = (self.x.pointer(row), self.out.pointer(row));
            let mut column = 0;
            while column + 4 * S::LANES <= self.out.len {
                self.run_vectors::<S, 4>(s, row, column, from, to);
                column += 4 * S::LANES;
            }
            while column < self.out.len {
                self.run_vectors::<S, 1>(s, row, column, from, to);
                column += S::LANES;
            }
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn run_vectors<S: Simd, const NV: usize>(
        &self,
        s: S,
        row: usize,
        column: usize,
        from: *const f32,
        to: *mut f32,
    ) {
        let count = (NV * S::LANES).min(self.out.len - column);
        // SAFETY: `pointwise` has checked rows and tail; rows of a part are of no other.
        unsafe {
            let mut values = [s.splat(0.0); NV];
            for (v, value) in values.iter_mut().enumerate() {
                let at = column + v * S::LANES;
                *value = s.load_first(from.wrapping_add(at), count.saturating_sub(v * S::LANES));
            }
            let mut block = Block::<S, 1, NV> {
                values: [values],
                row,
                column,
                count,
            };
            block.apply(s, self.tail);
            for v in 0..NV {
                let at = column + v * S::LANES;
                let value = s.canonical(block.values[0][v]);
                s.store_first(
                    to.wrapping_add(at),
                    value,
                    count.saturating_sub(v * S::LANES),
                );
            }
        }
    }
}
