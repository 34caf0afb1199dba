// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IStepMachine} from "../interfaces/IStepMachine.sol";
import {
    ATTRIBUTES,
    ATTRIBUTES_LENGTH,
    CHUNKS,
    CHUNKS_LENGTH,
    OPERANDS,
    OPERANDS_LENGTH,
    OUTPUT_DIMS,
    OUTPUT_RANK,
    OUTPUT_TYPE,
    U64
} from "./Layout.sol";
import {SoftFloat} from "./SoftFloat.sol";

/// @notice What a program reads besides its registers: read from calldata once, then by position.
library Environments {
    error UnknownElementType(uint256 dtype);
    error OperandNotShown(uint256 position);
    error ChunkNotShown(uint256 position, uint256 index);
    error WrongChunkLength(uint256 position, uint256 index, uint256 length, uint256 expected);

    uint256 private constant CHUNK_BYTES = 1024;
    uint256 private constant F32 = 1;
    uint256 private constant BOOL = 5;
    // bytes of an element by its type, from byte 0 on
    uint256 private constant SIZES = 0x0004080401010102020408020208000000000000000000000000000000000000;

    // An operand's record: bytes of an element (0: it is not shown), elements, type, where its extents are in calldata, rank,
    // where the chunk's record is that was read last, its first chunk's key.
    uint256 private constant OPERAND_RECORD = 0xe0;
    // A chunk's record: its key, where its bytes are in calldata.
    uint256 private constant CHUNK_RECORD = 0x40;
    // A chunk's key: this, the operand's position in 16 bits, the chunk's index in 64. So no key is 0.
    uint256 private constant KEY = 0x10000;

    /// Puts the environment where the functions below read it; gives the end of the memory that it takes.
    function decode(IStepMachine.Environment calldata env) internal pure returns (uint256 end) {
        uint64[] calldata words = env.attributes;
        uint64[] calldata dims = env.dims;
        uint256 dtype = env.dtype;
        sizeOf(dtype);
        assembly ("memory-safe") {
            mstore(ATTRIBUTES, words.offset)
            mstore(ATTRIBUTES_LENGTH, words.length)
            mstore(OUTPUT_TYPE, dtype)
            mstore(OUTPUT_DIMS, dims.offset)
            mstore(OUTPUT_RANK, dims.length)
        }
        return _decodeChunks(env.chunks, _decodeOperands(env.operands));
    }

    function _decodeOperands(IStepMachine.Operand[] calldata operands) private pure returns (uint256 end) {
        unchecked {
            uint256 count = operands.length;
            end = OPERANDS + count * OPERAND_RECORD;
            assembly ("memory-safe") {
                mstore(OPERANDS_LENGTH, count)
                mstore(CHUNKS, end)
            }
            for (uint256 i; i < count; ++i) {
                IStepMachine.Operand calldata operand = operands[i];
                if (!operand.shown) continue;
                uint64[] calldata dims = operand.dims;
                uint256 dtype = operand.dtype;
                uint256 size = sizeOf(dtype);
                assembly ("memory-safe") {
                    // more elements than there are indices are as good as just as many
                    let elements := 1
                    for { let at := dims.offset } lt(at, add(dims.offset, shl(5, dims.length))) { at := add(at, 32) } {
                        let extent := and(calldataload(at), U64)
                        if iszero(extent) {
                            elements := 0
                            break
                        }
                        elements := mul(elements, extent)
                        if gt(elements, shl(64, 1)) { elements := shl(64, 1) }
                    }
                    let record := add(OPERANDS, mul(i, OPERAND_RECORD))
                    mstore(record, size)
                    mstore(add(record, 0x20), elements)
                    mstore(add(record, 0x40), dtype)
                    mstore(add(record, 0x60), dims.offset)
                    mstore(add(record, 0x80), dims.length)
                    mstore(add(record, 0xa0), end)
                    mstore(add(record, 0xc0), shl(64, or(KEY, i)))
                }
            }
        }
    }

    function _decodeChunks(IStepMachine.Chunk[] calldata chunks, uint256 at) private pure returns (uint256 end) {
        unchecked {
            uint256 count = chunks.length;
            end = at;
            for (uint256 i; i < count; ++i) {
                IStepMachine.Chunk calldata chunk = chunks[i];
                bytes calldata data = chunk.data;
                uint256 position = chunk.position;
                uint256 index = chunk.index;
                uint256 expected = _bytesOf(position, index);
                // INVARIANT P-L3: a chunk has the length that its tensor gives it.
                if (data.length != expected) revert WrongChunkLength(position, index, data.length, expected);
                assembly ("memory-safe") {
                    mstore(end, or(shl(64, or(KEY, position)), index))
                    mstore(add(end, 0x20), data.offset)
                    end := add(end, CHUNK_RECORD)
                }
            }
            assembly ("memory-safe") {
                mstore(CHUNKS_LENGTH, count)
            }
        }
    }

    /// Bytes of chunk `index` of an operand: those of a whole chunk, or what is left for the last, or none.
    function _bytesOf(uint256 position, uint256 index) private pure returns (uint256) {
        unchecked {
            uint256 record = _shown(position);
            if (record == 0) revert OperandNotShown(position);
            uint256 size;
            uint256 elements;
            assembly ("memory-safe") {
                size := mload(record)
                elements := mload(add(record, 0x20))
            }
            uint256 total = size * elements;
            uint256 begin = index * CHUNK_BYTES;
            if (begin >= total) return 0;
            return total - begin < CHUNK_BYTES ? total - begin : CHUNK_BYTES;
        }
    }

    /// Bytes of an element of this type.
    function sizeOf(uint256 dtype) internal pure returns (uint256 size) {
        assembly ("memory-safe") {
            size := byte(dtype, SIZES)
        }
        if (size == 0) revert UnknownElementType(dtype);
    }

    /// An operand's record; 0 where the operator has no such input.
    function _shown(uint256 position) private pure returns (uint256 record) {
        uint256 size;
        assembly ("memory-safe") {
            if lt(position, mload(OPERANDS_LENGTH)) {
                record := add(OPERANDS, mul(position, OPERAND_RECORD))
                size := mload(record)
            }
        }
        // INVARIANT P-L7: what an executed instruction needs and is not shown makes the call fail.
        if (record != 0 && size == 0) revert OperandNotShown(position);
    }

    function load(uint256 position, uint256 element) internal pure returns (uint256 word) {
        uint256 dtype;
        uint256 size;
        uint256 at;
        uint256 from;
        assembly ("memory-safe") {
            if lt(position, mload(OPERANDS_LENGTH)) {
                let record := add(OPERANDS, mul(position, OPERAND_RECORD))
                if lt(element, mload(add(record, 0x20))) {
                    dtype := mload(add(record, 0x40))
                    size := mload(record)
                    from := mul(element, size)
                    // mostly it is where the operand was read last
                    let chunk := mload(add(record, 0xa0))
                    if eq(mload(chunk), add(mload(add(record, 0xc0)), shr(10, from))) {
                        at := add(mload(add(chunk, 0x20)), and(from, 1023))
                    }
                }
            }
        }
        if (at == 0) {
            uint256 record = _shown(position);
            if (record == 0 || size == 0) return 0;
            at = _find(record, position, from);
        }
        assembly ("memory-safe") {
            // little-endian: the first byte is the lowest
            word := calldataload(at)
            switch size
            case 1 { word := byte(0, word) }
            case 2 { word := or(byte(0, word), shl(8, byte(1, word))) }
            case 8 {
                word := or(and(shr(200, word), 0xff00ff00ff00ff), shl(8, and(shr(192, word), 0xff00ff00ff00ff)))
                word := or(and(shr(16, word), 0xffff0000ffff), shl(16, and(word, 0xffff0000ffff)))
                word := or(shr(32, word), shl(32, word))
            }
            default {
                word := or(and(shr(232, word), 0xff00ff), shl(8, and(shr(224, word), 0xff00ff)))
                word := or(shr(16, word), shl(16, word))
            }
        }
        return stored(dtype, word);
    }

    /// Where in calldata byte `from` of an operand is.
    function _find(uint256 record, uint256 position, uint256 from) private pure returns (uint256 found) {
        assembly ("memory-safe") {
            let key := add(mload(add(record, 0xc0)), shr(10, from))
            // chunks mostly come in the order in which they are read: begin where the operand was read last
            let chunk := mload(add(record, 0xa0))
            let begin := mload(CHUNKS)
            let end := add(begin, mul(mload(CHUNKS_LENGTH), CHUNK_RECORD))
            for { let left := mload(CHUNKS_LENGTH) } left { left := sub(left, 1) } {
                if eq(mload(chunk), key) {
                    mstore(add(record, 0xa0), chunk)
                    found := add(mload(add(chunk, 0x20)), and(from, 1023))
                    break
                }
                chunk := add(chunk, CHUNK_RECORD)
                if eq(chunk, end) { chunk := begin }
            }
        }
        // INVARIANT P-L7: what an executed instruction needs and is not shown makes the call fail.
        if (found == 0) revert ChunkNotShown(position, from / CHUNK_BYTES);
    }

    /// The bits that an element of this type keeps of a word.
    function stored(uint256 dtype, uint256 word) internal pure returns (uint256) {
        if (dtype == F32) return SoftFloat.canonical(word);
        if (dtype == BOOL) return word & 1;
        unchecked {
            return word & ((1 << 8 * sizeOf(dtype)) - 1);
        }
    }

    function dim(uint256 position, uint256 axis) internal pure returns (uint256) {
        uint256 record = _shown(position);
        if (record == 0) return 1;
        return _extent(record + 0x60, axis);
    }

    function rank(uint256 position) internal pure returns (uint256 axes) {
        uint256 record = _shown(position);
        if (record == 0) return 0;
        assembly ("memory-safe") {
            axes := mload(add(record, 0x80))
        }
    }

    function outDim(uint256 axis) internal pure returns (uint256) {
        return _extent(OUTPUT_DIMS, axis);
    }

    /// Extent of an axis of the list at `list`: where it is in calldata, and how long; 1 where there is none.
    function _extent(uint256 list, uint256 axis) private pure returns (uint256 found) {
        assembly ("memory-safe") {
            found := 1
            if lt(axis, mload(add(list, 0x20))) { found := and(calldataload(add(mload(list), shl(5, axis))), U64) }
        }
    }

    function attribute(uint256 index) internal pure returns (uint256 found) {
        assembly ("memory-safe") {
            if lt(index, mload(ATTRIBUTES_LENGTH)) { found := and(calldataload(add(mload(ATTRIBUTES), shl(5, index))), U64) }
        }
    }
}
