//! Rows of weights in the formats of `spec/numerics.md`, "Weight formats", read byte by byte.

use super::Opcode;
use super::asm::{Asm, Reg, ZERO};
use crate::WeightFormat;
use crate::blocks::ACTIVATION_BLOCK;

/// An input of bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub(super) Reg);

impl Bytes {
    /// Byte `at + n`.
    pub(super) fn byte(self, p: &mut Asm, at: Reg, n: u32) -> Reg {
        let d = p.plus(at, n);
        p.to(d, Opcode::Load, d, self.0);
        d
    }

    /// Signed byte `at + n` as an integer.
    pub(super) fn signed(self, p: &mut Asm, at: Reg, n: u32) -> Reg {
        let d = self.byte(p, at, n);
        p.sign_extend(d, 8);
        d
    }

    /// The little-endian number of so many bytes from `at + n`.
    fn number(self, p: &mut Asm, at: Reg, n: u32, bytes: u32) -> Reg {
        let d = p.set(0);
        p.scope(|p| {
            let (base, here) = (p.set(256), p.set(0));
            for byte in (0..bytes).rev() {
                p.assign_plus(here, at, n + byte);
                p.to(here, Opcode::Load, here, self.0);
                p.update(d, Opcode::Mul, base);
                p.update(d, Opcode::Add, here);
            }
        });
        d
    }

    /// f32 of the binary16 at `at + n`.
    pub(super) fn f16(self, p: &mut Asm, at: Reg, n: u32) -> Reg {
        let d = self.number(p, at, n, 2);
        p.convert(d, Opcode::F16ToF32);
        d
    }

    /// f32 of the bfloat16 at `at`.
    pub(super) fn bf16(self, p: &mut Asm, at: Reg) -> Reg {
        let d = self.number(p, at, 0, 2);
        p.convert(d, Opcode::Bf16ToF32);
        d
    }

    /// The f32 at `at`.
    pub(super) fn f32(self, p: &mut Asm, at: Reg) -> Reg {
        self.number(p, at, 0, 4)
    }
}

/// 32 neighbouring values of a row in a quantised format.
pub(super) struct Group {
    pub(super) format: WeightFormat,
    input: Bytes,
    /// First byte of the block.
    block: Reg,
    /// Which 32 values of the block.
    number: Reg,
    /// Byte from which the (low) bits of the 32 values are read, and the power of two that they are shifted by.
    low: (Reg, Reg),
    /// The same for two high bits.
    high: (Reg, Reg),
}

impl Group {
    /// The group `group` of the row that starts at `row`.
    pub(super) fn new(
        p: &mut Asm,
        format: WeightFormat,
        input: Bytes,
        row: Reg,
        group: Reg,
    ) -> Group {
        let per_block = (format.block_values() / ACTIVATION_BLOCK) as u32;
        let (block, number) = (p.set(per_block), p.set(per_block));
        p.to(number, Opcode::Mod, group, number);
        p.to(block, Opcode::Div, group, block);
        p.scope(|p| {
            let bytes = p.set(format.block_bytes() as u32);
            p.update(block, Opcode::Mul, bytes);
        });
        p.update(block, Opcode::Add, row);
        let mut found = Group {
            format,
            input,
            block,
            number,
            low: (block, ZERO),
            high: (block, ZERO),
        };
        match format {
            WeightFormat::Q4_K => {
                let (at, odd) = found.split(p, 2);
                let shift = nibble_shift(p, odd);
                times_32(p, at);
                p.update(at, Opcode::Add, block);
                p.assign_plus(at, at, 16);
                found.low = (at, shift);
            }
            WeightFormat::Q6_K => {
                let (half, quarter) = found.split(p, 4);
                let upper = p.div_by(quarter, 2);
                let shift = nibble_shift(p, upper);
                times_32(p, half);
                let low = p.add(half, half);
                p.update(low, Opcode::Add, block);
                let odd = p.rem_by(quarter, 2);
                times_32(p, odd);
                p.update(low, Opcode::Add, odd);
                // 4^quarter: 1 or 4 by the low bit, 1 or 16 by the high one
                p.scope(|p| {
                    let (one, four) = (p.set(1), p.set(4));
                    p.select_to(quarter, odd, four, one);
                    p.update(quarter, Opcode::Mul, shift);
                });
                p.update(half, Opcode::Add, block);
                p.assign_plus(half, half, 128);
                found.low = (low, shift);
                found.high = (half, quarter);
            }
            _ => {}
        }
        found
    }

    /// Quotient and remainder of the group's number by `n`.
    fn split(&self, p: &mut Asm, n: u32) -> (Reg, Reg) {
        (p.div_by(self.number, n), p.rem_by(self.number, n))
    }

