// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice IEEE-754 binary32 by integers (rules N-1 to N-5, N-17 and N-23 to N-29 of spec/numerics.md). A float is the low
/// 32 bits of a word, whatever stands above them; a result has zeros above, and its NaN is 0x7fc00000.
///
/// A finite float is m * 2^e with m below 2^24 and e at least -149. Every operation computes its exact result as an integer
/// times a power of two, or that with a last bit that says "and a little more", and `_round` rounds it once.
library SoftFloat {
    uint256 internal constant NAN = 0x7fc00000;
    uint256 private constant INFINITY = 0x7f800000;
    uint256 private constant ONE = 0x3f800000;
    uint256 private constant SIGN = 0x80000000;
    uint256 private constant MAGNITUDE = 0x7fffffff;

    function add(uint256 a, uint256 b) internal pure returns (uint256) {
        return fma(a, ONE, b);
    }

    function sub(uint256 a, uint256 b) internal pure returns (uint256) {
        return fma(a, ONE, b ^ SIGN);
    }

    function mul(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            if (_special(a) || _special(b)) return _mulSpecial(a, b);
            (uint256 ma, uint256 ea) = _split(a);
            (uint256 mb, uint256 eb) = _split(b);
            return _round((a ^ b) & SIGN, ma * mb, ea + eb);
        }
    }

    /// @notice a * b + c, rounded once.
    function fma(uint256 a, uint256 b, uint256 c) internal pure returns (uint256) {
        uint256 sum;
        uint256 sign = a ^ b;
        uint256 e;
        assembly ("memory-safe") {
            let ea := and(shr(23, a), 0xff)
            let eb := and(shr(23, b), 0xff)
            let ec := and(shr(23, c), 0xff)
            // with the product 32 bits further left its exponent is this less 332; c's is so far above it
            e := add(ea, eb)
            let distance := sub(add(ec, 182), e)
            // all three are normal, and neither the product nor c is all but nothing beside the other
            if and(lt(distance, 104), and(and(lt(sub(ea, 1), 254), lt(sub(eb, 1), 254)), lt(sub(ec, 1), 254))) {
                sum := shl(32, mul(or(and(a, 0x7fffff), 0x800000), or(and(b, 0x7fffff), 0x800000)))
                let other := shl(distance, or(and(c, 0x7fffff), 0x800000))
                switch and(xor(sign, c), SIGN)
                case 0 { sum := add(sum, other) }
                default {
                    sum := sub(sum, other)
                    if slt(sum, 0) {
                        sum := sub(0, sum)
                        sign := c
                    }
                }
            }
        }
        unchecked {
            return sum != 0 ? _round(sign & SIGN, sum, e - 332) : _fmaAny(a, b, c);
        }
    }

    /// The same for any three.
    function _fmaAny(uint256 a, uint256 b, uint256 c) private pure returns (uint256) {
        unchecked {
            if (_special(a) || _special(b) || _special(c)) {
                // a finite product beside a special c changes nothing
                uint256 product = _special(a) || _special(b) ? _mulSpecial(a, b) : 0;
                return _addSpecial(product, c);
            }
            (uint256 ma, uint256 ea) = _split(a);
            (uint256 mb, uint256 eb) = _split(b);
            (uint256 mc, uint256 ec) = _split(c);
            return _sum((a ^ b) & SIGN, ma * mb, ea + eb, c & SIGN, mc, ec);
        }
    }

    function div(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            uint256 sign = (a ^ b) & SIGN;
            (uint256 ma, uint256 ea) = _split(a);
            (uint256 mb, uint256 eb) = _split(b);
            if (_special(a) || _special(b) || mb == 0) {
                if (isNan(a) || isNan(b)) return NAN;
                if (_special(a)) return _special(b) ? NAN : sign | INFINITY;
                if (_special(b)) return sign;
                return ma == 0 ? NAN : sign | INFINITY;
            }
            // 64 bits more than the divisor has: at least 40 bits of quotient, and the rest is "a little more"
            ma <<= 64;
            uint256 quotient = ma / mb;
            if (quotient * mb != ma) quotient |= 1;
            return _round(sign, quotient, ea - eb - 64);
        }
    }

    function sqrt(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (isNan(a)) return NAN;
            (uint256 m, uint256 e) = _split(a);
            if (m == 0) return a & SIGN; // of -0 it is -0
            if (a & SIGN != 0) return NAN;
            if (_special(a)) return INFINITY;
            // an even exponent, and a radicand in [2^86, 2^88): 44 bits of root, and the rest is "a little more"
            uint256 shift = 86 - _log2(m);
            if ((e - shift) & 1 != 0) ++shift;
            m <<= shift;
            e -= shift;
            uint256 root;
            assembly ("memory-safe") {
                // m / 3 * 2^-43 + 0.7 * 2^43 errs by at most 1/30 of the root; a step takes the error to half its square, so
                // three of them end at most one above
                root := add(div(m, 0x180000000000), 0x59999999999)
                root := shr(1, add(root, div(m, root)))
                root := shr(1, add(root, div(m, root)))
                root := shr(1, add(root, div(m, root)))
                root := sub(root, lt(div(m, root), root))
                root := or(root, lt(mul(root, root), m))
                e := sar(1, e)
            }
            return _round(0, root, e);
        }
    }

    /// @notice The larger; NaN if either is, and of two zeros +0 if either is.
    function max(uint256 a, uint256 b) internal pure returns (uint256) {
        if (isNan(a) || isNan(b)) return NAN;
        if (less(a, b)) return uint32(b);
        if (less(b, a)) return uint32(a);
        return uint32(a & b);
    }

    /// @notice The smaller; NaN if either is, and of two zeros -0 if either is.
    function min(uint256 a, uint256 b) internal pure returns (uint256) {
        if (isNan(a) || isNan(b)) return NAN;
        if (less(a, b)) return uint32(a);
        if (less(b, a)) return uint32(b);
        return uint32(a | b);
    }

    /// @notice Whether a < b: false where either is NaN.
    function less(uint256 a, uint256 b) internal pure returns (bool) {
        if (isNan(a) || isNan(b)) return false;
        return _order(a) < _order(b);
    }

    function isNan(uint256 a) internal pure returns (bool) {
        return a & MAGNITUDE > INFINITY;
    }

    /// @notice The float itself, or the one NaN.
    function canonical(uint256 a) internal pure returns (uint256) {
        return isNan(a) ? NAN : uint32(a);
    }

    /// @notice The integer below 2^64 as a float.
    function fromUint(uint256 a) internal pure returns (uint256) {
        return _round(0, a, 0);
    }

    /// @notice The low 64 bits, in two's complement, as a float.
    function fromInt(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (a >> 63 & 1 == 0) return _round(0, uint64(a), 0);
            return _round(SIGN, uint64(0 - a), 0);
        }
    }

    /// @notice The nearest integer, ties to even, as 64 bits in two's complement: saturating, and 0 for NaN.
    function toInt(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (isNan(a)) return 0;
            bool negative = a & SIGN != 0;
            (uint256 m, uint256 e) = _split(a);
            if (int256(e) >= 0) {
                // an infinity has exponent 105 here
                m <<= e;
            } else {
                m = _shiftRight(m, 0 - e);
            }
            uint256 most = negative ? 1 << 63 : (1 << 63) - 1;
            if (m > most) m = most;
            return uint64(negative ? 0 - m : m);
        }
    }

    /// @notice The binary16 in the low 16 bits.
    function fromHalf(uint256 a) internal pure returns (uint256) {
        unchecked {
            uint256 sign = (a & 0x8000) << 16;
            uint256 exponent = a >> 10 & 0x1f;
            uint256 fraction = a & 0x3ff;
            if (exponent == 0x1f) return fraction == 0 ? sign | INFINITY : NAN;
            if (exponent == 0) return _round(sign, fraction, uint256(int256(-24)));
            return sign | (exponent + 112) << 23 | fraction << 13;
        }
    }

    /// @notice The bfloat16 in the low 16 bits.
    function fromBfloat(uint256 a) internal pure returns (uint256) {
        return canonical((a & 0xffff) << 16);
    }

    /// @notice The nearest binary16.
    function toHalf(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (isNan(a)) return 0x7e00;
            uint256 exponent = a >> 23 & 0xff;
            uint256 magnitude;
            // below the least normal, 2^-14, in units of 2^-24; else the bits of a, whose bias is 112 more
            if (exponent < 113) magnitude = _shiftRight(a & 0x7fffff | 0x800000, 126 - exponent);
            else magnitude = _shiftRight(a & MAGNITUDE, 13) - (112 << 10);
            return (a & SIGN) >> 16 | (magnitude < 0x7c00 ? magnitude : 0x7c00);
        }
    }

    /// @notice The nearest bfloat16.
    function toBfloat(uint256 a) internal pure returns (uint256) {
        if (isNan(a)) return 0x7fc0;
        return (a & SIGN) >> 16 | _shiftRight(a & MAGNITUDE, 16);
    }

    // ---- parts

    /// Whether a is an infinity or NaN.
    function _special(uint256 a) private pure returns (bool) {
        return a & INFINITY == INFINITY;
    }

    /// a + b where one of them is an infinity or NaN.
    function _addSpecial(uint256 a, uint256 b) private pure returns (uint256) {
        if (isNan(a) || isNan(b)) return NAN;
        if (!_special(a)) return uint32(b);
        if (!_special(b)) return uint32(a);
        return (a ^ b) & SIGN == 0 ? uint32(a) : NAN;
    }

    /// a * b where one of them is an infinity or NaN.
    function _mulSpecial(uint256 a, uint256 b) private pure returns (uint256) {
        if (isNan(a) || isNan(b) || a & MAGNITUDE == 0 || b & MAGNITUDE == 0) return NAN;
        return (a ^ b) & SIGN | INFINITY;
    }

    /// The magnitude of a finite float as m * 2^e, e in two's complement.
    function _split(uint256 a) private pure returns (uint256 m, uint256 e) {
        assembly ("memory-safe") {
            let exponent := and(shr(23, a), 0xff)
            let subnormal := iszero(exponent)
            m := or(and(a, 0x7fffff), shl(23, iszero(subnormal)))
            e := sub(add(exponent, subnormal), 150)
        }
    }

    /// A place on a line where the order of numbers is that of integers; both zeros have the same.
    function _order(uint256 a) private pure returns (int256) {
        unchecked {
            int256 magnitude = int256(a & MAGNITUDE);
            return a & SIGN == 0 ? magnitude : -magnitude;
        }
    }

    /// ma * 2^ea + mb * 2^eb with these signs, rounded. The second is a split float, the first one too or a product of two: so
    /// where ea > eb, ma is at least 2^23, and what is added far below it decides nothing but to which side it is off.
    function _sum(uint256 signA, uint256 ma, uint256 ea, uint256 signB, uint256 mb, uint256 eb) private pure returns (uint256) {
        unchecked {
            if (ma == 0) {
                // of zeros with different signs the sum is +0
                if (mb == 0) return signA & signB;
                return _round(signB, mb, eb);
            }
            if (mb == 0) return _round(signA, ma, ea);
            uint256 distance = ea - eb;
            // bring both to the lower exponent; what lies further below than 100 bits is "a little more" or "a little less"
            if (int256(distance) >= 0) {
                if (distance > 100) (distance, mb, eb) = (100, 1, ea - 100);
                ma <<= distance;
            } else {
                distance = eb - ea;
                if (distance > 100) (distance, ma, eb) = (100, 1, eb - 100);
                else eb = ea;
                mb <<= distance;
            }
            if (signA == signB) return _round(signA, ma + mb, eb);
            if (ma > mb) return _round(signA, ma - mb, eb);
            if (ma < mb) return _round(signB, mb - ma, eb);
            return 0;
        }
    }

    /// m / 2^bits to nearest, ties to even; at least one bit.
    function _shiftRight(uint256 m, uint256 bits) private pure returns (uint256) {
        unchecked {
            return (m + (1 << bits - 1) - 1 + (m >> bits & 1)) >> bits;
        }
    }

    /// m * 2^e with this sign, to nearest, ties to even; m is below 2^150.
    function _round(uint256 sign, uint256 m, uint256 e) private pure returns (uint256 r) {
        if (m == 0) return sign;
        uint256 top = _log2(m);
        assembly ("memory-safe") {
            // with 24 zeros behind m there is always something to take off: what is beyond 24 bits or below 2^-149
            m := shl(24, m)
            let off := add(top, 1)
            let below := sub(not(124), e)
            if slt(off, below) { off := below }
            let odd := and(shr(off, m), 1)
            m := shr(off, add(m, add(odd, sub(shl(sub(off, 1), 1), 1))))
            // the leading bit of a normal number counts into the exponent, and so does a carry
            r := add(shl(23, add(add(e, off), 125)), m)
            if gt(r, INFINITY) { r := INFINITY }
            r := or(r, sign)
        }
    }

    /// Position of the highest bit of x, which is not 0.
    function _log2(uint256 x) private pure returns (uint256 r) {
        assembly ("memory-safe") {
            r := shl(7, lt(0xffffffffffffffffffffffffffffffff, x))
            r := or(r, shl(6, lt(0xffffffffffffffff, shr(r, x))))
            r := or(r, shl(5, lt(0xffffffff, shr(r, x))))
            r := or(r, shl(4, lt(0xffff, shr(r, x))))
            r := or(r, shl(3, lt(0xff, shr(r, x))))
            // the last byte by a table: the shifted pattern gives every position an index of its own
            r := or(
                r,
                byte(
                    and(0x1f, shr(shr(r, x), 0x8421084210842108cc6318c6db6d54be)),
                    0x0706060506020504060203020504030106050205030304010505030400000000
                )
            )
        }
    }
}
