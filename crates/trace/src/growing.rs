//! Digests of matrices that are written row by row: the caches of a language model.
//!
//! The tensor has its full shape from the start and is all +0; row `t` changes its own chunks and one path to the
//! root. Chunks and subtrees without data are computed once per shape. Many tensors and many rows advance together,
//! level by level, because independent hashes take less time side by side.

use std::sync::Arc;

use crate::sha::{self, tagged_each, two_full_chunks};
use crate::tensor::{CHUNK_BYTES, TensorHeader, chunk_count, chunk_leaf};
use crate::{Digest, Tag, TraceError, node, zero_subtree};

/// The shape of a matrix that is written row by row, with the digests of its parts that hold no data yet.
#[derive(Debug)]
pub struct RowsShape {
    rows: u64,
    row_bytes: usize,
    bytes: u64,
    height: u8,
    /// Everything of the digest's preimage between tag and chunk root.
    header: Vec<u8>,
    /// Per level: a subtree of full chunks of zero bytes.
    zeros: Vec<Digest>,
    /// Per level: the subtree with the last chunk, all of it zero bytes.
    edge: Vec<Digest>,
    /// Digest of the tensor without any row.
    empty: Digest,
}

impl RowsShape {
    /// The shape `[rows, width]` of elements of type `dtype`.
    ///
    /// # Errors
    /// An unknown dtype, no rows or empty ones, more bytes than a tree holds.
    pub fn new(dtype: u8, rows: u64, width: u64) -> Result<RowsShape, TraceError> {
        let header = TensorHeader::new(dtype, vec![rows, width])?;
        let (bytes, height) = (header.byte_len()?, header.chunk_height()?);
        let last = chunk_count(bytes)
            .checked_sub(1)
            .ok_or(TraceError::Inconsistent("a matrix that grows has rows"))?;
        let row_bytes = usize::try_from(bytes / rows).map_err(|_| TraceError::TensorBytes {
            expected: bytes,
            actual: 0,
        })?;
        let blank = [0; CHUNK_BYTES];
        let short = (bytes - last * CHUNK_BYTES as u64) as usize;
        let mut zeros = vec![chunk_leaf(&blank)];
        let mut edge = vec![chunk_leaf(&blank[..short])];
        for level in 0..height {
            let (full, end) = (zeros[level as usize], edge[level as usize]);
            zeros.push(node(&full, &full));
            edge.push(match last >> level & 1 {
                1 => node(&full, &end),
                _ => node(&end, &zero_subtree(level)),
            });
        }
        let empty = header.digest(&edge[height as usize]);
        Ok(RowsShape {
            rows,
            row_bytes,
            bytes,
            height,
            header: header.encode(),
            zeros,
            edge,
            empty,
        })
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Node `index` at height `level` while nothing below it holds data.
    fn blank(&self, level: u8, index: u64) -> Digest {
        let last = (chunk_count(self.bytes) - 1) >> level;
        match index.cmp(&last) {
            std::cmp::Ordering::Less => self.zeros[level as usize],
            std::cmp::Ordering::Equal => self.edge[level as usize],
            std::cmp::Ordering::Greater => zero_subtree(level),
        }
    }

    /// First and last chunk that row `row` writes to.
    fn chunks_of(&self, row: u64) -> (u64, u64) {
        let start = row * self.row_bytes as u64;
        let chunk = CHUNK_BYTES as u64;
        (start / chunk, (start + self.row_bytes as u64 - 1) / chunk)
    }
}

/// The digest of a matrix that is +0 but for its first rows.
#[derive(Clone, Debug)]
pub struct GrowingDigest {
    shape: Arc<RowsShape>,
    rows: u64,
    /// Bytes written to a chunk that is not full.
    tail: Vec<u8>,
    /// Per level: the left sibling of the next node to be written, where that is a right child.
    siblings: Vec<Digest>,
    digest: Digest,
}

impl GrowingDigest {
    /// The matrix without any row.
    pub fn new(shape: Arc<RowsShape>) -> GrowingDigest {
        GrowingDigest {
            rows: 0,
            tail: Vec::new(),
            siblings: vec![Digest::ZERO; shape.height as usize],
            digest: shape.empty,
            shape,
        }
    }

    /// Rows written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The tensor digest of the matrix as it stands.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Writes the next rows, given as the little-endian bytes of their elements; returns the digest after each.
    ///
    /// # Errors
    /// Bytes that are no whole rows, more rows than the matrix has.
    pub fn append(&mut self, rows: &[u8]) -> Result<Vec<Digest>, TraceError> {
        append_rows(&mut [self], &[rows])
    }

