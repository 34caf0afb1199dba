//! Becoming a provider.

use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::bindings::{ProviderPool, StakeVault};
use gavel_trace::Digest;

use crate::{Act, Address, Board, NodeError, Party};

/// What a provider starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinOptions {
    /// Stake, in units of the asset; the registration fee is pulled on top.
    pub stake: u128,
    /// Most tasks at once.
    pub concurrency: u32,
    /// Classes that it serves as auditor and referee: models and families.
    pub classes: Vec<Digest>,
}

/// Does the next thing that is missing to be a provider: registers the key with its stake (itself as owner and
/// payout), then joins the pool of each class. `None`: nothing is missing, or the contracts refuse.
///
/// # Errors
/// The chain cannot be reached, or the asset's approval fails.
pub async fn join(
    party: &Party,
    board: &Board,
    options: &JoinOptions,
) -> Result<Option<Act>, NodeError> {
    let me = party.address();
    if !board.providers.contains_key(&me) {
        party.account.approve_vault().await?;
        let call = StakeVault::registerCall {
            owner: me,
            payout: me,
            maxConcurrency: options.concurrency,
            stakeAmount: options.stake,
        };
        let what = "registers as a provider";
        return send(party, board, party.contracts().vault, call, what.to_owned()).await;
    }
    if !board.is_eligible(&me) {
        return Ok(None);
    }
    let missing = options.classes.iter().find(|class| {
        let members = board.pools.get(*class);
        members.is_none_or(|members| !members.contains_key(&me))
    });
    let Some(class) = missing else {
        return Ok(None);
    };
    let call = ProviderPool::joinCall {
        classId: class.0.into(),
    };
    let kind = match board.families.contains_key(class) {
        true => "family",
        false => "model",
    };
    let what = format!("joins the pool of auditors and referees of {kind} {class:#}");
    send(party, board, party.contracts().pool, call, what).await
}

/// Unlike in a role's tick, a refusal is an answer that somebody waits for.
async fn send<C: SolCall>(
    party: &Party,
    board: &Board,
    to: Address,
    call: C,
    what: String,
) -> Result<Option<Act>, NodeError> {
    let receipt = party.send(board, to, call).await?;
    Ok(Some(Act {
        what,
        transaction: receipt.hash,
        gas: receipt.gas_used,
    }))
}
