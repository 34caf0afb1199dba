//! An appeal: what its contract shows, and what its logs say about its past.

use gavel_dispute::Side;
use gavel_settlement::bindings::{AppealOutcome, AppealPhase};
use gavel_trace::Digest;

use crate::Address;

use super::Row;

/// The game of an appeal as its contract shows it. The defender has the turns of [`Side::Provider`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppealGame {
    /// What it waits for.
    pub phase: AppealPhase,
    /// Side to move.
    pub turn: Side,
    /// The referee plays again for its ruling.
    pub replay: bool,
    /// How it ended.
    pub outcome: AppealOutcome,
    /// Who says that the claimed digest is right.
    pub defender: Address,
    /// Who says that it is wrong.
    pub accuser: Address,
    /// When the turn began.
    pub turn_started_at: u64,
    /// Seconds left to the defender.
    pub defender_clock: u32,
    /// Seconds left to the accuser.
    pub accuser_clock: u32,
    /// The claim: the isolated digest, then a node of its chunk tree.
    pub node: Digest,
    /// Its height above the chunks.
    pub height: u8,
    /// Its index among the nodes of that height.
    pub index: u64,
    /// Flat index of the disputed element.
    pub element: u64,
    /// Its claimed bits.
    pub value: u64,
    /// Agreed state.
    pub start: Digest,
    /// Disputed state.
    pub end: Digest,
    /// Batches before the agreed state.
    pub first_batch: u64,
    /// Batches between the two; 0 while nobody has said how many.
    pub batches: u64,
}

impl AppealGame {
    /// Last second of the side to move.
    pub fn deadline(&self) -> u64 {
        let clock = match self.turn {
            Side::Provider => self.defender_clock,
            Side::Challenger => self.accuser_clock,
        };
        self.turn_started_at.saturating_add(clock.into())
    }
}

/// What was shown of the disputed output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownOutput {
    /// Root of its chunk tree.
    pub chunk_root: Digest,
    /// Rows of that tree.
    pub rows: Vec<Row>,
    /// The disputed chunk.
    pub chunk: Vec<u8>,
    /// Flat index of the disputed element and its bits, once picked.
    pub element: Option<(u64, u64)>,
}

/// A batch that the contract has executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutedStep {
    /// Number of the batch in the element's run.
    pub batch: u64,
    /// Claimed state after it.
    pub claimed: Digest,
    /// The contract's.
    pub computed: Digest,
}

/// An appeal with what its logs carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appeal {
    /// The game that runs, or ran last; none before it is read.
    pub game: Option<AppealGame>,
    /// What was shown in it.
    pub shown: ShownOutput,
    /// The states that were given last.
    pub states: Vec<Digest>,
    /// The executed batch that showed a claim to be wrong, in any game, and of what output.
    pub decided: Option<(ShownOutput, ExecutedStep)>,
    /// Rounds of reveal and pick, in all games.
    pub rounds: u32,
}

impl Appeal {
    /// Forgets what belongs to a game that is over.
    pub(super) fn restart(&mut self) {
        *self = Appeal {
            decided: self.decided.take(),
            rounds: self.rounds,
            ..Appeal::default()
        };
    }
}
