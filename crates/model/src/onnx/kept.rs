//! Constants that an import made and further bindings of the same file need not make again: with large weights they are
//! nearly all of its cost. What is kept is what would be made, tensor for tensor, so that a binding is the same model
//! whether it was the first or not.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_numerics::Op;
use gavel_trace::Digest;

use super::proto::TensorProto;
use crate::{Constant, Hashing, ModelError, Weight};

/// Smaller constants are made anew.
const LEAST_BYTES: usize = 1024;

/// What makes a constant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Recipe {
    /// Initializer of the file's graph.
    Initializer(usize),
    /// Bytes of the file, by their address, as a tensor of this type.
    Raw(usize, usize, i32, Vec<i64>),
    /// An operator with its attributes on constants that are kept, by their addresses.
    Folded(u16, Vec<u64>, Vec<usize>),
}

impl Recipe {
    /// Of a tensor in a node, if its bytes lie in the file.
    pub(super) fn of_bytes(proto: &TensorProto, file: &[u8]) -> Option<Recipe> {
        let (raw, file) = (proto.raw_data.as_ptr_range(), file.as_ptr_range());
        let inside = file.start <= raw.start && raw.end <= file.end;
        let (at, len) = (raw.start.addr(), proto.raw_data.len());
        (inside && len >= LEAST_BYTES)
            .then(|| Recipe::Raw(at, len, proto.data_type, proto.dims.clone()))
    }

    fn folded(op: &Op, inputs: &[&Constant]) -> Recipe {
        let inputs = inputs.iter().map(|t| address(t)).collect();
        Recipe::Folded(op.id(), op.attributes(), inputs)
    }
}

/// Constants by what made them. The same recipe makes a tensor of its own, and so a weight of its own, as often as it is
/// used.
#[derive(Default)]
pub(super) struct Kept {
    made: HashMap<Recipe, Vec<Constant>>,
    /// Digest of a tensor in `made`, by its address; computed once the first binding uses it as a weight.
    digests: HashMap<usize, Option<Digest>>,
}

/// The constants of one import.
#[derive(Default)]
pub(super) struct Keeping {
    kept: Arc<Kept>,
    uses: HashMap<Recipe, usize>,
    /// What this import makes, where it is the first one.
    first: Option<Kept>,
}

impl Keeping {
    /// An import that takes what is kept.
    pub(super) fn of(kept: &Arc<Kept>) -> Keeping {
        Keeping {
            kept: Arc::clone(kept),
            ..Keeping::default()
        }
    }

    /// An import that keeps what it makes.
    pub(super) fn first() -> Keeping {
        Keeping {
            first: Some(Kept::default()),
            ..Keeping::default()
        }
    }

    /// The constant of this recipe.
    pub(super) fn get_or_make<E>(
        &mut self,
        recipe: impl FnOnce() -> Option<Recipe>,
        make: impl FnOnce() -> Result<Constant, E>,
    ) -> Result<Constant, E> {
        if self.first.is_none() && self.kept.made.is_empty() {
            return make();
        }
        let Some(recipe) = recipe() else {
            return make();
        };
        if let Some(first) = &mut self.first {
            let made = make()?;
            if made.byte_len() >= LEAST_BYTES {
                first.digests.insert(address(&made), None);
                first.made.entry(recipe).or_default().push(made.clone());
            }
            return Ok(made);
        }
        let uses = self.uses.entry(recipe.clone()).or_default();
        let at = std::mem::replace(uses, *uses + 1);
        match self.kept.made.get(&recipe).and_then(|made| made.get(at)) {
            Some(made) => Ok(made.clone()),
            None => make(),
        }
    }

    /// The recipe of an operator on constants, if all of them are kept: what depends on extents never is.
    pub(super) fn folded(&self, op: &Op, inputs: &[&Constant]) -> Option<Recipe> {
        let known = match &self.first {
            Some(first) => &first.digests,
            None => &self.kept.digests,
        };
        let all = inputs.iter().all(|t| known.contains_key(&address(t)));
        all.then(|| Recipe::folded(op, inputs))
    }

    /// What a first import made.
    pub(super) fn into_kept(self) -> Kept {
        self.first.unwrap_or_default()
    }
}

impl Kept {
    /// Digests of weights, those that are kept without a look at their bytes.
    pub(super) fn digests(&self, weights: &[Weight]) -> Result<Vec<Digest>, ModelError> {
        Hashing::quiet(|hashing| {
            let of = |w: &Weight| match self.digests.get(&address(&w.value)) {
                Some(Some(known)) => Ok(*known),
                _ => Ok(hashing.digests(std::iter::once(&w.value))?[0]),
            };
            weights.iter().map(of).collect()
        })
    }

    /// Remembers the digests of the first binding's weights.
    pub(super) fn remember<'a>(&mut self, weights: impl Iterator<Item = (&'a Weight, Digest)>) {
        for (weight, digest) in weights {
            if let Some(known) = self.digests.get_mut(&address(&weight.value)) {
                *known = Some(digest);
            }
        }
    }
}

/// Where a constant lies: that of a kept one is nobody else's as long as it is kept.
fn address(constant: &Constant) -> usize {
    constant.address().addr()
}
