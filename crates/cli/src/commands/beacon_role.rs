//! `gavel beacon join|leave|show`: taking part in rounds that are made of secrets, and looking at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gavel_gateway::ops::Ops;
use gavel_node::board::{Board, SecretRounds};
use gavel_node::roles::{self, Participant, Step};
use gavel_node::{Address, Blobs, Mirror, NodeError, Role, Runner, RunnerEvent};
use gavel_settlement::Network;
use gavel_settlement::bindings::CommitRevealBeacon;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::operators::{self, Operators};
use super::party::{self, tokens};
use crate::args::NetworkArgs;
use crate::args_beacon::{BeaconCommand, BeaconRoleArgs};
use crate::args_node::LoopArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::{self, block_on};
use crate::output::{DIM, GOOD, Output, paint};

pub(crate) fn run(command: BeaconCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        BeaconCommand::Join(args) => block_on(take_part(args, false, out)),
        BeaconCommand::Leave(args) => block_on(take_part(args, true, out)),
        BeaconCommand::Show { address, network } => block_on(show(address, network, out)),
    }
}

/// The rounds of secrets of a network.
pub(super) fn rounds(board: &Board) -> Result<SecretRounds, Failure> {
    board.beacon.secrets.ok_or_else(|| {
        Failure::new(format!(
            "the beacon at {} is not made of secrets, so that nobody takes part in it",
            board.contracts.beacon
        ))
        .expected("a network that was deployed with --beacon commit-reveal or --beacon fallback")
    })
}

/// Takes part in a loop of its own: other roles run models, which may take longer than a round.
pub(super) fn beside(
    participant: Participant,
    mirror: Mirror,
    run: LoopArgs,
    watched: Option<Arc<Ops>>,
    out: Output,
) -> JoinHandle<()> {
    let pause = Duration::from_millis(run.poll);
    let mut runner = Runner::new(mirror, vec![Box::new(participant)], pause);
    let tell = move |event: RunnerEvent<'_>| {
        if let Some(watched) = &watched {
            operators::note(watched, &event);
        }
        party::tell(&event, out);
    };
    tokio::spawn(async move { runner.run(std::future::pending(), |_| false, tell).await })
}

async fn take_part(args: BeaconRoleArgs, leave: bool, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let account = party::account(&network, &args.key)?;
    let mut mirror = party::mirror(&network).await?;
    let rounds = rounds(mirror.board())?;
    let me = account.address();
    let now = mirror.board().now();
    let standing = roles::standing(&network, &rounds, me, rounds.round_after(now)).await;
    let standing = standing.at("reading the beacon")?;
    if let Step::Out(round) = standing.step(&rounds, &[], now, true, false) {
        return Err(Failure::new(NodeError::SecretWithheld { round })
            .expected("a key that never withheld one"));
    }
    match (standing.joined, leave) {
        (false, true) => {
            return Err(
                Failure::not_found(format!("{me} does not take part in the beacon"))
                    .expected("the key that joined"),
            );
        }
        (false, false) => out.confirm(&format!(
            "put up {} tokens from {me} as the beacon's bond, lost if a secret is not revealed in time",
            tokens(rounds.bond)
        ))?,
        (true, _) => {}
    }
    // it computes nothing
    let (executor, _) = party::executor_of(mirror.board(), &[], Vec::new())?;
    let party = party::party(account, executor, Blobs::memory());
    let party = super::protection::guard(party, &mut mirror, &args.state, out).await?;
    let operators = operators::open(args.ops, "beacon", &party, out).await?;
    let ending = Arc::new(AtomicBool::new(leave));
    let participant = Participant::new(party)
        .with_least_reveal(args.least.least_reveal)
        .ending(Arc::clone(&ending));
    let participant = match leave {
        true => participant.leaving(),
        false => participant,
    };
    let free = participant.is_free();
    let tell_ending = move || {
        out.line("ends: commits to nothing more, and reveals what is owed");
        out.event(&json!({"event": "ending", "participant": me}));
    };
    match leave {
        true => tell_ending(),
        false => {
            out.facts(&[
                ("participant", me.to_string()),
                ("bond", format!("{} tokens", tokens(rounds.bond))),
                (
                    "a round",
                    format!(
                        "{} s to commit, then {} s to reveal",
                        rounds.period, rounds.period
                    ),
                ),
            ]);
            out.line(paint(
                DIM,
                "SIGTERM ends when nothing is owed; Ctrl-C or a second one ends now, and a secret that is owed costs the bond unless this starts again in time",
            ));
            out.event(&json!({
                "event": "joining", "participant": me, "beacon": rounds.address, "bond": rounds.bond.to_string(),
                "period": rounds.period, "quorum": rounds.quorum,
                "ops": operators.as_ref().map(Operators::url),
            }));
        }
    }
    let stop = network::told_to_drain(Arc::clone(&ending), tell_ending);
    let stop = stop.at("listening to signals")?;
    let over = |_: &Board| ending.load(Ordering::Relaxed) && free.load(Ordering::Relaxed);
    let roles: Vec<Box<dyn Role>> = vec![Box::new(participant)];
    operators::run_roles(stop, mirror, roles, args.run, over, operators.as_ref(), out).await;
    if let Some(operators) = operators {
        operators.close().await?;
    }
    if !free.load(Ordering::Relaxed) {
        return Err(
            Failure::new(format!("{me} was interrupted, and may owe a secret"))
                .ends(Exit::Interrupted)
                .hint("`gavel beacon join` or `leave` reveals it, if it starts again in time"),
        );
    }
    match leave {
        true => out.line(paint(GOOD, "the bond is back")),
        false => out.line(paint(GOOD, "nothing is owed; the bond stays in the beacon")),
    }
    out.event(&json!({"event": "ended", "participant": me, "bond_back": leave}));
    Ok(Exit::Done)
}

