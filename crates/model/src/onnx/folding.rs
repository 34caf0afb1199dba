//! Constants that are computed at import.

use gavel_numerics::kernels::{Isa, Sequential, eval};
use gavel_numerics::{Op, Tensor, TensorType};

/// What may yet be computed at import: a file of a few bytes must not cost hours or gigabytes.
pub(super) struct Folding {
    work: u64,
    bytes: u64,
}

impl Default for Folding {
    fn default() -> Folding {
        Folding {
            work: 1 << 30,
            bytes: 256 << 20,
        }
    }
}

impl Folding {
    /// What an operator gives on constants; `None` where that is more than is left, or refused.
    pub(super) fn fold(
        &mut self,
        op: &Op,
        inputs: &[&Tensor],
        types: &[&TensorType],
    ) -> Option<Tensor> {
        let output = op.infer_type(types).ok()?;
        let work = self.work.checked_sub(op.work(types, &output))?;
        let bytes = self.bytes.checked_sub(output.byte_len().ok()? as u64)?;
        (self.work, self.bytes) = (work, bytes);
        let isa = Isa::from_env().unwrap_or(Isa::best());
        eval(isa, &Sequential, op, inputs).ok()
    }
}
