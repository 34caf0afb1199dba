//! Attacks by the referee and on it.

use gavel_node::Fault;
use gavel_settlement::bindings::Parameters::Params;

use super::arena::{ADA, Arena, Played, WANDA, watcher};
use super::ledger::{Outcome, of_world};
use super::{AttackError, Found, Weakened};
use crate::{Report, Scenario};

const LIAR: &str = "Loki";
const ACCUSER: &str = "Fergus";
/// An honest referee whose machine has one weight wrong.
const BUGGY: &str = "Bugsy";

/// A world in which this referee ruled in every dispute, and this came of each: one that somebody else ruled would decide what
/// is to be shown.
fn ruled(
    arena: &Arena,
    params: &Params,
    scenario: &Scenario,
    referee: &str,
    verdict: (&'static str, &'static str),
) -> Result<std::sync::Arc<Played>, AttackError> {
    arena.first(
        params,
        scenario,
        "a case that this referee rules",
        |r: &Report| {
            let mut disputes = r.disputes.iter();
            !r.disputes.is_empty()
                && disputes.all(|d| {
                    d.referees.last().map(String::as_str) == Some(referee)
                        && (d.verdict.as_str(), d.reason.as_str()) == verdict
                })
        },
    )
}

/// The same world with nobody who appeals.
fn without_appeals(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    scenario
        .providers
        .iter_mut()
        .for_each(|p| p.appeals = false);
    scenario.watchers.iter_mut().for_each(|w| w.appeals = false);
    scenario
}

pub(super) fn framing_referee(arena: &Arena) -> Result<Found, AttackError> {
    let ring = [LIAR, ACCUSER];
    let scenario = arena.world(
        &[arena.on_duty(LIAR, Fault::LyingReferee)],
        &[watcher(ACCUSER, Some(Fault::FalseChallenge), false)],
    );
    let params = arena.after_probation();
    let played = ruled(arena, &params, &scenario, LIAR, ("cleared", "appeal"))?;
    let weak = without_appeals(&scenario);
    let weak = ruled(arena, &params, &weak, LIAR, ("guilty", "ruling"))?;
    Ok(Found {
        at: Outcome::sure("overturned on appeal", of_world(arena, &played, &ring)),
        weakened: Weakened::mechanism(
            "the referee's word is the last: no appeal",
            Outcome::sure("the ruling stands", of_world(arena, &weak, &ring)),
        ),
        evidence: vec![format!(
            "{ADA}, who is honest, appealed; the ring had nothing to play"
        )],
    })
}

pub(super) fn bribed_referee(arena: &Arena) -> Result<Found, AttackError> {
    let ring = ["Mallory", LIAR];
    let scenario = arena.world(
        &[
            arena.cheat("Mallory", Fault::Weight),
            arena.on_duty(LIAR, Fault::LyingReferee),
        ],
        &[watcher(WANDA, None, true)],
    );
    // after probation, so that no audit helps
    let params = arena.after_probation();
    let played = ruled(arena, &params, &scenario, LIAR, ("guilty", "appeal"))?;
    let weak = without_appeals(&scenario);
    let weak = ruled(arena, &params, &weak, LIAR, ("cleared", "ruling"))?;
    Ok(Found {
        at: Outcome::sure("overturned on appeal", of_world(arena, &played, &ring)),
        weakened: Weakened::mechanism(
            "the referee's word is the last: no appeal",
            Outcome::sure("the ruling stands", of_world(arena, &weak, &ring)),
        ),
        evidence: Vec::new(),
    })
}

pub(super) fn referee_bug(arena: &Arena) -> Result<Found, AttackError> {
    let scenario = arena.world(
        &[arena.on_duty(BUGGY, Fault::Weight)],
        &[watcher(ACCUSER, Some(Fault::FalseChallenge), false)],
    );
    let params = arena.after_probation();
    let played = ruled(arena, &params, &scenario, BUGGY, ("cleared", "appeal"))?;
    let mut alone = arena.after_probation();
    alone.court.safetySlashBps = 10_000;
    let weak = without_appeals(&scenario);
    let weak = ruled(arena, &alone, &weak, BUGGY, ("guilty", "ruling"))?;
    let lost = |played: &Played, who: &str| -> u128 {
        let slashes = played.report.slashes.iter().filter(|s| s.party == who);
        slashes.map(|s| s.amount.0).sum()
    };
    let share = |units: u128| 100.0 * units as f64 / params.stake.minStake as f64;
    Ok(Found {
        at: Outcome::sure("overturned on appeal", of_world(arena, &played, &[ACCUSER])),
        weakened: Weakened::parameters(
            arena,
            "one judge alone, and a slash without a bound: no appeal, safety_slash_bps 5000 -> 10000",
            &alone,
            Outcome::sure("the ruling stands", of_world(arena, &weak, &[ACCUSER])),
        )?,
        evidence: vec![
            format!(
                "whoever runs the program with the bug lost {:.1} % of its stake, {ADA} \
                 nothing; with one judge alone {ADA} lost {:.1} %",
                share(lost(&played, BUGGY)),
                share(lost(&weak, ADA)),
            ),
            "a bug that two judges share would be paid by the accused, up to that bound for \
             each task; the guardian stops new ones"
                .into(),
        ],
    })
}
