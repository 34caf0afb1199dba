//! Every kernel against the operator programs, by bits: random shapes and block edges, special values, every
//! instruction set of this machine, 1, 2 and 3 threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::Threads;
use gavel_numerics::kernels::{Isa, IsaKind, eval};
use gavel_numerics::reference::Application;
use gavel_numerics::{DType, Op, Tensor, TensorType, Window2d};
use proptest::prelude::*;

/// Values that make trouble.
const SPECIAL: [f32; 16] = [
    0.0,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MIN_POSITIVE,
    1.0e-45,
    -1.0e-40,
    f32::MAX,
    f32::MIN,
    1.0,
    -1.0,
    88.9,
    -104.5,
    0.625,
    16_777_217.0,
];

/// Deterministic values; one in `rate` is special (0: none).
fn tensor(dims: &[u64], seed: u64, rate: u64) -> Tensor {
    let len = dims.iter().product::<u64>() as usize;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match (state >> 8).checked_rem(rate) {
            Some(0) => SPECIAL[(state >> 40) as usize % SPECIAL.len()],
            _ => ((state >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * 3.0,
        }
    });
    Tensor::f32(dims.to_vec(), values.collect()).unwrap()
}

/// Elements that the reference interpreter computes of an output at most; a larger one is sampled.
const SAMPLE: u64 = 4000;

/// Compares `op` on `inputs` in every way this machine has: kernels with one another on the whole output, with
/// the reference interpreter element by element.
fn check(op: &Op, inputs: &[&Tensor]) {
    let reference = Application::new(op, inputs);
    // windows in padding alone are drawn too, and refused; nothing else may be
    let pool = matches!(op, Op::MaxPool2d { .. } | Op::AveragePool2d { .. });
    assert!(pool || reference.is_ok(), "{op:?}: {reference:?}");
    let mut first: Option<Tensor> = None;
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            let found = eval(isa, &Threads(threads), op, inputs);
            let at = match (&reference, &found, &first) {
                (Err(want), Err(found), _) if want == found => continue,
                (Ok(_), Ok(found), Some(first)) => difference(first, found),
                (Ok(reference), Ok(tensor), None) => {
                    let at = difference_to_reference(reference, tensor);
                    first = found.clone().ok();
                    at
                }
                _ => Some(format!("{reference:?} against {found:?}")),
            };
            if let Some(at) = at {
                let types: Vec<_> = inputs.iter().map(|t| t.ty().to_string()).collect();
                panic!("{op:?} on {types:?}, {isa:?} x{threads}: {at}");
            }
        }
    }
}

fn difference(want: &Tensor, found: &Tensor) -> Option<String> {
    if want == found {
        return None;
    }
    let at = (0..want.len()).find(|&i| want.raw(i) != found.raw(i));
    let bits = |t: &Tensor| at.and_then(|i| t.raw(i)).map(|raw| format!("{raw:08x}"));
    Some(format!(
        "{} {} element {at:?}: want {:?}, found {:?}",
        want.ty(),
        found.ty(),
        bits(want),
        bits(found)
    ))
}

fn difference_to_reference(reference: &Application<'_>, found: &Tensor) -> Option<String> {
    if reference.output() != found.ty() {
        return Some(format!("want {}, found {}", reference.output(), found.ty()));
    }
    let len = found.len() as u64;
    // an odd stride, and the last element besides
    let step = (len / SAMPLE) | 1;
    let last = len.checked_sub(1);
    for index in (0..len).step_by(step as usize).chain(last) {
        let want = reference.element(index).unwrap();
        let bits = found.raw(index as usize);
        if bits != Some(want) {
            return Some(format!(
                "element {index}: want {want:08x}, found {bits:08x?}"
            ));
        }
    }
    None
}

fn check_shapes(op: &Op, dims: &[&[u64]], rate: u64) {
    let tensors: Vec<Tensor> = dims
        .iter()
        .enumerate()
        .map(|(i, d)| tensor(d, 7 + i as u64, rate))
        .collect();
    check(op, &tensors.iter().collect::<Vec<_>>());
}

fn gemm(alpha: f32, beta: f32, trans_a: bool, trans_b: bool) -> Op {
    Op::Gemm {
        alpha_bits: alpha.to_bits(),
        beta_bits: beta.to_bits(),
        trans_a,
        trans_b,
    }
}

