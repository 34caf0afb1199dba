//! Attacks on what a name and a stake stand for.

use gavel_node::Fault;
use gavel_settlement::amount::TOKEN;

use super::arena::{Arena, WANDA, watcher};
use super::ledger::{Chance, Outcome, of_world, ours};
use super::{AttackError, Found, Weakened};
use crate::{Amount, Scenario};

/// Names of one cheat.
const LIVES: [&str; 2] = ["Mallory", "Mordred"];

pub(super) fn sybil_reentry(arena: &Arena) -> Result<Found, AttackError> {
    let lives: Vec<_> = LIVES.map(|name| arena.cheat(name, Fault::Weight)).to_vec();
    let mut scenario = arena.world(&lives, &[watcher(WANDA, None, true)]);
    let again = crate::TaskPlan {
        // long after the first name was convicted
        posted_after: 200_000,
        ..scenario.tasks[0]
    };
    scenario.tasks.push(again);
    let both = "a cheat that is convicted under both names";
    let convicted = |r: &crate::Report| {
        let banned = |name: &&str| r.balance(name).is_some_and(|b| b.tombstoned);
        LIVES.iter().filter(|name| banned(name)).count() == 2
    };
    let played = arena.first(&arena.solved(), &scenario, both, convicted)?;
    let mut params = arena.solved();
    params.stake.minStake = TOKEN / 100;
    params.stake.registrationFee = 0;
    params.audit.probationTasks = 0;
    params.market.collateralBps = 1;
    params.market.minCollateral = 1;
    params.market.maxLockedBps = 10_000;
    let mut cheap: Scenario = scenario.clone();
    for provider in cheap.providers.iter_mut().filter(|p| p.fault.is_some()) {
        provider.stake = Amount(TOKEN / 100);
    }
    let weak = arena.first(&params, &cheap, both, convicted)?;
    let outcome = |played: &super::arena::Played, fee: u128| {
        let mut entries = of_world(arena, played, &LIVES);
        for name in LIVES {
            entries.push(ours(name, "registration", -(fee as i128)));
        }
        Outcome::sure("convicted twice", entries)
    };
    Ok(Found {
        at: outcome(&played, arena.solved().stake.registrationFee),
        weakened: Weakened::parameters(
            arena,
            "names are free: min_stake 1000 -> 0.01 tokens, registration_fee, \
             probation_tasks and collateral -> nothing",
            &params,
            outcome(&weak, 0),
        )?,
        evidence: Vec::new(),
    })
}

pub(super) fn stake_reuse(arena: &Arena) -> Result<Found, AttackError> {
    let name = LIVES[0];
    let solved = arena.solved();
    let collateral = solved.market.maxTaskPrice * u128::from(solved.market.collateralBps) / 10_000;
    let locked = solved.stake.minStake * u128::from(solved.market.maxLockedBps) / 10_000;
    let open = (locked / collateral) as u32;
    let mut scenario = arena.world(&[], &[]);
    let cheat = crate::ProviderSpec {
        concurrency: open + 1,
        ..arena.cheat(name, Fault::Weight)
    };
    scenario.providers.insert(0, cheat);
    // one more than the cap lets it have
    scenario.tasks = vec![scenario.tasks[0]; open as usize + 1];
    let had = |r: &crate::Report| {
        let attempts = r.tasks.iter().flat_map(|t| &t.attempts);
        attempts
            .filter(|a| a.provider.as_deref() == Some(name))
            .count() as u32
    };
    let caught = arena.first(
        &solved,
        &scenario,
        "all that is open, wrong and reversed",
        |r| had(r) == open && r.facts.wrong_settled == 0,
    )?;
    // after probation, and none of them drawn
    let missed = arena.first(
        &arena.after_probation(),
        &scenario,
        "as many that settle",
        |r| {
            had(r) == open + 1 && r.facts.wrong_settled == open + 1
                || had(r) == open && r.facts.wrong_settled == open
        },
    )?;
    let unseen = |tasks: u32| {
        let each = arena.caught().not();
        (0..tasks).fold(Chance::SURE, |all, _| all.and(each))
    };
    let at = Outcome::of(vec![
        (
            "at least one is audited",
            unseen(open).not(),
            of_world(arena, &caught, &[name]),
        ),
        (
            "none is audited",
            unseen(open),
            of_world(arena, &missed, &[name]),
        ),
    ]);
    // without a cap the whole stake is the collateral of as many tasks as it has room for; more than all of it cannot be lost
    let mut params = arena.solved();
    params.market.maxLockedBps = 10_000;
    params.market.collateralBps /= 10;
    let all = (solved.stake.minStake / (collateral / 10)) as u32;
    let gain = ours(
        name,
        "gain of wrong results",
        (u128::from(all) * arena.gain()) as i128,
    );
    let lost = ours(name, "stake slashed", -(solved.stake.minStake as i128));
    let prices =
        u128::from(all) * solved.market.maxTaskPrice * u128::from(solved.market.priceFloorBps)
            / 10_000;
    let forgone = ours(name, "price forgone", -(prices as i128));
    let outcome = Outcome::of(vec![
        (
            "at least one is audited",
            unseen(all).not(),
            vec![gain.clone(), lost, forgone],
        ),
        ("none is audited", unseen(all), vec![gain]),
    ]);
    Ok(Found {
        at,
        weakened: Weakened::parameters(
            arena,
            format!(
                "no exposure cap: max_locked_bps {} -> 10000, collateral_bps {} -> {}, {all} \
                 tasks open behind one stake (books, not a world)",
                solved.market.maxLockedBps,
                solved.market.collateralBps,
                params.market.collateralBps
            ),
            &params,
            outcome,
        )?,
        evidence: vec![format!(
            "{} tasks were there to be had, the cap let the cheat hold {open} at once",
            open + 1
        )],
    })
}
