//! Memory of packed weights and of caches. A decoder reads all of it once per token: where the system has huge pages, it asks for
//! them, because looking up an address for every 4 KiB costs a third of the bandwidth.

/// Bytes of a cache line: storage begins on one.
const LINE: usize = 64;
/// Bytes from which storage is a map of its own. Maps of one kind that lie side by side are one to the system, so that
/// huge pages reach over their borders and nothing is lost to rounding.
#[cfg(target_os = "linux")]
const LEAST_MAP: usize = 128 << 10;

/// So many bytes, zero at first, from the beginning of a cache line.
pub struct Storage {
    memory: Memory,
    skip: usize,
    len: usize,
}

enum Memory {
    Heap(Vec<u8>),
    #[cfg(target_os = "linux")]
    Map(memmap2::MmapMut),
}

impl Storage {
    /// `len` zeros, which take no memory until they are written.
    pub fn new(len: usize) -> Storage {
        #[cfg(target_os = "linux")]
        if len >= LEAST_MAP
            && let Ok(map) = memmap2::MmapMut::map_anon(len)
        {
            // a hint: without huge pages the memory is slower, and the same
            let _ = map.advise(memmap2::Advice::HugePage);
            let (memory, skip) = (Memory::Map(map), 0);
            return Storage { memory, skip, len };
        }
        let heap = vec![0; len + LINE];
        let skip = heap.as_ptr().align_offset(LINE).min(LINE);
        let memory = Memory::Heap(heap);
        Storage { memory, skip, len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        let all: &[u8] = match &self.memory {
            Memory::Heap(heap) => heap,
            #[cfg(target_os = "linux")]
            Memory::Map(map) => map,
        };
        &all[self.skip..self.skip + self.len]
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let all: &mut [u8] = match &mut self.memory {
            Memory::Heap(heap) => heap,
            #[cfg(target_os = "linux")]
            Memory::Map(map) => map,
        };
        &mut all[self.skip..self.skip + self.len]
    }
}
