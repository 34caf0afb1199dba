//! What readers allocate for files that lie: a small multiple of the file, whatever it asks for.
//!
//! The fixtures are made by `fuzz/seeds`, not by this project's own writer.
#![allow(clippy::unwrap_used)]

use std::alloc::System;

use cap::Cap;
use gavel_model::Hashing;
use gavel_model::gguf::Gguf;
use gavel_model::llama::{HfFiles, ImportOptions, LanguageModel, from_gguf, from_hf};
use gavel_model::safetensors::Safetensors;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const FILES: [&[u8]; 2] = [
    include_bytes!("fixtures/tiny-llama-Q4_0.gguf"),
    include_bytes!("fixtures/tiny-qwen3-Q8_0.gguf"),
];
/// For error texts, and for what is not worth counting.
const FREE_BYTES: usize = 1 << 16;
/// The table of the rotation of the longest context that is taken unasked, for heads as long as they may be.
const TABLE_BYTES: usize = 8192 * 1024 * 4;

/// Runs `body`; the bytes that it allocated, those that it gave back included.
fn allocated(body: impl FnOnce()) -> usize {
    let before = ALLOCATOR.total_allocated();
    body();
    ALLOCATOR.total_allocated() - before
}

fn import(file: Vec<u8>) -> Option<LanguageModel> {
    let file = Gguf::parse(file.into()).ok()?;
    Hashing::quiet(|hashing| from_gguf(&file, &ImportOptions::default(), hashing)).ok()
}

fn mutated(edits: &[(usize, u8)], which: usize, cut: usize) -> Vec<u8> {
    let mut file = FILES[which % FILES.len()].to_vec();
    // the header is what lies; data is only data
    let header = 1500;
    for &(at, byte) in edits {
        file[at % header] = byte;
    }
    file.truncate(file.len() - cut % 64);
    file
}

/// One test: the allocator counts for the whole process.
#[test]
fn files_that_lie_get_no_more_memory_than_files_that_do_not() {
    // numbers that ask for a lot, at every place of the header where a length may be
    for file in FILES {
        for at in 0..1500 {
            for value in [u64::MAX, 1 << 32, 1 << 24, 1 << 63, 65_536] {
                let mut lying = file.to_vec();
                lying[at..at + 8].copy_from_slice(&value.to_le_bytes());
                let used = allocated(|| drop(Gguf::parse(lying.clone().into())));
                assert!(used < 16 * file.len() + FREE_BYTES, "{used} at {at}");
            }
        }
    }
    for length in [u64::MAX, 1 << 40, 100 << 20, 1 << 16] {
        let lying = [&length.to_le_bytes()[..], b"{}"].concat();
        assert!(allocated(|| drop(Safetensors::parse(lying.into()))) < FREE_BYTES);
    }
    let many = format!("{{\"model_type\":{}", "[".repeat(1 << 16));
    let files = HfFiles {
        config: many.into_bytes(),
        ..HfFiles::default()
    };
    let used = allocated(|| {
        let made = Hashing::quiet(|h| from_hf(&files, &ImportOptions::default(), h));
        assert!(made.is_err());
    });
    assert!(used < 64 * FREE_BYTES, "{used}");

    for file in FILES {
        let model = import(file.to_vec()).unwrap();
        assert!(model.config.tied);
        LanguageModel::from_model(model.model).unwrap();
    }
    let edits = prop::collection::vec((any::<usize>(), any::<u8>()), 1..6);
    let mut runner = TestRunner::new(Config::with_cases(512));
    runner
        .run(
            &(edits, 0usize..2, any::<usize>()),
            |(edits, which, cut)| {
                let file = mutated(&edits, which, cut);
                let used = allocated(|| drop(import(file.clone())));
                prop_assert!(used < 64 * file.len() + TABLE_BYTES * 2, "{}", used);
                Ok(())
            },
        )
        .unwrap();
}
