//! One sequence of tokens: what is known of it, how far it is computed, and where its caches lie.

use std::sync::Arc;

use gavel_model::{Model, llama::LlamaConfig};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::{KvShape, PARAMETERS, SamplingParams, stop};
use gavel_trace::Level1;

use super::LanguageError;
use super::pages::PageTable;
use super::record::Recorder;
use crate::trace::{RunOutput, Timing, Trace};

/// How a sequence is run. None of it changes a bit of any token.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SequenceOptions {
    /// Whether its trace is kept.
    pub trace: bool,
    /// Tokens that are claimed to follow the prompt: they are computed like a prompt, and each is checked.
    pub claimed: Vec<i32>,
    /// Steps to run, whatever the stop state says; `None`: up to the step that stops.
    pub steps: Option<usize>,
}

impl SequenceOptions {
    /// With a trace.
    pub fn traced() -> SequenceOptions {
        SequenceOptions {
            trace: true,
            ..SequenceOptions::default()
        }
    }
}

/// A claimed token that is not the one that the model samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its place among the tokens, the prompt's included.
    pub index: usize,
    /// The token claimed.
    pub claimed: i32,
    /// The token sampled.
    pub sampled: i32,
}

/// A sequence that an engine has opened.
pub struct Sequence {
    pub(crate) engine: u64,
    pub(crate) params: SamplingParams,
    /// `context + 1` tokens; -1 where none is known.
    pub(crate) tokens: Vec<i32>,
    /// Tokens that are known.
    pub(crate) known: usize,
    prompt: usize,
    /// Rows computed.
    pub(crate) position: usize,
    stop: i64,
    stopped_at: Option<usize>,
    steps: Option<usize>,
    pub(crate) table: PageTable,
    pub(crate) recorder: Option<Recorder>,
    difference: Option<Difference>,
    pub(crate) timing: Timing,
}

impl Sequence {
    pub(crate) fn new(
        engine: u64,
        config: &LlamaConfig,
        prompt: &[i32],
        params: SamplingParams,
        options: &SequenceOptions,
        table: PageTable,
    ) -> Result<Sequence, LanguageError> {
        let context = config.context as usize;
        if prompt.is_empty() || prompt.len() > context {
            return Err(LanguageError::Prompt {
                tokens: prompt.len(),
                most: context,
            });
        }
        let claimed = prompt.len() + options.claimed.len();
        let steps = options.steps.unwrap_or(1).max(claimed.saturating_sub(1));
        if steps > context || options.steps == Some(0) {
            return Err(LanguageError::Steps {
                steps: options.steps.unwrap_or(steps),
                most: context,
            });
        }
        let mut tokens = vec![-1; context + 1];
        tokens[..prompt.len()].copy_from_slice(prompt);
        tokens[prompt.len()..claimed].copy_from_slice(&options.claimed);
        let params = SamplingParams {
            prompt_len: prompt.len() as u64,
            ..params
        };
        Ok(Sequence {
            engine,
            params,
            tokens,
            known: claimed,
            prompt: prompt.len(),
            position: 0,
            stop: 0,
            stopped_at: None,
            steps: options.steps,
            table,
            recorder: None,
            difference: None,
            timing: Timing::default(),
        })
    }

    /// Tokens and parameters before step 0.
    pub(crate) fn initial(&self) -> (Vec<i32>, [i64; PARAMETERS]) {
        let mut tokens = self.tokens.clone();
        tokens[self.prompt..].fill(-1);
        (tokens, self.params.into())
    }

    /// The prompt, and every token behind it that is known.
    pub fn tokens(&self) -> &[i32] {
        &self.tokens[..self.known]
    }

    /// The tokens behind the prompt.
    pub fn generated(&self) -> &[i32] {
        &self.tokens[self.prompt..self.known]
    }

    /// Steps done: positions whose keys and values are there.
    pub fn steps(&self) -> usize {
        self.position
    }

    /// How it is sampled; `prompt_len` is the prompt's.
    pub fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// Whether no step is left: it has stopped, has the steps that were asked for, or a claimed token was wrong.
    pub fn is_finished(&self) -> bool {
        let context = self.tokens.len() - 1;
        self.difference.is_some()
            || match self.steps {
                Some(steps) => self.position >= steps,
                None => self.stop == 1 || self.position >= context,
            }
    }

    /// Steps of the run, once it has stopped: steps may follow where they were asked for.
    pub fn stopped_at(&self) -> Option<usize> {
        self.stopped_at
    }

    /// The first claimed token that is wrong.
    pub fn difference(&self) -> Option<Difference> {
        self.difference
    }

    /// Where the time went that was spent on it, in the passes that it shared by its share of rows.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Rows that can be computed now: their tokens are known.
    pub(crate) fn ready(&self) -> usize {
        if self.is_finished() {
            return 0;
        }
        let end = self.known.min(self.tokens.len() - 1);
        let end = self.steps.map_or(end, |steps| end.min(steps));
        end.saturating_sub(self.position)
    }

    /// Whether the step at `position` samples a token that is read.
    pub(crate) fn samples_at(&self, position: usize) -> bool {
        position + 1 >= self.prompt
    }

