//! The register tile of the matrix product: `MR x (NV * LANES)` chains of one C256 chunk.
//!
//! Vectorised across output elements; the `k` loop of every element runs in order inside one lane.

use super::simd::Simd;

/// Operands of one tile, as pointers checked by the driver. `kc` is the chunk's depth (<= 256).
pub(super) struct TileJob {
    /// Depth of the chunk.
    pub(super) kc: usize,
    /// `A[0, 0]` of the tile and of the chunk.
    pub(super) a: *const f32,
    /// Elements between rows of A.
    pub(super) a_row: usize,
    /// Elements between columns (`k`) of A.
    pub(super) a_col: usize,
    /// `B[0, 0]` of the tile and of the chunk; a row's columns are contiguous.
    pub(super) b: *const f32,
    /// Elements between rows (`k`) of B.
    pub(super) b_row: usize,
    /// First output element of the tile.
    pub(super) c: *mut f32,
    /// Elements between rows of the output.
    pub(super) c_row: usize,
    /// First chunk of k: the output is overwritten, not added to.
    pub(super) first: bool,
    /// Last chunk of k: bias is added and NaN made canonical.
    pub(super) last: bool,
    /// One bias per output row, or null.
    pub(super) row_bias: *const f32,
    /// One bias per output column, or null.
    pub(super) col_bias: *const f32,
}

/// Computes one tile: `t = +0; t = fma(a[k], b[k], t)` per element, then `t` or `c + t`, then bias.
///
/// # Safety
/// With `N = NV * LANES`: `a[i * a_row + k * a_col]` is readable for `i < MR, k < kc`,
/// `b[k * b_row + j]` for `k < kc, j < N`; `c[i * c_row + j]` is writable (and readable unless
/// `first`) and no one else's; a bias that is not null has MR (row) or N (column) readable values.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(s: S, job: &TileJob) {
    let mut acc = [[s.splat(0.0); NV]; MR];
    let mut a = job.a;
    let mut b = job.b;
    for _ in 0..job.kc {
        let mut bv = [s.splat(0.0); NV];
        for (v, lane) in bv.iter_mut().enumerate() {
            // SAFETY: inside row k of B by the caller's promise.
            *lane = unsafe { s.load(b.add(v * S::LANES)) };
        }
        for (i, row) in acc.iter_mut().enumerate() {
            // SAFETY: A[i, k] by the caller's promise.
            let x = s.splat(unsafe { *a.add(i * job.a_row) });
            for (v, t) in row.iter_mut().enumerate() {
                *t = s.fma(x, bv[v], *t);
            }
        }
        a = a.wrapping_add(job.a_col);
        b = b.wrapping_add(job.b_row);
    }
    // Four short loops: each unrolls whole, so that the accumulators stay in registers above.
    if !job.first {
        for (i, row) in acc.iter_mut().enumerate() {
            for (v, t) in row.iter_mut().enumerate() {
                // SAFETY: C[i, v] by the caller's promise.
                *t = s.add(
                    unsafe { s.load(job.c.add(i * job.c_row + v * S::LANES)) },
                    *t,
                );
            }
        }
    }
    if job.last {
        if !job.row_bias.is_null() {
            for (i, row) in acc.iter_mut().enumerate() {
                // SAFETY: MR values by the caller's promise.
                let bias = s.splat(unsafe { *job.row_bias.add(i) });
                for t in row.iter_mut() {
                    *t = s.add(*t, bias);
                }
            }
        }
        if !job.col_bias.is_null() {
            for row in acc.iter_mut() {
                for (v, t) in row.iter_mut().enumerate() {
                    // SAFETY: N values by the caller's promise.
                    *t = s.add(*t, unsafe { s.load(job.col_bias.add(v * S::LANES)) });
                }
            }
        }
        for row in acc.iter_mut() {
            for t in row.iter_mut() {
                *t = s.canonical(*t);
            }
        }
    }
    for (i, row) in acc.iter().enumerate() {
        for (v, t) in row.iter().enumerate() {
            // SAFETY: C[i, v] by the caller's promise.
            unsafe { s.store(job.c.add(i * job.c_row + v * S::LANES), *t) };
        }
    }
}
