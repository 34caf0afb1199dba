//! Rotary position embedding: pairs of a head's values turned by angles that depend on the position.

use super::isa::Isa;
use super::simd::{Kernel, Simd};
use crate::scalar::canonical;

/// Which values make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RopeShape {
    /// Values of a head.
    pub head_dim: usize,
    /// Pair `j` is `j` and `j + rotary/2`; otherwise it is `2j` and `2j + 1`.
    pub halves: bool,
    /// Values at the start of a head that are turned, an even number.
    pub rotary: usize,
}

/// Turns the heads of `x` in place; `table` has cosine and sine of every pair, one after the other.
///
/// # Panics
/// If `x` is no whole number of heads, `table` has not `rotary` values, or `rotary` does not fit a head.
pub fn rope(isa: Isa, shape: RopeShape, table: &[f32], x: &mut [f32]) {
    let RopeShape {
        head_dim, rotary, ..
    } = shape;
    assert!(
        head_dim > 0 && rotary <= head_dim && rotary.is_multiple_of(2) && table.len() == rotary,
        "rotary"
    );
    assert!(x.len().is_multiple_of(head_dim), "length");
    isa.run(Rope { shape, table, x });
}

struct Rope<'a> {
    shape: RopeShape,
    table: &'a [f32],
    x: &'a mut [f32],
}

/// `(a, b)` turned: `fma(a, c, -(b * s))`, `fma(a, s, b * c)`.
#[inline(always)]
fn turned(a: f32, b: f32, [c, s]: [f32; 2]) -> [f32; 2] {
    [
        canonical(a.mul_add(c, -(b * s))),
        canonical(a.mul_add(s, b * c)),
    ]
}

impl Kernel for Rope<'_> {
    type Out = ();

    // plain loops: compiled for the instruction set by the caller, and vectorised there
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let table = self.table.as_chunks::<2>().0;
        for head in self.x.chunks_exact_mut(self.shape.head_dim) {
            let head = &mut head[..self.shape.rotary];
            if self.shape.halves {
                let (low, high) = head.split_at_mut(self.shape.rotary / 2);
                for ((a, b), &angle) in low.iter_mut().zip(high).zip(table) {
                    [*a, *b] = turned(*a, *b, angle);
                }
            } else {
                for (pair, &angle) in head.as_chunks_mut::<2>().0.iter_mut().zip(table) {
                    *pair = turned(pair[0], pair[1], angle);
                }
            }
        }
    }
}
