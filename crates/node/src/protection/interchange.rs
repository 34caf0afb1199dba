//! The rows as a file that another machine takes in, in the manner of EIP-3076.
//!
//! `spec/vectors/protection.json` has files and what becomes of them.

use alloy_primitives::{Address, B256};
use gavel_state::{Change, Identity, Store, Table};
use serde::{Deserialize, Serialize};

use super::{Kind, ProtectionError, Said, Space, Subject, statements, watermark, written};

/// Version of the format that is written and read.
pub const FORMAT_VERSION: &str = "1";

/// The file. Numbers are decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interchange {
    /// What it is of.
    pub metadata: Metadata,
    /// One entry a key.
    pub data: Vec<Signed>,
}

/// What a file is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// [`FORMAT_VERSION`].
    pub interchange_format_version: String,
    /// EVM chain id.
    #[serde(with = "decimal")]
    pub chain_id: u64,
    /// The market.
    pub gavel_contract: Address,
}

/// What one key has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The key's address.
    pub address: Address,
    /// First task and dispute of which everything is in the file.
    pub watermarks: Watermarks,
    /// Results: commitments and receipts; `value` is the trace root.
    pub signed_results: Vec<TaskRow>,
    /// Claims; `value` is zero.
    pub signed_claims: Vec<TaskRow>,
    /// Challenges; `value` is the commitment.
    pub signed_challenges: Vec<TaskRow>,
    /// Audits; `value` is the hash of salted root and root commitment.
    pub signed_audits: Vec<TaskRow>,
    /// Moves in disputes and appeals; `value` is the hash of the call.
    pub signed_moves: Vec<DisputeRow>,
    /// Rulings; `value` is the hash of the call.
    pub signed_rulings: Vec<DisputeRow>,
}

/// Below these everything may have been forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermarks {
    /// First task of which everything is known.
    #[serde(with = "decimal")]
    pub tasks: u64,
    /// First dispute of which everything is known.
    #[serde(with = "decimal")]
    pub disputes: u64,
}

/// Something said about an attempt at a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRow {
    /// Task.
    #[serde(with = "decimal")]
    pub task: u64,
    /// Attempt, from 0.
    #[serde(with = "decimal")]
    pub attempt: u8,
    /// What the number names.
    pub case: B256,
    /// The claim that is answered; absent where there is one only.
    #[serde(default, skip_serializing_if = "B256::is_zero")]
    pub answers: B256,
    /// What was said.
    pub value: B256,
    /// When, in the chain's time.
    #[serde(with = "decimal")]
    pub at: u64,
}

/// Something said in a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisputeRow {
    /// Dispute.
    #[serde(with = "decimal")]
    pub dispute: u64,
    /// What the number names.
    pub case: B256,
    /// The claim that is answered.
    pub answers: B256,
    /// What was said.
    pub value: B256,
    /// When, in the chain's time.
    #[serde(with = "decimal")]
    pub at: u64,
}

/// Why a file is not taken in. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not JSON, or not this shape.
    #[error("no interchange file: {0}")]
    Json(#[from] serde_json::Error),
    /// A version that this program does not know.
    #[error("interchange format version {found}; this program knows version {FORMAT_VERSION}")]
    Version {
        /// In the file.
        found: String,
    },
    /// Of another network.
    #[error(
        "the file is of market {found_contract} on chain {found_chain}, the database of {expected}"
    )]
    OtherNetwork {
        /// Whose the database is.
        expected: Identity,
        /// Chain in the file.
        found_chain: u64,
        /// Market in the file.
        found_contract: Address,
    },
    /// It has nothing of the database's key.
    #[error("the file has nothing of key {0}")]
    OtherKey(Address),
    /// File and database, or two entries of the file, say different things of the same subject.
    #[error(
        "{} of the file contradict what is known, the first as {}: {} in the file, {} before; this key has said two different things already",
        .0.len(), .0[0].0, .0[0].1, .0[0].2
    )]
    Contradictions(Vec<(Subject, B256, B256)>),
    /// The database fails.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Rows that were new.
    pub new: usize,
    /// Rows that were there.
    pub known: usize,
}

