// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {SoftFloat} from "../../src/step/SoftFloat.sol";

/// @notice What must hold of any floats; the bits of results are tested against hardware (crates/settlement/tests) and by the
/// vectors (StepVectors.t.sol).
contract SoftFloatTest is Test {
    uint256 private constant ONE = 0x3f800000;
    uint256 private constant SIGN = 0x80000000;

    function testFuzz_sumsAndProductsCommute(uint32 a, uint32 b, uint32 c) public pure {
        assertEq(SoftFloat.add(a, b), SoftFloat.add(b, a));
        assertEq(SoftFloat.mul(a, b), SoftFloat.mul(b, a));
        assertEq(SoftFloat.fma(a, b, c), SoftFloat.fma(b, a, c));
        assertEq(SoftFloat.max(a, b), SoftFloat.max(b, a));
        assertEq(SoftFloat.min(a, b), SoftFloat.min(b, a));
    }

    function testFuzz_neutralOperandsChangeNothing(uint32 a) public pure {
        uint256 same = SoftFloat.canonical(a);
        assertEq(SoftFloat.add(a, SIGN), same, "a + -0");
        assertEq(SoftFloat.sub(a, 0), same, "a - +0");
        assertEq(SoftFloat.mul(a, ONE), same);
        assertEq(SoftFloat.div(a, ONE), same);
        assertEq(SoftFloat.fma(a, ONE, SIGN), same);
    }

    function testFuzz_fmaOfOneOrMinusZeroIsTheOtherOperation(uint32 a, uint32 b) public pure {
        assertEq(SoftFloat.fma(a, b, SIGN), SoftFloat.mul(a, b));
        assertEq(SoftFloat.sub(a, b), SoftFloat.add(a, b ^ SIGN));
    }

    function testFuzz_oneIsAtMostOneOf(uint32 a, uint32 b) public pure {
        bool nan = SoftFloat.isNan(a) || SoftFloat.isNan(b);
        bool below = SoftFloat.less(a, b);
        bool above = SoftFloat.less(b, a);
        assertFalse(below && above);
        if (nan) {
            assertFalse(below || above);
            assertEq(SoftFloat.max(a, b), SoftFloat.NAN);
            assertEq(SoftFloat.min(a, b), SoftFloat.NAN);
        } else {
            assertFalse(SoftFloat.less(SoftFloat.max(a, b), a));
            assertFalse(SoftFloat.less(a, SoftFloat.min(a, b)));
        }
    }

    function testFuzz_whatStandsAboveAFloatIsNotRead(uint256 a, uint256 b, uint256 c) public pure {
        (uint256 x, uint256 y, uint256 z) = (uint32(a), uint32(b), uint32(c));
        assertEq(SoftFloat.add(a, b), SoftFloat.add(x, y));
        assertEq(SoftFloat.mul(a, b), SoftFloat.mul(x, y));
        assertEq(SoftFloat.div(a, b), SoftFloat.div(x, y));
        assertEq(SoftFloat.fma(a, b, c), SoftFloat.fma(x, y, z));
        assertEq(SoftFloat.sqrt(a), SoftFloat.sqrt(x));
        assertEq(SoftFloat.max(a, b), SoftFloat.max(x, y));
        assertEq(SoftFloat.min(a, b), SoftFloat.min(x, y));
        assertEq(SoftFloat.less(a, b), SoftFloat.less(x, y));
        assertEq(SoftFloat.toInt(a), SoftFloat.toInt(x));
        assertEq(SoftFloat.toHalf(a), SoftFloat.toHalf(x));
        assertEq(SoftFloat.toBfloat(a), SoftFloat.toBfloat(x));
        assertEq(SoftFloat.fromInt(a), SoftFloat.fromInt(uint64(a)));
        assertEq(SoftFloat.fromHalf(a), SoftFloat.fromHalf(uint16(a)));
        assertEq(SoftFloat.fromBfloat(a), SoftFloat.fromBfloat(uint16(a)));
    }

    function testFuzz_narrowFloatsComeBack(uint16 a) public pure {
        uint256 half = SoftFloat.toHalf(SoftFloat.fromHalf(a));
        assertEq(half, a & 0x7fff > 0x7c00 ? 0x7e00 : a);
        uint256 bfloat = SoftFloat.toBfloat(SoftFloat.fromBfloat(a));
        assertEq(bfloat, a & 0x7fff > 0x7f80 ? 0x7fc0 : a);
    }

    function testFuzz_rootsOfSquares(uint16 a) public pure {
        uint256 x = SoftFloat.fromUint(a & 0xfff);
        assertEq(SoftFloat.sqrt(SoftFloat.mul(x, x)), x);
    }

    function testFuzz_smallIntegersComeBack(int24 a) public pure {
        uint256 word = uint256(int256(a));
        assertEq(SoftFloat.toInt(SoftFloat.fromInt(word)), uint64(word));
    }
}
