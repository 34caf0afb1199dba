//! The programs of the operators of language models, by id. Words of inputs are unsigned; what a tensor does not have is
//! never read by accident: a row that is not there is the row behind the last, which loads zeros.

use super::asm::{Asm, INDEX, Reg, ZERO};
use super::routines::{Generator, c256, clear_lanes, exp, first_largest, l32, l32_fold, maximum};
use super::weights::{Bytes, Group};
use super::{Instruction, Opcode};
use crate::WeightFormat;
use crate::blocks::{ACTIVATION_BLOCK, ACTIVATION_BYTES};

/// Words of the sampling parameters.
mod word {
    pub(super) const PROMPT: u32 = 0;
    pub(super) const MAX_NEW: u32 = 1;
    pub(super) const SEED: u32 = 2;
    pub(super) const TEMPERATURE: u32 = 3;
    pub(super) const TOP_K: u32 = 4;
    pub(super) const TOP_P: u32 = 5;
    pub(super) const MIN_P: u32 = 6;
    pub(super) const REPETITION: u32 = 7;
    pub(super) const FREQUENCY: u32 = 8;
    pub(super) const PRESENCE: u32 = 9;
}

/// The instructions of operator `id`.
pub(super) fn code(id: u16) -> Option<Vec<Instruction>> {
    Some(match id {
        24 => embed(),
        25 => rms_norm(),
        26 => quantize(),
        27 => linear(),
        28 => rope(),
        29 => write_row(),
        30 => attention(),
        31 => swiglu(),
        32 => penalties(),
        33 => filter(),
        34 => sample(),
        35 => append_token(),
        36 => stop(),
        37 => advance(),
        _ => return None,
    })
}

/// `a` where it is below `bound`, else `bound`.
fn at_most(p: &mut Asm, a: Reg, bound: Reg) -> Reg {
    p.value(|p| {
        let below = p.less(a, bound);
        p.select(below, a, bound)
    })
}

/// Word `n` of the parameters, input `input`.
fn parameter(p: &mut Asm, input: u32, n: u32) -> Reg {
    let (d, input) = (p.set(n), p.set(input));
    p.to(d, Opcode::Load, d, input);
    d
}

/// The position, element 0 of input `input`.
fn position(p: &mut Asm, input: u32) -> Reg {
    parameter(p, input, 0)
}

/// `body` of the format that is the attribute.
fn by_format(p: &mut Asm, mut body: impl FnMut(&mut Asm, WeightFormat)) {
    let attribute = p.attribute(ZERO, 0);
    for format in WeightFormat::ALL {
        p.scope(|p| {
            let id = p.set(format.id().into());
            p.if_equal(attribute, id, |p| body(p, format));
        });
    }
}

/// Value `i` of a row of weights in a format that is not quantised; the row starts at `row`.
fn plain_value(p: &mut Asm, format: WeightFormat, input: Reg, row: Reg, i: Reg) -> Reg {
    p.value(|p| match format {
        WeightFormat::F32 => {
            let at = p.add(row, i);
            p.load(at, input)
        }
        _ => {
            let at = p.add(i, i);
            p.update(at, Opcode::Add, row);
            match format {
                WeightFormat::F16 => Bytes(input).f16(p, at, 0),
                _ => Bytes(input).bf16(p, at),
            }
        }
    })
}

fn embed() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let (rows, extent) = (p.dim(ZERO, ZERO, 0), p.dim(ZERO, ZERO, 1));
    let row = p.value(|p| {
        let position = position(p, 2);
        let (length, token) = (p.dim(one, ZERO, 0), p.load(position, one));
        let inside = p.less(position, length);
        let known = p.select(inside, token, rows);
        let row = at_most(p, known, rows);
        p.mul(row, extent)
    });
    let value = p.set(0);
    by_format(&mut p, |p, format| {
        let found = if format.is_quantised() {
            let group = p.div_by(INDEX, ACTIVATION_BLOCK as u32);
            let l = p.rem_by(INDEX, ACTIVATION_BLOCK as u32);
            Group::new(p, format, Bytes(ZERO), row, group).value(p, l)
        } else {
            plain_value(p, format, ZERO, row, INDEX)
        };
        p.assign(value, found);
    });
    p.end(value)
}

