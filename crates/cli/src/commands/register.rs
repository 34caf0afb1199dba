//! `gavel model register FILE`

use gavel_node::roles::{family_registration, registration};
use gavel_settlement::SendError;
use serde_json::json;

use super::party;
use crate::args_node::RegisterArgs;
use crate::failure::{Exit, Failure};
use crate::files::{self, Servable};
use crate::network::block_on;
use crate::output::Output;

pub(crate) fn run(args: RegisterArgs, out: Output) -> Result<Exit, Failure> {
    block_on(register(args, out))
}

async fn register(args: RegisterArgs, out: Output) -> Result<Exit, Failure> {
    let served = files::servable(&args.model)?;
    let network = party::network(&args.network).await?;
    let account = party::account(&network, &args.key)?;
    let mirror = party::mirror(&network).await?;
    let board = mirror.board();
    let (key, id, known) = match &served {
        Servable::Model(model) => {
            let id = model.model_id();
            ("model_id", id, board.models.contains_key(&id))
        }
        Servable::Family(family) => {
            let id = family.id();
            ("family_id", id, board.families.contains_key(&id))
        }
    };
    if known {
        out.line(format!("{id} is registered already"));
        out.json(&json!({key: id, "registered": false}))?;
        return Ok(Exit::Done);
    }
    let at = network.deployment();
    let sent = match &served {
        Servable::Model(model) => {
            let call = registration(model.header(), args.uri);
            account.send(at.market, call).await
        }
        Servable::Family(family) => {
            let call = family_registration(family, args.uri);
            account.send(at.pool, call).await
        }
    };
    let receipt = sent.map_err(|e| match e {
        SendError::Reverted { .. } => {
            Failure::new(format!("the registry refuses {id}: {e}")).because(&e)
        }
        other => Failure::new(other),
    })?;
    out.facts(&[
        (key, id.to_string()),
        ("registered", format!("block {}", receipt.block_number)),
    ]);
    out.next(format!(
        "gavel provider run --model {} --key KEYFILE",
        args.model
    ));
    out.json(&json!({
        key: id, "registered": true, "transaction": receipt.hash, "gas": receipt.gas_used,
    }))?;
    Ok(Exit::Done)
}
