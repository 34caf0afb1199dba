//! Convolution of each channel with a window of its own, over images with channels last.

use super::super::elementwise::Add;
use super::super::gemm::CHUNK;
use super::super::isa::Isa;
use super::super::parallel::{Parallel, split};
use super::super::simd::{Kernel, Simd};
use super::rows::{MutRows, Rows};
use super::tail::{Block, Tail};

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
    let width = out.map.width.clamp(1, rows);
    let lines = rows.div_ceil(width);
    let windows = Windows::of(job);
    let grain = (1 << 15) / (width * channels * job.taps.len().max(1)) + 1;
    split(par, lines, grain, &|start, end| {
        isa.run(Part {
            job,
            windows,
            out,
            width,
            start,
            end,
        });
    });
}

/// How the windows of pixels side by side lie over each other. Where they are a pixel apart, and so are their taps, a value that
/// several of them read is loaded once; two pixels apart they share too little for that to pay.
#[derive(Clone, Copy)]
enum Windows {
    /// Three taps wide, a pixel apart.
    Three,
    /// Five taps wide, a pixel apart.
    Five,
    Other,
}

impl Windows {
    fn of(job: &Depthwise<'_>) -> Windows {
        let step = job.x.map.step;
        let is_wide = |taps: usize| {
            job.taps.len().is_multiple_of(taps)
                && (job.taps.chunks(taps)).all(|row| row.is_sorted_by(|a, b| a + step == *b))
        };
        match () {
            () if is_wide(3) => Windows::Three,
            () if is_wide(5) => Windows::Five,
            () => Windows::Other,
        }
    }
}

struct Part<'a> {
    job: &'a Depthwise<'a>,
    windows: Windows,
    out: &'a MutRows<'a>,
    width: usize,
    start: usize,
    end: usize,
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.windows {
            Windows::Three => self.lines::<S, 3>(s),
            Windows::Five => self.lines::<S, 5>(s),
            Windows::Other => self.lines::<S, 0>(s),
        }
    }
}

/// A tile of a line of pixels: where it begins in what is read and written, and its first row.
#[derive(Clone, Copy)]
struct Tile {
    x: *const f32,
    out: *mut f32,
    row: usize,
}

impl Part<'_> {
    /// All lines, by tiles of a few pixels with all their channels: memory is read in long runs.
    #[inline(always)]
    fn lines<S: Simd, const WIDE: usize>(&self, s: S) {
        let (x_step, out_step) = (self.job.x.map.step, self.out.map.step);
        for line in self.start..self.end {
            let first = line * self.width;
            let pixels = self.out.count.min(first + self.width) - first;
            let seven = pixels.is_multiple_of(7) && !pixels.is_multiple_of(8);
            let mut tile = Tile {
                x: self.job.x.pointer(first),
                out: self.out.pointer(first),
                row: first,
            };
            let mut left = pixels;
            while left > 0 {
                let done = match left {
                    7.. if seven => self.tile::<S, WIDE, 7>(s, tile),
                    8.. => self.tile::<S, WIDE, 8>(s, tile),
                    4.. => self.tile::<S, WIDE, 4>(s, tile),
                    2.. => self.tile::<S, WIDE, 2>(s, tile),
                    _ => self.tile::<S, WIDE, 1>(s, tile),
                };
                tile.x = tile.x.wrapping_add(done * x_step);
                tile.out = tile.out.wrapping_add(done * out_step);
                tile.row += done;
                left -= done;
            }
        }
    }

    /// All channels of `P` pixels; how many they are.
    #[inline(always)]
    fn tile<S: Simd, const WIDE: usize, const P: usize>(&self, s: S, tile: Tile) -> usize {
        let Part { job, out, .. } = *self;
        let channels = job.weights.channels;
        let mut column = 0;
        while column < channels {
            let count = S::LANES.min(channels - column);
            // SAFETY: `depthwise` has checked windows, weights, bias, tail and rows, `count` channels from `column` are there, and
            // rows of a part are of no other.
            unsafe {
                let values = match count == S::LANES {
                    true => self.sums::<S, WIDE, P, true>(s, tile.x, column, count),
                    false => self.sums::<S, WIDE, P, false>(s, tile.x, column, count),
                };
                let mut block = Block::<S, P, 1> {
                    values,
                    row: tile.row,
                    column,
                    count,
                };
                if let Some(bias) = job.bias {
                    let bias = block.columns(s, bias);
                    block.with_columns(s, bias, Add);
                }
                block.follow(s, job.tail);
                for (i, value) in block.values.iter().enumerate() {
                    let to = tile.out.wrapping_add(i * out.map.step + column);
                    s.store_first(to, s.canonical(value[0]), count);
                }
            }
            column += count;
        }
        P
    }

    /// The sums of a vector of channels of `P` pixels whose windows are `WIDE` taps wide, a pixel apart (0: who knows); each in
    /// the order of the taps.
    ///
    /// # Safety
    /// `count` channels from `column` of `P` pixels from `x` and of the weights are there, a whole vector if `WHOLE`.
    #[inline(always)]
    unsafe fn sums<S: Simd, const WIDE: usize, const P: usize, const WHOLE: bool>(
        &self,
        s: S,
        x: *const f32,
        column: usize,
        count: usize,
    ) -> [[S::F; 1]; P] {
        let Part { job, .. } = *self;
        let (step, channels) = (job.x.map.step, job.weights.channels);
        let load = |from: *const f32| {
            // SAFETY: the caller's promise.
            unsafe {
                match WHOLE {
                    true => s.load(from),
                    false => s.load_first(from, count),
                }
            }
        };
        let mut sums = [[s.splat(0.0); 1]; P];
        let mut weights = job.weights.values.as_ptr().wrapping_add(column);
        let x = x.wrapping_add(column);
        if WIDE == 0 {
            for &tap in job.taps {
                let w = load(weights);
                let mut from = x.wrapping_add(tap);
                for sum in &mut sums {
                    sum[0] = s.fma(w, load(from), sum[0]);
                    from = from.wrapping_add(step);
                }
                weights = weights.wrapping_add(channels);
            }
            return sums;
        }
        for row in job.taps.chunks_exact(WIDE.max(1)) {
            let mut w = [s.splat(0.0); WIDE];
            for w in &mut w {
                *w = load(weights);
                weights = weights.wrapping_add(channels);
            }
            let mut from = x.wrapping_add(row[0]);
            // each value meets the sums of the windows that it is in, the latest of which it is the first of
            for place in 0..P - 1 + WIDE {
                let value = load(from);
                from = from.wrapping_add(step);
                for (tap, &w) in w.iter().enumerate() {
                    let window = place.checked_sub(tap).and_then(|i| sums.get_mut(i));
                    if let Some(sum) = window {
                        sum[0] = s.fma(w, value, sum[0]);
                    }
                }
            }
        }
        sums
    }
}
