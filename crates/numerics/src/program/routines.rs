//! What several operator programs share: orders of summation, elementary functions, windows, broadcasting.
//! Each is a rule of `spec/numerics.md`, written out inline wherever it is used.

use super::Opcode;
use super::asm::{Asm, INDEX, Reg, ZERO};
use crate::scalar::{self, NAN_BITS};

/// Order C256 (N-8) over `k = 0..depth`; `operands` gives `a[k]` and `b[k]`.
pub(super) fn c256(
    p: &mut Asm,
    depth: Reg,
    operands: impl FnOnce(&mut Asm, Reg) -> (Reg, Reg),
) -> Reg {
    let total = p.set(0);
    p.scope(|p| {
        let k = p.set(0);
        p.repeat_while_less(k, depth, |p| {
            let first = p.equal(k, ZERO);
            let end = p.plus(k, 256);
            let whole = p.less(end, depth);
            p.select_to(end, whole, end, depth);
            let t = p.set(0);
            p.for_each(k, end, |p| {
                let (a, b) = operands(p, k);
                p.fma_to(t, a, b, t);
            });
            let sum = p.fadd(total, t);
            p.select_to(total, first, t, sum);
        });
    });
    total
}

/// Order L32 (N-11) over `i = 0..len` of what `value` gives.
pub(super) fn l32(p: &mut Asm, len: Reg, value: impl FnOnce(&mut Asm, Reg) -> Reg) -> Reg {
    l32_fold(p, len, |p, i| {
        let x = value(p, i);
        let lane = p.get(i, 0);
        p.update(lane, Opcode::FAdd, x);
        lane
    })
}

/// Order L32 where `step` gives the lane of `i` with element `i` in it.
pub(super) fn l32_fold(p: &mut Asm, len: Reg, step: impl FnOnce(&mut Asm, Reg) -> Reg) -> Reg {
    p.value(|p| {
        // the machine starts with +0 in every lane
        let i = p.set(0);
        p.for_each(i, len, |p| {
            let lane = step(p, i);
            p.put(i, lane);
        });
        let (half, two) = (p.set(16), p.set(2));
        p.repeat_while_less(ZERO, half, |p| {
            p.assign(i, ZERO);
            p.for_each(i, half, |p| {
                let (low, at) = (p.get(i, 0), p.add(i, half));
                let high = p.get(at, 0);
                p.update(low, Opcode::FAdd, high);
                p.put(i, low);
            });
            p.update(half, Opcode::Div, two);
        });
        p.get(ZERO, 0)
    })
}

/// +0 in every lane again.
pub(super) fn clear_lanes(p: &mut Asm) {
    p.scope(|p| {
        let (i, lanes) = (p.set(0), p.set(32));
        p.for_each(i, lanes, |p| p.put(i, ZERO));
    });
}

/// N-12 over `i = 0..len` of what `value` gives.
pub(super) fn maximum(p: &mut Asm, len: Reg, value: impl FnOnce(&mut Asm, Reg) -> Reg) -> Reg {
    let max = p.float(f32::NEG_INFINITY);
    p.scope(|p| {
        let i = p.set(0);
        p.for_each(i, len, |p| {
            let x = value(p, i);
            p.update(max, Opcode::FMax, x);
        });
    });
    max
}

/// N-13 over `i = 0..len`, which is not empty, of what `value` gives.
pub(super) fn first_largest(
    p: &mut Asm,
    len: Reg,
    value: impl FnOnce(&mut Asm, Reg) -> Reg,
) -> Reg {
    // -inf from nowhere would beat a first -inf; a NaN beats every number and nothing beats a NaN
    let (best, found) = (p.float(f32::NEG_INFINITY), p.set(0));
    p.scope(|p| {
        let (i, one, nan) = (p.set(0), p.set(1), p.set(NAN_BITS));
        p.for_each(i, len, |p| {
            let x = value(p, i);
            let beats = p.fless(best, x);
            let is_nan = p.equal(x, nan);
            let best_is_nan = p.equal(best, nan);
            let best_is_number = p.sub(one, best_is_nan);
            p.update(is_nan, Opcode::And, best_is_number);
            p.update(beats, Opcode::Or, is_nan);
            p.select_to(best, beats, x, best);
            p.select_to(found, beats, i, found);
        });
    });
    found
}

/// `coefficients[0] + x * (coefficients[1] + x * (...))`, each step one fma.
fn horner(p: &mut Asm, x: Reg, coefficients: &[f32]) -> Reg {
    let sum = p.float(coefficients.last().copied().unwrap_or(0.0));
    for &c in coefficients.iter().rev().skip(1) {
        p.scope(|p| {
            let c = p.float(c);
            p.fma_to(sum, sum, x, c);
        });
    }
    sum
}

