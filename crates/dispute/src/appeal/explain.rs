//! What a batch computes, for people: which instruction an appeal comes down to.

use std::fmt;
use std::ops::Range;

use gavel_numerics::batch::{BATCH_STEPS, State};
use gavel_numerics::blocks::ACTIVATION_BLOCK;
use gavel_numerics::program::{Opcode, Program};
use gavel_numerics::reference::{Environment, Machine};
use gavel_numerics::{DType, WeightFormat};

use super::{Execution, OperatorCase};

/// Taps of a block of the order C256.
const BLOCK: u64 = 256;
/// Conv2d, Gemm and MatMul: whose fma's are all taps of one C256 sum, in order.
const C256_OPERATORS: std::ops::RangeInclusive<u16> = 1..=3;
/// Linear: so it is where the format of the weights is not quantised.
const LINEAR: u16 = 27;
/// Values of a block of quantised activations.
const GROUP: u64 = ACTIVATION_BLOCK as u64;

/// An instruction that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What it does.
    pub opcode: Opcode,
    /// Bits of its operands, each as wide as it is read.
    pub operands: Vec<u64>,
    /// Bits of its result; of End those of the element.
    pub result: u64,
}

/// An element of an input that was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Position of the input.
    pub input: usize,
    /// Flat index of the element.
    pub element: u64,
    /// Element type of the input.
    pub dtype: DType,
    /// Its bits.
    pub bits: u64,
}

/// A batch of the run for one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Flat index of the element in the output.
    pub element: u64,
    /// Its place along each axis.
    pub coordinates: Vec<u64>,
    /// Element type of the output.
    pub dtype: DType,
    /// Number of the batch, from 0.
    pub batch: u64,
    /// Claimed bits of the element.
    pub claimed: u64,
    /// What the program gives.
    pub value: u64,
    /// Floating-point instructions of the batch, in order.
    pub arithmetic: Vec<Executed>,
    /// Loads of the batch, in order.
    pub loads: Vec<Loaded>,
    /// What the batch is about: of a sum its last fma; else its last floating-point instruction or, where there is
    /// none, its last instruction.
    pub deciding: Executed,
    /// Where the sum is in the order C256: index of the last fma so far.
    pub tap: Option<u64>,
    /// Where a product with quantised weights is: the values that the last fma so far adds.
    pub values: Option<Range<u64>>,
}

impl Explanation {
    /// Block of the C256 sum that the tap is in.
    pub fn block(&self) -> Option<u64> {
        self.tap.map(|tap| tap / BLOCK)
    }

    /// Where the deciding instruction stands, in words.
    pub fn place(&self) -> String {
        let element = format!("element {:?} ({})", self.coordinates, self.element);
        let at_fma = self.deciding.opcode == Opcode::Fma;
        match (self.tap, &self.values) {
            (Some(tap), _) if at_fma => {
                format!("{element}, block {}, tap {tap}", tap / BLOCK)
            }
            (Some(tap), _) => format!("{element}, after tap {tap}"),
            (None, Some(values)) if at_fma => format!("{element}, values {values:?}"),
            (None, Some(values)) => format!("{element}, after values {values:?}"),
            (None, None) => format!("{element}, batch {}", self.batch),
        }
    }

    /// What the element is and what was claimed, in words.
    pub fn outcome(&self) -> String {
        let number = |bits| number(self.dtype, bits);
        format!(
            "the element is {}, claimed {}",
            number(self.value),
            number(self.claimed)
        )
    }
}

impl Loaded {
    /// Its bits in words: in hex and, of an f32, in decimal.
    pub fn number(&self) -> String {
        number(self.dtype, self.bits)
    }
}

fn number(dtype: DType, bits: u64) -> String {
    match dtype {
        DType::F32 => format!("{} ({})", hex(bits), f32::from_bits(bits as u32)),
        _ => hex(bits),
    }
}

