//! Where draws come from.

use clap::{Args, ValueEnum};

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
}

/// Which beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BeaconArg {
    /// Values from blocks, for development
    Development,
    /// quicknet of the League of Entropy, or the network of --drand-key; the chain must have the precompiles of EIP-2537
    Drand,
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
