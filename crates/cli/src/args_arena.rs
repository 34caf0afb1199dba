//! What can be said to the arena: the demo and the byzantine runs.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use gavel_node::Fault;
use gavel_sim::attacks::Attack;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// What somebody does wrong; may be given more than once [default: weight, changed-token or skipped-steps, by the model; "none" for an honest run]
    #[arg(long = "fault", value_name = "KIND")]
    pub(crate) faults: Vec<FaultArg>,
    /// Everything random in the demo follows from this number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nobody watches: only the random audit can catch the cheat
    #[arg(long)]
    pub(crate) no_watcher: bool,
    /// Share of results audited at random, 0.00001 to 1
    #[arg(long, value_name = "RATE", value_parser = parse_audit_rate)]
    pub(crate) audit_rate: Option<f64>,
    /// How many providers stake (at least 5)
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..=32))]
    pub(crate) providers: u16,
    /// Another model than the shipped digit classifier: your own ONNX file, `llm` (the shipped language model), `diffusion` (the
    /// shipped model that draws), or a GGUF file
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// What a language model is asked, or what is drawn; may be given more than once [default: three questions, three pictures]
    #[arg(long = "prompt", value_name = "TEXT", conflicts_with = "images")]
    pub(crate) prompts: Vec<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "TOKENS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_tokens: u32,
    /// Pictures to classify (PNG); may be given more than once [default: three shipped digits]
    #[arg(long = "image", value_name = "PNG")]
    pub(crate) images: Vec<PathBuf>,
    /// Keep the chain database, the blobs and the evidence of the disputes in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// A way of doing wrong, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FaultArg(pub(crate) Option<Fault>);

impl FaultArg {
    const ALL: [FaultArg; Fault::ALL.len() + 1] = {
        let mut all = [FaultArg(None); Fault::ALL.len() + 1];
        let mut i = 0;
        while i < Fault::ALL.len() {
            all[i + 1] = FaultArg(Some(Fault::ALL[i]));
            i += 1;
        }
        all
    };
}

impl ValueEnum for FaultArg {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            Some(fault) => {
                PossibleValue::new(fault.name()).help(format!("Somebody {}", fault.sentence()))
            }
            None => PossibleValue::new("none").help("Nobody does wrong"),
        })
    }
}

/// A share of results to audit: the contracts count it in millionths and refuse a system that audits nothing.
pub(crate) fn parse_audit_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.000_01..=1.0).contains(&rate) => Ok(rate),
        _ => Err(
            "expected a share from 0.00001 to 1: the contracts want some results audited"
                .to_owned(),
        ),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Byzantine mixes of every role against the real contracts
    Court {
        /// First and last seed, inclusive: A..B
        #[arg(long, default_value = "1..100", value_parser = parse_seeds)]
        seeds: (u64, u64),
        /// Worker threads
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
        threads: u16,
    },
    /// Every attack of the threat model, played: what it costs whom to the unit, and what it brings where its obstacle is weakened
    Attacks {
        /// Which of them, with their ledgers [default: all]
        #[arg(value_name = "NAME", value_parser = attacks())]
        names: Vec<Attack>,
        /// Write the page about all of them
        #[arg(long, value_name = "FILE", conflicts_with = "names")]
        page: Option<PathBuf>,
    },
}

fn attacks() -> impl TypedValueParser<Value = Attack> {
    let known = Attack::ALL.iter();
    let known = known.map(|attack| PossibleValue::new(attack.name()).help(attack.row()));
    PossibleValuesParser::new(known).try_map(|name| name.parse::<Attack>())
}

#[derive(Debug, Args)]
pub(crate) struct BenchChainArgs {
    /// Keep the chains here: must not hold any [default: a folder beside, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How long lives are begun, each way of submission, without the explorer's clients and with them
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// Tasks that stay open beside those that live
    #[arg(long, default_value_t = 10_000)]
    pub(crate) open: u32,
    /// Requesters and providers that work at once, of each
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) pairs: u32,
    /// Clients of an explorer that follows the chain, each with a connection to its events; 0 for no explorer
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) explorer_clients: u32,
    /// Newest blocks that are kept in memory; older ones are read from disk
    #[arg(long, value_name = "BLOCKS", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(16..=1_000_000))]
    pub(crate) recent_blocks: u64,
    /// Blocks and moves of the clock from one snapshot of the chain to the next, at least
    #[arg(long, value_name = "RECORDS", default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(16..))]
    pub(crate) snapshot_records: u64,
    /// Memory for the chain's state, in MiB: what was not written for longest is read from disk
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub(crate) state_memory: u64,
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("expected A..B with A <= B, for example 1..1000, found {text:?}");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let first = first.parse().map_err(|_| wrong())?;
    let last = last.trim_start_matches('=').parse().map_err(|_| wrong())?;
    if first > last {
        Err(wrong())
    } else {
        Ok((first, last))
    }
}
