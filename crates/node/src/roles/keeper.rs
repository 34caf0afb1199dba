//! Whoever does what is open to anybody: publishes due rounds, claims timeouts, draws, finalizes, settles.
//!
//! Nothing depends on one keeper: every party may run one, and the parties that gain by a step take it themselves.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_dispute::Side;
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::{
    AppealOutcome, DevBeacon, DrandBeacon, FallbackBeacon, IAppealLevels, IAudits, IBeacon, ICourt,
    ITraps, Market, ProviderPool, StakeVault,
};
use gavel_settlement::drand::{BeaconSource, DrandNetwork};
use gavel_trace::Digest;

use super::feed::Feed;
use crate::board::{
    AuditState, BeaconScheme, Dispute, DisputeEntry, DisputeState, Rules, TaskState, unread,
};
use crate::{Act, Address, B256, Board, NodeError, Party, Role};

/// A keeper.
pub struct Keeper {
    party: Party,
    source: Option<Arc<dyn BeaconSource>>,
    feed: Option<Feed>,
}

/// Something that anybody may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Publish a round of the beacon.
    Publish(u64),
    /// Have a round that nobody published in time take the value of the beacon behind it.
    FallBack(u64),
    /// Decide about an audit.
    Decide(u64),
    /// An auditor missed its deadline.
    AuditTimeout(u64),
    /// An auditor's duty is over.
    Release(u64, u8),
    /// A dispute about a result that is gone.
    CloseMoot(u64),
    /// A side let its clock run out.
    ClaimTimeout(u64),
    /// Draw a referee.
    DrawReferee(u64),
    /// A referee missed its deadline.
    RefereeTimeout(u64),
    /// The clock of whoever is to move in the appeal has run out.
    AppealTimeout(u64),
    /// A ruling stood through its appeal window, or an appeal has an outcome.
    Finalize(u64),
    /// A provider missed its deadline.
    MissDeadline(u64),
    /// The provider of a result is removed for ever.
    Reverse(u64),
    /// A task that drew no claim.
    Expire(u64),
    /// A result that stood.
    Settle(u64),
    /// The bond of a challenge that was overtaken or never revealed.
    Reclaim(u64, u8, Address),
    /// What a convict loses with the others of its time.
    Penalise(Address),
    /// An auditor that said "matched" of a trap.
    PenaliseAuditor(u64, u8),
    /// The time in which finders of a trap are entered is over.
    CloseTrap(u64, u8),
    /// A pool's weight that is not the stake any more.
    Refresh(Digest, Address),
}

impl Keeper {
    /// A keeper.
    pub fn new(party: Party) -> Keeper {
        Keeper {
            party,
            source: None,
            feed: None,
        }
    }

    /// With somebody to ask for the rounds of a beacon that are made elsewhere.
    pub fn with_source(mut self, source: Arc<dyn BeaconSource>) -> Keeper {
        self.source = Some(source);
        self
    }

    async fn publish(&mut self, board: &Board, round: u64) -> Result<Option<Act>, NodeError> {
        let what = format!("publishes round {round} of the beacon");
        let beacon = board.contracts.beacon;
        if board.beacon.scheme == BeaconScheme::Development {
            let call = DevBeacon::publishCall { round };
            return self.party.act(board, beacon, call, what).await;
        }
        let Some(found) = self.feed(board, round).await?.take(round)? else {
            return Ok(None);
        };
        let call = DrandBeacon::publishCall {
            round,
            signature: found.point,
        };
        let last = match board.beacon.scheme {
            BeaconScheme::Fallback => Some(board.beacon.time_of(round) + board.beacon.slack),
            _ => None,
        };
        let party = self.party.until(last);
        party.act(board, beacon, call, what).await
    }

