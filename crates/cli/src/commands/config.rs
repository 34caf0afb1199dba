//! `gavel config show|check|init`

use std::path::PathBuf;

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::Cli;
use crate::args_ops::ConfigCommand;
use crate::config::{self, SHARED, TABLES};
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{DIM, Output, paint};

const TEMPLATE: &str = "\
# What `gavel` takes where neither a flag nor a variable says otherwise. Keys have the names of the flags;
# `gavel config show --origin` says what holds and where it comes from.

# rpc = \"http://127.0.0.1:8545\"
# deployment = \"gavel-deployment.json\"
# blobs = \"gavel-blobs\"            # a directory, or file:, http(s):, s3:, gs:, az:
# key = \"key.json\"
# password_file = \"password\"
# models_from = \"https://models.example/gavel\"   # where models that are named by model_id come from, as blobs
# models_dir = \"models\"            # where they are kept

# [provider]
# model = [\"digits\"]
# reserve = 1
# concurrency = 2

# [watch]
# model = [\"digits\"]
";

pub(crate) fn run(command: ConfigCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show { origin } => show(origin, out),
        ConfigCommand::Check => check(out),
        ConfigCommand::Init { file } => init(file, out),
    }
}

/// Each value that may be set: its key, itself, and where it comes from.
pub(super) type Values = Vec<(String, Option<String>, String)>;

/// The values that hold, and the file that some come from.
pub(super) fn values() -> Result<(Option<PathBuf>, Values), Failure> {
    let found = config::load(config::named())?;
    let file = found.path.as_ref().map(|path| path.display().to_string());
    let mut lines = Vec::new();
    for name in SHARED {
        let arg = argument(&Cli::command(), name);
        let env = arg.as_ref().and_then(|(env, _)| env.clone());
        let variable = env.as_ref().and_then(|env| std::env::var(env).ok());
        let in_file = found
            .table
            .iter()
            .find(|(key, _)| key.replace('_', "-") == name);
        let default = arg.and_then(|(_, default)| default);
        lines.push(match (variable, in_file, default) {
            (Some(value), ..) => (
                name.to_owned(),
                Some(value),
                format!("variable {}", env.unwrap_or_default()),
            ),
            (None, Some((_, value)), _) => (
                name.to_owned(),
                Some(text(value)),
                format!("file {}", file.clone().unwrap_or_default()),
            ),
            (None, None, Some(default)) => (name.to_owned(), Some(default), "built in".to_owned()),
            (None, None, None) => (name.to_owned(), None, "nowhere".to_owned()),
        });
    }
    for (table, _) in TABLES {
        let own = found.table.get(table).and_then(toml::Value::as_table);
        for (key, value) in own.into_iter().flatten() {
            let place = format!("file {}", file.clone().unwrap_or_default());
            lines.push((format!("{table}.{key}"), Some(text(value)), place));
        }
    }
    Ok((found.path, lines))
}

fn show(origin: bool, out: Output) -> Result<Exit, Failure> {
    let (file, lines) = values()?;
    for (name, value, from) in &lines {
        let value = value.clone().unwrap_or_else(|| "not set".to_owned());
        let from = match origin {
            true => paint(DIM, format!("  {from}")),
            false => String::new(),
        };
        out.line(format!("{name:<22} {value}{from}"));
    }
    let objects: Vec<_> = lines
        .iter()
        .map(|(name, value, from)| json!({"key": name, "value": value, "origin": from}))
        .collect();
    out.json(&json!({"file": file, "values": objects}))?;
    Ok(Exit::Done)
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Variable and default of a flag that some command has.
fn argument(command: &clap::Command, name: &str) -> Option<(Option<String>, Option<String>)> {
    let own = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name));
    if let Some(arg) = own {
        let words = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let default = arg.get_default_values().first().map(|d| words(d));
        return Some((arg.get_env().map(words), default));
    }
    command.get_subcommands().find_map(|c| argument(c, name))
}

/// Whoever comes here has a file that was read, or none.
fn check(out: Output) -> Result<Exit, Failure> {
    let found = config::load(config::named())?;
    match &found.path {
        Some(path) => out.line(format!("{} is fine", path.display())),
        None => {
            out.line("there is no configuration file; flags, variables and defaults hold");
            out.next("gavel config init");
        }
    }
    out.json(&json!({"file": found.path, "keys": found.table.len()}))?;
    Ok(Exit::Done)
}

fn init(file: Option<PathBuf>, out: Output) -> Result<Exit, Failure> {
    let path = file.or_else(config::standard).ok_or_else(|| {
        Failure::usage("there is no home directory").expected("a file to write to")
    })?;
    if path.exists() {
        return Err(Failure::new(format!("{} exists", path.display())).expected("a new file"));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).at(folder.display())?;
    }
    crate::files::write(&path, TEMPLATE.as_bytes())?;
    out.facts(&[("written", path.display().to_string())]);
    out.next("gavel config show --origin");
    out.json(&json!({"file": path}))?;
    Ok(Exit::Done)
}
