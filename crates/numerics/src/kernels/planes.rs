//! Padded image planes: the input of a windowed operator laid out so that every tap of every output
//! row reads a run of consecutive values.
//!
//! A plane `H x W` becomes `Hp` rows of `sw` phases of `Wq` values: padded column `x` lies at
//! position `x / sw` of phase `x mod sw`. The tap `(ky, kx)` of the outputs `ox, ox + 1, ...` of one
//! row is then consecutive at any stride. Padding taps hold the fill value and are read like others.

use super::parallel::{Parallel, SharedOut, split};
use crate::Window2d;

/// Readable values behind the last plane, so that a vector load at any tap stays inside.
const SLACK: usize = 64;

/// Geometry of a windowed operator on planes of `height x width`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) window: Window2d,
    height: usize,
    width: usize,
    out_height: usize,
    pub(super) out_width: usize,
    padded_height: usize,
    /// Values per phase of a row.
    phase: usize,
}

impl Geometry {
    /// The geometry for an output of `out_height x out_width`.
    pub(super) fn new(
        window: Window2d,
        height: usize,
        width: usize,
        out_height: usize,
        out_width: usize,
    ) -> Geometry {
        let [sh, sw] = window.strides.map(|s| s as usize);
        let [dh, dw] = window.dilations.map(|d| d as usize);
        let [kh, kw] = window.kernel.map(|k| k as usize);
        let [top, left, ..] = window.pads.map(|p| p as usize);
        // what the taps reach, not what the pads declare: rows and columns no window touches are dropped
        let reach_h = (out_height.saturating_sub(1) * sh + kh.saturating_sub(1) * dh + 1).max(top);
        let reach_w = (out_width.saturating_sub(1) * sw + kw.saturating_sub(1) * dw + 1).max(left);
        Geometry {
            window,
            height,
            width,
            out_height,
            out_width,
            padded_height: reach_h,
            phase: reach_w.div_ceil(sw),
        }
    }

    /// Elements between rows of a plane.
    fn row(&self) -> usize {
        self.phase * self.window.strides[1] as usize
    }

    /// Elements of a plane.
    pub(super) fn plane(&self) -> usize {
        self.padded_height * self.row()
    }

    /// Whether `count` planes would take far more memory than the tensors themselves: strides beyond
    /// the window over wide padding. Such operators run element by element.
    pub(super) fn is_wasteful(&self, count: usize) -> bool {
        let tensors = self.height * self.width + self.out_height * self.out_width;
        let plane = self.padded_height.saturating_mul(self.row());
        plane.saturating_mul(count) > (1 << 22) && plane > tensors.saturating_mul(8)
    }

    /// Input position of tap `(ky, kx)` of output `(oy, ox)`; `None` in the padding.
    pub(super) fn input_index(&self, [oy, ox]: [usize; 2], [ky, kx]: [usize; 2]) -> Option<usize> {
        let Window2d {
            strides,
            dilations,
            pads,
            ..
        } = self.window;
        let at = |o: usize, k: usize, axis: usize, extent: usize| {
            let padded = o * strides[axis] as usize + k * dilations[axis] as usize;
            padded
                .checked_sub(pads[axis] as usize)
                .filter(|&x| x < extent)
        };
        Some(at(oy, ky, 0, self.height)? * self.width + at(ox, kx, 1, self.width)?)
    }

    /// Offset of tap `(ky, kx)` from the position of output `(0, 0)`.
    pub(super) fn tap(&self, ky: usize, kx: usize) -> usize {
        let sw = self.window.strides[1] as usize;
        let x = kx * self.window.dilations[1] as usize;
        ky * self.window.dilations[0] as usize * self.row() + (x % sw) * self.phase + x / sw
    }

    /// Offset of output `(oy, ox)`: its tap `(ky, kx)` is `origin + tap(ky, kx)`.
    #[inline(always)]
    pub(super) fn origin(&self, oy: usize, ox: usize) -> usize {
        oy * self.window.strides[0] as usize * self.row() + ox
    }

    /// Lays out `count` consecutive planes of `input`, with `fill` in the padding.
    pub(super) fn lay_out(
        &self,
        par: &dyn Parallel,
        input: &[f32],
        count: usize,
        fill: f32,
    ) -> Vec<f32> {
        let plane = self.plane();
        let mut planes = vec![fill; count * plane + SLACK];
        let shared = SharedOut::new(&mut planes);
        let (top, left) = (self.window.pads[0] as usize, self.window.pads[1] as usize);
        let sw = self.window.strides[1] as usize;
        let rows = self.height.min(self.padded_height - top);
        let cols = self.width.min(self.row().saturating_sub(left));
        let grain = (1 << 14) / plane.max(1) + 1;
        split(par, count, grain, &|start, end| {
            for p in start..end {
                let source = &input[p * self.height * self.width..][..self.height * self.width];
                // SAFETY: plane `p` belongs to this part alone.
                let target = unsafe { shared.slice(p * plane, plane) };
                for y in 0..rows {
                    let from = &source[y * self.width..][..cols];
                    let to = &mut target[(y + top) * self.row()..][..self.row()];
                    if sw == 1 {
                        to[left..left + cols].copy_from_slice(from);
                    } else {
                        for (x, &value) in from.iter().enumerate() {
                            let x = x + left;
                            to[(x % sw) * self.phase + x / sw] = value;
                        }
                    }
                }
            }
        });
        planes
    }
}
