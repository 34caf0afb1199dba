//! OpenAI's clients, served on the address of the page.

use std::sync::Arc;

use axum::Router;
use gavel_gateway::{
    Access, Auction, Desk, Gateway, Journal, Network, NodeNetwork, Options, Served, router,
};
use gavel_node::{Board, Party};

use super::stage::Stage;
use crate::failure::{Context as _, Failure};
use crate::network::TOKEN;

/// What a request pays: from below what everybody works for up to more than anybody asks.
const AUCTION: Auction = Auction {
    min_price: TOKEN,
    max_price: 10 * TOKEN,
    ramp_seconds: 30,
    exec_seconds: None,
};
/// Requests at once of whoever asks.
const AT_ONCE: u32 = 64;

/// The network as clients see it, and their routes: `/v1`.
pub(super) fn clients(
    stage: &Stage,
    party: Party,
    board: &Board,
) -> Result<(Arc<NodeNetwork>, Router), Failure> {
    let behind = Arc::new(NodeNetwork::new(party, AUCTION, Vec::new(), board));
    let network: Arc<dyn Network> = Arc::clone(&behind) as Arc<dyn Network>;
    let desk = Desk::new(Arc::clone(&network), Journal::memory()).at("the gateway")?;
    // pictures to classify have no place in OpenAI's interface
    let models = stage.models.iter().filter(|(name, _)| *name != "digits");
    let models = models
        .map(|(name, model)| Served::model(name, Arc::clone(model), None).map_err(Failure::new));
    let access = Access::Anybody {
        max_concurrent: AT_ONCE,
    };
    let models = models.collect::<Result<_, Failure>>()?;
    let gateway = Gateway::new(network, Arc::new(desk), models, access, Options::default());
    Ok((behind, router(Arc::new(gateway))))
}
