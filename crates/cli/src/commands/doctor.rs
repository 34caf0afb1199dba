//! `gavel doctor`: whether this machine is ready to take part, with the fix of what is not.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gavel_engine::{Engine, EngineOptions};
use gavel_node::Address;
use gavel_node::sandbox::{Probe, SandboxError, SandboxExecutor, Served};
use gavel_settlement::account::load_keystore;
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::bindings::StakeVault::providerCall;
use gavel_settlement::{Deployment, Endpoint, Network};
use serde_json::{Value, json};

use super::bundle;
use super::party::{self, tokens};
use super::worker::{self, Secrets};
use crate::args_ops::{DoctorArgs, SandboxMode};
use crate::failure::{Exit, Failure};
use crate::files::{self, Servable};
use crate::network::block_on;
use crate::output::{BAD, DIM, GOOD, Output, WARN, paint};

/// Seconds that the chain's clock may differ from this machine's: deadlines are counted on the chain's.
const SKEW: u64 = 60;
/// Memory and disk below which work is likely to fail.
const LEAST_MEMORY: u64 = 1 << 30;
const LEAST_DISK: u64 = 1 << 30;
/// Longest wait for the chain or the blobs.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
struct Line {
    name: &'static str,
    status: Status,
    found: String,
    fix: Option<String>,
    /// What the command ends with if this fails.
    exit: Exit,
}

#[derive(Default)]
struct Report {
    lines: Vec<Line>,
}

impl Report {
    fn add(&mut self, name: &'static str, status: Status, found: String, exit: Exit, fix: &str) {
        let fix = (status != Status::Ok).then(|| fix.to_owned());
        self.lines.push(Line {
            name,
            status,
            found,
            fix,
            exit,
        });
    }

    fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Status::Ok, found.into(), Exit::Done, "");
    }

    fn warn(&mut self, name: &'static str, found: impl Into<String>, fix: &str) {
        self.add(name, Status::Warn, found.into(), Exit::Done, fix);
    }

    fn fail(&mut self, name: &'static str, found: impl Into<String>, exit: Exit, fix: &str) {
        self.add(name, Status::Fail, found.into(), exit, fix);
    }

    /// For programs.
    fn checks(&self) -> Vec<Value> {
        let checks = self.lines.iter().map(|line| {
            json!({
                "check": line.name, "status": word(line.status).0, "found": line.found, "fix": line.fix,
            })
        });
        checks.collect()
    }
}

pub(crate) fn run(args: DoctorArgs, out: Output) -> Result<Exit, Failure> {
    if let Some(file) = &args.bundle {
        bundle::unused(file)?;
    }
    let mut report = Report::default();
    let mut known = None;
    if !args.quick {
        machine(&mut report);
    }
    block_on(async {
        let network = chain(&args, &mut report).await;
        blobs(&args, &mut report).await;
        if !args.quick {
            let address = key(&args, &mut report);
            known = address;
            if let (Some(network), Some(address)) = (&network, address) {
                balances(network, address, &mut report).await;
            }
            if let Some(confined) = sandbox(&args, &mut report) {
                models(&args, network.as_ref(), confined, &mut report).await;
            }
        }
        if let Some(file) = &args.bundle {
            let bundle = bundle::gather(report.checks(), network.as_ref(), known, &args).await?;
            bundle.write(file, out)?;
        }
        Ok(())
    })?;
    show(&report, out)
}

fn word(status: Status) -> (&'static str, anstyle::Style) {
    match status {
        Status::Ok => ("ok", GOOD),
        Status::Warn => ("warn", WARN),
        Status::Fail => ("fail", BAD),
    }
}

fn show(report: &Report, out: Output) -> Result<Exit, Failure> {
    for line in &report.lines {
        let (word, style) = word(line.status);
        let status = paint(style, format!("{word:<4}"));
        out.line(format!("{status}  {:<14} {}", line.name, line.found));
        if let Some(fix) = &line.fix {
            out.line(format!("{:22}{}", "", paint(DIM, format!("fix: {fix}"))));
        }
    }
    let worst = report.lines.iter().map(|line| line.status).max();
    let failed = report.lines.iter().find(|line| line.status == Status::Fail);
    let status = word(worst.unwrap_or(Status::Ok)).0;
    out.json(&json!({"status": status, "checks": report.checks()}))?;
    Ok(failed.map_or(Exit::Done, |line| line.exit))
}

