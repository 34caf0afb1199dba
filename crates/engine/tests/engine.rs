//! Promises of the engine: bits do not depend on how it runs, a trace shows exactly what changed,
//! bad input is refused with words.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Builder, classifier, gemm_op, inputs, tensor};
use gavel_engine::{Engine, EngineError, EngineOptions, NodeObserver, bind, digest};
use gavel_model::{CommitPolicy, Source};
use gavel_numerics::kernels::{Isa, IsaKind};
use gavel_numerics::{Data, Op, Tensor};
use gavel_trace::{CommitPoint, live_root};

fn engine(threads: usize, isa: Isa) -> Engine {
    Engine::new(EngineOptions {
        threads,
        isa: Some(isa),
        ..EngineOptions::default()
    })
    .unwrap()
}

/// A segment of the only step.
fn at(segment: usize) -> CommitPoint {
    CommitPoint {
        step: 0,
        segment: segment as u32,
    }
}

fn plain() -> Engine {
    engine(1, Isa::best())
}

/// Every (threads, instruction set) of this machine.
fn engines() -> Vec<Engine> {
    for kind in IsaKind::ALL {
        if Isa::new(kind).is_err() {
            eprintln!("skipped: this CPU has no {kind}");
        }
    }
    Isa::available()
        .iter()
        .flat_map(|&isa| [1, 2, 3].map(|threads| engine(threads, isa)))
        .collect()
}

/// One ulp up in element `element` of node `node`, whatever its type.
fn one_ulp(node: usize, element: usize) -> impl FnMut(usize, &mut Tensor) {
    move |index, output| {
        if index != node {
            return;
        }
        match output.data() {
            Data::F32(_) => {
                let x = &mut output.as_f32_mut().unwrap()[element];
                *x = f32::from_bits(x.to_bits() ^ 1);
            }
            _ => output.as_i64_mut().unwrap()[element] += 1,
        }
    }
}

#[test]
fn same_trace_root_for_every_thread_count_and_instruction_set() {
    for policy in [
        CommitPolicy::CostModel,
        CommitPolicy::After(vec![2, 5, 9, 14]),
    ] {
        let model = classifier(&policy);
        let inputs = inputs(&model, 1);
        let first = plain().run(&model, &inputs).unwrap();
        assert_eq!(first.trace.leaves().len(), model.segments().len());
        for engine in engines() {
            let run = engine.run(&model, &inputs).unwrap();
            assert_eq!(
                run.trace.trace_root(),
                first.trace.trace_root(),
                "{:?} x{}",
                engine.isa(),
                engine.threads()
            );
            assert_eq!(run.outputs, first.outputs);
        }
    }
}

#[test]
fn a_batch_of_strangers_has_the_bits_of_each_alone() {
    let model = classifier(&CommitPolicy::After(vec![0, 4, 11]));
    let items: Vec<Vec<Tensor>> = (0..7).map(|seed| inputs(&model, seed)).collect();
    for engine in engines() {
        let batch = engine.run_batch(&model, &items).unwrap();
        for (item, together) in items.iter().zip(&batch) {
            let alone = plain().run(&model, item).unwrap();
            assert_eq!(alone.trace, together.trace);
            assert_eq!(alone.outputs, together.outputs);
        }
    }
    let none: [Vec<Tensor>; 0] = [];
    assert!(plain().run_batch(&model, &none).unwrap().is_empty());
}

#[test]
fn a_batch_keeps_values_per_row_apart() {
    // C has one value per row of an item: its rows must not be laid under another item's
    let mut b = Builder::new(&[("x", &[3, 40])]);
    let (w, c) = (b.weight(&[5, 40]), b.weight(&[3, 1]));
    let y = b.node(gemm_op(), &[Source::Input(0), w, c]);
    let v = b.weight(&[5]);
    let z = b.node(Op::MatMul, &[y, v]);
    let model = b.build(&[z], &CommitPolicy::CostModel);
    let items: Vec<Vec<Tensor>> = (0..7).map(|seed| inputs(&model, seed)).collect();
    let batch = plain().run_batch(&model, &items).unwrap();
    for (item, together) in items.iter().zip(&batch) {
        assert_eq!(plain().run(&model, item).unwrap().trace, together.trace);
    }
}

#[test]
fn ends_of_the_trace_are_the_inputs_and_outputs() {
    let model = classifier(&CommitPolicy::After(vec![3, 8]));
    let inputs = inputs(&model, 3);
    let run = plain().run(&model, &inputs).unwrap();
    let height = model.header().live_height;
    let root = |tensors: &[&Tensor]| {
        live_root(
            height,
            &tensors.iter().map(|t| digest(t)).collect::<Vec<_>>(),
        )
        .unwrap()
    };
    assert_eq!(
        run.trace.input_digest,
        root(&inputs.iter().collect::<Vec<_>>())
    );
    let outputs: Vec<&Tensor> = run.outputs.iter().map(Arc::as_ref).collect();
    assert_eq!(run.trace.output_digest(), root(&outputs));
    assert_eq!(run.trace.leaves().last(), Some(&run.trace.output_digest()));
    assert_eq!(run.trace.steps(), 1);
    let label = run.outputs[1].as_i64().unwrap()[0] as usize;
    let scores = run.outputs[0].as_f32().unwrap();
    assert!(scores.iter().all(|&score| score <= scores[label]));
}

