//! Continuous batching: sequences come and go between passes, and each pass takes rows of all of them.

use std::collections::VecDeque;

use gavel_numerics::kernels::KV_PAGE;

use super::LanguageError;
use super::engine::LanguageEngine;
use super::sequence::Sequence;

/// What a pass did for a sequence.
pub enum Event<K> {
    /// Tokens were sampled.
    Tokens {
        /// The sequence.
        key: K,
        /// They, in order.
        tokens: Vec<i32>,
    },
    /// It is finished, and no longer the scheduler's.
    Finished {
        /// The sequence.
        key: K,
        /// It.
        sequence: Box<Sequence>,
    },
}

/// Sequences that are run together.
///
/// A pass first takes one row of every sequence that decodes, then fills up with rows of prompts in the order in which
/// they came. A sequence is admitted once its whole cache is sure to fit, so that none has to be put off in its midst.
pub struct Scheduler<K> {
    waiting: VecDeque<(K, Sequence)>,
    active: Vec<(K, Sequence)>,
}

impl<K> Default for Scheduler<K> {
    fn default() -> Scheduler<K> {
        Scheduler {
            waiting: VecDeque::new(),
            active: Vec::new(),
        }
    }
}

impl<K: Clone + PartialEq> Scheduler<K> {
    /// No sequences.
    pub fn new() -> Scheduler<K> {
        Scheduler::default()
    }

    /// Sequences that wait for room.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sequences that are run.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Queues a sequence of `engine`.
    ///
    /// # Errors
    /// One that would never fit the cache.
    pub fn add(
        &mut self,
        engine: &LanguageEngine,
        key: K,
        sequence: Sequence,
    ) -> Result<(), LanguageError> {
        let (needed, available) = (pages_of(&sequence), engine.pages().most());
        if needed > available {
            return Err(LanguageError::CacheFull {
                needed,
                available,
                page: KV_PAGE,
            });
        }
        self.waiting.push_back((key, sequence));
        Ok(())
    }

    /// Gives a sequence up, wherever it is.
    pub fn cancel(&mut self, key: &K) -> Option<Sequence> {
        if let Some(at) = self.active.iter().position(|(k, _)| k == key) {
            return Some(self.active.remove(at).1);
        }
        let at = self.waiting.iter().position(|(k, _)| k == key)?;
        self.waiting.remove(at).map(|(_, sequence)| sequence)
    }

    /// Runs one pass.
    ///
    /// # Errors
    /// As [`LanguageEngine::advance`]. Other users of the engine's cache can fill it up.
    pub fn step(&mut self, engine: &mut LanguageEngine) -> Result<Vec<Event<K>>, LanguageError> {
        self.admit(engine);
        let mut left = engine.rows();
        let mut rows = vec![0; self.active.len()];
        let decodes = |sequence: &Sequence| sequence.ready() == 1;
        for first in [true, false] {
            for ((_, sequence), rows) in self.active.iter().zip(&mut rows) {
                if decodes(sequence) == first {
                    *rows = sequence.ready().min(left);
                    left -= *rows;
                }
            }
        }
        let mut sequences: Vec<&mut Sequence> = self.active.iter_mut().map(|(_, s)| s).collect();
        let advances = engine.pass(&mut sequences, &rows, false, None)?;
        let mut events = Vec::new();
        for ((key, _), advance) in self.active.iter().zip(advances) {
            if !advance.tokens.is_empty() {
                let (key, tokens) = (key.clone(), advance.tokens);
                events.push(Event::Tokens { key, tokens });
            }
        }
        let finished = self
            .active
            .extract_if(.., |(_, sequence)| sequence.is_finished());
        events.extend(finished.map(|(key, sequence)| Event::Finished {
            key,
            sequence: Box::new(sequence),
        }));
        Ok(events)
    }

    fn admit(&mut self, engine: &LanguageEngine) {
        let mut reserved: usize = self.active.iter().map(|(_, s)| pages_of(s)).sum();
        while let Some((_, sequence)) = self.waiting.front() {
            reserved += pages_of(sequence);
            if reserved > engine.pages().most() {
                return;
            }
            self.active.extend(self.waiting.pop_front());
        }
    }
}

/// Pages that a sequence may come to hold.
fn pages_of(sequence: &Sequence) -> usize {
    sequence.most_positions().div_ceil(KV_PAGE)
}