/// What the hardware has.
fn machine(report: &mut Report) {
    match Engine::new(EngineOptions::default()) {
        Ok(engine) => {
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            report.ok("processor", format!("{:?}, {cpus} CPUs", engine.isa()));
        }
        Err(error) => report.fail(
            "processor",
            error.to_string(),
            Exit::Failed,
            "unset GAVEL_ISA, or name a set that this processor has",
        ),
    }
    if let Some(free) = free_memory() {
        let found = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
        match free < LEAST_MEMORY {
            true => report.warn(
                "memory",
                found,
                "end other programs, or serve smaller models",
            ),
            false => report.ok("memory", found),
        }
    }
    if let Some(free) = free_disk(Path::new(".")) {
        let found = format!("{:.1} GiB free here", free as f64 / (1u64 << 30) as f64);
        match free < LEAST_DISK {
            true => report.warn(
                "disk",
                found,
                "gavel blobs prune, or another place for --blobs",
            ),
            false => report.ok("disk", found),
        }
    }
}

/// Bytes that programs can have without others losing theirs; `None` where the system does not say.
pub(super) fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(unix)]
fn free_disk(at: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(at).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_disk(_at: &Path) -> Option<u64> {
    None
}

/// The chain, the deployment on it, and its clock.
async fn chain(args: &DoctorArgs, report: &mut Report) -> Option<Network> {
    let rpc = &args.network.rpc;
    let endpoint = match Endpoint::http(rpc) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            report.fail(
                "rpc",
                error.to_string(),
                Exit::Config,
                "--rpc http://HOST:PORT",
            );
            return None;
        }
    };
    let started = Instant::now();
    let chain_id = tokio::time::timeout(PATIENCE, endpoint.chain_id()).await;
    let unreachable = "start the node, or name another one with --rpc";
    let chain_id = match chain_id {
        Ok(Ok(id)) => id,
        Ok(Err(error)) => {
            report.fail(
                "rpc",
                format!("{rpc}: {error}"),
                Exit::Unreachable,
                unreachable,
            );
            return None;
        }
        Err(_) => {
            let found = format!("{rpc} did not answer in {} s", PATIENCE.as_secs());
            report.fail("rpc", found, Exit::Unreachable, unreachable);
            return None;
        }
    };
    let took = crate::output::time(started.elapsed());
    report.ok("rpc", format!("{rpc}, chain {chain_id}, answers in {took}"));
    let file = &args.network.deployment;
    let deployment = match Deployment::load(file) {
        Ok(deployment) => deployment,
        Err(error) => {
            report.fail(
                "deployment",
                error.to_string(),
                Exit::Config,
                "fetch the network's deployment file, or `gavel chain deploy` on a chain of your own",
            );
            return None;
        }
    };
    let network = Network::new(endpoint, deployment);
    match network.check().await {
        Ok(()) => report.ok(
            "deployment",
            format!("{}, its code is there", file.display()),
        ),
        Err(error) => {
            let fix = "the deployment file and --rpc must be of the same chain";
            report.fail("deployment", error.to_string(), Exit::Config, fix);
            return None;
        }
    }
    match network.head().await {
        Ok(head) => clock(head.number, head.time, report),
        Err(error) => report.fail("clock", error.to_string(), Exit::Unreachable, unreachable),
    }
    Some(network)
}

fn clock(number: u64, time: u64, report: &mut Report) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |t| t.as_secs());
    let found = format!(
        "block {number}; the chain is {} s {} this machine",
        now.abs_diff(time),
        if time > now { "ahead of" } else { "behind" }
    );
    match now.abs_diff(time) > SKEW {
        true => report.warn(
            "clock",
            found,
            "set this machine's clock (NTP); if it is right, the chain stands still or runs fast",
        ),
        false => report.ok("clock", found),
    }
}

