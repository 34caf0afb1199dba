//! `gavel task post|list|show|result|wait|cancel`; `trap` has its file

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::Model;
use gavel_model::diffusion::Diffusion;
use gavel_model::family::Family;
use gavel_model::llama::task_inputs;
use gavel_node::board::{Board, TaskEntry};
use gavel_node::roles::{self, Order, OrderError, Requester, outputs_of};
use gavel_node::{Act, LanguageText, Mirror, Party, ReceiptFile, Role, U256};
use gavel_numerics::Tensor;
use gavel_settlement::bindings::Market;
use gavel_settlement::{Account, Network, SendError};
use serde_json::{Value, json};

use super::challenge::no_task;
use super::party::{self, short, tokens};
use crate::args::NetworkArgs;
use crate::args_node::{BlobArgs, LoopArgs, TaskCommand, TaskPostArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files::{self, Servable};
use crate::language::signed;
use crate::network::{self, block_on};
use crate::output::Output;
use crate::picture;
use crate::prediction::{Said, speaks};
use crate::prompt;

const MAX_INPUT_BYTES: u64 = 1 << 30;
/// Looks at the chain while a binding is introduced: its header and its place, which others may be about to send too.
const INTRODUCTIONS: u32 = 5;

pub(crate) fn run(command: TaskCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        TaskCommand::Post { post: args, wait } => block_on(post(args, wait, out)),
        TaskCommand::Trap(args) => block_on(super::trap::trap(*args, out)),
        TaskCommand::List(args) => block_on(list(args, out)),
        TaskCommand::Show { id, network } => block_on(show(id, network, out)),
        TaskCommand::Result {
            id,
            model,
            output,
            receipt,
            network,
            blobs,
        } => block_on(async move {
            let (output, receipt) = (output.as_deref(), receipt.as_deref());
            result(id, &model, output, receipt, &network, &blobs, out).await
        }),
        TaskCommand::Wait {
            id,
            timeout,
            network,
            run,
        } => block_on(wait(id, timeout, network, run, out)),
        TaskCommand::Cancel { id, network, key } => block_on(async move {
            let network = party::network(&network).await?;
            cancel(id, party::account(&network, &key)?, out).await
        }),
    }
}

/// A task that was put up for auction.
pub(super) struct Posted {
    pub(super) me: Party,
    pub(super) network: Network,
    pub(super) mirror: Mirror,
    pub(super) id: u64,
    pub(super) act: Act,
    model: Model,
    introduced: Vec<Value>,
}

pub(super) async fn place(args: &TaskPostArgs, out: Output) -> Result<Posted, Failure> {
    let offer = args.auction.offer()?;
    let served = files::servable(&args.model)?;
    let (model, family) = match &served {
        Servable::Model(model) => ((**model).clone(), None),
        Servable::Family(family) => {
            let input = args.input.as_deref().ok_or_else(|| nothing(&args.model))?;
            let index = files::binding(family, &args.model, input)?;
            let model = family.binding(index).at(&args.model)?;
            (model, Some((Arc::clone(family), index)))
        }
    };
    let inputs = inputs(args, &model)?;
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    let name = std::slice::from_ref(&args.model);
    let (executor, _) = party::executor_of(mirror.board(), name, vec![served])?;
    let me = party::party(account, executor, party::blobs(&args.party.blobs.blobs)?);
    let me = super::protection::guard(me, &mut mirror, &args.party.state, out).await?;
    let introduced = match &family {
        Some((family, index)) => introduce(&me, &mut mirror, family, *index, out).await?,
        None => Vec::new(),
    };
    let order = Order {
        model: model.model_id(),
        family: family.as_ref().map(|(family, _)| family.id()),
        inputs,
        seed: args.seed,
        min_price: offer.min_price,
        max_price: offer.max_price,
        ramp_seconds: offer.ramp_seconds,
        exec_seconds: offer.exec_seconds,
    };
    out.confirm_on_terminal(&format!(
        "put up to {} tokens and the audit levy into escrow for one run of {}",
        args.auction.max_price, args.model
    ))?;
    let (id, act) = roles::post(&me, mirror.board(), &order)
        .await
        .map_err(|e| match e {
            OrderError::Refused(why) => Failure::new(format!("the market refuses the task: {why}"))
                .because(&why)
                .hint(format!("gavel account show {}", me.address())),
            other => Failure::new(other),
        })?;
    out.facts(&[
        ("task", id.to_string()),
        (
            "price",
            format!(
                "{} to {} tokens within {} s",
                args.auction.min_price, args.auction.max_price, args.auction.ramp
            ),
        ),
    ]);
    Ok(Posted {
        me,
        network,
        mirror,
        id,
        act,
        model,
        introduced,
    })
}

