// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";
import {SegmentOpening} from "../../src/interfaces/Types.sol";

/// @notice `TraceHash` against whole trees built the slow way; against the shared vectors it is run by TraceVectors.
contract TraceHashTest is Test {
    TraceHash_ private hash;

    function setUp() public {
        hash = new TraceHash_();
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
