//! `gavel model register FILE`

use gavel_node::roles::registration;
use gavel_settlement::SendError;
use serde_json::json;

use super::party;
use crate::args_node::RegisterArgs;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::network::block_on;
use crate::output::Output;

pub(crate) fn run(args: RegisterArgs, out: Output) -> Result<Exit, Failure> {
    block_on(register(args, out))
}

async fn register(args: RegisterArgs, out: Output) -> Result<Exit, Failure> {
    let model = files::servable_model(&args.model)?;
    let network = party::network(&args.network).await?;
    let account = party::account(&network, &args.key)?;
    let id = model.model_id();
    let mirror = party::mirror(&network).await?;
    if mirror.board().models.contains_key(&id) {
        out.line(format!("{id} is registered already"));
        out.json(&json!({"model_id": id, "registered": false}))?;
        return Ok(Exit::Done);
    }
    let call = registration(model.header(), args.uri);
    let sent = account.send(network.deployment().market, call).await;
    let receipt = sent.map_err(|e| match e {
        SendError::Reverted { .. } => Failure::new(format!("the registry refuses {id}: {e}")),
        other => Failure::new(other),
    })?;
    out.facts(&[
        ("model_id", id.to_string()),
        ("registered", format!("block {}", receipt.block_number)),
    ]);
    out.next(format!(
        "gavel provider run --model {} --key KEYFILE",
        args.model
    ));
    out.json(&json!({
        "model_id": id, "registered": true, "transaction": receipt.hash, "gas": receipt.gas_used,
    }))?;
    Ok(Exit::Done)
}