#[test]
fn fine_trace_of_every_segment_ends_in_its_leaf() {
    let model = classifier(&CommitPolicy::After(vec![1, 6, 7, 15]));
    let inputs = inputs(&model, 4);
    let run = plain().run(&model, &inputs).unwrap();
    let mut live: Vec<Arc<Tensor>> = inputs.iter().cloned().map(Arc::new).collect();
    for (c, segment) in model.segments().iter().enumerate() {
        let before = plain().live_before(&model, &inputs, at(c), None).unwrap();
        assert_eq!(before, live, "live before segment {c}");
        for engine in engines() {
            let fine = engine.fine_trace(&model, at(c), &live, None).unwrap();
            assert_eq!(fine.trace.live_root(), run.trace.leaves()[c]);
            assert_eq!(fine.tensors.len(), segment.op_count as usize);
            for (tensor, leaf) in fine.tensors.iter().zip(fine.trace.ops().leaves()) {
                assert_eq!(digest(tensor), *leaf);
            }
        }
        live = plain().fine_trace(&model, at(c), &live, None).unwrap().live;
    }
    assert_eq!(live, run.outputs);
}

#[test]
fn one_ulp_shows_in_exactly_the_leaves_that_depend_on_it() {
    let cuts = vec![2, 5, 9, 14];
    let model = classifier(&CommitPolicy::After(cuts));
    let inputs = inputs(&model, 5);
    let honest = plain().run(&model, &inputs).unwrap();
    for node in 0..model.graph().nodes.len() {
        let home = model
            .segments()
            .iter()
            .position(|s| s.nodes().contains(&(node as u32)))
            .unwrap();
        let wrong = plain()
            .run_observed(&model, &inputs, &mut one_ulp(node, 0))
            .unwrap();
        let (before, after) = (
            &honest.trace.leaves()[..home],
            &wrong.trace.leaves()[..home],
        );
        assert_eq!(before, after, "leaves before node {node} are untouched");
        // every party recomputes the home segment from the agreed live tensors
        let live = plain()
            .live_before(&model, &inputs, at(home), None)
            .unwrap();
        let fine = plain()
            .fine_trace(&model, at(home), &live, None)
            .unwrap()
            .trace;
        let lie = plain()
            .fine_trace(&model, at(home), &live, Some(&mut one_ulp(node, 0)))
            .unwrap()
            .trace;
        assert_eq!(
            lie.live_root(),
            wrong.trace.leaves()[home],
            "a faulty fine trace links to the faulty leaf"
        );
        let at = node as u32 - model.segments()[home].first_node;
        assert_eq!(
            fine.first_difference(&lie),
            Some(gavel_trace::FineIndex::Op(at)),
            "isolated to node {node}"
        );
        let is_live = model.segments()[home]
            .live
            .contains(&Source::node(node as u32));
        if is_live {
            assert_ne!(honest.trace.leaves()[home], wrong.trace.leaves()[home]);
            assert_ne!(honest.trace.trace_root(), wrong.trace.trace_root());
        }
    }
}

