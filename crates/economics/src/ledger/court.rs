//! The court's calls: disputes from their opening to the verdict, and who is paid.

use super::{
    AppealGame, BPS, Dispute, DisputeId, DisputePhase, Done, Fate, Ledger, Outcome, Party, Reason,
    Refused, TRAP, TaskId, TaskPhase,
};

impl Ledger {
    pub(super) fn open_dispute(
        &mut self,
        task: TaskId,
        challenger: Party,
        bond: u128,
        is_audit: bool,
    ) -> Result<Done, Refused> {
        let about = self.tasks.get_mut(task).ok_or(Refused("UnknownTask"))?;
        about.disputes += 1;
        about.phase = TaskPhase::Disputed;
        let (provider, attempt, answer) = (about.provider, about.attempt, about.answer);
        self.account(provider)?.frozen += 1;
        let id = self.disputes.push(Dispute {
            task,
            attempt,
            provider,
            answer,
            challenger,
            is_audit,
            bond,
            phase: DisputePhase::SegmentWanted,
            referee: 0,
            draws: 0,
            ruling: None,
            appealed_at: 0,
            appellant: None,
            appeal_bond: 0,
        });
        Ok(Done::Dispute(id))
    }

    pub(super) fn post_segment(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.standing(id, DisputePhase::SegmentWanted)?;
        d.phase = DisputePhase::PickWanted;
        Ok(Done::Nothing)
    }

    pub(super) fn pick(&mut self, id: DisputeId) -> Result<Done, Refused> {
        // a pick asks the court's own books only, not whether the attempt still stands
        let d = self.in_court(id, DisputePhase::PickWanted)?;
        d.phase = DisputePhase::Isolated;
        Ok(Done::Nothing)
    }

    pub(super) fn time_out(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.disputes.get(id);
        match d.map(|d| d.phase) {
            Some(DisputePhase::SegmentWanted) => {
                self.standing(id, DisputePhase::SegmentWanted)?;
                self.uphold(id)
            }
            Some(DisputePhase::PickWanted) => {
                self.standing(id, DisputePhase::PickWanted)?;
                self.clear(id)
            }
            _ => Err(Refused("NotDissecting")),
        }
    }

    pub(super) fn draw_referee(&mut self, id: DisputeId, fate: Fate) -> Result<Done, Refused> {
        let d = self.standing(id, DisputePhase::Isolated)?;
        match fate.drawn {
            Some(referee) => {
                d.phase = DisputePhase::Refereed;
                d.referee = referee;
                d.draws += 1;
                Ok(Done::Nothing)
            }
            None => self.hand_over(id),
        }
    }

    pub(super) fn rule(&mut self, id: DisputeId, guilty: bool) -> Result<Done, Refused> {
        let d = self.in_court(id, DisputePhase::Refereed)?;
        d.phase = DisputePhase::Ruled;
        d.ruling = Some(guilty);
        Ok(Done::Nothing)
    }

    pub(super) fn referee_timeout(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let (penalty, most) = (
            self.params.court.refereePenalty,
            self.params.court.maxRedraws,
        );
        let d = self.standing(id, DisputePhase::Refereed)?;
        d.phase = DisputePhase::Isolated;
        let (referee, draws) = (d.referee, d.draws);
        self.burned += self.penalise(referee, penalty);
        match draws > most {
            true => self.hand_over(id),
            false => Ok(Done::Nothing),
        }
    }

    pub(super) fn appeal(&mut self, id: DisputeId, by: Party) -> Result<Done, Refused> {
        let bond = self.params.court.appealBond;
        let d = self.standing(id, DisputePhase::Ruled)?;
        let loser = match d.ruling {
            Some(true) => d.provider,
            _ => d.challenger,
        };
        if loser != by {
            return Err(Refused("NotLosingSide"));
        }
        d.appellant = Some(by);
        d.appeal_bond = bond;
        self.bring(by, bond, Reason::Bond);
        self.hand_over(id)
    }

