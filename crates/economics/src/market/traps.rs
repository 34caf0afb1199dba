//! Known-answer tasks of a round. Somebody asks for a result whose provider is then won for it, and puts up a deposit before it is
//! committed; it is shown when somebody has found it, or when nobody can find it any more and an auditor let it pass.

use gavel_settlement::bindings::Parameters::Params;
use rand::Rng as _;
use serde::Serialize;

use super::round::{Job, RIGHT, Round};
use super::{Broken, Stage};
use crate::Vigilance;
use crate::agents::ALL;
use crate::ledger::{Done, Op, Party, SealId, TRAP, TaskId, TaskPhase, TrapOp};

/// Known-answer tasks that are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traps {
    /// Share of the results that would be right, in parts per million.
    pub share_ppm: u32,
    /// Keys of the sealer's that claim to have found what somebody else found.
    pub friends: u8,
}

impl Traps {
    /// Twice as many as keep an auditor awake that believes whoever hands over its tensors, where that share of the providers does so
    /// and those of traps always do.
    pub fn enough(params: &Params, leaks_bps: u32) -> Traps {
        let told = f64::from(leaks_bps) / f64::from(ALL);
        let among_told = (2.0 * Vigilance::of(params).least_share()).min(0.9);
        let share = among_told * told / (1.0 - among_told + among_told * told);
        Traps {
            share_ppm: (share * 1e6).ceil() as u32,
            friends: 0,
        }
    }
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trapped {
    /// Sealed.
    pub set: u64,
    /// Shown, since somebody said that the result is wrong.
    pub found: u64,
    /// Shown, since an auditor said that it is right.
    pub passed: u64,
}

impl Trapped {
    pub(super) fn join(&mut self, other: Trapped) {
        self.set += other.set;
        self.found += other.found;
        self.passed += other.passed;
    }
}

/// A trap whose finders have not been paid.
pub(super) struct Shown {
    task: TaskId,
    attempt: u8,
    finders: Vec<Party>,
}

impl<S: Stage> Round<'_, S> {
    /// Deposits for some of the results that would be right; a second passes, so that they are older than what they stand for.
    pub(super) fn seal(&mut self, jobs: &mut [Job]) -> Result<(), Broken> {
        let share = self.market.traps.share_ppm;
        if share == 0 {
            return Ok(());
        }
        let jackpot = self.stage.ledger().bond();
        for job in jobs {
            let is_right = !job.work.is_wrong && !job.is_late;
            if !is_right || self.chance.random_range(0..1_000_000u32) >= share {
                continue;
            }
            let op = TrapOp::Seal {
                by: self.sealer,
                requester: self.requester,
                provider: job.key,
                answer: TRAP | job.task,
                jackpot,
            };
            if let Done::Seal(seal) = self.act(Op::Trap(op))? {
                job.seal = Some(seal);
                self.trapped.set += 1;
            }
        }
        let now = self.now();
        self.advance_to(now + 1)
    }

    /// Traps about which there is a dispute: shown at once, so that nobody is convicted.
    pub(super) fn show_found(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let disputed = |job: &Job| {
            let task = self.stage.ledger().task(job.task);
            task.is_some_and(|t| t.phase == TaskPhase::Disputed && t.provider == job.key)
        };
        let set = jobs.iter().filter_map(|job| Some((*job, job.seal?)));
        let found: Vec<(Job, SealId)> = set.filter(|(job, _)| disputed(job)).collect();
        if found.is_empty() {
            return Ok(());
        }
        for (job, _) in &found {
            self.join_finders(job.task)?;
        }
        let now = self.now();
        self.advance_to(now + 1)?;
        for (job, seal) in found {
            self.show_one(&job, seal)?;
        }
        Ok(())
    }

