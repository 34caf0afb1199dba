//! Element types in element programs: how a word stands for an element, and how one becomes another.
//!
//! Integers are words of 64 bits, signed ones with their sign extended; f16 and bf16 are f32 in computations, binary64 its bits.

use gavel_numerics::DType;
use gavel_numerics::element::{Builder, Value as Word};

use super::functions as f;

/// Whether numbers of this type are computed with as f32 and rounded afterwards.
pub(super) fn is_narrow(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

pub(super) fn is_integer(dtype: DType) -> bool {
    use DType::{I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

pub(super) fn is_unsigned(dtype: DType) -> bool {
    matches!(dtype, DType::U8 | DType::U16 | DType::U32 | DType::U64)
}

/// The word of an element whose bits were loaded; narrow floats keep theirs.
pub(super) fn loaded(p: &mut Builder, word: Word, dtype: DType) -> Word {
    match dtype {
        DType::I32 => p.sign_extend(word, 32),
        DType::I16 => p.sign_extend(word, 16),
        DType::I8 => p.sign_extend(word, 8),
        _ => word,
    }
}

/// 1 where a signed integer is less than another.
pub(super) fn signed_less(p: &mut Builder, a: Word, b: Word) -> Word {
    let offset = p.wide(1 << 63);
    let (a, b) = (p.add(a, offset), p.add(b, offset));
    p.less(a, b)
}

/// 1 where `a < b`, both of this type.
pub(super) fn less(p: &mut Builder, a: Word, b: Word, dtype: DType) -> Word {
    match dtype {
        DType::F32 => p.fless(a, b),
        DType::U64 => p.less(a, b),
        DType::F64 => {
            let (x, y) = (double_key(p, a), double_key(p, b));
            let (less, numbers) = (p.less(x, y), both_numbers(p, a, b));
            p.and(less, numbers)
        }
        _ => signed_less(p, a, b),
    }
}

/// 1 where they are the same number.
pub(super) fn equal(p: &mut Builder, a: Word, b: Word, dtype: DType) -> Word {
    match dtype {
        DType::F32 => f::equal(p, a, b),
        DType::F64 => {
            let (x, y) = (double_key(p, a), double_key(p, b));
            let (same, numbers) = (p.equal(x, y), both_numbers(p, a, b));
            p.and(same, numbers)
        }
        _ => p.equal(a, b),
    }
}

/// Magnitude of a binary64 as its bits.
pub(super) fn double_magnitude(p: &mut Builder, x: Word) -> Word {
    let mask = p.wide(u64::MAX >> 1);
    p.and(x, mask)
}

/// 1 where a binary64 is NaN.
pub(super) fn double_is_nan(p: &mut Builder, x: Word) -> Word {
    let (magnitude, infinity) = (double_magnitude(p, x), p.wide(0x7ff << 52));
    p.less(infinity, magnitude)
}

fn both_numbers(p: &mut Builder, a: Word, b: Word) -> Word {
    let (a, b) = (double_is_nan(p, a), double_is_nan(p, b));
    let either = p.or(a, b);
    f::not(p, either)
}

/// A word that is less where a binary64 is; of both zeros the same.
fn double_key(p: &mut Builder, x: Word) -> Word {
    let sign = p.wide(1 << 63);
    let magnitude = double_magnitude(p, x);
    let (below, above) = (p.sub(sign, magnitude), p.add(sign, magnitude));
    let positive = p.less(x, sign);
    p.select(positive, above, below)
}

/// `2^n` for `n < 64`.
pub(super) fn power_of_two(p: &mut Builder, n: Word) -> Word {
    let one = p.number(1);
    let mut found = one;
    for bit in 0..6 {
        let (bit, factor) = (p.number(1 << bit), p.wide(1 << (1u64 << bit)));
        let there = p.and(n, bit);
        let by = p.select(there, factor, one);
        found = p.mul(found, by);
    }
    found
}

/// A word of one type as one of another.
pub(super) fn converted(p: &mut Builder, word: Word, from: DType, to: DType) -> Word {
    match (from, to) {
        _ if from == to => word,
        (DType::F16, _) => {
            let x = p.f16_to_f32(word);
            converted(p, x, DType::F32, to)
        }
        (DType::BF16, _) => {
            let x = p.bf16_to_f32(word);
            converted(p, x, DType::F32, to)
        }
        (DType::F64, DType::F32) => double_to_float(p, word, false),
        (DType::F64, DType::F16) => {
            let x = double_to_float(p, word, true);
            p.f32_to_f16(x)
        }
        (DType::F64, DType::BF16) => {
            let x = double_to_float(p, word, true);
            p.f32_to_bf16(x)
        }
        (DType::F64, DType::Bool) => {
            let (magnitude, zero) = (double_magnitude(p, word), p.number(0));
            let none = p.equal(magnitude, zero);
            f::not(p, none)
        }
        (DType::F64, _) => double_to_integer(p, word),
        (_, DType::F16) => {
            let x = converted(p, word, from, DType::F32);
            p.f32_to_f16(x)
        }
        (_, DType::BF16) => {
            let x = converted(p, word, from, DType::F32);
            p.f32_to_bf16(x)
        }
        (DType::F32, DType::F64) => float_to_double(p, word),
        (_, DType::F64) => integer_to_double(p, word, from == DType::U64),
        (DType::F32, DType::Bool) => {
            let zero = p.float(0.0);
            let none = f::equal(p, word, zero);
            f::not(p, none)
        }
        (DType::F32, DType::U64) => {
            // the upper half beyond what a signed integer holds
            let (whole, half) = (f::truncate(p, word), p.float(9_223_372_036_854_775_808.0));
            let low = p.fless(whole, half);
            let rest = p.fsub(whole, half);
            let (low_word, high_word, offset) =
                (p.f32_to_int(whole), p.f32_to_int(rest), p.wide(1 << 63));
            let high_word = p.add(high_word, offset);
            p.select(low, low_word, high_word)
        }
        (DType::F32, _) => {
            let whole = f::truncate(p, word);
            p.f32_to_int(whole)
        }
        (DType::U64, DType::F32) => p.to_f32(word),
        (_, DType::F32) => p.signed_to_f32(word),
        (_, DType::Bool) => {
            let zero = p.number(0);
            let none = p.equal(word, zero);
            f::not(p, none)
        }
        // the low bytes
        _ => word,
    }
}

/// Exact.
fn float_to_double(p: &mut Builder, x: Word) -> Word {
    let (magnitude, infinity) = (f::abs(p, x), p.float(f32::INFINITY));
    let shifted = |p: &mut Builder, bits: Word, bias: u64| {
        let (step, bias) = (p.number(1 << 29), p.wide(bias << 52));
        let moved = p.mul(bits, step);
        p.add(moved, bias)
    };
    let normal = shifted(p, magnitude, 1023 - 127);
    // a subnormal is its bits as a number, times 2^-149
    let (scaled, least) = (p.to_f32(magnitude), p.number(1 << 23));
    let subnormal = shifted(p, scaled, 1023 - 127 - 149);
    let is_subnormal = p.less(magnitude, least);
    let found = p.select(is_subnormal, subnormal, normal);
    let beyond = shifted(p, magnitude, 2047 - 255);
    let finite = p.less(magnitude, infinity);
    let found = p.select(finite, found, beyond);
    let zero = p.number(0);
    let is_zero = p.equal(magnitude, zero);
    let found = p.select(is_zero, zero, found);
    let (sign, half) = (p.sub(x, magnitude), p.wide(1 << 32));
    let sign = p.mul(sign, half);
    p.add(found, sign)
}

/// Rounded to nearest even, or (`odd`) to the odd one of the two neighbours, so that rounding again is right.
fn double_to_float(p: &mut Builder, x: Word, odd: bool) -> Word {
    let magnitude = double_magnitude(p, x);
    let (fraction, zero) = (p.wide(1 << 52), p.number(0));
    let (exponent, mantissa) = (p.div(magnitude, fraction), p.rem(magnitude, fraction));
    // normal: the exponent stays in front; subnormal: the leading one is written and shifted further
    let bias = p.wide((1023 - 127) << 52);
    let normal = p.sub(magnitude, bias);
    let leading = p.or(mantissa, fraction);
    let (from, least) = (p.number(1023 - 127 + 1 + 29), p.number(1023 - 127 + 1));
    let shift = p.sub(from, exponent);
    let is_subnormal = p.less(exponent, least);
    let (most, shift_of_normal) = (p.number(60), p.number(29));
    let inside = p.less(shift, most);
    let shift = p.select(inside, shift, most);
    let shift = p.select(is_subnormal, shift, shift_of_normal);
    let value = p.select(is_subnormal, leading, normal);
    let unit = power_of_two(p, shift);
    let (kept, rest) = (p.div(value, unit), p.rem(value, unit));
    let two = p.number(2);
    let is_odd = p.rem(kept, two);
    let up = if odd {
        let (even, exact) = (f::not(p, is_odd), p.equal(rest, zero));
        let inexact = f::not(p, exact);
        p.and(even, inexact)
    } else {
        let half = p.div(unit, two);
        let (more, tie) = (p.less(half, rest), p.equal(rest, half));
        let tie = p.and(tie, is_odd);
        p.or(more, tie)
    };
    let rounded = p.add(kept, up);
    let infinity = p.float(f32::INFINITY);
    let finite = p.less(rounded, infinity);
    let found = p.select(finite, rounded, infinity);
    let (nan, quiet) = (double_is_nan(p, x), p.float(f32::NAN));
    let found = p.select(nan, quiet, found);
    let (sign, half) = (p.sub(x, magnitude), p.wide(1 << 32));
    let sign = p.div(sign, half);
    let signed = p.or(found, sign);
    p.select(nan, quiet, signed)
}

/// Towards zero, in two's complement; what lies beyond 64 bits wraps.
fn double_to_integer(p: &mut Builder, x: Word) -> Word {
    let magnitude = double_magnitude(p, x);
    let (fraction, zero) = (p.wide(1 << 52), p.number(0));
    let (exponent, mantissa) = (p.div(magnitude, fraction), p.rem(magnitude, fraction));
    let (leading, bias) = (p.or(mantissa, fraction), p.number(1023 + 52));
    let is_large = p.less(bias, exponent);
    let (left, right, most) = (p.sub(exponent, bias), p.sub(bias, exponent), p.number(63));
    let (small_left, small_right) = (p.less(left, most), p.less(right, most));
    let (left, right) = (
        p.select(small_left, left, most),
        p.select(small_right, right, most),
    );
    let shift = p.select(is_large, left, right);
    let unit = power_of_two(p, shift);
    let (grown, cut) = (p.mul(leading, unit), p.div(leading, unit));
    let found = p.select(is_large, grown, cut);
    let (positive, negative) = (p.equal(x, magnitude), p.sub(zero, found));
    p.select(positive, found, negative)
}

/// Rounded to nearest even.
fn integer_to_double(p: &mut Builder, x: Word, unsigned: bool) -> Word {
    let (zero, two) = (p.number(0), p.number(2));
    let negative = if unsigned {
        zero
    } else {
        signed_less(p, x, zero)
    };
    let minus = p.sub(zero, x);
    let mut value = p.select(negative, minus, x);
    let is_zero = p.equal(value, zero);
    // the leading one to bit 63
    let mut exponent = p.number(1023 + 63);
    for bits in [32u32, 16, 8, 4, 2, 1] {
        let (bound, factor, less) = (
            p.wide(1 << (64 - bits)),
            p.wide(1u64 << bits),
            p.number(bits),
        );
        let small = p.less(value, bound);
        let (shifted, lower) = (p.mul(value, factor), p.sub(exponent, less));
        value = p.select(small, shifted, value);
        exponent = p.select(small, lower, exponent);
    }
    let (unit, half) = (p.number(1 << 11), p.number(1 << 10));
    let (kept, rest) = (p.div(value, unit), p.rem(value, unit));
    let is_odd = p.rem(kept, two);
    let (more, tie) = (p.less(half, rest), p.equal(rest, half));
    let tie = p.and(tie, is_odd);
    let up = p.or(more, tie);
    // the leading one counts as a unit of the exponent
    let (fraction, one) = (p.wide(1 << 52), p.number(1));
    let below = p.sub(exponent, one);
    let front = p.mul(below, fraction);
    let found = p.add(front, kept);
    let found = p.add(found, up);
    let sign = p.wide(1 << 63);
    let signed = p.or(found, sign);
    let found = p.select(negative, signed, found);
    p.select(is_zero, zero, found)
}
