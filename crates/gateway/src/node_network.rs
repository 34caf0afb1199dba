//! The network of a node: a requester's key, one mirror of the chain, many tasks.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::Model;
use gavel_model::family::Family;
use gavel_node::roles::{self, Order, OrderError, outputs_of, receipt_of};
use gavel_node::{Address, B256, Board, NodeError, Party, ReceiptFile};
use gavel_settlement::alloy::providers::Provider as _;
use gavel_settlement::{SendError, WalletVerdict, wallet_says};
use gavel_trace::Digest;
use tokio::sync::watch;

use crate::network::{Answer, Identity, Network, NetworkError, Prices, TaskView, Wanted};

/// Looks at the chain while a binding is introduced: its header and its place, which others may be about to send too.
const INTRODUCTIONS: u32 = 5;

/// What is offered for a task.
#[derive(Clone, Copy, Debug)]
pub struct Auction {
    /// Price at which it starts, in units of the asset.
    pub min_price: u128,
    /// Price at which it ends.
    pub max_price: u128,
    /// Seconds that the price takes to rise.
    pub ramp_seconds: u32,
    /// Seconds from claim to deadline; see [`Order::exec_seconds`].
    pub exec_seconds: Option<u32>,
}

/// A requester of a network. Whoever reads the chain tells it by [`NodeNetwork::see`].
pub struct NodeNetwork {
    party: Party,
    auction: Auction,
    families: Vec<Arc<Family>>,
    board: watch::Sender<Arc<Board>>,
    head: watch::Sender<u64>,
}

impl NodeNetwork {
    /// A requester that offers this, and has these families.
    pub fn new(
        party: Party,
        auction: Auction,
        families: Vec<Arc<Family>>,
        board: &Board,
    ) -> NodeNetwork {
        NodeNetwork {
            party,
            auction,
            families,
            board: watch::Sender::new(Arc::new(board.clone())),
            head: watch::Sender::new(board.head.number),
        }
    }

    /// Takes what was read of the chain.
    pub fn see(&self, board: &Board) {
        let seen = self.board.borrow().head;
        if seen.hash != board.head.hash || seen.time != board.head.time {
            self.board.send_replace(Arc::new(board.clone()));
        }
        self.head.send_if_modified(|head| {
            let is_new = *head != board.head.number;
            *head = board.head.number;
            is_new
        });
    }

    fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board.borrow())
    }

    /// Registers a binding and shows that it is one, where nobody has yet.
    async fn introduce(&self, family: &Family, model: &Digest) -> Result<(), NetworkError> {
        let mut boards = self.board.subscribe();
        let refused = || NetworkError::Refused(format!("model {model} is not of its family"));
        let index = family.index_of(model).ok_or_else(refused)?;
        for _ in 0..INTRODUCTIONS {
            let board = Arc::clone(&boards.borrow_and_update());
            if board.models.contains_key(model) && board.is_binding(&family.id(), model) {
                return Ok(());
            }
            let act = roles::introduce(&self.party, &board, family, index).await;
            act.map_err(unreachable)?;
            boards.changed().await.map_err(unreachable)?;
        }
        Err(refused())
    }
}

/// Whether it is known what has become of all that an earlier process has sent with this key: it is sent again where the
/// chain does not have it, and is in blocks.
pub async fn is_settled(party: &Party) -> bool {
    let sender = party.account.sender();
    if sender.tend().await.is_err() {
        return false;
    }
    let provider = party.account.network().provider();
    for record in sender.under_way() {
        let mut is_mined = false;
        for signed in &record.signed {
            let receipt = provider.get_transaction_receipt(signed.hash).await;
            is_mined |= matches!(receipt, Ok(Some(_)));
        }
        if !is_mined {
            return false;
        }
    }
    true
}

fn unreachable(error: impl std::fmt::Display) -> NetworkError {
    NetworkError::Unreachable(error.to_string())
}

/// Only what was sent may be in the chain.
fn unposted(error: NodeError) -> NetworkError {
    match error {
        NodeError::Send(SendError::Unresolved { .. }) | NodeError::Impossible(_) => {
            NetworkError::Doubtful(error.to_string())
        }
        other => unreachable(other),
    }
}

