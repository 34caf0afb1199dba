//! What keeps an honest key from saying two different things, whatever crashes, restarts, reorgs and restored backups do.
//!
//! - [`statement_of`]: what a call says, as a row ([`Statement`]).
//! - [`Protection::admit`]: the row goes into the database before anything is signed. The same may be said again, anything
//!   else about the same subject is refused.
//! - [`Breaker`]: stops claims after the first failure of this node's own.
//! - [`interchange`]: the rows as a file that another machine takes in.
//! - [`doppelganger`]: whether another process has acted with this key.

mod breaker;
mod classify;
pub mod doppelganger;
mod intents;
pub mod interchange;
mod statement;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256};
use gavel_settlement::Account;
use gavel_state::{Identity, Memory, StateError, Store, Table};

pub use breaker::{Breaker, failures, reset, tripped};
pub(crate) use classify::about_task;
pub use classify::{Unclassified, statement_of};
pub use intents::StoredIntents;
pub use statement::{Kind, Said, Space, Statement, Subject, dispute_case, task_case};

/// Why something is not signed or sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectionError {
    /// Something else was said about it.
    #[error(
        "refused: as {subject} this key has said {said} (at {at}), and would now say {wanted}; to say both is what gets a stake slashed"
    )]
    Contradiction {
        /// About what.
        subject: Box<Subject>,
        /// What was said.
        said: B256,
        /// When, in the chain's time.
        at: u64,
        /// What was to be said.
        wanted: B256,
    },
    /// What was said about it has been forgotten.
    #[error(
        "refused: what this key said as {subject} may have been forgotten: its rows start at {space} {watermark}",
        space = subject.kind.space().name()
    )]
    Forgotten {
        /// About what.
        subject: Box<Subject>,
        /// First id of which everything is known.
        watermark: u64,
    },
    /// It cannot be told what a call says.
    #[error("refused: {0}")]
    Unclassified(#[from] Unclassified),
    /// A row that nobody can read.
    #[error("the protection database has {what}, which this program cannot read")]
    Unreadable {
        /// The row.
        what: String,
    },
    /// The database fails: nothing is signed without it.
    #[error("nothing is signed: {0}")]
    State(#[from] StateError),
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Something else was said about it.
    Contradiction,
    /// What was said about it has been forgotten.
    Forgotten,
    /// It cannot be told what it says.
    Unclassified,
}

impl Rule {
    /// All of them, in this order.
    pub const ALL: [Rule; 3] = [Rule::Contradiction, Rule::Forgotten, Rule::Unclassified];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Contradiction => "contradiction",
            Rule::Forgotten => "forgotten",
            Rule::Unclassified => "unclassified",
        }
    }

    /// By which rule this is a refusal. `None`: the database is at fault, or the board may be a block old.
    fn of(error: &ProtectionError) -> Option<Rule> {
        match error {
            ProtectionError::Contradiction { .. } => Some(Rule::Contradiction),
            ProtectionError::Forgotten { .. } => Some(Rule::Forgotten),
            ProtectionError::Unclassified(Unclassified::Subject { .. })
            | ProtectionError::Unreadable { .. }
            | ProtectionError::State(_) => None,
            ProtectionError::Unclassified(_) => Some(Rule::Unclassified),
        }
    }
}

/// The protection database of one key. Clones of a party share it.
#[derive(Debug)]
pub struct Protection {
    store: Arc<dyn Store>,
    breaker: Option<Breaker>,
    /// One at a time, so that a watermark holds from its reading to the row's writing.
    gate: tokio::sync::Mutex<()>,
    refused: [AtomicU64; Rule::ALL.len()],
}

impl Protection {
    /// Over a database that outlives the process, with a circuit breaker.
    ///
    /// # Errors
    /// The database fails.
    pub async fn open(store: Arc<dyn Store>) -> Result<Protection, ProtectionError> {
        Ok(Protection {
            breaker: Some(Breaker::load(Arc::clone(&store)).await?),
            ..Protection::over(store)
        })
    }

    /// For as long as the process lives, without a circuit breaker: nobody is there to reset it.
    pub fn in_memory(identity: Identity) -> Arc<Protection> {
        Arc::new(Protection::over(Arc::new(Memory::new(identity))))
    }

    /// [`Protection::in_memory`] of an account's key.
    pub fn for_account(account: &Account) -> Arc<Protection> {
        Protection::in_memory(identity(account))
    }

    fn over(store: Arc<dyn Store>) -> Protection {
        Protection {
            store,
            breaker: None,
            gate: tokio::sync::Mutex::default(),
            refused: Default::default(),
        }
    }

