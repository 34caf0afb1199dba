// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {StopLeaf} from "./StopLeaf.sol";
import {TraceTree} from "./TraceTree.sol";
import {ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {SegmentOpening} from "../../src/interfaces/Types.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice Segments of a test's model: how many operators and live slots each has.
struct Shape {
    uint8 traceHeight;
    uint8 opsHeight;
    uint8 liveHeight;
    uint32[] ops;
    uint32[] lives;
}

/// @notice A run of that model. With a salt it goes wrong at one place and stays wrong from there on; with a trap's salt one leaf
/// is wrong on purpose, and everything else right.
struct Run {
    uint32 steps;
    uint256 salt; // 0: right everywhere; from `TRAP` on: a trap
    uint64 leaf; // where it goes wrong ...
    bool live; // ... in an operator of the segment, or when a live slot is copied
    uint32 index;
}

/// @notice Both levels of the trace of a run. A digest says its place, and the salt from the wrong place on. Live tensors
/// have a shape and no element, so that an auditor can open them without bytes.
library GameTrace {
    uint256 internal constant TRAP = 1 << 255;

    function isTrap(Run memory r) internal pure returns (bool) {
        return r.salt >= TRAP;
    }

    /// @dev Wrong from some place on.
    function _errs(Run memory r) private pure returns (bool) {
        return r.salt != 0 && !isTrap(r);
    }

    function op(Run memory r, uint256 leaf, uint256 i) internal pure returns (bytes32) {
        bool wrong = _errs(r) && (leaf > r.leaf || (leaf == r.leaf && !r.live && i >= r.index));
        return keccak256(abi.encode("op", leaf, i, wrong ? r.salt : 0));
    }

    function live(Run memory r, uint256 leaf, uint256 j) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x02), liveHeader(r, leaf, j), bytes32(0)));
    }

    /// @notice SHA-256, f32, two dimensions, the second of them zero.
    function liveHeader(Run memory r, uint256 leaf, uint256 j) internal pure returns (bytes memory) {
        bool wrong = _errs(r) && (leaf > r.leaf || (leaf == r.leaf && (!r.live || j >= r.index)));
        uint64 place = uint64(uint256(keccak256(abi.encode("live", leaf, j, wrong ? r.salt : 0))));
        return abi.encodePacked(uint8(1), uint8(1), uint8(2), place, uint64(0));
    }

    function ops(Run memory r, Shape memory s, uint256 leaf) internal pure returns (bytes32[] memory digests) {
        digests = new bytes32[](s.ops[leaf % s.ops.length]);
        for (uint256 i = 0; i < digests.length; i++) {
            digests[i] = op(r, leaf, i);
        }
    }

    /// @notice In a model of several steps every step ends with a first slot that says "stop", whatever is wrong.
    function lives(Run memory r, Shape memory s, uint256 leaf) internal pure returns (bytes32[] memory digests) {
        digests = new bytes32[](s.lives[leaf % s.lives.length]);
        for (uint256 j = 0; j < digests.length; j++) {
            digests[j] = stops(s, leaf, j) ? StopLeaf.stopped() : live(r, leaf, j);
        }
    }

    function stops(Shape memory s, uint256 leaf, uint256 slot) internal pure returns (bool) {
        bool several = s.traceHeight > _height(s.ops.length);
        return several && slot == 0 && (leaf + 1) % s.ops.length == 0;
    }

    /// @notice Opening of the stop slot in the last leaf.
    function stopProof(Run memory r, Shape memory s) internal pure returns (bytes32[] memory) {
        return TraceTree.open(lives(r, s, uint256(r.steps) * s.ops.length - 1), s.liveHeight, 0);
    }

    function level1(Run memory r, Shape memory s) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](uint256(r.steps) * s.ops.length);
        for (uint256 l = 0; l < leaves.length; l++) {
            bool sprung = isTrap(r) && l == r.leaf;
            leaves[l] = sprung ? TraceHash.trapLeaf(bytes32(r.salt)) : TraceTree.root(lives(r, s, l), s.liveHeight);
        }
    }

    function level1Root(Run memory r, Shape memory s) internal pure returns (bytes32) {
        return TraceTree.root(level1(r, s), s.traceHeight);
    }

    function traceRoot(Run memory r, Shape memory s) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x03), r.steps, level1Root(r, s)));
    }

    /// @notice What the isolated place gives on this run's own inputs: right, unless it is the one place that went wrong.
    function truth(Run memory r, Shape memory s, uint256 leaf, bool inLive, uint256 index) internal pure returns (bytes32) {
        Run memory right;
        if (r.leaf == leaf && r.live == inLive && r.index == index) r = right;
        return inLive ? lives(r, s, leaf)[index] : op(r, leaf, index);
    }

    // ---- rows

    /// @notice Row of the node `height` above the leaves, number `index` of its level.
    function row(bytes32[] memory leaves, uint8 treeHeight, uint8 height, uint256 index)
        internal
        pure
        returns (bytes32[] memory out)
    {
        uint8 down = height < 4 ? height : 4;
        bytes32[] memory all = TraceTree.level(leaves, treeHeight, height - down);
        out = new bytes32[](uint256(1) << down);
        for (uint256 i = 0; i < out.length; i++) {
            out[i] = all[(index << down) + i];
        }
    }

    function leftmost(bytes32[] memory theirs, bytes32[] memory own) internal pure returns (bool differ, uint8 child) {
        for (uint256 i = 0; i < theirs.length; i++) {
            if (theirs[i] != own[i]) return (true, uint8(i));
        }
    }

    // ---- what an auditor shows

    /// @notice Salted root of a commit point: of its tensors only the one that ends a step has a chunk.
    function saltedRoot(Shape memory s, uint256 leaf, address auditor, uint256 taskId) internal pure returns (bytes32) {
        return TraceTree.root(_salted(s, leaf, auditor, taskId), s.liveHeight);
    }

    function _salted(Shape memory s, uint256 leaf, address auditor, uint256 taskId)
        private
        pure
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](1);
        if (stops(s, leaf, 0)) leaves[0] = sha256(abi.encodePacked(bytes1(0x07), auditor, taskId, StopLeaf.CHUNK));
    }

    function opening(Run memory r, Shape memory s, uint256 leaf, address auditor, uint256 taskId, uint256 slotSeed)
        internal
        pure
        returns (ChunkOpening memory o)
    {
        o.segment = segment(s, leaf % s.ops.length);
        o.slot = uint32(slotSeed % o.segment.liveCount);
        if (stops(s, leaf, o.slot)) (o.tensorHeader, o.chunk) = (StopLeaf.header(), StopLeaf.CHUNK);
        else o.tensorHeader = liveHeader(r, leaf, o.slot);
        o.liveProof = TraceTree.open(lives(r, s, leaf), s.liveHeight, o.slot);
        o.traceProof = TraceTree.open(level1(r, s), s.traceHeight, leaf);
        o.saltedLiveProof = TraceTree.open(_salted(s, leaf, auditor, taskId), s.liveHeight, o.slot);
    }

    // ---- the model's segment table

    function segment(Shape memory s, uint256 c) internal pure returns (SegmentOpening memory o) {
        o = _entry(s, c);
        o.proof = TraceTree.open(_entries(s), _height(s.ops.length), c);
    }

    function segmentsRoot(Shape memory s) internal pure returns (bytes32) {
        return TraceTree.root(_entries(s), _height(s.ops.length));
    }

    function nodeCount(Shape memory s) internal pure returns (uint32 count) {
        for (uint256 c = 0; c < s.ops.length; c++) {
            count += s.ops[c];
        }
    }

    function _entries(Shape memory s) private pure returns (bytes32[] memory entries) {
        entries = new bytes32[](s.ops.length);
        for (uint256 c = 0; c < entries.length; c++) {
            SegmentOpening memory o = _entry(s, c);
            entries[c] = sha256(abi.encodePacked(bytes1(0x04), o.index, o.firstNode, o.opCount, o.liveCount, o.liveListRoot));
        }
    }

    function _entry(Shape memory s, uint256 c) private pure returns (SegmentOpening memory o) {
        o.index = uint32(c);
        for (uint256 k = 0; k < c; k++) {
            o.firstNode += s.ops[k];
        }
        o.opCount = s.ops[c];
        o.liveCount = s.lives[c];
        o.liveListRoot = keccak256(abi.encode("live list", c));
    }

    function _height(uint256 n) private pure returns (uint8 h) {
        while ((uint256(1) << h) < n) h++;
    }
}
