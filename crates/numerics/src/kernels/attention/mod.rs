//! Causal attention over a paged cache.
//!
//! Queries that share a KV head, of one position and of several, form the rows of register tiles, so that a key or a
//! value is loaded once for all of them. The softmax is that of the definition, in two passes: all scores of a row,
//! their maximum, then weights, their sum, and the weighted sum of values; nothing is rescaled on the way.

mod tile;

use std::ops::Range;

use super::isa::Isa;
use super::kv::{KV_BLOCK, KV_PAGE, KvShape};
use super::lanes::{REDUCTION_LANES, tree32};
use super::math;
use super::parallel::{Parallel, Scratch, SharedOut, split};
use super::simd::{Kernel, Simd};
use tile::{ScoreJob, ValueJob, tile_positions, tile_rows};

/// Elements of one chain (order C256).
const CHUNK: usize = 256;
/// Rows that a task has at most, if one position has no more: tiles of 12, 12 and 4 waste none of 7 queries per KV head,
/// and none of 8 or 6 of 3 or 4 positions.
const ROWS: usize = 28;
/// Positions of a task at most: the more, the more its rows' ranges differ.
const POSITIONS: usize = 12;
/// Multiplications below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 18;

/// Extents of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// The cache.
    pub kv: KvShape,
    /// Query heads, a multiple of the KV heads; query head `h` reads KV head `h / (heads / kv_heads)`.
    pub heads: usize,
    /// Multiplies the scores.
    pub scale: f32,
}

/// The queries of one sequence: rows of Q that read the same pages.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRows<'a> {
    /// Pages of the layer's cache by number: position `j` lies in page `j / KV_PAGE`. Pages that no range touches may
    /// be empty.
    pub pages: &'a [&'a [f32]],
    /// Positions that each row sees; neither starts nor ends decrease from row to row.
    pub ranges: &'a [Range<usize>],
}

/// The positions that a query at `position` sees in a cache of `context` rows: the last `window` up to its own, or all
/// where that is 0.
pub fn visible(position: u64, window: u64, context: usize) -> Range<usize> {
    let end = position.saturating_add(1);
    let start = match window {
        0 => 0,
        _ => end.saturating_sub(window),
    };
    let end = end.min(context as u64) as usize;
    // an index below `context`, or past the end
    usize::try_from(start).unwrap_or(end).min(end)..end
}

/// Attention of the rows of `q`, `heads * head_dim` values each, those of the first sequence first; `out` likewise.
///
/// # Panics
/// If the lengths do not fit, ranges decrease, or a range reaches into a page that is not there.
pub fn attention(
    isa: Isa,
    par: &dyn Parallel,
    shape: AttentionShape,
    sequences: &[AttentionRows<'_>],
    q: &[f32],
    out: &mut [f32],
) {
    let KvShape { kv_heads, head_dim } = shape.kv;
    let row_len = shape.heads * head_dim;
    let rows: usize = sequences.iter().map(|s| s.ranges.len()).sum();
    assert!(
        head_dim > 0 && kv_heads > 0 && shape.heads.is_multiple_of(kv_heads),
        "heads"
    );
    assert!(
        q.len() == rows * row_len && out.len() == q.len(),
        "rows of queries"
    );
    sequences.iter().for_each(|s| s.check(shape.kv));
    if out.is_empty() {
        return;
    }
    // tasks: a KV head and rows of several positions
    let group = shape.heads / kv_heads;
    let positions = (ROWS / group).clamp(1, POSITIONS);
    let mut tasks = Vec::new();
    let (mut first_row, mut products) = (0, 0);
    for sequence in sequences {
        let count = sequence.ranges.len();
        for head in 0..kv_heads {
            for first in (0..count).step_by(positions) {
                let own = first..(first + positions).min(count);
                tasks.push((sequence, head, first_row + first, own));
            }
        }
        let seen: usize = sequence.ranges.iter().map(|r| r.len()).sum();
        products += 2 * seen * row_len;
        first_row += count;
    }
    let shared = SharedOut::new(out);
    let grain = GRAIN * tasks.len() / products.max(1) + 1;
    split(par, tasks.len(), grain, &|start, end| {
        for (sequence, head, first_row, own) in &tasks[start..end] {
            let len = own.len() * row_len;
            isa.run(Part {
                shape,
                pages: sequence.pages,
                ranges: &sequence.ranges[own.clone()],
                head: *head,
                q: &q[first_row * row_len..][..len],
                first: first_row * row_len,
                out: &shared,
            });
        }
    });
}

impl AttentionRows<'_> {
    fn check(&self, kv: KvShape) {
        let ordered = |a: &Range<usize>, b: &Range<usize>| a.start <= b.start && a.end <= b.end;
        assert!(
            self.ranges.iter().all(|r| r.start <= r.end) && self.ranges.is_sorted_by(ordered),
            "ranges of positions decrease"
        );
        let (Some(first), Some(last)) = (self.ranges.first(), self.ranges.last()) else {
            return;
        };
        if first.start < last.end {
            let touched = first.start / KV_PAGE..last.end.div_ceil(KV_PAGE);
            let pages = self.pages.get(touched);
            assert!(
                pages.is_some_and(|p| p.iter().all(|page| page.len() == kv.page_len())),
                "positions without a page"
            );
        }
    }
}

