//! Why a world could not be run.

use gavel_node::{ExecutorError, NodeError};
use gavel_settlement::chain::ChainError;
use gavel_settlement::{SendError, deploy::DeployError};

/// Why a world could not be run. What the parties in it do wrong is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The contracts could not be deployed.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The chain refused something of the set-up.
    #[error("setting up the world: {0}")]
    Send(#[from] SendError),
    /// The embedded chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A contract did not answer a question.
    #[error("asking a contract: {0}")]
    View(String),
    /// A party could not take its place.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A task could not be posted.
    #[error(transparent)]
    Order(#[from] gavel_node::roles::OrderError),
    /// The model cannot be run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The engine cannot be made.
    #[error(transparent)]
    Engine(#[from] gavel_engine::EngineError),
    /// A shipped model or picture cannot be used.
    #[error(transparent)]
    Model(#[from] gavel_model::ModelError),
    /// An operator does not take these operands.
    #[error(transparent)]
    Numerics(#[from] gavel_numerics::NumericsError),
    /// The appeal that was to be measured did not come about.
    #[error("no appeal about {0} was played to a step")]
    Unplayed(String),
    /// The deployment file.
    #[error(transparent)]
    Deployment(#[from] gavel_settlement::deployment::DeploymentError),
    /// A folder that already holds a chain.
    #[error("{0} holds a chain already: name a folder that is empty or does not exist")]
    Used(String),
    /// The runtime of a world.
    #[error("starting the world's runtime: {0}")]
    Runtime(#[from] std::io::Error),
}
