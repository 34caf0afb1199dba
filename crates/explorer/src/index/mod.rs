//! What happened, put together from the chain's events: histories of tasks and disputes, records of providers, every
//! coin's way. Pure: one transaction after the other goes in; what stands in the contracts' records is the board's.
//!
//! What is final is forgotten, oldest first, beyond what [`Limits`] say. The books go on, and everybody who ever did
//! something keeps a record.

mod appeal;
mod court;
mod dissection;
pub mod ledger;
mod market;
mod people;
mod records;
mod told;
pub mod transaction;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gavel_node::{Address, B256, Board, U256};
use gavel_settlement::ProtocolEvent;
use gavel_settlement::bindings::Parameters::{ParametersEvents, Params};
use gavel_trace::{Digest, ModelHeader};

use crate::catalogue::Catalogue;
use ledger::{Account, Ledger, Transfer, Why};
pub use records::*;
use transaction::Transaction;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Final tasks, the newest.
    pub tasks: usize,
    /// Final disputes, the newest.
    pub disputes: usize,
    /// Lines of activity.
    pub lines: usize,
    /// Transfers of one account's own.
    pub transfers: usize,
    /// Tasks, disputes and slashes that a provider's record names.
    pub per_provider: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tasks: 10_000,
            disputes: 2_000,
            lines: 5_000,
            transfers: 200,
            per_provider: 50,
        }
    }
}

/// Claims that the auction's page names.
const CLAIMS_KEPT: usize = 20;

/// The chain's history.
#[derive(Debug)]
pub struct Index {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) limits: Limits,
    pub(crate) audits_contract: Address,
    pub(crate) ledger: Ledger,
    pub(crate) tasks: BTreeMap<u64, TaskTale>,
    pub(crate) disputes: BTreeMap<u64, DisputeTale>,
    pub(crate) audits: BTreeMap<(u64, u8), AuditTale>,
    pub(crate) people: BTreeMap<Address, Person>,
    pub(crate) models: BTreeMap<Digest, Registered>,
    pub(crate) rules: BTreeMap<u16, (u64, Params)>,
    pub(crate) claims: VecDeque<Claimed>,
    pub(crate) lines: VecDeque<Arc<Line>>,
    lines_told: u64,
    /// What the transactions of the kept lines are about.
    pub(crate) paths: BTreeMap<B256, String>,
    final_tasks: VecDeque<u64>,
    final_disputes: VecDeque<u64>,
}

