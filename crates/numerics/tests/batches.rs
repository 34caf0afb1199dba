//! A run cut into batches is the run; a machine is its bytes.
#![allow(clippy::unwrap_used, missing_docs)]

use gavel_numerics::batch::{BATCH_STEPS, MACHINE_BYTES, State, reads};
use gavel_numerics::program::{REGISTERS, program};
use gavel_numerics::reference::{Environment, Machine, run};
use gavel_numerics::{DType, Tensor, TensorType};
use proptest::array::uniform32;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_machine_is_its_bytes(counter: u32, low in uniform32(any::<u64>()), high in uniform32(any::<u64>())) {
        let mut registers = [0; REGISTERS];
        registers[..32].copy_from_slice(&low);
        registers[32..].copy_from_slice(&high);
        registers[0] = 0;
        let machine = Machine { counter, registers };
        let bytes = machine.to_bytes();
        prop_assert_eq!(Machine::from_bytes(&bytes), machine);
        prop_assert_eq!(bytes[..4].to_vec(), counter.to_be_bytes().to_vec());
        for (word, register) in bytes[4..].chunks(8).zip(&registers[1..]) {
            prop_assert_eq!(word.to_vec(), register.to_be_bytes().to_vec());
        }
    }

    #[test]
    fn every_508_bytes_are_a_machine(bytes in prop::collection::vec(any::<u8>(), MACHINE_BYTES)) {
        let bytes: [u8; MACHINE_BYTES] = bytes.try_into().unwrap();
        prop_assert_eq!(Machine::from_bytes(&bytes).to_bytes(), bytes);
    }
}

#[test]
fn a_run_may_be_cut_anywhere_and_is_told_what_it_reads() {
    // MatMul of [1, 40] and [40, 3], element 2: row 0 of the left, column 2 of the right
    let values = |n: u64| (0..n).map(|i| i as f32 / 8.0 - 1.0).collect::<Vec<_>>();
    let left = Tensor::f32([1, 40], values(40)).unwrap();
    let right = Tensor::f32([40, 3], values(120)).unwrap();
    let output = TensorType::new(DType::F32, [1, 3]);
    let env = Environment {
        attributes: &[],
        inputs: &[&left, &right],
        output: &output,
    };
    let program = program(3).unwrap();
    let (value, steps) = run(program, &env, 2, 1 << 20).unwrap();
    for cut in [1, 7, BATCH_STEPS, steps, steps + 1] {
        let (mut state, mut taken) = (State::start(2), 0);
        let (mut inputs, mut elements) = (Vec::new(), Vec::new());
        while let State::Running(machine) = &state {
            let foretold = reads(program, &env, machine, cut);
            let before = state.clone();
            let (n, found) = state.advance_reading(program, &env, cut);
            assert_eq!(found, foretold, "{before:?}");
            inputs.extend(found.inputs);
            elements.extend(found.elements);
            taken += n;
        }
        assert_eq!((&state, taken), (&State::Halted(value), steps), "{cut}");
        assert_eq!(state.preimage(), value.to_be_bytes());
        assert_eq!(state.advance(program, &env, 5), 0, "a halted state stays");
        inputs.sort();
        inputs.dedup();
        assert_eq!(inputs, [0, 1]);
        elements.sort();
        let want: Vec<(usize, u64)> = (0..40)
            .map(|k| (0, k))
            .chain((0..40).map(|k| (1, 3 * k + 2)))
            .collect();
        assert_eq!(elements, want, "{cut}");
    }
}

#[test]
fn a_load_beyond_the_elements_asks_for_the_input_alone() {
    // MaxPool 3x3 with a pad of 1 at the first corner of a 2x2 plane: five of nine taps are padding
    let x = Tensor::f32([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let output = TensorType::new(DType::F32, [1, 1, 2, 2]);
    let attributes = [3, 3, 1, 1, 1, 1, 1, 1, 1, 1];
    let env = Environment {
        attributes: &attributes,
        inputs: &[&x],
        output: &output,
    };
    let found = reads(program(14).unwrap(), &env, &Machine::new(0), 1 << 20);
    assert_eq!(found.elements, [(0, 0), (0, 1), (0, 2), (0, 3)].into());
    assert_eq!(found.inputs, [0].into());
    // no second input: nothing is asked of what is not there
    let first = reads(program(14).unwrap(), &env, &Machine::new(0), 1);
    assert!(first.inputs.is_empty() && first.elements.is_empty());
}