#[test]
fn absent_instruction_sets_are_skipped_aloud() {
    for kind in IsaKind::ALL {
        if Isa::new(kind).is_err() {
            eprintln!("skipped: this CPU has no {kind}");
        }
    }
}

#[test]
fn gemm_at_block_edges() {
    for (m, n, k) in [
        (1, 1, 1),
        (2, 17, 255),
        (6, 16, 256),
        (7, 33, 257),
        (12, 32, 300),
        (13, 200, 20),
        (1, 130, 513),
        (5, 3, 0),
    ] {
        for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
            let a: [u64; 2] = if trans_a { [k, m] } else { [m, k] };
            let b: [u64; 2] = if trans_b { [n, k] } else { [k, n] };
            for c in [
                None,
                Some(vec![n]),
                Some(vec![1, n]),
                Some(vec![m, 1]),
                Some(vec![m, n]),
                Some(vec![]),
                Some(vec![1]),
            ] {
                let mut dims: Vec<&[u64]> = vec![&a, &b];
                dims.extend(c.as_deref());
                check_shapes(&gemm(1.0, 1.0, trans_a, trans_b), &dims, 0);
            }
            check_shapes(&gemm(0.3, -1.7, trans_a, trans_b), &[&a, &b, &[n]], 50);
            check_shapes(&gemm(1.0, 0.0, trans_a, trans_b), &[&a, &b, &[m, 1]], 20);
            check_shapes(&gemm(-0.0, 1.0, trans_a, trans_b), &[&a, &b], 0);
        }
    }
}

#[test]
fn matmul_broadcasts_batches_and_vectors() {
    for (a, b) in [
        (&[3u64, 5][..], &[5u64, 40][..]),
        (&[2, 3, 5], &[5, 7]),
        (&[2, 3, 5], &[2, 5, 7]),
        (&[4, 1, 2, 3], &[3, 3, 7]),
        (&[1, 2, 3], &[4, 5, 3, 2]),
        (&[5, 4, 2, 300], &[1, 4, 300, 9]),
        (&[300], &[300, 20]),
        (&[20, 300], &[300]),
        (&[9], &[9]),
        (&[9], &[3, 9, 2]),
        (&[3, 2, 9], &[9]),
        (&[2, 0, 4], &[4, 3]),
        (&[2, 3, 4], &[1, 4, 3]),
    ] {
        check_shapes(&Op::MatMul, &[a, b], 100);
    }
}

#[test]
fn element_wise_functions_on_special_values() {
    let mut values: Vec<f32> = SPECIAL.to_vec();
    values.extend((0..4000u32).map(|i| f32::from_bits(i.wrapping_mul(1_073_797))));
    values.extend((0..2000).map(|i| (i as f32 - 1000.0) * 0.11));
    let x = Tensor::f32(vec![values.len() as u64], values).unwrap();
    let clip = |low: f32, high: f32| Op::Clip {
        min_bits: low.to_bits(),
        max_bits: high.to_bits(),
    };
    for op in [
        Op::Relu,
        Op::Sigmoid,
        Op::Tanh,
        Op::Exp,
        clip(0.0, 6.0),
        clip(-0.0, 0.0),
        clip(0.0, -0.0),
        clip(2.0, 1.0),
        clip(f32::NAN, 1.0),
        clip(f32::NEG_INFINITY, f32::INFINITY),
    ] {
        check(&op, &[&x]);
    }
    let n = SPECIAL.len() as u64;
    let column = Tensor::f32(vec![n, 1], SPECIAL.to_vec()).unwrap();
    let row = Tensor::f32(vec![n], SPECIAL.to_vec()).unwrap();
    for op in [Op::Add, Op::Sub, Op::Mul, Op::Div] {
        check(&op, &[&column, &row]);
        check(&op, &[&row, &column]);
    }
}

#[test]
fn broadcasting_in_every_position() {
    for (a, b) in [
        (&[2u64, 3, 4, 5][..], &[3u64, 1, 1][..]),
        (&[2, 3, 4, 5], &[5]),
        (&[2, 3, 4, 5], &[1]),
        (&[], &[2, 3]),
        (&[4, 1, 6], &[1, 5, 1]),
        (&[7, 1, 3, 1], &[2, 1, 33]),
        (&[1, 70000], &[1, 70000]),
        (&[70000], &[]),
        (&[3, 30000], &[3, 1]),
        (&[0, 3], &[1, 3]),
    ] {
        for op in [Op::Add, Op::Sub, Op::Mul, Op::Div] {
            check_shapes(&op, &[a, b], 30);
            check_shapes(&op, &[b, a], 30);
        }
    }
}