/// Writes, reads and removes a blob.
async fn blobs(args: &DoctorArgs, report: &mut Report) {
    let place = &args.blobs.blobs;
    let blobs = match party::blobs(place) {
        Ok(blobs) => blobs,
        Err(failure) => {
            let fix = "a directory, or a URL: file:, http(s):, s3:, gs:, az:";
            report.fail("blobs", failure.text(), Exit::Config, fix);
            return;
        }
    };
    match tokio::time::timeout(PATIENCE, blobs.probe()).await {
        Ok(Ok(())) => report.ok("blobs", format!("{place}, read and written")),
        Ok(Err(error)) => report.fail(
            "blobs",
            format!("{place}: {error}"),
            Exit::Failed,
            "give this machine leave to read and write there, or another --blobs",
        ),
        Err(_) => {
            let found = format!("{place} did not answer in {} s", PATIENCE.as_secs());
            report.fail(
                "blobs",
                found,
                Exit::Timeout,
                "another --blobs, or a better line to it",
            );
        }
    }
}

fn key(args: &DoctorArgs, report: &mut Report) -> Option<Address> {
    let Some(file) = &args.key else {
        report.warn(
            "key",
            "none is named",
            "--key FILE; `gavel key new FILE` makes one",
        );
        return None;
    };
    if let Some(found) = readable_by_others(file) {
        report.warn("key file", found, &format!("chmod 600 {}", file.display()));
    }
    let password = match crate::network::password(&args.password) {
        Ok(password) => password,
        Err(failure) => {
            let fix = "--password-file FILE or GAVEL_PASSWORD";
            report.fail("key", failure.text(), Exit::Config, fix);
            return None;
        }
    };
    match load_keystore(file, &password) {
        Ok(key) => {
            report.ok("key", format!("{}, {}", file.display(), key.address()));
            Some(key.address())
        }
        Err(error) => {
            let text = crate::network::key_failure(file, error).text();
            report.fail("key", text, Exit::Config, "the right file and password");
            None
        }
    }
}

#[cfg(unix)]
fn readable_by_others(file: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("{} has mode {mode:o}", file.display()))
}

#[cfg(not(unix))]
fn readable_by_others(_file: &Path) -> Option<String> {
    None
}

/// Coin for gas, tokens, stake.
async fn balances(network: &Network, address: Address, report: &mut Report) {
    match network.provider().get_balance(address).await {
        Ok(coin) if coin.is_zero() => report.warn(
            "coin",
            "none for gas",
            "send some of the chain's coin to the key (the embedded chain takes none)",
        ),
        Ok(coin) => {
            let wei = u128::try_from(coin).unwrap_or(u128::MAX);
            report.ok("coin", format!("{} for gas", tokens(wei)));
        }
        Err(error) => report.fail("coin", error.to_string(), Exit::Unreachable, "see rpc"),
    }
    let vault = network.vault();
    let (wallet, provider) = (
        network.token().balanceOf(address).call().await,
        vault
            .call_builder(&providerCall { key: address })
            .call()
            .await,
    );
    let (wallet, provider) = match (wallet, provider) {
        (Ok(wallet), Ok(provider)) => (wallet, provider),
        (Err(error), _) | (_, Err(error)) => {
            report.fail("stake", error.to_string(), Exit::Unreachable, "see rpc");
            return;
        }
    };
    let wallet = tokens(u128::try_from(wallet).unwrap_or(u128::MAX));
    let stake = tokens(provider.free + provider.locked);
    if provider.owner.is_zero() {
        report.ok(
            "stake",
            format!("no provider yet; {wallet} tokens in the wallet"),
        );
        return;
    }
    let found = format!("{stake} tokens of stake, {wallet} in the wallet");
    let eligible = vault.isEligible(address).call().await.unwrap_or(false);
    match (provider.tombstoned, eligible) {
        (true, _) => report.fail(
            "stake",
            found,
            Exit::Funds,
            "convicted: only a new key serves again",
        ),
        (_, false) => report.warn(
            "stake",
            format!("{found}; not eligible: too little, frozen or jailed"),
            "gavel provider stake AMOUNT; frozen ends with its disputes, jail with its time",
        ),
        _ => report.ok("stake", found),
    }
}

