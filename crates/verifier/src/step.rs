//! The arithmetic step that a dispute comes down to.

use gavel_dispute::appeal::{Case, Execution, Explanation, explain, last_batch};
use gavel_trace::{Evidence, TensorHeader};
use serde::Serialize;

use crate::of_evidence;

/// Why a file shows no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoStep {
    /// No element is named, or what is isolated is a copy.
    #[error("the file names no element of the output")]
    Unnamed,
    /// Of another shape the element is another number.
    #[error("the claimed output has another shape than the operator's")]
    Shape,
    /// More steps than the reader takes.
    #[error("the element's run is longer than this reader goes through")]
    TooLong,
    /// A batch that the element's run does not have.
    #[error("the element's run has no such batch")]
    Batch,
    /// Nothing is wrong with the element.
    #[error("the named element is what the operator gives")]
    Right,
}

/// The step at which the provider's output goes wrong, computed from a file whose openings hold: in the batch that the
/// contract has executed, else in the last one of the element's run that does arithmetic.
///
/// # Errors
/// Why it shows none: a file may name any element and any batch.
pub fn find_step(evidence: &Evidence, batches: u64) -> Result<Explanation, NoStep> {
    let claimed = evidence.element.as_ref().ok_or(NoStep::Unnamed)?;
    let Some(Case::Operator(case)) = of_evidence(evidence) else {
        return Err(NoStep::Unnamed);
    };
    let model = TensorHeader::new(case.node.dtype, case.node.dims.clone());
    if model.ok().as_ref() != Some(&claimed.header) {
        return Err(NoStep::Shape);
    }
    let value = claimed.value().ok_or(NoStep::Unnamed)?;
    let execution = Execution::within(&case, claimed.element, batches).ok_or(NoStep::TooLong)?;
    if execution.value() == value {
        return Err(NoStep::Right);
    }
    let batch = match claimed.batch {
        Some(executed) => executed,
        None => last_batch(&case, &execution),
    };
    explain(&case, &execution, batch, value).ok_or(NoStep::Batch)
}

/// [`find_step`] for whoever does not ask why there is none.
pub fn deciding_step(evidence: &Evidence, batches: u64) -> Option<Explanation> {
    find_step(evidence, batches).ok()
}

/// A step for programs; bits in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step in words.
    pub words: String,
    /// Flat index of the element in the output.
    pub element: u64,
    /// Its place along each axis.
    pub coordinates: Vec<u64>,
    /// Number of the batch of its run, from 0.
    pub batch: u64,
    /// Block of a C256 sum.
    pub block: Option<u64>,
    /// Term of a C256 sum.
    pub tap: Option<u64>,
    /// First value of a quantised group, and the one after its last.
    pub values: Option<[u64; 2]>,
    /// What was executed.
    pub instruction: String,
    /// Its operands.
    pub operands: Vec<String>,
    /// What it gives.
    pub result: String,
    /// The element as claimed.
    pub claimed: String,
    /// The element as the program gives it.
    pub computed: String,
    /// Elements of the inputs that the batch reads.
    pub loads: Vec<LoadReport>,
    /// Element type of the output.
    pub dtype: u8,
}

/// An element of an input that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Position of the input.
    pub input: usize,
    /// Flat index of the element.
    pub element: u64,
    /// Its bits.
    pub bits: String,
}

impl From<&Explanation> for StepReport {
    fn from(step: &Explanation) -> StepReport {
        let hex = |bits: u64| format!("{bits:#x}");
        let loads = step.loads.iter().map(|load| LoadReport {
            input: load.input,
            element: load.element,
            bits: hex(load.bits),
        });
        StepReport {
            words: step.to_string(),
            element: step.element,
            coordinates: step.coordinates.clone(),
            batch: step.batch,
            block: step.block(),
            tap: step.tap,
            values: step.values.as_ref().map(|v| [v.start, v.end]),
            instruction: format!("{:?}", step.deciding.opcode),
            operands: step.deciding.operands.iter().copied().map(hex).collect(),
            result: hex(step.deciding.result),
            claimed: hex(step.claimed),
            computed: hex(step.value),
            loads: loads.collect(),
            dtype: step.dtype.id(),
        }
    }
}
