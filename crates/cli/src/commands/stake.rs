//! `gavel provider stake|unstake|withdraw`

use gavel_node::board::Board;
use gavel_node::roles::obligations;
use gavel_node::{Address, U256};
use gavel_settlement::bindings::StakeVault::{self, StakeVaultEvents};
use gavel_settlement::{Account, Network, ProtocolEvent, SendError};
use gavel_sim::timeline::duration;
use serde_json::json;

use super::party::{self, tokens};
use crate::args::{KeyArgs, NetworkArgs};
use crate::args_node::StakeArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{DIM, Output, paint};

/// Entries that are looked through for those that are open: a provider that unstakes every hour for years has fewer.
const MOST_ENTRIES: u64 = 100_000;

/// A part of the stake on its way out.
struct Entry {
    id: U256,
    amount: u128,
    mature_at: u64,
}

pub(super) async fn add(args: StakeArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let account = party::account(&network, &args.key)?;
    let me = account.address();
    let before = standing(&network, me).await?;
    out.confirm(&format!(
        "put {} tokens from {me} into stake, where a conviction can take them",
        tokens(args.amount)
    ))?;
    account.approve_vault().await.at("approving the vault")?;
    let call = StakeVault::stakeCall {
        key: me,
        amount: args.amount,
    };
    let receipt = account
        .send(network.deployment().vault, call)
        .await
        .map_err(|e| refused(e, "stake", &me))?;
    let free = before.free + args.amount;
    out.facts(&[
        ("provider", me.to_string()),
        ("free stake", format!("{} tokens", tokens(free))),
    ]);
    out.json(&json!({
        "provider": me, "staked": args.amount.to_string(), "free": free.to_string(),
        "transaction": receipt.hash, "gas": receipt.gas_used,
    }))?;
    Ok(Exit::Done)
}

pub(super) async fn unstake(args: StakeArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let account = party::account(&network, &args.key)?;
    let me = account.address();
    let before = standing(&network, me).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let rules = board.newest_rules().map(|rules| &rules.stake);
    let unbonding = rules.map_or(0, |rules| rules.unbonding_seconds);
    let least = rules.map_or(0, |rules| rules.min_stake);
    if args.amount > before.free {
        let locked = match before.locked {
            0 => String::new(),
            locked => format!("; {} more are the collateral of its tasks", tokens(locked)),
        };
        return Err(Failure::new(format!(
            "{me} has {} tokens of free stake{locked}",
            tokens(before.free)
        ))
        .ends(Exit::Funds)
        .expected(format!("at most that, found {}", tokens(args.amount))));
    }
    let left = before.free + before.locked - args.amount;
    if left < least && left > 0 {
        out.line(format!(
            "{} tokens stay, less than the {} that a provider needs to be drawn and to claim",
            tokens(left),
            tokens(least)
        ));
    }
    out.confirm(&format!(
        "take {} tokens out of stake; they can be withdrawn in {}, and a conviction until then still takes them",
        tokens(args.amount),
        duration(unbonding.into())
    ))?;
    let call = StakeVault::requestUnbondCall {
        amount: args.amount,
    };
    let receipt = account
        .send(network.deployment().vault, call)
        .await
        .map_err(|e| refused(e, "unstake", &me))?;
    let entry = receipt.logs.iter().find_map(|logged| match &logged.event {
        ProtocolEvent::Vault(StakeVaultEvents::UnbondRequested(e)) => Some(e),
        _ => None,
    });
    let mature_at = entry.map_or(0, |e| e.matureAt);
    out.facts(&[
        ("provider", me.to_string()),
        ("leaving", format!("{} tokens", tokens(args.amount))),
        ("free in", duration(mature_at.saturating_sub(board.now()))),
    ]);
    tell_owed(board, &me, out);
    out.next(
        "gavel provider withdraw --key KEYFILE, when that time has passed and nothing is owed",
    );
    out.json(&json!({
        "provider": me, "unstaked": args.amount.to_string(), "mature_at": mature_at,
        "unbonding_seconds": unbonding, "owed": obligations(board, &me),
        "transaction": receipt.hash, "gas": receipt.gas_used,
    }))?;
    Ok(Exit::Done)
}

/// What stands in the way of a withdrawal, whatever the time.
fn tell_owed(board: &Board, me: &Address, out: Output) {
    for owed in obligations(board, me) {
        out.line(paint(DIM, format!("owed until then: {owed}")));
    }
}

