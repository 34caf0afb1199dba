//! The register tiles of attention: scores of several queries at several positions, and sums of values that several
//! queries weigh. Every element is one chain in its own lane.

use super::super::kv::KV_BLOCK;
use super::super::simd::Simd;

/// Rows of a tile for `left` rows: some are computed for nothing where that is faster than a further tile.
pub(super) fn tile_rows<S: Simd>(left: usize) -> usize {
    [1, 2, 4, 6, 8]
        .into_iter()
        .find(|&n| n >= left && n < S::TILE_ROWS)
        .unwrap_or(S::TILE_ROWS)
}

/// Positions of a tile of so many rows; divides a page, and is at most a page.
pub(super) fn tile_positions<S: Simd>(rows: usize) -> usize {
    S::LANES * if rows <= 2 { 4 } else { 2 }
}

/// Operands of a tile of scores.
pub(super) struct ScoreJob {
    /// Element `k = 0` of the first query.
    pub(super) queries: *const f32,
    /// Values between queries.
    pub(super) query_row: usize,
    /// Chain length: at most 256.
    pub(super) depth: usize,
    /// Key `k = 0` at the first position.
    pub(super) keys: *const f32,
    /// What is asked for ahead: the keys at these positions of the next page.
    pub(super) ahead: *const f32,
    /// Values between blocks of [`KV_BLOCK`] positions.
    pub(super) block: usize,
    /// First score.
    pub(super) scores: *mut f32,
    /// Values between rows of scores.
    pub(super) score_row: usize,
    /// Added to the scores that are there.
    pub(super) add: bool,
    /// Multiplies the sum, where this is the last chunk.
    pub(super) scale: Option<f32>,
}

/// Computes one chunk of a tile of scores.
///
/// # Safety
/// `rows` is of [`tile_rows`]; queries, keys and scores of the tile are readable, scores also writable and no one
/// else's.
#[inline(always)]
pub(super) unsafe fn scores<S: Simd>(s: S, rows: usize, job: &ScoreJob) {
    // SAFETY: the caller's promise is the callee's.
    unsafe {
        match rows {
            12 if S::TILE_ROWS >= 12 => score_tile::<S, 12, 2>(s, job),
            8 if S::TILE_ROWS >= 8 => score_tile::<S, 8, 2>(s, job),
            6 if S::TILE_ROWS >= 6 => score_tile::<S, 6, 2>(s, job),
            4 => score_tile::<S, 4, 2>(s, job),
            2 => score_tile::<S, 2, 4>(s, job),
            _ => score_tile::<S, 1, 4>(s, job),
        }
    }
}

#[inline(always)]
unsafe fn score_tile<S: Simd, const R: usize, const NV: usize>(s: S, job: &ScoreJob) {
    let mut acc = [[s.splat(0.0); NV]; R];
    let mut queries = job.queries;
    let mut keys = job.keys;
    let mut ahead = job.ahead;
    for _ in 0..job.depth {
        let mut key = [s.splat(0.0); NV];
        for (v, lanes) in key.iter_mut().enumerate() {
            let at = v * S::LANES;
            let at = at / KV_BLOCK * job.block + at % KV_BLOCK;
            // SAFETY: inside the tile's positions by the caller's promise.
            *lanes = unsafe { s.load(keys.wrapping_add(at)) };
            s.prefetch(ahead.wrapping_add(at));
        }
        for (r, row) in acc.iter_mut().enumerate() {
            // SAFETY: R queries by the caller's promise.
            let q = s.splat(unsafe { *queries.add(r * job.query_row) });
            for (v, t) in row.iter_mut().enumerate() {
                *t = s.fma(q, key[v], *t);
            }
        }
        queries = queries.wrapping_add(1);
        keys = keys.wrapping_add(KV_BLOCK);
        ahead = ahead.wrapping_add(KV_BLOCK);
    }
    if job.add {
        for (r, row) in acc.iter_mut().enumerate() {
            for (v, t) in row.iter_mut().enumerate() {
                // SAFETY: a score of the tile by the caller's promise.
                let at = unsafe { job.scores.add(r * job.score_row + v * S::LANES) };
                // SAFETY: as above.
                *t = s.add(unsafe { s.load(at) }, *t);
            }
        }
    }
    if let Some(scale) = job.scale {
        for row in acc.iter_mut() {
            for t in row.iter_mut() {
                *t = s.mul(*t, s.splat(scale));
            }
        }
    }
    for (r, row) in acc.iter().enumerate() {
        for (v, t) in row.iter().enumerate() {
            // SAFETY: a score of the tile by the caller's promise.
            unsafe { s.store(job.scores.add(r * job.score_row + v * S::LANES), *t) };
        }
    }
}

