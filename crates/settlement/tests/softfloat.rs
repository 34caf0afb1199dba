//! The contract's floats against this machine's: straight programs of some hundred instructions of one kind, their results
//! folded into one word. `GAVEL_EXHAUSTIVE=1` takes ten million cases and more of every operation, otherwise some ten thousand.
#![allow(clippy::unwrap_used, missing_docs)]

mod step;

use std::time::Instant;

use alloy::primitives::keccak256;
use gavel_numerics::program::{Instruction, Opcode, Program};
use gavel_numerics::reference::Machine;
use gavel_numerics::scalar::canonical;
use gavel_numerics::{DType, convert, scalar};
use gavel_settlement::bindings::{IStepMachine, StepMachine};
use step::Contract;
use step::operands::{GROUP, Rng, Theme, floats, integers, roots_above_ties};

/// Registers behind three groups of operands: what folds the results.
const SUM: u8 = 61;
const RESULT: u8 = 62;
const FACTOR: u8 = 63;
/// Of the fold: odd, so that a wrong result changes the sum.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

type Rule = fn(u64, u64, u64) -> u64;

fn x(word: u64) -> f32 {
    f32::from_bits(word as u32)
}

fn bits(x: f32) -> u64 {
    canonical(x).to_bits().into()
}

/// What this machine says of an operation.
const RULES: [(Opcode, Rule); 13] = [
    (Opcode::FAdd, |a, b, _| bits(x(a) + x(b))),
    (Opcode::FSub, |a, b, _| bits(x(a) - x(b))),
    (Opcode::FMul, |a, b, _| bits(x(a) * x(b))),
    (Opcode::FDiv, |a, b, _| bits(x(a) / x(b))),
    (Opcode::Fma, |a, b, c| bits(x(a).mul_add(x(b), x(c)))),
    (Opcode::FMax, |a, b, _| bits(scalar::max(x(a), x(b)))),
    (Opcode::FMin, |a, b, _| bits(scalar::min(x(a), x(b)))),
    (Opcode::FLess, |a, b, _| u64::from(x(a) < x(b))),
    (Opcode::FSqrt, |a, _, _| bits(x(a).sqrt())),
    (Opcode::ToF32, |a, _, _| bits(a as f32)),
    (Opcode::SignedToF32, |a, _, _| bits(a.cast_signed() as f32)),
    (Opcode::F32ToInt, |a, _, _| convert::f32_to_int(x(a))),
    (Opcode::F32ToF16, |a, _, _| {
        u64::from(convert::f32_to_f16(x(a)))
    }),
];

/// These too, but they have 2^16 cases or nearly so.
const NARROW: [(Opcode, Rule); 3] = [
    (Opcode::F16ToF32, |a, _, _| {
        bits(convert::f16_to_f32(a as u16))
    }),
    (Opcode::Bf16ToF32, |a, _, _| {
        bits(convert::bf16_to_f32(a as u16))
    }),
    (Opcode::F32ToBf16, |a, _, _| {
        u64::from(convert::f32_to_bf16(x(a)))
    }),
];

/// One operation on one choice of registers after another.
struct Straight {
    rule: Rule,
    opcode: Opcode,
    cases: Vec<[u8; 3]>,
    program: Program,
}

impl Straight {
    fn new(opcode: Opcode, rule: Rule) -> Straight {
        let first = |group: u8| 1 + group * GROUP as u8;
        let cases: Vec<[u8; 3]> = match arity(opcode) {
            1 => (1..=3 * GROUP as u8).map(|a| [a, 0, 0]).collect(),
            // as many pairs of the first two groups as a program holds; any of the third
            n => (0..340u16)
                .map(|case| {
                    let (i, j) = ((case % 20) as u8, (case / 20) as u8);
                    let c = if n == 3 {
                        first(2) + (i * 7 + j * 3) % 20
                    } else {
                        0
                    };
                    [first(0) + i, first(1) + j, c]
                })
                .collect(),
        };
        let program = folding(opcode, &cases);
        Straight {
            rule,
            opcode,
            cases,
            program,
        }
    }

    fn check(&self, contract: &mut Contract, operands: &[u64]) {
        let of = |register: u8| {
            register
                .checked_sub(1)
                .map_or(0, |i| operands[usize::from(i)])
        };
        let case = |&[a, b, c]: &[u8; 3]| (self.rule)(of(a), of(b), of(c));
        let fold = |sum: u64, found: u64| sum.wrapping_mul(MULTIPLIER).wrapping_add(found);
        let want = self.cases.iter().map(case).fold(0, fold);
        if halts_with(contract, &self.program, operands, want) {
            return;
        }
        for registers in &self.cases {
            let program = folding(self.opcode, &[*registers]);
            let want = case(registers);
            let [a, b, c] = registers.map(of);
            let right = halts_with(contract, &program, operands, want);
            assert!(
                right,
                "{:?} {a:#x} {b:#x} {c:#x}: not {want:#x}",
                self.opcode
            );
        }
        panic!("{:?}: only the fold differs", self.opcode);
    }
}