fn rms_norm() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let group = p.dim(one, ZERO, 0);
    let within = p.rem(INDEX, group);
    let first = p.sub(INDEX, within);
    let sum = l32_fold(&mut p, group, |p, i| {
        let at = p.add(first, i);
        let x = p.load(at, ZERO);
        let lane = p.get(i, 0);
        p.fma_to(lane, x, x, lane);
        lane
    });
    let (count, epsilon) = (p.converted(group), p.attribute(ZERO, 0));
    p.update(sum, Opcode::FDiv, count);
    p.update(sum, Opcode::FAdd, epsilon);
    let root = p.fsqrt(sum);
    let unit = p.float(1.0);
    let inverse = p.fdiv(unit, root);
    let y = p.load(INDEX, ZERO);
    p.update(y, Opcode::FMul, inverse);
    let weight = p.load(within, one);
    p.update(y, Opcode::FMul, weight);
    p.end(y)
}

fn quantize() -> Vec<Instruction> {
    let mut p = Asm::new();
    let within = p.rem_by(INDEX, ACTIVATION_BYTES as u32);
    // rows are whole blocks
    let first = p.div_by(INDEX, ACTIVATION_BYTES as u32);
    let length = p.set(ACTIVATION_BLOCK as u32);
    p.update(first, Opcode::Mul, length);
    let largest = p.set(0);
    p.scope(|p| {
        let (i, magnitude) = (p.set(0), p.set(0x7fff_ffff));
        p.for_each(i, length, |p| {
            let at = p.add(first, i);
            let x = p.load(at, ZERO);
            p.update(x, Opcode::And, magnitude);
            p.update(largest, Opcode::FMax, x);
        });
    });
    let (limit, lowest) = (p.float(127.0), p.float(-127.0));
    let (scale, inverse) = (p.fdiv(largest, limit), p.fdiv(limit, largest));
    let some = p.fless(ZERO, largest);
    p.select_to(inverse, some, inverse, ZERO);
    let four = p.set(4);
    // the element keeps a word's low byte
    let byte = p.copy(scale);
    p.scope(|p| {
        let (i, base) = (p.set(0), p.set(256));
        let end = at_most(p, within, four);
        p.for_each(i, end, |p| p.update(byte, Opcode::Div, base));
    });
    let three = p.set(3);
    p.if_less(three, within, |p| {
        let at = p.add(first, within);
        p.update(at, Opcode::Sub, four);
        p.to(byte, Opcode::Load, at, ZERO);
        p.update(byte, Opcode::FMul, inverse);
        p.update(byte, Opcode::FMax, lowest);
        p.update(byte, Opcode::FMin, limit);
        p.convert(byte, Opcode::F32ToInt);
    });
    p.end(byte)
}

fn linear() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (one, two) = (p.set(1), p.set(2));
    let (rows, columns) = (p.dim(one, ZERO, 0), p.dim(ZERO, ZERO, 1));
    let x = p.div(INDEX, rows);
    p.update(x, Opcode::Mul, columns);
    let row = p.rem(INDEX, rows);
    let extent = p.dim(one, one, 0);
    p.update(row, Opcode::Mul, extent);
    let sum = p.set(0);
    by_format(&mut p, |p, format| {
        if format.is_quantised() {
            let groups = p.div_by(columns, ACTIVATION_BYTES as u32);
            let group = p.set(0);
            p.for_each(group, groups, |p| {
                let weights = Group::new(p, format, Bytes(one), row, group);
                let activations = p.set(ACTIVATION_BYTES as u32);
                p.update(activations, Opcode::Mul, group);
                p.update(activations, Opcode::Add, x);
                add_group(p, sum, &weights, activations, two);
            });
        } else {
            let found = c256(p, columns, |p, k| {
                let at = p.add(x, k);
                let x = p.load(at, ZERO);
                (x, plain_value(p, format, one, row, k))
            });
            p.assign(sum, found);
        }
    });
    p.end(sum)
}

