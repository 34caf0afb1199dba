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
        network: Box::new(network),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        beacon: BeaconArgs,
        #[command(flatten)]
        relays: RelayArgs,
    }

    fn line(words: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["deploy"], words].concat())
    }

    fn choice(words: &[&str]) -> Result<BeaconChoice, String> {
        let args = line(words).map_err(|e| e.to_string())?;
        chosen(&args.beacon).map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn the_beacon_is_the_development_one_quicknet_or_a_named_network() {
        assert_eq!(choice(&[]), Ok(BeaconChoice::Development));
        let network = Box::new(DrandNetwork::quicknet().unwrap());
        let quicknet = BeaconChoice::Drand { network, drift: 15 };
        assert_eq!(choice(&["--beacon", "drand"]), Ok(quicknet));
        let key = gavel_settlement::drand::QUICKNET_KEY;
        let named = [
            "--beacon",
            "drand",
            "--drand-key",
            key,
            "--drand-genesis",
            "1700000000",
            "--drand-period",
            "30",
            "--drand-drift",
            "0",
        ];
        let Ok(BeaconChoice::Drand { network, drift }) = choice(&named) else {
            panic!("{:?}", choice(&named))
        };
        assert_eq!(
            (network.genesis, network.period, drift),
            (1_700_000_000, 30, 0)
        );
        // a key that nobody would look at
        assert!(choice(&[&["--drand-key", key][..], &named[4..8]].concat()).is_err());
        assert!(choice(&["--beacon", "drand", "--drand-key", key]).is_err());
        let mut short = named;
        short[3] = "83cf";
        assert!(choice(&short).is_err());
    }

    #[test]
    fn relays_are_urls() {
        let asked = |words: &[&str]| source(&line(words).unwrap().relays).is_ok();
        assert!(asked(&[]));
        assert!(asked(&[
            "--drand",
            "https://a.example/x,http://127.0.0.1:1/x"
        ]));
        assert!(!asked(&["--drand", "https://a.example/x,ftp://b.example"]));
    }
}