pub(super) async fn withdraw(
    network: &NetworkArgs,
    key: &KeyArgs,
    out: Output,
) -> Result<Exit, Failure> {
    let network = party::network(network).await?;
    let account = party::account(&network, key)?;
    let me = account.address();
    let standing = standing(&network, me).await?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let open = entries(&network, me, standing.unbonding).await?;
    let (ripe, green): (Vec<_>, Vec<_>) = open.iter().partition(|e| e.mature_at <= board.now());
    let waiting: u128 = green.iter().map(|e| e.amount).sum();
    let next = green.iter().map(|e| e.mature_at).min();
    if ripe.is_empty() {
        return nothing_ripe(me, waiting, next, board, out);
    }
    let owed = obligations(board, &me);
    let duties = (network.vault().dutiesOf(me).call().await).at("the duties")?;
    if standing.liveTasks != 0 || standing.frozen != 0 || duties != 0 {
        let named: Vec<_> = owed.iter().map(ToString::to_string).collect();
        let counted = format!(
            "{} tasks, {} open disputes, {duties} duties as auditor or referee",
            standing.liveTasks, standing.frozen
        );
        return Err(Failure::new(format!("{me} still owes: {counted}"))
            .ends(Exit::Reverted)
            .expected(match named.is_empty() {
                true => "their end; what was found late is closed by any keeper".to_owned(),
                false => format!("the end of {}", named.join(", ")),
            })
            .hint("gavel provider drain --model MODEL --key KEYFILE"));
    }
    // the first withdrawal of a convict burns what it owes with the others of its time
    let convicted = network.vault().correlationOf(me).call().await;
    let convicted = convicted.at("the stake")?;
    if convicted.dueAt > board.now() {
        return Err(Failure::new(format!(
            "{me} was convicted: {}",
            super::account::penalty_in_words(&convicted)
        ))
        .ends(Exit::Reverted)
        .expected("that time to come, when everyone is known who was convicted with it"));
    }
    let (mut total, mut hashes) = (0, Vec::new());
    for entry in &ripe {
        let (hash, amount) = take(&account, &network, entry, &me).await?;
        hashes.push(hash);
        total += amount;
    }
    out.facts(&[(
        "withdrawn",
        format!("{} tokens, to the owner {}", tokens(total), standing.owner),
    )]);
    if let Some(next) = next {
        let rest = duration(next.saturating_sub(board.now()));
        out.facts(&[(
            "waiting",
            format!("{} tokens, the first in {rest}", tokens(waiting)),
        )]);
    }
    out.json(&json!({
        "provider": me, "owner": standing.owner, "withdrawn": total.to_string(),
        "waiting": waiting.to_string(), "next_mature_at": next, "transactions": hashes,
    }))?;
    Ok(Exit::Done)
}

fn nothing_ripe(
    me: Address,
    waiting: u128,
    next: Option<u64>,
    board: &Board,
    out: Output,
) -> Result<Exit, Failure> {
    match next {
        Some(next) => {
            let rest = duration(next.saturating_sub(board.now()));
            out.line(format!(
                "nothing can be withdrawn yet: the first of {} tokens in {rest}",
                tokens(waiting)
            ));
        }
        None => {
            out.line(format!("no stake of {me} is on its way out"));
            out.next("gavel provider unstake AMOUNT --key KEYFILE");
        }
    }
    out.json(&json!({
        "provider": me, "withdrawn": "0", "waiting": waiting.to_string(), "next_mature_at": next,
        "transactions": [],
    }))?;
    Ok(Exit::Done)
}

async fn take(
    account: &Account,
    network: &Network,
    entry: &Entry,
    me: &Address,
) -> Result<(gavel_node::B256, u128), Failure> {
    let call = StakeVault::withdrawUnbondedCall { entry: entry.id };
    let sent = account.send(network.deployment().vault, call).await;
    let receipt = sent.map_err(|e| refused(e, "withdraw", me))?;
    let paid = receipt.logs.iter().find_map(|logged| match &logged.event {
        ProtocolEvent::Vault(StakeVaultEvents::Unbonded(e)) => Some(e.amount),
        _ => None,
    });
    Ok((receipt.hash, paid.unwrap_or(entry.amount)))
}

/// The open entries of a provider: those that add up to what is unbonding.
async fn entries(network: &Network, me: Address, unbonding: u128) -> Result<Vec<Entry>, Failure> {
    let (mut found, mut sum) = (Vec::new(), 0);
    for id in (0..MOST_ENTRIES).map(U256::from) {
        if sum >= unbonding {
            break;
        }
        let entry = network.vault().unbondingEntry(me, id).call().await;
        let entry = entry.at(format!("entry {id} of {me}"))?;
        if entry.amount > 0 {
            sum += entry.amount;
            found.push(Entry {
                id,
                amount: entry.amount,
                mature_at: entry.matureAt,
            });
        }
    }
    Ok(found)
}

/// The record of a provider that must be one.
async fn standing(network: &Network, me: Address) -> Result<StakeVault::Provider, Failure> {
    let call = StakeVault::providerCall { key: me };
    // the contract's `provider` has the name of a method of its binding
    let provider = network
        .vault()
        .call_builder(&call)
        .call()
        .await
        .at("the vault")?;
    match provider.owner.is_zero() {
        true => Err(unknown(&me)),
        false => Ok(provider),
    }
}

pub(super) fn unknown(me: &Address) -> Failure {
    Failure::not_found(format!("{me} is no provider"))
        .expected("a key that has registered")
        .hint("gavel provider run --model MODEL --key KEYFILE registers it")
}

fn refused(error: SendError, what: &str, me: &Address) -> Failure {
    Failure::new(format!("{me} cannot {what}: {error}"))
        .because(&error)
        .hint(format!("gavel account show {me}"))
}
