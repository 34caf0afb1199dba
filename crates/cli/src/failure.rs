//! Why a command failed, in the user's words.

use std::any::Any;
use std::fmt::Display;

use gavel_node::NodeError;
use gavel_node::roles::OrderError;
use gavel_settlement::account::KeyError;
use gavel_settlement::deploy::DeployError;
use gavel_settlement::deployment::DeploymentError;
use gavel_settlement::{NetworkError, SendError};
use serde_json::json;

/// How a command ends, as the process's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something went wrong; standard error says what.
    Failed = 1,
    /// The command line itself.
    Usage = 2,
    /// A configuration, deployment or key file.
    Config = 3,
    /// The chain cannot be reached.
    Unreachable = 4,
    /// The contracts refuse the transaction.
    Reverted = 5,
    /// Too little coin, credit or stake.
    Funds = 6,
    /// A check was made, and what was claimed is false.
    False = 7,
    /// This process's own protection refuses to sign.
    Protected = 8,
    /// What was waited for did not come in time.
    Timeout = 9,
    /// There is no such task, dispute, provider, model or blob.
    NotFound = 10,
    /// Interrupted before it was done.
    Interrupted = 130,
}

impl Exit {
    /// All of them, with what they mean, for the documentation.
    pub(crate) const ALL: [(Exit, &str); 12] = [
        (Exit::Done, "done"),
        (Exit::Failed, "failed"),
        (Exit::Usage, "wrong usage"),
        (Exit::Config, "a configuration, deployment or key file"),
        (Exit::Unreachable, "the chain cannot be reached"),
        (Exit::Reverted, "the contracts refuse"),
        (Exit::Funds, "too little coin, credit or stake"),
        (Exit::False, "verification failed: the claim is false"),
        (
            Exit::Protected,
            "this process's own protection refuses to sign",
        ),
        (Exit::Timeout, "what was waited for did not come in time"),
        (
            Exit::NotFound,
            "no such task, dispute, provider, model or blob",
        ),
        (Exit::Interrupted, "interrupted before it was done"),
    ];

    /// The status that a library's error ends the process with.
    fn of(error: &dyn Any) -> Exit {
        if let Some(error) = error.downcast_ref() {
            return Exit::of_send(error);
        }
        if let Some(error) = error.downcast_ref() {
            return Exit::of_network(error);
        }
        if let Some(error) = error.downcast_ref() {
            return Exit::of_node(error);
        }
        if let Some(error) = error.downcast_ref() {
            return match error {
                OrderError::UnknownModel(_) | OrderError::NotRegistered(_) => Exit::NotFound,
                OrderError::Refused(error) => Exit::of_send(error),
                OrderError::Node(error) => Exit::of_node(error),
                _ => Exit::Failed,
            };
        }
        if let Some(error) = error.downcast_ref() {
            return match error {
                DeployError::Create { source, .. } => Exit::of_send(source),
                DeployError::Network(error) => Exit::of_network(error),
                _ => Exit::Failed,
            };
        }
        match error.is::<DeploymentError>() || error.is::<KeyError>() {
            true => Exit::Config,
            false => Exit::Failed,
        }
    }

    fn of_send(error: &SendError) -> Exit {
        match error {
            SendError::Reverted { error, .. } => match error.split('(').next() {
                Some(name) if FUNDS.contains(&name) => Exit::Funds,
                _ => Exit::Reverted,
            },
            // what a node says of a sender without coin, in its own words
            SendError::Refused(why) if why.to_lowercase().contains("insufficient funds") => {
                Exit::Funds
            }
            SendError::Refused(_) => Exit::Reverted,
            SendError::Unsent(_) => Exit::Unreachable,
            SendError::Unresolved { .. } => Exit::Timeout,
            _ => Exit::Failed,
        }
    }

    fn of_network(error: &NetworkError) -> Exit {
        match error {
            NetworkError::Rpc(_) | NetworkError::NoHead => Exit::Unreachable,
            _ => Exit::Config,
        }
    }

    fn of_node(error: &NodeError) -> Exit {
        match error {
            NodeError::Send(error) => Exit::of_send(error),
            NodeError::Protection(_) => Exit::Protected,
            NodeError::Network(error) => Exit::of_network(error),
            NodeError::Read { .. } => Exit::Unreachable,
            NodeError::InputUnavailable { .. } => Exit::NotFound,
            NodeError::BeaconBond { .. } => Exit::Funds,
            _ => Exit::Failed,
        }
    }
}

