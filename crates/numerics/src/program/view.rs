//! The program of [`Op::View`](crate::Op::View).

use super::asm::{Asm, INDEX, Reg, ZERO};
use super::{Instruction, Opcode};
use crate::Beyond;

/// The instructions. Word 0 is the constant; four words follow for each axis: extent, start, step, what is beyond.
pub(super) fn code() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (rest, at, stride) = (p.copy(INDEX), p.set(0), p.set(1));
    let (one, inside) = (p.set(1), p.set(1));
    let left = p.out_rank();
    p.repeat_while_less(ZERO, left, |p| {
        p.update(left, Opcode::Sub, one);
        let extent = p.out_dim(left, 0);
        let place = p.rem(rest, extent);
        p.update(rest, Opcode::Div, extent);
        let four = p.set(4);
        let words = p.mul(left, four);
        let (start, step) = (p.attribute(words, 2), p.attribute(words, 3));
        p.update(place, Opcode::Mul, step);
        p.update(place, Opcode::Add, start);
        let len = p.dim(ZERO, left, 0);
        beyond(p, words, place, len, inside);
        p.update(place, Opcode::Mul, stride);
        p.update(at, Opcode::Add, place);
        p.update(stride, Opcode::Mul, len);
    });
    let (x, fill) = (p.load(at, ZERO), p.attribute(ZERO, 0));
    let element = p.select(inside, x, fill);
    p.end(element)
}

/// Brings `place` into an axis of `len`, or clears `inside`.
fn beyond(p: &mut Asm, words: Reg, place: Reg, len: Reg, inside: Reg) {
    p.scope(|p| {
        let kind = p.attribute(words, 4);
        let is = |p: &mut Asm, kind: Reg, beyond: Beyond, body: &mut dyn FnMut(&mut Asm)| {
            p.scope(|p| {
                let of = p.set(beyond as u32);
                p.if_equal(kind, of, |p| body(p));
            });
        };
        is(p, kind, Beyond::Fill, &mut |p| {
            let there = p.less(place, len);
            p.update(inside, Opcode::And, there);
        });
        is(p, kind, Beyond::Edge, &mut |p| {
            let one = p.set(1);
            let last = p.sub(len, one);
            let beyond = p.less(last, place);
            let negative = p.wide(1 << 63);
            p.to(negative, Opcode::Less, place, negative);
            // the last one where the place is a number, else the first
            let end = p.select(negative, last, ZERO);
            p.select_to(place, beyond, end, place);
        });
        is(p, kind, Beyond::Reflect, &mut |p| {
            let one = p.set(1);
            let period = p.sub(len, one);
            p.update(period, Opcode::Add, period);
            p.update(place, Opcode::Mod, period);
            let back = p.sub(period, place);
            let there = p.less(place, len);
            p.select_to(place, there, place, back);
        });
        is(p, kind, Beyond::Wrap, &mut |p| {
            p.update(place, Opcode::Mod, len);
        });
    });
}