async fn post(args: TaskPostArgs, wait: bool, out: Output) -> Result<Exit, Failure> {
    let Posted {
        me,
        network,
        mirror,
        id,
        act,
        model,
        introduced,
    } = place(&args, out).await?;
    if !wait {
        out.next(format!("gavel task show {id}"));
        out.json(&json!({"task": id, "transaction": act.transaction, "gas": act.gas, "introduced": introduced}))?;
        me.account.heard().await.at("the post is noted as told")?;
        return Ok(Exit::Done);
    }
    me.account.heard().await.at("the post is noted as told")?;
    for act in introduced {
        out.event(&json!({"event": "introduced", "act": act}));
    }
    out.event(
        &json!({"event": "posted", "task": id, "transaction": act.transaction, "gas": act.gas}),
    );
    let requester: Vec<Box<dyn Role>> = vec![Box::new(Requester::new(me.clone()))];
    let over = |board: &Board| board.task(id).is_some_and(|task| task.state.is_final());
    party::run_roles(mirror, requester, LoopArgs { poll: 200 }, over, out).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let outputs = outputs_of(&me, board, id)
        .await
        .at(format!("the result of task {id}"))?;
    let outputs: Vec<_> = outputs
        .map_or_else(Vec::new, |outputs| outputs.tensors)
        .into_iter()
        .map(Arc::new)
        .collect();
    let said = Said::of(&model, &outputs);
    show_task(board, id, out)?;
    let mut object = task(board, id);
    said.show(out);
    said.add_to(&mut object);
    out.event(&object);
    Ok(Exit::Done)
}

/// Registers a binding and shows that it is one, where nobody has yet.
async fn introduce(
    me: &Party,
    mirror: &mut Mirror,
    family: &Family,
    index: u32,
    out: Output,
) -> Result<Vec<Value>, Failure> {
    let mut acts = Vec::new();
    let model = family.model_ids().get(index as usize);
    for _ in 0..INTRODUCTIONS {
        let board = mirror.refresh().await.at("reading the chain")?;
        let is_known = |model| board.models.contains_key(model);
        if model.is_some_and(|model| is_known(model) && board.is_binding(&family.id(), model)) {
            break;
        }
        let act = roles::introduce(me, board, family, index).await;
        if let Some(act) = act.at("introducing the binding")? {
            out.line(&act.what);
            acts.push(json!({"what": act.what, "transaction": act.transaction, "gas": act.gas}));
        }
    }
    Ok(acts)
}

fn nothing(name: &str) -> Failure {
    Failure::usage(format!("there is nothing to run {name} on"))
        .expected("a PNG, .npy or .npz file")
}

/// A picture or tensors, or what a model is asked.
fn inputs(args: &TaskPostArgs, model: &Model) -> Result<Vec<Tensor>, Failure> {
    let name = &args.model;
    if let (None, Some(drawing)) = (&args.input, Diffusion::of(model)) {
        let asked = prompt::question(&args.prompt)?;
        return picture::inputs(name, &drawing, &asked, args.seed);
    }
    match (&args.input, speaks(model)) {
        (Some(path), false) => files::inputs(model, path, MAX_INPUT_BYTES),
        (None, true) => {
            let asked = prompt::question(&args.prompt)?;
            let text = LanguageText::of(model).at(name)?;
            let tokens = prompt::tokens(name, &text, &args.prompt, &asked)?;
            task_inputs(model, &signed(&tokens), args.sampling.params(args.seed)).at(name)
        }
        (Some(path), true) => Err(Failure::usage(format!(
            "{name} is a language model and takes no {}",
            path.display()
        ))
        .expected("--prompt TEXT, or a text on standard input")),
        (None, false) => Err(nothing(name)),
    }
}

