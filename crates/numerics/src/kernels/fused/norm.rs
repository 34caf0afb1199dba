//! Normalisation as importers lower it: `(x - mean) / sqrt(variance + epsilon)`, all sums in order L32.

use super::super::isa::Isa;
use super::super::lanes::{Map2, fold32, sum32};
use super::super::parallel::{Parallel, Scratch, SharedOut, split};
use super::super::simd::{Kernel, Simd};
use super::image::ImageShape;

/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 14;

/// `lane + x * x`, each rounded.
#[derive(Clone, Copy)]
struct Squares;

impl Map2 for Squares {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, lane: S::F, x: S::F) -> S::F {
        s.add(lane, s.mul(x, x))
    }
}

/// Mean of `x`, and what it is divided by turned over; `x` loses its mean.
#[inline(always)]
fn centred<S: Simd>(s: S, x: &mut [f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum32(s, x) / count;
    let whole = x.len() - x.len() % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: `i + LANES <= len`.
        unsafe {
            let at = x.as_mut_ptr().add(i);
            s.store(at, s.sub(s.load(at), s.splat(mean)));
        }
    }
    for x in &mut x[whole..] {
        *x -= mean;
    }
    let variance = fold32(s, x, Squares) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
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
            out.copy_from_slice(x);
            let (_, inverse) = centred(s, out, self.epsilon);
            let inverse = s.splat(inverse);
            let mut i = 0;
            while i < self.len {
                let count = S::LANES.min(self.len - i);
                // SAFETY: `count` values are in each slice from `i`.
                unsafe {
                    let at = out.as_mut_ptr().add(i);
                    let mut y = s.mul(s.load_first(at, count), inverse);
                    if let Some((scale, bias)) = self.affine {
                        let scale = s.load_first(scale.as_ptr().add(i), count);
                        y = s.fma(y, scale, s.load_first(bias.as_ptr().add(i), count));
                    }
                    s.store_first(at, s.canonical(y), count);
                }
                i += count;
            }
        }
    }
}

/// Channels whose planes are gathered together.
const BESIDE: usize = 16;

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
    // whole groups, and where that can be, whole lines of memory
    let unit = own * (BESIDE / own).max(1);
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
        for y in 0..shape.height {
            let row = &self.x[shape.at(y, 0)..][..shape.width * shape.channels];
            let mut x = 0;
            while x < shape.width {
                let block = BESIDE.min(shape.width - x);
                let from = &row[x * shape.channels + self.first..];
                for c in 0..count {
                    let to = &mut planes[c * pixels + y * shape.width + x..][..block];
                    for (i, to) in to.iter_mut().enumerate() {
                        *to = from[i * shape.channels + c];
                    }
                }
                x += block;
            }
        }
        let groups = planes.chunks_exact_mut(self.own * pixels);
        let addends = self.addend.chunks_exact_mut(self.own);
        let factors = self.factor.chunks_exact_mut(self.own);
        for ((group, addend), factor) in groups.zip(addends).zip(factors) {
            let (mean, inverse) = centred(s, group, self.epsilon);
            addend.fill(-mean);
            factor.fill(inverse);
        }
    }
}