/// `e^x` (N-20).
pub(super) fn exp(p: &mut Asm, x: Reg) -> Reg {
    p.value(|p| {
        let magic = p.float(scalar::MAGIC);
        let r = p.float(scalar::EXP_MIN);
        p.to(r, Opcode::FMax, x, r);
        p.with_float(scalar::EXP_MAX, |p, high| p.update(r, Opcode::FMin, high));
        let n = p.float(scalar::LOG2_E);
        p.fma_to(n, r, n, magic);
        p.update(n, Opcode::FSub, magic);
        for part in [scalar::NEG_LN2_HIGH, scalar::NEG_LN2_LOW] {
            p.with_float(part, |p, part| p.fma_to(r, n, part, r));
        }
        let sum = horner(p, r, &scalar::EXP_POLY);
        let half = p.float(0.5);
        p.fma_to(half, n, half, magic);
        p.update(half, Opcode::FSub, magic);
        p.update(n, Opcode::FSub, half);
        for n in [half, n] {
            to_pow2(p, n, magic);
            p.update(sum, Opcode::FMul, n);
        }
        sum
    })
}

/// Makes `2^n` of integral `n` in -126..=127: the low bits of `n + MAGIC` are the integer.
fn to_pow2(p: &mut Asm, n: Reg, magic: Reg) {
    p.update(n, Opcode::FAdd, magic);
    p.update(n, Opcode::Sub, magic);
    p.assign_plus(n, n, 127);
    p.scope(|p| {
        let one_exponent = p.set(1 << 23);
        p.update(n, Opcode::Mul, one_exponent);
    });
}

/// Natural logarithm (N-30).
pub(super) fn log(p: &mut Asm, x: Reg) -> Reg {
    p.value(|p| {
        let one = p.float(1.0);
        let k = p.float(scalar::LOG_SCALE);
        let bits = p.fmul(x, k);
        p.with_float(f32::MIN_POSITIVE, |p, normal| {
            let subnormal = p.fless(x, normal);
            p.select_to(bits, subnormal, bits, x);
            p.assign_plus(bits, bits, 0x3f80_0000 - scalar::LOG_LOW);
            let one_exponent = p.set(1 << 23);
            p.to(k, Opcode::Div, bits, one_exponent);
            let (bias, bias_of_subnormal) = (p.set(127), p.set(127 + 23));
            p.select_to(bias, subnormal, bias_of_subnormal, bias);
            p.update(k, Opcode::Sub, bias);
            p.convert(k, Opcode::SignedToF32);
        });
        let f = p.set(0x007f_ffff);
        p.update(f, Opcode::And, bits);
        p.assign_plus(f, f, scalar::LOG_LOW);
        p.update(f, Opcode::FSub, one);
        let y = horner(p, f, &scalar::LOG_POLY);
        let z = p.fmul(f, f);
        p.scope(|p| {
            let cube = p.fmul(f, z);
            p.update(y, Opcode::FMul, cube);
        });
        p.with_float(-scalar::NEG_LN2_LOW, |p, low| p.fma_to(y, k, low, y));
        p.with_float(-0.5, |p, half| p.fma_to(y, z, half, y));
        p.update(y, Opcode::FAdd, f);
        p.with_float(-scalar::NEG_LN2_HIGH, |p, high| p.fma_to(y, k, high, y));
        // what is not a positive number, and what is not a number at all
        p.with_float(f32::INFINITY, |p, infinity| {
            let is_infinite = p.equal(x, infinity);
            p.select_to(y, is_infinite, infinity, y);
        });
        let (nan, infinity) = (p.set(NAN_BITS), p.float(f32::NEG_INFINITY));
        p.scope(|p| {
            let magnitude = p.set(0x7fff_ffff);
            p.update(magnitude, Opcode::And, x);
            p.select_to(nan, magnitude, nan, infinity);
        });
        let positive = p.fless(ZERO, x);
        p.select(positive, y, nan)
    })
}

/// The generator of N-31 with its constants in registers.
pub(super) struct Generator {
    golden: Reg,
    multipliers: [Reg; 2],
    shifts: [Reg; 3],
    /// A shift by 41 bits.
    shift: Reg,
    unit: Reg,
}

impl Generator {
    pub(super) fn new(p: &mut Asm) -> Generator {
        Generator {
            golden: p.wide(scalar::GOLDEN),
            multipliers: scalar::MIX.map(|m| p.wide(m)),
            shifts: [30, 27, 31].map(|bits| p.set(1 << bits)),
            shift: p.wide(1 << 41),
            unit: p.float(2f32.powi(-24)),
        }
    }

