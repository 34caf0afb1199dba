//! `gavel dispute list|show|explain`: where disputes stand, and what one came down to, in words.

use gavel_dispute::Side;
use gavel_dispute::appeal::Explanation;
use gavel_node::board::{Board, DisputeEntry, DisputeState};
use gavel_node::evidence::{JudgeLimits, Judgement, StepReport, gather, judge};
use gavel_node::game;
use gavel_settlement::bindings::AppealOutcome;
use gavel_sim::timeline::isolated;
use gavel_trace::{CommitPoint, Evidence};
use serde_json::{Value, json};

use super::party;
use crate::args::NetworkArgs;
use crate::args_node::{DisputeCommand, ExplainArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::Output;

/// Loads that people are shown.
const LOADS: usize = 2;

pub(crate) fn run(command: DisputeCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        DisputeCommand::List(args) => block_on(list(args, out)),
        DisputeCommand::Show { id, network } => block_on(show_one(id, network, out)),
        DisputeCommand::Explain(args) => block_on(explain(args, out)),
    }
}

pub(super) fn no_dispute(id: u64) -> Failure {
    Failure::not_found(format!("there is no dispute {id}")).hint("gavel dispute list")
}

pub(super) async fn list(args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let rows = board.disputes.iter().map(|(id, entry)| {
        let d = &entry.dispute;
        let by = match entry.by_audit {
            true => format!("{} (audit)", party::short(&d.challenger)),
            false => party::short(&d.challenger),
        };
        vec![
            id.to_string(),
            d.task.to_string(),
            party::short(&d.provider),
            by,
            super::task::word(&d.state),
            entry.moves.to_string(),
            turn_word(board, *id),
        ]
    });
    let header = [
        "dispute",
        "task",
        "provider",
        "challenger",
        "state",
        "moves",
        "to move",
    ];
    out.table(&header, rows.collect(), &[0, 1, 5]);
    let objects: Vec<_> = board
        .disputes
        .keys()
        .map(|id| super::task::dispute(board, *id))
        .collect();
    out.json(&json!({"block": board.head.number, "disputes": objects}))?;
    Ok(Exit::Done)
}

async fn show_one(id: u64, args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let entry = board.disputes.get(&id).ok_or_else(|| no_dispute(id))?;
    let d = &entry.dispute;
    let opened = match entry.by_audit {
        true => format!("{}, the auditor", d.challenger),
        false => d.challenger.to_string(),
    };
    out.facts(&[
        ("dispute", format!("{id}: {}", super::task::word(&d.state))),
        ("task", format!("{}, attempt {}", d.task, d.attempt)),
        ("provider", d.provider.to_string()),
        ("challenger", opened),
        ("bond", format!("{} tokens", party::tokens(d.bond))),
        ("moves", entry.moves.to_string()),
        ("to move", turn_word(board, id)),
        ("ruling", ruling(entry)),
    ]);
    if d.isolated_at != 0 {
        let place = match d.in_live {
            true => format!("live slot {}", d.isolated_index),
            false => format!("node {}", d.first_node + d.isolated_index),
        };
        out.facts(&[
            (
                "isolated",
                format!("{place}, at leaf {} of the trace", d.leaf_index),
            ),
            ("claimed", d.claimed_digest.to_string()),
        ]);
    }
    if entry.appealed_by.is_some() {
        out.facts(&[("appeal", outcome(entry).to_owned())]);
    }
    out.next(format!("gavel dispute explain {id} --model MODEL"));
    out.json(&super::task::dispute(board, id))?;
    Ok(Exit::Done)
}

/// Whose move it is, and its last second.
pub(super) fn turn(board: &Board, id: u64) -> Option<(&'static str, u64)> {
    let side = |side| match side {
        Side::Provider => "provider",
        Side::Challenger => "challenger",
    };
    let d = board.dispute(id)?;
    match d.state {
        DisputeState::Refereed => Some(("referee", d.referee_deadline)),
        DisputeState::Appealed => {
            let game = board.disputes.get(&id)?.appeal.game.as_ref()?;
            gavel_node::appeal::view(board, id)?.turn()?;
            Some((side(game.turn), game.deadline()))
        }
        _ => {
            let (whose, deadline) = game::view(board, id)?.turn()?;
            Some((side(whose), deadline))
        }
    }
}

fn turn_word(board: &Board, id: u64) -> String {
    match turn(board, id) {
        Some((who, deadline)) => {
            format!("{who}, {} s left", deadline.saturating_sub(board.now()))
        }
        None => String::new(),
    }
}