impl Interchange {
    /// Reads a file.
    ///
    /// # Errors
    /// Not JSON of this shape and version.
    pub fn parse(text: &[u8]) -> Result<Interchange, ImportError> {
        #[derive(Deserialize)]
        struct Versioned {
            metadata: Version,
        }
        #[derive(Deserialize)]
        struct Version {
            interchange_format_version: String,
        }
        let version: Versioned = serde_json::from_slice(text)?;
        let found = version.metadata.interchange_format_version;
        if found != FORMAT_VERSION {
            return Err(ImportError::Version { found });
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// Whose a fresh database for it would be; none where it is of no key or several.
    pub fn identity(&self) -> Option<Identity> {
        match self.data.as_slice() {
            [one] => Some(Identity {
                chain_id: self.metadata.chain_id,
                contract: self.metadata.gavel_contract,
                address: one.address,
            }),
            _ => None,
        }
    }
}

/// All that a database knows.
///
/// # Errors
/// The database fails.
pub async fn export(store: &dyn Store) -> Result<Interchange, ProtectionError> {
    let Identity {
        chain_id,
        contract,
        address,
    } = store.identity();
    // the watermarks are read last: rows that are pruned meanwhile are below them
    let rows = statements(store).await?;
    let watermarks = Watermarks {
        tasks: watermark(store, Space::Tasks).await?,
        disputes: watermark(store, Space::Disputes).await?,
    };
    let of = |kind| rows.iter().filter(move |(s, _)| s.kind == kind);
    let tasks = |kind| of(kind).map(|(s, said)| TaskRow::new(s, said)).collect();
    let disputes = |kind| of(kind).map(|(s, said)| DisputeRow::new(s, said)).collect();
    Ok(Interchange {
        metadata: Metadata {
            interchange_format_version: FORMAT_VERSION.to_owned(),
            chain_id,
            gavel_contract: contract,
        },
        data: vec![Signed {
            address,
            watermarks,
            signed_results: tasks(Kind::Result),
            signed_claims: tasks(Kind::Claim),
            signed_challenges: tasks(Kind::Challenge),
            signed_audits: tasks(Kind::Audit),
            signed_moves: disputes(Kind::Move),
            signed_rulings: disputes(Kind::Ruling),
        }],
    })
}

/// Takes in what a file has of the database's key: afterwards everything is refused that either would have refused.
///
/// # Errors
/// See [`ImportError`]; nothing was written.
pub async fn import(store: &dyn Store, file: &Interchange) -> Result<Imported, ImportError> {
    let identity = store.identity();
    let Metadata {
        chain_id,
        gavel_contract,
        ..
    } = file.metadata;
    if (chain_id, gavel_contract) != (identity.chain_id, identity.contract) {
        return Err(ImportError::OtherNetwork {
            expected: identity,
            found_chain: chain_id,
            found_contract: gavel_contract,
        });
    }
    let entries = file.data.iter().filter(|e| e.address == identity.address);
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        return Err(ImportError::OtherKey(identity.address));
    }
    let mut known: std::collections::BTreeMap<_, _> =
        statements(store).await?.into_iter().collect();
    let (mut changes, mut contradictions) = (Vec::new(), Vec::new());
    let mut imported = Imported::default();
    for (subject, said) in entries.iter().flat_map(|entry| entry.rows()) {
        match known.get(&subject) {
            Some(before) if before.value != said.value => {
                contradictions.push((subject, said.value, before.value));
            }
            Some(_) => imported.known += 1,
            None => {
                imported.new += 1;
                known.insert(subject, said);
                changes.push(Change::Put(
                    Table::Statements,
                    subject.key(),
                    written(&said),
                ));
            }
        }
    }
    if !contradictions.is_empty() {
        return Err(ImportError::Contradictions(contradictions));
    }
    for space in [Space::Tasks, Space::Disputes] {
        let theirs = entries.iter().map(|entry| entry.watermarks.of(space)).max();
        let ours = watermark(store, space).await?;
        let raised = theirs.unwrap_or(0).max(ours);
        changes.push(raise(space, raised));
    }
    store.write(&changes).await.map_err(ProtectionError::from)?;
    Ok(imported)
}

/// Forgets what was said about tasks and disputes below these numbers, which must be final for good: nothing new is said
/// about them afterwards. Gives the number of rows that went.
///
/// # Errors
/// The database fails.
pub async fn prune(store: &dyn Store, below: Watermarks) -> Result<usize, ProtectionError> {
    let mut changes = Vec::new();
    for (subject, _) in statements(store).await? {
        if subject.id < below.of(subject.kind.space()) {
            changes.push(Change::Delete(Table::Statements, subject.key()));
        }
    }
    let gone = changes.len();
    for space in [Space::Tasks, Space::Disputes] {
        let raised = below.of(space).max(watermark(store, space).await?);
        changes.push(raise(space, raised));
    }
    store.write(&changes).await?;
    Ok(gone)
}

fn raise(space: Space, to: u64) -> Change {
    Change::Put(Table::Watermarks, space.name().to_owned(), to.to_string())
}

impl Watermarks {
    fn of(&self, space: Space) -> u64 {
        match space {
            Space::Tasks => self.tasks,
            Space::Disputes => self.disputes,
        }
    }
}

impl Signed {
    fn rows(&self) -> Vec<(Subject, Said)> {
        let tasks = [
            (Kind::Result, &self.signed_results),
            (Kind::Claim, &self.signed_claims),
            (Kind::Challenge, &self.signed_challenges),
            (Kind::Audit, &self.signed_audits),
        ];
        let disputes = [
            (Kind::Move, &self.signed_moves),
            (Kind::Ruling, &self.signed_rulings),
        ];
        let tasks = tasks
            .into_iter()
            .flat_map(|(kind, rows)| rows.iter().map(move |row| row.row(kind)));
        let disputes = disputes
            .into_iter()
            .flat_map(|(kind, rows)| rows.iter().map(move |row| row.row(kind)));
        tasks.chain(disputes).collect()
    }
}

impl TaskRow {
    fn new(subject: &Subject, said: &Said) -> TaskRow {
        TaskRow {
            task: subject.id,
            attempt: subject.attempt,
            case: subject.case,
            answers: subject.answers,
            value: said.value,
            at: said.at,
        }
    }

    fn row(&self, kind: Kind) -> (Subject, Said) {
        let subject = Subject {
            kind,
            id: self.task,
            attempt: self.attempt,
            case: self.case,
            answers: self.answers,
        };
        let (value, at) = (self.value, self.at);
        (subject, Said { value, at })
    }
}

impl DisputeRow {
    fn new(subject: &Subject, said: &Said) -> DisputeRow {
        DisputeRow {
            dispute: subject.id,
            case: subject.case,
            answers: subject.answers,
            value: said.value,
            at: said.at,
        }
    }

    fn row(&self, kind: Kind) -> (Subject, Said) {
        let subject = Subject {
            kind,
            id: self.dispute,
            attempt: 0,
            case: self.case,
            answers: self.answers,
        };
        let (value, at) = (self.value, self.at);
        (subject, Said { value, at })
    }
}

/// Numbers as decimal strings, which every JSON reader keeps exact.
mod decimal {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        number: &impl Display,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
    {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}
