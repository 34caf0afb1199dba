//! `gavel protection export|import|check|prune|reset`, and what a role does before it acts.

use std::path::Path;
use std::sync::Arc;

use gavel_node::protection::doppelganger::{self, Verdict};
use gavel_node::protection::interchange::{self, Interchange, Watermarks};
use gavel_node::protection::{self, Kind, Protection, Space, StoredIntents};
use gavel_node::{Mirror, Party};
use gavel_settlement::Account;
use gavel_state::{Identity, StateError, Store};
use serde_json::json;

use crate::args_protection::{PlaceArgs, ProtectionCommand, StateArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::network::block_on;
use crate::output::{DIM, Output, WARN, paint};

/// Seconds that a new database of a key with a stake is only looked at the chain with.
const QUIET_SECONDS: u64 = 20;
const MAX_FILE_BYTES: u64 = 1 << 30;

pub(crate) fn run(command: ProtectionCommand, out: Output) -> Result<Exit, Failure> {
    block_on(async {
        match command {
            ProtectionCommand::Export { place, output } => {
                export(&place, output.as_deref(), out).await
            }
            ProtectionCommand::Import { file, place } => import(&file, &place, out).await,
            ProtectionCommand::Check(place) => check(&place, out).await,
            ProtectionCommand::Prune {
                tasks_below,
                disputes_below,
                place,
            } => {
                let store = written(&place).await?;
                let below = Watermarks {
                    tasks: tasks_below,
                    disputes: disputes_below,
                };
                let gone = interchange::prune(&*store, below)
                    .await
                    .map_err(Failure::new)?;
                out.facts(&[("forgotten", gone.to_string())]);
                out.json(&json!({"forgotten": gone}))?;
                Ok(Exit::Done)
            }
            ProtectionCommand::Reset(place) => {
                let store = written(&place).await?;
                let why = protection::reset(&*store).await.map_err(Failure::new)?;
                for reason in &why {
                    out.line(format!("it {reason}"));
                }
                out.line("claims go on");
                out.json(&json!({"was_tripped_by": why}))?;
                Ok(Exit::Done)
            }
        }
    })
}

/// The party with the database that the flags name behind it, once nothing speaks against its acting.
pub(super) async fn guard(
    party: Party,
    mirror: &mut Mirror,
    args: &StateArgs,
    out: Output,
) -> Result<Party, Failure> {
    let store = store_of(&party.account, args).await?;
    guard_with(party, mirror, store, args.accept_foreign_acts, out).await
}

/// [`guard`] with a database that this process writes.
pub(super) async fn guard_with(
    party: Party,
    mirror: &mut Mirror,
    store: Arc<dyn Store>,
    accept_foreign_acts: bool,
    out: Output,
) -> Result<Party, Failure> {
    let account = party.account.clone();
    let me = account.address();
    let rows = protection::statements(&*store)
        .await
        .map_err(Failure::new)?;
    let board = mirror.refresh().await.at("reading the chain")?;
    let mut verdict = doppelganger::look(board, &me, &rows);
    let is_new = doppelganger::is_new(&*store).await.map_err(Failure::new)?;
    if verdict == Verdict::Quiet && is_new && !accept_foreign_acts {
        out.line(paint(DIM, format!(
            "a new database of a key with a stake: watching for another process for {QUIET_SECONDS} s"
        )));
        let until = std::time::Instant::now() + std::time::Duration::from_secs(QUIET_SECONDS);
        while verdict == Verdict::Quiet && std::time::Instant::now() < until {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let board = mirror.refresh().await.at("reading the chain")?;
            verdict = doppelganger::look(board, &me, &rows);
        }
    }
    if let Verdict::Foreign(acts) = &verdict
        && !accept_foreign_acts
    {
        return Err(Failure::new(format!(
            "the chain shows acts of {me} that {} does not have: {}",
            store.place(),
            acts.join("; ")
        ))
        .ends(Exit::Protected)
        .expected("the database of the process that acted with this key, and that process stopped")
        .hint("`gavel protection import FILE` takes in what another machine exported; --accept-foreign-acts goes on without, when nothing else runs this key"));
    }
    doppelganger::started(&*store).await.map_err(Failure::new)?;
    let guarded = Protection::open(Arc::clone(&store))
        .await
        .map_err(Failure::new)?;
    if let Some(breaker) = guarded.breaker().filter(|b| b.is_tripped()) {
        let why = breaker.tripped().join("; ");
        out.line(paint(WARN, format!("it claims nothing, because it {why}")));
        out.line(paint(
            DIM,
            format!(
                "`gavel protection reset --state {}`, or --reset-breaker, lets it claim again",
                store.place()
            ),
        ));
    }
    Ok(Party {
        account: account.with_log(Arc::new(StoredIntents::new(store))),
        protection: Arc::new(guarded),
        ..party
    })
}

/// The database that the flags name, or that of the network and key.
pub(super) async fn store_of(
    account: &Account,
    args: &StateArgs,
) -> Result<Arc<dyn Store>, Failure> {
    let identity = protection::identity(account);
    let place = match &args.state {
        Some(place) => place.clone(),
        None => gavel_state::default_place(identity)
            .ok_or_else(|| {
                Failure::usage("no home directory for the protection database")
                    .expected("--state FILE or a postgres:// URL")
            })?
            .display()
            .to_string(),
    };
    gavel_state::open(&place, identity).await.map_err(refused)
}

pub(super) fn refused(error: StateError) -> Failure {
    let failure = Failure::new(error.to_string()).ends(Exit::Protected);
    match error {
        StateError::Taken { .. } => failure
            .expected("one process for each key")
            .hint("stop the other one; it gives its lock up however it ends"),
        StateError::OtherIdentity { .. } => failure
            .expected("the database of this network and key")
            .hint("--state names another; without it each network and key has its own"),
        StateError::Missing { .. } => failure.expected("a file that a role has made, or `import`"),
        _ => failure,
    }
}

/// The one store of a place, or the one that the address names.
fn one(mut all: Vec<Arc<dyn Store>>, place: &PlaceArgs) -> Result<Arc<dyn Store>, Failure> {
    if let Some(address) = place.address {
        all.retain(|store| store.identity().address == address);
    }
    let known: Vec<_> = all.iter().map(|s| s.identity().to_string()).collect();
    match (all.pop(), all.is_empty()) {
        (Some(store), true) => Ok(store),
        _ => Err(
            Failure::usage(format!("{} keys have their state there", known.len()))
                .expected("one, or --address to tell which")
                .hint(known.join("; ")),
        ),
    }
}

async fn read(place: &PlaceArgs) -> Result<Arc<dyn Store>, Failure> {
    one(
        gavel_state::read(&place.state).await.map_err(refused)?,
        place,
    )
}

async fn written(place: &PlaceArgs) -> Result<Arc<dyn Store>, Failure> {
    let identity = read(place).await?.identity();
    gavel_state::open(&place.state, identity)
        .await
        .map_err(refused)
}

async fn export(place: &PlaceArgs, output: Option<&Path>, out: Output) -> Result<Exit, Failure> {
    let store = read(place).await?;
    let file = interchange::export(&*store).await.map_err(Failure::new)?;
    let text = serde_json::to_string_pretty(&file).at("writing JSON")?;
    match output {
        Some(path) => {
            std::fs::write(path, text + "\n").at(path.display())?;
            out.facts(&[("written", path.display().to_string())]);
            out.next(format!("gavel protection import {}", path.display()));
            out.json(&json!({"file": path}))?;
        }
        None => {
            out.line(&text);
            out.json(&json!(file))?;
        }
    }
    Ok(Exit::Done)
}

async fn import(file: &Path, place: &PlaceArgs, out: Output) -> Result<Exit, Failure> {
    let text = files::read(file, MAX_FILE_BYTES, "an interchange file")?;
    let parsed = Interchange::parse(&text).at(file.display())?;
    let store = match gavel_state::read(&place.state).await {
        Ok(all) if !all.is_empty() => {
            let identity = one(all, place)?.identity();
            gavel_state::open(&place.state, identity).await
        }
        Ok(_) | Err(StateError::Missing { .. }) => {
            let identity = fresh(&parsed, place)?;
            gavel_state::open(&place.state, identity).await
        }
        Err(error) => Err(error),
    };
    let store = store.map_err(refused)?;
    let done = interchange::import(&*store, &parsed)
        .await
        .at(file.display())?;
    out.facts(&[
        ("of", store.identity().to_string()),
        ("new", done.new.to_string()),
        ("known", done.known.to_string()),
    ]);
    out.json(&json!({"state": store.place(), "imported": done}))?;
    Ok(Exit::Done)
}

/// Whose the database will be that a file makes.
fn fresh(file: &Interchange, place: &PlaceArgs) -> Result<Identity, Failure> {
    let named = place.address.map(|address| Identity {
        chain_id: file.metadata.chain_id,
        contract: file.metadata.gavel_contract,
        address,
    });
    named.or_else(|| file.identity()).ok_or_else(|| {
        Failure::usage("the file is not of one key")
            .expected("--address to tell whose database it makes")
    })
}

async fn check(place: &PlaceArgs, out: Output) -> Result<Exit, Failure> {
    let store = read(place).await?;
    let rows = protection::statements(&*store)
        .await
        .map_err(Failure::new)?;
    let why = protection::tripped(&*store).await.map_err(Failure::new)?;
    let counts: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| {
            (
                kind.name(),
                rows.iter().filter(|(s, _)| s.kind == *kind).count(),
            )
        })
        .collect();
    let mut marks = Vec::new();
    for space in [Space::Tasks, Space::Disputes] {
        let mark = protection::watermark(&*store, space)
            .await
            .map_err(Failure::new)?;
        marks.push((space.name(), mark));
    }
    let identity = store.identity();
    let claims = match why.is_empty() {
        true => "go on".to_owned(),
        false => paint(WARN, format!("stopped: it {}", why.join("; "))),
    };
    let said: Vec<_> = counts
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let from: Vec<_> = marks
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    out.facts(&[
        ("key", identity.address.to_string()),
        (
            "market",
            format!("{} on chain {}", identity.contract, identity.chain_id),
        ),
        ("said", said.join(", ")),
        ("complete from", from.join(", ")),
        ("claims", claims),
    ]);
    out.json(&json!({
        "state": store.place(), "address": identity.address, "contract": identity.contract,
        "chain_id": identity.chain_id,
        "rows": counts.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "complete_from": marks.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "tripped": why,
    }))?;
    Ok(Exit::Done)
}
