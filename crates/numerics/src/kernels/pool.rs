//! Pooling over two spatial axes, windowed and global.

use super::isa::Isa;
use super::lanes::{Map2, load_tail, store_tail, sum32};
use super::math;
use super::parallel::{Parallel, SharedOut, split};
use super::planes::Geometry;
use super::simd::{Kernel, Simd};
use crate::Window2d;

/// Shapes of a pooling operator, already checked by the shape program.
#[derive(Clone, Copy, Debug)]
pub struct PoolShape {
    /// Planes: images times channels.
    pub planes: usize,
    /// Input `[H, W]`.
    pub input: [usize; 2],
    /// Output `[OH, OW]`.
    pub output: [usize; 2],
}

/// What a window is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Maximum; padding never wins.
    Max,
    /// Sum in the order `(ky, kx)` divided by the number of taps: those inside the input, or all
    /// within the padded input if `count_include_pad`.
    Average {
        /// Whether padding counts.
        count_include_pad: bool,
    },
}

/// Reduces every window of every plane.
///
/// # Panics
/// If the slices do not have their shape's length.
pub fn pool2d(
    isa: Isa,
    par: &dyn Parallel,
    pool: Pool,
    window: Window2d,
    shape: PoolShape,
    x: &[f32],
    out: &mut [f32],
) {
    let PoolShape {
        planes: count,
        input: [h, w],
        output: [oh, ow],
    } = shape;
    assert!(
        x.len() == count * h * w && out.len() == count * oh * ow,
        "length"
    );
    if out.is_empty() {
        return;
    }
    let geometry = Geometry::new(window, h, w, oh, ow);
    let (rows, cols) = match pool {
        Pool::Max => (vec![1.0; oh], vec![1.0; ow]),
        Pool::Average { count_include_pad } => (
            counts(&window, 0, h, oh, count_include_pad),
            counts(&window, 1, w, ow, count_include_pad),
        ),
    };
    if geometry.is_wasteful(count) {
        return by_element(&geometry, pool, shape, (&rows, &cols), x, out);
    }
    let fill = if pool == Pool::Max {
        f32::NEG_INFINITY
    } else {
        0.0
    };
    let planes = geometry.lay_out(par, x, count, fill);
    let [kh, kw] = window.kernel.map(|k| k as usize);
    let taps: Vec<usize> = (0..kh)
        .flat_map(|ky| (0..kw).map(move |kx| (ky, kx)))
        .map(|(ky, kx)| geometry.tap(ky, kx))
        .collect();
    let furthest = taps.iter().max().copied().unwrap_or(0);
    let shared = SharedOut::new(out);
    let grain = (1 << 13) / (oh * ow * taps.len().max(1)) + 1;
    split(par, count, grain, &|start, end| {
        for p in start..end {
            isa.run(PoolPlane {
                pool,
                geometry: &geometry,
                taps: &taps,
                furthest,
                plane: &planes[p * geometry.plane()..],
                rows: &rows,
                cols: &cols,
                // SAFETY: plane `p` belongs to this part alone.
                out: unsafe { shared.slice(p * oh * ow, oh * ow) },
            });
        }
    });
}

/// The definition, for geometries whose planes would be mostly padding.
fn by_element(
    geometry: &Geometry,
    pool: Pool,
    shape: PoolShape,
    counts: (&[f32], &[f32]),
    x: &[f32],
    out: &mut [f32],
) {
    let PoolShape {
        input: [h, w],
        output: [oh, ow],
        ..
    } = shape;
    let [kh, kw] = geometry.window.kernel.map(|k| k as usize);
    for (index, value) in out.iter_mut().enumerate() {
        let (p, oy, ox) = (index / (oh * ow), index / ow % oh, index % ow);
        let taps = (0..kh * kw).filter_map(|k| geometry.input_index([oy, ox], [k / kw, k % kw]));
        let inside = taps.map(|i| x[p * h * w + i]);
        let reduced = match pool {
            Pool::Max => inside.fold(f32::NEG_INFINITY, crate::scalar::max),
            // a padding tap would add +0 to a sum that is never -0
            Pool::Average { .. } => {
                inside.fold(0.0, |sum, x| sum + x) / (counts.0[oy] * counts.1[ox])
            }
        };
        *value = crate::scalar::canonical(reduced);
    }
}