    /// Once the beacon behind it has a value.
    async fn fall_back(&self, board: &Board, round: u64) -> Result<Option<Act>, NodeError> {
        let (Some(other), Some(secrets)) = (
            board.beacon.fallback_of(round),
            board.beacon.secrets.as_ref(),
        ) else {
            return Ok(None);
        };
        let provider = self.party.account.network().provider();
        let contract = IBeacon::new(secrets.address, provider);
        let value = contract.valueOf(other).call().await;
        let value = value.map_err(|e| unread("the beacon behind drand", e))?;
        if value.is_zero() {
            return Ok(None);
        }
        let what = format!("has round {round} of the beacon take the value of secrets");
        let call = FallbackBeacon::fallBackCall { round };
        (self.party.act(board, board.contracts.beacon, call, what)).await
    }

    /// Where drand's rounds come from; the network is the one that the contract verifies.
    async fn feed(&mut self, board: &Board, round: u64) -> Result<&Feed, NodeError> {
        if self.feed.is_none() {
            let failed = |reason: String| NodeError::Beacon { round, reason };
            let source = self.source.clone().ok_or_else(|| {
                failed("it is drand's, and this keeper was given nobody to ask for it".to_owned())
            })?;
            let provider = self.party.account.network().provider();
            let contract = DrandBeacon::new(board.contracts.beacon, provider);
            let key = contract.publicKey().call().await;
            let key = key.map_err(|e| failed(format!("the contract's key: {e}")))?;
            let network = DrandNetwork::from_words(&key, board.beacon.genesis, board.beacon.period);
            let network = network.map_err(|e| failed(format!("the contract's key: {e}")))?;
            self.feed = Some(Feed::new(network, source));
        }
        self.feed.as_ref().ok_or(NodeError::Beacon {
            round,
            reason: "no feed".to_owned(),
        })
    }

