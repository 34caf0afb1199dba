//! Why a role could not do its work.

/// Why a role could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A trace that contradicts itself.
    #[error(transparent)]
    Trace(#[from] gavel_trace::TraceError),
}
