//! Constants that are computed at import.

use std::cell::Cell;
use std::sync::Arc;

use gavel_numerics::kernels::{Isa, Sequential, eval};
use gavel_numerics::{NumericsError, Op, Tensor, TensorType};

use crate::Constant;

/// What may yet be computed at import: a file of a few bytes must not cost hours or gigabytes.
pub(super) struct Folding {
    work: u64,
    bytes: Cell<u64>,
}

impl Default for Folding {
    fn default() -> Folding {
        Folding {
            work: 1 << 30,
            bytes: Cell::new(256 << 20),
        }
    }
}

impl Folding {
    /// Takes so many bytes for a constant that a node brings; `false` where that is more than is left.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        let left = self.bytes.get().checked_sub(bytes);
        left.inspect(|&left| self.bytes.set(left)).is_some()
    }

    /// Takes what an operator on constants costs; `None` where that is more than is left, or refused.
    pub(super) fn admit(&mut self, op: &Op, types: &[&TensorType]) -> Option<()> {
        let output = op.infer_type(types).ok()?;
        let work = self.work.checked_sub(op.work(types, &output))?;
        if !self.takes(output.byte_len().ok()? as u64) {
            return None;
        }
        self.work = work;
        Some(())
    }
}

/// What an operator gives on constants.
pub(super) fn fold(op: &Op, inputs: &[&Constant]) -> Result<Tensor, NumericsError> {
    let inputs: Vec<Arc<Tensor>> = inputs.iter().map(|input| input.tensor()).collect();
    let inputs: Vec<&Tensor> = inputs.iter().map(Arc::as_ref).collect();
    let isa = Isa::from_env().unwrap_or(Isa::best());
    eval(isa, &Sequential, op, &inputs)
}
