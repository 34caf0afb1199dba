//! Arithmetic of integers in element programs: words of 64 bits, signed ones with their sign extended.

use gavel_numerics::DType;
use gavel_numerics::element::{Builder, Value as Word};

use super::types::{is_unsigned, power_of_two, signed_less};

/// `a^b` modulo 2^64 by squaring, over the low 32 bits of `b`; a power below 0 is no integer and gives what they give.
pub(super) fn power(p: &mut Builder, a: Word, b: Word) -> Word {
    let (one, two) = (p.number(1), p.number(2));
    let (mut found, mut square, mut rest) = (one, a, b);
    for bit in 0..32 {
        let there = p.and(rest, one);
        let by = p.select(there, square, one);
        found = p.mul(found, by);
        if bit < 31 {
            square = p.mul(square, square);
            rest = p.div(rest, two);
        }
    }
    found
}

/// Quotient of signed integers towards zero, and what is left, with the first one's sign. 0 where the second is 0.
pub(super) fn quotient(p: &mut Builder, a: Word, b: Word) -> (Word, Word) {
    let zero = p.number(0);
    let (a_negative, b_negative) = (signed_less(p, a, zero), signed_less(p, b, zero));
    let (minus_a, minus_b) = (p.sub(zero, a), p.sub(zero, b));
    let (a, b) = (
        p.select(a_negative, minus_a, a),
        p.select(b_negative, minus_b, b),
    );
    let (quotient, rest) = (p.div(a, b), p.rem(a, b));
    let same = p.equal(a_negative, b_negative);
    let negative = p.sub(zero, quotient);
    let quotient = p.select(same, quotient, negative);
    let minus_rest = p.sub(zero, rest);
    (quotient, p.select(a_negative, minus_rest, rest))
}

/// What is left of signed integers: with the first one's sign (`like_c`), or with the second one's.
pub(super) fn remainder(p: &mut Builder, a: Word, b: Word, like_c: bool) -> Word {
    let (_, rest) = quotient(p, a, b);
    if like_c {
        return rest;
    }
    let zero = p.number(0);
    let (rest_negative, b_negative) = (signed_less(p, rest, zero), signed_less(p, b, zero));
    let same = p.equal(rest_negative, b_negative);
    let none = p.equal(rest, zero);
    let stays = p.or(same, none);
    let moved = p.add(rest, b);
    p.select(stays, rest, moved)
}

/// Bits moved by `b` places; signed integers to the right by division that rounds down. Where `b` is below 0 or not below the number of
/// bits, nothing is left, or the sign.
pub(super) fn shifted(p: &mut Builder, a: Word, b: Word, dtype: DType, left: bool) -> Word {
    let zero = p.number(0);
    let factor = power_of_two(p, b);
    let found = if left {
        p.mul(a, factor)
    } else {
        let whole = p.div(a, factor);
        if is_unsigned(dtype) {
            whole
        } else {
            // of what is negative: the bits turned, moved, and turned again
            let ones = p.wide(u64::MAX);
            let turned = p.sub(ones, a);
            let moved = p.div(turned, factor);
            let moved = p.sub(ones, moved);
            let negative = signed_less(p, a, zero);
            p.select(negative, moved, whole)
        }
    };
    let bits = p.number(8 * dtype.size() as u32);
    let inside = p.less(b, bits);
    let rest = if left || is_unsigned(dtype) {
        zero
    } else {
        let negative = signed_less(p, a, zero);
        p.sub(zero, negative)
    };
    p.select(inside, found, rest)
}