/// Adds the product of 32 weights with the block of activations at `x`.
fn add_group(p: &mut Asm, sum: Reg, weights: &Group, x: Reg, two: Reg) {
    let activations = Bytes(ZERO);
    let (total, ones) = (p.set(0), p.set(0));
    let (l, half) = (p.set(0), p.set(0));
    p.for_each(half, two, |p| {
        let (dot, end) = (p.set(0), p.plus(l, 16));
        p.for_each(l, end, |p| {
            let at = p.add(x, l);
            let x = activations.signed(p, at, 4);
            if weights.format == WeightFormat::Q4_K {
                p.update(ones, Opcode::Add, x);
            }
            let q = weights.whole(p, l);
            p.update(q, Opcode::Mul, x);
            p.update(dot, Opcode::Add, q);
        });
        if weights.format == WeightFormat::Q6_K {
            let scale = weights.small_scale(p, half);
            p.update(dot, Opcode::Mul, scale);
        }
        p.update(total, Opcode::Add, dot);
    });
    p.convert(total, Opcode::SignedToF32);
    let x_scale = activations.f32(p, x);
    if weights.format == WeightFormat::Q4_K {
        let (scale, minimum) = weights.scale_and_minimum(p);
        p.update(scale, Opcode::FMul, x_scale);
        p.fma_to(sum, total, scale, sum);
        p.convert(ones, Opcode::SignedToF32);
        p.update(ones, Opcode::FMul, x_scale);
        p.negate(minimum);
        p.fma_to(sum, minimum, ones, sum);
    } else {
        let scale = weights.scale(p);
        p.update(scale, Opcode::FMul, x_scale);
        p.fma_to(sum, total, scale, sum);
    }
}

fn rope() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let (head, halves, rotary) = (
        p.attribute(ZERO, 0),
        p.attribute(ZERO, 1),
        p.attribute(ZERO, 2),
    );
    let within = p.rem(INDEX, head);
    let y = p.load(INDEX, ZERO);
    p.if_less(within, rotary, |p| {
        let pairs = p.div_by(rotary, 2);
        // neighbours lie 1 apart, halves `pairs`
        let distance = p.select(halves, pairs, one);
        let (late, pair) = (p.rem_by(within, 2), p.div_by(within, 2));
        p.scope(|p| {
            let (late_half, pair_of_halves) = (p.div(within, pairs), p.rem(within, pairs));
            p.select_to(late, halves, late_half, late);
            p.select_to(pair, halves, pair_of_halves, pair);
        });
        let partner = p.value(|p| {
            let (before, after) = (p.sub(INDEX, distance), p.add(INDEX, distance));
            let at = p.select(late, before, after);
            p.load(at, ZERO)
        });
        let at = p.value(|p| {
            let (position, context) = (position(p, 2), p.dim(one, ZERO, 0));
            let at = at_most(p, position, context);
            p.update(at, Opcode::Mul, rotary);
            p.update(at, Opcode::Add, pair);
            p.add(at, pair)
        });
        let cos = p.load(at, one);
        p.assign_plus(at, at, 1);
        let sin = p.load(at, one);
        let (a, b) = (p.select(late, partner, y), p.select(late, y, partner));
        let first = p.fmul(b, sin);
        p.negate(first);
        p.fma_to(first, a, cos, first);
        let second = p.fmul(b, cos);
        p.fma_to(second, a, sin, second);
        p.select_to(y, late, second, first);
    });
    p.end(y)
}

fn write_row() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let position = position(&mut p, 2);
    let width = p.dim(ZERO, one, 0);
    let (row, column) = (p.div(INDEX, width), p.rem(INDEX, width));
    let here = p.equal(row, position);
    let (old, new) = (p.load(INDEX, ZERO), p.load(column, one));
    let x = p.select(here, new, old);
    p.end(x)
}

/// What the scores of one head are computed from.
struct Head {
    /// Input number of the keys.
    keys: Reg,
    /// First value of the head in the queries.
    query: Reg,
    /// First value of the first row in the keys, and from row to row.
    key: Reg,
    width: Reg,
    depth: Reg,
}

impl Head {
    /// Score of row `i`.
    fn score(&self, p: &mut Asm, i: Reg) -> Reg {
        p.value(|p| {
            let row = p.mul(i, self.width);
            p.update(row, Opcode::Add, self.key);
            let sum = c256(p, self.depth, |p, k| {
                let (q, key) = (p.add(self.query, k), p.add(row, k));
                p.to(q, Opcode::Load, q, ZERO);
                p.to(key, Opcode::Load, key, self.keys);
                (q, key)
            });
            let scale = p.attribute(ZERO, 3);
            p.fmul(scale, sum)
        })
    }

    /// `exp` of the score of row `i` less `max`.
    fn weight(&self, p: &mut Asm, i: Reg, max: Reg) -> Reg {
        p.value(|p| {
            let score = self.score(p, i);
            p.update(score, Opcode::FSub, max);
            exp(p, score)
        })
    }
}

