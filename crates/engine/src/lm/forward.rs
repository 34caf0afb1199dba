//! One pass over rows of any mix of sequences: prefill and decode are the same. Every row has the bits that it has
//! alone, because every element of every operator has.
//!
//! Between two products a row is worked on by one thread: residual, norm and quantisation go together, as do gate and
//! quantisation, and biases, norms of heads, rotation and the write to the cache.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use gavel_model::llama::LlamaConfig;
use gavel_numerics::kernels::{
    Activations, AttentionRows, AttentionShape, Isa, KV_PAGE, KvShape, Parallel, RopeShape, add_to,
    attention, rms_norm, rope, visible,
};

use super::LanguageError;
use super::phases::{Phase, Phases};
use super::products::{Job, Spare};
use super::sequence::{Sequence, kv_shape};
use super::weights::{Inputs, Layer, Product, Weights};
use crate::team::Team;

/// What a pass reads and never changes.
pub(crate) struct Core<'a> {
    pub(crate) isa: Isa,
    pub(crate) team: &'a Team,
    pub(crate) config: &'a LlamaConfig,
    pub(crate) weights: &'a Weights,
    /// Nanoseconds that threads have spent on hashing.
    pub(crate) hashing: &'a AtomicU64,
    pub(crate) phases: &'a Phases,
}

/// The rows that one sequence brings to a pass: the next ones.
pub(crate) struct Share<'a> {
    pub(crate) sequence: &'a mut Sequence,
    pub(crate) rows: usize,
    /// The rows from here on are needed to their end; of those before only what the cache gets.
    pub(crate) first_needed: usize,
}

/// Values of the rows of a pass.
#[derive(Default)]
pub(crate) struct Buffers {
    x: Vec<f32>,
    /// What is to be added to `x`.
    y: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    /// What products of the residual or of attention read.
    inputs: Inputs,
    /// What the product of the gated values reads.
    hidden: Activations,
    spare: Spare,
}

impl Buffers {
    /// The rows of the residual that are needed, after a pass, and what is to be added to them.
    pub(crate) fn residual(&mut self) -> (&mut [f32], &[f32], &mut Inputs) {
        (&mut self.x, &self.y, &mut self.inputs)
    }
}

/// Makes `len` values of arbitrary content.
pub(crate) fn sized(buffer: &mut Vec<f32>, len: usize) {
    buffer.resize(len, 0.0);
}

