//! Models of several steps: the run ends where output 0 says, every segment of every step can be retraced.
#![allow(clippy::unwrap_used)]

use gavel_engine::{Engine, EngineError, EngineOptions, NodeObserver};
use gavel_model::Model;
use gavel_model::llama::{Architecture, Formats, LanguageModel, LlamaConfig, random, roles, tiny};
use gavel_numerics::{Data, Tensor, WeightFormat};
use gavel_trace::{CommitPoint, live_root};

fn language_model() -> LanguageModel {
    let config = LlamaConfig {
        context: 10,
        vocabulary: 40,
        width: 64,
        hidden: 64,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        end: Vec::new(),
        ..tiny(Architecture::Qwen3)
    };
    random(&config, &Formats::uniform(&config, WeightFormat::Q8_0), 5).unwrap()
}

/// A prompt of three tokens, at most `most` more, the largest logit each time.
fn inputs(model: &Model, most: i64) -> Vec<Tensor> {
    let types = model.graph().inputs.iter().map(|(_, ty)| ty);
    types
        .enumerate()
        .map(|(slot, ty)| {
            let len = ty.elements().unwrap();
            let dims = ty.dims.clone();
            match slot {
                roles::STOP | roles::POSITION => Tensor::i64(dims, vec![0]).unwrap(),
                roles::TOKENS => {
                    let mut tokens = vec![-1; len];
                    tokens[..3].copy_from_slice(&[7, 1, 30]);
                    Tensor::i32(dims, tokens).unwrap()
                }
                roles::PARAMS => {
                    let one = i64::from(1f32.to_bits());
                    let mut words = vec![0; len];
                    words[..8].copy_from_slice(&[3, most, 0, 0, 0, one, 0, one]);
                    Tensor::i64(dims, words).unwrap()
                }
                _ => Tensor::f32(dims, vec![0.0; len]).unwrap(),
            }
        })
        .collect()
}

