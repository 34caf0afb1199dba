//! The machine of one element: its states, at any batch.

use gavel_numerics::batch::{BATCH_STEPS, Reads, State};
use gavel_numerics::program::{MAX_STEPS, Program, program};
use gavel_numerics::reference::{Environment, Machine};
use gavel_numerics::{DType, Tensor, TensorType};
use gavel_trace::Digest;

use super::state::{MAX_BATCHES, state_hash};
use super::{NodeFacts, OperatorCase};

/// Most machines that are kept of a run; states between them are recomputed.
const CHECKPOINTS: usize = 1024;

/// An operator's program with all that it reads.
#[derive(Clone, Debug)]
pub(super) struct Application<'a> {
    pub(super) program: &'static Program,
    attributes: &'a [u64],
    inputs: Vec<&'a Tensor>,
    output: TensorType,
}

impl<'a> Application<'a> {
    pub(super) fn new(node: &'a NodeFacts, inputs: Vec<&'a Tensor>) -> Option<Application<'a>> {
        Some(Application {
            program: program(node.op)?,
            attributes: &node.attributes,
            inputs,
            output: TensorType::new(DType::from_id(node.dtype)?, node.dims.clone()),
        })
    }

    pub(super) fn env(&self) -> Environment<'_> {
        Environment {
            attributes: self.attributes,
            inputs: &self.inputs,
            output: &self.output,
        }
    }
}

/// The run of the program for one element.
#[derive(Clone, Debug)]
pub struct Execution<'a> {
    application: Application<'a>,
    element: u64,
    /// Machines every `stride` batches, from the start.
    checkpoints: Vec<Machine>,
    stride: u64,
    batches: u64,
    value: u64,
}

impl<'a> Execution<'a> {
    /// Runs the program for `element`. `None` where there is no such program, or where it does not end in the
    /// steps that an element may take.
    pub fn new(case: &'a OperatorCase, element: u64) -> Option<Execution<'a>> {
        Execution::within(case, element, MAX_BATCHES)
    }

    /// [`new`](Self::new) for whoever cannot afford every run: `None` also where it takes more than `batches`.
    pub fn within(case: &'a OperatorCase, element: u64, batches: u64) -> Option<Execution<'a>> {
        let inputs = case.operands.iter().map(|operand| &*operand.tensor);
        let application = Application::new(&case.node, inputs.collect())?;
        let mut run = Execution {
            application,
            element,
            checkpoints: Vec::new(),
            stride: 1,
            batches: 0,
            value: 0,
        };
        let mut state = State::start(element);
        while run.batches < batches.min(MAX_BATCHES) {
            if let State::Running(machine) = &state {
                run.keep(machine);
            }
            run.advance(&mut state, BATCH_STEPS);
            run.batches += 1;
            if let State::Halted(value) = state {
                run.value = value;
                return Some(run);
            }
        }
        None
    }

    /// Keeps a machine where one is due; where they are too many, every second one.
    fn keep(&mut self, machine: &Machine) {
        if self.checkpoints.len() == CHECKPOINTS {
            let mut even = false;
            self.checkpoints.retain(|_| {
                even = !even;
                even
            });
            self.stride *= 2;
        }
        if self.batches.is_multiple_of(self.stride) {
            self.checkpoints.push(machine.clone());
        }
    }

    fn advance(&self, state: &mut State, steps: u64) {
        let (program, env) = (self.application.program, self.application.env());
        state.advance(program, &env, steps);
    }

    /// Batches until the machine has halted.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// What it halts with.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// The state after so many batches.
    pub fn state(&self, batch: u64) -> State {
        if batch >= self.batches {
            return State::Halted(self.value);
        }
        let at = ((batch / self.stride) as usize).min(self.checkpoints.len().saturating_sub(1));
        let Some(machine) = self.checkpoints.get(at) else {
            return State::Halted(self.value);
        };
        let mut state = State::Running(machine.clone());
        self.advance(&mut state, (batch - at as u64 * self.stride) * BATCH_STEPS);
        state
    }

    /// Its hash.
    pub fn hash(&self, batch: u64) -> Digest {
        state_hash(&self.state(batch))
    }

    /// Executes the batch after so many: where it starts, where it ends, and what it reads.
    pub(super) fn batch(&self, batch: u64) -> (State, State, Reads) {
        let start = self.state(batch);
        let mut end = start.clone();
        let (program, env) = (self.application.program, self.application.env());
        let (_, reads) = end.advance_reading(program, &env, BATCH_STEPS);
        (start, end, reads)
    }

    pub(super) fn element(&self) -> u64 {
        self.element
    }

    pub(super) fn application(&self) -> &Application<'a> {
        &self.application
    }
}

const _: () = assert!(MAX_BATCHES * BATCH_STEPS == MAX_STEPS);
