//! Activations with parameters, as element programs.

use gavel_numerics::element::{Extra, Value as Word};

use super::elementwise::Program;
use super::functions as f;
use crate::ModelError;

impl Program<'_, '_, '_> {
    /// Activations with parameters.
    pub(super) fn activation(&mut self, op: &str) -> Result<Word, ModelError> {
        if op == "PRelu" {
            let [x, slope] = self.floats()?;
            let zero = self.code.float(0.0);
            let (negative, scaled) = (self.code.fless(x, zero), self.code.fmul(x, slope));
            return Ok(self.code.select(negative, scaled, x));
        }
        let [x] = self.floats()?;
        let (zero, one) = (self.code.float(0.0), self.code.float(1.0));
        Ok(match op {
            "LeakyRelu" => {
                let alpha = self.parameter("alpha", 0.01)?;
                let p = &mut self.code;
                let (negative, scaled) = (p.fless(x, zero), p.fmul(x, alpha));
                p.select(negative, scaled, x)
            }
            "Elu" | "Celu" | "Selu" => {
                let (alpha, gamma) = match op {
                    "Selu" => (1.673_263_2, 1.050_701),
                    _ => (1.0, 1.0),
                };
                let alpha = self.parameter("alpha", alpha)?;
                let gamma = match op {
                    "Selu" => self.parameter("gamma", gamma)?,
                    _ => one,
                };
                let p = &mut self.code;
                let argument = if op == "Celu" { p.fdiv(x, alpha) } else { x };
                let grown = f::exp(p, argument);
                let less_one = p.fsub(grown, one);
                let below = p.fmul(alpha, less_one);
                let negative = p.fless(x, zero);
                let found = p.select(negative, below, x);
                p.fmul(gamma, found)
            }
            "HardSigmoid" => {
                let (alpha, beta) = (self.parameter("alpha", 0.2)?, self.parameter("beta", 0.5)?);
                self.hard_sigmoid(x, alpha, beta)
            }
            "HardSwish" => {
                let (alpha, beta) = (self.code.float(1.0 / 6.0), self.code.float(0.5));
                let gate = self.hard_sigmoid(x, alpha, beta);
                self.code.fmul(x, gate)
            }
            "ThresholdedRelu" => {
                let alpha = self.parameter("alpha", 1.0)?;
                let above = self.code.fless(alpha, x);
                self.code.select(above, x, zero)
            }
            "Shrink" => {
                let bias = self.parameter("bias", 0.0)?;
                let lambda = self.attribute("lambd", 0.5)?;
                let p = &mut self.code;
                let (high, low) = (p.float(lambda), p.float(-lambda));
                let (below, above) = (p.fless(x, low), p.fless(high, x));
                let (raised, lowered) = (p.fadd(x, bias), p.fsub(x, bias));
                let found = p.select(below, raised, zero);
                p.select(above, lowered, found)
            }
            "Gelu" => {
                let kind = self.lowering.attributes.text("approximate")?;
                match kind.as_deref().unwrap_or("none") {
                    "none" => self.gelu(x),
                    "tanh" => self.gelu_by_tanh(x),
                    other => {
                        return Err(self.fail(format!("approximate {other:?} is not known")));
                    }
                }
            }
            "Swish" => {
                let alpha = self.parameter("alpha", 1.0)?;
                let p = &mut self.code;
                let scaled = p.fmul(alpha, x);
                let gate = p.function(Extra::Sigmoid, scaled);
                p.fmul(x, gate)
            }
            other => return Err(self.fail(format!("{other} is not mapped"))),
        })
    }

    fn hard_sigmoid(&mut self, x: Word, alpha: Word, beta: Word) -> Word {
        let p = &mut self.code;
        let (zero, one) = (p.float(0.0), p.float(1.0));
        let product = p.fmul(alpha, x);
        let line = p.fadd(product, beta);
        let below = p.fmin(line, one);
        p.fmax(below, zero)
    }

    /// `x * (1 + erf(x / sqrt(2))) / 2`
    fn gelu(&mut self, x: Word) -> Word {
        let p = &mut self.code;
        let (root, half, one) = (
            p.float(std::f32::consts::FRAC_1_SQRT_2),
            p.float(0.5),
            p.float(1.0),
        );
        let scaled = p.fmul(x, root);
        let erf = f::erf(p, scaled);
        let gate = p.fadd(erf, one);
        let halved = p.fmul(x, half);
        p.fmul(halved, gate)
    }

    /// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`
    fn gelu_by_tanh(&mut self, x: Word) -> Word {
        let p = &mut self.code;
        let (cubic, factor, half, one) = (
            p.float(0.044_715),
            p.float(0.797_884_6),
            p.float(0.5),
            p.float(1.0),
        );
        let square = p.fmul(x, x);
        let cube = p.fmul(square, x);
        let inner = p.fma(cubic, cube, x);
        let inner = p.fmul(factor, inner);
        let tanh = p.function(Extra::Tanh, inner);
        let gate = p.fadd(tanh, one);
        let halved = p.fmul(x, half);
        p.fmul(halved, gate)
    }
}
