//! Activations as a product reads them: rows of f32, or blocks of 32 signed bytes with what is the same for every
//! column of the product.

use std::sync::atomic::{AtomicBool, Ordering};

use super::columns::ColumnsWriter;
use crate::blocks::{ACTIVATION_BLOCK, ACTIVATION_BYTES};
use crate::kernels::Isa;
use crate::kernels::parallel::{Parallel, Scratch, SharedOut};
use crate::kernels::simd::{Kernel, Simd};
use crate::scalar::{MAGIC, canonical};

/// Words of a block: 8 of values, then those below.
pub(super) const BLOCK_WORDS: usize = 13;
/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 4 * BLOCK_WORDS;
/// Byte offset of the scale `d`, f32.
pub(super) const SCALE: usize = 32;
/// Byte offset of the sums of the first and of the last 16 values, i16 each.
pub(super) const SUMS: usize = 36;
/// Byte offset of f32(sum of all values) * d.
pub(super) const SCALED_SUM: usize = 40;
/// Byte offset of -8 times the sum, i32: what nibbles that stand for numbers less 8 begin with.
pub(super) const LESS_8: usize = 44;
/// Byte offset of -128 times the sum, i32.
pub(super) const LESS_128: usize = 48;

/// Values from row to row of `k` f32: an odd number of cache lines, so that a tile's rows do not meet in one set of the
/// cache.
fn stride(k: usize) -> usize {
    const LINE: usize = 16;
    k.div_ceil(2 * LINE) * 2 * LINE + LINE
}

/// Activations of `m` rows of `k` values. The buffers are reused from one [`resize`](Self::resize) to the next.
#[derive(Default)]
pub struct Activations {
    m: usize,
    k: usize,
    quantised: bool,
    floats: Vec<f32>,
    blocks: Vec<u32>,
    /// Whether a value may be -128, which Quantize never gives.
    least: bool,
}

impl Activations {
    /// None.
    pub fn new() -> Activations {
        Activations::default()
    }

    /// Sets the size; every row is then to be written. `quantised` says whether the weights' format wants
    /// quantised activations ([`WeightFormat::is_quantised`](crate::WeightFormat::is_quantised)).
    ///
    /// # Panics
    /// If quantised rows are no whole blocks of 32.
    pub fn resize(&mut self, m: usize, k: usize, quantised: bool) {
        assert!(
            !quantised || k.is_multiple_of(ACTIVATION_BLOCK),
            "rows of {k} values are no whole blocks"
        );
        (self.m, self.k, self.quantised, self.least) = (m, k, quantised, false);
        let grow = |len: usize, need: usize| need.max(len);
        if quantised {
            let need = m * k / ACTIVATION_BLOCK * BLOCK_WORDS;
            self.blocks.resize(grow(self.blocks.len(), need), 0);
        } else {
            let need = m * stride(k);
            self.floats.resize(grow(self.floats.len(), need), 0.0);
        }
    }

    /// Rows.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Values of a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Whether they are quantised.
    pub fn is_quantised(&self) -> bool {
        self.quantised
    }

    /// Writes row `i`: copies it, or quantises it as the operator Quantize says.
    ///
    /// # Panics
    /// If there is no such row or `x` has not `k` values.
    pub fn set_row(&mut self, isa: Isa, i: usize, x: &[f32]) {
        self.writer().set_row(isa, i, x);
    }

    /// Writes every row from `m x k` values.
    ///
    /// # Panics
    /// If `x` has another length.
    pub fn set_rows(&mut self, isa: Isa, par: &dyn Parallel, x: &[f32]) {
        let (m, k) = (self.m, self.k);
        assert_eq!(x.len(), m * k, "activations");
        let writer = self.writer();
        super::super::parallel::split(par, m, 1, &|start, end| {
            for i in start..end {
                writer.set_row(isa, i, &x[i * k..(i + 1) * k]);
            }
        });
    }

