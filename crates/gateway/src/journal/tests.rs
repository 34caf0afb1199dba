use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

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
        after: 0,
        task: None,
        closed: None,
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

#[test]
fn a_file_of_before_tickets_were_forgotten_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let old = r#"{"ticket":{"key":"ann","idempotency":"a","request":"00","index":0,"endpoint":"chat","model":"llm","input_digest":"DIGEST","seed":7,"ceiling":"10","created":5}}
{"posted":{"ticket":0,"task":3}}
{"ticket":{"key":"bob","request":"00","index":0,"endpoint":"image","model":"diffusion","input_digest":"DIGEST","seed":8,"ceiling":"10","created":6}}
{"refused":{"ticket":1}}
"#;
    let digest = serde_json::to_string(&Digest([1; 32])).unwrap();
    std::fs::write(&path, old.replace("\"DIGEST\"", &digest)).unwrap();
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.of_task(3).map(|t| t.seed), Some(7));
    assert_eq!(journal.tickets().count(), 1);
    journal.close(&[(0, 4)], 9).unwrap();
    assert_eq!((journal.spent("ann"), journal.spent("bob")), (4, 0));
}

#[test]
fn a_line_that_does_not_follow_is_neither_read_nor_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path).unwrap();
    let number = journal.add(ticket("a")).unwrap();
    journal.forget(vec![number]).unwrap_err();
    journal.posted(number + 1, 7).unwrap_err();
    journal.posted(number, 7).unwrap();
    journal.close(&[(number, 3)], 9).unwrap();
    journal.close(&[(number, 3)], 9).unwrap_err();
    journal.refused(number).unwrap_err();
    journal.forget(vec![number]).unwrap();
    journal.forget(vec![number]).unwrap_err();
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    assert_eq!(
        (journal.spent("ann"), journal.forgotten_through("ann")),
        (3, 7)
    );
    drop(journal);
    for wrong in [
        r#"{"posted":{"ticket":0,"task":3}}"#,
        r#"{"next":{"ticket":0}}"#,
        "{}",
    ] {
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole, wrong.as_bytes(), b"\n"].concat()).unwrap();
        Journal::open(&path).unwrap_err();
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn memory_and_file_are_bounded_by_what_is_remembered() {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path).unwrap().with_slack(64);
    let kept = 5;
    let (mut largest, mut spent) = (0, 0u128);
    for n in 0..400u64 {
        let number = journal.add(ticket(&n.to_string())).unwrap();
        journal.posted(number, n + 1).unwrap();
        journal.close(&[(number, n.into())], n).unwrap();
        spent += u128::from(n);
        if let Some(old) = number.checked_sub(kept) {
            journal.forget(vec![old]).unwrap();
        }
        assert!(journal.tickets().count() <= kept + 1);
        assert_eq!(journal.by_task.len(), journal.tickets.len());
        assert_eq!(journal.by_idempotency.len(), journal.tickets.len());
        assert_eq!(journal.closed.len(), journal.tickets.len());
        assert_eq!(journal.spent("ann"), spent);
        largest = largest.max(std::fs::metadata(&path).unwrap().len());
        if n % 50 == 0 {
            drop(journal);
            journal = Journal::open(&path).unwrap().with_slack(64);
            assert_eq!(journal.spent("ann"), spent);
        }
    }
    // some 120 lines, of which every fourth is long
    assert!(largest < 20_000, "{largest}");
    assert_eq!(journal.forgotten_through("ann"), 395);
}

#[test]
fn the_lock_goes_with_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path).unwrap().with_slack(0);
    for n in 0..8 {
        let number = journal.add(ticket("a")).unwrap();
        journal.posted(number, n + 1).unwrap();
        journal.close(&[(number, 1)], 0).unwrap();
        journal.forget(vec![number]).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with(r#"{"spent""#),
        "it was written anew: {text}"
    );
    assert!(Journal::open(&path).is_err(), "two processes");
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().spent("ann"), 8);
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

    fn beside(&self) -> io::Result<Box<dyn Medium>> {
        Err(io::Error::other("full"))
    }

    fn take_name(&self) -> io::Result<()> {
        unreachable!()
    }

    fn sync_name(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Full {
    /// It, with what makes it full.
    fn on(path: &Path, is_stuck: bool) -> (Full, Arc<AtomicBool>) {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let is_full = Arc::new(AtomicBool::new(false));
        let medium = Full {
            file: options.open(path).unwrap(),
            is_full: Arc::clone(&is_full),
            is_stuck,
        };
        (medium, is_full)
    }
}

#[test]
fn a_file_that_cannot_be_written_anew_is_gone_on_with_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (medium, _) = Full::on(&path, false);
    let mut journal = Journal::on(Box::new(medium)).unwrap().with_slack(8);
    for n in 0..40u64 {
        let number = journal.add(ticket(&n.to_string())).unwrap();
        journal.posted(number, n + 1).unwrap();
        journal.close(&[(number, 1)], n).unwrap();
        journal.forget(vec![number]).unwrap();
    }
    let trouble = journal.trouble();
    assert_eq!(trouble.last, "full");
    // tried again now and then, not at each of the 160 lines
    assert!((2..40).contains(&trouble.count), "{trouble:?}");
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().spent("ann"), 40);
}

