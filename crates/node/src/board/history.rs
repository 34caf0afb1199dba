//! What the contracts' logs say about the past, put into a board. Pure: the records themselves are read again
//! by the mirror, for everything that a log touches.

use std::collections::BTreeSet;

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::{
    IAppealLevels::IAppealLevelsEvents, IAudits::IAuditsEvents, IBeacon::IBeaconEvents,
    ICourt::ICourtEvents, Market::MarketEvents, Parameters::ParametersEvents,
    ProviderPool::ProviderPoolEvents, StakeVault::StakeVaultEvents,
};
use gavel_settlement::{LoggedEvent, ProtocolEvent};
use gavel_trace::{Digest, FamilyHeader, Opening};

use crate::{Address, B256, NodeError};

use super::records::{digest, header, id, rules};
use super::{
    Appeal, Attempt, Board, ChallengeEntry, CommittedResult, Dispute, DisputeEntry, DisputeState,
    ExecutedStep, FamilyEntry, ModelEntry, Row, SegmentRows, TaskEntry,
};

/// First byte of the names of challenges' pots (`Pots.sol`).
const CHALLENGE_POT: u8 = 3;

/// Records that a batch of logs has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) tasks: BTreeSet<u64>,
    /// Tasks whose audits have changed.
    pub(super) audits: BTreeSet<u64>,
    pub(super) disputes: BTreeSet<u64>,
    /// Disputes whose appeals have changed.
    pub(super) appeals: BTreeSet<u64>,
    pub(super) providers: BTreeSet<Address>,
    /// Bonds of challenges were paid out: which ones, only the court knows.
    pub(super) bonds: bool,
    /// The newest round that was published: a seed that comes late gives its auditor more time.
    pub(super) newest_round: u64,
}

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        *self == Touched::default()
    }

    pub(super) fn join(&mut self, other: &Touched) {
        self.tasks.extend(&other.tasks);
        self.audits.extend(&other.audits);
        self.disputes.extend(&other.disputes);
        self.appeals.extend(&other.appeals);
        self.providers.extend(&other.providers);
        self.bonds |= other.bonds;
        self.newest_round = self.newest_round.max(other.newest_round);
    }
}

