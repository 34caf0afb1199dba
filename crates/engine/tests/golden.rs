//! The shipped models on the shipped pictures: the engine reads the digits, and every way of running on every
//! machine gives the pinned trace roots (`spec/vectors/numerics/trace_roots.json`).
#![allow(clippy::unwrap_used)]

mod common;

use common::golden::{PINNED, families, file};
use gavel_engine::{Engine, EngineOptions};
use gavel_model::{preprocess, shipped};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::{Isa, IsaKind};

fn engine(threads: usize, isa: Isa) -> Engine {
    Engine::new(EngineOptions {
        threads,
        isa: Some(isa),
        ..EngineOptions::default()
    })
    .unwrap()
}

/// Index of the largest score; a picture's digit.
fn digit(output: &Tensor) -> usize {
    let scores = output.as_f32().unwrap();
    (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}

#[test]
fn digits_are_read() {
    let model = shipped::load("digits").unwrap();
    for (file, want, png) in shipped::PICTURES {
        let input = preprocess::png_to_input(&model, png).unwrap();
        let run = engine(1, Isa::best()).run(&model, &[input]).unwrap();
        assert_eq!(digit(&run.outputs[0]), usize::from(want), "{file}");
    }
}

/// One value for every machine: x86-64 at any width, aarch64, wasm32 (`scripts/wasm-check`). It changes only with
/// a new version of the arithmetic, of the trace format or of a model.
#[test]
fn trace_roots_are_the_pinned_ones() {
    for kind in IsaKind::ALL {
        if Isa::new(kind).is_err() {
            eprintln!("skipped: this machine has no {kind}");
        }
    }
    let families = families();
    for isa in Isa::available() {
        for threads in [1, 2] {
            for batch in [1, 7] {
                let found = file(&engine(threads, isa), &families, batch);
                assert!(
                    found == PINNED,
                    "{isa:?} x{threads}, batch {batch}: {found}"
                );
            }
        }
    }
}
