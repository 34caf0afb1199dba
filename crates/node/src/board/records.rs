//! Records of the contracts' views as plain values.

use gavel_dispute::Side;
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings as chain;
use gavel_settlement::bindings::{IAppealLevels, IAudits, ICourt, Market, Parameters, StakeVault};
use gavel_trace::{Digest, ModelHeader};

use crate::{B256, NodeError};

use super::{
    AppealGame, Audit, AuditRules, AuditState, CourtRules, Dispute, DisputeState, MarketRules,
    Provider, Rules, StakeRules, Task, TaskState,
};

/// Ids run from 1 and are counted one by one, so they fit.
pub(super) fn id(value: U256) -> Result<u64, NodeError> {
    u64::try_from(value).map_err(|_| NodeError::Impossible(format!("id {value}")))
}

pub(super) fn digest(value: B256) -> Digest {
    Digest(value.0)
}

fn unknown(error: chain::UnknownState) -> NodeError {
    NodeError::Impossible(error.to_string())
}

pub(super) fn task(t: &Market::Task) -> Result<Task, NodeError> {
    use chain::TaskState as S;
    let state = match S::try_from(t.state).map_err(unknown)? {
        S::None => return Err(NodeError::Impossible("a task without a state".to_owned())),
        S::Open => TaskState::Open,
        S::Claimed => TaskState::Claimed,
        S::Committed => TaskState::Committed,
        S::Disputed => TaskState::Disputed,
        S::Settled => TaskState::Settled,
        S::Cancelled => TaskState::Cancelled,
        S::Expired => TaskState::Expired,
    };
    Ok(Task {
        requester: t.requester,
        model: digest(t.modelId),
        class: digest(t.classId),
        input_digest: digest(t.inputDigest),
        seed: t.seed,
        state,
        attempt: t.attempt,
        opened_at: t.openedAt,
        min_price: t.minPrice,
        max_price: t.maxPrice,
        ramp_seconds: t.rampSeconds,
        exec_seconds: t.execSeconds,
        provider: t.provider,
        price: t.price,
        collateral: t.collateral,
        deadline: t.deadline,
        committed_at: t.committedAt,
        steps: t.steps,
        output_digest: digest(t.outputDigest),
        trace_root: digest(t.traceRoot),
        open_challenges: t.openChallenges,
        audit_pending: t.auditPending,
        audit_closed: t.auditClosed,
    })
}

pub(super) fn dispute(d: &ICourt::Dispute) -> Result<Dispute, NodeError> {
    use chain::DisputeState as S;
    let state = match S::try_from(d.state).map_err(unknown)? {
        S::None => {
            return Err(NodeError::Impossible(
                "a dispute without a state".to_owned(),
            ));
        }
        S::Level1 => DisputeState::Level1,
        S::SegmentWanted => DisputeState::SegmentWanted,
        S::Level2 => DisputeState::Level2,
        S::Isolated => DisputeState::Isolated,
        S::Refereed => DisputeState::Refereed,
        S::Ruled => DisputeState::Ruled,
        S::Appealed => DisputeState::Appealed,
        S::Upheld => DisputeState::Upheld,
        S::Cleared => DisputeState::Cleared,
        S::Void => DisputeState::Void,
    };
    Ok(Dispute {
        task: id(d.taskId)?,
        attempt: d.attempt,
        provider: d.provider,
        challenger: d.challenger,
        state,
        turn: side(d.turn)?,
        turn_started_at: d.turnStartedAt,
        provider_clock: d.providerClock,
        challenger_clock: d.challengerClock,
        bond: d.bond,
        node: digest(d.dissection.node),
        height: d.dissection.height,
        index: d.dissection.index,
        row_hash: d.dissection.rowHash,
        leaf_index: d.level1.leafIndex,
        leaf: digest(d.level1.leaf),
        previous_leaf: digest(d.level1.previousLeaf),
        ops_root: digest(d.level2.opsRoot),
        in_live: d.level2.inLive,
        first_node: d.level2.firstNode,
        op_count: d.level2.opCount,
        live_count: d.level2.liveCount,
        isolated_index: d.isolated.isolatedIndex,
        claimed_digest: digest(d.isolated.claimedDigest),
        isolated_at: d.ruling.isolatedAt,
        referee: d.ruling.referee,
        draws: d.ruling.draws,
        referee_deadline: d.ruling.refereeDeadline,
        ruled_digest: digest(d.ruling.ruledDigest),
        ruled_guilty: d.ruling.ruledGuilty,
        ruled_at: d.ruling.ruledAt,
        opened_at: d.openedAt,
        earlier: d.earlier,
        hops: d.hops,
        appealed_at: d.appealedAt,
    })
}

