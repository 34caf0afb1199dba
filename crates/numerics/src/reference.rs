//! The reference interpreter: runs operator programs one instruction at a time. Slow and obvious; what it
//! says is what an operator's output is.

use crate::program::{FIRST_LANE, INDEX_REGISTER, Instruction, MAX_STEPS, Opcode, Program};
use crate::program::{REGISTERS, program};
use crate::scalar::{canonical, max, min};
use crate::{DType, NumericsError, Op, Tensor, TensorType, convert};

/// What a program reads besides its registers.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// The operator's attribute words ([`Op::attributes`]).
    pub attributes: &'a [u64],
    /// Inputs, in positional order.
    pub inputs: &'a [&'a Tensor],
    /// Type of the output, by the shape program.
    pub output: &'a TensorType,
}

/// A machine between two steps: all that the next step depends on besides program and environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The next instruction.
    pub counter: u32,
    /// Register 0 is always 0; the last 32 are the lanes.
    pub registers: [u64; REGISTERS],
}

impl Machine {
    /// A machine about to compute the element with this flat index.
    pub fn new(index: u64) -> Machine {
        let mut registers = [0; REGISTERS];
        registers[usize::from(INDEX_REGISTER)] = index;
        Machine {
            counter: 0,
            registers,
        }
    }

    fn word(&self, register: u8) -> u64 {
        self.registers[usize::from(register) % REGISTERS]
    }

    fn float(&self, register: u8) -> f32 {
        f32::from_bits(self.word(register) as u32)
    }

    /// Executes one instruction. `Some` is the element's bits, zero-extended: the program has ended.
    pub fn step(&mut self, program: &Program, env: &Environment<'_>) -> Option<u64> {
        // a well-formed program's counter never leaves it
        let i = program.code().get(self.counter as usize)?;
        self.counter += 1;
        let (a, b) = (self.word(i.a), self.word(i.b));
        match i.opcode {
            Opcode::End => return Some(stored(env.output.dtype, a)),
            Opcode::Jump => self.counter = i.immediate,
            Opcode::JumpLess if a < b => self.counter = i.immediate,
            Opcode::JumpLess => {}
            Opcode::Put => self.registers[lane(a, i)] = b,
            _ => self.registers[usize::from(i.d) % REGISTERS] = self.result(i, env),
        }
        None
    }

    /// What an instruction with a `d` writes.
    fn result(&self, i: &Instruction, env: &Environment<'_>) -> u64 {
        let (a, b) = (self.word(i.a), self.word(i.b));
        let (x, y) = (self.float(i.a), self.float(i.b));
        let bits = |value: f32| u64::from(canonical(value).to_bits());
        let immediate = u64::from(i.immediate);
        let axis = a.wrapping_add(immediate);
        match i.opcode {
            Opcode::Add => a.wrapping_add(b).wrapping_add(immediate),
            Opcode::Sub => a.wrapping_sub(b),
            Opcode::Mul => a.wrapping_mul(b),
            Opcode::Div => a.checked_div(b).unwrap_or(0),
            Opcode::Mod => a.checked_rem(b).unwrap_or(0),
            Opcode::And => a & b,
            Opcode::Or => a | b,
            Opcode::Less => u64::from(a < b),
            Opcode::Equal => u64::from(a == b),
            Opcode::Select if a != 0 => b,
            Opcode::Select => self.word(i.c()),
            Opcode::SignExtend => convert::sign_extend(a, i.immediate),
            Opcode::Get => self.registers[lane(a, i)],
            Opcode::FAdd => bits(x + y),
            Opcode::FSub => bits(x - y),
            Opcode::FMul => bits(x * y),
            Opcode::FDiv => bits(x / y),
            Opcode::FSqrt => bits(x.sqrt()),
            Opcode::Fma => bits(x.mul_add(y, self.float(i.c()))),
            Opcode::FMax => bits(max(x, y)),
            Opcode::FMin => bits(min(x, y)),
            Opcode::FLess => u64::from(x < y),
            Opcode::ToF32 => bits(a as f32),
            Opcode::SignedToF32 => bits(a.cast_signed() as f32),
            Opcode::F32ToInt => convert::f32_to_int(x),
            Opcode::F16ToF32 => bits(convert::f16_to_f32(a as u16)),
            Opcode::Bf16ToF32 => bits(convert::bf16_to_f32(a as u16)),
            Opcode::F32ToF16 => u64::from(convert::f32_to_f16(x)),
            Opcode::F32ToBf16 => u64::from(convert::f32_to_bf16(x)),
            Opcode::Load => input(env, b).and_then(|t| element_of(t, a)).unwrap_or(0),
            Opcode::Dim => input(env, b).map_or(1, |t| extent(t.ty(), axis)),
            Opcode::Rank => input(env, b).map_or(0, |t| t.dims().len() as u64),
            Opcode::OutDim => extent(env.output, axis),
            Opcode::OutRank => env.output.dims.len() as u64,
            Opcode::Attribute => at(env.attributes, axis).copied().unwrap_or(0),
            Opcode::Inputs => env.inputs.len() as u64,
            Opcode::End | Opcode::Jump | Opcode::JumpLess | Opcode::Put => 0,
        }
    }
}

