//! Whoever asked: collects what was paid for.

use async_trait::async_trait;
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::Market;
use gavel_trace::{Digest, live_root};

use crate::{Act, Address, Board, ExecutorError, NodeError, Outputs, Party, Role, SignedReceipt};

/// Settles its own tasks as soon as they can be, so that it does not depend on a keeper. What it wants is
/// posted by [`super::post`]; a requester that checks its results is a watcher as well.
pub struct Requester {
    party: Party,
}

impl Requester {
    /// A requester.
    pub fn new(party: Party) -> Requester {
        Requester { party }
    }
}

#[async_trait]
impl Role for Requester {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let me = self.address();
        for (id, entry) in &board.tasks {
            if entry.task.requester == me && board.can_settle(*id) {
                let call = Market::settleCall {
                    taskId: U256::from(*id),
                };
                let what = format!("settles task {id}");
                let to = board.contracts.market;
                if let Some(act) = self.party.act(board, to, call, what).await? {
                    return Ok(Some(act));
                }
            }
        }
        Ok(None)
    }
}

/// The outputs of a task's current result that its provider shows whole, checked against what was committed. `None` where there is no result
/// or nobody stored its outputs.
///
/// # Errors
/// The blob store fails, or what it holds is not what was committed.
pub async fn outputs_of(
    party: &Party,
    board: &Board,
    task: u64,
) -> Result<Option<Outputs>, NodeError> {
    let Some(task) = board.task(task) else {
        return Ok(None);
    };
    let committed: Digest = task.output_digest;
    let Some(model) = party
        .executor
        .model(&task.model)
        .filter(|_| !committed.is_zero())
    else {
        return Ok(None);
    };
    let Some(outputs) = party.blobs.outputs(&committed, &model).await? else {
        return Ok(None);
    };
    // bound as inputs are: by the live root over their digests
    let found = live_root(model.header().live_height, &outputs.digests());
    let found = found.map_err(ExecutorError::from)?;
    if found != committed {
        return Err(NodeError::Blob {
            name: format!("outputs/{committed}"),
            reason: format!("its tensors have digest {found}"),
        });
    }
    Ok(Some(outputs))
}

/// What the provider of a task's current result signed about it, if it did and signed for what it committed.
///
/// # Errors
/// The blob store fails.
pub async fn receipt_of(
    party: &Party,
    board: &Board,
    id: u64,
) -> Result<Option<SignedReceipt>, NodeError> {
    let Some(task) = board.task(id).filter(|task| !task.output_digest.is_zero()) else {
        return Ok(None);
    };
    let receipt = match party.blobs.receipt(id, task.attempt).await {
        // a stranger stored it: what is unreadable is as good as absent
        Err(NodeError::Blob { .. }) => return Ok(None),
        other => other?,
    };
    Ok(receipt.filter(|receipt| {
        receipt.check().is_ok()
            && receipt.chain_id == board.chain_id
            && receipt.market.0 == board.contracts.market.as_slice()
            && (receipt.task_id, receipt.attempt) == (id, task.attempt)
            && receipt.provider.0 == task.provider.as_slice()
            && (receipt.class_id, receipt.model_id) == (task.class, task.model)
            && receipt.input_digest == task.input_digest
            && (receipt.output_digest, receipt.trace_root) == (task.output_digest, task.trace_root)
    }))
}