pub(super) fn appeal_game(g: &IAppealLevels::AppealGame) -> Result<AppealGame, NodeError> {
    Ok(AppealGame {
        phase: g.phase.try_into().map_err(unknown)?,
        turn: side(g.turn)?,
        replay: g.replay,
        outcome: g.outcome.try_into().map_err(unknown)?,
        defender: g.defender,
        accuser: g.accuser,
        turn_started_at: g.turnStartedAt,
        defender_clock: g.defenderClock,
        accuser_clock: g.accuserClock,
        node: digest(g.node),
        height: g.height,
        index: g.index,
        element: g.element,
        value: g.value,
        start: digest(g.start),
        end: digest(g.end),
        first_batch: g.firstBatch,
        batches: g.batches,
    })
}

fn side(value: u8) -> Result<Side, NodeError> {
    Ok(match chain::Side::try_from(value).map_err(unknown)? {
        chain::Side::Provider => Side::Provider,
        chain::Side::Challenger => Side::Challenger,
    })
}

pub(super) fn audit(a: &IAudits::Audit) -> Result<Audit, NodeError> {
    use chain::AuditState as S;
    let state = match S::try_from(a.state).map_err(unknown)? {
        S::None => AuditState::None,
        S::NotDrawn => AuditState::NotDrawn,
        S::Drawn => AuditState::Drawn,
        S::Committed => AuditState::Committed,
        S::Matched => AuditState::Matched,
        S::Mismatched => AuditState::Mismatched,
        S::Moot => AuditState::Moot,
        S::Waived => AuditState::Waived,
    };
    Ok(Audit {
        task: id(a.taskId)?,
        attempt: a.attempt,
        state,
        auditor: a.auditor,
        draws: a.draws,
        drawn_at: a.drawnAt,
        deadline: a.deadline,
        salted_root: digest(a.saltedRoot),
        root_commitment: a.rootCommitment,
        leaf_index: a.leafIndex,
        committed_at: a.committedAt,
        dispute: id(a.disputeId)?,
        on_duty: a.onDuty,
    })
}

pub(super) fn provider(p: &StakeVault::Provider) -> Provider {
    Provider {
        owner: p.owner,
        payout: p.payout,
        free: p.free,
        locked: p.locked,
        unbonding: p.unbonding,
        frozen: p.frozen,
        jailed_until: p.jailedUntil,
        tombstoned: p.tombstoned,
        live_tasks: p.liveTasks,
        max_concurrency: p.maxConcurrency,
        settled_tasks: p.settledTasks,
        registered_at: p.registeredAt,
    }
}

pub(super) fn header(h: &Market::ModelHeader) -> ModelHeader {
    ModelHeader {
        numerics_version: h.numericsVersion,
        lowering_version: h.loweringVersion,
        node_count: h.nodeCount,
        max_steps: h.maxSteps,
        commit_points: h.commitPoints,
        trace_height: h.traceHeight,
        ops_height: h.opsHeight,
        live_height: h.liveHeight,
        work: h.work,
        nodes_root: digest(h.nodesRoot),
        edges_root: digest(h.edgesRoot),
        weights_root: digest(h.weightsRoot),
        segments_root: digest(h.segmentsRoot),
        assets_root: digest(h.assetsRoot),
    }
}

pub(super) fn rules(p: &Parameters::Params) -> Rules {
    let (m, c, a, s) = (&p.market, &p.court, &p.audit, &p.stake);
    Rules {
        market: MarketRules {
            max_task_price: m.maxTaskPrice,
            min_throughput: m.minThroughput,
            exec_max: m.execMax,
            price_floor_bps: m.priceFloorBps,
            retry_every: m.retryEvery,
            audit_levy: m.auditLevy,
            challenge_window: m.challengeWindow,
            reveal_window: m.revealWindow,
            retract_window: m.retractWindow,
            seed_delay: m.seedDelay,
            min_collateral: m.minCollateral,
            collateral_bps: m.collateralBps,
            max_locked_bps: m.maxLockedBps,
            open_lifetime: m.openLifetime,
            retry_grace: m.retryGrace,
            retry_lifetime: m.retryLifetime,
        },
        court: CourtRules {
            clock_budget: c.clockBudget,
            clock_increment: c.clockIncrement,
            referee_seconds: c.refereeSeconds,
            appeal_window: c.appealWindow,
            max_redraws: c.maxRedraws,
            max_earlier: c.maxEarlier,
            provider_gas_cost: c.providerGasCost,
            referee_fee: c.refereeFee,
            appeal_bond: c.appealBond,
            osp_seconds: c.ospSeconds,
            beacon_slack: c.beaconSlack,
        },
        audit: AuditRules {
            rate_ppm: a.ratePpm,
            probation_tasks: a.probationTasks,
            fresh_rate_ppm: a.freshRatePpm,
            record_tasks: a.recordTasks,
            commit_seconds: a.commitSeconds,
            open_seconds: a.openSeconds,
            max_redraws: a.maxRedraws,
        },
        stake: StakeRules {
            min_stake: s.minStake,
            registration_fee: s.registrationFee,
            unbonding_seconds: s.unbondingSeconds,
        },
    }
}
