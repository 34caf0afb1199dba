//! The attacks that networks of this kind fall to, each played against this one: what it costs the ring that tries it and everybody
//! else, to the unit, under parameters that the solver finds; and the same with the one thing weakened that stops it, which has to
//! pay, or the attack was none.
//!
//! Where money or the game is attacked, worlds are played through the real contracts by roles with faults; where chance decides,
//! every case is played and weighed by its chance. Where the arithmetic is attacked, the exact engine computes what a judge would see.
//! Parameters that the constructor refuses are deployed unchecked for the weakened world, and its refusal is part of the report.

mod arena;
mod audits;
mod beacon;
mod challenges;
mod computation;
mod ledger;
mod page;
mod referees;
mod standing;

use std::fmt;
use std::str::FromStr;

use gavel_economics::Unsolvable;
use gavel_node::roles::OrderError;
use gavel_node::{ExecutorError, NodeError};
use gavel_settlement::SendError;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::chain::ChainError;
use gavel_settlement::params::ParamsError;
use serde::{Serialize, Serializer};

pub use arena::{Arena, assumptions};
pub use ledger::{Branch, Entry, Outcome, Side, by_kind};
pub use page::page;

use crate::WorldError;

/// Why an attack could not be played. That it pays is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttackError {
    /// A world, or a computation in one.
    #[error(transparent)]
    World(Box<WorldError>),
    /// The suite's assumptions.
    #[error(transparent)]
    Unsolvable(Box<Unsolvable>),
    /// The constructor could not be asked.
    #[error(transparent)]
    Params(Box<ParamsError>),
    /// A tree.
    #[error(transparent)]
    Trace(#[from] gavel_trace::TraceError),
    /// A world that did not go as the attack needs it.
    #[error("{}expected {what}, found {found}", seed.map(|seed| format!("up to seed {seed}: ")).unwrap_or_default())]
    Unexpected {
        /// The last seed, where worlds by seed were played.
        seed: Option<u64>,
        /// What the attack needs.
        what: &'static str,
        /// What came.
        found: String,
    },
}

macro_rules! boxed {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for AttackError {
            fn from(error: $from) -> AttackError {
                AttackError::$variant(Box::new(error.into()))
            }
        }
    )*};
}
boxed!(WorldError => World, ExecutorError => World, NodeError => World, OrderError => World, SendError => World, ChainError => World, std::io::Error => World, Unsolvable => Unsolvable, ParamsError => Params);

macro_rules! attacks {
    ($($name:ident $text:literal $row:literal $played:literal $stopped:literal $play:path;)*) => {
        /// An attack.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Attack {
            $(#[doc = $played] $name,)*
        }

        impl Attack {
            /// All of them, in the order of the table.
            pub const ALL: &[Attack] = &[$(Attack::$name,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Attack::$name => $text,)* }
            }

            /// The row of the table of attacks that it is of.
            pub fn row(self) -> &'static str {
                match self { $(Attack::$name => $row,)* }
            }

            /// How it is played.
            pub fn played(self) -> &'static str {
                match self { $(Attack::$name => $played,)* }
            }

            /// What makes it lose money.
            pub fn stopped_by(self) -> &'static str {
                match self { $(Attack::$name => $stopped,)* }
            }

            fn play(self, arena: &Arena) -> Result<Found, AttackError> {
                match self { $(Attack::$name => $play(arena),)* }
            }
        }
    };
}

