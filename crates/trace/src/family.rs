//! Families: the bindings of a model with open dimensions, under one identity (`spec/model.md`, "Families").

use crate::{Digest, MerkleTree, ModelLeaf, Tag, TraceError, height, model_leaf, sha::tagged};

/// `H(0x08 || 5 || index:u32 || model_id)`: the leaf of a binding.
pub fn binding_leaf(index: u32, model_id: &Digest) -> Digest {
    model_leaf(
        ModelLeaf::Binding,
        &[&index.to_be_bytes()[..], &model_id.0].concat(),
    )
}

/// The tree over the bindings' identities, of height `height(number of bindings)`.
///
/// # Errors
/// More bindings than a tree has leaves.
pub fn bindings_tree(model_ids: &[Digest]) -> Result<MerkleTree, TraceError> {
    let leaves = (0..).zip(model_ids).map(|(i, id)| binding_leaf(i, id));
    MerkleTree::new(height(model_ids.len() as u64), leaves.collect())
}

/// What the identity of a family is the hash of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FamilyHeader {
    /// Number of bindings.
    pub count: u32,
    /// Root over them.
    pub bindings_root: Digest,
    /// Canonical bytes of the domain: open to readers, opaque to contracts.
    pub domain: Vec<u8>,
}

impl FamilyHeader {
    /// `H(0x09 || count:u32 || bindings_root || domain)`.
    pub fn family_id(&self) -> Digest {
        tagged(
            Tag::Family,
            &[
                &self.count.to_be_bytes(),
                &self.bindings_root.0,
                &self.domain,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_no_binding_stands_for_another() {
        let ids: Vec<Digest> = (1..=5).map(|i| Digest([i; 32])).collect();
        let tree = bindings_tree(&ids).unwrap();
        for (i, id) in (0..).zip(&ids) {
            let opening = tree.open(i).unwrap();
            let holds = |at: u32, id: &Digest| {
                opening.verify(tree.height(), &binding_leaf(at, id), &tree.root())
            };
            assert!(holds(i as u32, id));
            assert!(!holds(i as u32 ^ 1, id));
            assert!(!holds(i as u32, &ids[(i as usize + 1) % 5]));
        }
        let base = FamilyHeader {
            count: 5,
            bindings_root: tree.root(),
            domain: b"domain".to_vec(),
        };
        let mut other = [base.clone(), base.clone(), base.clone()];
        other[0].count = 6;
        other[1].bindings_root = bindings_tree(&ids[..4]).unwrap().root();
        other[2].domain.push(0);
        for other in other {
            assert_ne!(other.family_id(), base.family_id());
        }
    }
}
