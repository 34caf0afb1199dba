//! `gavel challenge watch|task|open|move|drill|evidence`

use std::net::SocketAddr;
use std::sync::Arc;

use gavel_node::board::Board;
use gavel_node::evidence::gather;
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::Watcher;
use gavel_node::{Executor, Role};
use serde_json::json;

use super::operators::{self, Operators};
use super::worker::Secrets;
use super::{by_hand, party};
use crate::args_node::{ChallengeCommand, EvidenceArgs, WatchArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::network::{self, block_on};
use crate::output::{DIM, Output, paint};

pub(crate) fn run(command: ChallengeCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        ChallengeCommand::Watch { watch, ops } => block_on(self::watch(watch, None, ops, out)),
        ChallengeCommand::Task { id, watch: args } => block_on(watch(args, Some(id), None, out)),
        ChallengeCommand::Open { id, watch } => block_on(by_hand::open(id, watch, out)),
        ChallengeCommand::Move {
            id,
            dry_run,
            model,
            sandbox,
            party,
        } => block_on(by_hand::make_move(id, dry_run, model, sandbox, party, out)),
        ChallengeCommand::List(args) => block_on(super::dispute::list(args, out)),
        ChallengeCommand::Drill(args) => super::drill::run(&args, out),
        ChallengeCommand::Evidence(args) => block_on(write_evidence(args, out)),
    }
}

pub(super) async fn watch(
    args: WatchArgs,
    only: Option<u64>,
    ops: Option<SocketAddr>,
    out: Output,
) -> Result<Exit, Failure> {
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    // whoever computes wrongly challenges what is right
    let (executor, models): (Arc<dyn Executor>, _) = match args.fault {
        Some(Fault::FalseChallenge) => {
            let (honest, models) = party::executor(mirror.board(), &args.models)?;
            (
                Arc::new(FaultyExecutor::new(honest, &[Fault::OneUlp], 1)),
                models,
            )
        }
        Some(other) => {
            return Err(Failure::usage(format!("{other} is no fault of a watcher"))
                .expected(Fault::FalseChallenge));
        }
        None => {
            Secrets::of(&args.party).hidden_from(&args.models, &args.sandbox)?;
            party::confined(mirror.board(), &args.models, &args.sandbox, out)?
        }
    };
    if let Some(id) = only {
        let task = mirror.board().task(id).ok_or_else(|| no_task(id))?;
        if executor.model(&task.model).is_none() {
            return Err(
                Failure::new(format!("task {id} is about model {}", task.model))
                    .expected("that model with --model"),
            );
        }
    }
    let me = party::party(account, executor, party::blobs(&args.party.blobs.blobs)?);
    let me = super::protection::guard(me, &mut mirror, &args.party.state, out).await?;
    // every challenge pulls a bond
    me.account.approve_vault().await.at("approving the vault")?;
    out.facts(&[
        ("watcher", me.address().to_string()),
        ("runs again", args.models.join(", ")),
    ]);
    out.line(paint(
        DIM,
        "stops on Ctrl-C; a dispute that is left alone is lost when its clock runs out",
    ));
    let operators = operators::open(ops, "watcher", &me, out).await?;
    let ops = operators.as_ref().map(Operators::url);
    out.event(&json!({"event": "watching", "watcher": me.address(), "models": models, "ops": ops}));
    let mut watcher = Watcher::new(me).appeals(args.fault.is_none());
    if let Some(id) = only {
        watcher = watcher.only_task(id);
    }
    let roles: Vec<Box<dyn Role>> = vec![Box::new(watcher)];
    let over = |board: &Board| only.is_some_and(|id| is_over(board, id));
    let stop = network::told_to_stop().at("listening to signals")?;
    operators::run_roles(stop, mirror, roles, args.run, over, operators.as_ref(), out).await;
    if let Some(operators) = operators {
        operators.close().await?;
    }
    Ok(Exit::Done)
}

/// Nothing about a task can be challenged any more, and nothing is being disputed.
fn is_over(board: &Board, id: u64) -> bool {
    let disputed = board
        .open_disputes()
        .any(|(_, entry)| entry.dispute.task == id);
    board.task(id).is_none_or(|task| task.state.is_final()) && !disputed
}

pub(super) fn no_task(id: u64) -> Failure {
    Failure::not_found(format!("there is no task {id}")).hint("gavel task list")
}

async fn write_evidence(args: EvidenceArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let id = args.id;
    if board.dispute(id).is_none() {
        return Err(super::dispute::no_dispute(id));
    }
    let (executor, _) = party::executor(board, &[args.model])?;
    let me = party::reader(&network, executor, party::blobs(&args.blobs.blobs)?);
    let place = format!("the evidence of dispute {id}");
    let Some(evidence) = gather(&me, board, id).await.at(&place)? else {
        return Err(Failure::new(format!("{place} cannot be had"))
            .expected("a dispute that isolated an operator, its task's model and its input in the blob store")
            .hint(format!("gavel dispute show {id}")));
    };
    let file = args
        .output
        .unwrap_or_else(|| format!("dispute-{id}.json").into());
    files::write(&file, evidence.to_json().at(&place)?.as_bytes())?;
    out.facts(&[("written", file.display().to_string())]);
    out.next(format!("gavel verify {}", file.display()));
    out.json(&json!({"dispute": id, "file": file}))?;
    Ok(Exit::Done)
}
