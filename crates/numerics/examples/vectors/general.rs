//! Vectors of the operators that many of ONNX become: Map, View, Reduce, Gather, Scatter, TopK, Accumulate. What is expected is written out, or computed from the rules.

use gavel_numerics::element::{Builder, Extra, Value as Word};
use gavel_numerics::scalar::exp;
use gavel_numerics::{Beyond, Combine, DType, NumericsError, Op, Reduction, ViewAxis};
use serde_json::Value;

use super::case::{bits, floats, integers, operator, refused, row, tensor, values};
use super::rules::l32;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// All of them.
pub(crate) fn cases() -> Result<Vec<Value>, NumericsError> {
    Ok([
        map()?,
        view(),
        reduce(),
        gather(),
        scatter(),
        top_k(),
        accumulate(),
    ]
    .concat())
}

fn program(dtype: DType, write: impl FnOnce(&mut Builder) -> Word) -> Result<Op, NumericsError> {
    let mut p = Builder::new();
    let element = write(&mut p);
    let code = p.finish(element)?;
    Ok(Op::Map { dtype, code })
}

fn map() -> Result<Vec<Value>, NumericsError> {
    let x = [1.0, -2.5, 0.0, NAN];
    let magnitude = program(DType::F32, |p| {
        let (x, mask) = (p.load(0), p.number(0x7fff_ffff));
        p.and(x, mask)
    })?;
    let sum = program(DType::F32, |p| {
        let (a, b) = (p.load(0), p.load(1));
        p.fadd(a, b)
    })?;
    let grown = program(DType::F32, |p| {
        let x = p.load(0);
        p.function(Extra::Exp, x)
    })?;
    let less = program(DType::Bool, |p| {
        let (a, b) = (p.load(0), p.load(1));
        p.fless(a, b)
    })?;
    let shifted = program(DType::I64, |p| {
        let (a, n) = (p.load(0), p.wide(1 << 40));
        p.mul(a, n)
    })?;
    let byte = program(DType::I64, |p| {
        let a = p.load(0);
        p.sign_extend(a, 8)
    })?;
    // slot 1 is read before anything is written to it
    let unwritten = Op::Map {
        dtype: DType::F32,
        code: vec![0x4000_0000_0000_0000, 0x3000_0001_0000_0000],
    };
    let operands = [floats(&[2, 2], &x), floats(&[1, 2], &[10.0, INF])];
    Ok(vec![
        operator(
            "bits of a magnitude",
            &magnitude,
            &[row(&x)],
            row(&[1.0, 2.5, 0.0, NAN]),
        ),
        operator(
            "operands broadcast",
            &sum,
            &operands,
            floats(&[2, 2], &[11.0, INF, 10.0, NAN]),
        ),
        operator("a function", &grown, &[row(&x)], row(&x.map(exp))),
        operator(
            "a condition",
            &less,
            &operands,
            tensor(DType::Bool, &[2, 2], &[1, 1, 1, 0]),
        ),
        operator(
            "whole words",
            &shifted,
            &[integers(&[2], &[-3, 1 << 30])],
            integers(&[2], &[-3 << 40, 0]),
        ),
        operator(
            "signs of bytes",
            &byte,
            &[tensor(DType::U8, &[3], &[1, 127, 128])],
            integers(&[3], &[1, 127, -128]),
        ),
        operator(
            "a slot that nobody wrote is 0",
            &unwritten,
            &[row(&[1.5, -0.0])],
            row(&[1.5, 0.0]),
        ),
        refused("a second input of one", &sum, &[row(&x)]),
        refused(
            "extents that do not broadcast",
            &sum,
            &[row(&x), row(&[1.0, 2.0])],
        ),
        refused(
            "a jump",
            &Op::Map {
                dtype: DType::F32,
                code: vec![0x0200_0000_0000_0000],
            },
            &[row(&x)],
        ),
        refused(
            "no instruction",
            &Op::Map {
                dtype: DType::F32,
                code: vec![],
            },
            &[row(&x)],
        ),
    ])
}

fn axis(extent: u64, start: i64, step: i64, beyond: Beyond) -> ViewAxis {
    ViewAxis {
        extent,
        start,
        step,
        beyond,
    }
}

