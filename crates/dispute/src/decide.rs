//! What a party does next.

use crate::{
    Claim, GameView, IsolateDirect, Knowledge, Move, Phase, PostSegment, SegmentFacts, Side, Tree,
    rules::{Situation, broken_rules},
};
use gavel_trace::{CommitPoint, Digest, FineIndex, FineTrace, MerkleTree, Opening};
use serde::{Deserialize, Serialize};

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The provider, or anyone who holds its trace.
    Provider,
    /// The challenger of this dispute.
    Challenger,
    /// The referee that was drawn for it.
    Referee,
    /// Anyone else, who only keeps the game moving.
    Bystander,
}

impl Role {
    /// The side of the game, where the role has one.
    pub fn side(self) -> Option<Side> {
        match self {
            Role::Provider => Some(Side::Provider),
            Role::Challenger => Some(Side::Challenger),
            Role::Referee | Role::Bystander => None,
        }
    }
}

/// What is left to a party's taste.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Appeal a ruling that contradicts the party's own recomputation.
    pub appeal: bool,
    /// Use the provider's signed fine traces to reach the operator in one move.
    pub isolate_direct: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            appeal: true,
            isolate_direct: true,
        }
    }
}

/// The party's next move, or `None` when it has nothing to do now. A move that would break one of
/// the [`crate::RULES`] is never returned.
pub fn decide(
    view: &GameView,
    role: Role,
    knowledge: &dyn Knowledge,
    policy: &Policy,
    now: u64,
) -> Option<Move> {
    let proposed = propose(view, role, knowledge, policy, now)?;
    let situation = Situation {
        view,
        role,
        proposed: &proposed,
        knowledge,
        now,
    };
    broken_rules(&situation).is_empty().then_some(proposed)
}

/// [`decide`] before the rules are applied: for tests and for players that want to see why not.
pub fn propose(
    view: &GameView,
    role: Role,
    knowledge: &dyn Knowledge,
    policy: &Policy,
    now: u64,
) -> Option<Move> {
    if view.is_over() || view.phase == Phase::Appealed || view.check().is_err() {
        return None;
    }
    if view.moot {
        return Some(Move::CloseMoot);
    }
    if let Some((side, deadline)) = view.turn() {
        if now > deadline {
            return (role.side() != Some(side)).then_some(Move::ClaimTimeout);
        }
        return match role {
            Role::Provider => provider(view, knowledge),
            Role::Challenger => challenger(view, knowledge, policy),
            Role::Referee | Role::Bystander => None,
        };
    }
    match &view.phase {
        Phase::Isolated { beacon_ready, .. } => beacon_ready.then_some(Move::DrawReferee),
        Phase::Refereed { deadline, .. } if now > *deadline => {
            (role != Role::Referee).then_some(Move::RefereeTimeout)
        }
        Phase::Refereed { place, claimed, .. } if role == Role::Referee => {
            referee(view, *place, *claimed, knowledge)
        }
        Phase::Ruled {
            appeal_deadline, ..
        } if now > *appeal_deadline => Some(Move::Finalize),
        Phase::Ruled {
            place,
            claimed,
            ruled,
            ..
        } => appeal(view, role, *place, *claimed, *ruled, knowledge, policy),
        _ => None,
    }
}

/// Opens the claims of the committed trace, level by level.
fn provider(view: &GameView, knowledge: &dyn Knowledge) -> Option<Move> {
    match &view.phase {
        Phase::Reveal { claim, .. } => {
            let row = match claim.tree {
                Tree::Level1 => knowledge.level1()?.row(claim.height, claim.index).ok()?,
                Tree::Ops => fine(view, knowledge)?
                    .ops()
                    .row(claim.height, claim.index)
                    .ok()?,
                Tree::Live => fine(view, knowledge)?
                    .live()
                    .row(claim.height, claim.index)
                    .ok()?,
            };
            Some(Move::RevealRow {
                node: claim.node,
                row,
            })
        }
        Phase::SegmentWanted {
            leaf_index, leaf, ..
        } => {
            let (previous_leaf, previous_opening) =
                previous(view, knowledge.level1()?, *leaf_index)?;
            let (segment, segment_opening) = segment_at(view, knowledge, *leaf_index)?;
            let fine = knowledge.fine_trace(*leaf_index)?;
            Some(Move::PostSegment(Box::new(PostSegment {
                leaf: *leaf,
                previous_leaf,
                previous_opening,
                segment,
                segment_opening,
                ops_row: fine.ops_row().ok()?,
                live_row: fine.live_row().ok()?,
            })))
        }
        _ => None,
    }
}

