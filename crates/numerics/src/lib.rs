//! Exact arithmetic of `numerics v1`: operators, scalar functions, programs, kernels. No I/O.

pub mod kernels;
mod op;

pub use op::{DType, Op, Window2d};