    /// Those who could not be found any more, and claims that are over.
    pub(super) fn end_traps(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        self.pay_finders()?;
        for job in jobs {
            let Some(seal) = job.seal else {
                continue;
            };
            let ledger = self.stage.ledger();
            if ledger.seal(seal).is_none_or(|s| s.is_used) {
                continue;
            }
            let task = ledger.task(job.task).filter(|t| t.provider == job.key);
            let passed =
                task.filter(|t| t.phase == TaskPhase::Committed && t.audited.matched == Some(true));
            let Some((attempt, auditor)) = passed.map(|t| (t.attempt, t.audited.auditor)) else {
                let by = self.sealer;
                self.act(Op::Trap(TrapOp::Unseal { seal, by }))?;
                continue;
            };
            self.reveal_trap(job.task, seal)?;
            self.trapped.passed += 1;
            self.of(auditor, |p| p.passed += 1);
            self.shown.push(Shown {
                task: job.task,
                attempt,
                finders: Vec::new(),
            });
        }
        Ok(())
    }

    /// What finders of the last round are due.
    ///
    /// # Errors
    /// The stage refused a call that there was reason to make.
    pub fn finish(&mut self) -> Result<(), Broken> {
        let m = &self.market.params.market;
        let claims = u64::from(m.challengeWindow) + u64::from(m.revealWindow);
        let now = self.now();
        self.advance_to(now + claims + 1)?;
        self.pay_finders()?;
        self.end_round()
    }

    /// The sealer's friends say that they have found it, too, while they can.
    fn join_finders(&mut self, task: TaskId) -> Result<(), Broken> {
        let window = u64::from(self.market.params.market.challengeWindow);
        let committed = self.stage.ledger().task(task).map_or(0, |t| t.committed_at);
        for place in 0..self.sealer_friends.len() {
            let by = self.sealer_friends[place];
            let answer = RIGHT;
            let is_open = self.now() < committed + window;
            if is_open && self.try_act(Op::Challenge { task, by, answer })? {
                self.act(Op::Reveal { task, by })?;
            }
        }
        Ok(())
    }

    fn show_one(&mut self, job: &Job, seal: SealId) -> Result<(), Broken> {
        let id = job.task;
        let Some(task) = self.stage.ledger().task(id) else {
            return Ok(());
        };
        let (attempt, price) = (task.attempt, task.price());
        let revealed = task.challenges.iter();
        let revealed = revealed.filter(|c| c.attempt == attempt && c.revealed);
        let mut finders: Vec<Party> = revealed.map(|c| c.by).collect();
        if task.audited.matched == Some(false) {
            let auditor = task.audited.auditor;
            // it may have challenged the result, too
            if !finders.contains(&auditor) {
                finders.push(auditor);
            }
            self.of(auditor, |p| p.found += 1);
        }
        self.reveal_trap(id, seal)?;
        let disputes = self.stage.ledger().dispute_ids().filter(|dispute| {
            let d = self.stage.ledger().dispute(*dispute);
            d.is_some_and(|d| d.task == id && d.is_open())
        });
        for dispute in disputes.collect::<Vec<_>>() {
            self.act(Op::CloseMoot { dispute })?;
        }
        for finder in &finders {
            self.act(Op::Trap(TrapOp::Enter {
                task: id,
                attempt,
                finder: *finder,
            }))?;
        }
        // it is back at the auction; whoever asked for it has its money back, and makes good what its provider would have got
        let by = self.requester;
        self.act(Op::Cancel { task: id, by })?;
        self.of(job.key, |p| p.hired += price as i128);
        self.trapped.found += 1;
        self.shown.push(Shown {
            task: id,
            attempt,
            finders,
        });
        Ok(())
    }

    fn reveal_trap(&mut self, task: TaskId, seal: SealId) -> Result<(), Broken> {
        let by = self.requester;
        self.act(Op::Trap(TrapOp::Reveal { task, seal, by }))?;
        Ok(())
    }

    /// Of traps that were shown in the rounds before.
    fn pay_finders(&mut self) -> Result<(), Broken> {
        let now = self.now();
        for shown in std::mem::take(&mut self.shown) {
            let (task, attempt) = (shown.task, shown.attempt);
            let trap = self.stage.ledger().trap(task, attempt);
            if trap.is_none_or(|t| now <= t.claims_until) {
                self.shown.push(shown);
                continue;
            }
            self.act(Op::Trap(TrapOp::Close { task, attempt }))?;
            for finder in shown.finders {
                self.act(Op::Trap(TrapOp::Collect {
                    task,
                    attempt,
                    finder,
                }))?;
            }
        }
        Ok(())
    }
}