/// Taps of each output position along one axis that count in an average.
fn counts(
    window: &Window2d,
    axis: usize,
    input: usize,
    output: usize,
    include_pad: bool,
) -> Vec<f32> {
    let (stride, dilation) = (
        window.strides[axis] as usize,
        window.dilations[axis] as usize,
    );
    let (before, after) = (window.pads[axis] as usize, window.pads[axis + 2] as usize);
    let (low, high) = if include_pad {
        (0, before + input + after)
    } else {
        (before, before + input)
    };
    (0..output)
        .map(|o| {
            let taps = (0..window.kernel[axis] as usize).map(|k| o * stride + k * dilation);
            taps.filter(|x| (low..high).contains(x)).count() as f32
        })
        .collect()
}

struct PoolPlane<'a> {
    pool: Pool,
    geometry: &'a Geometry,
    taps: &'a [usize],
    /// The largest of `taps`.
    furthest: usize,
    plane: &'a [f32],
    /// Counted taps per output row and per output column.
    rows: &'a [f32],
    cols: &'a [f32],
    out: &'a mut [f32],
}

#[derive(Clone, Copy)]
struct Larger;

impl Map2 for Larger {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        math::max(s, x, y)
    }
}

#[derive(Clone, Copy)]
struct Sum;

impl Map2 for Sum {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.add(x, y)
    }
}

impl Kernel for PoolPlane<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let out = std::mem::take(&mut self.out);
        match self.pool {
            Pool::Max => self.windows(s, out, f32::NEG_INFINITY, Larger),
            Pool::Average { .. } => self.windows(s, out, 0.0, Sum),
        }
    }
}

impl PoolPlane<'_> {
    #[inline(always)]
    fn windows<S: Simd>(&self, s: S, out: &mut [f32], start: f32, f: impl Map2) {
        let width = self.geometry.out_width;
        for (oy, row) in out.chunks_exact_mut(width).enumerate() {
            let mut ox = 0;
            while ox < width {
                let origin = self.geometry.origin(oy, ox);
                assert!(
                    origin + self.furthest + S::LANES <= self.plane.len(),
                    "window outside of its plane"
                );
                let mut acc = s.splat(start);
                for &tap in self.taps {
                    // SAFETY: inside the plane by the assertion above.
                    acc = f.apply(s, acc, unsafe {
                        s.load(self.plane.as_ptr().add(origin + tap))
                    });
                }
                if self.pool != Pool::Max {
                    let count = s.mul(s.splat(self.rows[oy]), load_tail(s, &self.cols[ox..]));
                    acc = s.div(acc, count);
                }
                store_tail(s, s.canonical(acc), &mut row[ox..]);
                ox += S::LANES;
            }
        }
    }
}

/// Reduces each plane of `plane` elements to one value: the 32-lane sum divided by the number of
/// elements, or the maximum.
///
/// # Panics
/// If the lengths do not fit.
pub fn global_pool(
    isa: Isa,
    par: &dyn Parallel,
    pool: Pool,
    plane: usize,
    x: &[f32],
    out: &mut [f32],
) {
    assert_eq!(x.len(), out.len() * plane, "length");
    let shared = SharedOut::new(out);
    split(
        par,
        x.len() / plane.max(1),
        (1 << 14) / plane.max(1) + 1,
        &|start, end| {
            // SAFETY: the parts of `split` are disjoint.
            let out = unsafe { shared.slice(start, end - start) };
            isa.run(GlobalPart {
                pool,
                plane,
                x: &x[start * plane..end * plane],
                out,
            });
        },
    );
}

struct GlobalPart<'a> {
    pool: Pool,
    plane: usize,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for GlobalPart<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (value, plane) in self.out.iter_mut().zip(self.x.chunks_exact(self.plane)) {
            *value = match self.pool {
                Pool::Max => math::max_of(s, plane),
                Pool::Average { .. } => {
                    crate::scalar::canonical(sum32(s, plane) / self.plane as f32)
                }
            };
        }
    }
}
