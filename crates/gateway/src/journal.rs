//! What a gateway has to remember: which key asked for which task. A file of lines, one per fact, each on disk before
//! anything follows from it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::Path;

use gavel_trace::Digest;
use serde::{Deserialize, Serialize};

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
    /// The task; `None` while it is not known to be posted.
    #[serde(skip)]
    pub task: Option<u64>,
    /// The market refused it.
    #[serde(skip)]
    pub refused: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ticket(Box<Ticket>),
    Posted { ticket: usize, task: u64 },
    Refused { ticket: usize },
}

/// What the lines are kept in: a file, or what stands for one. It is read once, from its beginning, and then written to
/// its end.
pub trait Medium: Read + Write + std::fmt::Debug + Send {
    /// What was written is on disk when this returns.
    ///
    /// # Errors
    /// The file system said no.
    fn sync(&self) -> io::Result<()>;

    /// Drops what is behind so many bytes.
    ///
    /// # Errors
    /// The file system said no.
    fn cut(&self, bytes: u64) -> io::Result<()>;
}

impl Medium for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// A file of whole lines.
#[derive(Debug)]
pub(crate) struct Lines {
    medium: Box<dyn Medium>,
    /// Bytes of whole lines.
    whole: u64,
    /// It may end in a part of a line: a line behind that would be unreadable.
    is_torn: bool,
}

impl Lines {
    /// Hands the lines of a medium to `apply`, drops the part of one at its end, and goes on behind them.
    pub(crate) fn read(
        mut medium: Box<dyn Medium>,
        mut apply: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<Lines> {
        let (mut whole, mut reader) = (0, BufReader::new(&mut medium));
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            apply(&line, whole)?;
            whole += read as u64;
        }
        medium.cut(whole)?;
        // a line that an ended process has written and not synced is about to be relied on
        medium.sync()?;
        Ok(Lines {
            medium,
            whole,
            is_torn: false,
        })
    }

    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other(
                "it ends in a part of a line, which could not be taken back",
            ));
        }
        let written = self.medium.write_all(line);
        let written = written.and_then(|()| self.medium.sync());
        match written {
            Ok(()) => self.whole += line.len() as u64,
            Err(_) => {
                let cut = self.medium.cut(self.whole);
                self.is_torn = cut.and_then(|()| self.medium.sync()).is_err();
            }
        }
        written
    }
}

/// All tickets, in the order of their making.
#[derive(Debug)]
pub struct Journal {
    lines: Option<Lines>,
    tickets: Vec<Ticket>,
    by_idempotency: HashMap<(String, String), Vec<usize>>,
    by_task: HashMap<u64, usize>,
}

