// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Environments} from "./Environments.sol";
import {INSTRUCTIONS, NEXT, OPERANDS_LENGTH, OUTPUT_RANK, OUTPUT_TYPE, PROGRAM, REFUSE, REGISTERS, TABLE} from "./Layout.sol";
import {SoftFloat} from "./SoftFloat.sol";

/// @notice The instructions of spec/numerics.md, "Programs". Each is a function of the instruction's 8 bytes and its operands a
/// and b; what it gives, modulo 2^64, becomes register d. Those without a `d` give 0 to register 0, which is 0.
library Instructions {
    error UnknownOpcode(uint256 opcode);
    error MalformedInstruction(uint256 instruction);
    error TargetOutsideProgram(uint256 target, uint256 instructions);

    // Bits that the fields of an instruction have among its 8 bytes. A register is a number of 6 bits.
    uint256 private constant D = 0x3f << 48;
    uint256 private constant A = 0x3f << 40;
    uint256 private constant B = 0x3f << 32;
    uint256 private constant C = 0x3f;
    uint256 private constant IMMEDIATE = 0xffffffff;

    /// Fills the table: for every opcode the bits that an instruction may have, the code that runs it, the least d.
    function fillTable() internal pure {
        function(uint256, uint256, uint256) pure returns (uint256) none = refuse;
        assembly ("memory-safe") {
            mstore(REFUSE, none)
            // eight zeros have no bit that is not allowed
            mstore(TABLE, shl(64, none))
        }
        _set(0x01, A, _end);
        _set(0x02, IMMEDIATE, _jump);
        _set(0x03, A | B | IMMEDIATE, _jumpLess);
        _set(0x10, D | A | B | IMMEDIATE, _add);
        _set(0x11, D | A | B, _sub);
        _set(0x12, D | A | B, _mul);
        _set(0x13, D | A | B, _div);
        _set(0x14, D | A | B, _mod);
        _set(0x15, D | A | B, _and);
        _set(0x16, D | A | B, _or);
        _set(0x17, D | A | B, _less);
        _set(0x18, D | A | B, _equal);
        _set(0x19, D | A | B | C, _select);
        _set(0x1a, D | A | IMMEDIATE, _signExtend);
        _set(0x20, D | A | IMMEDIATE, _get);
        _set(0x21, A | B | IMMEDIATE, _put);
        _set(0x30, D | A | B, _fAdd);
        _set(0x31, D | A | B, _fSub);
        _set(0x32, D | A | B, _fMul);
        _set(0x33, D | A | B, _fDiv);
        _set(0x34, D | A, _fSqrt);
        _set(0x35, D | A | B | C, _fma);
        _set(0x36, D | A | B, _fMax);
        _set(0x37, D | A | B, _fMin);
        _set(0x38, D | A | B, _fLess);
        _set(0x39, D | A, _toF32);
        _set(0x3a, D | A, _signedToF32);
        _set(0x3b, D | A, _f32ToInt);
        _set(0x3c, D | A, _f16ToF32);
        _set(0x3d, D | A, _bf16ToF32);
        _set(0x3e, D | A, _f32ToF16);
        _set(0x3f, D | A, _f32ToBf16);
        _set(0x40, D | A | B, _load);
        _set(0x41, D | A | B | IMMEDIATE, _dim);
        _set(0x42, D | B, _rank);
        _set(0x43, D | A | IMMEDIATE, _outDim);
        _set(0x44, D, _outRank);
        _set(0x45, D | A | IMMEDIATE, _attribute);
        _set(0x46, D, _inputs);
    }

    function _set(uint256 opcode, uint256 fields, function(uint256, uint256, uint256) pure returns (uint256) code) private pure {
        assembly ("memory-safe") {
            // from bit 0: the fields and any opcode; from 64: the code; from 128: the least d, if there is one
            let entry := or(or(fields, shl(56, 0x7f)), or(shl(64, code), shl(128, and(fields, 0x1000000000000))))
            mstore(add(TABLE, shl(5, opcode)), entry)
        }
    }

    /// What stands for an instruction where there is none.
    function refuse(uint256 i, uint256, uint256) internal pure returns (uint256) {
        uint256 opcode = i >> 56;
        uint256 entry;
        assembly ("memory-safe") {
            entry := mload(add(TABLE, shl(5, and(opcode, 0x7f))))
        }
        if (opcode == 0 || opcode >= 0x80 || entry == 0) revert UnknownOpcode(opcode);
        revert MalformedInstruction(i);
    }

    // ---- control

    function _end(uint256, uint256 a, uint256) private pure returns (uint256) {
        uint256 dtype;
        assembly ("memory-safe") {
            dtype := mload(OUTPUT_TYPE)
        }
        uint256 value = Environments.stored(dtype, a);
        // a run ends here and nowhere else, so that the loop has nothing to ask
        assembly ("memory-safe") {
            mstore(0, shl(192, value))
            mstore(0, keccak256(0, 8))
            mstore(0x20, 1)
            return(0, 0x40)
        }
    }

    function _jump(uint256 i, uint256, uint256) private pure returns (uint256) {
        return _jumpLess(i, 0, 1);
    }

    function _jumpLess(uint256 i, uint256 a, uint256 b) private pure returns (uint256) {
        uint256 target = uint32(i);
        uint256 count;
        assembly ("memory-safe") {
            count := mload(INSTRUCTIONS)
            if lt(a, b) { mstore(NEXT, add(mload(PROGRAM), shl(3, target))) }
        }
        // INVARIANT N-Programs: targets are below the number of instructions.
        if (target >= count) revert TargetOutsideProgram(target, count);
        return 0;
    }

    // ---- integers

    function _add(uint256 i, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return a + b + uint32(i);
        }
    }

    function _sub(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return a - b;
        }
    }

    function _mul(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return a * b;
        }
    }

    function _div(uint256, uint256 a, uint256 b) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := div(a, b) // 0 where b is 0
        }
    }

    function _mod(uint256, uint256 a, uint256 b) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := mod(a, b) // 0 where b is 0
        }
    }

    function _and(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return a & b;
    }

    function _or(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return a | b;
    }

    function _less(uint256, uint256 a, uint256 b) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := lt(a, b)
        }
    }

    function _equal(uint256, uint256 a, uint256 b) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := eq(a, b)
        }
    }

    function _select(uint256 i, uint256 a, uint256 b) private pure returns (uint256) {
        return a != 0 ? b : _c(i);
    }

    function _signExtend(uint256 i, uint256 a, uint256) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            let above := sub(256, and(i, 63))
            // no bits mean all 64
            switch eq(above, 256)
            case 1 { d := a }
            default { d := sar(above, shl(above, a)) }
        }
    }

    // ---- lanes: registers 32..64

    function _get(uint256 i, uint256 a, uint256) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := mload(add(REGISTERS, shl(5, or(32, and(add(a, i), 31)))))
        }
    }

    function _put(uint256 i, uint256 a, uint256 b) private pure returns (uint256) {
        assembly ("memory-safe") {
            mstore(add(REGISTERS, shl(5, or(32, and(add(a, i), 31)))), b)
        }
        return 0;
    }

    // ---- floats

    function _fAdd(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.add(a, b);
    }

    function _fSub(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.sub(a, b);
    }

    function _fMul(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.mul(a, b);
    }

    function _fDiv(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.div(a, b);
    }

    function _fSqrt(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.sqrt(a);
    }

    function _fma(uint256 i, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.fma(a, b, _c(i));
    }

    function _fMax(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.max(a, b);
    }

    function _fMin(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.min(a, b);
    }

    function _fLess(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return SoftFloat.less(a, b) ? 1 : 0;
    }

    function _toF32(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.fromUint(a);
    }

    function _signedToF32(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.fromInt(a);
    }

    function _f32ToInt(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.toInt(a);
    }

    function _f16ToF32(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.fromHalf(a);
    }

    function _bf16ToF32(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.fromBfloat(a);
    }

    function _f32ToF16(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.toHalf(a);
    }

    function _f32ToBf16(uint256, uint256 a, uint256) private pure returns (uint256) {
        return SoftFloat.toBfloat(a);
    }

    // ---- environment

    function _load(uint256, uint256 a, uint256 b) private pure returns (uint256) {
        return Environments.load(b, a);
    }

    function _dim(uint256 i, uint256 a, uint256 b) private pure returns (uint256) {
        return Environments.dim(b, _index(i, a));
    }

    function _rank(uint256, uint256, uint256 b) private pure returns (uint256) {
        return Environments.rank(b);
    }

    function _outDim(uint256 i, uint256 a, uint256) private pure returns (uint256) {
        return Environments.outDim(_index(i, a));
    }

    function _outRank(uint256, uint256, uint256) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := mload(OUTPUT_RANK)
        }
    }

    function _attribute(uint256 i, uint256 a, uint256) private pure returns (uint256) {
        return Environments.attribute(_index(i, a));
    }

    function _inputs(uint256, uint256, uint256) private pure returns (uint256 d) {
        assembly ("memory-safe") {
            d := mload(OPERANDS_LENGTH)
        }
    }

    // ---- fields

    /// Register c.
    function _c(uint256 i) private pure returns (uint256 c) {
        assembly ("memory-safe") {
            c := mload(add(REGISTERS, shl(5, and(i, 63))))
        }
    }

    /// a + imm
    function _index(uint256 i, uint256 a) private pure returns (uint256) {
        unchecked {
            return uint64(a + uint32(i));
        }
    }
}
