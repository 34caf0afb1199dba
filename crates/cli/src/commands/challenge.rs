//! `gavel challenge watch|task|list|evidence`

use std::sync::Arc;

use gavel_node::board::Board;
use gavel_node::evidence::gather;
use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::Watcher;
use gavel_node::{Executor, Role};
use serde_json::json;

use super::party;
use crate::args::NetworkArgs;
use crate::args_node::{ChallengeCommand, EvidenceArgs, WatchArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::network::block_on;
use crate::output::{DIM, Output, paint};

pub(crate) fn run(command: ChallengeCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        ChallengeCommand::Watch(args) => block_on(watch(args, None, out)),
        ChallengeCommand::Task { id, watch: args } => block_on(watch(args, Some(id), out)),
        ChallengeCommand::List(args) => block_on(list(args, out)),
        ChallengeCommand::Evidence(args) => block_on(write_evidence(args, out)),
    }
}

async fn watch(args: WatchArgs, only: Option<u64>, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    let (executor, models) = party::executor(mirror.board(), &args.models)?;
    if let Some(id) = only {
        let task = mirror.board().task(id).ok_or_else(|| no_task(id))?;
        if executor.model(&task.model).is_none() {
            return Err(
                Failure::new(format!("task {id} is about model {}", task.model))
                    .expected("that model with --model"),
            );
        }
    }
    // whoever computes wrongly challenges what is right
    let executor: Arc<dyn Executor> = match args.fault {
        Some(Fault::FalseChallenge) => Arc::new(FaultyExecutor::new(executor, &[Fault::OneUlp], 1)),
        Some(other) => {
            return Err(Failure::usage(format!("{other} is no fault of a watcher"))
                .expected(Fault::FalseChallenge));
        }
        None => executor,
    };
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
    out.event(&json!({"event": "watching", "watcher": me.address(), "models": models}));
    let mut watcher = Watcher::new(me).appeals(args.fault.is_none());
    if let Some(id) = only {
        watcher = watcher.only_task(id);
    }
    let roles: Vec<Box<dyn Role>> = vec![Box::new(watcher)];
    let over = |board: &Board| only.is_some_and(|id| is_over(board, id));
    party::run_roles(mirror, roles, args.run, over, out).await?;
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
    Failure::new(format!("there is no task {id}")).hint("gavel task list")
}

async fn write_evidence(args: EvidenceArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let id = args.id;
    if board.dispute(id).is_none() {
        return Err(Failure::new(format!("there is no dispute {id}")).hint("gavel challenge list"));
    }
    let (executor, _) = party::executor(board, &[args.model])?;
    let me = party::reader(&network, executor, party::blobs(&args.blobs.blobs)?);
    let place = format!("the evidence of dispute {id}");
    let Some(evidence) = gather(&me, board, id).await.at(&place)? else {
        return Err(Failure::new(format!("{place} cannot be had"))
            .expected("a dispute that isolated an operator, its task's model and its input in the blob store")
            .hint("gavel challenge list"));
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

async fn list(args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
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
        ]
    });
    let header = [
        "dispute",
        "task",
        "provider",
        "challenger",
        "state",
        "moves",
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