async fn list(args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let rows = board.tasks.iter().map(|(id, entry)| {
        let t = &entry.task;
        let by = match t.provider.is_zero() {
            true => String::new(),
            false => short(&t.provider),
        };
        vec![
            id.to_string(),
            word(&t.state),
            t.attempt.to_string(),
            short(&t.requester),
            by,
            format!("{} to {}", tokens(t.min_price), tokens(t.max_price)),
        ]
    });
    let header = ["task", "state", "attempt", "requester", "provider", "price"];
    out.table(&header, rows.collect(), &[0, 2]);
    let objects: Vec<_> = board.tasks.keys().map(|id| task(board, *id)).collect();
    out.json(&json!({"block": board.head.number, "tasks": objects}))?;
    Ok(Exit::Done)
}

async fn show(id: u64, args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mirror = party::mirror(&network).await?;
    show_task(mirror.board(), id, out)?;
    out.json(&task(mirror.board(), id))?;
    Ok(Exit::Done)
}

async fn wait(
    id: u64,
    timeout: Option<u64>,
    args: NetworkArgs,
    run: LoopArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mut mirror = party::mirror(&network).await?;
    let mut state = mirror.board().task(id).ok_or_else(|| no_task(id))?.state;
    let mut stop = std::pin::pin!(network::told_to_stop().at("listening to signals")?);
    let late = tokio::time::sleep(timeout.map_or(Duration::MAX, Duration::from_secs));
    let mut late = std::pin::pin!(late);
    out.progress(format!("task {id} is {}", word(&state)));
    while !state.is_final() {
        let unfinished = |why: &str, exit| {
            let what = format!("task {id} is {}: {why}", word(&state));
            let hint = format!("gavel task show {id}");
            Err(Failure::new(what).ends(exit).hint(hint))
        };
        tokio::select! {
            () = &mut stop => return unfinished("interrupted", Exit::Interrupted),
            () = &mut late => return unfinished("it did not end in time", Exit::Timeout),
            () = tokio::time::sleep(Duration::from_millis(run.poll)) => {}
        }
        // a chain that cannot be read now may be in a moment
        let Ok(board) = mirror.refresh().await else {
            continue;
        };
        let now = board.task(id).map_or(state, |task| task.state);
        if now != state {
            state = now;
            out.progress(format!("task {id} is {}", word(&state)));
        }
    }
    show_task(mirror.board(), id, out)?;
    out.json(&task(mirror.board(), id))?;
    Ok(Exit::Done)
}

fn show_task(board: &Board, id: u64, out: Output) -> Result<(), Failure> {
    let entry = board.tasks.get(&id).ok_or_else(|| no_task(id))?;
    let t = &entry.task;
    let class = match t.class == t.model {
        true => "the model itself".to_owned(),
        false => format!("family {}", t.class),
    };
    out.facts(&[
        ("task", format!("{id}, {}", word(&t.state))),
        ("model", t.model.to_string()),
        ("class", class),
        ("input", t.input_digest.to_string()),
        ("requester", t.requester.to_string()),
        (
            "price",
            format!("{} to {} tokens", tokens(t.min_price), tokens(t.max_price)),
        ),
        ("audit", audit_word(board, id, entry)),
        ("demands", demands_word(board, id)),
    ]);
    out.line("");
    let rows = entry.attempts.iter().map(|a| {
        let disputes: Vec<_> = board
            .disputes
            .iter()
            .filter(|(_, e)| e.dispute.task == id && e.dispute.attempt == a.attempt)
            .map(|(n, e)| format!("{n} {}", word(&e.dispute.state)))
            .collect();
        vec![
            a.attempt.to_string(),
            a.provider.to_string(),
            tokens(a.price),
            a.result
                .map_or(String::new(), |r| format!("{:#}", r.trace_root)),
            a.ended.clone().unwrap_or_else(|| word(&t.state)),
            disputes.join(", "),
        ]
    });
    let header = [
        "attempt",
        "provider",
        "price",
        "trace root",
        "end",
        "disputes",
    ];
    out.table(&header, rows.collect(), &[0, 2]);
    Ok(())
}

