//! An encoder in the shape of BERT gives onnxruntime's embeddings (`fixtures/tiny_bert.py`).
#![allow(clippy::unwrap_used)]

use gavel_model::npy::read_npz;
use gavel_model::onnx::{ImportOptions, import};
use gavel_model::{Model, Source};
use gavel_numerics::kernels::{Isa, Sequential, eval};
use gavel_numerics::{Tensor, TensorType};

const FILE: &[u8] = include_bytes!("fixtures/tiny-bert.onnx");
const INPUTS: &[u8] = include_bytes!("fixtures/tiny-bert-inputs.npz");
const OUTPUTS: &[u8] = include_bytes!("fixtures/tiny-bert-outputs.npz");

fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut values: Vec<Tensor> = Vec::new();
    let find = |values: &[Tensor], source: Source| match source {
        Source::Input(i) => inputs[i as usize].clone(),
        Source::Weight(i) => (*model.weights()[i as usize].value.tensor()).clone(),
        Source::Node { node, .. } => values[node as usize].clone(),
    };
    for node in &model.graph().nodes {
        let operands: Vec<Tensor> = node.inputs.iter().map(|s| find(&values, *s)).collect();
        let operands: Vec<&Tensor> = operands.iter().collect();
        values.push(eval(Isa::best(), &Sequential, &node.op, &operands).unwrap());
    }
    let outputs = model.graph().outputs.iter();
    outputs.map(|(_, source)| find(&values, *source)).collect()
}

/// The arrays of a file in the order of these names.
fn arrays(file: &[u8], named: &[(String, TensorType)]) -> Vec<Tensor> {
    let all = read_npz(file, named).unwrap();
    let one = |name: &String| all.iter().find(|(n, _)| n == name).unwrap().1.clone();
    named.iter().map(|(name, _)| one(name)).collect()
}

#[test]
fn an_encoder_gives_the_embeddings_of_onnxruntime() {
    let model = import(FILE, &ImportOptions::default()).unwrap();
    let inputs = arrays(INPUTS, &model.graph().inputs);
    let outputs = model.graph().outputs.iter();
    let typed: Vec<_> = outputs
        .map(|(name, source)| (name.clone(), model.type_of(*source).unwrap().clone()))
        .collect();
    let shapes: Vec<_> = typed.iter().map(|(_, ty)| ty.dims.clone()).collect();
    assert_eq!(shapes, [vec![1, 12, 24], vec![1, 24]]);
    let found = run(&model, &inputs);
    for (found, expected) in found.iter().zip(arrays(OUTPUTS, &typed)) {
        for (a, b) in found
            .as_f32()
            .unwrap()
            .iter()
            .zip(expected.as_f32().unwrap())
        {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    // what the mask leaves out changes nothing that is not left out
    let mut other = inputs.clone();
    let mut ids = other[0].as_i64().unwrap().to_vec();
    ids[11] = 7;
    other[0] = Tensor::i64([1, 12], ids).unwrap();
    let changed = run(&model, &other);
    assert_eq!(changed[1], found[1]);
    assert_eq!(
        changed[0].as_f32().unwrap()[..9 * 24],
        found[0].as_f32().unwrap()[..9 * 24]
    );
    assert_ne!(changed[0], found[0]);
}
