//! The fast way through a graph and the slow one: the same bits as the reference interpreter, on random graphs of the shapes
//! that plans look for, with ragged extents, at any number of threads, on every instruction set.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Builder, gemm_op, inputs, window};
use gavel_engine::{Engine, EngineOptions};
use gavel_model::{CommitPolicy, Model, Source};
use gavel_numerics::element::{Builder as Program, Value};
use gavel_numerics::kernels::Isa;
use gavel_numerics::kernels::fused::erf_program;
use gavel_numerics::{Beyond, DType, Op, Reduction, Tensor, ViewAxis, Window2d, reference};
use gavel_trace::CommitPoint;

/// Numbers that are drawn: SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn map(inputs: u8, element: impl FnOnce(&mut Program, &[Value]) -> Value) -> Op {
    let mut p = Program::new();
    let loads: Vec<Value> = (0..inputs).map(|i| p.load(i)).collect();
    let element = element(&mut p, &loads);
    let code = p.finish(element).unwrap();
    Op::Map {
        dtype: DType::F32,
        code,
    }
}

fn dims(b: &Builder, source: Source) -> Vec<u64> {
    match source {
        Source::Input(i) => b.graph.inputs[i as usize].1.dims.clone(),
        Source::Weight(i) => b.weights[i as usize].value.ty().dims.clone(),
        Source::Node { node, .. } => b.graph.nodes[node as usize].output.dims.clone(),
    }
}

fn reshape(b: &mut Builder, x: Source, to: &[u64]) -> Source {
    b.node(Op::Reshape { dims: to.to_vec() }, &[x])
}

/// The mean over the last axis of a value of three axes, as importers lower it.
fn mean(b: &mut Builder, x: Source) -> Source {
    let d = dims(b, x);
    let len = d[2];
    let rows = reshape(b, x, &[d[0] * d[1], len, 1]);
    let sum = Op::Reduce {
        kind: Reduction::Sum,
        axis: 1,
        integers: false,
    };
    let sum = b.node(sum, &[rows]);
    let sum = reshape(b, sum, &[d[0], d[1], 1]);
    let divide = map(1, |p, x| {
        let count = p.float(len as f32);
        p.fdiv(x[0], count)
    });
    b.node(divide, &[sum])
}

/// A normalisation over the last of three axes, as importers lower it.
fn norm(b: &mut Builder, x: Source, affine: Option<(Source, Source)>) -> Source {
    let centre = mean(b, x);
    let centred = b.node(map(2, |p, x| p.fsub(x[0], x[1])), &[x, centre]);
    let squares = b.node(map(1, |p, x| p.fmul(x[0], x[0])), &[centred]);
    let variance = mean(b, squares);
    let inverse = map(1, |p, x| {
        let (epsilon, one) = (p.float(1e-5), p.float(1.0));
        let sum = p.fadd(x[0], epsilon);
        let root = p.fsqrt(sum);
        p.fdiv(one, root)
    });
    let inverse = b.node(inverse, &[variance]);
    let normal = b.node(map(2, |p, x| p.fmul(x[0], x[1])), &[centred, inverse]);
    match affine {
        Some((scale, bias)) => b.node(
            map(3, |p, x| p.fma(x[0], x[1], x[2])),
            &[normal, scale, bias],
        ),
        None => normal,
    }
}

/// A divisor of `n`.
fn divisor(draw: &mut Draw, n: u64) -> u64 {
    let all: Vec<u64> = (1..=n).filter(|d| n.is_multiple_of(*d)).collect();
    draw.one_of(&all)
}