    /// Writes columns from several threads at once: parts of all rows.
    pub fn columns_writer(&mut self) -> ColumnsWriter<'_> {
        let (m, k, quantised) = (self.m, self.k, self.quantised);
        let (floats, blocks) = self.shared();
        ColumnsWriter::new([m, k, stride(k)], quantised, floats, blocks)
    }

    /// The values that are there.
    fn shared(&mut self) -> (SharedOut<'_, f32>, SharedOut<'_, u32>) {
        let (m, k) = (self.m, self.k);
        let (floats, blocks) = if self.quantised {
            (0, m * k / ACTIVATION_BLOCK * BLOCK_WORDS)
        } else {
            (m * stride(k), 0)
        };
        (
            SharedOut::new(&mut self.floats[..floats]),
            SharedOut::new(&mut self.blocks[..blocks]),
        )
    }

    /// Writes rows from several threads at once.
    pub fn writer(&mut self) -> ActivationsWriter<'_> {
        let (m, k, quantised) = (self.m, self.k, self.quantised);
        let (floats, blocks) = self.shared();
        ActivationsWriter {
            k,
            quantised,
            floats,
            blocks,
            written: (0..m).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Quantised activations from the bytes of the operator Quantize: 36 per block.
    ///
    /// # Panics
    /// If `bytes` are not `m` rows of `k` values.
    pub fn from_quantised(m: usize, k: usize, bytes: &[u8]) -> Activations {
        let mut activations = Activations::new();
        activations.resize(m, k, true);
        assert_eq!(
            bytes.len(),
            m * k / ACTIVATION_BLOCK * ACTIVATION_BYTES,
            "bytes of quantised activations"
        );
        let blocks = activations.blocks.chunks_exact_mut(BLOCK_WORDS);
        for (block, bytes) in blocks.zip(bytes.chunks_exact(ACTIVATION_BYTES)) {
            let word = |at: usize| {
                u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            };
            let values = std::array::from_fn(|l| bytes[4 + l].cast_signed());
            activations.least |= values.contains(&i8::MIN);
            put_block(block, f32::from_bits(word(0)), &values);
        }
        activations
    }

    /// The bytes that the operator Quantize gives.
    ///
    /// # Panics
    /// If they are not quantised.
    pub fn to_quantised(&self) -> Vec<u8> {
        let blocks = self.blocks().chunks_exact(BLOCK_WORDS);
        blocks
            .flat_map(|block| {
                let scale = block[SCALE / 4].to_le_bytes();
                let values = block[..8].iter().flat_map(|word| word.to_ne_bytes());
                scale.into_iter().chain(values)
            })
            .collect()
    }

    /// Whether a quantised value may be -128.
    pub(super) fn has_least(&self) -> bool {
        self.least
    }

    /// Rows of f32, and the values from row to row.
    pub(super) fn floats(&self) -> (&[f32], usize) {
        assert!(!self.quantised, "the activations are quantised");
        let stride = stride(self.k);
        (&self.floats[..self.m * stride], stride)
    }

    /// Blocks, [`BLOCK_WORDS`] each.
    pub(super) fn blocks(&self) -> &[u32] {
        assert!(self.quantised, "the activations are not quantised");
        &self.blocks[..self.m * self.k / ACTIVATION_BLOCK * BLOCK_WORDS]
    }
}

/// Writes rows of [`Activations`], each once.
pub struct ActivationsWriter<'a> {
    k: usize,
    quantised: bool,
    floats: SharedOut<'a, f32>,
    blocks: SharedOut<'a, u32>,
    written: Vec<AtomicBool>,
}

