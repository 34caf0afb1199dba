//! The dispute game as pure functions: what either side, the referee or a bystander does next.
//!
//! [`decide`] looks at a snapshot of one dispute ([`GameView`]), at who is asking ([`Role`]), at what
//! that party can compute ([`Knowledge`]) and at the time, and names at most one [`Move`]. It never
//! touches a chain, a clock or a model. Every move passes the [`RULES`], each of which closes a way
//! to lose a game that was won; a party that writes its own player can check itself with
//! [`broken_rules`].
//!
//! An appealed dispute is played on by [`appeal::decide_appeal`], down to one batch of machine steps.
//!
//! [`CourtModel`] is the court's game in memory, with the same refusals as the contract
//! (`spec/protocol.md`, "Dissection"): tests and simulations play against it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod appeal;
mod bounds;
mod court;
mod decide;
mod knowledge;
mod moves;
mod rules;
mod view;

pub use bounds::{max_game_seconds, max_rounds};
pub use court::{Appealed, CourtModel, CourtSetup, Refused};
pub use decide::{Policy, Role, decide, propose};
pub use knowledge::{Knowledge, SignedSegment};
pub use moves::{IsolateDirect, Move, PostSegment};
pub use rules::{RULES, Rule, Situation, broken_rules};
pub use view::{Claim, GameView, Outcome, Phase, SegmentFacts, Side, Tree};
