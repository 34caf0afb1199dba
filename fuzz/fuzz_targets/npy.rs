//! Any bytes as an array: refused, or a tensor that is written and read back by bits.
#![no_main]

use gavel_model::npy::{read_npy, write_npy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(tensor) = read_npy(file) {
        let again = read_npy(&write_npy(&tensor)).expect("what is written is read");
        assert_eq!(tensor, again);
    }
});
