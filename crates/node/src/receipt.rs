//! Receipts: what a provider signs about a result, for its requester to keep.
//!
//! A receipt binds the provider's key to (task, model, input, output, trace). Whoever has it, the inputs and the model can
//! run the task again and show anybody that the provider signed for something else (`spec/protocol.md`, "Receipts").

use gavel_engine::Engine;
use gavel_model::Model;
use gavel_settlement::alloy::primitives::{Signature, U256};
use gavel_settlement::alloy::signers::SignerSync as _;
use gavel_settlement::alloy::sol_types::{Eip712Domain, SolStruct as _, eip712_domain, sol};
use gavel_trace::{Digest, HexBytes, live_root};
use serde::{Deserialize, Serialize};

use crate::blobs::StoredOutput;
use crate::board::Task;
use crate::protection::{Kind, about_task};
use crate::{
    Address, ExecutorError, NodeError, Outputs, Party, RunRecord, ShownTensor, input_digest,
};

/// Version of the file format that this crate writes and reads.
pub const RECEIPT_FORMAT: u32 = 2;

sol! {
    #![sol(alloy_sol_types = gavel_settlement::alloy::sol_types)]

    /// What is signed.
    struct Receipt {
        uint256 taskId;
        uint8 attempt;
        bytes32 classId;
        bytes32 modelId;
        bytes32 inputDigest;
        bytes32 outputDigest;
        bytes32 traceRoot;
        uint32 steps;
    }
}