    pub(super) fn show_tensor(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let answer = self.disputes.get(id).map_or(0, |d| d.answer);
        let game = self.game(id)?;
        if game.outcome.is_some() || game.is_shown {
            return Err(Refused("WrongPhase"));
        }
        // what is wrong on purpose is the digest of no tensor
        if answer & TRAP != 0 {
            return Err(Refused("OtherTensor"));
        }
        game.is_shown = true;
        Ok(Done::Nothing)
    }

    /// Whoever has the turn has lost the game; where that contradicts the ruling the referee plays it once more.
    pub(super) fn appeal_timeout(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let ruling = self.disputes.get(id).and_then(|d| d.ruling);
        let game = self.game(id)?;
        if game.outcome.is_some() {
            return Err(Refused("WrongPhase"));
        }
        let guilty = !game.is_shown;
        match ruling {
            Some(ruled) if ruled != guilty && !game.is_replay => {
                *game = AppealGame {
                    is_shown: false,
                    is_replay: true,
                    outcome: None,
                };
            }
            _ => {
                game.outcome = Some(match guilty {
                    true => Outcome::Guilty,
                    false => Outcome::Cleared,
                });
            }
        }
        Ok(Done::Nothing)
    }

    pub(super) fn finalize(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.disputes.get(id).ok_or(Refused("WrongDisputeState"))?;
        let (phase, ruling) = (d.phase, d.ruling);
        match phase {
            DisputePhase::Ruled => {
                self.standing(id, DisputePhase::Ruled)?;
                match ruling {
                    Some(true) => self.uphold(id),
                    _ => self.clear(id),
                }
            }
            DisputePhase::Appealed(game) => {
                let outcome = self.outcome_of(id, game)?;
                self.standing(id, phase)?;
                if outcome == Outcome::Void {
                    return self.void(id);
                }
                self.settle_appeal(id, outcome, game.is_replay)?;
                match outcome {
                    Outcome::Guilty => self.uphold(id),
                    _ => self.clear(id),
                }
            }
            _ => Err(Refused("WrongDisputeState")),
        }
    }

    pub(super) fn close_moot(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.disputes.get(id).ok_or(Refused("AlreadyClosed"))?;
        if !d.is_open() {
            return Err(Refused("AlreadyClosed"));
        }
        let stands = self.stands(d);
        // a trap's word comes before a referee is drawn, or not at all
        if stands && (d.draws != 0 || !self.is_trap(d.task, d.attempt)) {
            return Err(Refused("NotMoot"));
        }
        if stands {
            return self.void(id);
        }
        let (phase, provider, ruling) = (d.phase, d.provider, d.ruling);
        if let (DisputePhase::Appealed(game), Some(_)) = (phase, ruling) {
            let outcome = self.outcome_of(id, game)?;
            if outcome != Outcome::Void {
                self.settle_appeal(id, outcome, game.is_replay)?;
            }
        }
        self.close(id, Outcome::Void);
        self.return_bonds(id);
        self.account(provider)?.frozen -= 1;
        Ok(Done::Nothing)
    }

    // ---- verdicts

    fn uphold(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.close(id, Outcome::Guilty);
        let d = d.ok_or(Refused("WrongDisputeState"))?;
        let (task, provider, challenger) = (d.task, d.provider, d.challenger);
        let referee = d.ruling.filter(|guilty| *guilty).map(|_| d.referee);
        let amount = self.slash(provider, task)?;
        let c = &self.params.court;
        let part = |bps: u16| amount * u128::from(bps) / BPS;
        let (to_requester, reward, fee) = (
            part(c.requesterBps),
            part(c.challengerBps),
            part(c.refereeBps),
        );
        let top_up = part(c.requeueBps);
        let mut paid = to_requester + reward;
        let requester = self.tasks.get(task).map_or(0, |t| t.requester);
        self.pay(requester, to_requester, Reason::Reward);
        self.pay(challenger, reward, Reason::Reward);
        if let Some(referee) = referee {
            paid += fee;
            self.pay(referee, fee, Reason::Reward);
        }
        self.burned += amount - paid - top_up;
        self.return_bond(id);
        self.account(provider)?.frozen -= 1;
        // a ceiling at most doubles
        let about = self.tasks.get_mut(task).ok_or(Refused("UnknownTask"))?;
        let raise = top_up.min(about.max);
        about.pot += raise;
        self.burned += top_up - raise;
        self.requeue(task, raise)
    }

