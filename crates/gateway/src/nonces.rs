//! Which signed requests were taken: each nonce of an account once, on disk before its request goes on, and forgotten when
//! no request with it could be taken any more.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use crate::lines::{FileMedium, Lines};

/// Lines beyond twice what is remembered at which the file is written anew.
const SLACK: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Taken(Entry),
    /// What had a deadline until then is not in the file any more.
    Forgotten {
        until: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    // first, so that a set of them is in the order of forgetting
    deadline: u64,
    account: Address,
    nonce: U256,
}

/// Why a nonce is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NonceError {
    #[error("taken before")]
    Used,
    /// Requests of that time may have been forgotten.
    #[error("too old")]
    Expired,
    /// The account has as many as it may; the first is forgotten in so many seconds.
    #[error("too many")]
    Full { seconds: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The nonces that were taken.
#[derive(Debug)]
pub struct Nonces(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// Where they are kept.
    lines: Option<Lines>,
    known: HashSet<(Address, U256)>,
    by_deadline: BTreeSet<Entry>,
    counts: HashMap<Address, usize>,
    /// Newest deadline that was forgotten: were the clock to go back, its nonce could come again.
    forgotten: u64,
}

impl Nonces {
    /// Forgets all when the process ends.
    pub fn memory() -> Nonces {
        Nonces(Mutex::default())
    }

    /// Opens or makes a file, beside the journal whose lock keeps other processes away. A last line that was cut off by a
    /// crash is dropped: its request did not go on.
    ///
    /// # Errors
    /// The file system said no, or a line in the middle cannot be read.
    pub fn open(path: &Path) -> io::Result<Nonces> {
        let mut book = Book::default();
        let file = FileMedium::open(path)?;
        let lines = Lines::read(Box::new(file), |line, at| {
            match serde_json::from_slice(line) {
                Ok(Line::Taken(entry)) => book.insert(entry),
                Ok(Line::Forgotten { until }) => book.forgotten = book.forgotten.max(until),
                Err(e) => return Err(io::Error::other(format!("byte {at}: {e}"))),
            }
            Ok(())
        })?;
        book.lines = Some(lines);
        Ok(Nonces(Mutex::new(book)))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // a panic elsewhere leaves the book whole
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request with it could not be taken any more, without taking it.
    pub(crate) fn is_used(&self, account: Address, nonce: U256) -> bool {
        self.book().known.contains(&(account, nonce))
    }

    /// Takes a nonce, once, of an account that may have `most` at a time; it is on disk when this returns.
    pub(crate) fn take(
        &self,
        account: Address,
        nonce: U256,
        deadline: u64,
        now: u64,
        most: usize,
    ) -> Result<(), NonceError> {
        let entry = Entry {
            deadline,
            account,
            nonce,
        };
        let mut book = self.book();
        if deadline < now || deadline <= book.forgotten {
            return Err(NonceError::Expired);
        }
        book.forget(now);
        if book.known.contains(&(account, nonce)) {
            return Err(NonceError::Used);
        }
        if book
            .counts
            .get(&account)
            .is_some_and(|count| *count >= most)
        {
            let first = book.by_deadline.iter().find(|e| e.account == account);
            let seconds = first.map_or(1, |e| (e.deadline - now).saturating_add(1));
            return Err(NonceError::Full { seconds });
        }
        book.write(entry)?;
        book.insert(entry);
        Ok(())
    }

    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        let book = self.book();
        (
            book.known.len(),
            book.lines.as_ref().map_or(0, Lines::count),
        )
    }
}

impl Book {
    fn insert(&mut self, entry: Entry) {
        if self.known.insert((entry.account, entry.nonce)) {
            self.by_deadline.insert(entry);
            *self.counts.entry(entry.account).or_default() += 1;
        }
    }

    fn forget(&mut self, now: u64) {
        while let Some(entry) = self.by_deadline.first().copied() {
            if entry.deadline >= now {
                break;
            }
            self.by_deadline.pop_first();
            self.known.remove(&(entry.account, entry.nonce));
            self.forgotten = entry.deadline;
            if let Some(count) = self.counts.get_mut(&entry.account) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&entry.account);
                }
            }
        }
    }

    fn write(&mut self, entry: Entry) -> io::Result<()> {
        let most = 2 * self.known.len() + SLACK;
        if self.lines.as_ref().is_some_and(|l| l.count() >= most) {
            self.rewrite()?;
        }
        match &mut self.lines {
            Some(lines) => lines.append(&line(&Line::Taken(entry))?),
            None => Ok(()),
        }
    }

    /// Puts what is remembered in the place of all lines.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = line(&Line::Forgotten {
            until: self.forgotten,
        })?;
        for entry in &self.by_deadline {
            text.extend(line(&Line::Taken(*entry))?);
        }
        match &mut self.lines {
            Some(lines) => lines.rewrite(&text),
            None => Ok(()),
        }
    }
}

