//! The arithmetic step that a dispute comes down to.

use gavel_dispute::appeal::{Case, Execution, Explanation, explain};
use gavel_trace::Evidence;

use crate::appeal::of_evidence;

/// The step at which the provider's output goes wrong, computed from a file whose openings hold: in the batch that the
/// contract has executed, else in the last one of the element's run that does arithmetic. `None` for a copy in a live
/// slot, and where nobody has shown the element that is wrong.
pub fn deciding_step(evidence: &Evidence) -> Option<Explanation> {
    let claimed = evidence.element.as_ref()?;
    let (element, value) = (claimed.element, claimed.value()?);
    let Case::Operator(case) = of_evidence(evidence)? else {
        return None;
    };
    if let Some(batch) = claimed.batch {
        return explain(&case, element, batch, value);
    }
    let batches = Execution::new(&case, element)?.batches();
    let explained = |batch| explain(&case, element, batch, value);
    let arithmetic = (0..batches)
        .rev()
        .map(explained)
        .find(|found| found.as_ref().is_none_or(|e| !e.arithmetic.is_empty()));
    // a copy, say, does none
    arithmetic.unwrap_or_else(|| explained(batches.checked_sub(1)?))
}
