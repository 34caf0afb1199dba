//! Why a run did not happen.

use gavel_numerics::kernels::IsaError;

/// Why an engine could not be made or a model could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The instruction set asked for is unknown or absent.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// The operating system refused the threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What it said.
        source: std::io::Error,
    },
    /// An input that the model does not have.
    #[error("the model has no input {name:?}; its inputs are {expected}")]
    UnknownInput {
        /// Name given.
        name: String,
        /// The model's inputs, listed.
        expected: String,
    },
    /// An input given twice.
    #[error("input {name:?} is given twice")]
    DuplicateInput {
        /// Its name.
        name: String,
    },
    /// An input that was not given.
    #[error("input {name:?} is missing: expected {expected}")]
    MissingInput {
        /// Its name.
        name: String,
        /// Element type and shape of the model's input.
        expected: String,
    },
    /// More or fewer tensors than the model has inputs.
    #[error("the model has {expected} inputs, {found} were given")]
    InputCount {
        /// Inputs of the model.
        expected: usize,
        /// Tensors given.
        found: usize,
    },
    /// A tensor of another type or shape than the model's input.
    #[error("input {name:?}: expected {expected}, found {found}")]
    InputMismatch {
        /// Its name.
        name: String,
        /// Element type and shape of the model's input.
        expected: String,
        /// Element type and shape given.
        found: String,
    },
    /// A run that would hold more than the engine's bound.
    #[error("running node {node:?} would hold {needed} bytes of tensors; the bound is {bound}")]
    Memory {
        /// Name of the node.
        node: String,
        /// Bytes that would be held.
        needed: u64,
        /// The bound ([`crate::EngineOptions::max_tensor_bytes`]).
        bound: u64,
    },
    /// An operator refused its operands.
    #[error("node {node:?}: {source}")]
    Node {
        /// Name of the node.
        node: String,
        /// What the operator said.
        source: gavel_numerics::NumericsError,
    },
    /// A model whose parts contradict each other.
    #[error("malformed model: {0}")]
    Model(String),
    /// A number of steps, or a step counted so far, that no run of the model has.
    #[error("{steps} steps: a run of the model has 1 to {max_steps}")]
    Steps {
        /// Steps asked for.
        steps: u32,
        /// Most steps of a run.
        max_steps: u32,
    },
    /// A segment that the model does not have.
    #[error("segment {segment}: the model has {segments} segments")]
    Segment {
        /// Segment asked for.
        segment: usize,
        /// Segments of the model.
        segments: usize,
    },
    /// More or fewer tensors than are live before a segment.
    #[error("{expected} tensors are live before segment {segment}, {found} were given")]
    LiveCount {
        /// The segment.
        segment: usize,
        /// Live before it.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// A tensor of another type than the one live before a segment.
    #[error("a tensor live before segment {segment}: expected {expected}, found {found}")]
    LiveMismatch {
        /// The segment.
        segment: usize,
        /// By the model.
        expected: String,
        /// Given.
        found: String,
    },
    /// An observer changed the type or shape of an output.
    #[error("node {node:?}: the observer changed the output from {expected} to {found}")]
    Observer {
        /// Name of the node.
        node: String,
        /// What the operator produced.
        expected: String,
        /// What the observer left.
        found: String,
    },
    /// A trace that cannot be built.
    #[error(transparent)]
    Trace(#[from] gavel_trace::TraceError),
}
