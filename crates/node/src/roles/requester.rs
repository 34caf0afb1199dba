//! Whoever asked: collects what was paid for.

use async_trait::async_trait;
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::Market;
use gavel_trace::Digest;

use crate::availability::tend;
use crate::{Act, Address, Board, NodeError, Outputs, Party, Role, SignedReceipt};

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
        // whoever asked has the input
        tend(&self.party, board).await
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
    party.blobs.outputs(&committed, &model).await
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
    party.blobs.receipt(board, id).await
}
