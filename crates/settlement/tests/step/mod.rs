//! The step machine's contract, alone in an EVM, called with what the reference interpreter works on.
#![allow(dead_code)] // every test file takes what it needs

pub(crate) mod language;
pub(crate) mod operands;
pub(crate) mod operators;

use std::collections::BTreeSet;

use alloy::primitives::{B256, Bytes, keccak256};
use alloy::sol_types::SolCall as _;
use gavel_numerics::batch::{BATCH_STEPS, Reads, State};
use gavel_numerics::program::Program;
use gavel_numerics::reference::{Environment, Machine};
use gavel_numerics::{Tensor, TensorType};
use gavel_settlement::bindings::{IStepMachine, StepMachine};
use gavel_settlement::chain::CallOutcome;
use gavel_settlement::evm::Evm;
use gavel_settlement::revert;

const CHUNK: usize = 1024;
/// Far more than a batch takes.
pub(crate) const GAS: u64 = 1 << 30;

/// Why a call did not return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Name of the error that it reverted with.
    Reverted(String),
    /// It ended otherwise.
    Halted(String),
}

/// What a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) end: B256,
    pub(crate) halted: bool,
    /// Of execution.
    pub(crate) gas: u64,
}

pub(crate) struct Contract(Evm);

impl Contract {
    pub(crate) fn new() -> Contract {
        Contract(Evm::with("StepMachine").unwrap())
    }

    pub(crate) fn call(&mut self, call: &StepMachine::runCall) -> Result<Ran, Failure> {
        self.call_encoded(call.abi_encode().into())
    }

    pub(crate) fn call_encoded(&mut self, data: Bytes) -> Result<Ran, Failure> {
        match self.0.call(data, GAS).unwrap() {
            CallOutcome::Returned { output, gas_used } => {
                let found = StepMachine::runCall::abi_decode_returns(&output).unwrap();
                Ok(Ran {
                    end: found.end,
                    halted: found.halted,
                    gas: gas_used,
                })
            }
            CallOutcome::Reverted(data) => {
                let name = revert::decode(&data).map_or(format!("{data}"), |r| r.name);
                Err(Failure::Reverted(name))
            }
            CallOutcome::Halted(reason) => Err(Failure::Halted(reason)),
        }
    }
}

/// The call that executes up to `steps` steps, with an environment of exactly what is read.
pub(crate) fn call(
    program: &Program,
    env: &Environment<'_>,
    machine: &Machine,
    steps: u64,
    reads: &Reads,
) -> StepMachine::runCall {
    StepMachine::runCall {
        program: program.encode().into(),
        machine: machine.to_bytes().into(),
        steps: steps.try_into().unwrap(),
        env: environment(env, reads),
    }
}

fn environment(env: &Environment<'_>, reads: &Reads) -> IStepMachine::Environment {
    let operands = env.inputs.iter().enumerate().map(|(position, tensor)| {
        if reads.inputs.contains(&position) {
            operand(tensor.ty())
        } else {
            IStepMachine::Operand {
                shown: false,
                dtype: 0,
                dims: vec![],
            }
        }
    });
    let chunks: BTreeSet<(usize, u64)> = reads
        .elements
        .iter()
        .map(|&(input, element)| {
            (
                input,
                element * env.inputs[input].dtype().size() as u64 / CHUNK as u64,
            )
        })
        .collect();
    IStepMachine::Environment {
        attributes: env.attributes.to_vec(),
        dtype: env.output.dtype.id(),
        dims: env.output.dims.clone(),
        operands: operands.collect(),
        chunks: chunks
            .into_iter()
            .map(|(input, index)| chunk(env.inputs, input, index))
            .collect(),
    }
}

pub(crate) fn operand(ty: &TensorType) -> IStepMachine::Operand {
    IStepMachine::Operand {
        shown: true,
        dtype: ty.dtype.id(),
        dims: ty.dims.clone(),
    }
}

pub(crate) fn chunk(inputs: &[&Tensor], input: usize, index: u64) -> IStepMachine::Chunk {
    let bytes = inputs[input].le_bytes();
    let data = bytes.chunks(CHUNK).nth(index as usize).unwrap();
    IStepMachine::Chunk {
        position: input as u16,
        index,
        data: data.to_vec().into(),
    }
}

pub(crate) fn hash(state: &State) -> B256 {
    keccak256(state.preimage())
}

/// What a run by batches took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) steps: u64,
    pub(crate) batches: u64,
    /// Of all batches' execution.
    pub(crate) gas: u64,
    /// The dearest batch: gas of a transaction that is nothing else, of its execution, bytes of its chunks.
    pub(crate) dearest: (u64, u64, usize),
}

/// Computes an element batch by batch, interpreter beside contract; gives its value.
pub(crate) fn element(
    contract: &mut Contract,
    program: &Program,
    env: &Environment<'_>,
    index: u64,
) -> (u64, Cost) {
    let (mut state, mut cost) = (State::start(index), Cost::default());
    loop {
        let machine = match &state {
            State::Running(machine) => machine.clone(),
            State::Halted(value) => return (*value, cost),
        };
        let (steps, reads) = state.advance_reading(program, env, BATCH_STEPS);
        let call = call(program, env, &machine, BATCH_STEPS, &reads);
        let data = Bytes::from(call.abi_encode());
        let chunks = call.env.chunks.iter().map(|c| c.data.len()).sum();
        let ran = contract
            .call_encoded(data.clone())
            .unwrap_or_else(|e| panic!("{e:?} at {machine:?}"));
        let halted = matches!(state, State::Halted(_));
        assert_eq!(
            (ran.end, ran.halted),
            (hash(&state), halted),
            "from {machine:?}, read {reads:?}"
        );
        cost.steps += steps;
        cost.batches += 1;
        cost.gas += ran.gas;
        let whole = gavel_settlement::evm::transaction_gas(&data, ran.gas);
        cost.dearest = cost.dearest.max((whole, ran.gas, chunks));
    }
}