#[test]
fn softmax_and_argmax_along_every_axis() {
    for dims in [
        &[1u64, 10][..],
        &[3, 33, 2],
        &[2, 1, 5],
        &[64, 4, 4],
        &[1, 1000],
        &[31],
        &[32, 1],
        &[5, 65],
    ] {
        for axis in 0..dims.len() as u32 {
            for rate in [0, 5, 40] {
                check_shapes(&Op::Softmax { axis }, &[dims], rate);
                for keepdims in [false, true] {
                    check_shapes(&Op::ArgMax { axis, keepdims }, &[dims], rate);
                }
            }
        }
    }
    let masked = Tensor::f32(vec![1, 3], vec![f32::NEG_INFINITY; 3]).unwrap();
    check(&Op::Softmax { axis: 1 }, &[&masked]);
}

#[test]
fn global_pooling_and_batch_norm() {
    for dims in [
        &[1u64, 3, 7, 7][..],
        &[2, 5, 1, 1],
        &[1, 2, 8, 8],
        &[3, 1, 5, 13],
        &[1, 64, 40, 40],
    ] {
        for rate in [0, 60] {
            check_shapes(&Op::GlobalAveragePool, &[dims], rate);
            check_shapes(&Op::GlobalMaxPool, &[dims], rate);
            let c = &dims[1..2];
            check_shapes(
                &Op::BatchNorm {
                    epsilon_bits: 1e-5f32.to_bits(),
                },
                &[dims, c, c, c, c],
                rate,
            );
        }
    }
    let epsilon_bits = 3.5f32.to_bits();
    check_shapes(
        &Op::BatchNorm { epsilon_bits },
        &[&[6, 4], &[4], &[4], &[4], &[4]],
        0,
    );
}

#[test]
fn data_movement_of_every_element_type() {
    for dtype in DType::ALL {
        let make = |dims: &[u64], seed: u8| {
            let ty = TensorType::new(dtype, dims.to_vec());
            let bytes: Vec<u8> = (0..ty.byte_len().unwrap())
                .map(|i| {
                    (i as u8).wrapping_mul(37).wrapping_add(seed)
                        & if dtype == DType::Bool { 1 } else { 0x3f }
                })
                .collect();
            Tensor::from_le_bytes(ty, &bytes).unwrap()
        };
        let x = make(&[2, 3, 4, 5], 1);
        for perm in [[0u32, 1, 2, 3], [3, 2, 1, 0], [0, 2, 3, 1], [1, 0, 3, 2]] {
            check(
                &Op::Transpose {
                    perm: perm.to_vec(),
                },
                &[&x],
            );
        }
        check(&Op::Reshape { dims: vec![6, 20] }, &[&x]);
        check(&Op::Identity, &[&x]);
        for axis in 0..3 {
            let mut dims = [2, 3, 4];
            dims[axis] = 5;
            let (a, b) = (make(&[2, 3, 4], 9), make(&dims, 77));
            check(&Op::Concat { axis: axis as u32 }, &[&a, &b, &a]);
        }
    }
}

#[test]
fn strides_beyond_the_window_over_wide_padding_take_no_memory() {
    let window = Window2d {
        kernel: [2, 1],
        strides: [60_000, 60_000],
        dilations: [1, 1],
        pads: [60_000; 4],
    };
    check_shapes(
        &Op::Conv2d { window, groups: 1 },
        &[&[1, 2, 4, 3], &[3, 2, 2, 1], &[3]],
        0,
    );
}