#[test]
fn an_observer_sees_every_node_once_in_order_and_may_not_change_types() {
    let model = classifier(&CommitPolicy::CostModel);
    let inputs = inputs(&model, 6);
    let mut seen = Vec::new();
    let mut watch = |node: usize, _: &mut Tensor| seen.push(node);
    let run = plain().run_observed(&model, &inputs, &mut watch).unwrap();
    assert_eq!(seen, (0..model.graph().nodes.len()).collect::<Vec<_>>());
    assert_eq!(run.trace, plain().run(&model, &inputs).unwrap().trace);
    struct Shrinker;
    impl NodeObserver for Shrinker {
        fn after_node(&mut self, _: usize, _: usize, output: &mut Tensor) {
            *output = tensor(&[1], 0);
        }
    }
    let err = plain()
        .run_observed(&model, &inputs, &mut Shrinker)
        .unwrap_err();
    assert!(matches!(err, EngineError::Observer { .. }), "{err}");
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_words() {
    let model = classifier(&CommitPolicy::CostModel);
    let good = inputs(&model, 7);
    let named = |names: [&str; 2]| names.map(str::to_owned).into_iter().zip(good.clone());
    assert_eq!(bind(&model, named(["image", "shift"])).unwrap(), good);
    let swapped = named(["image", "shift"]).rev().collect::<Vec<_>>();
    assert_eq!(bind(&model, swapped).unwrap(), good);
    for (given, words) in [
        (
            named(["picture", "shift"]).collect::<Vec<_>>(),
            "no input \"picture\"",
        ),
        (named(["image", "image"]).collect(), "given twice"),
        (
            named(["image", "shift"]).take(1).collect(),
            "input \"shift\" is missing: expected F32[1x10]",
        ),
        (
            named(["shift", "image"]).collect(),
            "expected F32[1x3x17x15], found F32[1x10]",
        ),
    ] {
        let err = bind(&model, given).unwrap_err().to_string();
        assert!(err.contains(words), "{err}");
    }
    let err = plain().run(&model, &good[..1]).unwrap_err().to_string();
    assert_eq!(err, "the model has 2 inputs, 1 were given");
    let ints = Tensor::i64(vec![1, 10], vec![0; 10]).unwrap();
    let err = plain()
        .run(&model, &[good[0].clone(), ints])
        .unwrap_err()
        .to_string();
    assert_eq!(err, "input \"shift\": expected F32[1x10], found I64[1x10]");
    let engine = plain();
    assert!(matches!(
        engine.fine_trace(&model, at(999), &[], None),
        Err(EngineError::Segment { .. })
    ));
    assert!(matches!(
        engine.fine_trace(&model, at(0), &[], None),
        Err(EngineError::LiveCount { .. })
    ));
    let wrong = [Arc::new(good[1].clone()), Arc::new(good[0].clone())];
    assert!(matches!(
        engine.fine_trace(&model, at(0), &wrong, None),
        Err(EngineError::LiveMismatch { .. })
    ));
}

#[test]
fn memory_is_bounded_and_freed() {
    // a chain of 40 nodes of 4 KiB holds two tensors at a time
    let mut b = Builder::new(&[("x", &[1024])]);
    let mut x = Source::Input(0);
    for _ in 0..40 {
        x = b.node(Op::Relu, &[x]);
    }
    let model = b.build(&[x], &CommitPolicy::After(vec![10, 20]));
    let bounded = |max_tensor_bytes| {
        let options = EngineOptions {
            threads: 1,
            isa: Some(Isa::best()),
            max_tensor_bytes,
        };
        Engine::new(options)
            .unwrap()
            .run(&model, &inputs(&model, 8))
    };
    assert!(bounded(2 * 4096).is_ok());
    let err = bounded(2 * 4096 - 1).unwrap_err();
    assert_eq!(
        err.to_string(),
        "running node \"Relu_0\" would hold 8192 bytes of tensors; the bound is 8191"
    );
}

#[test]
fn what_a_check_admits_can_be_run_and_retraced_and_nothing_less() {
    for policy in [
        CommitPolicy::CostModel,
        CommitPolicy::After(vec![2, 5, 9, 14]),
        CommitPolicy::After(vec![]),
    ] {
        let model = classifier(&policy);
        let inputs = inputs(&model, 4);
        let bounded = |max_tensor_bytes| {
            Engine::new(EngineOptions {
                threads: 1,
                isa: Some(Isa::best()),
                max_tensor_bytes,
            })
            .unwrap()
        };
        let works = |engine: &Engine| -> Result<(), EngineError> {
            engine.run(&model, &inputs)?;
            for segment in 0..model.segments().len() {
                let live = engine.live_before(&model, &inputs, at(segment), None)?;
                engine.fine_trace(&model, at(segment), &live, None)?;
            }
            Ok(())
        };
        let (mut low, mut high) = (0u64, 1 << 30);
        while high - low > 1 {
            let middle = low.midpoint(high);
            match bounded(middle).check(&model) {
                Ok(()) => high = middle,
                Err(_) => low = middle,
            }
        }
        works(&bounded(high)).unwrap();
        for bound in [low, high / 2, 0] {
            let engine = bounded(bound);
            let (told, met) = (engine.check(&model), works(&engine));
            assert_eq!(
                told.unwrap_err().to_string(),
                met.unwrap_err().to_string(),
                "{policy:?} within {bound} bytes"
            );
        }
    }
}

#[test]
fn a_model_beyond_the_bound_is_told_by_its_shapes() {
    let window = gavel_numerics::Window2d {
        kernel: [1, 1],
        strides: [1, 1],
        pads: [20_000; 4],
        dilations: [1, 1],
    };
    let mut b = Builder::new(&[("x", &[1, 1, 8, 8])]);
    let w = b.weight(&[1, 1, 1, 1]);
    let y = b.node(Op::Conv2d { window, groups: 1 }, &[Source::Input(0), w]);
    let model = b.build(&[y], &CommitPolicy::CostModel);
    let err = EngineOptions::default().check(&model).unwrap_err();
    let needed = 4 * (40_008u64 * 40_008 + 64);
    assert!(
        matches!(err, EngineError::Memory { needed: told, bound: 1_073_741_824, .. } if told == needed),
        "{err}"
    );
}