/// Some rows of one sequence at one KV head.
struct Part<'a> {
    shape: AttentionShape,
    pages: &'a [&'a [f32]],
    ranges: &'a [Range<usize>],
    head: usize,
    /// The rows of Q, all heads.
    q: &'a [f32],
    /// Where the rows of the output begin.
    first: usize,
    out: &'a SharedOut<'a>,
}

/// Working memory: rows are query heads of the KV head, position by position, and more that tiles compute for nothing.
struct Rows<'a> {
    /// Positions from the page of the first that is seen.
    base: usize,
    /// Scores, then weights.
    scores: &'a mut [f32],
    stride: usize,
    /// Sum of a row's weights.
    totals: &'a mut [f32],
    /// Chain of the open chunk.
    chain: &'a mut [f32],
    /// Sum of the closed chunks.
    sums: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (dim, padded) = (self.shape.kv.head_dim, self.shape.kv.padded_dim());
        let (Some(first), Some(last)) = (self.ranges.first(), self.ranges.last()) else {
            return;
        };
        let base = first.start / KV_PAGE * KV_PAGE;
        // one block more, in which a row is filled up to whole blocks of lanes
        let seen = last.end.max(base) - base;
        let stride = seen.next_multiple_of(KV_PAGE) + REDUCTION_LANES;
        let rows = self.ranges.len() * self.group() + S::TILE_ROWS;
        let mut scratch = Scratch::take(rows * (stride + 1 + 2 * padded + dim));
        let (scores, rest) = scratch.as_mut().split_at_mut(rows * stride);
        let (totals, rest) = rest.split_at_mut(rows);
        let (chain, rest) = rest.split_at_mut(rows * padded);
        let (sums, queries) = rest.split_at_mut(rows * padded);
        let mut rows = Rows {
            base,
            scores,
            stride,
            totals,
            chain,
            sums,
        };
        self.score(s, queries, &mut rows);
        self.weigh(s, &mut rows);
        self.sum_values(s, &mut rows);
        self.finish(s, &rows);
    }
}

