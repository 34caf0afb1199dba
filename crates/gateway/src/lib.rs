//! The network behind the HTTP interface that OpenAI clients speak.
//!
//! - [`Network`]: what is behind it; [`NodeNetwork`] is a node's requester, tests have their own.
//! - [`Served`]: the models, and how requests become inputs and outputs answers.
//! - [`Desk`]: where requests become tasks, within budgets, and are followed to their results.
//! - [`Gateway`], [`router`], [`serve`]: the interface.
//! - [`ops`]: what operators watch: metrics and health, on a listener of their own.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod desk;
mod error;
mod fields;
mod gateway;
mod journal;
mod keys;
mod limits;
mod lines;
mod network;
mod node_network;
mod nonces;
mod openapi;

pub mod ops;
mod render;
mod routes;
mod served;
mod server;
mod signed;

pub use access::Access;
pub use desk::{Desk, Done, Job, Placed, Request};
pub use error::{ApiError, TASK_HEADER};
pub use fields::Fields;
pub use gateway::{Gateway, Options};
pub use journal::{Closed, Endpoint, Journal, Ticket, Trouble};
pub use keys::{ApiKey, KEYS_FORMAT, KeyFile, KeyFileError};
pub use limits::{Caller, Limits, Running};
pub use lines::{FileMedium, Medium};
pub use network::{Answer, Identity, Network, NetworkError, Prices, TaskView, Wanted};
pub use node_network::{Auction, NodeNetwork, is_settled};
pub use nonces::Nonces;
pub use openapi::document;
pub use routes::{Class, Route, router, routes};
pub use served::{Bound, Encoder, Kind, Language, Served, ServedError, embedding};
pub use server::{Bounds, serve};
pub use signed::{
    ACCOUNT_HEADER, BODY_DIGEST_HEADER, DEADLINE_HEADER, NONCE_HEADER, SIGNATURE_HEADER, Signed,
    body_digest,
};
