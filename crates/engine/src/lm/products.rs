//! Products with weights, cut into parts for the threads.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use gavel_numerics::kernels::{Activations, PackedMatrix, Parallel, SharedRows, linear, swiglu};

use super::LanguageError;
use super::forward::Core;
use super::record::HashTask;
use super::weights::{Inputs, Layer, Product};
use crate::clock::Stopwatch;

/// A part of products is this share of what each thread would have of those that are left.
const SHARE: usize = 2;
/// Bytes of weights that a part of a product of one row reads at least: some microseconds.
const LEAST_BYTES: usize = 32 << 10;
/// Bytes of gate and up that a part makes at most: they stay in the second-level cache until they are gated.
const GATED_BYTES: usize = 512 << 10;
/// Columns of a panel.
const PANEL: usize = 32;

/// A product of a pass.
pub(crate) struct Job<'a> {
    matrix: &'a PackedMatrix,
    x: &'a Activations,
    out: SharedRows<'a>,
}

impl<'a> Job<'a> {
    /// The product of `x` and a matrix, to rows of `out`.
    pub(crate) fn new(of: &'a Product, x: &'a Activations, out: &'a mut [f32]) -> Job<'a> {
        Job {
            matrix: &of.matrix,
            x,
            out: SharedRows::new(out, of.matrix.n()),
        }
    }
}

/// Buffers of parts, from one to the next.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<f32>>>);

impl Spare {
    /// A buffer of at least `len` values of arbitrary content.
    fn take(&self, len: usize) -> Vec<f32> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = spare.pop().unwrap_or_default();
        drop(spare);
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        buffer
    }

    fn give(&self, buffer: Vec<f32>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(buffer);
    }
}

/// Cuts panels into parts that get smaller and smaller, so that the threads finish together. One thread takes a product
/// whole.
struct Cutter {
    workers: usize,
    /// Bytes of weights that are left.
    left: usize,
    /// Bytes of a part at least.
    least: usize,
}

impl Cutter {
    fn new(workers: usize, bytes: usize, rows: usize) -> Cutter {
        Cutter {
            workers,
            left: bytes,
            least: LEAST_BYTES / rows.max(1),
        }
    }

    /// Parts of `panels` panels of so many bytes, of at most `most` panels each.
    fn cut(&mut self, panels: usize, panel_bytes: usize, most: usize) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut first = 0;
        while first < panels {
            let part = match self.workers {
                1 => self.left,
                workers => (self.left / (SHARE * workers)).max(self.least),
            };
            let count = part.div_ceil(panel_bytes.max(1)).min(most);
            let count = count.clamp(1, panels - first);
            parts.push(first..first + count);
            first += count;
            self.left -= count * panel_bytes;
        }
        parts
    }
}

fn panel_bytes(matrix: &PackedMatrix) -> usize {
    matrix.bytes() / matrix.panels().max(1)
}

impl Core<'_> {
    /// Products without anything beside them.
    pub(crate) fn multiply(&self, rows: usize, jobs: &[Job<'_>]) {
        let parts = self.cut(rows, jobs);
        self.team.run(parts.len(), &|i| {
            let (job, panels) = &parts[i];
            linear(
                self.isa,
                job.matrix,
                job.x,
                0..rows,
                panels.clone(),
                &job.out,
            );
        });
    }

    /// Products, and hashing on the threads that are free.
    pub(crate) fn products(
        &self,
        rows: usize,
        jobs: &[Job<'_>],
        mut hashing: Vec<HashTask<'_>>,
    ) -> Result<(), LanguageError> {
        if hashing.is_empty() {
            self.multiply(rows, jobs);
            return Ok(());
        }
        let parts = self.cut(rows, jobs);
        let count = hashing.len();
        let failure = Mutex::new(None);
        // each lock of a task is taken once
        let hashing: Vec<Mutex<&mut HashTask<'_>>> = hashing.iter_mut().map(Mutex::new).collect();
        self.team.run(count + parts.len(), &|i| {
            if let Some(task) = hashing.get(i) {
                let start = Stopwatch::start();
                let mut task = task.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = task.run() {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
                let spent = start.elapsed().as_nanos() as u64;
                self.hashing.fetch_add(spent, Ordering::Relaxed);
            } else if let Some((job, panels)) = parts.get(i - count) {
                linear(
                    self.isa,
                    job.matrix,
                    job.x,
                    0..rows,
                    panels.clone(),
                    &job.out,
                );
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Parts of products.
    fn cut<'j, 'a>(&self, rows: usize, jobs: &'j [Job<'a>]) -> Vec<(&'j Job<'a>, Range<usize>)> {
        let bytes = jobs.iter().map(|job| job.matrix.bytes()).sum();
        let mut cutter = Cutter::new(self.team.workers(), bytes, rows);
        let parts = jobs.iter().flat_map(|job| {
            let panels = job.matrix.panels();
            let parts = cutter.cut(panels, panel_bytes(job.matrix), panels);
            parts.into_iter().map(move |part| (job, part))
        });
        parts.collect()
    }

    /// Gate and up of a layer, and the gated values as the next product reads them: a part goes through all three while it
    /// is in the cache.
    pub(crate) fn gated(
        &self,
        rows: usize,
        layer: &Layer,
        inputs: &Inputs,
        out: &mut Activations,
        spare: &Spare,
    ) {
        let (gate, up, down) = (&layer.gate.matrix, &layer.up.matrix, &layer.down.matrix);
        out.resize(rows, down.k(), down.format().is_quantised());
        let out = out.columns_writer();
        let panels = gate.panels();
        let mut cutter = Cutter::new(self.team.workers(), gate.bytes() + up.bytes(), rows);
        let most = GATED_BYTES / (rows * PANEL * 2 * size_of::<f32>()).max(1);
        let parts = cutter.cut(panels, panel_bytes(gate) + panel_bytes(up), most.max(1));
        let isa = self.isa;
        self.team.run(parts.len(), &|i| {
            let panels = &parts[i];
            let columns = gate.panel_rows(panels.start).start..gate.panel_rows(panels.end - 1).end;
            let width = columns.len();
            let mut buffer = spare.take(2 * rows * width);
            let (g, u) = buffer[..2 * rows * width].split_at_mut(rows * width);
            for (product, out) in [(&layer.gate, &mut *g), (&layer.up, &mut *u)] {
                let out = SharedRows::window(out, columns.clone());
                let x = product.input(inputs);
                linear(isa, &product.matrix, x, 0..rows, panels.clone(), &out);
            }
            let mut part = out.part(columns);
            let pairs = g.chunks_exact(width).zip(u.chunks_exact(width));
            for (row, (gate, up)) in pairs.enumerate() {
                part.fill_row(isa, row, |out| swiglu(isa, gate, up, out));
            }
            spare.give(buffer);
        });
    }
}
