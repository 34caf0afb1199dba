//! What a gateway has to remember: which key asked for which task, and what that has cost. A file of lines, one per fact,
//! each on disk before anything follows from it. What is forgotten is a sum for its key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use gavel_trace::Digest;
use serde::{Deserialize, Serialize};

use crate::lines::{FileMedium, Lines, Medium};

/// Lines beyond twice what is remembered at which the file is written anew.
const SLACK: usize = 1024;
/// Most lines of one ticket that is remembered.
const LINES_OF_ONE: usize = 4;

/// What kind of answer was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A message of a conversation.
    Chat,
    /// How a text goes on.
    Completion,
    /// A vector.
    Embedding,
    /// A picture.
    Image,
}

impl Endpoint {
    /// The path that it is asked at.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Completion => "/v1/completions",
            Endpoint::Embedding => "/v1/embeddings",
            Endpoint::Image => "/v1/images/generations",
        }
    }

    /// The one that is asked at a path.
    pub fn at(path: &str) -> Option<Endpoint> {
        let all = [
            Endpoint::Chat,
            Endpoint::Completion,
            Endpoint::Embedding,
            Endpoint::Image,
        ];
        all.into_iter().find(|endpoint| endpoint.path() == path)
    }
}

/// What a request asked for, so that its answer can be told at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Name of the key.
    pub key: String,
    /// `Idempotency-Key` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<String>,
    /// SHA-256 of what was asked.
    pub request: String,
    /// Place among the request's tasks.
    pub index: u32,
    /// What kind of answer it is.
    pub endpoint: Endpoint,
    /// The model by the name that the client used.
    pub model: String,
    /// Inputs of the task.
    pub input_digest: Digest,
    /// Seed of the task.
    pub seed: u64,
    /// Tokens of the input, of an encoder's task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Whether a vector goes out as base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base64: bool,
    /// Texts before which the answer ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The most that it costs, in units of the asset.
    pub ceiling: String,
    /// Seconds since the epoch.
    pub created: u64,
    /// Newest task that was forgotten when the ticket was made: its own comes later.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: u64,
    /// The task; `None` while it is not known to be posted.
    #[serde(skip)]
    pub task: Option<u64>,
    /// What it has cost, once nothing can change that any more.
    #[serde(skip)]
    pub closed: Option<Closed>,
}

/// The end of a task, as far as its key pays for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// In units of the asset; nothing, where the escrow is back.
    pub cost: u128,
    /// When that was known, in seconds since the epoch.
    pub at: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ticket(Box<Ticket>),
    Posted {
        ticket: usize,
        task: u64,
    },
    Refused {
        ticket: usize,
    },
    Closed {
        ticket: usize,
        #[serde(with = "units")]
        cost: u128,
        at: u64,
    },
    Forgotten {
        tickets: Vec<usize>,
    },
    /// What the forgotten tickets of a key have cost, and the newest task among theirs.
    Spent {
        key: String,
        #[serde(with = "units")]
        units: u128,
        through: u64,
    },
    /// The next ticket has this number: those before are forgotten.
    Next {
        ticket: usize,
    },
}

/// Amounts as texts, as everywhere else.
mod units {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(units: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(units)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What is remembered of one key.
#[derive(Debug, Default)]
struct Account {
    /// What all its closed tickets have cost.
    closed: u128,
    /// Of that, those that are forgotten.
    forgotten: u128,
    /// Newest task that was forgotten.
    through: u64,
    /// Tickets that are not closed.
    open: BTreeSet<usize>,
}

/// The tickets that are remembered, in the order of their making, and what the others have cost.
#[derive(Debug)]
pub struct Journal {
    lines: Option<Lines>,
    slack: usize,
    /// Lines before which it is not tried again to write the file anew.
    patience: usize,
    trouble: Trouble,
    /// Number of the next ticket.
    next: usize,
    tickets: BTreeMap<usize, Ticket>,
    accounts: BTreeMap<String, Account>,
    /// Tickets that are closed, by the time at which they were.
    closed: BTreeSet<(u64, usize)>,
    by_idempotency: HashMap<(String, String), Vec<usize>>,
    by_task: HashMap<u64, usize>,
}

/// What a file has refused since the process began.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// How often.
    pub count: u64,
    /// What it said the last time.
    pub last: String,
}

impl Trouble {
    fn is(&mut self, error: &io::Error) {
        self.count += 1;
        self.last = error.to_string();
    }
}

impl Journal {
    /// One that forgets all when the process ends.
    pub fn memory() -> Journal {
        Journal {
            lines: None,
            slack: SLACK,
            patience: 0,
            trouble: Trouble::default(),
            next: 0,
            tickets: BTreeMap::new(),
            accounts: BTreeMap::new(),
            closed: BTreeSet::new(),
            by_idempotency: HashMap::new(),
            by_task: HashMap::new(),
        }
    }

    /// Opens or makes a file. A last line that was cut off by a crash is dropped: nothing followed from it. The file is
    /// locked as long as it is open.
    ///
    /// # Errors
    /// The file system said no, another process has it, or a line in the middle cannot be read.
    pub fn open(path: &Path) -> io::Result<Journal> {
        Journal::on(Box::new(FileMedium::locked(path)?))
    }

