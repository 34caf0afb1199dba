//! A party's part in a dispute: from the board to one call of the court.

use gavel_dispute::{
    GameView, IsolateDirect, Knowledge, Move, Phase, Policy, PostSegment, Role, decide,
};
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::ICourt;
use gavel_trace::{Digest, FineIndex, FineTrace, MerkleTree, Opening, SegmentEntry};

use crate::board::{Dispute, DisputeState, confirm};
use crate::role::Attempts;
use crate::{Act, B256, Board, Committed, NodeError, Party, RunKnowledge, RunRecord, appeal, game};

/// Makes the party's next move in a dispute, if it has one.
///
/// # Errors
/// The chain, the blobs or the model fail.
pub async fn play(
    party: &Party,
    board: &Board,
    dispute: u64,
    role: Role,
    policy: &Policy,
) -> Result<Option<Act>, NodeError> {
    let state = board.dispute(dispute).map(|d| d.state);
    if state == Some(DisputeState::Appealed) {
        return appeal::play(party, board, dispute).await;
    }
    match next_move(party, board, dispute, role, policy).await? {
        Some(next) => send(party, board, dispute, next).await,
        None => Ok(None),
    }
}

/// The move that [`play`] would make, as a person would say it.
///
/// # Errors
/// As [`play`].
pub async fn planned(
    party: &Party,
    board: &Board,
    dispute: u64,
    role: Role,
    policy: &Policy,
) -> Result<Option<String>, NodeError> {
    let state = board.dispute(dispute).map(|d| d.state);
    if state == Some(DisputeState::Appealed) {
        return appeal::planned(party, board, dispute).await;
    }
    let next = next_move(party, board, dispute, role, policy).await?;
    Ok(next.map(|next| said(&next, dispute)))
}

/// Makes a move in the first dispute about the party's results that waits for one.
///
/// # Errors
/// As [`play`].
pub async fn defend(
    party: &Party,
    board: &Board,
    policy: &Policy,
) -> Result<Option<Act>, NodeError> {
    let me = party.address();
    let mut attempts = Attempts::default();
    for (id, _) in board
        .open_disputes()
        .filter(|(_, entry)| entry.dispute.provider == me)
    {
        let outcome = play(party, board, id, Role::Provider, policy).await;
        if let Some(act) = attempts.act(outcome) {
            return Ok(Some(act));
        }
    }
    attempts.nothing()
}

/// What the party does next in a dispute; it runs the model only where its knowledge is asked for.
pub(crate) async fn next_move(
    party: &Party,
    board: &Board,
    id: u64,
    role: Role,
    policy: &Policy,
) -> Result<Option<Move>, NodeError> {
    let (Some(view), Some(dispute)) = (game::view(board, id), board.dispute(id)) else {
        return Ok(None);
    };
    let now = board.now();
    let open_to_all = decide(&view, role, &Nothing, policy, now);
    if open_to_all.is_some() || !takes_knowledge(&view, role) {
        return Ok(open_to_all);
    }
    let Some(run) = party.run_of(board, dispute.task).await? else {
        return Ok(None);
    };
    let committed = committed(party, board, id, &view, &run).await?;
    let knowledge = RunKnowledge::new(party.executor.as_ref(), run);
    let knowledge = match &committed {
        Some(committed) => knowledge.with_committed(committed),
        None => knowledge,
    };
    let rows = game::rows_to_place(board, id);
    let knowledge = match role {
        Role::Referee => knowledge.judging(&rows),
        _ => knowledge,
    };
    Ok(decide(&view, role, &knowledge, policy, now))
}

/// Whether this is a moment at which what the party computes may decide.
fn takes_knowledge(view: &GameView, role: Role) -> bool {
    match (&view.phase, view.turn()) {
        (_, Some((side, _))) => role.side() == Some(side),
        (Phase::Refereed { .. }, _) => role == Role::Referee,
        (Phase::Ruled { .. }, _) => role.side().is_some(),
        _ => false,
    }
}

/// What is known of the provider's own run in the segment: what it shows, where that holds, else its root rows.
async fn committed(
    party: &Party,
    board: &Board,
    id: u64,
    view: &GameView,
    run: &RunRecord,
) -> Result<Option<Committed>, NodeError> {
    let judged = matches!(view.phase, Phase::Refereed { .. } | Phase::Ruled { .. });
    let (Some(segment), true) = (&view.segment, judged) else {
        return Ok(None);
    };
    let result = board
        .dispute(id)
        .and_then(|dispute| game::result_of(board, dispute));
    if let Some(result) = result {
        let blobs = &party.blobs;
        let shown = blobs
            .segment(&result.trace_root, &run.model, segment)
            .await?;
        if shown.is_some() {
            return Ok(shown);
        }
    }
    Ok(game::segment_rows(board, id)
        .and_then(|rows| Committed::from_rows(&run.model, segment, &rows.ops_row, &rows.live_row)))
}

