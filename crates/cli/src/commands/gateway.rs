//! `gavel gateway run`, `gavel gateway key new|list|revoke`; `gavel gateway sign` is in `gateway_sign`

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_gateway::{
    Access, ApiKey, Bounds, Desk, Gateway, Journal, KeyFile, KeyFileError, Network, NodeNetwork,
    Nonces, Options, Served, Trouble, router, serve,
};
use gavel_node::roles::Requester;
use gavel_node::{Executor, Mirror, Party, Role};
use gavel_text::{Tokenizer, TokenizerConfig};
use serde_json::json;

use super::operators::{self, Operators};
use super::{gateway_sign, party};
use crate::args_gateway::{ApiKeysArgs, GatewayCommand, GatewayKeyCommand, GatewayServeArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files::{self, Servable};
use crate::network::{self, TOKEN, block_on};
use crate::output::{BAD, DIM, Output, paint};

/// Longest time that what an earlier process has sent is waited for.
const SETTLING: Duration = Duration::from_secs(30);
/// Between two looks for it.
const SETTLING_PAUSE: Duration = Duration::from_millis(500);
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

pub(crate) fn run(command: GatewayCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        GatewayCommand::Run(args) => block_on(serve_all(*args, out)),
        GatewayCommand::Sign(args) => gateway_sign::run(&args, out),
        GatewayCommand::Key(command) => key(command, out),
    }
}

async fn serve_all(args: GatewayServeArgs, out: Output) -> Result<Exit, Failure> {
    let auction = args.auction.offer()?;
    check_access(&args)?;
    let network = party::network(&args.party.network).await?;
    let account = party::account(&network, &args.party.key)?;
    let mut mirror = party::mirror(&network).await?;
    let loaded = args.models.iter().map(|name| files::servable(name));
    let loaded: Vec<Servable> = loaded.collect::<Result<_, _>>()?;
    let families: Vec<_> = loaded
        .iter()
        .map(|served| match served {
            Servable::Family(family) => Some(Arc::clone(family)),
            Servable::Model(_) => None,
        })
        .collect();
    let (executor, classes) = party::executor_of(mirror.board(), &args.models, loaded)?;
    let mut models = Vec::new();
    for ((name, class), family) in args.models.iter().zip(&classes).zip(&families) {
        let (tokenizer, file) = tokenizer_beside(name)?.unzip();
        let tokenizer = tokenizer.zip(file.as_deref());
        let known = offered_as(name);
        let served = match (family, executor.model(class)) {
            (Some(family), _) => Served::family(&known, Arc::clone(family), tokenizer),
            (None, Some(model)) => Served::model(&known, model, tokenizer),
            (None, None) => continue,
        };
        models.push(served.map_err(|e| {
            Failure::new(e).expected(
                "a language model, the shipped diffusion model, or an ONNX encoder with input_ids",
            )
        })?);
    }
    let me = party::party(account, executor, party::blobs(&args.party.blobs.blobs)?);
    let me = super::protection::guard(me, &mut mirror, &args.party.state, out).await?;
    let families = families.into_iter().flatten().collect();
    let shows_all = settled(&me, &mut mirror, out).await?;
    let behind = Arc::new(NodeNetwork::new(
        me.clone(),
        auction,
        families,
        mirror.board(),
    ));
    let shared: Arc<dyn Network> = Arc::clone(&behind) as Arc<dyn Network>;
    let journal = Journal::open(&args.journal).at(args.journal.display())?;
    let desk = match shows_all {
        true => Desk::new(Arc::clone(&shared), journal),
        false => Desk::in_doubt(Arc::clone(&shared), journal),
    };
    let desk = desk.at(args.journal.display())?;
    let desk = desk.retaining(Duration::from_secs(args.retain));
    // the journal's lock keeps other processes from the nonces too
    let access = match args.no_auth {
        true => Access::Anybody { max_concurrent: 64 },
        false => {
            let path = nonces_of(&args.journal);
            let nonces = Nonces::open(&path).at(path.display())?;
            Access::keys(&args.keys.file, nonces).map_err(|e| no_keys(&args.keys.file, &e))?
        }
    };
    let options = Options {
        max_body: args.max_body as usize,
        wait: Duration::from_secs(args.wait),
        queue: args.queue.into(),
        horizon: Duration::from_secs(args.horizon),
        ..Options::default()
    };
    let names: Vec<String> = models.iter().map(|m: &Served| m.name.clone()).collect();
    let desk = Arc::new(desk);
    let gateway = Gateway::new(shared, Arc::clone(&desk), models, access, options);
    let api = operators::bind(args.listen).await?;
    let operators = Operators::open(args.ops, "gateway", &me).await?;
    let address = api.local_addr().at("the socket")?;
    out.facts(&[
        ("clients", format!("http://{address}/v1")),
        ("models", names.join(", ")),
        ("operators", format!("{}/metrics", operators.url())),
        ("requester", me.address().to_string()),
    ]);
    out.line(paint(
        DIM,
        "stops on Ctrl-C; tasks go on, and can be fetched later",
    ));
    out.event(&json!({
        "event": "listening", "api": format!("http://{address}/v1"), "ops": operators.url(), "models": names,
        "requester": me.address(),
    }));
    let clients = operators.measured(router(Arc::new(gateway)));
    let clients = serve(api, clients, Bounds::default(), operators.closing());
    let clients = tokio::spawn(clients);
    let roles: Vec<Box<dyn Role>> = vec![Box::new(Requester::new(me))];
    let known = Cell::new(0);
    let see = |board: &gavel_node::Board| {
        behind.see(board);
        known.set(tell_trouble(&desk.trouble(), known.get(), &operators, out));
        false
    };
    let stop = network::told_to_stop().at("listening to signals")?;
    operators::run_roles(stop, mirror, roles, args.run, see, Some(&operators), out).await;
    operators.close().await?;
    clients.await.at("serving")?.at("serving")?;
    Ok(Exit::Done)
}

