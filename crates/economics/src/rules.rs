//! Every rule that the constructor of `Parameters` checks, in its order, with what was found and what was wanted.
//!
//! The twin of `contracts/src/lib/ParameterChecks.sol`; symbols as there: R price that a cheat forgoes, S stake that one
//! isolated fault costs, D gain, d detection, r collusion, b share of a slash that leaves to parties the cheater may control.

use std::fmt;

use gavel_settlement::alloy::primitives::{Address, U256};
use gavel_settlement::amount::exact;
use gavel_settlement::bindings::Parameters::{CourtParams, MarketParams, Params};
use serde::{Serialize, Serializer};

const BPS: u64 = 10_000;
const PPM: u64 = 1_000_000;
/// Rounds of both trees, with the segment's round and spare.
const ROUNDS_MAX: u64 = 20;
/// Rounds of the appeal levels.
const APPEAL_ROUNDS_MAX: u64 = 16;
const SECONDS_MAX: u64 = 365 * 86_400;
const MEMBERS_MAX: u64 = 1_024;
const CHAIN_MAX: u64 = 8;
const U24_MAX: u64 = (1 << 24) - 1;

/// How a number stands to the one that a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// It is something.
    NotZero,
    /// It is no more.
    AtMost,
    /// It is no less.
    AtLeast,
    /// It is less.
    Below,
    /// It is the same.
    Exactly,
}

/// One rule, and how parameters stand to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name in `spec/protocol.md`; `bounds` for plain ranges.
    pub rule: &'static str,
    /// The error that the constructor refuses with.
    pub error: &'static str,
    /// Which number, by the contract's name.
    pub what: &'static str,
    /// How it has to stand to `wanted`.
    pub bound: Bound,
    /// What it is.
    #[serde(serialize_with = "decimal")]
    pub found: U256,
    /// What it is held against.
    #[serde(serialize_with = "decimal")]
    pub wanted: U256,
}