async fn show(who: Option<Address>, args: NetworkArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let (beacon, now) = (&board.beacon, board.now());
    let next = beacon.round_after(now.saturating_sub(beacon.drift));
    let newest = beacon.values.last_key_value();
    out.facts(&[
        ("beacon", board.contracts.beacon.to_string()),
        ("draws by", beacon.scheme.name().to_owned()),
        (
            "rounds",
            format!(
                "every {} s, the next is {next} in {} s",
                beacon.period,
                beacon.time_of(next).saturating_sub(now)
            ),
        ),
        (
            "newest value",
            newest.map_or_else(
                || "none yet".to_owned(),
                |(round, value)| format!("{value} of round {round}"),
            ),
        ),
    ]);
    let mut secrets = Value::Null;
    let mut participant = Value::Null;
    if let Some(rounds) = &beacon.secrets {
        let open = rounds.round_after(now);
        let contract = CommitRevealBeacon::new(rounds.address, network.provider());
        let commits = contract
            .rounds(open)
            .call()
            .await
            .at("reading the beacon")?
            .commits;
        out.facts(&[
            ("secrets", rounds.address.to_string()),
            (
                "a round",
                format!(
                    "{} s to commit, then {} s to reveal",
                    rounds.period, rounds.period
                ),
            ),
            ("quorum", format!("{} participants", rounds.quorum)),
            ("bond", format!("{} tokens", tokens(rounds.bond))),
            (
                "open",
                format!(
                    "round {open}, for {} s; {commits} have committed",
                    rounds.time_of(open) - now
                ),
            ),
        ]);
        secrets = json!({
            "address": rounds.address, "genesis": rounds.genesis, "period": rounds.period,
            "quorum": rounds.quorum, "bond": rounds.bond.to_string(),
            "open_round": open, "open_until": rounds.time_of(open), "commits": commits,
        });
        if let Some(who) = who {
            participant = standing(&network, rounds, who, open, now, out).await?;
        }
    }
    out.json(&json!({
        "beacon": board.contracts.beacon, "scheme": beacon.scheme.name(), "genesis": beacon.genesis,
        "period": beacon.period, "drift": beacon.drift, "next_round": next, "next_at": beacon.time_of(next),
        "newest": newest.map(|(round, value)| json!({"round": round, "value": value})),
        "slack": beacon.secrets.filter(|_| beacon.slack > 0).map(|_| beacon.slack),
        "secrets": secrets, "participant": participant,
    }))?;
    Ok(Exit::Done)
}

/// How a participant stands.
async fn standing(
    network: &Network,
    rounds: &SecretRounds,
    who: Address,
    open: u64,
    now: u64,
    out: Output,
) -> Result<Value, Failure> {
    let standing = roles::standing(network, rounds, who, open).await;
    let standing = standing.at("reading the beacon")?;
    let step = standing.step(rounds, &[], now, true, false);
    let word = match step {
        _ if !standing.joined => "takes no part",
        Step::Out(_) => "out: withheld a secret",
        Step::Reveal(_) => "owes a secret",
        Step::Wait => "has committed",
        _ => "owes nothing",
    };
    out.facts(&[("participant", format!("{who} {word}"))]);
    Ok(json!({
        "address": who, "standing": word, "joined": standing.joined, "round": standing.round,
        "revealed": standing.revealed,
    }))
}