/// One more operator, or a few that belong together, on an image.
fn grow_image(b: &mut Builder, draw: &mut Draw, values: &mut Vec<Source>) {
    let x = draw.one_of(values);
    let d = dims(b, x);
    let [_, c, h, w] = d[..] else { return };
    let y = match draw.below(13) {
        0..=2 => {
            let k = if h > 2 && w > 2 {
                draw.one_of(&[1, 3])
            } else {
                1
            };
            let (stride, pad) = (draw.one_of(&[1, 1, 2]), draw.below(u64::from(k)) as u32);
            let filters = draw.one_of(&[1, 5, 16, 24, 33, 40]);
            let weights = b.weight(&[filters, c, k.into(), k.into()]);
            let mut operands = vec![x, weights];
            if draw.below(3) > 0 {
                operands.push(b.weight(&[filters]));
            }
            let dilation = if k == 3 && pad == 2 { 2 } else { 1 };
            let window = Window2d {
                dilations: [dilation; 2],
                pads: [pad, pad, pad + dilation - 1, pad + dilation - 1],
                ..window(k, stride, pad)
            };
            let groups = 1;
            b.node(Op::Conv2d { window, groups }, &operands)
        }
        3 => {
            let k = draw.one_of(&[3u32, 5]);
            let weights = b.weight(&[c, 1, k.into(), k.into()]);
            let window = window(k, draw.one_of(&[1, 2]), k / 2);
            let groups = c as u32;
            b.node(Op::Conv2d { window, groups }, &[x, weights])
        }
        4 => b.node(Op::Relu, &[x]),
        5 => {
            let (low, high) =
                draw.one_of(&[(0.0f32, 0.5f32), (-0.0, 1.0), (-0.5, -0.0), (0.5, 0.0)]);
            let (min_bits, max_bits) = (low.to_bits(), high.to_bits());
            b.node(Op::Clip { min_bits, max_bits }, &[x])
        }
        6 => {
            let alike: Vec<Source> = values
                .iter()
                .copied()
                .filter(|&y| dims(b, y) == d)
                .collect();
            let other = draw.one_of(&alike);
            match draw.below(2) {
                0 => b.node(Op::Add, &[x, other]),
                _ => b.node(Op::Mul, &[x, other]),
            }
        }
        7 => {
            let stats: Vec<Source> = (0..4).map(|_| b.weight(&[c])).collect();
            let epsilon_bits = 2f32.to_bits();
            b.node(
                Op::BatchNorm { epsilon_bits },
                &[x, stats[0], stats[1], stats[2], stats[3]],
            )
        }
        8 => {
            let gate = b.node(Op::Sigmoid, &[x]);
            b.node(Op::Mul, &[x, gate])
        }
        9 if h > 2 && w > 2 => {
            let window = window(3, draw.one_of(&[1, 2]), 1);
            let count_include_pad = draw.below(2) == 1;
            match draw.below(2) {
                0 => b.node(Op::MaxPool2d { window }, &[x]),
                _ => b.node(
                    Op::AveragePool2d {
                        window,
                        count_include_pad,
                    },
                    &[x],
                ),
            }
        }
        10 => {
            let groups = divisor(draw, c);
            let rows = reshape(b, x, &[1, groups, c / groups * h * w]);
            let affine = match draw.below(2) {
                0 => None,
                _ => Some((b.weight(&[groups, 1]), b.weight(&[groups, 1]))),
            };
            let normal = norm(b, rows, affine);
            let normal = reshape(b, normal, &d);
            let (scale, bias) = (b.weight(&[c, 1, 1]), b.weight(&[c, 1, 1]));
            let scaled = b.node(Op::Mul, &[normal, scale]);
            b.node(Op::Add, &[scaled, bias])
        }
        11 => {
            let alike = |&y: &Source| dims(b, y)[2..] == d[2..];
            let alike: Vec<Source> = values.iter().copied().filter(alike).collect();
            let other = draw.one_of(&alike);
            b.node(Op::Concat { axis: 1 }, &[x, other])
        }
        _ if h * w <= 16 => {
            let (down, across) = (draw.one_of(&[2, 3]), 2);
            let spread = reshape(b, x, &[1, c, h, 1, w, 1]);
            let repeated = |extent| ViewAxis {
                extent,
                start: 0,
                step: 0,
                beyond: Beyond::Fill,
            };
            let axes = [1, c, h].map(ViewAxis::whole).into_iter();
            let axes = axes.chain([repeated(down), ViewAxis::whole(w), repeated(across)]);
            let (fill, axes) = (0, axes.collect());
            let repeated = b.node(Op::View { fill, axes }, &[spread]);
            reshape(b, repeated, &[1, c, h * down, w * across])
        }
        _ => attention_on(b, x),
    };
    values.push(y);
}