fn decimal<S: Serializer>(number: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

impl Rule {
    /// Whether it is kept.
    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::NotZero => !self.found.is_zero(),
            Bound::AtMost => self.found <= self.wanted,
            Bound::AtLeast => self.found >= self.wanted,
            Bound::Below => self.found < self.wanted,
            Bound::Exactly => self.found == self.wanted,
        }
    }

    /// How far it is kept: what is spare, as a share of the larger number; below nothing where it is broken. `None` where
    /// there is no more and less.
    pub fn slack(&self) -> Option<f64> {
        let (found, wanted) = (f64::from(self.found), f64::from(self.wanted));
        let spare = match self.bound {
            Bound::NotZero | Bound::Exactly => return None,
            Bound::AtLeast => found - wanted,
            Bound::AtMost | Bound::Below => wanted - found,
        };
        Some(spare / found.max(wanted).max(1.0))
    }

    /// What the constructor says where it is broken.
    pub fn refusal(&self) -> String {
        let (error, what, found, wanted) = (self.error, self.what, self.found, self.wanted);
        match error {
            "Zero" => format!("{error}(what={what})"),
            "TooLarge" => format!("{error}(what={what}, value={found}, most={wanted})"),
            "SharesSum" => format!("{error}(sum={found}, wanted={wanted})"),
            "BurnFloor" => format!("{error}(burnBps={found}, leastBps={wanted})"),
            "RetractNotInsideWindow" => {
                format!("{error}(retractWindow={found}, challengeWindow={wanted})")
            }
            "IncrementAboveBudget" => {
                format!("{error}(clockIncrement={found}, clockBudget={wanted})")
            }
            "AuditRateTooLow" => format!("{error}(ratePpm={found}, leastPpm={wanted})"),
            "ExposureTooHigh" => format!("{error}(gainAtRisk={found}, expectedLoss={wanted})"),
            "UnbondingTooShort" => {
                format!("{error}(unbondingSeconds={found}, leastSeconds={wanted})")
            }
            "CorrelationWindowTooShort" => {
                format!("{error}(correlationWindowSeconds={found}, leastSeconds={wanted})")
            }
            "CorrelationWindowTooLong" => {
                format!("{error}(correlationWindowSeconds={found}, mostSeconds={wanted})")
            }
            "FreshRateTooLow" => format!("{error}(freshRatePpm={found}, leastPpm={wanted})"),
            "OspTooShort" => format!("{error}(ospSeconds={found}, leastSeconds={wanted})"),
            "RegistrationFeeTooLow" => format!("{error}(fee={found}, least={wanted})"),
            _ => format!("{error}({what}={found}, least={wanted})"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        // sums of money in tokens
        let shown = |number: U256| match (what, u128::try_from(number)) {
            ("auditLevy" | "registrationFee" | "minStake", Ok(units)) => exact(units),
            _ => number.to_string(),
        };
        let (found, wanted) = (shown(self.found), shown(self.wanted));
        match self.bound {
            Bound::NotZero => write!(f, "{what} = {found} is not 0"),
            Bound::AtMost => write!(f, "{what} = {found} <= {wanted}"),
            Bound::AtLeast => write!(f, "{what} = {found} >= {wanted}"),
            Bound::Below => write!(f, "{what} = {found} < {wanted}"),
            Bound::Exactly => write!(f, "{what} = {found} is {wanted}"),
        }
    }
}

/// The first rule that parameters break, as the constructor finds it.
pub fn broken(params: &Params) -> Option<Rule> {
    rules(params).into_iter().find(|rule| !rule.holds())
}

/// All rules in the constructor's order. Those about money are left out where a plain range is broken: they are about
/// numbers inside their ranges.
pub fn rules(params: &Params) -> Vec<Rule> {
    let mut list = List(Vec::new());
    list.windows(params);
    list.shares(params);
    list.bond(params);
    if list.0.iter().all(Rule::holds) {
        list.rate(params);
        list.exposure(params);
        list.audit_pool(params);
        list.unbonding(params);
        list.correlation(params);
    }
    list.0
}

/// Longest time from the opening of a dispute to its end.
pub fn dispute_seconds_max(c: &CourtParams) -> u64 {
    let game = 2 * (u64::from(c.clockBudget) + ROUNDS_MAX * u64::from(c.clockIncrement));
    let draws = 1 + u64::from(c.maxRedraws);
    let referees = draws * (u64::from(c.beaconSlack) + u64::from(c.refereeSeconds) + 1);
    let rulings = 1 + u64::from(c.maxEarlier);
    let appeals = rulings * (u64::from(c.appealWindow) + u64::from(c.ospSeconds));
    game + referees + appeals + 1
}

/// Bond of a challenge. P-C2.
pub fn bond(c: &CourtParams) -> u128 {
    let idle = c.freezeRate.saturating_mul(dispute_seconds_max(c).into());
    let work = c.providerGasCost.saturating_add(c.refereeFee);
    work.saturating_add(idle.min(c.freezeCap))
}

/// Two games of the appeal levels in which both sides run their clocks down.
fn osp_seconds_min(c: &CourtParams) -> u64 {
    4 * (u64::from(c.clockBudget) + APPEAL_ROUNDS_MAX * u64::from(c.clockIncrement))
}

/// From a result to the last moment at which a verdict about it may fall.
pub(crate) fn verdict_seconds_max(p: &Params) -> u64 {
    let a = &p.audit;
    let draws = 1 + u64::from(a.maxRedraws);
    let audit =
        2 * u64::from(p.court.beaconSlack) + u64::from(a.commitSeconds) + u64::from(a.openSeconds);
    let m = &p.market;
    let windows = [
        m.retractWindow,
        m.seedDelay,
        m.challengeWindow,
        m.revealWindow,
    ];
    windows.iter().map(|w| u64::from(*w)).sum::<u64>()
        + draws * audit
        + dispute_seconds_max(&p.court)
}

/// From a claim to the last moment at which its stake may still be called for.
pub(crate) fn unbonding_seconds_min(p: &Params) -> u64 {
    u64::from(p.market.execMax) + verdict_seconds_max(p) + u64::from(p.stake.unbondingMargin)
}

/// Fees of the audits that a newcomer causes beyond what its levies pay: its probation, and the way down to the floor.
pub(crate) fn registration_fee_min(p: &Params) -> U256 {
    let a = &p.audit;
    let fall = U256::from(a.freshRatePpm.saturating_sub(a.ratePpm));
    let above = match a.recordTasks {
        0 => U256::ZERO,
        tasks => U256::from(u64::from(tasks) + 1) * fall,
    };
    let whole = U256::from(2 * PPM);
    (U256::from(a.fee) * (whole * U256::from(a.probationTasks) + above)).div_ceil(whole)
}

/// Collateral that a task of this price ceiling locks.
pub(crate) fn collateral(m: &MarketParams, max_price: u128) -> U256 {
    let by_share = share(U256::from(max_price), m.collateralBps.into());
    by_share.max(U256::from(m.minCollateral))
}

/// S: what one isolated fault on the dearest task costs: its collateral and a share of what is not locked.
fn stake_at_fault(p: &Params) -> U256 {
    let locked = collateral(&p.market, p.market.maxTaskPrice);
    let most_locked = u64::from(p.market.maxLockedBps);
    let total = locked * U256::from(BPS) / U256::from(most_locked);
    let total = total.max(U256::from(p.stake.minStake));
    locked
        + share(
            share(total, BPS - most_locked),
            p.court.safetySlashBps.into(),
        )
}

/// Least audit rate: p >= D / (d (1-r) (R + (1-b) S)), in parts per million, rounded up. `None` where a wrong result costs
/// nothing at all.
pub(crate) fn audit_rate_min(p: &Params) -> Option<U256> {
    let dearest = U256::from(p.market.maxTaskPrice);
    let gain = share(dearest, p.economics.gainBps.into());
    let price = share(dearest, p.market.priceFloorBps.into());
    // 1-b is what nobody gets back: the burned share
    let loss = price + share(stake_at_fault(p), p.court.burnBps.into());
    let weighed = loss * U256::from(honest(p));
    if weighed.is_zero() {
        return None;
    }
    let gain = gain * U256::from(PPM) * U256::from(BPS * BPS);
    Some((gain + weighed - U256::from(1)) / weighed)
}

/// d (1-r), in units of 1e-8.
fn honest(p: &Params) -> u64 {
    u64::from(p.economics.detectionBps) * (BPS - u64::from(p.economics.colludingBps))
}

fn share(amount: U256, bps: u64) -> U256 {
    amount * U256::from(bps) / U256::from(BPS)
}

struct List(Vec<Rule>);

impl List {
    fn add(
        &mut self,
        (rule, error, what): (&'static str, &'static str, &'static str),
        found: impl Into<Number>,
        bound: Bound,
        wanted: impl Into<Number>,
    ) {
        self.0.push(Rule {
            rule,
            error,
            what,
            bound,
            found: found.into().0,
            wanted: wanted.into().0,
        });
    }

    fn not_zero(&mut self, what: &'static str, found: impl Into<Number>) {
        self.add(("bounds", "Zero", what), found, Bound::NotZero, 0u64);
    }

    fn at_most(&mut self, what: &'static str, found: impl Into<Number>, most: impl Into<Number>) {
        self.add(("bounds", "TooLarge", what), found, Bound::AtMost, most);
    }

    fn windows(&mut self, p: &Params) {
        let (m, c, a, s) = (&p.market, &p.court, &p.audit, &p.stake);
        self.not_zero("challengeWindow", m.challengeWindow);
        self.not_zero("revealWindow", m.revealWindow);
        self.not_zero("retractWindow", m.retractWindow);
        self.not_zero("seedDelay", m.seedDelay);
        self.not_zero("execMax", m.execMax);
        self.not_zero("openLifetime", m.openLifetime);
        self.not_zero("retryLifetime", m.retryLifetime);
        self.not_zero("jailSeconds", m.jailSeconds);
        self.not_zero("minThroughput", m.minThroughput);
        self.not_zero("clockBudget", c.clockBudget);
        self.not_zero("clockIncrement", c.clockIncrement);
        self.not_zero("refereeSeconds", c.refereeSeconds);
        self.not_zero("appealWindow", c.appealWindow);
        self.not_zero("beaconSlack", c.beaconSlack);
        self.not_zero("commitSeconds", a.commitSeconds);
        self.not_zero("openSeconds", a.openSeconds);
        self.not_zero("unbondingSeconds", s.unbondingSeconds);
        self.at_most("challengeWindow", m.challengeWindow, U24_MAX / 2);
        self.at_most("revealWindow", m.revealWindow, U24_MAX / 2);
        self.at_most("seedDelay", m.seedDelay, SECONDS_MAX);
        self.at_most("execMax", m.execMax, U24_MAX);
        self.at_most("openLifetime", m.openLifetime, SECONDS_MAX);
        self.at_most("retryLifetime", m.retryLifetime, SECONDS_MAX);
        self.at_most("retryGrace", m.retryGrace, m.retryLifetime);
        self.at_most("jailSeconds", m.jailSeconds, SECONDS_MAX);
        self.at_most("clockBudget", c.clockBudget, SECONDS_MAX);
        self.at_most("ospSeconds", c.ospSeconds, SECONDS_MAX);
        self.at_most("unbondingSeconds", s.unbondingSeconds, 10 * SECONDS_MAX);
        self.at_most("maxRedraws", u64::from(c.maxRedraws), CHAIN_MAX);
        self.at_most("maxEarlier", u64::from(c.maxEarlier), CHAIN_MAX);
        self.at_most("auditRedraws", u64::from(a.maxRedraws), CHAIN_MAX);
        let retract = ("P-T7", "RetractNotInsideWindow", "retractWindow");
        self.add(retract, m.retractWindow, Bound::Below, m.challengeWindow);
        let increment = ("P-D5", "IncrementAboveBudget", "clockIncrement");
        self.add(increment, c.clockIncrement, Bound::AtMost, c.clockBudget);
        if c.appealLevels != Address::ZERO {
            let osp = ("P-L11", "OspTooShort", "ospSeconds");
            self.add(osp, c.ospSeconds, Bound::AtLeast, osp_seconds_min(c));
        }
    }

    fn shares(&mut self, p: &Params) {
        let (m, c) = (&p.market, &p.court);
        let shares = [
            c.requesterBps,
            c.challengerBps,
            c.refereeBps,
            c.requeueBps,
            c.burnBps,
        ];
        let sum: u64 = shares.iter().map(|bps| u64::from(*bps)).sum();
        self.add(("P-V1", "SharesSum", "sum"), sum, Bound::Exactly, BPS);
        let burn = ("P-V1", "BurnFloor", "burnBps");
        self.add(burn, u64::from(c.burnBps), Bound::AtLeast, BPS / 2);
        self.at_most("safetySlashBps", u64::from(c.safetySlashBps), BPS);
        self.at_most("livenessBps", u64::from(m.livenessBps), BPS);
        self.not_zero("livenessBps", u64::from(m.livenessBps));
        self.at_most("priceFloorBps", u64::from(m.priceFloorBps), BPS);
        self.not_zero("collateralBps", m.collateralBps);
        self.not_zero("minCollateral", m.minCollateral);
        self.not_zero("maxLockedBps", u64::from(m.maxLockedBps));
        self.at_most("maxLockedBps", u64::from(m.maxLockedBps), BPS);
        self.at_most("ratePpm", p.audit.ratePpm, PPM);
        self.at_most("freshRatePpm", p.audit.freshRatePpm, PPM);
        self.not_zero("detectionBps", u64::from(p.economics.detectionBps));
        self.at_most("detectionBps", u64::from(p.economics.detectionBps), BPS);
        let colluding = u64::from(p.economics.colludingBps);
        self.at_most("colludingBps", colluding, BPS - 1);
        self.not_zero("gainBps", p.economics.gainBps);
        let u96_max = (1u128 << 96) - 1;
        self.not_zero("maxTaskPrice", m.maxTaskPrice);
        self.at_most("maxTaskPrice", m.maxTaskPrice, u96_max);
        self.at_most("minCollateral", m.minCollateral, u96_max);
        self.not_zero("minStake", p.stake.minStake);
        self.not_zero("maxMembers", p.stake.maxMembers);
        self.at_most("maxMembers", p.stake.maxMembers, MEMBERS_MAX);
        let multiplier = u64::from(p.stake.correlationMultiplier);
        self.not_zero("correlationMultiplier", multiplier);
    }

    fn bond(&mut self, p: &Params) {
        let c = &p.court;
        let u96_max = (1u128 << 96) - 1;
        self.not_zero("providerGasCost", c.providerGasCost);
        self.not_zero("refereeFee", c.refereeFee);
        self.not_zero("freezeRate", c.freezeRate);
        self.not_zero("freezeCap", c.freezeCap);
        self.not_zero("appealBond", c.appealBond);
        self.not_zero("refereePenalty", c.refereePenalty);
        self.not_zero("auditPenalty", p.audit.penalty);
        self.at_most("providerGasCost", c.providerGasCost, u96_max);
        self.at_most("refereeFee", c.refereeFee, u96_max);
        self.at_most("freezeRate", c.freezeRate, u96_max);
        self.at_most("freezeCap", c.freezeCap, u96_max);
    }

    fn rate(&mut self, p: &Params) {
        let rule = ("P-E1", "AuditRateTooLow", "ratePpm");
        let least = audit_rate_min(p).unwrap_or(U256::MAX);
        self.add(rule, p.audit.ratePpm, Bound::AtLeast, least);
        let rule = ("P-A1", "FreshRateTooLow", "freshRatePpm");
        self.add(rule, p.audit.freshRatePpm, Bound::AtLeast, p.audit.ratePpm);
    }

    fn exposure(&mut self, p: &Params) {
        let (m, e) = (&p.market, &p.economics);
        let locked = U256::from(u64::from(m.maxLockedBps));
        // per unit of stake, in 1e-8: gain on everything that may be open at once, expected loss of what is not locked
        let gain = locked * U256::from(e.gainBps) * U256::from(BPS) / U256::from(m.collateralBps);
        let honest = U256::from(p.audit.ratePpm) * U256::from(honest(p));
        let slash = u64::from(p.court.safetySlashBps) * u64::from(p.court.burnBps);
        let slash = U256::from(BPS - u64::from(m.maxLockedBps)) * U256::from(slash);
        let loss = honest * slash / U256::from(10u64.pow(18));
        let rule = ("P-E2", "ExposureTooHigh", "gainAtRisk");
        self.add(rule, Number(gain), Bound::AtMost, Number(loss));
    }

    fn audit_pool(&mut self, p: &Params) {
        let (a, s) = (&p.audit, &p.stake);
        let ppm = U256::from(PPM);
        let levy = (U256::from(a.fee) * U256::from(a.ratePpm) + ppm - U256::from(1)) / ppm;
        let rule = ("P-A4", "LevyTooLow", "auditLevy");
        self.add(rule, p.market.auditLevy, Bound::AtLeast, Number(levy));
        let fee = registration_fee_min(p);
        let rule = ("P-A4", "RegistrationFeeTooLow", "registrationFee");
        self.add(rule, s.registrationFee, Bound::AtLeast, Number(fee));
        let penalty = p.court.refereePenalty.max(a.penalty);
        let rule = ("P-R2", "MinStakeTooLow", "minStake");
        self.add(rule, s.minStake, Bound::AtLeast, penalty);
    }

    fn unbonding(&mut self, p: &Params) {
        let rule = ("P-V4", "UnbondingTooShort", "unbondingSeconds");
        let least = unbonding_seconds_min(p);
        self.add(rule, p.stake.unbondingSeconds, Bound::AtLeast, least);
    }

    fn correlation(&mut self, p: &Params) {
        let (window, what) = (p.stake.correlationWindowSeconds, "correlationWindowSeconds");
        let least = 2 * verdict_seconds_max(p);
        let rule = ("P-V6", "CorrelationWindowTooShort", what);
        self.add(rule, window, Bound::AtLeast, least);
        let most = 2 * u64::from(p.stake.unbondingSeconds) - 1;
        let rule = ("P-V6", "CorrelationWindowTooLong", what);
        self.add(rule, window, Bound::AtMost, most);
    }
}

/// A number of any width.
struct Number(U256);

macro_rules! numbers {
    ($($of:ty),*) => {$(
        impl From<$of> for Number {
            fn from(number: $of) -> Number {
                Number(U256::from(number))
            }
        }
    )*};
}
numbers!(u32, u64, u128, U256);
