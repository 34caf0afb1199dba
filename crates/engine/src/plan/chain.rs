//! Convolutions one after the other, a few lines of the last one's image at a time: the images between are large and read only
//! once, and of each just the lines that the next convolution's windows reach exist, in the cache.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use gavel_numerics::kernels::fused::{ImageShape, MutRows, RowMap, Rows, Tail};
use gavel_numerics::kernels::{Isa, Parallel, Sequential};

use super::job::Convolution;
use super::spare::{Buffer, Spare};

/// Bytes of lines that stay in the second-level cache beside weights.
const CACHED: usize = 384 << 10;
/// Most lines of the last image that are computed at once.
const MOST_LINES: usize = 8;

/// One convolution of a chain.
pub(super) struct Link<'a> {
    pub(super) conv: &'a Convolution,
    /// Its output.
    pub(super) shape: ImageShape,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) tail: Vec<Tail<'a>>,
}

impl Link<'_> {
    /// Lines of the input that the windows of these lines reach, those of the border too.
    fn reach(&self, lines: &Range<isize>) -> Range<isize> {
        let window = &self.conv.window;
        let [kernel, stride, dilation, pad] = [
            window.kernel[0],
            window.strides[0],
            window.dilations[0],
            window.pads[0],
        ]
        .map(|n| n as isize);
        let first = |line: isize| line * stride - pad;
        first(lines.start)..first(lines.end - 1) + (kernel - 1) * dilation + 1
    }
}

/// Lines of an image, border and all.
struct Lines<'a> {
    values: &'a [f32],
    /// The line that the values begin with; the first below the border is 0.
    first: isize,
}

/// Lines of an image between two convolutions.
struct Band {
    values: Buffer,
    /// The lines that are there.
    lines: Range<isize>,
}

/// Computes the last image of a chain from the first one's input, whose values begin with its border.
pub(super) fn run(
    isa: Isa,
    par: &dyn Parallel,
    spare: &Spare,
    x: &[f32],
    links: &[Link<'_>],
    out: &mut [f32],
) {
    let (Some(first), Some(last)) = (links.first(), links.last()) else {
        return;
    };
    let x = Lines {
        values: x,
        first: -(first.conv.shape.border[0] as isize),
    };
    let (height, line) = (last.shape.height, last.shape.line());
    // a part computes the lines again that its first windows share with the part before
    let parts = match par.workers() {
        1 => 1,
        workers => (2 * workers).min(height.div_ceil(MOST_LINES)),
    };
    let cut = |part: usize| height * part / parts;
    let mut rest = &mut out[last.shape.border[0] * line..];
    let outs = (0..parts).map(|part| {
        let (own, after) =
            std::mem::take(&mut rest).split_at_mut((cut(part + 1) - cut(part)) * line);
        rest = after;
        Mutex::new(own)
    });
    let outs: Vec<Mutex<&mut [f32]>> = outs.collect();
    let most = lines_at_once(links);
    par.run(parts, &|part| {
        let mut out = outs[part].lock().unwrap_or_else(PoisonError::into_inner);
        let mut chain = Chain::new(isa, spare, &x, links, most);
        let (from, to) = (cut(part) as isize, cut(part + 1) as isize);
        let mut line = from;
        while line < to {
            let lines = line..to.min(line + most as isize);
            line = lines.end;
            chain.last(lines, &mut out, from);
        }
        chain.give_back();
    });
}

/// Lines of each image between that are needed for so many of the last.
fn needed(links: &[Link<'_>], lines: usize) -> Vec<usize> {
    let mut range = 0..lines as isize;
    let found = links[1..].iter().rev().map(|link| {
        range = link.reach(&range);
        range.len()
    });
    let mut found: Vec<usize> = found.collect();
    found.reverse();
    found
}

/// How many lines of the last image are computed at once.
fn lines_at_once(links: &[Link<'_>]) -> usize {
    let bytes = |lines: &usize| {
        let between = needed(links, *lines).into_iter().zip(links);
        let values: usize = between.map(|(lines, link)| lines * link.shape.line()).sum();
        values * size_of::<f32>()
    };
    (1..=MOST_LINES)
        .rev()
        .find(|lines| bytes(lines) <= CACHED)
        .unwrap_or(1)
}

/// A chain at work on some of its lines.
struct Chain<'a> {
    isa: Isa,
    spare: &'a Spare,
    x: &'a Lines<'a>,
    links: &'a [Link<'a>],
    bands: Vec<Band>,
}

impl<'a> Chain<'a> {
    fn new(
        isa: Isa,
        spare: &'a Spare,
        x: &'a Lines<'a>,
        links: &'a [Link<'a>],
        most: usize,
    ) -> Chain<'a> {
        let bands = needed(links, most).into_iter().zip(links);
        let bands = bands.map(|(lines, link)| {
            let len = lines * link.shape.line();
            let mut values = spare.buffer(len);
            // convolutions write pixels; what lies left and right of them stays as it is
            values[..len].fill(0.0);
            let lines = 0..0;
            Band { values, lines }
        });
        Chain {
            isa,
            spare,
            x,
            links,
            bands: bands.collect(),
        }
    }

    fn give_back(self) {
        for band in self.bands {
            self.spare.give(band.values);
        }
    }

    /// Computes lines of the last image into `out`, which begins with line `first`.
    fn last(&mut self, lines: Range<isize>, out: &mut [f32], first: isize) {
        let Some((link, before)) = self.links.split_last() else {
            return;
        };
        let (isa, x) = (self.isa, self.x);
        make(isa, x, before, &mut self.bands, link.reach(&lines));
        compute(isa, link, lines, &input(x, &self.bands), (out, first));
    }
}

