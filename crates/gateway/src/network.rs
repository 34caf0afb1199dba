//! The network behind the gateway, as the gateway sees it: tasks are posted, come to results, and are final or not.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::Model;
use gavel_node::board::TaskState;
use gavel_node::{Address, B256, Outputs, ReceiptFile, SignedReceipt};
use gavel_numerics::Tensor;
use gavel_settlement::WalletVerdict;
use gavel_trace::Digest;
use tokio::sync::watch;

/// What is asked of the network.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Model to run.
    pub model: Digest,
    /// The family that it is a binding of, where it is served as one.
    pub family: Option<Digest>,
    /// Inputs, in the model's order.
    pub inputs: Vec<Tensor>,
    /// Seed of the task.
    pub seed: u64,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// State on the chain.
    pub state: TaskState,
    /// Attempt, from 0.
    pub attempt: u8,
    /// Model that runs.
    pub model: Digest,
    /// Who claimed it.
    pub provider: Option<Address>,
    /// Price of the claim.
    pub price: u128,
    /// What is paid for audits on top of it.
    pub levy: u128,
    /// Whether a result is committed.
    pub has_result: bool,
    /// Last second at which the result may be challenged.
    pub challenge_until: Option<u64>,
}

/// A result that is what was committed, with what its provider signed about it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Outputs.
    pub outputs: Outputs,
    /// The provider's statement.
    pub receipt: SignedReceipt,
}

/// Why nothing was posted or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The market or its registry refuses the task.
    #[error("{0}")]
    Refused(String),
    /// The chain or the blobs cannot be asked: nothing was posted.
    #[error("{0}")]
    Unreachable(String),
    /// It was sent, and may yet be posted.
    #[error("{0}")]
    Doubtful(String),
}

/// A network of providers.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Posts a task and gives its number.
    async fn post(&self, wanted: &Wanted) -> Result<u64, NetworkError>;

    /// What was posted until now is remembered: an equal task that is posted later is another one.
    async fn heard(&self);

    /// Where a task stands, as far as this process has seen the chain.
    fn task(&self, id: u64) -> Option<TaskView>;

    /// Tasks of this requester with these inputs and seed: among them one that was posted just before a crash.
    fn posted(&self, input_digest: &Digest, seed: u64) -> Vec<u64>;

    /// The checked result of a task's current attempt; `None` while there is none, or no receipt of it.
    async fn answer(&self, id: u64) -> Result<Option<Answer>, NetworkError>;

    /// The receipt with all that it is about: what `gavel verify` takes.
    async fn receipt_file(&self, id: u64) -> Result<Option<ReceiptFile>, NetworkError>;

    /// Number of the block at which tasks are seen where they stand.
    fn block(&self) -> u64;

    /// Number of the newest block that was seen; changes whenever something may have.
    fn head(&self) -> watch::Receiver<u64>;

    /// A model that this gateway has.
    fn model(&self, id: &Digest) -> Option<Arc<Model>>;

    /// What is offered for a task.
    fn prices(&self) -> Prices;

    /// What signed requests are for.
    fn identity(&self) -> Identity;

    /// What a contract says of a signature of a hash (ERC-1271).
    async fn wallet_says(
        &self,
        wallet: Address,
        hash: B256,
        signature: &[u8],
    ) -> Result<WalletVerdict, NetworkError>;
}

/// Which gateway of which network: what a signed request binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// EVM chain id.
    pub chain_id: u64,
    /// Address of the market.
    pub market: Address,
    /// The account that posts tasks.
    pub gateway: Address,
}

/// What is offered for a task, in units of the asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Price at which the auction starts.
    pub min: u128,
    /// Price at which it ends.
    pub max: u128,
    /// What is paid for audits on top, whatever the price.
    pub levy: u128,
}

impl Prices {
    /// The most that a task costs: what goes into escrow.
    pub fn ceiling(&self) -> u128 {
        self.max.saturating_add(self.levy)
    }
}
