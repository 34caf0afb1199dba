//! What happened in a world, read from the chain alone: a line per transaction for people, and the parts of the
//! report. Nothing here asks a role what it did.

mod appeals;
mod audits;
mod court;
mod market;
mod money;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_node::{Address, B256, Executor, U256};
use gavel_settlement::{Deployment, ProtocolEvent, SharedChain};
use gavel_trace::Digest;

use crate::books::Extent;
use crate::timeline::{Line, Tone};
use crate::{
    AuditReport, ChallengeReport, ClaimReport, DisputeReport, Fault, GasReport, PartyFacts,
    SlashReport, TaskReport, Workload,
};
use court::DisputeTale;
use market::TaskTale;
use transaction::Transaction;

/// Somebody whose name is known.
pub(crate) struct Person {
    pub(crate) facts: PartyFacts,
    pub(crate) executor: Option<Arc<dyn Executor>>,
}

/// A part of what a transaction says.
enum Said {
    /// What its sender did.
    Headline(Tone, String),
    /// What followed.
    Detail(String),
}

fn plain(what: String) -> Vec<Said> {
    vec![Said::Headline(Tone::Plain, what)]
}

/// The chain's history in words and numbers.
pub(crate) struct Chronicle {
    chain: SharedChain,
    deployment: Deployment,
    workload: Arc<Workload>,
    people: BTreeMap<Address, Person>,
    /// What the audit pool keeps of a settled task.
    levy: u128,
    began: u64,
    /// Newest block before the world began.
    first: u64,
    block: u64,
    tasks: BTreeMap<u64, TaskTale>,
    claims: Vec<ClaimReport>,
    challenges: Vec<(Address, u8, ChallengeReport)>,
    disputes: BTreeMap<u64, DisputeTale>,
    audits: Vec<AuditReport>,
    slashes: Vec<(Address, SlashReport)>,
    gas: BTreeMap<String, GasReport>,
    transactions: u32,
    /// Disputes in which the contract has just executed a step that was not as claimed.
    decided: Vec<u64>,
    /// The slash whose coins are being handed out in the transaction at hand.
    splitting: Option<money::Splitting>,
}

impl Chronicle {
    /// A chronicle of what comes after the chain's newest block.
    pub(crate) fn new(
        chain: SharedChain,
        deployment: Deployment,
        workload: Arc<Workload>,
        people: BTreeMap<Address, Person>,
        levy: u128,
    ) -> Chronicle {
        let (began, block) = {
            let chain = chain.lock();
            (chain.now(), chain.head().number)
        };
        Chronicle {
            chain,
            deployment,
            workload,
            people,
            levy,
            began,
            first: block,
            block,
            tasks: BTreeMap::new(),
            claims: Vec::new(),
            challenges: Vec::new(),
            disputes: BTreeMap::new(),
            audits: Vec::new(),
            slashes: Vec::new(),
            gas: BTreeMap::new(),
            transactions: 0,
            decided: Vec::new(),
            splitting: None,
        }
    }

    /// When the world began, in seconds since the epoch.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// Reads what is new on the chain.
    pub(crate) fn catch_up(&mut self) -> Vec<Line> {
        let (new, head) = transaction::since(&self.chain, &self.deployment, self.block);
        self.block = head;
        new.iter().map(|tx| self.absorb(tx)).collect()
    }

    /// Height of the newest block before the world began.
    pub(crate) fn first_block(&self) -> u64 {
        self.first
    }

    /// Forgets everything and reads it again, because blocks have left the chain.
    pub(crate) fn read_again(&mut self) {
        self.block = self.first;
        self.tasks.clear();
        self.claims.clear();
        self.challenges.clear();
        self.disputes.clear();
        self.audits.clear();
        self.slashes.clear();
        self.gas.clear();
        self.transactions = 0;
        // it has been told, as far as it still stands
        self.catch_up();
    }