/// How demands for a task's input stand, in chunks.
fn demands_word(board: &Board, id: u64) -> String {
    let about = || board.demands.values().filter(|demand| demand.task == id);
    let open = about().filter(|demand| demand.is_open(board.now())).count();
    let asked: u32 = about().map(|demand| u32::from(demand.count)).sum();
    let shown: usize = about().map(|demand| demand.shown.len()).sum();
    match about().count() {
        0 => "none for its input".to_owned(),
        all => format!("{all} for its input, {open} open: {shown} of {asked} chunks shown"),
    }
}

fn audit_word(board: &Board, id: u64, entry: &TaskEntry) -> String {
    match board.audits.get(&(id, entry.task.attempt)) {
        Some(found) => word(&found.audit.state),
        None => "not decided".to_owned(),
    }
}

async fn result(
    id: u64,
    model: &str,
    output: Option<&Path>,
    receipt: Option<&Path>,
    network: &NetworkArgs,
    blobs: &BlobArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let network = party::network(network).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let state = board.task(id).ok_or_else(|| no_task(id))?.state;
    let (executor, _) = party::executor(board, &[model.to_owned()])?;
    let me = party::reader(&network, executor, party::blobs(&blobs.blobs)?);
    let found = outputs_of(&me, board, id)
        .await
        .at(format!("the result of task {id}"))?;
    let Some(found) = found else {
        return Err(Failure::not_found(format!(
            "task {id} is {} and has no result here",
            word(&state)
        ))
        .expected("a committed result of this model in the blob store")
        .hint(format!("gavel task show {id}")));
    };
    let wanted = board.task(id).map(|task| task.model).unwrap_or_default();
    let loaded = me.executor.model(&wanted).ok_or_else(|| no_task(id))?;
    if let Some(path) = receipt {
        write_receipt(path, &me, board, id, &found).await?;
        out.facts(&[("receipt", path.display().to_string())]);
    }
    let outputs: Vec<_> = found.tensors.into_iter().map(Arc::new).collect();
    let said = Said::of(&loaded, &outputs);
    if let (Some(path), Some(tensor)) = (output, outputs.first()) {
        match &said {
            Said::Text(text) => files::write(path, text.as_bytes())?,
            Said::Picture(drawn) => files::write(path, &drawn.png()?)?,
            _ => files::write(path, &gavel_model::npy::write_npy(tensor))?,
        }
        out.facts(&[("written", path.display().to_string())]);
    }
    let shapes: Vec<_> = outputs.iter().map(|t| t.ty().to_string()).collect();
    out.facts(&[("state", word(&state))]);
    if !matches!(said, Said::Text(_) | Said::Picture(_)) {
        out.facts(&[("output", shapes.join(", "))]);
    }
    said.show(out);
    let mut object = json!({"task": id, "state": state, "outputs": shapes});
    said.add_to(&mut object);
    out.json(&object)?;
    Ok(Exit::Done)
}

/// Writes the receipt of a result with its inputs and outputs: what `gavel verify` takes.
async fn write_receipt(
    path: &Path,
    me: &Party,
    board: &Board,
    id: u64,
    outputs: &gavel_node::Outputs,
) -> Result<(), Failure> {
    let place = || format!("the receipt of task {id}");
    let missing = |what: &str| {
        Failure::new(format!("{}: {what}", place()))
            .expected("inputs and a receipt of the provider in the blob store")
    };
    let receipt = roles::receipt_of(me, board, id).await.at(place())?;
    let receipt = receipt.ok_or_else(|| missing("the provider has signed none"))?;
    let task = board.task(id).ok_or_else(|| no_task(id))?;
    let inputs = me.inputs_of(task).await.at(place())?;
    let inputs = inputs.ok_or_else(|| missing("the inputs cannot be had"))?;
    let file = ReceiptFile::new(receipt, &inputs, outputs);
    let text = serde_json::to_vec(&file).at(place())?;
    files::write(path, &text)
}

