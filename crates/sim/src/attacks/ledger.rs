//! Who is how much richer or poorer by an attack, to the unit.

use std::collections::BTreeMap;

use gavel_settlement::amount::TOKEN;
use serde::Serialize;

use super::arena::{Arena, Played};
use crate::{Amount, Change, DisputeReport, Report, cast};

/// A chance in units of 1e-14: audit rate, detection and the honest share of the auditors multiplied have so many decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chance(pub(super) u128);

impl Chance {
    /// What always happens.
    pub(super) const SURE: Chance = Chance(100_000_000_000_000);

    /// From parts per million.
    pub(super) fn of_ppm(ppm: u32) -> Chance {
        Chance(u128::from(ppm) * 100_000_000)
    }

    /// What else there is.
    pub(super) fn not(self) -> Chance {
        Chance(Chance::SURE.0.saturating_sub(self.0))
    }

    /// That both happen.
    pub(super) fn and(self, other: Chance) -> Chance {
        Chance(self.0 * other.0 / Chance::SURE.0)
    }

    /// As a share.
    pub(super) fn share(self) -> f64 {
        self.0 as f64 / Chance::SURE.0 as f64
    }
}

/// On whose side somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Of the ring that attacks.
    Attacker,
    /// Everybody else.
    Victim,
}

/// One gain or loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Whose.
    pub who: String,
    /// On which side.
    pub side: Side,
    /// Of what.
    pub what: String,
    /// How much.
    pub change: Change,
}

/// What comes of an attack in one case.
#[derive(Clone, Debug, Serialize)]
pub struct Branch {
    /// Which.
    pub case: String,
    /// How likely it is.
    pub chance: f64,
    /// Every gain and loss.
    pub entries: Vec<Entry>,
    #[serde(skip)]
    weight: u128,
}

/// What an attack brings, over all its cases.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The cases, whose chances are 1 together.
    pub branches: Vec<Branch>,
    /// What the ring has won or lost on average, a fraction of a unit counted as one for it.
    pub attacker: Change,
    /// What everybody else has, a fraction counted against them.
    pub victims: Change,
}

impl Outcome {
    /// Of something that always ends alike.
    pub(super) fn sure(case: &str, entries: Vec<Entry>) -> Outcome {
        Outcome::of(vec![(case, Chance::SURE, entries)])
    }

    /// Of cases with their chances.
    pub(super) fn of(cases: Vec<(&str, Chance, Vec<Entry>)>) -> Outcome {
        let branches: Vec<Branch> = (cases.into_iter())
            .map(|(case, chance, entries)| Branch {
                case: case.to_owned(),
                chance: chance.share(),
                entries,
                weight: chance.0,
            })
            .collect();
        let sum = |side| -> i128 {
            let weighed = branches.iter().map(|b| b.sum(side) * b.weight as i128);
            weighed.sum()
        };
        let sure = Chance::SURE.0 as i128;
        let attacker = -(-sum(Side::Attacker)).div_euclid(sure);
        let victims = sum(Side::Victim).div_euclid(sure);
        Outcome {
            attacker: Change(attacker),
            victims: Change(victims),
            branches,
        }
    }

    /// Whether it pays.
    pub fn pays(&self) -> bool {
        self.attacker.0 > 0
    }
}

impl Branch {
    fn sum(&self, side: Side) -> i128 {
        let of_side = self.entries.iter().filter(|e| e.side == side);
        of_side.map(|e| e.change.0).sum()
    }
}

/// Entries by hand, for what no contract pays.
pub(super) fn entry(who: &str, side: Side, what: &str, change: i128) -> Entry {
    Entry {
        who: who.to_owned(),
        side,
        what: what.to_owned(),
        change: Change(change),
    }
}

/// What a ring gains or loses outside the contracts.
pub(super) fn ours(who: &str, what: &str, change: i128) -> Entry {
    entry(who, Side::Attacker, what, change)
}

/// The same of somebody else.
pub(super) fn theirs(who: &str, what: &str, change: i128) -> Entry {
    entry(who, Side::Victim, what, change)
}

/// The ledger of a world: balances of the contracts in their parts, gas, and what a wrong result is worth to its maker (counted
/// whether or not the result stands). What everybody would have had without the attack is left out: prices of right results,
/// levies, the ordinary gas of the honest.
pub(super) fn of_world(arena: &Arena, played: &Played, ring: &[&str]) -> Vec<Entry> {
    let report = &played.report;
    let mut entries = Vec::new();
    let own_task = ring.contains(&cast::REQUESTER);
    for balance in &report.balances {
        let name = balance.party.as_str();
        let side = match ring.contains(&name) {
            true => Side::Attacker,
            false => Side::Victim,
        };
        let mut add = |what: &str, change: i128| {
            if change != 0 {
                entries.push(entry(name, side, what, change));
            }
        };
        let slashed: u128 = of(report, name).map(|s| s.amount.0).sum();
        let shares = report.slashes.iter().flat_map(|s| &s.split);
        let shares: u128 = shares.filter(|s| s.to == name).map(|s| s.amount.0).sum();
        let forfeited = forfeited(report, name);
        let business = business(report, name, played.levy);
        let known = business + shares as i128 - slashed as i128 - forfeited as i128;
        add("stake slashed", -(slashed as i128));
        add("shares of slashes", shares as i128);
        add("bonds forfeited", -(forfeited as i128));
        add(
            "fees, bonds, penalties and refunds",
            balance.change.0 - known,
        );
        match (side, own_task) {
            // its own price comes back to it, unless somebody else served
            (Side::Attacker, true) => add("prices", business),
            (Side::Attacker, false) => {
                add("price forgone", -(forgone(report, name) as i128));
                let wrong = wrong_results(report, name);
                add("gain of wrong results", (wrong * arena.gain()) as i128);
            }
            (Side::Victim, _) => add("paid for wrong results", -(misled(report, name) as i128)),
        }
        if side == Side::Attacker && own_task {
            let wrong = wrong_results(report, name);
            add("gain of wrong results", (wrong * arena.gain()) as i128);
        }
        let gas = match side {
            Side::Attacker => played.gas.get(name).copied().unwrap_or(0),
            Side::Victim => defence_gas(report, name),
        };
        add("gas", -(arena.gas(gas) as i128));
    }
    entries
}