/// Disagrees with the leftmost thing that is wrong, and with nothing else.
fn challenger(view: &GameView, knowledge: &dyn Knowledge, policy: &Policy) -> Option<Move> {
    let at_root = match &view.phase {
        Phase::Reveal { claim, .. } | Phase::Pick { claim, .. } => *claim == view.level1_claim(),
        _ => false,
    };
    if at_root
        && policy.isolate_direct
        && let Some(direct) = isolate_direct(view, knowledge)
    {
        return Some(direct);
    }
    match &view.phase {
        Phase::Pick { claim, row, .. } => {
            let child = leftmost(row, &own_row(view, claim, knowledge)?)?;
            Some(Move::Pick {
                row: row.clone(),
                child,
            })
        }
        Phase::PickSegment {
            ops_row, live_row, ..
        } => {
            let own = fine(view, knowledge)?;
            let in_ops = leftmost(ops_row, &own.ops_row().ok()?);
            let (live, child) = match in_ops {
                Some(child) => (false, child),
                None => (true, leftmost(live_row, &own.live_row().ok()?)?),
            };
            let (ops_row, live_row) = (ops_row.clone(), live_row.clone());
            Some(Move::PickSegment {
                ops_row,
                live_row,
                live,
                child,
            })
        }
        _ => None,
    }
}

fn isolate_direct(view: &GameView, knowledge: &dyn Knowledge) -> Option<Move> {
    let (own, theirs) = (knowledge.level1()?, knowledge.provider_level1()?);
    if theirs.root() != view.level1_root || theirs.height() != view.model.trace_height {
        return None;
    }
    let count = view.leaf_count(Tree::Level1)?;
    let leaf_index = (0..count).find(|i| own.leaf(*i) != theirs.leaf(*i))?;
    let signed = knowledge.provider_signed(leaf_index)?;
    let leaf = theirs.leaf(leaf_index).ok()?;
    // A signature binds the ops root; the live tree must be that of the committed leaf.
    if signed.fine.live_root() != leaf {
        return None;
    }
    let place = signed
        .fine
        .first_difference(&knowledge.fine_trace(leaf_index)?)?;
    let (previous_leaf, previous_opening) = previous(view, theirs, leaf_index)?;
    let (segment, segment_opening) = segment_at(view, knowledge, leaf_index)?;
    Some(Move::IsolateDirect(Box::new(IsolateDirect {
        leaf_index,
        leaf,
        leaf_opening: theirs.open(leaf_index).ok()?,
        previous_leaf,
        previous_opening,
        segment,
        segment_opening,
        ops_root: signed.fine.ops_root(),
        signature: signed.signature,
        place,
        claimed: signed.fine.digest_at(place).ok()?,
        claimed_opening: signed.fine.open(place).ok()?,
    })))
}

/// Rules on the isolated place, or points at an earlier operator that the challenger passed over.
fn referee(
    view: &GameView,
    place: FineIndex,
    claimed: Digest,
    knowledge: &dyn Knowledge,
) -> Option<Move> {
    let segment = view.segment?;
    if let FineIndex::Op(isolated) = place
        && view.earlier_left
        && starts_alike(view, &segment, knowledge)
        && let Some(own) = knowledge.fine_trace(segment.leaf_index)
        && let Some(earlier) = earlier(&segment, isolated, &own, knowledge)
    {
        return Some(earlier);
    }
    let own = knowledge.output_on_committed_inputs(&segment, place)?;
    Some(Move::Rule { claimed, own })
}

