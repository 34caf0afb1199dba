//! `gavel challenge open|move`: a challenge move by move.

use gavel_dispute::{Policy, Role as Part};
use gavel_node::board::Board;
use gavel_node::roles::Watcher;
use gavel_node::{Address, Party, Role, planned, play};
use serde_json::json;

use super::challenge::no_task;
use super::party::{self, tokens};
use super::worker::Secrets;
use crate::args_node::{PartyArgs, WatchArgs};
use crate::args_ops::SandboxArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::output::Output;

/// Commits a challenge of a result that this machine computes otherwise, and reveals it when that is due.
pub(super) async fn open(id: u64, args: WatchArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    Secrets::of(&args.party).hidden_from(&args.models, &args.sandbox)?;
    let (executor, _) = party::confined(mirror.board(), &args.models, &args.sandbox, out)?;
    let me = party::party(account, executor, party::blobs(&args.party.blobs.blobs)?);
    let me = super::protection::guard(me, &mut mirror, &args.party.state, out).await?;
    let board = mirror.board();
    let key = challenge_key(board, id, &me)?;
    if !board.challenges.contains_key(&key) {
        differs(&me, board, id).await?;
        let provider = board.task(id).ok_or_else(|| no_task(id))?.provider;
        let bond = network
            .court()
            .bondOf(provider)
            .call()
            .await
            .at("the bond")?;
        out.confirm(&format!(
            "challenge the result of task {id} with a bond of {} tokens, lost if the provider is right",
            tokens(bond)
        ))?;
        me.account.approve_vault().await.at("approving the vault")?;
    }
    if let Some((first, last)) = board.reveal_window(id) {
        let now = board.now();
        out.progress(format!(
            "the challenge is revealed in {} s at the earliest; {} s are left for it",
            first.saturating_sub(now),
            last.saturating_sub(now)
        ));
    }
    let ended = |board: &Board| {
        let challenge = board.challenges.get(&key);
        let moved_on = board.task(id).is_none_or(|task| task.attempt != key.1);
        moved_on || challenge.is_some_and(|c| c.dispute.is_some() || c.closed)
    };
    let watcher = Watcher::new(me).only_task(id).silent_after_reveal(true);
    let roles: Vec<Box<dyn Role>> = vec![Box::new(watcher)];
    party::run_roles(mirror, roles, args.run, ended, out).await?;
    let mirror = party::mirror(&network).await?;
    let challenge = mirror.board().challenges.get(&key);
    let Some(dispute) = challenge.and_then(|c| c.dispute) else {
        return Err(Failure::new(format!(
            "the challenge of task {id} opened no dispute: it was interrupted, or another verdict came first"
        ))
        .ends(Exit::Interrupted)
        .hint(format!("gavel task show {id}")));
    };
    out.facts(&[("dispute", dispute.to_string())]);
    out.next(format!(
        "gavel challenge move {dispute} --model {} --key KEYFILE, whenever it is your turn",
        args.models.join(" --model ")
    ));
    out.event(&json!({"event": "disputed", "task": id, "dispute": dispute}));
    Ok(Exit::Done)
}

fn challenge_key(board: &Board, id: u64, me: &Party) -> Result<(u64, u8, Address), Failure> {
    let task = board.task(id).ok_or_else(|| no_task(id))?;
    let key = (id, task.attempt, me.address());
    let late = board
        .challenge_deadline(id)
        .is_none_or(|last| board.now() > last);
    if late && !board.challenges.contains_key(&key) {
        return Err(Failure::new(format!(
            "the result of task {id} cannot be challenged: the task is {}",
            super::task::word(&task.state)
        ))
        .ends(Exit::Reverted)
        .expected("a committed result within its challenge window"));
    }
    Ok(key)
}

/// Refuses to challenge what this machine computes as well.
async fn differs(me: &Party, board: &Board, id: u64) -> Result<(), Failure> {
    let task = board.task(id).ok_or_else(|| no_task(id))?;
    if me.executor.model(&task.model).is_none() {
        return Err(
            Failure::new(format!("task {id} is about model {}", task.model))
                .expected("that model with --model"),
        );
    }
    let run = me.run_of(board, id).await.at(format!("task {id}"))?;
    let run = run.ok_or_else(|| {
        Failure::not_found(format!("the input of task {id} cannot be had"))
            .expected("it in the blob store, as the task's digest says")
    })?;
    match run.trace.trace_root() == task.trace_root {
        true => Err(Failure::new(format!(
            "this machine computes the same result of task {id}: a challenge would lose its bond"
        ))),
        false => Ok(()),
    }
}

/// Makes, or only says, what this key has to do next in a dispute.
pub(super) async fn make_move(
    id: u64,
    dry_run: bool,
    model: String,
    sandbox: SandboxArgs,
    args: PartyArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let account = party::account(&network, &args.key)?;
    let mut mirror = party::mirror(&network).await?;
    let models = [model];
    Secrets::of(&args).hidden_from(&models, &sandbox)?;
    let (executor, _) = party::confined(mirror.board(), &models, &sandbox, out)?;
    let me = party::party(account, executor, party::blobs(&args.blobs.blobs)?);
    let me = match dry_run {
        true => me,
        false => super::protection::guard(me, &mut mirror, &args.state, out).await?,
    };
    let board = mirror.board();
    let dispute = board
        .dispute(id)
        .ok_or_else(|| super::dispute::no_dispute(id))?;
    let part = match me.address() {
        a if a == dispute.provider => Part::Provider,
        a if a == dispute.challenger => Part::Challenger,
        a if a == dispute.referee => Part::Referee,
        _ => Part::Bystander,
    };
    let (policy, place) = (Policy::default(), format!("dispute {id}"));
    let (what, act) = match dry_run {
        true => (
            planned(&me, board, id, part, &policy).await.at(place)?,
            None,
        ),
        false => {
            let act = play(&me, board, id, part, &policy).await.at(place)?;
            (act.as_ref().map(|act| act.what.clone()), act)
        }
    };
    let role = match part {
        Part::Provider => "provider",
        Part::Challenger => "challenger",
        Part::Referee => "referee",
        Part::Bystander => "bystander",
    };
    match &what {
        Some(what) if dry_run => out.line(format!("as {role}, would send: {what}")),
        Some(what) => out.line(format!("as {role}: {what}")),
        None => out.line(format!(
            "as {role} there is nothing to do in dispute {id} now"
        )),
    }
    out.next(format!("gavel dispute show {id}"));
    out.json(&json!({
        "dispute": id, "role": role, "move": what, "sent": act.is_some(),
        "transaction": act.as_ref().map(|act| act.transaction), "gas": act.as_ref().map(|act| act.gas),
    }))?;
    Ok(Exit::Done)
}