/// Sends a move to the court. With its segment a provider shows the tensors.
pub(crate) async fn send(
    party: &Party,
    board: &Board,
    id: u64,
    next: Move,
) -> Result<Option<Act>, NodeError> {
    let (court, dispute_id) = (board.contracts.court, U256::from(id));
    let said = said(&next, id);
    if matches!(
        next,
        Move::Rule { .. } | Move::RuleEarlier { .. } | Move::Appeal
    ) {
        confirm::dispute(party, board, id).await?;
    }
    let party = &party.until(deadline(board, id, &next));
    match next {
        Move::RevealRow { node, row } => {
            let call = ICourt::revealRowCall {
                disputeId: dispute_id,
                node: word(&node),
                row: words(&row),
            };
            party.act(board, court, call, said).await
        }
        Move::Pick { row, child } => {
            let call = ICourt::pickCall {
                disputeId: dispute_id,
                row: words(&row),
                childIndex: child,
            };
            party.act(board, court, call, said).await
        }
        Move::PostSegment(post) => {
            // Its clock does not wait for a blob store, so a failure there is reported after the move.
            let shown = match board.dispute(id) {
                Some(dispute) => show(party, board, dispute).await,
                None => Ok(()),
            };
            match party
                .act(board, court, post_segment(dispute_id, *post), said)
                .await?
            {
                Some(act) => Ok(Some(act)),
                None => shown.map(|()| None),
            }
        }
        Move::PickSegment {
            ops_row,
            live_row,
            live,
            child,
        } => {
            let call = ICourt::pickSegmentCall {
                disputeId: dispute_id,
                opsRow: words(&ops_row),
                liveRow: words(&live_row),
                live,
                childIndex: child,
            };
            party.act(board, court, call, said).await
        }
        Move::IsolateDirect(direct) => {
            let call = ICourt::isolateDirectCall {
                disputeId: dispute_id,
                proof: isolate_direct(*direct),
            };
            party.act(board, court, call, said).await
        }
        Move::ClaimTimeout => {
            let call = ICourt::claimTimeoutCall {
                disputeId: dispute_id,
            };
            party.act(board, court, call, said).await
        }
        Move::DrawReferee => {
            let call = ICourt::drawRefereeCall {
                disputeId: dispute_id,
            };
            party.act(board, court, call, said).await
        }
        Move::Rule { claimed, own } => {
            let call = ICourt::ruleCall {
                disputeId: dispute_id,
                claimedDigest: word(&claimed),
                ownDigest: word(&own),
            };
            party.act(board, court, call, said).await
        }
        Move::RuleEarlier {
            index,
            provider_digest,
            own,
            opening,
        } => {
            let call = ICourt::ruleEarlierCall {
                disputeId: dispute_id,
                index,
                providerDigest: word(&provider_digest),
                ownDigest: word(&own),
                proof: proof(Some(&opening)),
            };
            party.act(board, court, call, said).await
        }
        Move::RefereeTimeout => {
            let call = ICourt::refereeTimeoutCall {
                disputeId: dispute_id,
            };
            party.act(board, court, call, said).await
        }
        Move::Appeal => {
            let call = ICourt::appealCall {
                disputeId: dispute_id,
            };
            party.act(board, court, call, said).await
        }
        Move::Finalize => {
            let call = ICourt::finalizeCall {
                disputeId: dispute_id,
            };
            party.act(board, court, call, said).await
        }
        Move::CloseMoot => {
            let call = ICourt::closeMootCall {
                disputeId: dispute_id,
            };
            party.act(board, court, call, said).await
        }
    }
}

/// Last second for a move; none where any time will do.
fn deadline(board: &Board, id: u64, next: &Move) -> Option<u64> {
    let view = game::view(board, id)?;
    match (next, &view.phase) {
        (Move::Rule { .. } | Move::RuleEarlier { .. }, _) => {
            board.dispute(id).map(|d| d.referee_deadline)
        }
        (
            Move::Appeal,
            Phase::Ruled {
                appeal_deadline, ..
            },
        ) => Some(*appeal_deadline),
        (
            Move::RevealRow { .. }
            | Move::Pick { .. }
            | Move::PostSegment(_)
            | Move::PickSegment { .. }
            | Move::IsolateDirect(_),
            _,
        ) => view.turn().map(|(_, deadline)| deadline),
        _ => None,
    }
}

