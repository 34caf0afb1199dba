//! The program of [`Op::Map`](crate::Op::Map): an interpreter of element programs (`spec/numerics.md`). Slots are the lanes.

use super::asm::{Asm, INDEX, Reg, ZERO};
use super::routines::{exp, log, sigmoid, tanh};
use super::{Instruction, Opcode};
use crate::element::Extra;

/// An instruction of the element program, taken apart, with its operands.
struct Fetched {
    code: Reg,
    a: Reg,
    b: Reg,
    c: Reg,
    /// The number `b` itself: an input.
    input: Reg,
    immediate: Reg,
    result: Reg,
}

/// The instructions.
pub(super) fn code() -> Vec<Instruction> {
    let mut p = Asm::new();
    let result = p.set(0);
    // word 0 is the element type
    let at = p.set(1);
    let word = p.attribute(at, 0);
    p.repeat_while_less(ZERO, word, |p| {
        let byte = p.set(1 << 8);
        let half = p.wide(1 << 32);
        let immediate = p.rem(word, half);
        p.to(half, Opcode::Div, word, half);
        let next = |p: &mut Asm| {
            let field = p.rem(half, byte);
            p.update(half, Opcode::Div, byte);
            field
        };
        let (input, a, d) = (next(p), next(p), next(p));
        let (b, c) = (p.get(input, 0), p.get(immediate, 0));
        p.to(a, Opcode::Get, a, ZERO);
        let fetched = Fetched {
            code: half,
            a,
            b,
            c,
            input,
            immediate,
            result,
        };
        integers(p, &fetched);
        floats(p, &fetched);
        others(p, &fetched);
        p.put(d, result);
        p.assign_plus(at, at, 1);
        p.to(word, Opcode::Attribute, at, ZERO);
    });
    p.end(result)
}

/// `body` where the instruction's code lies in `codes`.
fn group(p: &mut Asm, code: Reg, codes: std::ops::Range<u32>, body: impl FnOnce(&mut Asm)) {
    let mark = p.mark();
    p.scope(|p| {
        let (first, end) = (p.set(codes.start - 1), p.set(codes.end));
        p.if_less(first, code, |p| {
            p.if_less(code, end, |p| p.reuse_from(mark, body));
        });
    });
}

/// `body` where it is this one.
fn case(p: &mut Asm, code: Reg, of: u8, body: impl FnOnce(&mut Asm)) {
    let mark = p.mark();
    p.scope(|p| {
        let of = p.set(of.into());
        p.if_equal(code, of, |p| p.reuse_from(mark, body));
    });
}

fn integers(p: &mut Asm, f: &Fetched) {
    group(p, f.code, 0x10..0x20, |p| {
        case(p, f.code, Opcode::Add as u8, |p| {
            p.to(f.result, Opcode::Add, f.a, f.b);
            p.update(f.result, Opcode::Add, f.immediate);
        });
        two(
            p,
            f,
            &[
                Opcode::Sub,
                Opcode::Mul,
                Opcode::Div,
                Opcode::Mod,
                Opcode::And,
                Opcode::Or,
                Opcode::Less,
                Opcode::Equal,
            ],
        );
        case(p, f.code, Opcode::Select as u8, |p| {
            p.select_to(f.result, f.a, f.b, f.c);
        });
        case(p, f.code, Opcode::SignExtend as u8, |p| {
            p.assign(f.result, f.a);
            for bits in [8, 16, 32] {
                case(p, f.immediate, bits, |p| {
                    p.sign_extend(f.result, bits.into())
                });
            }
        });
    });
}

fn floats(p: &mut Asm, f: &Fetched) {
    group(p, f.code, 0x30..0x40, |p| {
        two(
            p,
            f,
            &[
                Opcode::FAdd,
                Opcode::FSub,
                Opcode::FMul,
                Opcode::FDiv,
                Opcode::FMax,
                Opcode::FMin,
                Opcode::FLess,
            ],
        );
        case(p, f.code, Opcode::Fma as u8, |p| {
            p.fma_to(f.result, f.a, f.b, f.c);
        });
        for opcode in [
            Opcode::FSqrt,
            Opcode::ToF32,
            Opcode::SignedToF32,
            Opcode::F32ToInt,
            Opcode::F16ToF32,
            Opcode::Bf16ToF32,
            Opcode::F32ToF16,
            Opcode::F32ToBf16,
        ] {
            case(p, f.code, opcode as u8, |p| {
                p.to(f.result, opcode, f.a, ZERO);
            });
        }
    });
}

fn two(p: &mut Asm, f: &Fetched, opcodes: &[Opcode]) {
    for &opcode in opcodes {
        case(p, f.code, opcode as u8, |p| {
            p.to(f.result, opcode, f.a, f.b);
        });
    }
}

fn others(p: &mut Asm, f: &Fetched) {
    group(p, f.code, 0x40..0x70, |p| {
        case(p, f.code, Opcode::Load as u8, |p| load(p, f));
        case(p, f.code, Extra::Constant as u8, |p| {
            p.assign(f.result, f.immediate);
        });
        for extra in [Extra::Exp, Extra::Log, Extra::Sigmoid, Extra::Tanh] {
            case(p, f.code, extra as u8, |p| {
                let y = match extra {
                    Extra::Exp => exp(p, f.a),
                    Extra::Log => log(p, f.a),
                    Extra::Sigmoid => sigmoid(p, f.a),
                    Extra::Tanh | Extra::Constant => tanh(p, f.a),
                };
                // a NaN whose sign a function has kept becomes the one that is seen
                p.with_float(1.0, |p, one| p.to(f.result, Opcode::FMul, y, one));
            });
        }
    });
}

/// The element of the input that broadcasts to the output's: axes from the last.
fn load(p: &mut Asm, f: &Fetched) {
    let (rest, at, stride, one) = (p.copy(INDEX), p.set(0), p.set(1), p.set(1));
    let (own_rank, left) = (p.rank(f.input), p.out_rank());
    p.repeat_while_less(ZERO, left, |p| {
        p.update(left, Opcode::Sub, one);
        let extent = p.out_dim(left, 0);
        let i = p.rem(rest, extent);
        p.update(rest, Opcode::Div, extent);
        // an axis before the first is a huge number, thus absent, and has extent 1
        p.update(own_rank, Opcode::Sub, one);
        let own = p.dim(f.input, own_rank, 0);
        p.update(i, Opcode::Mod, own);
        p.update(i, Opcode::Mul, stride);
        p.update(at, Opcode::Add, i);
        p.update(stride, Opcode::Mul, own);
    });
    p.to(f.result, Opcode::Load, at, f.input);
}

#[cfg(test)]
mod tests {
    use super::super::FIRST_LANE;

    #[test]
    fn no_register_is_a_lane() {
        for i in super::code() {
            let named = [i.d, i.a, i.b].into_iter().max();
            assert!(named < Some(FIRST_LANE as u8), "{i:?}");
        }
    }
}
