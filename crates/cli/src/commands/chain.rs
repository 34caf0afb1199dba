//! `gavel chain up|deploy`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gavel_node::U256;
use gavel_settlement::account::load_keystore;
use gavel_settlement::bindings::DevToken;
use gavel_settlement::chain::{ChainError, Genesis, Opening, Options, SnapshotReport};
use gavel_settlement::http::Server;
use gavel_settlement::{DeployOptions, Deployment, Endpoint, Network, Sender, SharedChain, deploy};
use serde_json::json;

use super::{beacon, params};
use crate::args::{ChainCommand, ChainDeployArgs, ChainUpArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::{self, TOKEN, block_on};
use crate::output::{DIM, GOOD, Output, WARN, count, paint, time};

/// Coin of a funded account, in wei: more than any test spends.
const COIN: u128 = 1_000_000 * TOKEN;

pub(crate) fn run(command: ChainCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        ChainCommand::Up(args) => block_on(up(args, out)),
        ChainCommand::Deploy(args) => block_on(deploy_all(*args, out)),
        ChainCommand::Params(args) => params::run(&args, out),
    }
}

/// Seconds since the epoch.
pub(super) fn wall_clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_secs())
}

async fn up(args: ChainUpArgs, out: Output) -> Result<Exit, Failure> {
    let genesis = Genesis {
        time: wall_clock(),
        accounts: args.fund.iter().map(|a| (*a, U256::from(COIN))).collect(),
        ..Genesis::default()
    };
    let folder = args.data_dir.display().to_string();
    let options = Options {
        recent_blocks: args.recent_blocks,
        snapshot_records: args.snapshot_records,
        state_memory: args.state_memory << 20,
        replay_all: args.replay_all,
    };
    out.progress("opening the chain");
    let chain = SharedChain::open_with(&args.data_dir, genesis, options).at(&folder)?;
    chain.lock().share_seconds();
    let opening = chain.lock().opening().clone();
    let server = Server::bind(chain.clone(), args.port).await.map_err(|e| {
        Failure::new(format!("port {}: {e}", args.port))
            .hint("another one: --port N, or 0 for a free one")
    })?;
    let url = format!("http://{}", server.address().at("the socket")?);
    let (chain_id, head) = {
        let chain = chain.lock();
        (chain.chain_id(), chain.head().number)
    };
    out.facts(&[
        ("chain", format!("{chain_id}, block {head}")),
        ("endpoint", url.clone()),
        ("database", folder),
        ("opened", opened(&opening)),
    ]);
    for reason in &opening.passed_over {
        out.line(paint(WARN, format!("not used: {reason}")));
    }
    out.line(paint(DIM, "stops on Ctrl-C; what was answered is on disk"));
    out.next(format!(
        "gavel chain deploy --rpc {url} --key KEYFILE --mint ADDRESS"
    ));
    out.event(&json!({
        "event": "listening", "rpc": url, "chain_id": chain_id, "block": head, "database": args.data_dir,
        "opened": {
            "from_snapshot": opening.from_snapshot, "replayed": opening.replayed,
            "seconds": opening.time.as_secs_f64(), "passed_over": opening.passed_over,
        },
    }));
    let telling = tokio::spawn(tell_of_snapshots(chain.clone(), out));
    let clock = tokio::spawn(follow_the_wall(chain, args.block_seconds, args.speed));
    let stopped = network::told_to_stop().at("listening to signals")?;
    let served = tokio::select! {
        served = server.serve(stopped) => served.at("serving"),
        failed = clock => match failed {
            Ok(error) => Err(Failure::new(error)),
            Err(error) => Err(Failure::new(error)),
        },
    };
    telling.abort();
    served.map(|()| Exit::Done)
}

