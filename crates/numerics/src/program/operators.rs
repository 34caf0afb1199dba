//! The program of every operator of `spec/numerics.md`, by id.

use super::asm::{Asm, INDEX, Reg, ZERO};
use super::routines::{
    Axis, Spread, Window, broadcast_axis, c256, exp, first_largest, l32, maximum, sigmoid, tanh,
};
use super::{Instruction, Opcode, language, map, order, reduce, view};

/// The instructions of operator `id`.
pub(super) fn code(id: u16) -> Option<Vec<Instruction>> {
    Some(match id {
        1 => conv(),
        2 => gemm(),
        3 => matmul(),
        4 => binary(Opcode::FAdd),
        5 => binary(Opcode::FSub),
        6 => binary(Opcode::FMul),
        7 => binary(Opcode::FDiv),
        8 => unary(|p, x| p.fmax(x, ZERO)),
        9 => unary(|p, x| {
            let (low, high) = (p.attribute(ZERO, 0), p.attribute(ZERO, 1));
            let raised = p.fmax(x, low);
            p.fmin(raised, high)
        }),
        10 => unary(sigmoid),
        11 => unary(tanh),
        12 => unary(exp),
        13 => softmax(),
        14 => max_pool(),
        15 => average_pool(),
        16 => global_average_pool(),
        17 => global_max_pool(),
        18 => batch_norm(),
        19 | 23 => unary(|_, x| x),
        20 => transpose(),
        21 => concat(),
        22 => arg_max(),
        38 => map::code(),
        39 => view::code(),
        40 => reduce::reduce(),
        41 => reduce::gather(),
        42 => order::scatter(),
        43 => order::top_k(),
        44 => order::accumulate(),
        _ => return language::code(id),
    })
}

fn conv() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (one, two) = (p.set(1), p.set(2));
    let window = Window::new(&mut p);
    // plane = n * filters + filter
    let filters = p.dim(one, ZERO, 0);
    let filter = p.rem(window.plane, filters);
    let per_group = p.dim(one, ZERO, 1);
    let first_plane = p.value(|p| {
        let (n, channels) = (p.div(window.plane, filters), p.dim(ZERO, ZERO, 1));
        let filters_per_group = p.attribute(ZERO, 10);
        p.to(filters_per_group, Opcode::Div, filters, filters_per_group);
        let group = p.div(filter, filters_per_group);
        p.update(group, Opcode::Mul, per_group);
        p.update(n, Opcode::Mul, channels);
        p.add(n, group)
    });
    let taps = p.mul(window.kernel[0], window.kernel[1]);
    let depth = p.mul(per_group, taps);
    let weights = p.mul(filter, depth);
    let sum = c256(&mut p, depth, |p, k| {
        let kx = p.rem(k, window.kernel[1]);
        let row = p.div(k, window.kernel[1]);
        let ky = p.rem(row, window.kernel[0]);
        let plane = p.div(row, window.kernel[0]);
        p.update(plane, Opcode::Add, first_plane);
        let (at, _) = window.tap(p, plane, [ky, kx]);
        let weight_at = p.add(weights, k);
        (p.load(weight_at, one), p.load(at, ZERO))
    });
    let inputs = p.inputs();
    p.if_less(two, inputs, |p| {
        let bias = p.load(filter, two);
        p.update(sum, Opcode::FAdd, bias);
    });
    p.end(sum)
}

fn gemm() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (one, two) = (p.set(1), p.set(2));
    let (m, n) = (p.out_dim(ZERO, 0), p.out_dim(ZERO, 1));
    let (i, j) = (p.div(INDEX, n), p.rem(INDEX, n));
    let (trans_a, trans_b) = (p.attribute(ZERO, 2), p.attribute(ZERO, 3));
    let (rows, columns) = (p.dim(ZERO, ZERO, 0), p.dim(ZERO, ZERO, 1));
    let depth = p.select(trans_a, rows, columns);
    // both operands are read at `first + k * step`
    let (a_row, b_row) = (p.mul(i, depth), p.mul(j, depth));
    let (a_first, a_step) = (p.select(trans_a, i, a_row), p.select(trans_a, m, one));
    let (b_first, b_step) = (p.select(trans_b, b_row, j), p.select(trans_b, one, n));
    let sum = c256(&mut p, depth, |p, k| {
        let a = p.mul(k, a_step);
        p.update(a, Opcode::Add, a_first);
        let b = p.mul(k, b_step);
        p.update(b, Opcode::Add, b_first);
        (p.load(a, ZERO), p.load(b, one))
    });
    let alpha = p.attribute(ZERO, 0);
    p.update(sum, Opcode::FMul, alpha);
    let inputs = p.inputs();
    p.if_less(two, inputs, |p| {
        let rank = p.rank(two);
        let (last, before) = (p.sub(rank, one), p.sub(rank, two));
        let (columns, rows) = (p.dim(two, last, 0), p.dim(two, before, 0));
        let at = p.rem(i, rows);
        p.update(at, Opcode::Mul, columns);
        let column = p.rem(j, columns);
        p.update(at, Opcode::Add, column);
        let c = p.load(at, two);
        let beta = p.attribute(ZERO, 1);
        p.update(c, Opcode::FMul, beta);
        p.update(sum, Opcode::FAdd, c);
    });
    p.end(sum)
}

