//! The program table is what the file says; no bytes make the interpreter panic or run away.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../examples/vectors/table.rs"]
mod table;

use gavel_numerics::element::Extra;
use gavel_numerics::program::{
    INSTRUCTION_BYTES, Instruction, MAX_INSTRUCTIONS, Opcode, Program, REGISTERS, TABLE_LEN,
    TABLE_ROOT, program,
};
use gavel_numerics::reference::{Environment, run};
use gavel_numerics::{DType, NumericsError, Op, Tensor, TensorType};
use proptest::prelude::*;

#[test]
fn table_is_the_committed_file() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../spec/vectors/numerics/programs.json"
    );
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == table::file().unwrap(),
        "programs.json differs: another answer is another numerics version; else run the example `vectors`"
    );
    assert_eq!(hex::encode(table::root().unwrap()), hex::encode(TABLE_ROOT));
}

#[test]
fn every_operator_has_a_program_and_nothing_else_has() {
    for id in 0..=u16::MAX {
        let operator = (0..=11).any(|words| Op::from_parts(id, &vec![1; words]).is_some());
        assert_eq!(program(id).is_some(), operator, "operator {id}");
    }
    for id in 0..TABLE_LEN {
        if let Some(found) = program(id) {
            assert_eq!(Program::decode(&found.encode()).as_ref(), Ok(found));
        }
    }
}

#[test]
fn registers_and_lanes_of_the_operators_are_disjoint() {
    for found in (0..TABLE_LEN).filter_map(program) {
        let lanes = |i: &Instruction| matches!(i.opcode, Opcode::Get | Opcode::Put);
        let top = found.code().iter().map(|i| usize::from(i.d)).max();
        assert!(!found.code().iter().any(lanes) || top < Some(REGISTERS / 2));
    }
}

#[test]
fn instructions_are_those_of_the_specification() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/numerics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| 0x"));
    assert_eq!(rows.count(), Opcode::ALL.len());
    for &opcode in Opcode::ALL {
        let row = format!("| {:#04x} | {opcode:?} |", opcode as u8);
        assert!(text.contains(&row), "no row {row}");
    }
    for extra in Extra::ALL {
        let row = format!("| {extra:?} | {:#04x} |", extra as u8);
        assert!(text.contains(&row), "no row {row}");
    }
}

fn instruction(opcode: Opcode, d: u8, a: u8, b: u8, immediate: u32) -> Instruction {
    Instruction {
        opcode,
        d,
        a,
        b,
        immediate,
    }
}

#[test]
fn malformed_programs_are_refused() {
    let end = instruction(Opcode::End, 0, 1, 0, 0);
    let bad = [
        ("an unused field", instruction(Opcode::End, 1, 1, 0, 0)),
        ("an unused field", instruction(Opcode::FSqrt, 2, 1, 1, 0)),
        ("an unused immediate", instruction(Opcode::Sub, 2, 1, 1, 1)),
        ("register 0", instruction(Opcode::Add, 0, 1, 1, 0)),
        ("register 64", instruction(Opcode::Add, 64, 1, 1, 0)),
        ("operand 64", instruction(Opcode::Less, 2, 1, 64, 0)),
        ("third operand 64", instruction(Opcode::Fma, 2, 1, 1, 64)),
        ("target", instruction(Opcode::Jump, 0, 0, 0, 2)),
    ];
    for (what, first) in bad {
        let found = Program::new(vec![first, end]);
        let refused = matches!(found, Err(NumericsError::Malformed { at: 0, .. }));
        assert!(refused, "{what}: {found:?}");
        assert_eq!(
            Program::decode(&[first.encode(), end.encode()].concat()),
            found
        );
    }
    let last = Program::new(vec![end, instruction(Opcode::Add, 2, 1, 1, 0)]);
    assert!(matches!(last, Err(NumericsError::Malformed { at: 1, .. })));
    for bytes in [
        &[][..],
        &[0; INSTRUCTION_BYTES],
        &end.encode()[..7],
        &end.encode().repeat(MAX_INSTRUCTIONS + 1),
    ] {
        assert!(Program::decode(bytes).is_err());
    }
    assert!(Program::decode(&end.encode().repeat(MAX_INSTRUCTIONS)).is_ok());
}

#[test]
fn a_program_without_end_is_stopped() {
    let program = Program::new(vec![instruction(Opcode::Jump, 0, 0, 0, 0)]).unwrap();
    let env = Environment {
        attributes: &[],
        inputs: &[],
        output: &TensorType::new(DType::F32, vec![1]),
    };
    let found = run(&program, &env, 0, 1000);
    assert!(matches!(found, Err(NumericsError::Fault { .. })));
}

/// Well-formed instructions of a program of `len`.
fn instructions(len: u32) -> impl Strategy<Value = Instruction> {
    let byte = 0..REGISTERS as u8;
    let fields = (1..REGISTERS as u8, byte.clone(), byte, any::<u32>());
    (proptest::sample::select(Opcode::ALL), fields).prop_map(move |(opcode, (d, a, b, n))| {
        // what an opcode has no use for is zero: try from the fullest form down
        let immediates = [n, n % REGISTERS as u32, n % len, 0];
        let all = [0, 1, 2, 3, 4, 5, 6, 7].into_iter().flat_map(|mask| {
            let kept = move |bit: u8, register: u8| if mask & bit == 0 { register } else { 0 };
            immediates
                .map(|immediate| instruction(opcode, kept(1, d), kept(2, a), kept(4, b), immediate))
        });
        let end = instruction(Opcode::End, 0, 1, 0, 0);
        let fits = |i: &Instruction| {
            let mut code = vec![end; len as usize];
            code[0] = *i;
            Program::new(code).is_ok()
        };
        all.into_iter().find(fits).unwrap()
    })
}

fn runs_within_bounds(program: &Program, index: u64, words: &[u64]) {
    let floats = Tensor::f32(vec![2, 3], vec![1.5, -0.0, f32::NAN, 1e-40, 7.0, -3.0]).unwrap();
    let integers = Tensor::i64(vec![2], vec![-1, i64::MAX]).unwrap();
    for dtype in [DType::F32, DType::I64, DType::Bool] {
        let env = Environment {
            attributes: words,
            inputs: &[&floats, &integers],
            output: &TensorType::new(dtype, vec![4, 5]),
        };
        let first = run(program, &env, index, 2000);
        assert_eq!(first, run(program, &env, index, 2000));
        if let Ok((bits, steps)) = first {
            assert!(steps <= 2000);
            assert!(Tensor::from_raw(TensorType::new(dtype, vec![]), &[bits]).is_ok());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(program) = Program::decode(&bytes) {
            prop_assert_eq!(program.encode(), bytes);
            runs_within_bounds(&program, 3, &[]);
        }
    }

    #[test]
    fn damaged_operators_never_panic(id in 1..TABLE_LEN, at: prop::sample::Index, byte: u8, index: u64) {
        let mut bytes = program(id).unwrap().encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(program) = Program::decode(&bytes) {
            runs_within_bounds(&program, index, &[1, 2, 3]);
        }
    }

    #[test]
    fn arbitrary_instructions_never_panic(
        code in prop::collection::vec(instructions(24), 23),
        index: u64,
        words in prop::collection::vec(any::<u64>(), 0..4),
    ) {
        let mut code = code;
        code.push(instruction(Opcode::End, 0, 1, 0, 0));
        let program = Program::new(code).unwrap();
        runs_within_bounds(&program, index, &words);
    }
}
