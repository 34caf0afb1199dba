//! The pinned models run inside WebAssembly: `scripts/wasm-check` compares the text with
//! `spec/vectors/numerics/trace_roots.json`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::OnceLock;

use gavel_engine::{Engine, EngineOptions};

/// The file of trace roots, as this machine finds it.
fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let engine = Engine::new(EngineOptions::default()).unwrap();
        common::golden::file(&engine, &common::golden::families(), 1)
    })
}

/// Where the text starts in memory.
// SAFETY: no other symbol of this library has the name.
#[unsafe(no_mangle)]
pub extern "C" fn trace_roots() -> *const u8 {
    text().as_ptr()
}

/// Bytes of the text.
// SAFETY: no other symbol of this library has the name.
#[unsafe(no_mangle)]
pub extern "C" fn trace_roots_len() -> usize {
    text().len()
}
