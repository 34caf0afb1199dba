// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SegmentOpening} from "../interfaces/Types.sol";
import {ModelHash} from "./ModelHash.sol";

/// @notice SHA-256 digests, rows and openings of spec/trace.md. Sizes are checked here, so that nobody folds a row of a
/// length that its height does not have.
/// Trees call the precompile straight from one buffer: a dispute hashes hundreds of nodes. Its success is checked, because
/// a caller may leave it too little gas, and the buffer would then keep what was in it.
library TraceHash {
    error RowLength(uint256 found, uint256 wanted);
    error ProofLength(uint256 found, uint256 wanted);
    error IndexOutsideTree(uint256 index, uint256 height);
    error HashFailed();

    bytes1 private constant TAG_CHUNK = 0x00;
    bytes1 private constant TAG_TENSOR = 0x02;
    bytes1 private constant TAG_TRACE_ROOT = 0x03;
    bytes1 private constant TAG_SEGMENT = 0x04;
    bytes1 private constant TAG_AUDIT_CHUNK = 0x07;
    bytes1 private constant TAG_TRAP = 0x0a;
    bytes1 private constant HASH_SHA256 = 0x01;
    /// @dev Levels that one row spans.
    uint256 private constant ROW_LEVELS = 4;

    /// @notice Entries of the row of a node `height` above the leaves.
    function rowLength(uint256 height) internal pure returns (uint256) {
        return uint256(1) << rowLevels(height);
    }

    /// @notice Levels between a node `height` above the leaves and its row.
    function rowLevels(uint256 height) internal pure returns (uint256) {
        return height < ROW_LEVELS ? height : ROW_LEVELS;
    }

    /// @notice The node whose row this is.
    function foldRow(bytes32[] calldata row, uint256 height) internal view returns (bytes32 result) {
        uint256 wanted = rowLength(height);
        // INVARIANT P-D1: A row has the length of its height.
        if (row.length != wanted) revert RowLength(row.length, wanted);
        bool done = true;
        assembly ("memory-safe") {
            let nodes := add(mload(0x40), 32)
            calldatacopy(nodes, row.offset, shl(5, wanted))
            // Pair i lies at nodes + 64 i and its hash goes to nodes + 32 i. The tag takes the byte before the pair, which is the
            // last of a pair already hashed, or the spare word's.
            for { let n := shr(1, wanted) } n { n := shr(1, n) } {
                for { let i := 0 } lt(i, n) { i := add(i, 1) } {
                    let tagged := sub(add(nodes, shl(6, i)), 1)
                    mstore8(tagged, 1)
                    done := and(done, staticcall(gas(), 2, tagged, 65, add(nodes, shl(5, i)), 32))
                }
            }
            result := mload(nodes)
        }
        if (!done) revert HashFailed();
    }

    /// @notice Root of a tree of `height` in which `proof` opens `leaf` at `index`; siblings from the leaf up.
    function rootOf(bytes32 leaf, uint256 index, bytes32[] calldata proof, uint256 height)
        internal
        view
        returns (bytes32 result)
    {
        // INVARIANT P-D3: An opening has the height of its tree.
        if (proof.length != height) revert ProofLength(proof.length, height);
        // INVARIANT P-D3: A leaf is in its tree; bits beyond the height would open the same leaf under many indices.
        if (index >> height != 0) revert IndexOutsideTree(index, height);
        bool done = true;
        result = leaf;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 1)
            for { let k := 0 } lt(k, height) { k := add(k, 1) } {
                let side := shl(5, and(shr(k, index), 1)) // where the path is: 0 left, 32 right
                mstore(add(add(buffer, 1), side), result)
                mstore(add(add(buffer, 33), sub(0, side)), calldataload(add(proof.offset, shl(5, k))))
                done := and(done, staticcall(gas(), 2, buffer, 65, 0, 32))
                result := mload(0)
            }
        }
        if (!done) revert HashFailed();
    }

    function traceRoot(uint32 steps, bytes32 level1Root) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_TRACE_ROOT, steps, level1Root));
    }

    /// @notice Leaf of a model's segment table.
    function segmentEntry(SegmentOpening calldata s) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_SEGMENT, s.index, s.firstNode, s.opCount, s.liveCount, s.liveListRoot));
    }

    function chunkLeaf(bytes calldata chunk) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_CHUNK, chunk));
    }

    /// @notice Digest of a tensor from its facts.
    function tensorDigest(uint8 dtype, uint64[] calldata dims, bytes32 chunkRoot) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_TENSOR, HASH_SHA256, dtype, uint8(dims.length), ModelHash.packWords(dims), chunkRoot));
    }

    /// @param header hash id, dtype, rank and dimensions as packed in the digest
    function tensorDigest(bytes calldata header, bytes32 chunkRoot) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_TENSOR, header, chunkRoot));
    }

    /// @notice A level-1 leaf that is wrong on purpose.
    function trapLeaf(bytes32 salt) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_TRAP, salt));
    }

    function auditLeaf(address auditor, uint256 taskId, bytes calldata chunk) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_AUDIT_CHUNK, auditor, taskId, chunk));
    }
}
