//! The register tile of F32, F16 and BF16 weights: one chunk of the C256 order, weights made f32 as they are loaded.

use super::Job;
use super::layout::PANEL;
use super::narrow::Narrow;
use crate::kernels::simd::Simd;

/// A floating format.
pub(in crate::kernels) trait Floats {
    /// Bytes of a value.
    const BYTES: usize;

    /// A vector of values.
    ///
    /// # Safety
    /// `BYTES * LANES` bytes from `p` are readable.
    unsafe fn load<D: Narrow>(d: D, p: *const u8) -> <D::S as Simd>::F;
}

/// [`crate::WeightFormat::F32`]
pub(super) struct F32;
/// [`crate::WeightFormat::F16`]
pub(super) struct F16;
/// [`crate::WeightFormat::Bf16`]
pub(super) struct Bf16;

impl Floats for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<D: Narrow>(d: D, p: *const u8) -> <D::S as Simd>::F {
        // SAFETY: the caller's promise; panels of f32 are aligned.
        unsafe { d.floats().load(p.cast()) }
    }
}

impl Floats for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<D: Narrow>(d: D, p: *const u8) -> <D::S as Simd>::F {
        // SAFETY: the caller's promise.
        unsafe { d.f16(p) }
    }
}

impl Floats for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<D: Narrow>(d: D, p: *const u8) -> <D::S as Simd>::F {
        // SAFETY: the caller's promise.
        unsafe { d.bf16(p) }
    }
}

/// One chunk of `job.steps` values: `t = +0; t = fma(x[k], w[k], t)` per element, then `t` or `acc + t`.
///
/// # Safety
/// `job.w` is a chunk of a panel, `job.x` has MR rows of `steps` f32, `job.acc` MR rows of a panel's columns;
/// `NV * LANES` columns from `job.column` are a panel's.
#[inline(always)]
pub(super) unsafe fn tile<D: Narrow, W: Floats, const MR: usize, const NV: usize>(d: D, job: &Job) {
    let s = d.floats();
    let mut acc = [[s.splat(0.0); NV]; MR];
    let mut x = job.x.cast::<f32>();
    let x_row = job.x_row / 4;
    let mut w = job.w.wrapping_add(job.column * W::BYTES);
    for _ in 0..job.steps {
        let mut weights = [s.splat(0.0); NV];
        for (v, lane) in weights.iter_mut().enumerate() {
            let at = v * D::LANES * W::BYTES;
            // SAFETY: inside row k of the panel by the caller's promise.
            *lane = unsafe { W::load(d, w.add(at)) };
            if at.is_multiple_of(64) {
                d.prefetch(w.wrapping_add(job.ahead + at));
            }
        }
        for (i, row) in acc.iter_mut().enumerate() {
            // SAFETY: X[i, k] by the caller's promise.
            let value = s.splat(unsafe { *x.add(i * x_row) });
            for (t, &weight) in row.iter_mut().zip(&weights) {
                *t = s.fma(value, weight, *t);
            }
        }
        x = x.wrapping_add(1);
        w = w.wrapping_add(PANEL * W::BYTES);
    }
    for (i, row) in acc.iter().enumerate() {
        for (v, &t) in row.iter().enumerate() {
            let at = i * PANEL + job.column + v * D::LANES;
            // SAFETY: inside row i of `acc` by the caller's promise.
            unsafe {
                let p = job.acc.add(at);
                s.store(p, if job.first { t } else { s.add(s.load(p), t) });
            }
        }
    }
}

/// Makes a chunk of a panel f32.
///
/// # Safety
/// `job.w` is a chunk of a panel of at least `out.len()` values.
#[inline(always)]
pub(super) unsafe fn widen<D: Narrow, W: Floats>(d: D, job: &Job, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(D::LANES).enumerate() {
        let p = job.w.wrapping_add(i * D::LANES * W::BYTES);
        if (i * D::LANES * W::BYTES).is_multiple_of(64) {
            d.prefetch(p.wrapping_add(job.ahead));
        }
        // SAFETY: `LANES` values of the caller's chunk, and of `out`.
        unsafe { d.floats().store(out.as_mut_ptr(), W::load(d, p)) };
    }
}
