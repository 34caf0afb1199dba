//! What can be wrong with shapes, tensors and programs.

use crate::{DType, TensorType};

/// Why an operator cannot be applied or a program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumericsError {
    /// More axes than any operator takes.
    #[error("rank {rank} is above the limit of {max}")]
    Rank {
        /// Found.
        rank: usize,
        /// Allowed.
        max: usize,
    },
    /// Too many elements.
    #[error("a tensor of extents {dims:?} has more than {max} elements")]
    TooLarge {
        /// Its extents.
        dims: Vec<u64>,
        /// Allowed.
        max: u64,
    },
    /// A tensor's extents and its number of elements (or bytes) disagree.
    #[error("{ty} takes {expected} values, found {found}")]
    Length {
        /// Its type.
        ty: TensorType,
        /// By its extents.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// A byte of a bool tensor that is neither 0 nor 1.
    #[error("a bool is 0 or 1, found {found}")]
    NotBool {
        /// The byte.
        found: u8,
    },
    /// Wrong number of inputs.
    #[error("{op} takes {expected} inputs, found {found}")]
    Arity {
        /// Operator.
        op: &'static str,
        /// What it takes, in words.
        expected: &'static str,
        /// Given.
        found: usize,
    },
    /// An input of the wrong element type.
    #[error("{op}: input {input} must be {expected:?}, found {found:?}")]
    InputType {
        /// Operator.
        op: &'static str,
        /// Position.
        input: usize,
        /// Required.
        expected: DType,
        /// Given.
        found: DType,
    },
    /// Shapes or attributes that do not fit together.
    #[error("{op}: {reason}")]
    Shape {
        /// Operator.
        op: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// A program that is not well formed.
    #[error("malformed program at instruction {at}: {reason}")]
    Malformed {
        /// Instruction number.
        at: usize,
        /// Why.
        reason: String,
    },
    /// A program that went wrong on these inputs.
    #[error("program fault at instruction {at}: {reason}")]
    Fault {
        /// Instruction number.
        at: usize,
        /// Why.
        reason: String,
    },
}
