//! The `gavel` binary: parse, run one command, end with its status.
//!
//! Exit status: see [`failure::Exit`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod amount;
mod args;
mod args_arena;
mod args_beacon;
mod args_drill;
mod args_economics;
mod args_fleet;
mod args_gateway;
mod args_language;
mod args_node;
mod args_ops;
mod args_params;
mod args_protection;
mod args_setup;
mod args_trap;
mod args_up;
mod args_weights;
mod commands;
mod config;
mod console;
mod failure;
mod files;
mod language;
mod meter;
mod network;
mod output;
mod picture;
mod prediction;
mod prompt;
mod quote;
mod saved;

use std::io::Write as _;
use std::process::ExitCode;

use failure::{Exit, Failure};
use output::{BAD, Output};

fn main() -> ExitCode {
    let exit = match config::parse() {
        Err(failure) => {
            let json = std::env::args_os().any(|arg| arg == "--json");
            report(&failure, Output::new(json))
        }
        Ok(Ok(cli)) => {
            let out = Output::new(cli.json).assuming_yes(cli.yes);
            files::models_are(cli.models_from, cli.models_dir);
            commands::run(cli.command, out).unwrap_or_else(|failure| report(&failure, out))
        }
        Ok(Err(refusal)) => usage(&refusal),
    };
    ExitCode::from(exit as u8)
}

/// Says what went wrong: on stderr for people, and as the command's one object for programs.
fn report(failure: &Failure, out: Output) -> Exit {
    // nothing can be done about a closed stderr
    let _ = writeln!(anstream::stderr(), "{BAD}error{BAD:#}: {}", failure.text());
    let _ = out.json(&failure.json());
    failure.exit()
}

/// Help and version go to stdout; a command line that does not parse is an error like any other.
fn usage(refusal: &clap::Error) -> Exit {
    let _ = refusal.print();
    if !refusal.use_stderr() {
        return Exit::Done;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        let text = refusal.render().to_string();
        let what = text.lines().next().unwrap_or_default();
        let failure = Failure::usage(what.trim_start_matches("error: ").to_owned())
            .hint("gavel --help lists the commands");
        let _ = Output::new(true).json(&failure.json());
    }
    Exit::Usage
}
