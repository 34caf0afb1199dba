//! The one place of this crate that touches files: maps of model files, which are larger than what should be read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use memmap2::Mmap;

/// The maps that exist.
static MAPS: Mutex<Vec<(PathBuf, Weak<Mmap>)>> = Mutex::new(Vec::new());

/// A map as the owner of its bytes.
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

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
    let map = Arc::new(unsafe { Mmap::map(&file)? });
    let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.retain(|(_, map)| map.strong_count() > 0);
    maps.push((path.to_owned(), Arc::downgrade(&map)));
    Ok(Bytes::from_owner(Mapped(map)))
}

/// Takes bytes of a [`map`]ped file out of this process's memory; who looks at them again reads them from the file
/// again. Of other bytes, and where the system has no way to, nothing happens.
pub fn page_out(bytes: &[u8]) {
    #[cfg(not(unix))]
    let _ = bytes;
    #[cfg(unix)]
    {
        if let Some((_, map, offset)) = found(bytes) {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is read-only, so that its pages have nothing that the file has not.
            let _ = unsafe { map.unchecked_advise_range(advice, offset, bytes.len()) };
        }
    }
}

/// The file whose [`map`] these bytes lie in, and where they begin in it.
pub fn mapped_at(bytes: &[u8]) -> Option<(PathBuf, u64)> {
    let (path, _, offset) = found(bytes)?;
    Some((path, offset as u64))
}

fn found(bytes: &[u8]) -> Option<(PathBuf, Arc<Mmap>, usize)> {
    let maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.iter().find_map(|(path, map)| {
        let map = map.upgrade()?;
        let offset = bytes.as_ptr().addr().checked_sub(map.as_ptr().addr())?;
        let inside = bytes.len() <= map.len().checked_sub(offset)?;
        inside.then(|| (path.clone(), map, offset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_were_paged_out_are_read_again() {
        let path = std::env::temp_dir().join(format!("gavel-page-out-{}", std::process::id()));
        let content: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let bytes = map(&path).unwrap();
        assert_eq!(bytes, content);
        page_out(&bytes[5_000..70_000]);
        page_out(&bytes[..0]);
        page_out(&content);
        assert_eq!(bytes, content);
        assert_eq!(mapped_at(&bytes[777..]), Some((path.clone(), 777)));
        assert_eq!(mapped_at(&content), None);
        drop(bytes);
        std::fs::remove_file(&path).unwrap();
        assert!(map(&path).is_err());
    }
}
