//! Vectors of the basic rules N-1 to N-7 and N-17, of the orders N-8 to N-11 and of the elementary functions. What is
//! expected is written out or computed here from the rule, never by a program or a kernel.

use gavel_numerics::program::Opcode;
use gavel_numerics::{DType, NumericsError, Op, Window2d, scalar};
use serde_json::Value;

use super::case::{bits, floats, instruction, integers, noise, operator, row, tensor, values};

type Cases = Result<Vec<Value>, NumericsError>;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;
/// The least positive f32.
const TINY: f32 = f32::from_bits(1);
/// Half a unit in the last place of 1.
const HALF_ULP: f32 = f32::EPSILON / 2.0;

/// N-1: rounding, ties, subnormals, overflow, invalid operations, one rounding of fma.
pub(crate) fn arithmetic() -> Cases {
    let max = f32::MAX;
    let two = |name: &str, opcode, table: &[(f32, f32, f32)]| {
        let column = |f: fn(&(f32, f32, f32)) -> f32| row(&table.iter().map(f).collect::<Vec<_>>());
        instruction(
            name,
            opcode,
            &[column(|t| t.0), column(|t| t.1)],
            column(|t| t.2),
        )
    };
    let above = 1.0 + f32::EPSILON;
    let mut cases = vec![
        two(
            "add",
            Opcode::FAdd,
            &[
                (1.0, HALF_ULP, 1.0),
                (above, HALF_ULP, 1.0 + 2.0 * f32::EPSILON),
                (16_777_216.0, 1.0, 16_777_216.0),
                (TINY, TINY, f32::from_bits(2)),
                (f32::MIN_POSITIVE, -TINY, f32::from_bits(0x007f_ffff)),
                (max, 2f32.powi(103), INF),
                (max, 2f32.powi(102), max),
                (0.0, -0.0, 0.0),
                (-0.0, -0.0, -0.0),
                (1.5, -1.5, 0.0),
                (INF, -INF, NAN),
                (NAN, 1.0, NAN),
            ],
        )?,
        two(
            "sub",
            Opcode::FSub,
            &[
                (1.0, HALF_ULP / 2.0, 1.0),
                (1.0, HALF_ULP, f32::from_bits(0x3f7f_ffff)),
                (-0.0, 0.0, -0.0),
                (-0.0, -0.0, 0.0),
                (0.0, 0.0, 0.0),
                (INF, INF, NAN),
            ],
        )?,
        two(
            "mul",
            Opcode::FMul,
            &[
                (TINY, 0.5, 0.0),
                (-TINY, 0.5, -0.0),
                (f32::from_bits(3), 0.5, f32::from_bits(2)),
                (f32::MIN_POSITIVE, 0.5, f32::from_bits(0x0040_0000)),
                (max, 2.0, INF),
                (-0.0, 3.0, -0.0),
                (0.0, INF, NAN),
            ],
        )?,
        two(
            "div",
            Opcode::FDiv,
            &[
                (1.0, 3.0, f32::from_bits(0x3eaa_aaab)),
                (1.0, 0.0, INF),
                (1.0, -0.0, -INF),
                (0.0, 0.0, NAN),
                (INF, INF, NAN),
                (TINY, 2.0, 0.0),
                (f32::from_bits(3), 2.0, f32::from_bits(2)),
            ],
        )?,
    ];
    cases.push(instruction(
        "sqrt",
        Opcode::FSqrt,
        &[row(&[2.0, 0.0, -0.0, -1.0, INF, TINY, NAN])],
        bits(
            &[7],
            &[
                0x3fb5_04f3,
                0,
                0x8000_0000,
                0x7fc0_0000,
                0x7f80_0000,
                0x1a35_04f3,
                0x7fc0_0000,
            ],
        ),
    )?);
    let x = 1.0 + 2f32.powi(-12);
    cases.push(instruction(
        "fma rounds once",
        Opcode::Fma,
        &[
            row(&[x, TINY, 0.0, max, -1.0, INF]),
            row(&[x, 0.5, INF, 2.0, 0.0, 1.0]),
            row(&[-(1.0 + 2f32.powi(-11)), TINY, 1.0, -max, 0.0, -INF]),
        ],
        row(&[2f32.powi(-24), f32::from_bits(2), NAN, max, 0.0, NAN]),
    )?);
    // arbitrary bit patterns, by the processor's own arithmetic
    let words = |seed| -> Vec<f32> {
        noise(96, seed)
            .map(|w| scalar::canonical(f32::from_bits(w)))
            .collect()
    };
    let (a, b, c) = (words(1), words(2), words(3));
    type Rule = fn(f32, f32) -> f32;
    let binary: [(&str, Opcode, Rule); 4] = [
        ("add", Opcode::FAdd, |a, b| a + b),
        ("sub", Opcode::FSub, |a, b| a - b),
        ("mul", Opcode::FMul, |a, b| a * b),
        ("div", Opcode::FDiv, |a, b| a / b),
    ];
    for (name, opcode, f) in binary {
        let found: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
        let name = format!("{name} on arbitrary bits");
        cases.push(instruction(
            &name,
            opcode,
            &[row(&a), row(&b)],
            row(&found),
        )?);
    }
    let found: Vec<f32> = a.iter().map(|a| a.sqrt()).collect();
    cases.push(instruction(
        "sqrt on arbitrary bits",
        Opcode::FSqrt,
        &[row(&a)],
        row(&found),
    )?);
    let found: Vec<f32> = (0..96).map(|i| a[i].mul_add(b[i], c[i])).collect();
    let inputs = [row(&a), row(&b), row(&c)];
    cases.push(instruction(
        "fma on arbitrary bits",
        Opcode::Fma,
        &inputs,
        row(&found),
    )?);
    Ok(cases)
}

