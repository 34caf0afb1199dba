//! Element programs: what [`Op::Map`](crate::Op::Map) computes for each element of its output, as a list of words.
//!
//! A word is an instruction of 8 bytes, as [`crate::program`] encodes them, read as a big-endian number. It names *slots*, of
//! which there are 32, in place of registers. There are no jumps; each instruction writes a slot, and the element is what the last
//! one writes (`spec/numerics.md`, section "Element programs").

use crate::NumericsError;
use crate::program::Opcode;

/// Slots.
pub const SLOTS: usize = 32;
/// Most words of a program.
pub const MAX_WORDS: usize = 256;

/// What an instruction does beside the machine's own opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Extra {
    /// `d = imm`
    Constant = 0x50,
    /// `d = e^a` (N-20)
    Exp = 0x60,
    /// `d = log(a)` (N-30)
    Log = 0x61,
    /// `d` = the logistic function of `a` (N-21)
    Sigmoid = 0x62,
    /// `d = tanh(a)` (N-22)
    Tanh = 0x63,
}

impl Extra {
    /// All of them.
    pub const ALL: [Extra; 5] = [
        Extra::Constant,
        Extra::Exp,
        Extra::Log,
        Extra::Sigmoid,
        Extra::Tanh,
    ];
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// As the machine does it: between [`Opcode::Add`] and [`Opcode::SignExtend`], between [`Opcode::FAdd`] and
    /// [`Opcode::F32ToBf16`]. [`Opcode::Load`] reads the element of input `b` that broadcasts to the output's.
    Machine(Opcode),
    /// Something of its own.
    Extra(Extra),
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// Slot that it writes.
    pub d: u8,
    /// First operand.
    pub a: u8,
    /// Second operand, or the input that is loaded.
    pub b: u8,
    /// A number, or a third operand.
    pub immediate: u32,
}

impl Step {
    /// Its word.
    pub fn encode(self) -> u64 {
        let code = match self.action {
            Action::Machine(opcode) => opcode as u8,
            Action::Extra(extra) => extra as u8,
        };
        let [i0, i1, i2, i3] = self.immediate.to_be_bytes();
        u64::from_be_bytes([code, self.d, self.a, self.b, i0, i1, i2, i3])
    }

    /// The instruction with this word, if it is one on so many inputs.
    pub fn decode(word: u64, inputs: usize) -> Option<Step> {
        let [code, d, a, b, i0, i1, i2, i3] = word.to_be_bytes();
        let action = match Extra::ALL.iter().find(|&&extra| extra as u8 == code) {
            Some(&extra) => Action::Extra(extra),
            None => Action::Machine(Opcode::from_byte(code)?),
        };
        let immediate = u32::from_be_bytes([i0, i1, i2, i3]);
        let step = Step {
            action,
            d,
            a,
            b,
            immediate,
        };
        let slot = |n: u8| usize::from(n) < SLOTS;
        let fits = match step.operands() {
            Operands::None => a == 0 && b == 0,
            Operands::Input => a == 0 && usize::from(b) < inputs && immediate == 0,
            Operands::One => slot(a) && b == 0 && immediate == 0,
            Operands::Bits => slot(a) && b == 0 && [8, 16, 32].contains(&immediate),
            Operands::Two => slot(a) && slot(b) && immediate == 0,
            Operands::TwoAndNumber => slot(a) && slot(b),
            Operands::Three => slot(a) && slot(b) && (immediate as usize) < SLOTS,
            Operands::Absent => false,
        };
        (slot(d) && fits).then_some(step)
    }

