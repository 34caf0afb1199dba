//! Any bytes as an evidence file: refused, or one that is written, read back and checked the same.
#![no_main]

use gavel_trace::{Evidence, EvidenceLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(evidence) = Evidence::parse(file, &EvidenceLimits::default()) else {
        return;
    };
    let text = evidence.to_json().expect("it was JSON");
    let again =
        Evidence::parse(text.as_bytes(), &EvidenceLimits::default()).expect("it was evidence");
    assert_eq!(evidence, again);
    assert_eq!(
        evidence.check_openings().is_ok(),
        again.check_openings().is_ok()
    );
});