    fn absorb(&mut self, tx: &Transaction) -> Line {
        self.transactions += 1;
        let action = tx.action.to_owned();
        self.gas.entry(action).or_default().add(tx.gas);
        let slashes = self.slashes.len();
        let mut said = Vec::new();
        for event in &tx.events {
            said.extend(match event {
                ProtocolEvent::Market(event) => self.market(tx, event),
                ProtocolEvent::Court(event) => self.court(tx, event),
                ProtocolEvent::Audits(event) => self.audits(event),
                ProtocolEvent::Appeals(event) => self.appeals(event),
                ProtocolEvent::Vault(event) => self.vault(tx, event),
                _ => Vec::new(),
            });
        }
        self.finish_split();
        said.extend(self.told_slashes(slashes).map(Said::Detail));
        let line = self.line(tx, said);
        self.note_move(tx, &line.what);
        line
    }

    fn line(&mut self, tx: &Transaction, said: Vec<Said>) -> Line {
        let mut line = Line {
            at: self.at(tx),
            who: self.name(&tx.from),
            what: String::new(),
            details: Vec::new(),
            tone: Tone::Quiet,
            gas: tx.gas,
            decided: self.decided.pop(),
        };
        for part in said {
            match part {
                Said::Headline(tone, what) if line.what.is_empty() => {
                    (line.tone, line.what) = (tone, what);
                }
                Said::Headline(_, what) | Said::Detail(what) => line.details.push(what),
            }
        }
        if line.what.is_empty() {
            line.what = match tx.action {
                "publish" => "publishes a round of the beacon".to_owned(),
                "withdrawCredit" => "withdraws what it has earned".to_owned(),
                other => format!("calls {other}"),
            };
        }
        line
    }

    /// Seconds since the world began.
    fn at(&self, tx: &Transaction) -> u64 {
        tx.time.saturating_sub(self.began)
    }

    fn name(&self, who: &Address) -> String {
        let d = &self.deployment;
        match self.people.get(who) {
            Some(person) => person.facts.name.clone(),
            None if *who == d.audits => "the audit pool".to_owned(),
            None if *who == d.vault => "the vault".to_owned(),
            None => who.to_string(),
        }
    }

    fn has_fault(&self, who: &Address, fault: Fault) -> bool {
        let person = self.people.get(who);
        person.is_some_and(|person| person.facts.faults.contains(&fault))
    }

    /// What there is to be counted in the books.
    pub(crate) fn extent(&self, holders: Vec<Address>) -> Extent {
        let challenges = self.challenges.iter();
        Extent {
            holders,
            tasks: self.tasks.keys().next_back().copied().unwrap_or(0),
            disputes: self.disputes.keys().next_back().copied().unwrap_or(0),
            challenges: challenges
                .map(|(who, attempt, c)| (c.task, *attempt, *who))
                .collect(),
        }
    }

    /// Everything, taken out.
    pub(crate) fn close(self) -> Told {
        Told {
            levies: self.tasks.values().map(|t| t.levy).sum(),
            tasks: self.tasks.into_values().map(|t| t.report).collect(),
            claims: self.claims,
            challenges: self.challenges.into_iter().map(|(_, _, c)| c).collect(),
            disputes: self.disputes.into_values().map(|d| d.report).collect(),
            audits: self.audits,
            slashes: self.slashes.into_iter().map(|(_, s)| s).collect(),
            gas: self.gas,
            transactions: self.transactions,
        }
    }
}

/// The parts of the report that the chain's logs tell.
pub(crate) struct Told {
    pub(crate) tasks: Vec<TaskReport>,
    /// What requesters paid for audits with the tasks that were settled.
    pub(crate) levies: u128,
    pub(crate) claims: Vec<ClaimReport>,
    pub(crate) challenges: Vec<ChallengeReport>,
    pub(crate) disputes: Vec<DisputeReport>,
    pub(crate) audits: Vec<AuditReport>,
    pub(crate) slashes: Vec<SlashReport>,
    pub(crate) gas: BTreeMap<String, GasReport>,
    pub(crate) transactions: u32,
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