/// Tells what the journal's file has refused beyond what is known, which the gateway survives; how much is known then.
fn tell_trouble(trouble: &Trouble, known: u64, operators: &Operators, out: Output) -> u64 {
    if trouble.count > known {
        let watched = operators.watched();
        (known..trouble.count).for_each(|_| watched.metrics.failed("journal"));
        out.line(paint(
            BAD,
            format!("the journal was not written: {}", trouble.last),
        ));
        out.event(&json!({"event": "failed", "who": "journal", "error": trouble.last}));
    }
    trouble.count
}

/// Whether it is known what has become of all that an earlier process has sent with this key, after some patience. The
/// mirror has seen what has.
async fn settled(me: &Party, mirror: &mut Mirror, out: Output) -> Result<bool, Failure> {
    let until = Instant::now() + SETTLING;
    let mut is_told = false;
    loop {
        let is_known = gavel_gateway::is_settled(me).await;
        if is_known || Instant::now() >= until {
            mirror.refresh().await.at("reading the chain")?;
            return Ok(is_known);
        }
        if !is_told {
            out.progress("waits for what an earlier process has sent");
            is_told = true;
        }
        tokio::time::sleep(SETTLING_PAUSE).await;
    }
}

/// Whether it is clear who may ask, before anything is opened.
fn check_access(args: &GatewayServeArgs) -> Result<(), Failure> {
    if args.no_auth {
        return match args.listen.ip().is_loopback() {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "--no-auth on {}: whoever reaches it would spend your tokens",
                args.listen
            ))
            .expected("an address of loopback, or keys")
            .hint("gavel gateway key new --name NAME")),
        };
    }
    let path = &args.keys.file;
    KeyFile::load(path).map(drop).map_err(|e| no_keys(path, &e))
}

fn no_keys(path: &Path, error: &KeyFileError) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
        .expected("a file of API keys, or --no-auth on loopback")
        .hint("gavel gateway key new --name NAME")
}

/// Where the nonces of signed requests are.
fn nonces_of(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".nonces");
    name.into()
}

/// What clients call a model: the last part of a path, without its ending and its domain.
fn offered_as(name: &str) -> String {
    let file = Path::new(name)
        .file_name()
        .map(|n| n.to_string_lossy().into_owned());
    let file = file.unwrap_or_else(|| name.to_owned());
    let (file, behind) = match file.split_once('@') {
        Some((file, behind)) if !behind.contains('=') => (file, format!("@{behind}")),
        Some((file, _)) => (file, String::new()),
        None => (file.as_str(), String::new()),
    };
    let stem = file
        .strip_suffix(".onnx")
        .or_else(|| file.strip_suffix(".gguf"));
    format!("{}{behind}", stem.unwrap_or(file))
}

