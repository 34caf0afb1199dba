//! Evidence of a dispute on the chain: what its logs hold, joined with what a party knows.

use gavel_settlement::bindings::ICourt::ICourtEvents;
use gavel_settlement::{Network, ProtocolEvent};
use gavel_trace::{Digest, Evidence};

use super::{BuildError, DisputeFacts, Sources, build, rows_of_segment};
use crate::board::Row;
use crate::{Board, Committed, NodeError, Party, U256, game};

/// Blocks asked for in one request: what public nodes accept.
const BLOCKS_AT_ONCE: u64 = 2_000;

/// The evidence of a dispute that got as far as one place, open or closed. `None` before that, and where the party
/// cannot run the task.
///
/// # Errors
/// The chain or the blobs fail; something of the provider's run is not known here.
pub async fn gather(party: &Party, board: &Board, id: u64) -> Result<Option<Evidence>, NodeError> {
    let isolated = board.dispute(id).filter(|d| d.isolated_at != 0);
    let Some((dispute, task)) = isolated.and_then(|d| Some((d, board.task(d.task)?))) else {
        return Ok(None);
    };
    let Some(run) = party.run_of(board, dispute.task).await? else {
        return Ok(None);
    };
    let mut rows = revealed(party.account.network(), board, id).await?;
    let posted = game::segment_rows(board, id);
    if let (Some(posted), Some(model)) = (posted, board.models.get(&task.model)) {
        rows.extend(rows_of_segment(&model.header, dispute.leaf, posted));
    }
    let facts = DisputeFacts::of(board, id, &rows).ok_or(BuildError::Unknown {
        what: "the level-1 root",
    })?;
    let result = facts.commitment.trace_root;
    let shown = party.blobs.segment(&result, facts.segment.leaf_index).await;
    let shown = match shown {
        Err(NodeError::Blob { .. }) => None,
        other => other?,
    };
    let committed = shown.and_then(|shown| shown.check(&run.model, &facts.segment));
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
    };
    Ok(Some(build(&facts, &sources)?))
}

/// The rows that were revealed in a dispute and in those that led to it.
async fn revealed(network: &Network, board: &Board, id: u64) -> Result<Vec<Row>, NodeError> {
    let disputes: Vec<U256> = game::ancestry(board, id)
        .map(|(id, _)| U256::from(id))
        .collect();
    let mut rows = Vec::new();
    let mut from = network.deployment().deploy_block;
    while from <= board.head.number {
        let to = (board.head.number).min(from.saturating_add(BLOCKS_AT_ONCE - 1));
        for logged in network.logs(from, to).await? {
            if let ProtocolEvent::Court(ICourtEvents::RowRevealed(e)) = logged.event
                && disputes.contains(&e.disputeId)
            {
                rows.push(Row {
                    node: Digest(e.node.0),
                    height: e.height,
                    row: e.row.iter().map(|node| Digest(node.0)).collect(),
                });
            }
        }
        from = to + 1;
    }
    Ok(rows)
}
