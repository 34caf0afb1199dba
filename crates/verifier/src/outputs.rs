//! A result's outputs, as they are handed out.

use gavel_model::Model;
use gavel_numerics::Tensor;
use gavel_trace::Digest;
use serde::{Deserialize, Serialize};

use crate::{ShownTensor, digest};

/// A result's outputs as they are handed out: what people read, and of what only a later run would read the digests.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// The first outputs.
    pub tensors: Vec<Tensor>,
    /// Tensor digests of the others.
    pub rest: Vec<Digest>,
}

impl Outputs {
    /// Tensor digests of all of them.
    pub fn digests(&self) -> Vec<Digest> {
        let shown = self.tensors.iter().map(digest);
        shown.chain(self.rest.iter().copied()).collect()
    }

    /// As they are stored.
    pub fn stored(&self) -> Vec<StoredOutput> {
        let whole = |tensor| StoredOutput::Whole(ShownTensor::trimmed(tensor));
        let digest = |&digest: &Digest| StoredOutput::Digest { digest };
        let shown = self.tensors.iter().map(whole);
        shown.chain(self.rest.iter().map(digest)).collect()
    }

    /// From how they are stored; `None` where the tensors are not the model's first outputs.
    pub fn read(stored: Vec<StoredOutput>, model: &Model) -> Option<Outputs> {
        let (mut shown, mut rest) = (Vec::new(), Vec::new());
        for output in stored {
            match output {
                StoredOutput::Whole(tensor) if rest.is_empty() => shown.push(tensor),
                StoredOutput::Whole(_) => return None,
                StoredOutput::Digest { digest } => rest.push(digest),
            }
        }
        let outputs = model.graph().outputs.iter();
        let types = outputs.filter_map(|(_, source)| model.type_of(*source));
        let tensors = ShownTensor::tensors(&shown, types)?;
        Some(Outputs { tensors, rest })
    }
}

/// One output as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredOutput {
    /// The tensor.
    Whole(ShownTensor),
    /// Its digest alone.
    Digest {
        /// The digest.
        digest: Digest,
    },
}