impl Part<'_> {
    /// Query heads of a KV head.
    #[inline(always)]
    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv.kv_heads
    }

    /// Index in Q, and in the rows of the output, of the first value of a row.
    #[inline(always)]
    fn row_at(&self, row: usize) -> usize {
        let (group, dim) = (self.group(), self.shape.kv.head_dim);
        let head = self.head * group + row % group;
        (row / group * self.shape.heads + head) * dim
    }

    /// The page behind that of `position`, if one before `end` is there; else that page itself.
    #[inline(always)]
    fn next_page(&self, position: usize, end: usize) -> *const f32 {
        let page = position / KV_PAGE;
        self.pages[(page + 1).min((end - 1) / KV_PAGE)].as_ptr()
    }

    /// From the first position that any of the rows sees to the last.
    #[inline(always)]
    fn seen(&self, rows: Range<usize>) -> Range<usize> {
        let group = self.group();
        self.ranges[rows.start / group].start..self.ranges[(rows.end - 1) / group].end
    }

    /// Scores of all rows at all positions between the first and the last that any row sees.
    #[inline(always)]
    fn score<S: Simd>(&self, s: S, queries: &mut [f32], rows: &mut Rows<'_>) {
        let dim = self.shape.kv.head_dim;
        let count = self.ranges.len() * self.group();
        // rows that do not exist are 0
        queries[count * dim..].fill(0.0);
        for (row, query) in queries.chunks_exact_mut(dim).take(count).enumerate() {
            query.copy_from_slice(&self.q[self.row_at(row)..][..dim]);
        }
        let Range { start, end } = self.seen(0..count);
        if start == end {
            return;
        }
        for page_start in (rows.base..end).step_by(KV_PAGE) {
            let page = self.pages[page_start / KV_PAGE];
            let next = self.next_page(page_start, end);
            let mut row = 0;
            while row < count {
                let wide = tile_rows::<S>(count - row);
                let positions = tile_positions::<S>(wide);
                let own = self.seen(row..count.min(row + wide));
                let from = own.start.max(page_start) - page_start;
                let to = own.end.clamp(page_start, page_start + KV_PAGE) - page_start;
                for slot in (from / positions * positions..to).step_by(positions) {
                    for k in (0..dim).step_by(CHUNK) {
                        let depth = (dim - k).min(CHUNK);
                        let key = self.shape.kv.key(self.head, slot) + k * KV_BLOCK;
                        let at = row * rows.stride + page_start - rows.base + slot;
                        let job = ScoreJob {
                            queries: queries[row * dim + k..(row + wide) * dim].as_ptr(),
                            query_row: dim,
                            depth,
                            keys: page[key..].as_ptr(),
                            ahead: next.wrapping_add(key),
                            block: dim * KV_BLOCK,
                            scores: rows.scores[at..][..(wide - 1) * rows.stride + positions]
                                .as_mut_ptr(),
                            score_row: rows.stride,
                            add: k > 0,
                            scale: (k + depth == dim).then_some(self.shape.scale),
                        };
                        // SAFETY: `slot + positions` is at most a page, whose length is checked, as is that of the
                        // slices of queries and scores.
                        unsafe { tile::scores(s, wide, &job) };
                    }
                }
                row += wide;
            }
        }
    }

    /// Of the scores of every row, in its own range: `exp(score - maximum)`, and the sum of these.
    #[inline(always)]
    fn weigh<S: Simd>(&self, s: S, rows: &mut Rows<'_>) {
        let group = self.group();
        for (row, total) in rows.totals[..self.ranges.len() * group]
            .iter_mut()
            .enumerate()
        {
            let range = &self.ranges[row / group];
            let at = row * rows.stride + range.start - rows.base;
            let whole = range.len().next_multiple_of(REDUCTION_LANES);
            let scores = &mut rows.scores[at..at + whole];
            // weight +0, which changes no lane
            scores[range.len()..].fill(f32::NEG_INFINITY);
            *total = weights(s, scores);
        }
    }

    /// Weighted sums of values. Goes over the positions once, page by page, and stops wherever a row starts, ends or
    /// begins a chunk.
    #[inline(always)]
    fn sum_values<S: Simd>(&self, s: S, rows: &mut Rows<'_>) {
        let (kv, group) = (self.shape.kv, self.group());
        let padded = kv.padded_dim();
        rows.sums.fill(0.0);
        rows.chain.fill(0.0);
        let Range { start: mut at, end } = self.seen(0..self.ranges.len() * group);
        while at < end {
            let mut next = end.min((at / KV_PAGE + 1) * KV_PAGE);
            for (i, range) in self.ranges.iter().enumerate() {
                if at < range.start {
                    next = next.min(range.start);
                } else if at < range.end {
                    let seen = at - range.start;
                    if seen.is_multiple_of(CHUNK) {
                        rows.close(i * group..(i + 1) * group, seen, padded);
                    }
                    next = next.min(range.end).min(at + CHUNK - seen % CHUNK);
                }
            }
            let page = self.pages[at / KV_PAGE];
            let value = kv.value(self.head, at % KV_PAGE);
            let (values, ahead) = (&page[value..], self.next_page(at, end).wrapping_add(value));
            let count = self.ranges.partition_point(|r| r.start <= at) * group;
            let mut row = self.ranges.partition_point(|r| r.end <= at) * group;
            while row < count {
                let wide = tile_rows::<S>(count - row);
                let weights = row * rows.stride + at - rows.base;
                // a tile's last rows may be some that have not started, whose chains begin anew when they do
                let job = ValueJob {
                    weights: rows.scores[weights..][..(wide - 1) * rows.stride + next - at]
                        .as_ptr(),
                    weight_row: rows.stride,
                    values: values[..(next - at) * padded].as_ptr(),
                    ahead,
                    value_row: padded,
                    count: next - at,
                    sums: rows.chain[row * padded..(row + wide) * padded].as_mut_ptr(),
                };
                // SAFETY: the slices have what the tile reads and writes.
                unsafe { tile::values(s, wide, &job) };
                row += wide;
            }
            at = next;
        }
        for (i, range) in self.ranges.iter().enumerate() {
            if !range.is_empty() {
                // a whole chunk at the end is open still
                let seen = range.len().next_multiple_of(CHUNK);
                rows.close(i * group..(i + 1) * group, seen, padded);
            }
        }
    }

    /// One division per value.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, rows: &Rows<'_>) {
        let (dim, padded) = (self.shape.kv.head_dim, self.shape.kv.padded_dim());
        for row in 0..self.ranges.len() * self.group() {
            // SAFETY: a row at a head is this part's alone.
            let out = unsafe { self.out.slice(self.first + self.row_at(row), dim) };
            let sums = &rows.sums[row * padded..][..dim];
            let total = rows.totals[row];
            super::lanes::map2(
                s,
                super::lanes::Operand::Each(sums),
                super::lanes::Operand::Same(total),
                out,
                Quotient,
            );
        }
    }
}

