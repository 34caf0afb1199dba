//! Vectors of the rules N-12 to N-16 and N-18, and of operators that no rule is about.

use gavel_numerics::{DType, Op, Window2d, scalar};
use serde_json::Value;

use super::case::{floats, integers, operator, refused, row, tensor, values};
use super::rules::l32;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// N-12: maximum.
pub(crate) fn maximum() -> Vec<Value> {
    let case = |name: &str, x: [f32; 4], found: f32| {
        let inputs = [floats(&[1, 1, 2, 2], &x)];
        operator(
            name,
            &Op::GlobalMaxPool,
            &inputs,
            floats(&[1, 1, 1, 1], &[found]),
        )
    };
    vec![
        case("of numbers", [1.0, 7.5, -3.0, 7.25], 7.5),
        case("of zeros", [-0.0, 0.0, -0.0, -0.0], 0.0),
        case("of -0", [-0.0, -0.0, -1.0, -INF], -0.0),
        case("of -inf", [-INF; 4], -INF),
        case("NaN wins", [1.0, NAN, INF, 2.0], NAN),
    ]
}

/// N-13: ArgMax.
pub(crate) fn arg_max() -> Vec<Value> {
    let case = |name: &str, x: &[f32], found: i64| {
        let op = Op::ArgMax {
            axis: 0,
            keepdims: false,
        };
        operator(name, &op, &[row(x)], integers(&[], &[found]))
    };
    let inner = Op::ArgMax {
        axis: 1,
        keepdims: true,
    };
    vec![
        case("ties take the first", &[1.0, 3.0, 3.0, 2.0], 1),
        case("zeros tie", &[-0.0, 0.0], 0),
        case("the first NaN wins", &[INF, NAN, 5.0, NAN], 1),
        case("a NaN at first", &[NAN, INF], 0),
        case("-inf alone", &[-INF, -INF], 0),
        operator(
            "an inner axis",
            &inner,
            &[floats(
                &[2, 2, 2],
                &[1.0, 9.0, 2.0, 8.0, 4.0, 4.0, 3.0, 5.0],
            )],
            integers(&[2, 1, 2], &[1, 0, 0, 1]),
        ),
    ]
}

/// N-14: empty axes.
pub(crate) fn empty_axes() -> Vec<Value> {
    let empty = floats(&[2, 0], &[]);
    let arg_max = Op::ArgMax {
        axis: 1,
        keepdims: false,
    };
    let planes = floats(&[1, 2, 0, 3], &[]);
    vec![
        refused(
            "Softmax",
            &Op::Softmax { axis: 1 },
            std::slice::from_ref(&empty),
        ),
        refused("ArgMax", &arg_max, std::slice::from_ref(&empty)),
        refused(
            "GlobalAveragePool",
            &Op::GlobalAveragePool,
            std::slice::from_ref(&planes),
        ),
        refused("GlobalMaxPool", &Op::GlobalMaxPool, &[planes]),
        operator(
            "another axis is empty",
            &Op::Softmax { axis: 0 },
            std::slice::from_ref(&empty),
            empty.clone(),
        ),
    ]
}

fn window(kernel: [u32; 2], pads: [u32; 4]) -> Window2d {
    Window2d {
        kernel,
        strides: [1, 1],
        dilations: [1, 1],
        pads,
    }
}

/// N-15: average pooling.
pub(crate) fn average() -> Vec<Value> {
    let average = |kernel, pads, count_include_pad| Op::AveragePool2d {
        window: window(kernel, pads),
        count_include_pad,
    };
    let square = [floats(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0])];
    let large = 16_777_216.0f32;
    vec![
        operator(
            "padding does not count",
            &average([2, 2], [1; 4], false),
            &square,
            floats(
                &[1, 1, 3, 3],
                &[1.0, 1.5, 2.0, 2.0, 2.5, 3.0, 3.0, 3.5, 4.0],
            ),
        ),
        operator(
            "padding counts",
            &average([2, 2], [1; 4], true),
            &square,
            floats(
                &[1, 1, 3, 3],
                &[0.25, 0.75, 0.5, 1.0, 2.5, 1.5, 0.75, 1.75, 1.0],
            ),
        ),
        operator(
            "taps in order",
            &average([1, 4], [0; 4], false),
            &[floats(&[1, 1, 1, 4], &[large, 1.0, 1.0, -large])],
            floats(&[1, 1, 1, 1], &[0.0]),
        ),
        operator(
            "from +0",
            &average([1, 1], [0; 4], false),
            &[floats(&[1, 1, 1, 1], &[-0.0])],
            floats(&[1, 1, 1, 1], &[0.0]),
        ),
    ]
}

