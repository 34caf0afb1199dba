//! Attacks as arithmetic: what each brings on average beyond honest conduct, which number keeps that below nothing, and where that
//! number's bound is.
//!
//! What parameters are, and what the world is like, are two things here: [`Params`] are a network's, [`Assumptions`] say what
//! cheating, computing and waiting are worth in it. A network whose parameters were solved for other assumptions can be attacked.
//!
//! With `p' = p d (1-r)`, D the gain from one wrong result, R the price forgone, S what one fault costs, b its burned share:
//!
//! | attack | brings | number |
//! |---|---|---|
//! | unaudited | `D - p' (R + S)`, alone | audit rate p |
//! | self-challenge | `D - p' (R + b S)`: all but the burned share comes back | burned share b |
//! | collusion | the same | honest share of the auditors `1-r` |
//! | stake reuse | `n D - p' b s (1-L) T`, `n = L T / c` tasks open at once | locked share L |
//! | griefing | gas, fee and idle time imposed on the provider, less the bond | bond |
//! | re-entry | `D - p' (R + b S + F)`: a ban costs no more than another registration F | slashed share s |
//! | lazy audit | the cost of a run, less fee and penalty | fee and penalty |
//! | beacon | `D - p^k d (1-r) (R + b S)`: the best of k draws counts | draws k |

use gavel_settlement::bindings::Parameters::Params;
use serde::Serialize;

use crate::Assumptions;
use crate::rules::{collateral, dispute_seconds_max};
use crate::solve::AUDITOR_GAS;

/// An attack with a closed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedForm {
    /// Wrong results where nobody but the system looks.
    Unaudited,
    /// Having a friend convict oneself when it is lost anyway.
    SelfChallenge,
    /// Auditors that look away for a friend.
    Collusion,
    /// Wrong results on everything that one stake stands behind.
    StakeReuse,
    /// Freezing a rival by false challenges.
    Griefing,
    /// Coming back under another name after each ban.
    Reentry,
    /// Auditing without running anything.
    LazyAudit,
    /// Choosing among values of the beacon.
    BeaconRedraws,
}

/// The numbers of [`ClosedForm`]'s table, amounts in units of the asset.
struct Terms {
    rate: f64,
    detected: f64,
    honest: f64,
    gain: f64,
    price: f64,
    collateral: f64,
    /// What is not locked of the stake behind one task, of which a share is slashed.
    unlocked: f64,
    slashed: f64,
    burned: f64,
    stake: f64,
    locked: f64,
    registration: f64,
}

impl Terms {
    fn of(p: &Params, a: &Assumptions) -> Terms {
        let dearest = p.market.maxTaskPrice;
        let collateral: u128 = collateral(&p.market, dearest).saturating_to();
        let locked = bps(p.market.maxLockedBps.into());
        // who may claim the dearest task has at least so much
        let stake = (collateral as f64 / locked).max(p.stake.minStake as f64);
        Terms {
            rate: f64::from(p.audit.ratePpm) / 1e6,
            detected: bps(a.detection_bps.into()),
            honest: 1.0 - bps(a.colluding_bps.into()),
            gain: a.gain.0 as f64,
            price: dearest as f64 * bps(p.market.priceFloorBps.into()),
            collateral: collateral as f64,
            unlocked: stake * (1.0 - locked),
            slashed: bps(p.court.safetySlashBps.into()),
            burned: bps(p.court.burnBps.into()),
            stake: p.stake.minStake as f64,
            locked,
            registration: p.stake.registrationFee as f64,
        }
    }

    /// S.
    fn fault(&self) -> f64 {
        self.collateral + self.slashed * self.unlocked
    }

    /// p'.
    fn caught(&self) -> f64 {
        self.rate * self.detected * self.honest
    }

    /// p' b s T: what a conviction burns of the stake, in the mean and per unlocked unit.
    fn burned_at_once(&self) -> f64 {
        self.caught() * self.burned * self.slashed
    }
}

fn bps(share: u32) -> f64 {
    f64::from(share) / 1e4
}

fn to_bps(share: f64) -> u16 {
    (share * 1e4).round().clamp(0.0, 1e4) as u16
}

/// What a challenge costs its maker if it fails.
fn bond(p: &Params) -> f64 {
    crate::rules::bond(&p.court) as f64
}

/// What the longest dispute costs the provider that is cleared in the end: gas, the referee, and its machine's idle hours.
fn imposed(p: &Params, a: &Assumptions) -> f64 {
    let hours = dispute_seconds_max(&p.court) as f64 / 3_600.0;
    p.court.providerGasCost as f64 + p.court.refereeFee as f64 + hours * a.hour.0 as f64
}

/// What an honest audit costs.
fn audit_cost(a: &Assumptions) -> f64 {
    a.cost.0 as f64 + a.gas_price.0 as f64 * AUDITOR_GAS as f64 / 1e6
}

impl ClosedForm {
    /// All of them.
    pub const ALL: [ClosedForm; 8] = [
        ClosedForm::Unaudited,
        ClosedForm::SelfChallenge,
        ClosedForm::Collusion,
        ClosedForm::StakeReuse,
        ClosedForm::Griefing,
        ClosedForm::Reentry,
        ClosedForm::LazyAudit,
        ClosedForm::BeaconRedraws,
    ];

