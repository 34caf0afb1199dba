//! Runs cut into batches: what a dispute about one element is played over (`spec/protocol.md`, "Appeal levels").
//! Hashing a state is the caller's; what is hashed, and what a batch reads, is said here.

use std::collections::BTreeSet;

use crate::program::{Opcode, Program, REGISTERS};
use crate::reference::{Environment, Machine};

/// Steps between two states (P-L5).
pub const BATCH_STEPS: u64 = 128;
/// Bytes of a running machine: the counter and registers 1..64.
pub const MACHINE_BYTES: usize = 4 + 8 * (REGISTERS - 1);

/// What is left of a run after some of its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a run has one of them, changed in place"
)]
pub enum State {
    /// The machine has steps to take.
    Running(Machine),
    /// It has ended with the element's bits, zero-extended.
    Halted(u64),
}

impl State {
    /// The state of a run that has not begun, for the element with this flat index.
    pub fn start(index: u64) -> State {
        State::Running(Machine::new(index))
    }

    /// What the state's hash is taken of: a machine, or the value as a big-endian u64.
    pub fn preimage(&self) -> Vec<u8> {
        match self {
            State::Running(machine) => machine.to_bytes().to_vec(),
            State::Halted(value) => value.to_be_bytes().to_vec(),
        }
    }

    /// Takes up to `steps` steps, fewer if the run ends; gives their number. A halted state stays.
    pub fn advance(&mut self, program: &Program, env: &Environment<'_>, steps: u64) -> u64 {
        self.advance_observed(program, env, steps, |_| {})
    }

    /// [`advance`](Self::advance), and what these steps read.
    pub fn advance_reading(
        &mut self,
        program: &Program,
        env: &Environment<'_>,
        steps: u64,
    ) -> (u64, Reads) {
        let mut reads = Reads::default();
        let taken = self.advance_observed(program, env, steps, |read| reads.record(read));
        (taken, reads)
    }

    fn advance_observed(
        &mut self,
        program: &Program,
        env: &Environment<'_>,
        steps: u64,
        mut observe: impl FnMut(Read),
    ) -> u64 {
        for taken in 0..steps {
            let State::Running(machine) = self else {
                return taken;
            };
            if let Some(read) = machine.read(program, env) {
                observe(read);
            }
            if let Some(value) = machine.step(program, env) {
                *self = State::Halted(value);
            }
        }
        steps
    }
}

/// What one instruction asks of an input that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The input's position.
    pub input: usize,
    /// The element, if it asks for one that the input has; its header otherwise.
    pub element: Option<u64>,
}

/// What a run of steps asks of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Positions of the inputs that are asked for anything: an element, an extent, the rank.
    pub inputs: BTreeSet<usize>,
    /// Elements that are loaded: position of the input, flat index.
    pub elements: BTreeSet<(usize, u64)>,
}

impl Reads {
    fn record(&mut self, read: Read) {
        self.inputs.insert(read.input);
        self.elements
            .extend(read.element.map(|index| (read.input, index)));
    }
}

/// What up to `steps` steps from `machine` read.
pub fn reads(program: &Program, env: &Environment<'_>, machine: &Machine, steps: u64) -> Reads {
    let (_, reads) = State::Running(machine.clone()).advance_reading(program, env, steps);
    reads
}

impl Machine {
    /// Its canonical bytes: the counter as u32, then registers 1..64 as u64, big-endian.
    pub fn to_bytes(&self) -> [u8; MACHINE_BYTES] {
        let mut bytes = [0; MACHINE_BYTES];
        let (counter, registers) = bytes.split_at_mut(4);
        counter.copy_from_slice(&self.counter.to_be_bytes());
        let words = registers.as_chunks_mut::<8>().0.iter_mut();
        for (word, register) in words.zip(&self.registers[1..]) {
            *word = register.to_be_bytes();
        }
        bytes
    }

    /// The machine with these bytes; every 508 bytes are one.
    pub fn from_bytes(bytes: &[u8; MACHINE_BYTES]) -> Machine {
        let mut registers = [0; REGISTERS];
        let [c0, c1, c2, c3, words @ ..] = bytes;
        for (register, word) in registers[1..].iter_mut().zip(words.as_chunks::<8>().0) {
            *register = u64::from_be_bytes(*word);
        }
        Machine {
            counter: u32::from_be_bytes([*c0, *c1, *c2, *c3]),
            registers,
        }
    }

    /// What the next instruction asks of an input that is there.
    pub fn read(&self, program: &Program, env: &Environment<'_>) -> Option<Read> {
        let next = program.code().get(self.counter as usize)?;
        if !matches!(next.opcode, Opcode::Load | Opcode::Dim | Opcode::Rank) {
            return None;
        }
        let word = |register: u8| self.registers[usize::from(register) % REGISTERS];
        let input = usize::try_from(word(next.b)).ok()?;
        let len = env.inputs.get(input)?.len() as u64;
        let element = word(next.a);
        let loads = next.opcode == Opcode::Load && element < len;
        Some(Read {
            input,
            element: loads.then_some(element),
        })
    }
}
