//! Whole runs: one sequence generated, claimed tokens checked, logits looked at, a state rebuilt.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::llama::task_inputs;
use gavel_numerics::Tensor;
use gavel_numerics::kernels::SamplingParams;
use gavel_trace::CommitPoint;

use super::LanguageError;
use super::engine::LanguageEngine;
use super::sequence::{Difference, Sequence, SequenceOptions};
use crate::trace::{FineRun, RunOutput, Timing};
use crate::{Engine, EngineError};

/// A sequence that was run to its end.
#[derive(Debug)]
pub struct Generation {
    /// The tokens behind the prompt.
    pub tokens: Vec<i32>,
    /// Outputs and trace, if that was asked for.
    pub run: Option<RunOutput>,
    /// Where the time went.
    pub timing: Timing,
}

/// Whether claimed tokens are those that the model samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are, and the run stops with the last of them.
    Match,
    /// A token is another one.
    Differs(Difference),
    /// The run stops with the token at this place among all tokens, before the last one claimed.
    StopsAt(usize),
    /// The run does not stop with the last token claimed.
    GoesOn,
}

/// A claim that was checked.
#[derive(Debug)]
pub struct Verification {
    /// What was found.
    pub verdict: Verdict,
    /// Outputs and trace of the run, if that was asked for and every claimed token is right.
    pub run: Option<RunOutput>,
    /// Where the time went.
    pub timing: Timing,
}

