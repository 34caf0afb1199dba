//! Convolution over two spatial axes: the matrix product `W[M, K] x windows[K, OH * OW]` in the C256
//! order over `k = (c, ky, kx)`, bias last. Padding taps are executed: they read +0 from the planes.
//!
//! The windows are never materialised: each part packs the panels it needs straight from the padded
//! planes. Groups with few output channels (depthwise) skip packing and run along output rows.

use super::gemm::{Bias, CHUNK, Cut, MatRef, Panels, Part, Product, WORTH_SPLITTING};
use super::isa::Isa;
use super::parallel::{Parallel, SharedOut, split};
use super::planes::Geometry;
use super::simd::{Kernel, Simd};
use crate::Window2d;

/// Up to this many output channels per group, running along rows beats packing.
const DIRECT_CHANNELS: usize = 2;

/// Shapes of a convolution, already checked by the shape program.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Input channels.
    pub channels: usize,
    /// Input `[H, W]`.
    pub input: [usize; 2],
    /// Output channels.
    pub filters: usize,
    /// Output `[OH, OW]`.
    pub output: [usize; 2],
    /// Groups; divides both channel counts.
    pub groups: usize,
}

/// `Y[n, m] = sum over (c, ky, kx) of W[m, c, ky, kx] * X[n, c, ...]` (C256) `+ B[m]`, into `out`.
///
/// # Panics
/// If a slice is shorter than its shape says.
#[allow(clippy::too_many_arguments)] // one convolution: where, how, three operands, result
pub fn conv2d(
    isa: Isa,
    par: &dyn Parallel,
    window: Window2d,
    shape: ConvShape,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let ConvShape {
        batch,
        channels,
        input: [h, width],
        filters,
        output: [oh, ow],
        groups,
    } = shape;
    let [kh, kw] = window.kernel.map(|k| k as usize);
    let (cg, mg, pixels) = (channels / groups, filters / groups, oh * ow);
    let depth = cg * kh * kw;
    assert!(
        x.len() >= batch * channels * h * width && w.len() >= filters * depth,
        "operand length"
    );
    assert_eq!(out.len(), batch * filters * pixels, "output length");
    if out.is_empty() {
        return;
    }
    let geometry = Geometry::new(window, h, width, oh, ow);
    if geometry.is_wasteful(batch * channels) {
        return by_element(&geometry, shape, x, w, bias, out);
    }
    let planes = geometry.lay_out(par, x, batch * channels, 0.0);
    let mut taps = Vec::with_capacity(depth);
    for c in 0..cg {
        for ky in 0..kh {
            taps.extend((0..kw).map(|kx| c * geometry.plane() + geometry.tap(ky, kx)));
        }
    }
    let furthest = taps.iter().max().copied().unwrap_or(0);
    let shared = SharedOut::new(out);
    let group_planes = |n: usize, g: usize| &planes[(n * channels + g * cg) * geometry.plane()..];
    if mg <= DIRECT_CHANNELS {
        let grain = (1 << 12) / (pixels * depth.max(1)) + 1;
        split(par, batch * filters, grain, &|start, end| {
            for nm in start..end {
                let (n, m) = (nm / filters, nm % filters);
                isa.run(DirectPlane {
                    geometry: &geometry,
                    taps: &taps,
                    furthest,
                    planes: group_planes(n, m / mg),
                    weights: &w[m * depth..][..depth],
                    bias: bias.map(|b| b[m]),
                    // SAFETY: each (n, m) is one part's own plane of the output.
                    out: unsafe { shared.slice(nm * pixels, pixels) },
                });
            }
        });
        return;
    }
    let images = batch * groups;
    let cut = Cut::new(par.workers().div_ceil(images), mg, pixels, depth);
    let part_work = (mg * pixels * depth / cut.parts()).max(1);
    let one = |part: usize| {
        let (image, part) = (part / cut.parts(), part % cut.parts());
        let (n, g) = (image / groups, image % groups);
        let windows = Windows {
            geometry: &geometry,
            taps: &taps,
            furthest,
            planes: group_planes(n, g),
        };
        let product = Product {
            a: MatRef::row_major(&w[g * mg * depth..][..mg * depth], mg, depth),
            b: &windows,
            bias: bias.map_or(Bias::None, |b| Bias::PerRow(&b[g * mg..][..mg])),
            out: &shared,
            out_first: (n * filters + g * mg) * pixels,
            out_row: pixels,
        };
        isa.run(Part {
            product: &product,
            range: cut.part(part),
        });
    };
    split(
        par,
        images * cut.parts(),
        WORTH_SPLITTING / part_work + 1,
        &|start, end| {
            (start..end).for_each(one);
        },
    );
}

/// The definition, for geometries whose planes would be mostly padding.
fn by_element(
    geometry: &Geometry,
    shape: ConvShape,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let ConvShape {
        channels,
        input: [h, width],
        filters,
        output: [oh, ow],
        groups,
        ..
    } = shape;
    let [kh, kw] = geometry.window.kernel.map(|k| k as usize);
    let (cg, mg) = (channels / groups, filters / groups);
    let depth = cg * kh * kw;
    for (index, value) in out.iter_mut().enumerate() {
        let (nm, at) = (index / (oh * ow), [index / ow % oh, index % ow]);
        let (n, m) = (nm / filters, nm % filters);
        let mut total = 0.0;
        for k0 in (0..depth).step_by(CHUNK) {
            let mut sum = 0.0f32;
            for k in k0..(k0 + CHUNK).min(depth) {
                let plane = n * channels + m / mg * cg + k / (kh * kw);
                let tap = geometry.input_index(at, [k / kw % kh, k % kw]);
                sum = w[m * depth + k].mul_add(tap.map_or(0.0, |i| x[plane * h * width + i]), sum);
            }
            total = if k0 == 0 { sum } else { total + sum };
        }
        *value = crate::scalar::canonical(bias.map_or(total, |b| total + b[m]));
    }
}