    /// The number that decides, by its name in a file of parameters or of assumptions.
    pub fn number(self) -> &'static str {
        match self {
            ClosedForm::Unaudited => "rate_ppm",
            ClosedForm::SelfChallenge => "burn_bps",
            ClosedForm::Collusion => "honest share of the auditors",
            ClosedForm::StakeReuse => "max_locked_bps",
            ClosedForm::Griefing => "bond",
            ClosedForm::Reentry => "safety_slash_bps",
            ClosedForm::LazyAudit => "fee and penalty",
            ClosedForm::BeaconRedraws => "draws",
        }
    }

    /// Whether more of the number is worse for the attacker.
    pub fn wants_more(self) -> bool {
        !matches!(self, ClosedForm::StakeReuse | ClosedForm::BeaconRedraws)
    }

    /// What it brings on average beyond honest conduct, in units of the asset. `draws` of the beacon are one, unless somebody can
    /// choose.
    pub fn advantage(self, p: &Params, a: &Assumptions, draws: f64) -> f64 {
        let t = Terms::of(p, a);
        let caught = t.caught();
        let ring = t.price + t.burned * t.fault();
        match self {
            ClosedForm::Unaudited => t.gain - caught * (t.price + t.fault()),
            ClosedForm::SelfChallenge | ClosedForm::Collusion => t.gain - caught * ring,
            ClosedForm::StakeReuse => {
                let open = t.locked * t.stake / t.collateral;
                open * t.gain - t.burned_at_once() * (1.0 - t.locked) * t.stake
            }
            ClosedForm::Griefing => imposed(p, a) - bond(p),
            ClosedForm::Reentry => t.gain - caught * (ring + t.registration),
            ClosedForm::LazyAudit => audit_cost(a) - (p.audit.fee + p.audit.penalty) as f64,
            ClosedForm::BeaconRedraws => t.gain - t.rate.powf(draws) * t.detected * t.honest * ring,
        }
    }

    /// The number as it is.
    pub fn found(self, p: &Params, a: &Assumptions) -> f64 {
        let t = Terms::of(p, a);
        match self {
            ClosedForm::Unaudited => t.rate,
            ClosedForm::SelfChallenge => t.burned,
            ClosedForm::Collusion => t.honest,
            ClosedForm::StakeReuse => t.locked,
            ClosedForm::Griefing => bond(p),
            ClosedForm::Reentry => t.slashed,
            ClosedForm::LazyAudit => (p.audit.fee + p.audit.penalty) as f64,
            ClosedForm::BeaconRedraws => 1.0,
        }
    }

    /// Where the attack brings nothing: the number's bound, all others as they are. Nothing or less where the others suffice.
    pub fn bound(self, p: &Params, a: &Assumptions) -> f64 {
        let t = Terms::of(p, a);
        // what being caught once has to cost
        let due = t.gain / t.caught();
        let ring = t.price + t.burned * t.fault();
        match self {
            ClosedForm::Unaudited => t.gain / (t.detected * t.honest * (t.price + t.fault())),
            ClosedForm::SelfChallenge => (due - t.price) / t.fault(),
            ClosedForm::Collusion => t.gain / (t.rate * t.detected * ring),
            ClosedForm::StakeReuse => {
                let loss = t.burned_at_once();
                loss / (loss + t.gain / t.collateral)
            }
            ClosedForm::Griefing => imposed(p, a),
            ClosedForm::Reentry => {
                ((due - t.price - t.registration) / t.burned - t.collateral) / t.unlocked
            }
            ClosedForm::LazyAudit => audit_cost(a),
            ClosedForm::BeaconRedraws => {
                (t.gain / (t.detected * t.honest * ring)).ln() / t.rate.ln()
            }
        }
    }

    /// Gives the number another value, in the parameters or in the world. Draws are an argument of [`Self::advantage`].
    pub fn set(self, p: &mut Params, a: &mut Assumptions, value: f64) {
        match self {
            ClosedForm::Unaudited => p.audit.ratePpm = (value * 1e6).round() as u32,
            ClosedForm::SelfChallenge => {
                let c = &mut p.court;
                // what is not burned goes to the challenger, so that the shares stay the whole
                let others = c.requesterBps + c.refereeBps + c.requeueBps;
                c.burnBps = to_bps(value).min(10_000 - others);
                c.challengerBps = 10_000 - others - c.burnBps;
            }
            ClosedForm::Collusion => a.colluding_bps = 10_000 - to_bps(value),
            ClosedForm::StakeReuse => p.market.maxLockedBps = to_bps(value),
            ClosedForm::Griefing => {
                let fixed = (p.court.providerGasCost + p.court.refereeFee) as f64;
                p.court.freezeCap = (value - fixed).max(1.0) as u128;
                p.court.freezeRate = p.court.freezeCap;
            }
            ClosedForm::Reentry => p.court.safetySlashBps = to_bps(value),
            ClosedForm::LazyAudit => {
                p.audit.fee = (value / 3.0) as u128;
                p.audit.penalty = (value * 2.0 / 3.0) as u128;
            }
            ClosedForm::BeaconRedraws => {}
        }
    }
}