impl LanguageEngine {
    /// Runs a sequence to its end. `on_token` sees every sampled token as it comes, and may break the run off.
    ///
    /// # Errors
    /// A prompt that the model cannot take; a cache that is full.
    pub fn generate(
        &mut self,
        prompt: &[i32],
        params: SamplingParams,
        options: &SequenceOptions,
        on_token: &mut dyn FnMut(i32) -> ControlFlow<()>,
    ) -> Result<Generation, LanguageError> {
        let mut sequence = self.open(prompt, params, options)?;
        'run: while !sequence.is_finished() {
            for advance in self.advance(&mut [&mut sequence])? {
                for token in advance.tokens {
                    if on_token(token).is_break() {
                        break 'run;
                    }
                }
            }
        }
        Ok(Generation {
            tokens: sequence.generated().to_vec(),
            timing: sequence.timing(),
            run: self.finish(sequence)?,
        })
    }

    /// Checks that `claimed` is what follows the prompt, in passes of as many rows as fit: the tokens are taken as they
    /// are claimed, and each is compared with what is sampled before it.
    ///
    /// # Errors
    /// A prompt or a claim that the model cannot take; a cache that is full.
    pub fn verify(
        &mut self,
        prompt: &[i32],
        claimed: &[i32],
        params: SamplingParams,
        trace: bool,
    ) -> Result<Verification, LanguageError> {
        let (verdict, sequence) = self.check(prompt, claimed, params, trace)?;
        Ok(Verification {
            verdict,
            timing: sequence.timing(),
            run: match sequence.difference() {
                None => self.finish(sequence)?,
                Some(_) => None,
            },
        })
    }

    /// [`verify`](Self::verify), with the sequence as it was left instead of outputs, which hold the whole context.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn check(
        &mut self,
        prompt: &[i32],
        claimed: &[i32],
        params: SamplingParams,
        trace: bool,
    ) -> Result<(Verdict, Sequence), LanguageError> {
        let steps = (prompt.len() + claimed.len()).saturating_sub(1);
        let options = SequenceOptions {
            trace,
            claimed: claimed.to_vec(),
            steps: Some(steps),
        };
        let mut sequence = self.open(prompt, params, &options)?;
        self.run_out(&mut sequence)?;
        let verdict = match (sequence.difference(), sequence.stopped_at()) {
            (_, Some(stop)) if stop < steps => Verdict::StopsAt(stop),
            (Some(difference), _) => Verdict::Differs(difference),
            (None, Some(_)) => Verdict::Match,
            (None, None) => Verdict::GoesOn,
        };
        Ok((verdict, sequence))
    }

    /// Logits after every one of `tokens`, before penalties: a row of the vocabulary's length for each.
    ///
    /// # Errors
    /// More tokens than the model has positions; a cache that is full.
    pub fn logits(&mut self, tokens: &[i32]) -> Result<Vec<f32>, LanguageError> {
        let options = SequenceOptions {
            steps: Some(tokens.len()),
            ..SequenceOptions::default()
        };
        let mut sequence = self.open(tokens, SamplingParams::default(), &options)?;
        let vocabulary = self.model().config.vocabulary as usize;
        let mut all = vec![0.0; tokens.len() * vocabulary];
        let mut left = &mut all[..];
        while !sequence.is_finished() {
            let rows = sequence.ready().min(self.rows());
            let (own, later) = left.split_at_mut(rows * vocabulary);
            left = later;
            // each row is seen once
            let outs: Vec<Mutex<&mut [f32]>> = own.chunks_mut(vocabulary).map(Mutex::new).collect();
            let watch = |row: usize, logits: &[f32]| {
                let mut out = outs[row].lock().unwrap_or_else(PoisonError::into_inner);
                out.copy_from_slice(logits);
            };
            self.pass(&mut [&mut sequence], &[rows], true, Some(&watch))?;
        }
        Ok(all)
    }

    /// Runs a sequence to its end.
    fn run_out(&mut self, sequence: &mut Sequence) -> Result<(), LanguageError> {
        while !sequence.is_finished() {
            self.advance(&mut [&mut *sequence])?;
        }
        Ok(())
    }

    /// The inputs of a step of the run in which `generated` follows the prompt: what a dispute about the step starts from.
    /// Costs one prefill.
    ///
    /// # Errors
    /// A run without that step, tokens that are not the run's, a cache that is full.
    pub fn state_before(
        &mut self,
        prompt: &[i32],
        generated: &[i32],
        params: SamplingParams,
        step: u32,
    ) -> Result<Vec<Arc<Tensor>>, LanguageError> {
        let model = Arc::clone(self.model());
        if step == 0 {
            let state = task_inputs(&model.model, prompt, params)?;
            return Ok(state.into_iter().map(Arc::new).collect());
        }
        let options = SequenceOptions {
            claimed: generated.to_vec(),
            steps: Some(step as usize),
            ..SequenceOptions::default()
        };
        let mut sequence = self.open(prompt, params, &options)?;
        self.run_out(&mut sequence)?;
        match sequence.difference() {
            Some(difference) => Err(LanguageError::Claim(difference)),
            None => sequence.state(&model.config),
        }
    }

    /// [`Engine::live_before`] of such a run.
    ///
    /// # Errors
    /// As [`state_before`](Self::state_before) and [`Engine::live_before`].
    pub fn live_before(
        &mut self,
        engine: &Engine,
        prompt: &[i32],
        generated: &[i32],
        params: SamplingParams,
        at: CommitPoint,
    ) -> Result<Vec<Arc<Tensor>>, LanguageError> {
        let state = self.state_before(prompt, generated, params, at.step)?;
        let live = engine.live_from(&self.model().model, &state, at, None);
        live.map_err(|error| LanguageError::Retrace(Box::new(error)))
    }

    /// [`Engine::fine_trace`] of such a run: the state before by one prefill, then the segment node by node.
    ///
    /// # Errors
    /// As [`live_before`](Self::live_before).
    pub fn fine_trace(
        &mut self,
        engine: &Engine,
        prompt: &[i32],
        generated: &[i32],
        params: SamplingParams,
        at: CommitPoint,
    ) -> Result<FineRun, LanguageError> {
        let live = self.live_before(engine, prompt, generated, params, at)?;
        let fine = engine.fine_trace(&self.model().model, at, &live, None);
        fine.map_err(|error: EngineError| LanguageError::Retrace(Box::new(error)))
    }
}
