//! The machine's limits, to measure kernels beside: loops that only multiply and add, or only read, in the words that
//! the kernels use. The caller brings the clock and the threads.

use std::hint::black_box;

use super::isa::Isa;
use super::linear::narrow::{Narrow, NarrowKernel};
use super::simd::{Kernel, Simd};

/// Chains that do not wait for each other: more than an instruction takes cycles on two ports, and with their operands
/// no more than the registers of any instruction set.
const CHAINS: usize = 12;
/// Most lanes of a vector.
const LANES: usize = 16;

/// Runs `steps` fused multiply-adds of f32 in each of some independent chains. How many multiplications that were.
pub fn fma(isa: Isa, steps: usize) -> u64 {
    isa.run(Fma(steps))
}

struct Fma(usize);

impl Kernel for Fma {
    type Out = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        let (x, y) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
        let mut chains: [S::F; CHAINS] = std::array::from_fn(|i| s.splat(black_box(i as f32)));
        for _ in 0..self.0 {
            for chain in &mut chains {
                *chain = s.fma(*chain, x, y);
            }
        }
        for chain in chains {
            let mut out = [0.0f32; LANES];
            // SAFETY: no instruction set has more lanes.
            unsafe { s.store(out.as_mut_ptr(), chain) };
            black_box(out);
        }
        (self.0 * CHAINS * S::LANES) as u64
    }
}

/// Runs `steps` exact dot products of four bytes in each lane of some independent chains, as products with quantised
/// weights do. How many multiplications that were.
pub fn dots(isa: Isa, steps: usize) -> u64 {
    let mut count = 0;
    isa.run_narrow(Dots {
        steps,
        count: &mut count,
    });
    count
}

struct Dots<'a> {
    steps: usize,
    count: &'a mut u64,
}

impl NarrowKernel for Dots<'_> {
    #[inline(always)]
    fn run<D: Narrow>(self, d: D) {
        let (w, x) = (
            d.splat(black_box(0x0102_0304)),
            d.splat(black_box(0x00ff_01fe)),
        );
        let mut chains: [D::I; CHAINS] = std::array::from_fn(|i| d.splat(black_box(i as i32)));
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = d.dot_small(*chain, w, x);
            }
        }
        for chain in chains {
            let mut out = [0.0f32; LANES];
            // SAFETY: no instruction set has more lanes.
            unsafe { d.floats().store(out.as_mut_ptr(), d.to_f32(chain)) };
            black_box(out);
        }
        *self.count = (self.steps * CHAINS * 4 * D::LANES) as u64;
    }
}

/// Bytes from those that are read to those that are asked for.
const AHEAD: usize = 4 << 10;

/// Reads every byte once, but a last part that fills no 8 vectors.
pub fn read(isa: Isa, bytes: &[u8]) {
    isa.run(Read(bytes));
}

struct Read<'a>(&'a [u8]);

impl Kernel for Read<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut seen = [s.splat(0.0); 8];
        for lines in self.0.chunks_exact(8 * 4 * S::LANES) {
            let lines = lines.as_ptr().cast::<f32>();
            for (i, seen) in seen.iter_mut().enumerate() {
                s.prefetch(lines.wrapping_add(AHEAD / 4 + i * S::LANES));
                // SAFETY: `lines` has 8 vectors, which need not be aligned.
                let vector = unsafe { s.load(lines.add(i * S::LANES)) };
                *seen = s.bit_or(*seen, vector);
            }
        }
        for seen in seen {
            let mut out = [0.0f32; LANES];
            // SAFETY: no instruction set has more lanes.
            unsafe { s.store(out.as_mut_ptr(), seen) };
            black_box(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplications_are_counted_by_lanes() {
        for isa in Isa::available() {
            let lanes = fma(isa, 3) / (3 * CHAINS as u64);
            assert!([4, 8, 16].contains(&lanes), "{isa:?}: {lanes}");
            assert_eq!(dots(isa, 5), 5 * 4 * CHAINS as u64 * lanes);
            read(isa, &[1; 4001]);
        }
    }
}
