//! The programs of [`Op::Reduce`](crate::Op::Reduce) and [`Op::Gather`](crate::Op::Gather).

use super::asm::{Asm, INDEX, Reg, ZERO};
use super::routines::{Axis, l32, maximum};
use super::{Instruction, Opcode};
use crate::Reduction;

/// An axis, where its elements for one of the output begin, and what they come to.
pub(super) struct Along {
    pub(super) axis: Axis,
    pub(super) base: Reg,
    pub(super) result: Reg,
}

/// Word 0 is the axis, word 1 the kind, word 2 whether the elements are integers.
pub(super) fn reduce() -> Vec<Instruction> {
    let mut p = Asm::new();
    let axis = Axis::of_attribute(&mut p);
    let base = p.value(|p| {
        let outer = p.div(INDEX, axis.inner);
        p.update(outer, Opcode::Mul, axis.len);
        p.update(outer, Opcode::Mul, axis.inner);
        let within = p.rem(INDEX, axis.inner);
        p.add(outer, within)
    });
    let (kind, integers) = (p.attribute(ZERO, 1), p.attribute(ZERO, 2));
    let result = p.set(0);
    let along = Along { axis, base, result };
    reduction(&mut p, &along, kind, integers, true);
    p.end(result)
}

/// The elements along the axis as one; sums of f32 in order L32 (`lanes`) or one after the other.
pub(super) fn reduction(p: &mut Asm, along: &Along, kind: Reg, integers: Reg, lanes: bool) {
    p.if_less(ZERO, integers, |p| of_integers(p, along, kind));
    p.if_equal(integers, ZERO, |p| of_floats(p, along, kind, lanes));
}

fn case(p: &mut Asm, kind: Reg, of: Reduction, body: impl FnOnce(&mut Asm)) {
    p.scope(|p| {
        let of = p.set(of as u32);
        p.if_equal(kind, of, body);
    });
}

fn of_floats(p: &mut Asm, along: &Along, kind: Reg, lanes: bool) {
    let Along { axis, base, result } = along;
    case(p, kind, Reduction::Sum, |p| {
        if !lanes {
            chain(p, along, |p, sum, x| p.update(sum, Opcode::FAdd, x));
            return;
        }
        let sum = l32(p, axis.len, |p, i| axis.load(p, *base, i));
        p.assign(*result, sum);
    });
    case(p, kind, Reduction::Product, |p| {
        let one = p.float(1.0);
        p.assign(*result, one);
        chain(p, along, |p, product, x| p.update(product, Opcode::FMul, x));
    });
    case(p, kind, Reduction::Max, |p| {
        let max = maximum(p, axis.len, |p, i| axis.load(p, *base, i));
        p.assign(*result, max);
    });
    case(p, kind, Reduction::Min, |p| {
        let infinity = p.float(f32::INFINITY);
        p.assign(*result, infinity);
        chain(p, along, |p, min, x| p.update(min, Opcode::FMin, x));
    });
}

fn of_integers(p: &mut Asm, along: &Along, kind: Reg) {
    case(p, kind, Reduction::Sum, |p| {
        chain(p, along, |p, sum, x| p.update(sum, Opcode::Add, x));
    });
    case(p, kind, Reduction::Product, |p| {
        p.assign_plus(along.result, ZERO, 1);
        chain(p, along, |p, product, x| p.update(product, Opcode::Mul, x));
    });
    case(p, kind, Reduction::Max, |p| extreme(p, along, false));
    case(p, kind, Reduction::Min, |p| extreme(p, along, true));
}

/// `step` with the result and each element along the axis in order.
fn chain(p: &mut Asm, along: &Along, step: impl FnOnce(&mut Asm, Reg, Reg)) {
    p.scope(|p| {
        let i = p.set(0);
        p.for_each(i, along.axis.len, |p| {
            let x = along.axis.load(p, along.base, i);
            step(p, along.result, x);
        });
    });
}

/// The largest or least of signed integers: unsigned ones, `2^63` away.
fn extreme(p: &mut Asm, along: &Along, least: bool) {
    let result = along.result;
    p.scope(|p| {
        let (offset, one) = (p.wide(1 << 63), p.set(1));
        if least {
            p.to(result, Opcode::Sub, ZERO, one);
        }
        chain(p, along, |p, found, x| {
            p.update(x, Opcode::Add, offset);
            let better = match least {
                true => p.less(x, found),
                false => p.less(found, x),
            };
            p.select_to(found, better, x, found);
        });
        p.update(result, Opcode::Sub, offset);
    });
}

/// Element `[before, indices, behind]` of the output is `[before, index, behind]` of the data.
pub(super) fn gather() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let axis = Axis::of_attribute(&mut p);
    let count = p.set(1);
    p.scope(|p| {
        let (i, rank) = (p.set(0), p.rank(one));
        p.for_each(i, rank, |p| {
            let extent = p.dim(one, i, 0);
            p.update(count, Opcode::Mul, extent);
        });
    });
    let behind = p.rem(INDEX, axis.inner);
    let rest = p.div(INDEX, axis.inner);
    let (which, before) = (p.rem(rest, count), p.div(rest, count));
    let index = p.load(which, one);
    // from the end where it is below zero
    let from_end = p.add(index, axis.len);
    let inside = p.less(from_end, axis.len);
    p.select_to(index, inside, from_end, index);
    let inside = p.less(index, axis.len);
    p.update(before, Opcode::Mul, axis.len);
    p.update(before, Opcode::Add, index);
    p.update(before, Opcode::Mul, axis.inner);
    p.update(before, Opcode::Add, behind);
    let x = p.load(before, ZERO);
    let element = p.select(inside, x, ZERO);
    p.end(element)
}
