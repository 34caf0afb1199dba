// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditFixture} from "../utils/AuditFixture.sol";
import {AuditTrace} from "../utils/AuditTrace.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {Audit, AuditState, ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {TaskState} from "../../src/interfaces/Types.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Auditors that fail or lack the input, what a duty holds, and audits whose result is gone.
contract AuditFailuresTest is AuditFixture {
    AuditTrace.Run private honest = AuditTrace.Run(1, 0, 0);

    function _miss(uint256 taskId) private returns (Audit memory a) {
        vm.warp(_audit(taskId).deadline + 1);
        auditor_.auditTimeout(taskId);
        return _audit(taskId);
    }

    // ---- P-A3: failing

    function test_timeout_noCommitment_penalisedAndRedrawn() public {
        (uint256 taskId, Audit memory first) = _drawn(honest);
        uint128 stake = vault.totalStake(first.auditor);
        uint128 burned = vault.burned();
        uint128 auditPool = vault.pot(Pots.AUDIT_POOL);
        Audit memory second = _miss(taskId);
        assertEq(stake - vault.totalStake(first.auditor), _rules().penalty);
        assertEq(vault.burned() - burned, _rules().penalty, "P-A4: burned, not the pool's");
        assertEq(vault.pot(Pots.AUDIT_POOL), auditPool);
        assertDuties(first.auditor, 0);
        assertTrue(second.state == AuditState.Drawn);
        assertTrue(second.auditor != first.auditor, "somebody else");
        assertEq(second.draws, 2);
        vm.expectRevert(abi.encodeWithSelector(Audits.NotAuditor.selector, taskId, first.auditor, second.auditor));
        vm.prank(first.auditor);
        auditor_.commitAudit(taskId, 0, 0, 0, 0);
        _finish(taskId, honest);
        assertAudit(taskId, AuditState.Matched);
    }

    function test_timeout_redrawsAreBounded_thenWaivedAndSettles() public {
        _provider("erin", 1_000 * UNIT, 8);
        _join(makeAddr("erin"));
        skip(1);
        (uint256 taskId, Audit memory a) = _drawn(honest);
        address[3] memory drawn;
        for (uint256 i = 0; i < 3; i++) {
            drawn[i] = a.auditor;
            a = _miss(taskId);
        }
        assertTrue(a.state == AuditState.Waived, "1 + maxRedraws draws");
        assertTrue(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2], "three people");
        for (uint256 i = 0; i < 3; i++) {
            assertDuties(drawn[i], 0);
        }
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.Waived, AuditState.Drawn));
        auditor_.auditTimeout(taskId);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    /// P-A7: an auditor without the input is out and whole; only the drawn one, before its commitment, in time.
    function test_inputUnavailable_slashesNobody_andRedraws() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.NotAuditor.selector, taskId, address(this), a.auditor));
        auditor_.inputUnavailable(taskId);
        uint256 before = vm.snapshotState();
        vm.warp(a.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Audits.DeadlinePassed.selector, taskId, a.deadline));
        vm.prank(a.auditor);
        auditor_.inputUnavailable(taskId);
        vm.revertToState(before);
        uint128 stake = vault.totalStake(a.auditor);
        vm.prank(a.auditor);
        auditor_.inputUnavailable(taskId);
        assertEq(vault.totalStake(a.auditor), stake, "whole");
        assertDuties(a.auditor, 0);
        Audit memory second = auditor_.audit(taskId, 0);
        assertTrue(second.state == AuditState.Drawn && second.auditor != a.auditor, "somebody else");
        vm.prank(second.auditor);
        auditor_.commitAudit(taskId, 0, second.leafIndex, bytes32(uint256(1)), bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.Committed, AuditState.Drawn));
        vm.prank(second.auditor);
        auditor_.inputUnavailable(taskId);
    }

    function test_timeout_nobodyLeft_isWaived() public {
        vm.prank(carol);
        pool.leave(modelId);
        vm.prank(dora);
        pool.leave(modelId);
        skip(1);
        (uint256 taskId, Audit memory a) = _drawn(honest);
        assertEq(a.auditor, bob);
        assertTrue(_miss(taskId).state == AuditState.Waived);
    }

    /// A second key of an auditor that failed is out too: its owner shall not be drawn until the audit is waived.
    function test_timeout_siblingOfAFailedAuditor_isNotDrawn() public {
        vm.prank(carol);
        pool.leave(modelId);
        vm.prank(dora);
        pool.leave(modelId);
        address sibling = _funded("sibling");
        address bobOwner = _ownerOf(bob);
        vm.prank(bobOwner);
        vault.consent(sibling, true);
        vm.prank(sibling);
        vault.register(bobOwner, sibling, 4, 1_000 * UNIT);
        _join(sibling);
        skip(1);
        (uint256 taskId,) = _drawn(honest);
        assertTrue(_miss(taskId).state == AuditState.Waived);
    }

    function test_timeout_noOpening_penalisedOnlyAfterTheSeedIsOut() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        _commitAudit(taskId, honest);
        uint64 deadline = _audit(taskId).deadline;
        uint64 round = beacon.roundAfter(_audit(taskId).committedAt);
        vm.warp(deadline + 1 days);
        vm.expectRevert(abi.encodeWithSelector(Audits.RoundNotOut.selector, round));
        auditor_.auditTimeout(taskId);
        _publish(round);
        vm.warp(_audit(taskId).deadline + 1);
        uint128 stake = vault.totalStake(a.auditor);
        auditor_.auditTimeout(taskId);
        assertEq(stake - vault.totalStake(a.auditor), _rules().penalty);
        assertTrue(_audit(taskId).auditor != a.auditor);
        assertEq(_audit(taskId).rootCommitment, bytes32(0), "nothing of the first auditor's stays");
    }

    function test_openAudit_afterTheDeadline_reverts() public {
        (uint256 taskId,) = _drawn(honest);
        _commitAudit(taskId, honest);
        _publishChunkSeed(taskId);
        ChunkOpening memory o = _opening(taskId, honest);
        Audit memory a = _audit(taskId);
        bytes32 level1 = _level1(honest);
        vm.warp(a.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Audits.DeadlinePassed.selector, taskId, a.deadline));
        vm.prank(a.auditor);
        auditor_.openAudit(taskId, 1, level1, SALT, o);
    }

    // ---- P-A6: duties and audits whose result is gone

    function test_duty_holdsStakeUntilTheAuditIsOver() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        vm.prank(a.auditor);
        uint256 entry = vault.requestUnbond(10 * UNIT);
        vm.warp(block.timestamp + 2 days);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.ObligationsOpen.selector, 0, 0, 1));
        vm.prank(a.auditor);
        vault.withdrawUnbonded(entry);
        auditor_.auditTimeout(taskId);
        vm.prank(a.auditor);
        vault.withdrawUnbonded(entry);
    }

    function test_moot_convictedElsewhere_freesTheAuditor() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        _commitAudit(taskId, honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.AuditNotOver.selector, taskId, 0, AuditState.Committed));
        auditor_.releaseAuditor(taskId, 0);
        uint128 stake = vault.totalStake(a.auditor);
        scriptedCourt.convictByAnother(taskId);
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(abi.encodeWithSelector(Audits.NoResult.selector, taskId, TaskState.Open));
        auditor_.auditTimeout(taskId);
        auditor_.releaseAuditor(taskId, 0);
        assertEq(vault.totalStake(a.auditor), stake, "nobody owes anything");
        assertDuties(a.auditor, 0);
        assertTrue(auditor_.audit(taskId, 0).state == AuditState.Moot);
        vm.expectRevert(abi.encodeWithSelector(Audits.NotOnDuty.selector, taskId, 0, AuditState.Moot));
        auditor_.releaseAuditor(taskId, 0);
    }

    function test_moot_nextAttemptHasItsOwnAudit() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        scriptedCourt.convictByAnother(taskId);
        vm.prank(bob);
        market.claimRetry(modelId);
        _commitRun(taskId, bob, honest);
        // the old auditor has no say about the new attempt
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.None, AuditState.Drawn));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, 0, 0, 0, 0);
        Audit memory next = _decide(taskId);
        assertEq(next.attempt, 1);
        assertTrue(next.auditor != bob && next.auditor != address(0));
        _finish(taskId, honest);
        assertAudit(taskId, AuditState.Matched);
        // and the old duty ends although the task is a result again
        uint32 duties = vault.dutiesOf(a.auditor);
        auditor_.releaseAuditor(taskId, 0);
        assertDuties(a.auditor, duties - 1);
    }

    function test_moot_tombstonedProvider_freesTheAuditor() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        scriptedCourt.tombstone(alice);
        vm.warp(a.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Audits.ResultIsReversed.selector, taskId, alice));
        auditor_.auditTimeout(taskId);
        auditor_.releaseAuditor(taskId, 0);
        assertDuties(a.auditor, 0);
    }

    function test_release_neverDrawn_reverts() public {
        uint256 taskId = _served(alice, honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.NotOnDuty.selector, taskId, 0, AuditState.None));
        auditor_.releaseAuditor(taskId, 0);
    }
}
