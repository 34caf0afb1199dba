//! Asking for a result.

use gavel_numerics::Tensor;
use gavel_settlement::SendError;
use gavel_settlement::bindings::Market;
use gavel_settlement::events::ProtocolEvent;
use gavel_trace::Digest;

use crate::{Act, Board, NodeError, Party, input_digest};

/// What a requester wants and what it offers.
#[derive(Clone, Debug)]
pub struct Order {
    /// Model to run.
    pub model: Digest,
    /// The family whose binding it is, where the providers of the family are to run it; see [`super::introduce`].
    pub family: Option<Digest>,
    /// Its inputs, in the model's order.
    pub inputs: Vec<Tensor>,
    /// Seed of the task's randomness.
    pub seed: u64,
    /// Price at which the auction starts, in units of the asset.
    pub min_price: u128,
    /// Price at which it ends.
    pub max_price: u128,
    /// Seconds that the price takes to rise.
    pub ramp_seconds: u32,
    /// Seconds from claim to deadline; a tenth of the most, but no less than the model needs, where absent.
    pub exec_seconds: Option<u32>,
}

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// A model that this party does not have, so it cannot bind its inputs to it.
    #[error("no model {0} here")]
    UnknownModel(Digest),
    /// A model that nobody registered.
    #[error("model {0} is not in the market's registry")]
    NotRegistered(Digest),
    /// A model that nobody has shown to be of the family.
    #[error("nobody has shown that model {model} is a binding of family {family}")]
    NotShown {
        /// The family.
        family: Digest,
        /// The model.
        model: Digest,
    },
    /// The market has no parameters yet.
    #[error("the market has no parameters")]
    NoRules,
    /// The market refuses it.
    #[error("the market refuses the task: {0}")]
    Refused(SendError),
    /// It could not be placed.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Stores the inputs and posts the task; the ceiling and the audit levy go into escrow. Gives the task's id.
///
/// # Errors
/// See [`OrderError`].
pub async fn post(party: &Party, board: &Board, order: &Order) -> Result<(u64, Act), OrderError> {
    let model = party
        .executor
        .model(&order.model)
        .ok_or(OrderError::UnknownModel(order.model))?;
    if !board.models.contains_key(&order.model) {
        return Err(OrderError::NotRegistered(order.model));
    }
    if let Some(family) = order.family
        && !board.is_binding(&family, &order.model)
    {
        let model = order.model;
        return Err(OrderError::NotShown { family, model });
    }
    let rules = &board.newest_rules().ok_or(OrderError::NoRules)?.market;
    let digest = input_digest(&model, &order.inputs).map_err(NodeError::from)?;
    party.blobs.put_inputs(&digest, &order.inputs).await?;
    party
        .account
        .approve_vault()
        .await
        .map_err(NodeError::from)?;
    let header = model.header();
    let work = header.work.saturating_mul(header.max_steps.into());
    let floor = work.div_ceil(rules.min_throughput.max(1));
    let floor = u32::try_from(floor).unwrap_or(u32::MAX);
    let call = Market::postCall {
        spec: Market::TaskSpec {
            modelId: order.model.0.into(),
            familyId: order.family.unwrap_or(Digest::ZERO).0.into(),
            inputDigest: digest.0.into(),
            seed: order.seed,
            minPrice: order.min_price,
            maxPrice: order.max_price,
            rampSeconds: order.ramp_seconds,
            execSeconds: order
                .exec_seconds
                .unwrap_or(floor.max(rules.exec_max / 10).max(1)),
        },
        inputUri: format!("inputs/{digest}.json"),
    };
    let receipt = match party.send(board, party.contracts().market, call).await {
        Ok(receipt) => receipt,
        Err(NodeError::Send(refused @ SendError::Reverted { .. })) => {
            return Err(OrderError::Refused(refused));
        }
        Err(other) => return Err(other.into()),
    };
    let posted = receipt.logs.iter().find_map(|logged| match &logged.event {
        ProtocolEvent::Market(Market::MarketEvents::TaskPosted(e)) => u64::try_from(e.taskId).ok(),
        _ => None,
    });
    let id = posted.ok_or_else(|| NodeError::Impossible("a post without a task".to_owned()))?;
    let act = Act {
        what: format!("posts task {id}"),
        transaction: receipt.hash,
        gas: receipt.gas_used,
    };
    Ok((id, act))
}
