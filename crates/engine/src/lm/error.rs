//! Why a language model did not run.

use gavel_model::ModelError;
use gavel_numerics::NumericsError;
use gavel_numerics::kernels::IsaError;
use gavel_trace::TraceError;

use super::Difference;
use crate::EngineError;

/// Why an engine of a language model could not be made, or a sequence not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LanguageError {
    /// The instruction set asked for is unknown or absent.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// The operating system refused the threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Weights that are not what the model's roles say.
    #[error("weight {name:?}: {reason}")]
    Weight {
        /// Its name.
        name: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// Inputs that the model has not.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A matrix that cannot be packed.
    #[error(transparent)]
    Numerics(#[from] NumericsError),
    /// A commit point at which something else is live than caches, counters and the residual after a layer.
    #[error(
        "commit point {segment}: slot {slot} of what is live there is neither an output nor a layer's residual"
    )]
    Live {
        /// The commit point.
        segment: usize,
        /// The slot.
        slot: usize,
    },
    /// A prompt that the model cannot take.
    #[error("a prompt of {tokens} tokens: the model takes 1 to {most}")]
    Prompt {
        /// Its tokens.
        tokens: usize,
        /// Positions of the model.
        most: usize,
    },
    /// More tokens claimed than a run has, or a number of steps that none has.
    #[error("{steps} steps: a run has 1 to {most}")]
    Steps {
        /// Steps asked for.
        steps: usize,
        /// Positions of the model.
        most: usize,
    },
    /// The cache of keys and values has no room.
    #[error("the cache is full: {needed} more pages of {page} positions needed, {available} left")]
    CacheFull {
        /// Pages needed.
        needed: usize,
        /// Pages left.
        available: usize,
        /// Positions of a page.
        page: usize,
    },
    /// Tokens that are not those of the run they are said to be of.
    #[error("token {} is {}, not {}", .0.index, .0.sampled, .0.claimed)]
    Claim(Difference),
    /// A segment that could not be run node by node.
    #[error(transparent)]
    Retrace(Box<EngineError>),
    /// A sequence of another engine.
    #[error("the sequence was opened by another engine")]
    Foreign,
    /// A trace that cannot be built.
    #[error(transparent)]
    Trace(#[from] TraceError),
}
