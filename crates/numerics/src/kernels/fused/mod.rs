//! Kernels of a plan: weights packed once, activations with channels last, and what follows an operator done to its
//! register tile. The bits are those of the operators one after the other: every element goes through the same operations
//! in the same order, and a NaN is made canonical before it is stored.

mod columns;
mod depthwise;
mod erf;
mod image;
mod norm;
mod pointwise;
mod pooling;
mod product;
mod rows;
mod tail;
mod tile;

pub use columns::PackedColumns;
pub use depthwise::{Depthwise, PackedTaps, depthwise};
pub use erf::erf_program;
pub use image::{ImageShape, from_planes, to_planes};
pub use norm::{norm_channels, norm_rows};
pub use pointwise::pointwise;
pub use pooling::{pool_image, pool_whole};
pub use product::{IN_PLACE_COLUMNS, Right, RowsProduct, Taps, rows_product};
pub use rows::{MutRows, RowMap, Rows};
pub use tail::{Affine, Tail};

pub(super) use tile::{RowTile, row_tile};
