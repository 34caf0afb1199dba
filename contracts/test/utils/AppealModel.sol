// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "./Test.sol";
import {TinyMachine} from "./TinyMachine.sol";
import {TraceTree} from "./TraceTree.sol";
import {NodeFacts, OperandProof, Source, SourceOpening} from "../../src/interfaces/IAppealLevels.sol";
import {ModelHeader, SegmentOpening} from "../../src/interfaces/Types.sol";

/// @notice A model of four operators in two segments, with everything that a dispute about it opens. Its programs are its own,
/// so that an element of the first operator takes many batches and the states in between can be told.
///
///   segment 0   scan[1,N] i64 = running sum of x, plus w0      fold[3] i64 = every 700th of scan, plus w1
///               live: x, fold
///   segment 1   sum[3] i32 = fold + x                          none[0] i64 from sum
///               live: none, fold
abstract contract AppealModel is Test {
    struct Tensor {
        uint8 dtype;
        uint64[] dims;
        bytes data;
    }

    uint64 internal constant N = 2200; // 18 chunks: two rows of a tree of height 5
    uint256 internal constant X = 0;
    uint256 internal constant W0 = 1;
    uint256 internal constant W1 = 2;
    uint256 internal constant SCAN = 3; // the node is the tensor's number less 3
    uint256 internal constant FOLD = 4;
    uint256 internal constant SUM = 5;
    uint256 internal constant NONE = 6;
    uint8 internal constant I64 = 2;
    uint8 internal constant I32 = 3;

    Tensor[7] internal tensors; // as the model gives them
    ModelHeader internal model;
    bytes32 internal table;

    function _buildModel() internal {
        uint64[] memory x = new uint64[](N);
        uint64[] memory scan = new uint64[](N);
        uint64 sum = 40;
        for (uint64 i = 0; i < N; i++) {
            x[i] = 3 * i + 1;
            sum += x[i];
            scan[i] = sum;
        }
        uint64[] memory w1 = new uint64[](3);
        uint64[] memory fold = new uint64[](3);
        uint64[] memory added = new uint64[](3);
        for (uint64 i = 0; i < 3; i++) {
            w1[i] = 5 + i;
            fold[i] = scan[700 * i] + w1[i];
            added[i] = fold[i] + x[i];
        }
        uint64[] memory w0 = new uint64[](1);
        w0[0] = 40;
        _put(X, I64, _dims(1, N), _bytes(x, 8));
        _put(W0, I64, _dims(1), _bytes(w0, 8));
        _put(W1, I64, _dims(3), _bytes(w1, 8));
        _put(SCAN, I64, _dims(1, N), _bytes(scan, 8));
        _put(FOLD, I64, _dims(3), _bytes(fold, 8));
        _put(SUM, I32, _dims(3), _bytes(added, 4));
        _put(NONE, I64, _dims(0), "");
        table = TraceTree.root(_programLeaves(), 6);
        model.numericsVersion = 1;
        model.loweringVersion = 1;
        model.nodeCount = 4;
        model.maxSteps = 2;
        model.commitPoints = 2;
        model.traceHeight = 2;
        model.opsHeight = 1;
        model.liveHeight = 1;
        model.work = 1;
        model.nodesRoot = TraceTree.root(_nodeLeaves(), 2);
        model.edgesRoot = TraceTree.root(_edgeLeaves(), 3);
        model.weightsRoot = TraceTree.root(_weightLeaves(), 1);
        model.segmentsRoot = TraceTree.root(_segmentLeaves(), 1);
    }

    // ---- programs

    function _program(uint16 op) internal pure returns (bytes memory) {
        if (op == 4) {
            return abi.encodePacked(
                hex"4004020000000000", // 0: r4 = in[0][r2]
                hex"1003030400000000", // r3 += r4
                hex"1002020000000001", // r2 += 1
                hex"1005010000000001", // r5 = r1 + 1
                hex"0300020500000000", // to 0 if r2 < r5
                hex"1006000000000001", // r6 = 1
                hex"4007000600000000", // r7 = in[1][0]
                hex"1003030700000000", // r3 += r7
                hex"0100030000000000" // end: r3
            );
        }
        if (op == 5) {
            return abi.encodePacked(
                hex"10020000000002bc", // r2 = 700
                hex"1203010200000000", // r3 = r1 * r2
                hex"4004030000000000", // r4 = in[0][r3]
                hex"1005000000000001", // r5 = 1
                hex"4006010500000000", // r6 = in[1][r1]
                hex"1007040600000000", // r7 = r4 + r6
                hex"0100070000000000"
            );
        }
        if (op == 6) {
            return abi.encodePacked(
                hex"4002010000000000", // r2 = in[0][r1]
                hex"1003000000000001", // r3 = 1
                hex"4004010300000000", // r4 = in[1][r1]
                hex"1005020400000000", // r5 = r2 + r4
                hex"0100050000000000"
            );
        }
        return op == 7 ? bytes(hex"0100000000000000") : bytes("");
    }

    function _programLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](38);
        for (uint16 op = 4; op < 8; op++) {
            leaves[op] = sha256(abi.encodePacked(hex"0870", op, _program(op)));
        }
    }

    // ---- the model's tables

    function _node(uint256 tensor) internal view returns (NodeFacts memory n) {
        n.op = uint16(tensor + 1);
        n.attributes = _dims(9, tensor); // read by no program
        n.dtype = tensors[tensor].dtype;
        n.dims = tensors[tensor].dims;
    }

    function _nodeLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](4);
        for (uint256 i = 0; i < 4; i++) {
            NodeFacts memory n = _node(SCAN + i);
            bytes memory head = abi.encodePacked(hex"06", n.op, uint16(2), n.attributes[0], n.attributes[1], n.dtype);
            leaves[i] = sha256(abi.encodePacked(head, uint8(n.dims.length), _words(n.dims)));
        }
    }

    /// @dev Inputs of the four operators, node by node.
    function _edge(uint256 i) internal pure returns (uint32 node, uint16 position, uint16 count, Source memory s) {
        if (i == 0) return (0, 0, 2, Source(0, 0, 0, 0));
        if (i == 1) return (0, 1, 2, Source(1, 0, 0, 0));
        if (i == 2) return (1, 0, 2, Source(2, 0, 0, 0));
        if (i == 3) return (1, 1, 2, Source(1, 0, 1, 0));
        if (i == 4) return (2, 0, 2, Source(2, 0, 1, 0));
        if (i == 5) return (2, 1, 2, Source(0, 0, 0, 0));
        return (3, 0, 1, Source(2, 0, 2, 0));
    }

    function _edgeLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](7);
        for (uint256 i = 0; i < 7; i++) {
            (uint32 node, uint16 position, uint16 count, Source memory s) = _edge(i);
            leaves[i] = sha256(abi.encodePacked(hex"0801", node, position, count, _source(s)));
        }
    }

    function _weightLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2);
        for (uint32 i = 0; i < 2; i++) {
            leaves[i] = sha256(abi.encodePacked(hex"0802", i, _digest(tensors[W0 + i])));
        }
    }

    /// @dev What the live list of a segment names at a slot.
    function _live(uint256 segment, uint256 slot) internal pure returns (Source memory s, uint256 tensor) {
        if (slot == 1) return (Source(2, 0, 1, 0), FOLD);
        return segment == 0 ? (Source(0, 0, 0, 0), X) : (Source(2, 0, 3, 0), NONE);
    }

    function _listLeaves(uint256 segment) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2);
        for (uint32 slot = 0; slot < 2; slot++) {
            (Source memory s,) = _live(segment, slot);
            leaves[slot] = sha256(abi.encodePacked(hex"0804", slot, _source(s)));
        }
    }

    function _segment(uint256 c) internal pure returns (SegmentOpening memory s) {
        s = _entry(c);
        s.proof = TraceTree.open(_segmentLeaves(), 1, c);
    }

    function _segmentLeaves() internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2);
        for (uint256 c = 0; c < 2; c++) {
            SegmentOpening memory s = _entry(c);
            leaves[c] = sha256(abi.encodePacked(hex"04", s.index, s.firstNode, s.opCount, s.liveCount, s.liveListRoot));
        }
    }

    function _entry(uint256 c) private pure returns (SegmentOpening memory s) {
        s.index = uint32(c);
        s.firstNode = uint32(2 * c);
        s.opCount = 2;
        s.liveCount = 2;
        s.liveListRoot = TraceTree.root(_listLeaves(c), 1);
    }

    // ---- the trace

    /// @dev Digests of a segment's operators; that of `wrong` (0: none) is `claimed`.
    function _ops(uint256 segment, uint256 wrong, bytes32 claimed) internal view returns (bytes32[] memory digests) {
        digests = new bytes32[](2);
        for (uint256 i = 0; i < 2; i++) {
            uint256 tensor = SCAN + 2 * segment + i;
            digests[i] = tensor == wrong ? claimed : _digest(tensors[tensor]);
        }
    }

    /// @dev Digests live after a segment of the first step; `leaf` -1 is what was there before.
    function _lives(int256 leaf) internal view returns (bytes32[] memory digests) {
        digests = new bytes32[](leaf < 0 ? 1 : 2);
        for (uint256 slot = 0; slot < digests.length; slot++) {
            (, uint256 tensor) = leaf < 0 ? (_noSource(), X) : _live(uint256(leaf), slot);
            digests[slot] = _digest(tensors[tensor]);
        }
    }

    /// @dev An input of an operator, opened in a trace whose operators are `ops`.
    function _operand(uint256 edge, bytes32[] memory ops) internal view returns (OperandProof memory o) {
        uint32 node;
        (node, o.position, o.count, o.at.source) = _edge(edge);
        o.edgeIndex = uint32(edge);
        o.edgeProof = TraceTree.open(_edgeLeaves(), 3, edge);
        uint256 tensor = _tensorAt(o.at.source);
        o.dtype = tensors[tensor].dtype;
        o.dims = tensors[tensor].dims;
        o.chunkRoot = _chunkRoot(tensors[tensor].data);
        _openSource(o.at, node / 2, ops);
    }

    function _openSource(SourceOpening memory at, uint256 segment, bytes32[] memory ops) internal view {
        if (at.source.kind == 1) {
            at.proof = TraceTree.open(_weightLeaves(), 1, at.source.index);
        } else if (at.source.kind == 2 && at.source.index >= 2 * segment) {
            at.proof = TraceTree.open(ops, 1, at.source.index - 2 * segment);
        } else if (segment == 0) {
            at.proof = TraceTree.open(_lives(-1), 1, 0);
        } else {
            at.slot = at.source.kind == 0 ? 0 : 1;
            at.proof = TraceTree.open(_lives(0), 1, at.slot);
            at.listProof = TraceTree.open(_listLeaves(0), 1, at.slot);
        }
    }

    function _tensorAt(Source memory s) internal pure returns (uint256) {
        return s.kind == 0 ? X : s.kind == 1 ? W0 + s.index : SCAN + s.index;
    }

    // ---- runs of the machine

    /// @dev Preimages of the states of one element of `scan`, every 128 steps, to the one that has halted.
    function _run(uint64 element) internal view returns (bytes[] memory states) {
        uint64[][] memory inputs = new uint64[][](2);
        (inputs[0], inputs[1]) = (_elements(tensors[X].data), _elements(tensors[W0].data));
        bytes memory program = _program(4);
        TinyMachine.State memory s = TinyMachine.start(element);
        uint256 batches = (5 * (uint256(element) + 1) + 4 + 127) / 128;
        states = new bytes[](batches + 1);
        states[0] = TinyMachine.encode(s);
        for (uint256 i = 1; i <= batches; i++) {
            TinyMachine.run(s, program, inputs, 128);
            states[i] = TinyMachine.encode(s);
        }
        assertTrue(s.halted, "a run ends");
    }

    function _initial(uint64 element) internal pure returns (bytes memory) {
        return abi.encodePacked(uint32(0), element, new bytes(496));
    }

    // ---- tensors

    function _digest(Tensor memory t) internal pure returns (bytes32) {
        return _digestOf(t.dtype, t.dims, _chunkRoot(t.data));
    }

    function _digestOf(uint8 dtype, uint64[] memory dims, bytes32 chunkRoot) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"0201", dtype, uint8(dims.length), _words(dims), chunkRoot));
    }

    function _chunkRoot(bytes memory data) internal pure returns (bytes32) {
        return TraceTree.root(_chunkLeaves(data), _chunkHeight(data));
    }

    function _chunkLeaves(bytes memory data) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[]((data.length + 1023) / 1024);
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = sha256(abi.encodePacked(hex"00", _chunk(data, i)));
        }
    }

    function _chunkHeight(bytes memory data) internal pure returns (uint8 h) {
        while (1024 << h < data.length) h++;
    }

    function _chunk(bytes memory data, uint256 index) internal pure returns (bytes memory out) {
        uint256 left = data.length - 1024 * index;
        out = new bytes(left < 1024 ? left : 1024);
        for (uint256 i = 0; i < out.length; i += 32) {
            assembly ("memory-safe") {
                mstore(add(add(out, 32), i), mload(add(add(data, add(32, i)), shl(10, index))))
            }
        }
        // Words were copied whole: clear what lies behind the last one.
        return abi.encodePacked(out);
    }

    /// @dev The tensor with one element replaced.
    function _altered(uint256 tensor, uint256 element, uint64 value) internal view returns (Tensor memory t) {
        t = tensors[tensor];
        uint256 width = t.dtype == I32 ? 4 : 8;
        for (uint256 i = 0; i < width; i++) {
            t.data[element * width + i] = bytes1(uint8(value >> (8 * i)));
        }
    }

    function _elements(bytes memory data) internal pure returns (uint64[] memory out) {
        out = new uint64[](data.length / 8);
        for (uint256 i = 0; i < out.length; i++) {
            for (uint256 k = 8; k > 0; k--) {
                out[i] = (out[i] << 8) | uint8(data[8 * i + k - 1]);
            }
        }
    }

    function _dims(uint64 a) internal pure returns (uint64[] memory dims) {
        dims = new uint64[](1);
        dims[0] = a;
    }

    function _dims(uint64 a, uint256 b) internal pure returns (uint64[] memory dims) {
        dims = new uint64[](2);
        (dims[0], dims[1]) = (a, uint64(b));
    }

    function _source(Source memory s) internal pure returns (bytes memory) {
        return abi.encodePacked(s.kind, s.stepOffset, s.index, s.port);
    }

    function _words(uint64[] memory words) internal pure returns (bytes memory out) {
        for (uint256 i = 0; i < words.length; i++) {
            out = abi.encodePacked(out, words[i]);
        }
    }

    function _noSource() private pure returns (Source memory s) {}

    function _put(uint256 at, uint8 dtype, uint64[] memory dims, bytes memory data) private {
        (tensors[at].dtype, tensors[at].dims, tensors[at].data) = (dtype, dims, data);
    }

    function _bytes(uint64[] memory values, uint256 width) private pure returns (bytes memory out) {
        out = new bytes(values.length * width);
        for (uint256 i = 0; i < out.length; i++) {
            out[i] = bytes1(uint8(values[i / width] >> (8 * (i % width))));
        }
    }
}
