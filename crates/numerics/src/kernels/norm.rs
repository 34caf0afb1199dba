//! Batch normalisation, inference form: one statistic of each kind per channel.

use super::isa::Isa;
use super::lanes::{Map1, map1};
use super::parallel::{Parallel, SharedOut, split};
use super::simd::{Kernel, Simd};

/// Statistics of the channels, one value each.
#[derive(Clone, Copy, Debug)]
pub struct ChannelStats<'a> {
    /// Factor.
    pub scale: &'a [f32],
    /// Offset.
    pub bias: &'a [f32],
    /// Mean that is subtracted.
    pub mean: &'a [f32],
    /// Variance.
    pub var: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Normalises planes `[N, C, plane]` with the statistics of their channel.
///
/// # Panics
/// If the slices do not fit the number of channels and the plane's length.
pub fn batch_norm(
    isa: Isa,
    par: &dyn Parallel,
    stats: ChannelStats<'_>,
    plane: usize,
    x: &[f32],
    out: &mut [f32],
) {
    let channels = stats.scale.len();
    assert!(
        stats.bias.len() == channels && stats.mean.len() == channels && stats.var.len() == channels,
        "statistics"
    );
    assert!(
        x.len() == out.len() && x.len().is_multiple_of((channels * plane).max(1)),
        "length"
    );
    if out.is_empty() {
        return;
    }
    let shared = SharedOut::new(out);
    split(
        par,
        x.len() / plane,
        (1 << 14) / plane + 1,
        &|start, end| {
            for p in start..end {
                let c = p % channels;
                let affine = Affine::new(
                    stats.scale[c],
                    stats.bias[c],
                    stats.mean[c],
                    stats.var[c],
                    stats.epsilon,
                );
                // SAFETY: plane `p` belongs to this part alone.
                let out = unsafe { shared.slice(p * plane, plane) };
                isa.run(NormPart {
                    affine,
                    x: &x[p * plane..][..plane],
                    out,
                });
            }
        },
    );
}

/// `fma(x, k, c)` with `k = scale / sqrt(var + epsilon)` and `c = fma(-mean, k, bias)`.
#[derive(Clone, Copy)]
struct Affine {
    k: f32,
    c: f32,
}

impl Affine {
    fn new(scale: f32, bias: f32, mean: f32, var: f32, epsilon: f32) -> Affine {
        let k = scale / (var + epsilon).sqrt();
        Affine {
            k,
            c: (-mean).mul_add(k, bias),
        }
    }
}

impl Map1 for Affine {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.fma(x, s.splat(self.k), s.splat(self.c))
    }
}

struct NormPart<'a> {
    affine: Affine,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for NormPart<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map1(s, self.x, self.out, self.affine);
    }
}
