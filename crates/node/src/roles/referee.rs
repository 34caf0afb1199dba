//! Whoever is drawn for an isolated operator: recomputes it and rules.

use async_trait::async_trait;
use gavel_dispute::{Policy, Role as Part};
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::ICourt;

use crate::availability::{Duty, Obtained, obtain, tend};
use crate::board::{AppealGame, Dispute, DisputeState};
use crate::faults::lying_referee;
use crate::play::{next_move, send};
use crate::role::Attempts;
use crate::{Act, Address, Board, NodeError, Party, Role, appeal};

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

    async fn rule(
        &self,
        board: &Board,
        id: u64,
        dispute: &Dispute,
    ) -> Result<Option<Act>, NodeError> {
        let (party, policy) = (&self.party, Policy::default());
        if dispute.state == DisputeState::Appealed {
            return appeal::play(party, board, id).await;
        }
        if dispute.state == DisputeState::Refereed && board.now() <= dispute.referee_deadline {
            let run = self.party.needed_run_of(board, dispute.task).await;
            if let Err(NodeError::InputUnavailable { .. }) = run {
                return self.ask(board, id, dispute).await;
            }
        }
        let ruling = next_move(party, board, id, Part::Referee, &policy).await?;
        let ruling = match self.lies {
            true => ruling.map(|honest| lying_referee::lie(honest, dispute.claimed_digest)),
            false => ruling,
        };
        match ruling {
            Some(ruling) => send(party, board, id, ruling).await,
            // somebody has passed over an earlier error that nothing on the chain shows: a ruling could not be defended
            None if dispute.state == DisputeState::Refereed
                && board.now() <= dispute.referee_deadline
                && party.run_of(board, dispute.task).await?.is_some() =>
            {
                self.decline(board, id).await
            }
            None => Ok(None),
        }
    }

    /// It cannot have what it would compute on: it is demanded, and only where nobody shows it this is said.
    async fn ask(
        &self,
        board: &Board,
        id: u64,
        dispute: &Dispute,
    ) -> Result<Option<Act>, NodeError> {
        let duty = Duty {
            task: dispute.task,
            since: drawn_at(board, dispute),
            deadline: dispute.referee_deadline,
        };
        match obtain(&self.party, board, duty).await {
            Ok(Obtained::Asked(act)) => Ok(Some(act)),
            Ok(Obtained::Waiting) => Ok(None),
            // also where no demand could be made: silence would cost it its penalty
            _ if is_late(board, dispute) => self.decline(board, id).await,
            Ok(Obtained::Without) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// P-R6: it cannot have what it would compute on.
    async fn decline(&self, board: &Board, id: u64) -> Result<Option<Act>, NodeError> {
        let call = ICourt::inputUnavailableCall {
            disputeId: U256::from(id),
        };
        let what = format!("has not what dispute {id} is about, and leaves it to another");
        self.party
            .act(board, board.contracts.court, call, what)
            .await
    }
}

/// Whether more than half of the time to rule has passed: an input that comes late is one.
fn is_late(board: &Board, dispute: &Dispute) -> bool {
    board.now() > drawn_at(board, dispute).midpoint(dispute.referee_deadline)
}

fn drawn_at(board: &Board, dispute: &Dispute) -> u64 {
    let rules = board.rules_of(dispute.task);
    let seconds = rules.map_or(0, |r| r.court.referee_seconds.into());
    dispute.referee_deadline.saturating_sub(seconds)
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
            DisputeState::Appealed => {
                let game = entry.appeal.game.as_ref();
                (game.map_or(u64::MAX, AppealGame::deadline), *id)
            }
            _ => (u64::MAX, *id),
        });
        let mut attempts = Attempts::default();
        for (id, entry) in duties {
            let outcome = self.rule(board, id, &entry.dispute).await;
            if let Some(act) = attempts.act(outcome) {
                return Ok(Some(act));
            }
        }
        let outcome = tend(&self.party, board).await;
        match attempts.act(outcome) {
            Some(act) => Ok(Some(act)),
            None => attempts.nothing(),
        }
    }
}
