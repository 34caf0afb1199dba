//! The traps' calls: known-answer tasks, and who shares a deposit.

use super::{Done, Ledger, Party, Reason, Refused, TaskId, TaskPhase};

/// A seal's number, counted from 1 in the order in which deposits came.
pub type SealId = u64;

/// What a result says, where it is wrong on purpose: the number below this bit tells one trap from another.
pub const TRAP: u64 = 1 << 63;

/// A call about traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TrapOp {
    Seal {
        by: Party,
        requester: Party,
        provider: Party,
        answer: u64,
        jackpot: u128,
    },
    Unseal {
        seal: SealId,
        by: Party,
    },
    /// The contract's `reveal`.
    Reveal {
        task: TaskId,
        seal: SealId,
        by: Party,
    },
    Penalise {
        task: TaskId,
        attempt: u8,
    },
    Enter {
        task: TaskId,
        attempt: u8,
        finder: Party,
    },
    /// A finder that was not heard opens what it had committed to.
    Show {
        task: TaskId,
        attempt: u8,
        by: Party,
        answer: u64,
    },
    Close {
        task: TaskId,
        attempt: u8,
    },
    Collect {
        task: TaskId,
        attempt: u8,
        finder: Party,
    },
}

/// A deposit, and the one result that it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    /// Whose deposit.
    pub sealer: Party,
    /// Who has to ask for the result.
    pub requester: Party,
    /// Who has to commit it.
    pub provider: Party,
    /// The result.
    pub answer: u64,
    /// When.
    pub at: u64,
    /// What is left of the deposit.
    pub pot: u128,
    /// Whether it was taken back, or its trap shown.
    pub is_used: bool,
}

/// What the audit of an attempt came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audited {
    /// Who was drawn last.
    pub auditor: Party,
    /// When it committed to an answer; 0 where it did not.
    pub committed_at: u64,
    /// The answer.
    pub answer: u64,
    /// Whether it said that the result is its own.
    pub matched: Option<bool>,
}

/// A result that was shown to be wrong on purpose.
#[derive(Clone, Debug)]
pub struct Trap {
    /// The deposit.
    pub seal: SealId,
    /// When it was shown.
    pub shown_at: u64,
    /// Last second in which a finder can be entered.
    pub claims_until: u64,
    /// Whether the auditor that let it pass has paid.
    pub is_penalised: bool,
    /// What each finder gets, once the claims are closed.
    pub share: Option<u128>,
    /// Who found it, and whether it has its share.
    pub finders: Vec<(Party, bool)>,
    /// The attempt's audit, once the attempt is over.
    audited: Option<Audited>,
}

impl Ledger {
    pub(super) fn trap_call(&mut self, op: TrapOp) -> Result<Done, Refused> {
        match op {
            TrapOp::Seal {
                by,
                requester,
                provider,
                answer,
                jackpot,
            } => {
                if jackpot < self.bond() {
                    return Err(Refused("JackpotTooSmall"));
                }
                self.bring(by, jackpot, Reason::Bond);
                let seal = Seal {
                    sealer: by,
                    requester,
                    provider,
                    answer,
                    at: self.now,
                    pot: jackpot,
                    is_used: false,
                };
                Ok(Done::Seal(self.seals.push(seal)))
            }
            TrapOp::Unseal { seal, by } => {
                let own = self.unused(seal, |s| s.sealer == by)?;
                own.is_used = true;
                let deposit = std::mem::take(&mut own.pot);
                self.pay(by, deposit, Reason::Bond);
                Ok(Done::Nothing)
            }
            TrapOp::Reveal { task, seal, by } => self.reveal_trap(task, seal, by),
            TrapOp::Penalise { task, attempt } => {
                self.shown(task, attempt)?;
                match self.audited(task, attempt).matched {
                    Some(true) => self.penalise_auditor(task, attempt),
                    _ => Err(Refused("NotMatched")),
                }
            }
            TrapOp::Enter {
                task,
                attempt,
                finder,
            } => {
                let before = self.shown(task, attempt)?.shown_at;
                let audited = self.audited(task, attempt);
                let by_audit = audited.auditor == finder && audited.matched == Some(false);
                let by_audit = by_audit && (1..before).contains(&audited.committed_at);
                let challenge = self.challenge_of(task, attempt, finder);
                if !by_audit && !challenge.is_some_and(|c| c.at < before && c.revealed) {
                    return Err(Refused("NotFinder"));
                }
                self.enter(task, attempt, finder)
            }
            TrapOp::Show {
                task,
                attempt,
                by,
                answer,
            } => {
                let trap = self.shown(task, attempt)?;
                let (before, seal) = (trap.shown_at, trap.seal);
                let audited = self.audited(task, attempt);
                let by_audit = audited.auditor == by && audited.answer == answer;
                let by_audit = by_audit && (1..before).contains(&audited.committed_at);
                let challenge = self.challenge_of(task, attempt, by);
                let found =
                    by_audit || challenge.is_some_and(|c| c.at < before && c.answer == answer);
                let is_copy = self.seals.get(seal).is_some_and(|s| s.answer == answer);
                if is_copy || !found {
                    return Err(Refused("NotFinder"));
                }
                self.enter(task, attempt, by)
            }
            TrapOp::Close { task, attempt } => self.close_trap(task, attempt),
            TrapOp::Collect {
                task,
                attempt,
                finder,
            } => {
                let trap = self.shown(task, attempt)?;
                let share = trap.share.ok_or(Refused("NotClosed"))?;
                let own = trap.finders.iter_mut().find(|f| f.0 == finder && !f.1);
                own.ok_or(Refused("NotFinder"))?.1 = true;
                let seal = trap.seal;
                if let Some(seal) = self.seals.get_mut(seal) {
                    seal.pot -= share;
                }
                self.pay(finder, share, Reason::Reward);
                Ok(Done::Nothing)
            }
        }
    }

