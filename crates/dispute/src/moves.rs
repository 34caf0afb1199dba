//! What a party can send to the court.

use gavel_trace::{Digest, FineIndex, Opening, SegmentEntry};
use serde::{Deserialize, Serialize};

/// Binding of a fine trace to the disputed leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostSegment {
    /// The disputed leaf that this answers.
    pub leaf: Digest,
    /// The agreed live root before it, or the input digest.
    pub previous_leaf: Digest,
    /// `previous_leaf` under the level-1 root; absent for leaf 0.
    pub previous_opening: Option<Opening>,
    /// The segment's entry.
    pub segment: SegmentEntry,
    /// The entry under the model's segments root.
    pub segment_opening: Opening,
    /// Row of the ops root.
    pub ops_row: Vec<Digest>,
    /// Row of the disputed leaf.
    pub live_row: Vec<Digest>,
}

/// One move from the provider's signed fine root to the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolateDirect {
    /// Disputed leaf of level 1.
    pub leaf_index: u64,
    /// The provider's live root there.
    pub leaf: Digest,
    /// `leaf` under the level-1 root.
    pub leaf_opening: Opening,
    /// The agreed live root before it, or the input digest.
    pub previous_leaf: Digest,
    /// `previous_leaf` under the level-1 root; absent for leaf 0.
    pub previous_opening: Option<Opening>,
    /// The segment's entry.
    pub segment: SegmentEntry,
    /// The entry under the model's segments root.
    pub segment_opening: Opening,
    /// Root over the segment's operators, as signed.
    pub ops_root: Digest,
    /// The provider's EIP-712 signature over it.
    pub signature: Vec<u8>,
    /// Where the provider is wrong.
    pub place: FineIndex,
    /// The provider's digest there.
    pub claimed: Digest,
    /// `claimed` under the ops root, or under `leaf` for a live slot.
    pub claimed_opening: Opening,
}

/// One transaction in a dispute. Every move carries the claim it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// Provider's side: open a claim into its row.
    RevealRow {
        /// The claim's node.
        node: Digest,
        /// Its row.
        row: Vec<Digest>,
    },
    /// Challenger: the leftmost child that is wrong.
    Pick {
        /// The row that is picked from.
        row: Vec<Digest>,
        /// Index in the row.
        child: u8,
    },
    /// Provider's side: bind the fine trace of the disputed segment.
    PostSegment(Box<PostSegment>),
    /// Challenger: the leftmost wrong child of the fine trace's root rows, operators first.
    PickSegment {
        /// Row of the ops root.
        ops_row: Vec<Digest>,
        /// Row of the disputed leaf.
        live_row: Vec<Digest>,
        /// Whether the pick is in the live row.
        live: bool,
        /// Index in that row.
        child: u8,
    },
    /// Challenger: straight to the operator.
    IsolateDirect(Box<IsolateDirect>),
    /// Anyone: the side to move has no clock left.
    ClaimTimeout,
    /// Anyone: draw the referee from the beacon.
    DrawReferee,
    /// Referee: the digest of the isolated output.
    Rule {
        /// The provider's digest that this judges.
        claimed: Digest,
        /// The referee's own.
        own: Digest,
    },
    /// Referee: its own run differs at an earlier operator of the segment.
    RuleEarlier {
        /// That operator.
        index: u32,
        /// The provider's digest there.
        provider_digest: Digest,
        /// The referee's own.
        own: Digest,
        /// `provider_digest` under the ops root.
        opening: Opening,
    },
    /// Anyone: the drawn referee missed its deadline.
    RefereeTimeout,
    /// Losing side: appeal a ruling.
    Appeal,
    /// Anyone: a ruling stood through its appeal window.
    Finalize,
    /// Anyone: the task has left this attempt.
    CloseMoot,
}
