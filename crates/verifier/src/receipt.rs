//! Receipts: what a provider signs about a result, for its requester to keep.
//!
//! A receipt binds the provider's key to (task, model, input, output, trace). Whoever has it, the inputs and the model can
//! run the task again and show anybody that the provider signed for something else (`spec/protocol.md`, "Receipts").

use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::{Digest, HexBytes, TraceError, live_root};
use serde::{Deserialize, Serialize};

use crate::{Outputs, ShownTensor, StoredOutput, digest, eip712};

/// Version of the file format that this crate writes and reads.
pub const RECEIPT_FORMAT: u32 = 2;

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
    /// Its signature: EIP-712, 65 bytes, `s` in the lower half of the group's order.
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
    /// More tensors than the model's trees have leaves for.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl SignedReceipt {
    /// What is signed: the EIP-712 digest. `None` where the market is no address.
    pub fn signing_hash(&self) -> Option<[u8; 32]> {
        let market = self.market.0.as_slice().try_into().ok()?;
        let domain = eip712::domain(self.chain_id, market);
        let receipt = eip712::Struct::of(
            "Receipt(uint256 taskId,uint8 attempt,bytes32 classId,bytes32 modelId,bytes32 inputDigest,bytes32 outputDigest,bytes32 traceRoot,uint32 steps)",
        )
        .number(self.task_id)
        .number(self.attempt.into())
        .word(&self.class_id.0)
        .word(&self.model_id.0)
        .word(&self.input_digest.0)
        .word(&self.output_digest.0)
        .word(&self.trace_root.0)
        .number(self.steps.into());
        Some(eip712::signing_hash(&domain, &receipt))
    }

    /// The address that signed it; `None` where the signature is none.
    pub fn signer(&self) -> Option<[u8; 20]> {
        eip712::recover(&self.signing_hash()?, &self.signature.0).ok()
    }

    /// Whether the provider that it names has signed it.
    ///
    /// # Errors
    /// It has not.
    pub fn check(&self) -> Result<(), ReceiptError> {
        match self.signer() {
            Some(signer) if signer.as_slice() == self.provider.0 => Ok(()),
            _ => Err(ReceiptError::Signature {
                provider: self.provider.to_string(),
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
    pub(crate) inputs: Vec<ShownTensor>,
    pub(crate) outputs: Vec<StoredOutput>,
}

impl ReceiptFile {
    /// A receipt with the inputs and outputs that it is about.
    pub fn new(receipt: SignedReceipt, inputs: &[Tensor], outputs: &Outputs) -> ReceiptFile {
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
        let read = ReceiptFile::read(file)?;
        read.receipt.check()?;
        Ok(read)
    }

    /// Reads a file; nothing is checked.
    pub(crate) fn read(file: &[u8]) -> Result<ReceiptFile, ReceiptError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(file)?;
        if format != RECEIPT_FORMAT {
            return Err(ReceiptError::Format { found: format });
        }
        Ok(serde_json::from_slice(file)?)
    }

    /// The inputs and the outputs, checked against the receipt.
    ///
    /// # Errors
    /// Another model, or tensors that the receipt is not about.
    pub fn tensors(&self, model: &Model) -> Result<(Vec<Tensor>, Outputs), ReceiptError> {
        let receipt = &self.receipt;
        let check = |what, expected, found| match expected == found {
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
        let digests: Vec<Digest> = inputs.iter().map(digest).collect();
        let found = live_root(model.header().live_height, &digests)?;
        check("inputs", receipt.input_digest, found)?;
        let outputs = Outputs::read(self.outputs.clone(), model);
        let outputs = outputs.ok_or(ReceiptError::Types("outputs"))?;
        let found = live_root(model.header().live_height, &outputs.digests())?;
        check("outputs", receipt.output_digest, found)?;
        Ok((inputs, outputs))
    }
}
