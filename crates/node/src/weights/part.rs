//! A file that comes in pieces, each checked when it is whole.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use gavel_trace::Digest;
use sha2::{Digest as _, Sha256};

use super::WeightsFile;

/// Bytes that are read at once of what is there.
const READ: usize = 1 << 20;

/// What has come of a file.
pub(super) struct Part<'a> {
    file: File,
    about: &'a WeightsFile,
    piece_bytes: u64,
    /// Bytes that are there; those of whole pieces are right.
    done: u64,
    /// Of the piece that is coming.
    piece: Sha256,
    /// Of all before that piece, and of all that is there.
    whole: (Sha256, Sha256),
}

/// What came of bytes that were taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They are there.
    Here,
    /// They ended a piece that is not what the manifest says; it is gone again.
    Wrong {
        /// Which.
        piece: u64,
    },
}

impl<'a> Part<'a> {
    /// Opens what is there and hashes it: wrong pieces, and what follows them, are dropped.
    pub(super) fn open(path: &Path, about: &'a WeightsFile, piece_bytes: u64) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let there = file.metadata()?.len();
        if there > about.bytes {
            file.set_len(about.bytes)?;
        }
        let mut part = Part {
            file,
            about,
            piece_bytes,
            done: 0,
            piece: Sha256::new(),
            whole: (Sha256::new(), Sha256::new()),
        };
        let mut buffer = vec![0; READ];
        loop {
            let most = part.room().min(READ as u64) as usize;
            let read = match most {
                0 => 0,
                most => part.file.read(&mut buffer[..most])?,
            };
            if read == 0 || part.count(&buffer[..read])? != Taken::Here {
                break;
            }
        }
        part.file.seek(SeekFrom::Start(part.done))?;
        Ok(part)
    }

    /// Bytes that are there.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Where the piece that is coming ends.
    pub(super) fn piece_end(&self) -> u64 {
        let next = (self.done / self.piece_bytes + 1).saturating_mul(self.piece_bytes);
        next.min(self.about.bytes)
    }

    /// Bytes that its piece still takes.
    fn room(&self) -> u64 {
        self.piece_end() - self.done
    }

    /// Writes what comes next, as far as pieces are right.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> io::Result<Taken> {
        while !bytes.is_empty() && self.done < self.about.bytes {
            let now = (self.room() as usize).min(bytes.len());
            let (first, rest) = bytes.split_at(now);
            self.file.write_all(first)?;
            let taken = self.count(first)?;
            if taken != Taken::Here {
                return Ok(taken);
            }
            bytes = rest;
        }
        Ok(Taken::Here)
    }

    /// Counts bytes of one piece that have been written.
    fn count(&mut self, bytes: &[u8]) -> io::Result<Taken> {
        let index = self.done / self.piece_bytes;
        let ends = self.piece_end();
        self.piece.update(bytes);
        self.whole.1.update(bytes);
        self.done += bytes.len() as u64;
        if self.done < ends {
            return Ok(Taken::Here);
        }
        let found = Digest(self.piece.finalize_reset().into());
        if self.about.pieces.get(index as usize) == Some(&found) {
            self.whole.0 = self.whole.1.clone();
            return Ok(Taken::Here);
        }
        self.whole.1 = self.whole.0.clone();
        self.done = index * self.piece_bytes;
        self.file.set_len(self.done)?;
        self.file.seek(SeekFrom::Start(self.done))?;
        Ok(Taken::Wrong { piece: index })
    }

    /// Ends a file that is whole: on disk, with the digest that its pieces have together.
    pub(super) fn finish(self) -> io::Result<Digest> {
        self.file.sync_all()?;
        Ok(Digest(self.whole.1.finalize().into()))
    }
}
