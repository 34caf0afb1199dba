//! What a party knows of the isolated place, taken from the evidence that it can give.

use std::sync::Arc;

use gavel_dispute::appeal::{AppealRole, Case};
use gavel_engine::digest;
use gavel_numerics::Tensor;
use gavel_trace::{Evidence, FineIndex};
use gavel_verifier::of_evidence;

use crate::{Board, NodeError, Party};

/// The case of a party: on the inputs that the provider committed, with the output that its role makes it stand by.
///
/// # Errors
/// The party's own run cannot be had.
pub(crate) async fn case(
    party: &Party,
    board: &Board,
    id: u64,
    evidence: &Evidence,
    role: AppealRole,
) -> Result<Option<Case>, NodeError> {
    let mut case = of_evidence(evidence);
    // a provider stands by what it committed, right or not
    if let (Some(Case::Operator(operator)), AppealRole::Defender) = (&mut case, role)
        && let Some(claimed) = own_claim(party, board, id, evidence).await?
    {
        operator.output = claimed;
    }
    Ok(case)
}

/// The isolated operator's output in the party's own run, if that is what was claimed.
async fn own_claim(
    party: &Party,
    board: &Board,
    id: u64,
    evidence: &Evidence,
) -> Result<Option<Arc<Tensor>>, NodeError> {
    let (Some(dispute), FineIndex::Op(index)) = (board.dispute(id), evidence.isolated) else {
        return Ok(None);
    };
    let Some(run) = party.run_of(board, dispute.task).await? else {
        return Ok(None);
    };
    let fine = party.executor.fine(&run, evidence.leaf_index)?;
    let own = fine.tensors.get(index as usize);
    let own = own.filter(|own| digest(own) == evidence.claimed_digest);
    Ok(own.cloned())
}
