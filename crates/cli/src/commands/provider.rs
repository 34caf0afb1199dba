//! `gavel provider run|drain|list`; what comes before them is in `setup` and `calibrate`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gavel_node::faults::{Fault, FaultyExecutor};
use gavel_node::fleet::FleetExecutor;
use gavel_node::protection;
use gavel_node::roles::{
    self, Auditor, JoinOptions, Keeper, Participant, Provider, ProviderPolicy, Referee,
};
use gavel_node::{Board, Executor, Mirror, Party, Role};
use serde_json::json;

use super::fleet::{self, Leading};
use super::operators::{self, Operators};
use super::worker::Secrets;
use super::{beacon, beacon_role, calibrate, party, setup, stake};
use crate::args::NetworkArgs;
use crate::args_node::{ProviderCommand, ProviderRunArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::{self, TOKEN, block_on};
use crate::output::{BAD, DIM, GOOD, Output, WARN, paint};

pub(crate) fn run(command: ProviderCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        ProviderCommand::Init(args) => setup::run(&args, out),
        ProviderCommand::Calibrate(args) => calibrate::run(&args, out),
        ProviderCommand::Run(args) => block_on(serve(args, false, out)),
        ProviderCommand::Drain(args) => block_on(serve(args, true, out)),
        ProviderCommand::Work(args) => block_on(fleet::run(args, out)),
        ProviderCommand::Stake(args) => block_on(stake::add(args, out)),
        ProviderCommand::Unstake(args) => block_on(stake::unstake(args, out)),
        ProviderCommand::Withdraw { network, key } => {
            block_on(async move { stake::withdraw(&network, &key, out).await })
        }
        ProviderCommand::List(args) => block_on(list(args, out)),
    }
}

