//! Element programs: each instruction over a block of elements that the first cache holds, so that a chain of operators costs
//! one pass over memory.

use super::elementwise::{Add, Div, Exp, Mul, Sigmoid, Sub, Tanh};
use super::isa::Isa;
use super::lanes::{Map2, Operand, map1, map2};
use super::math;
use super::parallel::{Parallel, SharedOut, split};
use super::simd::{Kernel, Simd};
use super::spread::{Input, Kind};
use crate::convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f32_to_int, sign_extend};
use crate::element::{Action, Extra, Operands, SLOTS, Step, decode};
use crate::program::Opcode;
use crate::scalar::{canonical, log};
use crate::{DType, Data, NumericsError, Tensor, TensorType};

/// Elements of a block.
const BLOCK: usize = 256;
/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 13;

/// Words of a block.
type Narrow = Vec<u32>;
type Wide = Vec<u64>;

/// What `code` gives on inputs that broadcast to the shape of `ty`, which the shape program has found.
pub(super) fn map(
    isa: Isa,
    par: &dyn Parallel,
    code: &[u64],
    inputs: &[&Tensor],
    ty: TensorType,
) -> Result<Tensor, NumericsError> {
    let steps = decode(code, inputs.len())?;
    let len = ty.elements()?;
    let dims: Vec<usize> = ty.dims.iter().map(|&d| d as usize).collect();
    let inputs: Vec<Input<'_>> = inputs.iter().map(|t| Input::new(t, &dims)).collect();
    let job = |start, end| Part {
        steps: &steps,
        inputs: &inputs,
        start,
        end,
    };
    macro_rules! filled {
        ($value:expr) => {{
            let mut out = vec![Default::default(); len];
            let shared = SharedOut::new(&mut out);
            split(par, len, GRAIN, &|start, end| {
                // SAFETY: the parts of `split` are disjoint.
                let out = unsafe { shared.slice(start, end - start) };
                isa.run(Filled {
                    part: job(start, end),
                    out,
                    value: $value,
                });
            });
            out
        }};
    }
    match ty.dtype {
        DType::F32 => Tensor::f32(ty.dims, filled!(|bits| f32::from_bits(bits as u32))),
        DType::I64 => Tensor::i64(ty.dims, filled!(|bits: u64| bits.cast_signed())),
        DType::I32 => Tensor::i32(ty.dims, filled!(|bits| bits as u32 as i32)),
        DType::U8 => Tensor::u8(ty.dims, filled!(|bits| bits as u8)),
        DType::Bool => Tensor::from_le_bytes(ty, &filled!(|bits| bits as u8 & 1)),
        DType::I8 => Tensor::from_le_bytes(ty, &filled!(|bits| bits as u8)),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
            Tensor::from_data(ty, Data::Bits16(filled!(|bits| bits as u16)))
        }
        DType::U32 => Tensor::from_data(ty, Data::Bits32(filled!(|bits| bits as u32))),
        DType::U64 | DType::F64 => Tensor::from_data(ty, Data::Bits64(filled!(|bits| bits))),
    }
}

/// Consecutive elements of the output.
struct Part<'a> {
    steps: &'a [Step],
    inputs: &'a [Input<'a>],
    start: usize,
    end: usize,
}

struct Filled<'a, T, F> {
    part: Part<'a>,
    out: &'a mut [T],
    value: F,
}

impl<T, F: Fn(u64) -> T> Kernel for Filled<'_, T, F> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Filled { part, out, value } = self;
        let mut slots = Slots::new();
        let fresh = read_first(part.steps);
        for (at, out) in (part.start..part.end)
            .step_by(BLOCK)
            .zip(out.chunks_mut(BLOCK))
        {
            slots.clear(&fresh);
            let mut last = 0;
            for step in part.steps {
                slots.step(s, step, part.inputs, at, out.len());
                last = usize::from(step.d);
            }
            match slots.kinds[last] {
                Kind::Narrow => {
                    for (out, &word) in out.iter_mut().zip(slots.narrow[last].iter()) {
                        *out = value(word.into());
                    }
                }
                Kind::Wide => {
                    for (out, &word) in out.iter_mut().zip(slots.wide[last].iter()) {
                        *out = value(word);
                    }
                }
            }
        }
    }
}