attacks! {
    WithholdInput "withhold_input" "withholding the input, so that nobody can challenge"
        "A cheat has the input of its task vanish from the store, and shows it to nobody."
        "who watches, audits or rules keeps the inputs of all live tasks as soon as it sees them"
        challenges::withhold_input;
    WithholdTrace "withhold_trace" "withholding the trace, so that nobody can challenge"
        "A cheat commits a wrong result and says nothing in the dispute about it."
        "silence is lost by the clock, and costs what a conviction costs"
        challenges::withhold_trace;
    UnwatchedCheat "unwatched_cheat" "wrong results where nobody but the lottery of audits looks"
        "A cheat commits a wrong result; there is no watcher."
        "the audit rate, solved from what a lie is worth and what a conviction costs"
        audits::unwatched_cheat;
    SelfChallenge "self_challenge" "self-challenge, to have a slash back through a friend"
        "A cheat is also the requester, and has a friend who convicts it as soon as an audit of a wrong result is drawn."
        "at least half of every slash is burned"
        challenges::self_challenge;
    Griefing "griefing" "griefing by false challenges"
        "A rival challenges an honest result to have its provider frozen as long as a dispute may last, and does its business meanwhile."
        "a bond that pays gas, referee and every idle hour"
        challenges::griefing;
    Delay "delay" "delay by many losing challengers in series"
        "Three friends challenge one honest result, each in a dispute of its own."
        "challenges of a result run beside each other: three freeze it no longer than one, and each costs a bond"
        challenges::delay;
    LoseOnPurpose "lose_on_purpose" "a claim defended or attacked badly on purpose, so that the right side loses"
        "A friend of the cheat challenges first, and loses on purpose."
        "clearing closes that one dispute; every other challenger's goes on"
        challenges::lose_on_purpose;
    Exhaustion "exhaustion" "resource exhaustion: a rich ring against one defender"
        "Three friends challenge one honest result and appeal each ruling down to the arithmetic, so that its provider runs out of money first."
        "every move of the defence is paid by whoever is wrong"
        challenges::exhaustion;
    LazyAuditor "lazy_auditor" "lazy auditor"
        "A drawn auditor runs nothing and says what the provider said."
        "fee only for a chunk of one's own run that opens; a penalty else"
        audits::lazy_auditor;
    CopyingAuditor "copying_auditor" "copying auditor"
        "A drawn auditor shows another's openings as its own."
        "an auditor's tree is salted with its address and the task"
        audits::copying_auditor;
    AuditCollusion "audit_collusion" "auditor and provider collude"
        "Cheat and auditor are friends: where the friend is drawn the wrong result matches."
        "auditors are drawn after the commitment, among all; the rate is solved with the colluding share"
        audits::audit_collusion;
    FramingReferee "framing_referee" "a single recomputer frames the provider"
        "A challenger accuses an honest provider, and its friend is the referee and rules it guilty."
        "on appeal the contract executes the step; the referee's own stake pays"
        referees::framing_referee;
    Prefill "prefill" "pre-fill: a cheap model writes, the big one proves"
        "Tokens that a cheap machine chose, under a trace that the true model made of them."
        "every token has to be the seeded draw, which is an operator of the trace"
        computation::prefill;
    SeedGrinding "seed_grinding" "sampler grinding, a biased seed"
        "A provider tries seeds until the answer is the one that it wants."
        "the seed is part of the input that the task binds"
        computation::seed_grinding;
    BeaconLastRevealer "beacon_last_revealer" "bias by the beacon's last revealer"
        "A cheat's friend takes part in the beacon of secrets and reveals last. It knows the value before: where an honest auditor is drawn for the cheat's result, it keeps its secret back."
        "a missing secret spoils the round: all that it was to decide about is audited, by auditors that the next round draws, and the bond is burned"
        beacon::last_revealer;
    ToleranceHiding "tolerance_hiding" "hiding in the tolerance"
        "A result that is off by the last bit of one number."
        "bits are compared, and no distance"
        computation::tolerance_hiding;
    NumericDrift "numeric_drift" "numeric drift has honest nodes slashed"
        "A challenger lives on results of honest machines that compute in another order."
        "one defined order for every element: all machines give the same bits"
        computation::numeric_drift;
    SybilReentry "sybil_reentry" "coming back after a ban under another name"
        "A cheat registers anew after each conviction, and cheats again."
        "each name has a stake to lose, a fee to pay, and first results that are all audited"
        standing::sybil_reentry;
    StakeReuse "stake_reuse" "one stake behind many open tasks"
        "A cheat gets everything wrong that it has open at once."
        "an exposure cap: what is open is a small share of the stake"
        standing::stake_reuse;
    BribedReferee "bribed_referee" "bribing the referee"
        "Cheat and referee are friends, and the referee clears the wrong result."
        "a ruling is provisional: one watcher's appeal has the contract execute the step"
        referees::bribed_referee;
    RefereeBug "referee_bug" "a bug in the referee"
        "A challenger knows an input that an honest referee's program gets wrong, and accuses who got it right."
        "a second, independent judge in the contract; a slash has a bound; the guardian can pause"
        referees::referee_bug;
    PromptPrivacy "prompt_privacy" "reading other people's prompts"
        "A stranger disputes an honest result to see what was asked."
        "undisputed work shows digests only; a dispute that is lost costs a bond"
        challenges::prompt_privacy;
}

/// What was found.
struct Found {
    at: Outcome,
    weakened: Weakened,
    evidence: Vec<String>,
}

/// The attack with its obstacle out of the way.
#[derive(Clone, Debug, Serialize)]
pub struct Weakened {
    /// What was weakened, and how.
    pub what: String,
    /// Whether it is a number of the parameters; else it is something that the network does, and here did not.
    pub is_parameter: bool,
    /// What the constructor of the parameters says to that number, where it refuses it.
    pub refused: Option<String>,
    /// What the attack brings then.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Weakened {
    /// Other parameters.
    fn parameters(
        arena: &Arena,
        what: impl Into<String>,
        params: &Params,
        outcome: Outcome,
    ) -> Result<Weakened, AttackError> {
        Ok(Weakened {
            what: what.into(),
            is_parameter: true,
            refused: arena.refusal(params)?,
            outcome,
        })
    }

    /// A mechanism that is not there.
    fn mechanism(what: impl Into<String>, outcome: Outcome) -> Weakened {
        Weakened {
            what: what.into(),
            is_parameter: false,
            refused: None,
            outcome,
        }
    }
}

/// An attack, played.
#[derive(Clone, Debug, Serialize)]
pub struct AttackReport {
    /// Which.
    pub attack: Attack,
    /// The row of the table of attacks.
    pub row: &'static str,
    /// How it is played.
    pub played: &'static str,
    /// What makes it lose money.
    pub stopped_by: &'static str,
    /// What it brings under the solver's parameters.
    pub solved: Outcome,
    /// What it brings where the obstacle is weakened.
    pub weakened: Weakened,
    /// What else was seen.
    pub evidence: Vec<String>,
    /// It loses money, and pays where it is let.
    pub holds: bool,
}

impl Attack {
    /// Plays it.
    ///
    /// # Errors
    /// A world that cannot be played, or in which nothing of the attack is seen.
    pub fn run(self, arena: &Arena) -> Result<AttackReport, AttackError> {
        let Found {
            at,
            weakened,
            evidence,
        } = self.play(arena)?;
        Ok(AttackReport {
            attack: self,
            row: self.row(),
            played: self.played(),
            stopped_by: self.stopped_by(),
            holds: !at.pays() && weakened.outcome.pays(),
            solved: at,
            weakened,
            evidence,
        })
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Attack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A name that is no attack's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no attack called {0:?}")]
pub struct UnknownAttack(String);

impl FromStr for Attack {
    type Err = UnknownAttack;

    fn from_str(name: &str) -> Result<Attack, UnknownAttack> {
        let found = Attack::ALL.iter().find(|attack| attack.name() == name);
        found.copied().ok_or_else(|| UnknownAttack(name.to_owned()))
    }
}