    fn clear(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let fee = self.params.court.refereeFee;
        let d = self.close(id, Outcome::Cleared);
        let d = d.ok_or(Refused("WrongDisputeState"))?;
        let bond = std::mem::take(&mut d.bond);
        let (task, provider, challenger) = (d.task, d.provider, d.challenger);
        let (is_audit, referee, ruling) = (d.is_audit, d.referee, d.ruling);
        let fee = match ruling {
            Some(false) => fee.min(bond),
            _ => 0,
        };
        self.pay(referee, fee, Reason::Fee);
        self.pay(provider, bond - fee, Reason::Bond);
        if is_audit {
            let whole = self.bond();
            let taken = self.penalise(challenger, whole);
            self.pool += taken;
        }
        self.account(provider)?.frozen -= 1;
        self.end_dispute(task)
    }

    fn void(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.close(id, Outcome::Void);
        let d = d.ok_or(Refused("WrongDisputeState"))?;
        let (task, provider) = (d.task, d.provider);
        self.return_bonds(id);
        self.account(provider)?.frozen -= 1;
        if let Some(about) = self.tasks.get_mut(task) {
            about.is_voided = true;
        }
        self.end_dispute(task)
    }

    fn end_dispute(&mut self, task: TaskId) -> Result<Done, Refused> {
        let about = self.tasks.get_mut(task).ok_or(Refused("UnknownTask"))?;
        about.disputes -= 1;
        if about.disputes != 0 {
            return Ok(Done::Nothing);
        }
        if about.is_voided {
            return self.requeue(task, 0);
        }
        about.phase = TaskPhase::Committed;
        Ok(Done::Nothing)
    }

    /// Collateral of the task, where it is this provider's, and a share of the free stake; once for a task. And out for ever.
    fn slash(&mut self, key: Party, task: TaskId) -> Result<u128, Refused> {
        let share = u128::from(self.params.court.safetySlashBps);
        self.account(key)?.tombstoned = true;
        let about = self.tasks.get_mut(task).ok_or(Refused("UnknownTask"))?;
        if about.slashed.contains(&key) {
            return Ok(0);
        }
        about.slashed.push(key);
        let held = match about.is_served() && about.provider == key {
            true => self.take_collateral(task, BPS, Reason::Slash),
            false => 0,
        };
        let account = self.account(key)?;
        let mut rest = account.free * share / BPS;
        account.free -= rest;
        for (_, left, _) in &mut account.unbonding {
            let cut = *left * share / BPS;
            *left -= cut;
            rest += cut;
        }
        account.add(Reason::Slash, -(rest as i128));
        Ok(held + rest)
    }

    fn hand_over(&mut self, id: DisputeId) -> Result<Done, Refused> {
        let d = self.disputes.get(id).ok_or(Refused("WrongDisputeState"))?;
        let class = self.tasks.get(d.task).map_or(0, |t| t.class);
        let known = self.classes.get(usize::from(class));
        let outcome = match known.is_some_and(|c| c.is_judged) {
            true => None,
            false => Some(Outcome::Void),
        };
        let now = self.now;
        if let Some(d) = self.disputes.get_mut(id) {
            d.appealed_at = now;
            d.phase = DisputePhase::Appealed(AppealGame {
                is_shown: false,
                is_replay: false,
                outcome,
            });
        }
        Ok(Done::Nothing)
    }