/// N-2: one NaN.
pub(crate) fn one_nan() -> Cases {
    let payloads = bits(&[4], &[0xffc0_0000, 0x7f80_0001, 0xff80_dead, 0x7fff_ffff]);
    let seen = bits(&[4], &[0x7fc0_0000; 4]);
    Ok(vec![
        operator(
            "a tensor",
            &Op::Identity,
            std::slice::from_ref(&payloads),
            seen.clone(),
        ),
        operator(
            "an operand",
            &Op::Add,
            &[payloads.clone(), row(&[1.0])],
            seen,
        ),
        operator(
            "made by an operator",
            &Op::Mul,
            &[row(&[0.0, -INF, 1.0]), row(&[INF, 0.0, -0.0])],
            bits(&[3], &[0x7fc0_0000, 0x7fc0_0000, 0x8000_0000]),
        ),
        instruction(
            "before a bit test",
            Opcode::And,
            &[payloads, integers(&[4], &[0xffff_ffff; 4])],
            integers(&[4], &[0x7fc0_0000; 4]),
        )?,
    ])
}

/// Every number that a comparison might get wrong, in ascending order; NaN is the last.
const ASCENDING: [f32; 9] = [-INF, -1.0, -1.0e-40, -0.0, 0.0, 1.0e-40, 1.0, INF, NAN];
const NUMBERS: usize = ASCENDING.len() - 1;

/// `f` of the ranks of every pair, as two inputs and what it gives.
fn pairs<R>(f: impl Fn(usize, usize) -> R) -> ([Value; 2], Vec<R>) {
    let all = (0..ASCENDING.len()).flat_map(|a| (0..ASCENDING.len()).map(move |b| (a, b)));
    let (left, right): (Vec<f32>, Vec<f32>) = all
        .clone()
        .map(|(a, b)| (ASCENDING[a], ASCENDING[b]))
        .unzip();
    (
        [row(&left), row(&right)],
        all.map(|(a, b)| f(a, b)).collect(),
    )
}

/// N-3: less.
pub(crate) fn less() -> Cases {
    let zeros = |a: usize, b: usize| ASCENDING[a] == 0.0 && ASCENDING[b] == 0.0;
    let (inputs, found) = pairs(|a, b| i64::from(a < b && b < NUMBERS && !zeros(a, b)));
    let output = integers(&[found.len() as u64], &found);
    Ok(vec![instruction("less", Opcode::FLess, &inputs, output)?])
}

/// N-4: max.
pub(crate) fn max() -> Cases {
    let (inputs, found) = pairs(|a, b| ASCENDING[a.max(b)]);
    Ok(vec![instruction(
        "max",
        Opcode::FMax,
        &inputs,
        row(&found),
    )?])
}

/// N-5: min.
pub(crate) fn min() -> Cases {
    let (inputs, found) = pairs(|a, b| match a.max(b) {
        NUMBERS => NAN,
        _ => ASCENDING[a.min(b)],
    });
    Ok(vec![instruction(
        "min",
        Opcode::FMin,
        &inputs,
        row(&found),
    )?])
}

/// N-6: Relu.
pub(crate) fn relu() -> Cases {
    let found = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0e-40, 1.0, INF, NAN];
    Ok(vec![operator(
        "relu",
        &Op::Relu,
        &[row(&ASCENDING)],
        row(&found),
    )])
}