/// A `tokenizer.json` in the folder of an ONNX file.
fn tokenizer_beside(name: &str) -> Result<Option<(Tokenizer, Vec<u8>)>, Failure> {
    let file = name.split_once('@').map_or(name, |(file, _)| file);
    let path = Path::new(file).with_file_name("tokenizer.json");
    if !file.ends_with(".onnx") || !path.is_file() {
        return Ok(None);
    }
    let bytes = files::read(
        &path,
        MAX_TOKENIZER_BYTES,
        "a file of the tokenizers library",
    )?;
    let tokenizer = Tokenizer::from_json(&bytes, &TokenizerConfig::default(), &[]);
    Ok(Some((tokenizer.at(path.display())?, bytes)))
}

fn key(command: GatewayKeyCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        GatewayKeyCommand::New {
            name,
            account,
            budget,
            rate,
            concurrency,
            keys,
        } => {
            let mut file = load(&keys, true)?;
            let budget = budget.map(|tokens| (u128::from(tokens) * TOKEN).to_string());
            let key = ApiKey {
                name: name.clone(),
                sha256: None,
                account: None,
                budget,
                requests_per_minute: rate,
                max_concurrent: concurrency,
            };
            let path = keys.file.display();
            if let Some(account) = account {
                file.add_account(key, account).at(path.to_string())?;
                file.save(&keys.file).at(path.to_string())?;
                out.facts(&[
                    ("account", account.to_string()),
                    ("written", path.to_string()),
                ]);
                out.next("gavel gateway sign --help".to_owned());
                out.json(&json!({"name": name, "account": account, "file": keys.file}))?;
                return Ok(Exit::Done);
            }
            let secret = file.add(key).at(path.to_string())?;
            file.save(&keys.file).at(path.to_string())?;
            out.facts(&[("key", secret.clone()), ("written", path.to_string())]);
            out.line(paint(
                DIM,
                "the key is shown this once; the file has its hash",
            ));
            out.json(&json!({"name": name, "key": secret, "file": keys.file}))?;
        }
        GatewayKeyCommand::List(keys) => {
            let file = load(&keys, false)?;
            let budget = |key: &ApiKey| key.budget().map_or("no bound".to_owned(), party::tokens);
            let rows = file.keys.iter().map(|key| {
                vec![
                    key.name.clone(),
                    key.account.map_or("a key".to_owned(), |a| a.to_string()),
                    budget(key),
                    key.requests_per_minute.to_string(),
                    key.max_concurrent.to_string(),
                ]
            });
            out.table(
                &["name", "known by", "budget", "a minute", "at once"],
                rows.collect(),
                &[2, 3, 4],
            );
            let objects: Vec<_> = file.keys.iter().map(|key| json!({
                "name": key.name, "account": key.account, "budget": key.budget, "requests_per_minute": key.requests_per_minute,
                "max_concurrent": key.max_concurrent,
            })).collect();
            out.json(&json!({"keys": objects}))?;
        }
        GatewayKeyCommand::Revoke { name, keys } => {
            let mut file = load(&keys, false)?;
            if !file.remove(&name) {
                return Err(Failure::new(format!("there is no key {name:?}"))
                    .hint("gavel gateway key list"));
            }
            file.save(&keys.file).at(keys.file.display())?;
            out.line(format!("{name} is revoked"));
            out.json(&json!({"revoked": name}))?;
        }
    }
    Ok(Exit::Done)
}

fn load(keys: &ApiKeysArgs, may_be_new: bool) -> Result<KeyFile, Failure> {
    match KeyFile::load(&keys.file) {
        Err(KeyFileError::Io(e)) if may_be_new && e.kind() == std::io::ErrorKind::NotFound => {
            Ok(KeyFile::default())
        }
        other => other.map_err(|e| {
            Failure::new(format!("{}: {e}", keys.file.display())).expected("a file of API keys")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_call_a_model_by_its_file() {
        for (given, known) in [
            ("llm@96", "llm@96"),
            ("diffusion", "diffusion"),
            ("/models/tales.gguf@2048", "tales@2048"),
            ("enc/mini.onnx@seq=1..64", "mini"),
            ("mini.onnx", "mini"),
        ] {
            assert_eq!(offered_as(given), known);
        }
    }
}