    fn check(&self, bytes: &[u8]) -> Result<(), TraceError> {
        let left = (self.shape.rows - self.rows) * self.shape.row_bytes as u64;
        if !bytes.len().is_multiple_of(self.shape.row_bytes) || bytes.len() as u64 > left {
            return Err(TraceError::TensorBytes {
                expected: left,
                actual: bytes.len() as u64,
            });
        }
        Ok(())
    }
}

/// The nodes of one level that one row changed, from its first one on, as a part of the level's digests.
struct Run {
    first: u64,
    start: usize,
    len: usize,
}

/// [`GrowingDigest::append`] to many matrices at once: `rows[i]` goes to `matrices[i]`. The digests come matrix by
/// matrix, row by row.
///
/// # Errors
/// As [`GrowingDigest::append`], and then nothing was written.
pub fn append_rows(
    matrices: &mut [&mut GrowingDigest],
    rows: &[&[u8]],
) -> Result<Vec<Digest>, TraceError> {
    if matrices.len() != rows.len() {
        return Err(TraceError::Inconsistent("one piece of rows per matrix"));
    }
    for (matrix, rows) in matrices.iter().zip(rows) {
        matrix.check(rows)?;
    }
    let mut out = Vec::new();
    // matrices of one height go up their trees together
    let mut rest = (matrices, rows);
    while let Some(first) = rest.0.first() {
        let height = first.shape.height;
        let alike = rest.0.iter().take_while(|m| m.shape.height == height);
        let (group, later) = rest.0.split_at_mut(alike.count());
        let (pieces, later_rows) = rest.1.split_at(group.len());
        append_alike(group, pieces, height, &mut out);
        rest = (later, later_rows);
    }
    Ok(out)
}

fn append_alike(
    matrices: &mut [&mut GrowingDigest],
    rows: &[&[u8]],
    height: u8,
    out: &mut Vec<Digest>,
) {
    let (mut runs, mut digests) = leaves(matrices, rows);
    let counts: Vec<usize> = matrices
        .iter()
        .zip(rows)
        .map(|(matrix, rows)| rows.len() / matrix.shape.row_bytes)
        .collect();
    let mut pairs = Vec::with_capacity(digests.len());
    for level in 0..height {
        pairs.clear();
        let mut at = 0;
        for (matrix, &count) in matrices.iter_mut().zip(&counts) {
            let shape = Arc::clone(&matrix.shape);
            let sibling = &mut matrix.siblings[level as usize];
            for run in &mut runs[at..at + count] {
                let here = &digests[run.start..run.start + run.len];
                *run = parents(&shape, level, run.first, here, sibling, &mut pairs);
            }
            at += count;
        }
        digests.clear();
        sha::nodes(&pairs, &mut digests);
    }
    let mut roots = digests.as_slice();
    for (matrix, &count) in matrices.iter_mut().zip(&counts) {
        let (own, others) = roots.split_at(count);
        roots = others;
        tagged_each(Tag::Tensor, &matrix.shape.header, own, out);
        matrix.rows += count as u64;
        if let (Some(&last), true) = (out.last(), count > 0) {
            matrix.digest = last;
        }
    }
}

/// Pairs for the parents of the nodes `first..` with these digests, and the left sibling for the next row.
fn parents(
    shape: &RowsShape,
    level: u8,
    first: u64,
    here: &[Digest],
    sibling: &mut Digest,
    pairs: &mut Vec<[Digest; 2]>,
) -> Run {
    let last = first + here.len() as u64 - 1;
    let run = Run {
        first: first / 2,
        start: pairs.len(),
        len: (last / 2 - first / 2 + 1) as usize,
    };
    let digest_at = |index: u64| here.get(index.wrapping_sub(first) as usize).copied();
    let mut left = *sibling;
    for parent in first / 2..=last / 2 {
        left = digest_at(2 * parent).unwrap_or(*sibling);
        let right = digest_at(2 * parent + 1);
        pairs.push([
            left,
            right.unwrap_or_else(|| shape.blank(level, 2 * parent + 1)),
        ]);
    }
    // an even last node is the left child of the last parent, an odd one its right child
    *sibling = left;
    run
}

/// Chunk leaves of every row of every matrix: those that the row changed, as they are after it.
fn leaves(matrices: &mut [&mut GrowingDigest], rows: &[&[u8]]) -> (Vec<Run>, Vec<Digest>) {
    let (mut runs, mut hasher) = (Vec::new(), Chunks::default());
    for (matrix, rows) in matrices.iter_mut().zip(rows) {
        let shape = Arc::clone(&matrix.shape);
        let tail = std::mem::take(&mut matrix.tail);
        // bytes of the tensor before those of `tail` and `rows`
        let base = matrix.rows * shape.row_bytes as u64 - tail.len() as u64;
        let count = rows.len() / shape.row_bytes;
        for i in 0..count {
            let (first, last) = shape.chunks_of(matrix.rows + i as u64);
            runs.push(Run {
                first,
                start: hasher.count,
                len: (last - first + 1) as usize,
            });
            let end = tail.len() + (i + 1) * shape.row_bytes;
            for chunk in first..=last {
                let offset = (chunk * CHUNK_BYTES as u64 - base) as usize;
                let rest = shape.bytes - chunk * CHUNK_BYTES as u64;
                let len = rest.min(CHUNK_BYTES as u64) as usize;
                hasher.push(&tail, rows, offset..end.min(offset + len), len);
            }
        }
        let written = tail.len() + rows.len();
        let kept = written % CHUNK_BYTES;
        matrix.tail = match (written - kept).checked_sub(tail.len()) {
            Some(from) => rows[from..].to_vec(),
            None => [&tail, *rows].concat(),
        };
    }
    (runs, hasher.finish())
}

/// Hashes chunks two at a time.
#[derive(Default)]
struct Chunks {
    waiting: Option<[u8; CHUNK_BYTES]>,
    count: usize,
    done: Vec<Digest>,
}

impl Chunks {
    /// The chunk of `len` bytes whose first ones are `range` of `tail` and `rows` laid together, the others zero.
    fn push(&mut self, tail: &[u8], rows: &[u8], range: std::ops::Range<usize>, len: usize) {
        self.count += 1;
        let mut chunk = [0; CHUNK_BYTES];
        let from_tail = tail.get(range.start..range.end.min(tail.len()));
        let (old, new) = chunk.split_at_mut(from_tail.map_or(0, <[u8]>::len));
        old.copy_from_slice(from_tail.unwrap_or_default());
        let start = (range.start + old.len()) - tail.len();
        let bytes = &rows[start..range.end.max(tail.len()) - tail.len()];
        new[..bytes.len()].copy_from_slice(bytes);
        if len < CHUNK_BYTES {
            self.flush();
            self.done.push(chunk_leaf(&chunk[..len]));
        } else if let Some(first) = self.waiting.take() {
            self.done.extend(two_full_chunks(&first, &chunk));
        } else {
            self.waiting = Some(chunk);
        }
    }