/// The register that is lane `(a + imm) mod 32`.
fn lane(a: u64, i: &Instruction) -> usize {
    let lanes = (REGISTERS - FIRST_LANE) as u64;
    FIRST_LANE + (a.wrapping_add(i.immediate.into()) % lanes) as usize
}

fn at<T>(items: &[T], index: u64) -> Option<&T> {
    items.get(usize::try_from(index).ok()?)
}

fn input<'a>(env: &Environment<'a>, number: u64) -> Option<&'a Tensor> {
    at(env.inputs, number).copied()
}

fn extent(ty: &TensorType, axis: u64) -> u64 {
    at(&ty.dims, axis).copied().unwrap_or(1)
}

fn element_of(tensor: &Tensor, index: u64) -> Option<u64> {
    let raw = tensor.raw(usize::try_from(index).ok()?)?;
    Some(stored(tensor.dtype(), raw))
}

/// The bits that an element of this type keeps of a word.
fn stored(dtype: DType, word: u64) -> u64 {
    match dtype {
        DType::F32 => u64::from(canonical(f32::from_bits(word as u32)).to_bits()),
        DType::I64 | DType::U64 | DType::F64 => word,
        DType::I32 | DType::U32 => u64::from(word as u32),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => u64::from(word as u16),
        DType::U8 | DType::I8 => u64::from(word as u8),
        DType::Bool => u64::from(word as u8 & 1),
    }
}

/// Runs `program` for the element at `index`: its bits, zero-extended, and the steps taken.
///
/// # Errors
/// [`NumericsError::Fault`] if it has not ended after `max_steps` steps.
pub fn run(
    program: &Program,
    env: &Environment<'_>,
    index: u64,
    max_steps: u64,
) -> Result<(u64, u64), NumericsError> {
    let mut machine = Machine::new(index);
    for steps in 1..=max_steps {
        if let Some(bits) = machine.step(program, env) {
            return Ok((bits, steps));
        }
    }
    Err(NumericsError::Fault {
        at: machine.counter as usize,
        reason: format!("no end after {max_steps} steps"),
    })
}

/// An operator applied to inputs that its shape program accepts: the elements of its output, one by one.
#[derive(Clone, Debug)]
pub struct Application<'a> {
    program: &'static Program,
    attributes: Vec<u64>,
    inputs: &'a [&'a Tensor],
    output: TensorType,
}

impl<'a> Application<'a> {
    /// `op` on `inputs`.
    ///
    /// # Errors
    /// Those of the shape program ([`Op::infer_type`]).
    pub fn new(op: &Op, inputs: &'a [&'a Tensor]) -> Result<Application<'a>, NumericsError> {
        let types: Vec<&TensorType> = inputs.iter().map(|t| t.ty()).collect();
        let output = op.infer_type(&types)?;
        let program = program(op.id()).ok_or_else(|| NumericsError::Malformed {
            at: 0,
            reason: format!("{} has no program", op.name()),
        })?;
        Ok(Application {
            program,
            attributes: op.attributes(),
            inputs,
            output,
        })
    }

    /// Type of the output.
    pub fn output(&self) -> &TensorType {
        &self.output
    }

    /// Bits of the output's element at `index` (below the number of elements), zero-extended.
    ///
    /// # Errors
    /// [`NumericsError::Fault`] above [`MAX_STEPS`].
    pub fn element(&self, index: u64) -> Result<u64, NumericsError> {
        let env = Environment {
            attributes: &self.attributes,
            inputs: self.inputs,
            output: &self.output,
        };
        run(self.program, &env, index, MAX_STEPS).map(|(bits, _)| bits)
    }
}

/// What `op` gives on `inputs`.
///
/// # Errors
/// Those of the shape program; [`NumericsError::Fault`] above [`MAX_STEPS`] for one element.
pub fn eval(op: &Op, inputs: &[&Tensor]) -> Result<Tensor, NumericsError> {
    let application = Application::new(op, inputs)?;
    let len = application.output().elements()? as u64;
    let raw = (0..len)
        .map(|index| application.element(index))
        .collect::<Result<Vec<u64>, _>>()?;
    Tensor::from_raw(application.output, &raw)
}
