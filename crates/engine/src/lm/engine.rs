//! The engine of one language model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gavel_model::Progress;
use gavel_model::llama::LanguageModel;
use gavel_numerics::DType;
use gavel_numerics::kernels::{Isa, Parallel, SamplingParams};
use gavel_trace::RowsShape;

use super::LanguageError;
use super::forward::{Buffers, Core, Share};
use super::live::LivePlan;
use super::pages::{PagePool, PageTable};
use super::phases::{Phase, Phases};
use super::record::Recorder;
use super::sample::Watch;
use super::sequence::{Sequence, SequenceOptions, kv_shape};
use super::weights::Weights;
use crate::clock::Stopwatch;
use crate::team::Team;
use crate::trace::{RunOutput, Trace};

/// How a language model is run. None of it changes a bit of any result.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LanguageOptions {
    /// Threads; 0 means one per CPU.
    pub threads: usize,
    /// Instruction set; `None` means the one forced by `GAVEL_ISA`, else the widest of this CPU.
    pub isa: Option<Isa>,
    /// Most rows of a pass.
    pub rows: usize,
    /// Most bytes of keys and values of all sequences together.
    pub max_cache_bytes: u64,
}

impl Default for LanguageOptions {
    fn default() -> LanguageOptions {
        LanguageOptions {
            threads: 0,
            isa: None,
            rows: 512,
            max_cache_bytes: 4 << 30,
        }
    }
}

/// What a pass did for one sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// Steps done.
    pub steps: usize,
    /// Tokens that became known: sampled, and not claimed before.
    pub tokens: Vec<i32>,
}

/// Runs one language model: its weights packed, its threads, and memory for the caches of many sequences.
pub struct LanguageEngine {
    pub(crate) model: Arc<LanguageModel>,
    isa: Isa,
    team: Team,
    weights: Weights,
    plan: Arc<LivePlan>,
    shape: Arc<RowsShape>,
    pages: PagePool,
    rows: usize,
    number: u64,
    buffers: Buffers,
    logits: Vec<f32>,
    hashing: AtomicU64,
    phases: Phases,
}

