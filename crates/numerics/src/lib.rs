//! Exact arithmetic of `numerics v1` (`spec/numerics.md`): what every operator's output *is*, bit by
//! bit, on every machine. No I/O, no threads of its own.
//!
//! - [`Op`], [`TensorType`]: operators with their bounded attributes, and their shape programs.
//! - [`scalar`]: elementary functions as fixed sequences of basic operations.
//! - [`convert`]: conversions to and from the element types of quantised formats.
//! - [`program`], [`reference`]: per-element scalar programs as data and the interpreter that runs
//!   them: slow, obvious, the oracle for everything else.
//! - [`element`]: programs of element-wise operators, which a model carries.
//! - [`blocks`]: the formats of weights, and of activations beside quantised ones.
//! - [`batch`]: runs cut at every 128th step, as a dispute plays over them.
//! - [`kernels`]: fast, and equal to the oracle by bits.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batch;
pub mod blocks;
pub mod convert;
pub mod element;
pub mod erf;
mod error;
mod identity;
pub mod kernels;
mod op;
pub mod program;
pub mod reference;
pub mod scalar;
mod shape;
mod tensor;

pub use blocks::WeightFormat;
pub use error::NumericsError;
pub use op::{Beyond, Combine, DType, Op, Reduction, ViewAxis, Window2d};
pub use tensor::{Data, MAX_ELEMENTS, MAX_RANK, Tensor, TensorType};
