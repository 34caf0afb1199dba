// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Sizes that follow from a tensor's element type and extents (spec/trace.md, "Tensor digest").
library TensorShape {
    error UnknownDType(uint8 dtype);
    error RankTooLarge(uint256 found, uint256 most);
    error TensorTooLarge(uint256 most);

    uint256 internal constant CHUNK_BYTES = 1024;
    uint256 internal constant RANK_MAX = 8;
    /// @dev Trees are at most 32 high, so a tensor has at most 2^32 chunks.
    uint256 internal constant BYTES_MAX = CHUNK_BYTES << 32;

    function elementBytes(uint8 dtype) internal pure returns (uint8) {
        if (dtype == 1 || dtype == 3 || dtype == 9) return 4; // f32, i32, u32
        if (dtype == 2 || dtype == 10 || dtype == 13) return 8; // i64, u64, f64
        if (dtype >= 4 && dtype <= 6) return 1; // u8, bool, i8
        if (dtype == 7 || dtype == 8 || dtype == 11 || dtype == 12) return 2; // i16, u16, f16, bf16
        revert UnknownDType(dtype);
    }

    function bytesOf(uint8 dtype, uint64[] calldata dims) internal pure returns (uint256 size) {
        // INVARIANT P-L2: Shapes are small, whatever a model says.
        if (dims.length > RANK_MAX) revert RankTooLarge(dims.length, RANK_MAX);
        size = elementBytes(dtype);
        bool empty;
        bool tooLarge;
        for (uint256 i = 0; i < dims.length; i++) {
            if (dims[i] == 0) empty = true;
            // A product past the bound stays where it is; a later zero still makes the tensor empty.
            else if (!tooLarge) tooLarge = (size *= dims[i]) > BYTES_MAX;
        }
        if (empty) return 0;
        // INVARIANT P-L3: A shape fits the tallest tree.
        if (tooLarge) revert TensorTooLarge(BYTES_MAX);
    }

    function chunkCount(uint256 size) internal pure returns (uint256) {
        return (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
    }

    /// @notice Bytes of chunk `index`, which a tensor of this size has.
    function chunkLength(uint256 size, uint256 index) internal pure returns (uint256) {
        uint256 left = size - index * CHUNK_BYTES;
        return left < CHUNK_BYTES ? left : CHUNK_BYTES;
    }
}
