//! Reading forwards in a file of which nothing is trusted.

use std::ops::Range;

use crate::ModelError;

/// A place in a file; every read is checked against its end.
pub(super) struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor {
            file,
            at: at.min(file.len()),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.file.len() - self.at
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], ModelError> {
        let range = self.range(count, what)?;
        Ok(&self.file[range])
    }

    /// Where the next `count` bytes are.
    pub(super) fn range(&mut self, count: u64, what: &str) -> Result<Range<usize>, ModelError> {
        match usize::try_from(count) {
            Ok(count) if count <= self.left() => {
                let start = self.at;
                self.at += count;
                Ok(start..self.at)
            }
            _ => Err(ModelError::File(format!(
                "{what} at byte {} takes {count} bytes, {} are left",
                self.at,
                self.left()
            ))),
        }
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, ModelError> {
        let bytes = self.take(4, what)?;
        Ok(bytes
            .first_chunk()
            .map_or(0, |&bytes| u32::from_le_bytes(bytes)))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, ModelError> {
        let bytes = self.take(8, what)?;
        Ok(bytes
            .first_chunk()
            .map_or(0, |&bytes| u64::from_le_bytes(bytes)))
    }

    /// A length and as many bytes.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8], ModelError> {
        let length = self.u64(what)?;
        self.take(length, what)
    }

    /// A number of things of at least `least` bytes each.
    pub(super) fn count(&mut self, what: &str, least: u64, most: u64) -> Result<u64, ModelError> {
        let count = self.u64(what)?;
        let fit = self.left() as u64 / least;
        if count > most || count > fit {
            return Err(ModelError::File(format!(
                "{count} {what}: at most {most}, and {fit} fit into the rest of the file"
            )));
        }
        Ok(count)
    }
}