impl LanguageEngine {
    /// Packs the weights of a model; `progress` is told about every matrix.
    ///
    /// # Errors
    /// An instruction set that is absent, threads that cannot be started, a model whose commit points lie elsewhere than
    /// at ends of layers.
    pub fn new(
        model: Arc<LanguageModel>,
        options: &LanguageOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<LanguageEngine, LanguageError> {
        static ENGINES: AtomicU64 = AtomicU64::new(0);
        let isa = match options.isa {
            Some(isa) => isa,
            None => Isa::from_env()?,
        };
        let config = &model.config;
        let plan = Arc::new(LivePlan::new(&model)?);
        let kv = kv_shape(config);
        let shape = RowsShape::new(DType::F32.id(), config.context.into(), kv.row_len() as u64)?;
        let threads = options.threads;
        let team =
            Team::new(threads).map_err(|source| LanguageError::Threads { threads, source })?;
        let weights = Weights::pack(&model, &team, progress)?;
        Ok(LanguageEngine {
            isa,
            team,
            weights,
            plan,
            shape: Arc::new(shape),
            pages: PagePool::new(config.layers as usize, kv, options.max_cache_bytes),
            rows: options.rows.max(1),
            number: ENGINES.fetch_add(1, Ordering::Relaxed),
            buffers: Buffers::default(),
            logits: Vec::new(),
            hashing: AtomicU64::new(0),
            phases: Phases::default(),
            model,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<LanguageModel> {
        &self.model
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads in use.
    pub fn threads(&self) -> usize {
        self.team.workers()
    }

    /// Bytes of weights that a step of one sequence reads.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes
    }

    /// Time of each [`Phase`] of the passes since the last call.
    pub fn take_phases(&mut self) -> [Duration; Phase::ALL.len()] {
        self.phases.take()
    }

    /// Most rows of a pass.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn pages(&self) -> &PagePool {
        &self.pages
    }

    /// Opens a sequence. It takes memory for its cache as it advances.
    ///
    /// # Errors
    /// A prompt, a claim or a number of steps that the model cannot take.
    pub fn open(
        &self,
        prompt: &[i32],
        params: SamplingParams,
        options: &SequenceOptions,
    ) -> Result<Sequence, LanguageError> {
        let config = &self.model.config;
        let table = PageTable::new(self.pages.clone());
        let mut sequence = Sequence::new(self.number, config, prompt, params, options, table)?;
        if options.trace {
            let (tokens, words) = sequence.initial();
            let recorder = Recorder::new(&self.plan, &self.shape, config, &tokens, &words)?;
            sequence.recorder = Some(recorder);
        }
        Ok(sequence)
    }

    /// One pass: of every sequence in turn the rows that are ready, up to the rows of a pass. Sequences that are
    /// finished, or come when the pass is full, wait.
    ///
    /// # Errors
    /// A sequence of another engine; a cache that is full, and then nothing was done.
    pub fn advance(
        &mut self,
        sequences: &mut [&mut Sequence],
    ) -> Result<Vec<Advance>, LanguageError> {
        let mut left = self.rows;
        let rows: Vec<usize> = sequences
            .iter()
            .map(|sequence| {
                let rows = sequence.ready().min(left);
                left -= rows;
                rows
            })
            .collect();
        self.pass(sequences, &rows, false, None)
    }

    /// One pass of so many ready rows of each sequence.
    pub(crate) fn pass(
        &mut self,
        sequences: &mut [&mut Sequence],
        rows: &[usize],
        all_logits: bool,
        watch: Watch<'_>,
    ) -> Result<Vec<Advance>, LanguageError> {
        if sequences.iter().any(|s| s.engine != self.number) {
            return Err(LanguageError::Foreign);
        }
        for (sequence, &rows) in sequences.iter_mut().zip(rows) {
            let positions = sequence.position + rows;
            sequence.table.grow(positions)?;
        }
        let start = Stopwatch::start();
        self.hashing.store(0, Ordering::Relaxed);
        let core = Core {
            isa: self.isa,
            team: &self.team,
            config: &self.model.config,
            weights: &self.weights,
            hashing: &self.hashing,
            phases: &self.phases,
        };
        let mut shares: Vec<Share<'_>> = sequences
            .iter_mut()
            .zip(rows)
            .filter(|(_, rows)| **rows > 0)
            .map(|(sequence, &rows)| {
                let position = sequence.position;
                let needed = (0..rows).find(|i| all_logits || sequence.samples_at(position + i));
                Share {
                    sequence,
                    rows,
                    first_needed: needed.unwrap_or(rows),
                }
            })
            .collect();
        let mut advances = vec![Advance::default(); rows.len()];
        if shares.is_empty() {
            return Ok(advances);
        }
        core.forward(&mut self.buffers, &mut shares)?;
        let mut sampled = core
            .sampled(&mut self.buffers, &mut self.logits, &shares, watch)
            .into_iter();
        let total: usize = rows.iter().sum();
        let active = (0..rows.len()).filter(|&i| rows[i] > 0);
        let mut hashing =
            Duration::from_nanos(self.hashing.load(Ordering::Relaxed)) / self.team.workers() as u32;
        for (share, i) in shares.iter_mut().zip(active) {
            let (rows, first, sequence) = (share.rows, share.first_needed, &mut *share.sequence);
            let known = sequence.known;
            let before = sequence.position;
            self.phases.time(Phase::Sampling, || {
                for row in 0..rows {
                    let token = (row >= first).then(|| sampled.next()).flatten();
                    if sequence.is_finished() {
                        continue;
                    }
                    let token = token.filter(|_| sequence.samples_at(sequence.position));
                    sequence.step(token, &self.weights.end)?;
                }
                Ok::<_, LanguageError>(())
            })?;
            let hash = Stopwatch::start();
            let steps = sequence.position - before;
            if let Some(recorder) = &mut sequence.recorder {
                self.phases
                    .time(Phase::Roots, || recorder.finish(steps, &self.team))?;
            }
            hashing += hash.elapsed();
            advances[i] = Advance {
                steps,
                tokens: sequence.tokens[known..sequence.known].to_vec(),
            };
        }
        let spent = start.elapsed();
        for share in shares {
            let timing = &mut share.sequence.timing;
            let part = |time: Duration| time.mul_f64(share.rows as f64 / total as f64);
            timing.hashing += part(hashing);
            timing.compute += part(spent.saturating_sub(hashing));
        }
        Ok(advances)
    }

    /// Opens a sequence that takes over the caches of `before`, as far as its tokens begin the prompt: the next turn of a
    /// conversation. The tokens are those of a sequence that begins anew.
    ///
    /// # Errors
    /// As [`open`](Self::open); a sequence of another engine.
    pub fn resume(
        &self,
        before: Sequence,
        prompt: &[i32],
        params: SamplingParams,
    ) -> Result<Sequence, LanguageError> {
        if before.engine != self.number {
            return Err(LanguageError::Foreign);
        }
        let mut sequence = self.open(prompt, params, &SequenceOptions::default())?;
        sequence.take_over(before);
        Ok(sequence)
    }

    /// The trace of a sequence without its outputs, which hold the whole context. `None` without a trace or a step.
    ///
    /// # Errors
    /// A trace that cannot be built.
    pub fn trace(&self, sequence: Sequence) -> Result<Option<Trace>, LanguageError> {
        sequence.into_trace(&self.model.model)
    }

    /// Outputs and trace of a sequence: those of the model's graph, run step by step. `None` without a trace or a step.
    ///
    /// # Errors
    /// A trace that cannot be built.
    pub fn finish(&self, sequence: Sequence) -> Result<Option<RunOutput>, LanguageError> {
        sequence.into_run(&self.model.model, &self.model.config)
    }
}
