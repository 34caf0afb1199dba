//! What happened on a network, told by its chain.
//!
//! - [`Follower`]: reads a chain, after reorgs too, into what the server answers from.
//! - [`explorer`]: a follower, and the routes and the page that show what it has read.
//! - [`Index`]: the history, put together from the contracts' events; pure.
//! - [`layout`]: drawings of models; pure.
//! - [`words`], [`pots`]: what operators, moves and pots are called.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod asset;
mod bus;
mod catalogue;
mod follow;
mod forks;
mod http;
pub mod index;
pub mod layout;
mod news;
mod page;
pub mod pots;
mod pulse;
mod server;
mod state;
mod trust;
mod views;
pub mod words;

pub use catalogue::{Catalogue, Known};
pub use follow::Follower;
pub use index::{Index, Limits, Line};
pub use pulse::{Pulse, Vitals};
pub use server::Server;
pub use state::{Options, Scene};

/// A follower of a network's chain, and the routes under `/api/v1` with the page beside them.
pub fn explorer(network: gavel_settlement::Network, options: &Options) -> (Follower, axum::Router) {
    let (follower, shared) = Follower::new(network, options);
    (follower, http::router(shared))
}