/// What the next convolution reads: the last of these bands, or the first input.
fn input<'a>(x: &'a Lines<'_>, bands: &'a [Band]) -> Lines<'a> {
    match bands.last() {
        Some(band) => Lines {
            values: &band.values,
            first: band.lines.start,
        },
        None => Lines { ..*x },
    }
}

/// Makes these lines be there of the last of some images; those that are already are kept.
fn make(isa: Isa, x: &Lines<'_>, links: &[Link<'_>], bands: &mut [Band], lines: Range<isize>) {
    let (Some((link, links)), Some((band, bands))) = (links.split_last(), bands.split_last_mut())
    else {
        return;
    };
    let line = link.shape.line();
    let kept = lines.start.max(band.lines.start)..lines.end.min(band.lines.end);
    let new = match kept.is_empty() || kept.start > lines.start {
        true => lines.clone(),
        false => {
            let from = (kept.start - band.lines.start) as usize * line;
            band.values.copy_within(from..from + kept.len() * line, 0);
            kept.end..lines.end
        }
    };
    band.lines = lines.clone();
    let height = link.shape.height as isize;
    let inside = new.start.clamp(0, height)..new.end.clamp(0, height);
    let at = |of: isize| (of - lines.start) as usize * line;
    for border in [new.start..inside.start, inside.end..new.end] {
        band.values[at(border.start)..at(border.end)].fill(0.0);
    }
    if !inside.is_empty() {
        make(isa, x, links, bands, link.reach(&inside));
        let out = (&mut band.values[..], lines.start);
        compute(isa, link, inside, &input(x, bands), out);
    }
}

/// Computes lines of an output whose values begin with line `first`.
fn compute(
    isa: Isa,
    link: &Link<'_>,
    lines: Range<isize>,
    x: &Lines<'_>,
    (out, first): (&mut [f32], isize),
) {
    let (shape, conv) = (&link.shape, link.conv);
    let windows = conv.windows(shape.width);
    // the windows of line 0 begin at the line `-pad`, wherever the values begin
    let pad = conv.window.pads[0] as isize;
    let start = lines.start * conv.window.strides[0] as isize - pad;
    let column = windows.first % conv.shape.line();
    let x = Rows {
        values: x.values,
        map: RowMap {
            first: (start - x.first) as usize * conv.shape.line() + column,
            ..windows
        },
    };
    let line = (lines.start - first) as usize;
    let map = RowMap {
        first: line * shape.line() + shape.border[1] * shape.step(),
        ..shape.rows()
    };
    let rows = lines.len() * shape.width;
    let before = lines.start as usize * shape.width;
    let tail: Vec<Tail<'_>> = (link.tail.iter().map(|tail| tail.rows_from(before))).collect();
    let out = MutRows::new(out, map, rows, shape.channels);
    conv.run(isa, &Sequential, x, link.bias, &tail, &out);
}
