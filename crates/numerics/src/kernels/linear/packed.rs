//! A matrix of weights, repacked by panels of 32 rows.

use std::ops::Range;

use super::layout::{PANEL, pack_row, unpack_row};
use super::storage::Storage;
use crate::kernels::Parallel;
use crate::{NumericsError, WeightFormat};

/// A weight matrix of `n` rows and `k` values per row, repacked so that [`linear`](super::linear) streams it. It takes
/// the bytes that it takes in a file, but that the last panel is filled up to 32 rows, and is the same on every
/// instruction set.
pub struct PackedMatrix {
    format: WeightFormat,
    n: usize,
    k: usize,
    row_bytes: usize,
    storage: Storage,
}

impl PackedMatrix {
    /// Room for a matrix; every panel is to be filled.
    ///
    /// # Errors
    /// Rows that are no whole number of the format's blocks.
    pub fn new(format: WeightFormat, n: usize, k: usize) -> Result<PackedMatrix, NumericsError> {
        let wrong = |reason: String| NumericsError::Shape {
            op: "Linear",
            reason,
        };
        let row_bytes = format.row_bytes(k).filter(|_| k > 0).ok_or_else(|| {
            wrong(format!(
                "rows of {k} values are no whole blocks of {}",
                format.name()
            ))
        })?;
        let bytes = n
            .div_ceil(PANEL)
            .checked_mul(PANEL * row_bytes)
            .filter(|&bytes| bytes <= isize::MAX as usize / 2)
            .ok_or_else(|| wrong(format!("{n} rows of {row_bytes} bytes are too many")))?;
        Ok(PackedMatrix {
            format,
            n,
            k,
            row_bytes,
            storage: Storage::new(bytes),
        })
    }

    /// A matrix from its `n` rows as in a file (little-endian, one behind the other).
    ///
    /// # Errors
    /// As [`new`](Self::new), or another length.
    pub fn pack(
        par: &dyn Parallel,
        format: WeightFormat,
        n: usize,
        k: usize,
        rows: &[u8],
    ) -> Result<PackedMatrix, NumericsError> {
        let mut packed = PackedMatrix::new(format, n, k)?;
        let row_bytes = packed.row_bytes;
        if rows.len() != n * row_bytes {
            return Err(NumericsError::Shape {
                op: "Linear",
                reason: format!(
                    "{n} rows of {row_bytes} bytes expected, found {} bytes",
                    rows.len()
                ),
            });
        }
        let panels: Vec<_> = packed.panels_mut().map(std::sync::Mutex::new).collect();
        par.run(panels.len(), &|i| {
            // each lock is taken once
            let mut panel = panels[i].lock().unwrap_or_else(|e| e.into_inner());
            let range = panel.rows();
            panel.fill(&rows[range.start * row_bytes..range.end * row_bytes]);
        });
        drop(panels);
        Ok(packed)
    }

    /// How a row is stored.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Rows: columns of the product.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Values of a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes of a row as in a file.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes that all panels take.
    pub fn bytes(&self) -> usize {
        self.panels() * self.panel_bytes()
    }

    /// Groups of 32 rows; the last may have fewer.
    pub fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    /// The rows of a panel.
    pub fn panel_rows(&self, panel: usize) -> Range<usize> {
        (panel * PANEL).min(self.n)..((panel + 1) * PANEL).min(self.n)
    }

    /// Fills one panel from its rows' bytes as in a file (f32 little-endian).
    ///
    /// # Panics
    /// If there is no such panel or `rows` has another length.
    pub fn fill(&mut self, panel: usize, rows: &[u8]) {
        let (range, format) = (self.panel_rows(panel), self.format);
        let len = self.panel_bytes();
        let data = &mut self.storage.bytes_mut()[panel * len..][..len];
        PanelMut {
            format,
            rows: range,
            data,
        }
        .fill(rows);
    }

    /// Every panel, to be filled in any order and by any threads.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = PanelMut<'_>> {
        let (format, n, panel_bytes) = (self.format, self.n, self.panel_bytes());
        let panels = self.storage.bytes_mut().chunks_exact_mut(panel_bytes);
        panels.enumerate().map(move |(i, data)| PanelMut {
            format,
            rows: i * PANEL..((i + 1) * PANEL).min(n),
            data,
        })
    }

    /// Row `i` as f32: the embedding of token `i`.
    ///
    /// # Panics
    /// If there is no such row or `out` has not `k` values.
    pub fn row(&self, i: usize, out: &mut [f32]) {
        assert!(i < self.n, "row {i} of {}", self.n);
        let mut row = vec![0; self.row_bytes];
        unpack_row(self.format, self.panel(i / PANEL), i % PANEL, &mut row);
        super::dequantise(self.format, &row, out);
    }

    /// The bytes of a panel.
    pub(super) fn panel(&self, panel: usize) -> &[u8] {
        let len = self.panel_bytes();
        &self.storage.bytes()[panel * len..][..len]
    }

    fn panel_bytes(&self) -> usize {
        PANEL * self.row_bytes
    }
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PackedMatrix({} {}x{})",
            self.format.name(),
            self.n,
            self.k
        )
    }
}

/// A panel to be filled.
pub struct PanelMut<'a> {
    format: WeightFormat,
    rows: Range<usize>,
    data: &'a mut [u8],
}

impl PanelMut<'_> {
    /// The rows of the matrix that it holds.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Writes all of them from their bytes as in a file (f32 little-endian).
    ///
    /// # Panics
    /// If `rows` has another length.
    pub fn fill(&mut self, rows: &[u8]) {
        let row_bytes = self.data.len() / PANEL;
        assert_eq!(rows.len(), self.rows.len() * row_bytes, "bytes of a panel");
        for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
            pack_row(self.format, row, r, self.data);
        }
    }
}