    /// A deposit that is not forgotten.
    pub fn seal(&self, id: SealId) -> Option<&Seal> {
        self.seals.get(id)
    }

    /// Numbers of the seals that are not forgotten; the end is the next one's.
    pub fn seal_ids(&self) -> std::ops::Range<SealId> {
        self.seals.ids()
    }

    /// Traps that were shown and are not forgotten, by task and attempt.
    pub fn traps(&self) -> impl Iterator<Item = (TaskId, u8, &Trap)> {
        let all = self.traps.iter();
        all.map(|((task, attempt), trap)| (*task, *attempt, trap))
    }

    /// A trap that was shown.
    pub fn trap(&self, task: TaskId, attempt: u8) -> Option<&Trap> {
        self.traps.get(&(task, attempt))
    }

    // ---- inside

    fn reveal_trap(&mut self, id: TaskId, seal: SealId, by: Party) -> Result<Done, Refused> {
        let task = self.tasks.get(id).ok_or(Refused("UnknownTask"))?;
        if task.requester != by {
            return Err(Refused("NotRequester"));
        }
        let was_passed = task.audited.matched == Some(true);
        let may_be_shown = task.has_result() || was_passed && task.phase == TaskPhase::Settled;
        if !may_be_shown {
            return Err(Refused("NotUnderJudgement"));
        }
        let (attempt, provider, committed_at) = (task.attempt, task.provider, task.committed_at);
        if self.traps.contains_key(&(id, attempt)) {
            return Err(Refused("AlreadyRevealed"));
        }
        // the leaf of an answer that is none on purpose opens nothing
        let sealed = self.seals.get(seal).map(|s| s.answer);
        if sealed != Some(task.answer) || task.answer & TRAP == 0 {
            return Err(Refused("TrapNotInTrace"));
        }
        let m = &self.params.market;
        let window = u64::from(m.challengeWindow);
        let claims_until = self.now + window + u64::from(m.revealWindow);
        if task.phase == TaskPhase::Committed {
            if self.now < committed_at + window {
                return Err(Refused("StillHidden"));
            }
            if !task.is_audit_over() {
                return Err(Refused("AuditOpen"));
            }
        }
        let own = self.unused(seal, |s| s.requester == by && s.provider == provider)?;
        if own.at >= committed_at {
            return Err(Refused("SealedTooLate"));
        }
        own.is_used = true;
        let trap = Trap {
            seal,
            shown_at: self.now,
            claims_until,
            is_penalised: false,
            share: None,
            finders: Vec::new(),
            audited: None,
        };
        self.traps.insert((id, attempt), trap);
        if let Some(task) = self.tasks.get_mut(id) {
            task.open_traps += 1;
        }
        match was_passed {
            true => self.penalise_auditor(id, attempt),
            false => Ok(Done::Nothing),
        }
    }