fn engine() -> Engine {
    Engine::new(EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn stop(outputs: &[std::sync::Arc<Tensor>]) -> i64 {
    outputs[roles::STOP].as_i64().unwrap()[0]
}

fn tokens(outputs: &[std::sync::Arc<Tensor>]) -> Vec<i32> {
    match outputs[roles::TOKENS].data() {
        Data::I32(tokens) => tokens.clone(),
        _ => unreachable!(),
    }
}

#[test]
fn a_run_ends_with_the_step_that_stops_and_goes_on_where_it_is_told() {
    let model = language_model().model;
    let run = engine().run(&model, &inputs(&model, 4)).unwrap();
    // two steps for the prompt, the third samples the first of four
    assert_eq!((run.trace.steps(), stop(&run.outputs)), (6, 1));
    let found = tokens(&run.outputs);
    assert_eq!(found[..3], [7, 1, 30]);
    assert!(found[3..7].iter().all(|t| (0..40).contains(t)), "{found:?}");
    assert!(found[7..].iter().all(|&t| t == -1));
    let points = model.segments().len();
    assert_eq!(run.trace.leaves().len(), 6 * points);

    let short = engine()
        .run_steps(&model, &inputs(&model, 4), 4, None)
        .unwrap();
    assert_eq!(short.trace.leaves(), &run.trace.leaves()[..4 * points]);
    assert_eq!(stop(&short.outputs), 0);
    let long = engine()
        .run_steps(&model, &inputs(&model, 4), 8, None)
        .unwrap();
    assert_eq!(&long.trace.leaves()[..6 * points], run.trace.leaves());
    assert_eq!(stop(&long.outputs), 2);

    // the context ends what nothing else does
    let full = engine().run(&model, &inputs(&model, 1 << 40)).unwrap();
    assert_eq!((full.trace.steps(), stop(&full.outputs)), (10, 1));
    for steps in [0, 11] {
        let refused = engine().run_steps(&model, &inputs(&model, 4), steps, None);
        assert!(matches!(refused, Err(EngineError::Steps { .. })));
    }
}

#[test]
fn a_batch_stops_item_by_item() {
    let model = language_model().model;
    let items = [inputs(&model, 1), inputs(&model, 4)];
    let together = engine().run_batch(&model, &items).unwrap();
    for (item, run) in items.iter().zip(together) {
        assert_eq!(engine().run(&model, item).unwrap().trace, run.trace);
    }
}

#[test]
fn every_segment_of_every_step_retraces_to_its_leaf() {
    let model = language_model().model;
    let (inputs, engine) = (inputs(&model, 3), engine());
    let run = engine.run(&model, &inputs).unwrap();
    let mut live = engine
        .live_before(
            &model,
            &inputs,
            CommitPoint {
                step: 0,
                segment: 0,
            },
            None,
        )
        .unwrap();
    for (i, leaf) in run.trace.leaves().iter().enumerate() {
        let at = CommitPoint::at_leaf(i as u64, model.header().commit_points).unwrap();
        assert_eq!(engine.live_before(&model, &inputs, at, None).unwrap(), live);
        let fine = engine.fine_trace(&model, at, &live, None).unwrap();
        assert_eq!(fine.trace.live_root(), *leaf);
        live = fine.live;
    }
    let digests: Vec<_> = live.iter().map(|t| gavel_engine::digest(t)).collect();
    let root = live_root(model.header().live_height, &digests).unwrap();
    assert_eq!(run.trace.output_digest(), root);
    assert_eq!(run.outputs, live);
    for at in [
        CommitPoint {
            step: 10,
            segment: 0,
        },
        CommitPoint {
            step: 0,
            segment: 9,
        },
    ] {
        assert!(engine.live_before(&model, &inputs, at, None).is_err());
        assert!(engine.fine_trace(&model, at, &live, None).is_err());
    }
}

/// Samples another token in one step.
struct OtherToken {
    step: u32,
    now: u32,
    node: usize,
}

impl NodeObserver for OtherToken {
    fn begin_step(&mut self, step: u32) {
        self.now = step;
    }

    fn after_node(&mut self, _item: usize, node: usize, output: &mut Tensor) {
        if self.now == self.step && node == self.node {
            *output = Tensor::i32([1], vec![(output.raw(0).unwrap() as i32 + 1) % 40]).unwrap();
        }
    }
}

#[test]
fn an_observer_knows_the_step() {
    let made = language_model();
    let (model, inputs, engine) = (&made.model, inputs(&made.model, 4), engine());
    let honest = engine.run(model, &inputs).unwrap();
    let fault = |step| OtherToken {
        step,
        now: 0,
        node: made.roles.sample_node as usize,
    };
    let other = engine.run_observed(model, &inputs, &mut fault(3)).unwrap();
    let points = model.segments().len();
    let first = (0..).find(|&i| honest.trace.leaves()[i] != other.trace.leaves()[i]);
    assert_eq!(first, Some(4 * points - 1), "the last segment of step 3");
    // the fault in a step of the prompt is not read
    let absorbed = engine.run_observed(model, &inputs, &mut fault(1)).unwrap();
    assert_eq!(absorbed.trace, honest.trace);
    // and a step that is retraced is known too
    let at = CommitPoint {
        step: 3,
        segment: points as u32 - 1,
    };
    let live = engine
        .live_before(model, &inputs, at, Some(&mut fault(3)))
        .unwrap();
    let fine = engine
        .fine_trace(model, at, &live, Some(&mut fault(3)))
        .unwrap();
    assert_eq!(fine.trace.live_root(), other.trace.leaves()[4 * points - 1]);
}

/// Counts steps, and looks at no node.
#[derive(Default)]
struct Steps(Vec<u32>);

impl NodeObserver for Steps {
    fn begin_step(&mut self, step: u32) {
        self.0.push(step);
    }

    fn sees_nodes(&self) -> bool {
        false
    }

    fn after_node(&mut self, _item: usize, _node: usize, _output: &mut Tensor) {
        panic!("it sees no nodes");
    }
}

#[test]
fn who_waits_for_steps_alone_sees_all_of_them() {
    let made = language_model();
    let (model, inputs, engine) = (&made.model, inputs(&made.model, 4), engine());
    let honest = engine.run(model, &inputs).unwrap();
    let mut steps = Steps::default();
    let seen = engine.run_observed(model, &inputs, &mut steps).unwrap();
    assert_eq!(seen.trace, honest.trace);
    assert!(steps.0.iter().copied().eq(0..seen.trace.commitment().steps));
}
