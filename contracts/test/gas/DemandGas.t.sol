// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditTrace} from "../utils/AuditTrace.sol";
import {DemandFixture} from "../utils/DemandFixture.sol";
import {AnsweredChunk} from "../../src/interfaces/IDemands.sol";
import {ModelHeader} from "../../src/interfaces/Types.sol";

/// @notice Gas of demands, whole transactions (run with `--isolate`), each under its budget. The worst answer shows one chunk
/// of the largest tensor in the widest input: both trees are 32 high.
contract DemandGasTest is DemandFixture {
    bytes private head = abi.encodePacked(uint8(1), uint8(4), uint8(8), ones(), uint64(1) << 42);
    bytes private chunk = new bytes(1024);
    bytes32[] private siblings = new bytes32[](32);
    bool private largest;

    function ones() private pure returns (bytes memory) {
        return abi.encodePacked(uint64(1), uint64(1), uint64(1), uint64(1), uint64(1), uint64(1), uint64(1));
    }

    function setUp() public override {
        for (uint256 i = 0; i < 32; i++) {
            siblings[i] = keccak256(abi.encode("sibling", i));
            for (uint256 k = 0; k < 32; k++) {
                chunk[32 * i + k] = bytes1(uint8(1 + (31 * i + 7 * k) % 255)); // no zero byte, which would be cheaper
            }
        }
        super.setUp();
    }

    function _header() internal view override returns (ModelHeader memory h) {
        h = super._header();
        if (largest) h.liveHeight = 32;
    }

    function _inputDigest(AuditTrace.Run memory run) internal view override returns (bytes32) {
        if (!largest) return super._inputDigest(run);
        bytes32 chunkRoot = _fold(sha256(abi.encodePacked(bytes1(0), chunk)));
        return _fold(sha256(abi.encodePacked(bytes1(0x02), head, chunkRoot)));
    }

    /// @dev Root of a tree of 32 levels in which leaf 0 has these siblings.
    function _fold(bytes32 node) private view returns (bytes32) {
        for (uint256 k = 0; k < 32; k++) {
            node = sha256(abi.encodePacked(bytes1(0x01), node, siblings[k]));
        }
        return node;
    }

    function _spent(string memory name, uint256 budget) private {
        assertLe(vm.snapshotGasLastCall("demands", name), budget, name);
    }

    function test_gas_demand_answered() public {
        uint256 taskId = _claimed();
        uint256 id = _demand(taskId, 1);
        _spent("demand", 290_000);
        _answer(alice, id, 1, _range(1, 0, 1));
        _spent("answer_one", 140_000);
        _answer(alice, id, 1, _range(1, 1, 5));
        _spent("answer_four", 320_000);
    }

    function test_gas_demand_closed() public {
        uint256 id = _demand(_claimed(), 1);
        skip(1 days);
        demands.close(id);
        _spent("close", 70_000);
    }

    /// P-I3: a sixteenth of three million, which is what a provider's own moves in the longest dispute and appeal come to
    /// (eight reveals in either tree, the segment, the appeal, its rows, its states and a step; snapshots court and appeal).
    function test_gas_demand_largest() public {
        largest = true;
        header = _header();
        modelId = market.registerModel(header, "mem://wide");
        uint256 id = _demand(_claimed(), 0, 0, 1, UNIT);
        AnsweredChunk[] memory list = new AnsweredChunk[](1);
        list[0] = AnsweredChunk(0, chunk, siblings);
        vm.prank(alice);
        demands.answer(id, head, siblings, list);
        _spent("answer_largest", 187_500);
        assertTrue(_open(id).closed, "answered");
    }
}
