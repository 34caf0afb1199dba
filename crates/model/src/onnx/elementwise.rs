//! ONNX operators that compute each element by itself, as element programs.

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{DType, Op};

use super::Value;
use super::functions as f;
use super::lower::Lowering;
use crate::ModelError;

/// What this module maps.
pub(super) const SUPPORTED: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "And",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitShift",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Equal",
    "Erf",
    "Floor",
    "Gelu",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "PRelu",
    "Reciprocal",
    "Round",
    "Selu",
    "Shrink",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sum",
    "Swish",
    "Tan",
    "ThresholdedRelu",
    "Where",
    "Xor",
];

/// A word with what it stands for.
#[derive(Clone, Copy)]
struct Typed {
    word: Word,
    dtype: DType,
}

impl Typed {
    fn is_float(self) -> bool {
        self.dtype == DType::F32
    }
}

/// A program on the inputs of a node.
pub(super) struct Program<'l, 'a, 'b> {
    pub(super) lowering: &'l mut Lowering<'a, 'b>,
    pub(super) code: Builder,
    inputs: Vec<Typed>,
    /// Inputs that the element is made of; one behind them only says of which type it is.
    count: usize,
}

/// The value of a node of this kind; `None` where it is another kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Option<Value>, ModelError> {
    if !SUPPORTED.contains(&op) && !["Add", "Sub", "Mul", "Div"].contains(&op) {
        return Ok(None);
    }
    let mut p = Program::new(l)?;
    let (word, dtype) = p.element(op)?;
    p.finish(word, dtype).map(Some)
}

impl<'l, 'a, 'b> Program<'l, 'a, 'b> {
    fn new(lowering: &'l mut Lowering<'a, 'b>) -> Result<Self, ModelError> {
        let mut code = Builder::new();
        let mut inputs = Vec::new();
        for i in 0..lowering.inputs.len() {
            let dtype = lowering.ty(i)?.dtype;
            let word = code.load(i as u8);
            let word = match dtype {
                DType::I32 => code.sign_extend(word, 32),
                DType::I8 => code.sign_extend(word, 8),
                DType::F32 | DType::I64 | DType::U8 | DType::Bool => word,
            };
            inputs.push(Typed { word, dtype });
        }
        let count = inputs.len();
        Ok(Program {
            lowering,
            code,
            inputs,
            count,
        })
    }

    fn finish(self, word: Word, dtype: DType) -> Result<Value, ModelError> {
        let code = self.code.finish(word);
        let code = code.map_err(|e| self.lowering.fail(e.to_string()))?;
        let name = self.lowering.label.to_owned();
        self.lowering
            .apply_to(self.count, Op::Map { dtype, code }, name)
    }

    pub(super) fn fail(&self, reason: impl Into<String>) -> ModelError {
        self.lowering.fail(reason)
    }

    /// The operands of an operator of so many; all of one type.
    fn alike<const N: usize>(&self) -> Result<([Word; N], DType), ModelError> {
        let inputs = <[Typed; N]>::try_from(self.inputs.as_slice())
            .map_err(|_| self.fail(format!("it takes {N} inputs, found {}", self.inputs.len())))?;
        let dtype = inputs.first().map_or(DType::F32, |i| i.dtype);
        if inputs.iter().any(|i| i.dtype != dtype) {
            return Err(self.fail("its inputs must have one element type"));
        }
        Ok((inputs.map(|i| i.word), dtype))
    }

    pub(super) fn floats<const N: usize>(&self) -> Result<[Word; N], ModelError> {
        match self.alike()? {
            (words, DType::F32) => Ok(words),
            (_, found) => Err(self.fail(format!("it takes float, found {found:?}"))),
        }
    }

    fn bools<const N: usize>(&self) -> Result<[Word; N], ModelError> {
        match self.alike()? {
            (words, DType::Bool) => Ok(words),
            (_, found) => Err(self.fail(format!("it takes bool, found {found:?}"))),
        }
    }

    fn integers<const N: usize>(&self) -> Result<([Word; N], DType), ModelError> {
        match self.alike()? {
            (_, DType::F32 | DType::Bool) => Err(self.fail("it takes integers")),
            found => Ok(found),
        }
    }

    pub(super) fn attribute(&self, name: &'static str, default: f32) -> Result<f32, ModelError> {
        self.lowering.attributes.float(name, default)
    }

    /// An attribute as a word.
    pub(super) fn parameter(
        &mut self,
        name: &'static str,
        default: f32,
    ) -> Result<Word, ModelError> {
        let value = self.attribute(name, default)?;
        Ok(self.code.float(value))
    }

