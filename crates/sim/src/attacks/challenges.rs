//! Attacks by challenging, and by what is done in disputes.

use gavel_node::Fault;
use gavel_settlement::bindings::Parameters::Params;

use super::arena::{ADA, Arena, Played, WANDA, watcher};
use super::ledger::{Entry, Outcome, of_world, ours, theirs, told};
use super::{AttackError, Found, Weakened};
use crate::{Amount, Report, Scenario, cast};

/// Somebody who challenges honest results, and friends of the same mind.
const RIVALS: [&str; 3] = ["Fergus", "Frida", "Felix"];
/// The friend who challenges for the cheat.
const FRIEND: &str = "Sid";

pub(super) fn withhold_trace(arena: &Arena) -> Result<Found, AttackError> {
    let cheat = arena.cheat("Mute", Fault::Withhold);
    let scenario = arena.world(&[cheat], &[watcher(WANDA, None, true)]);
    let played = arena.play(&arena.solved(), &scenario)?;
    expect(&played.report, "a conviction by the clock", |r| {
        r.disputes
            .iter()
            .any(|d| d.verdict == "guilty" && d.reason == "timeout")
    })?;
    let mut params = arena.solved();
    params.court.safetySlashBps = 0;
    params.market.collateralBps = 1;
    params.market.minCollateral = 1;
    let weak = arena.play(&params, &scenario)?;
    Ok(Found {
        at: Outcome::sure(
            "convicted by the clock",
            of_world(arena, &played, &["Mute"]),
        ),
        weakened: Weakened::parameters(
            arena,
            "a conviction costs next to nothing: safety_slash_bps 5000 -> 0, collateral_bps \
             10000 -> 1",
            &params,
            Outcome::sure("convicted by the clock", of_world(arena, &weak, &["Mute"])),
        )?,
        evidence: Vec::new(),
    })
}

pub(super) fn withhold_input(arena: &Arena) -> Result<Found, AttackError> {
    let cheat = arena.cheat("Mallory", Fault::Weight);
    let scenario = arena.world(&[cheat], &[watcher(WANDA, None, true)]);
    // after probation: no auditor helps the watcher
    let params = arena.after_probation();
    let played = arena.play_vanishing(&params, &scenario, &["Mallory"], false)?;
    expect(&played.report, "a conviction by who kept the input", |r| {
        r.disputes.iter().any(|d| d.verdict == "guilty")
    })?;
    let weak = arena.play_vanishing(&params, &scenario, &["Mallory"], true)?;
    expect(
        &weak.report,
        "a wrong result that nobody could run again",
        |r| r.facts.wrong_settled == 1,
    )?;
    Ok(Found {
        at: Outcome::sure("convicted", of_world(arena, &played, &["Mallory"])),
        weakened: Weakened::mechanism(
            "nobody but the provider ever had the input",
            Outcome::sure("settled unseen", of_world(arena, &weak, &["Mallory"])),
        ),
        evidence: vec![
            "the input was gone from the store when the result came; who watches had read \
             it when the task was posted"
                .into(),
            "a requester who shows its input to one provider alone has to check the result \
             itself"
                .into(),
        ],
    })
}

pub(super) fn self_challenge(arena: &Arena) -> Result<Found, AttackError> {
    let ring = ["Mallory", FRIEND, cast::REQUESTER];
    let cheat = arena.cheat("Mallory", Fault::Weight);
    // whoever computes honestly and challenges the one wrong result there is; newcomers' results are all audited
    let scenario = arena.world(&[cheat], &[watcher(FRIEND, None, true)]);
    let by_the_friend = |r: &Report| {
        let splits = || r.slashes.iter().flat_map(|s| &s.split);
        splits().any(|s| s.to == FRIEND && s.what == "challenger")
    };
    let drawn = arena.first(
        &arena.solved(),
        &scenario,
        "a conviction by the friend",
        by_the_friend,
    )?;
    let mut params = arena.solved();
    params.court.burnBps = 0;
    params.court.refereeBps = 0;
    params.court.challengerBps = 8_000;
    let refunded = arena.first(
        &params,
        &scenario,
        "a conviction by the friend",
        by_the_friend,
    )?;
    let unseen = arena.unaudited(Fault::Weight)?;
    let outcome = |drawn: &Played| {
        Outcome::of(vec![
            (
                "an audit is drawn, the friend is faster",
                arena.caught(),
                of_world(arena, drawn, &ring),
            ),
            (
                "no honest audit",
                arena.caught().not(),
                of_world(arena, &unseen, &ring),
            ),
        ])
    };
    Ok(Found {
        at: outcome(&drawn),
        weakened: Weakened::parameters(
            arena,
            "nothing of a slash is burned: burn_bps 5000 -> 0, challenger_bps 2500 -> 8000",
            &params,
            outcome(&refunded),
        )?,
        evidence: vec![format!(
            "of {} tokens slashed {} were burned, everything else came back to the ring or \
             its referee",
            told(slashed(&drawn.report)),
            told(drawn.report.burned),
        )],
    })
}

