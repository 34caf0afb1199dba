//! Where the time of passes goes, for measurements.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Stopwatch;

/// A kind of work in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Embedding, residual, norms, rotation, writes to the cache, quantisation.
    Rows,
    /// Products of layers, gates, and the hashing beside them.
    Products,
    /// Attention.
    Attention,
    /// Product of the head.
    Head,
    /// From logits to tokens, and the bookkeeping of steps.
    Sampling,
    /// Live roots.
    Roots,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 6] = [
        Phase::Rows,
        Phase::Products,
        Phase::Attention,
        Phase::Head,
        Phase::Sampling,
        Phase::Roots,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rows => "rows",
            Phase::Products => "products",
            Phase::Attention => "attention",
            Phase::Head => "head",
            Phase::Sampling => "sampling",
            Phase::Roots => "live roots",
        }
    }
}

/// Nanoseconds spent on each phase, by the clock of the calling thread.
#[derive(Debug, Default)]
pub(crate) struct Phases([AtomicU64; 6]);

impl Phases {
    /// What `body` gives; its time is the phase's.
    pub(crate) fn time<T>(&self, phase: Phase, body: impl FnOnce() -> T) -> T {
        let start = Stopwatch::start();
        let result = body();
        let spent = start.elapsed().as_nanos() as u64;
        self.0[phase as usize].fetch_add(spent, Ordering::Relaxed);
        result
    }

    /// Time of each phase since the last call.
    pub(crate) fn take(&self) -> [Duration; 6] {
        self.0
            .each_ref()
            .map(|spent| Duration::from_nanos(spent.swap(0, Ordering::Relaxed)))
    }
}
