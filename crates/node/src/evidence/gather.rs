//! Evidence of a dispute on the chain: what its logs hold, joined with what a party knows.

use gavel_trace::Evidence;

use super::{BuildError, DisputeFacts, Sources, build};
use crate::{Board, Committed, NodeError, Party, game};

/// The evidence of a dispute that got as far as one place, open or closed. `None` before that, and where the party
/// cannot run the task.
///
/// # Errors
/// The chain or the blobs fail; something of the provider's run is not known here.
pub async fn gather(party: &Party, board: &Board, id: u64) -> Result<Option<Evidence>, NodeError> {
    let isolated = board.dispute(id).filter(|d| d.isolated_at != 0);
    let Some(dispute) = isolated else {
        return Ok(None);
    };
    let Some(run) = party.run_of(board, dispute.task).await? else {
        return Ok(None);
    };
    let rows = game::rows_to_place(board, id);
    let posted = game::segment_rows(board, id);
    let facts = DisputeFacts::of(board, id, &rows).ok_or(BuildError::Unknown {
        what: "the level-1 root",
    })?;
    let result = facts.commitment.trace_root;
    let blobs = &party.blobs;
    let committed = blobs.segment(&result, &run.model, &facts.segment).await?;
    let committed = committed.or_else(|| {
        let posted = posted?;
        Committed::from_rows(
            &run.model,
            &facts.segment,
            &posted.ops_row,
            &posted.live_row,
        )
    });
    let sources = Sources {
        executor: party.executor.as_ref(),
        run: &run,
        rows: &rows,
        committed: committed.as_ref(),
        appeal: board.disputes.get(&id).map(|entry| &entry.appeal),
    };
    Ok(Some(build(&facts, &sources)?))
}
