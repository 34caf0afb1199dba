//! The roles: each a loop "read the board, decide with a pure function, act at most once".

pub(crate) mod auditor;
mod drain;
mod feed;
mod join;
mod keeper;
mod monitor;
mod order;
mod participant;
mod provider;
mod referee;
mod register;
mod requester;
mod trapper;
pub(crate) mod watcher;

pub use auditor::Auditor;
pub use drain::{Obligation, leave, obligations};
pub use join::{JoinOptions, join};
pub use keeper::{Chore, Keeper, chores};
pub use monitor::{Alert, Forecast, Forecasts, Look, Monitor};
pub use order::{Order, OrderError, post};
pub use participant::{LEAST_REVEAL_SECONDS, Participant, Standing, Step, standing};
pub use provider::{LEAST_EXEC_SECONDS, Provider, ProviderPolicy};
pub use referee::Referee;
pub use register::{family_registration, introduce, registration};
pub use requester::{Requester, outputs_of, receipt_of};
pub use trapper::{Stage, Trapper};
pub use watcher::Watcher;
