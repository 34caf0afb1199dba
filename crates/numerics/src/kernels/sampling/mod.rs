//! From logits to the next token: penalties, temperature and truncation, the draw, and the bookkeeping of a step.

mod filter;
mod params;
mod penalties;
mod sample;
mod step;

pub use filter::filter;
pub use params::{PARAMETERS, SamplingParams};
pub use penalties::penalties;
pub use sample::sample;
pub use step::{appended_at, stop};
