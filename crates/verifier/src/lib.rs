//! The verifier: what anybody can find out about a receipt or a dispute's evidence from the file alone.
//!
//! Pure: bytes in, values out; no chain, no network, no clock, no threads. `gavel verify` and the explorer's page (compiled to
//! WebAssembly, `crates/verifier-wasm`) are the same code. [`verify`] says of one file what it claims, what was checked, what was
//! found, and what it did not check.
//!
//! - [`SignedReceipt`], [`ReceiptFile`]: what a provider signed, with what it is about.
//! - [`ClientRequest`], [`recover`]: what a gateway's client signs, and whose key made a signature.
//! - [`judge`]: a dispute replayed, from the openings down to the operator; [`find_step`]: down to the arithmetic step.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod case;
mod check;
mod eip712;
mod judge;
mod outputs;
mod receipt;
mod report;
mod request;
mod step;
mod tensor;
mod verify;

pub use case::of_evidence;
pub use check::Check;
pub use eip712::{SignatureError, recover};
pub use judge::{JudgeError, JudgeLimits, Judgement, judge, judge_told};
pub use outputs::{Outputs, StoredOutput};
pub use receipt::{RECEIPT_FORMAT, ReceiptError, ReceiptFile, SignedReceipt};
pub use report::{Fact, FileKind, Liable, LiableParty, Report, Verdict};
pub use request::ClientRequest;
pub use step::{LoadReport, NoStep, StepReport, deciding_step, find_step};
pub use tensor::{ShownTensor, digest, read_tensor, recompute};
pub use verify::{Limits, verify};
