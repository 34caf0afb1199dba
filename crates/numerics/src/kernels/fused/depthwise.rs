//! Convolution of each channel with a window of its own, over images with channels last.

use super::super::elementwise::Add;
use super::super::gemm::CHUNK;
use super::super::isa::Isa;
use super::super::parallel::{Parallel, split};
use super::super::simd::{Kernel, Simd};
use super::rows::{MutRows, Rows};
use super::tail::{Block, Tail};

/// Pixels of a tile.
const PIXELS: usize = 8;

/// Weights `[channels, taps]` as `[taps][channels]`.
pub struct PackedTaps {
    values: Vec<f32>,
    taps: usize,
    channels: usize,
}

impl PackedTaps {
    /// Packs weights; `None` where there are more taps than a chunk of the order C256 has.
    ///
    /// # Panics
    /// If `weights` are not `channels * taps`.
    pub fn new(weights: &[f32], channels: usize, taps: usize) -> Option<PackedTaps> {
        assert_eq!(weights.len(), channels * taps, "length");
        if taps > CHUNK {
            return None;
        }
        let mut values = Vec::with_capacity(weights.len());
        for tap in 0..taps {
            values.extend((0..channels).map(|c| weights[c * taps + tap]));
        }
        Some(PackedTaps {
            values,
            taps,
            channels,
        })
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

/// A convolution of each channel by itself.
#[derive(Clone, Copy)]
pub struct Depthwise<'a> {
    /// The weights.
    pub weights: &'a PackedTaps,
    /// Offset of each tap from where a window begins.
    pub taps: &'a [usize],
    /// The windows.
    pub x: Rows<'a>,
    /// One value for each channel.
    pub bias: Option<&'a [f32]>,
    /// What follows.
    pub tail: &'a [Tail<'a>],
}

/// `out[i, c] = sum over t of x[i][taps[t] + c] * weights[t, c]` (C256) `+ bias[c]`, then the tail.
///
/// # Panics
/// If operands do not fit together.
pub fn depthwise(isa: Isa, par: &dyn Parallel, job: &Depthwise<'_>, out: &MutRows<'_>) {
    let (rows, channels) = (out.count, job.weights.channels);
    let furthest = job.taps.iter().max().copied().unwrap_or(0);
    assert!(
        job.taps.len() == job.weights.taps
            && out.len == channels
            && job.x.map.width == out.map.width,
        "extents of a convolution"
    );
    assert!(
        job.x
            .map
            .fits(rows, furthest + channels, job.x.values.len()),
        "windows outside of their values"
    );
    assert!(
        job.bias.is_none_or(|bias| bias.len() >= channels)
            && (job.tail.iter()).all(|tail| tail.is_simple() && tail.covers(rows, channels)),
        "what follows a convolution does not cover it"
    );
    if rows == 0 || channels == 0 {
        return;
    }
    // a line of pixels at a time, so that its windows stay in the second-level cache
    let width = out.map.width.clamp(1, rows);
    let lines = rows.div_ceil(width);
    let grain = (1 << 15) / (width * channels * job.taps.len().max(1)) + 1;
    split(par, lines, grain, &|start, end| {
        isa.run(Part {
            job,
            out,
            width,
            start,
            end,
        });
    });
}

struct Part<'a> {
    job: &'a Depthwise<'a>,
    out: &'a MutRows<'a>,
    width: usize,
    start: usize,
    end: usize,
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.job.weights.channels;
        for line in self.start..self.end {
            let (first, end) = (
                line * self.width,
                self.out.count.min((line + 1) * self.width),
            );
            // rows of a line are a step apart: finding a line takes divisions
            let line = (self.job.x.pointer(first), self.out.pointer(first));
            let mut c = 0;
            while c < channels {
                let count = S::LANES.min(channels - c);
                let mut row = 0;
                while row + PIXELS <= end - first {
                    self.tile::<S, PIXELS>(s, line, [first, row], c, count);
                    row += PIXELS;
                }
                if row + 4 <= end - first {
                    self.tile::<S, 4>(s, line, [first, row], c, count);
                    row += 4;
                }
                while row < end - first {
                    self.tile::<S, 1>(s, line, [first, row], c, count);
                    row += 1;
                }
                c += count;
            }
        }
    }
}

impl Part<'_> {
    /// `P` rows from row `row` of the line whose first row is `first`, which begins at `line` in what is read and written.
    #[inline(always)]
    fn tile<S: Simd, const P: usize>(
        &self,
        s: S,
        line: (*const f32, *mut f32),
        [first, row]: [usize; 2],
        channel: usize,
        count: usize,
    ) {
        let Part { job, out, .. } = *self;
        let mut from = [std::ptr::null::<f32>(); P];
        for (i, from) in from.iter_mut().enumerate() {
            *from = line.0.wrapping_add((row + i) * job.x.map.step + channel);
        }
        let mut sums = [[s.splat(0.0); 1]; P];
        let mut weights = job.weights.values.as_ptr().wrapping_add(channel);
        // SAFETY: `depthwise` has checked windows and weights; `count` channels from `channel` are there.
        unsafe {
            if count == S::LANES {
                for &tap in job.taps {
                    let w = s.load(weights);
                    for (sum, from) in sums.iter_mut().zip(from) {
                        sum[0] = s.fma(w, s.load(from.add(tap)), sum[0]);
                    }
                    weights = weights.wrapping_add(job.weights.channels);
                }
            } else {
                for &tap in job.taps {
                    let w = s.load_first(weights, count);
                    for (sum, from) in sums.iter_mut().zip(from) {
                        let x = s.load_first(from.add(tap), count);
                        sum[0] = s.fma(w, x, sum[0]);
                    }
                    weights = weights.wrapping_add(job.weights.channels);
                }
            }
        }
        let mut block = Block::<S, P, 1> {
            values: sums,
            row: first + row,
            column: channel,
            count,
        };
        // SAFETY: `depthwise` has checked bias, tail and rows; rows of a part are of no other.
        unsafe {
            if let Some(bias) = job.bias {
                let bias = block.columns(s, bias);
                block.with_columns(s, bias, Add);
            }
            block.apply(s, job.tail);
            for (i, value) in block.values.iter().enumerate() {
                let to = line.1.wrapping_add((row + i) * out.map.step + channel);
                s.store_first(to, s.canonical(value[0]), count);
            }
        }
    }
}
