// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Bls12} from "./Bls12.sol";
import {PublishedRounds} from "./PublishedRounds.sol";
import {Rounds} from "./Rounds.sol";

/// @notice A drand network of scheme bls-unchained-g1-rfc9380 (quicknet): a round's value is the hash of a threshold signature
/// of the round's number, which exists once most of the network's members have signed, and which nobody can choose.
/// Whoever has it publishes it; this contract verifies it. Needs the precompiles of EIP-2537 (Prague).
contract DrandBeacon is PublishedRounds {
    error BadPublicKey();
    error SelfTestFailed();
    error WrongSignature(uint64 round);

    /// @dev The public key, a word each: immutables have no arrays.
    uint256 private immutable _k0;
    uint256 private immutable _k1;
    uint256 private immutable _k2;
    uint256 private immutable _k3;
    uint256 private immutable _k4;
    uint256 private immutable _k5;
    uint256 private immutable _k6;
    uint256 private immutable _k7;

    constructor(uint256[8] memory key, uint64 genesis_, uint64 period_, uint64 drift_) Rounds(genesis_, period_, drift_) {
        _selfTest();
        // INVARIANT P-B2: Under a key outside the subgroup, or infinity, others than the network could sign.
        if (!Bls12.isKey(key)) revert BadPublicKey();
        (_k0, _k1, _k2, _k3) = (key[0], key[1], key[2], key[3]);
        (_k4, _k5, _k6, _k7) = (key[4], key[5], key[6], key[7]);
    }

    /// @notice Publish a round that is due. Anyone, once.
    /// @param signature The network's signature of the round, as an uncompressed point of G1: x and y, two words each.
    function publish(uint64 round, uint256[4] calldata signature) external virtual returns (bytes32 value) {
        _requireOpen(round);
        value = _verified(round, signature);
        _publish(round, value);
    }

    function publicKey() public view returns (uint256[8] memory) {
        return [_k0, _k1, _k2, _k3, _k4, _k5, _k6, _k7];
    }

    function spoiled(uint64) external view virtual returns (bool) {
        return false;
    }

    function scheme() external view virtual returns (bytes32) {
        return "drand";
    }

    /// @dev The round's randomness as drand defines it.
    function _verified(uint64 round, uint256[4] calldata signature) internal view returns (bytes32) {
        uint256[4] memory point = signature;
        // INVARIANT P-B2: A value is the hash of the network's signature of this round, and there is one such signature.
        if (!Bls12.verify(publicKey(), _message(round), point)) revert WrongSignature(round);
        return sha256(Bls12.compress(point));
    }

    function _message(uint64 round) private pure returns (bytes32) {
        return sha256(abi.encodePacked(round));
    }

    /// @dev Round 1000 of quicknet, whichever network this is for.
    function _selfTest() private view {
        uint256[8] memory key = [
            0x0d1fec758c921cc22b0e17e63aaf4bcb,
            0x5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a,
            0x03cf0f2896adee7eb8b5f01fcad39122,
            0x12c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451,
            0x0e5db2b6bfbb01c867749cadffca88b3,
            0x6c24f3012ba09fc4d3022c5c37dce0f977d3adb5d183c7477c442b1f04515273,
            0x01a714f2edb74119a2f2b0d5a7c75ba9,
            0x02d163700a61bc224ededd8e63aef7be1aaf8e93d7a9718b047ccddb3eb5d68b
        ];
        uint256[4] memory signature = [
            0x144679b9a59af2ec876b1a6b1ad52ea9,
            0xb1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39,
            0x11f92e4521ef54f047b64b85fa98db2d,
            0x46f0f44add1f60b93f8a0dbddd63b34f238657c2d93aed18b90bddd60a01b6d2
        ];
        // INVARIANT P-B2: Where the precompiles are missing, or say yes to anything, there is no such beacon.
        if (!Bls12.verify(key, _message(1000), signature) || Bls12.verify(key, _message(1001), signature)) {
            revert SelfTestFailed();
        }
    }
}
