// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditFixture} from "../utils/AuditFixture.sol";
import {AuditTrace} from "../utils/AuditTrace.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {Audit, AuditState, ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {TaskState} from "../../src/interfaces/Types.sol";
import {Market} from "../../src/market/Market.sol";
import {WiringCheck} from "../../src/WiringCheck.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Who is audited, by whom, until when, and for what pay.
contract AuditsTest is AuditFixture {
    AuditTrace.Run private honest = AuditTrace.Run(1, 0, 0);

    function test_wiring_fullSet_agrees() public {
        new WiringCheck().check(system);
    }

    // ---- P-A1: decision

    function test_decide_roundIsFixedByTheCommit() public {
        uint256 taskId = _served(alice, honest);
        uint64 seedTime = market.task(taskId).committedAt + 2 minutes + 30;
        uint64 round = auditor_.auditRound(taskId);
        assertEq(round, beacon.roundAfter(seedTime));
        assertGt(beacon.timeOf(round), seedTime, "no value before the retract window and the delay are over");
        skip(1 hours);
        assertEq(auditor_.auditRound(taskId), round, "whenever it is asked");
    }

    function test_decide_roundNotOut_reverts() public {
        uint256 taskId = _served(alice, honest);
        uint64 round = auditor_.auditRound(taskId);
        bytes memory notOut = abi.encodeWithSelector(Audits.RoundNotOut.selector, round);
        vm.expectRevert(notOut);
        auditor_.decide(taskId);
        vm.warp(beacon.timeOf(round));
        vm.expectRevert(notOut);
        auditor_.decide(taskId);
        _publish(round + 1); // another round does not do
        vm.expectRevert(notOut);
        auditor_.decide(taskId);
        _publish(round);
        auditor_.decide(taskId);
        assertAudit(taskId, AuditState.Drawn);
        assertTrue(market.task(taskId).auditPending);
    }

    function test_decide_twice_reverts() public {
        (uint256 taskId,) = _drawn(honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.AlreadyDecided.selector, taskId, 0));
        auditor_.decide(taskId);
    }

    function test_decide_noResult_reverts() public {
        uint256 taskId = _post();
        vm.expectRevert(abi.encodeWithSelector(Audits.NoResult.selector, taskId, TaskState.Open));
        auditor_.decide(taskId);
        _claim(taskId, alice);
        vm.expectRevert(abi.encodeWithSelector(Audits.NoResult.selector, taskId, TaskState.Claimed));
        auditor_.decide(taskId);
        vm.expectRevert(abi.encodeWithSelector(Audits.NoResult.selector, 99, TaskState.None));
        auditor_.decide(99);
    }

    function test_decide_tombstonedProvider_reverts() public {
        uint256 taskId = _served(alice, honest);
        _publish(auditor_.auditRound(taskId));
        scriptedCourt.tombstone(alice);
        vm.expectRevert(abi.encodeWithSelector(Audits.ResultIsReversed.selector, taskId, alice));
        auditor_.decide(taskId);
    }

    function test_decide_probation_alwaysSelected() public {
        for (uint256 i = 0; i < 3; i++) {
            (uint256 taskId, Audit memory a) = _drawn(honest);
            assertTrue(a.state == AuditState.Drawn, "a newcomer's result is audited whatever the beacon says");
            _finish(taskId, honest);
            _settle(taskId);
        }
        assertEq(vault.provider(alice).settledTasks, 3);
    }

    /// Past probation the hash decides, and nothing else; both answers occur.
    function test_decide_pastProbation_byHash() public {
        for (uint256 i = 0; i < 3; i++) {
            uint256 done = _served(alice, honest);
            _decideNoAudit(done);
            _settle(done);
        }
        uint256 taskId = _served(alice, honest);
        uint64 round = auditor_.auditRound(taskId);
        uint256[2] memory seen;
        for (uint256 i = 0; i < 24; i++) {
            uint256 id = vm.snapshotState();
            vm.prevrandao(bytes32(i));
            _publish(round);
            bool selected =
                uint256(keccak256(abi.encode(beacon.valueOf(round), taskId, uint8(0)))) % 1_000_000 < _rules().freshRatePpm;
            auditor_.decide(taskId);
            assertAudit(taskId, selected ? AuditState.Drawn : AuditState.NotDrawn);
            assertEq(market.task(taskId).auditClosed, !selected);
            uint256[2] memory sum = [seen[0], seen[1]];
            sum[selected ? 1 : 0]++;
            vm.revertToState(id);
            seen = sum;
        }
        assertGt(seen[0], 0, "some are not audited");
        assertGt(seen[1], 0, "some are");
    }

    function test_notDrawn_settlesAndCannotBeAudited() public {
        for (uint256 i = 0; i < 3; i++) {
            uint256 done = _served(alice, honest);
            _decideNoAudit(done);
            _settle(done);
        }
        uint256 taskId = _served(alice, honest);
        uint64 round = auditor_.auditRound(taskId);
        for (uint256 i = 0; auditor_.audit(taskId, 0).state != AuditState.NotDrawn; i++) {
            uint256 id = vm.snapshotState();
            vm.prevrandao(bytes32(i));
            _publish(round);
            auditor_.decide(taskId);
            if (_audit(taskId).state != AuditState.NotDrawn) vm.revertToState(id);
        }
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.NotDrawn, AuditState.Drawn));
        vm.prank(bob);
        auditor_.commitAudit(taskId, 0, 0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.NotDrawn, AuditState.Drawn));
        auditor_.auditTimeout(taskId);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    function test_audit_ofATaskThatIsNotThere_isEmpty() public view {
        Audit memory a = auditor_.audit(77, 0);
        assertEq(uint256(a.state), uint256(AuditState.None));
        assertEq(uint256(a.deadline), 0);
    }

    function test_audit_pending_blocksSettlement() public {
        (uint256 taskId,) = _drawn(honest);
        vm.warp(market.settleableAt(taskId));
        vm.expectRevert(abi.encodeWithSelector(Market.AuditOpen.selector, taskId));
        market.settle(taskId);
    }

    // ---- P-A2: draw

    /// Whatever the beacon says, nobody with a part in the task is drawn; the drawn leaf is one of the trace's.
    function testFuzz_draw_neitherSideNorRequester(bytes32 randomness, uint32 steps) public {
        steps = uint32(bound(steps, 1, 4));
        // alice serves and is a member herself; so are a second key of her owner and one that pays the requester
        _join(alice);
        address sibling = _funded("sibling");
        vm.prank(_ownerOf(alice));
        vault.consent(sibling, true);
        vm.prank(requester);
        vault.consent(sibling, true);
        address friend = _funded("friend");
        vm.prank(requester);
        vault.consent(friend, true);
        address aliceOwner = _ownerOf(alice);
        vm.prank(sibling);
        vault.register(aliceOwner, sibling, 4, 5_000 * UNIT);
        vm.prank(friend);
        vault.register(friend, requester, 4, 5_000 * UNIT);
        _join(sibling);
        _join(friend);
        skip(1);
        uint256 taskId = _served(alice, AuditTrace.Run(steps, 0, 0));
        vm.prevrandao(randomness);
        Audit memory a = _decide(taskId);
        assertTrue(a.auditor == bob || a.auditor == carol || a.auditor == dora, "only who has no part in it");
        assertLt(a.leafIndex, uint256(steps) * 4, "a leaf of the trace");
        assertEq(a.deadline, block.timestamp + 10 minutes);
        assertDuties(a.auditor, 1);
    }

    function test_draw_joinedAfterTheCommit_isNotSeen() public {
        vm.prank(bob);
        pool.leave(modelId);
        vm.prank(carol);
        pool.leave(modelId);
        vm.prank(dora);
        pool.leave(modelId);
        skip(1);
        uint256 taskId = _served(alice, honest);
        skip(1);
        _join(bob);
        _decide(taskId);
        assertAudit(taskId, AuditState.Waived);
    }

    function test_draw_nobody_isWaivedAndSettles() public {
        // the pool's only members are the provider's own
        vm.prank(bob);
        pool.leave(modelId);
        vm.prank(carol);
        pool.leave(modelId);
        vm.prank(dora);
        pool.leave(modelId);
        _join(alice);
        skip(1);
        (uint256 taskId, Audit memory a) = _drawn(honest);
        assertTrue(a.state == AuditState.Waived);
        assertEq(a.auditor, address(0));
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    // ---- commitment

    function test_commitAudit_byAnother_reverts() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        address other = a.auditor == bob ? carol : bob;
        vm.expectRevert(abi.encodeWithSelector(Audits.NotAuditor.selector, taskId, other, a.auditor));
        vm.prank(other);
        auditor_.commitAudit(taskId, 0, 0, bytes32(uint256(1)), bytes32(uint256(2)));
    }

    function test_commitAudit_beforeDraw_reverts() public {
        uint256 taskId = _served(alice, honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.None, AuditState.Drawn));
        vm.prank(bob);
        auditor_.commitAudit(taskId, 0, 0, 0, 0);
    }

    function test_commitAudit_deadlineIsInclusive() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        vm.warp(a.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Audits.DeadlinePassed.selector, taskId, a.deadline));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, 0, 0, 0, 0);
        vm.warp(a.deadline);
        vm.expectRevert(abi.encodeWithSelector(Audits.DeadlineNotPassed.selector, taskId, a.deadline));
        auditor_.auditTimeout(taskId);
        _commitAudit(taskId, honest);
        assertAudit(taskId, AuditState.Committed);
    }

    /// A transaction that a reorg took out may come back behind the end of its attempt, or when another leaf was drawn.
    function test_commitAudit_answersItsOwnDraw() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        bytes memory refusal = abi.encodeWithSelector(Audits.OtherDraw.selector, taskId, a.attempt, a.leafIndex);
        vm.startPrank(a.auditor);
        vm.expectRevert(refusal);
        auditor_.commitAudit(taskId, a.attempt + 1, a.leafIndex, 0, 0);
        vm.expectRevert(refusal);
        auditor_.commitAudit(taskId, a.attempt, a.leafIndex + 1, 0, 0);
        auditor_.commitAudit(taskId, a.attempt, a.leafIndex, 0, 0);
        vm.stopPrank();
        assertTrue(_audit(taskId).state == AuditState.Committed);
    }

    function test_commitAudit_twice_reverts() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        _commitAudit(taskId, honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.Committed, AuditState.Drawn));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, 0, 0, 0, 0);
    }

    function test_chunkSeed_comesAfterTheCommitment() public {
        (uint256 taskId,) = _drawn(honest);
        (bool known,,) = auditor_.chunkSeed(taskId);
        assertFalse(known);
        _commitAudit(taskId, honest);
        Audit memory a = _audit(taskId);
        uint64 round = beacon.roundAfter(a.committedAt);
        assertGt(beacon.timeOf(round), a.committedAt, "a value that cannot exist at the commitment");
        assertEq(a.deadline, beacon.timeOf(round) + 1 minutes + 10 minutes);
        (known,,) = auditor_.chunkSeed(taskId);
        assertFalse(known);
        _publish(round);
        (known,,) = auditor_.chunkSeed(taskId);
        assertTrue(known);
    }

    // ---- P-A3: match

    function test_match_paysClosesAndSettles() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        uint128 before = vault.pot(Pots.AUDIT_POOL);
        _finish(taskId, honest);
        assertAudit(taskId, AuditState.Matched);
        assertDuties(a.auditor, 0);
        assertEq(vault.credit(_payoutOf(a.auditor)), _rules().fee);
        assertEq(before - vault.pot(Pots.AUDIT_POOL), _rules().fee);
        assertTrue(market.task(taskId).auditClosed);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    function test_match_poolShort_paysWhatIsThere() public {
        uint128[2] memory left = [uint128(0.3e18), 0];
        for (uint256 i = 0; i < 2; i++) {
            (uint256 taskId, Audit memory a) = _drawn(honest);
            scriptedCourt.drainAuditPool(left[i]);
            uint128 before = vault.credit(_payoutOf(a.auditor));
            _finish(taskId, honest);
            assertEq(vault.credit(_payoutOf(a.auditor)) - before, left[i]);
            _settle(taskId);
            assertState(taskId, TaskState.Settled);
        }
    }

    function test_match_frozenAuditor_mayFinish() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        uint256 other = _served(a.auditor, honest);
        vm.prank(court);
        vault.freeze(a.auditor);
        _finish(taskId, honest);
        assertAudit(taskId, AuditState.Matched);
        assertState(other, TaskState.Committed);
    }

    // ---- P-A3: mismatch

    function test_mismatch_opensDisputeInTheAuditorsName() public {
        uint256 taskId = _served(alice, _wrongRun(1, 0));
        Audit memory a = _decide(taskId);
        uint128 before = vault.pot(Pots.AUDIT_POOL);
        _finish(taskId, honest);
        assertAudit(taskId, AuditState.Mismatched);
        assertEq(scriptedCourt.accuser(), a.auditor);
        assertEq(scriptedCourt.accusedRoot(), _root(honest));
        assertEq(_audit(taskId).disputeId, 1);
        assertState(taskId, TaskState.Disputed);
        assertTrue(market.task(taskId).auditClosed);
        assertEq(vault.credit(_payoutOf(a.auditor)), _rules().fee, "paid whatever it found");
        assertEq(before - vault.pot(Pots.AUDIT_POOL), _rules().fee + 5e18, "the bond is the pool's");
        assertTrue(_audit(taskId).onDuty);
        assertDuties(a.auditor, 1);
    }

    function test_mismatch_poolEmpty_stillOpensTheDispute() public {
        uint256 taskId = _served(alice, _wrongRun(1, 0));
        Audit memory a = _decide(taskId);
        scriptedCourt.drainAuditPool(2e18);
        _finish(taskId, honest);
        assertState(taskId, TaskState.Disputed);
        assertEq(vault.pot(Pots.dispute(1)), 2e18, "what was there");
        assertEq(vault.credit(_payoutOf(a.auditor)), 0, "nothing was left");
    }

    function test_mismatch_upheld_releasesWithoutCost() public {
        uint256 taskId = _served(alice, _wrongRun(1, 0));
        Audit memory a = _decide(taskId);
        _finish(taskId, honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.AuditNotOver.selector, taskId, 0, AuditState.Mismatched));
        auditor_.releaseAuditor(taskId, 0);
        uint128 stake = vault.totalStake(a.auditor);
        scriptedCourt.uphold(1);
        auditor_.releaseAuditor(taskId, 0);
        assertDuties(a.auditor, 0);
        assertEq(vault.totalStake(a.auditor), stake);
        vm.expectRevert(abi.encodeWithSelector(Audits.NotOnDuty.selector, taskId, 0, AuditState.Mismatched));
        auditor_.releaseAuditor(taskId, 0);
    }

    function test_mismatch_cleared_endsTheDutyAndSettles() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        _finish(taskId, _wrongRun(1, 0));
        scriptedCourt.clear(1);
        assertState(taskId, TaskState.Committed);
        assertDuties(a.auditor, 1);
        auditor_.releaseAuditor(taskId, 0);
        assertDuties(a.auditor, 0);
        assertFalse(_audit(taskId).onDuty);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    function test_mismatch_otherNumberOfSteps_isAMismatch() public {
        // the provider stopped after one step, the model goes on for three; the first step's leaves agree
        (uint256 taskId,) = _drawn(honest);
        _finish(taskId, AuditTrace.Run(3, 0, 0));
        assertAudit(taskId, AuditState.Mismatched);
    }

    /// The provider ran on for four steps, the model stops after one: the auditor runs on too, or has nothing to open.
    function test_openAudit_runOfFewerSteps_reverts() public {
        uint256 taskId = _served(alice, AuditTrace.Run(4, 0, 0));
        Audit memory a = _decide(taskId);
        AuditTrace.Run memory own = _wrongRun(4, 15); // only the last leaf is another
        bytes32 salted = AuditTrace.saltedRoot(own, a.leafIndex, a.auditor, taskId);
        uint256 id = vm.snapshotState();
        bytes32 commitment = _commitment(a, _root(honest));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, a.attempt, a.leafIndex, salted, commitment);
        _publishChunkSeed(taskId);
        ChunkOpening memory nothing;
        bytes32 level1 = _level1(honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.StepsOutOfRange.selector, 1, 4, 4));
        vm.prank(a.auditor);
        auditor_.openAudit(taskId, 1, level1, SALT, nothing);
        vm.revertToState(id);
        _finish(taskId, own);
        assertAudit(taskId, AuditState.Mismatched);
    }

    function test_openAudit_stepsOutsideTheModel_reverts() public {
        (uint256 taskId, Audit memory a) = _drawn(honest);
        ChunkOpening memory nothing;
        bytes32 level1 = _level1(honest);
        for (uint32 steps = 0; steps <= 5; steps += 5) {
            uint256 id = vm.snapshotState();
            bytes32 root = sha256(abi.encodePacked(bytes1(0x03), steps, level1));
            bytes32 commitment = _commitment(a, root);
            vm.prank(a.auditor);
            auditor_.commitAudit(taskId, 0, a.leafIndex, 0, commitment);
            _publishChunkSeed(taskId);
            vm.expectRevert(abi.encodeWithSelector(Audits.StepsOutOfRange.selector, steps, 1, 4));
            vm.prank(a.auditor);
            auditor_.openAudit(taskId, steps, level1, SALT, nothing);
            vm.revertToState(id);
        }
    }
}
