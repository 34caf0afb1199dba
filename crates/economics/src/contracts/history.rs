//! Random histories of the contracts: calls that there is reason to make, and one in eight that nobody would make.

use crate::ledger::{AuditPhase, Class, Ledger, Op, Party, TaskPhase, TrapOp};
use crate::market::Stage as _;

use std::collections::BTreeMap;

use gavel_settlement::{DevParams, dev_params};
use serde::Serialize;

use super::choice::next;
use super::{Mirror, WorldError};

pub(super) const PROVIDERS: u32 = 6;
/// A requester, providers, two challengers.
pub(super) const PARTIES: u32 = PROVIDERS + 3;
/// The challenger that also puts up deposits for traps.
pub(super) const SEALER: Party = PROVIDERS + 1;
/// Seconds in which a seed is out that comes in time.
const SEED: u64 = 10;
pub(super) const TOKEN: u128 = 10u128.pow(18);

/// Numbers that one call is chosen by.
pub type Draws = [u32; 4];

/// How often something happened, by its name.
pub type Counts = BTreeMap<String, u64>;

/// What was seen of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Calls that took effect.
    pub done: Counts,
    /// Calls that were refused, by the contracts' error.
    pub refused: Counts,
    /// Circumstances of either that are worth counting: how a record stood, how a seed came.
    pub notable: Counts,
}

impl Seen {
    /// Adds what another history saw.
    pub fn join(&mut self, other: Seen) {
        for (mine, theirs) in [
            (&mut self.done, other.done),
            (&mut self.refused, other.refused),
            (&mut self.notable, other.notable),
        ] {
            for (name, many) in theirs {
                *mine.entry(name).or_default() += many;
            }
        }
    }
}

/// A small network before its first task.
///
/// # Errors
/// The contracts do not take its parameters.
pub async fn begin() -> Result<Mirror, WorldError> {
    let mut params = dev_params(DevParams {
        probation_tasks: 1,
        record_tasks: 2,
        ..DevParams::default()
    });
    // most results are audited, and the fewer the longer a record is
    params.audit.freshRatePpm = 900_000;
    // lanes are gated soon, and their entries die in a history's time
    params.market.retryGrace = 5;
    params.market.priceFloorBps = 1_000;
    let classes = [true, false].map(|is_judged| Class {
        ramp: 60,
        is_judged,
    });
    let mut mirror = Mirror::new(Ledger::new(params, classes.to_vec(), 0)).await?;
    for party in 0..PARTIES {
        mirror.add()?;
        if (1..=PROVIDERS).contains(&party) {
            let stake = (100 + 50 * u128::from(party)) * TOKEN;
            mirror.act(Op::Register { key: party, stake })?;
        }
    }
    Ok(mirror)
}

/// Waits and makes one call. What was done and what was refused is counted.
///
/// # Errors
/// The ledger and the contracts differ.
pub fn go_on(mirror: &mut Mirror, draws: Draws, seen: &mut Seen) -> Result<(), WorldError> {
    let (wait, op) = next(mirror.ledger(), draws);
    let now = mirror.ledger().now();
    let [_, _, who, how] = draws;
    if let Op::AuditOpen { task, .. } | Op::AuditTimeout { task } = op {
        // the seed of an auditor's chunk comes in time, only now, or not yet
        if who.is_multiple_of(2) {
            mirror.advance_to(now + wait.min(SEED))?;
            mirror.publish_seed(task)?;
        }
        mirror.advance_to(now + wait)?;
        mirror.withholds = (how / 8).is_multiple_of(8);
        if !mirror.withholds {
            mirror.publish_seed(task)?;
        }
    }
    mirror.advance_to(now + wait)?;
    let notable = circumstance(mirror, op)?;
    let taken = match mirror.act(op) {
        Ok(_) => {
            *seen.done.entry(name(op)).or_default() += 1;
            "taken"
        }
        Err(WorldError::Refused { name, .. }) => {
            *seen.refused.entry(name).or_default() += 1;
            "refused"
        }
        Err(error) => return Err(error),
    };
    if let Some(notable) = notable {
        let what = format!("{} {taken}: {notable}", name(op));
        *seen.notable.entry(what).or_default() += 1;
    }
    Ok(())
}

fn name(op: Op) -> String {
    let text = format!("{op:?}");
    let first = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    match text.strip_prefix("Trap(") {
        Some(text) => first(text) + "Trap",
        None => first(&text),
    }
}

/// What is worth counting of a call: the record by which an audit is decided, the seed by which an auditor opens, a trap that is
/// shown late.
fn circumstance(mirror: &Mirror, op: Op) -> Result<Option<&'static str>, WorldError> {
    let ledger = mirror.ledger();
    let audit = &ledger.params().audit;
    if let Op::Trap(TrapOp::Reveal { task, .. }) = op {
        let phase = ledger.task(task).map(|t| t.phase);
        return Ok((phase == Some(TaskPhase::Settled)).then_some("a settled task"));
    }
    let (Op::Decide { task: id } | Op::AuditOpen { task: id, .. } | Op::AuditTimeout { task: id }) =
        op
    else {
        return Ok(None);
    };
    let Some(task) = ledger.task(id) else {
        return Ok(None);
    };
    if matches!(op, Op::Decide { .. }) {
        let account = ledger.accounts().get(task.provider as usize);
        let settled = account.map_or(0, |a| a.settled);
        let record = settled.checked_sub(audit.probationTasks.into());
        return Ok(Some(match record {
            None => "no record",
            Some(record) if record < audit.recordTasks.into() => "a short record",
            Some(_) => "a whole record",
        }));
    }
    if task.audit != AuditPhase::Committed {
        return Ok(None);
    }
    let seed = mirror.seed_of(id)?;
    let slack = u64::from(ledger.params().court.beaconSlack);
    let is_late = seed.seed_at.is_some_and(|at| at > seed.seed_due + slack);
    Ok(Some(match (seed.seed_at, is_late) {
        (None, _) => "no seed",
        (_, false) => "a seed in time",
        // what it has left begins with the seed
        (_, true) if ledger.now() > task.audit_deadline => "a late seed, past the first deadline",
        (_, true) => "a late seed",
    }))
}