async fn cancel(id: u64, account: Account, out: Output) -> Result<Exit, Failure> {
    let call = Market::cancelCall {
        taskId: U256::from(id),
    };
    let market = account.network().deployment().market;
    let receipt = account.send(market, call).await.map_err(|e| match e {
        SendError::Reverted { .. } => Failure::new(format!("task {id} cannot be cancelled: {e}"))
            .because(&e)
            .expected("an open task of this key")
            .hint(format!("gavel task show {id}")),
        other => Failure::new(other),
    })?;
    out.line(format!("task {id} is cancelled; the escrow is credit now"));
    out.next("gavel account withdraw --key KEYFILE");
    out.json(&json!({"task": id, "transaction": receipt.hash, "gas": receipt.gas_used}))?;
    Ok(Exit::Done)
}

/// A state as people and programs read it.
pub(super) fn word(state: &impl serde::Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}

/// A task for programs.
fn task(board: &Board, id: u64) -> Value {
    let Some(entry) = board.tasks.get(&id) else {
        return Value::Null;
    };
    let t = &entry.task;
    let attempts: Vec<_> = entry
        .attempts
        .iter()
        .map(|a| {
            json!({
                "attempt": a.attempt, "provider": a.provider, "price": a.price.to_string(),
                "collateral": a.collateral.to_string(), "deadline": a.deadline,
                "trace_root": a.result.map(|r| r.trace_root),
                "output_digest": a.result.map(|r| r.output_digest), "ended": a.ended,
            })
        })
        .collect();
    let disputes: Vec<_> = board
        .disputes
        .iter()
        .filter(|(_, e)| e.dispute.task == id)
        .map(|(n, _)| dispute(board, *n))
        .collect();
    json!({
        "task": id, "state": t.state, "requester": t.requester, "model": t.model, "class": t.class,
        "input_digest": t.input_digest, "min_price": t.min_price.to_string(),
        "max_price": t.max_price.to_string(), "attempt": t.attempt, "attempts": attempts,
        "audit": audit_word(board, id, entry), "disputes": disputes, "demands": demands(board, id),
    })
}

/// Demands for a task's input, for programs.
fn demands(board: &Board, id: u64) -> Vec<Value> {
    let about = board.demands.iter().filter(|(_, demand)| demand.task == id);
    let each = about.map(|(n, demand)| {
        json!({
            "demand": n, "demander": demand.demander, "slot": demand.slot, "first": demand.first,
            "count": demand.count, "shown": demand.shown.len(), "fee": demand.fee.to_string(),
            "deadline": demand.deadline, "closed": demand.closed,
        })
    });
    each.collect()
}

/// A dispute for programs.
pub(super) fn dispute(board: &Board, id: u64) -> Value {
    let Some(entry) = board.disputes.get(&id) else {
        return Value::Null;
    };
    let d = &entry.dispute;
    let isolated = (d.isolated_at != 0).then(|| {
        json!({
            "segment_leaf": d.leaf_index, "live": d.in_live, "index": d.isolated_index,
            "node": (!d.in_live).then_some(d.first_node + d.isolated_index),
            "claimed": d.claimed_digest,
        })
    });
    let ruling = (d.ruled_at != 0)
        .then(|| json!({"referee": d.referee, "guilty": d.ruled_guilty, "digest": d.ruled_digest}));
    let turn = super::dispute::turn(board, id);
    json!({
        "dispute": id, "task": d.task, "attempt": d.attempt, "provider": d.provider,
        "challenger": d.challenger, "by_audit": entry.by_audit, "state": d.state,
        "bond": d.bond.to_string(), "to_move": turn.map(|(who, _)| who), "deadline": turn.map(|(_, at)| at),
        "moves": entry.moves, "isolated": isolated, "ruling": ruling,
    })
}
