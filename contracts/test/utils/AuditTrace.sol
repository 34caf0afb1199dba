// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {SegmentOpening} from "../../src/interfaces/Types.sol";
import {StopLeaf} from "./StopLeaf.sol";
import {TraceTree} from "./TraceTree.sol";

/// @notice Traces with bytes behind every digest, so that an auditor can hold them, or fail to. The model has four commit
/// points with 1, 3, 4 and 2 live tensors; slot 0 is smaller than a chunk, slot 1 fills its chunks, slot 2 ends in a short
/// one, slot 3 has no element.
library AuditTrace {
    uint32 internal constant COMMIT_POINTS = 4;
    uint8 internal constant TRACE_HEIGHT = 4; // four steps
    uint8 internal constant LIVE_HEIGHT = 2;
    uint256 private constant CHUNK = 1024;

    /// @notice A run: from leaf `wrongFrom` on its bytes are those of `variant`, before that those of everyone.
    struct Run {
        uint32 steps;
        uint256 variant;
        uint256 wrongFrom;
    }

    function liveCount(uint256 leafIndex) internal pure returns (uint32) {
        return [uint32(1), 3, 4, 2][leafIndex % COMMIT_POINTS];
    }

    /// @notice Slot 0 where a step ends says that the run has stopped.
    function stops(uint256 leafIndex, uint256 slot) internal pure returns (bool) {
        return slot == 0 && (leafIndex + 1) % COMMIT_POINTS == 0;
    }

    function header(uint256 leafIndex, uint256 slot) internal pure returns (bytes memory) {
        if (stops(leafIndex, slot)) return StopLeaf.header();
        if (slot == 0) return abi.encodePacked(uint8(1), uint8(1), uint8(2), uint64(2), uint64(3));
        if (slot == 1) return abi.encodePacked(uint8(1), uint8(3), uint8(2), uint64(5), uint64(256));
        if (slot == 2) return abi.encodePacked(uint8(1), uint8(4), uint8(1), uint64(2500));
        return abi.encodePacked(uint8(1), uint8(2), uint8(2), uint64(7), uint64(0));
    }

    function size(uint256 leafIndex, uint256 slot) internal pure returns (uint256) {
        if (stops(leafIndex, slot)) return StopLeaf.CHUNK.length;
        return [uint256(24), 5120, 2500, 0][slot];
    }

    function content(Run memory run, uint256 leafIndex, uint256 slot) internal pure returns (bytes memory data) {
        if (stops(leafIndex, slot)) return StopLeaf.CHUNK;
        uint256 variant = leafIndex >= run.wrongFrom ? run.variant : 0;
        data = new bytes(size(leafIndex, slot));
        for (uint256 at = 0; at < data.length; at += 32) {
            bytes32 word = keccak256(abi.encode(variant, leafIndex, slot, at));
            // Allocations are whole words, so the last one may be written in full.
            assembly ("memory-safe") {
                mstore(add(add(data, 32), at), word)
            }
        }
    }

    // ---- trees

    function chunk(bytes memory data, uint256 index) internal pure returns (bytes memory out) {
        uint256 from = index * CHUNK;
        uint256 length = data.length - from < CHUNK ? data.length - from : CHUNK;
        out = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(out, 32), add(add(data, 32), from), length)
        }
    }

    function chunkCount(uint256 bytes_) internal pure returns (uint256) {
        return (bytes_ + CHUNK - 1) / CHUNK;
    }

    function height(uint256 leaves) internal pure returns (uint8 h) {
        while ((uint256(1) << h) < leaves) h++;
    }

    /// @param prefix what is hashed before the chunk: 0x00, or 0x07, auditor and task
    function chunkLeaves(bytes memory data, bytes memory prefix) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](chunkCount(data.length));
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = sha256(abi.encodePacked(prefix, chunk(data, i)));
        }
    }

    function chunkRoot(bytes memory data, bytes memory prefix) internal pure returns (bytes32) {
        bytes32[] memory leaves = chunkLeaves(data, prefix);
        return TraceTree.root(leaves, height(leaves.length));
    }

    function digests(Run memory run, uint256 leafIndex) internal pure returns (bytes32[] memory row) {
        row = new bytes32[](liveCount(leafIndex));
        for (uint256 slot = 0; slot < row.length; slot++) {
            bytes32 root = chunkRoot(content(run, leafIndex, slot), hex"00");
            row[slot] = sha256(abi.encodePacked(bytes1(0x02), header(leafIndex, slot), root));
        }
    }

    function liveRoots(Run memory run) internal pure returns (bytes32[] memory row) {
        row = new bytes32[](uint256(run.steps) * COMMIT_POINTS);
        for (uint256 i = 0; i < row.length; i++) {
            row[i] = TraceTree.root(digests(run, i), LIVE_HEIGHT);
        }
    }

    /// @notice Opening of the stop slot in the last leaf.
    function stopProof(Run memory run) internal pure returns (bytes32[] memory) {
        return TraceTree.open(digests(run, uint256(run.steps) * COMMIT_POINTS - 1), LIVE_HEIGHT, 0);
    }

    function saltedRoots(Run memory run, uint256 leafIndex, address auditor, uint256 taskId)
        internal
        pure
        returns (bytes32[] memory row)
    {
        row = new bytes32[](liveCount(leafIndex));
        for (uint256 slot = 0; slot < row.length; slot++) {
            row[slot] = chunkRoot(content(run, leafIndex, slot), salt(auditor, taskId));
        }
    }

    function salt(address auditor, uint256 taskId) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes1(0x07), auditor, taskId);
    }

    function saltedRoot(Run memory run, uint256 leafIndex, address auditor, uint256 taskId) internal pure returns (bytes32) {
        return TraceTree.root(saltedRoots(run, leafIndex, auditor, taskId), LIVE_HEIGHT);
    }

    // ---- the model's segments

    function segment(uint256 index) internal pure returns (SegmentOpening memory s) {
        s.index = uint32(index);
        s.firstNode = uint32(index * 10);
        s.opCount = 10;
        s.liveCount = liveCount(index);
        s.liveListRoot = keccak256(abi.encode("live list", index));
        s.proof = TraceTree.open(entries(), 2, index);
    }

    function entries() internal pure returns (bytes32[] memory row) {
        row = new bytes32[](COMMIT_POINTS);
        for (uint256 c = 0; c < COMMIT_POINTS; c++) {
            row[c] = sha256(
                abi.encodePacked(
                    bytes1(0x04), uint32(c), uint32(c * 10), uint32(10), liveCount(c), keccak256(abi.encode("live list", c))
                )
            );
        }
    }

    // ---- an honest opening

    function open(Run memory run, uint256 leafIndex, address auditor, uint256 taskId, uint256 a, uint256 b)
        internal
        pure
        returns (ChunkOpening memory o)
    {
        o.segment = segment(leafIndex % COMMIT_POINTS);
        o.slot = uint32(a % liveCount(leafIndex));
        o.tensorHeader = header(leafIndex, o.slot);
        bytes memory data = content(run, leafIndex, o.slot);
        uint256 chunks = chunkCount(data.length);
        if (chunks != 0) {
            o.chunkIndex = uint64(b % chunks);
            o.chunk = chunk(data, o.chunkIndex);
        }
        o.chunkProof = TraceTree.open(chunkLeaves(data, hex"00"), height(chunks), o.chunkIndex);
        o.saltedChunkProof = TraceTree.open(chunkLeaves(data, salt(auditor, taskId)), height(chunks), o.chunkIndex);
        o.liveProof = TraceTree.open(digests(run, leafIndex), LIVE_HEIGHT, o.slot);
        o.saltedLiveProof = TraceTree.open(saltedRoots(run, leafIndex, auditor, taskId), LIVE_HEIGHT, o.slot);
        o.traceProof = TraceTree.open(liveRoots(run), TRACE_HEIGHT, leafIndex);
    }
}
