//! The appeal game (`spec/protocol.md`, "Appeal levels"): from the isolated place down to one batch of
//! machine steps that a contract executes.
//!
//! [`decide_appeal`] names at most one [`AppealMove`] from a snapshot ([`AppealView`]), the asker's role and
//! what it knows of the place ([`Case`]).

mod decide;
mod knowledge;
mod moves;
mod view;

pub use decide::decide_appeal;
pub use knowledge::{Case, Operand, OperatorCase};
pub use moves::{
    AppealMove, ChunkProof, NodeFacts, OpenTensor, OperandProof, SegmentOpening, SlotProof, Source,
    SourceKind, SourceOpening, StepProof,
};
pub use view::{AppealOutcome, AppealPhase, AppealRole, AppealView, ChunkClaim, Run};
