// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditTrace} from "./AuditTrace.sol";
import {MarketFixture} from "./MarketFixture.sol";
import {TraceTree} from "./TraceTree.sol";
import {Demands} from "../../src/availability/Demands.sol";
import {AnsweredChunk, Demand} from "../../src/interfaces/IDemands.sol";
import {TaskSpec} from "../../src/interfaces/Types.sol";

/// @notice The market's fixture with demands, and an input with bytes behind it: what is live at leaf 2 of `AuditTrace`, a
/// tensor smaller than a chunk, one that fills its five, one of three that ends in a short one, and an empty one.
abstract contract DemandFixture is MarketFixture {
    uint256 internal constant INPUT_LEAF = 2;
    uint8 internal constant INPUTS = 4;

    Demands internal demands;
    AuditTrace.Run internal input;
    address internal dave; // demander

    function setUp() public virtual override {
        super.setUp();
        demands = new Demands(address(market));
        dave = _funded("dave");
        vm.prank(dave);
        token.approve(address(demands), type(uint256).max);
    }

    function _spec() internal view virtual override returns (TaskSpec memory spec) {
        spec = super._spec();
        spec.inputDigest = _inputDigest(input);
    }

    function _inputDigest(AuditTrace.Run memory run) internal view virtual returns (bytes32) {
        return TraceTree.root(AuditTrace.digests(run, INPUT_LEAF), header.liveHeight);
    }

    function _claimed() internal returns (uint256 taskId) {
        taskId = _post();
        _claim(taskId, alice);
    }

    /// @dev Chunks of a slot; 1 of the empty one, which is shown by an empty chunk.
    function _chunks(uint32 slot) internal pure returns (uint16) {
        return [uint16(1), 5, 3, 1][slot];
    }

    function _demand(uint256 taskId, uint32 slot) internal returns (uint256) {
        return _demand(taskId, slot, 0, _chunks(slot), demands.leastFee(taskId));
    }

    function _demand(uint256 taskId, uint32 slot, uint64 first, uint16 count, uint128 fee) internal returns (uint256) {
        vm.prank(dave);
        return demands.demand(taskId, slot, first, count, fee);
    }

    // ---- openings of a run's input

    function _header(uint32 slot) internal pure returns (bytes memory) {
        return AuditTrace.header(INPUT_LEAF, slot);
    }

    function _liveProof(AuditTrace.Run memory run, uint32 slot) internal view returns (bytes32[] memory) {
        return TraceTree.open(AuditTrace.digests(run, INPUT_LEAF), header.liveHeight, slot);
    }

    function _chunk(AuditTrace.Run memory run, uint32 slot, uint64 index) internal pure returns (AnsweredChunk memory c) {
        bytes memory data = AuditTrace.content(run, INPUT_LEAF, slot);
        bytes32[] memory leaves = AuditTrace.chunkLeaves(data, hex"00");
        c.index = index;
        if (leaves.length == 0) return c;
        c.chunk = AuditTrace.chunk(data, index);
        c.proof = TraceTree.open(leaves, AuditTrace.height(leaves.length), index);
    }

    /// @dev Chunks `from .. to`.
    function _range(uint32 slot, uint64 from, uint64 to) internal view returns (AnsweredChunk[] memory list) {
        list = new AnsweredChunk[](to - from);
        for (uint64 i = from; i < to; i++) {
            list[i - from] = _chunk(input, slot, i);
        }
    }

    function _answer(address by, uint256 demandId, uint32 slot, AnsweredChunk[] memory list) internal {
        bytes memory head = _header(slot);
        bytes32[] memory proof = _liveProof(input, slot);
        vm.prank(by);
        demands.answer(demandId, head, proof, list);
    }

    function _open(uint256 demandId) internal view returns (Demand memory) {
        return demands.demandOf(demandId);
    }
}