/// Pixels as rows, a product, and back, added to where they came from.
fn attention_on(b: &mut Builder, x: Source) -> Source {
    let d = dims(b, x);
    let (c, pixels) = (d[1], d[2] * d[3]);
    let flat = reshape(b, x, &[1, c, pixels]);
    let turn = Op::Transpose {
        perm: vec![0, 2, 1],
    };
    let rows = b.node(turn.clone(), &[flat]);
    let w = b.weight(&[c, c]);
    let rows = b.node(Op::MatMul, &[rows, w]);
    let flat = b.node(turn, &[rows]);
    let image = reshape(b, flat, &d);
    b.node(Op::Add, &[x, image])
}

/// One more operator, or a few that belong together, on rows `[1, rows, n]`.
fn grow_rows(b: &mut Builder, draw: &mut Draw, values: &mut Vec<Source>) {
    let x = draw.one_of(values);
    let d = dims(b, x);
    let [_, rows, n] = d[..] else { return };
    let y = match draw.below(7) {
        0 | 1 => {
            let to = draw.one_of(&[3, 16, 32, 48]);
            let (w, bias) = (b.weight(&[n, to]), b.weight(&[to]));
            let product = b.node(Op::MatMul, &[x, w]);
            b.node(Op::Add, &[bias, product])
        }
        2 => {
            let (scale, bias) = (b.weight(&[n]), b.weight(&[n]));
            norm(b, x, (draw.below(3) > 0).then_some((scale, bias)))
        }
        3 => {
            let root = b.weight(&[1]);
            let one = b.weight(&[]);
            let argument = b.node(Op::Div, &[x, root]);
            let code = erf_program();
            let dtype = DType::F32;
            let erf = b.node(Op::Map { dtype, code }, &[argument]);
            let sum = b.node(Op::Add, &[erf, one]);
            let product = b.node(Op::Mul, &[x, sum]);
            b.node(Op::Mul, &[product, root])
        }
        4 => {
            let alike: Vec<Source> = values
                .iter()
                .copied()
                .filter(|&y| dims(b, y) == d)
                .collect();
            let other = draw.one_of(&alike);
            b.node(Op::Add, &[x, other])
        }
        5 if n.is_multiple_of(16) => {
            // heads, scores with a mask, softmax, values
            let heads = reshape(b, x, &[1, rows, n / 16, 16]);
            let perm = |perm: [u32; 4]| Op::Transpose {
                perm: perm.to_vec(),
            };
            let query = b.node(perm([0, 2, 1, 3]), &[heads]);
            let key = b.node(perm([0, 2, 3, 1]), &[heads]);
            let scale = b.weight(&[]);
            let scores = b.node(Op::MatMul, &[query, key]);
            let scores = match draw.below(2) {
                0 => b.node(Op::Mul, &[scores, scale]),
                _ => b.node(Op::Div, &[scores, scale]),
            };
            let weights = b.node(Op::Softmax { axis: 3 }, &[scores]);
            let seen = b.node(Op::MatMul, &[weights, query]);
            let seen = b.node(perm([0, 2, 1, 3]), &[seen]);
            reshape(b, seen, &d)
        }
        _ if draw.below(2) == 0 => b.node(Op::Relu, &[x]),
        _ => b.node(Op::Tanh, &[x]),
    };
    values.push(y);
}

