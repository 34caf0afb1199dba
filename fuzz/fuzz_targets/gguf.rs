//! Any bytes as a GGUF file: refused, or a file of which everything can be asked.
#![no_main]

use gavel_model::gguf::Gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(read) = Gguf::parse(file.to_vec().into()) else {
        return;
    };
    for key in read.keys() {
        let _ = read.number(key);
        let _ = read.string(key);
        let _ = read.strings(key);
        let _ = read.i32s(key);
        let _ = read.f32s(key);
    }
    let size: usize = read.tensors().map(|(_, info)| read.bytes(info).len()).sum();
    assert!(size <= file.len());
    let metadata = read.metadata(|_| true);
    let again = Gguf::parse(metadata.clone().into()).expect("what is written is read");
    assert_eq!(again.metadata(|_| true), metadata);
});
