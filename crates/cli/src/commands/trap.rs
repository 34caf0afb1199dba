//! `gavel task trap`: a task whose result is wrong on purpose, to see whether anybody looks.

use std::path::Path;
use std::sync::Arc;

use gavel_node::board::Board;
use gavel_node::roles::{Stage, Trapper};
use gavel_node::{Address, Party, Role, U256};
use gavel_settlement::amount::tokens;
use gavel_settlement::{Account, Network};
use serde_json::json;

use super::party;
use super::task::{Posted, place};
use crate::args::{KeyArgs, PasswordArgs};
use crate::args_protection::StateArgs;
use crate::args_trap::TrapArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::output::Output;

pub(super) async fn trap(args: TrapArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.post.party.network).await?;
    let key = |key: &Path, password: &Option<std::path::PathBuf>| KeyArgs {
        key: key.to_owned(),
        password: PasswordArgs {
            password_file: password.clone(),
        },
    };
    let provider = key(&args.provider_key, &args.provider_password_file);
    let provider = party::account(&network, &provider)?;
    let sealer = key(&args.sealer_key, &args.sealer_password_file);
    let sealer = party::account(&network, &sealer)?;
    let requester = party::account(&network, &args.post.party.key)?.address();
    // before anything is in escrow
    three_keys(&[requester, provider.address(), sealer.address()])?;
    let registered = party::mirror(&network).await?;
    if !registered.board().is_eligible(&provider.address()) {
        let found = format!("{} serves nothing now", provider.address());
        return Err(Failure::new(found)
            .expected("a provider that is registered, with its stake, and in no dispute")
            .hint("gavel provider list"));
    }
    let jackpot = jackpot(&network, &sealer, args.jackpot).await?;
    let Posted {
        me: requester,
        mut mirror,
        id,
        act,
        ..
    } = place(&args.post, out).await?;
    requester
        .account
        .heard()
        .await
        .at("the post is noted as told")?;
    // each key has a database of its own
    let state = StateArgs {
        state: None,
        accept_foreign_acts: args.post.party.state.accept_foreign_acts,
    };
    let mut others = Vec::new();
    for account in [provider, sealer] {
        let executor = Arc::clone(&requester.executor);
        let party = party::party(account, executor, requester.blobs.clone());
        let party = super::protection::guard(party, &mut mirror, &state, out).await?;
        others.push(party);
    }
    let [provider, sealer]: [Party; 2] = others
        .try_into()
        .map_err(|_| Failure::new("two keys make two parties"))?;
    sealer
        .account
        .approve_vault()
        .await
        .at("approving the vault")?;
    out.facts(&[
        ("jackpot", tokens(jackpot)),
        ("provider", provider.address().to_string()),
        ("sealer", sealer.address().to_string()),
    ]);
    out.event(&json!({
        "event": "posted", "task": id, "transaction": act.transaction, "gas": act.gas,
        "provider": provider.address(), "sealer": sealer.address(), "jackpot": jackpot.to_string(),
    }));
    let trapper = || {
        Trapper::new(
            requester.clone(),
            provider.clone(),
            sealer.clone(),
            id,
            jackpot,
        )
    };
    let role: Vec<Box<dyn Role>> = vec![Box::new(trapper())];
    let stage = trapper();
    let over = |board: &Board| stage.stage(board).is_ok_and(|stage| stage == Stage::Over);
    party::run_roles(mirror, role, args.run, over, out).await?;
    told(&network, id, out).await
}

/// Who sees that one key did what two should have done knows a trap when it sees one.
fn three_keys(who: &[Address; 3]) -> Result<(), Failure> {
    let [requester, provider, sealer] = who;
    if requester != provider && provider != sealer && sealer != requester {
        return Ok(());
    }
    let found =
        format!("requester {requester}, provider {provider} and sealer {sealer} are not three");
    Err(Failure::usage(found)
        .expected("three keys: --key, --provider-key and --sealer-key")
        .hint("gavel key new FILE"))
}

/// The deposit that was asked for, or the least; its sealer has it.
async fn jackpot(
    network: &Network,
    sealer: &Account,
    asked: Option<u128>,
) -> Result<u128, Failure> {
    let least = network.traps().leastJackpot().call().await;
    let least = least.at("reading the least jackpot")?;
    let jackpot = asked.unwrap_or(least);
    if jackpot < least {
        let found = format!("--jackpot {} is no prize to look for", tokens(jackpot));
        return Err(Failure::usage(found).expected(format!(
            "at least {}: the bond of a challenge",
            tokens(least)
        )));
    }
    let (token, who) = (network.token(), sealer.address());
    let wallet = token.balanceOf(who).call().await.at("the wallet")?;
    if wallet < U256::from(jackpot) {
        let found = format!(
            "the sealer {who} has {}",
            tokens(u128::try_from(wallet).unwrap_or(u128::MAX))
        );
        return Err(Failure::new(found)
            .ends(Exit::Funds)
            .expected(format!("{} for the deposit", tokens(jackpot)))
            .hint(format!("gavel account show {who}")));
    }
    Ok(jackpot)
}

/// What became of it.
async fn told(network: &Network, id: u64, out: Output) -> Result<Exit, Failure> {
    let mirror = party::mirror(network).await?;
    let trap = mirror.board().traps.get(&(id, 0));
    let passed = trap.and_then(|trap| trap.passed_by);
    let finders = trap.map_or(0, |trap| trap.finders.len());
    out.facts(&[
        (
            "shown",
            if trap.is_some() { "yes" } else { "no" }.to_owned(),
        ),
        ("found by", finders.to_string()),
        (
            "let pass by",
            passed.map_or_else(
                || "nobody".to_owned(),
                |(who, paid)| format!("{who}, which paid {}", tokens(paid)),
            ),
        ),
    ]);
    out.event(&json!({
        "event": "over", "task": id, "shown": trap.is_some(), "finders": finders,
        "share": trap.and_then(|trap| trap.share).map(|share| share.to_string()),
        "passed_by": passed.map(|(who, _)| who), "penalty": passed.map(|(_, paid)| paid.to_string()),
    }));
    Ok(Exit::Done)
}
