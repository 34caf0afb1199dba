//! Functions that operators use and none shows alone, as programs of their own: what their vectors run.

use super::asm::{Asm, INDEX, ZERO};
use super::routines::{Generator, log};
use super::{Opcode, Program};
use crate::NumericsError;

/// A function of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// N-30 of each element of the first input.
    Log,
    /// N-31 of the seeds, positions and tokens that are the inputs.
    Gumbel,
}

/// The program that applies `function` element by element. It is no operator's.
///
/// # Errors
/// None that a test lets pass: that its code is well formed is one.
pub fn function(function: Function) -> Result<Program, NumericsError> {
    let mut p = Asm::new();
    let y = match function {
        Function::Log => {
            let x = p.load(INDEX, ZERO);
            log(&mut p, x)
        }
        Function::Gumbel => {
            let generator = Generator::new(&mut p);
            let (one, two) = (p.set(1), p.set(2));
            let h = p.load(INDEX, ZERO);
            generator.absorb(&mut p, h, one);
            for counter in [one, two] {
                p.to(counter, Opcode::Load, INDEX, counter);
                generator.absorb(&mut p, h, counter);
            }
            generator.gumbel(&mut p, h)
        }
    };
    Program::new(p.end(y))
}