    async fn do_chore(&mut self, board: &Board, chore: &Chore) -> Result<Option<Act>, NodeError> {
        match chore {
            Chore::Publish(round) => return self.publish(board, *round).await,
            Chore::FallBack(round) => return self.fall_back(board, *round).await,
            _ => {}
        }
        let (party, at) = (&self.party, &board.contracts);
        let id = |id: &u64| U256::from(*id);
        match chore {
            Chore::Publish(_) | Chore::FallBack(_) => Ok(None),
            Chore::Decide(task) => {
                let what = format!("has the beacon decide about an audit of task {task}");
                let call = IAudits::decideCall { taskId: id(task) };
                party.act(board, at.audits, call, what).await
            }
            Chore::AuditTimeout(task) => {
                let what = format!("reports the auditor of task {task} as late");
                let call = IAudits::auditTimeoutCall { taskId: id(task) };
                party.act(board, at.audits, call, what).await
            }
            Chore::Release(task, attempt) => {
                let what = format!("releases the auditor of task {task}");
                let call = IAudits::releaseAuditorCall {
                    taskId: id(task),
                    attempt: *attempt,
                };
                party.act(board, at.audits, call, what).await
            }
            Chore::CloseMoot(dispute) => {
                let what = format!("closes dispute {dispute}, which another verdict overtook");
                let call = ICourt::closeMootCall {
                    disputeId: id(dispute),
                };
                party.act(board, at.court, call, what).await
            }
            Chore::ClaimTimeout(dispute) => {
                let what = format!("claims the timeout in dispute {dispute}");
                let call = ICourt::claimTimeoutCall {
                    disputeId: id(dispute),
                };
                party.act(board, at.court, call, what).await
            }
            Chore::DrawReferee(dispute) => {
                let what = format!("draws the referee of dispute {dispute}");
                let call = ICourt::drawRefereeCall {
                    disputeId: id(dispute),
                };
                party.act(board, at.court, call, what).await
            }
            Chore::RefereeTimeout(dispute) => {
                let what = format!("reports the referee of dispute {dispute} as late");
                let call = ICourt::refereeTimeoutCall {
                    disputeId: id(dispute),
                };
                party.act(board, at.court, call, what).await
            }
            Chore::AppealTimeout(dispute) => {
                let what = format!("claims the timeout in the appeal of dispute {dispute}");
                let call = IAppealLevels::claimTimeoutCall {
                    court: at.court,
                    disputeId: id(dispute),
                };
                party.act(board, at.appeal_levels, call, what).await
            }
            Chore::Finalize(dispute) => {
                let what = format!("finalizes dispute {dispute}");
                let call = ICourt::finalizeCall {
                    disputeId: id(dispute),
                };
                party.act(board, at.court, call, what).await
            }
            Chore::MissDeadline(task) => {
                let what = format!("reports the result of task {task} as late");
                let call = Market::missDeadlineCall { taskId: id(task) };
                party.act(board, at.market, call, what).await
            }
            Chore::Reverse(task) => {
                let what = format!("reverses task {task}: its provider is tombstoned");
                let call = Market::reverseCall { taskId: id(task) };
                party.act(board, at.market, call, what).await
            }
            Chore::Expire(task) => {
                let what = format!("expires task {task}");
                let call = Market::expireCall { taskId: id(task) };
                party.act(board, at.market, call, what).await
            }
            Chore::Settle(task) => {
                let what = format!("settles task {task}");
                let call = Market::settleCall { taskId: id(task) };
                party.act(board, at.market, call, what).await
            }
            Chore::Reclaim(task, attempt, challenger) => {
                let what = format!("closes a challenge of task {task} that came to nothing");
                let call = ICourt::reclaimChallengeCall {
                    taskId: id(task),
                    attempt: *attempt,
                    challenger: *challenger,
                };
                party.act(board, at.court, call, what).await
            }
            Chore::Penalise(provider) => {
                let what = format!("burns what {provider} loses with the others of its time");
                let call = StakeVault::penaliseCorrelatedCall { key: *provider };
                party.act(board, at.vault, call, what).await
            }
            Chore::PenaliseAuditor(task, attempt) => {
                let what = format!("reports the auditor that let the trap of task {task} pass");
                let call = ITraps::penaliseAuditorCall {
                    taskId: id(task),
                    attempt: *attempt,
                };
                party.act(board, at.traps, call, what).await
            }
            Chore::CloseTrap(task, attempt) => {
                let what = format!("has the jackpot of task {task} shared out");
                let call = ITraps::closeCall {
                    taskId: id(task),
                    attempt: *attempt,
                };
                party.act(board, at.traps, call, what).await
            }
            Chore::Refresh(class, provider) => {
                let what = "brings a pool in line with the stakes";
                let call = ProviderPool::refreshCall {
                    classId: B256::from(class.0),
                    key: *provider,
                };
                party.act(board, at.pool, call, what).await
            }
        }
    }
}

#[async_trait]
impl Role for Keeper {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let mut missing = None;
        for chore in chores(board) {
            match self.do_chore(board, &chore).await {
                Ok(None) => {}
                // whoever has no round for us keeps us from nothing else
                Err(error @ NodeError::Beacon { .. }) => missing = Some(error),
                done => return done,
            }
        }
        missing.map_or(Ok(None), Err)
    }
}

/// Everything that anybody may do now, the most urgent first.
pub fn chores(board: &Board) -> Vec<Chore> {
    let mut chores = Vec::new();
    rounds(board, &mut chores);
    disputes(board, &mut chores);
    audits(board, &mut chores);
    challenges(board, &mut chores);
    tasks(board, &mut chores);
    convicts(board, &mut chores);
    traps(board, &mut chores);
    pools(board, &mut chores);
    chores
}