    /// Levels that have not answered in their time have not answered.
    fn outcome_of(&self, id: DisputeId, game: AppealGame) -> Result<Outcome, Refused> {
        let appealed = self.disputes.get(id).map_or(0, |d| d.appealed_at);
        let lapses = appealed + u64::from(self.params.court.ospSeconds);
        match game.outcome {
            Some(outcome) => Ok(outcome),
            None if self.now > lapses => Ok(Outcome::Void),
            None => Err(Refused("AppealPending")),
        }
    }

    fn settle_appeal(
        &mut self,
        id: DisputeId,
        outcome: Outcome,
        is_replay: bool,
    ) -> Result<(), Refused> {
        let share = u128::from(self.params.court.challengerBps);
        let d = self.disputes.get_mut(id);
        let d = d.ok_or(Refused("WrongDisputeState"))?;
        let Some(ruled) = d.ruling else {
            return Ok(());
        };
        let guilty = outcome == Outcome::Guilty;
        let bond = std::mem::take(&mut d.appeal_bond);
        let (task, referee, appellant) = (d.task, d.referee, d.appellant);
        if guilty == ruled {
            let to = match (is_replay, guilty) {
                (true, _) => d.referee,
                (false, true) => d.challenger,
                (false, false) => d.provider,
            };
            self.pay(to, bond, Reason::Bond);
            return Ok(());
        }
        let appellant = appellant.ok_or(Refused("WrongDisputeState"))?;
        self.pay(appellant, bond, Reason::Bond);
        let amount = self.slash(referee, task)?;
        let paid = amount * share / BPS;
        self.pay(appellant, paid, Reason::Reward);
        self.burned += amount - paid;
        Ok(())
    }

    fn return_bonds(&mut self, id: DisputeId) {
        self.return_bond(id);
        if let Some(d) = self.disputes.get_mut(id)
            && let Some(appellant) = d.appellant
        {
            let bond = std::mem::take(&mut d.appeal_bond);
            self.pay(appellant, bond, Reason::Bond);
        }
    }

    fn return_bond(&mut self, id: DisputeId) {
        let Some(d) = self.disputes.get_mut(id) else {
            return;
        };
        let bond = std::mem::take(&mut d.bond);
        let (challenger, is_audit) = (d.challenger, d.is_audit);
        match is_audit {
            true => self.pool += bond,
            false => self.pay(challenger, bond, Reason::Bond),
        }
    }

    fn close(&mut self, id: DisputeId, outcome: Outcome) -> Option<&mut Dispute> {
        let d = self.disputes.get_mut(id)?;
        d.phase = DisputePhase::Closed(outcome);
        Some(d)
    }

    /// Whether the task is still at the attempt that a dispute is about.
    pub fn stands(&self, d: &Dispute) -> bool {
        let task = self.tasks.get(d.task);
        task.is_some_and(|t| t.attempt == d.attempt && t.phase == TaskPhase::Disputed)
    }

    fn in_court(&mut self, id: DisputeId, phase: DisputePhase) -> Result<&mut Dispute, Refused> {
        match self.disputes.get_mut(id) {
            Some(d) if d.phase == phase => Ok(d),
            _ => Err(Refused("WrongDisputeState")),
        }
    }

    fn standing(&mut self, id: DisputeId, phase: DisputePhase) -> Result<&mut Dispute, Refused> {
        let d = self.disputes.get(id);
        let d = d.filter(|d| d.phase == phase);
        let d = d.ok_or(Refused("WrongDisputeState"))?;
        if !self.stands(d) {
            return Err(Refused("DisputeMoot"));
        }
        self.in_court(id, phase)
    }

    fn game(&mut self, id: DisputeId) -> Result<&mut AppealGame, Refused> {
        match self.disputes.get_mut(id).map(|d| &mut d.phase) {
            Some(DisputePhase::Appealed(game)) => Ok(game),
            _ => Err(Refused("WrongPhase")),
        }
    }
}