    /// What a medium holds, to be gone on with. See [`Journal::open`].
    ///
    /// # Errors
    /// The medium cannot be read or written, or a line in the middle cannot be read.
    pub fn on(medium: Box<dyn Medium>) -> io::Result<Journal> {
        let mut journal = Journal::memory();
        let lines = Lines::read(medium, |line, at| {
            let fact = serde_json::from_slice(line)?;
            journal.apply(fact).ok_or_else(|| {
                io::Error::other(format!(
                    "a line at byte {at} that does not follow from those before"
                ))
            })
        })?;
        journal.lines = Some(lines);
        Ok(journal)
    }

    /// Has the file written anew at so many lines beyond twice what is remembered.
    #[must_use]
    pub fn with_slack(self, slack: usize) -> Journal {
        Journal { slack, ..self }
    }

    /// What its file has refused.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Whether a fact is about what there is.
    fn admits(&self, line: &Line) -> bool {
        let is_open = |ticket: &usize| self.ticket(*ticket).is_some_and(|t| t.closed.is_none());
        match line {
            Line::Ticket(_) | Line::Spent { .. } => true,
            Line::Posted { ticket, .. }
            | Line::Closed { ticket, .. }
            | Line::Refused { ticket } => is_open(ticket),
            Line::Forgotten { tickets } => tickets
                .iter()
                .all(|ticket| self.ticket(*ticket).is_some_and(|t| t.closed.is_some())),
            Line::Next { ticket } => *ticket >= self.next,
        }
    }

    /// `None`: it is about nothing that there is.
    fn apply(&mut self, line: Line) -> Option<()> {
        if !self.admits(&line) {
            return None;
        }
        match line {
            Line::Ticket(ticket) => {
                let number = self.next;
                self.next += 1;
                if let Some(key) = &ticket.idempotency {
                    let key = (ticket.key.clone(), key.clone());
                    self.by_idempotency.entry(key).or_default().push(number);
                }
                self.account(&ticket.key).open.insert(number);
                self.tickets.insert(number, *ticket);
            }
            Line::Posted { ticket, task } => {
                self.tickets.get_mut(&ticket)?.task = Some(task);
                self.by_task.insert(task, ticket);
            }
            Line::Refused { ticket } => {
                self.remove(ticket)?;
            }
            Line::Closed { ticket, cost, at } => {
                let of = self.tickets.get_mut(&ticket)?;
                of.closed = Some(Closed { cost, at });
                let key = of.key.clone();
                self.closed.insert((at, ticket));
                let account = self.account(&key);
                account.open.remove(&ticket);
                account.closed = account.closed.saturating_add(cost);
            }
            Line::Forgotten { tickets } => {
                for number in tickets {
                    let ticket = self.remove(number)?;
                    let closed = ticket.closed?;
                    self.closed.remove(&(closed.at, number));
                    let account = self.account(&ticket.key);
                    account.forgotten = account.forgotten.saturating_add(closed.cost);
                    account.through = account.through.max(ticket.task.unwrap_or(0));
                }
            }
            Line::Spent {
                key,
                units,
                through,
            } => {
                let account = self.account(&key);
                account.closed = account.closed.saturating_add(units);
                account.forgotten = account.forgotten.saturating_add(units);
                account.through = account.through.max(through);
            }
            Line::Next { ticket } => self.next = ticket,
        }
        Some(())
    }

    fn account(&mut self, key: &str) -> &mut Account {
        self.accounts.entry(key.to_owned()).or_default()
    }

