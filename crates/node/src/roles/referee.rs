//! Whoever is drawn for an isolated operator: recomputes it and rules.

use async_trait::async_trait;
use gavel_dispute::{Policy, Role as Part};

use crate::board::DisputeState;
use crate::faults::lying_referee;
use crate::play::{next_move, send};
use crate::{Act, Address, Board, NodeError, Party, Role};

/// A referee.
pub struct Referee {
    party: Party,
    lies: bool,
}

impl Referee {
    /// A referee that rules what it computed.
    pub fn new(party: Party) -> Referee {
        Referee { party, lies: false }
    }

    /// One that rules the opposite: the fault `lying-referee`.
    pub fn lying(mut self, lies: bool) -> Referee {
        self.lies = lies;
        self
    }
}

#[async_trait]
impl Role for Referee {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let me = self.address();
        let mut duties: Vec<_> = board
            .open_disputes()
            .filter(|(_, entry)| entry.dispute.referee == me)
            .collect();
        // what has a deadline comes before the end of what was ruled
        duties.sort_by_key(|(id, entry)| match entry.dispute.state {
            DisputeState::Refereed => (entry.dispute.referee_deadline, *id),
            _ => (u64::MAX, *id),
        });
        for (id, entry) in duties {
            let (party, policy) = (&self.party, Policy::default());
            let ruling = next_move(party, board, id, Part::Referee, &policy).await?;
            let Some(mut ruling) = ruling else {
                continue;
            };
            if self.lies {
                ruling = lying_referee::lie(ruling, entry.dispute.claimed_digest);
            }
            let act = send(party, board, id, ruling).await?;
            if act.is_some() {
                return Ok(act);
            }
        }
        Ok(None)
    }
}