/// Operands of a sum of values.
pub(super) struct ValueJob {
    /// Weight of the first row at the first position.
    pub(super) weights: *const f32,
    /// Values between rows of weights.
    pub(super) weight_row: usize,
    /// Value 0 at the first position.
    pub(super) values: *const f32,
    /// What is asked for ahead: the values at these positions of the next page.
    pub(super) ahead: *const f32,
    /// Values between positions, a multiple of the lanes.
    pub(super) value_row: usize,
    /// Positions.
    pub(super) count: usize,
    /// Sums so far, `value_row` apart.
    pub(super) sums: *mut f32,
}

/// `sums[row] = fma(weight[row][j], value[j], sums[row])` for every position j in order.
///
/// # Safety
/// `rows` is of [`tile_rows`]; weights, values and sums of so many rows are readable, sums also writable and no one
/// else's.
#[inline(always)]
pub(super) unsafe fn values<S: Simd>(s: S, rows: usize, job: &ValueJob) {
    let mut column = 0;
    while column < job.value_row {
        let left = (job.value_row - column) / S::LANES;
        let wide = [8, 4, 2]
            .into_iter()
            .find(|&n| n <= left && n <= most_vectors::<S>(rows))
            .unwrap_or(1);
        // SAFETY: the columns left are at least as many as the tile's; the rest is the caller's promise.
        unsafe {
            match rows {
                12 if S::TILE_ROWS >= 12 => value_columns::<S, 12>(s, wide, job, column),
                8 if S::TILE_ROWS >= 8 => value_columns::<S, 8>(s, wide, job, column),
                6 if S::TILE_ROWS >= 6 => value_columns::<S, 6>(s, wide, job, column),
                4 => value_columns::<S, 4>(s, wide, job, column),
                2 => value_columns::<S, 2>(s, wide, job, column),
                _ => value_columns::<S, 1>(s, wide, job, column),
            }
        }
        column += wide * S::LANES;
    }
}

/// Vectors per row of a tile of values at most: as many as the sums of all rows leave registers for.
const fn most_vectors<S: Simd>(rows: usize) -> usize {
    let most = S::TILE_ROWS * S::TILE_VECS / rows;
    if most < 8 { most } else { 8 }
}

/// [`value_tile`] of `wide` vectors.
#[inline(always)]
unsafe fn value_columns<S: Simd, const R: usize>(s: S, wide: usize, job: &ValueJob, column: usize) {
    // SAFETY: the caller's promise is the callee's.
    unsafe {
        match wide {
            8 if most_vectors::<S>(R) >= 8 => value_tile::<S, R, 8>(s, job, column),
            4 if most_vectors::<S>(R) >= 4 => value_tile::<S, R, 4>(s, job, column),
            2 if most_vectors::<S>(R) >= 2 => value_tile::<S, R, 2>(s, job, column),
            _ => value_tile::<S, R, 1>(s, job, column),
        }
    }
}

/// The columns `column .. column + NV * LANES`.
#[inline(always)]
unsafe fn value_tile<S: Simd, const R: usize, const NV: usize>(
    s: S,
    job: &ValueJob,
    column: usize,
) {
    let mut acc = [[s.splat(0.0); NV]; R];
    let sum = |r: usize, v: usize| {
        job.sums
            .wrapping_add(r * job.value_row + column + v * S::LANES)
    };
    for (r, row) in acc.iter_mut().enumerate() {
        for (v, t) in row.iter_mut().enumerate() {
            // SAFETY: a sum of the tile by the caller's promise.
            *t = unsafe { s.load(sum(r, v)) };
        }
    }
    let mut values = job.values.wrapping_add(column);
    let mut ahead = job.ahead.wrapping_add(column);
    let mut weights = job.weights;
    for _ in 0..job.count {
        let mut value = [s.splat(0.0); NV];
        for (v, lanes) in value.iter_mut().enumerate() {
            // SAFETY: inside the position's row by the caller's promise.
            *lanes = unsafe { s.load(values.add(v * S::LANES)) };
            s.prefetch(ahead.wrapping_add(v * S::LANES));
        }
        for (r, row) in acc.iter_mut().enumerate() {
            // SAFETY: R weights of the position by the caller's promise.
            let weight = s.splat(unsafe { *weights.add(r * job.weight_row) });
            for (v, t) in row.iter_mut().enumerate() {
                *t = s.fma(weight, value[v], *t);
            }
        }
        values = values.wrapping_add(job.value_row);
        ahead = ahead.wrapping_add(job.value_row);
        weights = weights.wrapping_add(1);
    }
    for (r, row) in acc.iter().enumerate() {
        for (v, t) in row.iter().enumerate() {
            // SAFETY: a sum of the tile by the caller's promise.
            unsafe { s.store(sum(r, v), *t) };
        }
    }
}