    /// Where the rows are.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What stops claims, where anything does.
    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    /// Times that something was refused since the process began.
    pub fn refused(&self) -> u64 {
        let all = self.refused.iter();
        all.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The same by a rule.
    pub fn refused_by(&self, rule: Rule) -> u64 {
        let count = self.refused.get(rule as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Notes what is about to be said; it may be signed when this returns. `now` is the chain's time.
    ///
    /// # Errors
    /// It contradicts what was said, or cannot be noted: then it must not be signed.
    pub async fn admit(&self, statement: &Statement, now: u64) -> Result<(), ProtectionError> {
        let admitted = self.note(statement, now).await;
        if let Err(refusal) = &admitted {
            self.count(refusal).await;
        }
        admitted
    }

    /// What a call says is noted; it may be signed when this returns.
    ///
    /// # Errors
    /// As [`Protection::admit`]; it cannot be told what it says.
    pub async fn admit_call(
        &self,
        board: &crate::Board,
        contracts: &gavel_settlement::Deployment,
        me: Address,
        to: Address,
        call: &[u8],
    ) -> Result<(), ProtectionError> {
        match statement_of(board, contracts, me, to, call) {
            Ok(Some(statement)) => self.admit(&statement, board.now()).await,
            Ok(None) => Ok(()),
            Err(refusal) => {
                let refusal = refusal.into();
                self.count(&refusal).await;
                Err(refusal)
            }
        }
    }

    async fn count(&self, refusal: &ProtectionError) {
        let rule = Rule::of(refusal);
        if let Some(count) = rule.and_then(|rule| self.refused.get(rule as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(breaker) = &self.breaker
            && !matches!(
                refusal,
                // the board may be a block old
                ProtectionError::Unclassified(Unclassified::Subject { .. })
            )
        {
            breaker.trip(&refusal.to_string()).await;
        }
    }

    async fn note(&self, statement: &Statement, now: u64) -> Result<(), ProtectionError> {
        let subject = &statement.subject;
        let key = subject.key();
        let _one = self.gate.lock().await;
        let watermark = watermark(&*self.store, subject.kind.space()).await?;
        let there = if subject.id < watermark {
            let there = self.store.get(Table::Statements, &key).await?;
            if there.is_none() {
                return Err(ProtectionError::Forgotten {
                    subject: Box::new(*subject),
                    watermark,
                });
            }
            there
        } else {
            let said = Said {
                value: statement.value,
                at: now,
            };
            (self.store.insert(Table::Statements, &key, &written(&said))).await?
        };
        match there {
            None => Ok(()),
            Some(there) => {
                let Said { value, at } = read(&key, &there)?;
                match value == statement.value {
                    true => Ok(()),
                    false => Err(ProtectionError::Contradiction {
                        subject: Box::new(*subject),
                        said: value,
                        at,
                        wanted: statement.value,
                    }),
                }
            }
        }
    }
}

/// Whose database an account's is.
pub fn identity(account: &Account) -> Identity {
    let contracts = account.network().deployment();
    Identity {
        chain_id: contracts.chain_id,
        contract: contracts.market,
        address: account.address(),
    }
}

/// First id of a space of which everything that was said is in the database.
///
/// # Errors
/// The database fails.
pub async fn watermark(store: &dyn Store, space: Space) -> Result<u64, ProtectionError> {
    let text = store.get(Table::Watermarks, space.name()).await?;
    text.map_or(Ok(0), |text| {
        text.parse().map_err(|_| ProtectionError::Unreadable {
            what: format!("watermark {text}"),
        })
    })
}

/// All that was said, by kind and id.
///
/// # Errors
/// The database fails.
pub async fn statements(store: &dyn Store) -> Result<Vec<(Subject, Said)>, ProtectionError> {
    let rows = store.scan(Table::Statements).await?;
    let parse = |(key, text): &(String, String)| {
        let subject = Subject::parse(key).ok_or_else(|| ProtectionError::Unreadable {
            what: format!("row {key}"),
        })?;
        Ok((subject, read(key, text)?))
    };
    rows.iter().map(parse).collect()
}

fn written(said: &Said) -> String {
    serde_json::json!(said).to_string()
}

fn read(key: &str, text: &str) -> Result<Said, ProtectionError> {
    serde_json::from_str(text).map_err(|_| ProtectionError::Unreadable {
        what: format!("{text} under {key}"),
    })
}

#[cfg(test)]
mod tests;
