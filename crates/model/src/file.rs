//! The one place of this crate that touches files: maps of model files, which are larger than what should be read.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// The content of a file, mapped: it is read when it is looked at, and not copied.
///
/// The file must not be changed while the bytes or a model made of them exist; what they are afterwards is
/// undefined, and a file that is cut short ends the process that reads behind its end.
///
/// # Errors
/// If the file cannot be opened or mapped.
pub fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    // SAFETY: a map for reading of a file that nobody writes; whoever starts the program answers for that, as the
    // documentation says. There is no way to map a file that the type system could vouch for.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
