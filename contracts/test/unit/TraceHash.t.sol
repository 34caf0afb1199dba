// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";
import {SegmentOpening} from "../../src/interfaces/Types.sol";

/// @notice `TraceHash` against the shared vectors and against whole trees built the slow way.
contract TraceHashTest is Test {
    string private vectors;
    TraceHash_ private hash;

    function setUp() public {
        hash = new TraceHash_();
    }

    // ---- vectors

    function test_foldRow_vectors_foldToTheNodeOrDoNot() public {
        uint256 count = _load("row");
        for (uint256 i = 0; i < count; i++) {
            bytes32[] memory row = _words(i, "row");
            bytes32 node = vm.parseJsonBytes32(vectors, _at(i, "node"));
            (bool done, bytes memory data) = address(hash).staticcall(abi.encodeCall(hash.foldRow, (row, _uint(i, "height"))));
            bool folds = done && abi.decode(data, (bytes32)) == node;
            assertEq(folds, _bool(i, "valid"));
        }
    }

    function test_rootOf_vectors_openOrDoNot() public {
        uint256 count = _load("opening");
        for (uint256 i = 0; i < count; i++) {
            bytes memory call =
                abi.encodeCall(hash.rootOf, (_word(i, "leaf"), _uint(i, "index"), _words(i, "siblings"), _uint(i, "height")));
            (bool done, bytes memory data) = address(hash).staticcall(call);
            assertEq(done && abi.decode(data, (bytes32)) == _word(i, "root"), _bool(i, "valid"));
        }
    }

    function test_segmentEntry_vectors() public {
        uint256 count = _load("segment");
        for (uint256 i = 0; i < count; i++) {
            SegmentOpening memory s = SegmentOpening({
                index: uint32(_uint(i, "index")),
                firstNode: uint32(_uint(i, "first_node")),
                opCount: uint32(_uint(i, "op_count")),
                liveCount: uint32(_uint(i, "live_count")),
                liveListRoot: _word(i, "live_list_root"),
                proof: _words(i, "siblings")
            });
            bytes32 entry = hash.segmentEntry(s);
            assertEq(entry, _word(i, "entry"));
            assertEq(hash.rootOf(entry, s.index, s.proof, _uint(i, "segments_height")), _word(i, "segments_root"));
        }
    }

    function test_traceRoot_vectors() public {
        uint256 count = _load("trace_root");
        for (uint256 i = 0; i < count; i++) {
            assertEq(hash.traceRoot(uint32(_uint(i, "steps")), _word(i, "level1_root")), _word(i, "trace_root"));
        }
    }

    function test_chunks_vectors() public {
        uint256 count = _load("chunk_leaf");
        for (uint256 i = 0; i < count; i++) {
            assertEq(hash.chunkLeaf(vm.parseJsonBytes(vectors, _at(i, "chunk"))), _word(i, "leaf"));
        }
        count = _load("tensor");
        for (uint256 i = 0; i < count; i++) {
            assertEq(hash.tensorDigest(vm.parseJsonBytes(vectors, _at(i, "header")), _word(i, "chunk_root")), _word(i, "digest"));
        }
    }

    function test_auditLeaf_vectors() public {
        uint256 count = _load("audit");
        for (uint256 i = 0; i < count; i++) {
            address auditor = address(bytes20(vm.parseJsonBytes(vectors, _at(i, "auditor"))));
            bytes memory chunk = vm.parseJsonBytes(vectors, _at(i, "chunk"));
            assertEq(hash.auditLeaf(auditor, _uint(i, "task"), chunk), _word(i, "leaf"));
        }
    }

    // ---- against slow trees

    function testFuzz_foldRow_andRootOf_agreeWithSlowTrees(uint256 seed, uint8 height, uint256 index) public view {
        height = uint8(bound(height, 0, 7));
        index = bound(index, 0, (1 << height) - 1);
        bytes32[] memory leaves = new bytes32[](bound(seed >> 8, index + 1, 1 << height));
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = keccak256(abi.encode(seed, i));
        }
        bytes32 root = TraceTree.root(leaves, height);
        bytes32[] memory proof = TraceTree.open(leaves, height, index);
        assertEq(hash.rootOf(leaves[index], index, proof, height), root);
        uint256 down = height < 4 ? height : 4;
        assertEq(hash.foldRow(TraceTree.level(leaves, height, height - down), height), root);
    }

    function test_foldRow_wrongLength_reverts() public {
        bytes32[] memory row = new bytes32[](8);
        vm.expectRevert(abi.encodeWithSelector(TraceHash.RowLength.selector, 8, 16));
        hash.foldRow(row, 6);
        vm.expectRevert(abi.encodeWithSelector(TraceHash.RowLength.selector, 8, 4));
        hash.foldRow(row, 2);
    }

    function test_rootOf_wrongHeightOrIndex_reverts() public {
        bytes32[] memory proof = new bytes32[](3);
        vm.expectRevert(abi.encodeWithSelector(TraceHash.ProofLength.selector, 3, 4));
        hash.rootOf(0, 0, proof, 4);
        vm.expectRevert(abi.encodeWithSelector(TraceHash.IndexOutsideTree.selector, 8, 3));
        hash.rootOf(0, 8, proof, 3);
    }

    /// @dev Whatever gas is left to it, the library answers rightly or not at all.
    function testFuzz_foldRow_littleGas_neverLies(uint16 allowance) public view {
        bytes32[] memory row = new bytes32[](16);
        bytes32 right = hash.foldRow(row, 4);
        (bool done, bytes memory data) =
            address(hash).staticcall{gas: bound(allowance, 1_000, 9_000)}(abi.encodeCall(hash.foldRow, (row, 4)));
        if (done) assertEq(abi.decode(data, (bytes32)), right);
    }

    // ---- reading vectors

    function _load(string memory name) private returns (uint256 count) {
        vectors = vm.readFile(string.concat(vm.projectRoot(), "/../spec/vectors/trace/", name, ".json"));
        count = vm.parseJsonUint(vectors, ".count");
        assertGt(count, 0, name);
    }

    function _at(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "].", field);
    }

    function _uint(uint256 i, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(vectors, _at(i, field));
    }

    function _bool(uint256 i, string memory field) private view returns (bool) {
        return vm.parseJsonBool(vectors, _at(i, field));
    }

    function _word(uint256 i, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(vectors, _at(i, field));
    }

    function _words(uint256 i, string memory field) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(vectors, _at(i, field));
    }
}

/// @dev The library reads calldata, so tests reach it through a contract.
contract TraceHash_ {
    function foldRow(bytes32[] calldata row, uint256 height) external view returns (bytes32) {
        return TraceHash.foldRow(row, height);
    }

    function rootOf(bytes32 leaf, uint256 index, bytes32[] calldata proof, uint256 height) external view returns (bytes32) {
        return TraceHash.rootOf(leaf, index, proof, height);
    }

    function segmentEntry(SegmentOpening calldata s) external pure returns (bytes32) {
        return TraceHash.segmentEntry(s);
    }

    function traceRoot(uint32 steps, bytes32 level1Root) external pure returns (bytes32) {
        return TraceHash.traceRoot(steps, level1Root);
    }

    function chunkLeaf(bytes calldata chunk) external pure returns (bytes32) {
        return TraceHash.chunkLeaf(chunk);
    }

    function tensorDigest(bytes calldata header, bytes32 chunkRoot) external pure returns (bytes32) {
        return TraceHash.tensorDigest(header, chunkRoot);
    }

    function auditLeaf(address auditor, uint256 taskId, bytes calldata chunk) external pure returns (bytes32) {
        return TraceHash.auditLeaf(auditor, taskId, chunk);
    }
}
