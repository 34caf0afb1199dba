//! What can go wrong with a trace, in the caller's words.

/// Why a tree, an opening or a commitment was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A tree height above [`crate::MAX_HEIGHT`].
    #[error("tree height {0} is above the maximum of 32")]
    HeightTooLarge(u8),
    /// More leaves than the fixed height holds.
    #[error("{leaves} leaves do not fit a tree of height {height}")]
    TooManyLeaves {
        /// Leaves given.
        leaves: u64,
        /// Height of the tree.
        height: u8,
    },
    /// A node that the tree does not have.
    #[error("node {index} at height {at} is outside a tree of height {height}")]
    OutOfTree {
        /// Height above the leaves that was asked for.
        at: u8,
        /// Index among the nodes of that height.
        index: u64,
        /// Height of the tree.
        height: u8,
    },
    /// A row whose length is not a power of two between 1 and 16.
    #[error("a row has 1, 2, 4, 8 or 16 digests, not {0}")]
    RowLength(usize),
    /// A tensor whose byte length does not follow from its shape.
    #[error("tensor of {expected} bytes by its shape has {actual} bytes")]
    TensorBytes {
        /// Bytes that dtype and dims ask for; `u64::MAX` when they overflow.
        expected: u64,
        /// Bytes given.
        actual: u64,
    },
    /// A dtype byte that `spec/trace.md` does not list.
    #[error("unknown dtype {0}")]
    UnknownDType(u8),
    /// A tensor rank above 255.
    #[error("rank {0} does not fit the digest's rank byte")]
    Rank(usize),
    /// A digest that does not match its preimage or its opening.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was checked.
        what: &'static str,
        /// The digest that was committed to.
        expected: crate::Digest,
        /// The digest that the given bytes lead to.
        found: crate::Digest,
    },
    /// An opening whose number of siblings is not the tree's height.
    #[error("{what}: an opening in a tree of height {height} has {height} siblings, not {found}")]
    OpeningLength {
        /// What was opened.
        what: &'static str,
        /// Height of the tree.
        height: u8,
        /// Siblings given.
        found: usize,
    },
    /// An opening of another place than the one it is used for.
    #[error("{what}: opens index {found}, expected {expected}")]
    OpeningIndex {
        /// What was opened.
        what: &'static str,
        /// Index that the trace or the model demands.
        expected: u64,
        /// Index that the opening carries.
        found: u64,
    },
    /// A trace that claims more steps than the model allows, or none.
    #[error("{steps} steps: a trace of this model has 1 to {max_steps}")]
    Steps {
        /// Steps claimed.
        steps: u32,
        /// Steps that the model allows.
        max_steps: u32,
    },
    /// Facts that do not fit together.
    #[error("{0}")]
    Inconsistent(&'static str),
}