/// What batch `batch` of an element's run computes. `None` where the machine has halted before it.
pub fn explain(
    case: &OperatorCase,
    execution: &Execution<'_>,
    batch: u64,
    claimed: u64,
) -> Option<Explanation> {
    let (program, env) = (
        execution.application().program,
        execution.application().env(),
    );
    let State::Running(mut machine) = execution.state(batch) else {
        return None;
    };
    let (mut arithmetic, mut loads, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..BATCH_STEPS {
        let read = machine.read(program, &env);
        let (executed, ended) = execute(&mut machine, program, &env)?;
        if let Some(read) = read
            && let Some(element) = read.element
        {
            loads.push(Loaded {
                input: read.input,
                element,
                dtype: case.operands.get(read.input)?.tensor.dtype(),
                bits: executed.result,
            });
        }
        if is_float(executed.opcode) {
            arithmetic.push(executed.clone());
        }
        last = Some(executed);
        if ended {
            break;
        }
    }
    let is_fma = |e: &&Executed| e.opcode == Opcode::Fma;
    let sum = Sum::of(case);
    let of_sum = sum.and_then(|_| arithmetic.iter().rfind(is_fma));
    // fma's before the last so far
    let before = sum.and_then(|_| {
        let here = arithmetic.iter().filter(is_fma).count() as u64;
        (fmas_before(execution, batch) + here).checked_sub(1)
    });
    let (tap, values) = match sum {
        Some(Sum::Groups { fmas }) => {
            let group = before.map(|before| before / fmas * GROUP);
            (None, group.map(|first| first..first + GROUP))
        }
        _ => (before, None),
    };
    let element = execution.element();
    Some(Explanation {
        element,
        coordinates: coordinates(&case.node.dims, element),
        dtype: DType::from_id(case.node.dtype)?,
        batch,
        claimed,
        value: execution.value(),
        deciding: of_sum.or(arithmetic.last()).cloned().or(last)?,
        arithmetic,
        loads,
        tap,
        values,
    })
}

/// The last batch of a run that computes something: of a sum one with an fma of it. The last of all where there is none,
/// as of a copy.
pub fn last_batch(case: &OperatorCase, execution: &Execution<'_>) -> u64 {
    let sum = Sum::of(case);
    let computes = |opcode: Opcode| match sum {
        Some(_) => opcode == Opcode::Fma,
        None => is_float(opcode),
    };
    let mut last = None;
    walk(execution, execution.batches(), |step, opcode| {
        if computes(opcode) {
            last = Some(step / BATCH_STEPS);
        }
    });
    last.unwrap_or(execution.batches().saturating_sub(1))
}

/// Operators whose fma's are all of one sum.
#[derive(Clone, Copy)]
enum Sum {
    /// In the order C256: each a tap.
    Taps,
    /// Of rows in a quantised format: so many for every 32 values.
    Groups { fmas: u64 },
}

impl Sum {
    fn of(case: &OperatorCase) -> Option<Sum> {
        if C256_OPERATORS.contains(&case.node.op) {
            return Some(Sum::Taps);
        }
        if case.node.op != LINEAR {
            return None;
        }
        let format = u32::try_from(*case.node.attributes.first()?).ok()?;
        Some(match WeightFormat::from_id(format)? {
            // the scale's and the minimum's
            WeightFormat::Q4_K => Sum::Groups { fmas: 2 },
            format if format.is_quantised() => Sum::Groups { fmas: 1 },
            _ => Sum::Taps,
        })
    }
}

/// Instructions that read or give a floating-point number.
fn is_float(opcode: Opcode) -> bool {
    use Opcode::*;
    let converts = matches!(opcode, ToF32 | SignedToF32 | F16ToF32 | Bf16ToF32);
    converts || reads_f32(opcode)
}

fn reads_f32(opcode: Opcode) -> bool {
    use Opcode::*;
    matches!(
        opcode,
        FAdd | FSub
            | FMul
            | FDiv
            | FSqrt
            | Fma
            | FMax
            | FMin
            | FLess
            | F32ToInt
            | F32ToF16
            | F32ToBf16
    )
}

/// Executes the next instruction; whether it was the last.
fn execute(
    machine: &mut Machine,
    program: &Program,
    env: &Environment<'_>,
) -> Option<(Executed, bool)> {
    let next = *program.code().get(machine.counter as usize)?;
    let width = match next.opcode {
        Opcode::F16ToF32 | Opcode::Bf16ToF32 => u64::from(u16::MAX),
        opcode if reads_f32(opcode) => u64::from(u32::MAX),
        _ => u64::MAX,
    };
    let operands = next.operands(&machine.registers);
    let operands = operands.into_iter().map(|word| word & width).collect();
    let ended = machine.step(program, env);
    let written = machine.registers.get(usize::from(next.d)).copied();
    let executed = Executed {
        opcode: next.opcode,
        operands,
        result: ended.or(written)?,
    };
    Some((executed, ended.is_some()))
}

/// Runs so many batches from the start and shows every step's number and instruction.
fn walk(execution: &Execution<'_>, batches: u64, mut show: impl FnMut(u64, Opcode)) {
    let (program, env) = (
        execution.application().program,
        execution.application().env(),
    );
    let mut machine = Machine::new(execution.element());
    for step in 0..batches.saturating_mul(BATCH_STEPS) {
        let Some(next) = program.code().get(machine.counter as usize) else {
            return;
        };
        show(step, next.opcode);
        if machine.step(program, &env).is_some() {
            return;
        }
    }
}

fn fmas_before(execution: &Execution<'_>, batch: u64) -> u64 {
    let mut fmas = 0;
    walk(execution, batch, |_, opcode| {
        fmas += u64::from(opcode == Opcode::Fma);
    });
    fmas
}

/// Place of a flat index along each axis.
fn coordinates(dims: &[u64], element: u64) -> Vec<u64> {
    let mut rest = element;
    let mut places: Vec<u64> = (dims.iter().rev())
        .map(|&dim| {
            let dim = dim.max(1);
            let place = rest % dim;
            rest /= dim;
            place
        })
        .collect();
    places.reverse();
    places
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.opcode {
            Opcode::ToF32 => "u64_to_f32".to_owned(),
            Opcode::SignedToF32 => "i64_to_f32".to_owned(),
            Opcode::F32ToInt => "f32_to_i64".to_owned(),
            Opcode::F16ToF32 => "f16_to_f32".to_owned(),
            Opcode::Bf16ToF32 => "bf16_to_f32".to_owned(),
            Opcode::F32ToF16 => "f32_to_f16".to_owned(),
            Opcode::F32ToBf16 => "f32_to_bf16".to_owned(),
            Opcode::SignExtend => "sign_extend".to_owned(),
            Opcode::Fma => "fma".to_owned(),
            opcode => {
                let name = format!("{opcode:?}").to_lowercase();
                let prefix = if is_float(opcode) { "f" } else { "" };
                name.strip_prefix(prefix).unwrap_or(&name).to_owned()
            }
        };
        let operands: Vec<String> = self.operands.iter().map(|bits| hex(*bits)).collect();
        write!(f, "{name}({}) = {}", operands.join(", "), hex(self.result))
    }
}

fn hex(bits: u64) -> String {
    format!("{bits:#010x}")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place(), self.deciding, self.outcome())
    }
}
