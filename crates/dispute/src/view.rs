//! A dispute as the chain shows it: the state that a decision is made from.

use gavel_trace::{
    Digest, FineIndex, ModelHeader, ROW_LEVELS, TraceError, fold, height, row_len, zero_subtree,
};
use serde::{Deserialize, Serialize};

/// The two sides of the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Defends the committed trace.
    Provider,
    /// Says that it is wrong.
    Challenger,
}

impl Side {
    /// The opponent.
    pub fn other(self) -> Side {
        match self {
            Side::Provider => Side::Challenger,
            Side::Challenger => Side::Provider,
        }
    }
}

/// How a dispute ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider is guilty.
    Upheld,
    /// The provider is cleared.
    Cleared,
    /// Neither: bonds back.
    Void,
}

impl Outcome {
    /// The side that won, unless void.
    pub fn winner(self) -> Option<Side> {
        match self {
            Outcome::Upheld => Some(Side::Challenger),
            Outcome::Cleared => Some(Side::Provider),
            Outcome::Void => None,
        }
    }
}

/// The tree under dissection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    /// Live roots by (step, commit point).
    Level1,
    /// Operators of the disputed segment.
    Ops,
    /// Live slots at the end of the disputed segment.
    Live,
}

/// A node of the provider's tree that the challenger disagrees with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Tree that the node is in.
    pub tree: Tree,
    /// The node.
    pub node: Digest,
    /// Height above the leaves.
    pub height: u8,
    /// Index among the nodes of that height.
    pub index: u64,
}

impl Claim {
    /// Whether a row is the provider's answer to this claim.
    pub fn is_answered_by(&self, row: &[Digest]) -> bool {
        row.len() == row_len(self.height) && fold(row) == Ok(self.node)
    }

    /// The claim at a child of this one's row.
    pub fn child(&self, row: &[Digest], child: usize) -> Option<Claim> {
        let down = self.height.min(ROW_LEVELS);
        let node = *row.get(child)?;
        let index = (self.index << down).checked_add(child as u64)?;
        Some(Claim {
            tree: self.tree,
            node,
            height: self.height - down,
            index,
        })
    }

    /// Whether everything below lies at or after leaf `count`.
    pub fn is_padding(&self, count: u64) -> bool {
        u128::from(self.index) << self.height >= u128::from(count)
    }

    /// Whether this is a subtree without leaves.
    pub fn is_empty_subtree(&self) -> bool {
        self.node == zero_subtree(self.height)
    }
}

/// The disputed segment, once the provider has bound its fine trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentFacts {
    /// Disputed leaf of level 1.
    pub leaf_index: u64,
    /// The provider's live root there.
    pub leaf: Digest,
    /// The agreed live root before it, or the input digest.
    pub previous_leaf: Digest,
    /// First node of the segment.
    pub first_node: u32,
    /// Operators of the segment.
    pub op_count: u32,
    /// Live slots at its end.
    pub live_count: u32,
    /// Root over its operators.
    pub ops_root: Digest,
}

/// Where the game stands. Deadlines are the last second, in chain time, at which the side to move
/// still has a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The provider owes the row of a claim.
    Reveal {
        /// The claim to open.
        claim: Claim,
        /// End of the provider's clock.
        deadline: u64,
    },
    /// The challenger owes a pick from a row.
    Pick {
        /// The claim that the row opens.
        claim: Claim,
        /// The provider's row, from the chain's log.
        row: Vec<Digest>,
        /// End of the challenger's clock.
        deadline: u64,
    },
    /// The provider owes the fine trace of the segment that ends at a leaf.
    SegmentWanted {
        /// Disputed leaf.
        leaf_index: u64,
        /// The provider's live root there.
        leaf: Digest,
        /// End of the provider's clock.
        deadline: u64,
    },
    /// The challenger owes a pick from the two root rows of the fine trace.
    PickSegment {
        /// Row of the ops root.
        ops_row: Vec<Digest>,
        /// Row of the disputed leaf.
        live_row: Vec<Digest>,
        /// End of the challenger's clock.
        deadline: u64,
    },
    /// One operator or live slot is isolated; a referee is to be drawn.
    Isolated {
        /// The place.
        place: FineIndex,
        /// The provider's digest there.
        claimed: Digest,
        /// Whether the beacon round that draws is out.
        beacon_ready: bool,
    },
    /// A referee owes a ruling.
    Refereed {
        /// The place.
        place: FineIndex,
        /// The provider's digest there.
        claimed: Digest,
        /// Last second for the ruling.
        deadline: u64,
    },
    /// A provisional ruling.
    Ruled {
        /// The place.
        place: FineIndex,
        /// The provider's digest there.
        claimed: Digest,
        /// The referee's digest.
        ruled: Digest,
        /// The referee ruled on an operator before the one that the challenger had isolated: it, not the
        /// challenger, is the accuser in an appeal.
        earlier: bool,
        /// Last second of the appeal window.
        appeal_deadline: u64,
    },
    /// Handed to the appeal levels; [`crate::appeal::decide_appeal`] plays on. Their outcome ends the dispute, or takes it
    /// back to `Isolated` where it overturns an earlier divergence.
    Appealed,
    /// Over.
    Closed(Outcome),
}

/// Snapshot of one dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// Header of the task's model.
    pub model: ModelHeader,
    /// Steps that the provider committed.
    pub steps: u32,
    /// The task's input digest.
    pub input_digest: Digest,
    /// The provider's level-1 root.
    pub level1_root: Digest,
    /// The disputed segment, from `postSegment` or `isolateDirect` on.
    pub segment: Option<SegmentFacts>,
    /// Where the game stands.
    pub phase: Phase,
    /// Whether a referee may still rule on an earlier operator (P-R3).
    pub earlier_left: bool,
    /// The task has left this attempt by another verdict.
    pub moot: bool,
}

impl GameView {
    /// Whose move it is in the game proper, and until when.
    pub fn turn(&self) -> Option<(Side, u64)> {
        match &self.phase {
            Phase::Reveal { deadline, .. } | Phase::SegmentWanted { deadline, .. } => {
                Some((Side::Provider, *deadline))
            }
            Phase::Pick { deadline, .. } | Phase::PickSegment { deadline, .. } => {
                Some((Side::Challenger, *deadline))
            }
            _ => None,
        }
    }

    /// Whether nothing is accepted any more.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// The claim at the root of level 1: what a dispute opens with.
    pub fn level1_claim(&self) -> Claim {
        let height = self.model.trace_height;
        Claim {
            tree: Tree::Level1,
            node: self.level1_root,
            height,
            index: 0,
        }
    }

    /// Leaves of a tree that are not padding; `None` before the segment is known.
    pub fn leaf_count(&self, tree: Tree) -> Option<u64> {
        match tree {
            Tree::Level1 => Some(u64::from(self.steps) * u64::from(self.model.commit_points)),
            Tree::Ops => self.segment.map(|s| s.op_count.into()),
            Tree::Live => self.segment.map(|s| s.live_count.into()),
        }
    }

    /// Height of the model's segment table.
    pub fn segments_height(&self) -> u8 {
        height(self.model.commit_points.into())
    }

    /// Refuses snapshots of models that cannot exist.
    pub fn check(&self) -> Result<(), TraceError> {
        self.model.check()?;
        if self.steps == 0 || self.steps > self.model.max_steps {
            return Err(TraceError::Steps {
                steps: self.steps,
                max_steps: self.model.max_steps,
            });
        }
        Ok(())
    }
}