    /// The whole number stored for value `l` of the group.
    pub(super) fn whole(&self, p: &mut Asm, l: Reg) -> Reg {
        let d = p.set(0);
        p.scope(|p| {
            let bytes = self.input;
            match self.format {
                WeightFormat::Q4_0 => {
                    let at = p.rem_by(l, 16);
                    p.update(at, Opcode::Add, self.block);
                    let byte = bytes.byte(p, at, 2);
                    let upper = p.div_by(l, 16);
                    let shift = nibble_shift(p, upper);
                    p.update(byte, Opcode::Div, shift);
                    let (sixteen, offset) = (p.set(16), p.set(8));
                    p.to(d, Opcode::Mod, byte, sixteen);
                    p.update(d, Opcode::Sub, offset);
                }
                WeightFormat::Q4_K | WeightFormat::Q6_K => {
                    let low = p.add(self.low.0, l);
                    p.to(low, Opcode::Load, low, bytes.0);
                    p.update(low, Opcode::Div, self.low.1);
                    let sixteen = p.set(16);
                    p.to(d, Opcode::Mod, low, sixteen);
                    if self.format == WeightFormat::Q6_K {
                        let high = p.add(self.high.0, l);
                        p.to(high, Opcode::Load, high, bytes.0);
                        p.update(high, Opcode::Div, self.high.1);
                        let (four, offset) = (p.set(4), p.set(32));
                        p.update(high, Opcode::Mod, four);
                        p.update(high, Opcode::Mul, sixteen);
                        p.update(d, Opcode::Add, high);
                        p.update(d, Opcode::Sub, offset);
                    }
                }
                _ => {
                    p.to(d, Opcode::Add, self.block, l);
                    p.assign_plus(d, d, 2);
                    p.to(d, Opcode::Load, d, bytes.0);
                    p.sign_extend(d, 8);
                }
            }
        });
        d
    }

    /// The block's scale.
    pub(super) fn scale(&self, p: &mut Asm) -> Reg {
        let at = if self.format == WeightFormat::Q6_K {
            208
        } else {
            0
        };
        self.input.f16(p, self.block, at)
    }

    /// Q6_K: the scale of the 16 values of this number in the group, an integer.
    pub(super) fn small_scale(&self, p: &mut Asm, sixteen: Reg) -> Reg {
        let at = p.add(self.number, self.number);
        p.update(at, Opcode::Add, sixteen);
        p.update(at, Opcode::Add, self.block);
        self.input.signed(p, at, 192)
    }

    /// Q4_K: scale and minimum of the group, each times the block's.
    pub(super) fn scale_and_minimum(&self, p: &mut Asm) -> (Reg, Reg) {
        let scale = self.scale(p);
        let minimum = self.input.f16(p, self.block, 2);
        p.scope(|p| {
            let at = p.add(self.block, self.number);
            let [a, b, c] = [0, 4, 8].map(|n| self.input.byte(p, at, n));
            let (sixteen, sixty_four) = (p.set(16), p.set(64));
            // from the fourth on: four bits of byte 8 + j, above them the two high bits of the bytes before
            let joined = |p: &mut Asm, low: Opcode, high: Reg| {
                let d = p.div(high, sixty_four);
                p.update(d, Opcode::Mul, sixteen);
                let bits = p.set(0);
                p.to(bits, low, c, sixteen);
                p.update(d, Opcode::Add, bits);
                d
            };
            let late_scale = joined(p, Opcode::Mod, a);
            let late_minimum = joined(p, Opcode::Div, b);
            p.update(b, Opcode::Mod, sixty_four);
            p.update(c, Opcode::Mod, sixty_four);
            let four = p.set(4);
            let early = p.less(self.number, four);
            for (product, early_bits, late) in [(scale, b, late_scale), (minimum, c, late_minimum)]
            {
                p.select_to(late, early, early_bits, late);
                p.convert(late, Opcode::ToF32);
                p.update(product, Opcode::FMul, late);
            }
        });
        (scale, minimum)
    }

    /// f32 of value `l` of the group.
    pub(super) fn value(&self, p: &mut Asm, l: Reg) -> Reg {
        p.value(|p| {
            let q = self.whole(p, l);
            p.convert(q, Opcode::SignedToF32);
            match self.format {
                WeightFormat::Q4_K => {
                    let (scale, minimum) = self.scale_and_minimum(p);
                    p.negate(minimum);
                    p.fma(scale, q, minimum)
                }
                WeightFormat::Q6_K => {
                    let scale = self.scale(p);
                    let sixteen = p.div_by(l, 16);
                    let small = self.small_scale(p, sixteen);
                    p.convert(small, Opcode::SignedToF32);
                    p.update(scale, Opcode::FMul, small);
                    p.fmul(scale, q)
                }
                _ => {
                    let scale = self.scale(p);
                    p.fmul(q, scale)
                }
            }
        })
    }
}

/// 16 if `upper`, else 1.
fn nibble_shift(p: &mut Asm, upper: Reg) -> Reg {
    p.value(|p| {
        let (one, sixteen) = (p.set(1), p.set(16));
        p.select(upper, sixteen, one)
    })
}

fn times_32(p: &mut Asm, at: Reg) {
    p.scope(|p| {
        let bytes = p.set(32);
        p.update(at, Opcode::Mul, bytes);
    });
}