#[test]
fn half_a_line_is_taken_back_or_is_the_last() {
    for is_stuck in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (medium, is_full) = Full::on(&path, is_stuck);
        let mut journal = Journal::on(Box::new(medium)).unwrap();
        let first = journal.add(ticket("a")).unwrap();
        is_full.store(true, Ordering::SeqCst);
        journal.add(ticket("b")).unwrap_err();
        assert!(journal.repeated("ann", "b").is_empty());
        assert_eq!(journal.trouble().count, 1);
        is_full.store(false, Ordering::SeqCst);
        assert_eq!(journal.posted(first, 7).is_err(), is_stuck);
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.tickets().count(), 1);
        assert_eq!(journal.of_task(7).is_some(), !is_stuck);
    }
}

/// A folder on a machine: what is in its cache, and what of it is on disk.
#[derive(Clone, Debug, Default)]
struct Folder {
    cached: Vec<Vec<u8>>,
    durable: Vec<Vec<u8>>,
    names: BTreeMap<&'static str, usize>,
    durable_names: BTreeMap<&'static str, usize>,
    /// Operations that were done, and with which the machine's process ends.
    done: Vec<&'static str>,
    end: Option<usize>,
}

#[derive(Clone, Debug)]
struct Machine(Arc<Mutex<Folder>>);

/// What a power cut leaves of what was not synced.
const LEAVES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

impl Machine {
    fn ending(end: Option<usize>) -> Machine {
        Machine(Arc::new(Mutex::new(Folder {
            end,
            ..Folder::default()
        })))
    }

    fn folder(&self) -> MutexGuard<'_, Folder> {
        self.0.lock().unwrap()
    }

    /// Whether an operation is done, to a part where it is the last.
    fn step(&self, what: &'static str) -> io::Result<bool> {
        let mut folder = self.folder();
        let (now, end) = (folder.done.len(), folder.end);
        if end.is_some_and(|end| now > end) {
            return Err(io::Error::other("the process has ended"));
        }
        folder.done.push(what);
        Ok(end != Some(now))
    }

    /// The file of a name, made where there is none.
    fn open(&self, name: &'static str) -> Paper {
        let mut folder = self.folder();
        let next = folder.cached.len();
        let number = *folder.names.entry(name).or_insert(next);
        if number == next {
            folder.cached.push(Vec::new());
            folder.durable.push(Vec::new());
            folder.durable_names.insert(name, number);
        }
        Paper {
            machine: self.clone(),
            number,
            read: 0,
        }
    }

    /// The machine once its power was cut, with the names and the bytes that were not synced or without them.
    fn after(&self, (names, bytes): (bool, bool)) -> Machine {
        let folder = self.folder();
        let names = match names {
            true => folder.names.clone(),
            false => folder.durable_names.clone(),
        };
        let bytes = match bytes {
            true => folder.cached.clone(),
            false => folder.durable.clone(),
        };
        Machine(Arc::new(Mutex::new(Folder {
            cached: bytes.clone(),
            durable: bytes,
            names: names.clone(),
            durable_names: names,
            ..Folder::default()
        })))
    }
}

#[derive(Debug)]
struct Paper {
    machine: Machine,
    number: usize,
    read: usize,
}

