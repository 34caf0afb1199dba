//! Fast kernels: the same bits as [the reference interpreter](crate::reference), on any instruction set, in any
//! number of parts.
//!
//! Each kernel is written once over a generic vector and compiled per instruction set; [`Isa`]
//! chooses at run time and proves that the CPU has what it names. Kernels vectorise across output
//! elements, never along a reduction whose order is fixed. They start no threads: a [`Parallel`]
//! given by the caller runs their parts.

mod attention;
mod broadcast;
mod conv;
mod elementwise;
mod eval;
pub mod fused;
mod gemm;
mod isa;
mod kv;
mod lanes;
mod language;
mod linear;
mod map;
mod math;
mod movement;
mod norm;
mod order;
mod parallel;
pub mod peak;
mod planes;
mod pool;
mod reduce;
mod rms_norm;
mod rope;
mod sampling;
mod simd;
mod softmax;
mod spread;
mod swiglu;
mod tile;
mod view;

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub use attention::{AttentionRows, AttentionShape, attention, visible};
pub use conv::{ConvShape, conv2d};
pub use elementwise::{Binary, Unary, add_to, binary, unary};
pub use eval::eval;
pub use gemm::{Bias, MatRef, gemm};
pub use isa::{ISA_ENV, Isa, IsaError, IsaKind};
pub use kv::{KV_PAGE, KvShape};
pub use linear::{
    Activations, ActivationsWriter, ColumnsPart, ColumnsWriter, PackedMatrix, PanelMut, SharedRows,
    Storage, dequantise, linear, linear_all,
};
pub use movement::{concat, transpose};
pub use norm::{ChannelStats, batch_norm};
pub use parallel::{Parallel, Sequential};
pub use pool::{Pool, PoolShape, global_pool, pool2d};
pub use rms_norm::rms_norm;
pub use rope::{RopeShape, rope};
pub use sampling::{PARAMETERS, SamplingParams, appended_at, filter, penalties, sample, stop};
pub use softmax::{AxisShape, argmax, softmax};
pub use swiglu::swiglu;

#[cfg(test)]
mod tests;
