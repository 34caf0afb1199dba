// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FamilyTree} from "../utils/FamilyTree.sol";
import {MarketFixture} from "../utils/MarketFixture.sol";
import {IProviderPool} from "../../src/interfaces/IProviderPool.sol";
import {Task, TaskSpec, TaskState} from "../../src/interfaces/Types.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";
import {Market} from "../../src/market/Market.sol";
import {MarketStorage} from "../../src/market/MarketStorage.sol";
import {RetryLanes} from "../../src/market/RetryLanes.sol";
import {Families} from "../../src/stake/Families.sol";

/// @notice Families, their bindings, and tasks that are served as one of them (P-M3 to P-M5).
contract FamiliesTest is MarketFixture {
    bytes private constant DOMAIN = hex"0103736571000000000000000100000000000000030000000000000001";
    bytes32[] private models;
    bytes32 private familyId;

    /// Three bindings, two of them registered and shown.
    function setUp() public override {
        super.setUp();
        models.push(modelId);
        header.nodesRoot = keccak256("a longer one");
        models.push(market.registerModel(header, ""));
        models.push(keccak256("not registered yet"));
        familyId = FamilyTree.register(pool, models, DOMAIN);
        FamilyTree.show(pool, familyId, models, 0);
        FamilyTree.show(pool, familyId, models, 1);
    }

    function _specOf(bytes32 model, bytes32 family) private view returns (TaskSpec memory s) {
        s = _spec();
        (s.modelId, s.familyId) = (model, family);
    }

    function _postAs(bytes32 model, bytes32 family) private returns (uint256) {
        TaskSpec memory s = _specOf(model, family);
        vm.prank(requester);
        return market.post(s, "");
    }

    function _missedAs(bytes32 model, bytes32 family, address provider) private returns (uint256 taskId) {
        taskId = _postAs(model, family);
        _claim(taskId, provider);
        vm.warp(market.task(taskId).deadline + 1);
        market.missDeadline(taskId);
    }

    // ---- register

    function test_registerFamily_idIsTheHashOfCountRootAndDomain() public view {
        bytes32 root = FamilyTree.root(models);
        assertEq(familyId, sha256(abi.encodePacked(bytes1(0x09), uint32(3), root, DOMAIN)));
        (uint32 count, bytes32 found) = pool.family(familyId);
        assertEq(count, 3);
        assertEq(found, root);
    }

    function test_registerFamily_again_reverts() public {
        bytes32 root = FamilyTree.root(models);
        vm.expectRevert(abi.encodeWithSelector(Families.FamilyExists.selector, familyId));
        pool.registerFamily(3, root, DOMAIN, "another uri");
    }

    function test_registerFamily_noneOrTooMany_reverts() public {
        for (uint32 count = 0; count <= 4097; count += 4097) {
            vm.expectRevert(abi.encodeWithSelector(Families.BindingsOutOfRange.selector, count, 4096));
            pool.registerFamily(count, bytes32(uint256(1)), DOMAIN, "");
        }
        pool.registerFamily(4096, bytes32(uint256(1)), DOMAIN, "");
    }

    // ---- show

    function test_showBinding_tellsAnybody() public {
        bytes32[] memory proof = FamilyTree.open(models, 2);
        vm.expectEmit(address(pool));
        emit IProviderPool.BindingShown(familyId, models[2], 2);
        vm.prank(bob);
        pool.showBinding(familyId, 2, models[2], proof);
        assertTrue(pool.isBinding(familyId, models[2]));
    }

    function test_showBinding_again_reverts() public {
        bytes32[] memory proof = FamilyTree.open(models, 0);
        vm.expectRevert(abi.encodeWithSelector(Families.AlreadyShown.selector, familyId, modelId));
        pool.showBinding(familyId, 0, modelId, proof);
    }

    function test_showBinding_unknownFamily_reverts() public {
        bytes32[] memory proof = FamilyTree.open(models, 0);
        vm.expectRevert(abi.encodeWithSelector(Families.UnknownFamily.selector, keccak256("none")));
        pool.showBinding(keccak256("none"), 0, modelId, proof);
    }

    /// The leaf beside the last binding is zero, and an id that hashes to it cannot be; the index alone is refused.
    function test_showBinding_besideTheLast_reverts() public {
        bytes32[] memory proof = FamilyTree.open(models, 3);
        vm.expectRevert(abi.encodeWithSelector(Families.NoSuchBinding.selector, familyId, 3, 3));
        pool.showBinding(familyId, 3, 0, proof);
    }

    function test_showBinding_proofOfAnotherHeight_reverts() public {
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = FamilyTree.open(models, 0)[1];
        vm.expectRevert(abi.encodeWithSelector(TraceHash.ProofLength.selector, 1, 2));
        pool.showBinding(familyId, 0, models[0], proof);
    }

    /// Whatever is changed about a proof, it shows nothing.
    function testFuzz_showBinding_onlyWhatIsInTheTree(uint8 count, uint32 index, uint32 other, bytes32 flip, uint8 part) public {
        count = uint8(bound(count, 1, 40));
        index = uint32(index % count);
        bytes32[] memory list = new bytes32[](count);
        for (uint256 i = 0; i < count; i++) {
            list[i] = keccak256(abi.encode("binding", i));
        }
        bytes32 id = FamilyTree.register(pool, list, "drawn");
        bytes32[] memory proof = FamilyTree.open(list, index);
        bytes32 model = list[index];
        part = uint8(part % 3);
        if (part == 0 && flip != 0) {
            vm.expectPartialRevert(Families.NotOfFamily.selector);
            pool.showBinding(id, index, model ^ flip, proof);
        } else if (part == 1 && other != index) {
            vm.expectRevert();
            pool.showBinding(id, other, model, proof);
        } else if (proof.length != 0 && flip != 0) {
            proof[other % proof.length] ^= flip;
            vm.expectPartialRevert(Families.NotOfFamily.selector);
            pool.showBinding(id, index, model, proof);
            proof[other % proof.length] ^= flip;
        }
        assertFalse(pool.isBinding(id, model));
        pool.showBinding(id, index, model, proof);
        assertTrue(pool.isBinding(id, model));
    }

    // ---- tasks

    function test_post_classIsTheFamilyOrTheModelItself() public {
        Task memory t = market.task(_postAs(models[1], familyId));
        assertEq(t.modelId, models[1]);
        assertEq(t.classId, familyId);
        t = market.task(_postAs(models[1], 0));
        assertEq(t.modelId, models[1]);
        assertEq(t.classId, models[1]);
    }

    function test_post_bindingNotShown_reverts() public {
        header.nodesRoot = keccak256("of no family");
        bytes32 plain = market.registerModel(header, "");
        for (uint256 i = 0; i < 2; i++) {
            // a model of no family, and one that is named as its own family
            TaskSpec memory s = _specOf(plain, i == 0 ? familyId : plain);
            vm.prank(requester);
            vm.expectRevert(abi.encodeWithSelector(Market.NotInFamily.selector, s.familyId, plain));
            market.post(s, "");
        }
    }

    function test_post_headerNotRegistered_reverts() public {
        FamilyTree.show(pool, familyId, models, 2);
        TaskSpec memory s = _specOf(models[2], familyId);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(MarketStorage.UnknownModel.selector, models[2]));
        market.post(s, "");
    }

    function test_post_theFamilyItself_reverts() public {
        TaskSpec memory s = _specOf(familyId, 0);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(MarketStorage.UnknownModel.selector, familyId));
        market.post(s, "");
    }

    // ---- lanes

    /// Bindings share the lanes of their family, with each other and nobody else.
    function test_claim_retryOfAnotherBindingWaits_reverts() public {
        uint256 retry = _missedAs(models[0], familyId, alice);
        uint256 fresh = _postAs(models[1], familyId);
        uint256 plain = _postAs(models[0], 0);
        skip(61);
        vm.prank(bob);
        vm.expectPartialRevert(RetryLanes.RetryWaits.selector);
        market.claim(fresh);
        _claim(plain, bob);
        assertEq(market.retryHead(familyId), retry);
        assertEq(market.retryHead(models[0]), 0);
        vm.prank(carol);
        assertEq(market.claimRetry(familyId), retry);
        assertEq(market.retryCredit(familyId, carol), 2);
        assertEq(market.retryHead(familyId), 0);
        _claim(fresh, bob);
    }

    function test_claimRetry_ofTheModel_doesNotServeTheFamily() public {
        _missedAs(models[0], familyId, alice);
        vm.expectRevert(abi.encodeWithSelector(RetryLanes.NoRetryWaits.selector, models[0]));
        market.claimRetry(models[0]);
        vm.expectRevert(abi.encodeWithSelector(RetryLanes.NoRetryWaits.selector, keccak256("nobody's")));
        market.claimRetry(keccak256("nobody's"));
    }

    function test_requeue_keepsTheClass() public {
        uint256 taskId = _missedAs(models[1], familyId, alice);
        assertEq(market.task(taskId).classId, familyId);
        vm.prank(bob);
        market.claimRetry(familyId);
        vm.warp(market.task(taskId).deadline + 1);
        market.missDeadline(taskId);
        assertEq(market.task(taskId).attempt, 2);
        assertEq(market.task(taskId).classId, familyId);
        assertEq(market.retryHead(familyId), taskId);
        vm.prank(requester);
        market.cancel(taskId);
        assertEq(market.retryHead(familyId), 0);
    }

    /// A model is in as many families as list it, and a class of its own besides: none of them takes a task of another.
    function test_registerAndShow_byOthers_changeNoTask() public {
        uint256 taskId = _missedAs(models[0], familyId, alice);
        bytes32[] memory trap = new bytes32[](2);
        (trap[0], trap[1]) = (models[0], models[1]);
        vm.startPrank(bob);
        bytes32 other = FamilyTree.register(pool, trap, DOMAIN);
        FamilyTree.show(pool, other, trap, 0);
        FamilyTree.show(pool, other, trap, 1);
        vm.stopPrank();
        assertEq(market.task(taskId).classId, familyId);
        assertEq(market.retryHead(familyId), taskId);
        assertEq(market.retryHead(other), 0);
        uint256 theirs = _postAs(models[0], other);
        skip(61);
        _claim(theirs, bob); // no retry waits in the other family
        assertState(taskId, TaskState.Open);
    }

    /// Whoever registers a binding's header first does the others a favour.
    function test_registerModel_beforeItIsShown_isTheSameModel() public {
        header.nodesRoot = keccak256("the longest");
        bytes32[] memory list = new bytes32[](1);
        vm.prank(bob);
        list[0] = market.registerModel(header, "of bob");
        bytes32 id = FamilyTree.register(pool, list, "one");
        FamilyTree.show(pool, id, list, 0);
        assertEq(market.task(_postAs(list[0], id)).classId, id);
    }
}