/// Errors of the contracts that say that somebody has too little.
const FUNDS: [&str; 6] = [
    "ERC20InsufficientBalance",
    "ERC20InsufficientAllowance",
    "InsufficientFree",
    "InsufficientCredit",
    "StakeBelowMinimum",
    "StakeTooLow",
];

/// What went wrong, what was expected instead, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    expected: Option<String>,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    /// A failure; of a library's error that says more with the status that it stands for, else 1.
    pub(crate) fn new(what: impl Display + 'static) -> Self {
        Failure {
            exit: Exit::of(&what),
            what: what.to_string(),
            expected: None,
            hint: None,
        }
    }

    /// There is none of what was asked for: exit status 10.
    pub(crate) fn not_found(what: impl Display + 'static) -> Self {
        Failure::new(what).ends(Exit::NotFound)
    }

    /// With another exit status.
    pub(crate) fn ends(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// With what led to it before it.
    pub(crate) fn because_of(mut self, why: impl Display) -> Self {
        self.what = format!("{why}, and {}", self.what);
        self
    }

    /// With the exit status that an error stands for whose words are in the failure's.
    pub(crate) fn because(self, error: &dyn Any) -> Self {
        let exit = Exit::of(error);
        self.ends(exit)
    }

    /// A command line that cannot be meant: exit status 2.
    pub(crate) fn usage(what: impl Display + 'static) -> Self {
        Failure {
            exit: Exit::Usage,
            ..Failure::new(what)
        }
    }

    /// What would have been right.
    pub(crate) fn expected(mut self, expected: impl Display) -> Self {
        self.expected = Some(expected.to_string());
        self
    }

    /// What to do next.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The exit status.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// For people: one or two lines.
    pub(crate) fn text(&self) -> String {
        let mut text = self.what.trim_end().to_owned();
        if let Some(expected) = &self.expected {
            text.push_str(&format!("; expected {expected}"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }

    /// For programs: `{"error": {what, expected, hint, exit}}`.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({"error": {
            "what": self.what,
            "expected": self.expected,
            "hint": self.hint,
            "exit": self.exit as u8,
        }})
    }
}

/// Adds where it happened to a library's error.
pub(crate) trait Context<T> {
    /// `place: error`.
    fn at(self, place: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display + 'static> Context<T> for Result<T, E> {
    fn at(self, place: impl Display) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(format!("{place}: {e}")).because(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_chain_end_with_what_they_stand_for() {
        let reverted = |error: &str| SendError::Reverted {
            error: error.to_owned(),
            selector: None,
            transaction: None,
        };
        let cases: [(SendError, Exit); 6] = [
            (reverted("TooEarlyToSettle(taskId=3)"), Exit::Reverted),
            (
                reverted("InsufficientFree(provider=0x1, free=2, asked=3)"),
                Exit::Funds,
            ),
            (
                SendError::Refused("Insufficient funds for gas".to_owned()),
                Exit::Funds,
            ),
            (SendError::Refused("nonce".to_owned()), Exit::Reverted),
            (SendError::Unsent("no route".to_owned()), Exit::Unreachable),
            (
                SendError::Unresolved {
                    hash: Default::default(),
                    reason: String::new(),
                },
                Exit::Timeout,
            ),
        ];
        for (error, exit) in cases {
            assert_eq!(Failure::new(error.clone()).exit(), exit, "{error}");
            assert_eq!(
                Err::<(), _>(error.clone()).at("here").unwrap_err().exit(),
                exit
            );
            assert_eq!(Failure::new(NodeError::from(error)).exit(), exit);
        }
        let chain = NetworkError::OtherChain {
            expected: 1,
            found: 2,
        };
        assert_eq!(Failure::new(chain).exit(), Exit::Config);
        assert_eq!(Failure::new("anything").exit(), Exit::Failed);
    }

    #[test]
    fn the_errors_named_here_are_the_contracts_own() {
        let artifacts = gavel_settlement::artifacts::artifacts();
        let errors: Vec<_> = artifacts.values().flat_map(|a| a.abi.errors()).collect();
        for name in FUNDS {
            assert!(errors.iter().any(|e| e.name == name), "{name}");
        }
    }
}