/// Puts one event into the board. `position` orders events over the whole chain.
pub(super) fn apply(
    board: &mut Board,
    touched: &mut Touched,
    logged: &LoggedEvent,
    position: u64,
) -> Result<(), NodeError> {
    match &logged.event {
        ProtocolEvent::Market(event) => market(board, touched, event, position),
        ProtocolEvent::Court(event) => court(board, touched, event),
        ProtocolEvent::Audits(event) => audits(board, touched, event),
        ProtocolEvent::Appeals(event) => appeals(board, touched, event),
        ProtocolEvent::Demands(event) => super::demands::apply(board, event),
        ProtocolEvent::Vault(event) => vault(board, touched, event),
        ProtocolEvent::Traps(event) => super::traps::apply(board, event),
        ProtocolEvent::Pool(event) => {
            pool(board, event);
            Ok(())
        }
        ProtocolEvent::Beacon(IBeaconEvents::RoundPublished(e)) => {
            board.beacon.values.insert(e.round, e.value);
            touched.newest_round = touched.newest_round.max(e.round);
            Ok(())
        }
        ProtocolEvent::Parameters(event) => {
            match event {
                ParametersEvents::ParametersSet(e) => {
                    board.rules.insert(e.version, rules(&e.params));
                }
                ParametersEvents::PausedSet(e) => board.paused = e.paused,
                _ => {}
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn market(
    board: &mut Board,
    touched: &mut Touched,
    event: &MarketEvents,
    position: u64,
) -> Result<(), NodeError> {
    let mut touch = |task: U256| {
        let task = id(task)?;
        touched.tasks.insert(task);
        Ok::<u64, NodeError>(task)
    };
    match event {
        MarketEvents::ModelRegistered(e) => {
            let entry = ModelEntry {
                header: header(&e.header),
                uri: e.uri.clone(),
            };
            board.models.insert(digest(e.modelId), entry);
        }
        MarketEvents::TaskPosted(e) => {
            let task = touch(e.taskId)?;
            let entry = TaskEntry {
                input_uri: e.inputUri.clone(),
                enqueued: position,
                ..TaskEntry::default()
            };
            board.tasks.insert(task, entry);
        }
        MarketEvents::TaskClaimed(e) => {
            let task = touch(e.taskId)?;
            touched.providers.insert(e.provider);
            if let Some(entry) = board.tasks.get_mut(&task) {
                entry.attempts.push(Attempt {
                    attempt: e.attempt,
                    provider: e.provider,
                    price: e.price,
                    collateral: e.collateral,
                    deadline: e.deadline,
                    result: None,
                    ended: None,
                });
            }
        }
        MarketEvents::ResultCommitted(e) => {
            let task = touch(e.taskId)?;
            let last = board
                .tasks
                .get_mut(&task)
                .and_then(|t| t.attempts.last_mut());
            if let Some(attempt) = last {
                attempt.result = Some(CommittedResult {
                    steps: e.steps,
                    output_digest: digest(e.outputDigest),
                    trace_root: digest(e.traceRoot),
                });
            }
        }
        MarketEvents::TaskRequeued(e) => {
            let task = touch(e.taskId)?;
            if let Some(entry) = board.tasks.get_mut(&task) {
                entry.enqueued = position;
                if let Some(attempt) = entry.attempts.last_mut() {
                    touched.providers.insert(attempt.provider);
                    attempt.ended = Some(word(e.reason));
                }
            }
        }
        MarketEvents::TaskSettled(e) => {
            touch(e.taskId)?;
            touched.providers.insert(e.provider);
        }
        MarketEvents::ResultRetracted(e) => {
            touch(e.taskId)?;
            touched.providers.insert(e.provider);
        }
        MarketEvents::DeadlineMissed(e) => {
            touch(e.taskId)?;
            touched.providers.insert(e.provider);
        }
        MarketEvents::ResultReversed(e) => {
            touch(e.taskId)?;
            touched.providers.insert(e.provider);
        }
        MarketEvents::TaskCancelled(e) => {
            touch(e.taskId)?;
        }
        MarketEvents::TaskExpired(e) => {
            let task = touch(e.taskId)?;
            // a task that too many failed expires without being requeued
            let last = board
                .tasks
                .get_mut(&task)
                .and_then(|t| t.attempts.last_mut());
            if let Some(attempt) = last.filter(|a| a.ended.is_none()) {
                attempt.ended = Some("expired".to_owned());
            }
        }
    }
    Ok(())
}

fn court(board: &mut Board, touched: &mut Touched, event: &ICourtEvents) -> Result<(), NodeError> {
    let mut touch = |dispute: U256| {
        let dispute = id(dispute)?;
        touched.disputes.insert(dispute);
        Ok::<u64, NodeError>(dispute)
    };
    match event {
        ICourtEvents::ChallengeCommitted(e) => {
            let (task, bond) = (id(e.taskId)?, e.bond);
            touched.tasks.insert(task);
            let attempt = running_attempt(board, task);
            let entry = ChallengeEntry {
                commitment: e.commitment,
                bond,
                dispute: None,
                closed: false,
            };
            board
                .challenges
                .insert((task, attempt, e.challenger), entry);
        }
        ICourtEvents::ChallengeForfeited(_) => touched.bonds = true,
        ICourtEvents::DisputeOpened(e) => {
            let (dispute, task) = (touch(e.disputeId)?, id(e.taskId)?);
            touched.tasks.insert(task);
            touched.providers.insert(e.provider);
            let attempt = running_attempt(board, task);
            if let Some(challenge) = board.challenges.get_mut(&(task, attempt, e.challenger)) {
                challenge.dispute.get_or_insert(dispute);
            }
            let mut entry = opened();
            entry.dispute.task = task;
            entry.dispute.attempt = attempt;
            entry.dispute.provider = e.provider;
            entry.dispute.challenger = e.challenger;
            entry.challenger_root = digest(e.challengerRoot);
            board.disputes.insert(dispute, entry);
        }
        ICourtEvents::RowRevealed(e) => {
            let dispute = touch(e.disputeId)?;
            moved(board, dispute, |entry| {
                entry.rows.push(row(e.node, e.height, &e.row));
            });
        }
        ICourtEvents::Picked(e) => {
            let dispute = touch(e.disputeId)?;
            moved(board, dispute, |_| {});
        }
        ICourtEvents::SegmentPosted(e) => {
            let dispute = touch(e.disputeId)?;
            moved(board, dispute, |entry| {
                entry.segment = Some(SegmentRows {
                    ops_root: digest(e.opsRoot),
                    previous_leaf: digest(e.previousLeaf),
                    ops_row: e.opsRow.iter().copied().map(digest).collect(),
                    live_row: e.liveRow.iter().copied().map(digest).collect(),
                });
            });
        }
        ICourtEvents::EarlierDivergence(e) => {
            let dispute = touch(e.disputeId)?;
            if let Some(entry) = board.disputes.get_mut(&dispute) {
                entry.earlier = Some(Opening {
                    index: e.index.into(),
                    siblings: e.proof.iter().copied().map(digest).collect(),
                });
            }
        }
        ICourtEvents::Appealed(e) => {
            let dispute = touch(e.disputeId)?;
            if let Some(entry) = board.disputes.get_mut(&dispute) {
                entry.appealed_by = Some(e.by);
            }
        }
        ICourtEvents::DisputeClosed(e) => {
            let dispute = touch(e.disputeId)?;
            if let Some(entry) = board.disputes.get(&dispute) {
                touched.tasks.insert(entry.dispute.task);
                touched.providers.insert(entry.dispute.provider);
                touched.providers.insert(entry.dispute.challenger);
            }
        }
        ICourtEvents::OperatorIsolated(e) => {
            touch(e.disputeId)?;
        }
        ICourtEvents::RefereeDrawn(e) => {
            touch(e.disputeId)?;
        }
        ICourtEvents::RefereeMissed(e) => {
            touch(e.disputeId)?;
            touched.providers.insert(e.referee);
        }
        ICourtEvents::Ruled(e) => {
            touch(e.disputeId)?;
        }
        ICourtEvents::VerdictPaid(_) => {}
    }
    Ok(())
}

fn appeals(
    board: &mut Board,
    touched: &mut Touched,
    event: &IAppealLevelsEvents,
) -> Result<(), NodeError> {
    use IAppealLevelsEvents as E;
    let (court, dispute) = match event {
        E::AppealOpened(e) => (e.court, e.disputeId),
        E::TensorOpened(e) => (e.court, e.disputeId),
        E::ChunkRowRevealed(e) => (e.court, e.disputeId),
        E::ChunkPicked(e) => (e.court, e.disputeId),
        E::ChunkRevealed(e) => (e.court, e.disputeId),
        E::ElementPicked(e) => (e.court, e.disputeId),
        E::StatesRevealed(e) => (e.court, e.disputeId),
        E::StatePicked(e) => (e.court, e.disputeId),
        E::StepExecuted(e) => (e.court, e.disputeId),
        E::SlotResolved(e) => (e.court, e.disputeId),
        E::AppealEnded(e) => (e.court, e.disputeId),
    };
    // the levels serve every court that calls them
    if court != board.contracts.court {
        return Ok(());
    }
    let dispute = id(dispute)?;
    touched.appeals.insert(dispute);
    let Some(entry) = board.disputes.get_mut(&dispute) else {
        return Ok(());
    };
    touched.providers.insert(entry.dispute.referee);
    // what the contract does by itself is nobody's move
    let by_itself = matches!(event, E::AppealOpened(_) | E::AppealEnded(_));
    entry.moves += u32::from(!by_itself);
    let appeal = &mut entry.appeal;
    match event {
        E::AppealOpened(_) => appeal.restart(),
        E::TensorOpened(e) => appeal.shown.chunk_root = digest(e.chunkRoot),
        E::ChunkRowRevealed(e) => appeal.shown.rows.push(row(e.node, e.height, &e.row)),
        E::ChunkRevealed(e) => appeal.shown.chunk = e.chunk.to_vec(),
        E::ElementPicked(e) => {
            appeal.shown.element = Some((e.element, e.value));
            appeal.rounds += 1;
        }
        E::ChunkPicked(_) | E::StatePicked(_) => appeal.rounds += 1,
        E::StatesRevealed(e) => appeal.states = e.states.iter().copied().map(digest).collect(),
        E::StepExecuted(e) => {
            let step = ExecutedStep {
                batch: e.batch,
                claimed: digest(e.claimed),
                computed: digest(e.computed),
            };
            if step.claimed != step.computed {
                appeal.decided = Some((appeal.shown.clone(), step));
            }
        }
        E::SlotResolved(_) | E::AppealEnded(_) => {}
    }
    Ok(())
}

fn audits(
    board: &mut Board,
    touched: &mut Touched,
    event: &IAuditsEvents,
) -> Result<(), NodeError> {
    let task = match event {
        IAuditsEvents::AuditDecided(e) => e.taskId,
        IAuditsEvents::AuditorDrawn(e) => e.taskId,
        IAuditsEvents::AuditCommitted(e) => e.taskId,
        IAuditsEvents::AuditMatched(e) => e.taskId,
        IAuditsEvents::AuditMismatched(e) => {
            let dispute = id(e.disputeId)?;
            if let Some(entry) = board.disputes.get_mut(&dispute) {
                entry.by_audit = true;
                let key = (entry.dispute.task, entry.dispute.attempt, e.auditor);
                // an auditor that has challenged as well: this dispute is the audit's
                if let Some(challenge) = board.challenges.get_mut(&key)
                    && challenge.dispute == Some(dispute)
                {
                    challenge.dispute = None;
                }
            }
            e.taskId
        }
        IAuditsEvents::AuditFailed(e) => {
            touched.providers.insert(e.auditor);
            e.taskId
        }
        IAuditsEvents::AuditWaived(e) => e.taskId,
        IAuditsEvents::AuditorReleased(e) => e.taskId,
    };
    let task = id(task)?;
    touched.tasks.insert(task);
    touched.audits.insert(task);
    Ok(())
}

fn vault(
    board: &mut Board,
    touched: &mut Touched,
    event: &StakeVaultEvents,
) -> Result<(), NodeError> {
    let provider = match event {
        StakeVaultEvents::Registered(e) => e.provider,
        StakeVaultEvents::Staked(e) => e.provider,
        StakeVaultEvents::UnbondRequested(e) => e.provider,
        StakeVaultEvents::Unbonded(e) => e.provider,
        StakeVaultEvents::Locked(e) => e.provider,
        StakeVaultEvents::Unlocked(e) => e.provider,
        StakeVaultEvents::Slashed(e) => e.provider,
        StakeVaultEvents::Frozen(e) => e.provider,
        StakeVaultEvents::Jailed(e) => e.provider,
        StakeVaultEvents::Unjailed(e) => e.provider,
        StakeVaultEvents::Tombstoned(e) => e.provider,
        StakeVaultEvents::Convicted(e) => {
            board.convicts.insert(e.provider, e.correlationDueAt);
            e.provider
        }
        StakeVaultEvents::CorrelatedPenalty(e) => {
            board.convicts.remove(&e.provider);
            e.provider
        }
        StakeVaultEvents::PotPaid(e) if e.pot.first() == Some(&CHALLENGE_POT) => {
            touched.bonds = true;
            return Ok(());
        }
        _ => return Ok(()),
    };
    touched.providers.insert(provider);
    Ok(())
}

fn pool(board: &mut Board, event: &ProviderPoolEvents) {
    let mut set = |class: B256, provider: Address, weight: Option<u128>| {
        let members = board.pools.entry(digest(class)).or_default();
        match weight {
            Some(weight) => members.insert(provider, weight),
            None => members.remove(&provider),
        };
    };
    match event {
        ProviderPoolEvents::Joined(e) => set(e.classId, e.provider, Some(e.weight)),
        ProviderPoolEvents::WeightChanged(e) => set(e.classId, e.provider, Some(e.weight)),
        ProviderPoolEvents::Left(e) => set(e.classId, e.provider, None),
        ProviderPoolEvents::FamilyRegistered(e) => {
            let header = FamilyHeader {
                count: e.count,
                bindings_root: digest(e.bindingsRoot),
                domain: e.domain.to_vec(),
            };
            let entry = FamilyEntry {
                header,
                uri: e.uri.clone(),
                shown: BTreeSet::new(),
            };
            board.families.insert(digest(e.familyId), entry);
        }
        ProviderPoolEvents::BindingShown(e) => {
            if let Some(family) = board.families.get_mut(&digest(e.familyId)) {
                family.shown.insert(digest(e.modelId));
            }
        }
    }
}

/// A task's attempt as the logs have it so far: the record may already be further on.
fn running_attempt(board: &Board, task: u64) -> u8 {
    let attempts = board.tasks.get(&task).map(|t| t.attempts.as_slice());
    attempts.and_then(<[_]>::last).map_or(0, |a| a.attempt)
}

fn moved(board: &mut Board, dispute: u64, change: impl FnOnce(&mut DisputeEntry)) {
    if let Some(entry) = board.disputes.get_mut(&dispute) {
        entry.moves += 1;
        change(entry);
    }
}

/// A dispute before its record is read.
pub(crate) fn opened() -> DisputeEntry {
    DisputeEntry {
        dispute: Dispute {
            task: 0,
            attempt: 0,
            provider: Address::ZERO,
            challenger: Address::ZERO,
            state: DisputeState::Level1,
            turn: gavel_dispute::Side::Provider,
            turn_started_at: 0,
            provider_clock: 0,
            challenger_clock: 0,
            bond: 0,
            node: Digest::ZERO,
            height: 0,
            index: 0,
            row_hash: B256::ZERO,
            leaf_index: 0,
            leaf: Digest::ZERO,
            previous_leaf: Digest::ZERO,
            ops_root: Digest::ZERO,
            in_live: false,
            first_node: 0,
            op_count: 0,
            live_count: 0,
            isolated_index: 0,
            claimed_digest: Digest::ZERO,
            isolated_at: 0,
            referee: Address::ZERO,
            draws: 0,
            referee_deadline: 0,
            ruled_digest: Digest::ZERO,
            ruled_guilty: false,
            ruled_at: 0,
            opened_at: 0,
            earlier: false,
            hops: 0,
            appealed_at: 0,
        },
        challenger_root: Digest::ZERO,
        rows: Vec::new(),
        segment: None,
        moves: 0,
        by_audit: false,
        appealed_by: None,
        earlier: None,
        appeal: Appeal::default(),
    }
}

fn row(node: B256, height: u8, row: &[B256]) -> Row {
    Row {
        node: digest(node),
        height,
        row: row.iter().copied().map(digest).collect(),
    }
}

/// A reason as the contracts write it: ASCII, padded with zeros.
fn word(reason: B256) -> String {
    let end = reason.iter().position(|b| *b == 0).unwrap_or(32);
    let text = reason.get(..end).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
