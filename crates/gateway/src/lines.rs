//! Files of lines, one per fact, each on disk before anything follows from it; and how one is written anew, whole or not at
//! all.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// What lines are kept in: a file, or what stands for one. It is read once, from its beginning, and then written to its
/// end.
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

    /// An empty one under another name, which nobody looks for.
    ///
    /// # Errors
    /// The file system said no.
    fn beside(&self) -> io::Result<Box<dyn Medium>>;

    /// Takes the name of the one that it was made beside: whoever looks there finds all of the one or of the other.
    ///
    /// # Errors
    /// The file system said no.
    fn take_name(&self) -> io::Result<()>;

    /// Whatever has its name now has it after a crash too.
    ///
    /// # Errors
    /// The file system said no.
    fn sync_name(&self) -> io::Result<()>;
}

/// A file under its name.
#[derive(Debug)]
pub struct FileMedium {
    path: PathBuf,
    file: File,
    is_locked: bool,
}

impl FileMedium {
    /// Opens or makes a file.
    ///
    /// # Errors
    /// The file system said no.
    pub fn open(path: &Path) -> io::Result<FileMedium> {
        Ok(FileMedium {
            path: path.to_owned(),
            file: appended(path)?,
            is_locked: false,
        })
    }

    /// [`FileMedium::open`], locked as long as it is open, and so is what takes its name.
    ///
    /// # Errors
    /// The file system said no, or another process has it.
    pub fn locked(path: &Path) -> io::Result<FileMedium> {
        loop {
            let mut medium = FileMedium::open(path)?;
            medium.file.try_lock().map_err(io::Error::other)?;
            // its last owner may have put another file there meanwhile, which is locked or not
            if medium.has_name()? {
                medium.is_locked = true;
                return Ok(medium);
            }
        }
    }

    #[cfg(unix)]
    fn has_name(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let of = |data: std::fs::Metadata| (data.dev(), data.ino());
        let (own, named) = (self.file.metadata()?, std::fs::metadata(&self.path)?);
        Ok(of(own) == of(named))
    }

    #[cfg(not(unix))]
    fn has_name(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn other_name(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }
}

fn appended(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).open(path)
}

impl Read for FileMedium {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Write for FileMedium {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for FileMedium {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn beside(&self) -> io::Result<Box<dyn Medium>> {
        let file = appended(&self.other_name())?;
        if self.is_locked {
            file.try_lock().map_err(io::Error::other)?;
        }
        // a crash may have left a part of one
        file.set_len(0)?;
        Ok(Box::new(FileMedium {
            path: self.path.clone(),
            file,
            is_locked: self.is_locked,
        }))
    }

    fn take_name(&self) -> io::Result<()> {
        std::fs::rename(self.other_name(), &self.path)
    }

    fn sync_name(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

/// A file of whole lines.
#[derive(Debug)]
pub(crate) struct Lines {
    medium: Box<dyn Medium>,
    /// Bytes of whole lines.
    whole: u64,
    count: usize,
    /// It may end in a part of a line: a line behind that would be unreadable.
    is_torn: bool,
    /// It has taken the name of another, which a crash could yet bring back: lines behind it would be lost.
    is_new: bool,
}

impl Lines {
    /// Hands the lines of a medium to `apply`, drops the part of one at its end, and goes on behind them.
    pub(crate) fn read(
        mut medium: Box<dyn Medium>,
        mut apply: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<Lines> {
        let (mut whole, mut count) = (0, 0);
        let mut reader = BufReader::new(&mut medium);
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            apply(&line, whole)?;
            whole += read as u64;
            count += 1;
        }
        medium.cut(whole)?;
        // what an ended process has written or renamed and not synced is about to be relied on
        medium.sync()?;
        medium.sync_name()?;
        Ok(Lines {
            medium,
            whole,
            count,
            is_torn: false,
            is_new: false,
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Writes whole lines: they are on disk when this returns, or none of them is there.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other(
                "it ends in a part of a line, which could not be taken back",
            ));
        }
        self.keep_name()?;
        let written = self.medium.write_all(lines);
        let written = written.and_then(|()| self.medium.sync());
        match written {
            Ok(()) => {
                self.whole += lines.len() as u64;
                self.count += count(lines);
            }
            Err(_) => {
                let cut = self.medium.cut(self.whole);
                self.is_torn = cut.and_then(|()| self.medium.sync()).is_err();
            }
        }
        written
    }

    /// Puts these lines in the place of all that are there. Where it fails, either is there, whole.
    pub(crate) fn rewrite(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut new = self.medium.beside()?;
        let written = new.write_all(lines).and_then(|()| new.sync());
        if written.is_err() {
            // a full disk has its bytes back
            let _ = new.cut(0);
            return written;
        }
        new.take_name()?;
        *self = Lines {
            medium: new,
            whole: lines.len() as u64,
            count: count(lines),
            is_torn: false,
            is_new: true,
        };
        self.keep_name()
    }

    fn keep_name(&mut self) -> io::Result<()> {
        if self.is_new {
            self.medium.sync_name()?;
            self.is_new = false;
        }
        Ok(())
    }
}

fn count(lines: &[u8]) -> usize {
    lines.iter().filter(|byte| **byte == b'\n').count()
}