/// Slots that a program reads before it writes them.
fn read_first(steps: &[Step]) -> Vec<usize> {
    let (mut written, mut found) = ([false; SLOTS], Vec::new());
    for step in steps {
        let third = step.immediate as u8;
        let read: &[u8] = match step.operands() {
            Operands::None | Operands::Input | Operands::Absent => &[],
            Operands::One | Operands::Bits => &[step.a],
            Operands::Two | Operands::TwoAndNumber => &[step.a, step.b],
            Operands::Three => &[step.a, step.b, third],
        };
        let read = read.iter().map(|&slot| usize::from(slot) % SLOTS);
        found.extend(read.filter(|&slot| !written[slot]));
        written[usize::from(step.d) % SLOTS] = true;
    }
    found
}

/// The slots of a block of elements.
struct Slots {
    kinds: [Kind; SLOTS],
    narrow: Vec<Narrow>,
    wide: Vec<Wide>,
    /// What the next result is written to, then the place of a slot.
    spare_narrow: Narrow,
    spare_wide: Wide,
    /// Operands in the other width.
    low: [Narrow; 3],
    high: [Wide; 3],
}

impl Slots {
    fn new() -> Slots {
        let narrow = || vec![0; BLOCK];
        let wide = || vec![0; BLOCK];
        Slots {
            kinds: [Kind::Narrow; SLOTS],
            narrow: (0..SLOTS).map(|_| narrow()).collect(),
            wide: (0..SLOTS).map(|_| wide()).collect(),
            spare_narrow: narrow(),
            spare_wide: wide(),
            low: [narrow(), narrow(), narrow()],
            high: [wide(), wide(), wide()],
        }
    }

    /// 0 in slots that are read before they are written.
    fn clear(&mut self, fresh: &[usize]) {
        self.kinds = [Kind::Narrow; SLOTS];
        for &slot in fresh {
            self.narrow[slot].fill(0);
        }
    }

