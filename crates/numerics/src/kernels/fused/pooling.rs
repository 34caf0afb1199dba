//! Pooling over images with channels last.

use super::super::isa::Isa;
use super::super::lanes::REDUCTION_LANES;
use super::super::math;
use super::super::parallel::{Parallel, split};
use super::super::pool::Pool;
use super::super::simd::{Kernel, Simd};
use super::image::ImageShape;
use super::rows::MutRows;
use crate::Window2d;

/// Reduces every window of every channel of the image `x`; row `i` of `out` is output pixel `i`. Borders are not read.
///
/// # Panics
/// If operands do not fit together.
pub fn pool_image(
    isa: Isa,
    par: &dyn Parallel,
    (pool, window): (Pool, Window2d),
    (x, shape): (&[f32], &ImageShape),
    [height, width]: [usize; 2],
    out: &MutRows<'_>,
) {
    assert!(
        x.len() >= shape.values() && out.len == shape.channels && out.count == height * width,
        "extents of pooling"
    );
    let taps = (window.kernel[0] as usize * window.kernel[1] as usize).max(1);
    let grain = (1 << 14) / (width * shape.channels * taps).max(1) + 1;
    split(par, height, grain, &|start, end| {
        isa.run(Part {
            pool,
            window,
            x,
            shape,
            width,
            out,
            start,
            end,
        });
    });
}

struct Part<'a> {
    pool: Pool,
    window: Window2d,
    x: &'a [f32],
    shape: &'a ImageShape,
    width: usize,
    out: &'a MutRows<'a>,
    start: usize,
    end: usize,
}

impl Part<'_> {
    /// Places along an axis that the window of output `o` reads, and how many taps an average counts.
    fn places(&self, axis: usize, o: usize) -> (impl Iterator<Item = usize> + Clone, usize) {
        let extent = [self.shape.height, self.shape.width][axis];
        let (stride, dilation) = (self.window.strides[axis], self.window.dilations[axis]);
        let before = self.window.pads[axis] as usize;
        let first = o * stride as usize;
        let dilation = dilation as usize;
        let taps = 0..self.window.kernel[axis] as usize;
        let inside = taps.clone().filter_map(move |k| {
            let at = (first + k * dilation).checked_sub(before)?;
            (at < extent).then_some(at)
        });
        let counted = match self.pool {
            Pool::Average {
                count_include_pad: true,
            } => {
                let end = before + extent + self.window.pads[axis + 2] as usize;
                taps.filter(|k| first + k * dilation < end).count()
            }
            _ => inside.clone().count(),
        };
        (inside, counted)
    }
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // offsets of the taps of a window that lies inside, and of those that are there of one that does not
        let (whole, mut some) = (self.taps(), Vec::new());
        let full = self.window.kernel.map(|k| k as usize);
        for oy in self.start..self.end {
            let (ys, rows) = self.places(0, oy);
            for ox in 0..self.width {
                let (xs, columns) = self.places(1, ox);
                let counts = [ys.clone().count(), xs.clone().count()];
                let to = self.out.pointer(oy * self.width + ox);
                let (first, taps) = match (ys.clone().next(), xs.clone().next()) {
                    (Some(y), Some(x)) if counts == full => (self.shape.at(y, x), &whole),
                    _ => {
                        some.clear();
                        for y in ys.clone() {
                            some.extend(xs.clone().map(|x| self.shape.at(y, x)));
                        }
                        (0, &some)
                    }
                };
                self.pixel(s, (first, taps), rows as f32 * columns as f32, to);
            }
        }
    }
}

