//! The court's game in memory: the contract's checks, its clocks and its refusals, without money.

use crate::{
    Claim, GameView, IsolateDirect, Move, Outcome, Phase, PostSegment, Role, SegmentFacts, Side,
    Tree,
    appeal::AppealOutcome,
    rules::{previous_opens, segment_opens},
};
use gavel_trace::{Digest, FineIndex, ModelHeader, ROW_LEVELS, fold, row_len};

/// What a dispute opens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourtSetup {
    /// Header of the task's model.
    pub model: ModelHeader,
    /// Steps that the provider committed.
    pub steps: u32,
    /// The task's input digest.
    pub input_digest: Digest,
    /// The provider's level-1 root.
    pub level1_root: Digest,
    /// Seconds that each side has.
    pub clock_budget: u32,
    /// Seconds that a side gains per own move, up to the budget.
    pub clock_increment: u32,
    /// Seconds that a referee has.
    pub referee_seconds: u32,
    /// Seconds of the appeal window.
    pub appeal_window: u32,
    /// Rulings on an earlier operator in one dispute.
    pub max_earlier: u8,
}

/// Why the court refused a move. A refused move changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The dispute is closed.
    #[error("the dispute is over")]
    Over,
    /// The phase or the mover does not admit this move.
    #[error("not this party's move now")]
    NotYours,
    /// The mover's clock or deadline has passed.
    #[error("too late")]
    TooLate,
    /// Nobody is late.
    #[error("too early")]
    TooEarly,
    /// The move answers another claim than the one that stands.
    #[error("answers another claim")]
    OtherClaim,
    /// A row of the wrong length, or one that does not fold.
    #[error("row does not fold to the claim")]
    Row,
    /// An index outside its row or segment.
    #[error("index out of range")]
    Range,
    /// An opening that does not hold.
    #[error("opening does not hold")]
    Opening,
    /// A batch that does not end the machine, where it has to.
    #[error("the machine has not ended in this batch")]
    Unfinished,
    /// Something that a batch reads and that was not shown.
    #[error("the batch reads what is not shown")]
    Unshown,
}

/// One dispute.
///
/// The referee's draw, signatures and the appeal levels lie outside: a draw takes effect at once,
/// signatures are the caller's to check, an appealed dispute is played by
/// [`AppealModel`](crate::appeal::AppealModel), whose outcome comes back by [`CourtModel::end_appeal`].
#[derive(Clone, Debug)]
pub struct CourtModel {
    setup: CourtSetup,
    view: GameView,
    clocks: [u64; 2],
    turn_started: u64,
    moves: u32,
    earlier_rulings: u8,
    /// Where the challenger's game ended, once it has.
    isolated: Option<(FineIndex, Digest)>,
    /// What is appealed.
    appealed: Option<Appealed>,
}

/// A ruling in the hands of the appeal levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appealed {
    /// The place that was ruled on.
    pub place: FineIndex,
    /// The provider's digest there.
    pub claimed: Digest,
    /// Whether the ruling was against the provider.
    pub guilty: bool,
    /// The accuser is the referee, not the challenger.
    pub earlier: bool,
}

impl CourtModel {
    /// Opens a dispute.
    pub fn open(setup: CourtSetup, now: u64) -> Self {
        let budget = u64::from(setup.clock_budget);
        let mut court = CourtModel {
            view: GameView {
                model: setup.model,
                steps: setup.steps,
                input_digest: setup.input_digest,
                level1_root: setup.level1_root,
                segment: None,
                phase: Phase::Closed(Outcome::Void),
                earlier_left: setup.max_earlier > 0,
                moot: false,
            },
            setup,
            clocks: [budget; 2],
            turn_started: now,
            moves: 0,
            earlier_rulings: 0,
            isolated: None,
            appealed: None,
        };
        let claim = court.view.level1_claim();
        court.descend(claim, now);
        court
    }

    /// What the chain shows.
    pub fn view(&self) -> &GameView {
        &self.view
    }

    /// Game moves accepted so far.
    pub fn moves(&self) -> u32 {
        self.moves
    }

    /// What the appeal levels are to judge.
    pub fn appealed(&self) -> Option<Appealed> {
        self.appealed
    }

