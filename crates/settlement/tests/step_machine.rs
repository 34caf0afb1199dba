//! The step machine's contract against the reference interpreter and the kernels: every operator, batch by batch, shown
//! exactly what it reads; and what it refuses. `GAVEL_EXHAUSTIVE=1` tries every operator some hundred times.
#![allow(clippy::unwrap_used, missing_docs)]

mod step;

use gavel_numerics::batch::{BATCH_STEPS, Reads, State, reads};
use gavel_numerics::kernels::{Isa, Sequential, eval};
use gavel_numerics::program::{Instruction, Opcode, Program, REGISTERS, TABLE_LEN, program};
use gavel_numerics::reference::{Application, Environment, Machine};
use gavel_numerics::{DType, Op, Tensor, TensorType};
use gavel_settlement::bindings::StepMachine::runCall;
use proptest::prelude::*;
use step::operands::Rng;
use step::{Contract, Failure, call, element, hash, operand, operators};

fn tries() -> usize {
    let exhaustive = std::env::var_os("GAVEL_EXHAUSTIVE").is_some();
    if exhaustive { 300 } else { 8 }
}

/// One element by kernel, interpreter and contract; `None` if the shape program refuses.
fn compare(contract: &mut Contract, rng: &mut Rng, op: &Op, inputs: &[&Tensor]) -> Option<u64> {
    let application = Application::new(op, inputs).ok()?;
    let isa = *Isa::available().last().unwrap();
    let kernel = eval(isa, &Sequential, op, inputs).unwrap();
    if kernel.is_empty() {
        return None;
    }
    let env = Environment {
        attributes: &op.attributes(),
        inputs,
        output: application.output(),
    };
    let index = rng.below(kernel.len() as u64);
    let (value, cost) = element(contract, program(op.id()).unwrap(), &env, index);
    let types: Vec<String> = inputs.iter().map(|t| t.ty().to_string()).collect();
    let at = format!("{op:?} on {types:?}, element {index}");
    assert_eq!(Some(value), kernel.raw(index as usize), "{at}");
    assert_eq!(value, application.element(index).unwrap(), "{at}");
    Some(cost.steps)
}

#[test]
fn every_operator_is_what_kernel_and_interpreter_say() {
    let (mut contract, mut rng) = (Contract::new(), Rng::new(1));
    for id in (0..TABLE_LEN).filter(|&id| program(id).is_some()) {
        let (mut done, mut steps) = (0, 0);
        // several formats of weights
        let tries = if matches!(id, 24 | 27) {
            4 * tries()
        } else {
            tries()
        };
        while done < tries {
            let (op, inputs) = operators::draw(&mut rng, id);
            assert_eq!(op.id(), id);
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            if let Some(taken) = compare(&mut contract, &mut rng, &op, &inputs) {
                done += 1;
                steps += taken;
            }
        }
        println!("operator {id}: {done} elements, {steps} steps");
    }
}

/// MatMul of [1, 600] and [600, 2]: both operands are larger than a chunk.
struct Product {
    left: Tensor,
    right: Tensor,
    output: TensorType,
}

impl Product {
    fn new() -> Product {
        let mut rng = Rng::new(3);
        Product {
            left: operators::tensor(&mut rng, &[1, 600]),
            right: operators::tensor(&mut rng, &[600, 2]),
            output: TensorType::new(DType::F32, [1, 2]),
        }
    }

    /// A batch that loads from both.
    fn with<T>(&self, f: impl FnOnce(runCall, State) -> T) -> T {
        let env = Environment {
            attributes: &[],
            inputs: &[&self.left, &self.right],
            output: &self.output,
        };
        let program = program(3).unwrap();
        let mut state = State::start(1);
        state.advance(program, &env, 20 * BATCH_STEPS);
        let State::Running(machine) = state.clone() else {
            panic!("it has ended")
        };
        let (_, found) = state.advance_reading(program, &env, BATCH_STEPS);
        assert!(found.inputs.len() == 2 && found.elements.len() > 2);
        f(call(program, &env, &machine, BATCH_STEPS, &found), state)
    }
}

