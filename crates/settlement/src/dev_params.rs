//! Development parameters: small amounts, short windows, and every rule of `ParameterChecks` kept.

use alloy::primitives::{Address, U256};

pub use crate::amount::TOKEN as UNIT;
use crate::bindings::Parameters::{
    AuditParams, CourtParams, EconomicParams, MarketParams, Params, StakeParams,
};

/// An audit rate at which the exposure rule holds with the least collateral of [`DevParams`].
const COLLATERAL_TIMES_RATE: u64 = 16_666_666_667; // bps x ppm: 2.5e11 / 15, see `collateral_bps`
const COLLATERAL_BPS_MIN: u64 = 80_000;

/// How long the windows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// As in the contracts' tests: minutes to hours.
    #[default]
    Normal,
    /// For demonstrations: seconds to minutes.
    Fast,
}

/// What a development network may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevParams {
    /// Share of results that are audited, in parts per million; collateral grows as it falls.
    pub audit_rate_ppm: u32,
    /// First tasks of a provider that are always audited.
    pub probation_tasks: u32,
    /// Tasks after them over which the rate falls from twice `audit_rate_ppm` to it.
    pub record_tasks: u32,
    /// How long the windows are.
    pub windows: Windows,
}

impl Default for DevParams {
    fn default() -> Self {
        DevParams {
            audit_rate_ppm: 250_000,
            probation_tasks: 3,
            record_tasks: 7,
            windows: Windows::Normal,
        }
    }
}

/// Lengths in seconds.
struct Seconds {
    jail: u32,
    exec_max: u32,
    challenge: u32,
    reveal: u32,
    retract: u32,
    seed_delay: u32,
    open_lifetime: u32,
    retry_grace: u32,
    retry_lifetime: u32,
    clock: u32,
    increment: u32,
    referee: u32,
    appeal: u32,
    osp: u32,
    beacon_slack: u32,
    audit_commit: u32,
    audit_open: u32,
    unbonding: u32,
    margin: u32,
    correlation: u32,
}

const NORMAL: Seconds = Seconds {
    jail: 3_600,
    exec_max: 3_600,
    challenge: 600,
    reveal: 300,
    retract: 120,
    seed_delay: 30,
    open_lifetime: 86_400,
    retry_grace: 60,
    retry_lifetime: 3_600,
    clock: 3_600,
    increment: 60,
    referee: 1_800,
    appeal: 1_800,
    osp: 20_000,
    beacon_slack: 60,
    audit_commit: 600,
    audit_open: 600,
    unbonding: 2 * 86_400,
    margin: 3_600,
    correlation: 2 * 86_400,
};

const FAST: Seconds = Seconds {
    jail: 60,
    exec_max: 300,
    challenge: 60,
    reveal: 30,
    retract: 20,
    seed_delay: 5,
    open_lifetime: 600,
    retry_grace: 10,
    retry_lifetime: 600,
    clock: 300,
    increment: 10,
    referee: 60,
    appeal: 60,
    osp: 1_900,
    beacon_slack: 15,
    audit_commit: 60,
    audit_open: 60,
    unbonding: 10_800,
    margin: 60,
    correlation: 18_000,
};

/// The parameters of a development network. Amounts have 18 decimals.
pub fn dev_params(choice: DevParams) -> Params {
    let seconds = match choice.windows {
        Windows::Normal => NORMAL,
        Windows::Fast => FAST,
    };
    let fee = UNIT;
    let fresh_rate_ppm = choice.audit_rate_ppm.saturating_mul(2).min(1_000_000);
    Params {
        market: market(choice.audit_rate_ppm, fee, &seconds),
        court: court(&seconds),
        audit: AuditParams {
            ratePpm: choice.audit_rate_ppm,
            probationTasks: choice.probation_tasks,
            freshRatePpm: fresh_rate_ppm,
            recordTasks: choice.record_tasks,
            commitSeconds: seconds.audit_commit,
            openSeconds: seconds.audit_open,
            maxRedraws: 2,
            fee,
            penalty: 2 * UNIT,
        },
        stake: StakeParams {
            minStake: 100 * UNIT,
            registrationFee: fee * u128::from(choice.probation_tasks.max(3))
                + above_the_floor(choice, fresh_rate_ppm, fee),
            unbondingSeconds: seconds.unbonding,
            unbondingMargin: seconds.margin,
            maxMembers: 64,
            correlationWindowSeconds: seconds.correlation,
            correlationMultiplier: 3,
        },
        economics: EconomicParams {
            gainBps: 10_000,
            detectionBps: 10_000,
            colludingBps: 2_000,
        },
    }
}

/// Fees of the audits on the way from the fresh rate to the floor, on the average.
fn above_the_floor(choice: DevParams, fresh_rate_ppm: u32, fee: u128) -> u128 {
    let steps = match choice.record_tasks {
        0 => 0,
        tasks => u128::from(tasks) + 1,
    };
    let fall = u128::from(fresh_rate_ppm.saturating_sub(choice.audit_rate_ppm));
    (fee * steps * fall).div_ceil(2_000_000)
}

/// Collateral as a share of the price ceiling that keeps rule P-E2 (open exposure <= expected loss) at this rate:
/// `maxLockedBps gain / collateralBps <= rate d (1-r) (1 - maxLocked) safetySlash burn` with the shares used here.
fn collateral_bps(audit_rate_ppm: u32) -> u32 {
    let least = COLLATERAL_TIMES_RATE.div_ceil(u64::from(audit_rate_ppm.max(1)));
    least.max(COLLATERAL_BPS_MIN).try_into().unwrap_or(u32::MAX)
}

fn market(audit_rate_ppm: u32, audit_fee: u128, seconds: &Seconds) -> MarketParams {
    MarketParams {
        maxTaskPrice: 100 * UNIT,
        minThroughput: 1_000_000_000,
        execMax: seconds.exec_max,
        priceFloorBps: 0,
        retryEvery: 2,
        auditLevy: (audit_fee * u128::from(audit_rate_ppm)).div_ceil(1_000_000),
        challengeWindow: seconds.challenge,
        revealWindow: seconds.reveal,
        retractWindow: seconds.retract,
        seedDelay: seconds.seed_delay,
        minCollateral: UNIT,
        collateralBps: collateral_bps(audit_rate_ppm),
        maxLockedBps: 2_500,
        livenessBps: 1_000,
        jailSeconds: seconds.jail,
        openLifetime: seconds.open_lifetime,
        retryGrace: seconds.retry_grace,
        retryLifetime: seconds.retry_lifetime,
    }
}

fn court(seconds: &Seconds) -> CourtParams {
    CourtParams {
        clockBudget: seconds.clock,
        clockIncrement: seconds.increment,
        refereeSeconds: seconds.referee,
        appealWindow: seconds.appeal,
        ospSeconds: seconds.osp,
        beaconSlack: seconds.beacon_slack,
        maxRedraws: 2,
        maxEarlier: 2,
        safetySlashBps: 5_000,
        unused: 0,
        requesterBps: 1_000,
        challengerBps: 2_500,
        refereeBps: 500,
        requeueBps: 1_000,
        burnBps: 5_000,
        reserved: U256::ZERO.to(),
        providerGasCost: UNIT,
        refereeFee: UNIT,
        freezeRate: UNIT / 10_000,
        freezeCap: 3 * UNIT,
        refereePenalty: 2 * UNIT,
        appealBond: 3 * UNIT,
        appealLevels: Address::ZERO,
    }
}
