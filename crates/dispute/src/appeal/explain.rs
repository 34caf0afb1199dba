//! What a batch computes, for people: which instruction an appeal comes down to.

use std::fmt;

use gavel_numerics::batch::{BATCH_STEPS, State};
use gavel_numerics::program::{Instruction, Opcode, Program};
use gavel_numerics::reference::{Environment, Machine};

use super::{Execution, OperatorCase};

/// Taps of a block of the order C256.
const BLOCK: u64 = 256;
/// Conv2d, Gemm and MatMul: whose fma's are all taps of one C256 sum, in order.
const C256_OPERATORS: std::ops::RangeInclusive<u16> = 1..=3;

/// An instruction that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What it does.
    pub opcode: Opcode,
    /// Bits of its operands; of an f32 the low 32.
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
    /// What the batch's end depends on last: its last floating-point instruction or, where it has none, its last instruction.
    pub deciding: Executed,
    /// Where the sum is in the order C256: index of the last fma so far.
    pub tap: Option<u64>,
}

impl Explanation {
    /// Block of the C256 sum that the tap is in.
    pub fn block(&self) -> Option<u64> {
        self.tap.map(|tap| tap / BLOCK)
    }
}

/// What batch `batch` of the run for `element` computes. `None` where the machine has halted before it, and where the program
/// does not run.
pub fn explain(case: &OperatorCase, element: u64, batch: u64, claimed: u64) -> Option<Explanation> {
    let execution = Execution::new(case, element)?;
    let (program, env) = (
        execution.application().program,
        execution.application().env(),
    );
    let State::Running(mut machine) = execution.state(batch) else {
        return None;
    };
    let (mut arithmetic, mut loads, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..BATCH_STEPS {
        let read = machine.read(program, &env).and_then(|read| {
            let element = read.element?;
            Some((read.input, element))
        });
        let (executed, ended) = execute(&mut machine, program, &env)?;
        if let Some((input, element)) = read {
            loads.push(Loaded {
                input,
                element,
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
    let fmas = |found: &[Executed]| found.iter().filter(|e| e.opcode == Opcode::Fma).count() as u64;
    let tap = C256_OPERATORS
        .contains(&case.node.op)
        .then(|| fmas_before(&execution, element, batch) + fmas(&arithmetic))
        .and_then(|taps| taps.checked_sub(1));
    Some(Explanation {
        element,
        coordinates: coordinates(&case.node.dims, element),
        batch,
        claimed,
        value: execution.value(),
        deciding: arithmetic.last().cloned().or(last)?,
        arithmetic,
        loads,
        tap,
    })
}

fn is_float(opcode: Opcode) -> bool {
    use Opcode::*;
    matches!(
        opcode,
        FAdd | FSub | FMul | FDiv | FSqrt | Fma | FMax | FMin | FLess | ToF32
    )
}

/// Executes the next instruction; whether it was the last.
fn execute(
    machine: &mut Machine,
    program: &Program,
    env: &Environment<'_>,
) -> Option<(Executed, bool)> {
    let next = *program.code().get(machine.counter as usize)?;
    let operands = operands(machine, &next);
    let ended = machine.step(program, env);
    let written = machine.registers.get(usize::from(next.d)).copied();
    let executed = Executed {
        opcode: next.opcode,
        operands,
        result: ended.or(written)?,
    };
    Some((executed, ended.is_some()))
}

fn operands(machine: &Machine, i: &Instruction) -> Vec<u64> {
    use Opcode::*;
    let registers = match i.opcode {
        Fma | Select => vec![i.a, i.b, i.immediate as u8],
        FSqrt | ToF32 | End => vec![i.a],
        _ => vec![i.a, i.b],
    };
    let word = |register: u8| machine.registers.get(usize::from(register)).copied();
    let words = registers.into_iter().filter_map(word);
    match i.opcode {
        ToF32 => words.collect(),
        opcode if is_float(opcode) => words.map(|word| u64::from(word as u32)).collect(),
        _ => words.collect(),
    }
}

/// Fma's of the batches before.
fn fmas_before(execution: &Execution<'_>, element: u64, batch: u64) -> u64 {
    let (program, env) = (
        execution.application().program,
        execution.application().env(),
    );
    let mut machine = Machine::new(element);
    let mut fmas = 0;
    for _ in 0..batch * BATCH_STEPS {
        let next = program.code().get(machine.counter as usize);
        fmas += u64::from(next.is_some_and(|i| i.opcode == Opcode::Fma));
        if machine.step(program, &env).is_some() {
            break;
        }
    }
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
            Opcode::ToF32 => "f32".to_owned(),
            opcode => {
                let name = format!("{opcode:?}").to_lowercase();
                let float = is_float(opcode) && opcode != Opcode::Fma;
                name[usize::from(float)..].to_owned()
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
        write!(f, "element {:?} ({}), ", self.coordinates, self.element)?;
        match (self.block(), self.tap) {
            (Some(block), Some(tap)) => write!(f, "block {block}, tap {tap}")?,
            _ => write!(f, "batch {}", self.batch)?,
        }
        write!(f, ": {}; claimed {}", self.deciding, hex(self.claimed))
    }
}