impl Journal {
    /// One that forgets.
    pub fn memory() -> Journal {
        Journal {
            lines: None,
            tickets: Vec::new(),
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
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(path)?;
        file.try_lock().map_err(io::Error::other)?;
        // a new file is in its folder for good
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Journal::on(Box::new(file))
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
                io::Error::other(format!("a line about an unknown ticket at byte {at}"))
            })
        })?;
        journal.lines = Some(lines);
        Ok(journal)
    }

    fn apply(&mut self, line: Line) -> Option<()> {
        match line {
            Line::Ticket(ticket) => {
                let number = self.tickets.len();
                if let Some(key) = &ticket.idempotency {
                    let key = (ticket.key.clone(), key.clone());
                    self.by_idempotency.entry(key).or_default().push(number);
                }
                self.tickets.push(*ticket);
            }
            Line::Posted { ticket, task } => {
                self.tickets.get_mut(ticket)?.task = Some(task);
                self.by_task.insert(task, ticket);
            }
            Line::Refused { ticket } => {
                let ticket_ = self.tickets.get_mut(ticket)?;
                ticket_.refused = true;
                if let Some(key) = &ticket_.idempotency {
                    let key = (ticket_.key.clone(), key.clone());
                    let left = self.by_idempotency.entry(key).or_default();
                    left.retain(|number| *number != ticket);
                }
            }
        }
        Some(())
    }

    fn write(&mut self, line: Line) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            lines.append(&text)?;
        }
        self.apply(line)
            .ok_or_else(|| io::Error::other("no such ticket"))
    }

    /// Remembers what is about to be posted, and gives its number.
    ///
    /// # Errors
    /// The file system said no.
    pub fn add(&mut self, ticket: Ticket) -> io::Result<usize> {
        self.write(Line::Ticket(Box::new(ticket)))?;
        Ok(self.tickets.len() - 1)
    }

    /// Remembers the task of a ticket.
    ///
    /// # Errors
    /// The file system said no.
    pub fn posted(&mut self, ticket: usize, task: u64) -> io::Result<()> {
        self.write(Line::Posted { ticket, task })
    }

    /// Remembers that nothing came of a ticket.
    ///
    /// # Errors
    /// The file system said no.
    pub fn refused(&mut self, ticket: usize) -> io::Result<()> {
        self.write(Line::Refused { ticket })
    }

    /// A ticket.
    pub fn ticket(&self, number: usize) -> Option<&Ticket> {
        self.tickets.get(number)
    }

    /// All tickets, oldest first.
    pub fn tickets(&self) -> &[Ticket] {
        &self.tickets
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn ticket(idempotency: &str) -> Ticket {
        Ticket {
            key: "ann".to_owned(),
            idempotency: Some(idempotency.to_owned()),
            request: "00".to_owned(),
            index: 0,
            endpoint: Endpoint::Chat,
            model: "llm".to_owned(),
            input_digest: Digest([1; 32]),
            seed: u64::MAX,
            tokens: None,
            base64: false,
            stop: vec!["\n".to_owned()],
            ceiling: "1".to_owned(),
            created: 5,
            task: None,
            refused: false,
        }
    }

    #[test]
    fn what_was_written_is_there_after_a_crash_at_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        assert!(Journal::open(&path).is_err(), "two processes");
        let first = journal.add(ticket("a")).unwrap();
        journal.posted(first, 7).unwrap();
        let second = journal.add(ticket("b")).unwrap();
        journal.refused(second).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            let known = journal.repeated("ann", "a").len();
            assert_eq!(known, usize::from(lines > 0), "{cut}");
            assert_eq!(journal.of_task(7).is_some(), lines > 1);
            assert_eq!(journal.repeated("ann", "b").len(), usize::from(lines == 3));
            // and it goes on
            let more = journal.add(ticket("c")).unwrap();
            journal.posted(more, 9).unwrap();
            drop(journal);
            let journal = Journal::open(&path).unwrap();
            assert_eq!(
                journal.of_task(9).unwrap(),
                &Ticket {
                    task: Some(9),
                    ..ticket("c")
                }
            );
        }
    }

    /// A disk that is full after half a line, and may not even give that half back.
    #[derive(Debug)]
    struct Full {
        file: File,
        is_full: Arc<AtomicBool>,
        is_stuck: bool,
    }

    impl Read for Full {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.file.read(bytes)
        }
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.is_full.load(Ordering::SeqCst) {
                false => self.file.write(bytes),
                true if bytes.len() > 40 => self.file.write(&bytes[..40]),
                true => Err(io::Error::other("full")),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Medium for Full {
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn cut(&self, bytes: u64) -> io::Result<()> {
            match self.is_stuck && self.is_full.load(Ordering::SeqCst) {
                true => Err(io::Error::other("stuck")),
                false => self.file.set_len(bytes),
            }
        }
    }

    #[test]
    fn half_a_line_is_taken_back_or_is_the_last() {
        for is_stuck in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            let is_full = Arc::new(AtomicBool::new(false));
            let medium = Full {
                file: options.open(&path).unwrap(),
                is_full: Arc::clone(&is_full),
                is_stuck,
            };
            let mut journal = Journal::on(Box::new(medium)).unwrap();
            let first = journal.add(ticket("a")).unwrap();
            is_full.store(true, Ordering::SeqCst);
            journal.add(ticket("b")).unwrap_err();
            assert!(journal.repeated("ann", "b").is_empty());
            is_full.store(false, Ordering::SeqCst);
            assert_eq!(journal.posted(first, 7).is_err(), is_stuck);
            drop(journal);
            let journal = Journal::open(&path).unwrap();
            assert_eq!(journal.tickets().len(), 1);
            assert_eq!(journal.of_task(7).is_some(), !is_stuck);
        }
    }

    /// What a machine has in its cache, and how much of it is on disk.
    #[derive(Clone, Debug, Default)]
    struct Cached(Arc<std::sync::Mutex<(Vec<u8>, usize)>>, usize);

    impl Read for Cached {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let read = (&self.0.lock().unwrap().0[self.1..]).read(bytes)?;
            self.1 += read;
            Ok(read)
        }
    }

    impl Write for Cached {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Medium for Cached {
        fn sync(&self) -> io::Result<()> {
            let mut cached = self.0.lock().unwrap();
            cached.1 = cached.0.len();
            Ok(())
        }

        fn cut(&self, bytes: u64) -> io::Result<()> {
            self.0.lock().unwrap().0.truncate(bytes as usize);
            Ok(())
        }
    }

    #[test]
    fn what_a_killed_process_has_not_synced_is_on_disk_before_the_next_relies_on_it() {
        let cached = Cached::default();
        let mut journal = Journal::on(Box::new(cached.clone())).unwrap();
        journal.add(ticket("a")).unwrap();
        // killed between the write of the last line and its sync
        cached.0.lock().unwrap().1 = 0;
        let journal = Journal::on(Box::new(cached.clone())).unwrap();
        assert_eq!(journal.tickets().len(), 1);
        // and then the power is cut
        let mut kept = cached.0.lock().unwrap().clone();
        kept.0.truncate(kept.1);
        let after = Cached(Arc::new(std::sync::Mutex::new(kept)), 0);
        let journal = Journal::on(Box::new(after)).unwrap();
        assert_eq!(journal.tickets().len(), 1);
    }
}
