//! Attacks on the random audits.

use std::sync::Arc;

use gavel_economics::attacks::ClosedForm;
use gavel_node::{Executor as _, Fault};
use gavel_settlement::bindings::Parameters::Params;
use gavel_trace::{AuditSalt, CHUNK_BYTES};

use super::arena::{Arena, Played};
use super::ledger::{Chance, Entry, Outcome, of_world, ours};
use super::{AttackError, Found, Weakened};
use crate::Report;

const LAZY: &str = "Lazar";
/// The cheat's friend among the auditors.
const BLIND: &str = "Mordred";

/// A world in which the lazy auditor was drawn, and what it has lost there against an honest one.
fn lazy(arena: &Arena, params: &Params) -> Result<Vec<Entry>, AttackError> {
    let scenario = arena.world(&[arena.on_duty(LAZY, Fault::LazyAuditor)], &[]);
    let played = arena.first(
        params,
        &scenario,
        "an audit that the lazy one is drawn for",
        |r| {
            r.audits
                .iter()
                .any(|a| a.auditors.iter().any(|who| who == LAZY))
        },
    )?;
    let mut entries = of_world(arena, &played, &[LAZY]);
    entries.push(ours(
        LAZY,
        "fee of an honest audit",
        -(params.audit.fee as i128),
    ));
    entries.push(ours(
        LAZY,
        "cost of a run that it saves",
        arena.assumed().cost.0 as i128,
    ));
    Ok(entries)
}

pub(super) fn lazy_auditor(arena: &Arena) -> Result<Found, AttackError> {
    let at = lazy(arena, &arena.solved())?;
    let mut params = arena.solved();
    (params.audit.fee, params.audit.penalty) = (1, 1);
    let weak = lazy(arena, &params)?;
    Ok(Found {
        at: Outcome::sure("drawn, and cannot open the chunk", at),
        weakened: Weakened::parameters(
            arena,
            "an audit is worth nothing, and none is missed: fee and penalty -> 1 unit",
            &params,
            Outcome::sure("drawn, and cannot open the chunk", weak),
        )?,
        evidence: Vec::new(),
    })
}

pub(super) fn copying_auditor(arena: &Arena) -> Result<Found, AttackError> {
    let workload = arena.digits();
    let (model, honest) = (workload.model(), workload.honest());
    let inputs = workload
        .inputs
        .first()
        .map_or(&[][..], |input| &input.tensors);
    let run = honest.run(&model.model_id(), inputs)?;
    let live = honest.live_at(&run, 0)?;
    let bytes: Vec<Vec<u8>> = (live.iter())
        .map(|t| gavel_node::ShownTensor::of(t).bytes.0)
        .collect();
    let (first, other) = (AuditSalt::new([1; 20], 7), AuditSalt::new([2; 20], 7));
    // what the first auditor has put on the chain: a chunk with its opening under its own root
    let accepted = |salt: &AuditSalt| -> Result<bool, AttackError> {
        let Some(tensor) = bytes.first() else {
            return Ok(false);
        };
        let opening = first.tensor_tree(tensor)?.open(0)?;
        let chunk = tensor.chunks(CHUNK_BYTES).next().unwrap_or_default();
        let height = first.tensor_tree(tensor)?.height();
        // the copy commits to the root that it saw; the contract makes the leaf of who opens it
        Ok(opening.verify(height, &salt.leaf(chunk), &first.tensor_root(tensor)))
    };
    if accepted(&other)? || !accepted(&first)? {
        return Err(AttackError::Unexpected {
            seed: None,
            what: "a salted opening that is good for its owner alone",
            found: "a copy that opens".to_owned(),
        });
    }
    let saved = arena.assumed().cost.0 as i128;
    Ok(Found {
        at: Outcome::sure("the copy does not open", lazy(arena, &arena.solved())?),
        weakened: Weakened::mechanism(
            "one salt for all auditors: the first one's opening is good for every other",
            Outcome::sure(
                "the copy opens: fee as of an honest audit",
                vec![ours(LAZY, "cost of a run that it saves", saved)],
            ),
        ),
        evidence: vec!["an opening under one auditor's salt was refused under another's".into()],
    })
}