    /// Mixes `counter` into the state `h`.
    pub(super) fn absorb(&self, p: &mut Asm, h: Reg, counter: Reg) {
        p.scope(|p| {
            let z = p.mul(counter, self.golden);
            p.update(h, Opcode::Add, z);
            for (step, &shift) in self.shifts.iter().enumerate() {
                // exclusive or: bits of either less bits of both
                p.to(z, Opcode::Div, h, shift);
                let both = p.and(z, h);
                p.update(h, Opcode::Or, z);
                p.update(h, Opcode::Sub, both);
                if let Some(&multiplier) = self.multipliers.get(step) {
                    p.update(h, Opcode::Mul, multiplier);
                }
            }
        });
    }

    /// Gumbel noise of the state `h`.
    pub(super) fn gumbel(&self, p: &mut Asm, h: Reg) -> Reg {
        p.value(|p| {
            let u = p.div(h, self.shift);
            p.update(u, Opcode::Add, u);
            p.assign_plus(u, u, 1);
            p.convert(u, Opcode::ToF32);
            p.update(u, Opcode::FMul, self.unit);
            let inner = log(p, u);
            p.negate(inner);
            let outer = log(p, inner);
            p.negate(outer);
            outer
        })
    }
}

/// Logistic function (N-21).
pub(super) fn sigmoid(p: &mut Asm, x: Reg) -> Reg {
    p.value(|p| {
        let (sign, one) = (p.float(-0.0), p.float(1.0));
        let negative = p.or(x, sign);
        let z = exp(p, negative);
        let below = p.fless(x, ZERO);
        let numerator = p.select(below, z, one);
        let denominator = p.fadd(one, z);
        p.fdiv(numerator, denominator)
    })
}

/// Hyperbolic tangent (N-22).
pub(super) fn tanh(p: &mut Asm, x: Reg) -> Reg {
    p.value(|p| {
        let (magnitude_bits, sign_bit) = (p.set(0x7fff_ffff), p.float(-0.0));
        let a = p.and(x, magnitude_bits);
        let z = p.fmul(a, a);
        let poly = horner(p, z, &scalar::TANH_POLY);
        let small = p.fmul(a, z);
        p.fma_to(small, small, poly, a);
        let (one, two) = (p.float(1.0), p.float(2.0));
        let twice = p.fadd(a, a);
        let big = exp(p, twice);
        p.update(big, Opcode::FAdd, one);
        p.to(big, Opcode::FDiv, two, big);
        p.to(big, Opcode::FSub, one, big);
        let limit = p.float(scalar::TANH_SMALL);
        let is_small = p.fless(a, limit);
        let magnitude = p.select(is_small, small, big);
        let sign = p.and(x, sign_bit);
        p.or(magnitude, sign)
    })
}

/// Where an operand that broadcasts is read, axis by axis from the last.
pub(super) struct Spread {
    input: Reg,
    rank: Reg,
    /// Flat index so far.
    pub(super) at: Reg,
    stride: Reg,
}

impl Spread {
    /// `input` read from `at`; `stride` elements lie between neighbours along the first axis to come.
    pub(super) fn new(p: &mut Asm, input: Reg, at: Reg, stride: Reg) -> Spread {
        let rank = p.rank(input);
        Spread {
            input,
            rank,
            at,
            stride,
        }
    }

    /// Extent of the axis that is `from_last` before the end (1 is the last); 1 where there is none.
    fn extent(&self, p: &mut Asm, from_last: Reg) -> Reg {
        // an axis before the first is a huge number, thus absent
        let axis = p.sub(self.rank, from_last);
        p.dim(self.input, axis, 0)
    }
}

/// One axis of NumPy broadcasting: takes the position along it off `rest`, a flat index of the output from
/// that axis on, and moves both operands.
pub(super) fn broadcast_axis(p: &mut Asm, operands: &[Spread; 2], from_last: Reg, rest: Reg) {
    let [left, right] = operands;
    let extents = [left.extent(p, from_last), right.extent(p, from_last)];
    let one = p.set(1);
    let is_one = p.equal(extents[0], one);
    let extent = p.select(is_one, extents[1], extents[0]);
    let i = p.rem(rest, extent);
    p.update(rest, Opcode::Div, extent);
    for (operand, own) in operands.iter().zip(extents) {
        // an extent of 1 takes every position to 0
        let step = p.rem(i, own);
        p.update(step, Opcode::Mul, operand.stride);
        p.update(operand.at, Opcode::Add, step);
        p.update(operand.stride, Opcode::Mul, own);
    }
}

