//! The words over narrow integers that products with stored weights need beside [`Simd`]: one thin file per
//! instruction set forwards them, as there. Every word is exact.

use super::Job;
use super::blocks::Blocks;
use super::floats::Floats;
use crate::kernels::simd::Simd;

/// A kernel over [`Narrow`], compiled per instruction set.
pub(in crate::kernels) trait NarrowKernel {
    /// The body. Must be `#[inline(always)]`, so that it is compiled with the caller's instructions.
    fn run<D: Narrow>(self, words: D);
}

/// Integers of as many lanes as the f32 vectors of `S`: a lane holds one i32, two i16, or four bytes. Implementors are
/// zero-sized tokens that exist only where the CPU has the instructions.
pub(in crate::kernels) trait Narrow: Copy {
    /// The f32 vectors beside.
    type S: Simd;
    /// A vector of integers.
    type I: Copy;
    /// Lanes of a vector.
    const LANES: usize = <Self::S as Simd>::LANES;
    /// Whether [`dot_biased`](Self::dot_biased) sees weights greater by 128 as they are.
    const BIASED: bool;

    /// The f32 vectors' words.
    fn floats(self) -> Self::S;
    /// Bytes that begin at `p`, a vector of them.
    ///
    /// # Safety
    /// `4 * LANES` bytes from `p` are readable.
    unsafe fn load(self, p: *const u8) -> Self::I;
    /// The four bytes at `p` in every lane.
    ///
    /// # Safety
    /// Four bytes from `p` are readable.
    unsafe fn broadcast(self, p: *const u8) -> Self::I;
    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::I;
    /// Bitwise and.
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// Every lane's 32 bits to the right, zeros from the left.
    fn shr<const N: u32>(self, a: Self::I) -> Self::I;
    /// Every lane's 32 bits to the left.
    fn shl<const N: u32>(self, a: Self::I) -> Self::I;
    /// Per lane the sum of two products of i16.
    fn madd16(self, a: Self::I, b: Self::I) -> Self::I;
    /// `acc` and per lane the four products of bytes of `w` (0 ..= 127, weights as they are) and `x` (signed).
    fn dot_small(self, acc: Self::I, w: Self::I, x: Self::I) -> Self::I;
    /// `acc` and per lane the four products of weights, stored greater by 128, and `x` (signed, not -128 unless
    /// [`BIASED`](Self::BIASED)): of the stored bytes where `BIASED`, else of the weights.
    fn dot_biased(self, acc: Self::I, w: Self::I, x: Self::I) -> Self::I;
    /// i32 to f32; the magnitudes here are at most 2^24.
    fn to_f32(self, a: Self::I) -> <Self::S as Simd>::F;
    /// `LANES` binary16 as f32.
    ///
    /// # Safety
    /// `2 * LANES` bytes from `p` are readable.
    unsafe fn f16(self, p: *const u8) -> <Self::S as Simd>::F;
    /// `LANES` bfloat16 as f32.
    ///
    /// # Safety
    /// `2 * LANES` bytes from `p` are readable.
    unsafe fn bf16(self, p: *const u8) -> <Self::S as Simd>::F;
    /// `LANES` signed bytes as f32.
    ///
    /// # Safety
    /// `LANES` bytes from `p` are readable.
    unsafe fn i8(self, p: *const u8) -> <Self::S as Simd>::F;
    /// Asks for the line at `p`, which need not be readable, into the second-level cache.
    fn prefetch(self, p: *const u8);

    /// Most rows of a tile of blocks; every smaller number is there too.
    const BLOCK_ROWS: usize;
    /// Numbers of rows of tiles of floats, falling to 1.
    const FLOAT_ROWS: &'static [usize];
    /// Columns of a tile.
    const COLUMNS: usize;
    /// Columns of a tile where a product has one row.
    const ROW_COLUMNS: usize = Self::COLUMNS;

    /// A tile of `rows` rows of quantised weights.
    ///
    /// # Safety
    /// As [`super::blocks::tile`].
    unsafe fn blocks<W: Blocks>(self, rows: usize, job: &Job);
    /// A tile of `rows` rows, one of [`FLOAT_ROWS`](Self::FLOAT_ROWS), of floating weights.
    ///
    /// # Safety
    /// As [`super::floats::tile`].
    unsafe fn chunk<W: Floats>(self, rows: usize, job: &Job);
}

/// Portable: arrays.
pub(super) mod portable {
    use super::super::{Job, blocks, floats};
    use super::{Blocks, Floats, Narrow};
    use crate::convert::{bf16_to_f32, f16_to_f32};
    use crate::kernels::scalar::Scalar;
    use crate::kernels::simd::Simd;

    const LANES: usize = <Scalar as Simd>::LANES;
    type Ints = [i32; LANES];