    /// 1 where a signed integer is less than another.
    fn signed_less(&mut self, a: Word, b: Word) -> Word {
        let offset = self.code.wide(1 << 63);
        let (a, b) = (self.code.add(a, offset), self.code.add(b, offset));
        self.code.less(a, b)
    }

    fn less(&mut self, a: Word, b: Word, dtype: DType) -> Word {
        match dtype {
            DType::F32 => self.code.fless(a, b),
            _ => self.signed_less(a, b),
        }
    }

    fn equals(&mut self, a: Word, b: Word, dtype: DType) -> Word {
        match dtype {
            DType::F32 => f::equal(&mut self.code, a, b),
            _ => self.code.equal(a, b),
        }
    }

    /// What an element of the output is, and of which type.
    fn element(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        if let Some(function) = of_float(op) {
            let [x] = self.floats()?;
            return Ok((function(&mut self.code, x), DType::F32));
        }
        match op {
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" => self.arithmetic(op),
            "Min" | "Max" | "Sum" | "Mean" => self.many(op),
            "Abs" | "Neg" | "Sign" => self.signs(op),
            "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or"
            | "Xor" | "Not" | "IsInf" | "IsNaN" => Ok((self.condition(op)?, DType::Bool)),
            "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "BitwiseNot" | "BitShift" => self.bits(op),
            "Where" => self.choice(),
            "Cast" | "CastLike" => self.cast(op),
            _ => Ok((self.activation(op)?, DType::F32)),
        }
    }

    fn arithmetic(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        if op == "Pow" {
            let (base, power) = match self.inputs[..] {
                [base, power] => (base, power),
                _ => return Err(self.fail("it takes 2 inputs")),
            };
            if !base.is_float() && !power.is_float() {
                return Ok((self.integer_power(base.word, power.word), base.dtype));
            }
            let [x, y] = [base, power].map(|t| self.as_float(t));
            let found = f::pow(&mut self.code, x, y);
            return self.converted(found, DType::F32, base.dtype);
        }
        let ([a, b], dtype) = self.alike()?;
        let p = &mut self.code;
        let word = match (op, dtype) {
            (_, DType::Bool) => return Err(self.fail("it takes no bool")),
            ("Add", DType::F32) => p.fadd(a, b),
            ("Sub", DType::F32) => p.fsub(a, b),
            ("Mul", DType::F32) => p.fmul(a, b),
            ("Div", DType::F32) => p.fdiv(a, b),
            ("Add", _) => p.add(a, b),
            ("Sub", _) => p.sub(a, b),
            ("Mul", _) => p.mul(a, b),
            ("Div", _) => self.quotient(a, b).0,
            _ => return Ok((self.remainder(a, b, dtype)?, dtype)),
        };
        Ok((word, dtype))
    }

