// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Whole Merkle trees of spec/trace.md, built the slow way, as the tests' other opinion.
library TraceTree {
    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @notice Level `g` of the tree over `leaves` (level 0: the leaves, padded with zeros to 2^height).
    function level(bytes32[] memory leaves, uint8 height, uint256 g) internal pure returns (bytes32[] memory row) {
        row = _padded(leaves, height);
        for (uint256 k = 0; k < g; k++) {
            _reduce(row);
        }
    }

    function root(bytes32[] memory leaves, uint8 height) internal pure returns (bytes32) {
        return level(leaves, height, height)[0];
    }

    function open(bytes32[] memory leaves, uint8 height, uint256 index) internal pure returns (bytes32[] memory proof) {
        bytes32[] memory row = _padded(leaves, height);
        proof = new bytes32[](height);
        for (uint256 k = 0; k < height; k++) {
            proof[k] = row[(index >> k) ^ 1];
            _reduce(row);
        }
    }

    function _padded(bytes32[] memory leaves, uint8 height) private pure returns (bytes32[] memory row) {
        row = new bytes32[](uint256(1) << height);
        for (uint256 i = 0; i < leaves.length; i++) {
            row[i] = leaves[i];
        }
    }

    /// @dev One level up, in place.
    function _reduce(bytes32[] memory row) private pure {
        uint256 half = row.length / 2;
        for (uint256 i = 0; i < half; i++) {
            row[i] = node(row[2 * i], row[2 * i + 1]);
        }
        assembly {
            mstore(row, half)
        }
    }
}
