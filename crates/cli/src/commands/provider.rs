//! `gavel provider run|list`

use std::sync::Arc;

use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::roles::{self, Auditor, JoinOptions, Keeper, Provider, ProviderPolicy, Referee};
use gavel_node::{Executor, Role};
use serde_json::json;

use super::party;
use crate::args::NetworkArgs;
use crate::args_node::{ProviderCommand, ProviderRunArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::{TOKEN, block_on};
use crate::output::{BAD, DIM, GOOD, Output, WARN, paint};

pub(crate) fn run(command: ProviderCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        ProviderCommand::Run(args) => block_on(serve(args, out)),
        ProviderCommand::List(args) => block_on(list(args, out)),
    }
}

async fn serve(args: ProviderRunArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    let (honest, classes) = party::executor(mirror.board(), &args.models)?;
    let faults = args.faults;
    let foreign = |f: &&Fault| matches!(f, Fault::FalseChallenge | Fault::SockPuppet);
    if let Some(fault) = faults.iter().find(foreign) {
        return Err(Failure::usage(format!("{fault} is a fault of challengers")));
    }
    let has = |fault| faults.contains(&fault);
    let executor: Arc<dyn Executor> = match has(Fault::Withhold) {
        // whoever falls silent in a dispute has something to hide
        true => Arc::new(FaultyExecutor::new(
            honest,
            &[&faults[..], &[Fault::Weight]].concat(),
            1,
        )),
        false if faults.iter().any(|f| f.falsifies_result()) => {
            Arc::new(FaultyExecutor::new(honest, &faults, 1))
        }
        false => honest,
    };
    let blobs = party::blobs(&args.party.blobs.blobs)?;
    if args.reset_breaker {
        super::protection::reset_breaker(&account, &args.party.state).await?;
    }
    let me = party::party(account, executor, blobs);
    let me = super::protection::guard(me, &mut mirror, &args.party.state, out).await?;
    let options = JoinOptions {
        stake: u128::from(args.stake) * TOKEN,
        concurrency: args.concurrency,
        classes: classes.clone(),
    };
    loop {
        let board = mirror.refresh().await.at("reading the chain")?;
        let joined = roles::join(&me, board, &options).await.map_err(|e| {
            let rules = board.newest_rules().map(|r| &r.stake);
            let least = rules.map_or(0, |r| r.min_stake + r.registration_fee);
            Failure::new(format!("{} cannot register: {e}", me.address()))
                .expected(format!(
                    "a stake whose tokens are in its wallet, with the fee at least {}, and no ban",
                    party::tokens(least)
                ))
                .hint(format!("gavel account show {}", me.address()))
        });
        let Some(act) = joined? else {
            break;
        };
        out.line(format!("{} {}", me.name, act.what));
        out.event(&json!({"event": "acted", "who": me.name, "what": act.what, "transaction": act.transaction, "gas": act.gas}));
    }
    if mirror.board().is_tombstoned(&me.address()) {
        return Err(Failure::new(format!(
            "{} is tombstoned: it was convicted, and serves no more",
            me.address()
        ))
        .expected("a key that was never convicted, nor its owner or payout"));
    }
    out.facts(&[
        ("provider", me.address().to_string()),
        ("serves", args.models.join(", ")),
        ("from", format!("{} tokens a task", args.reserve)),
    ]);
    out.line(paint(
        DIM,
        "stops on Ctrl-C; nothing is lost by it but deadlines",
    ));
    out.event(&json!({"event": "serving", "provider": me.address(), "models": classes}));
    let policy = ProviderPolicy {
        reserve: u128::from(args.reserve) * TOKEN,
        least_exec_seconds: args.least_exec,
        classes,
        delivers: !has(Fault::NoResult),
        defends: !has(Fault::Withhold),
        appeals: faults.is_empty(),
    };
    let mut all: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(me.clone(), policy)),
        Box::new(Auditor::new(me.clone()).lazy(has(Fault::LazyAuditor))),
        Box::new(Referee::new(me.clone()).lying(has(Fault::LyingReferee))),
    ];
    if !args.no_keeper {
        all.push(Box::new(Keeper::new(me)));
    }
    party::run_roles(mirror, all, args.run, |_| false, out).await?;
    Ok(Exit::Done)
}

async fn list(args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let standing = |key| match board.providers.get(key) {
        Some(p) if p.tombstoned => ("tombstoned", BAD),
        Some(p) if p.frozen > 0 => ("frozen", WARN),
        Some(p) if p.jailed_until > 0 => ("jailed", WARN),
        _ if board.is_eligible(key) => ("active", GOOD),
        _ => ("too little stake", WARN),
    };
    let rows = board.providers.iter().map(|(key, p)| {
        let (word, style) = standing(key);
        vec![
            key.to_string(),
            paint(style, word),
            party::tokens(p.free),
            party::tokens(p.locked),
            party::tokens(p.unbonding),
            p.settled_tasks.to_string(),
        ]
    });
    let header = [
        "provider", "standing", "free", "locked", "leaving", "settled",
    ];
    out.table(&header, rows.collect(), &[2, 3, 4, 5]);
    let objects: Vec<_> = board
        .providers
        .iter()
        .map(|(key, p)| {
            json!({
                "provider": key, "owner": p.owner, "payout": p.payout, "standing": standing(key).0,
                "free": p.free.to_string(), "locked": p.locked.to_string(),
                "unbonding": p.unbonding.to_string(), "frozen": p.frozen,
                "tombstoned": p.tombstoned, "live_tasks": p.live_tasks, "settled": p.settled_tasks,
            })
        })
        .collect();
    out.json(&json!({"block": board.head.number, "providers": objects}))?;
    Ok(Exit::Done)
}