fn attention() -> Vec<Instruction> {
    let mut p = Asm::new();
    let keys = p.set(1);
    let (width, depth) = (p.dim(keys, keys, 0), p.attribute(ZERO, 0));
    let column = p.rem(INDEX, depth);
    let query = p.sub(INDEX, column);
    let (first, count) = rows(&mut p, keys);
    let key = p.value(|p| {
        let (heads, kv_heads) = (p.attribute(ZERO, 1), p.attribute(ZERO, 2));
        p.update(heads, Opcode::Div, kv_heads);
        let head = p.div(INDEX, depth);
        p.update(head, Opcode::Div, heads);
        p.update(head, Opcode::Mul, depth);
        p.update(first, Opcode::Mul, width);
        p.add(first, head)
    });
    let head = Head {
        keys,
        query,
        key,
        width,
        depth,
    };
    let value = p.add(key, column);
    let max = maximum(&mut p, count, |p, i| head.score(p, i));
    let sum = l32(&mut p, count, |p, i| head.weight(p, i, max));
    let y = c256(&mut p, count, |p, i| {
        let weight = head.weight(p, i, max);
        let at = p.mul(i, width);
        p.update(at, Opcode::Add, value);
        p.scope(|p| {
            let values = p.set(2);
            p.to(at, Opcode::Load, at, values);
        });
        (weight, at)
    });
    p.update(y, Opcode::FDiv, sum);
    p.end(y)
}

/// The first row that a position sees, and how many; the caches' input is `keys`.
fn rows(p: &mut Asm, keys: Reg) -> (Reg, Reg) {
    let (first, count) = (p.set(0), p.set(0));
    p.scope(|p| {
        let (position, window) = (position(p, 3), p.attribute(ZERO, 4));
        p.if_less(ZERO, window, |p| {
            // none or a whole window lies before the position
            let outside = p.sub(position, window);
            p.assign_plus(outside, outside, 1);
            let short = p.less(position, window);
            p.select_to(first, short, ZERO, outside);
        });
        let context = p.dim(keys, ZERO, 0);
        let end = p.plus(position, 1);
        let short = p.less(position, context);
        p.select_to(end, short, end, context);
        p.if_less(first, end, |p| p.to(count, Opcode::Sub, end, first));
    });
    (first, count)
}

fn swiglu() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let gate = p.load(INDEX, ZERO);
    let negative = p.copy(gate);
    p.negate(negative);
    let denominator = exp(&mut p, negative);
    let unit = p.float(1.0);
    p.to(denominator, Opcode::FAdd, unit, denominator);
    p.update(gate, Opcode::FDiv, denominator);
    let up = p.load(INDEX, one);
    p.update(gate, Opcode::FMul, up);
    p.end(gate)
}

fn penalties() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let x = p.load(INDEX, ZERO);
    let count = p.set(0);
    p.scope(|p| {
        let (position, length) = (position(p, 2), p.dim(one, ZERO, 0));
        let end = p.plus(position, 1);
        let inside = p.less(position, length);
        p.select_to(end, inside, end, length);
        let t = p.set(0);
        p.for_each(t, end, |p| {
            let token = p.load(t, one);
            let same = p.equal(token, INDEX);
            p.update(count, Opcode::Add, same);
        });
    });
    p.if_less(ZERO, count, |p| {
        let repetition = parameter(p, 3, word::REPETITION);
        let (times, over) = (p.fmul(x, repetition), p.fdiv(x, repetition));
        let negative = p.fless(x, ZERO);
        p.select_to(x, negative, times, over);
        p.convert(count, Opcode::ToF32);
        let frequency = parameter(p, 3, word::FREQUENCY);
        p.update(frequency, Opcode::FMul, count);
        p.update(x, Opcode::FSub, frequency);
        let presence = parameter(p, 3, word::PRESENCE);
        p.update(x, Opcode::FSub, presence);
    });
    p.end(x)
}