/// A random graph that begins with an image, or with rows.
fn random_model(seed: u64) -> Model {
    let mut draw = Draw(seed);
    let of_rows = draw.below(3) == 0;
    let first = match of_rows {
        false => vec![
            1,
            draw.one_of(&[1, 3, 16, 20]),
            draw.one_of(&[1, 3, 7, 8]),
            draw.one_of(&[2, 5, 7, 16]),
        ],
        true => vec![1, draw.one_of(&[1, 5, 16, 32]), draw.one_of(&[16, 32, 48])],
    };
    let mut b = Builder::new(&[("x", &first)]);
    let mut values = vec![Source::Input(0)];
    for _ in 0..draw.below(10) + 2 {
        match of_rows {
            false => grow_image(&mut b, &mut draw, &mut values),
            true => grow_rows(&mut b, &mut draw, &mut values),
        }
        // what a graph goes on with is mostly what it made last
        if draw.below(3) > 0 {
            let last = *values.last().unwrap();
            values.push(last);
        }
    }
    let mut outputs = vec![*values.last().unwrap()];
    if outputs[0] == Source::Input(0) {
        outputs[0] = b.node(Op::Identity, &[Source::Input(0)]);
    }
    if !of_rows {
        let pooled = b.node(Op::GlobalAveragePool, &outputs);
        let c = dims(&b, pooled)[1];
        let flat = reshape(&mut b, pooled, &[1, c]);
        let (w, bias) = (b.weight(&[10, c]), b.weight(&[10]));
        outputs.push(b.node(gemm_op(), &[flat, w, bias]));
    }
    let nodes = b.graph.nodes.len() as u64;
    let policy = match draw.below(2) {
        0 => CommitPolicy::CostModel,
        _ => CommitPolicy::After((0..2).map(|_| draw.below(nodes) as u32).collect()),
    };
    b.build(&outputs, &policy)
}

/// Outputs by the reference interpreter.
fn by_interpreter(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let graph = model.graph();
    let mut made: Vec<Tensor> = Vec::new();
    for node in &graph.nodes {
        let read = |source: &Source| match *source {
            Source::Input(i) => Arc::new(inputs[i as usize].clone()),
            Source::Weight(i) => model.weights()[i as usize].value.tensor(),
            Source::Node { node, .. } => Arc::new(made[node as usize].clone()),
        };
        let operands: Vec<Arc<Tensor>> = node.inputs.iter().map(read).collect();
        let operands: Vec<&Tensor> = operands.iter().map(Arc::as_ref).collect();
        let tensor = reference::eval(&node.op, &operands).unwrap();
        made.push(tensor);
    }
    let outputs = graph.outputs.iter();
    let output = |source: Source| match source {
        Source::Node { node, .. } => made[node as usize].clone(),
        _ => unreachable!("an output is a node's"),
    };
    outputs.map(|&(_, source)| output(source)).collect()
}

fn engines() -> Vec<Engine> {
    let all = Isa::available().into_iter();
    let all = all.flat_map(|isa| [1, 2, 3].map(|threads| (isa, threads)));
    let engine = |(isa, threads)| {
        Engine::new(EngineOptions {
            threads,
            isa: Some(isa),
            ..EngineOptions::default()
        })
        .unwrap()
    };
    all.map(engine).collect()
}

#[test]
fn plans_give_the_bits_of_the_reference_interpreter() {
    let engines = engines();
    let mut fused = 0;
    for seed in 0..60 {
        let model = random_model(seed);
        let inputs = inputs(&model, seed + 1);
        let wanted = by_interpreter(&model, &inputs);
        let slow = engines[0].run_observed(&model, &inputs, &mut |_: usize, _: &mut Tensor| {});
        let slow = slow.unwrap();
        for engine in &engines {
            let fast = engine.run(&model, &inputs).unwrap();
            let names: Vec<&str> = model.graph().nodes.iter().map(|n| n.op.name()).collect();
            let at = format!("{seed}: {:?} x{} {names:?}", engine.isa(), engine.threads());
            for (found, wanted) in fast.outputs.iter().zip(&wanted) {
                assert!(**found == *wanted, "{at}");
            }
            assert_eq!(fast.trace, slow.trace, "{at}");
        }
        let steps = engines[0].profile(&model, &inputs).unwrap();
        fused += steps.iter().filter(|step| step.nodes.len() > 1).count();
    }
    assert!(fused > 60, "{fused}");
}

