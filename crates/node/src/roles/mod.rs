//! The roles: each a loop "read the board, decide with a pure function, act at most once".

mod auditor;
mod join;
mod keeper;
mod order;
mod provider;
mod requester;

pub use auditor::Auditor;
pub use join::{JoinOptions, join};
pub use keeper::{Chore, Keeper, chores};
pub use order::{Order, OrderError, post};
pub use provider::{Provider, ProviderPolicy};
pub use requester::{Requester, outputs_of};
