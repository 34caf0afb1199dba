//! Conversions for quantised formats (N-23 to N-29): narrow integers, binary16, bfloat16. Subnormals are kept, and
//! rounding is to nearest, ties to even.

use crate::scalar::{NAN_BITS, canonical};

/// NaN of binary16 that can be seen.
pub const F16_NAN: u16 = 0x7e00;
/// NaN of bfloat16 that can be seen.
pub const BF16_NAN: u16 = 0x7fc0;
const F16_INFINITY: u32 = 0x7c00;
/// The least positive binary16, 2^-24.
const F16_LEAST: f32 = f32::from_bits(0x3380_0000);
/// The least normal binary16, 2^-14.
const F16_LEAST_NORMAL: f32 = f32::from_bits(0x3880_0000);

/// The low `bits mod 64` bits of `word` in two's complement; no bits mean all 64 (N-23).
pub fn sign_extend(word: u64, bits: u32) -> u64 {
    let above = (64 - bits % 64) % 64;
    ((word << above).cast_signed() >> above).cast_unsigned()
}

/// The binary16 with these bits (N-25).
pub fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let (exponent, fraction) = (u32::from(half) >> 10 & 0x1f, u32::from(half) & 0x3ff);
    let magnitude = match exponent {
        0 => (fraction as f32 * F16_LEAST).to_bits(),
        0x1f if fraction != 0 => return f32::from_bits(NAN_BITS),
        0x1f => f32::INFINITY.to_bits(),
        // the bias of binary32 is 112 more
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The bfloat16 with these bits (N-26).
pub fn bf16_to_f32(half: u16) -> f32 {
    canonical(f32::from_bits(u32::from(half) << 16))
}

/// The nearest binary16 (N-27).
pub fn f32_to_f16(x: f32) -> u16 {
    if x.is_nan() {
        return F16_NAN;
    }
    let sign = u16::from(x.is_sign_negative()) << 15;
    let magnitude = x.abs();
    if magnitude < F16_LEAST_NORMAL {
        // a number of least ones; 1024 of them are the least normal, and its bits
        return sign | (magnitude / F16_LEAST).round_ties_even() as u16;
    }
    let rounded = without_low_bits(magnitude.to_bits(), 13) - (112 << 10);
    sign | rounded.min(F16_INFINITY) as u16
}

/// The nearest bfloat16 (N-28).
pub fn f32_to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return BF16_NAN;
    }
    let sign = u16::from(x.is_sign_negative()) << 15;
    sign | without_low_bits(x.abs().to_bits(), 16) as u16
}

/// Rounds the low bits of a significand off; a carry counts into the exponent.
fn without_low_bits(magnitude: u32, bits: u32) -> u32 {
    let odd = magnitude >> bits & 1;
    (magnitude + (1 << (bits - 1)) - 1 + odd) >> bits
}

/// The nearest integer of 64 bits in two's complement, saturating; NaN gives 0 (N-29).
pub fn f32_to_int(x: f32) -> u64 {
    (x.round_ties_even() as i64).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(x: f32) -> u32 {
        canonical(x).to_bits()
    }

    #[test]
    fn every_16_bits_come_back() {
        for half in 0..=u16::MAX {
            let nan16 = half & 0x7fff > 0x7c00;
            assert_eq!(
                f32_to_f16(f16_to_f32(half)),
                if nan16 { F16_NAN } else { half }
            );
            let nan_b16 = half & 0x7fff > 0x7f80;
            assert_eq!(
                f32_to_bf16(bf16_to_f32(half)),
                if nan_b16 { BF16_NAN } else { half }
            );
        }
    }

    /// Every float between two neighbours goes to the nearer one, and from the middle to the even one.
    #[test]
    fn a_float_goes_to_the_nearest() {
        type Narrow = fn(f32) -> u16;
        type Widen = fn(u16) -> f32;
        let formats: [(Narrow, Widen, u16, f64); 2] = [
            (f32_to_f16, f16_to_f32, 0x7c00, 65536.0),
            (f32_to_bf16, bf16_to_f32, 0x7f80, 2f64.powi(128)),
        ];
        for (narrow, widen, infinity, beyond) in formats {
            let value = |half: u16| {
                if half == infinity {
                    beyond
                } else {
                    f64::from(widen(half))
                }
            };
            for low in 0..infinity {
                // exact in f64, and mostly in f32 too
                let middle = (value(low) + value(low + 1)) / 2.0;
                let even = low + low % 2;
                for (x, want) in [
                    (middle as f32, even),
                    ((middle as f32).next_down(), low),
                    ((middle as f32).next_up(), low + 1),
                ] {
                    if f64::from(middle as f32) != middle {
                        continue;
                    }
                    assert_eq!(narrow(x), want, "{x:e}");
                    assert_eq!(narrow(-x), want | 0x8000, "{x:e}");
                }
            }
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(bits(f16_to_f32(0xfc00)), bits(f32::NEG_INFINITY));
        assert_eq!(bits(f16_to_f32(0xfe01)), NAN_BITS);
        assert_eq!(bits(bf16_to_f32(0xff81)), NAN_BITS);
        assert_eq!(f32_to_f16(f32::from_bits(0xff80_0001)), F16_NAN);
        assert_eq!(f32_to_bf16(f32::from_bits(0xff80_0001)), BF16_NAN);
        assert_eq!(f32_to_f16(f32::MIN), 0xfc00);
        assert_eq!(f32_to_bf16(f32::MIN), 0xff80);
        assert_eq!(f32_to_int(f32::NAN), 0);
        assert_eq!(f32_to_int(f32::INFINITY), i64::MAX as u64);
        assert_eq!(f32_to_int(f32::NEG_INFINITY), 1 << 63);
        assert_eq!(f32_to_int(-2.5), (-2i64) as u64);
        assert_eq!(sign_extend(0x1_0080, 8), 0xffff_ffff_ffff_ff80);
        assert_eq!(sign_extend(0x17f, 8 + 64), 0x7f);
        assert_eq!(sign_extend(u64::MAX - 1, 64), u64::MAX - 1);
        assert_eq!(sign_extend(2, 1), 0);
        assert_eq!(sign_extend(3, 1), u64::MAX);
    }
}