/// Says when a snapshot was written, and when one could not be.
async fn tell_of_snapshots(chain: SharedChain, out: Output) {
    let mut told = SnapshotReport::default();
    loop {
        let report = chain.lock().snapshots();
        let Some(report) = report else { return };
        if report.written > told.written {
            let (records, pause) = (count(report.records), time(report.pause));
            out.line(paint(
                DIM,
                format!(
                    "saved at {records} records: {:.1} MB; no pause was longer than {pause}",
                    report.bytes as f64 / 1e6
                ),
            ));
            out.event(&json!({
                "event": "saved", "records": report.records, "bytes": report.bytes,
                "longest_pause_seconds": report.pause.as_secs_f64(),
            }));
        }
        if let Some(reason) = report
            .failed
            .as_ref()
            .filter(|_| report.failed != told.failed)
        {
            out.line(paint(
                WARN,
                format!("no snapshot, which opening would be quicker with: {reason}"),
            ));
            out.event(&json!({"event": "unsaved", "reason": reason}));
        }
        told = report;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn opened(opening: &Opening) -> String {
    let from = match opening.from_snapshot {
        Some(records) => format!("a snapshot of {} records and ", count(records)),
        None => String::new(),
    };
    let replayed = count(opening.replayed);
    format!(
        "from {from}{replayed} records of the journal, in {}",
        time(opening.time)
    )
}

/// Seconds of the chain between two blocks that nobody asked for, where a clock runs fast: few blocks a second, and windows
/// that still pass in steps.
pub(super) fn block_seconds(speed: u64) -> u64 {
    (speed / 4).clamp(1, 5)
}

/// A block when there was none for `seconds` of the chain, whose clock runs `speed` times as fast as the wall's: what
/// depends on time alone can be seen without anybody sending anything. Ends when the chain cannot be written.
pub(super) async fn follow_the_wall(chain: SharedChain, seconds: u64, speed: u64) -> ChainError {
    let started = tokio::time::Instant::now();
    // a chain that ran fast before is ahead of the wall
    let start = wall_clock().max(chain.now());
    loop {
        let passed = started.elapsed().as_millis() as u64;
        let now = start + passed * speed / 1000;
        let chain = chain.clone();
        let mined = tokio::task::spawn_blocking(move || {
            let mut chain = chain.lock();
            let due = chain.head().time.saturating_add(seconds);
            match due.saturating_sub(now) {
                0 => chain.mine_by(now).map(|()| seconds),
                left => Ok(left.min(seconds)),
            }
        });
        let left = match mined.await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => return error,
            Err(error) => return ChainError::Failed(error.to_string()),
        };
        tokio::time::sleep(Duration::from_millis((1000 * left).div_ceil(speed).max(20))).await;
    }
}

async fn deploy_all(args: ChainDeployArgs, out: Output) -> Result<Exit, Failure> {
    let file = &args.network.deployment;
    if file.exists() {
        return Err(Failure::new(format!("{} exists", file.display()))
            .expected("a new file")
            .hint("name another one with --deployment, or remove it if its chain is gone"));
    }
    let rules = params::of_rules(&args.rules).await?;
    let choice = beacon::chosen(&args.beacon, &rules.params())?;
    let password = network::password(&args.key.password)?;
    let signer = load_keystore(&args.key.key, &password)
        .map_err(|e| network::key_failure(&args.key.key, e))?;
    let endpoint = Endpoint::http(&args.network.rpc).at(&args.network.rpc)?;
    let deployer = Sender::new(signer.clone(), endpoint);
    out.progress(
        "deploying token, timelock, parameters, beacon, vault, pool, market, court, audits",
    );
    let options = DeployOptions {
        beacon: choice.clone(),
        beacon_period: rules.beacon_period,
        timelock_delay: rules.timelock_delay,
        ..DeployOptions::default()
    };
    let deployment = deploy(&deployer, &rules.params(), &options)
        .await
        .at(&args.network.rpc)?;
    deployment.save(file).map_err(Failure::new)?;
    let network = Network::connect(&args.network.rpc, deployment.clone())
        .await
        .at(&args.network.rpc)?;
    let account = gavel_settlement::Account::new(signer, network);
    for to in &args.mint {
        let call = DevToken::transferCall {
            to: *to,
            value: U256::from(args.amount) * U256::from(TOKEN),
        };
        account.send(deployment.token, call).await.at(to)?;
    }
    show_contracts(&deployment, out);
    beacon::told(&choice, out);
    for to in &args.mint {
        out.line(format!(
            "{to} {} tokens",
            paint(GOOD, format!("+{}", args.amount))
        ));
    }
    out.line("");
    out.facts(&[("written", file.display().to_string())]);
    out.next("gavel model register MODEL --key KEYFILE");
    out.json(&json!({
        "deployment": deployment, "file": file, "minted": args.mint, "tokens_each": args.amount,
        "beacon": beacon::numbers(&choice),
    }))?;
    Ok(Exit::Done)
}

fn show_contracts(deployment: &Deployment, out: Output) {
    out.facts(&[
        ("chain", deployment.chain_id.to_string()),
        ("deployed at", format!("block {}", deployment.deploy_block)),
    ]);
    out.line("");
    let contracts = deployment.protocol().into_iter().chain([
        ("token", deployment.token),
        ("timelock", deployment.timelock),
    ]);
    let rows = contracts.map(|(name, address)| vec![name.to_owned(), address.to_string()]);
    out.table(&["contract", "address"], rows.collect(), &[]);
    out.line("");
}