    /// Which of its fields mean something.
    pub fn operands(&self) -> Operands {
        use Opcode as O;
        match self.action {
            Action::Extra(Extra::Constant) => Operands::None,
            Action::Extra(_) => Operands::One,
            Action::Machine(opcode) => match opcode {
                O::Add => Operands::TwoAndNumber,
                O::Sub | O::Mul | O::Div | O::Mod | O::And | O::Or | O::Less | O::Equal => {
                    Operands::Two
                }
                O::Select | O::Fma => Operands::Three,
                O::SignExtend => Operands::Bits,
                O::FAdd | O::FSub | O::FMul | O::FDiv | O::FMax | O::FMin | O::FLess => {
                    Operands::Two
                }
                O::FSqrt
                | O::ToF32
                | O::SignedToF32
                | O::F32ToInt
                | O::F16ToF32
                | O::Bf16ToF32
                | O::F32ToF16
                | O::F32ToBf16 => Operands::One,
                O::Load => Operands::Input,
                _ => Operands::Absent,
            },
        }
    }
}

/// Fields that mean something; the others are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// The number alone.
    None,
    /// An input in place of `b`.
    Input,
    /// `a`
    One,
    /// `a`, and 8, 16 or 32 bits.
    Bits,
    /// `a` and `b`
    Two,
    /// `a`, `b` and a number.
    TwoAndNumber,
    /// `a`, `b` and a third slot.
    Three,
    /// It is no instruction of element programs.
    Absent,
}

/// The instructions of a program on so many inputs.
///
/// # Errors
/// [`NumericsError::Malformed`] with the first word that is no instruction, or a number of words that no program has.
pub fn decode(words: &[u64], inputs: usize) -> Result<Vec<Step>, NumericsError> {
    let malformed = |at: usize, reason: String| NumericsError::Malformed { at, reason };
    if words.is_empty() || words.len() > MAX_WORDS {
        let reason = format!(
            "an element program has 1 to {MAX_WORDS} words, found {}",
            words.len()
        );
        return Err(malformed(0, reason));
    }
    let steps = words.iter().enumerate().map(|(at, &word)| {
        Step::decode(word, inputs).ok_or_else(|| {
            malformed(
                at,
                format!("{word:#018x} is no instruction on {inputs} inputs"),
            )
        })
    });
    steps.collect()
}

/// Element operations of a program: 16 for each function, 1 for every other word.
pub(crate) fn work(words: &[u64]) -> u64 {
    let of = |word: &u64| match word >> 60 {
        6 => 16,
        _ => 1,
    };
    words.iter().map(of).sum()
}

/// A value of a program that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value(u16);

/// Writes element programs: values in place of slots, and what nobody reads left out.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    steps: Vec<(Action, [Option<Value>; 3], u8, u32)>,
}

macro_rules! machine {
    ($($(#[$doc:meta])* $name:ident($($operand:ident),*) = $opcode:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&mut self, $($operand: Value),*) -> Value {
                let mut operands = [None; 3];
                for (to, from) in operands.iter_mut().zip([$($operand),*]) {
                    *to = Some(from);
                }
                self.push(Action::Machine(Opcode::$opcode), operands, 0, 0)
            }
        )*
    };
}

impl Builder {
    /// A program without instructions.
    pub fn new() -> Builder {
        Builder::default()
    }

    fn push(
        &mut self,
        action: Action,
        operands: [Option<Value>; 3],
        input: u8,
        number: u32,
    ) -> Value {
        let step = (action, operands, input, number);
        // programs are short: what has been computed is found by looking
        let known = self.steps.iter().position(|s| *s == step);
        let at = known.unwrap_or_else(|| {
            self.steps.push(step);
            self.steps.len() - 1
        });
        Value(u16::try_from(at).unwrap_or(u16::MAX))
    }

    /// The element of an input.
    pub fn load(&mut self, input: u8) -> Value {
        self.push(Action::Machine(Opcode::Load), [None; 3], input, 0)
    }

    /// A number below 2^32.
    pub fn number(&mut self, number: u32) -> Value {
        self.push(Action::Extra(Extra::Constant), [None; 3], 0, number)
    }

    /// A number.
    pub fn wide(&mut self, number: u64) -> Value {
        let low = self.number(number as u32);
        if number >> 32 == 0 {
            return low;
        }
        let (high, half) = (self.number((number >> 32) as u32), self.number(1 << 16));
        let shifted = self.mul(high, half);
        let shifted = self.mul(shifted, half);
        self.add(shifted, low)
    }

