//! From the flags of a role to a party on a network.

use std::sync::Arc;

use gavel_engine::{Engine, EngineOptions};
use gavel_node::sandbox::{SandboxError, Served};
use gavel_node::{
    Address, Blobs, Board, EngineExecutor, Executor, Mirror, Models, Party, Protection, Role,
    Runner, RunnerEvent,
};
use gavel_settlement::account::load_keystore;
use gavel_settlement::{Account, Deployment, Network, NetworkError};
use gavel_trace::Digest;
use serde_json::json;

pub(super) use crate::amount::tokens;
use crate::args::{KeyArgs, NetworkArgs};
use crate::args_node::LoopArgs;
use crate::args_ops::{SandboxArgs, SandboxMode};
use crate::failure::{Context as _, Failure};
use crate::files::{self, Servable};
use crate::network;
use crate::output::{BAD, DIM, Output, paint};

/// Times that the chain is asked at the start before a command gives up.
const TRIES: u32 = 5;

/// The deployment that the flags name, on its chain.
pub(super) async fn network(args: &NetworkArgs) -> Result<Network, Failure> {
    let file = args.deployment.display();
    let deployment = Deployment::load(&args.deployment).map_err(|e| {
        Failure::new(e).expected("a deployment file").hint(format!(
            "`gavel chain deploy --deployment {file}` writes one"
        ))
    })?;
    let mut connected = Network::connect(&args.rpc, deployment.clone()).await;
    for tries in 1..TRIES {
        // what is not there now may come; what is another chain stays one
        if !matches!(&connected, Err(NetworkError::Rpc(_))) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200) * tries).await;
        connected = Network::connect(&args.rpc, deployment.clone()).await;
    }
    connected.map_err(|e| {
        Failure::new(format!("{}: {e}", args.rpc))
            .because(&e)
            .expected(format!("a JSON-RPC node of the chain in {file}"))
    })
}

/// The account of the key that the flags name.
pub(super) fn account(network: &Network, args: &KeyArgs) -> Result<Account, Failure> {
    let password = network::password(&args.password)?;
    let signer =
        load_keystore(&args.key, &password).map_err(|e| network::key_failure(&args.key, e))?;
    Ok(Account::new(signer, network.clone()))
}

/// The chain as it is now, read with patience: whole ranges of blocks that were read before an error stay read.
pub(super) async fn mirror(network: &Network) -> Result<Mirror, Failure> {
    let mut mirror = Mirror::new(network.clone());
    for tries in 1..TRIES {
        match mirror.refresh().await {
            Ok(_) => return Ok(mirror),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200) * tries).await,
        }
    }
    mirror.refresh().await.at("reading the chain")?;
    Ok(mirror)
}

/// An executor of these models and families, and their identities: the classes that it serves.
pub(super) fn executor(
    board: &Board,
    names: &[String],
) -> Result<(Arc<EngineExecutor>, Vec<Digest>), Failure> {
    let served = names.iter().map(|name| files::servable(name));
    executor_of(board, names, served.collect::<Result<_, _>>()?)
}

/// [`executor`] of what has been loaded. What is not in the registry is refused: nobody could ask for it, and a file that
/// was edited is one.
pub(super) fn executor_of(
    board: &Board,
    names: &[String],
    served: Vec<Servable>,
) -> Result<(Arc<EngineExecutor>, Vec<Digest>), Failure> {
    let (mut models, mut ids) = (Models::new(), Vec::new());
    for (name, served) in names.iter().zip(served) {
        let id = match &served {
            Servable::Model(model) => Served::Model(model.model_id()),
            Servable::Family(family) => Served::Family(family.id()),
        };
        ids.push(registered(board, name, id)?);
        match served {
            Servable::Model(model) => models.add(*model),
            Servable::Family(family) => models.add_family(family),
        };
    }
    let engine = Engine::new(EngineOptions::default()).at("GAVEL_ISA")?;
    let executor = EngineExecutor::new(engine, models).at(names.join(", "))?;
    Ok((Arc::new(executor), ids))
}

