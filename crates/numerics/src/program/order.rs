//! The programs of [`Op::Scatter`](crate::Op::Scatter), [`Op::TopK`](crate::Op::TopK) and
//! [`Op::Accumulate`](crate::Op::Accumulate).

use super::asm::{Asm, INDEX, Reg, ZERO};
use super::reduce::{Along, reduction};
use super::routines::Axis;
use super::{Instruction, Opcode};
use crate::Combine;

/// The row's element, and in turn those of the rows of updates whose index is the row's number. Word 0 is what is done with them, word 1
/// whether elements are integers.
pub(super) fn scatter() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (one, two) = (p.set(1), p.set(2));
    let Axis {
        len: rows,
        inner: width,
    } = Axis::at(&mut p, ZERO);
    let (row, column) = (p.div(INDEX, width), p.rem(INDEX, width));
    let (combine, integers) = (p.attribute(ZERO, 0), p.attribute(ZERO, 1));
    let element = p.load(INDEX, ZERO);
    let (i, count) = (p.set(0), p.dim(one, ZERO, 0));
    p.for_each(i, count, |p| {
        let index = p.load(i, one);
        // from the end where it is below zero
        let from_end = p.add(index, rows);
        let inside = p.less(from_end, rows);
        p.select_to(index, inside, from_end, index);
        p.if_equal(index, row, |p| {
            let at = p.mul(i, width);
            p.update(at, Opcode::Add, column);
            let update = p.load(at, two);
            combined(p, element, update, combine, integers);
        });
    });
    p.end(element)
}

/// `element` becomes what `combine` makes of it and `update`.
fn combined(p: &mut Asm, element: Reg, update: Reg, combine: Reg, integers: Reg) {
    let case = |p: &mut Asm, of: Combine, body: &mut dyn FnMut(&mut Asm)| {
        p.scope(|p| {
            let of = p.set(of as u32);
            p.if_equal(combine, of, |p| body(p));
        });
    };
    case(p, Combine::Replace, &mut |p| p.assign(element, update));
    let pairs = [
        (Combine::Add, Opcode::FAdd, Opcode::Add),
        (Combine::Mul, Opcode::FMul, Opcode::Mul),
    ];
    for (of, float, integer) in pairs {
        case(p, of, &mut |p| {
            let sum = p.copy(element);
            p.to(element, float, sum, update);
            p.if_less(ZERO, integers, |p| p.to(element, integer, sum, update));
        });
    }
    for (of, float) in [(Combine::Max, Opcode::FMax), (Combine::Min, Opcode::FMin)] {
        case(p, of, &mut |p| {
            let old = p.copy(element);
            p.to(element, float, old, update);
            p.if_less(ZERO, integers, |p| {
                let offset = p.wide(1 << 63);
                let (a, b) = (p.add(old, offset), p.add(update, offset));
                let less = match of {
                    Combine::Max => p.less(a, b),
                    _ => p.less(b, a),
                };
                p.select_to(element, less, update, old);
            });
        });
    }
}

/// The place of the element before which as many stand as the output's place along the axis says.
pub(super) fn top_k() -> Vec<Instruction> {
    let mut p = Asm::new();
    let axis = Axis::of_attribute(&mut p);
    let (count, largest, integers) = (
        p.attribute(ZERO, 1),
        p.attribute(ZERO, 2),
        p.attribute(ZERO, 3),
    );
    let (base, rank) = (p.set(0), p.set(0));
    p.scope(|p| {
        let rest = p.div(INDEX, axis.inner);
        p.to(rank, Opcode::Mod, rest, count);
        let outer = p.div(rest, count);
        p.to(base, Opcode::Mul, outer, axis.len);
        p.update(base, Opcode::Mul, axis.inner);
        let within = p.rem(INDEX, axis.inner);
        p.update(base, Opcode::Add, within);
    });
    let found = p.set(0);
    let j = p.set(0);
    p.for_each(j, axis.len, |p| {
        let own = key(p, &axis, base, j, largest, integers);
        let (before, i) = (p.set(0), p.set(0));
        p.for_each(i, axis.len, |p| {
            let other = key(p, &axis, base, i, largest, integers);
            let less = p.less(other, own);
            p.update(before, Opcode::Add, less);
            let (same, earlier) = (p.equal(other, own), p.less(i, j));
            p.update(same, Opcode::And, earlier);
            p.update(before, Opcode::Add, same);
        });
        let here = p.equal(before, rank);
        p.select_to(found, here, j, found);
    });
    p.end(found)
}

/// A word that is less where an element comes first.
fn key(p: &mut Asm, axis: &Axis, base: Reg, i: Reg, largest: Reg, integers: Reg) -> Reg {
    p.value(|p| {
        let x = axis.load(p, base, i);
        let found = p.wide(1 << 63);
        p.update(found, Opcode::Add, x);
        p.if_equal(integers, ZERO, |p| {
            // -0 and +0 become one word, a NaN the largest
            let sign = p.set(1 << 31);
            let (positive, above, twice) = (p.less(x, sign), p.add(x, sign), p.add(sign, sign));
            let below = p.sub(twice, x);
            p.select_to(found, positive, above, below);
        });
        p.if_less(ZERO, largest, |p| {
            let one = p.set(1);
            let last = p.sub(ZERO, one);
            p.to(found, Opcode::Sub, last, found);
        });
        found
    })
}

/// Word 0 is the axis, word 1 the kind, word 2 whether the elements are integers.
pub(super) fn accumulate() -> Vec<Instruction> {
    let mut p = Asm::new();
    let axis = Axis::of_attribute(&mut p);
    let (base, end) = (p.set(0), p.set(0));
    p.scope(|p| {
        let rest = p.div(INDEX, axis.inner);
        let at = p.rem(rest, axis.len);
        p.assign_plus(end, at, 1);
        p.update(at, Opcode::Mul, axis.inner);
        p.to(base, Opcode::Sub, INDEX, at);
    });
    let (kind, integers) = (p.attribute(ZERO, 1), p.attribute(ZERO, 2));
    let axis = Axis {
        len: end,
        inner: axis.inner,
    };
    let result = p.set(0);
    let along = Along { axis, base, result };
    reduction(&mut p, &along, kind, integers, false);
    p.end(result)
}