    /// Takes the appeal levels' outcome for the ruling.
    ///
    /// # Errors
    /// [`Refused::NotYours`] where nothing is appealed.
    pub fn end_appeal(&mut self, outcome: AppealOutcome) -> Result<(), Refused> {
        let appealed = self.appealed.take().ok_or(Refused::NotYours)?;
        match outcome {
            AppealOutcome::Guilty => self.close(Outcome::Upheld),
            // a lie about an earlier operator does not take the challenger's claim out of court
            AppealOutcome::Cleared if appealed.earlier => {
                let (place, claimed) = self.isolated.ok_or(Refused::NotYours)?;
                self.isolate(place, claimed);
                Ok(())
            }
            AppealOutcome::Cleared => self.close(Outcome::Cleared),
            AppealOutcome::Void => self.close(Outcome::Void),
        }
    }

    fn isolate(&mut self, place: FineIndex, claimed: Digest) {
        self.isolated = Some((place, claimed));
        self.view.phase = Phase::Isolated {
            place,
            claimed,
            beacon_ready: true,
        };
    }

    /// Applies a move by a party at a time. Anyone may move for the provider, as the rows
    /// authenticate themselves.
    pub fn apply(&mut self, by: Role, proposed: &Move, now: u64) -> Result<(), Refused> {
        if self.view.is_over() || self.view.phase == Phase::Appealed {
            return Err(Refused::Over);
        }
        let phase = self.view.phase.clone();
        match (proposed, phase) {
            (Move::ClaimTimeout, _) => self.claim_timeout(now),
            (Move::RevealRow { node, row }, Phase::Reveal { claim, .. }) => {
                self.in_time(now)?;
                if *node != claim.node {
                    return Err(Refused::OtherClaim);
                }
                if !claim.is_answered_by(row) {
                    return Err(Refused::Row);
                }
                let deadline = self.pass_turn(Side::Provider, now);
                self.view.phase = Phase::Pick {
                    claim,
                    row: row.clone(),
                    deadline,
                };
                Ok(())
            }
            (
                Move::Pick { row, child },
                Phase::Pick {
                    claim,
                    row: waiting,
                    ..
                },
            ) => {
                self.challenger_in_time(by, now)?;
                if *row != waiting {
                    return Err(Refused::OtherClaim);
                }
                let picked = claim
                    .child(row, usize::from(*child))
                    .ok_or(Refused::Range)?;
                self.pass_turn(Side::Challenger, now);
                self.descend(picked, now);
                Ok(())
            }
            (
                Move::PostSegment(post),
                Phase::SegmentWanted {
                    leaf_index, leaf, ..
                },
            ) => {
                self.in_time(now)?;
                self.post_segment(post, leaf_index, leaf, now)
            }
            (
                Move::PickSegment {
                    ops_row,
                    live_row,
                    live,
                    child,
                },
                Phase::PickSegment {
                    ops_row: ops,
                    live_row: lives,
                    ..
                },
            ) => {
                self.challenger_in_time(by, now)?;
                if (ops_row, live_row) != (&ops, &lives) {
                    return Err(Refused::OtherClaim);
                }
                let segment = self.view.segment.ok_or(Refused::NotYours)?;
                let model = &self.view.model;
                let (tree, node, height, row) = match live {
                    false => (Tree::Ops, segment.ops_root, model.ops_height, ops_row),
                    true => (Tree::Live, segment.leaf, model.live_height, live_row),
                };
                let root = Claim {
                    tree,
                    node,
                    height,
                    index: 0,
                };
                let picked = root.child(row, usize::from(*child)).ok_or(Refused::Range)?;
                self.pass_turn(Side::Challenger, now);
                self.descend(picked, now);
                Ok(())
            }
            (
                Move::IsolateDirect(direct),
                Phase::Reveal { claim, .. } | Phase::Pick { claim, .. },
            ) => {
                if by != Role::Challenger || claim != self.view.level1_claim() {
                    return Err(Refused::NotYours);
                }
                self.in_time(now)?;
                self.isolate_direct(direct)
            }
            (other, phase) => self.judge(by, other, phase, now),
        }
    }

