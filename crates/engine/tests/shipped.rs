//! The shipped models on the shipped pictures: the engine reads the digits, and every way of running
//! gives the same trace.
#![allow(clippy::unwrap_used)]

use gavel_engine::{Engine, EngineOptions};
use gavel_model::{preprocess, shipped};
use gavel_numerics::Tensor;
use gavel_numerics::kernels::Isa;

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
fn digits_are_read_and_every_way_of_running_agrees() {
    for (name, _) in shipped::MODELS {
        let model = shipped::load(name).unwrap();
        let items: Vec<Vec<Tensor>> = shipped::PICTURES
            .iter()
            .map(|(_, _, png)| vec![preprocess::png_to_input(&model, png).unwrap()])
            .collect();
        let alone: Vec<_> = items
            .iter()
            .map(|item| engine(1, Isa::best()).run(&model, item).unwrap())
            .collect();
        if name == "digits" {
            for ((file, want, _), run) in shipped::PICTURES.iter().zip(&alone) {
                assert_eq!(digit(&run.outputs[0]), usize::from(*want), "{file}");
            }
        }
        for isa in Isa::available() {
            for threads in [1, 2] {
                let batch = engine(threads, isa).run_batch(&model, &items).unwrap();
                for (a, b) in alone.iter().zip(&batch) {
                    assert_eq!(
                        (&a.trace, &a.outputs),
                        (&b.trace, &b.outputs),
                        "{name} {isa:?} x{threads}"
                    );
                }
            }
        }
    }
}