fn of<'a>(report: &'a Report, name: &'a str) -> impl Iterator<Item = &'a crate::SlashReport> {
    report.slashes.iter().filter(move |s| s.party == name)
}

/// Bonds of challenges that failed.
fn forfeited(report: &Report, name: &str) -> u128 {
    let failed = |id: &u64| {
        let mut disputes = report.disputes.iter();
        disputes.any(|d| d.id == *id && d.verdict == "cleared")
    };
    let own = report.challenges.iter().filter(|c| c.challenger == name);
    own.filter(|c| c.dispute.as_ref().is_some_and(failed))
        .map(|c| c.bond.0)
        .sum()
}

/// What passes between requester and providers for results, with the levies.
fn business(report: &Report, name: &str, levy: u128) -> i128 {
    let settled = || report.tasks.iter().filter(|t| t.state == "settled");
    if name == cast::REQUESTER {
        return settled().map(|t| -((t.paid.0 + levy) as i128)).sum();
    }
    let attempts = settled().flat_map(|t| &t.attempts);
    attempts
        .filter(|a| a.outcome == "settled" && a.provider.as_deref() == Some(name))
        .map(|a| a.price.map_or(0, |price| price.0 as i128))
        .sum()
}

/// Prices of results that did not stand: an honest machine would have had them.
fn forgone(report: &Report, name: &str) -> u128 {
    let attempts = report.tasks.iter().flat_map(|t| &t.attempts);
    let lost = attempts.filter(|a| a.outcome != "settled" && a.provider.as_deref() == Some(name));
    lost.filter_map(|a| a.price).map(|price| price.0).sum()
}

fn wrong_results(report: &Report, name: &str) -> u128 {
    let attempts = report.tasks.iter().flat_map(|t| &t.attempts);
    let wrong = attempts.filter(|a| a.honest_trace == Some(false));
    wrong
        .filter(|a| a.provider.as_deref() == Some(name))
        .count() as u128
}

/// What a requester paid for what is wrong.
fn misled(report: &Report, name: &str) -> u128 {
    if name != cast::REQUESTER {
        return 0;
    }
    let wrong = |t: &&crate::TaskReport| {
        let mut settled = t.attempts.iter().filter(|a| a.outcome == "settled");
        settled.any(|a| a.honest_trace == Some(false))
    };
    report.tasks.iter().filter(wrong).map(|t| t.paid.0).sum()
}

/// Gas of somebody's moves in disputes.
fn defence_gas(report: &Report, name: &str) -> u64 {
    let moves = report.disputes.iter().flat_map(|d| &d.moves);
    moves.filter(|m| m.who == name).map(|m| m.gas).sum()
}

/// Seconds in which a provider was frozen.
pub(super) fn frozen(report: &Report, provider: &str) -> u64 {
    let mut spans: Vec<(u64, u64)> = (report.disputes.iter())
        .filter(|d| d.provider == provider)
        .map(|d: &DisputeReport| (d.opened_at, d.closed_at.unwrap_or(d.opened_at)))
        .collect();
    spans.sort_unstable();
    let (mut total, mut until) = (0, 0);
    for (from, to) in spans {
        total += to.max(until) - from.max(until);
        until = until.max(to);
    }
    total
}

/// Entries of one side in sums by what they are of.
pub fn by_kind(branch: &Branch, side: Side) -> BTreeMap<&str, Change> {
    let mut sums: BTreeMap<&str, Change> = BTreeMap::new();
    for entry in branch.entries.iter().filter(|e| e.side == side) {
        sums.entry(&entry.what).or_default().0 += entry.change.0;
    }
    sums
}

/// Units as tokens with two decimals, for sentences.
pub(super) fn told(units: Amount) -> String {
    format!("{:.2}", units.0 as f64 / TOKEN as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_weighed_to_the_unit_and_rounded_against_the_network() {
        let third = Chance(Chance::SURE.0 / 3);
        let outcome = Outcome::of(vec![
            ("a", third, vec![ours("A", "x", 10), theirs("B", "y", -10)]),
            (
                "b",
                third.not(),
                vec![ours("A", "x", -1), theirs("B", "y", 1)],
            ),
        ]);
        // 10/3 - 2/3 less what the third lacks
        assert_eq!((outcome.attacker, outcome.victims), (Change(3), Change(-3)));
        let sure = Outcome::sure("always", vec![ours("A", "x", -1)]);
        assert_eq!(sure.attacker, Change(-1));
        assert!(!sure.pays());
        assert_eq!(Chance::SURE.and(third), third);
    }
}
