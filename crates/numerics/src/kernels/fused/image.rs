//! Images with channels last and a border of zeros, so that windows are read in place.

use super::super::parallel::{Parallel, SharedOut, split};
use super::rows::RowMap;
use super::tile::LINE;

/// A number of channels of whose multiples a pixel takes a fourth of the first-level cache's sets.
const CROWDED: usize = 256;

/// An image of `height x width` pixels of `channels` values each, with a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// Pixels of the border: top, left, bottom, right.
    pub border: [usize; 4],
}

impl ImageShape {
    /// Pixels, without the border.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Values from a pixel to the next: a line of memory more than there are channels where pixels would otherwise lie in the
    /// same few sets of the first-level cache, which holds eight lines of a set, and products read a dozen rows at once.
    pub fn step(&self) -> usize {
        match self.channels.is_multiple_of(CROWDED) {
            true => self.channels + LINE,
            false => self.channels,
        }
    }

    /// Values from a row of pixels to the next.
    pub fn line(&self) -> usize {
        (self.border[1] + self.width + self.border[3]) * self.step()
    }

    /// Values, border and all.
    pub fn values(&self) -> usize {
        (self.border[0] + self.height + self.border[2]) * self.line()
    }

    /// Where pixel `(y, x)` begins.
    pub fn at(&self, y: usize, x: usize) -> usize {
        (self.border[0] + y) * self.line() + (self.border[1] + x) * self.step()
    }

    /// The pixels as rows of values.
    pub fn rows(&self) -> RowMap {
        RowMap {
            first: self.at(0, 0),
            width: self.width.max(1),
            line: self.line(),
            step: self.step(),
        }
    }

    /// Writes zeros to the border.
    ///
    /// # Panics
    /// If `values` is shorter than the image.
    pub fn clear_border(&self, values: &mut [f32]) {
        let ([top, left, _, right], line) = (self.border, self.line());
        let (inside, end) = (top * line, (top + self.height) * line);
        values[..inside].fill(0.0);
        values[end..self.values()].fill(0.0);
        if left + right > 0 {
            for row in values[inside..end].chunks_exact_mut(line) {
                row[..left * self.step()].fill(0.0);
                row[line - right * self.step()..].fill(0.0);
            }
        }
    }
}

/// Pixels, or channels, that are moved together.
const TILE: usize = 16;

/// Planes `[channels, height, width]` to an image; the border is not written.
///
/// # Panics
/// If a slice is shorter than the shape says.
pub fn from_planes(par: &dyn Parallel, planes: &[f32], shape: &ImageShape, out: &mut [f32]) {
    let (channels, pixels, step) = (shape.channels, shape.pixels(), shape.step());
    assert!(
        planes.len() >= channels * pixels && out.len() >= shape.values(),
        "length"
    );
    let shared = SharedOut::new(out);
    let grain = (1 << 14) / (shape.width * channels).max(1) + 1;
    split(par, shape.height, grain, &|start, end| {
        for y in start..end {
            // SAFETY: rows of pixels are disjoint, and each is of one part.
            let row = unsafe { shared.slice(shape.at(y, 0), shape.width * step) };
            if channels < TILE {
                for c in 0..channels {
                    let from = &planes[c * pixels + y * shape.width..][..shape.width];
                    for (to, from) in row.chunks_exact_mut(step).zip(from) {
                        to[c] = *from;
                    }
                }
                continue;
            }
            for x0 in (0..shape.width).step_by(TILE) {
                let count = TILE.min(shape.width - x0);
                for c0 in (0..channels).step_by(TILE) {
                    let beside = TILE.min(channels - c0);
                    let mut block = [[0.0f32; TILE]; TILE];
                    for (c, to) in block[..beside].iter_mut().enumerate() {
                        let first = (c0 + c) * pixels + y * shape.width + x0;
                        to[..count].copy_from_slice(&planes[first..first + count]);
                    }
                    for (x, to) in row[x0 * step..]
                        .chunks_exact_mut(step)
                        .take(count)
                        .enumerate()
                    {
                        for (to, from) in to[c0..c0 + beside].iter_mut().zip(&block) {
                            *to = from[x];
                        }
                    }
                }
            }
        }
    });
}

/// An image to planes `[channels, height, width]`.
///
/// # Panics
/// If a slice is shorter than the shape says.
pub fn to_planes(par: &dyn Parallel, image: &[f32], shape: &ImageShape, out: &mut [f32]) {
    let (channels, pixels, step) = (shape.channels, shape.pixels(), shape.step());
    assert!(
        image.len() >= shape.values() && out.len() >= channels * pixels,
        "length"
    );
    let shared = SharedOut::new(out);
    split(par, channels.div_ceil(TILE), 1, &|first, last| {
        for block in first..last {
            let (start, end) = (block * TILE, channels.min((block + 1) * TILE));
            for y in 0..shape.height {
                let row = &image[shape.at(y, 0)..][..shape.width * step];
                for x0 in (0..shape.width).step_by(TILE) {
                    let count = TILE.min(shape.width - x0);
                    let mut block = [[0.0f32; TILE]; TILE];
                    for (to, from) in block.iter_mut().zip(row[x0 * step..].chunks(step)) {
                        for (to, &from) in to.iter_mut().zip(&from[start..end]) {
                            *to = from;
                        }
                    }
                    for c in start..end {
                        let first = c * pixels + y * shape.width + x0;
                        // SAFETY: channels are of one part each.
                        let to = unsafe { shared.slice(first, count) };
                        for (to, from) in to.iter_mut().zip(&block) {
                            *to = from[c - start];
                        }
                    }
                }
            }
        }
    });
}