    /// Runs one instruction for the `len` elements from `first`.
    #[inline(always)]
    fn step<S: Simd>(&mut self, s: S, step: &Step, inputs: &[Input<'_>], first: usize, len: usize) {
        use Opcode as O;
        let kind = self.result(step, inputs);
        let d = usize::from(step.d);
        let slots = [step.a, step.b, step.immediate as u8].map(|slot| usize::from(slot) % SLOTS);
        match step.action {
            Action::Extra(Extra::Constant) => self.spare_narrow[..len].fill(step.immediate),
            Action::Extra(function) => self.floats(s, function, slots[0], len),
            Action::Machine(O::Load) => {
                let input = &inputs[usize::from(step.b)];
                match kind {
                    Kind::Narrow => input.narrow(first, &mut self.spare_narrow[..len]),
                    Kind::Wide => input.wide(first, &mut self.spare_wide[..len]),
                }
            }
            Action::Machine(opcode) if opcode as u8 >= O::FAdd as u8 => {
                self.arithmetic(s, opcode, slots, len);
            }
            Action::Machine(opcode) => self.integers(opcode, step, slots, kind, len),
        }
        match kind {
            Kind::Narrow => std::mem::swap(&mut self.narrow[d], &mut self.spare_narrow),
            Kind::Wide => std::mem::swap(&mut self.wide[d], &mut self.spare_wide),
        }
        self.kinds[d] = kind;
    }

    /// The kind of an instruction's result.
    fn result(&self, step: &Step, inputs: &[Input<'_>]) -> Kind {
        use Opcode as O;
        let narrow = |slot: u8| self.kinds[usize::from(slot) % SLOTS] == Kind::Narrow;
        let fits = match step.action {
            Action::Extra(_) => true,
            Action::Machine(opcode) => match opcode {
                O::Load => inputs[usize::from(step.b)].kind() == Kind::Narrow,
                O::Add | O::Sub | O::Mul | O::SignExtend | O::F32ToInt => false,
                O::Div | O::Mod => narrow(step.a),
                O::And => narrow(step.a) || narrow(step.b),
                O::Or => narrow(step.a) && narrow(step.b),
                O::Select => narrow(step.b) && narrow(step.immediate as u8),
                _ => true,
            },
        };
        if fits { Kind::Narrow } else { Kind::Wide }
    }

    #[inline(always)]
    fn floats<S: Simd>(&mut self, s: S, function: Extra, a: usize, len: usize) {
        let ([a], out) = self.low_words([a], len);
        let (a, out) = (bytemuck::cast_slice(a), bytemuck::cast_slice_mut(out));
        match function {
            Extra::Constant => {}
            Extra::Exp => map1(s, a, out, Exp),
            Extra::Sigmoid => map1(s, a, out, Sigmoid),
            Extra::Tanh => map1(s, a, out, Tanh),
            Extra::Log => each(out, a, log),
        }
    }

    #[inline(always)]
    fn arithmetic<S: Simd>(&mut self, s: S, opcode: Opcode, slots: [usize; 3], len: usize) {
        use Opcode as O;
        match opcode {
            O::FAdd | O::FSub | O::FMul | O::FDiv | O::FMax | O::FMin | O::FLess => {
                let ([a, b], out) = self.low_words([slots[0], slots[1]], len);
                let (a, b): (&[f32], &[f32]) = (bytemuck::cast_slice(a), bytemuck::cast_slice(b));
                if opcode == O::FLess {
                    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                        *out = u32::from(a < b);
                    }
                    return;
                }
                let out = bytemuck::cast_slice_mut(out);
                let (a, b) = (Operand::Each(a), Operand::Each(b));
                match opcode {
                    O::FAdd => map2(s, a, b, out, Add),
                    O::FSub => map2(s, a, b, out, Sub),
                    O::FMul => map2(s, a, b, out, Mul),
                    O::FDiv => map2(s, a, b, out, Div),
                    O::FMax => map2(s, a, b, out, Max),
                    _ => map2(s, a, b, out, Min),
                }
            }
            O::Fma => {
                let ([a, b, c], out) = self.low_words(slots, len);
                let [a, b, c]: [&[f32]; 3] = [a, b, c].map(bytemuck::cast_slice);
                let out: &mut [f32] = bytemuck::cast_slice_mut(out);
                for (((out, &a), &b), &c) in out.iter_mut().zip(a).zip(b).zip(c) {
                    *out = canonical(a.mul_add(b, c));
                }
            }
            O::FSqrt => {
                let ([a], out) = self.low_words([slots[0]], len);
                each(
                    bytemuck::cast_slice_mut(out),
                    bytemuck::cast_slice(a),
                    f32::sqrt,
                );
            }
            O::ToF32 | O::SignedToF32 => {
                let ([a], out) = self.whole_words_to_narrow([slots[0]], len);
                for (out, &a) in out.iter_mut().zip(a) {
                    let value = if opcode == O::ToF32 {
                        a as f32
                    } else {
                        a.cast_signed() as f32
                    };
                    *out = value.to_bits();
                }
            }
            O::F32ToInt => {
                let ([a], out) = self.low_words_to_wide([slots[0]], len);
                for (out, &a) in out.iter_mut().zip(a) {
                    *out = f32_to_int(f32::from_bits(a));
                }
            }
            _ => {
                let ([a], out) = self.low_words([slots[0]], len);
                for (out, &a) in out.iter_mut().zip(a) {
                    *out = match opcode {
                        O::F16ToF32 => f16_to_f32(a as u16).to_bits(),
                        O::Bf16ToF32 => bf16_to_f32(a as u16).to_bits(),
                        O::F32ToF16 => f32_to_f16(f32::from_bits(a)).into(),
                        _ => f32_to_bf16(f32::from_bits(a)).into(),
                    };
                }
            }
        }
    }

    #[inline(always)]
    fn integers(&mut self, opcode: Opcode, step: &Step, slots: [usize; 3], kind: Kind, len: usize) {
        use Opcode as O;
        let [a, b, c] = slots;
        let all_narrow = |slots: &[usize]| slots.iter().all(|&n| self.kinds[n] == Kind::Narrow);
        match opcode {
            O::And | O::Or if kind == Kind::Narrow => {
                let ([a, b], out) = self.low_words([a, b], len);
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out = if opcode == O::And { a & b } else { a | b };
                }
            }
            O::Less | O::Equal if all_narrow(&[a, b]) => {
                let ([a, b], out) = self.low_words([a, b], len);
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out = u32::from(if opcode == O::Less { a < b } else { a == b });
                }
            }
            O::Select if all_narrow(&[a, b, c]) => {
                let ([a, b, c], out) = self.low_words([a, b, c], len);
                for (((out, &a), &b), &c) in out.iter_mut().zip(a).zip(b).zip(c) {
                    *out = if a != 0 { b } else { c };
                }
            }
            O::Select => {
                self.whole(0, a, len);
                self.whole(1, b, len);
                self.whole(2, c, len);
                let [a, b, c] = &self.high;
                for i in 0..len {
                    self.spare_wide[i] = if a[i] != 0 { b[i] } else { c[i] };
                }
                self.narrowed(kind, len);
            }
            O::SignExtend => {
                self.whole(0, a, len);
                for (out, &a) in self.spare_wide[..len].iter_mut().zip(self.high[0].iter()) {
                    *out = sign_extend(a, step.immediate);
                }
            }
            _ => {
                self.whole(0, a, len);
                self.whole(1, b, len);
                let (a, b) = (&self.high[0][..len], &self.high[1][..len]);
                let immediate = u64::from(step.immediate);
                let pairs = self.spare_wide.iter_mut().zip(a).zip(b);
                macro_rules! each_pair {
                    (|$x:ident, $y:ident| $value:expr) => {
                        for ((out, &$x), &$y) in pairs {
                            *out = $value;
                        }
                    };
                }
                match opcode {
                    O::Add => each_pair!(|x, y| x.wrapping_add(y).wrapping_add(immediate)),
                    O::Sub => each_pair!(|x, y| x.wrapping_sub(y)),
                    O::Mul => each_pair!(|x, y| x.wrapping_mul(y)),
                    O::Div => each_pair!(|x, y| x.checked_div(y).unwrap_or(0)),
                    O::Mod => each_pair!(|x, y| x.checked_rem(y).unwrap_or(0)),
                    O::And => each_pair!(|x, y| x & y),
                    O::Or => each_pair!(|x, y| x | y),
                    O::Less => each_pair!(|x, y| u64::from(x < y)),
                    _ => each_pair!(|x, y| u64::from(x == y)),
                }
                self.narrowed(kind, len);
            }
        }
    }

    /// The wide result where it is to be a narrow one.
    #[inline(always)]
    fn narrowed(&mut self, kind: Kind, len: usize) {
        if kind == Kind::Narrow {
            for (to, &from) in self.spare_narrow[..len]
                .iter_mut()
                .zip(self.spare_wide.iter())
            {
                *to = from as u32;
            }
        }
    }

    /// Low halves of slots, and where a narrow result goes.
    #[inline(always)]
    fn low_words<const N: usize>(
        &mut self,
        slots: [usize; N],
        len: usize,
    ) -> ([&[u32]; N], &mut [u32]) {
        self.lower(slots, len);
        let (kinds, narrow, low) = (&self.kinds, &self.narrow, &self.low);
        let words = std::array::from_fn(|i| match kinds[slots[i]] {
            Kind::Narrow => &narrow[slots[i]][..len],
            Kind::Wide => &low[i][..len],
        });
        (words, &mut self.spare_narrow[..len])
    }

    /// Low halves of slots, and where a wide result goes.
    #[inline(always)]
    fn low_words_to_wide<const N: usize>(
        &mut self,
        slots: [usize; N],
        len: usize,
    ) -> ([&[u32]; N], &mut [u64]) {
        self.lower(slots, len);
        let (kinds, narrow, low) = (&self.kinds, &self.narrow, &self.low);
        let words = std::array::from_fn(|i| match kinds[slots[i]] {
            Kind::Narrow => &narrow[slots[i]][..len],
            Kind::Wide => &low[i][..len],
        });
        (words, &mut self.spare_wide[..len])
    }

    /// Slots whole, and where a narrow result goes.
    #[inline(always)]
    fn whole_words_to_narrow<const N: usize>(
        &mut self,
        slots: [usize; N],
        len: usize,
    ) -> ([&[u64]; N], &mut [u32]) {
        for (i, &slot) in slots.iter().enumerate() {
            self.whole(i, slot, len);
        }
        let high = &self.high;
        (
            std::array::from_fn(|i| &high[i][..len]),
            &mut self.spare_narrow[..len],
        )
    }

    /// Fills `low` for slots that are wide.
    #[inline(always)]
    fn lower<const N: usize>(&mut self, slots: [usize; N], len: usize) {
        for (i, &slot) in slots.iter().enumerate() {
            if self.kinds[slot] == Kind::Wide {
                for (to, &from) in self.low[i][..len].iter_mut().zip(self.wide[slot].iter()) {
                    *to = from as u32;
                }
            }
        }
    }

    /// Fills `high[i]` with a slot's words.
    #[inline(always)]
    fn whole(&mut self, i: usize, slot: usize, len: usize) {
        let to = self.high[i][..len].iter_mut();
        match self.kinds[slot] {
            Kind::Narrow => {
                for (to, &from) in to.zip(self.narrow[slot].iter()) {
                    *to = from.into();
                }
            }
            Kind::Wide => {
                for (to, &from) in to.zip(self.wide[slot].iter()) {
                    *to = from;
                }
            }
        }
    }
}

/// `out[i] = f(x[i])`, NaN made canonical.
#[inline(always)]
fn each(out: &mut [f32], x: &[f32], f: impl Fn(f32) -> f32) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(f(x));
    }
}

#[derive(Clone, Copy)]
struct Max;
impl Map2 for Max {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        math::max(s, x, y)
    }
}

#[derive(Clone, Copy)]
struct Min;
impl Map2 for Min {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F, y: S::F) -> S::F {
        math::min(s, x, y)
    }
}