fn view() -> Vec<Value> {
    let x = [1.0, 2.0, 3.0, 4.0];
    let one = |name: &str, axis: ViewAxis, fill: f32, found: &[f32]| {
        let (fill, axes) = (fill.to_bits().into(), vec![axis]);
        operator(name, &Op::View { fill, axes }, &[row(&x)], row(found))
    };
    let plane = |axes: Vec<ViewAxis>| Op::View { fill: 0, axes };
    vec![
        one(
            "every second from the second",
            axis(2, 1, 2, Beyond::Fill),
            0.0,
            &[2.0, 4.0],
        ),
        one(
            "backwards",
            axis(4, 3, -1, Beyond::Fill),
            0.0,
            &[4.0, 3.0, 2.0, 1.0],
        ),
        one(
            "one again and again",
            axis(3, 2, 0, Beyond::Fill),
            0.0,
            &[3.0; 3],
        ),
        one(
            "a constant beyond both ends",
            axis(7, -1, 1, Beyond::Fill),
            9.0,
            &[9.0, 1.0, 2.0, 3.0, 4.0, 9.0, 9.0],
        ),
        one(
            "ends beyond both ends",
            axis(7, -2, 1, Beyond::Edge),
            0.0,
            &[1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0],
        ),
        one(
            "reflected",
            axis(9, 4, 1, Beyond::Reflect),
            0.0,
            &[3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0],
        ),
        one(
            "again from the start",
            axis(6, 3, 1, Beyond::Wrap),
            0.0,
            &[4.0, 1.0, 2.0, 3.0, 4.0, 1.0],
        ),
        operator(
            "of two axes",
            &plane(vec![
                axis(2, 1, -1, Beyond::Fill),
                axis(3, 1, 1, Beyond::Edge),
            ]),
            &[floats(&[2, 2], &x)],
            floats(&[2, 3], &[4.0, 4.0, 4.0, 2.0, 2.0, 2.0]),
        ),
        operator(
            "of bytes",
            &Op::View {
                fill: 0xfe,
                axes: vec![axis(3, -1, 1, Beyond::Fill)],
            },
            &[tensor(DType::I8, &[1], &[5])],
            tensor(DType::I8, &[3], &[0xfe, 5, 0xfe]),
        ),
        refused(
            "an axis that is not there",
            &plane(vec![ViewAxis::whole(4), ViewAxis::whole(1)]),
            &[row(&x)],
        ),
        refused(
            "reflected from below the start",
            &plane(vec![axis(2, -1, 1, Beyond::Reflect)]),
            &[row(&x)],
        ),
        refused(
            "an end of nothing",
            &plane(vec![axis(1, 0, 1, Beyond::Edge)]),
            &[row(&[])],
        ),
        refused(
            "a constant that is no byte",
            &Op::View {
                fill: 0x100,
                axes: vec![ViewAxis::whole(1)],
            },
            &[tensor(DType::U8, &[1], &[5])],
        ),
    ]
}

fn reduce() -> Vec<Value> {
    let of = |kind, axis, integers| Op::Reduce {
        kind,
        axis,
        integers,
    };
    let long = values(100, 5);
    let x = [3.0, -1.0, 2.0, NAN, -0.0, 0.0];
    let n = [5, -7, i64::MAX, 2, i64::MIN, 2];
    let floats_case = |name: &str, kind, found: &[f32]| {
        let inputs = [floats(&[3, 2], &x)];
        operator(name, &of(kind, 0, false), &inputs, floats(&[1, 2], found))
    };
    let integers_case = |name: &str, kind, found: &[i64]| {
        let inputs = [integers(&[3, 2], &n)];
        operator(name, &of(kind, 0, true), &inputs, integers(&[1, 2], found))
    };
    vec![
        operator(
            "a sum in 32 lanes",
            &of(Reduction::Sum, 0, false),
            &[row(&long)],
            row(&[l32(&long)]),
        ),
        floats_case("sums of columns", Reduction::Sum, &[5.0, NAN]),
        floats_case("products", Reduction::Product, &[-0.0, NAN]),
        floats_case("largest", Reduction::Max, &[3.0, NAN]),
        floats_case("least", Reduction::Min, &[-0.0, NAN]),
        integers_case("sums of integers wrap", Reduction::Sum, &[4, -3]),
        integers_case(
            "products of integers wrap",
            Reduction::Product,
            &[i64::MIN, -28],
        ),
        integers_case("largest integer", Reduction::Max, &[i64::MAX, 2]),
        integers_case("least integer", Reduction::Min, &[i64::MIN, -7]),
        operator(
            "of nothing",
            &of(Reduction::Max, 0, false),
            &[floats(&[0, 1], &[])],
            bits(&[1, 1], &[0xff80_0000]),
        ),
        operator(
            "product of nothing",
            &of(Reduction::Product, 1, true),
            &[integers(&[2, 0], &[])],
            integers(&[2, 1], &[1, 1]),
        ),
        refused("an axis beyond", &of(Reduction::Sum, 1, false), &[row(&x)]),
        refused(
            "integers as numbers",
            &of(Reduction::Sum, 0, false),
            &[integers(&[1], &[1])],
        ),
    ]
}

fn gather() -> Vec<Value> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let data = floats(&[3, 2], &x);
    vec![
        operator(
            "rows, one from the end",
            &Op::Gather { axis: 0 },
            &[data.clone(), integers(&[2, 1], &[-1, 0])],
            floats(&[2, 1, 2], &[5.0, 6.0, 1.0, 2.0]),
        ),
        operator(
            "one column",
            &Op::Gather { axis: 1 },
            &[data.clone(), integers(&[], &[1])],
            floats(&[3], &[2.0, 4.0, 6.0]),
        ),
        operator(
            "beyond both ends",
            &Op::Gather { axis: 0 },
            &[data.clone(), integers(&[4], &[3, -4, i64::MIN, 2])],
            floats(&[4, 2], &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0]),
        ),
        refused(
            "numbers as indices",
            &Op::Gather { axis: 0 },
            &[data.clone(), row(&[0.0])],
        ),
        refused(
            "an axis beyond",
            &Op::Gather { axis: 2 },
            &[data, integers(&[1], &[0])],
        ),
    ]
}