/// Whether models are read in a process of their own; `None`: they must not be read at all.
fn sandbox(args: &DoctorArgs, report: &mut Report) -> Option<bool> {
    let fix = "a kernel with Landlock (Linux 5.13 and later); --sandbox off reads models where the key is";
    if args.sandbox.sandbox == SandboxMode::Off {
        report.warn("sandbox", "models are read where the key is", fix);
        return Some(false);
    }
    let secrets = Secrets {
        key: args.key.as_deref(),
        password: &args.password,
        state: None,
    };
    if let Err(failure) = secrets.hidden_from(&args.models, &args.sandbox) {
        let fix = "keys and passwords elsewhere than models";
        report.fail("sandbox", failure.text(), Exit::Config, fix);
        return None;
    }
    match worker::start(&[], &args.sandbox).and_then(|there| escapes(&there, args)) {
        Ok(None) => report.ok(
            "sandbox",
            "models run in a process without keys, network or other files",
        ),
        Ok(Some(way)) => report.fail("sandbox", way, Exit::Failed, fix),
        Err(SandboxError::Unsupported) => {
            report.warn("sandbox", SandboxError::Unsupported.to_string(), fix);
            return Some(false);
        }
        Err(error) => report.fail("sandbox", error.to_string(), Exit::Failed, fix),
    }
    Some(true)
}

/// What a hostile model could do here.
fn escapes(there: &SandboxExecutor, args: &DoctorArgs) -> Result<Option<String>, SandboxError> {
    let key = args.key.iter().map(|key| Probe::Read(key.clone()));
    for probe in [Probe::Connect, Probe::Signal(std::process::id())]
        .into_iter()
        .chain(key)
    {
        if let Some(found) = there.probe(probe)? {
            return Ok(Some(format!("a model could have {found}")));
        }
    }
    Ok(None)
}

/// What is served under a name, read where the roles read it.
fn served(name: &str, args: &DoctorArgs, confined: bool) -> Result<Served, Failure> {
    if confined {
        let names = [name.to_owned()];
        let there =
            worker::start(&names, &args.sandbox).map_err(|e| worker::refused(&names, &e))?;
        let first = there.served().first().copied();
        return first.ok_or_else(|| Failure::new(format!("{name}: nothing is served")));
    }
    Ok(match files::servable(name)? {
        Servable::Model(model) => Served::Model(model.model_id()),
        Servable::Family(family) => Served::Family(family.id()),
    })
}

async fn models(args: &DoctorArgs, network: Option<&Network>, confined: bool, report: &mut Report) {
    for name in &args.models {
        let served = match served(name, args, confined) {
            Ok(served) => served,
            Err(failure) => {
                report.fail(
                    "model",
                    failure.text(),
                    failure.exit(),
                    "another file, or the whole one",
                );
                continue;
            }
        };
        let Some(network) = network else {
            report.warn(
                "model",
                format!("{name} loads; the registry cannot be asked"),
                "see rpc",
            );
            continue;
        };
        let mirror = match party::mirror(network).await {
            Ok(mirror) => mirror,
            Err(failure) => {
                report.fail("model", failure.text(), failure.exit(), "see rpc");
                return;
            }
        };
        let board = mirror.board();
        let (id, known) = match served {
            Served::Model(id) => (id, board.models.contains_key(&id)),
            Served::Family(id) => (id, board.families.contains_key(&id)),
        };
        match known {
            true => report.ok("model", format!("{name} loads and is registered")),
            false => report.fail(
                "model",
                format!("{name} loads as {id}, which is not in the registry"),
                Exit::NotFound,
                &format!("gavel model register {name}"),
            ),
        }
    }
}