/// An axis of the first input, seen from one element of the output: elements lie at `base + i * inner`.
pub(super) struct Axis {
    /// Extent.
    pub(super) len: Reg,
    /// Product of the extents behind the axis.
    pub(super) inner: Reg,
}

impl Axis {
    /// The axis named by attribute word 0.
    pub(super) fn of_attribute(p: &mut Asm) -> Axis {
        let axis = p.attribute(ZERO, 0);
        Axis::at(p, axis)
    }

    pub(super) fn at(p: &mut Asm, axis: Reg) -> Axis {
        let len = p.dim(ZERO, axis, 0);
        let inner = p.set(1);
        p.scope(|p| {
            let (rank, next) = (p.rank(ZERO), p.plus(axis, 1));
            p.for_each(next, rank, |p| {
                let extent = p.dim(ZERO, next, 0);
                p.update(inner, Opcode::Mul, extent);
            });
        });
        Axis { len, inner }
    }

    /// Element `i` along the axis from `base`.
    pub(super) fn load(&self, p: &mut Asm, base: Reg, i: Reg) -> Reg {
        p.value(|p| {
            let at = p.mul(i, self.inner);
            p.update(at, Opcode::Add, base);
            p.load(at, ZERO)
        })
    }
}

/// A window over the spatial axes of the first input `[N, C, H, W]`, attribute words 0..10, at the element's
/// place in the output `[N, C', OH, OW]`.
pub(super) struct Window {
    /// Kernel extents.
    pub(super) kernel: [Reg; 2],
    /// The output's plane: its number among all planes.
    pub(super) plane: Reg,
    /// Row and column of the first tap; below the first are huge numbers.
    origin: [Reg; 2],
    dilations: [Reg; 2],
    /// Extents of the input.
    extents: [Reg; 2],
    /// An index that no tensor has.
    nowhere: Reg,
}

impl Window {
    pub(super) fn new(p: &mut Asm) -> Window {
        let kernel = [p.attribute(ZERO, 0), p.attribute(ZERO, 1)];
        let dilations = [p.attribute(ZERO, 4), p.attribute(ZERO, 5)];
        let extents = [p.dim(ZERO, ZERO, 2), p.dim(ZERO, ZERO, 3)];
        let plane = p.copy(INDEX);
        let origin = [1, 0].map(|axis| {
            p.value(|p| {
                let extent = p.out_dim(ZERO, 2 + axis);
                let first = p.rem(plane, extent);
                p.update(plane, Opcode::Div, extent);
                let (stride, pad) = (p.attribute(ZERO, 2 + axis), p.attribute(ZERO, 6 + axis));
                p.update(first, Opcode::Mul, stride);
                p.sub(first, pad)
            })
        });
        let one = p.set(1);
        let nowhere = p.sub(ZERO, one);
        Window {
            kernel,
            plane,
            origin: [origin[1], origin[0]],
            dilations,
            extents,
            nowhere,
        }
    }

    /// Tap `(ky, kx)` in `plane` of the input: its flat index, or one that no tensor has; and whether it is there.
    pub(super) fn tap(&self, p: &mut Asm, plane: Reg, taps: [Reg; 2]) -> (Reg, Reg) {
        let [y, x] = [0, 1].map(|axis| {
            let at = p.mul(taps[axis], self.dilations[axis]);
            p.update(at, Opcode::Add, self.origin[axis]);
            at
        });
        let inside = p.less(y, self.extents[0]);
        let in_row = p.less(x, self.extents[1]);
        p.update(inside, Opcode::And, in_row);
        let at = p.mul(plane, self.extents[0]);
        p.update(at, Opcode::Add, y);
        p.update(at, Opcode::Mul, self.extents[1]);
        p.update(at, Opcode::Add, x);
        p.select_to(at, inside, at, self.nowhere);
        (at, inside)
    }

    /// `body(value at the tap, whether it is there)` for every tap in the order `(ky, kx)`; padding loads +0.
    pub(super) fn each(&self, p: &mut Asm, body: impl FnOnce(&mut Asm, Reg, Reg)) {
        let ky = p.set(0);
        p.for_each(ky, self.kernel[0], |p| {
            let kx = p.set(0);
            p.for_each(kx, self.kernel[1], |p| {
                let (at, inside) = self.tap(p, self.plane, [ky, kx]);
                let value = p.load(at, ZERO);
                body(p, value, inside);
            });
        });
    }
}