fn reverts(found: Result<step::Ran, Failure>) -> String {
    match found {
        Err(Failure::Reverted(name)) => name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_read_and_not_shown_makes_it_revert() {
    let mut contract = Contract::new();
    Product::new().with(|good, state| {
        assert_eq!(contract.call(&good).unwrap().end, hash(&state));
        let mut refused = |change: &dyn Fn(&mut runCall)| {
            let mut call = good.clone();
            change(&mut call);
            reverts(contract.call(&call))
        };
        for missing in 0..good.env.chunks.len() {
            let name = refused(&|c| drop(c.env.chunks.remove(missing)));
            assert_eq!(name, "ChunkNotShown");
            let name = refused(&|c| c.env.chunks[missing].index += 2);
            assert!(
                ["ChunkNotShown", "WrongChunkLength"].contains(&&*name),
                "{name}"
            );
            for length in [0, 1020, 1023, 1025, 2048] {
                let name = refused(&|c| c.env.chunks[missing].data = vec![0; length].into());
                assert_eq!(name, "WrongChunkLength", "{length}");
            }
        }
        for hidden in 0..2 {
            // with its chunks, and without
            let name = refused(&|c| c.env.operands[hidden].shown = false);
            assert_eq!(name, "OperandNotShown");
            let name = refused(&|c| {
                c.env.operands[hidden].shown = false;
                c.env
                    .chunks
                    .retain(|chunk| usize::from(chunk.position) != hidden);
            });
            assert_eq!(name, "OperandNotShown");
            let name = refused(&|c| c.env.operands[hidden].dtype = 14);
            assert_eq!(name, "UnknownElementType");
        }
        assert_eq!(
            refused(&|c| c.env.chunks[0].position = 2),
            "OperandNotShown"
        );
        assert_eq!(refused(&|c| c.env.dtype = 0), "UnknownElementType");
        assert_eq!(refused(&|c| c.env.dtype = 255), "UnknownElementType");
        let longer = [&good.machine[..], &[0]].concat();
        let shorter = good.machine[..507].to_vec();
        for machine in [vec![], shorter, longer] {
            let name = refused(&|c| c.machine = machine.clone().into());
            assert_eq!(name, "WrongMachineLength");
        }
        let count = (good.program.len() / 8) as u32;
        for counter in [count, count + 1, u32::MAX] {
            let name = refused(&|c| {
                let rest = &good.machine[4..];
                c.machine = [&counter.to_be_bytes(), rest].concat().into();
            });
            assert_eq!(name, "CounterOutsideProgram");
        }
    });
}

#[test]
fn the_last_chunk_is_as_long_as_the_tensor_leaves_it() {
    // 600 floats: two chunks of 1,024 bytes and one of 352
    let mut contract = Contract::new();
    let mut rng = Rng::new(5);
    let x = operators::tensor(&mut rng, &[600]);
    let env = Environment {
        attributes: &[],
        inputs: &[&x],
        output: x.ty(),
    };
    let program = program(23).unwrap();
    for index in [0, 255, 256, 511, 512, 599] {
        let found = element(&mut contract, program, &env, index).0;
        assert_eq!(Some(found), x.raw(index as usize));
    }
    let machine = Machine::new(599);
    let found = reads(program, &env, &machine, BATCH_STEPS);
    let good = call(program, &env, &machine, BATCH_STEPS, &found);
    assert_eq!(good.env.chunks[0].data.len(), 352);
    for length in [0, 348, 351, 353, 356, 1024] {
        let mut call = good.clone();
        call.env.chunks[0].data = vec![0; length].into();
        assert_eq!(reverts(contract.call(&call)), "WrongChunkLength");
    }
    let mut beyond = good.clone();
    beyond.env.chunks[0].index = 3;
    assert_eq!(reverts(contract.call(&beyond)), "WrongChunkLength");
    // an element that there is not is 0 and needs no chunk
    let none = call(
        program,
        &env,
        &Machine::new(600),
        BATCH_STEPS,
        &Reads {
            inputs: [0].into(),
            ..Reads::default()
        },
    );
    assert_eq!(contract.call(&none).unwrap().end, hash(&State::Halted(0)));
}

#[test]
fn an_empty_tensor_has_no_element_whatever_its_other_extents() {
    let mut contract = Contract::new();
    let x = Tensor::f32([1], vec![7.0]).unwrap();
    let env = Environment {
        attributes: &[],
        inputs: &[&x],
        output: x.ty(),
    };
    let program = program(23).unwrap();
    let shown = Reads {
        inputs: [0].into(),
        ..Reads::default()
    };
    for dims in [vec![0], vec![u64::MAX; 7], vec![u64::MAX, u64::MAX, 0]] {
        let mut call = call(program, &env, &Machine::new(5), BATCH_STEPS, &shown);
        call.env.operands[0] = operand(&TensorType::new(DType::F32, dims.clone()));
        let found = contract.call(&call);
        if dims.contains(&0) {
            assert_eq!(found.unwrap().end, hash(&State::Halted(0)), "{dims:?}");
        } else {
            assert_eq!(reverts(found), "ChunkNotShown", "{dims:?}");
        }
    }
}

/// What the contract says of bytes as a program, with nothing to read.
fn try_program(
    contract: &mut Contract,
    bytes: &[u8],
    machine: &Machine,
    steps: u64,
) -> Result<step::Ran, Failure> {
    let output = TensorType::new(DType::I64, []);
    let env = Environment {
        attributes: &[3, 5],
        inputs: &[],
        output: &output,
    };
    let mut call = call(
        program(23).unwrap(),
        &env,
        machine,
        steps,
        &Reads::default(),
    );
    call.program = bytes.to_vec().into();
    contract.call(&call)
}

#[test]
fn what_is_no_program_reverts() {
    let mut contract = Contract::new();
    let end = [0x01, 0, 1, 0, 0, 0, 0, 0];
    let with = |first: [u8; 8]| [first, end].concat();
    for (bytes, want) in [
        (vec![], "NoProgram"),
        (end[..7].to_vec(), "NoProgram"),
        ([&end[..], &[0]].concat(), "NoProgram"),
        (end.repeat(1025), "NoProgram"),
        ([end, [0x10, 2, 1, 1, 0, 0, 0, 0]].concat(), "NoEnd"),
        (with([0; 8]), "UnknownOpcode"),
        (with([0x04, 0, 0, 0, 0, 0, 0, 0]), "UnknownOpcode"),
        (with([0x81, 0, 1, 0, 0, 0, 0, 0]), "UnknownOpcode"),
        (with([0xff; 8]), "UnknownOpcode"),
        (with([0x01, 1, 1, 0, 0, 0, 0, 0]), "MalformedInstruction"),
        (with([0x11, 2, 1, 1, 0, 0, 0, 1]), "MalformedInstruction"),
        (with([0x10, 0, 1, 1, 0, 0, 0, 0]), "MalformedInstruction"),
        (with([0x10, 64, 1, 1, 0, 0, 0, 0]), "MalformedInstruction"),
        (with([0x17, 2, 1, 64, 0, 0, 0, 0]), "MalformedInstruction"),
        (with([0x35, 2, 1, 1, 0, 0, 0, 64]), "MalformedInstruction"),
        (with([0x34, 2, 1, 1, 0, 0, 0, 0]), "MalformedInstruction"),
        (with([0x02, 0, 0, 0, 0, 0, 0, 2]), "TargetOutsideProgram"),
    ] {
        assert!(Program::decode(&bytes).is_err());
        let found = try_program(&mut contract, &bytes, &Machine::new(0), 2);
        assert_eq!(reverts(found), want, "{bytes:02x?}");
    }
    assert!(try_program(&mut contract, &end.repeat(1024), &Machine::new(0), 2).is_ok());
    for code in 0..=u8::MAX {
        let known = Opcode::from_byte(code).is_some();
        let found = try_program(
            &mut contract,
            &with([code, 0, 0, 0, 0, 0, 0, 0]),
            &Machine::new(0),
            1,
        );
        let unknown = found == Err(Failure::Reverted("UnknownOpcode".into()));
        assert_eq!(unknown, !known, "{code:#04x}: {found:?}");
    }
}

/// Fields at the edges of what they may be, and beyond.
fn instruction() -> impl Strategy<Value = [u8; 8]> {
    let opcode = prop_oneof![
        9 => prop::sample::select(Opcode::ALL).prop_map(|o| o as u8),
        1 => any::<u8>(),
    ];
    let register = prop_oneof![4 => 0..REGISTERS as u8, 3 => Just(0u8), 1 => any::<u8>()];
    let immediate = prop_oneof![3 => Just(0u32), 3 => 0..64u32, 1 => any::<u32>()];
    (
        opcode,
        register.clone(),
        register.clone(),
        register,
        immediate,
    )
        .prop_map(|(o, d, a, b, n)| {
            let [n0, n1, n2, n3] = n.to_be_bytes();
            [o, d, a, b, n0, n1, n2, n3]
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    /// One instruction on arbitrary registers: the interpreter's machine afterwards, or a revert where it is malformed.
    #[test]
    fn an_instruction_is_the_interpreters_or_refused(
        bytes in instruction(),
        registers in prop::collection::vec(prop_oneof![any::<u64>(), 0..80u64, any::<u32>().prop_map(u64::from)], REGISTERS),
        counter in 0..3u32,
    ) {
        let mut contract = Contract::new();
        let end = [0x01, 0, 1, 0, 0, 0, 0, 0];
        let code = [bytes, bytes, bytes, end].concat();
        let mut machine = Machine { counter, registers: registers.try_into().unwrap() };
        machine.registers[0] = 0;
        let found = try_program(&mut contract, &code, &machine, 1);
        match Program::decode(&code) {
            Err(_) => { reverts(found); }
            Ok(program) => {
                let output = TensorType::new(DType::I64, []);
                let env = Environment { attributes: &[3, 5], inputs: &[], output: &output };
                let mut state = State::Running(machine);
                state.advance(&program, &env, 1);
                prop_assert_eq!(found.unwrap().end, hash(&state));
            }
        }
    }

    /// Arbitrary bytes do not run.
    #[test]
    fn garbage_reverts(bytes in prop::collection::vec(any::<u8>(), 0..400), whole: bool) {
        let mut bytes = bytes;
        if whole {
            bytes.truncate(bytes.len() / 8 * 8);
        }
        prop_assume!(Program::decode(&bytes).is_err());
        let found = try_program(&mut Contract::new(), &bytes, &Machine::new(1), BATCH_STEPS);
        // what ends before it comes to the malformed part is no program either, but nobody can tell
        let ends = bytes.first() == Some(&0x01);
        prop_assert!(ends || matches!(found, Err(Failure::Reverted(_))), "{found:?}");
    }
}

#[test]
fn a_batch_of_no_steps_is_the_state_itself() {
    let mut contract = Contract::new();
    let mut machine = Machine::new(9);
    machine
        .registers
        .iter_mut()
        .skip(1)
        .zip(Rng::new(2))
        .for_each(|(r, word)| *r = word);
    let one = Instruction {
        opcode: Opcode::End,
        d: 0,
        a: 1,
        b: 0,
        immediate: 0,
    };
    let found = try_program(&mut contract, &one.encode(), &machine, 0).unwrap();
    assert_eq!(
        (found.end, found.halted),
        (hash(&State::Running(machine)), false)
    );
}