fn line(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 10_000;

    fn account(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn take(nonces: &Nonces, nonce: u64, deadline: u64, now: u64) -> Result<(), NonceError> {
        nonces.take(account(1), U256::from(nonce), deadline, now, MOST)
    }

    #[test]
    fn a_nonce_is_taken_once_by_each_account_also_after_a_crash_at_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nonces");
        let nonces = Nonces::open(&path).unwrap();
        for nonce in [7, 8, 9] {
            take(&nonces, nonce, 100, 50).unwrap();
            assert!(matches!(
                take(&nonces, nonce, 100, 50),
                Err(NonceError::Used)
            ));
            // another deadline makes it no other nonce
            assert!(matches!(
                take(&nonces, nonce, 99, 50),
                Err(NonceError::Used)
            ));
        }
        nonces
            .take(account(2), U256::from(7), 100, 50, MOST)
            .unwrap();
        drop(nonces);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let nonces = Nonces::open(&path).unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            for (i, nonce) in [7, 8, 9].into_iter().enumerate() {
                let again = take(&nonces, nonce, 100, 50);
                assert_eq!(again.is_err(), i < lines, "{cut}");
            }
            drop(nonces);
            let nonces = Nonces::open(&path).unwrap();
            assert!(matches!(take(&nonces, 9, 100, 50), Err(NonceError::Used)));
        }
    }

    #[test]
    fn what_is_forgotten_cannot_come_again_though_the_clock_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nonces");
        let mut nonces = Nonces::open(&path).unwrap();
        take(&nonces, 1, 100, 50).unwrap();
        assert!(matches!(take(&nonces, 1, 100, 100), Err(NonceError::Used)));
        assert!(matches!(
            take(&nonces, 1, 100, 101),
            Err(NonceError::Expired)
        ));
        take(&nonces, 2, 200, 101).unwrap();
        assert!(!nonces.is_used(account(1), U256::from(1)));
        assert!(matches!(
            take(&nonces, 1, 100, 50),
            Err(NonceError::Expired)
        ));
        // also when the file was written without it
        nonces.book().rewrite().unwrap();
        assert_eq!(nonces.sizes(), (1, 2));
        for _ in 0..2 {
            drop(nonces);
            nonces = Nonces::open(&path).unwrap();
            assert!(matches!(
                take(&nonces, 1, 100, 50),
                Err(NonceError::Expired)
            ));
            assert!(matches!(take(&nonces, 2, 200, 50), Err(NonceError::Used)));
        }
    }

    #[test]
    fn memory_and_file_are_bounded_by_what_is_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nonces");
        let nonces = Nonces::open(&path).unwrap();
        for now in 0..3 * SLACK as u64 {
            take(&nonces, now, now + 9, now).unwrap();
            let (known, lines) = nonces.sizes();
            assert!(known <= 10 && lines <= SLACK + 21, "{known} {lines}");
        }
        // and nothing of it was lost
        drop(nonces);
        let last = 3 * SLACK as u64 - 1;
        let nonces = Nonces::open(&path).unwrap();
        for nonce in last - 8..=last {
            let again = take(&nonces, nonce, nonce + 9, last);
            assert!(matches!(again, Err(NonceError::Used)), "{nonce}");
        }
    }

    #[test]
    fn an_account_has_so_many_at_a_time_and_takes_none_of_the_others() {
        let nonces = Nonces::memory();
        let take = |of, nonce, now| nonces.take(account(of), U256::from(nonce), now + 10, now, 2);
        take(1, 1, 50).unwrap();
        take(1, 2, 52).unwrap();
        let full = take(1, 3, 53).unwrap_err();
        assert!(matches!(full, NonceError::Full { seconds: 8 }), "{full:?}");
        take(2, 3, 53).unwrap();
        take(1, 3, 61).unwrap();
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nonces");
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Nonces::open(&path).is_err());
    }
}
