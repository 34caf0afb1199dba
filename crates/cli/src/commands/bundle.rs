//! `gavel doctor --bundle FILE`: what a fault report needs, in one archive, without secrets.
//!
//! Nothing secret is read for it. What may hold a secret all the same (an address with a token in it, a variable that
//! somebody put on the command line of a service) is taken out of every text before it is written: of URLs scheme and host
//! stay, and what the variables that carry passwords and keys hold is looked for everywhere.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use gavel_engine::{Engine, EngineOptions};
use gavel_node::protection::{self, failures};
use gavel_node::{Address, Board};
use gavel_settlement::Network;
use gavel_state::{Identity, Sqlite};
use serde_json::{Value, json};
use url::Url;

use super::{config, party};
use crate::args_ops::DoctorArgs;
use crate::failure::{Context as _, Failure};
use crate::output::Output;

/// What stands for what was taken out.
const HIDDEN: &str = "(hidden)";
/// Parts of names of variables and keys whose values are secret.
const SECRET: [&str; 6] = ["PASSWORD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "AUTH"];
/// Values shorter than this are found in too many texts that have nothing to do with them.
const LEAST: usize = 6;

/// Where a bundle goes.
const ABSENT: &str = "a file that does not exist yet, in a folder that does";

/// What is going to be written: a name, a text, what it is.
pub(super) struct Bundle {
    files: Vec<(&'static str, String, &'static str)>,
}

/// Refuses a place that is taken, before anything is looked at.
pub(super) fn unused(path: &Path) -> Result<(), Failure> {
    match path.exists() {
        true => Err(Failure::new(format!("{}: it exists", path.display())).expected(ABSENT)),
        false => Ok(()),
    }
}

/// Gathers it all; what cannot be had is told in its place.
pub(super) async fn gather(
    checks: Vec<Value>,
    network: Option<&Network>,
    key: Option<Address>,
    args: &DoctorArgs,
) -> Result<Bundle, Failure> {
    let secrets = secrets(args);
    let mut files = Vec::new();
    let mut add = |name, value: Value, what| -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&hidden(value, &secrets)).at(name)?;
        files.push((name, text, what));
        Ok(())
    };
    let what = "version, build, system, processor";
    add("version.json", version(), what)?;
    let (file, values) = config::values()?;
    let values = values.into_iter().map(|(key, value, origin)| {
        let value = match is_secret(&key) && key != "key" && key != "password-file" {
            true => value.map(|_| HIDDEN.to_owned()),
            false => value,
        };
        json!({"key": key, "value": value, "origin": origin})
    });
    let values: Vec<_> = values.collect();
    let what = "configuration and where it comes from, without secrets";
    add("config.json", json!({"file": file, "values": values}), what)?;
    add("doctor.json", json!(checks), "what `gavel doctor` found")?;
    let board = match network {
        Some(network) => Some(party::mirror(network).await),
        None => None,
    };
    let told = match &board {
        Some(Ok(mirror)) => on_chain(mirror.board(), key),
        Some(Err(failure)) => json!({"unreadable": failure.text()}),
        None => json!({"unreadable": "no network"}),
    };
    add(
        "network.json",
        told,
        "tasks and disputes of this key, by the chain",
    )?;
    let told = state(network, key, args).await;
    let what = "schema and numbers of rows of the protection database";
    add("state.json", told, what)?;
    Ok(Bundle { files })
}

