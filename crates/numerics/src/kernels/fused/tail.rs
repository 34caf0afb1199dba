//! What is done to the elements of an output before they are stored.

use super::super::elementwise::{Add, Clip, Div, Mul, Relu, Sigmoid};
use super::super::lanes::{Map1, Map2};
use super::super::math;
use super::super::simd::Simd;
use super::erf::Erf;
use super::rows::Rows;

/// Factor and addend of each column: `fma(x, factor, addend)`.
#[derive(Clone, Debug)]
pub struct Affine {
    /// Factors.
    pub factor: Vec<f32>,
    /// Addends.
    pub addend: Vec<f32>,
}

impl Affine {
    /// Batch normalisation (`spec/numerics.md`, 18) of channels with these statistics.
    pub fn normal(stats: super::super::ChannelStats<'_>) -> Affine {
        let channels = stats.scale.iter().zip(stats.bias).zip(stats.mean);
        let (factor, addend) = channels
            .zip(stats.var)
            .map(|(((scale, bias), mean), var)| {
                let factor = scale / (var + stats.epsilon).sqrt();
                (factor, (-mean).mul_add(factor, *bias))
            })
            .unzip();
        Affine { factor, addend }
    }
}

/// An operator on each element `x` of an output, in row `i` and column `j`.
#[derive(Clone, Copy, Debug)]
pub enum Tail<'a> {
    /// `max(x, +0)`
    Relu,
    /// `min(max(x, low), high)`
    Clip(f32, f32),
    /// `x * sigmoid(x)`
    Silu,
    /// The logistic function.
    Sigmoid,
    /// `x * (erf(x / divisor) + addend)`
    ErfGate {
        /// Of the argument.
        divisor: f32,
        /// To the function.
        addend: f32,
    },
    /// `x * factor`
    Scale(f32),
    /// `x / divisor`
    Divide(f32),
    /// `x + other[i, j]`
    Add(Rows<'a>),
    /// `x * other[i, j]`
    Mul(Rows<'a>),
    /// `x + columns[j]`
    AddColumns(&'a [f32]),
    /// `x * columns[j]`
    MulColumns(&'a [f32]),
    /// `fma(x, factor[j], addend[j])`
    Affine(&'a Affine),
}

impl Tail<'_> {
    /// Whether it takes few instructions: products do nothing else to their tiles.
    pub fn is_simple(&self) -> bool {
        !matches!(self, Tail::Silu | Tail::Sigmoid | Tail::ErfGate { .. })
    }

    /// The operator for the rows from row `first` of a matrix.
    pub fn rows_from(&self, first: usize) -> Self {
        let from = |rows: &Rows<'_>| {
            let mut map = rows.map;
            map.first = rows.map.at(first);
            map
        };
        match self {
            Tail::Add(rows) => Tail::Add(Rows {
                map: from(rows),
                ..*rows
            }),
            Tail::Mul(rows) => Tail::Mul(Rows {
                map: from(rows),
                ..*rows
            }),
            other => *other,
        }
    }

    /// Whether it covers `rows` rows of `n` columns.
    pub(super) fn covers(&self, rows: usize, n: usize) -> bool {
        match self {
            Tail::Relu | Tail::Clip(..) | Tail::Silu | Tail::Sigmoid => true,
            Tail::ErfGate { .. } | Tail::Scale(_) | Tail::Divide(_) => true,
            Tail::Add(other) | Tail::Mul(other) => other.map.fits(rows, n, other.values.len()),
            Tail::AddColumns(columns) | Tail::MulColumns(columns) => columns.len() >= n,
            Tail::Affine(affine) => affine.factor.len() >= n && affine.addend.len() >= n,
        }
    }
}

/// A part of an output: the vectors of `MR` rows from column `column`, of which only `count` are there.
pub(super) struct Block<S: Simd, const MR: usize, const NV: usize> {
    pub(super) values: [[S::F; NV]; MR],
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) count: usize,
}

impl<S: Simd, const NV: usize> Block<S, 1, NV> {
    /// Does `tail` to a row, one operator after the other. A NaN need not be canonical afterwards.
    ///
    /// # Safety
    /// Each operator covers the row and `column + count` columns ([`Tail::covers`]).
    #[inline(always)]
    pub(super) unsafe fn apply(&mut self, s: S, tail: &[Tail<'_>]) {
        for tail in tail {
            match tail {
                Tail::Silu => self.each(s, Silu),
                Tail::Sigmoid => self.each(s, Sigmoid),
                Tail::ErfGate { divisor, addend } => self.each(s, ErfGate(*divisor, *addend)),
                // SAFETY: the caller's promise.
                simple => unsafe { self.apply_simple(s, simple) },
            }
        }
    }

    /// Does an operator that is simple.
    ///
    /// # Safety
    /// As [`Block::apply`].
    #[inline(always)]
    unsafe fn apply_simple(&mut self, s: S, tail: &Tail<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            match tail {
                Tail::Relu => self.each(s, Relu),
                Tail::Clip(low, high) => self.each(s, Clip::new(*low, *high)),
                Tail::Scale(factor) => self.with_columns(s, [s.splat(*factor); NV], Mul),
                Tail::Divide(divisor) => self.with_columns(s, [s.splat(*divisor); NV], Div),
                Tail::Add(other) => self.with_rows(s, other, Add),
                Tail::Mul(other) => self.with_rows(s, other, Mul),
                Tail::AddColumns(columns) => {
                    let columns = self.columns(s, columns);
                    self.with_columns(s, columns, Add);
                }
                Tail::MulColumns(columns) => {
                    let columns = self.columns(s, columns);
                    self.with_columns(s, columns, Mul);
                }
                Tail::Affine(affine) => self.affine(s, affine),
                Tail::Silu | Tail::Sigmoid | Tail::ErfGate { .. } => {}
            }
        }
    }
}

impl<S: Simd, const MR: usize, const NV: usize> Block<S, MR, NV> {
    /// As [`Block::apply`] for all rows and operators that are simple: what follows most convolutions is done in registers, and
    /// what comes after anything else row by row.
    ///
    /// # Safety
    /// As [`Block::apply`].
    #[inline(always)]
    pub(super) unsafe fn follow(&mut self, s: S, tail: &[Tail<'_>]) {
        for (i, next) in tail.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                match next {
                    Tail::Relu => self.each(s, Relu),
                    Tail::Add(other) => self.with_rows(s, other, Add),
                    Tail::AddColumns(columns) => {
                        let columns = self.columns(s, columns);
                        self.with_columns(s, columns, Add);
                    }
                    Tail::Affine(affine) => self.affine(s, affine),
                    Tail::Scale(factor) => self.with_columns(s, [s.splat(*factor); NV], Mul),
                    Tail::Clip(low, high) if let Some(bounds) = Clip::new(*low, *high).plain() => {
                        self.each(s, bounds);
                    }
                    _ => return self.by_rows(s, &tail[i..]),
                }
            }
        }
    }

    /// # Safety
    /// As [`Block::apply`].
    #[inline(always)]
    unsafe fn by_rows(&mut self, s: S, tail: &[Tail<'_>]) {
        // a copy: what a loop like this touches is kept in memory
        let mut rows = self.values;
        for (i, values) in rows.iter_mut().enumerate() {
            let mut row = Block::<S, 1, NV> {
                values: [*values],
                row: self.row + i,
                column: self.column,
                count: self.count,
            };
            for tail in tail {
                // SAFETY: the caller's promise.
                unsafe { row.apply_simple(s, tail) };
            }
            [*values] = row.values;
        }
        self.values = rows;
    }

    /// # Safety
    /// The columns are there.
    #[inline(always)]
    unsafe fn affine(&mut self, s: S, affine: &Affine) {
        // SAFETY: the caller's promise.
        let (factor, addend) = unsafe {
            (
                self.columns(s, &affine.factor),
                self.columns(s, &affine.addend),
            )
        };
        each_row!(MR, |I| {
            for ((x, k), c) in self.values[I].iter_mut().zip(factor).zip(addend) {
                *x = s.fma(*x, k, c);
            }
        });
    }

    #[inline(always)]
    fn each(&mut self, s: S, f: impl Map1) {
        each_row!(MR, |I| {
            for x in &mut self.values[I] {
                *x = f.apply(s, *x);
            }
        });
    }

    /// # Safety
    /// The rows and columns are there.
    #[inline(always)]
    unsafe fn with_rows(&mut self, s: S, other: &Rows<'_>, f: impl Map2) {
        let mut from = other.pointer(self.row).wrapping_add(self.column);
        // rows of a line are a step apart: finding a line takes divisions
        let mut left = other.map.left_of_line(self.row);
        let whole = self.count >= NV * S::LANES;
        each_row!(MR, |I| {
            for (v, x) in self.values[I].iter_mut().enumerate() {
                let from = from.wrapping_add(v * S::LANES);
                // SAFETY: `count` values are there by the caller's promise.
                let y = unsafe {
                    match whole {
                        true => s.load(from),
                        false => s.load_first(from, self.count.saturating_sub(v * S::LANES)),
                    }
                };
                *x = f.apply(s, *x, y);
            }
            left -= 1;
            from = match left {
                0 if I + 1 < MR => {
                    left = other.map.width;
                    other.pointer(self.row + I + 1).wrapping_add(self.column)
                }
                _ => from.wrapping_add(other.map.step),
            };
        });
    }

    /// The vectors of one value for each column.
    ///
    /// # Safety
    /// The columns are there.
    #[inline(always)]
    pub(super) unsafe fn columns(&self, s: S, columns: &[f32]) -> [S::F; NV] {
        let from = columns.as_ptr().wrapping_add(self.column);
        let mut found = [s.splat(0.0); NV];
        for (v, found) in found.iter_mut().enumerate() {
            let count = self.count.saturating_sub(v * S::LANES);
            // SAFETY: `count` values are there by the caller's promise.
            *found = unsafe { s.load_first(from.wrapping_add(v * S::LANES), count) };
        }
        found
    }

    /// `f` of each element and the value of its column.
    #[inline(always)]
    pub(super) fn with_columns(&mut self, s: S, columns: [S::F; NV], f: impl Map2) {
        each_row!(MR, |I| {
            for (x, y) in self.values[I].iter_mut().zip(columns) {
                *x = f.apply(s, *x, y);
            }
        });
    }
}

/// `x * sigmoid(x)`
#[derive(Clone, Copy)]
struct Silu;

impl Map1 for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(x, math::sigmoid(s, x))
    }
}

/// `x * (erf(x / divisor) + addend)`
#[derive(Clone, Copy)]
struct ErfGate(f32, f32);

impl Map1 for ErfGate {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        let erf = Erf.apply(s, s.div(x, s.splat(self.0)));
        s.mul(x, s.add(erf, s.splat(self.1)))
    }
}