impl Read for Paper {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let folder = self.machine.folder();
        let read = (&folder.cached[self.number][self.read..]).read(bytes)?;
        self.read += read;
        Ok(read)
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = match self.machine.step("writes")? {
            true => bytes,
            false => &bytes[..bytes.len() / 2],
        };
        self.machine.folder().cached[self.number].extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Paper {
    fn sync(&self) -> io::Result<()> {
        if !self.machine.step("syncs")? {
            return Err(io::Error::other("the process has ended"));
        }
        let folder = &mut *self.machine.folder();
        folder.durable[self.number].clone_from(&folder.cached[self.number]);
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.machine.step("cuts")?;
        self.machine.folder().cached[self.number].truncate(bytes as usize);
        Ok(())
    }

    fn beside(&self) -> io::Result<Box<dyn Medium>> {
        self.machine.step("makes another")?;
        let paper = self.machine.open("journal.new");
        self.machine.folder().cached[paper.number].clear();
        Ok(Box::new(paper))
    }

    fn take_name(&self) -> io::Result<()> {
        self.machine.step("renames")?;
        let folder = &mut *self.machine.folder();
        folder.names.remove("journal.new");
        folder.names.insert("journal", self.number);
        Ok(())
    }

    fn sync_name(&self) -> io::Result<()> {
        if !self.machine.step("syncs the folder")? {
            return Err(io::Error::other("the process has ended"));
        }
        let folder = &mut *self.machine.folder();
        folder.durable_names.clone_from(&folder.names);
        Ok(())
    }
}

/// All that a journal remembers.
fn remembered(journal: &Journal) -> String {
    let Journal {
        next,
        tickets,
        accounts,
        closed,
        ..
    } = journal;
    // an account in which there was nothing is as good as none
    let accounts: Vec<_> = accounts
        .iter()
        .filter(|(_, a)| a.closed > 0 || a.through > 0 || !a.open.is_empty())
        .collect();
    format!("{next} {tickets:?} {accounts:?} {closed:?}")
}

fn open(machine: &Machine) -> io::Result<Journal> {
    let journal = Journal::on(Box::new(machine.open("journal")))?;
    Ok(journal.with_slack(0))
}

/// What a gateway does in its life, up to its end: what was remembered at first and after each fact.
fn live(machine: &Machine) -> Vec<String> {
    let mut snapshots = Vec::new();
    let mut live = || -> io::Result<()> {
        let mut journal = open(machine)?;
        snapshots.push(remembered(&journal));
        let mut fact = |journal: &Journal| snapshots.push(remembered(journal));
        for n in 0..18u64 {
            let key = ["ann", "bob"][n as usize % 2].to_owned();
            let asked = Ticket {
                key,
                ..ticket(&n.to_string())
            };
            let number = journal.add(asked)?;
            fact(&journal);
            if n == 3 {
                journal.refused(number)?;
                fact(&journal);
                continue;
            }
            journal.posted(number, n + 1)?;
            fact(&journal);
            if n == 1 {
                continue;
            }
            journal.close(&[(number, n.into())], n)?;
            fact(&journal);
            if n != 4 {
                journal.forget(vec![number])?;
                fact(&journal);
            }
        }
        Ok(())
    };
    let _ = live();
    snapshots
}

#[test]
fn nothing_is_lost_or_made_up_by_a_crash_or_a_power_cut_at_any_operation() {
    let whole = Machine::ending(None);
    let base = live(&whole);
    let done = whole.folder().done.clone();
    for what in [
        "writes",
        "syncs",
        "makes another",
        "renames",
        "syncs the folder",
    ] {
        let often = done.iter().filter(|did| **did == what).count();
        assert!(often >= 3, "{what}: {done:?}");
    }
    for (end, what) in done.iter().enumerate() {
        let machine = Machine::ending(Some(end));
        let told = live(&machine);
        assert_eq!(told[..], base[..told.len()]);
        let killed = Machine(Arc::new(Mutex::new(Folder {
            end: None,
            ..machine.folder().clone()
        })));
        let cut = LEAVES.iter().map(|leaves| machine.after(*leaves));
        for machine in cut.chain([killed]) {
            let mut journal = open(&machine).unwrap();
            let now = remembered(&journal);
            // what was said to be remembered is, and at most the fact at whose writing it ended
            let next = base.get(told.len()).unwrap_or(&now);
            let last = told.last().unwrap_or(&base[0]);
            assert!(
                now == *last || now == *next,
                "{end}, which {what}: {now}\n{last}"
            );
            // and it goes on, on disk
            let more = journal.add(ticket("more")).unwrap();
            journal.posted(more, 99).unwrap();
            let now = remembered(&journal);
            let again = machine.after((false, false));
            assert_eq!(remembered(&open(&again).unwrap()), now, "{end}");
        }
    }
}