    /// An f32.
    pub fn float(&mut self, x: f32) -> Value {
        self.number(crate::scalar::canonical(x).to_bits())
    }

    /// A function of N-20 to N-30.
    pub fn function(&mut self, function: Extra, x: Value) -> Value {
        self.push(Action::Extra(function), [Some(x), None, None], 0, 0)
    }

    /// `c[0] + x * (c[1] + x * (...))` by Horner's rule, each step one [`Builder::fma`]; coefficients as bits of f32.
    pub fn horner(&mut self, x: Value, coefficients: &[u32]) -> Value {
        let mut from_highest = coefficients.iter().rev();
        let mut sum = self.number(from_highest.next().copied().unwrap_or(0));
        for &c in from_highest {
            let c = self.number(c);
            sum = self.fma(sum, x, c);
        }
        sum
    }

    /// The low `bits` (8, 16 or 32) of a word, their sign extended.
    pub fn sign_extend(&mut self, x: Value, bits: u32) -> Value {
        let operands = [Some(x), None, None];
        self.push(Action::Machine(Opcode::SignExtend), operands, 0, bits)
    }

    machine! {
        /// `a + b` modulo 2^64
        add(a, b) = Add;
        /// `a - b` modulo 2^64
        sub(a, b) = Sub;
        /// `a * b` modulo 2^64
        mul(a, b) = Mul;
        /// `a / b`, unsigned, 0 where `b` is 0
        div(a, b) = Div;
        /// `a mod b`, unsigned, 0 where `b` is 0
        rem(a, b) = Mod;
        /// Bits of both.
        and(a, b) = And;
        /// Bits of either.
        or(a, b) = Or;
        /// 1 where `a < b`, unsigned
        less(a, b) = Less;
        /// 1 where they are the same word
        equal(a, b) = Equal;
        /// `condition != 0 ? yes : no`
        select(condition, yes, no) = Select;
        /// `a + b`
        fadd(a, b) = FAdd;
        /// `a - b`
        fsub(a, b) = FSub;
        /// `a * b`
        fmul(a, b) = FMul;
        /// `a / b`
        fdiv(a, b) = FDiv;
        /// N-4
        fmax(a, b) = FMax;
        /// N-5
        fmin(a, b) = FMin;
        /// 1 where `a < b` (N-3)
        fless(a, b) = FLess;
        /// `a * b + c`, rounded once
        fma(a, b, c) = Fma;
        /// The square root.
        fsqrt(a) = FSqrt;
        /// A signed integer as f32 (N-24).
        signed_to_f32(a) = SignedToF32;
        /// The nearest integer (N-29).
        f32_to_int(a) = F32ToInt;
        /// An unsigned integer as f32 (N-17).
        to_f32(a) = ToF32;
        /// The binary16 of the low 16 bits (N-25).
        f16_to_f32(a) = F16ToF32;
        /// The bfloat16 of the low 16 bits (N-26).
        bf16_to_f32(a) = Bf16ToF32;
        /// The nearest binary16 (N-27).
        f32_to_f16(a) = F32ToF16;
        /// The nearest bfloat16 (N-28).
        f32_to_bf16(a) = F32ToBf16;
    }