    /// `a^b` modulo 2^64 by squaring, over the low 32 bits of `b`; a power below 0 is no integer and gives what they give.
    fn integer_power(&mut self, a: Word, b: Word) -> Word {
        let p = &mut self.code;
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
    fn quotient(&mut self, a: Word, b: Word) -> (Word, Word) {
        let zero = self.code.number(0);
        let (a_negative, b_negative) = (self.signed_less(a, zero), self.signed_less(b, zero));
        let p = &mut self.code;
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

    fn remainder(&mut self, a: Word, b: Word, dtype: DType) -> Result<Word, ModelError> {
        let like_c = self.lowering.attributes.flag("fmod", false)?;
        if dtype == DType::F32 {
            // a division that is rounded once says nothing about the rest of a large quotient
            return Err(self.fail("remainders of floats are not supported"));
        }
        let (_, rest) = self.quotient(a, b);
        if like_c {
            return Ok(rest);
        }
        // with the second one's sign
        let zero = self.code.number(0);
        let (rest_negative, b_negative) = (self.signed_less(rest, zero), self.signed_less(b, zero));
        let p = &mut self.code;
        let same = p.equal(rest_negative, b_negative);
        let none = p.equal(rest, zero);
        let stays = p.or(same, none);
        let moved = p.add(rest, b);
        Ok(p.select(stays, rest, moved))
    }

    fn many(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        let inputs = self.inputs.clone();
        let Some(&first) = inputs.first() else {
            return Err(self.fail("it has no input"));
        };
        if inputs.iter().any(|i| i.dtype != first.dtype) {
            return Err(self.fail("its inputs must have one element type"));
        }
        if first.dtype == DType::Bool || !first.is_float() && ["Sum", "Mean"].contains(&op) {
            return Err(self.fail(format!("it takes numbers, found {:?}", first.dtype)));
        }
        let mut found = first.word;
        for input in &inputs[1..] {
            let x = input.word;
            found = match (op, first.is_float()) {
                ("Min", true) => self.code.fmin(found, x),
                ("Max", true) => self.code.fmax(found, x),
                ("Min", false) => {
                    let less = self.signed_less(x, found);
                    self.code.select(less, x, found)
                }
                ("Max", false) => {
                    let less = self.signed_less(found, x);
                    self.code.select(less, x, found)
                }
                _ => self.code.fadd(found, x),
            };
        }
        if op == "Mean" {
            let count = self.code.float(inputs.len() as f32);
            found = self.code.fdiv(found, count);
        }
        Ok((found, first.dtype))
    }

    fn signs(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        let ([x], dtype) = self.alike()?;
        if dtype == DType::F32 {
            let p = &mut self.code;
            let found = match op {
                "Abs" => f::abs(p, x),
                "Neg" => f::negate(p, x),
                _ => f::sign(p, x),
            };
            return Ok((found, dtype));
        }
        let zero = self.code.number(0);
        let negative = self.signed_less(x, zero);
        let p = &mut self.code;
        let minus = p.sub(zero, x);
        let found = match op {
            "Abs" => p.select(negative, minus, x),
            "Neg" => minus,
            _ => {
                let (one, minus_one) = (p.number(1), p.wide(u64::MAX));
                let is_zero = p.equal(x, zero);
                let found = p.select(negative, minus_one, one);
                p.select(is_zero, zero, found)
            }
        };
        Ok((found, dtype))
    }

    fn condition(&mut self, op: &str) -> Result<Word, ModelError> {
        match op {
            "And" | "Or" | "Xor" => {
                let [a, b] = self.bools()?;
                let p = &mut self.code;
                Ok(match op {
                    "And" => p.and(a, b),
                    "Or" => p.or(a, b),
                    _ => {
                        let same = p.equal(a, b);
                        f::not(p, same)
                    }
                })
            }
            "Not" => {
                let [a] = self.bools()?;
                Ok(f::not(&mut self.code, a))
            }
            "IsNaN" => {
                let [x] = self.floats()?;
                Ok(f::is_nan(&mut self.code, x))
            }
            "IsInf" => {
                let [x] = self.floats()?;
                let attributes = &self.lowering.attributes;
                let positive = attributes.flag("detect_positive", true)?;
                let negative = attributes.flag("detect_negative", true)?;
                let p = &mut self.code;
                let mut found = p.number(0);
                for (wanted, value) in [(positive, f32::INFINITY), (negative, f32::NEG_INFINITY)] {
                    if wanted {
                        let value = p.float(value);
                        let same = p.equal(x, value);
                        found = p.or(found, same);
                    }
                }
                Ok(found)
            }
            "Equal" => {
                let ([a, b], dtype) = self.alike()?;
                Ok(self.equals(a, b, dtype))
            }
            _ => {
                let ([a, b], dtype) = self.alike()?;
                let (a, b) = if op.starts_with("Less") {
                    (a, b)
                } else {
                    (b, a)
                };
                let less = self.less(a, b, dtype);
                if !op.ends_with("OrEqual") {
                    return Ok(less);
                }
                let same = self.equals(a, b, dtype);
                Ok(self.code.or(less, same))
            }
        }
    }

    fn bits(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        if op == "BitwiseNot" {
            let ([x], dtype) = self.integers()?;
            let minus_one = self.code.wide(u64::MAX);
            return Ok((self.code.sub(minus_one, x), dtype));
        }
        let ([a, b], dtype) = self.integers()?;
        if op == "BitShift" {
            return Ok((self.shifted(a, b, dtype)?, dtype));
        }
        let p = &mut self.code;
        let found = match op {
            "BitwiseAnd" => p.and(a, b),
            "BitwiseOr" => p.or(a, b),
            _ => {
                let (either, both) = (p.or(a, b), p.and(a, b));
                p.sub(either, both)
            }
        };
        Ok((found, dtype))
    }

    /// Of unsigned bytes, the only unsigned type that tensors have.
    fn shifted(&mut self, a: Word, b: Word, dtype: DType) -> Result<Word, ModelError> {
        if dtype != DType::U8 {
            return Err(self.fail("it takes unsigned integers"));
        }
        let left = match self.lowering.attributes.text("direction")?.as_deref() {
            Some("LEFT") => true,
            Some("RIGHT") => false,
            _ => return Err(self.fail("direction must be LEFT or RIGHT")),
        };
        let p = &mut self.code;
        // 2^b, by the bits of b; nothing is left of a byte shifted by 8 or more
        let mut factor = p.number(1);
        for (bit, square) in [(1, 2), (2, 4), (4, 16)] {
            let (bit, square, one) = (p.number(bit), p.number(square), p.number(1));
            let there = p.and(b, bit);
            let by = p.select(there, square, one);
            factor = p.mul(factor, by);
        }
        let found = if left {
            p.mul(a, factor)
        } else {
            p.div(a, factor)
        };
        let (eight, zero) = (p.number(8), p.number(0));
        let inside = p.less(b, eight);
        Ok(p.select(inside, found, zero))
    }

    fn choice(&mut self) -> Result<(Word, DType), ModelError> {
        match self.inputs[..] {
            [condition, yes, no] if condition.dtype == DType::Bool && yes.dtype == no.dtype => {
                let found = self.code.select(condition.word, yes.word, no.word);
                Ok((found, yes.dtype))
            }
            _ => Err(self.fail("it takes a bool and two inputs of one element type")),
        }
    }

    fn cast(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        let saturate = self.lowering.attributes.flag("saturate", true)?;
        let _ = self.lowering.attributes.text("round_mode")?;
        // of 8-bit floats only, which no tensor has
        let _ = saturate;
        let Some(&from) = self.inputs.first() else {
            return Err(self.fail("input 0 is missing"));
        };
        let to = if op == "CastLike" {
            match self.inputs.get(1) {
                Some(like) => {
                    self.count = 1;
                    like.dtype
                }
                None => return Err(self.fail("input 1 is missing")),
            }
        } else {
            let to = self.lowering.attributes.int("to", 0)?;
            let dtype = i32::try_from(to).ok().and_then(super::tensor::dtype);
            dtype.ok_or_else(|| self.fail(format!("element type {to} is not supported")))?
        };
        self.converted(from.word, from.dtype, to)
    }

    fn as_float(&mut self, value: Typed) -> Word {
        if value.is_float() {
            value.word
        } else {
            self.code.signed_to_f32(value.word)
        }
    }

    /// A word of one type as one of another.
    fn converted(
        &mut self,
        word: Word,
        from: DType,
        to: DType,
    ) -> Result<(Word, DType), ModelError> {
        let p = &mut self.code;
        let word = match (from, to) {
            (DType::F32, DType::F32) => word,
            (DType::F32, DType::Bool) => {
                let zero = p.float(0.0);
                let none = f::equal(p, word, zero);
                f::not(p, none)
            }
            (DType::F32, _) => {
                let whole = f::truncate(p, word);
                p.f32_to_int(whole)
            }
            (_, DType::F32) => p.signed_to_f32(word),
            (DType::Bool, DType::Bool) => word,
            (_, DType::Bool) => {
                let zero = p.number(0);
                let none = p.equal(word, zero);
                f::not(p, none)
            }
            // the low bytes
            _ => word,
        };
        Ok((word, to))
    }
}

/// Functions of one float, without attributes.
fn of_float(op: &str) -> Option<fn(&mut Builder, Word) -> Word> {
    Some(match op {
        "Acos" => f::acos,
        "Acosh" => f::acosh,
        "Asin" => f::asin,
        "Asinh" => f::asinh,
        "Atan" => f::atan,
        "Atanh" => f::atanh,
        "Ceil" => f::ceil,
        "Cos" => f::cos,
        "Cosh" => f::cosh,
        "Erf" => f::erf,
        "Floor" => f::floor,
        "Log" => f::log,
        "Round" => f::round,
        "Sin" => f::sin,
        "Sinh" => f::sinh,
        "Softplus" => f::softplus,
        "Tan" => f::tan,
        "Sqrt" => |p, x| p.fsqrt(x),
        "Reciprocal" => |p, x| {
            let one = p.float(1.0);
            p.fdiv(one, x)
        },
        "Softsign" => |p, x| {
            let (magnitude, one) = (f::abs(p, x), p.float(1.0));
            let below = p.fadd(magnitude, one);
            p.fdiv(x, below)
        },
        "Mish" => |p, x| {
            let softplus = f::softplus(p, x);
            let gate = p.function(gavel_numerics::element::Extra::Tanh, softplus);
            p.fmul(x, gate)
        },
        _ => return None,
    })
}