/// N-7: Clip.
pub(crate) fn clip() -> Cases {
    let x = row(&ASCENDING);
    let case = |name: &str, low: f32, high: f32, found: [f32; 9]| {
        let (min_bits, max_bits) = (low.to_bits(), high.to_bits());
        let op = Op::Clip { min_bits, max_bits };
        operator(name, &op, std::slice::from_ref(&x), row(&found))
    };
    let a = 1.0e-40;
    Ok(vec![
        case(
            "between",
            -0.5,
            0.5,
            [-0.5, -0.5, -a, -0.0, 0.0, a, 0.5, 0.5, NAN],
        ),
        case(
            "low above high",
            2.0,
            1.0,
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, NAN],
        ),
        case(
            "-0 to +0",
            -0.0,
            0.0,
            [-0.0, -0.0, -0.0, -0.0, 0.0, 0.0, 0.0, 0.0, NAN],
        ),
        case(
            "+0 to -0",
            0.0,
            -0.0,
            [-0.0, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0, NAN],
        ),
        case("no bounds", -INF, INF, ASCENDING),
        case("a NaN bound", NAN, 1.0, [NAN; 9]),
    ])
}

/// Order C256, from its definition.
pub(crate) fn c256(a: &[f32], b: &[f32]) -> f32 {
    let mut total = 0.0;
    for (chunk, (a, b)) in a.chunks(256).zip(b.chunks(256)).enumerate() {
        let mut t = 0.0f32;
        for (&a, &b) in a.iter().zip(b) {
            t = a.mul_add(b, t);
        }
        total = if chunk == 0 { t } else { total + t };
    }
    total
}

/// N-8: C256.
pub(crate) fn sums_of_products() -> Cases {
    let mut cases = Vec::new();
    for depth in [0, 1, 2, 255, 256, 257, 512, 700] {
        let (a, b) = (values(depth, 4), values(depth, 5));
        let k = depth as u64;
        let inputs = [floats(&[1, k], &a), floats(&[k, 1], &b)];
        let output = floats(&[1, 1], &[c256(&a, &b)]);
        cases.push(operator(&format!("K = {k}"), &Op::MatMul, &inputs, output));
    }
    // a product that vanishes below zero leaves -0, and the first chunk's sum is not added to +0
    for depth in [1, 257] {
        let a = vec![-1.0e-30; depth];
        let b = vec![1.0e-30; depth];
        let k = depth as u64;
        let inputs = [floats(&[k], &a), floats(&[k], &b)];
        let name = format!("K = {k}, -0");
        cases.push(operator(
            &name,
            &Op::MatMul,
            &inputs,
            bits(&[], &[0x8000_0000]),
        ));
    }
    let (k, channels) = (300, 300u64);
    let (x, w) = (values(k, 6), values(k, 7));
    let op = conv([1, 1], [0; 4]);
    cases.push(operator(
        "convolution over 300 channels",
        &op,
        &[
            floats(&[1, channels, 1, 1], &x),
            floats(&[1, channels, 1, 1], &w),
        ],
        floats(&[1, 1, 1, 1], &[c256(&w, &x)]),
    ));
    let (alpha, beta, c) = (0.3f32, -1.7f32, 0.9f32);
    let op = Op::Gemm {
        alpha_bits: alpha.to_bits(),
        beta_bits: beta.to_bits(),
        trans_a: true,
        trans_b: true,
    };
    let inputs = [
        floats(&[channels, 1], &x),
        floats(&[1, channels], &w),
        floats(&[1], &[c]),
    ];
    let found = alpha * c256(&x, &w) + beta * c;
    cases.push(operator(
        "Gemm scales the finished sum",
        &op,
        &inputs,
        floats(&[1, 1], &[found]),
    ));
    Ok(cases)
}

fn conv(kernel: [u32; 2], pads: [u32; 4]) -> Op {
    let window = Window2d {
        kernel,
        strides: [1, 1],
        dilations: [1, 1],
        pads,
    };
    Op::Conv2d { window, groups: 1 }
}

