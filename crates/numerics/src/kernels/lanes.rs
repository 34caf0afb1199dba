//! Drivers that apply a lane-wise function along consecutive elements, tails included.

use super::simd::Simd;

/// Most lanes of any instruction set.
pub(super) const MAX_LANES: usize = 16;

/// A lane-wise function of one value.
pub(super) trait Map1: Copy {
    /// The value; must be `#[inline(always)]`.
    fn apply<S: Simd>(self, simd: S, x: S::F) -> S::F;
}

/// A lane-wise function of two values.
pub(super) trait Map2: Copy {
    /// The value; must be `#[inline(always)]`.
    fn apply<S: Simd>(self, simd: S, x: S::F, y: S::F) -> S::F;
}

/// Loads up to `LANES` values; absent lanes are 0.
#[inline(always)]
pub(super) fn load_tail<S: Simd>(s: S, x: &[f32]) -> S::F {
    let mut buffer = [0.0f32; MAX_LANES];
    let n = x.len().min(S::LANES);
    buffer[..n].copy_from_slice(&x[..n]);
    // SAFETY: LANES <= MAX_LANES.
    unsafe { s.load(buffer.as_ptr()) }
}

/// Stores the first `out.len()` lanes (at most `LANES`).
#[inline(always)]
pub(super) fn store_tail<S: Simd>(s: S, v: S::F, out: &mut [f32]) {
    let mut buffer = [0.0f32; MAX_LANES];
    // SAFETY: LANES <= MAX_LANES.
    unsafe { s.store(buffer.as_mut_ptr(), v) };
    let n = out.len().min(S::LANES);
    out[..n].copy_from_slice(&buffer[..n]);
}

/// `out[i] = f(x[i])`, NaN made canonical.
#[inline(always)]
pub(super) fn map1<S: Simd>(s: S, x: &[f32], out: &mut [f32], f: impl Map1) {
    let len = out.len();
    assert_eq!(x.len(), len, "operand length");
    let whole = len - len % S::LANES;
    let mut i = 0;
    while i < whole {
        // SAFETY: `i + LANES <= len` in both slices.
        unsafe {
            let value = f.apply(s, s.load(x.as_ptr().add(i)));
            s.store(out.as_mut_ptr().add(i), s.canonical(value));
        }
        i += S::LANES;
    }
    if whole < len {
        let value = f.apply(s, load_tail(s, &x[whole..]));
        store_tail(s, s.canonical(value), &mut out[whole..]);
    }
}

/// One operand of [`map2`].
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    /// One value per output element.
    Each(&'a [f32]),
    /// The same value for all.
    Same(f32),
}

impl Operand<'_> {
    /// Lanes `i ..` of the operand.
    ///
    /// # Safety
    /// `Each` has at least `i + LANES` values.
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, i: usize) -> S::F {
        match self {
            // SAFETY: the caller's promise.
            Operand::Each(x) => unsafe { s.load(x.as_ptr().add(i)) },
            Operand::Same(x) => s.splat(x),
        }
    }

    #[inline(always)]
    fn tail<S: Simd>(self, s: S, from: usize) -> S::F {
        match self {
            Operand::Each(x) => load_tail(s, &x[from..]),
            Operand::Same(x) => s.splat(x),
        }
    }

    fn covers(self, len: usize) -> bool {
        matches!(self, Operand::Same(_)) || matches!(self, Operand::Each(x) if x.len() == len)
    }
}

/// `out[i] = f(x[i], y[i])`, NaN made canonical.
#[inline(always)]
pub(super) fn map2<S: Simd>(s: S, x: Operand<'_>, y: Operand<'_>, out: &mut [f32], f: impl Map2) {
    let len = out.len();
    assert!(x.covers(len) && y.covers(len), "operand length");
    let whole = len - len % S::LANES;
    let mut i = 0;
    while i < whole {
        // SAFETY: `i + LANES <= len` in every slice.
        unsafe {
            let value = f.apply(s, x.load(s, i), y.load(s, i));
            s.store(out.as_mut_ptr().add(i), s.canonical(value));
        }
        i += S::LANES;
    }
    if whole < len {
        let value = f.apply(s, x.tail(s, whole), y.tail(s, whole));
        store_tail(s, s.canonical(value), &mut out[whole..]);
    }
}

/// Lanes of a reduction: a constant of the arithmetic (`spec/numerics.md`), not of the machine.
pub(super) const REDUCTION_LANES: usize = 32;

/// The order L32 of a sum: lane `i mod 32` takes its elements in order from +0 by `lane = f(lane, x)`, then a halving
/// tree 16..1 adds the lanes. `f` must add something that is never -0 below a lane, and +0 for `x = 0`.
#[inline(always)]
pub(super) fn fold32<S: Simd>(s: S, x: &[f32], f: impl Map2) -> f32 {
    let vecs = REDUCTION_LANES / S::LANES;
    // enough for the narrowest vectors (4 lanes)
    let mut acc = [s.splat(0.0); 8];
    let (blocks, rest) = x.as_chunks::<REDUCTION_LANES>();
    for block in blocks {
        for (v, t) in acc.iter_mut().enumerate().take(vecs) {
            // SAFETY: vector `v` lies inside the block.
            *t = f.apply(s, *t, unsafe { s.load(block.as_ptr().add(v * S::LANES)) });
        }
    }
    if !rest.is_empty() {
        // a lane without an element takes a 0, which changes nothing: no lane is ever -0
        let mut block = [0.0f32; REDUCTION_LANES];
        block[..rest.len()].copy_from_slice(rest);
        for (v, t) in acc.iter_mut().enumerate().take(vecs) {
            // SAFETY: vector `v` lies inside the block.
            *t = f.apply(s, *t, unsafe { s.load(block.as_ptr().add(v * S::LANES)) });
        }
    }
    tree32(s, &acc)
}

/// The halving tree over 32 lanes held in the first vectors of `acc`.
#[inline(always)]
pub(super) fn tree32<S: Simd>(s: S, acc: &[S::F; 8]) -> f32 {
    let mut lanes = [0.0f32; REDUCTION_LANES];
    for (v, t) in acc.iter().enumerate().take(REDUCTION_LANES / S::LANES) {
        // SAFETY: the vectors taken are 32 lanes.
        unsafe { s.store(lanes.as_mut_ptr().add(v * S::LANES), *t) };
    }
    let mut half = REDUCTION_LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[derive(Clone, Copy)]
struct Plus;

impl Map2 for Plus {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, lane: S::F, x: S::F) -> S::F {
        s.add(lane, x)
    }
}

/// The 32-lane sum of the values.
#[inline(always)]
pub(super) fn sum32<S: Simd>(s: S, x: &[f32]) -> f32 {
    fold32(s, x, Plus)
}