/// The identity of what is in the registry.
fn registered(board: &Board, name: &str, served: Served) -> Result<Digest, Failure> {
    let (what, id, known): (_, _, Vec<&Digest>) = match served {
        Served::Model(id) => ("model", id, board.models.keys().collect()),
        Served::Family(id) => ("family", id, board.families.keys().collect()),
    };
    files::check_asked(name, &id)?;
    if known.contains(&&id) {
        return Ok(id);
    }
    let known = match known.is_empty() {
        true => "the registry is empty".to_owned(),
        false => known
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    Err(Failure::not_found(format!(
        "{name} has {what}_id {id}, which is not in the registry"
    ))
    .expected(format!("the file of a registered {what} ({known})"))
    .hint(format!(
        "a new {what}: `gavel model register {name}`; another identity than expected: the file was changed"
    )))
}

/// [`executor`] whose models are read and run in a confined process, where that is asked for.
pub(super) fn confined(
    board: &Board,
    names: &[String],
    args: &SandboxArgs,
    out: Output,
) -> Result<(Arc<dyn Executor>, Vec<Digest>), Failure> {
    if args.sandbox == SandboxMode::Off {
        let (executor, ids) = executor(board, names)?;
        return Ok((executor, ids));
    }
    let started = super::worker::start(names, args);
    let executor = match started {
        // what is not built here, or what this kernel cannot do, is said and gone without
        Err(SandboxError::Unsupported) => {
            out.progress("models run in this process: a sandbox takes Linux");
            let (executor, ids) = executor(board, names)?;
            return Ok((executor, ids));
        }
        other => other.map_err(|e| super::worker::refused(names, &e))?,
    };
    let mut ids = Vec::new();
    for (name, served) in names.iter().zip(executor.served()) {
        ids.push(registered(board, name, *served)?);
    }
    Ok((Arc::new(executor), ids))
}

pub(super) fn blobs(place: &str) -> Result<Blobs, Failure> {
    Blobs::open(place).map_err(|e| Failure::new(format!("{place}: {e}")).expected("a directory"))
}

/// A party with a short name.
pub(super) fn party(account: Account, executor: Arc<dyn Executor>, blobs: Blobs) -> Party {
    Party {
        protection: Protection::for_account(&account),
        name: short(&account.address()),
        account,
        executor,
        blobs,
    }
}

/// Somebody who only looks: whatever it would sign, everybody could.
pub(super) fn reader(network: &Network, executor: Arc<dyn Executor>, blobs: Blobs) -> Party {
    let key = gavel_settlement::account::dev_key("reader", 0);
    party(Account::new(key, network.clone()), executor, blobs)
}

/// An address that people can tell from others.
pub(super) fn short(address: &Address) -> String {
    let text = address.to_string();
    match (text.get(..6), text.get(text.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) => format!("{head}…{tail}"),
        _ => text,
    }
}

/// Ticks roles until the process is told to stop or `done` says so, telling every act as it happens.
pub(super) async fn run_roles(
    mirror: Mirror,
    roles: Vec<Box<dyn Role>>,
    args: LoopArgs,
    done: impl Fn(&Board) -> bool,
    out: Output,
) -> Result<(), Failure> {
    let stop = network::told_to_stop().at("listening to signals")?;
    run_roles_until(stop, mirror, roles, args, done, out).await;
    Ok(())
}

/// [`run_roles`] until a future of the caller's resolves or `done` says so.
pub(super) async fn run_roles_until(
    stop: impl Future<Output = ()>,
    mirror: Mirror,
    roles: Vec<Box<dyn Role>>,
    args: LoopArgs,
    done: impl Fn(&Board) -> bool,
    out: Output,
) {
    let pause = std::time::Duration::from_millis(args.poll);
    let mut runner = Runner::new(mirror, roles, pause);
    runner.run(stop, done, |event| tell(&event, out)).await;
}

/// Tells what a runner has to tell.
pub(super) fn tell(event: &RunnerEvent<'_>, out: Output) {
    match event {
        RunnerEvent::Acted { name, act } => {
            let gas = paint(DIM, format!("{} gas", crate::output::count(act.gas)));
            out.line(format!("{name} {}  {gas}", act.what));
            out.event(&json!({
                "event": "acted", "who": name, "what": act.what,
                "transaction": act.transaction, "gas": act.gas,
            }));
        }
        RunnerEvent::Failed { name, error } => {
            out.line(format!("{name} {}", paint(BAD, error)));
            out.event(&json!({"event": "failed", "who": name, "error": error.to_string()}));
        }
        RunnerEvent::Unreachable { error } => {
            out.line(paint(
                BAD,
                format!("the chain cannot be read: {error}; trying again"),
            ));
            out.event(&json!({"event": "unreachable", "error": error.to_string()}));
        }
    }
}
