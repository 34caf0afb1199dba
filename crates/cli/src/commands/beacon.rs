//! From the flags to a beacon, and to whoever has its rounds.

use std::sync::Arc;

use gavel_economics::BeaconFlaw;
use gavel_settlement::alloy::hex;
use gavel_settlement::amount::exact;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::drand::{BeaconSource, DrandNetwork, HttpSource};
use gavel_settlement::{BeaconChoice, CommitRevealChoice};
use serde_json::{Value, json};

use super::party::tokens;
use crate::args_beacon::{BeaconArg, BeaconArgs, RelayArgs};
use crate::failure::{Context as _, Failure};
use crate::output::{DIM, Output, paint};

/// The beacon that the flags name, as it suits the parameters.
pub(super) fn chosen(args: &BeaconArgs, params: &Params) -> Result<BeaconChoice, Failure> {
    let is_drand = matches!(args.beacon, BeaconArg::Drand | BeaconArg::Fallback);
    if args.drand_key.is_some() && !is_drand {
        return Err(Failure::usage("--drand-key is of a drand beacon")
            .expected("--beacon drand or --beacon fallback with it"));
    }
    let is_secret = matches!(args.beacon, BeaconArg::CommitReveal | BeaconArg::Fallback);
    let of_secrets = args.commit_reveal_period.is_some()
        || args.commit_reveal_quorum.is_some()
        || args.commit_reveal_bond.is_some();
    if of_secrets && !is_secret {
        return Err(
            Failure::usage("--commit-reveal-... is of a beacon that is made of secrets")
                .expected("--beacon commit-reveal or --beacon fallback with it"),
        );
    }
    if args.fallback_slack.is_some() && args.beacon != BeaconArg::Fallback {
        return Err(
            Failure::usage("--fallback-slack is of drand with secrets behind it")
                .expected("--beacon fallback with it"),
        );
    }
    let (suited, slack) = gavel_economics::suited(params, args.beacon == BeaconArg::Fallback);
    let secrets = CommitRevealChoice {
        period: args.commit_reveal_period.unwrap_or(suited.period),
        quorum: args.commit_reveal_quorum.unwrap_or(suited.quorum),
        bond: args.commit_reveal_bond.unwrap_or(suited.bond),
    };
    let choice = match args.beacon {
        BeaconArg::Development => BeaconChoice::Development,
        BeaconArg::CommitReveal => BeaconChoice::CommitReveal(secrets),
        BeaconArg::Drand => BeaconChoice::Drand {
            network: network(args)?,
            drift: args.drand_drift,
        },
        BeaconArg::Fallback => BeaconChoice::Fallback {
            network: network(args)?,
            drift: args.drand_drift,
            slack: args.fallback_slack.unwrap_or(slack),
            other: secrets,
        },
    };
    gavel_economics::check_beacon(&choice, params).map_err(refused)?;
    Ok(choice)
}

/// A beacon that would not do what it is for.
fn refused(flaw: BeaconFlaw) -> Failure {
    let remedy = match &flaw {
        BeaconFlaw::ZeroPeriod => "--commit-reveal-period SECONDS".to_owned(),
        BeaconFlaw::QuorumTooSmall { .. } => "--commit-reveal-quorum 2 or more".to_owned(),
        BeaconFlaw::BondTooSmall { least, .. } => {
            format!("--commit-reveal-bond {} or more", exact(*least))
        }
        BeaconFlaw::TooSlow { latest, .. } => format!(
            "shorter rounds (--commit-reveal-period, --fallback-slack), or parameters with beacon_slack = {latest}: \
             `gavel chain params` writes a file of them"
        ),
        BeaconFlaw::NoTimeForDrand { period, .. } => {
            format!("--fallback-slack {period} or more")
        }
        _ => String::new(),
    };
    let failure = Failure::usage(flaw);
    match remedy.is_empty() {
        true => failure,
        false => failure.hint(remedy),
    }
}

/// The drand network that the flags name.
fn network(args: &BeaconArgs) -> Result<Box<DrandNetwork>, Failure> {
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
    Ok(Box::new(network))
}