/// A provider's statement about one result, with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReceipt {
    /// EVM chain id.
    pub chain_id: u64,
    /// Address of the market.
    pub market: HexBytes,
    /// Task id.
    pub task_id: u64,
    /// Attempt, from 0.
    pub attempt: u8,
    /// The family that was asked for, or the model itself.
    pub class_id: Digest,
    /// The model that was run.
    pub model_id: Digest,
    /// Live root of the graph inputs.
    pub input_digest: Digest,
    /// Live root of the graph outputs of the last step.
    pub output_digest: Digest,
    /// What was committed.
    pub trace_root: Digest,
    /// Steps of the run.
    pub steps: u32,
    /// Address of the provider.
    pub provider: HexBytes,
    /// Its signature: EIP-712, 65 bytes.
    pub signature: HexBytes,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not JSON, or not this shape.
    #[error("not a receipt: {0}")]
    Json(#[from] serde_json::Error),
    /// A format version that this crate does not know.
    #[error("receipt format {found}: this reader knows format {RECEIPT_FORMAT}")]
    Format {
        /// Version in the file.
        found: u32,
    },
    /// Not signed by the provider that it names.
    #[error("the signature is not that of provider {provider}")]
    Signature {
        /// The provider in the file.
        provider: String,
    },
    /// Something beside the receipt that it is not about.
    #[error("the {what} in the file have digest {found}, the receipt is about {expected}")]
    Digest {
        /// Inputs or outputs.
        what: &'static str,
        /// In the receipt.
        expected: Digest,
        /// Of the tensors.
        found: Digest,
    },
    /// A model that the receipt is not about.
    #[error("the receipt is about model {expected}, this is {found}")]
    Model {
        /// In the receipt.
        expected: Digest,
        /// The model given.
        found: Digest,
    },
    /// Inputs or outputs that are not those of the model.
    #[error("the {0} in the file do not have the model's types")]
    Types(&'static str),
    /// The model could not be run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

impl SignedReceipt {
    fn signed(&self) -> Option<(Receipt, Eip712Domain)> {
        let receipt = Receipt {
            taskId: U256::from(self.task_id),
            attempt: self.attempt,
            classId: self.class_id.0.into(),
            modelId: self.model_id.0.into(),
            inputDigest: self.input_digest.0.into(),
            outputDigest: self.output_digest.0.into(),
            traceRoot: self.trace_root.0.into(),
            steps: self.steps,
        };
        let domain = eip712_domain! {
            name: "Gavel",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: Address::try_from(self.market.0.as_slice()).ok()?,
        };
        Some((receipt, domain))
    }

    /// Signs what `party` has committed for a task, or is about to: the two say the same.
    ///
    /// # Errors
    /// It contradicts what this key has said of the attempt; the key does not sign.
    pub(crate) async fn sign(
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
        let (signed, domain) = (receipt.signed())
            .ok_or_else(|| NodeError::Sign("the market has no address".to_owned()))?;
        let hash = signed.eip712_signing_hash(&domain);
        let signature = party.account.signer().sign_hash_sync(&hash);
        let signature = signature.map_err(|e| NodeError::Sign(e.to_string()))?;
        receipt.signature = HexBytes(signature.as_bytes().to_vec());
        Ok(receipt)
    }

    /// Whether the provider that it names has signed it.
    ///
    /// # Errors
    /// It has not.
    pub fn check(&self) -> Result<(), ReceiptError> {
        let by = || {
            let (signed, domain) = self.signed()?;
            let signature = Signature::from_raw(&self.signature.0).ok()?;
            let hash = signed.eip712_signing_hash(&domain);
            signature.recover_address_from_prehash(&hash).ok()
        };
        match by() {
            Some(signer) if signer.as_slice() == self.provider.0 => Ok(()),
            _ => Err(ReceiptError::Signature {
                provider: Address::try_from(self.provider.0.as_slice())
                    .map_or_else(|_| "unknown".to_owned(), |a| a.to_string()),
            }),
        }
    }
}

/// A receipt with what it is about: all that a requester keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// [`RECEIPT_FORMAT`].
    pub format: u32,
    /// The statement.
    pub receipt: SignedReceipt,
    inputs: Vec<ShownTensor>,
    outputs: Vec<StoredOutput>,
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

impl ReceiptFile {
    /// A receipt with the inputs and outputs that it is about.
    pub fn new(
        receipt: SignedReceipt,
        inputs: &[gavel_numerics::Tensor],
        outputs: &Outputs,
    ) -> ReceiptFile {
        ReceiptFile {
            format: RECEIPT_FORMAT,
            receipt,
            inputs: inputs.iter().map(ShownTensor::trimmed).collect(),
            outputs: outputs.stored(),
        }
    }

    /// Reads a file; the signature is checked.
    ///
    /// # Errors
    /// No receipt, or one that the provider has not signed.
    pub fn parse(file: &[u8]) -> Result<ReceiptFile, ReceiptError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(file)?;
        if format != RECEIPT_FORMAT {
            return Err(ReceiptError::Format { found: format });
        }
        let read: ReceiptFile = serde_json::from_slice(file)?;
        read.receipt.check()?;
        Ok(read)
    }

    /// The inputs and the outputs, checked against the receipt.
    ///
    /// # Errors
    /// Another model, or tensors that the receipt is not about.
    pub fn tensors(
        &self,
        model: &Model,
    ) -> Result<(Vec<gavel_numerics::Tensor>, Outputs), ReceiptError> {
        let receipt = &self.receipt;
        let digest = |what, expected, found| match expected == found {
            true => Ok(()),
            false => Err(ReceiptError::Digest {
                what,
                expected,
                found,
            }),
        };
        if model.model_id() != receipt.model_id {
            return Err(ReceiptError::Model {
                expected: receipt.model_id,
                found: model.model_id(),
            });
        }
        let types = model.graph().inputs.iter().map(|(_, ty)| ty);
        let inputs = ShownTensor::tensors(&self.inputs, types);
        let inputs = inputs.ok_or(ReceiptError::Types("inputs"))?;
        let found = input_digest(model, &inputs)?;
        digest("inputs", receipt.input_digest, found)?;
        let outputs = Outputs::read(self.outputs.clone(), model);
        let outputs = outputs.ok_or(ReceiptError::Types("outputs"))?;
        let found = live_root(model.header().live_height, &outputs.digests());
        let found = found.map_err(ExecutorError::from)?;
        digest("outputs", receipt.output_digest, found)?;
        Ok((inputs, outputs))
    }

    /// Runs the task again.
    ///
    /// # Errors
    /// As [`ReceiptFile::tensors`], and a model that cannot be run.
    pub fn replay(&self, engine: &Engine, model: &Model) -> Result<Replayed, ReceiptError> {
        let (inputs, _) = self.tensors(model)?;
        let run = engine.run(model, &inputs).map_err(ExecutorError::from)?;
        let trace_root = run.trace.trace_root();
        Ok(Replayed {
            trace_root,
            output_digest: run.trace.output_digest(),
            holds: trace_root == self.receipt.trace_root,
        })
    }
}
