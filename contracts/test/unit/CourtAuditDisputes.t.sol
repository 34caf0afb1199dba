// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {Run} from "../utils/GameTrace.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {AuditState} from "../../src/interfaces/IAudits.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, Task, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Audits and court together: a mismatch becomes a dispute, its bond the pool's, its risk the auditor's.
contract CourtAuditDisputesTest is CourtFixture {
    Run private wrong;
    Run private right;
    CourtParams private c;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        c = _courtParams();
    }

    function _audited(Run memory theirs, Run memory own) private returns (uint256 taskId, address auditor) {
        taskId = _committedRun(alice, theirs);
        auditor = _decideAudit(taskId);
        _commitAudit(taskId, own);
        _openAudit(taskId, own);
    }

    function test_match_settles() public {
        (uint256 taskId, address auditor) = _audited(right, right);
        assertTrue(_auditOf(taskId).state == AuditState.Matched, "the same trace");
        assertEq(theCourt.disputeCount(), 0);
        assertEq(vault.credit(_payoutOf(auditor)), 1 * UNIT);
        assertEq(vault.dutiesOf(auditor), 0);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    function test_mismatch_opensADispute_withThePoolsBond() public {
        uint128 pool_ = vault.pot(Pots.AUDIT_POOL);
        (uint256 taskId, address auditor) = _audited(wrong, right);
        uint128 bond = theCourt.bondOf(alice);
        Dispute memory d = theCourt.dispute(1);
        assertEq(d.challenger, auditor);
        assertEq(d.bond, bond);
        assertEq(vault.pot(Pots.dispute(1)), bond);
        assertEq(pool_ - vault.pot(Pots.AUDIT_POOL), bond + 1 * UNIT, "bond and fee");
        assertState(taskId, TaskState.Disputed);
        assertEq(_frozen(alice), 1);
        assertEq(vault.dutiesOf(auditor), 1, "it answers for what it said");
    }

    function test_mismatch_upheld_bondBackToThePool_rewardToTheAuditor() public {
        uint128 pool_ = vault.pot(Pots.AUDIT_POOL);
        (uint256 taskId, address auditor) = _audited(wrong, right);
        uint128 stake = vault.totalStake(alice);
        _judge(1, wrong, right);
        assertDispute(1, DisputeState.Upheld);
        uint128 taken = stake - vault.totalStake(alice);
        assertEq(pool_ - vault.pot(Pots.AUDIT_POOL), 1 * UNIT, "the bond is back, the fee is paid");
        assertEq(vault.credit(auditor), taken / 4, "the challenger's share");
        assertEq(vault.totalStake(auditor), 1_000 * UNIT);
        theAudits.releaseAuditor(taskId, 0);
        assertEq(vault.dutiesOf(auditor), 0);
        assertPotsEmpty(1);
    }

    /// Auditor and provider are friends and have the pool pay the provider for a false mismatch. They do not empty it: what
    /// it lost comes out of the auditor's stake.
    function test_mismatch_cleared_theAuditorMakesGoodWhatThePoolLost() public {
        uint128 pool_ = vault.pot(Pots.AUDIT_POOL);
        (uint256 taskId, address auditor) = _audited(right, wrong);
        uint128 bond = theCourt.bondOf(alice);
        uint128 burned = vault.burned();
        _judge(1, right, wrong);
        assertDispute(1, DisputeState.Cleared);
        address referee = theCourt.dispute(1).referee;
        assertEq(vault.totalStake(auditor), 1_000 * UNIT - bond, "out of its stake");
        assertEq(pool_ - vault.pot(Pots.AUDIT_POOL), 1 * UNIT, "the pool has its bond again");
        assertEq(vault.burned(), burned);
        assertEq(vault.credit(_payoutOf(alice)), bond - c.refereeFee, "the accused is paid all the same");
        assertEq(vault.credit(_payoutOf(referee)), c.refereeFee);
        assertFalse(vault.isTombstoned(auditor), "wrong, not a cheat");
        theAudits.releaseAuditor(taskId, 0);
        assertEq(vault.dutiesOf(auditor), 0);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    /// An auditor that says "mismatch" and does not play pays as well.
    function test_mismatch_auditorStaysSilent_paysThePool() public {
        uint128 pool_ = vault.pot(Pots.AUDIT_POOL);
        (, address auditor) = _audited(right, wrong);
        _move(1, right, wrong);
        vm.warp(block.timestamp + c.clockBudget + 1);
        theCourt.claimTimeout(1);
        uint128 bond = theCourt.bondOf(alice);
        assertEq(vault.totalStake(auditor), 1_000 * UNIT - bond);
        assertEq(pool_ - vault.pot(Pots.AUDIT_POOL), 1 * UNIT);
        assertEq(vault.credit(_payoutOf(alice)), bond);
    }

    /// A pool that has run dry stops no dispute; a false alarm costs what it always costs, or freezing others would be free.
    function test_mismatch_poolIsDry_aFalseAlarmCostsTheSame() public {
        uint128 have = vault.pot(Pots.AUDIT_POOL);
        vm.prank(address(theCourt));
        vault.movePot(Pots.AUDIT_POOL, Pots.BURN, have, "test");
        (uint256 taskId, address auditor) = _audited(right, wrong);
        assertEq(theCourt.dispute(1).bond, 0);
        _judge(1, right, wrong);
        assertDispute(1, DisputeState.Cleared);
        uint128 bond = theCourt.bondOf(alice);
        assertEq(vault.totalStake(auditor), 1_000 * UNIT - bond);
        assertEq(vault.pot(Pots.AUDIT_POOL), bond, "into the pool");
        _settle(taskId);
    }

    /// Void ends it without cost: the bond is the pool's, not the auditor's to keep.
    function test_mismatch_void_bondBackToThePool() public {
        uint128 pool_ = vault.pot(Pots.AUDIT_POOL);
        (uint256 taskId, address auditor) = _audited(wrong, right);
        _play(1, wrong, right);
        _drawReferee(1);
        _rule(1, wrong);
        vm.prank(alice);
        theCourt.appeal(1);
        assertDispute(1, DisputeState.Void);
        assertEq(pool_ - vault.pot(Pots.AUDIT_POOL), 1 * UNIT);
        assertEq(vault.credit(auditor), 0);
        assertEq(vault.totalStake(auditor), 1_000 * UNIT);
        theAudits.releaseAuditor(taskId, 0);
    }

    /// An audit and a challenge run beside each other; the first conviction ends both.
    function test_auditAndChallenge_inParallel() public {
        uint256 taskId = _committedRun(alice, wrong);
        uint256 id = _challenge(taskId, watcher, right);
        address auditor = _decideAudit(taskId);
        _commitAudit(taskId, right);
        _judge(id, wrong, right);
        assertDispute(id, DisputeState.Upheld);
        vm.expectPartialRevert(Audits.NoResult.selector);
        vm.prank(auditor);
        theAudits.commitAudit(taskId, 0, 0, 0, 0);
        theAudits.releaseAuditor(taskId, 0);
        assertEq(vault.dutiesOf(auditor), 0, "nobody owes anything about a result that is gone");
        assertEq(vault.totalStake(auditor), 1_000 * UNIT);
    }

    /// A cleared challenge does not stand for the audit: the task waits for it.
    function test_cleared_stillOwesItsAudit() public {
        uint256 taskId = _committedRun(alice, right);
        uint256 id = _challenge(taskId, watcher, wrong);
        _judge(id, right, wrong);
        assertState(taskId, TaskState.Committed);
        vm.warp(market.settleableAt(taskId));
        vm.expectRevert();
        market.settle(taskId);
        _decideAudit(taskId);
        vm.expectRevert();
        market.settle(taskId);
        _commitAudit(taskId, right);
        _openAudit(taskId, right);
        market.settle(taskId);
        Task memory t = market.task(taskId);
        assertTrue(t.state == TaskState.Settled, "at last");
    }
}
