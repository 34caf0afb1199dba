//! Step graphs of small denoisers, run by the reference interpreter.

use gavel_numerics::{DType, Op, scalar};

use super::*;
use crate::{Node, shipped, test_run};

const SCHEDULER: &str = r#"{
    "kind": "test", "pixels": {"scale": 127.5, "offset": 127.5},
    "timestep": [1.0, 0.5, 0.25], "noise": [2.0, 0.0, 0.5], "keep": [1.0, 0.5, 1.0], "add": [-0.5, 0.25, 1.0],
    "fields": [{"name": "colour", "words": ["red", "blue"]}]
}"#;

/// `sample * timestep + word`, on a picture of two by three.
fn denoiser() -> (Graph, Vec<Weight>) {
    let f32 = |dims: &[u64]| TensorType::new(DType::F32, dims);
    let picture = f32(&[1, 1, 2, 3]);
    let node = |op, inputs: &[Source], output: TensorType| Node {
        name: String::new(),
        op,
        inputs: inputs.to_vec(),
        output,
    };
    let dims = vec![1, 1, 1, 1];
    let nodes = vec![
        node(
            Op::Gather { axis: 0 },
            &[Source::Weight(0), Source::Input(2)],
            f32(&[1]),
        ),
        node(
            Op::Reshape { dims: dims.clone() },
            &[Source::node(0)],
            f32(&dims),
        ),
        node(
            Op::Mul,
            &[Source::Input(0), Source::Input(1)],
            picture.clone(),
        ),
        node(
            Op::Add,
            &[Source::node(2), Source::node(1)],
            picture.clone(),
        ),
    ];
    let graph = Graph {
        inputs: vec![
            ("sample".to_owned(), picture),
            ("timestep".to_owned(), f32(&[])),
            ("prompt".to_owned(), TensorType::new(DType::I64, [1])),
        ],
        nodes,
        outputs: vec![("found".to_owned(), Source::node(3))],
    };
    let table = Tensor::f32([3], vec![0.0, 0.25, -0.75]).unwrap();
    let weights = vec![Weight {
        name: "table".to_owned(),
        value: table.into(),
    }];
    (graph, weights)
}

fn built(change: impl FnOnce(&mut Graph), scheduler: &str) -> Result<Model, ModelError> {
    let (mut graph, weights) = denoiser();
    change(&mut graph);
    let assets = BTreeMap::from([(ASSET.to_owned(), scheduler.as_bytes().to_vec())]);
    model(graph, weights, assets, &CommitPolicy::default())
}

/// All nodes of a step, and its outputs.
fn step(model: &Model, inputs: &[Tensor]) -> (Vec<Tensor>, Vec<Tensor>) {
    let values = test_run::values(model, inputs);
    let outputs = test_run::outputs(model, &values);
    (values, outputs)
}

