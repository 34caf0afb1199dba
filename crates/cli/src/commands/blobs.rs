//! `gavel blobs prune`

use std::time::Duration;

use serde_json::json;

use super::party;
use crate::args_ops::{BlobsCommand, PruneArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::Output;

pub(crate) fn run(command: BlobsCommand, out: Output) -> Result<Exit, Failure> {
    match command {
        BlobsCommand::Prune(args) => block_on(prune(args, out)),
    }
}

/// Tells, or removes, what no open window of a task or dispute needs.
async fn prune(args: PruneArgs, out: Output) -> Result<Exit, Failure> {
    let network = party::network(&args.network).await?;
    let mirror = party::mirror(&network).await?;
    let blobs = party::blobs(&args.blobs.blobs)?;
    let age = Duration::from_secs(args.older_than.saturating_mul(3600));
    let sorted = blobs
        .sort(mirror.board(), age)
        .await
        .at(&args.blobs.blobs)?;
    let bytes: u64 = sorted.unneeded.iter().map(|found| found.size).sum();
    if args.delete {
        for found in &sorted.unneeded {
            blobs.remove(found).await.at(&found.name)?;
        }
    }
    let done = match args.delete {
        true => "removed",
        false => "not needed",
    };
    out.facts(&[
        (
            done,
            format!("{} blobs, {bytes} bytes", sorted.unneeded.len()),
        ),
        ("kept", format!("{} blobs", sorted.kept.len())),
    ]);
    if !args.delete && !sorted.unneeded.is_empty() {
        out.next("the same with --delete removes them");
    }
    let names: Vec<_> = sorted.unneeded.iter().map(|found| &found.name).collect();
    out.json(&json!({
        "unneeded": names, "bytes": bytes, "kept": sorted.kept.len(), "deleted": args.delete,
    }))?;
    Ok(Exit::Done)
}
