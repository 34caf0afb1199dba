//! An appeal as the chain shows it.

use gavel_trace::{Digest, FineIndex, ModelHeader, ROW_LEVELS, fold, row_len};
use serde::{Deserialize, Serialize};

use crate::SegmentFacts;

/// Who asks, in an appeal. A referee that plays the game again has the role of the side that lost it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppealRole {
    /// Says that the claimed digest is right.
    Defender,
    /// Says that it is wrong.
    Accuser,
    /// Neither.
    Bystander,
}

/// How an appeal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppealOutcome {
    /// The claimed digest is wrong.
    Guilty,
    /// It is right.
    Cleared,
    /// The levels cannot judge it (P-L8).
    Void,
}

impl AppealOutcome {
    /// Who won, unless void.
    pub fn winner(self) -> Option<AppealRole> {
        match self {
            AppealOutcome::Guilty => Some(AppealRole::Accuser),
            AppealOutcome::Cleared => Some(AppealRole::Defender),
            AppealOutcome::Void => None,
        }
    }
}

/// A node of the claimed tensor's chunk tree that the accuser disagrees with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChunkClaim {
    /// The node.
    pub node: Digest,
    /// Height above the chunks.
    pub height: u8,
    /// Index among the nodes of that height.
    pub index: u64,
}

impl ChunkClaim {
    /// Whether a row is the answer to this claim.
    pub fn is_answered_by(&self, row: &[Digest]) -> bool {
        row.len() == row_len(self.height) && fold(row) == Ok(self.node)
    }

    /// The claim at a child of this one's row.
    pub fn child(&self, row: &[Digest], child: u8) -> Option<ChunkClaim> {
        let down = self.height.min(ROW_LEVELS);
        Some(ChunkClaim {
            node: *row.get(usize::from(child))?,
            height: self.height - down,
            index: (self.index << down).checked_add(child.into())?,
        })
    }
}

/// A run of the machine that computes the disputed element: from a state that both sides agree on to one
/// that the accuser disagrees with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// Flat index of the element.
    pub element: u64,
    /// Its claimed bits, zero-extended.
    pub value: u64,
    /// The agreed state (P-L5).
    pub start: Digest,
    /// The disputed one.
    pub end: Digest,
    /// Batches before `start`.
    pub first_batch: u64,
    /// Batches between the two; `None` while the defender has not said how many.
    pub batches: Option<u64>,
}

/// What an appeal waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppealPhase {
    /// A live slot: what it copies is to be shown.
    Slot,
    /// The claimed digest is to be opened.
    Tensor,
    /// A node of the chunk tree is to be opened.
    Row {
        /// The node.
        claim: ChunkClaim,
    },
    /// The accuser owes a pick from a row of the chunk tree.
    PickChunk {
        /// What the row opens.
        claim: ChunkClaim,
        /// The row, from the chain's log.
        row: Vec<Digest>,
    },
    /// The bytes of a chunk are to be shown.
    Chunk {
        /// Its leaf.
        node: Digest,
        /// Its number.
        index: u64,
    },
    /// The accuser owes a pick from a chunk.
    PickElement {
        /// The chunk's number.
        index: u64,
        /// Its bytes, from the chain's log.
        chunk: Vec<u8>,
    },
    /// The machine's states in a run are to be given.
    States {
        /// The run.
        run: Run,
    },
    /// The accuser owes a pick from the states of a run.
    PickState {
        /// The run, whose number of batches is known.
        run: Run,
        /// The states inside it, from the chain's log.
        states: Vec<Digest>,
    },
    /// A run of one batch is to be executed.
    Step {
        /// The run.
        run: Run,
    },
    /// Over.
    Ended(AppealOutcome),
}

/// Snapshot of one appeal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppealView {
    /// Header of the task's model.
    pub header: ModelHeader,
    /// The disputed segment.
    pub segment: SegmentFacts,
    /// The isolated place.
    pub place: FineIndex,
    /// The provider's digest there.
    pub claimed: Digest,
    /// What is waited for.
    pub phase: AppealPhase,
    /// Last second, in chain time, at which the side to move still has a clock.
    pub deadline: u64,
    /// The referee plays the game again for its ruling (P-L10).
    pub replay: bool,
}

impl AppealView {
    /// Whose move it is; `None` after the end.
    pub fn turn(&self) -> Option<AppealRole> {
        match self.phase {
            AppealPhase::Slot
            | AppealPhase::Tensor
            | AppealPhase::Row { .. }
            | AppealPhase::Chunk { .. }
            | AppealPhase::States { .. }
            | AppealPhase::Step { .. } => Some(AppealRole::Defender),
            AppealPhase::PickChunk { .. }
            | AppealPhase::PickElement { .. }
            | AppealPhase::PickState { .. } => Some(AppealRole::Accuser),
            AppealPhase::Ended(_) => None,
        }
    }
}