impl Bundle {
    /// Says what it holds, and writes it: packed where the name ends in `gz`.
    pub(super) fn write(&self, path: &Path, out: Output) -> Result<(), Failure> {
        let place = path.display().to_string();
        out.heading("The bundle");
        for (name, text, what) in &self.files {
            out.line(format!("{name:<14} {:>7} bytes  {what}", text.len()));
        }
        out.confirm_on_terminal(&format!("write this to {place}"))?;
        // for its owner alone, and never in the place of something else
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|e| {
            Failure::new(format!("{place}: {e}"))
                .because(&e)
                .expected(ABSENT)
        })?;
        let is_packed = path
            .extension()
            .is_some_and(|end| end == "gz" || end == "tgz");
        let written = match is_packed {
            true => {
                let packed = flate2::write::GzEncoder::new(file, flate2::Compression::default());
                self.append(packed).and_then(|packed| packed.finish())
            }
            false => self.append(file),
        };
        written.and_then(|file| file.sync_all()).at(&place)?;
        out.line(format!("written to {place}"));
        Ok(())
    }

    fn append<W: Write>(&self, to: W) -> std::io::Result<W> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut tar = tar::Builder::new(to);
        for (name, text, _) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(since.as_ref().map_or(0, std::time::Duration::as_secs));
            tar.append_data(&mut header, format!("gavel-bundle/{name}"), text.as_bytes())?;
        }
        tar.into_inner()
    }
}

fn version() -> Value {
    let read = |path| std::fs::read_to_string(path).ok();
    let line = |text: Option<String>, name: &str| {
        let text = text?;
        let found = text.lines().find(|line| line.starts_with(name))?;
        Some(
            found
                .split_once([':', '='])?
                .1
                .trim()
                .trim_matches('"')
                .to_owned(),
        )
    };
    let isa = Engine::new(EngineOptions::default()).map(|engine| format!("{:?}", engine.isa()));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
        "system": line(read("/etc/os-release"), "PRETTY_NAME"),
        "kernel": read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        "processor": line(read("/proc/cpuinfo"), "model name"),
        "features": line(read("/proc/cpuinfo"), "flags").or_else(|| line(read("/proc/cpuinfo"), "Features")),
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "isa": isa.unwrap_or_else(|error| error.to_string()),
    })
}

/// What the chain shows of a key.
fn on_chain(board: &Board, key: Option<Address>) -> Value {
    let tasks = board.tasks.iter().filter(|(_, entry)| {
        let by = entry.attempts.iter().any(|a| Some(a.provider) == key);
        by || Some(entry.task.requester) == key
    });
    let tasks = tasks.map(|(id, entry)| {
        json!({"task": id, "attempt": entry.task.attempt, "state": format!("{:?}", entry.task.state)})
    });
    let disputes = board
        .disputes
        .iter()
        .map(|(id, entry)| (id, &entry.dispute));
    let disputes = disputes.filter(|(_, dispute)| {
        let sides = [dispute.provider, dispute.challenger, dispute.referee];
        key.is_some_and(|key| sides.contains(&key))
    });
    let disputes = disputes.map(|(id, dispute)| {
        json!({"dispute": id, "task": dispute.task, "state": format!("{:?}", dispute.state)})
    });
    json!({
        "chain_id": board.chain_id, "block": board.head.number, "time": board.now(), "key": key,
        "tasks_in_all": board.tasks.len(), "disputes_in_all": board.disputes.len(),
        "tasks": tasks.collect::<Vec<_>>(), "disputes": disputes.collect::<Vec<_>>(),
        "failures": key.map(|key| failures(board, &key)),
    })
}

/// What a database holds, in numbers.
async fn state(network: Option<&Network>, key: Option<Address>, args: &DoctorArgs) -> Value {
    let place = args.state.clone().or_else(|| {
        let contracts = network?.deployment();
        let identity = Identity {
            chain_id: contracts.chain_id,
            contract: contracts.market,
            address: key?,
        };
        Some(gavel_state::default_place(identity)?.display().to_string())
    });
    let Some(place) = place else {
        return json!({"unreadable": "neither --state, nor a network and a key"});
    };
    let schema = match place.contains("://") {
        true => None,
        false => Some(Sqlite::schema(Path::new(&place))),
    };
    let schema = match schema {
        Some(Ok((found, known))) => json!({"found": found, "known": known}),
        Some(Err(error)) => json!(error.to_string()),
        None => Value::Null,
    };
    let stores = match gavel_state::read(&place).await {
        Ok(stores) => stores,
        Err(error) => {
            return json!({"place": place, "schema": schema, "unreadable": error.to_string()});
        }
    };
    let mut told = Vec::new();
    for store in stores {
        let count = |rows: Result<usize, _>| match rows {
            Ok(rows) => json!(rows),
            Err(error) => {
                let error: gavel_state::StateError = error;
                json!(error.to_string())
            }
        };
        let mut rows = serde_json::Map::new();
        for table in [gavel_state::Table::Statements, gavel_state::Table::Intents] {
            let found = store.scan(table).await.map(|rows| rows.len());
            rows.insert(table.name().to_owned(), count(found));
        }
        told.push(json!({
            "address": store.identity().address, "contract": store.identity().contract,
            "chain_id": store.identity().chain_id, "rows": rows,
            "tripped": protection::tripped(&*store).await.unwrap_or_else(|e| vec![e.to_string()]),
        }));
    }
    json!({"place": place, "schema": schema, "stores": told})
}

fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase().replace('-', "_");
    SECRET.iter().any(|part| name.contains(part))
}

/// What must not be in the bundle, wherever it turns up.
fn secrets(args: &DoctorArgs) -> Vec<String> {
    // paths to keys are no secrets, and are looked at in a report
    let variables =
        std::env::vars().filter(|(name, value)| is_secret(name) && !Path::new(value).exists());
    let mut secrets: Vec<String> = variables.map(|(_, value)| value).collect();
    let password = args.password.password_file.as_ref();
    let password = password.and_then(|path| std::fs::read_to_string(path).ok());
    secrets.extend(password.and_then(|text| Some(text.lines().next()?.to_owned())));
    secrets.retain(|secret| secret.len() >= LEAST);
    // the longest first, as one may be a part of another
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// A value without what is secret in its texts.
fn hidden(value: Value, secrets: &[String]) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text, secrets)),
        Value::Array(all) => all
            .into_iter()
            .map(|value| hidden(value, secrets))
            .collect(),
        Value::Object(all) => {
            let all = all.into_iter();
            Value::Object(
                all.map(|(key, value)| (key, hidden(value, secrets)))
                    .collect(),
            )
        }
        other => other,
    }
}

fn clean(text: &str, secrets: &[String]) -> String {
    let mut text = without_paths(text);
    for secret in secrets {
        text = text.replace(secret, HIDDEN);
    }
    text
}

/// Of every URL scheme, host and port: user, path and query may hold keys.
fn without_paths(text: &str) -> String {
    let ends = |c: char| {
        c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '<' | '>' | '`' | '(' | ')')
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme =
            rest[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let after = &rest[scheme.len()..];
        let end = after.find(ends).unwrap_or(after.len());
        out.push_str(scheme);
        out.push_str(&shown(&after[..end]));
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn shown(url: &str) -> String {
    // what ends a sentence is no part of it
    let bare = url.trim_end_matches(['.', ':']);
    let Ok(parsed) = Url::parse(bare) else {
        return HIDDEN.to_owned();
    };
    let port = parsed
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    let host = parsed.host_str().unwrap_or_default();
    let is_whole = parsed.username().is_empty()
        && parsed.password().is_none()
        && matches!(parsed.path(), "" | "/")
        && parsed.query().is_none()
        && parsed.fragment().is_none();
    let rest = if is_whole { "" } else { "/(hidden)" };
    format!(
        "{}://{host}{port}{rest}{}",
        parsed.scheme(),
        &url[bare.len()..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_addresses_only_the_host_is_left_and_secrets_are_found_anywhere() {
        for (text, left) in [
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
            (
                "https://ann:pass@node.example/v3/k3y?token=t",
                "https://node.example/(hidden)",
            ),
            (
                "two: https://a.example/1,https://b.example/2.",
                "two: https://a.example/(hidden),https://b.example/(hidden).",
            ),
            (
                "postgres://u:p@db:5432/gavel is away",
                "postgres://db:5432/(hidden) is away",
            ),
            ("the word hunter22 in a text", "the word (hidden) in a text"),
        ] {
            assert_eq!(clean(text, &["hunter22".to_owned()]), left);
        }
    }
}