async fn explain(args: ExplainArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let id = args.id;
    let Some(entry) = board.disputes.get(&id) else {
        return Err(no_dispute(id));
    };
    let (executor, _) = party::executor(board, std::slice::from_ref(&args.model))?;
    let me = party::reader(&network, executor, party::blobs(&args.blobs.blobs)?);
    let what = format!("dispute {id}");
    let d = &entry.dispute;
    let wanted = board.task(d.task).map(|task| task.model);
    let Some(model) = wanted.and_then(|wanted| me.executor.model(&wanted)) else {
        let of = wanted.map_or_else(|| "unknown".to_owned(), |model| model.to_string());
        return Err(
            Failure::new(format!("dispute {id} is not about {}", args.model))
                .expected(format!("its task's model, of model_id {of}"))
                .hint(format!("gavel task show {}", d.task)),
        );
    };
    let at = CommitPoint::at_leaf(d.leaf_index, model.header().commit_points);
    let place = at
        .filter(|_| d.isolated_at != 0)
        .map(|at| isolated(&model, at.step, at.segment, game::place(d)));
    let evidence = gather(&me, board, id).await.at(&what)?;
    let judged = match &evidence {
        Some(evidence) => Some(judge(evidence, &JudgeLimits::default()).at(&what)?),
        None => None,
    };
    let found = judged.as_ref().and_then(|j| j.step.as_ref());

    let moves = match entry.appeal.rounds {
        0 => entry.moves.to_string(),
        rounds => format!("{}, with {rounds} rounds below the operator", entry.moves),
    };
    out.facts(&[
        ("dispute", format!("{id}: {}", super::task::word(&d.state))),
        ("task", format!("{}, attempt {}", d.task, d.attempt)),
        ("provider", d.provider.to_string()),
        ("challenger", d.challenger.to_string()),
        ("moves", moves),
        ("ruling", ruling(entry)),
    ]);
    if let Some(by) = entry.appealed_by {
        let who = match by.is_zero() {
            true => "without a ruling, as no referee could be had".to_owned(),
            false => format!("by {by}"),
        };
        out.facts(&[("appeal", format!("{who}: {}", outcome(entry)))]);
    }
    match (&place, &judged) {
        (None, _) => {
            out.line("\nNo operator was isolated: it ended, or stands, before that.");
            out.next(format!("gavel dispute show {id}"));
        }
        (Some(place), judged) => {
            out.facts(&[("place", format!("{}, in step {}", place.name, place.step))]);
            let executed = executed(evidence.as_ref());
            told(judged.as_ref(), executed, &args.blobs.blobs, out);
            out.next(match evidence {
                Some(_) => format!("gavel challenge evidence {id} --model {}", args.model),
                None => format!("gavel task show {}", d.task),
            });
        }
    }
    out.json(&json!({
        "dispute": super::task::dispute(board, id),
        "place": place,
        "claim": judged.as_ref().map(Judgement::claim_holds),
        "appeal": entry.appealed_by.map(|by| json!({
            "by": by, "outcome": outcome(entry), "rounds": entry.appeal.rounds,
        })),
        "executed_on_chain": executed(evidence.as_ref()).is_some(),
        "step": found.map(step_json),
    }))?;
    Ok(Exit::Done)
}

/// The batch that the contract has executed about the isolated place, if one decided.
fn executed(evidence: Option<&Evidence>) -> Option<u64> {
    evidence?.element.as_ref()?.batch
}

/// What is right or wrong at the isolated place.
fn told(judged: Option<&Judgement>, executed: Option<u64>, blobs: &str, out: Output) {
    let Some(judged) = judged else {
        out.line(format!(
            "\nThe task's input is not in {blobs}: nothing can be computed again."
        ));
        return;
    };
    if judged.claim_holds() {
        out.line("\nThe provider computed this place rightly.");
    } else if let Some(step) = &judged.step {
        show(step, executed, out);
    } else {
        out.line("\nThe provider's output there is wrong. Which number of it is not known here: its digest is all that was shown.");
        out.facts(&[
            ("claimed", judged.claimed.to_string()),
            ("computed", judged.recomputed.to_string()),
        ]);
    }
}

fn outcome(entry: &DisputeEntry) -> &'static str {
    match entry.appeal.game.as_ref().map(|game| game.outcome) {
        Some(AppealOutcome::Guilty) => "the provider is guilty",
        Some(AppealOutcome::Cleared) => "the provider is cleared",
        Some(AppealOutcome::Void) => "it cannot be judged",
        Some(AppealOutcome::Pending) => "being played",
        None => "nobody judges it",
    }
}

fn ruling(entry: &DisputeEntry) -> String {
    let d = &entry.dispute;
    let said = match (d.ruled_at, d.ruled_guilty) {
        (0, _) => return "none".to_owned(),
        (_, true) => "guilty",
        (_, false) => "cleared",
    };
    format!("{said}, by {}", d.referee)
}

fn show(step: &Explanation, executed: Option<u64>, out: Output) {
    let executed = match executed {
        Some(batch) => format!("Batch {batch} was executed by the contract."),
        None => "The contract executed no step of it: this is computed here.".to_owned(),
    };
    out.line(format!("\n{executed} It comes down to"));
    out.line(format!("  {}: {}", step.place(), step.deciding));
    out.line(format!("  {}", step.outcome()));
    // the last are those that the deciding instruction works on
    let first = step.loads.len().saturating_sub(LOADS);
    for load in &step.loads[first..] {
        out.line(format!(
            "  element {} of input {}, loaded before it: {}",
            load.element,
            load.input,
            load.number()
        ));
    }
}

/// The step for programs; bits in hex.
pub(super) fn step_json(step: &Explanation) -> Value {
    json!(StepReport::from(step))
}
