// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {FamilyTree} from "../utils/FamilyTree.sol";
import {Run} from "../utils/GameTrace.sol";
import {DisputeState, TaskSpec, TaskState} from "../../src/interfaces/Types.sol";

/// @notice Audits and disputes about a binding are the business of those who joined its family, and of nobody else.
contract CourtFamiliesTest is CourtFixture {
    bytes32 private familyId;

    function _family() private returns (bytes32) {
        if (familyId != 0) return familyId;
        bytes32[] memory models = new bytes32[](3);
        (models[0], models[1], models[2]) = (keccak256("short"), modelId, keccak256("long"));
        familyId = FamilyTree.register(pool, models, "length");
        FamilyTree.show(pool, familyId, models, 1);
        return familyId;
    }

    function _join(address provider) internal override {
        bytes32 id = _family();
        vm.prank(provider);
        pool.join(id);
    }

    function _spec() internal view override returns (TaskSpec memory s) {
        s = super._spec();
        s.familyId = familyId;
    }

    function setUp() public override {
        super.setUp();
        // who joined the model alone is of another class, whatever its stake
        address outsider = _provider("outsider", 50_000 * UNIT, 8);
        vm.prank(outsider);
        pool.join(modelId);
        skip(1);
    }

    function _isMember(address who) private returns (bool) {
        return who == bob || who == carol || who == makeAddr("dora");
    }

    function test_dispute_cheatOfABinding_isConvictedByTheFamily() public {
        (uint256 taskId, uint256 id) = _isolated(_wrong(), _right(2));
        assertTrue(_isMember(_drawReferee(id)), "a referee of the family");
        _rule(id, _wrong());
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice));
        assertEq(market.retryHead(familyId), taskId, "the retry waits in the family's lane");
        assertEq(market.retryHead(modelId), 0);
        assertEq(market.task(taskId).classId, familyId);
    }

    function testFuzz_draw_onlyMembersOfTheFamily(bytes32 seed) public {
        uint256 taskId = _committedRun(alice, _wrong());
        vm.prevrandao(seed);
        address auditor = _decideAudit(taskId);
        assertTrue(_isMember(auditor), "an auditor of the family");
        _commitAudit(taskId, _right(2));
        _openAudit(taskId, _right(2));
        uint256 id = theCourt.disputeCount();
        _play(id, _wrong(), _right(2));
        address referee = _drawReferee(id);
        assertTrue(_isMember(referee) && referee != auditor, "a referee of the family");
        assertState(taskId, TaskState.Disputed);
    }
}