#[derive(Clone, Copy)]
struct Quotient;

impl super::lanes::Map2 for Quotient {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        s.div(x, y)
    }
}

impl Rows<'_> {
    /// Ends the chunk before element `seen`, if there is one, and begins the next.
    #[inline(always)]
    fn close(&mut self, rows: Range<usize>, seen: usize, padded: usize) {
        let columns = rows.start * padded..rows.end * padded;
        let (sums, chain) = (&mut self.sums[columns.clone()], &mut self.chain[columns]);
        match seen / CHUNK {
            0 => {}
            1 => sums.copy_from_slice(chain),
            _ => {
                for (sum, t) in sums.iter_mut().zip(chain.iter()) {
                    *sum += *t;
                }
            }
        }
        chain.fill(0.0);
    }
}

/// Replaces scores by `exp(score - maximum)`, whole blocks of 32; returns their 32-lane sum.
///
/// The maximum here passes over NaN and may be a zero of either sign. Neither shows: the weight of a NaN is NaN, and so
/// is then the sum; and `exp` of either zero is 1.
#[inline(always)]
fn weights<S: Simd>(s: S, scores: &mut [f32]) -> f32 {
    let vecs = REDUCTION_LANES / S::LANES;
    let blocks = scores.as_chunks_mut::<REDUCTION_LANES>().0;
    let mut best = [s.splat(f32::NEG_INFINITY); 8];
    for block in blocks.iter() {
        for (v, best) in best.iter_mut().enumerate().take(vecs) {
            // SAFETY: vector `v` lies inside the block.
            let x = unsafe { s.load(block.as_ptr().add(v * S::LANES)) };
            *best = s.greater(x, *best);
        }
    }
    let mut lanes = [f32::NEG_INFINITY; REDUCTION_LANES];
    for (v, best) in best.iter().enumerate().take(vecs) {
        // SAFETY: the vectors taken are 32 lanes.
        unsafe { s.store(lanes.as_mut_ptr().add(v * S::LANES), *best) };
    }
    let max = lanes
        .into_iter()
        .fold(f32::NEG_INFINITY, |a, b| if a < b { b } else { a });
    let max = s.splat(max);
    let mut acc = [s.splat(0.0); 8];
    for block in blocks {
        for (v, t) in acc.iter_mut().enumerate().take(vecs) {
            // SAFETY: vector `v` lies inside the block.
            unsafe {
                let at = block.as_mut_ptr().add(v * S::LANES);
                let e = math::exp(s, s.sub(s.load(at), max));
                s.store(at, e);
                *t = s.add(*t, e);
            }
        }
    }
    tree32(s, &acc)
}