fn matmul() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (one, two) = (p.set(1), p.set(2));
    let (a_rank, b_rank) = (p.rank(ZERO), p.rank(one));
    let (a_last, a_before) = (p.sub(a_rank, one), p.sub(a_rank, two));
    // a vector is a row on the left: its axis before the last is absent and has extent 1
    let (depth, m) = (p.dim(ZERO, a_last, 0), p.dim(ZERO, a_before, 0));
    // and a column on the right
    let n = p.value(|p| {
        let last = p.sub(b_rank, one);
        let (extent, vector) = (p.dim(one, last, 0), p.less(b_rank, two));
        p.select(vector, one, extent)
    });
    let rest = p.copy(INDEX);
    let j = p.rem(rest, n);
    p.update(rest, Opcode::Div, n);
    let i = p.rem(rest, m);
    p.update(rest, Opcode::Div, m);
    let a_at = p.mul(i, depth);
    let b_at = p.copy(j);
    let (a_size, b_size) = (p.mul(m, depth), p.mul(depth, n));
    let operands = [
        Spread::new(&mut p, ZERO, a_at, a_size),
        Spread::new(&mut p, one, b_at, b_size),
    ];
    // batch axes from the last; those beyond the first change nothing
    let axes = p.out_rank();
    p.assign_plus(axes, axes, 3);
    let from_last = p.set(3);
    p.for_each(from_last, axes, |p| {
        broadcast_axis(p, &operands, from_last, rest);
    });
    let sum = c256(&mut p, depth, |p, k| {
        let a = p.add(a_at, k);
        let b = p.mul(k, n);
        p.update(b, Opcode::Add, b_at);
        (p.load(a, ZERO), p.load(b, one))
    });
    p.end(sum)
}

fn binary(opcode: Opcode) -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let operands = [ZERO, one].map(|input| {
        let (at, stride) = (p.set(0), p.set(1));
        Spread::new(&mut p, input, at, stride)
    });
    let rest = p.copy(INDEX);
    let axes = p.out_rank();
    p.assign_plus(axes, axes, 1);
    let from_last = p.set(1);
    p.for_each(from_last, axes, |p| {
        broadcast_axis(p, &operands, from_last, rest);
    });
    let a = p.load(operands[0].at, ZERO);
    let b = p.load(operands[1].at, one);
    p.update(a, opcode, b);
    p.end(a)
}

/// The element at the same place of the first input, through `f`.
fn unary(f: impl FnOnce(&mut Asm, Reg) -> Reg) -> Vec<Instruction> {
    let mut p = Asm::new();
    let x = p.load(INDEX, ZERO);
    let y = f(&mut p, x);
    p.end(y)
}

fn softmax() -> Vec<Instruction> {
    let mut p = Asm::new();
    let axis = Axis::of_attribute(&mut p);
    let base = p.value(|p| {
        let position = p.div(INDEX, axis.inner);
        p.update(position, Opcode::Mod, axis.len);
        p.update(position, Opcode::Mul, axis.inner);
        p.sub(INDEX, position)
    });
    let max = maximum(&mut p, axis.len, |p, i| axis.load(p, base, i));
    let sum = l32(&mut p, axis.len, |p, i| {
        let x = axis.load(p, base, i);
        p.update(x, Opcode::FSub, max);
        exp(p, x)
    });
    let x = p.load(INDEX, ZERO);
    p.update(x, Opcode::FSub, max);
    let weight = exp(&mut p, x);
    let share = p.fdiv(weight, sum);
    p.end(share)
}

fn max_pool() -> Vec<Instruction> {
    let mut p = Asm::new();
    let window = Window::new(&mut p);
    let (max, lowest) = (p.float(f32::NEG_INFINITY), p.float(f32::NEG_INFINITY));
    window.each(&mut p, |p, value, inside| {
        let candidate = p.select(inside, value, lowest);
        p.update(max, Opcode::FMax, candidate);
    });
    p.end(max)
}

