// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {MarketVerdicts} from "../../src/market/MarketVerdicts.sol";
import {MarketStorage} from "../../src/market/MarketStorage.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Task, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice What court and audits may tell the market, and what they may not.
contract MarketVerdictsTest is MarketFixture {
    bytes32 private constant POT = bytes32(uint256(0x77) << 240);

    function test_disputes_severalInParallel_lastClosedReturnsToCommitted() public {
        uint256 taskId = _committed(alice);
        vm.startPrank(court);
        market.disputeOpened(taskId, 0);
        market.disputeOpened(taskId, 0);
        assertState(taskId, TaskState.Disputed);
        market.disputeClosed(taskId, 0);
        assertState(taskId, TaskState.Disputed);
        market.disputeClosed(taskId, 0);
        vm.stopPrank();
        assertState(taskId, TaskState.Committed);
    }

    function test_convict_requeuesWithRaisedCeiling() public {
        uint256 taskId = _committed(alice);
        vm.startPrank(court);
        market.disputeOpened(taskId, 0);
        uint128 taken = vault.slashTask(alice, taskId, true, 5_000, POT);
        vault.tombstone(alice);
        uint128 topUp = taken / 10;
        vault.movePot(POT, Pots.task(taskId), topUp, "requeue");
        market.convict(taskId, 0, topUp);
        vm.stopPrank();
        Task memory t = market.task(taskId);
        assertState(taskId, TaskState.Open);
        assertEq(t.attempt, 1);
        assertEq(t.maxPrice, 6 * UNIT, "ceiling raised from the slash, at most doubled");
        assertEq(vault.burned(), topUp - 3 * UNIT, "the excess is burned");
        assertEq(t.minPrice, 1 * UNIT, "from the last clearing price");
        assertEq(vault.provider(alice).liveTasks, 0);
        assertTrue(market.isExcluded(taskId, alice));
        // and it settles with another provider, the levy intact
        _claim(taskId, bob);
        _commit(taskId, bob);
        uint128 poolBefore = vault.pot(Pots.AUDIT_POOL);
        _decideNoAudit(taskId);
        _settle(taskId);
        assertEq(vault.pot(Pots.AUDIT_POOL) - poolBefore, 0.25e18);
        assertEq(uint256(vault.credit(requester)) + vault.credit(_payoutOf(bob)), 6 * UNIT);
    }

    function test_disputeVoided_requeuesWithoutPenalty() public {
        uint256 taskId = _committed(alice);
        uint128 stake = vault.totalStake(alice);
        vm.startPrank(court);
        market.disputeOpened(taskId, 0);
        market.disputeVoided(taskId, 0);
        vm.stopPrank();
        assertState(taskId, TaskState.Open);
        assertEq(vault.totalStake(alice), stake);
        assertEq(vault.provider(alice).locked, 0);
    }

    /// A dispute that comes to nothing ends no other; the last one decides, and a void is not forgotten.
    function test_disputeVoided_leavesTheOthers() public {
        for (uint256 i = 0; i < 2; i++) {
            uint256 taskId = _committed(i == 0 ? alice : bob);
            vm.startPrank(court);
            market.disputeOpened(taskId, 0);
            market.disputeOpened(taskId, 0);
            if (i == 0) market.disputeVoided(taskId, 0);
            else market.disputeClosed(taskId, 0);
            assertState(taskId, TaskState.Disputed);
            assertEq(market.task(taskId).openChallenges, 1);
            if (i == 0) market.disputeClosed(taskId, 0);
            else market.disputeVoided(taskId, 0);
            vm.stopPrank();
            assertState(taskId, TaskState.Open);
            assertEq(market.task(taskId).attempt, 1);
        }
    }

    function test_convict_afterAVoid() public {
        uint256 taskId = _committed(alice);
        vm.startPrank(court);
        market.disputeOpened(taskId, 0);
        market.disputeOpened(taskId, 0);
        market.disputeVoided(taskId, 0);
        market.convict(taskId, 0, 0);
        vm.stopPrank();
        assertState(taskId, TaskState.Open);
        assertEq(market.task(taskId).openChallenges, 0);
    }

    function test_hooks_staleAttempt_revert() public {
        uint256 taskId = _committed(alice);
        vm.prank(alice);
        market.retract(taskId);
        vm.prank(bob);
        market.claimRetry(modelId);
        _commit(taskId, bob);
        bytes memory stale = abi.encodeWithSelector(MarketVerdicts.StaleAttempt.selector, taskId, 1, 0);
        vm.startPrank(court);
        vm.expectRevert(stale);
        market.challengeCommitted(taskId, 0);
        vm.expectRevert(stale);
        market.disputeOpened(taskId, 0);
        vm.expectRevert(stale);
        market.convict(taskId, 0, 0);
        vm.expectRevert(stale);
        market.disputeVoided(taskId, 0);
        vm.stopPrank();
        vm.prank(audits);
        vm.expectRevert(stale);
        market.auditDecided(taskId, 0, false);
    }

    function test_hooks_wrongCaller_revert() public {
        uint256 taskId = _committed(alice);
        bytes memory notCourt = abi.encodeWithSelector(MarketVerdicts.NotCourt.selector, audits);
        vm.startPrank(audits);
        vm.expectRevert(notCourt);
        market.challengeCommitted(taskId, 0);
        vm.expectRevert(notCourt);
        market.disputeOpened(taskId, 0);
        vm.expectRevert(notCourt);
        market.disputeClosed(taskId, 0);
        vm.expectRevert(notCourt);
        market.convict(taskId, 0, 0);
        vm.expectRevert(notCourt);
        market.disputeVoided(taskId, 0);
        vm.stopPrank();
        bytes memory notAudits = abi.encodeWithSelector(MarketVerdicts.NotAudits.selector, court);
        vm.startPrank(court);
        vm.expectRevert(notAudits);
        market.auditDecided(taskId, 0, false);
        vm.expectRevert(notAudits);
        market.auditClosed(taskId, 0);
        vm.stopPrank();
    }

    function test_convict_withoutDispute_reverts() public {
        uint256 taskId = _committed(alice);
        vm.prank(court);
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.convict(taskId, 0, 0);
    }

    function test_auditDecided_twice_reverts() public {
        uint256 taskId = _committed(alice);
        vm.startPrank(audits);
        market.auditDecided(taskId, 0, true);
        vm.expectRevert(abi.encodeWithSelector(MarketVerdicts.AuditAlreadyDecided.selector, taskId));
        market.auditDecided(taskId, 0, false);
        market.auditClosed(taskId, 0);
        vm.expectRevert(abi.encodeWithSelector(MarketVerdicts.AuditNotPending.selector, taskId));
        market.auditClosed(taskId, 0);
        vm.stopPrank();
    }

    function test_auditFlags_doNotOutliveTheAttempt() public {
        uint256 taskId = _committed(alice);
        _decideNoAudit(taskId);
        vm.startPrank(court);
        market.disputeOpened(taskId, 0);
        market.disputeVoided(taskId, 0);
        vm.stopPrank();
        assertFalse(market.task(taskId).auditClosed, "the next result gets its own lot");
    }

    function test_reverse_tombstonedProvider_fromEveryServedState() public {
        uint256 claimed = _post();
        _claim(claimed, alice);
        uint256 committed = _committed(alice);
        uint256 disputed = _committed(alice);
        vm.startPrank(court);
        market.disputeOpened(disputed, 0);
        vault.tombstone(alice);
        vm.stopPrank();
        uint128 stake = vault.totalStake(alice);
        uint128 burned = vault.burned();
        market.reverse(claimed);
        assertEq(vault.totalStake(alice), stake, "it has said nothing yet");
        uint128 lost = market.task(committed).collateral + market.task(disputed).collateral;
        market.reverse(committed);
        market.reverse(disputed);
        assertTrue(lost != 0);
        assertEq(vault.totalStake(alice), stake - lost, "what stood for its results");
        assertEq(vault.burned(), burned + lost);
        assertState(claimed, TaskState.Open);
        assertState(committed, TaskState.Open);
        assertState(disputed, TaskState.Open);
        assertEq(vault.provider(alice).locked, 0);
        assertEq(vault.provider(alice).liveTasks, 0);
    }

    function test_reverse_standingProvider_reverts() public {
        uint256 taskId = _committed(alice);
        vm.expectRevert(abi.encodeWithSelector(MarketVerdicts.ProviderNotTombstoned.selector, taskId, alice));
        market.reverse(taskId);
    }

    function test_reverse_settled_reverts() public {
        uint256 taskId = _committed(alice);
        _decideNoAudit(taskId);
        _settle(taskId);
        vm.prank(court);
        vault.tombstone(alice);
        vm.expectPartialRevert(MarketVerdicts.NotUnderJudgement.selector);
        market.reverse(taskId);
    }

    /// Self-challenge: even if the cheat owns the challenger, the referee, the requester and the requeued task's next
    /// provider, less comes back than was slashed.
    function testFuzz_shares_everythingComesBackToOneHand_stillLosesHalf(uint128 slash) public view {
        uint256 s = bound(slash, 1, type(uint96).max);
        CourtParams memory c = parameters.courtAt(1);
        uint256 back =
            s * c.requesterBps / 10_000 + s * c.challengerBps / 10_000 + s * c.refereeBps / 10_000 + s * c.requeueBps / 10_000;
        assertLe(back, s - s * c.burnBps / 10_000, "at most what is not burned");
        assertLe(back * 2, s, "at most half");
    }
}