    /// Positions that the cache may ever hold.
    pub(crate) fn most_positions(&self) -> usize {
        let limit = self
            .params
            .prompt_len
            .saturating_add(self.params.max_new_tokens);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let most = self.steps.unwrap_or(limit.max(self.known));
        most.min(self.tokens.len() - 1)
    }

    /// Takes up a step whose row is computed, with the token that it sampled if that is read. `false` where a claimed
    /// token turns out wrong: the step does not count.
    pub(crate) fn step(
        &mut self,
        sampled: Option<i32>,
        end: &[i32],
    ) -> Result<bool, LanguageError> {
        let (position, next) = (self.position, self.position + 1);
        if let Some(sampled) = sampled {
            let claimed = self.tokens[next];
            if next < self.known && claimed != sampled {
                self.difference = Some(Difference {
                    index: next,
                    claimed,
                    sampled,
                });
                return Ok(false);
            }
            self.tokens[next] = sampled;
            self.known = self.known.max(next + 1);
        }
        let stopped = self.stop != 0;
        self.stop = stop(stopped, &self.tokens, position as u64, &self.params, end);
        self.position = next;
        if self.stop == 1 {
            self.stopped_at = Some(next);
        }
        if let Some(recorder) = &mut self.recorder {
            let appended = sampled.map(|token| (next, token));
            recorder.row(position, appended, self.stop)?;
        }
        Ok(true)
    }

    /// The state after the steps done: the outputs of the last one, the inputs of the next.
    ///
    /// # Errors
    /// Extents that make no tensor.
    pub fn state(&self, config: &LlamaConfig) -> Result<Vec<Arc<Tensor>>, LanguageError> {
        let words: [i64; PARAMETERS] = self.params.into();
        let mut tokens = self.tokens.clone();
        // a claim that was not followed to its end
        let sampled = (self.position + 1).max(self.prompt);
        tokens[sampled..].fill(-1);
        let mut slots = vec![
            Tensor::i64([1], vec![self.stop])?,
            Tensor::i64([1], vec![self.position as i64])?,
            Tensor::i32([tokens.len() as u64], tokens)?,
            Tensor::i64([PARAMETERS as u64], words.to_vec())?,
        ];
        for layer in 0..config.layers as usize {
            slots.extend(self.dense(config, layer)?);
        }
        Ok(slots.into_iter().map(Arc::new).collect())
    }

    /// A layer's keys and values as tensors of the whole context.
    fn dense(&self, config: &LlamaConfig, layer: usize) -> Result<[Tensor; 2], LanguageError> {
        let shape = kv_shape(config);
        let (width, context) = (shape.row_len(), config.context as usize);
        let mut keys = vec![0.0; context * width];
        let mut values = keys.clone();
        let pages = self.table.layer(layer);
        for position in 0..self.position {
            let row = position * width..(position + 1) * width;
            shape.read(
                pages[position / gavel_numerics::kernels::KV_PAGE],
                position % gavel_numerics::kernels::KV_PAGE,
                &mut keys[row.clone()],
                &mut values[row],
            );
        }
        let dims = [context as u64, width as u64];
        Ok([Tensor::f32(dims, keys)?, Tensor::f32(dims, values)?])
    }

    /// Continues where `before` has the same tokens. The last token of the prompt is computed in any case: what follows it
    /// is sampled from its row.
    pub(crate) fn take_over(&mut self, before: Sequence) {
        let own = self.tokens[..self.prompt].iter();
        let same = own.zip(before.tokens()).take_while(|(a, b)| a == b).count();
        self.position = same.min(before.position).min(self.prompt - 1);
        self.table = before.table;
    }

    /// The trace. `None` where none was kept or no step was done.
    ///
    /// # Errors
    /// A trace that cannot be built.
    pub(crate) fn into_trace(mut self, model: &Model) -> Result<Option<Trace>, LanguageError> {
        let Some(recorder) = self.recorder.take().filter(|_| self.position > 0) else {
            return Ok(None);
        };
        let input_digest = recorder.input_digest();
        Ok(Some(Trace {
            level1: Level1::of_model(model.header(), recorder.into_leaves())?,
            input_digest,
        }))
    }

    /// Outputs and trace, for a dispute or a commitment. `None` where no trace was kept or no step was done.
    ///
    /// # Errors
    /// A trace that cannot be built.
    pub(crate) fn into_run(
        self,
        model: &Model,
        config: &LlamaConfig,
    ) -> Result<Option<RunOutput>, LanguageError> {
        if self.recorder.is_none() || self.position == 0 {
            return Ok(None);
        }
        let (outputs, timing) = (self.state(config)?, self.timing);
        Ok(self.into_trace(model)?.map(|trace| RunOutput {
            outputs,
            trace,
            timing,
        }))
    }
}

/// The shape of a layer's caches.
pub(crate) fn kv_shape(config: &LlamaConfig) -> KvShape {
    KvShape {
        kv_heads: config.kv_heads as usize,
        head_dim: config.head_dim as usize,
    }
}