impl Index {
    /// An index of a chain whose contracts have these addresses, before its first event.
    pub fn new(
        catalogue: Arc<Catalogue>,
        limits: Limits,
        vault: Address,
        audits: Address,
    ) -> Index {
        Index {
            catalogue,
            limits,
            audits_contract: audits,
            ledger: Ledger::new(vault),
            tasks: BTreeMap::new(),
            disputes: BTreeMap::new(),
            audits: BTreeMap::new(),
            people: BTreeMap::new(),
            models: BTreeMap::new(),
            rules: BTreeMap::new(),
            claims: VecDeque::new(),
            lines: VecDeque::new(),
            lines_told: 0,
            paths: BTreeMap::new(),
            final_tasks: VecDeque::new(),
            final_disputes: VecDeque::new(),
        }
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts a transaction into the history and tells it.
    pub fn apply(&mut self, tx: &Transaction, board: &Board) -> Arc<Line> {
        let disputes = &self.disputes;
        let tasks = &self.tasks;
        let transfers = self.ledger.apply(
            tx,
            |dispute| disputes.get(&dispute).map(|d| d.task),
            |task| tasks.get(&task).map_or(0, TaskTale::running_attempt),
        );
        let transfers: Vec<Arc<Transfer>> = transfers.into_iter().map(Arc::new).collect();
        let mut telling = told::Telling::default();
        for (at, event) in tx.events.iter().enumerate() {
            match event {
                ProtocolEvent::Market(event) => self.market(tx, event, &mut telling),
                ProtocolEvent::Court(event) => self.court(tx, event, board, &mut telling),
                ProtocolEvent::Audits(event) => self.audit(tx, event, &mut telling),
                ProtocolEvent::Appeals(event) => self.appeal(tx, event, &mut telling),
                ProtocolEvent::Vault(event) => self.vault(tx, event, &mut telling),
                ProtocolEvent::Pool(event) => self.pool(event, &mut telling),
                ProtocolEvent::Parameters(ParametersEvents::ParametersSet(e)) => {
                    self.rules.insert(e.version, (tx.time, e.params.clone()));
                    telling.touch("parameters".to_owned());
                    telling.headline(
                        Tone::Plain,
                        format!("sets the parameters: version {}", e.version),
                    );
                }
                ProtocolEvent::Parameters(ParametersEvents::PausedSet(e)) => {
                    telling.touch("parameters".to_owned());
                    let what = if e.paused {
                        "refuses new tasks"
                    } else {
                        "takes new tasks again"
                    };
                    telling.headline(Tone::Bad, what.to_owned());
                }
                ProtocolEvent::Beacon(_) if at == 0 => {
                    telling.headline(Tone::Quiet, "publishes a round of the beacon".to_owned());
                }
                _ => {}
            }
        }
        self.book(&transfers, &mut telling);
        self.forget();
        self.tell(tx, telling)
    }

    /// Files transfers with what they are about, and tells losses of stake.
    fn book(&mut self, transfers: &[Arc<Transfer>], telling: &mut told::Telling) {
        for transfer in transfers {
            if let Some(tale) = transfer.task.and_then(|task| self.tasks.get_mut(&task)) {
                tale.money.push(Arc::clone(transfer));
                // a bond comes before its dispute
                if let Account::Challenge(who, _) = transfer.to
                    && let Some(challenge) = tale
                        .challenges
                        .iter_mut()
                        .rev()
                        .find(|c| c.challenger == who)
                {
                    challenge.paid = Some(Arc::clone(transfer));
                }
            }
            if let Some(tale) = transfer
                .dispute
                .and_then(|dispute| self.disputes.get_mut(&dispute))
            {
                tale.money.push(Arc::clone(transfer));
            }
            self.file(transfer);
        }
        let slashes = slashes_of(transfers);
        for slash in slashes {
            self.note_slash(&slash);
            self.tell_slash(&slash, telling);
            if let Some(tale) = slash
                .dispute
                .and_then(|dispute| self.disputes.get_mut(&dispute))
            {
                tale.slashes.push(slash);
            }
        }
    }

    fn tell(&mut self, tx: &Transaction, telling: told::Telling) -> Arc<Line> {
        self.lines_told += 1;
        let line = Arc::new(telling.line(self.lines_told, tx));
        if let Some(path) = line.touches.iter().find_map(|touched| path_of(touched)) {
            self.paths.insert(tx.hash, path);
        }
        self.lines.push_back(Arc::clone(&line));
        if self.lines.len() > self.limits.lines
            && let Some(old) = self.lines.pop_front()
        {
            self.paths.remove(&old.transaction);
        }
        line
    }

    /// Forgets what is final and beyond the limits.
    fn forget(&mut self) {
        while self.final_tasks.len() > self.limits.tasks {
            let Some(task) = self.final_tasks.pop_front() else {
                break;
            };
            if let Some(tale) = self.tasks.remove(&task) {
                for attempt in &tale.attempts {
                    self.audits.remove(&(task, attempt.attempt));
                }
            }
        }
        while self.final_disputes.len() > self.limits.disputes {
            let Some(dispute) = self.final_disputes.pop_front() else {
                break;
            };
            self.disputes.remove(&dispute);
        }
    }

    pub(crate) fn name(&self, who: &Address) -> String {
        if *who == self.audits_contract {
            return "the audit pool".to_owned();
        }
        self.catalogue.name_or_short(who)
    }

    /// The header of a task's model.
    pub(crate) fn header_of(&self, task: u64) -> Option<ModelHeader> {
        let model = self.tasks.get(&task)?.model;
        Some(self.models.get(&model)?.header)
    }
}

/// The losses of stake among the transfers of a transaction, each with where its coins went.
fn slashes_of(transfers: &[Arc<Transfer>]) -> Vec<Slash> {
    let mut slashes: Vec<Slash> = Vec::new();
    for transfer in transfers {
        let party = match transfer.from {
            Account::Stake(who) | Account::Collateral(who, _) => Some(who),
            _ => None,
        };
        let is_slash = matches!(
            transfer.why,
            Why::Slash | Why::Correlated | Why::SlashLiveness | Why::Penalty
        );
        if let Some(party) = party.filter(|_| is_slash) {
            match slashes.last_mut() {
                // collateral and stake are one loss
                Some(last) if last.party == party && last.split.is_empty() => {
                    last.amount += transfer.amount;
                }
                _ => slashes.push(Slash {
                    party,
                    amount: transfer.amount,
                    why: transfer.why,
                    task: transfer.task,
                    dispute: transfer.dispute,
                    time: transfer.time,
                    transaction: transfer.transaction,
                    into: transfer.to,
                    split: Vec::new(),
                }),
            }
            continue;
        }
        let Some(slash) = slashes.last_mut().filter(|slash| slash.left() > 0) else {
            continue;
        };
        let is_share = matches!(
            transfer.why,
            Why::Requester
                | Why::Challenger
                | Why::Referee
                | Why::Requeue
                | Why::Restitution
                | Why::Burned
        );
        if transfer.from == slash.into && is_share {
            slash.split.push(Share {
                to: transfer.to,
                amount: transfer.amount.min(slash.left()),
                why: transfer.why,
            });
        }
    }
    for slash in &mut slashes {
        let left = slash.left();
        if left > 0 {
            let why = if slash.into == Account::Burned {
                Why::Burned
            } else {
                slash.why
            };
            slash.split.push(Share {
                to: slash.into,
                amount: left,
                why,
            });
        }
    }
    slashes
}

/// The page of what a line touches, if it is one that a transaction can lead to.
fn path_of(touched: &str) -> Option<String> {
    let (kind, rest) = touched.split_once('/')?;
    Some(match kind {
        "dispute" => format!("/disputes/{rest}"),
        "task" => format!("/tasks/{rest}"),
        "provider" => format!("/providers/{rest}"),
        "model" => format!("/models/{rest}"),
        _ => return None,
    })
}

/// Ids are counted up from 1.
fn id(value: U256) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A word that a contract gives as a reason.
fn word(value: &B256) -> String {
    let text: Vec<u8> = value.0.iter().copied().take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&text).into_owned()
}

fn digest(value: &B256) -> Digest {
    Digest(value.0)
}
