//! What can be said about the database of what a key has said.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gavel_node::Address;

/// Where a role keeps what it has said.
#[derive(Clone, Debug, Args)]
pub(crate) struct StateArgs {
    /// Protection database: a file or a postgres:// URL [default: a file of the network and key under $XDG_STATE_HOME/gavel]
    #[arg(
        long,
        env = "GAVEL_STATE",
        value_name = "PLACE",
        hide_env_values = true
    )]
    pub(crate) state: Option<String>,
    /// Start although the chain shows acts of this key that the database does not have: nobody else runs it any more
    #[arg(long)]
    pub(crate) accept_foreign_acts: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProtectionCommand {
    /// Write all that a key has said into a file for another machine
    Export {
        #[command(flatten)]
        place: PlaceArgs,
        /// Where to write it; standard output where absent
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take in what a key has said on another machine, whose process must have stopped
    Import {
        /// File that `export` wrote
        file: PathBuf,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Whose database it is, what is in it, and what stops claims
    Check(PlaceArgs),
    /// Forget what was said about tasks and disputes that are final for good
    Prune {
        /// First task to keep
        #[arg(long, value_name = "ID", default_value_t = 0)]
        tasks_below: u64,
        /// First dispute to keep
        #[arg(long, value_name = "ID", default_value_t = 0)]
        disputes_below: u64,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Let a provider claim again whose circuit breaker has tripped
    Reset(PlaceArgs),
}

/// A database.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Protection database: a file or a postgres:// URL
    #[arg(
        long,
        env = "GAVEL_STATE",
        value_name = "PLACE",
        hide_env_values = true
    )]
    pub(crate) state: String,
    /// Key, where the server has several
    #[arg(long)]
    pub(crate) address: Option<Address>,
}