impl Core<'_> {
    /// Computes the rows of `shares`. Afterwards the caches have them all, and `buffers` the residual of the needed ones.
    pub(crate) fn forward(
        &self,
        buffers: &mut Buffers,
        shares: &mut [Share<'_>],
    ) -> Result<(), LanguageError> {
        let mut rows: usize = shares.iter().map(|share| share.rows).sum();
        let phases = self.phases;
        phases.time(Phase::Rows, || self.embed(buffers, shares, rows));
        let layers = &self.weights.layers;
        for (l, layer) in layers.iter().enumerate() {
            let reads = [&layer.query, &layer.key, &layer.value];
            phases.time(Phase::Rows, || {
                self.norm(buffers, l > 0, &layer.attention_norm, &reads, rows);
            });
            phases.time(Phase::Products, || {
                self.projections(buffers, layer, l, shares, rows)
            })?;
            phases.time(Phase::Rows, || self.write_rows(buffers, layer, l, shares));
            let last = l + 1 == layers.len();
            if last {
                rows = self.keep_needed(buffers, shares);
            }
            if rows > 0 {
                phases.time(Phase::Attention, || {
                    self.attend(buffers, l, shares, rows, last);
                });
            }
            self.output(buffers, layer, l, shares, rows)?;
            if rows == 0 {
                break;
            }
            phases.time(Phase::Rows, || {
                let reads = [&layer.gate, &layer.up];
                self.norm(buffers, true, &layer.ffn_norm, &reads, rows);
            });
            phases.time(Phase::Products, || {
                self.feed_forward(buffers, layer, rows);
            });
        }
        Ok(())
    }

    /// Rows that a thread takes at once.
    fn block(&self, rows: usize) -> usize {
        rows.div_ceil(self.team.workers() * 4).max(1)
    }

    fn embed(&self, buffers: &mut Buffers, shares: &[Share<'_>], rows: usize) {
        let width = self.config.width as usize;
        sized(&mut buffers.x, rows * width);
        let tokens: Vec<i32> = shares
            .iter()
            .flat_map(|share| {
                let from = share.sequence.position;
                &share.sequence.tokens[from..from + share.rows]
            })
            .copied()
            .collect();
        let block = self.block(rows);
        let outs = buffers.x.chunks_mut(block * width);
        let mut parts: Vec<_> = outs.zip(tokens.chunks(block)).collect();
        self.team.each(&mut parts, |(out, tokens)| {
            for (out, &token) in out.chunks_mut(width).zip(*tokens) {
                self.weights.embedding.row(token, out);
            }
        });
    }

    /// Adds what a product before gave (`y`), if any did, to the residual, and writes its norm as the products `reads`
    /// read it.
    fn norm(
        &self,
        buffers: &mut Buffers,
        adds: bool,
        weight: &[f32],
        reads: &[&Product],
        rows: usize,
    ) {
        let Buffers { x, y, inputs, .. } = buffers;
        let y = adds.then_some(&y[..]);
        self.normed(x, y, weight, reads, inputs, rows);
    }

    /// [`norm`](Self::norm) of some rows.
    pub(crate) fn normed(
        &self,
        x: &mut [f32],
        y: Option<&[f32]>,
        weight: &[f32],
        reads: &[&Product],
        inputs: &mut Inputs,
        rows: usize,
    ) {
        let (isa, width, epsilon) = (self.isa, weight.len(), self.config.epsilon);
        let block = self.block(rows);
        let mut parts: Vec<_> = x[..rows * width].chunks_mut(block * width).collect();
        self.fill(
            inputs,
            width,
            reads,
            rows,
            &mut parts,
            |part, i, writers| {
                for (r, row) in part.chunks_exact_mut(width).enumerate() {
                    let at = i * block + r;
                    if let Some(y) = y {
                        add_to(isa, row, &y[at * width..(at + 1) * width]);
                    }
                    writers.write(isa, at, |out| rms_norm(isa, row, weight, epsilon, out));
                }
            },
        );
    }

    /// Sizes the activations that `reads` read to rows of `width`, and lets `write` fill them from parts of rows.
    fn fill<T: Send>(
        &self,
        inputs: &mut Inputs,
        width: usize,
        reads: &[&Product],
        rows: usize,
        parts: &mut [T],
        write: impl Fn(&mut T, usize, &Writers<'_>) + Sync,
    ) {
        let wanted = |quantised| {
            reads
                .iter()
                .any(|product| product.matrix.format().is_quantised() == quantised)
        };
        let Inputs { plain, quantised } = inputs;
        let writers = Writers {
            plain: wanted(false).then(|| {
                plain.resize(rows, width, false);
                plain.writer()
            }),
            quantised: wanted(true).then(|| {
                quantised.resize(rows, width, true);
                quantised.writer()
            }),
        };
        let mut parts: Vec<(usize, &mut T)> = parts.iter_mut().enumerate().collect();
        self.team
            .each(&mut parts, |(i, part)| write(part, *i, &writers));
    }

    /// Queries, keys and values; beside them the residual that entered is hashed where it is live.
    fn projections(
        &self,
        buffers: &mut Buffers,
        layer: &Layer,
        l: usize,
        shares: &mut [Share<'_>],
        rows: usize,
    ) -> Result<(), LanguageError> {
        let width = self.config.width as usize;
        let Buffers {
            x, q, k, v, inputs, ..
        } = buffers;
        let mut hashing = Vec::new();
        let mut x = &x[..];
        for share in shares {
            let (own, others) = x.split_at(share.rows * width);
            x = others;
            if let (Some(recorder), Some(before)) = (&mut share.sequence.recorder, l.checked_sub(1))
            {
                hashing.extend(recorder.residual_rows(before, own, width));
            }
        }
        let outs = [
            (&layer.query, &mut *q),
            (&layer.key, &mut *k),
            (&layer.value, &mut *v),
        ];
        let mut jobs = Vec::with_capacity(3);
        for (product, out) in outs {
            sized(out, rows * product.matrix.n());
            jobs.push(Job::new(product, product.input(inputs), out));
        }
        self.products(rows, &jobs, hashing)
    }

    /// Biases, norms of heads, rotation; keys and values go to the pages of their sequences.
    fn write_rows(&self, buffers: &mut Buffers, layer: &Layer, l: usize, shares: &mut [Share<'_>]) {
        let shape = kv_shape(self.config);
        let (query, row) = (self.config.query_width() as usize, shape.row_len());
        let Buffers { q, k, v, .. } = buffers;
        let (mut q, mut k, mut v) = (&mut q[..], &mut k[..], &mut v[..]);
        let mut parts = Vec::new();
        for share in shares {
            let (from, to) = (
                share.sequence.position,
                share.sequence.position + share.rows,
            );
            let first_page = from / KV_PAGE;
            let pages = share.sequence.table.pages_mut().iter_mut().enumerate();
            for (number, page) in pages.skip(first_page) {
                let start = from.max(number * KV_PAGE);
                let end = to.min((number + 1) * KV_PAGE);
                if start >= end {
                    break;
                }
                let count = end - start;
                let own_q = q.split_off_mut(..count * query);
                let own_k = k.split_off_mut(..count * row);
                let own_v = v.split_off_mut(..count * row);
                if let (Some(q), Some(k), Some(v)) = (own_q, own_k, own_v) {
                    let page = page.layer_mut(l);
                    parts.push(PageRows {
                        page,
                        start,
                        q,
                        k,
                        v,
                    });
                }
            }
        }
        self.team
            .each(&mut parts, |part| self.write_page(layer, shape, part));
    }

    fn write_page(&self, layer: &Layer, shape: KvShape, part: &mut PageRows<'_>) {
        let (isa, config) = (self.isa, self.config);
        let turn = RopeShape {
            head_dim: shape.head_dim,
            halves: config.rope.halves,
            rotary: config.rope.rotary as usize,
        };
        let query = config.query_width() as usize;
        let rows = part
            .q
            .chunks_exact_mut(query)
            .zip(part.k.chunks_exact_mut(shape.row_len()))
            .zip(part.v.chunks_exact_mut(shape.row_len()));
        for (i, ((q, k), v)) in rows.enumerate() {
            let products = [(&layer.query, &mut *q), (&layer.key, &mut *k)];
            for (product, x) in products.into_iter().chain([(&layer.value, &mut *v)]) {
                if let Some(bias) = &product.bias {
                    add_to(isa, x, bias);
                }
            }
            let position = part.start + i;
            let table = &self.weights.rope[position * turn.rotary..][..turn.rotary];
            for (x, norm) in [(&mut *q, &layer.query_norm), (&mut *k, &layer.key_norm)] {
                if let Some(weight) = norm {
                    let before = x.to_vec();
                    rms_norm(isa, &before, weight, config.epsilon, x);
                }
                rope(isa, turn, table, x);
            }
            shape.write(part.page, position % KV_PAGE, k, v);
        }
    }

    /// Moves the needed rows of residual and queries to the front; their number.
    fn keep_needed(&self, buffers: &mut Buffers, shares: &[Share<'_>]) -> usize {
        let (width, query) = (
            self.config.width as usize,
            self.config.query_width() as usize,
        );
        let (mut kept, mut row) = (0, 0);
        for share in shares {
            let from = row + share.first_needed;
            let count = share.rows - share.first_needed;
            row += share.rows;
            for (values, extent) in [(&mut buffers.x, width), (&mut buffers.q, query)] {
                values.copy_within(from * extent..(from + count) * extent, kept * extent);
            }
            kept += count;
        }
        buffers.x.truncate(kept * width);
        buffers.q.truncate(kept * query);
        kept
    }

    /// Attention of all rows, or of the needed ones.
    fn attend(
        &self,
        buffers: &mut Buffers,
        l: usize,
        shares: &[Share<'_>],
        rows: usize,
        needed: bool,
    ) {
        let config = self.config;
        let context = config.context as usize;
        let pages: Vec<Vec<&[f32]>> = shares
            .iter()
            .map(|share| share.sequence.table.layer(l))
            .collect();
        let ranges: Vec<Vec<Range<usize>>> = shares
            .iter()
            .map(|share| {
                let first = match needed {
                    true => share.first_needed,
                    false => 0,
                };
                (first..share.rows)
                    .map(|i| {
                        let position = (share.sequence.position + i) as u64;
                        visible(position, config.window.into(), context)
                    })
                    .collect()
            })
            .collect();
        let sequences: Vec<AttentionRows<'_>> = pages
            .iter()
            .zip(&ranges)
            .map(|(pages, ranges)| AttentionRows { pages, ranges })
            .collect();
        let shape = AttentionShape {
            kv: kv_shape(config),
            heads: config.heads as usize,
            scale: config.attention_scale(),
        };
        let len = rows * config.query_width() as usize;
        sized(&mut buffers.attended, len);
        attention(
            self.isa,
            self.team,
            shape,
            &sequences,
            &buffers.q[..len],
            &mut buffers.attended,
        );
    }

    /// What attention gives, back to the width of the residual; beside it the new rows of the caches are hashed.
    fn output(
        &self,
        buffers: &mut Buffers,
        layer: &Layer,
        l: usize,
        shares: &mut [Share<'_>],
        rows: usize,
    ) -> Result<(), LanguageError> {
        let row = kv_shape(self.config).row_len();
        let Buffers {
            y,
            k,
            v,
            attended,
            inputs,
            ..
        } = buffers;
        let mut hashing = Vec::new();
        let (mut k, mut v) = (&k[..], &v[..]);
        for share in shares {
            let (own_k, other_k) = k.split_at(share.rows * row);
            let (own_v, other_v) = v.split_at(share.rows * row);
            (k, v) = (other_k, other_v);
            if let Some(recorder) = &mut share.sequence.recorder {
                hashing.extend(recorder.cache_rows(l, own_k, own_v, share.rows));
            }
        }
        let products = |jobs: &[Job<'_>], hashing| {
            self.phases
                .time(Phase::Products, || self.products(rows, jobs, hashing))
        };
        if rows == 0 {
            return products(&[], hashing);
        }
        let (isa, width) = (self.isa, layer.output.matrix.k());
        let block = self.block(rows);
        let mut parts: Vec<_> = attended.chunks(block * width).collect();
        let reads = [&layer.output];
        self.phases.time(Phase::Rows, || {
            self.fill(
                inputs,
                width,
                &reads,
                rows,
                &mut parts,
                |part, i, writers| {
                    for (r, row) in part.chunks_exact(width).enumerate() {
                        writers.write(isa, i * block + r, |out| out.copy_from_slice(row));
                    }
                },
            );
        });
        sized(y, rows * layer.output.matrix.n());
        products(
            &[Job::new(&layer.output, layer.output.input(inputs), y)],
            hashing,
        )
    }

    /// The gated part of a layer, and back to the width of the residual.
    fn feed_forward(&self, buffers: &mut Buffers, layer: &Layer, rows: usize) {
        let Buffers {
            y,
            hidden,
            inputs,
            spare,
            ..
        } = buffers;
        self.gated(rows, layer, inputs, hidden, spare);
        sized(y, rows * layer.down.matrix.n());
        self.multiply(rows, &[Job::new(&layer.down, hidden, y)]);
    }

    /// Logits of `rows` rows of the residual: `out` has a row of the vocabulary's length for each.
    pub(crate) fn logits(
        &self,
        x: &mut [f32],
        y: &[f32],
        inputs: &mut Inputs,
        rows: usize,
        out: &mut Vec<f32>,
    ) {
        let head = &self.weights.head;
        self.normed(x, Some(y), &self.weights.norm, &[head], inputs, rows);
        sized(out, rows * head.matrix.n());
        self.multiply(rows, &[Job::new(head, head.input(inputs), out)]);
    }
}

/// Writers of the activations that a product reads.
struct Writers<'a> {
    plain: Option<gavel_numerics::kernels::ActivationsWriter<'a>>,
    quantised: Option<gavel_numerics::kernels::ActivationsWriter<'a>>,
}

impl Writers<'_> {
    /// Fills row `at` of each.
    fn write(&self, isa: Isa, at: usize, write: impl Fn(&mut [f32])) {
        for writer in [&self.plain, &self.quantised].into_iter().flatten() {
            writer.fill_row(isa, at, &write);
        }
    }
}

/// Rows of one sequence that go to one page.
struct PageRows<'a> {
    page: &'a mut [f32],
    /// Position of the first.
    start: usize,
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
}