    /// Moves after the isolation.
    fn judge(&mut self, by: Role, proposed: &Move, phase: Phase, now: u64) -> Result<(), Refused> {
        match (proposed, phase) {
            (Move::DrawReferee, Phase::Isolated { place, claimed, .. }) => {
                let deadline = now + u64::from(self.setup.referee_seconds);
                self.view.phase = Phase::Refereed {
                    place,
                    claimed,
                    deadline,
                };
                Ok(())
            }
            (
                Move::Rule { claimed, own },
                Phase::Refereed {
                    place,
                    claimed: disputed,
                    deadline,
                },
            ) => {
                if by != Role::Referee {
                    return Err(Refused::NotYours);
                }
                if now > deadline {
                    return Err(Refused::TooLate);
                }
                if *claimed != disputed {
                    return Err(Refused::OtherClaim);
                }
                let appeal_deadline = now + u64::from(self.setup.appeal_window);
                self.view.phase = Phase::Ruled {
                    place,
                    claimed: disputed,
                    ruled: *own,
                    earlier: false,
                    appeal_deadline,
                };
                Ok(())
            }
            (
                Move::RuleEarlier {
                    index,
                    provider_digest,
                    own,
                    opening,
                },
                Phase::Refereed {
                    place: FineIndex::Op(isolated),
                    deadline,
                    ..
                },
            ) => {
                let segment = self.view.segment.ok_or(Refused::NotYours)?;
                if by != Role::Referee {
                    return Err(Refused::NotYours);
                }
                if now > deadline {
                    return Err(Refused::TooLate);
                }
                if *index >= isolated || !self.view.earlier_left || own == provider_digest {
                    return Err(Refused::Range);
                }
                let height = self.view.model.ops_height;
                if opening.index != u64::from(*index)
                    || !opening.verify(height, provider_digest, &segment.ops_root)
                {
                    return Err(Refused::Opening);
                }
                self.earlier_rulings += 1;
                self.view.earlier_left = self.earlier_rulings < self.setup.max_earlier;
                self.view.phase = Phase::Ruled {
                    place: FineIndex::Op(*index),
                    claimed: *provider_digest,
                    ruled: *own,
                    earlier: true,
                    appeal_deadline: now + u64::from(self.setup.appeal_window),
                };
                Ok(())
            }
            (
                Move::RefereeTimeout,
                Phase::Refereed {
                    place,
                    claimed,
                    deadline,
                },
            ) => {
                if now <= deadline {
                    return Err(Refused::TooEarly);
                }
                self.isolate(place, claimed);
                Ok(())
            }
            (
                Move::Appeal,
                Phase::Ruled {
                    place,
                    claimed,
                    ruled,
                    earlier,
                    appeal_deadline,
                },
            ) => {
                let loser = if ruled == claimed {
                    Side::Challenger
                } else {
                    Side::Provider
                };
                if by.side() != Some(loser) {
                    return Err(Refused::NotYours);
                }
                if now > appeal_deadline {
                    return Err(Refused::TooLate);
                }
                self.appealed = Some(Appealed {
                    place,
                    claimed,
                    guilty: ruled != claimed,
                    earlier,
                });
                self.view.phase = Phase::Appealed;
                Ok(())
            }
            (
                Move::Finalize,
                Phase::Ruled {
                    claimed,
                    ruled,
                    appeal_deadline,
                    ..
                },
            ) => {
                if now <= appeal_deadline {
                    return Err(Refused::TooEarly);
                }
                self.close(if ruled == claimed {
                    Outcome::Cleared
                } else {
                    Outcome::Upheld
                })
            }
            _ => Err(Refused::NotYours),
        }
    }

    fn close(&mut self, outcome: Outcome) -> Result<(), Refused> {
        self.view.phase = Phase::Closed(outcome);
        Ok(())
    }

    fn in_time(&self, now: u64) -> Result<(), Refused> {
        match self.view.turn() {
            Some((_, deadline)) if now <= deadline => Ok(()),
            _ => Err(Refused::TooLate),
        }
    }

    fn challenger_in_time(&self, by: Role, now: u64) -> Result<(), Refused> {
        if by == Role::Challenger {
            self.in_time(now)
        } else {
            Err(Refused::NotYours)
        }
    }

    fn claim_timeout(&mut self, now: u64) -> Result<(), Refused> {
        match self.view.turn() {
            None => Err(Refused::NotYours),
            Some((_, deadline)) if now <= deadline => Err(Refused::TooEarly),
            Some((Side::Provider, _)) => self.close(Outcome::Upheld),
            Some((Side::Challenger, _)) => self.close(Outcome::Cleared),
        }
    }

    /// Charges the mover, gives it its increment, and returns the opponent's deadline.
    fn pass_turn(&mut self, mover: Side, now: u64) -> u64 {
        let (budget, gain) = (
            u64::from(self.setup.clock_budget),
            u64::from(self.setup.clock_increment),
        );
        let clock = &mut self.clocks[mover as usize];
        let used = now.saturating_sub(self.turn_started);
        *clock = (clock.saturating_sub(used) + gain).min(budget);
        self.turn_started = now;
        self.moves += 1;
        now + self.clocks[mover.other() as usize]
    }