    /// The words of the program whose element is `result`.
    ///
    /// # Errors
    /// [`NumericsError::Malformed`]: it needs more than [`MAX_WORDS`] words, or more than [`SLOTS`] values at a time.
    pub fn finish(&self, result: Value) -> Result<Vec<u64>, NumericsError> {
        let too_large = |what: &str| NumericsError::Malformed {
            at: self.steps.len(),
            reason: format!("an element program with {what}"),
        };
        let end = usize::from(result.0) + 1;
        if end > self.steps.len() {
            return Err(too_large("a value of another one"));
        }
        // the place behind which nobody reads a value; none where nobody reads it at all
        let mut last_read = vec![None; end];
        last_read[end - 1] = Some(end);
        for at in (0..end).rev() {
            if last_read[at].is_some() {
                for operand in self.steps[at].1.iter().flatten() {
                    last_read[usize::from(operand.0)].get_or_insert(at);
                }
            }
        }
        let mut free: Vec<u8> = (0..SLOTS as u8).rev().collect();
        let mut slots = vec![0u8; end];
        let mut words = Vec::new();
        for at in (0..end).filter(|&at| last_read[at].is_some()) {
            let (action, operands, input, number) = self.steps[at];
            let slot = |operand: Option<Value>| operand.map_or(0, |v| slots[usize::from(v.0)]);
            let [a, b, c] = operands.map(slot);
            let mut dying: Vec<Value> = operands.into_iter().flatten().collect();
            dying.sort_by_key(|v| v.0);
            dying.dedup();
            for value in dying {
                if last_read[usize::from(value.0)] == Some(at) {
                    free.push(slots[usize::from(value.0)]);
                }
            }
            let d = free
                .pop()
                .ok_or_else(|| too_large("too many values at a time"))?;
            slots[at] = d;
            let step = Step {
                action,
                d,
                a,
                b: if operands[1].is_some() { b } else { input },
                immediate: if operands[2].is_some() {
                    c.into()
                } else {
                    number
                },
            };
            words.push(step.encode());
        }
        if words.len() > MAX_WORDS {
            return Err(too_large("too many words"));
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_and_nothing_else_is() {
        let mut p = Builder::new();
        let (x, y) = (p.load(0), p.load(1));
        let sum = p.fadd(x, y);
        let z = p.function(Extra::Exp, sum);
        let words = p.finish(z).unwrap();
        let steps = decode(&words, 2).unwrap();
        assert_eq!(steps.len(), 4);
        let again: Vec<u64> = steps.iter().map(|s| s.encode()).collect();
        assert_eq!(again, words);
        assert!(decode(&words, 1).is_err());
        assert!(decode(&[], 1).is_err());
        for bit in 0..64 {
            // a bit more or less: another instruction, which is read back as itself, or none
            let changed = words[2] ^ 1 << bit;
            if let Some(step) = Step::decode(changed, 2) {
                assert_eq!(step.encode(), changed);
            }
        }
        // jumps and what reads the outside are no instructions of element programs
        for opcode in [
            Opcode::End,
            Opcode::Jump,
            Opcode::JumpLess,
            Opcode::Get,
            Opcode::Put,
            Opcode::Dim,
            Opcode::Attribute,
        ] {
            let step = Step {
                action: Action::Machine(opcode),
                d: 0,
                a: 0,
                b: 0,
                immediate: 0,
            };
            assert_eq!(Step::decode(step.encode(), 1), None);
        }
    }

    #[test]
    fn values_share_slots_and_those_nobody_reads_take_none() {
        let mut p = Builder::new();
        let x = p.load(0);
        let unread = p.function(Extra::Log, x);
        let mut sum = x;
        for i in 0..100u32 {
            let n = p.float(i as f32);
            sum = p.fadd(sum, n);
        }
        let words = p.finish(sum).unwrap();
        assert_eq!(words.len(), 201);
        let _ = unread;
        let most = decode(&words, 1).unwrap().iter().map(|s| s.d).max();
        assert!(most < Some(4), "{most:?}");
        assert_eq!(p.load(0), x);
    }

    #[test]
    fn programs_that_do_not_fit_are_refused() {
        let mut p = Builder::new();
        let values: Vec<Value> = (0..40).map(|i| p.number(i)).collect();
        let sum = values.iter().copied().reduce(|a, b| p.add(a, b)).unwrap();
        // constants first, sums behind: 40 values at a time
        assert!(p.finish(sum).is_err());
        let mut p = Builder::new();
        let mut x = p.load(0);
        for i in 0..200 {
            let n = p.number(i);
            x = p.mul(x, n);
        }
        assert!(p.finish(x).is_err());
        assert!(Builder::new().finish(x).is_err());
    }
}