/// The windows of one image and group as a matrix `[K, OH * OW]`.
struct Windows<'a> {
    geometry: &'a Geometry,
    /// Offset of row `k` of the matrix from a window's origin.
    taps: &'a [usize],
    /// The largest of `taps`.
    furthest: usize,
    planes: &'a [f32],
}

/// A run of pixels of a panel that is consecutive in the planes.
#[derive(Clone, Copy, Default)]
struct Run {
    from: usize,
    to: usize,
}

impl Panels for Windows<'_> {
    #[inline(always)]
    fn pack<S: Simd>(
        &self,
        s: S,
        k0: usize,
        kc: usize,
        j0: usize,
        cols: usize,
        nr: usize,
        dst: &mut [f32],
    ) {
        let mut runs = [Run::default(); 32];
        let mut count = 0;
        let mut end = usize::MAX;
        let (mut oy, mut ox, mut j) = (
            j0 / self.geometry.out_width,
            j0 % self.geometry.out_width,
            0,
        );
        while j < cols {
            let len = (self.geometry.out_width - ox).min(cols - j);
            let from = self.geometry.origin(oy, ox);
            if from != end {
                runs[count] = Run { from, to: j };
                count += 1;
            }
            end = from + len;
            j += len;
            oy += 1;
            ox = 0;
        }
        let reach = self.furthest + runs[..count].iter().map(|run| run.from).max().unwrap_or(0);
        assert!(
            reach + nr <= self.planes.len() && kc * nr + nr <= dst.len(),
            "panel outside of its planes"
        );
        for (k, &tap) in self.taps[k0..k0 + kc].iter().enumerate() {
            for run in &runs[..count] {
                // Whole panel widths are copied; what spills over a run is overwritten by the next
                // run or row, and the last row spills into the slack.
                let mut v = 0;
                while v < nr {
                    // SAFETY: `from + tap + nr` and `(k + 1) * nr + nr` are inside, checked above.
                    unsafe {
                        let value = s.load(self.planes.as_ptr().add(tap + run.from + v));
                        s.store(dst.as_mut_ptr().add(k * nr + run.to + v), value);
                    }
                    v += S::LANES;
                }
            }
        }
    }

    #[inline(always)]
    fn in_place(&self) -> Option<(&[f32], usize)> {
        None
    }
}

/// One output plane of one output channel, vectorised along its rows.
struct DirectPlane<'a> {
    geometry: &'a Geometry,
    taps: &'a [usize],
    /// The largest of `taps`.
    furthest: usize,
    planes: &'a [f32],
    weights: &'a [f32],
    bias: Option<f32>,
    out: &'a mut [f32],
}

/// Vectors in flight: enough chains to hide the latency of an fma.
const DIRECT_VECS: usize = 4;

impl Kernel for DirectPlane<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut plane = self;
        let out = std::mem::take(&mut plane.out);
        let width = plane.geometry.out_width;
        for (oy, row) in out.chunks_exact_mut(width).enumerate() {
            let mut ox = 0;
            while ox < width {
                let origin = plane.geometry.origin(oy, ox);
                if width - ox > S::LANES {
                    ox += plane.run_vectors::<S, DIRECT_VECS>(s, origin, &mut row[ox..]);
                } else {
                    ox += plane.run_vectors::<S, 1>(s, origin, &mut row[ox..]);
                }
            }
        }
    }
}

impl DirectPlane<'_> {
    /// Up to `V` vectors of outputs from `origin`; returns how many elements were written.
    #[inline(always)]
    fn run_vectors<S: Simd, const V: usize>(&self, s: S, origin: usize, out: &mut [f32]) -> usize {
        let span = V * S::LANES;
        let reach = self.furthest + origin + span;
        assert!(reach <= self.planes.len(), "window outside of its planes");
        let mut total = [s.splat(0.0); V];
        let chunks = self.taps.chunks(CHUNK).zip(self.weights.chunks(CHUNK));
        for (index, (taps, weights)) in chunks.enumerate() {
            let mut sum = [s.splat(0.0); V];
            for (&tap, &w) in taps.iter().zip(weights) {
                let w = s.splat(w);
                for (v, t) in sum.iter_mut().enumerate() {
                    // SAFETY: inside the planes by the assertion above.
                    let x =
                        unsafe { s.load(self.planes.as_ptr().add(origin + tap + v * S::LANES)) };
                    *t = s.fma(w, x, *t);
                }
            }
            for (t, c) in total.iter_mut().zip(sum) {
                *t = if index == 0 { c } else { s.add(*t, c) };
            }
        }
        let mut buffer = [0.0f32; DIRECT_VECS * 16];
        for (v, t) in total.into_iter().enumerate() {
            let t = self.bias.map_or(t, |b| s.add(t, s.splat(b)));
            // SAFETY: `V * LANES <= DIRECT_VECS * 16`.
            unsafe { s.store(buffer.as_mut_ptr().add(v * S::LANES), s.canonical(t)) };
        }
        let written = span.min(out.len());
        out[..written].copy_from_slice(&buffer[..written]);
        written
    }
}