impl ActivationsWriter<'_> {
    /// Writes row `i`, as [`Activations::set_row`].
    ///
    /// # Panics
    /// If there is no such row, it has been written already, or `x` has not `k` values.
    pub fn set_row(&self, isa: Isa, i: usize, x: &[f32]) {
        assert_eq!(x.len(), self.k, "values of a row");
        self.claim(i);
        if self.quantised {
            self.quantise(isa, i, x);
        } else {
            // SAFETY: `claim` lets one call through for every row.
            unsafe { self.floats.slice(i * stride(self.k), self.k) }.copy_from_slice(x);
        }
    }

    /// Lets `write` fill row `i` (of arbitrary content before), then quantises it where that is asked for.
    ///
    /// # Panics
    /// If there is no such row or it has been written already.
    pub fn fill_row(&self, isa: Isa, i: usize, write: impl FnOnce(&mut [f32])) {
        self.claim(i);
        if self.quantised {
            let mut scratch = Scratch::take(self.k);
            write(scratch.as_mut());
            self.quantise(isa, i, scratch.as_mut());
        } else {
            // SAFETY: `claim` lets one call through for every row.
            write(unsafe { self.floats.slice(i * stride(self.k), self.k) });
        }
    }

    fn claim(&self, i: usize) {
        assert!(
            !self.written[i].swap(true, Ordering::Relaxed),
            "row {i} is written twice"
        );
    }

    /// Row `i` is claimed.
    fn quantise(&self, isa: Isa, i: usize, x: &[f32]) {
        let words = self.k / ACTIVATION_BLOCK * BLOCK_WORDS;
        // SAFETY: `claim` lets one call through for every row.
        let out = unsafe { self.blocks.slice(i * words, words) };
        quantise(isa, x, out);
    }
}

/// Quantises whole blocks of values: [`BLOCK_WORDS`] of `out` for each.
pub(super) fn quantise(isa: Isa, x: &[f32], out: &mut [u32]) {
    isa.run(Quantise { x, out });
}

/// Quantises a row. Plain loops over 32 values: the compiler makes vectors of them.
struct Quantise<'a> {
    x: &'a [f32],
    out: &'a mut [u32],
}

impl Kernel for Quantise<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (blocks, _) = self.x.as_chunks::<ACTIVATION_BLOCK>();
        for (x, out) in blocks.iter().zip(self.out.chunks_exact_mut(BLOCK_WORDS)) {
            // the order of magnitudes is that of their bits, NaN above all
            let bits = x.map(|v| v.to_bits() & 0x7fff_ffff);
            let mut lanes = [0u32; 8];
            for eight in bits.as_chunks::<8>().0 {
                for (m, &v) in lanes.iter_mut().zip(eight) {
                    *m = v.max(*m);
                }
            }
            let largest = f32::from_bits(lanes.into_iter().fold(0, u32::max));
            let inverse = if 0.0 < largest { 127.0 / largest } else { 0.0 };
            let values = x.map(|v| {
                let q = v * inverse;
                let q = if q > 127.0 { 127.0 } else { q };
                let q = if q < -127.0 { -127.0 } else { q };
                let q = if q.is_nan() { 0.0 } else { q };
                // rounded to nearest, ties to even, into the low bits
                (q + MAGIC).to_bits() as i8
            });
            put_block(out, canonical(largest / 127.0), &values);
        }
    }
}

/// Writes the words of a block.
#[inline(always)]
fn put_block(out: &mut [u32], scale: f32, values: &[i8; ACTIVATION_BLOCK]) {
    let (groups, _) = values.as_chunks::<4>();
    for (word, group) in out.iter_mut().zip(groups) {
        *word = u32::from_ne_bytes(group.map(i8::cast_unsigned));
    }
    let sum = |half: &[i8]| half.iter().map(|&q| i32::from(q)).sum::<i32>();
    let (first, last) = (sum(&values[..16]), sum(&values[16..]));
    out[SCALE / 4] = scale.to_bits();
    out[SUMS / 4] = ((first as u16 as u32) | (last as u16 as u32) << 16).to_le();
    out[LESS_8 / 4] = ((first + last) * -8).cast_unsigned().to_le();
    out[LESS_128 / 4] = ((first + last) * -128).cast_unsigned().to_le();
    out[SCALED_SUM / 4] = ((first + last) as f32 * scale).to_bits();
}
