// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TraceTree} from "./TraceTree.sol";

/// @notice Live roots whose slot 0 says that the run has stopped (P-T6).
library StopLeaf {
    bytes internal constant CHUNK = hex"0100000000000000";

    /// @notice SHA-256, i64, one dimension, of extent 1.
    function header() internal pure returns (bytes memory) {
        return abi.encodePacked(hex"010201", uint64(1));
    }

    /// @notice Digest of the tensor i64[1] that holds 1.
    function stopped() internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"02", header(), sha256(abi.encodePacked(hex"00", CHUNK))));
    }

    /// @notice A live root of this height; `seed` says what else is live.
    function leaf(bytes32 seed, uint8 height) internal pure returns (bytes32 node) {
        node = stopped();
        bytes32[] memory siblings = proof(seed, height);
        for (uint256 k = 0; k < height; k++) {
            node = TraceTree.node(node, siblings[k]);
        }
    }

    /// @notice The opening of its slot 0.
    function proof(bytes32 seed, uint8 height) internal pure returns (bytes32[] memory siblings) {
        siblings = new bytes32[](height);
        for (uint256 k = 0; k < height; k++) {
            siblings[k] = keccak256(abi.encode(seed, k));
        }
    }
}