pub(super) fn audit_collusion(arena: &Arena) -> Result<Found, AttackError> {
    let ring = ["Mallory", BLIND];
    let parties = [
        arena.cheat("Mallory", Fault::Weight),
        arena.on_duty(BLIND, Fault::Weight),
    ];
    let scenario = arena.world(&parties, &[]);
    let drawn = |r: &Report, blind: bool| {
        let mut audits = r.audits.iter().filter(|a| a.task == 1 && a.attempt == 0);
        audits.any(|a| (a.auditors.first().map(String::as_str) == Some(BLIND)) == blind)
    };
    let seen = arena.first(
        &arena.solved(),
        &scenario,
        "an audit by somebody honest",
        |r| drawn(r, false) && r.facts.wrong_settled == 0,
    )?;
    let shielded = arena.first(
        &arena.solved(),
        &scenario,
        "an audit by the cheat's friend",
        |r| drawn(r, true) && r.facts.wrong_settled == 1,
    )?;
    let unseen = arena.unaudited(Fault::Weight)?;
    let outcome = |colluding: u16| {
        let (audited, seeing) = (arena.audited(), arena.seen(colluding));
        Outcome::of(vec![
            (
                "audited by somebody honest",
                audited.and(seeing),
                of_world(arena, &seen, &ring),
            ),
            (
                "audited by a friend",
                audited.and(seeing.not()),
                of_world(arena, &shielded, &ring),
            ),
            (
                "not audited",
                audited.not(),
                of_world(arena, &unseen, &ring),
            ),
        ])
    };
    let mut params = arena.solved();
    params.economics.colludingBps = 9_700;
    let assumed = arena.assumed().colluding_bps;
    Ok(Found {
        at: outcome(assumed),
        weakened: Weakened::parameters(
            arena,
            format!(
                "a ring of 97 % of the auditors, where the rate was solved for {} %",
                assumed / 100
            ),
            &params,
            outcome(9_700),
        )?,
        evidence: Vec::new(),
    })
}

/// A lie told alone: what it brings where an audit convicts it, and where it settles.
pub(super) fn alone(arena: &Arena) -> Result<[Arc<Played>; 2], AttackError> {
    let scenario = arena.world(&[arena.cheat("Mallory", Fault::Weight)], &[]);
    let by_audit = |r: &Report| {
        let mut disputes = r.disputes.iter();
        disputes.any(|d| d.by_audit && d.verdict == "guilty")
    };
    let what = "a cheat that the audit convicts";
    let caught = arena.first(&arena.solved(), &scenario, what, by_audit)?;
    Ok([caught, arena.unaudited(Fault::Weight)?])
}

/// The two cases at a chance that a result is audited.
fn drawn(arena: &Arena, [caught, unseen]: &[Arc<Played>; 2], audited: Chance) -> Outcome {
    let chance = audited.and(arena.seen(arena.assumed().colluding_bps));
    let ledger = |played| of_world(arena, played, &["Mallory"]);
    Outcome::of(vec![
        ("audited by somebody honest", chance, ledger(caught)),
        ("no honest audit", chance.not(), ledger(unseen)),
    ])
}

pub(super) fn unwatched_cheat(arena: &Arena) -> Result<Found, AttackError> {
    let cases = alone(arena)?;
    let mut params = arena.solved();
    // a tenth below the rate at which a lie brings nothing
    let bound = ClosedForm::Unaudited.bound(&params, arena.assumed());
    params.audit.ratePpm = (0.9e6 * bound) as u32;
    let rate = |params: &Params| Chance::of_ppm(params.audit.ratePpm);
    let percent = |params: &Params| f64::from(params.audit.ratePpm) / 1e4;
    let solved = arena.solved();
    Ok(Found {
        at: drawn(arena, &cases, rate(&solved)),
        weakened: Weakened::parameters(
            arena,
            format!(
                "audits a tenth below the closed form's p*: {:.2} -> {:.2} %",
                percent(&solved),
                percent(&params)
            ),
            &params,
            drawn(arena, &cases, rate(&params)),
        )?,
        evidence: vec![format!(
            "p* for one lie told alone is {:.4} %",
            bound * 100.0
        )],
    })
}