async fn serve(args: ProviderRunArgs, drain: bool, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    let faults = args.faults;
    let foreign = |f: &&Fault| matches!(f, Fault::FalseChallenge | Fault::SockPuppet);
    if let Some(fault) = faults.iter().find(foreign) {
        return Err(Failure::usage(format!("{fault} is a fault of challengers")));
    }
    let has = |fault| faults.contains(&fault);
    let falsifies = has(Fault::Withhold) || faults.iter().any(|f| f.falsifies_result());
    let (executor, classes): (Arc<dyn Executor>, _) = match falsifies {
        // a liar lies with its own engine
        true => {
            let (honest, classes) = party::executor(mirror.board(), &args.models)?;
            // whoever falls silent in a dispute has something to hide
            let hidden: &[Fault] = match has(Fault::Withhold) {
                true => &[Fault::Weight],
                false => &[],
            };
            let lies = [&faults[..], hidden].concat();
            (Arc::new(FaultyExecutor::new(honest, &lies, 1)), classes)
        }
        false => {
            Secrets::of(&args.party).hidden_from(&args.models, &args.sandbox)?;
            party::confined(mirror.board(), &args.models, &args.sandbox, out)?
        }
    };
    let relays = beacon::source(&args.relays)?;
    if args.secrets.join_beacon {
        beacon_role::rounds(mirror.board())?;
    }
    let blobs = party::blobs(&args.party.blobs.blobs)?;
    let state = &args.party.state;
    let mut leading = match args.fleet.fleet {
        true if !faults.is_empty() => {
            return Err(Failure::usage("a fleet does no wrong").expected("--fault or --fleet"));
        }
        true => Some(Leading::wait(&account, args.fleet, state, out).await?),
        false => None,
    };
    let store = match &leading {
        Some(leading) => Arc::clone(&leading.store),
        None => super::protection::store_of(&account, state).await?,
    };
    if args.reset_breaker {
        protection::reset(&*store).await.map_err(Failure::new)?;
    }
    let executor = match &leading {
        Some(leading) => {
            let executor = Arc::new(FleetExecutor::new(executor));
            leading.dispatch(Arc::clone(&executor), blobs.clone(), args.run.poll, out);
            executor
        }
        None => executor,
    };
    let me = party::party(account, executor, blobs);
    let accepts = state.accept_foreign_acts;
    let me = super::protection::guard_with(me, &mut mirror, store, accepts, out).await?;
    let options = JoinOptions {
        stake: u128::from(args.stake) * TOKEN,
        concurrency: args.concurrency,
        classes: classes.clone(),
    };
    let registered = mirror.board().providers.contains_key(&me.address());
    if drain && !registered {
        return Err(stake::unknown(&me.address()));
    }
    if !drain {
        join(&me, &mut mirror, &options, out).await?;
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
        (
            "from",
            format!("{} tokens a task", party::tokens(args.reserve)),
        ),
    ]);
    out.line(paint(
        DIM,
        match drain {
            true => "takes no new work; ends when nothing is owed, Ctrl-C ends it now",
            false => {
                "SIGTERM drains: no new work, what is owed is done; Ctrl-C or a second one stops, and loses deadlines"
            }
        },
    ));
    let operators = operators::open(args.ops, "provider", &me, out).await?;
    let ops = operators.as_ref().map(Operators::url);
    out.event(&json!({
        "event": if drain { "draining" } else { "serving" },
        "provider": me.address(), "models": classes, "owed": roles::obligations(mirror.board(), &me.address()),
        "ops": ops,
    }));
    let draining = Arc::new(AtomicBool::new(drain));
    let policy = ProviderPolicy {
        reserve: args.reserve,
        least_exec_seconds: args.least_exec,
        classes,
        delivers: !has(Fault::NoResult),
        defends: !has(Fault::Withhold),
        appeals: faults.is_empty(),
    };
    let address = me.address();
    let mut all: Vec<Box<dyn Role>> = vec![
        Box::new(Provider::new(me.clone(), policy).draining(Arc::clone(&draining))),
        Box::new(Auditor::new(me.clone()).lazy(has(Fault::LazyAuditor))),
        Box::new(Referee::new(me.clone()).lying(has(Fault::LyingReferee))),
    ];
    let mut bond_is_back = Arc::new(AtomicBool::new(true));
    let mut beside = None;
    if args.secrets.join_beacon {
        let participant = Participant::new(me.clone())
            .with_least_reveal(args.secrets.least.least_reveal)
            .ending(Arc::clone(&draining))
            .leaving();
        bond_is_back = participant.is_free();
        let mirror = party::mirror(&network).await?;
        let watched = operators.as_ref().map(Operators::watched);
        beside = Some(beacon_role::beside(
            participant,
            mirror,
            args.run,
            watched,
            out,
        ));
    }
    if !args.no_keeper {
        all.push(Box::new(Keeper::new(me).with_source(relays)));
    }
    let stop = network::told_to_drain(Arc::clone(&draining), move || {
        out.line("drains: takes no new work, and ends when nothing is owed");
        out.event(&json!({"event": "draining", "provider": address}));
    });
    let stop = stop.at("listening to signals")?;
    let free = |board: &Board| {
        let in_a_pool = board.pools.values().any(|pool| pool.contains_key(&address));
        roles::obligations(board, &address).is_empty() && !in_a_pool
    };
    let ended = AtomicBool::new(false);
    let over = |board: &Board| {
        let over =
            draining.load(Ordering::Relaxed) && bond_is_back.load(Ordering::Relaxed) && free(board);
        ended.store(over, Ordering::Relaxed);
        over
    };
    let mut lost = None;
    let stop = async {
        match &mut leading {
            Some(leading) => tokio::select! {
                () = stop => {}
                failure = leading.lost() => lost = Some(failure),
            },
            None => stop.await,
        }
    };
    operators::run_roles(stop, mirror, all, args.run, over, operators.as_ref(), out).await;
    if let Some(beside) = beside {
        beside.abort();
    }
    if let Some(operators) = operators {
        operators.close().await?;
    }
    if let Some(failure) = lost {
        return Err(failure);
    }
    if ended.load(Ordering::Relaxed) {
        out.line(paint(GOOD, "drained: nothing is owed and no pool draws it"));
        out.event(&json!({"event": "drained", "provider": address}));
        out.next("gavel provider unstake AMOUNT, and when the unbonding time has passed gavel provider withdraw");
    } else if draining.load(Ordering::Relaxed) {
        return Err(Failure::new(format!(
            "{address} was interrupted before all that it owes was done"
        ))
        .ends(Exit::Interrupted)
        .hint("`gavel provider drain` goes on with it"));
    }
    Ok(Exit::Done)
}

/// Registers, and joins the pools, as far as that was not done before.
async fn join(
    me: &Party,
    mirror: &mut Mirror,
    options: &JoinOptions,
    out: Output,
) -> Result<(), Failure> {
    loop {
        let board = mirror.refresh().await.at("reading the chain")?;
        let joined = roles::join(me, board, options).await.map_err(|e| {
            let rules = board.newest_rules().map(|r| &r.stake);
            let least = rules.map_or(0, |r| r.min_stake + r.registration_fee);
            Failure::new(format!("{} cannot register: {e}", me.address()))
                .because(&e)
                .expected(format!(
                    "a stake whose tokens are in its wallet, with the fee at least {}, and no ban",
                    party::tokens(least)
                ))
                .hint(format!("gavel account show {}", me.address()))
        });
        let Some(act) = joined? else {
            return Ok(());
        };
        out.line(format!("{} {}", me.name, act.what));
        out.event(&json!({"event": "acted", "who": me.name, "what": act.what, "transaction": act.transaction, "gas": act.gas}));
    }
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
