//! The arithmetic step that a dispute comes down to.

use gavel_dispute::appeal::{Case, Execution, Explanation, explain, last_batch};
use gavel_trace::{Evidence, TensorHeader};

use crate::appeal::of_evidence;

/// The step at which the provider's output goes wrong, computed from a file whose openings hold: in the batch that the
/// contract has executed, else in the last one of the element's run that does arithmetic.
///
/// `None` for a copy in a live slot; where nobody has shown an element that is wrong; and where its run takes more than
/// `batches`.
pub fn deciding_step(evidence: &Evidence, batches: u64) -> Option<Explanation> {
    let claimed = evidence.element.as_ref()?;
    let Case::Operator(case) = of_evidence(evidence)? else {
        return None;
    };
    // of another shape the element is another number
    let model = TensorHeader::new(case.node.dtype, case.node.dims.clone()).ok()?;
    if claimed.header != model {
        return None;
    }
    let execution = Execution::within(&case, claimed.element, batches)?;
    let batch = match claimed.batch {
        Some(executed) => executed,
        None => last_batch(&case, &execution),
    };
    // a file may name any element, also one that is right
    explain(&case, &execution, batch, claimed.value()?).filter(|step| step.value != step.claimed)
}