/// A window that fits the input, as [`Window2d`] with every field drawn.
fn windows() -> impl Strategy<Value = (Window2d, [u64; 2])> {
    let pair = |range: std::ops::RangeInclusive<u32>| [range.clone(), range];
    (
        pair(1..=5),
        pair(1..=3),
        pair(1..=2),
        [0u32..=4, 0..=4, 0..=4, 0..=4],
        [1u64..=20, 1..=40],
    )
        .prop_map(|(kernel, strides, dilations, pads, mut input)| {
            for axis in 0..2 {
                let reach = u64::from((kernel[axis] - 1) * dilations[axis] + 1);
                let padding = u64::from(pads[axis] + pads[axis + 2]);
                input[axis] = input[axis].max(reach.saturating_sub(padding)).max(1);
            }
            (
                Window2d {
                    kernel,
                    strides,
                    dilations,
                    pads,
                },
                input,
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolutions((window, [h, w]) in windows(), n in 1u64..3, groups in 1u64..4, cg in 1u64..5, mg in 1u64..14, bias: bool, rate in prop_oneof![Just(0u64), Just(40)]) {
        let [kh, kw] = window.kernel.map(u64::from);
        let x = [n, groups * cg, h, w];
        let weights = [groups * mg, cg, kh, kw];
        let mut dims: Vec<&[u64]> = vec![&x, &weights];
        let b = [groups * mg];
        if bias {
            dims.push(&b);
        }
        check_shapes(&Op::Conv2d { window, groups: groups as u32 }, &dims, rate);
    }

    #[test]
    fn pools((window, [h, w]) in windows(), n in 1u64..3, c in 1u64..4, count_include_pad: bool, rate in prop_oneof![Just(0u64), Just(10)]) {
        check_shapes(&Op::MaxPool2d { window }, &[&[n, c, h, w]], rate);
        check_shapes(&Op::AveragePool2d { window, count_include_pad }, &[&[n, c, h, w]], rate);
    }

    #[test]
    fn products(m in 0u64..40, n in 0u64..70, k in 0u64..600, trans_b: bool, rate in prop_oneof![Just(0u64), Just(200)]) {
        let b = if trans_b { [n, k] } else { [k, n] };
        check_shapes(&gemm(1.0, 1.0, false, trans_b), &[&[m, k], &b, &[n]], rate);
    }

    #[test]
    fn every_other_operator_on_random_shapes(
        dims in prop::collection::vec(1u64..7, 2..5),
        ones in prop::collection::vec(any::<bool>(), 5),
        order in Just(vec![0u32, 1, 2, 3]).prop_shuffle(),
        axis: prop::sample::Index,
        cut in 0u64..4,
        keepdims: bool,
        rate in prop_oneof![Just(0u64), Just(6)],
    ) {
        let rank = dims.len() as u32;
        for op in [Op::Relu, Op::Sigmoid, Op::Tanh, Op::Exp, Op::Identity] {
            check_shapes(&op, &[&dims], rate);
        }
        let (min_bits, max_bits) = ((-1.5f32).to_bits(), 0.5f32.to_bits());
        check_shapes(&Op::Clip { min_bits, max_bits }, &[&dims], rate);
        let axis = axis.index(dims.len()) as u32;
        check_shapes(&Op::Softmax { axis }, &[&dims], rate);
        check_shapes(&Op::ArgMax { axis, keepdims }, &[&dims], rate);
        let perm = order.into_iter().filter(|&p| p < rank).collect();
        check_shapes(&Op::Transpose { perm }, &[&dims], rate);
        let reversed = dims.iter().rev().copied().collect();
        check_shapes(&Op::Reshape { dims: reversed }, &[&dims], rate);
        let mut other = dims.clone();
        other[axis as usize] = cut;
        check_shapes(&Op::Concat { axis }, &[&other, &dims, &other], rate);
        let c = &dims[1..2];
        check_shapes(&Op::BatchNorm { epsilon_bits: 1 }, &[&dims, c, c, c, c], rate);
        // either operand has some extents of 1 and may lack its first axes
        let thin = |flip: bool| -> Vec<u64> {
            let keep = |i: usize| ones[i] == flip;
            dims.iter().enumerate().map(|(i, &d)| if keep(i) { d } else { 1 }).collect()
        };
        let (a, b) = (thin(true), thin(false));
        let short = &b[(cut as usize).min(b.len())..];
        for op in [Op::Add, Op::Sub, Op::Mul, Op::Div] {
            check_shapes(&op, &[&a, &b], rate);
            check_shapes(&op, &[&dims, short], rate);
        }
        let (left, right) = ([&a[..], &[3, cut]].concat(), [&b[..], &[cut, 2]].concat());
        check_shapes(&Op::MatMul, &[&left, &right], rate);
        if let Ok(four) = <[u64; 4]>::try_from(&dims[..]) {
            check_shapes(&Op::GlobalAveragePool, &[&four], rate);
            check_shapes(&Op::GlobalMaxPool, &[&four], rate);
        }
    }
}