impl Part<'_> {
    /// Offsets of the taps of a window from where it begins.
    fn taps(&self) -> Vec<usize> {
        let [kh, kw] = self.window.kernel.map(|k| k as usize);
        let [dh, dw] = self.window.dilations.map(|d| d as usize);
        let (line, step) = (self.shape.line(), self.shape.step());
        let rows = (0..kh).map(|ky| ky * dh * line);
        rows.flat_map(|row| (0..kw).map(move |kx| row + kx * dw * step))
            .collect()
    }

    /// All channels of an output, whose window has these taps from `first` on.
    #[inline(always)]
    fn pixel<S: Simd>(&self, s: S, (first, taps): (usize, &[usize]), count: f32, to: *mut f32) {
        let channels = self.shape.channels;
        let count = s.splat(count);
        let mut c = 0;
        while c < channels {
            let lanes = S::LANES.min(channels - c);
            // SAFETY: a pixel of the image, whose length `pool_image` has checked.
            let load =
                |tap: usize| unsafe { s.load_first(self.x.as_ptr().add(first + tap + c), lanes) };
            let found = match self.pool {
                Pool::Max => {
                    let mut largest = math::Largest::new(s);
                    for &tap in taps {
                        largest.meet(s, load(tap));
                    }
                    largest.found(s)
                }
                Pool::Average { .. } => {
                    let mut sum = s.splat(0.0);
                    for &tap in taps {
                        sum = s.add(sum, load(tap));
                    }
                    s.div(sum, count)
                }
            };
            // SAFETY: the row has `channels` values and is of this part alone.
            unsafe { s.store_first(to.wrapping_add(c), s.canonical(found), lanes) };
            c += lanes;
        }
    }
}

/// Channels that are reduced at once.
const BESIDE: usize = 16;

/// Reduces all of each channel: the largest, or the sum in order L32 divided by the number of pixels.
///
/// # Panics
/// If operands do not fit together.
pub fn pool_whole(
    isa: Isa,
    par: &dyn Parallel,
    pool: Pool,
    (x, shape): (&[f32], &ImageShape),
    out: &mut [f32],
) {
    let channels = shape.channels;
    assert!(
        x.len() >= shape.values() && out.len() == channels,
        "extents of pooling"
    );
    let shared = super::super::parallel::SharedOut::new(out);
    let grain = ((1 << 15) / shape.pixels().max(1) + 1).next_multiple_of(BESIDE);
    split(par, channels, grain, &|start, end| {
        isa.run(Whole {
            pool,
            x,
            shape,
            first: start,
            // SAFETY: the parts of `split` are disjoint.
            out: unsafe { shared.slice(start, end - start) },
        });
    });
}

struct Whole<'a> {
    pool: Pool,
    x: &'a [f32],
    shape: &'a ImageShape,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Whole<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.shape.rows();
        let (count, pixels) = (self.shape.pixels(), self.shape.pixels() as f32);
        for (i, out) in self.out.chunks_mut(S::LANES).enumerate() {
            let first = self.first + i * S::LANES;
            let from = self.x.as_ptr();
            let found = match self.pool {
                Pool::Max => {
                    let mut largest = math::Largest::new(s);
                    for p in 0..count {
                        // SAFETY: `out.len()` channels from `first` of a pixel.
                        let x = unsafe { s.load_first(from.add(rows.at(p) + first), out.len()) };
                        largest.meet(s, x);
                    }
                    largest.found(s)
                }
                Pool::Average { .. } => {
                    let mut lanes = [s.splat(0.0); REDUCTION_LANES];
                    for p in 0..count {
                        // SAFETY: as above.
                        let x = unsafe { s.load_first(from.add(rows.at(p) + first), out.len()) };
                        let lane = &mut lanes[p % REDUCTION_LANES];
                        *lane = s.add(*lane, x);
                    }
                    let mut half = REDUCTION_LANES / 2;
                    while half > 0 {
                        for i in 0..half {
                            lanes[i] = s.add(lanes[i], lanes[i + half]);
                        }
                        half /= 2;
                    }
                    s.div(lanes[0], s.splat(pixels))
                }
            };
            // SAFETY: `out` has its length.
            unsafe { s.store_first(out.as_mut_ptr(), s.canonical(found), out.len()) };
        }
    }
}