    #[inline(always)]
    fn zip(a: Ints, b: Ints, f: impl Fn(i32, i32) -> i32) -> Ints {
        [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
    }

    #[inline(always)]
    fn map<T: Copy, U>(a: [T; LANES], f: impl Fn(T) -> U) -> [U; LANES] {
        [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
    }

    #[inline(always)]
    fn dot(w: [i32; 4], x: i32) -> i32 {
        let x = x.to_le_bytes().map(|q| i32::from(q.cast_signed()));
        w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3]
    }

    impl Narrow for Scalar {
        type S = Scalar;
        type I = Ints;
        const BIASED: bool = false;
        const BLOCK_ROWS: usize = 2;
        const FLOAT_ROWS: &'static [usize] = &[4, 2, 1];
        const COLUMNS: usize = 2 * LANES;

        #[inline(always)]
        fn floats(self) -> Scalar {
            self
        }
        #[inline(always)]
        unsafe fn load(self, p: *const u8) -> Ints {
            // SAFETY: the caller promises LANES words.
            map(
                unsafe { p.cast::<[[u8; 4]; LANES]>().read() },
                i32::from_le_bytes,
            )
        }
        #[inline(always)]
        unsafe fn broadcast(self, p: *const u8) -> Ints {
            // SAFETY: the caller promises four bytes.
            [i32::from_le_bytes(unsafe { p.cast::<[u8; 4]>().read() }); LANES]
        }
        #[inline(always)]
        fn splat(self, x: i32) -> Ints {
            [x; LANES]
        }
        #[inline(always)]
        fn and(self, a: Ints, b: Ints) -> Ints {
            zip(a, b, |x, y| x & y)
        }
        #[inline(always)]
        fn or(self, a: Ints, b: Ints) -> Ints {
            zip(a, b, |x, y| x | y)
        }
        #[inline(always)]
        fn shr<const N: u32>(self, a: Ints) -> Ints {
            map(a, |x| (x.cast_unsigned() >> N).cast_signed())
        }
        #[inline(always)]
        fn shl<const N: u32>(self, a: Ints) -> Ints {
            map(a, |x| x << N)
        }
        #[inline(always)]
        fn madd16(self, a: Ints, b: Ints) -> Ints {
            zip(a, b, |x, y| {
                (x as i16 as i32) * (y as i16 as i32) + (x >> 16) * (y >> 16)
            })
        }
        #[inline(always)]
        fn dot_small(self, acc: Ints, w: Ints, x: Ints) -> Ints {
            let sums = zip(w, x, |w, x| dot(w.to_le_bytes().map(i32::from), x));
            zip(acc, sums, |a, b| a + b)
        }
        #[inline(always)]
        fn dot_biased(self, acc: Ints, w: Ints, x: Ints) -> Ints {
            let sums = zip(w, x, |w, x| {
                dot(w.to_le_bytes().map(|q| i32::from(q) - 128), x)
            });
            zip(acc, sums, |a, b| a + b)
        }
        #[inline(always)]
        fn to_f32(self, a: Ints) -> [f32; LANES] {
            map(a, |x| x as f32)
        }
        #[inline(always)]
        unsafe fn f16(self, p: *const u8) -> [f32; LANES] {
            // SAFETY: the caller promises LANES halves.
            map(unsafe { p.cast::<[[u8; 2]; LANES]>().read() }, |h| {
                f16_to_f32(u16::from_le_bytes(h))
            })
        }
        #[inline(always)]
        unsafe fn bf16(self, p: *const u8) -> [f32; LANES] {
            // SAFETY: the caller promises LANES halves.
            map(unsafe { p.cast::<[[u8; 2]; LANES]>().read() }, |h| {
                bf16_to_f32(u16::from_le_bytes(h))
            })
        }
        #[inline(always)]
        unsafe fn i8(self, p: *const u8) -> [f32; LANES] {
            // SAFETY: the caller promises LANES bytes.
            map(unsafe { p.cast::<[i8; LANES]>().read() }, f32::from)
        }
        #[inline(always)]
        fn prefetch(self, _: *const u8) {}

        #[inline(always)]
        unsafe fn blocks<W: Blocks>(self, rows: usize, job: &Job) {
            // SAFETY: the caller's promise is the callee's.
            unsafe {
                match rows {
                    2 => blocks::tile::<Self, W, 2, 2>(self, job),
                    _ => blocks::tile::<Self, W, 1, 2>(self, job),
                }
            }
        }
        #[inline(always)]
        unsafe fn chunk<W: Floats>(self, rows: usize, job: &Job) {
            // SAFETY: the caller's promise is the callee's.
            unsafe {
                match rows {
                    4 => floats::tile::<Self, W, 4, 2>(self, job),
                    2 => floats::tile::<Self, W, 2, 2>(self, job),
                    _ => floats::tile::<Self, W, 1, 2>(self, job),
                }
            }
        }
    }
}