fn average_pool() -> Vec<Instruction> {
    let mut p = Asm::new();
    let window = Window::new(&mut p);
    let (sum, count) = (p.set(0), p.set(0));
    let include_pad = p.attribute(ZERO, 10);
    window.each(&mut p, |p, value, inside| {
        p.update(sum, Opcode::FAdd, value);
        let counts = p.or(inside, include_pad);
        p.update(count, Opcode::Add, counts);
    });
    let divisor = p.converted(count);
    let mean = p.fdiv(sum, divisor);
    p.end(mean)
}

/// First element and number of elements of the plane with the element's index.
fn plane(p: &mut Asm) -> (Reg, Reg) {
    let (height, width) = (p.dim(ZERO, ZERO, 2), p.dim(ZERO, ZERO, 3));
    let len = p.mul(height, width);
    (p.mul(INDEX, len), len)
}

fn global_average_pool() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (first, len) = plane(&mut p);
    let sum = l32(&mut p, len, |p, i| {
        let at = p.add(first, i);
        p.load(at, ZERO)
    });
    let divisor = p.converted(len);
    let mean = p.fdiv(sum, divisor);
    p.end(mean)
}

fn global_max_pool() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (first, len) = plane(&mut p);
    let max = maximum(&mut p, len, |p, i| {
        let at = p.add(first, i);
        p.load(at, ZERO)
    });
    p.end(max)
}

fn batch_norm() -> Vec<Instruction> {
    let mut p = Asm::new();
    let channel_axis = p.set(1);
    let axis = Axis::at(&mut p, channel_axis);
    let channel = p.div(INDEX, axis.inner);
    p.update(channel, Opcode::Mod, axis.len);
    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|input| {
        let input = p.set(input);
        p.load(channel, input)
    });
    let epsilon = p.attribute(ZERO, 0);
    p.update(variance, Opcode::FAdd, epsilon);
    let deviation = p.fsqrt(variance);
    let k = p.fdiv(scale, deviation);
    let minus_zero = p.float(-0.0);
    let minus_mean = p.fsub(minus_zero, mean);
    let c = p.fma(minus_mean, k, bias);
    let x = p.load(INDEX, ZERO);
    let y = p.fma(x, k, c);
    p.end(y)
}

fn transpose() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let (rest, at) = (p.copy(INDEX), p.set(0));
    let left = p.out_rank();
    p.repeat_while_less(ZERO, left, |p| {
        p.update(left, Opcode::Sub, one);
        let extent = p.out_dim(left, 0);
        let i = p.rem(rest, extent);
        p.update(rest, Opcode::Div, extent);
        let axis = p.attribute(left, 0);
        let stride = Axis::at(p, axis).inner;
        p.update(i, Opcode::Mul, stride);
        p.update(at, Opcode::Add, i);
    });
    let x = p.load(at, ZERO);
    p.end(x)
}

fn concat() -> Vec<Instruction> {
    let mut p = Asm::new();
    let axis_number = p.attribute(ZERO, 0);
    let inner = Axis::at(&mut p, axis_number).inner;
    let total = p.out_dim(axis_number, 0);
    let within = p.rem(INDEX, inner);
    let outer = p.div(INDEX, inner);
    let position = p.rem(outer, total);
    p.update(outer, Opcode::Div, total);
    // the input that holds the position: take extents off until the position lies inside
    let input = p.set(0);
    let extent = p.dim(ZERO, axis_number, 0);
    let needed = p.plus(position, 1);
    p.repeat_while_less(extent, needed, |p| {
        p.update(position, Opcode::Sub, extent);
        p.assign_plus(input, input, 1);
        p.to(extent, Opcode::Dim, axis_number, input);
        p.assign_plus(needed, position, 1);
    });
    let at = p.mul(outer, extent);
    p.update(at, Opcode::Add, position);
    p.update(at, Opcode::Mul, inner);
    p.update(at, Opcode::Add, within);
    let x = p.load(at, input);
    p.end(x)
}

fn arg_max() -> Vec<Instruction> {
    let mut p = Asm::new();
    let axis = Axis::of_attribute(&mut p);
    let base = p.value(|p| {
        let outer = p.div(INDEX, axis.inner);
        p.update(outer, Opcode::Mul, axis.len);
        p.update(outer, Opcode::Mul, axis.inner);
        let within = p.rem(INDEX, axis.inner);
        p.add(outer, within)
    });
    let found = first_largest(&mut p, axis.len, |p, i| axis.load(p, base, i));
    p.end(found)
}
