//! The appeal game (`spec/protocol.md`, "Appeal levels"): from the isolated place down to one batch of
//! machine steps that a contract executes.
//!
//! [`decide_appeal`] names at most one [`AppealMove`] from a snapshot ([`AppealView`]), the asker's role and
//! what it knows of the place ([`Case`]). Every move passes the [`APPEAL_RULES`]. [`AppealModel`] is the contract's game in
//! memory; [`explain`] names the instruction that an appeal comes down to.

mod check;
mod decide;
mod execution;
mod explain;
mod knowledge;
mod model;
mod moves;
mod prove;
mod rules;
mod state;
mod view;

pub use decide::{decide_appeal, propose_appeal};
pub use execution::Execution;
pub use explain::{Executed, Explanation, Loaded, explain, last_batch};
pub use knowledge::{Case, Operand, OperatorCase};
pub use model::{AppealModel, AppealSetup};
pub use moves::{
    AppealMove, ChunkProof, NodeFacts, OpenTensor, OperandProof, SegmentOpening, SlotProof, Source,
    SourceKind, SourceOpening, StepProof,
};
pub use prove::batch_proof;
pub use rules::{APPEAL_RULES, AppealRule, AppealSituation, broken_appeal_rules};
pub use state::{MAX_BATCHES, MAX_PARTS, boundary, parts, state_hash};
pub use view::{AppealOutcome, AppealPhase, AppealRole, AppealView, ChunkClaim, Run};
