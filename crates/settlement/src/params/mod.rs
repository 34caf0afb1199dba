//! The protocol's numbers before they are deployed: as a file, and what the contracts say to them.

mod check;
mod file;

pub use check::{ParamsError, ParamsRefusal, check, refusal};
pub use file::{ParamsFile, Tokens};
