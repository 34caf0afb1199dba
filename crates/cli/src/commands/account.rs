//! `gavel account show|withdraw`

use gavel_node::Address;
use gavel_settlement::bindings::StakeVault;
use gavel_settlement::{Account, Network};
use serde_json::json;

use super::party::{self, tokens};
use crate::args_node::AccountCommand;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::Output;

pub(crate) fn run(command: AccountCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        AccountCommand::Show { address, network } => {
            block_on(async move { show(&party::network(&network).await?, address, out).await })
        }
        AccountCommand::Withdraw { network, key } => block_on(async move {
            let network = party::network(&network).await?;
            withdraw(&party::account(&network, &key)?, out).await
        }),
    }
}

async fn show(network: &Network, address: Address, out: Output) -> Result<Exit, Failure> {
    let wallet = network
        .token()
        .balanceOf(address)
        .call()
        .await
        .at("the wallet")?;
    let credit = network
        .vault()
        .credit(address)
        .call()
        .await
        .at("the credit")?;
    let stake = network
        .vault()
        .totalStake(address)
        .call()
        .await
        .at("the stake")?;
    let convicted = network.vault().correlationOf(address).call().await;
    let convicted = convicted.at("the stake")?;
    let owed = (convicted.dueAt != 0).then_some(&convicted);
    let units = |amount| u128::try_from(amount).unwrap_or(u128::MAX);
    out.facts(&[
        ("account", address.to_string()),
        ("wallet", format!("{} tokens", tokens(units(wallet)))),
        ("credit", format!("{} tokens", tokens(credit))),
        ("stake", format!("{} tokens", tokens(stake))),
    ]);
    if let Some(owed) = owed {
        out.facts(&[("of it", penalty_in_words(owed))]);
    }
    if credit > 0 {
        out.next("gavel account withdraw --key KEYFILE");
    }
    out.json(&json!({
        "account": address, "wallet": wallet.to_string(), "credit": credit.to_string(),
        "stake": stake.to_string(),
        "correlated": owed.map(|owed| json!({
            "due_at": owed.dueAt, "penalty": owed.penalty.to_string(),
            "slashed_stake": owed.slashedStake.to_string(), "total_stake": owed.totalStake.to_string(),
        })),
    }))?;
    Ok(Exit::Done)
}

/// What a convict has yet to pay with the others of its time, and why no more is known.
pub(super) fn penalty_in_words(owed: &StakeVault::Correlation) -> String {
    format!(
        "{} tokens at least are burned from {} s on: {} of the {} tokens of all stake were convicted at about the same time",
        tokens(owed.penalty),
        owed.dueAt,
        tokens(owed.slashedStake),
        tokens(owed.totalStake)
    )
}

async fn withdraw(account: &Account, out: Output) -> Result<Exit, Failure> {
    let me = account.address();
    let network = account.network();
    let amount = network.vault().credit(me).call().await.at("the credit")?;
    if amount == 0 {
        out.line(format!("{me} has no credit"));
        out.json(&json!({"account": me, "withdrawn": "0"}))?;
        return Ok(Exit::Done);
    }
    let call = StakeVault::withdrawCreditCall { to: me, amount };
    let receipt = account
        .send(network.deployment().vault, call)
        .await
        .at("withdrawing")?;
    out.line(format!(
        "{} tokens went from the vault to {me}",
        tokens(amount)
    ));
    out.json(&json!({
        "account": me, "withdrawn": amount.to_string(), "transaction": receipt.hash,
        "gas": receipt.gas_used,
    }))?;
    Ok(Exit::Done)
}