fn read(error: NodeError) -> NetworkError {
    unreachable(error)
}

#[async_trait]
impl Network for NodeNetwork {
    async fn post(&self, wanted: &Wanted) -> Result<u64, NetworkError> {
        if let Some(id) = wanted.family
            && let Some(family) = self.families.iter().find(|f| f.id() == id)
        {
            self.introduce(family, &wanted.model).await?;
        }
        let order = Order {
            model: wanted.model,
            family: wanted.family,
            inputs: wanted.inputs.clone(),
            seed: wanted.seed,
            min_price: self.auction.min_price,
            max_price: self.auction.max_price,
            ramp_seconds: self.auction.ramp_seconds,
            exec_seconds: self.auction.exec_seconds,
        };
        match roles::post(&self.party, &self.board(), &order).await {
            Ok((id, _)) => Ok(id),
            Err(OrderError::Node(error)) => Err(unposted(error)),
            Err(refused) => Err(NetworkError::Refused(refused.to_string())),
        }
    }

    async fn heard(&self) {
        // what fails here costs a second post of an equal task at most, and that one is found out
        let _ = self.party.account.heard().await;
    }

    fn task(&self, id: u64) -> Option<TaskView> {
        let board = self.board();
        let task = board.task(id)?;
        Some(TaskView {
            state: task.state,
            attempt: task.attempt,
            model: task.model,
            provider: (!task.provider.is_zero()).then_some(task.provider),
            price: task.price,
            levy: board.rules_of(id).map_or(0, |r| r.market.audit_levy),
            has_result: !task.output_digest.is_zero(),
            challenge_until: board.challenge_deadline(id),
        })
    }

    fn posted(&self, input_digest: &Digest, seed: u64) -> Vec<u64> {
        let (board, me) = (self.board(), self.party.address());
        let found = board.tasks.iter().filter(|(_, entry)| {
            let task = &entry.task;
            (task.requester, task.input_digest, task.seed) == (me, *input_digest, seed)
        });
        found.map(|(id, _)| *id).collect()
    }

    async fn answer(&self, id: u64) -> Result<Option<Answer>, NetworkError> {
        let board = self.board();
        let receipt = receipt_of(&self.party, &board, id).await.map_err(read)?;
        let outputs = match outputs_of(&self.party, &board, id).await {
            // what is there is not what was committed: as good as absent, and the watchers' matter
            Err(NodeError::Blob { .. }) => None,
            other => other.map_err(read)?,
        };
        let both = receipt.zip(outputs);
        Ok(both.map(|(receipt, outputs)| Answer { outputs, receipt }))
    }

    async fn receipt_file(&self, id: u64) -> Result<Option<ReceiptFile>, NetworkError> {
        let Some(answer) = self.answer(id).await? else {
            return Ok(None);
        };
        let board = self.board();
        let Some(task) = board.task(id) else {
            return Ok(None);
        };
        let inputs = self.party.inputs_of(task).await.map_err(read)?;
        Ok(inputs.map(|inputs| ReceiptFile::new(answer.receipt, &inputs, &answer.outputs)))
    }

    fn block(&self) -> u64 {
        self.board.borrow().head.number
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn model(&self, id: &Digest) -> Option<Arc<Model>> {
        self.party.executor.model(id)
    }

    fn prices(&self) -> Prices {
        let rules = self.board();
        Prices {
            min: self.auction.min_price,
            max: self.auction.max_price,
            levy: rules
                .newest_rules()
                .map_or(0, |rules| rules.market.audit_levy),
        }
    }

    fn identity(&self) -> Identity {
        let contracts = self.party.contracts();
        Identity {
            chain_id: contracts.chain_id,
            market: contracts.market,
            gateway: self.party.address(),
        }
    }

    async fn wallet_says(
        &self,
        wallet: Address,
        hash: B256,
        signature: &[u8],
    ) -> Result<WalletVerdict, NetworkError> {
        let endpoint = self.party.account.network().endpoint();
        let said = wallet_says(endpoint, wallet, hash, signature.to_vec().into()).await;
        said.map_err(unreachable)
    }
}
