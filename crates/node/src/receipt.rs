//! Receipts: signing one, and running again what one is about. What a receipt is and says by itself is `gavel-verifier`'s.

use gavel_engine::Engine;
use gavel_model::Model;
use gavel_settlement::alloy::signers::SignerSync as _;
use gavel_trace::{Digest, HexBytes};
use gavel_verifier::{ReceiptError, ReceiptFile, SignedReceipt};

use crate::board::Task;
use crate::protection::{Kind, about_task};
use crate::{ExecutorError, NodeError, Party, RunRecord};

/// Why a receipt could not be run again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is not about this model, or not about what lies beside it.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The model could not be run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// What a receipt comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Trace root of the run that was made again.
    pub trace_root: Digest,
    /// Its output digest.
    pub output_digest: Digest,
    /// Whether the provider signed for just that.
    pub holds: bool,
}

/// Runs the task of a receipt again.
///
/// # Errors
/// As [`ReceiptFile::tensors`], and a model that cannot be run.
pub fn replay_receipt(
    file: &ReceiptFile,
    engine: &Engine,
    model: &Model,
) -> Result<Replayed, ReplayError> {
    let (inputs, _) = file.tensors(model)?;
    let run = engine.run(model, &inputs).map_err(ExecutorError::from)?;
    let trace_root = run.trace.trace_root();
    Ok(Replayed {
        trace_root,
        output_digest: run.trace.output_digest(),
        holds: trace_root == file.receipt.trace_root,
    })
}

/// Signs what `party` has committed for a task, or is about to: the two say the same.
///
/// # Errors
/// It contradicts what this key has said of the attempt; the key does not sign.
pub(crate) async fn sign_receipt(
    party: &Party,
    task_id: u64,
    task: &Task,
    run: &RunRecord,
    now: u64,
) -> Result<SignedReceipt, NodeError> {
    let mut said = about_task(Kind::Result, task_id, task);
    said.value = run.trace.trace_root().0.into();
    party.protection.admit(&said, now).await?;
    let contracts = party.contracts();
    let mut receipt = SignedReceipt {
        chain_id: contracts.chain_id,
        market: HexBytes(contracts.market.to_vec()),
        task_id,
        attempt: task.attempt,
        class_id: task.class,
        model_id: run.model.model_id(),
        input_digest: run.trace.input_digest,
        output_digest: run.trace.output_digest(),
        trace_root: run.trace.trace_root(),
        steps: run.trace.steps(),
        provider: HexBytes(party.address().to_vec()),
        signature: HexBytes::default(),
    };
    let hash = receipt.signing_hash();
    let hash = hash.ok_or_else(|| NodeError::Sign("the market has no address".to_owned()))?;
    let signature = party.account.signer().sign_hash_sync(&hash.into());
    let signature = signature.map_err(|e| NodeError::Sign(e.to_string()))?;
    receipt.signature = HexBytes(signature.as_bytes().to_vec());
    Ok(receipt)
}