    /// A bond out of the auditor's stake: half of it is burned, half is the sealer's.
    fn penalise_auditor(&mut self, task: TaskId, attempt: u8) -> Result<Done, Refused> {
        let trap = self.shown(task, attempt)?;
        if std::mem::replace(&mut trap.is_penalised, true) {
            return Err(Refused("AlreadyPenalised"));
        }
        let seal = trap.seal;
        let taken = self.penalise(self.audited(task, attempt).auditor, self.bond());
        let paid = taken / 2;
        if let Some(sealer) = self.seals.get(seal).map(|s| s.sealer) {
            self.pay(sealer, paid, Reason::Reward);
        }
        self.burned += taken - paid;
        Ok(Done::Nothing)
    }

    fn enter(&mut self, task: TaskId, attempt: u8, finder: Party) -> Result<Done, Refused> {
        let now = self.now;
        let trap = self.shown(task, attempt)?;
        if now > trap.claims_until {
            return Err(Refused("ClaimsOver"));
        }
        if trap.finders.iter().any(|f| f.0 == finder) {
            return Err(Refused("AlreadyEntered"));
        }
        trap.finders.push((finder, false));
        Ok(Done::Nothing)
    }

    /// Each finder's share halves with every other one, and what they do not get is burned: the sealer's, where there is none.
    fn close_trap(&mut self, task: TaskId, attempt: u8) -> Result<Done, Refused> {
        let now = self.now;
        let trap = self.shown(task, attempt)?;
        if now <= trap.claims_until {
            return Err(Refused("ClaimsOpen"));
        }
        if trap.share.is_some() {
            return Err(Refused("AlreadyClosed"));
        }
        let (finders, seal) = (trap.finders.len() as u32, trap.seal);
        let Some(deposit) = self.seals.get_mut(seal) else {
            return Err(Refused("NoSuchSeal"));
        };
        let (jackpot, sealer) = (deposit.pot, deposit.sealer);
        let share = match finders {
            0 => 0,
            many => jackpot.checked_shr(many - 1).unwrap_or_default(),
        };
        deposit.pot = share * u128::from(finders);
        let rest = jackpot - deposit.pot;
        match finders {
            0 => self.pay(sealer, rest, Reason::Bond),
            _ => self.burned += rest,
        }
        self.shown(task, attempt)?.share = Some(share);
        if let Some(task) = self.tasks.get_mut(task) {
            task.open_traps -= 1;
        }
        Ok(Done::Nothing)
    }

    /// Whether the result of an attempt was shown to be wrong on purpose.
    pub(super) fn is_trap(&self, task: TaskId, attempt: u8) -> bool {
        self.traps.contains_key(&(task, attempt))
    }

    /// Keeps what a trap's finders may have to show when its attempt is over.
    pub(super) fn end_attempt(&mut self, id: TaskId) {
        if self.traps.is_empty() {
            return;
        }
        let Some(task) = self.tasks.get(id) else {
            return;
        };
        if let Some(trap) = self.traps.get_mut(&(id, task.attempt)) {
            trap.audited = Some(task.audited);
        }
    }

    /// Forgets deposits that are gone and traps of which everybody has its share.
    pub(super) fn forget_traps(&mut self) {
        let seals = &self.seals;
        let is_due = |trap: &Trap| seals.get(trap.seal).is_some_and(|s| s.pot != 0);
        self.traps
            .retain(|_, trap| trap.share.is_none() || is_due(trap));
        self.seals.forget(|seal| seal.is_used && seal.pot == 0);
    }

    fn audited(&self, id: TaskId, attempt: u8) -> Audited {
        let over = self.trap(id, attempt).and_then(|trap| trap.audited);
        let current = || self.tasks.get(id).map(|task| task.audited);
        over.or_else(current).unwrap_or_default()
    }

    fn challenge_of(&self, id: TaskId, attempt: u8, by: Party) -> Option<&super::Challenge> {
        let mut all = self.tasks.get(id)?.challenges.iter().rev();
        all.find(|c| c.attempt == attempt && c.by == by)
    }

    fn shown(&mut self, task: TaskId, attempt: u8) -> Result<&mut Trap, Refused> {
        let found = self.traps.get_mut(&(task, attempt));
        found.ok_or(Refused("NoTrap"))
    }

    fn unused(&mut self, id: SealId, is_it: impl Fn(&Seal) -> bool) -> Result<&mut Seal, Refused> {
        let found = self.seals.get_mut(id).filter(|s| is_it(s));
        let seal = found.ok_or(Refused("NoSuchSeal"))?;
        match seal.is_used {
            true => Err(Refused("SealUsed")),
            false => Ok(seal),
        }
    }
}