pub(super) fn griefing(arena: &Arena) -> Result<Found, AttackError> {
    let outcome = |played: &Played| {
        let mut entries = of_world(arena, played, &RIVALS[..1]);
        entries.extend(idle(arena));
        Outcome::sure("cleared", entries)
    };
    let weakened = (
        "a bond without idle hours: freeze_cap -> 1 unit",
        cheap_bond(arena),
    );
    let scenario = accused(arena, 1, false);
    falsely_accused(arena, &scenario, weakened, outcome, |played| {
        Ok(vec![
            format!(
                "frozen for {} s in this world, {} s at most",
                super::ledger::frozen(&played.report, ADA),
                arena.dispute_seconds_max(),
            ),
            "what an hour earns is the deployer's to say: the solver sets the bond from it, \
             the constructor cannot check it"
                .into(),
        ])
    })
}

pub(super) fn delay(arena: &Arena) -> Result<Found, AttackError> {
    let frozen = |played: &Played| super::ledger::frozen(&played.report, ADA);
    let outcome = |played: &Played| {
        let mut entries = of_world(arena, played, &RIVALS);
        entries.extend(idle(arena));
        Outcome::sure("all cleared", entries)
    };
    let weakened = (
        "three bonds without idle hours: freeze_cap -> 1 unit",
        cheap_bond(arena),
    );
    let one = cleared(arena, &arena.solved(), &accused(arena, 1, false))?;
    let scenario = accused(arena, 3, false);
    falsely_accused(arena, &scenario, weakened, outcome, |played| {
        if frozen(played) >= 2 * frozen(&one) {
            return Err(unexpected(&played.report, "disputes beside each other"));
        }
        Ok(vec![format!(
            "frozen for {} s by one challenger, for {} s by three",
            frozen(&one),
            frozen(played)
        )])
    })
}

pub(super) fn exhaustion(arena: &Arena) -> Result<Found, AttackError> {
    // damage is as good as money to who pays for it
    let outcome = |played: &Played| {
        let mut entries = of_world(arena, played, &RIVALS);
        let gas: i128 = (entries.iter())
            .filter(|e| e.who == ADA && e.what == "gas")
            .map(|e| -e.change.0)
            .sum();
        entries.push(ours(
            RIVALS[0],
            "gas of the defence, as good as money to a rival",
            gas,
        ));
        entries.extend(idle(arena));
        Outcome::sure("all cleared", entries)
    };
    let mut params = cheap_bond(arena);
    params.court.providerGasCost = 1;
    params.court.appealBond = 1;
    let weakened = (
        "bonds that pay the referee and nothing else: provider_gas_cost, freeze_cap, appeal_bond \
         -> 1 unit",
        params,
    );
    let scenario = accused(arena, 3, true);
    falsely_accused(arena, &scenario, weakened, outcome, |played| {
        let disputes = played.report.disputes.iter();
        Ok(vec![format!(
            "{} of the rulings were appealed to a step",
            disputes.filter(|d| d.appeal.is_some()).count()
        )])
    })
}

pub(super) fn lose_on_purpose(arena: &Arena) -> Result<Found, AttackError> {
    let ring = ["Tiny", FRIEND];
    let cheat = arena.cheat("Tiny", Fault::SmallerModel);
    let friend = watcher(FRIEND, Some(Fault::SockPuppet), false);
    // after probation, so that no audit helps
    let params = arena.after_probation();
    let watched = arena.world(
        std::slice::from_ref(&cheat),
        &[watcher(WANDA, None, true), friend.clone()],
    );
    let played = arena.first(
        &params,
        &watched,
        "a conviction beside the friend's dispute",
        |r| {
            r.disputes
                .iter()
                .any(|d| d.challenger == WANDA && d.verdict == "guilty")
                && r.challenges.iter().any(|c| c.challenger == FRIEND)
        },
    )?;
    let alone = arena.world(&[cheat], &[friend]);
    let weak = arena.first(&params, &alone, "a cheat that its friend clears", |r| {
        r.facts.wrong_settled == 1 && r.disputes.iter().any(|d| d.verdict == "cleared")
    })?;
    Ok(Found {
        at: Outcome::sure("convicted all the same", of_world(arena, &played, &ring)),
        weakened: Weakened::mechanism(
            "one dispute for a result: whoever challenges first shuts all others out",
            Outcome::sure("cleared", of_world(arena, &weak, &ring)),
        ),
        evidence: Vec::new(),
    })
}

