//! What somebody in the arena does wrong. The deviations themselves are in `gavel_node::faults`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A way of doing wrong: a real deviation in what a party computes or does, never a flag that a contract reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
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
}

impl FaultKind {
    /// All kinds, in the order of the help.
    pub const ALL: [FaultKind; 10] = [
        FaultKind::Weight,
        FaultKind::OneUlp,
        FaultKind::SmallerModel,
        FaultKind::WrongTrace,
        FaultKind::NoResult,
        FaultKind::Withhold,
        FaultKind::FalseChallenge,
        FaultKind::LyingReferee,
        FaultKind::LazyAuditor,
        FaultKind::SockPuppet,
    ];

    /// Name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Weight => "weight",
            FaultKind::OneUlp => "one-ulp",
            FaultKind::SmallerModel => "smaller-model",
            FaultKind::WrongTrace => "wrong-trace",
            FaultKind::NoResult => "no-result",
            FaultKind::Withhold => "withhold",
            FaultKind::FalseChallenge => "false-challenge",
            FaultKind::LyingReferee => "lying-referee",
            FaultKind::LazyAuditor => "lazy-auditor",
            FaultKind::SockPuppet => "sock-puppet",
        }
    }

    /// What the party does, as the end of a sentence that begins with its name.
    pub fn sentence(self) -> &'static str {
        match self {
            FaultKind::Weight => "runs the model with one weight changed",
            FaultKind::OneUlp => "gets one number of one operator wrong in its last bit",
            FaultKind::SmallerModel => "runs a smaller model and makes up the trace",
            FaultKind::WrongTrace => "delivers the right result under a made-up trace",
            FaultKind::NoResult => "takes a task and delivers nothing",
            FaultKind::Withhold => "cheats and falls silent in the dispute",
            FaultKind::FalseChallenge => "challenges an honest result",
            FaultKind::LyingReferee => "rules the opposite of what it computed",
            FaultKind::LazyAuditor => "copies the provider's digests instead of running the model",
            FaultKind::SockPuppet => "challenges a friend's wrong result badly on purpose",
        }
    }

    /// Whether a provider with this fault commits a result that must not settle.
    pub fn makes_wrong_results(self) -> bool {
        matches!(
            self,
            FaultKind::Weight
                | FaultKind::OneUlp
                | FaultKind::SmallerModel
                | FaultKind::WrongTrace
                | FaultKind::Withhold
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of fault")]
pub struct UnknownFault(String);

impl FromStr for FaultKind {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<FaultKind, UnknownFault> {
        FaultKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_kind() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("\"{}\"", kind.name())
            );
        }
        assert!("kindness".parse::<FaultKind>().is_err());
    }
}
