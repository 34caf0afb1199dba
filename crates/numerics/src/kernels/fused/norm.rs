//! Normalisation as importers lower it: `(x - mean) / sqrt(variance + epsilon)`, all sums in order L32.

use super::super::isa::Isa;
use super::super::lanes::{REDUCTION_LANES, sum32, tree32};
use super::super::parallel::{Parallel, Scratch, SharedOut, split};
use super::super::simd::{Kernel, Simd};
use super::image::ImageShape;

/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 14;

/// Mean of `x`, and the inverse of the root of its variance and `epsilon`.
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum32(s, x) / count;
    let variance = squares32(s, x, mean) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// The sum of the squares of `x - mean`, each rounded, in 32 lanes.
#[inline(always)]
fn squares32<S: Simd>(s: S, x: &[f32], mean: f32) -> f32 {
    let vecs = REDUCTION_LANES / S::LANES;
    let mean = s.splat(mean);
    // enough for the narrowest vectors (4 lanes)
    let mut lanes = [s.splat(0.0); 8];
    let (blocks, rest) = x.as_chunks::<REDUCTION_LANES>();
    let meet = |lane: &mut S::F, apart: S::F| *lane = s.add(*lane, s.mul(apart, apart));
    for block in blocks {
        for (v, lane) in lanes.iter_mut().enumerate().take(vecs) {
            // SAFETY: vector `v` lies inside the block.
            let x = unsafe { s.load(block.as_ptr().add(v * S::LANES)) };
            meet(lane, s.sub(x, mean));
        }
    }
    for (v, lane) in lanes.iter_mut().enumerate().take(vecs) {
        let count = rest.len().saturating_sub(v * S::LANES);
        if count > 0 {
            let mut apart = [0.0f32; REDUCTION_LANES];
            // SAFETY: `count` values are there; a lane without one takes a 0, which changes nothing: no lane is ever -0.
            unsafe {
                let x = s.load_first(rest.as_ptr().add(v * S::LANES), count);
                s.store_first(apart.as_mut_ptr(), s.sub(x, mean), count);
                meet(lane, s.load(apart.as_ptr()));
            }
        }
    }
    tree32(s, &lanes)
}

/// Normalises rows of `len` values: `fma((x - mean) * inverse, scale[j], bias[j])`, the last step only where there are scales.
///
/// # Panics
/// If operands do not fit together.
pub fn norm_rows(
    isa: Isa,
    par: &dyn Parallel,
    (x, len): (&[f32], usize),
    epsilon: f32,
    affine: Option<(&[f32], &[f32])>,
    out: &mut [f32],
) {
    assert!(
        len > 0 && x.len() == out.len() && x.len().is_multiple_of(len),
        "length"
    );
    assert!(
        affine.is_none_or(|(scale, bias)| scale.len() == len && bias.len() == len),
        "scales"
    );
    let shared = SharedOut::new(out);
    split(par, x.len() / len, GRAIN / len + 1, &|start, end| {
        // SAFETY: the parts of `split` are disjoint.
        let out = unsafe { shared.slice(start * len, (end - start) * len) };
        let x = &x[start * len..end * len];
        isa.run(NormRows {
            x,
            len,
            epsilon,
            affine,
            out,
        });
    });
}

struct NormRows<'a> {
    x: &'a [f32],
    len: usize,
    epsilon: f32,
    affine: Option<(&'a [f32], &'a [f32])>,
    out: &'a mut [f32],
}

impl Kernel for NormRows<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.x.chunks_exact(self.len);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(self.len)) {
            let (mean, inverse) = moments(s, x, self.epsilon);
            let (mean, inverse) = (s.splat(mean), s.splat(inverse));
            let mut i = 0;
            while i < self.len {
                let count = S::LANES.min(self.len - i);
                // SAFETY: `count` values are in each slice from `i`.
                unsafe {
                    let x = s.load_first(x.as_ptr().add(i), count);
                    let mut y = s.mul(s.sub(x, mean), inverse);
                    if let Some((scale, bias)) = self.affine {
                        let scale = s.load_first(scale.as_ptr().add(i), count);
                        y = s.fma(y, scale, s.load_first(bias.as_ptr().add(i), count));
                    }
                    s.store_first(out.as_mut_ptr().add(i), s.canonical(y), count);
                }
                i += count;
            }
        }
    }
}

/// Channels whose planes are gathered together.
const BESIDE: usize = 16;
/// Bytes of planes that stay in the second-level cache.
const CACHED: usize = 800 << 10;

