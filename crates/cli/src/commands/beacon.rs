//! From the flags to a beacon, and to whoever has its rounds.

use std::sync::Arc;

use gavel_settlement::BeaconChoice;
use gavel_settlement::alloy::hex;
use gavel_settlement::drand::{BeaconSource, DrandNetwork, HttpSource};

use crate::args_beacon::{BeaconArg, BeaconArgs, RelayArgs};
use crate::failure::{Context as _, Failure};

/// The beacon that the flags name.
pub(super) fn chosen(args: &BeaconArgs) -> Result<BeaconChoice, Failure> {
    if args.beacon == BeaconArg::Development {
        return match args.drand_key {
            None => Ok(BeaconChoice::Development),
            Some(_) => Err(Failure::usage("--drand-key is of a drand beacon")
                .expected("--beacon drand with it")),
        };
    }
    let network = match (&args.drand_key, args.drand_genesis, args.drand_period) {
        (Some(key), Some(genesis), Some(period)) => {
            let bytes = hex::decode(key).at("--drand-key")?;
            DrandNetwork::new(&bytes, genesis, period)
        }
        _ => DrandNetwork::quicknet(),
    };
    let network = network.map_err(|e| {
        Failure::new(e).expected("the 96 bytes of `public_key` in the network's /info, in hex")
    })?;
    Ok(BeaconChoice::Drand {
        network,
        drift: args.drand_drift,
    })
}

/// Whoever is asked for the rounds of drand.
pub(super) fn source(args: &RelayArgs) -> Result<Arc<dyn BeaconSource>, Failure> {
    let source = match args.relays.is_empty() {
        true => HttpSource::quicknet(),
        false => HttpSource::new(&args.relays),
    };
    let source = source.map_err(|e| {
        Failure::usage(e).expected("--drand https://RELAY/CHAINHASH, several with commas between")
    })?;
    Ok(Arc::new(source))
}
