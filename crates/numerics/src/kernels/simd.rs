//! The vector vocabulary: kernels are written once over [`Simd`]; one thin file per instruction set
//! forwards each word to an instruction.
//!
//! Every operation is lane-wise and exact (IEEE-754 binary32, round to nearest even), so a kernel's
//! result does not depend on the number of lanes.

/// A kernel, written once and compiled per instruction set by [`super::Isa`].
pub(super) trait Kernel {
    /// What it returns.
    type Out;

    /// The body. Must be `#[inline(always)]`, so that it is compiled with the caller's instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// A vector of `LANES` f32 and what can be done with it. Implementors are zero-sized tokens that
/// exist only where the CPU has the instructions.
pub(super) trait Simd: Copy {
    /// A vector of f32.
    type F: Copy;
    /// One boolean per lane.
    type Mask: Copy;
    /// f32 per vector.
    const LANES: usize;
    /// Vectors per row of a register tile of the matrix product.
    const TILE_VECS: usize;
    /// Rows of a register tile: as many accumulators as the register file holds beside the operands.
    const TILE_ROWS: usize;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F;
    /// `LANES` consecutive values.
    ///
    /// # Safety
    /// `p .. p + LANES` is readable.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// Stores `LANES` consecutive values.
    ///
    /// # Safety
    /// `p .. p + LANES` is writable.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a < b`; false where either is NaN.
    fn lt(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// `a` is NaN.
    fn is_nan(self, a: Self::F) -> Self::Mask;
    /// `a` or `b` is NaN.
    fn either_nan(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// Either mask.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `mask ? yes : no`
    fn select(self, mask: Self::Mask, yes: Self::F, no: Self::F) -> Self::F;
    /// Bitwise and of the representations.
    fn bit_and(self, a: Self::F, b: Self::F) -> Self::F;
    /// Bitwise or of the representations.
    fn bit_or(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`
    fn greater(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b`
    fn lesser(self, a: Self::F, b: Self::F) -> Self::F;
    /// `2^n` for integral `n` in `-126 ..= 127`; unspecified elsewhere.
    fn exp2_integral(self, n: Self::F) -> Self::F;
    /// `p * 2^n`, rounded once, for p between 1/2 and 2 and integral n in `-151 ..= 129`; NaN where either is.
    #[inline(always)]
    fn scale_by_power(self, p: Self::F, n: Self::F) -> Self::F {
        // two factors: `2^n` itself may not be a normal number; the first product is exact
        let magic = self.splat(crate::scalar::MAGIC);
        let half = self.sub(self.fma(n, self.splat(0.5), magic), magic);
        self.mul(
            self.mul(p, self.exp2_integral(half)),
            self.exp2_integral(self.sub(n, half)),
        )
    }
    /// Asks the second cache for the line at `p`, which need not be readable.
    #[inline(always)]
    fn prefetch(self, _p: *const f32) {}
    /// Asks the first cache for the line at `p`, which is read soon and need not be readable.
    #[inline(always)]
    fn prefetch_near(self, _p: *const f32) {}
    /// Asks the first cache for the line at `p` to write to it, which need not be possible.
    #[inline(always)]
    fn prefetch_write(self, _p: *mut f32) {}
    /// `(k, m)` with `x = 2^k * m` and `sqrt(1/2) <= m < sqrt(2)` for a normal positive x; unspecified elsewhere.
    fn split_exponent(self, x: Self::F) -> (Self::F, Self::F);
    /// Whether the mask holds in any lane.
    fn any(self, mask: Self::Mask) -> bool;
    /// Uniform numbers between 0 and 1 for the counters `first ..`: `2k + 1` times 2^-24, k the upper 23 bits of
    /// `mix(state + counter * GOLDEN)` ([`crate::scalar::uniform`]).
    #[inline(always)]
    fn uniform(self, state: u64, first: u64) -> Self::F {
        let mut lanes = [0.0f32; super::lanes::MAX_LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            *lane = crate::scalar::uniform_of(state, first.wrapping_add(i as u64));
        }
        // SAFETY: LANES <= MAX_LANES.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// The first `count` of `LANES` values, at most all; absent lanes are 0.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, count: usize) -> Self::F {
        if count >= Self::LANES {
            // SAFETY: the caller's promise.
            return unsafe { self.load(p) };
        }
        let mut buffer = [0.0f32; super::lanes::MAX_LANES];
        // SAFETY: the caller's promise; LANES <= MAX_LANES.
        unsafe {
            std::ptr::copy_nonoverlapping(p, buffer.as_mut_ptr(), count);
            self.load(buffer.as_ptr())
        }
    }

    /// Stores the first `count` lanes, at most all.
    ///
    /// # Safety
    /// They are writable.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::F, count: usize) {
        if count >= Self::LANES {
            // SAFETY: the caller's promise.
            return unsafe { self.store(p, v) };
        }
        let mut buffer = [0.0f32; super::lanes::MAX_LANES];
        // SAFETY: LANES <= MAX_LANES; the caller's promise.
        unsafe {
            self.store(buffer.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(buffer.as_ptr(), p, count);
        }
    }

    /// Turns a block of `LANES x LANES` values: `to[c * to_step + r] = from[r * from_step + c]`.
    ///
    /// # Safety
    /// Its rows are readable and writable.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for c in 0..Self::LANES {
            for r in 0..Self::LANES {
                // SAFETY: the caller's promise.
                unsafe { *to.add(c * to_step + r) = *from.add(r * from_step + c) };
            }
        }
    }

    /// `acc[i][v] = a[i * step] * columns[v] + acc[i][v]`, rounded once.
    ///
    /// # Safety
    /// `a[i * step]` is readable for `i < MR`.
    #[inline(always)]
    unsafe fn fma_rows<const MR: usize, const NV: usize>(
        self,
        acc: &mut [[Self::F; NV]; MR],
        a: *const f32,
        step: usize,
        columns: &[Self::F; NV],
    ) {
        for (i, row) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let x = self.splat(unsafe { *a.add(i * step) });
            for (t, &column) in row.iter_mut().zip(columns) {
                *t = self.fma(x, column, *t);
            }
        }
    }

    /// One register tile of a product with packed columns: 1 to `TILE_ROWS` rows, and `TILE_VECS` vectors of columns or one.
    ///
    /// # Safety
    /// As [`super::fused::row_tile`].
    unsafe fn row_tile(self, rows: usize, vecs: usize, job: &super::fused::RowTile<'_>);

    /// One register tile of the matrix product: `rows` is `TILE_ROWS`, 4, 2 or 1.
    ///
    /// # Safety
    /// As [`super::tile::tile`].
    unsafe fn tile(self, rows: usize, job: &super::tile::TileJob);

    /// NaN becomes `0x7fc00000`; everything else is unchanged.
    #[inline(always)]
    fn canonical(self, a: Self::F) -> Self::F {
        self.select(
            self.is_nan(a),
            self.splat(f32::from_bits(crate::scalar::NAN_BITS)),
            a,
        )
    }
}
