//! Who takes part, and what each does where the protocol leaves it a choice. Everybody is a provider with a stake that also audits
//! and rules when it is drawn; an agent is how it departs from honesty.
//!
//! A new kind is a type that implements [`Agent`]; what it earns under given parameters is asked by
//! [`Market::profits`](crate::market::Market::profits).

mod auditors;
mod censor;
mod cheats;
mod griefer;
mod honest;
mod ring;
mod sybil;

use std::sync::Arc;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

pub use auditors::{BelievingAuditor, CopyingAuditor, LazyAuditor};
pub use censor::Censor;
pub use cheats::{ModelSwap, RandomShare, SelfChallenger, SkippedSteps};
pub use griefer::Griefer;
pub use honest::Honest;
pub use ring::Ring;
pub use sybil::Sybil;

/// All chance of one market.
pub type Chance = ChaCha8Rng;

/// Parts of ten thousand.
pub const ALL: u16 = 10_000;

/// How a task is worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whether the result is wrong.
    pub is_wrong: bool,
    /// What part of the gain of a wrong result it brings, of ten thousand.
    pub gain_bps: u16,
}

impl Work {
    /// As the model says.
    pub const HONEST: Work = Work {
        is_wrong: false,
        gain_bps: 0,
    };

    /// A wrong result that brings a part of what one may.
    pub fn wrong(gain_bps: u16) -> Work {
        Work {
            is_wrong: true,
            gain_bps,
        }
    }
}

/// A result as somebody sees it who is drawn to look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is wrong.
    pub is_wrong: bool,
    /// Whether its provider is a friend.
    pub by_friend: bool,
}

/// How an audit is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// By a run of the model.
    Runs,
    /// Without a run, with the tensors that the provider hands over: says that the result matches.
    Copies,
    /// With the tensors that the provider hands over, and by a run where it does not.
    Believes,
    /// Not at all: commits to something and has nothing to open.
    Sleeps,
}

/// An agent's choices. The defaults are honest.
pub trait Agent: Send + Sync {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn about(&self) -> &'static str;

    /// How it works a task.
    fn work(&self, _: &mut Chance) -> Work {
        Work::HONEST
    }

    /// How it audits a result.
    fn audit(&self, _: Seen, _: &mut Chance) -> Audit {
        Audit::Runs
    }

    /// Whether it rules the truth as a referee.
    fn rules_truly(&self, _: Seen) -> bool {
        true
    }

    /// Whether it challenges a result of another that it knows to be right.
    fn challenges_falsely(&self, _: &mut Chance) -> bool {
        false
    }

    /// Whether it defends a wrong result up to a referee; else it lets its clock run out.
    fn defends_lies(&self) -> bool {
        false
    }

    /// Whether it has a friend convict it once its wrong result is drawn for an audit.
    fn convicts_itself(&self) -> bool {
        false
    }

    /// Whether it fills the blocks in which an auditor of a wrong result of its own would have to commit.
    fn censors(&self) -> bool {
        false
    }

    /// Whether it puts up another stake under another name when it is banned.
    fn returns(&self) -> bool {
        false
    }

    /// Whether those of its kind act together.
    fn is_ring(&self) -> bool {
        false
    }
}

/// A kind of agent, and its share of the providers.
#[derive(Clone)]
pub struct Kind {
    /// Its choices.
    pub agent: Arc<dyn Agent>,
    /// Its share.
    pub share: f64,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:.4}", self.agent.name(), self.share)
    }
}

/// Every kind there is, the honest first.
pub fn all() -> Vec<Arc<dyn Agent>> {
    vec![
        Arc::new(Honest),
        Arc::new(ModelSwap),
        Arc::new(SkippedSteps),
        Arc::new(RandomShare),
        Arc::new(SelfChallenger),
        Arc::new(LazyAuditor),
        Arc::new(CopyingAuditor),
        Arc::new(BelievingAuditor),
        Arc::new(Ring),
        Arc::new(Griefer),
        Arc::new(Sybil),
        Arc::new(Censor),
    ]
}

fn happens(chance: &mut Chance, bps: u32) -> bool {
    chance.random_range(0..u32::from(ALL)) < bps
}
