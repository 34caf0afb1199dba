//! What can be said about the protocol's numbers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gavel_settlement::Windows;

use crate::args_arena::parse_audit_rate;

#[derive(Debug, Args)]
pub(crate) struct ParamsArgs {
    /// Ask the contracts about a file of parameters instead of writing one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["params", "windows", "audit_rate", "probation"])]
    pub(crate) check: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
}

/// The numbers of a new network.
#[derive(Clone, Debug, Args)]
pub(crate) struct RulesArgs {
    /// File of all parameters, like the one that `gavel chain params` writes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["windows", "audit_rate", "probation"])]
    pub(crate) params: Option<PathBuf>,
    /// Lengths of the protocol's windows
    #[arg(long, value_enum, default_value = "fast")]
    pub(crate) windows: WindowsArg,
    /// Share of results audited at random, 0.00001 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.25, value_parser = parse_audit_rate)]
    pub(crate) audit_rate: f64,
    /// First tasks of a provider that are always audited
    #[arg(long, value_name = "TASKS", default_value_t = 3)]
    pub(crate) probation: u32,
}

/// How long the windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WindowsArg {
    /// Seconds to minutes
    Fast,
    /// Minutes to hours
    Normal,
}

impl From<WindowsArg> for Windows {
    fn from(windows: WindowsArg) -> Windows {
        match windows {
            WindowsArg::Fast => Windows::Fast,
            WindowsArg::Normal => Windows::Normal,
        }
    }
}
