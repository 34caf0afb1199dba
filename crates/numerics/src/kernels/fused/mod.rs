//! Kernels of a plan: weights packed once, activations with channels last, and what follows an operator done to its
//! register tile. The bits are those of the operators one after the other: every element goes through the same operations
//! in the same order, and a NaN is made canonical before it is stored.

/// `$body` for each row of `$rows`, at most a dozen, with the row's number as a constant: the compiler does not unroll loops as
/// long as these, and keeps in memory what is not unrolled.
macro_rules! each_row {
    ($rows:expr, |$row:ident| $body:expr) => {
        $crate::kernels::fused::each_row!(@ $rows, $row, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $rows:expr, $row:ident, $body:expr, $($number:literal)*) => {
        $(if $number < $rows {
            const $row: usize = $number;
            $body
        })*
    };
}
use each_row;

/// Calls the tile of so many rows, from 1 to the last `$number`, and of one vector of columns or two.
macro_rules! tile_of_size {
    ($tile:ident($simd:expr, $job:expr), $rows:expr, $vecs:expr, $($number:literal)*) => {
        match ($rows, $vecs) {
            $(
                ($number, 1) => $tile::<$number, 1>($simd, $job),
                ($number, 2) => $tile::<$number, 2>($simd, $job),
            )*
            (rows, vecs) => unreachable!("a tile of {rows} rows and {vecs} vectors"),
        }
    };
}
pub(super) use tile_of_size;

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