/// Rounds of the beacon that somebody waits for, whether or not they are due.
pub(crate) fn awaited(board: &Board) -> Vec<u64> {
    let undecided = board.tasks.iter().filter(|(_, entry)| {
        let task = &entry.task;
        task.state.is_committed() && !task.audit_pending && !task.audit_closed
    });
    let decisions = undecided.filter_map(|(id, _)| board.audit_round(*id));
    let committed = board.audits.values().map(|entry| &entry.audit);
    let openings = committed
        .filter(|audit| audit.state == AuditState::Committed)
        .map(|audit| board.beacon.round_after(audit.committed_at));
    let isolated = board.open_disputes().map(|(_, entry)| &entry.dispute);
    let draws = isolated
        .filter(|dispute| dispute.state == DisputeState::Isolated)
        .map(|dispute| board.beacon.round_after(dispute.isolated_at));
    let mut wanted: Vec<u64> = decisions.chain(openings).chain(draws).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

fn rounds(board: &Board, chores: &mut Vec<Chore>) {
    let (beacon, now) = (&board.beacon, board.now());
    for round in awaited(board) {
        if beacon.is_due(round, now) {
            chores.push(Chore::Publish(round));
        } else if beacon.falls_back(round, now) {
            chores.push(Chore::FallBack(round));
        }
    }
}

fn disputes(board: &Board, chores: &mut Vec<Chore>) {
    for (id, entry) in board.open_disputes() {
        let dispute = &entry.dispute;
        if board.is_moot(dispute) && dispute.state != DisputeState::Appealed {
            chores.push(Chore::CloseMoot(id));
            continue;
        }
        let Some(rules) = board.rules_of(dispute.task) else {
            continue;
        };
        let ready = match dispute.state {
            DisputeState::Level1 | DisputeState::SegmentWanted | DisputeState::Level2 => {
                (board.now() > game_deadline(dispute)).then_some(Chore::ClaimTimeout(id))
            }
            DisputeState::Isolated => {
                let round = board.beacon.round_after(dispute.isolated_at);
                board.beacon_value(round).map(|_| Chore::DrawReferee(id))
            }
            DisputeState::Refereed => {
                (board.now() > dispute.referee_deadline).then_some(Chore::RefereeTimeout(id))
            }
            DisputeState::Ruled => {
                let window = u64::from(rules.court.appeal_window);
                let last = dispute.ruled_at.saturating_add(window);
                (board.now() > last).then_some(Chore::Finalize(id))
            }
            DisputeState::Appealed => appealed(board, id, entry, rules),
            _ => None,
        };
        chores.extend(ready);
    }
}

/// An appeal that has ended, or lapsed, or whose clock has.
fn appealed(board: &Board, id: u64, entry: &DisputeEntry, rules: &Rules) -> Option<Chore> {
    let game = entry.appeal.game.as_ref()?;
    let osp = u64::from(rules.court.osp_seconds);
    let lapses = entry.dispute.appealed_at.saturating_add(osp);
    if game.outcome != AppealOutcome::Pending || board.now() > lapses {
        // an appeal is played to its end though another verdict came first
        return Some(match board.is_moot(&entry.dispute) {
            true => Chore::CloseMoot(id),
            false => Chore::Finalize(id),
        });
    }
    (board.now() > game.deadline()).then_some(Chore::AppealTimeout(id))
}

/// P-D5: last second at which the side to move still has a clock.
fn game_deadline(dispute: &Dispute) -> u64 {
    let clock = match dispute.turn {
        Side::Provider => dispute.provider_clock,
        Side::Challenger => dispute.challenger_clock,
    };
    dispute.turn_started_at.saturating_add(clock.into())
}

fn audits(board: &Board, chores: &mut Vec<Chore>) {
    for (id, entry) in &board.tasks {
        let task = &entry.task;
        let undecided = task.state.is_committed() && !task.audit_pending && !task.audit_closed;
        let round = board.audit_round(*id).filter(|_| undecided);
        let known = round.and_then(|round| board.beacon_value(round)).is_some();
        if known && !board.is_tombstoned(&task.provider) {
            chores.push(Chore::Decide(*id));
        }
    }
    for ((id, attempt), entry) in &board.audits {
        let audit = &entry.audit;
        let stands = board.task(*id).is_some_and(|task| {
            task.attempt == *attempt
                && task.state.is_committed()
                && !board.is_tombstoned(&task.provider)
        });
        let dispute = board.dispute(audit.dispute);
        match audit.state {
            AuditState::Drawn | AuditState::Committed if stands && board.now() > audit.deadline => {
                chores.push(Chore::AuditTimeout(*id));
            }
            AuditState::Drawn | AuditState::Committed if audit.on_duty && !stands => {
                chores.push(Chore::Release(*id, *attempt));
            }
            AuditState::Mismatched
                if audit.on_duty && dispute.is_some_and(|d| d.state.is_final()) =>
            {
                chores.push(Chore::Release(*id, *attempt));
            }
            _ => {}
        }
    }
}

/// Challenges without a dispute whose result is gone, or whose time to be revealed is.
fn challenges(board: &Board, chores: &mut Vec<Chore>) {
    for ((task, attempt, challenger), entry) in &board.challenges {
        if entry.closed || entry.dispute.is_some() {
            continue;
        }
        let Some(now_at) = board.task(*task) else {
            continue;
        };
        let overtaken = now_at.attempt != *attempt
            || !(now_at.state.is_committed() || now_at.state == TaskState::Settled);
        let late = now_at.state == TaskState::Settled
            || board
                .reveal_window(*task)
                .is_some_and(|(_, last)| board.now() > last);
        if overtaken || late {
            chores.push(Chore::Reclaim(*task, *attempt, *challenger));
        }
    }
}

fn tasks(board: &Board, chores: &mut Vec<Chore>) {
    for (id, entry) in &board.tasks {
        let task = &entry.task;
        let under_judgement = task.state == TaskState::Claimed || task.state.is_committed();
        if under_judgement && board.is_tombstoned(&task.provider) {
            chores.push(Chore::Reverse(*id));
        } else if task.state == TaskState::Claimed && board.now() > task.deadline {
            chores.push(Chore::MissDeadline(*id));
        } else if task.state == TaskState::Open
            && board.expires_at(*id).is_some_and(|last| board.now() > last)
        {
            chores.push(Chore::Expire(*id));
        } else if board.can_settle(*id) {
            chores.push(Chore::Settle(*id));
        }
    }
}

/// P-V6: the half window is over, and none of the convict's tasks is left to be reversed.
fn convicts(board: &Board, chores: &mut Vec<Chore>) {
    for (convict, due) in &board.convicts {
        let has_tasks = (board.providers.get(convict)).is_none_or(|p| p.live_tasks > 0);
        if board.now() >= *due && !has_tasks {
            chores.push(Chore::Penalise(*convict));
        }
    }
}

fn traps(board: &Board, chores: &mut Vec<Chore>) {
    for ((task, attempt), trap) in &board.traps {
        let matched = board
            .audits
            .get(&(*task, *attempt))
            .is_some_and(|entry| entry.audit.state == AuditState::Matched);
        if matched && trap.passed_by.is_none() {
            chores.push(Chore::PenaliseAuditor(*task, *attempt));
        } else if trap.share.is_none() && board.now() > trap.claims_until {
            chores.push(Chore::CloseTrap(*task, *attempt));
        }
    }
}

fn pools(board: &Board, chores: &mut Vec<Chore>) {
    for (class, members) in &board.pools {
        for (provider, weight) in members {
            let stale = board
                .providers
                .get(provider)
                .is_some_and(|p| p.tombstoned || p.free.saturating_add(p.locked) != *weight);
            if stale {
                chores.push(Chore::Refresh(*class, *provider));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Provider;

    #[test]
    fn a_convict_is_penalised_when_that_is_due_and_its_tasks_are_gone() {
        let convict = Address::repeat_byte(7);
        let mut board = Board::default();
        let standing = Provider {
            tombstoned: true,
            live_tasks: 1,
            ..Provider::default()
        };
        board.providers.insert(convict, standing);
        board.convicts.insert(convict, 100);
        for (now, live_tasks, due) in [(99, 0, false), (100, 1, false), (100, 0, true)] {
            board.head.time = now;
            if let Some(p) = board.providers.get_mut(&convict) {
                p.live_tasks = live_tasks;
            }
            let found = chores(&board).contains(&Chore::Penalise(convict));
            assert_eq!(found, due, "{now} {live_tasks}");
        }
    }
}