pub(super) fn prompt_privacy(arena: &Arena) -> Result<Found, AttackError> {
    // what the requester would have paid at most for the answer
    let worth = arena.solved().market.maxTaskPrice as i128;
    let outcome = |played: &Played| {
        let mut entries = of_world(arena, played, &RIVALS[..1]);
        entries.push(ours(RIVALS[0], "a look at what was asked", worth));
        entries.push(theirs(
            cast::REQUESTER,
            "a secret that is none any more",
            -worth,
        ));
        Outcome::sure("cleared", entries)
    };
    let weakened = (
        "a bond without idle hours: freeze_cap -> 1 unit",
        cheap_bond(arena),
    );
    let scenario = accused(arena, 1, false);
    falsely_accused(arena, &scenario, weakened, outcome, |played| {
        let quiet = arena.play(&arena.after_probation(), &arena.world(&[], &[]))?;
        let (undisputed, disputed) = (shown(arena, &quiet)?, shown(arena, played)?);
        if undisputed > 0 {
            return Err(unexpected(
                &quiet.report,
                "an undisputed task that shows nothing",
            ));
        }
        Ok(vec![
            format!(
                "32-byte windows of the input in the chain's transactions: {undisputed} of an \
                 undisputed task, {disputed} of this dispute"
            ),
            "a prompt is counted as worth the most that its requester would have paid for \
             the answer; whoever can read the blob store reads it for nothing"
                .into(),
        ])
    })
}

/// False challenges under the solved parameters, and under weakened ones that are told in words.
fn falsely_accused(
    arena: &Arena,
    scenario: &Scenario,
    (what, params): (&str, Params),
    outcome: impl Fn(&Played) -> Outcome,
    evidence: impl FnOnce(&Played) -> Result<Vec<String>, AttackError>,
) -> Result<Found, AttackError> {
    let played = cleared(arena, &arena.solved(), scenario)?;
    let weak = cleared(arena, &params, scenario)?;
    Ok(Found {
        at: outcome(&played),
        weakened: Weakened::parameters(arena, what, &params, outcome(&weak))?,
        evidence: evidence(&played)?,
    })
}

/// A world in which so many rivals challenge what Ada computed.
fn accused(arena: &Arena, rivals: usize, appeals: bool) -> Scenario {
    let rivals = RIVALS.iter().take(rivals);
    let rivals: Vec<_> = rivals
        .map(|name| watcher(name, Some(Fault::FalseChallenge), appeals))
        .collect();
    arena.world(&[], &rivals)
}

/// Played to the end: every challenge became a dispute, and every dispute cleared Ada.
fn cleared(
    arena: &Arena,
    params: &Params,
    scenario: &Scenario,
) -> Result<std::sync::Arc<Played>, AttackError> {
    arena.first(params, scenario, "false challenges, all cleared", |r| {
        r.disputes.len() == scenario.watchers.len()
            && r.disputes
                .iter()
                .all(|d| d.verdict == "cleared" && d.provider == ADA)
    })
}

/// Parameters whose bonds do not pay idle hours.
fn cheap_bond(arena: &Arena) -> Params {
    let mut params = arena.solved();
    params.court.freezeCap = 1;
    params
}

/// The longest a provider may be frozen, in money: lost by it, and taken over by the rival.
fn idle(arena: &Arena) -> [Entry; 2] {
    let worth = arena.idle(arena.dispute_seconds_max()) as i128;
    [
        ours(
            RIVALS[0],
            "business taken over while the rival is frozen",
            worth,
        ),
        theirs(
            ADA,
            "idle while frozen, as long as a dispute may last",
            -worth,
        ),
    ]
}

fn slashed(report: &Report) -> Amount {
    Amount(report.slashes.iter().map(|s| s.amount.0).sum())
}

/// Windows of 32 bytes of the task's input, none of them all alike, that stand in the world's transactions.
fn shown(arena: &Arena, played: &Played) -> Result<usize, AttackError> {
    let Some(input) = arena.digits().inputs.first() else {
        return Ok(0);
    };
    let said = played.said()?;
    let windows = input.tensors.iter().flat_map(|t| {
        let bytes = gavel_node::ShownTensor::of(t).bytes.0;
        let all: Vec<Vec<u8>> = bytes.chunks_exact(32).map(<[u8]>::to_vec).collect();
        all
    });
    let telling = |window: &Vec<u8>| window.iter().any(|b| Some(b) != window.first());
    let found = |window: &Vec<u8>| said.iter().any(|raw| raw.windows(32).any(|w| w == window));
    Ok(windows.filter(telling).filter(found).count())
}

fn expect(
    report: &Report,
    what: &'static str,
    wanted: impl Fn(&Report) -> bool,
) -> Result<(), AttackError> {
    match wanted(report) {
        true => Ok(()),
        false => Err(unexpected(report, what)),
    }
}

fn unexpected(report: &Report, what: &'static str) -> AttackError {
    let disputes = report.disputes.iter();
    AttackError::Unexpected {
        seed: Some(report.seed),
        what,
        found: format!(
            "{:?}",
            disputes
                .map(|d| (&d.verdict, &d.reason))
                .collect::<Vec<_>>()
        ),
    }
}
