//! `gavel completions|man`, and the reference of the command line: all of them made from what clap knows.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::args::Cli;
use crate::args_ops::{CompletionsArgs, ManArgs, ReferenceArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::output::Output;

pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gavel", &mut script);
    print(&script)
}

pub(super) fn pages(args: &ManArgs, out: Output) -> Result<Exit, Failure> {
    let command = Cli::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command);
        man.render(&mut page).at("the manual page")?;
        return print(&page);
    };
    std::fs::create_dir_all(dir).at(dir.display())?;
    clap_mangen::generate_to(command, dir).at(dir.display())?;
    out.facts(&[("written", dir.display().to_string())]);
    out.next(format!(
        "man -M {} gavel, or install them under share/man/man1",
        dir.display()
    ));
    out.json(&serde_json::json!({"folder": dir}))?;
    Ok(Exit::Done)
}

/// `docs/reference/cli.md`, or what is beside it.
pub(super) fn reference(args: &ReferenceArgs) -> Result<Exit, Failure> {
    if let Some(dir) = &args.schemas {
        super::schemas::write(dir)?;
        return Ok(Exit::Done);
    }
    print(markdown().as_bytes())
}

/// A closed pipe is not an error of ours.
fn print(bytes: &[u8]) -> Result<Exit, Failure> {
    let _ = std::io::stdout().write_all(bytes);
    Ok(Exit::Done)
}

fn markdown() -> String {
    let mut text = "\
# The command line

Made from the program's own definitions by `gavel reference`; a test compares the two. Data goes to standard output and
everything else to standard error; with `--json` a command prints one object, or one a line where it reports while it runs.
A failure is an object too: `{\"error\": {\"what\", \"expected\", \"hint\", \"exit\"}}`.

Commands that move money ask first on a terminal; elsewhere those that stake, unstake or challenge need `--yes`, and
`task post` goes on.

## Exit status

| status | meaning |
|---|---|
"
    .to_owned();
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(text, "| {} | {meaning} |", exit as u8);
    }
    text.push_str(
        "\nA role that runs until it is told to stop ends with 0 when it is; 130 is for what was interrupted before its end.\n",
    );
    let mut command = Cli::command();
    command.build();
    text.push_str("\n## For every command\n\n");
    let global = |arg: &&Arg| arg.is_global_set();
    options(&mut text, command.get_arguments().filter(global));
    for command in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        describe(&mut text, command, "gavel");
    }
    text
}

fn describe(text: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    if command.get_name() == "help" {
        return;
    }
    let about = command.get_about().map(ToString::to_string);
    let _ = writeln!(text, "\n## {name}\n\n{}", about.unwrap_or_default());
    let subcommands = || command.get_subcommands().filter(|c| !c.is_hide_set());
    if subcommands().next().is_some() {
        for command in subcommands() {
            describe(text, command, &name);
        }
        return;
    }
    let shown = |arg: &&Arg| !arg.is_hide_set() && !arg.is_global_set();
    let own: Vec<_> = command.get_arguments().filter(shown).collect();
    let placed = own.iter().filter(|arg| arg.is_positional()).map(|arg| {
        let name = arg.get_value_names().and_then(|names| names.first());
        let name = name.map_or_else(|| arg.get_id().to_string(), ToString::to_string);
        match (arg.is_required_set(), many(arg)) {
            (true, _) => format!(" <{name}>"),
            (false, true) => format!(" [{name}]..."),
            (false, false) => format!(" [{name}]"),
        }
    });
    let placed: String = placed.collect();
    let flags = match own.iter().any(|arg| !arg.is_positional()) {
        true => " [OPTIONS]",
        false => "",
    };
    let _ = writeln!(text, "\n```\n{name}{flags}{placed}\n```");
    if !own.is_empty() {
        text.push('\n');
    }
    options(
        text,
        own.into_iter()
            .filter(|arg| arg.get_id() != "help" && arg.get_id() != "version"),
    );
    if let Some(after) = command.get_after_help() {
        let _ = writeln!(text, "\n{after}.");
    }
}

fn many(arg: &Arg) -> bool {
    arg.get_num_args()
        .is_some_and(|range| range.max_values() > 1)
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    for arg in args {
        let takes = arg.get_action().takes_values();
        let value = match (takes, arg.get_value_names()) {
            (true, Some(names)) => format!(" {}", names.join(" ")),
            _ => String::new(),
        };
        let named = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
            (None, Some(long)) => format!("--{long}{value}"),
            (Some(short), None) => format!("-{short}{value}"),
            (None, None) => value.trim().to_owned(),
        };
        let mut more = Vec::new();
        let defaults = arg.get_default_values().iter();
        let defaults: Vec<_> = defaults.map(|d| d.to_string_lossy()).collect();
        if takes && !defaults.is_empty() {
            more.push(format!("default `{}`", defaults.join(" ")));
        }
        let values = arg.get_possible_values();
        if takes && !values.is_empty() && !arg.is_hide_possible_values_set() {
            let names: Vec<_> = values
                .iter()
                .map(|v| format!("`{}`", v.get_name()))
                .collect();
            more.push(format!("one of {}", names.join(", ")));
        }
        if let Some(env) = arg.get_env() {
            more.push(format!("variable `{}`", env.to_string_lossy()));
        }
        if takes && matches!(arg.get_action(), clap::ArgAction::Append) && !arg.is_positional() {
            more.push("may be repeated".to_owned());
        }
        let more = match more.is_empty() {
            true => String::new(),
            false => format!(" ({})", more.join("; ")),
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "- `{named}`: {help}{more}");
    }
}