/// A deep product, whose chunks come in parts, and rows of several lines.
#[test]
fn deep_convolutions_give_the_bits_of_the_reference_interpreter() {
    let mut b = Builder::new(&[("x", &[1, 260, 3, 7])]);
    let (w, bias) = (b.weight(&[18, 260, 3, 3]), b.weight(&[18]));
    let window = window(3, 1, 1);
    let y = b.node(
        Op::Conv2d { window, groups: 1 },
        &[Source::Input(0), w, bias],
    );
    let y = b.node(Op::Relu, &[y]);
    let model = b.build(&[y], &CommitPolicy::CostModel);
    agrees(&model, &inputs(&model, 3));
}

/// Runs a model on every engine, and compares with the reference interpreter.
fn agrees(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let wanted = by_interpreter(model, inputs);
    for engine in engines() {
        let run = engine.run(model, inputs).unwrap();
        let at = format!("{:?} x{}", engine.isa(), engine.threads());
        for (found, wanted) in run.outputs.iter().zip(&wanted) {
            assert!(**found == *wanted, "{at}");
        }
    }
    wanted
}

/// Groups of channels that lie across lines of memory, in images wide enough for whole squares to be turned, and in those
/// whose pixels are a line of memory further apart than they are long.
#[test]
fn normalisations_of_wide_images_give_the_bits_of_the_reference_interpreter() {
    for (c, groups, h, w) in [
        (48, 8, 3, 37),
        (20, 5, 2, 16),
        (64, 2, 2, 32),
        (256, 32, 2, 18),
    ] {
        let mut b = Builder::new(&[("x", &[1, c, h, w])]);
        let x = b.node(Op::Relu, &[Source::Input(0)]);
        let rows = reshape(&mut b, x, &[1, groups, c / groups * h * w]);
        let normal = norm(&mut b, rows, None);
        let normal = reshape(&mut b, normal, &[1, c, h, w]);
        let scale = b.weight(&[c, 1, 1]);
        let y = b.node(Op::Mul, &[normal, scale]);
        let taps = b.weight(&[c, 1, 3, 3]);
        let (window, groups) = (window(3, 1, 1), c as u32);
        let y = b.node(Op::Conv2d { window, groups }, &[y, taps]);
        let weights = b.weight(&[17, c, 1, 1]);
        let (window, groups) = (common::window(1, 2, 0), 1);
        let y = b.node(Op::Conv2d { window, groups }, &[y, weights]);
        let model = b.build(&[y], &CommitPolicy::CostModel);
        agrees(&model, &inputs(&model, c));
    }
}

/// Convolutions over images so large that only some lines of them exist at once: every reach of the windows, with and without
/// what narrows again, and with a commit point in between.
#[test]
fn chains_of_convolutions_give_the_bits_of_the_reference_interpreter() {
    let sizes = [
        (61, 64, 3, 1, [1, 1, 1, 1]),
        (64, 63, 3, 2, [0, 1, 1, 0]),
        (70, 60, 5, 2, [2; 4]),
    ];
    let mut chained = 0;
    for (i, (h, w, k, stride, pads)) in sizes.into_iter().enumerate() {
        for (narrow, kept, dilation) in [
            (true, None, 1),
            (false, None, 2),
            (true, Some(1), 1),
            (true, Some(3), 2),
        ] {
            let mut b = Builder::new(&[("x", &[1, 3, h, w])]);
            let (wide, bias) = (b.weight(&[72, 3, 1, 1]), b.weight(&[72]));
            let conv = |k, stride| (window(k, stride, 0), 1);
            let (of, groups) = conv(1, 1);
            let y = b.node(
                Op::Conv2d { window: of, groups },
                &[Source::Input(0), wide, bias],
            );
            let (min_bits, max_bits) = (0, 0.75f32.to_bits());
            let y = b.node(Op::Clip { min_bits, max_bits }, &[y]);
            let taps = b.weight(&[72, 1, k, k]);
            let of = Window2d {
                pads,
                dilations: [dilation; 2],
                ..window(k as u32, stride, 0)
            };
            let y = b.node(
                Op::Conv2d {
                    window: of,
                    groups: 72,
                },
                &[y, taps],
            );
            let mut y = b.node(Op::Relu, &[y]);
            if narrow {
                let weights = b.weight(&[8, 72, 1, 1]);
                let (of, groups) = conv(1, 1);
                let (narrowed, other) = (of, b.weight(&[8, 3, 1, 1]));
                y = b.node(
                    Op::Conv2d {
                        window: narrowed,
                        groups,
                    },
                    &[y, weights],
                );
                let d = dims(&b, y);
                if d[2..] == [h, w] {
                    let x = Source::Input(0);
                    let beside = b.node(Op::Conv2d { window: of, groups }, &[x, other]);
                    y = b.node(Op::Add, &[y, beside]);
                }
            }
            let policy = CommitPolicy::After(kept.into_iter().collect());
            let model = b.build(&[y], &policy);
            let inputs = inputs(&model, i as u64);
            agrees(&model, &inputs);
            let engine = Engine::new(EngineOptions::default()).unwrap();
            let steps = engine.profile(&model, &inputs).unwrap();
            chained += steps.iter().filter(|step| step.nodes.len() > 3).count();
        }
    }
    // all but those whose widest image is committed
    assert_eq!(chained, 9);
}

