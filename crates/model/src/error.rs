//! Why a file is no model, or a graph no DAG.

use gavel_numerics::NumericsError;
use gavel_trace::TraceError;

/// What is wrong with a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes are not an ONNX protobuf.
    #[error("not an ONNX file: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The file as a whole.
    #[error("{0}")]
    File(String),
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A node of the file.
    #[error("node {node} ({op}): {reason}")]
    Node {
        /// Its name, or its place where it has none.
        node: String,
        /// Its operator.
        op: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A shape that depends on an input's value, which is not given ([`crate::onnx::ImportOptions::values`]).
    #[error(
        "node {node}: {what} must be a constant; input {input:?} {ty} has no value before the run"
    )]
    Unbound {
        /// The node.
        node: String,
        /// What must be known.
        what: String,
        /// The input that it is.
        input: String,
        /// Its type.
        ty: gavel_numerics::TensorType,
    },
    /// An operator that is not in `numerics v1`.
    #[error("node {node}: operator {op} is not supported (supported: {supported})")]
    Unsupported {
        /// The node.
        node: String,
        /// The operator, with its domain where it has one.
        op: String,
        /// What is.
        supported: &'static str,
    },
    /// An initializer.
    #[error("tensor {name}: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// What a language model's file says about its extents and numbers.
    #[error("configuration, {field}: {reason}")]
    Config {
        /// The field, or the key of the file.
        field: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A binding of a family.
    #[error("with {extents}: {source}")]
    Binding {
        /// Its extents.
        extents: String,
        /// Why it is none.
        source: Box<ModelError>,
    },
    /// An input, output or open dimension of the graph.
    #[error("graph {what} {name}: {reason}")]
    Boundary {
        /// `input`, `output` or `dimension`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A graph that is not a canonical DAG.
    #[error("node {node}: {reason}")]
    Graph {
        /// Its number.
        node: usize,
        /// What is wrong.
        reason: String,
    },
    /// A shape program refused.
    #[error("node {node}: {source}")]
    Shape {
        /// Its number and name.
        node: String,
        /// Why.
        source: NumericsError,
    },
    /// A tree or header.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A picture that cannot become an input.
    #[error("picture: {0}")]
    Picture(String),
}
