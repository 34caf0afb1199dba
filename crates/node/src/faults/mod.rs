//! Adversaries. Liars that compute or play have a file each; silence (`no-result`, `withhold`) is a switch of the
//! provider, a false challenger a watcher that computes wrongly.
//!
//! A fault is a real deviation in what a party computes or does. No contract, no honest role and no
//! test hook reads it: a party either computes with a faulty [`crate::Executor`] or acts by a faulty
//! conduct, and the protocol has to find out.

mod changed_token;
mod cheaper_quantisation;
mod executor;
mod falsify;
pub mod lazy_auditor;
pub mod lying_referee;
pub mod one_ulp;
mod skipped_steps;
mod smaller_model;
pub mod sock_puppet;
pub mod weight;
mod wrong_trace;

use std::fmt;
use std::str::FromStr;

pub use executor::FaultyExecutor;
pub use one_ulp::OneUlp;

/// A way of doing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// One weight of the provider's model is changed.
    Weight,
    /// One element of one operator's output is off by one unit in the last place.
    OneUlp,
    /// The provider runs a smaller model and makes up the trace.
    SmallerModel,
    /// The result is right, the trace is not.
    WrongTrace,
    /// The provider takes the task and delivers nothing.
    NoResult,
    /// A cheating provider falls silent in the dispute.
    Withhold,
    /// An honest result is challenged.
    FalseChallenge,
    /// The referee rules the opposite of what it computed.
    LyingReferee,
    /// The auditor copies the provider's digests instead of running the model.
    LazyAuditor,
    /// A friend of the cheat challenges badly on purpose.
    SockPuppet,
    /// The provider of a language model computes with weights of fewer bits.
    CheaperQuantisation,
    /// The provider of a language model changes one token that it sampled, and goes on from there.
    ChangedToken,
    /// The provider of a model that draws leaves denoising steps out.
    SkippedSteps,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 13] = [
        Fault::Weight,
        Fault::OneUlp,
        Fault::SmallerModel,
        Fault::WrongTrace,
        Fault::NoResult,
        Fault::Withhold,
        Fault::FalseChallenge,
        Fault::LyingReferee,
        Fault::LazyAuditor,
        Fault::SockPuppet,
        Fault::CheaperQuantisation,
        Fault::ChangedToken,
        Fault::SkippedSteps,
    ];

    /// Those that need no model of a certain kind.
    pub fn of_any_model() -> impl Iterator<Item = Fault> {
        Fault::ALL
            .into_iter()
            .filter(|fault| !fault.is_of_language() && *fault != Fault::SkippedSteps)
    }

    /// Whether it needs a language model.
    pub fn is_of_language(self) -> bool {
        matches!(self, Fault::CheaperQuantisation | Fault::ChangedToken)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Weight => "weight",
            Fault::OneUlp => "one-ulp",
            Fault::SmallerModel => "smaller-model",
            Fault::WrongTrace => "wrong-trace",
            Fault::NoResult => "no-result",
            Fault::Withhold => "withhold",
            Fault::FalseChallenge => "false-challenge",
            Fault::LyingReferee => "lying-referee",
            Fault::LazyAuditor => "lazy-auditor",
            Fault::SockPuppet => "sock-puppet",
            Fault::CheaperQuantisation => "cheaper-quantisation",
            Fault::ChangedToken => "changed-token",
            Fault::SkippedSteps => "skipped-steps",
        }
    }

    /// What the party does, as the end of a sentence that begins with its name.
    pub fn sentence(self) -> &'static str {
        match self {
            Fault::Weight => "runs the model with one weight changed",
            Fault::OneUlp => "gets one number of one operator wrong in its last bit",
            Fault::SmallerModel => "runs a smaller model and makes up the trace",
            Fault::WrongTrace => "delivers the right result under a made-up trace",
            Fault::NoResult => "takes a task and delivers nothing",
            Fault::Withhold => "cheats and falls silent in the dispute",
            Fault::FalseChallenge => "challenges an honest result",
            Fault::LyingReferee => "rules the opposite of what it computed",
            Fault::LazyAuditor => "copies the provider's digests instead of running the model",
            Fault::SockPuppet => "challenges a friend's wrong result badly on purpose",
            Fault::CheaperQuantisation => {
                "computes with a cheaper quantisation of the language model"
            }
            Fault::ChangedToken => "changes one token of the answer and goes on from there",
            Fault::SkippedSteps => "leaves out every other denoising step of a picture",
        }
    }

    /// Whether a provider with this fault commits a result that must not settle.
    pub fn makes_wrong_results(self) -> bool {
        self.falsifies_result() || self == Fault::Withhold
    }

    /// Whether it falsifies what a provider computes or commits, rather than what somebody does.
    pub fn falsifies_result(self) -> bool {
        matches!(
            self,
            Fault::Weight
                | Fault::OneUlp
                | Fault::SmallerModel
                | Fault::WrongTrace
                | Fault::CheaperQuantisation
                | Fault::ChangedToken
                | Fault::SkippedSteps
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no fault's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault called {0:?}")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Fault, UnknownFault> {
        Fault::ALL
            .into_iter()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

/// Number `index` of the sequence that starts at `seed` (SplitMix64): a liar that is restarted tells the
/// same lie.
pub(crate) fn draw(seed: u64, index: u64) -> u64 {
    let mut x = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            let json = serde_json::to_string(&fault).unwrap();
            assert_eq!(json, format!("\"{fault}\""));
        }
        assert!("none".parse::<Fault>().is_err());
    }
}
