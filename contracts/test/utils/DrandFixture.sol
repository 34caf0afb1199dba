// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "./Test.sol";
import {Bls12} from "../../src/beacon/Bls12.sol";
import {DrandBeacon} from "../../src/beacon/DrandBeacon.sol";

/// @notice quicknet as it was published, and a network of one member whose secret the tests know. Tests say in their
/// configuration that they run on a chain with the precompiles of EIP-2537.
abstract contract DrandFixture is Test {
    uint64 internal constant QUICKNET_GENESIS = 1_692_803_367;
    uint256 internal constant SECRET = 0x2a5c0f6f1d3b8e97a4c1e0d2b3f4a5968778695a4b3c2d1e0f00112233445566;
    uint256 internal constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 internal constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    string internal json;

    function setUp() public virtual {
        json = vm.readFile("../spec/vectors/beacon/quicknet.json");
        vm.warp(1_800_000_000);
    }

    function _words8(bytes32[] memory words) internal pure returns (uint256[8] memory point) {
        for (uint256 i = 0; i < 8; i++) {
            point[i] = uint256(words[i]);
        }
    }

    function _words4(bytes32[] memory words) internal pure returns (uint256[4] memory point) {
        for (uint256 i = 0; i < 4; i++) {
            point[i] = uint256(words[i]);
        }
    }

    function _quicknetKey() internal view returns (uint256[8] memory) {
        return _words8(vm.parseJsonBytes32Array(json, ".public_key_point"));
    }

    function _quicknet() internal returns (DrandBeacon) {
        return new DrandBeacon(_quicknetKey(), QUICKNET_GENESIS, 3, 0);
    }

    /// @dev Path of the vector's field.
    function _at(uint256 i, string memory field) internal pure returns (string memory) {
        return string.concat(".rounds[", vm.toString(i), "].", field);
    }

    function _vector(uint256 i) internal view returns (uint64 round, uint256[4] memory point, bytes32 randomness) {
        round = uint64(vm.parseJsonUint(json, _at(i, "round")));
        point = _words4(vm.parseJsonBytes32Array(json, _at(i, "point")));
        randomness = vm.parseJsonBytes32(json, _at(i, "randomness"));
    }

    // ---- the network of one member

    function _key() internal view returns (uint256[8] memory) {
        uint256[8] memory generator = [
            0x024aa2b2f08f0a91260805272dc51051,
            0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8,
            0x13e02b6052719f607dacd3a088274f65,
            0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e,
            0x0ce5d527727d6e118cc9cdc6da2e351a,
            0xadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801,
            0x0606c4a02ea734cc32acd2b02bc28b99,
            0xcb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be
        ];
        return abi.decode(_precompile(0x0e, abi.encodePacked(generator, SECRET)), (uint256[8]));
    }

    function _sign(uint64 round) internal view returns (uint256[4] memory) {
        bytes memory message = Bls12.hashToG1(sha256(abi.encodePacked(round)));
        return abi.decode(_precompile(0x0c, abi.encodePacked(message, SECRET)), (uint256[4]));
    }

    function _precompile(uint160 at, bytes memory input) internal view returns (bytes memory) {
        (bool ok, bytes memory output) = address(at).staticcall(input);
        require(ok && output.length != 0, "precompile");
        return output;
    }
}
