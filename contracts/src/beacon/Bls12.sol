// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice BLS signatures on G1 of BLS12-381 with public keys on G2, by the precompiles of EIP-2537. Points are in that EIP's
/// encoding: a field element in two words, the upper of which has 16 bytes; of Fp2 the real part first.
library Bls12 {
    error PrecompileMissing(address precompile);
    error PrecompileFailed(address precompile);
    error PointAtInfinity();
    error NotOnCurve();
    error NotInSubgroup();

    address private constant MODEXP = address(0x05);
    address private constant G1ADD = address(0x0b);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_FP_TO_G1 = address(0x10);

    /// @dev RFC 9380's DST_prime: the tag of the suite, and its length.
    bytes private constant TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_\x2b";

    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    /// @dev (p - 1) / 2
    uint256 private constant HALF_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;

    /// @dev The negative of G2's generator.
    bytes private constant MINUS_G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa"
        hex"0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";

    /// @notice Whether `signature` is that of `message` under `key`. A point that is no point of G1 is told by its fault.
    function verify(uint256[8] memory key, bytes32 message, uint256[4] memory signature) internal view returns (bool) {
        _requireOnCurve(signature);
        bytes memory hashed = hashToG1(message);
        // e(signature, -G2) e(H(message), key) = 1
        (bool ok, bytes memory one) = _call(PAIRING, abi.encodePacked(signature, MINUS_G2, hashed, key), 32);
        // The other three points are known to be good, so that only the signature's subgroup can make the precompile fail.
        if (!ok) revert NotInSubgroup();
        return abi.decode(one, (uint256)) == 1;
    }

    /// @notice Whether these words are a point of G2's subgroup other than infinity.
    function isKey(uint256[8] memory key) internal view returns (bool) {
        uint256 any;
        for (uint256 i = 0; i < 8; i++) {
            any |= key[i];
        }
        if (any == 0) return false;
        uint256[4] memory infinity;
        (bool ok,) = _call(PAIRING, abi.encodePacked(infinity, key), 32);
        return ok;
    }

    /// @notice RFC 9380's hash_to_curve of suite BLS12381G1_XMD:SHA-256_SSWU_RO_; the precompile maps and clears the cofactor.
    function hashToG1(bytes32 message) internal view returns (bytes memory point) {
        bytes32 b0 = sha256(abi.encodePacked(bytes32(0), bytes32(0), message, uint16(128), uint8(0), TAG));
        bytes32 b1 = sha256(abi.encodePacked(b0, uint8(1), TAG));
        bytes32 b2 = sha256(abi.encodePacked(b0 ^ b1, uint8(2), TAG));
        bytes32 b3 = sha256(abi.encodePacked(b0 ^ b2, uint8(3), TAG));
        bytes32 b4 = sha256(abi.encodePacked(b0 ^ b3, uint8(4), TAG));
        point = _must(G1ADD, abi.encodePacked(_map(b1, b2), _map(b3, b4)), 128);
    }

    /// @notice The 48 bytes that a signature is published as: x, and in its three free bits that it is compressed, no
    /// infinity, and whether y is the larger of the two roots.
    function compress(uint256[4] memory point) internal pure returns (bytes memory) {
        bool larger = point[2] > HALF_HIGH || (point[2] == HALF_HIGH && point[3] > HALF_LOW);
        return abi.encodePacked(uint128(point[0] | (larger ? 0xa0 << 120 : 0x80 << 120)), point[1]);
    }

    /// @dev 512 bits to the field, and from there to G1.
    function _map(bytes32 high, bytes32 low) private view returns (bytes memory) {
        bytes memory input = abi.encodePacked(uint256(64), uint256(1), uint256(48), high, low, uint8(1), uint128(P_HIGH), P_LOW);
        bytes memory element = _must(MODEXP, input, 48);
        return _must(MAP_FP_TO_G1, abi.encodePacked(bytes16(0), element), 128);
    }

    function _requireOnCurve(uint256[4] memory point) private view {
        // The precompiles take infinity for a point like others.
        if (point[0] | point[1] | point[2] | point[3] == 0) revert PointAtInfinity();
        uint256[4] memory infinity;
        (bool ok,) = _call(G1ADD, abi.encodePacked(point, infinity), 128);
        if (!ok) revert NotOnCurve();
    }

    function _must(address precompile, bytes memory input, uint256 length) private view returns (bytes memory output) {
        bool ok;
        (ok, output) = _call(precompile, input, length);
        if (!ok) revert PrecompileFailed(precompile);
    }

    /// @dev Where there is no precompile a call succeeds and gives nothing.
    function _call(address precompile, bytes memory input, uint256 length) private view returns (bool ok, bytes memory output) {
        (ok, output) = precompile.staticcall(input);
        if (ok && output.length != length) revert PrecompileMissing(precompile);
    }
}
