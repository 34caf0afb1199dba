//! Where draws come from, and who takes part in that.

use std::net::SocketAddr;

use clap::{Args, Subcommand, ValueEnum};
use gavel_node::Address;

use crate::args::{KeyArgs, NetworkArgs};
use crate::args_node::LoopArgs;
use crate::args_protection::StateArgs;

/// The beacon of a new network.
#[derive(Clone, Debug, Args)]
pub(crate) struct BeaconArgs {
    /// Where draws come from; the development one can be chosen by whoever makes the blocks
    #[arg(long, value_enum, default_value = "development")]
    pub(crate) beacon: BeaconArg,
    /// Public key of another drand network of quicknet's scheme, compressed, in hex
    #[arg(long, value_name = "HEX", requires_all = ["drand_genesis", "drand_period"])]
    pub(crate) drand_key: Option<String>,
    /// Its first round's time, in seconds since the epoch
    #[arg(long, value_name = "SECONDS", requires = "drand_key")]
    pub(crate) drand_genesis: Option<u64>,
    /// Seconds between its rounds
    #[arg(long, value_name = "SECONDS", requires = "drand_key", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) drand_period: Option<u64>,
    /// Seconds by which a block's time may lag behind drand's clock: draws wait so long
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub(crate) drand_drift: u64,
    /// Seconds of a round of secrets: so long one commits, then so long one reveals [default: what beacon_slack of the
    /// parameters allows]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) commit_reveal_period: Option<u64>,
    /// Commitments below which a round of secrets comes to nothing [default: 3]
    #[arg(long, value_name = "PARTICIPANTS")]
    pub(crate) commit_reveal_quorum: Option<u32>,
    /// What withholding a secret costs, in tokens, with up to 18 decimals [default: the least at which nobody gains by it
    /// under the parameters; a network of larger stakes takes more]
    #[arg(long, value_name = "TOKENS", value_parser = crate::amount::parse)]
    pub(crate) commit_reveal_bond: Option<u128>,
    /// Seconds after a round's time in which drand's value counts; secrets draw after that [default: what beacon_slack of
    /// the parameters allows]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) fallback_slack: Option<u64>,
}

/// Which beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BeaconArg {
    /// Values from blocks, for development
    Development,
    /// quicknet of the League of Entropy, or the network of --drand-key; the chain must have the precompiles of EIP-2537
    Drand,
    /// Secrets that participants commit to and reveal (`gavel beacon join`), for chains without those precompiles
    CommitReveal,
    /// drand, and where it is late the secrets of participants
    Fallback,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BeaconCommand {
    /// Put up the bond, commit to the rounds that somebody waits for and reveal, until interrupted
    Join(BeaconRoleArgs),
    /// Reveal what is owed, commit to nothing more, and take the bond back
    Leave(BeaconRoleArgs),
    /// Where draws come from, and how the rounds stand
    Show {
        /// Whose standing to show as well
        address: Option<Address>,
        #[command(flatten)]
        network: NetworkArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BeaconRoleArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) least: LeastRevealArgs,
    /// Where operators look: /metrics, /livez, /readyz [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ops: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) run: LoopArgs,
}

/// What somebody asks for who takes part.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LeastRevealArgs {
    /// Shortest time to reveal a secret in to commit to it with, in seconds: a late one costs the bond. Several blocks of the
    /// chain, and a restart of this machine
    #[arg(long, value_name = "SECONDS", default_value_t = gavel_node::roles::LEAST_REVEAL_SECONDS)]
    pub(crate) least_reveal: u64,
}

/// A provider that takes part with its own key.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct JoinBeaconArgs {
    /// Take part in the network's beacon of secrets too, with its bond out of the wallet; draining takes it back
    #[arg(long)]
    pub(crate) join_beacon: bool,
    #[command(flatten)]
    pub(crate) least: LeastRevealArgs,
}

/// Whom to ask for the rounds of drand.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RelayArgs {
    /// Relay of the beacon's drand network, with its chain hash: https://api.drand.sh/HASH; several with commas between
    /// [default: the public relays of quicknet]
    #[arg(
        long = "drand",
        env = "GAVEL_DRAND",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub(crate) relays: Vec<String>,
}
