//! Runs language models: the same tokens, logits and trace as their step graph run node by node, at the speed of the
//! machine.
//!
//! - [`LanguageEngine`] has a model's packed weights, its own threads, and pages for the caches of many sequences.
//! - [`Sequence`]s advance in passes over rows of any mix of them: a prompt in chunks, or one position each.
//! - [`Scheduler`] runs sequences that come and go together.
//! - [`LanguageEngine::verify`] checks claimed tokens by one prefill over prompt and claim.
//! - [`LanguageEngine::fine_trace`] rebuilds any segment of any step for a dispute.
//!
//! Which rows share a pass, the threads and the instruction set change no bit.

mod engine;
mod error;
mod forward;
mod generate;
mod live;
mod pages;
mod phases;
mod products;
mod record;
mod sample;
mod schedule;
mod sequence;
mod weights;

pub use engine::{Advance, LanguageEngine, LanguageOptions};
pub use error::LanguageError;
pub use generate::{Generation, Verdict, Verification};
pub use phases::Phase;
pub use schedule::{Event, Scheduler};
pub use sequence::{Difference, Sequence, SequenceOptions};
