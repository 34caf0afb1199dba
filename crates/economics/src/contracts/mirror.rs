//! Every call on the contracts and in the ledger; they have to say the same.

use gavel_settlement::ProtocolEvent;
use gavel_settlement::alloy::primitives::{Address, B256, U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::{IAppealLevels, IAudits, ICourt, Market, StakeVault};

use super::compare::differs;
use super::forms;
use super::world::{World, WorldError};
use crate::ledger::{Answer, Class, DisputeId, Done, Fate, Ledger, Op, Party, TaskId};
use crate::market::Stage;

/// Refusals that are about time or what the beacon has published, of which the ledger knows nothing but in the calls of auditors.
const TIMING: [&str; 26] = [
    "DeadlinePassed",
    "DeadlineNotPassed",
    "RetractWindowClosed",
    "NotExpired",
    "TooEarlyToSettle",
    "CommitWindowClosed",
    "RevealWindowNotOpen",
    "RevealWindowClosed",
    "StillRevealable",
    "RoundNotOut",
    "ClockRanOut",
    "ClockRunning",
    "BeaconNotReady",
    "RefereeTooLate",
    "RefereeHasTime",
    "AppealWindowClosed",
    "AppealWindowOpen",
    "AppealPending",
    "JailedUntil",
    "SnapshotInFuture",
    "NotMature",
    "TooEarly",
    "AlreadyPublished",
    // duties are not in the ledger
    "ObligationsOpen",
    // nor what a convict pays later with the others of its time
    "CorrelationNotDue",
    "TasksLive",
];

/// The contracts with the ledger beside them.
#[derive(Debug)]
pub struct Mirror {
    pub(super) world: World,
    pub(super) ledger: Ledger,
    /// Whether nobody publishes the rounds that auditors' chunks are drawn by.
    pub(super) withholds: bool,
}

impl Mirror {
    /// Deploys the contracts for the ledger's parameters and classes.
    ///
    /// # Errors
    /// The contracts refuse the parameters.
    pub async fn new(ledger: Ledger) -> Result<Mirror, WorldError> {
        let classes: Vec<Class> = ledger.classes().to_vec();
        let world = World::new(ledger.params(), &classes).await?;
        let mut ledger = ledger;
        ledger.advance_to(world.now());
        Ok(Mirror {
            world,
            ledger,
            withholds: false,
        })
    }

    /// The contracts.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Another one that goes on from here.
    pub fn fork(&self) -> Mirror {
        Mirror {
            world: self.world.fork(),
            ledger: self.ledger.clone(),
            withholds: self.withholds,
        }
    }

    /// What the beacon has to say about an audit: of a commitment, when the round of its chunk is due; later, when that came out.
    fn seed(&mut self, op: Op) -> Result<Fate, WorldError> {
        let mut fate = Fate::default();
        match op {
            Op::AuditCommit { .. } => {
                fate.seed_due = self.world.round_after(self.ledger.now()).1;
            }
            Op::AuditOpen { task, .. } | Op::AuditTimeout { task } => {
                if !self.withholds {
                    self.publish_seed(task)?;
                }
                fate = self.seed_of(task)?;
            }
            _ => {}
        }
        Ok(fate)
    }

    /// The round that the chunk of a task's auditor is drawn by, published if it is due.
    pub(super) fn publish_seed(&mut self, task: TaskId) -> Result<(), WorldError> {
        match self.committed_at(task) {
            0 => Ok(()),
            at => self.world.publish_after(at),
        }
    }

    /// When that round was due, and when it came out.
    pub(super) fn seed_of(&self, task: TaskId) -> Result<Fate, WorldError> {
        let (round, seed_due) = self.world.round_after(self.committed_at(task));
        let out = match self.committed_at(task) {
            0 => None,
            _ => self.world.published_at(round)?,
        };
        Ok(Fate {
            seed_due,
            seed_at: out,
            ..Fate::default()
        })
    }

    /// When the auditor that is on duty committed; 0 where none has.
    fn committed_at(&self, task: TaskId) -> u64 {
        let task = self.ledger.task(task);
        task.map_or(0, |t| t.audited.committed_at)
    }

    pub(super) fn deployment(&self) -> gavel_settlement::Deployment {
        self.world.deployment().clone()
    }

    /// The call on the contracts; what chance said in it.
    fn on_chain(&mut self, op: Op) -> Result<(Fate, Done), WorldError> {
        let at = self.deployment();
        let (market, court, audits) = (at.market, at.court, at.audits);
        let anyone = self.world.address(Party::MAX);
        let task_id = U256::from;
        let mut lot = 0;
        let events = match op {
            Op::Register { key, stake } => {
                self.world.register(key, stake)?;
                Vec::new()
            }
            Op::Stake { key, amount } => {
                let from = self.world.address(key);
                let call = StakeVault::stakeCall { key: from, amount };
                self.world.call(from, at.vault, &call)?
            }
            Op::Unjail { key } => {
                let from = self.world.address(key);
                self.world
                    .call(from, at.vault, &StakeVault::unjailCall {})?
            }
            Op::Unbond { key, amount } => {
                let from = self.world.address(key);
                let call = StakeVault::requestUnbondCall { amount };
                self.world.call(from, at.vault, &call)?
            }
            Op::Withdraw { key, entry } => {
                let from = self.world.address(key);
                let call = StakeVault::withdrawUnbondedCall {
                    entry: U256::from(entry),
                };
                self.world.call(from, at.vault, &call)?
            }
            Op::Draw { by, amount } => {
                let from = self.world.address(by);
                let call = StakeVault::withdrawCreditCall { to: from, amount };
                self.world.call(from, at.vault, &call)?
            }
            Op::Post {
                requester,
                class,
                min,
                max,
            } => {
                let spec = Market::TaskSpec {
                    modelId: self.world.model(class),
                    familyId: B256::ZERO,
                    inputDigest: forms::input(),
                    seed: 0,
                    minPrice: min,
                    maxPrice: max,
                    rampSeconds: self.ledger.ramp(class) as u32,
                    execSeconds: super::EXEC_SECONDS,
                };
                let call = Market::postCall {
                    spec,
                    inputUri: String::new(),
                };
                let from = self.world.address(requester);
                self.world.call(from, market, &call)?
            }
            Op::Cancel { task, by } => {
                let from = self.world.address(by);
                let call = Market::cancelCall {
                    taskId: task_id(task),
                };
                self.world.call(from, market, &call)?
            }
            Op::Claim { task, key } => {
                let from = self.world.address(key);
                let call = Market::claimCall {
                    taskId: task_id(task),
                };
                self.world.call(from, market, &call)?
            }
            Op::Commit { task, key, answer } => {
                let digest = forms::digest(answer);
                let call = Market::commitCall {
                    taskId: task_id(task),
                    steps: forms::STEPS,
                    outputDigest: digest,
                    level1Root: digest,
                    outputProof: Vec::new(),
                    stopProof: Vec::new(),
                };
                let from = self.world.address(key);
                self.world.call(from, market, &call)?
            }
            Op::Retract { task, key } => {
                let from = self.world.address(key);
                let call = Market::retractCall {
                    taskId: task_id(task),
                };
                self.world.call(from, market, &call)?
            }
            Op::MissDeadline { task } => {
                let call = Market::missDeadlineCall {
                    taskId: task_id(task),
                };
                self.world.call(anyone, market, &call)?
            }
            Op::Expire { task } => {
                let call = Market::expireCall {
                    taskId: task_id(task),
                };
                self.world.call(anyone, market, &call)?
            }
            Op::Settle { task } => {
                let call = Market::settleCall {
                    taskId: task_id(task),
                };
                self.world.call(anyone, market, &call)?
            }
            Op::Reverse { task } => {
                let call = Market::reverseCall {
                    taskId: task_id(task),
                };
                self.world.call(anyone, market, &call)?
            }
            Op::Decide { task } => {
                lot = self.lot(task)?;
                let call = IAudits::decideCall {
                    taskId: task_id(task),
                };
                self.world.call(anyone, audits, &call)?
            }
            Op::AuditCommit {
                task,
                auditor,
                answer,
            } => {
                let from = self.world.address(auditor);
                let attempt = self.ledger.task(task).map_or(0, |t| t.attempt);
                let root = forms::trace_root(answer);
                let bound = (from, task_id(task), U256::from(attempt), root, B256::ZERO);
                let call = IAudits::commitAuditCall {
                    taskId: task_id(task),
                    attempt,
                    leafIndex: 0,
                    saltedRoot: B256::ZERO,
                    rootCommitment: keccak256(bound.abi_encode_params()),
                };
                self.world.call(from, audits, &call)?
            }
            Op::AuditOpen { task, auditor } => {
                let answer = self.ledger.task(task).map_or(0, |t| t.audited.answer);
                let call = IAudits::openAuditCall {
                    taskId: task_id(task),
                    ownSteps: forms::STEPS,
                    ownLevel1Root: forms::digest(answer),
                    salt: B256::ZERO,
                    opening: forms::opening(),
                };
                let from = self.world.address(auditor);
                self.world.call(from, audits, &call)?
            }
            Op::AuditTimeout { task } => {
                let call = IAudits::auditTimeoutCall {
                    taskId: task_id(task),
                };
                self.world.call(anyone, audits, &call)?
            }
            Op::Challenge { task, by, answer } => {
                let from = self.world.address(by);
                let attempt = self.ledger.task(task).map_or(0, |t| t.attempt);
                let bound = (
                    U256::from(at.chain_id),
                    court,
                    from,
                    task_id(task),
                    U256::from(attempt),
                    forms::trace_root(answer),
                    B256::ZERO,
                );
                let call = ICourt::commitChallengeCall {
                    taskId: task_id(task),
                    attempt,
                    commitment: keccak256(bound.abi_encode_params()),
                };
                self.world.call(from, court, &call)?
            }
            Op::Reveal { task, by } => {
                let answer = self.challenged(task, by);
                let call = ICourt::revealChallengeCall {
                    taskId: task_id(task),
                    ownTraceRoot: forms::trace_root(answer),
                    salt: B256::ZERO,
                };
                let from = self.world.address(by);
                self.world.call(from, court, &call)?
            }
            Op::Reclaim { task, attempt, by } => {
                let call = ICourt::reclaimChallengeCall {
                    taskId: task_id(task),
                    attempt,
                    challenger: self.world.address(by),
                };
                self.world.call(anyone, court, &call)?
            }
            Op::PostSegment { dispute } => {
                let (provider, digest) = self.accused(dispute);
                let call = ICourt::postSegmentCall {
                    disputeId: task_id(dispute),
                    leaf: digest,
                    previousLeaf: forms::input(),
                    previousProof: Vec::new(),
                    segment: forms::segment(),
                    opsRow: vec![digest],
                    liveRow: vec![digest],
                };
                self.world.call(provider, court, &call)?
            }
            Op::Pick { dispute } => {
                let (_, digest) = self.accused(dispute);
                let call = ICourt::pickSegmentCall {
                    disputeId: task_id(dispute),
                    opsRow: vec![digest],
                    liveRow: vec![digest],
                    live: false,
                    childIndex: 0,
                };
                let by = self.ledger.dispute(dispute).map_or(0, |d| d.challenger);
                let from = self.world.address(by);
                self.world.call(from, court, &call)?
            }
            Op::Timeout { dispute } => {
                let call = ICourt::claimTimeoutCall {
                    disputeId: task_id(dispute),
                };
                self.world.call(anyone, court, &call)?
            }
            Op::DrawReferee { dispute } => {
                let call = ICourt::disputeCall {
                    disputeId: task_id(dispute),
                };
                let isolated = self.world.ask(court, call)?.ruling.isolatedAt;
                self.world.publish_after(isolated)?;
                let call = ICourt::drawRefereeCall {
                    disputeId: task_id(dispute),
                };
                self.world.call(anyone, court, &call)?
            }
            Op::Rule { dispute, guilty } => {
                let (_, digest) = self.accused(dispute);
                let own = match guilty {
                    true => forms::digest(Answer::MAX),
                    false => digest,
                };
                let call = ICourt::ruleCall {
                    disputeId: task_id(dispute),
                    claimedDigest: digest,
                    ownDigest: own,
                };
                let by = self.ledger.dispute(dispute).map_or(0, |d| d.referee);
                let from = self.world.address(by);
                self.world.call(from, court, &call)?
            }
            Op::RefereeTimeout { dispute } => {
                let call = ICourt::refereeTimeoutCall {
                    disputeId: task_id(dispute),
                };
                self.world.call(anyone, court, &call)?
            }
            Op::Appeal { dispute, by } => {
                let call = ICourt::appealCall {
                    disputeId: task_id(dispute),
                };
                let from = self.world.address(by);
                self.world.call(from, court, &call)?
            }
            Op::ShowTensor { dispute } => {
                let answer = self.answer_of(dispute);
                let call = IAppealLevels::openTensorCall {
                    court,
                    disputeId: task_id(dispute),
                    claimed: forms::digest(answer),
                    node: forms::node(),
                    nodeProof: Vec::new(),
                    chunkRoot: forms::chunk_root(answer),
                    row: Vec::new(),
                    chunk: forms::chunk(answer),
                };
                self.world.call(anyone, at.appeal_levels, &call)?
            }
            Op::AppealTimeout { dispute } => {
                let call = IAppealLevels::claimTimeoutCall {
                    court,
                    disputeId: task_id(dispute),
                };
                self.world.call(anyone, at.appeal_levels, &call)?
            }
            Op::Finalize { dispute } => {
                let call = ICourt::finalizeCall {
                    disputeId: task_id(dispute),
                };
                self.world.call(anyone, court, &call)?
            }
            Op::CloseMoot { dispute } => {
                let call = ICourt::closeMootCall {
                    disputeId: task_id(dispute),
                };
                self.world.call(anyone, court, &call)?
            }
            Op::Trap(op) => return Ok((Fate::default(), self.trap_on_chain(op)?)),
        };
        let (fate, done) = self.read(&events);
        Ok((Fate { lot, ..fate }, done))
    }

    fn read(&self, events: &[ProtocolEvent]) -> (Fate, Done) {
        let (mut fate, mut done) = (Fate::default(), Done::Nothing);
        let number = |n: U256| n.saturating_to::<u64>();
        for event in events {
            match event {
                ProtocolEvent::Market(Market::MarketEvents::TaskPosted(e)) => {
                    done = Done::Task(number(e.taskId));
                }
                ProtocolEvent::Audits(IAudits::IAuditsEvents::AuditDecided(e)) => {
                    done = Done::Decided(e.selected);
                }
                ProtocolEvent::Audits(IAudits::IAuditsEvents::AuditorDrawn(e)) => {
                    fate.drawn = self.world.party(e.auditor);
                }
                ProtocolEvent::Court(ICourt::ICourtEvents::RefereeDrawn(e)) => {
                    fate.drawn = self.world.party(e.referee);
                }
                ProtocolEvent::Court(ICourt::ICourtEvents::DisputeOpened(e)) => {
                    done = Done::Dispute(number(e.disputeId));
                }
                _ => {}
            }
        }
        (fate, done)
    }

    /// The number that decides about a result's audit, its round published if it is due. P-A1.
    fn lot(&mut self, task: TaskId) -> Result<u32, WorldError> {
        let found = self.ledger.task(task);
        let (committed, attempt) = found.map_or((0, 0), |t| (t.committed_at, t.attempt));
        let m = &self.ledger.params().market;
        let time = committed + u64::from(m.retractWindow) + u64::from(m.seedDelay);
        self.world.publish_after(time)?;
        let value = self.world.value_of(self.world.round_after(time).0)?;
        let drawn = (value, U256::from(task), U256::from(attempt)).abi_encode_params();
        let drawn = U256::from_be_bytes(keccak256(drawn).0) % U256::from(1_000_000);
        Ok(drawn.saturating_to())
    }

    fn challenged(&self, task: TaskId, by: Party) -> Answer {
        let task = self.ledger.task(task);
        let own = task.and_then(|t| {
            let mut own = t.challenges.iter().rev();
            own.find(|c| c.by == by && c.attempt == t.attempt)
        });
        own.map_or(0, |c| c.answer)
    }

    fn answer_of(&self, dispute: DisputeId) -> Answer {
        self.ledger.dispute(dispute).map_or(0, |d| d.answer)
    }

    /// The accused and what it claims.
    fn accused(&self, dispute: DisputeId) -> (Address, B256) {
        let provider = self.ledger.dispute(dispute).map_or(0, |d| d.provider);
        (
            self.world.address(provider),
            forms::digest(self.answer_of(dispute)),
        )
    }
}

/// Calls whose deadlines the ledger knows.
fn is_auditors(op: Op) -> bool {
    matches!(
        op,
        Op::AuditCommit { .. } | Op::AuditOpen { .. } | Op::AuditTimeout { .. }
    )
}

impl Stage for Mirror {
    type Error = WorldError;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn add(&mut self) -> Result<Party, WorldError> {
        let number = self.world.add()?;
        differs("number of an account", self.ledger.add(), number)?;
        Ok(number)
    }

    fn advance_to(&mut self, time: u64) -> Result<(), WorldError> {
        self.world.advance_to(time)?;
        self.ledger.advance_to(time);
        Ok(())
    }

    fn act(&mut self, op: Op) -> Result<Done, WorldError> {
        let seed = self.seed(op)?;
        match self.on_chain(op) {
            Ok((fate, done)) => {
                let fate = Fate {
                    seed_due: seed.seed_due,
                    seed_at: seed.seed_at,
                    ..fate
                };
                match self.ledger.apply(op, fate) {
                    Ok(ours) => differs(&format!("{op:?}"), done, ours).map(|()| ours),
                    Err(ours) => Err(WorldError::Differs(format!(
                        "the contracts took {op:?}, the ledger says {ours}"
                    ))),
                }
            }
            Err(WorldError::Refused { name, values }) => {
                if !TIMING.contains(&name.as_str()) || is_auditors(op) {
                    let ours = self.ledger.apply(op, seed);
                    let ours = ours.err().map(|e| e.0);
                    differs(&format!("{op:?}"), Some(name.as_str()), ours)?;
                }
                Err(WorldError::Refused { name, values })
            }
            Err(other) => Err(other),
        }
    }

    fn retry_head(&mut self, class: u8) -> Option<TaskId> {
        self.ledger.retry_head(class)
    }

    fn is_refusal(error: &WorldError) -> bool {
        matches!(error, WorldError::Refused { .. })
    }

    fn end_round(&mut self) -> Result<(), WorldError> {
        self.compare()?;
        self.ledger.forget();
        Ok(())
    }
}