    /// Leaves nothing of a ticket but what it has cost.
    fn remove(&mut self, number: usize) -> Option<Ticket> {
        let ticket = self.tickets.remove(&number)?;
        self.account(&ticket.key).open.remove(&number);
        if let Some(task) = ticket.task {
            self.by_task.remove(&task);
        }
        if let Some(key) = &ticket.idempotency {
            let key = (ticket.key.clone(), key.clone());
            if let Some(numbers) = self.by_idempotency.get_mut(&key) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.by_idempotency.remove(&key);
                }
            }
        }
        Some(ticket)
    }

    fn write(&mut self, facts: Vec<Line>) -> io::Result<()> {
        if !facts.iter().all(|fact| self.admits(fact)) {
            return Err(io::Error::other("no such ticket"));
        }
        if let Some(lines) = &mut self.lines {
            let appended = lines.append(&text(&facts)?);
            appended.inspect_err(|error| self.trouble.is(error))?;
        }
        for fact in facts {
            self.apply(fact)
                .ok_or_else(|| io::Error::other("no such ticket"))?;
        }
        self.compact();
        Ok(())
    }

    /// Writes the file anew where most of it is about what is not remembered any more. Where that fails the old one is as
    /// good.
    fn compact(&mut self) {
        let needed = 1 + self.accounts.len() + LINES_OF_ONE * self.tickets.len();
        let most = (2 * needed + self.slack).max(self.patience);
        if self.lines.as_ref().is_none_or(|l| l.count() < most) {
            return;
        }
        let written = text(&self.facts());
        let Some(lines) = &mut self.lines else {
            return;
        };
        let written = written.and_then(|text| lines.rewrite(&text));
        self.patience = match written {
            Ok(()) => 0,
            Err(error) => {
                self.trouble.is(&error);
                lines.count() + self.slack
            }
        };
    }

    /// All that is remembered.
    fn facts(&self) -> Vec<Line> {
        let mut facts = Vec::new();
        for (key, account) in &self.accounts {
            if account.forgotten > 0 || account.through > 0 {
                facts.push(Line::Spent {
                    key: key.clone(),
                    units: account.forgotten,
                    through: account.through,
                });
            }
        }
        let mut next = 0;
        for (&ticket, of) in &self.tickets {
            if ticket != next {
                facts.push(Line::Next { ticket });
            }
            next = ticket + 1;
            facts.push(Line::Ticket(Box::new(of.clone())));
            facts.extend(of.task.map(|task| Line::Posted { ticket, task }));
            let closed = of
                .closed
                .map(|Closed { cost, at }| Line::Closed { ticket, cost, at });
            facts.extend(closed);
        }
        if next != self.next {
            facts.push(Line::Next { ticket: self.next });
        }
        facts
    }

    /// Remembers what is about to be posted, and gives its number.
    ///
    /// # Errors
    /// The file system said no.
    pub fn add(&mut self, ticket: Ticket) -> io::Result<usize> {
        let number = self.next;
        let forgotten = self.accounts.values().map(|account| account.through);
        let ticket = Ticket {
            after: forgotten.max().unwrap_or(0),
            ..ticket
        };
        self.write(vec![Line::Ticket(Box::new(ticket))])?;
        Ok(number)
    }

    /// Remembers the task of a ticket.
    ///
    /// # Errors
    /// The file system said no.
    pub fn posted(&mut self, ticket: usize, task: u64) -> io::Result<()> {
        self.write(vec![Line::Posted { ticket, task }])
    }

    /// Remembers that nothing came of a ticket, which is gone with that.
    ///
    /// # Errors
    /// The file system said no.
    pub fn refused(&mut self, ticket: usize) -> io::Result<()> {
        self.write(vec![Line::Refused { ticket }])
    }

    /// Remembers what tickets have cost in the end.
    ///
    /// # Errors
    /// The file system said no.
    pub fn close(&mut self, costs: &[(usize, u128)], at: u64) -> io::Result<()> {
        let closed = |(ticket, cost): &(usize, u128)| Line::Closed {
            ticket: *ticket,
            cost: *cost,
            at,
        };
        self.write(costs.iter().map(closed).collect())
    }

    /// Remembers no more of closed tickets than what they have cost.
    ///
    /// # Errors
    /// The file system said no.
    pub fn forget(&mut self, tickets: Vec<usize>) -> io::Result<()> {
        self.write(vec![Line::Forgotten { tickets }])
    }

    /// A ticket.
    pub fn ticket(&self, number: usize) -> Option<&Ticket> {
        self.tickets.get(&number)
    }

    /// The tickets that are remembered, oldest first.
    pub fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.values()
    }

    /// Those that are not closed, with their numbers.
    pub fn open_tickets(&self) -> impl Iterator<Item = (usize, &Ticket)> {
        self.accounts.keys().flat_map(|key| self.open_of(key))
    }

    /// Those of a key that are not closed, with their numbers.
    pub fn open_of(&self, key: &str) -> impl Iterator<Item = (usize, &Ticket)> {
        let open = self.accounts.get(key).into_iter();
        let open = open.flat_map(|account| &account.open);
        open.filter_map(move |number| Some((*number, self.ticket(*number)?)))
    }

    /// Those that were closed at a time or before.
    pub fn closed_by(&self, at: u64) -> impl Iterator<Item = (usize, &Ticket)> {
        let closed = self.closed.range(..=(at, usize::MAX));
        closed.filter_map(move |(_, number)| Some((*number, self.ticket(*number)?)))
    }

    /// Tickets of a request that is repeated.
    pub fn repeated(&self, key: &str, idempotency: &str) -> Vec<usize> {
        let key = (key.to_owned(), idempotency.to_owned());
        self.by_idempotency.get(&key).cloned().unwrap_or_default()
    }

    /// The ticket of a task.
    pub fn of_task(&self, task: u64) -> Option<&Ticket> {
        self.by_task
            .get(&task)
            .and_then(|number| self.ticket(*number))
    }

    #[cfg(test)]
    pub(crate) fn number_of(&self, task: u64) -> Option<usize> {
        self.by_task.get(&task).copied()
    }

    /// What the closed tickets of a key have cost, the forgotten ones too.
    pub fn spent(&self, key: &str) -> u128 {
        self.accounts.get(key).map_or(0, |account| account.closed)
    }

    /// The newest task of a key that was forgotten; 0: none.
    pub fn forgotten_through(&self, key: &str) -> u64 {
        self.accounts.get(key).map_or(0, |account| account.through)
    }
}

fn text(facts: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for fact in facts {
        serde_json::to_writer(&mut text, fact)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
