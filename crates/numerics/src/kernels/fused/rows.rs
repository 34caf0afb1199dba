//! Rows of values in memory: of a matrix, or the pixels of an image that has a border around it.

use super::super::parallel::SharedOut;

/// Where rows begin: row `i` at `first + i / width * line + i % width * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowMap {
    /// Of row 0.
    pub first: usize,
    /// Rows of a line, at least 1.
    pub width: usize,
    /// Values from line to line.
    pub line: usize,
    /// Values from row to row in a line.
    pub step: usize,
}

impl RowMap {
    /// The rows of a matrix, `step` values apart.
    pub fn matrix(step: usize) -> RowMap {
        RowMap {
            first: 0,
            width: usize::MAX,
            line: 0,
            step,
        }
    }

    /// The same rows, as one line where lines follow each other like the rows of one.
    pub(super) fn joined(self) -> RowMap {
        match self.width.checked_mul(self.step) == Some(self.line) {
            true => RowMap {
                width: usize::MAX,
                line: 0,
                ..self
            },
            false => self,
        }
    }

    /// Where row `i` begins.
    #[inline(always)]
    pub fn at(&self, i: usize) -> usize {
        match i < self.width {
            true => self.first + i * self.step,
            false => self.first + i / self.width * self.line + i % self.width * self.step,
        }
    }

    /// Rows from row `i` to the end of its line.
    #[inline(always)]
    pub(super) fn left_of_line(&self, i: usize) -> usize {
        match i < self.width {
            true => self.width - i,
            false => self.width - i % self.width,
        }
    }

    /// The end of the values of `rows` rows that reach `reach` values beyond their beginnings; `None` where there are none, or
    /// a number is too large.
    fn end(&self, rows: usize, reach: usize) -> Option<usize> {
        let last = rows.checked_sub(1)?;
        let line = (last / self.width).checked_mul(self.line)?;
        let within = last.min(self.width - 1).checked_mul(self.step)?;
        self.first
            .checked_add(line)?
            .checked_add(within)?
            .checked_add(reach)
    }

    /// Whether `rows` rows of `len` values lie in `values` values.
    pub(super) fn fits(&self, rows: usize, len: usize, values: usize) -> bool {
        rows == 0 || self.end(rows, len).is_some_and(|end| end <= values)
    }

    /// Whether no two of `rows` rows of `len` values share one.
    pub(super) fn is_disjoint(&self, rows: usize, len: usize) -> bool {
        let within = self.step >= len || rows.min(self.width) <= 1;
        let lines = rows <= self.width
            || (self.width - 1)
                .checked_mul(self.step)
                .and_then(|n| n.checked_add(len))
                .is_some_and(|used| self.line >= used);
        within && lines
    }
}

/// Rows that are read.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The values.
    pub values: &'a [f32],
    /// Where rows begin.
    pub map: RowMap,
}

impl Rows<'_> {
    /// Pointer to row `i`.
    #[inline(always)]
    pub(super) fn pointer(&self, i: usize) -> *const f32 {
        self.values.as_ptr().wrapping_add(self.map.at(i))
    }
}

/// Rows that are written, of which no two share a value.
pub struct MutRows<'a> {
    values: SharedOut<'a>,
    pub(super) map: RowMap,
    pub(super) count: usize,
    pub(super) len: usize,
}

impl<'a> MutRows<'a> {
    /// `count` rows of `len` values each.
    ///
    /// # Panics
    /// If rows share values, or lie outside of `values`.
    pub fn new(values: &'a mut [f32], map: RowMap, count: usize, len: usize) -> MutRows<'a> {
        assert!(
            map.fits(count, len, values.len()) && map.is_disjoint(count, len),
            "rows outside of their values, or over each other"
        );
        MutRows {
            values: SharedOut::new(values),
            map,
            count,
            len,
        }
    }

    /// Pointer to row `i`, whose `len` values are inside.
    #[inline(always)]
    pub(super) fn pointer(&self, i: usize) -> *mut f32 {
        debug_assert!(i < self.count);
        self.values.block(self.map.at(i), 1, self.len, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_follow_each_other_are_one() {
        let map = |line| RowMap {
            first: 5,
            width: 7,
            line,
            step: 16,
        };
        for (map, lines) in [(map(7 * 16), 1), (map(9 * 16), 5), (RowMap::matrix(16), 1)] {
            let joined = map.joined();
            assert!((0..35).all(|i| joined.at(i) == map.at(i)));
            let mut found = (0, 0);
            while found.0 < 35 {
                found = (found.0 + joined.left_of_line(found.0).min(35), found.1 + 1);
            }
            assert_eq!(found.1, lines);
        }
    }
}
