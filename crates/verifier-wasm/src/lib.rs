//! The verifier for a page: three functions over plain memory, no bindings to be generated.
//!
//! The host takes memory for a file with [`verifier_alloc`], writes the file there, calls [`verifier_verify`], reads the answer, and
//! gives both back with [`verifier_free`]. An answer is four bytes of length, little-endian, and so many bytes of JSON: the
//! [`Report`](gavel_verifier::Report) on the file.

mod abi;

pub use abi::{verifier_alloc, verifier_free, verifier_verify};

use gavel_verifier::{Limits, verify};

/// The answer on a file.
fn answer(file: &[u8]) -> Vec<u8> {
    let report = verify(file, &Limits::page());
    let mut answer = vec![0; 4];
    // a report is strings and numbers: it can always be written
    if serde_json::to_writer(&mut answer, &report).is_err() {
        answer.truncate(4);
    }
    let length = u32::try_from(answer.len() - 4).unwrap_or(0);
    answer[..4].copy_from_slice(&length.to_le_bytes());
    answer
}
