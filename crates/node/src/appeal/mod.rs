//! A party's part in an appeal: from the board to one call of the appeal levels.

mod calls;
mod case;

use gavel_dispute::appeal::{
    AppealMove, AppealOutcome as Outcome, AppealPhase as Phase, AppealRole, AppealView, ChunkClaim,
    Run, StepProof, decide_appeal,
};
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::bindings::{AppealOutcome, AppealPhase, ICourt};
use gavel_trace::Digest;

use crate::board::{AppealGame, DisputeEntry, DisputeState};
use crate::evidence::gather;
use crate::{Act, Address, Board, NodeError, Party, game};

pub(crate) use case::case;
pub use gavel_verifier::of_evidence;

/// Snapshot of the appeal that runs in a dispute, for [`decide_appeal`]; `None` where the board does not hold all of it.
pub fn view(board: &Board, id: u64) -> Option<AppealView> {
    let entry = board.disputes.get(&id)?;
    let (d, appeal) = (&entry.dispute, &entry.appeal);
    let game = appeal.game.as_ref()?;
    Some(AppealView {
        header: board.models.get(&board.task(d.task)?.model)?.header,
        segment: game::segment(d)?,
        place: game::place(d),
        claimed: d.claimed_digest,
        phase: phase(entry, game)?,
        deadline: game.deadline(),
        replay: game.replay,
    })
}

/// What an address is in the game of an appeal.
pub fn role_of(game: &AppealGame, address: &Address) -> AppealRole {
    if game.defender == *address {
        AppealRole::Defender
    } else if game.accuser == *address {
        AppealRole::Accuser
    } else {
        AppealRole::Bystander
    }
}

fn phase(entry: &DisputeEntry, game: &AppealGame) -> Option<Phase> {
    let appeal = &entry.appeal;
    let claim = ChunkClaim {
        node: game.node,
        height: game.height,
        index: game.index,
    };
    let run = || Run {
        element: game.element,
        value: game.value,
        start: game.start,
        end: game.end,
        first_batch: game.first_batch,
        batches: (game.batches != 0).then_some(game.batches),
    };
    Some(match game.phase {
        AppealPhase::None => return None,
        AppealPhase::Slot => Phase::Slot,
        AppealPhase::Tensor => Phase::Tensor,
        AppealPhase::Row => Phase::Row { claim },
        AppealPhase::PickChunk => {
            let of_node =
                |row: &&crate::board::Row| row.node == claim.node && row.height == claim.height;
            Phase::PickChunk {
                claim,
                row: appeal.shown.rows.iter().rev().find(of_node)?.row.clone(),
            }
        }
        AppealPhase::Chunk => Phase::Chunk {
            node: game.node,
            index: game.index,
        },
        AppealPhase::PickElement => Phase::PickElement {
            index: game.index,
            chunk: appeal.shown.chunk.clone(),
        },
        AppealPhase::States => Phase::States { run: run() },
        AppealPhase::PickState => Phase::PickState {
            run: run(),
            states: appeal.states.clone(),
        },
        AppealPhase::Step => Phase::Step { run: run() },
        AppealPhase::Ended => Phase::Ended(match game.outcome {
            AppealOutcome::Guilty => Outcome::Guilty,
            AppealOutcome::Cleared => Outcome::Cleared,
            AppealOutcome::Void => Outcome::Void,
            AppealOutcome::Pending => return None,
        }),
    })
}

/// Makes the party's next move in an appealed dispute, if it has one; brings the outcome back to the court.
///
/// # Errors
/// The chain, the blobs or the model fail; the party does not know enough of the provider's run.
pub(crate) async fn play(party: &Party, board: &Board, id: u64) -> Result<Option<Act>, NodeError> {
    let Some(entry) = board.disputes.get(&id) else {
        return Ok(None);
    };
    let (Some(view), Some(game)) = (view(board, id), &entry.appeal.game) else {
        return Ok(None);
    };
    if entry.dispute.state != DisputeState::Appealed {
        return Ok(None);
    }
    if matches!(view.phase, Phase::Ended(_)) {
        let (court, dispute_id) = (board.contracts.court, U256::from(id));
        let what = brings_outcome(id);
        // another verdict may have ended the attempt meanwhile; the ruling is judged all the same
        return match board.is_moot(&entry.dispute) {
            true => {
                let call = ICourt::closeMootCall {
                    disputeId: dispute_id,
                };
                party.act(board, court, call, what).await
            }
            false => {
                let call = ICourt::finalizeCall {
                    disputeId: dispute_id,
                };
                party.act(board, court, call, what).await
            }
        };
    }
    match next_move(party, board, id, &view, game).await? {
        Some(next) => send(party, board, id, next).await,
        None => Ok(None),
    }
}

/// What [`play`] would do, as a person would say it.
pub(crate) async fn planned(
    party: &Party,
    board: &Board,
    id: u64,
) -> Result<Option<String>, NodeError> {
    let game = (board.disputes.get(&id)).and_then(|entry| entry.appeal.game.as_ref());
    let (Some(view), Some(game)) = (view(board, id), game) else {
        return Ok(None);
    };
    if matches!(view.phase, Phase::Ended(_)) {
        return Ok(Some(brings_outcome(id)));
    }
    let next = next_move(party, board, id, &view, game).await?;
    Ok(next.map(|next| said(&next, id)))
}