/// Stores the tensors of the disputed segment for whoever has to compute on them.
async fn show(party: &Party, board: &Board, dispute: &Dispute) -> Result<(), NodeError> {
    let (Some(run), Some(result)) = (
        party.run_of(board, dispute.task).await?,
        game::result_of(board, dispute),
    ) else {
        return Ok(());
    };
    let knowledge = RunKnowledge::new(party.executor.as_ref(), run);
    let shown = knowledge.show(dispute.leaf_index)?;
    party.blobs.put_segment(&result.trace_root, &shown).await
}

/// A move as a person would say it.
fn said(next: &Move, id: u64) -> String {
    match next {
        Move::RevealRow { row, .. } => {
            format!("reveals a row of {} in dispute {id}", row.len())
        }
        Move::Pick { child, .. } => format!("picks child {child} in dispute {id}"),
        Move::PostSegment(post) => {
            format!("posts segment {} in dispute {id}", post.segment.index)
        }
        Move::PickSegment {
            live: false, child, ..
        } => {
            format!("picks child {child} of the operators in dispute {id}")
        }
        Move::PickSegment {
            live: true, child, ..
        } => {
            format!("picks child {child} of the live slots in dispute {id}")
        }
        Move::IsolateDirect(_) => {
            format!("isolates the operator of dispute {id} by the provider's signature")
        }
        Move::ClaimTimeout => format!("claims the timeout in dispute {id}"),
        Move::DrawReferee => format!("draws the referee of dispute {id}"),
        Move::Rule { claimed, own } if claimed == own => {
            format!("rules in dispute {id}: the provider is right")
        }
        Move::Rule { .. } => format!("rules in dispute {id}: the provider is wrong"),
        Move::RuleEarlier { index, .. } => {
            format!("rules in dispute {id}: operator {index} before it differs already")
        }
        Move::RefereeTimeout => format!("reports the referee of dispute {id} as late"),
        Move::Appeal => format!("appeals the ruling in dispute {id}"),
        Move::Finalize => format!("finalizes dispute {id}"),
        Move::CloseMoot => format!("closes dispute {id}, which another verdict overtook"),
    }
}

fn post_segment(dispute: U256, post: PostSegment) -> ICourt::postSegmentCall {
    ICourt::postSegmentCall {
        disputeId: dispute,
        leaf: word(&post.leaf),
        previousLeaf: word(&post.previous_leaf),
        previousProof: proof(post.previous_opening.as_ref()),
        segment: segment_opening(&post.segment, &post.segment_opening),
        opsRow: words(&post.ops_row),
        liveRow: words(&post.live_row),
    }
}

fn isolate_direct(direct: IsolateDirect) -> ICourt::IsolateDirect {
    let (live, index) = match direct.place {
        FineIndex::Op(index) => (false, index),
        FineIndex::Live(index) => (true, index),
    };
    ICourt::IsolateDirect {
        leafIndex: direct.leaf_index,
        leaf: word(&direct.leaf),
        leafProof: proof(Some(&direct.leaf_opening)),
        previousLeaf: word(&direct.previous_leaf),
        previousProof: proof(direct.previous_opening.as_ref()),
        segment: segment_opening(&direct.segment, &direct.segment_opening),
        opsRoot: word(&direct.ops_root),
        signature: direct.signature.into(),
        live,
        index,
        claimedDigest: word(&direct.claimed),
        claimedProof: proof(Some(&direct.claimed_opening)),
    }
}

fn segment_opening(entry: &SegmentEntry, opening: &Opening) -> ICourt::SegmentOpening {
    ICourt::SegmentOpening {
        index: entry.index,
        firstNode: entry.first_node,
        opCount: entry.op_count,
        liveCount: entry.live_count,
        liveListRoot: word(&entry.live_list_root),
        proof: proof(Some(opening)),
    }
}

fn proof(opening: Option<&Opening>) -> Vec<B256> {
    opening.map_or_else(Vec::new, |opening| words(&opening.siblings))
}

fn words(digests: &[Digest]) -> Vec<B256> {
    digests.iter().map(word).collect()
}

pub(crate) fn word(digest: &Digest) -> B256 {
    B256::from(digest.0)
}

/// What a bystander knows.
struct Nothing;

impl Knowledge for Nothing {
    fn level1(&self) -> Option<&MerkleTree> {
        None
    }

    fn fine_trace(&self, _leaf_index: u64) -> Option<FineTrace> {
        None
    }

    fn segment(&self, _index: u32) -> Option<(SegmentEntry, Opening)> {
        None
    }
}
