// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FamilyTree} from "../utils/FamilyTree.sol";
import {MarketFixture} from "../utils/MarketFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {TaskSpec} from "../../src/interfaces/Types.sol";

/// @notice Gas of the undisputed path and of the retry lanes, whole transactions (run with `--isolate`).
contract MarketGasTest is MarketFixture {
    function test_gas_undisputedTask_underBudget() public {
        _undisputed("first");
        skip(10);
        uint256 total = _undisputed("next");
        assertLe(total, 450_000, "post + claim + commit + settle");
    }

    function _undisputed(string memory prefix) private returns (uint256 total) {
        TaskSpec memory spec = _spec();
        vm.prank(requester);
        uint256 taskId = market.post(spec, "mem://input");
        total += vm.snapshotGasLastCall("market", string.concat(prefix, "_post"));
        skip(20);
        vm.prank(alice);
        market.claim(taskId);
        total += vm.snapshotGasLastCall("market", string.concat(prefix, "_claim"));
        skip(20);
        bytes32[] memory leaves = _leaves(1, 0);
        bytes32 level1Root = TraceTree.root(leaves, header.traceHeight);
        bytes32[] memory proof = TraceTree.open(leaves, header.traceHeight, leaves.length - 1);
        vm.prank(alice);
        market.commit(taskId, 1, leaves[leaves.length - 1], level1Root, proof, _stopProof(1, 0));
        total += vm.snapshotGasLastCall("market", string.concat(prefix, "_commit"));
        vm.warp(market.settleableAt(taskId));
        _decideNoAudit(taskId);
        market.settle(taskId);
        total += vm.snapshotGasLastCall("market", string.concat(prefix, "_settle"));
        vm.snapshotValue("market", string.concat(prefix, "_post_claim_commit_settle"), total);
    }

    function test_gas_taskOfAFamily() public {
        bytes32[] memory models = new bytes32[](512);
        for (uint256 i = 0; i < models.length; i++) {
            models[i] = i == 300 ? modelId : keccak256(abi.encode(i));
        }
        (bytes32 root, bytes32[] memory proof) = (FamilyTree.root(models), FamilyTree.open(models, 300));
        bytes32 familyId = pool.registerFamily(512, root, "seq=1..512", "mem://family");
        vm.snapshotGasLastCall("market", "register_family");
        pool.showBinding(familyId, 300, modelId, proof);
        vm.snapshotGasLastCall("market", "show_binding_of_512");
        TaskSpec memory spec = _spec();
        spec.familyId = familyId;
        vm.prank(requester);
        uint256 taskId = market.post(spec, "mem://input");
        vm.snapshotGasLastCall("market", "family_post");
        _claim(taskId, alice);
        vm.snapshotGasLastCall("market", "family_claim");
    }

    function test_gas_retryLane() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        vm.warp(market.task(taskId).deadline + 1);
        market.missDeadline(taskId);
        vm.snapshotGasLastCall("market", "miss_deadline_and_requeue_first");
        uint256 second = _post();
        _claim(second, bob);
        vm.warp(market.task(second).deadline + 1);
        market.missDeadline(second);
        vm.snapshotGasLastCall("market", "miss_deadline_and_requeue_next");
        vm.prank(carol);
        market.claimRetry(modelId);
        vm.snapshotGasLastCall("market", "claim_retry");
        uint256 third = _post();
        vm.prank(carol);
        market.claim(third);
        vm.snapshotGasLastCall("market", "claim_past_gate");
    }
}