    fn flush(&mut self) {
        if let Some(chunk) = self.waiting.take() {
            self.done.push(chunk_leaf(&chunk));
        }
    }

    fn finish(mut self) -> Vec<Digest> {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_digest;
    use proptest::prelude::*;

    fn row(seed: usize, t: usize, bytes: usize) -> Vec<u8> {
        (0..bytes)
            .map(|i| ((i * 31) ^ (t * 7) ^ (seed * 131) ^ (i >> 3)) as u8)
            .collect()
    }

    #[test]
    fn shapes_without_rows_and_rows_that_do_not_fit_are_refused() {
        assert!(RowsShape::new(1, 0, 4).is_err());
        assert!(RowsShape::new(1, 4, 0).is_err());
        assert!(RowsShape::new(14, 4, 4).is_err());
        let mut digest = GrowingDigest::new(Arc::new(RowsShape::new(1, 2, 3).unwrap()));
        let before = digest.digest();
        assert_eq!(before, tensor_digest(1, &[2, 3], &[0; 24]));
        assert!(digest.append(&[0; 13]).is_err());
        assert!(digest.append(&[0; 36]).is_err());
        assert_eq!((digest.rows(), digest.digest()), (0, before));
        assert_eq!(digest.append(&[]), Ok(vec![]));
        assert_eq!(digest.digest(), before);
        assert!(append_rows(&mut [&mut digest], &[]).is_err());
    }

    proptest! {
        /// Widths below, at and above a chunk, heights from 0, and pieces of any number of rows.
        #[test]
        fn after_every_row_it_is_the_digest_of_the_dense_tensor(
            rows in 1usize..40,
            width in prop_oneof![1usize..20, 60usize..70, 250usize..260, 500usize..1100],
            pieces in proptest::collection::vec(0usize..9, 1..12),
        ) {
            let shape = Arc::new(RowsShape::new(1, rows as u64, width as u64).unwrap());
            let other = Arc::new(RowsShape::new(1, 3 * rows as u64, 5).unwrap());
            let mut kinds = [(shape.clone(), rows, width), (shape, rows, width), (other, 3 * rows, 5)].map(
                |(shape, rows, width)| (GrowingDigest::new(shape), vec![0u8; rows * width * 4], [rows as u64, width as u64]),
            );
            let mut t = 0;
            for piece in pieces {
                let piece = piece.min(rows - t);
                let given: Vec<Vec<u8>> = (0..3)
                    .map(|i| (t..t + piece).flat_map(|t| row(i, t, kinds[i].2[1] as usize * 4)).collect())
                    .collect();
                let slices: Vec<&[u8]> = given.iter().map(Vec::as_slice).collect();
                let mut growing: Vec<&mut GrowingDigest> = kinds.iter_mut().map(|k| &mut k.0).collect();
                let mut found = append_rows(&mut growing, &slices).unwrap().into_iter();
                for (i, (growing, dense, dims)) in kinds.iter_mut().enumerate() {
                    let bytes = dims[1] as usize * 4;
                    for r in t..t + piece {
                        dense[r * bytes..(r + 1) * bytes].copy_from_slice(&row(i, r, bytes));
                        prop_assert_eq!(found.next(), Some(tensor_digest(1, &dims[..], dense)));
                    }
                    prop_assert_eq!(growing.digest(), tensor_digest(1, &dims[..], dense));
                }
                prop_assert_eq!(found.next(), None);
                t += piece;
            }
        }
    }
}