fn arity(opcode: Opcode) -> u8 {
    match opcode {
        Opcode::Fma => 3,
        Opcode::FAdd | Opcode::FSub | Opcode::FMul | Opcode::FDiv => 2,
        Opcode::FMax | Opcode::FMin | Opcode::FLess => 2,
        _ => 1,
    }
}

fn folding(opcode: Opcode, cases: &[[u8; 3]]) -> Program {
    let make = |opcode, d, a, b, immediate| Instruction {
        opcode,
        d,
        a,
        b,
        immediate,
    };
    let mut code = Vec::new();
    for &[a, b, c] in cases {
        code.push(make(opcode, RESULT, a, b, c.into()));
        code.push(make(Opcode::Mul, SUM, SUM, FACTOR, 0));
        code.push(make(Opcode::Add, SUM, SUM, RESULT, 0));
    }
    code.push(make(Opcode::End, 0, SUM, 0, 0));
    Program::new(code).unwrap()
}

fn halts_with(contract: &mut Contract, program: &Program, operands: &[u64], want: u64) -> bool {
    let mut machine = Machine::new(0);
    machine.registers[1..=operands.len()].copy_from_slice(operands);
    machine.registers[usize::from(FACTOR)] = MULTIPLIER;
    let call = StepMachine::runCall {
        program: program.encode().into(),
        machine: machine.to_bytes().into(),
        steps: "2000".parse().unwrap(),
        env: IStepMachine::Environment {
            attributes: vec![],
            dtype: DType::I64.id(),
            dims: vec![],
            operands: vec![],
            chunks: vec![],
        },
    };
    let ran = contract.call(&call).unwrap();
    assert!(ran.halted);
    ran.end == keccak256(want.to_be_bytes())
}

fn exhaustive() -> bool {
    std::env::var_os("GAVEL_EXHAUSTIVE").is_some()
}

#[test]
fn operations_have_the_bits_of_this_machine() {
    let mut contract = Contract::new();
    for (opcode, rule) in RULES.into_iter().chain([NARROW[2]]) {
        let straight = Straight::new(opcode, rule);
        let least = if exhaustive() { 10_000_000 } else { 10_000 };
        let (mut rng, mut cases) = (Rng::new(opcode as u64), 0);
        let begin = Instant::now();
        for theme in Theme::ALL.iter().cycle() {
            if cases >= least {
                break;
            }
            let operands = match opcode {
                Opcode::ToF32 | Opcode::SignedToF32 => integers(&mut rng),
                _ => floats(&mut rng, *theme),
            };
            straight.check(&mut contract, &operands);
            cases += straight.cases.len();
        }
        println!("{opcode:?}: {cases} cases, {:.1?}", begin.elapsed());
    }
}

/// A root depends on the significand and on the exponent's parity: all of them, or those that are hardest to round.
#[test]
fn roots_are_right_for_every_significand() {
    let mut contract = Contract::new();
    let straight = Straight::new(Opcode::FSqrt, |a, _, _| bits(x(a).sqrt()));
    let hard = roots_above_ties();
    assert!(hard.len() > 20);
    let all = if exhaustive() {
        126 << 23..128 << 23
    } else {
        0..0
    };
    let mut operands = hard.into_iter().chain(all).peekable();
    while operands.peek().is_some() {
        let mut next = [0; 3 * GROUP];
        for (operand, x) in next.iter_mut().zip(&mut operands) {
            *operand = x;
        }
        straight.check(&mut contract, &next);
    }
}

#[test]
fn every_narrow_float_widens_as_it_should() {
    let mut contract = Contract::new();
    for (opcode, rule) in &NARROW[..2] {
        let straight = Straight::new(*opcode, *rule);
        let mut rng = Rng::new(7);
        let all: Vec<u64> = (0..1 << 16).collect();
        for halves in all.chunks(3 * GROUP) {
            // what stands above the 16 bits is not read
            let mut operands = [0; 3 * GROUP];
            for (operand, half) in operands.iter_mut().zip(halves) {
                *operand = rng.word() << 16 | half;
            }
            straight.check(&mut contract, &operands);
        }
    }
}
