//! Any bytes as a safetensors file or as an index of such files: refused, or tensors that share no byte.
#![no_main]

use gavel_model::safetensors::{Safetensors, shards};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(names) = shards(file) {
        assert!(names.iter().all(|name| !name.contains(['/', '\\'])));
    }
    if let Ok(read) = Safetensors::parse(file.to_vec().into()) {
        let size: usize = read.tensors().map(|(_, info)| read.bytes(info).len()).sum();
        assert!(size < file.len());
    }
});