/// A NaN has one representation however it came about: in a tile's sums, or in what follows them.
#[test]
fn products_of_infinities_store_the_canonical_nan() {
    let mut b = Builder::new(&[("x", &[1, 20, 33])]);
    let (w, bias) = (b.weight(&[33, 32]), b.weight(&[32]));
    let y = b.node(Op::MatMul, &[Source::Input(0), w]);
    let y = b.node(Op::Add, &[y, bias]);
    let y = b.node(Op::Relu, &[y]);
    let other = b.weight(&[33, 32]);
    let z = b.node(Op::MatMul, &[Source::Input(0), other]);
    let z = b.node(Op::Add, &[y, z]);
    let model = b.build(&[y, z], &CommitPolicy::CostModel);
    let mut x = common::values(20 * 33, 5);
    (x[40], x[50], x[300]) = (f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY);
    let outputs = agrees(&model, &[Tensor::f32([1u64, 20, 33], x).unwrap()]);
    let nans = outputs[0].as_f32().unwrap().iter().filter(|x| x.is_nan());
    assert!(nans.count() > 0);
}

/// What a watcher does who runs by the plan: the first commit point that differs, and in its segment the first operator.
#[test]
fn a_fault_of_one_ulp_in_any_operator_is_isolated_exactly() {
    let engine = Engine::new(EngineOptions {
        threads: 2,
        ..EngineOptions::default()
    })
    .unwrap();
    let mut isolated = 0;
    for seed in 100..140 {
        let (model, mut draw) = (random_model(seed), Draw(seed));
        let inputs = inputs(&model, seed + 1);
        let honest = engine.run(&model, &inputs).unwrap();
        let wrong = draw.below(model.graph().nodes.len() as u64) as usize;
        let mut fault = |node: usize, output: &mut Tensor| {
            if node == wrong
                && let Some(x) = output.as_f32_mut().and_then(|all| all.last_mut())
                && x.is_finite()
            {
                *x = f32::from_bits(x.to_bits() ^ 1);
            }
        };
        let faulty = engine.run_observed(&model, &inputs, &mut fault).unwrap();
        let pairs = honest.trace.leaves().iter().zip(faulty.trace.leaves());
        // what nothing reads, or rounds away, changes nothing that is committed
        let Some(segment) = pairs.into_iter().position(|(a, b)| a != b) else {
            continue;
        };
        let at = CommitPoint {
            step: 0,
            segment: segment as u32,
        };
        let live = engine.live_before(&model, &inputs, at, None).unwrap();
        let ours = engine.fine_trace(&model, at, &live, None).unwrap();
        let theirs = engine
            .fine_trace(&model, at, &live, Some(&mut fault))
            .unwrap();
        let pairs = ours.tensors.iter().zip(&theirs.tensors);
        let first = pairs.into_iter().position(|(a, b)| a != b).unwrap();
        let found = model.segments()[segment].first_node as usize + first;
        assert_eq!(found, wrong, "{seed}");
        isolated += 1;
    }
    assert!(isolated > 20, "{isolated}");
}