fn brings_outcome(id: u64) -> String {
    format!("brings the appeal's outcome in dispute {id} to the court")
}

async fn next_move(
    party: &Party,
    board: &Board,
    id: u64,
    view: &AppealView,
    game: &AppealGame,
) -> Result<Option<AppealMove>, NodeError> {
    let role = role_of(game, &party.address());
    let now = board.now();
    Ok(match decide_appeal(view, role, None, now) {
        None if takes_case(view, role) && now <= view.deadline => {
            let case = match gather(party, board, id).await? {
                Some(evidence) => case(party, board, id, &evidence, role).await?,
                None => None,
            };
            decide_appeal(view, role, case.as_ref(), now)
        }
        open_to_all => open_to_all,
    })
}

/// Whether this is a moment at which what the party computes may decide: its turn, or a move that is anybody's.
fn takes_case(view: &AppealView, role: AppealRole) -> bool {
    let executes = matches!(
        view.phase,
        Phase::Slot | Phase::States { .. } | Phase::Step { .. }
    );
    role != AppealRole::Bystander && (executes || view.turn() == Some(role))
}

/// Sends a move to the appeal levels.
async fn send(
    party: &Party,
    board: &Board,
    id: u64,
    next: AppealMove,
) -> Result<Option<Act>, NodeError> {
    let said = said(&next, id);
    let (levels, court, dispute) = (
        board.contracts.appeal_levels,
        board.contracts.court,
        U256::from(id),
    );
    let appeal = board.disputes.get(&id).map(|entry| &entry.appeal);
    let deadline = appeal
        .and_then(|a| a.game.as_ref())
        .map(AppealGame::deadline);
    let party = &party.until(deadline.filter(|_| !matches!(next, AppealMove::ClaimTimeout)));
    match next {
        AppealMove::OpenTensor(open) => {
            let call = calls::open_tensor(court, dispute, *open);
            party.act(board, levels, call, said).await
        }
        AppealMove::RevealRow { node, row } => {
            let call = calls::reveal_row(court, dispute, node, &row);
            party.act(board, levels, call, said).await
        }
        AppealMove::PickChunk { row, child } => {
            let call = calls::pick_chunk(court, dispute, &row, child);
            party.act(board, levels, call, said).await
        }
        AppealMove::RevealChunk { node, chunk } => {
            let call = calls::reveal_chunk(court, dispute, node, chunk);
            party.act(board, levels, call, said).await
        }
        AppealMove::PickElement { chunk, within } => {
            let call = calls::pick_element(court, dispute, chunk, within);
            party.act(board, levels, call, said).await
        }
        AppealMove::RevealStates {
            end,
            batches,
            states,
        } => {
            let call = calls::reveal_states(court, dispute, end, batches, &states);
            party.act(board, levels, call, said).await
        }
        AppealMove::PickState { states, part } => {
            let call = calls::pick_state(court, dispute, &states, part);
            party.act(board, levels, call, said).await
        }
        AppealMove::Step { end, proof } => {
            let call = calls::step(court, dispute, end, *proof);
            party.act(board, levels, call, said).await
        }
        AppealMove::ResolveSlot { claimed, proof } => {
            let call = calls::resolve_slot(court, dispute, claimed, *proof);
            party.act(board, levels, call, said).await
        }
        AppealMove::ClaimTimeout => {
            let call = calls::claim_timeout(court, dispute);
            party.act(board, levels, call, said).await
        }
    }
}

/// Calldata of an executed batch.
pub fn step_calldata(court: Address, id: u64, end: Digest, proof: StepProof) -> Vec<u8> {
    calls::step(court, U256::from(id), end, proof).abi_encode()
}

/// A move as a person would say it.
fn said(next: &AppealMove, id: u64) -> String {
    let what = match next {
        AppealMove::OpenTensor(_) => "opens the output that it stands by".to_owned(),
        AppealMove::RevealRow { row, .. } => {
            format!("reveals a row of {} chunk digests", row.len())
        }
        AppealMove::PickChunk { child, .. } => format!("picks child {child} of the chunks"),
        AppealMove::RevealChunk { chunk, .. } => format!("shows a chunk of {} bytes", chunk.len()),
        AppealMove::PickElement { within, .. } => format!("picks element {within} of the chunk"),
        AppealMove::RevealStates { states, .. } => format!("gives {} states", states.len()),
        AppealMove::PickState { part, .. } => format!("picks part {part} of the steps"),
        AppealMove::Step { .. } => "has the contract execute a batch of steps".to_owned(),
        AppealMove::ResolveSlot { .. } => "shows what the live slot copies".to_owned(),
        AppealMove::ClaimTimeout => "claims the timeout".to_owned(),
    };
    format!("{what} in the appeal of dispute {id}")
}
