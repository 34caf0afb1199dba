//! ONNX operators that compute each element by itself, as element programs.

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{DType, Op};

use super::Value;
use super::functions as f;
use super::lower::Lowering;
use super::{integers, types};
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
    "SwiGLU",
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

/// Values of a node of this kind.
pub(super) fn lower(l: &mut Lowering<'_, '_>, op: &str) -> Result<Vec<Value>, ModelError> {
    let mut p = Program::new(l)?;
    let (word, dtype) = p.element(op)?;
    Ok(vec![p.finish(word, dtype)?])
}

/// The lesser or the larger of two numbers of one type.
pub(super) fn extreme(
    l: &mut Lowering<'_, '_>,
    a: &Value,
    b: &Value,
    least: bool,
) -> Result<Value, ModelError> {
    let dtype = l.dtype(a);
    if l.dtype(b) != dtype || dtype == DType::Bool {
        return Err(l.fail("its inputs must be numbers of one type"));
    }
    l.map(&[a.clone(), b.clone()], dtype, |p, x| {
        let (a, b) = (types::loaded(p, x[0], dtype), types::loaded(p, x[1], dtype));
        extreme_of(p, a, b, dtype, least)
    })
}

fn extreme_of(p: &mut Builder, a: Word, b: Word, dtype: DType, least: bool) -> Word {
    match (dtype, least) {
        (DType::F32, true) => p.fmin(a, b),
        (DType::F32, false) => p.fmax(a, b),
        _ => {
            let (low, high) = if least { (b, a) } else { (a, b) };
            let mut better = types::less(p, low, high, dtype);
            if dtype == DType::F64 {
                // as of f32: a NaN of either stays
                let nan = types::double_is_nan(p, b);
                better = p.or(better, nan);
            }
            p.select(better, b, a)
        }
    }
}

impl<'l, 'a, 'b> Program<'l, 'a, 'b> {
    fn new(lowering: &'l mut Lowering<'a, 'b>) -> Result<Self, ModelError> {
        let mut code = Builder::new();
        let mut inputs = Vec::new();
        for i in 0..lowering.inputs.len() {
            let dtype = lowering.ty(i)?.dtype;
            let word = code.load(i as u8);
            let word = types::loaded(&mut code, word, dtype);
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

    /// Numbers that are computed with.
    fn numbers(&self, dtype: DType) -> Result<(), ModelError> {
        match dtype {
            DType::F32 => Ok(()),
            dtype if types::is_integer(dtype) => Ok(()),
            found => Err(self.fail(format!("it takes numbers, and not {found:?}"))),
        }
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
            (words, dtype) if types::is_integer(dtype) => Ok((words, dtype)),
            (_, found) => Err(self.fail(format!("it takes integers, found {found:?}"))),
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
            "SwiGLU" => {
                let [a, b] = self.floats()?;
                let alpha = self.parameter("alpha", 1.0)?;
                let p = &mut self.code;
                let scaled = p.fmul(alpha, a);
                let gate = p.function(gavel_numerics::element::Extra::Sigmoid, scaled);
                let gated = p.fmul(a, gate);
                Ok((p.fmul(gated, b), DType::F32))
            }
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
            for dtype in [base.dtype, power.dtype] {
                self.numbers(dtype)?;
            }
            let p = &mut self.code;
            if !base.is_float() && !power.is_float() {
                return Ok((integers::power(p, base.word, power.word), base.dtype));
            }
            let [x, y] = [base, power].map(|t| types::converted(p, t.word, t.dtype, DType::F32));
            let found = f::pow(p, x, y);
            let found = types::converted(p, found, DType::F32, base.dtype);
            return Ok((found, base.dtype));
        }
        let ([a, b], dtype) = self.alike()?;
        self.numbers(dtype)?;
        let fmod = op == "Mod" && self.lowering.attributes.flag("fmod", false)?;
        let p = &mut self.code;
        let word = match (op, dtype) {
            ("Mod", DType::F32) if fmod => f::remainder(p, a, b),
            ("Mod", DType::F32) => f::modulo(p, a, b),
            ("Add", DType::F32) => p.fadd(a, b),
            ("Sub", DType::F32) => p.fsub(a, b),
            ("Mul", DType::F32) => p.fmul(a, b),
            ("Div", DType::F32) => p.fdiv(a, b),
            ("Add", _) => p.add(a, b),
            ("Sub", _) => p.sub(a, b),
            ("Mul", _) => p.mul(a, b),
            ("Div", DType::U64) => p.div(a, b),
            (_, DType::U64) => p.rem(a, b),
            ("Div", _) => integers::quotient(p, a, b).0,
            _ => integers::remainder(p, a, b, fmod),
        };
        Ok((word, dtype))
    }

    fn many(&mut self, op: &str) -> Result<(Word, DType), ModelError> {
        let inputs = self.inputs.clone();
        let Some(&first) = inputs.first() else {
            return Err(self.fail("it has no input"));
        };
        if inputs.iter().any(|i| i.dtype != first.dtype) {
            return Err(self.fail("its inputs must have one element type"));
        }
        if first.dtype != DType::F64 || ["Sum", "Mean"].contains(&op) {
            self.numbers(first.dtype)?;
        }
        if !first.is_float() && ["Sum", "Mean"].contains(&op) {
            return Err(self.fail(format!("it takes floats, found {:?}", first.dtype)));
        }
        let p = &mut self.code;
        let mut found = first.word;
        for input in &inputs[1..] {
            let x = input.word;
            found = match op {
                "Min" | "Max" => extreme_of(p, found, x, first.dtype, op == "Min"),
                _ => p.fadd(found, x),
            };
        }
        if op == "Mean" {
            let count = p.float(inputs.len() as f32);
            found = p.fdiv(found, count);
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
        self.numbers(dtype)?;
        let p = &mut self.code;
        let zero = p.number(0);
        let negative = match types::is_unsigned(dtype) {
            true => zero,
            false => types::signed_less(p, x, zero),
        };
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
                Ok(types::equal(&mut self.code, a, b, dtype))
            }
            _ => {
                let ([a, b], dtype) = self.alike()?;
                let (a, b) = if op.starts_with("Less") {
                    (a, b)
                } else {
                    (b, a)
                };
                let less = types::less(&mut self.code, a, b, dtype);
                if !op.ends_with("OrEqual") {
                    return Ok(less);
                }
                let same = types::equal(&mut self.code, a, b, dtype);
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
            let left = match self.lowering.attributes.text("direction")?.as_deref() {
                Some("LEFT") => true,
                Some("RIGHT") => false,
                _ => return Err(self.fail("direction must be LEFT or RIGHT")),
            };
            return Ok((integers::shifted(&mut self.code, a, b, dtype, left), dtype));
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
        Ok((
            types::converted(&mut self.code, from.word, from.dtype, to),
            to,
        ))
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