fn scatter() -> Vec<Value> {
    let of = |combine, integers| Op::Scatter { combine, integers };
    let data = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let at = integers(&[3], &[2, 0, -1]);
    let updates = floats(&[3, 2], &[10.0, NAN, -0.0, 7.0, 0.5, 6.5]);
    let case = |name: &str, combine, found: &[f32]| {
        let inputs = [data.clone(), at.clone(), updates.clone()];
        operator(name, &of(combine, false), &inputs, floats(&[3, 2], found))
    };
    vec![
        case(
            "the last update of a row",
            Combine::Replace,
            &[-0.0, 7.0, 3.0, 4.0, 0.5, 6.5],
        ),
        case(
            "updates added in turn",
            Combine::Add,
            &[1.0, 9.0, 3.0, 4.0, 15.5, NAN],
        ),
        case(
            "multiplied",
            Combine::Mul,
            &[-0.0, 14.0, 3.0, 4.0, 25.0, NAN],
        ),
        case("the larger", Combine::Max, &[1.0, 7.0, 3.0, 4.0, 10.0, NAN]),
        case("the lesser", Combine::Min, &[-0.0, 2.0, 3.0, 4.0, 0.5, NAN]),
        operator(
            "integers wrap; no row has the index",
            &of(Combine::Add, true),
            &[
                integers(&[2], &[i64::MAX, 1]),
                integers(&[4], &[0, 2, -3, i64::MIN]),
                integers(&[4], &[1, 5, 5, 5]),
            ],
            integers(&[2], &[i64::MIN, 1]),
        ),
        operator(
            "bytes",
            &of(Combine::Replace, false),
            &[
                tensor(DType::U8, &[3], &[1, 2, 3]),
                integers(&[1], &[1]),
                tensor(DType::U8, &[1], &[9]),
            ],
            tensor(DType::U8, &[3], &[1, 9, 3]),
        ),
        refused(
            "bytes added",
            &of(Combine::Add, false),
            &[
                tensor(DType::U8, &[3], &[1, 2, 3]),
                integers(&[1], &[1]),
                tensor(DType::U8, &[1], &[9]),
            ],
        ),
        refused(
            "an update without an index",
            &of(Combine::Add, false),
            &[data, integers(&[2], &[0, 1]), updates],
        ),
    ]
}

fn top_k() -> Vec<Value> {
    let of = |count, largest, integers| Op::TopK {
        axis: 0,
        count,
        largest,
        integers,
    };
    let x = row(&[1.0, NAN, -0.0, 0.0, -INF, NAN, 1.0]);
    vec![
        operator(
            "largest first, NaN before all",
            &of(7, true, false),
            std::slice::from_ref(&x),
            integers(&[7], &[1, 5, 0, 6, 2, 3, 4]),
        ),
        operator(
            "least first, NaN behind all",
            &of(4, false, false),
            std::slice::from_ref(&x),
            integers(&[4], &[4, 2, 3, 0]),
        ),
        operator(
            "integers",
            &of(3, true, true),
            &[integers(&[4], &[i64::MIN, 5, -1, i64::MAX])],
            integers(&[3], &[3, 1, 2]),
        ),
        operator(
            "of columns",
            &of(1, false, false),
            &[floats(&[2, 2], &[3.0, 1.0, 2.0, 1.0])],
            integers(&[1, 2], &[1, 0]),
        ),
        refused("more than there are", &of(8, true, false), &[x]),
    ]
}

fn accumulate() -> Vec<Value> {
    let of = |kind, axis, integers| Op::Accumulate {
        kind,
        axis,
        integers,
    };
    let x = floats(&[3, 2], &[1e8, -0.0, 1.0, 2.0, -1e8, NAN]);
    let case = |name: &str, kind, axis, found: &[f32]| {
        operator(
            name,
            &of(kind, axis, false),
            std::slice::from_ref(&x),
            floats(&[3, 2], found),
        )
    };
    vec![
        case(
            "sums one after the other",
            Reduction::Sum,
            0,
            &[1e8, 0.0, 1e8, 2.0, 0.0, NAN],
        ),
        case(
            "products along rows",
            Reduction::Product,
            1,
            &[1e8, -0.0, 1.0, 2.0, -1e8, NAN],
        ),
        case(
            "largest so far",
            Reduction::Max,
            0,
            &[1e8, -0.0, 1e8, 2.0, 1e8, NAN],
        ),
        case(
            "least so far",
            Reduction::Min,
            0,
            &[1e8, -0.0, 1.0, -0.0, -1e8, NAN],
        ),
        operator(
            "integers wrap",
            &of(Reduction::Sum, 0, true),
            &[integers(&[3], &[i64::MAX, 1, -5])],
            integers(&[3], &[i64::MAX, i64::MIN, i64::MAX - 4]),
        ),
        refused(
            "integers as numbers",
            &of(Reduction::Sum, 0, false),
            &[integers(&[1], &[1])],
        ),
    ]
}
