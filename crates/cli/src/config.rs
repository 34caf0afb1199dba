//! Values from a file: they stand where the built-in defaults do, so that flags and variables come before them.

pub(crate) mod edit;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _};
use toml::{Table, Value};

use crate::args::Cli;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;

/// Variable that names the file.
const CONFIG: &str = "GAVEL_CONFIG";
const MAX_BYTES: u64 = 1 << 20;

/// Keys that every command which takes them reads, by the names of their flags.
pub(crate) const SHARED: [&str; 8] = [
    "rpc",
    "deployment",
    "blobs",
    "key",
    "password-file",
    "poll",
    "models-from",
    "models-dir",
];
/// Tables with keys of their own, and the commands that read them.
pub(crate) const TABLES: [(&str, &[&[&str]]); 3] = [
    (
        "provider",
        &[
            &["provider", "run"],
            &["provider", "drain"],
            &["provider", "calibrate"],
        ],
    ),
    ("watch", &[&["watch"], &["challenge", "watch"]]),
    ("task", &[&["task", "post"]]),
];

/// A configuration file.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where it is; `None`: there is none.
    pub(crate) path: Option<PathBuf>,
    /// What it says.
    pub(crate) table: Table,
}

/// The command line, with the file's values for what it does not say. The outer error is a file that cannot be used.
pub(crate) fn parse() -> Result<Result<Cli, clap::Error>, Failure> {
    let config = load(named())?;
    let mut command = Cli::command();
    command = apply(command, &config)?;
    let parsed = command.try_get_matches_from(std::env::args_os());
    Ok(parsed.and_then(|matches| Cli::from_arg_matches(&matches)))
}

/// The file that this process reads: of `--config`, of the variable, or the one in its place if it is there.
pub(crate) fn named() -> Option<(PathBuf, bool)> {
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--config") {
            Some("") => return args.next().map(|path| (path.into(), true)),
            Some(rest) if rest.starts_with('=') => return Some((rest[1..].into(), true)),
            _ if arg == "--" => break,
            _ => {}
        }
    }
    if let Some(path) = std::env::var_os(CONFIG) {
        return Some((path.into(), true));
    }
    standard().map(|path| (path, false))
}

/// `$XDG_CONFIG_HOME/gavel/config.toml`, or where that is without the variable.
pub(crate) fn standard() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_absolute()).or_else(home)?;
    Some(folder.join("gavel/config.toml"))
}

pub(crate) fn load(named: Option<(PathBuf, bool)>) -> Result<Config, Failure> {
    let Some((path, asked)) = named else {
        return Ok(Config::default());
    };
    if !asked && !path.exists() {
        return Ok(Config::default());
    }
    let config = |failure: Failure| failure.ends(Exit::Config);
    let bytes = files::read(&path, MAX_BYTES, "a configuration file").map_err(config)?;
    let place = path.display();
    let text = String::from_utf8(bytes).at(&place).map_err(config)?;
    let table: Table = toml::from_str(&text).at(&place).map_err(config)?;
    let loaded = Config {
        path: Some(path.clone()),
        table,
    };
    apply(Cli::command(), &loaded)?;
    Ok(loaded)
}

/// Puts the file's values where the defaults of the commands are; a key that no command has is refused.
fn apply(mut command: Command, config: &Config) -> Result<Command, Failure> {
    let place = || {
        let path = config.path.as_deref();
        path.unwrap_or(Path::new("the configuration"))
            .display()
            .to_string()
    };
    for (key, value) in &config.table {
        if let (Value::Table(own), Some((_, commands))) = (value, table(key)) {
            for (key, value) in own {
                let (name, values) = (flag(key), texts(&place(), key, value)?);
                let known = commands.iter().any(|path| has(&command, path, &name));
                if !known || SHARED.contains(&name.as_str()) {
                    let all: Vec<String> = commands
                        .iter()
                        .flat_map(|path| flags(&command, path))
                        .collect();
                    return Err(unknown(&place(), key, all.iter().map(String::as_str)));
                }
                for path in *commands {
                    command = at(command, path, &name, &values);
                }
            }
            continue;
        }
        let name = flag(key);
        if !SHARED.contains(&name.as_str()) {
            let tables = TABLES.iter().map(|(name, _)| *name);
            return Err(unknown(&place(), key, SHARED.into_iter().chain(tables)));
        }
        command = everywhere(command, &name, &texts(&place(), key, value)?);
    }
    Ok(command)
}

fn table(key: &str) -> Option<&'static (&'static str, &'static [&'static [&'static str]])> {
    TABLES.iter().find(|(name, _)| *name == key)
}

/// A flag's name; files may write words with underscores.
fn flag(key: &str) -> String {
    key.replace('_', "-")
}

/// Values as they would be written behind a flag.
fn texts(place: &str, key: &str, value: &Value) -> Result<Vec<String>, Failure> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(n) => Ok(n.to_string()),
        Value::Float(x) => Ok(x.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        other => Err(
            Failure::new(format!("{place}: {key} is a {}", other.type_str()))
                .ends(Exit::Config)
                .expected("text, a number, true or false, or a list of those"),
        ),
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn has(command: &Command, path: &[&str], name: &str) -> bool {
    flags(command, path).iter().any(|flag| flag == name)
}

fn flags(command: &Command, path: &[&str]) -> Vec<String> {
    let found = path
        .iter()
        .try_fold(command, |c, name| c.find_subcommand(name));
    let args = found.into_iter().flat_map(|c| c.get_arguments());
    args.filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect()
}

fn everywhere(mut command: Command, name: &str, values: &[String]) -> Command {
    command = with_default(command, name, values);
    let names: Vec<String> = (command.get_subcommands())
        .map(|c| c.get_name().to_owned())
        .collect();
    for sub in names {
        command = command.mut_subcommand(sub, |c| everywhere(c, name, values));
    }
    command
}

fn at(command: Command, path: &[&str], name: &str, values: &[String]) -> Command {
    match path.split_first() {
        None => with_default(command, name, values),
        Some((first, rest)) => command.mut_subcommand(*first, |c| at(c, rest, name, values)),
    }
}

fn with_default(command: Command, name: &str, values: &[String]) -> Command {
    let id = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name))
        .map(|arg| arg.get_id().clone());
    let Some(id) = id else {
        return command;
    };
    // a default lives as long as the command line does, which is the process
    let leaked = values
        .iter()
        .map(|value| &*Box::leak(value.clone().into_boxed_str()));
    let leaked: Vec<&'static str> = leaked.collect();
    command.mut_arg(id, |arg: Arg| match arg.get_action() {
        ArgAction::SetTrue => arg.default_value(leaked.first().copied().unwrap_or("false")),
        _ => arg.required(false).default_values(leaked),
    })
}

fn unknown<'a>(place: &str, key: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    let name = flag(key);
    let nearest = known.iter().min_by_key(|other| distance(&name, other));
    let failure = Failure::new(format!("{place}: there is no key {key:?}")).ends(Exit::Config);
    match nearest.filter(|other| distance(&name, other) <= 3) {
        Some(nearest) => failure.hint(format!("did you mean {nearest:?}?")),
        None => failure.expected(known.join(", ")),
    }
}

/// Letters to change, add or leave out between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