/// Of each channel of an image, in `groups` groups that are normalised each as a whole: what is added to its elements (the mean,
/// negative), and what they are multiplied by.
///
/// # Panics
/// If operands do not fit together.
pub fn norm_channels(
    isa: Isa,
    par: &dyn Parallel,
    (x, shape): (&[f32], &ImageShape),
    groups: usize,
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let channels = shape.channels;
    assert!(
        x.len() >= shape.values() && groups > 0 && channels.is_multiple_of(groups),
        "groups of channels"
    );
    let own = channels / groups;
    let (mut addend, mut factor) = (vec![0.0; channels], vec![0.0; channels]);
    let shared = (SharedOut::new(&mut addend), SharedOut::new(&mut factor));
    // whole groups, and where their planes then stay in the second-level cache, whole lines of memory: others are read twice
    let lines = (1..=BESIDE).map(|groups| groups * own);
    let lines = lines.take_while(|unit| unit * shape.pixels() * size_of::<f32>() <= CACHED);
    let unit = (lines.clone().find(|unit| unit.is_multiple_of(BESIDE)))
        .or(lines.take_while(|&unit| unit <= BESIDE).last())
        .unwrap_or(own);
    split(par, channels.div_ceil(unit), 1, &|start, end| {
        for i in start..end {
            let (first, end) = (i * unit, channels.min((i + 1) * unit));
            // SAFETY: channels of a unit are of one part.
            let (addend, factor) = unsafe {
                (
                    shared.0.slice(first, end - first),
                    shared.1.slice(first, end - first),
                )
            };
            isa.run(NormChannels {
                x,
                shape,
                first,
                own,
                epsilon,
                addend,
                factor,
            });
        }
    });
    (addend, factor)
}

struct NormChannels<'a> {
    x: &'a [f32],
    shape: &'a ImageShape,
    first: usize,
    /// Channels of a group.
    own: usize,
    epsilon: f32,
    addend: &'a mut [f32],
    factor: &'a mut [f32],
}

impl Kernel for NormChannels<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shape, count) = (self.shape, self.addend.len());
        let pixels = shape.pixels();
        let mut scratch = Scratch::take(count * pixels);
        let planes = scratch.as_mut();
        for (y, c0) in
            (0..shape.height).flat_map(|y| (0..count).step_by(BESIDE).map(move |c| (y, c)))
        {
            let to = &mut planes[c0 * pixels + y * shape.width..];
            self.turn_line(s, [y, self.first + c0], BESIDE.min(count - c0), to);
        }
        let groups = planes.chunks_exact(self.own * pixels);
        let addends = self.addend.chunks_exact_mut(self.own);
        let factors = self.factor.chunks_exact_mut(self.own);
        for ((group, addend), factor) in groups.zip(addends).zip(factors) {
            let (mean, inverse) = moments(s, group, self.epsilon);
            addend.fill(-mean);
            factor.fill(inverse);
        }
    }
}

impl NormChannels<'_> {
    /// `count` channels, at most `BESIDE`, from channel `first` of line `y` to as many planes, which begin at `to`.
    #[inline(always)]
    fn turn_line<S: Simd>(&self, s: S, [y, first]: [usize; 2], count: usize, to: &mut [f32]) {
        let (shape, step, pixels) = (self.shape, self.shape.step(), self.shape.pixels());
        let row = &self.x[shape.at(y, 0)..][..shape.width * step];
        // whole squares of channels and pixels, of which the channels may be a part
        let before = first.saturating_sub(shape.channels.saturating_sub(BESIDE));
        let squares = match shape.channels >= BESIDE && S::LANES <= BESIDE {
            true => shape.width / BESIDE,
            false => 0,
        };
        for x in (0..squares).map(|i| i * BESIDE) {
            let mut square = [0.0f32; BESIDE * BESIDE];
            let (turned, apart) = match count == BESIDE {
                true => (&mut to[x..x + (BESIDE - 1) * pixels + BESIDE], pixels),
                false => (&mut square[..], BESIDE),
            };
            for (c, p) in blocks(S::LANES) {
                // SAFETY: `BESIDE` channels of as many pixels are in the row, and there is a place for each.
                unsafe {
                    let from = row.as_ptr().add((x + p) * step + first - before + c);
                    s.transpose(from, step, turned.as_mut_ptr().add(c * apart + p), apart);
                }
            }
            if count < BESIDE {
                let own = square.chunks_exact(BESIDE).skip(before);
                for (to, from) in to.chunks_mut(pixels).zip(own.take(count)) {
                    to[x..x + BESIDE].copy_from_slice(from);
                }
            }
        }
        for x in squares * BESIDE..shape.width {
            let pixel = &row[x * step + first..][..count];
            for (to, from) in to[x..].iter_mut().step_by(pixels).zip(pixel) {
                *to = *from;
            }
        }
    }
}

/// Where blocks of so many lanes begin in a square of [`BESIDE`].
fn blocks(lanes: usize) -> impl Iterator<Item = (usize, usize)> {
    let starts = (0..BESIDE).step_by(lanes);
    starts
        .clone()
        .flat_map(move |c| starts.clone().map(move |p| (c, p)))
}