/// What is fixed for the life of a network that draws by it.
pub(super) fn numbers(choice: &BeaconChoice) -> Value {
    let secrets = |c: &CommitRevealChoice| json!({"period": c.period, "quorum": c.quorum, "bond": c.bond.to_string()});
    match choice {
        BeaconChoice::Development => json!({"scheme": "development"}),
        BeaconChoice::Drand { network, drift } => {
            json!({"scheme": "drand", "period": network.period, "drift": drift})
        }
        BeaconChoice::CommitReveal(c) => json!({"scheme": "commit-reveal", "secrets": secrets(c)}),
        BeaconChoice::Fallback {
            network,
            drift,
            slack,
            other,
        } => json!({
            "scheme": "drand, commit-reveal", "period": network.period, "drift": drift,
            "slack": slack, "secrets": secrets(other),
        }),
    }
}

/// The same for people.
pub(super) fn told(choice: &BeaconChoice, out: Output) {
    let secrets = |c: &CommitRevealChoice| {
        [
            (
                "a round",
                format!("{} s to commit, then {} s to reveal", c.period, c.period),
            ),
            ("quorum", format!("{} participants", c.quorum)),
            ("bond", format!("{} tokens", tokens(c.bond))),
        ]
    };
    match choice {
        BeaconChoice::Development => out.line(paint(
            DIM,
            "draws by the development beacon, whose values whoever makes the blocks can choose; a network that people run takes --beacon drand",
        )),
        BeaconChoice::Drand { .. } => {}
        BeaconChoice::CommitReveal(c) => {
            out.facts(&secrets(c));
            out.line(paint(DIM, "draws wait for participants: gavel beacon join"));
        }
        BeaconChoice::Fallback { slack, other, .. } => {
            out.facts(&[("drand counts", format!("for {slack} s"))]);
            out.facts(&secrets(other));
            out.line(paint(DIM, "where drand is late draws wait for participants: gavel beacon join"));
        }
    }
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
    use gavel_settlement::dev_params::UNIT;
    use gavel_settlement::{DevParams, dev_params};

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
        let params = dev_params(DevParams::default());
        chosen(&args.beacon, &params).map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn a_beacon_of_secrets_has_numbers_that_suit_the_parameters() {
        let params = dev_params(DevParams::default());
        let (suited, _) = gavel_economics::suited(&params, false);
        let secrets = BeaconChoice::CommitReveal(suited);
        assert_eq!(choice(&["--beacon", "commit-reveal"]), Ok(secrets));
        let (suited, suited_slack) = gavel_economics::suited(&params, true);
        let Ok(BeaconChoice::Fallback {
            network,
            drift,
            slack,
            other,
        }) = choice(&["--beacon", "fallback"])
        else {
            panic!("{:?}", choice(&["--beacon", "fallback"]))
        };
        assert!(network.is_quicknet());
        assert_eq!((drift, slack, other), (15, suited_slack, suited));
        let named = [
            "--beacon",
            "commit-reveal",
            "--commit-reveal-period",
            "2",
            "--commit-reveal-quorum",
            "5",
            "--commit-reveal-bond",
            "100000.5",
        ];
        let numbers = CommitRevealChoice {
            period: 2,
            quorum: 5,
            bond: 100_000 * UNIT + UNIT / 2,
        };
        assert_eq!(choice(&named), Ok(BeaconChoice::CommitReveal(numbers)));
        let refused = |words: &[&str], why: &str, remedy: &str| {
            let told = choice(words).unwrap_err();
            assert!(told.contains(why) && told.contains(remedy), "{told}");
        };
        let with = |flag, value| [&named[..2], &[flag, value]].concat();
        refused(
            &with("--commit-reveal-bond", "1"),
            "P-B4",
            "--commit-reveal-bond",
        );
        refused(&with("--commit-reveal-quorum", "1"), "P-B3", "2 or more");
        refused(
            &with("--commit-reveal-period", "0"),
            "P-B1",
            "--commit-reveal-period",
        );
        refused(
            &with("--commit-reveal-period", "3600"),
            "P-V4",
            "beacon_slack = 7200",
        );
        refused(
            &["--beacon", "fallback", "--fallback-slack", "2"],
            "P-B5",
            "--fallback-slack 3",
        );
        refused(&["--commit-reveal-bond", "1"], "secrets", "fallback");
        refused(
            &["--beacon", "drand", "--fallback-slack", "9"],
            "slack",
            "fallback",
        );
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