/// Whether the party's own run enters the segment with what the provider committed. Where it does not, its operators differ
/// because their inputs do: somebody has passed over an earlier leaf, and that says nothing about an operator here.
pub(crate) fn starts_alike(
    view: &GameView,
    segment: &SegmentFacts,
    knowledge: &dyn Knowledge,
) -> bool {
    let before = match segment.leaf_index.checked_sub(1) {
        None => Some(view.input_digest),
        Some(index) => knowledge.level1().and_then(|own| own.leaf(index).ok()),
    };
    before == Some(segment.previous_leaf)
}

fn earlier(
    segment: &SegmentFacts,
    isolated: u32,
    own: &FineTrace,
    knowledge: &dyn Knowledge,
) -> Option<Move> {
    let theirs = knowledge.provider_fine(segment.leaf_index)?;
    if theirs.ops_root() != segment.ops_root {
        return None;
    }
    match theirs.first_difference(own)? {
        FineIndex::Op(index) if index < isolated => Some(Move::RuleEarlier {
            index,
            provider_digest: theirs.digest_at(FineIndex::Op(index)).ok()?,
            own: own.digest_at(FineIndex::Op(index)).ok()?,
            opening: theirs.open(FineIndex::Op(index)).ok()?,
        }),
        _ => None,
    }
}

/// The losing side appeals what its own recomputation contradicts.
fn appeal(
    view: &GameView,
    role: Role,
    place: FineIndex,
    claimed: Digest,
    ruled: Digest,
    knowledge: &dyn Knowledge,
    policy: &Policy,
) -> Option<Move> {
    let loser = if ruled == claimed {
        Side::Challenger
    } else {
        Side::Provider
    };
    if !policy.appeal || role.side() != Some(loser) {
        return None;
    }
    let own = knowledge.output_on_committed_inputs(&view.segment?, place)?;
    let right = match loser {
        Side::Provider => own == claimed,
        Side::Challenger => own != claimed,
    };
    right.then_some(Move::Appeal)
}

/// First place where two rows differ.
pub(crate) fn leftmost(theirs: &[Digest], own: &[Digest]) -> Option<u8> {
    let child = theirs.iter().zip(own).position(|(a, b)| a != b)?;
    u8::try_from(child).ok()
}

/// The party's own row at a claim of the provider's.
pub(crate) fn own_row(
    view: &GameView,
    claim: &Claim,
    knowledge: &dyn Knowledge,
) -> Option<Vec<Digest>> {
    match claim.tree {
        Tree::Level1 => knowledge.level1()?.row(claim.height, claim.index).ok(),
        Tree::Ops => fine(view, knowledge)?
            .ops()
            .row(claim.height, claim.index)
            .ok(),
        Tree::Live => fine(view, knowledge)?
            .live()
            .row(claim.height, claim.index)
            .ok(),
    }
}

/// The party's own fine trace of the disputed segment.
pub(crate) fn fine(view: &GameView, knowledge: &dyn Knowledge) -> Option<FineTrace> {
    knowledge.fine_trace(view.segment?.leaf_index)
}

fn previous(
    view: &GameView,
    tree: &MerkleTree,
    leaf_index: u64,
) -> Option<(Digest, Option<Opening>)> {
    match leaf_index.checked_sub(1) {
        None => Some((view.input_digest, None)),
        Some(index) => Some((tree.leaf(index).ok()?, Some(tree.open(index).ok()?))),
    }
}

fn segment_at(
    view: &GameView,
    knowledge: &dyn Knowledge,
    leaf_index: u64,
) -> Option<(gavel_trace::SegmentEntry, Opening)> {
    knowledge.segment(CommitPoint::at_leaf(leaf_index, view.model.commit_points)?.segment)
}
