//! The salted tree by which an auditor shows that it held tensor contents, not copied digests.

use crate::{
    CHUNK_BYTES, Digest, MerkleTree, Tag, TraceError, sha::tagged, tensor::root_of_leaves,
};

/// What an auditor's chunk leaves are salted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSalt {
    /// The auditor's address.
    pub auditor: [u8; 20],
    /// The task's id as a big-endian u256.
    pub task: [u8; 32],
}

impl AuditSalt {
    /// A salt for a task id that fits 64 bits, as ids of this protocol do.
    pub fn new(auditor: [u8; 20], task: u64) -> Self {
        let mut id = [0; 32];
        id[24..].copy_from_slice(&task.to_be_bytes());
        AuditSalt { auditor, task: id }
    }

    /// `H(0x07 || auditor || task || chunk)`.
    pub fn leaf(&self, chunk: &[u8]) -> Digest {
        tagged(Tag::AuditChunk, &[&self.auditor, &self.task, chunk])
    }

    /// Root of a tensor's salted chunk tree, which has the height of its chunk tree.
    pub fn tensor_root(&self, bytes: &[u8]) -> Digest {
        root_of_leaves(bytes.chunks(CHUNK_BYTES).map(|chunk| self.leaf(chunk)))
    }

    /// A tensor's salted chunk tree, for openings.
    pub fn tensor_tree(&self, bytes: &[u8]) -> Result<MerkleTree, TraceError> {
        MerkleTree::of(
            bytes
                .chunks(CHUNK_BYTES)
                .map(|chunk| self.leaf(chunk))
                .collect(),
        )
    }

    /// The tree of height `live_height` over the salted roots of the live tensors' bytes.
    pub fn live_tree(&self, live_height: u8, live: &[&[u8]]) -> Result<MerkleTree, TraceError> {
        MerkleTree::new(
            live_height,
            live.iter().map(|bytes| self.tensor_root(bytes)).collect(),
        )
    }
}

/// `H(0x0a || salt)`: a level-1 leaf that is wrong on purpose, and that no run has.
pub fn trap_leaf(salt: &[u8; 32]) -> Digest {
    tagged(Tag::Trap, &[salt])
}

/// The salted root of one commit point: what an auditor commits to.
pub fn salted_root(
    salt: &AuditSalt,
    live_height: u8,
    live: &[&[u8]],
) -> Result<Digest, TraceError> {
    Ok(salt.live_tree(live_height, live)?.root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_binds_auditor_task_and_content() {
        let (a, b) = (vec![1u8; 3000], vec![2u8; 10]);
        let salt = AuditSalt::new([7; 20], 3);
        let root = salted_root(&salt, 2, &[&a, &b]).unwrap();
        for other in [AuditSalt::new([8; 20], 3), AuditSalt::new([7; 20], 4)] {
            assert_ne!(salted_root(&other, 2, &[&a, &b]).unwrap(), root);
        }
        assert_ne!(salted_root(&salt, 2, &[&b, &a]).unwrap(), root);
        assert!(salted_root(&salt, 0, &[&a, &b]).is_err());
        let tree = salt.tensor_tree(&a).unwrap();
        assert_eq!(tree.root(), salt.tensor_root(&a));
        assert!(
            tree.open(2)
                .unwrap()
                .verify(2, &salt.leaf(&a[2048..]), &tree.root())
        );
    }
}