/// Box and Muller in binary64.
fn noise(seed: u64, step: u64, element: u64) -> f64 {
    let u = f64::from(scalar::uniform(seed, step, element));
    let mixed = [1, step, element].into_iter().fold(seed, |base, n| {
        scalar::mix(base.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    });
    let v = (2 * ((mixed >> 18) % (1 << 23)) + 1) as f64 / 16_777_216.0;
    (-2.0 * u.ln()).sqrt() * (v * std::f64::consts::TAU).cos()
}

#[test]
fn steps_are_those_of_the_scheduler_and_noise_that_of_the_seed() {
    let model = built(|_| {}, SCHEDULER).unwrap();
    assert_eq!(model.header().max_steps, 3);
    let drawing = Diffusion::of(&model).unwrap();
    assert_eq!(drawing.extents(), [1, 2, 3]);
    let seed = u64::MAX - 4;
    let mut state = drawing.task_inputs("Blue", seed).unwrap();
    assert_eq!(drawing.task_of(&state), Some(("blue".to_owned(), seed)));
    let tables = Scheduler::of(model.assets()).unwrap();
    let mut expected = [0.0f64; 6];
    for i in 0..3 {
        let value = |column: &[f32]| f64::from(column[i]);
        for (element, x) in expected.iter_mut().enumerate() {
            let y = value(&tables.noise) * noise(seed, i as u64, element as u64) + *x;
            let found = y * value(&tables.timestep) - 0.75;
            *x = value(&tables.keep) * y + value(&tables.add) * found;
        }
        let outputs = step(&model, &state).1;
        let types = model.graph().inputs.iter().map(|(_, ty)| ty);
        assert!(outputs.iter().map(Tensor::ty).eq(types));
        for (found, expected) in outputs[slots::PICTURE]
            .as_f32()
            .unwrap()
            .iter()
            .zip(expected)
        {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
        let word = |slot: usize| outputs[slot].as_i64().unwrap().to_vec();
        assert_eq!(word(slots::STOP), [i64::from(i == 2)]);
        assert_eq!(word(slots::STEP), [i as i64 + 1]);
        assert_eq!(word(slots::SEED), [seed.cast_signed()]);
        assert_eq!(word(slots::PROMPT), [2]);
        state = outputs;
        // in the midst of a run nothing begins
        assert_eq!(drawing.task_of(&state), None);
    }
    assert_eq!(drawing.picture(&state).unwrap().pixels.len(), 6);
    // beyond its end a run has stopped before
    let beyond = step(&model, &state).1;
    assert_eq!(beyond[slots::STOP].as_i64(), Some(&[2][..]));
}

#[test]
fn a_picture_that_a_task_brings_changes_nothing() {
    let model = built(|_| {}, SCHEDULER).unwrap();
    let drawing = Diffusion::of(&model).unwrap();
    let inputs = drawing.task_inputs("red", 1).unwrap();
    let mut chosen = inputs.clone();
    chosen[slots::PICTURE] = Tensor::f32([1, 1, 2, 3], vec![f32::NAN; 6]).unwrap();
    assert_eq!(step(&model, &chosen).1, step(&model, &inputs).1);
    assert_eq!(drawing.task_of(&chosen), None);
}

#[test]
fn the_nodes_of_a_denoiser_are_those_that_read_the_picture() {
    let model = built(|_| {}, SCHEDULER).unwrap();
    let found = denoiser_nodes(&model);
    let names = |i: &usize| model.graph().nodes[*i].op.name();
    let names: Vec<_> = found.iter().map(names).collect();
    assert_eq!(names, ["Mul", "Add"]);
    assert!(denoiser_nodes(&shipped::load("digits").unwrap()).is_empty());
    assert!(Diffusion::of(&shipped::load("digits").unwrap()).is_none());
}

#[test]
fn other_denoisers_and_schedulers_are_refused() {
    let refused =
        |change: fn(&mut Graph), scheduler: &str| built(change, scheduler).unwrap_err().to_string();
    type Change = fn(&mut Graph);
    let cases: [(Change, &str); 5] = [
        (
            |g| g.inputs[0].0 = "image".to_owned(),
            "input image: a denoiser takes sample",
        ),
        (|g| g.inputs[0].1.dims = vec![1, 4, 2, 3], "is no picture"),
        (|g| g.inputs[1].1.dims = vec![2], "is no F32[1]"),
        (|g| g.inputs[2].1.dims = vec![2], "is no I64 of 1 fields"),
        (|g| g.outputs.clear(), "a denoiser has one output"),
    ];
    for (change, expected) in cases {
        let text = refused(change, SCHEDULER);
        assert!(text.contains(expected), "{text}");
    }
    for (from, to, expected) in [
        (
            "\"keep\": [1.0, 0.5, 1.0]",
            "\"keep\": [1.0, 0.5]",
            "keep has 2 of 3 values",
        ),
        ("[2.0, 0.0, 0.5]", "[2.0, 0.0, 1e39]", "out of range"),
        ("\"kind\"", "\"sort\"", "unknown field"),
        ("\"red\"", "\"dark red\"", "is no word"),
        ("{", "[", "expected"),
    ] {
        let text = refused(|_| {}, &SCHEDULER.replacen(from, to, 1));
        assert!(text.contains(expected), "{text}");
    }
    let one = SCHEDULER.replace("1.0, 0.5, 0.25", "1.0");
    assert!(refused(|_| {}, &one).contains("1 steps, expected 2 to 4096"));
}

#[test]
fn the_shipped_model_draws_what_its_words_say() {
    let model = shipped::load("diffusion").unwrap();
    let drawing = Diffusion::of(&model).unwrap();
    assert_eq!(drawing.extents(), [3, 32, 32]);
    assert_eq!(model.header().max_steps, 16);
    let wrong = drawing.task_inputs("a red octagon", 1).unwrap_err();
    assert!(
        wrong
            .vocabulary()
            .contains("shape: circle, square, triangle")
    );
    let inputs = drawing.task_inputs("a large red star on a white background", 1);
    let (said, seed) = drawing.task_of(&inputs.unwrap()).unwrap();
    assert_eq!((said.as_str(), seed), ("large red star on white", 1));
    let nodes = denoiser_nodes(&model);
    let first = &model.graph().nodes[*nodes.first().unwrap()];
    assert_eq!((first.op.name(), first.name.as_str()), ("Conv", "stem"));
}
