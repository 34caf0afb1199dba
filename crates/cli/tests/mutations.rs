//! Thousands of damaged models and pictures in one process: what still imports also runs. Seeded, so that a
//! failure repeats.
#![allow(clippy::unwrap_used)]

use gavel_engine::{Engine, EngineOptions};
use gavel_model::onnx::{ImportOptions, import};
use gavel_model::{Model, preprocess, shipped};
use gavel_numerics::Tensor;

struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// One damage: a flipped bit, a byte from the interesting ones, a piece removed, doubled or moved.
fn damage(file: &mut Vec<u8>, random: &mut Seeded) {
    let at = random.below(file.len());
    let len = random.below(24.min(file.len() - at)) + 1;
    let len = len.min(file.len() - at);
    match random.below(6) {
        0 => file[at] ^= 1 << random.below(8),
        1 => file[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        2 => {
            file.drain(at..at + len);
        }
        3 => {
            let piece = file[at..at + len].to_vec();
            let to = random.below(file.len());
            file.splice(to..to, piece);
        }
        4 => {
            // an integer as large as the wire has it
            let end = (at + 9).min(file.len());
            file[at..end].fill(0xff);
        }
        _ => {
            let other = random.below(file.len());
            file.swap(at, other);
        }
    }
}

/// Inputs of small models, all one half.
fn inputs(model: &Model) -> Option<Vec<Tensor>> {
    let small = model.header().work < 5_000_000;
    model
        .graph()
        .inputs
        .iter()
        .filter(|_| small)
        .map(|(_, ty)| {
            let elements = ty.elements().ok().filter(|&n| n < 1 << 16)?;
            Tensor::from_raw(ty.clone(), &vec![0; elements]).ok()
        })
        .collect::<Option<Vec<_>>>()
        .filter(|inputs| !inputs.is_empty())
}

#[test]
fn damaged_models_are_refused_or_run() {
    let engine = Engine::new(EngineOptions {
        threads: 1,
        isa: None,
        max_tensor_bytes: 32 << 20,
    })
    .unwrap();
    let mut random = Seeded(0x9e37_79b9_7f4a_7c15);
    let (mut refused, mut ran) = (0, 0);
    for (name, file) in [shipped::MODELS[1], shipped::MODELS[2]] {
        // most of a file is weights: damage the graph, which comes first, as often as the rest
        for round in 0..1500 {
            let mut copy = file.to_vec();
            if round % 2 == 0 {
                let tail = copy.split_off(copy.len().min(1500));
                damage(&mut copy, &mut random);
                copy.extend(tail);
            }
            for _ in 0..random.below(4) {
                damage(&mut copy, &mut random);
            }
            match import(&copy, &ImportOptions::default()) {
                Err(error) => {
                    assert!(!error.to_string().is_empty(), "{name} {round}");
                    refused += 1;
                }
                Ok(model) => {
                    if let Some(inputs) = inputs(&model) {
                        let _ = engine.run(&model, &inputs);
                        ran += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 500 && ran > 500, "{refused} refused, {ran} ran");
}

#[test]
fn damaged_pictures_are_refused_or_become_inputs() {
    let model = shipped::load("digits-mlp").unwrap();
    let mut random = Seeded(0x2545_f491_4f6c_dd1d);
    let (mut refused, mut read) = (0, 0);
    let mut try_one = |file: &[u8]| match preprocess::png_to_input(&model, file) {
        Ok(tensor) => {
            assert_eq!(tensor.ty(), &model.graph().inputs[0].1);
            read += 1;
        }
        Err(_) => refused += 1,
    };
    for (_, _, png) in shipped::PICTURES {
        for len in 0..png.len() {
            try_one(&png[..len]);
        }
        for bit in 0..png.len() * 8 {
            let mut copy = png.to_vec();
            copy[bit / 8] ^= 1 << (bit % 8);
            try_one(&copy);
        }
        for _ in 0..500 {
            let mut copy = png.to_vec();
            for _ in 0..=random.below(3) {
                damage(&mut copy, &mut random);
            }
            try_one(&copy);
        }
    }
    assert!(
        refused > 1000 && read > 100,
        "{refused} refused, {read} read"
    );
}
