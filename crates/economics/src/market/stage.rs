//! What a market is played on: the ledger alone, or the contracts with the ledger beside them.

use rand::{Rng as _, SeedableRng as _};

use super::round::BEACON;
use crate::agents::Chance;
use crate::ledger::{AuditPhase, Done, Fate, Ledger, Op, Party, Refused, TaskId};

/// Books with a clock that take calls.
pub trait Stage {
    /// A call that was refused, or could not be made.
    type Error: std::error::Error + Send + 'static;

    /// The books.
    fn ledger(&self) -> &Ledger;

    /// One more account, with all the money that it needs.
    ///
    /// # Errors
    /// It could not be given any.
    fn add(&mut self) -> Result<Party, Self::Error>;

    /// Moves the clock forward.
    ///
    /// # Errors
    /// It does not move.
    fn advance_to(&mut self, time: u64) -> Result<(), Self::Error>;

    /// One call.
    ///
    /// # Errors
    /// It was refused.
    fn act(&mut self, op: Op) -> Result<Done, Self::Error>;

    /// The retry that a claim in a class has to look at.
    fn retry_head(&mut self, class: u8) -> Option<TaskId>;

    /// Whether a call was refused by the contracts' rules, which is no fault of the stage.
    fn is_refusal(error: &Self::Error) -> bool;

    /// Forgets what is over.
    ///
    /// # Errors
    /// What is there is not what should be.
    fn end_round(&mut self) -> Result<(), Self::Error>;
}

/// The ledger, with chance in the place of the beacon.
#[derive(Debug)]
pub struct Abstract {
    ledger: Ledger,
    chance: Chance,
    /// Providers that may be drawn.
    members: Vec<Party>,
}

impl Abstract {
    /// Chance follows from the seed.
    pub fn new(ledger: Ledger, seed: u64) -> Abstract {
        Abstract {
            ledger,
            chance: Chance::seed_from_u64(seed),
            members: Vec::new(),
        }
    }

    fn fate(&mut self, op: Op) -> Fate {
        match op {
            Op::Decide { task } => {
                let lot = self.chance.random_range(0..1_000_000u32);
                let is_selected = self.ledger.is_audited(task, lot);
                Fate {
                    lot,
                    drawn: is_selected.then(|| self.auditor(task)).flatten(),
                    ..Fate::default()
                }
            }
            Op::AuditCommit { .. } => Fate {
                seed_due: self.ledger.now() + BEACON,
                ..Fate::default()
            },
            // here every seed comes in time
            Op::AuditOpen { .. } => Fate {
                seed_at: Some(0),
                ..Fate::default()
            },
            Op::AuditTimeout { task } => Fate {
                drawn: self.auditor(task),
                seed_at: Some(0),
                ..Fate::default()
            },
            Op::DrawReferee { dispute } => {
                let Some(d) = self.ledger.dispute(dispute) else {
                    return Fate::default();
                };
                let requester = self.ledger.task(d.task).map_or(0, |t| t.requester);
                let out = [d.provider, d.challenger, d.referee, requester];
                // before the first draw nobody is the referee of before
                let out = match d.draws {
                    0 => [d.provider, d.challenger, requester, requester],
                    _ => out,
                };
                Fate {
                    drawn: self.draw(&out),
                    ..Fate::default()
                }
            }
            _ => Fate::default(),
        }
    }

    fn auditor(&mut self, task: TaskId) -> Option<Party> {
        let t = self.ledger.task(task)?;
        let before = match t.audit {
            AuditPhase::Drawn | AuditPhase::Committed => t.audited.auditor,
            _ => t.requester,
        };
        let out = [t.provider, t.requester, before];
        self.draw(&out)
    }

    /// All stakes are about the same: whoever can be drawn is as likely as another.
    fn draw(&mut self, out: &[Party]) -> Option<Party> {
        for _ in 0..64 {
            if self.members.is_empty() {
                return None;
            }
            let place = self.chance.random_range(0..self.members.len());
            let key = *self.members.get(place)?;
            let gone = self.ledger.accounts().get(key as usize)?.tombstoned;
            if gone {
                self.members.swap_remove(place);
            } else if !out.contains(&key) && self.ledger.is_eligible(key) {
                return Some(key);
            }
        }
        None
    }
}

impl Stage for Abstract {
    type Error = Refused;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn add(&mut self) -> Result<Party, Refused> {
        Ok(self.ledger.add())
    }

    fn advance_to(&mut self, time: u64) -> Result<(), Refused> {
        self.ledger.advance_to(time);
        Ok(())
    }

    fn act(&mut self, op: Op) -> Result<Done, Refused> {
        let fate = self.fate(op);
        let done = self.ledger.apply(op, fate)?;
        if let Op::Register { key, .. } = op {
            self.members.push(key);
        }
        Ok(done)
    }

    fn retry_head(&mut self, class: u8) -> Option<TaskId> {
        self.ledger.retry_head(class)
    }

    fn is_refusal(_: &Refused) -> bool {
        true
    }

    fn end_round(&mut self) -> Result<(), Refused> {
        self.ledger.forget();
        Ok(())
    }
}