    /// What a claim leads to: a reveal above the leaves, a verdict at padding, else the next level.
    fn descend(&mut self, claim: Claim, now: u64) {
        let deadline = now + self.clocks[Side::Provider as usize];
        if claim.height > 0 {
            self.view.phase = Phase::Reveal { claim, deadline };
            return;
        }
        let count = self.view.leaf_count(claim.tree).unwrap_or(0);
        if claim.index >= count {
            let guilty = !claim.node.is_zero();
            let outcome = if guilty {
                Outcome::Upheld
            } else {
                Outcome::Cleared
            };
            self.view.phase = Phase::Closed(outcome);
            return;
        }
        // Indices below a segment's counts fit 32 bits.
        let at = claim.index as u32;
        match claim.tree {
            Tree::Level1 => {
                self.view.phase = Phase::SegmentWanted {
                    leaf_index: claim.index,
                    leaf: claim.node,
                    deadline,
                }
            }
            Tree::Ops => self.isolate(FineIndex::Op(at), claim.node),
            Tree::Live => self.isolate(FineIndex::Live(at), claim.node),
        }
    }

    fn post_segment(
        &mut self,
        post: &PostSegment,
        leaf_index: u64,
        leaf: Digest,
        now: u64,
    ) -> Result<(), Refused> {
        let model = &self.view.model;
        if post.leaf != leaf {
            return Err(Refused::OtherClaim);
        }
        let lengths = post.ops_row.len() == row_len(model.ops_height)
            && post.live_row.len() == row_len(model.live_height);
        let ops_root = fold(&post.ops_row).map_err(|_| Refused::Row)?;
        if !lengths || fold(&post.live_row) != Ok(leaf) {
            return Err(Refused::Row);
        }
        let previous = post.previous_opening.as_ref();
        if !previous_opens(&self.view, leaf_index, &post.previous_leaf, previous)
            || !segment_opens(&self.view, leaf_index, &post.segment, &post.segment_opening)
        {
            return Err(Refused::Opening);
        }
        self.view.segment = Some(SegmentFacts {
            leaf_index,
            leaf,
            previous_leaf: post.previous_leaf,
            first_node: post.segment.first_node,
            op_count: post.segment.op_count,
            live_count: post.segment.live_count,
            ops_root,
        });
        let deadline = self.pass_turn(Side::Provider, now);
        let (ops_row, live_row) = (post.ops_row.clone(), post.live_row.clone());
        self.view.phase = Phase::PickSegment {
            ops_row,
            live_row,
            deadline,
        };
        Ok(())
    }

    fn isolate_direct(&mut self, direct: &IsolateDirect) -> Result<(), Refused> {
        let (view, model) = (&self.view, &self.view.model);
        let segment = &direct.segment;
        let (height, root, index, count) = match direct.place {
            FineIndex::Op(i) => (model.ops_height, &direct.ops_root, i, segment.op_count),
            FineIndex::Live(j) => (model.live_height, &direct.leaf, j, segment.live_count),
        };
        if index >= count || Some(direct.leaf_index) >= view.leaf_count(Tree::Level1) {
            return Err(Refused::Range);
        }
        let holds = direct.leaf_opening.index == direct.leaf_index
            && direct
                .leaf_opening
                .verify(model.trace_height, &direct.leaf, &view.level1_root)
            && direct.claimed_opening.index == u64::from(index)
            && direct.claimed_opening.verify(height, &direct.claimed, root)
            && previous_opens(
                view,
                direct.leaf_index,
                &direct.previous_leaf,
                direct.previous_opening.as_ref(),
            )
            && segment_opens(view, direct.leaf_index, segment, &direct.segment_opening);
        if !holds {
            return Err(Refused::Opening);
        }
        self.view.segment = Some(SegmentFacts {
            leaf_index: direct.leaf_index,
            leaf: direct.leaf,
            previous_leaf: direct.previous_leaf,
            first_node: segment.first_node,
            op_count: segment.op_count,
            live_count: segment.live_count,
            ops_root: direct.ops_root,
        });
        self.isolate(direct.place, direct.claimed);
        self.moves += 1;
        Ok(())
    }
}

const _: () = assert!(ROW_LEVELS == 4, "the court's rows have 16 children");