/// N-9: the bias comes last.
pub(crate) fn bias() -> Cases {
    // 2^24 + 1 is no f32: with the bias first, both products would vanish
    let inputs = [
        floats(&[1, 2, 1, 1], &[1.0, 1.0]),
        floats(&[1, 2, 1, 1], &[1.0, 1.0]),
        row(&[16_777_216.0]),
    ];
    let found = floats(&[1, 1, 1, 1], &[16_777_218.0]);
    let one = 1.0f32.to_bits();
    let gemm = Op::Gemm {
        alpha_bits: one,
        beta_bits: one,
        trans_a: false,
        trans_b: false,
    };
    let matrices = [
        floats(&[1, 2], &[1.0, 1.0]),
        floats(&[2, 1], &[1.0, 1.0]),
        row(&[16_777_216.0]),
    ];
    Ok(vec![
        operator("of a convolution", &conv([1, 1], [0; 4]), &inputs, found),
        operator(
            "of Gemm",
            &gemm,
            &matrices,
            floats(&[1, 1], &[16_777_218.0]),
        ),
    ])
}

/// N-10: padding taps are executed.
pub(crate) fn padding() -> Cases {
    let x = floats(&[1, 1, 1, 2], &[1.0, 2.0]);
    let case = |name: &str, w: [f32; 2], found: [f32; 2]| {
        let inputs = [x.clone(), floats(&[1, 1, 1, 2], &w)];
        let op = conv([1, 2], [0, 1, 0, 0]);
        operator(name, &op, &inputs, floats(&[1, 1, 1, 2], &found))
    };
    Ok(vec![
        case("an infinite weight", [INF, 1.0], [NAN, INF]),
        case("a negative weight", [-1.0, 3.0], [3.0, 5.0]),
        case("a weight of NaN", [NAN, 1.0], [NAN, NAN]),
    ])
}

/// Order L32, from its definition.
pub(crate) fn l32(x: &[f32]) -> f32 {
    let mut lane = [0.0f32; 32];
    for (i, &x) in x.iter().enumerate() {
        lane[i % 32] += x;
    }
    for h in [16, 8, 4, 2, 1] {
        for i in 0..h {
            lane[i] += lane[i + h];
        }
    }
    lane[0]
}

/// N-11: L32.
pub(crate) fn sums() -> Cases {
    let case = |h: u64, w: u64, seed| {
        let x = values((h * w) as usize, seed);
        let found = l32(&x) / (h * w) as f32;
        operator(
            &format!("{} elements", h * w),
            &Op::GlobalAveragePool,
            &[floats(&[1, 1, h, w], &x)],
            floats(&[1, 1, 1, 1], &[found]),
        )
    };
    let minus_zero = operator(
        "absent lanes are +0",
        &Op::GlobalAveragePool,
        &[floats(&[1, 1, 1, 1], &[-0.0])],
        floats(&[1, 1, 1, 1], &[0.0]),
    );
    Ok(vec![
        case(1, 1, 8),
        case(5, 7, 9),
        case(8, 8, 10),
        case(13, 31, 11),
        minus_zero,
    ])
}

/// N-17: integers to f32.
pub(crate) fn conversion() -> Cases {
    let table: [(u64, u32); 8] = [
        (0, 0),
        (1, 0x3f80_0000),
        (16_777_217, 0x4b80_0000),
        (16_777_219, 0x4b80_0002),
        (16_777_221, 0x4b80_0002),
        ((1 << 34) + 1025, 0x5080_0001),
        (1 << 63, 0x5f00_0000),
        (u64::MAX, 0x5f80_0000),
    ];
    let words: Vec<u8> = table.iter().flat_map(|t| t.0.to_le_bytes()).collect();
    let inputs = [tensor(DType::I64, &[8], &words)];
    let found = table.map(|t| t.1);
    Ok(vec![instruction(
        "nearest, ties to even",
        Opcode::ToF32,
        &inputs,
        bits(&[8], &found),
    )?])
}

/// N-20 to N-22: special values, then arbitrary ones.
pub(crate) fn elementary(op: &Op, f: fn(f32) -> f32) -> Cases {
    let mut x = vec![
        0.0,
        -0.0,
        INF,
        -INF,
        NAN,
        TINY,
        -TINY,
        1.0,
        -1.0,
        f32::MAX,
        f32::MIN,
    ];
    x.extend([0.625, 0.624_999_94, -0.625, 88.722_84, 88.8, 89.0, 90.0]);
    x.extend([
        -87.4, -103.0, -103.97, -104.0, -200.0, 0.5, 2.0, -3.0, 9.0, -9.1,
    ]);
    let special: Vec<f32> = x.iter().map(|&x| f(x)).collect();
    let some: Vec<f32> = values(200, 12).iter().map(|x| x * 12.0).collect();
    let found: Vec<f32> = some.iter().map(|&x| f(x)).collect();
    Ok(vec![
        operator("special values", op, &[row(&x)], row(&special)),
        operator("between -12 and 12", op, &[row(&some)], row(&found)),
    ])
}