fn filter() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let y = p.load(INDEX, ZERO);
    let temperature = parameter(&mut p, 1, word::TEMPERATURE);
    let hot = p.fless(ZERO, temperature);
    p.if_less(ZERO, hot, |p| {
        p.update(y, Opcode::FDiv, temperature);
        let len = p.dim(ZERO, one, 0);
        let scaled = |p: &mut Asm, i: Reg| {
            let z = p.load(i, ZERO);
            p.update(z, Opcode::FDiv, temperature);
            z
        };
        let max = maximum(p, len, scaled);
        let weight = |p: &mut Asm, i: Reg| {
            let z = scaled(p, i);
            p.update(z, Opcode::FSub, max);
            exp(p, z)
        };
        let sum = l32(p, len, weight);
        let share = p.fsub(y, max);
        let e = exp(p, share);
        p.to(share, Opcode::FDiv, e, sum);
        let dropped = p.set(0);
        // each filter that is off costs nothing
        let top_k = parameter(p, 1, word::TOP_K);
        p.if_less(ZERO, top_k, |p| {
            let (i, greater) = (p.set(0), p.set(0));
            p.for_each(i, len, |p| {
                let z = scaled(p, i);
                p.to(z, Opcode::FLess, y, z);
                p.update(greater, Opcode::Add, z);
            });
            let kept = p.less(greater, top_k);
            p.to(dropped, Opcode::Sub, one, kept);
        });
        p.scope(|p| {
            let (top_p, certain) = (parameter(p, 1, word::TOP_P), p.float(1.0));
            let filters = p.fless(top_p, certain);
            p.if_less(ZERO, filters, |p| {
                clear_lanes(p);
                let before = l32(p, len, |p, i| {
                    let other = weight(p, i);
                    p.update(other, Opcode::FDiv, sum);
                    let likelier = p.fless(share, other);
                    p.select(likelier, other, ZERO)
                });
                let kept = p.fless(before, top_p);
                p.to(kept, Opcode::Sub, one, kept);
                p.update(dropped, Opcode::Or, kept);
            });
        });
        let (least, best) = (parameter(p, 1, word::MIN_P), p.float(1.0));
        p.update(best, Opcode::FDiv, sum);
        p.update(least, Opcode::FMul, best);
        let unlikely = p.fless(share, least);
        p.update(dropped, Opcode::Or, unlikely);
        p.with_float(f32::NEG_INFINITY, |p, never| {
            p.select_to(y, dropped, never, y);
        });
    });
    p.end(y)
}

fn sample() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let len = p.dim(ZERO, one, 0);
    let temperature = parameter(&mut p, 2, word::TEMPERATURE);
    let hot = p.fless(ZERO, temperature);
    let generator = Generator::new(&mut p);
    let state = parameter(&mut p, 2, word::SEED);
    generator.absorb(&mut p, state, one);
    let position = position(&mut p, 1);
    generator.absorb(&mut p, state, position);
    let found = first_largest(&mut p, len, |p, i| {
        let y = p.load(i, ZERO);
        p.if_less(ZERO, hot, |p| {
            let h = p.copy(state);
            generator.absorb(p, h, i);
            let noise = generator.gumbel(p, h);
            p.update(y, Opcode::FAdd, noise);
        });
        y
    });
    p.end(found)
}

fn append_token() -> Vec<Instruction> {
    let mut p = Asm::new();
    let one = p.set(1);
    let next = position(&mut p, 2);
    p.assign_plus(next, next, 1);
    let prompt = parameter(&mut p, 3, word::PROMPT);
    let in_prompt = p.less(next, prompt);
    let here = p.equal(INDEX, next);
    let (token, sampled) = (p.load(INDEX, ZERO), p.load(ZERO, one));
    let written = p.select(in_prompt, token, sampled);
    let y = p.select(here, written, token);
    p.end(y)
}

fn stop() -> Vec<Instruction> {
    let mut p = Asm::new();
    let (one, two) = (p.set(1), p.set(2));
    let before = p.load(ZERO, ZERO);
    let next = position(&mut p, 2);
    p.assign_plus(next, next, 1);
    // a full context ends the run whatever the prompt says
    let context = p.value(|p| {
        let length = p.dim(one, ZERO, 0);
        p.sub(length, one)
    });
    let prompt = parameter(&mut p, 3, word::PROMPT);
    let room = p.less(next, context);
    let ends = p.sub(one, room);
    let in_prompt = p.less(next, prompt);
    p.if_less(in_prompt, one, |p| {
        let limit = parameter(p, 3, word::MAX_NEW);
        p.update(limit, Opcode::Add, prompt);
        let length = p.plus(next, 1);
        let short = p.less(length, limit);
        let enough = p.sub(one, short);
        p.update(ends, Opcode::Or, enough);
        let end_tokens = p.set(4);
        let (i, count, token) = (p.set(0), p.dim(end_tokens, ZERO, 0), p.load(next, one));
        p.for_each(i, count, |p| {
            let end = p.load(i, end_tokens);
            let same = p.equal(token, end);
            p.update(ends, Opcode::Or, same);
        });
    });
    let y = p.select(before, two, ends);
    p.end(y)
}

fn advance() -> Vec<Instruction> {
    let mut p = Asm::new();
    let position = p.load(INDEX, ZERO);
    p.assign_plus(position, position, 1);
    p.end(position)
}