/// N-16: maximum pooling.
pub(crate) fn max_pool() -> Vec<Value> {
    let max = |kernel, pads| Op::MaxPool2d {
        window: window(kernel, pads),
    };
    let negative = [floats(&[1, 1, 1, 2], &[-5.0, -INF])];
    vec![
        operator(
            "padding never wins",
            &max([1, 2], [0, 1, 0, 1]),
            &negative,
            floats(&[1, 1, 1, 3], &[-5.0, -5.0, -INF]),
        ),
        operator(
            "NaN wins",
            &max([1, 2], [0, 0, 0, 0]),
            &[floats(&[1, 1, 1, 3], &[NAN, 1.0, -0.0])],
            floats(&[1, 1, 1, 2], &[NAN, 1.0]),
        ),
        refused(
            "a window in padding alone",
            &max([1, 2], [0, 2, 0, 0]),
            &negative,
        ),
    ]
}

/// N-18: data movement.
pub(crate) fn movement() -> Vec<Value> {
    let mut cases = Vec::new();
    let transpose = Op::Transpose { perm: vec![1, 0] };
    let types = DType::ALL;
    for dtype in types {
        // six elements; -0, subnormals and large integers among them
        let element = |i: u8| -> Vec<u8> {
            let mut bytes = vec![i; dtype.size()];
            match dtype {
                DType::Bool => bytes[0] = i % 2,
                _ => {
                    *bytes.last_mut().unwrap_or(&mut 0) = if i.is_multiple_of(2) { 0x80 } else { 0 }
                }
            }
            bytes
        };
        let of = |order: &[u8]| -> Vec<u8> { order.iter().flat_map(|&i| element(i)).collect() };
        let x = tensor(dtype, &[2, 3], &of(&[0, 1, 2, 3, 4, 5]));
        let mut case = |what: &str, op: &Op, inputs: &[Value], dims: &[u64], order: &[u8]| {
            let name = format!("{what} of {dtype:?}");
            cases.push(operator(&name, op, inputs, tensor(dtype, dims, &of(order))));
        };
        let one = std::slice::from_ref(&x);
        case("Identity", &Op::Identity, one, &[2, 3], &[0, 1, 2, 3, 4, 5]);
        let reshape = Op::Reshape {
            dims: vec![3, 2, 1],
        };
        case("Reshape", &reshape, one, &[3, 2, 1], &[0, 1, 2, 3, 4, 5]);
        case("Transpose", &transpose, one, &[3, 2], &[0, 3, 1, 4, 2, 5]);
        let (empty, column) = (
            tensor(dtype, &[2, 0], &[]),
            tensor(dtype, &[2, 1], &of(&[4, 1])),
        );
        case(
            "Concat",
            &Op::Concat { axis: 1 },
            &[column, empty, x.clone()],
            &[2, 4],
            &[4, 0, 1, 2, 1, 3, 4, 5],
        );
    }
    cases
}

/// Operators that no rule is about.
pub(crate) fn others() -> Vec<Value> {
    let softmax = |name: &str, x: &[f32]| {
        let max = x.iter().fold(-INF, |m, &x| scalar::max(m, x));
        let weights: Vec<f32> = x.iter().map(|&x| scalar::exp(x - max)).collect();
        let sum = l32(&weights);
        let found: Vec<f32> = weights.iter().map(|w| w / sum).collect();
        operator(name, &Op::Softmax { axis: 0 }, &[row(x)], row(&found))
    };
    let logits: Vec<f32> = values(40, 13).iter().map(|x| x * 5.0).collect();
    let (x, epsilon) = (values(6, 14), 1.0e-5f32);
    let [scale, bias, mean, variance] = [[0.5f32, -2.0], [0.25, 1.0], [0.1, -0.2], [1.5, 0.01]];
    let normal: Vec<f32> = (0..6)
        .map(|i| {
            let c = i / 3;
            let k = scale[c] / (variance[c] + epsilon).sqrt();
            x[i].mul_add(k, (-mean[c]).mul_add(k, bias[c]))
        })
        .collect();
    let norm = Op::BatchNorm {
        epsilon_bits: epsilon.to_bits(),
    };
    let (column, three) = (floats(&[2, 1], &[1.0, 2.0]), row(&[10.0, 20.0, 40.0]));
    vec![
        softmax("Softmax", &logits),
        softmax("Softmax of a masked row", &[-INF; 3]),
        softmax("Softmax with a NaN", &[1.0, NAN]),
        softmax("Softmax with an infinity", &[1.0, INF]),
        operator(
            "BatchNorm",
            &norm,
            &[
                floats(&[1, 2, 3], &x),
                row(&scale),
                row(&bias),
                row(&mean),
                row(&variance),
            ],
            floats(&[1, 2, 3], &normal),
        ),
        operator(
            "Sub broadcasts",
            &Op::Sub,
            &[column.clone(), three.clone()],
            floats(&[2, 3], &[-9.0, -19.0, -39.0, -8.0, -18.0, -38.0]),
        ),
        operator(
            "Div broadcasts",
            &Op::Div,
            &[three, column],
            floats(&[2, 3], &[10.0, 20.0, 40.0, 5.0, 10.0, 20.0]),
        ),
        operator(
            "MatMul broadcasts its batches",
            &Op::MatMul,
            &[
                floats(&[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
                floats(&[2, 2, 1], &[1.0, 10.0, 100.0, 1000.0]),
            ],
            floats(&[2, 2, 1, 1], &[21.0, 2100.0, 43.0, 4300.0]),
        ),
    ]
}
