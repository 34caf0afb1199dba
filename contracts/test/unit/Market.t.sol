// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {StopLeaf} from "../utils/StopLeaf.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {Market} from "../../src/market/Market.sol";
import {MarketStorage} from "../../src/market/MarketStorage.sol";
import {Params} from "../../src/interfaces/IParameters.sol";
import {StakeLedger} from "../../src/stake/StakeLedger.sol";
import {ModelHeader, Task, TaskSpec, TaskState, Provider} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Posting, claiming, committing, settling: the undisputed life of a task and everything it refuses.
contract MarketTest is MarketFixture {
    // ---- post

    function test_post_escrow_isPriceAndLevyInTheTasksPot() public {
        uint256 before = token.balanceOf(requester);
        uint256 taskId = _post();
        assertEq(vault.pot(Pots.task(taskId)), 3 * UNIT + 0.25e18);
        assertEq(before - token.balanceOf(requester), 3 * UNIT + 0.25e18);
        assertState(taskId, TaskState.Open);
    }

    function test_post_specRoundTrips() public {
        uint256 taskId = _post();
        Task memory t = market.task(taskId);
        TaskSpec memory s = _spec();
        assertEq(t.requester, requester);
        assertEq(t.modelId, s.modelId);
        assertEq(t.inputDigest, s.inputDigest);
        assertEq(t.seed, s.seed);
        assertEq(t.minPrice, s.minPrice);
        assertEq(t.maxPrice, s.maxPrice);
        assertEq(t.rampSeconds, s.rampSeconds);
        assertEq(t.execSeconds, s.execSeconds);
        assertEq(t.provider, address(0));
    }

    function test_post_pausedByGuardian_revertsAndNothingElseStops() public {
        uint256 open = _post();
        vm.prank(guardian);
        parameters.setPaused(true);
        TaskSpec memory s = _spec();
        vm.prank(requester);
        vm.expectRevert(Market.NewTasksPaused.selector);
        market.post(s, "");
        _claim(open, alice);
        _commit(open, alice);
        _decideNoAudit(open);
        _settle(open);
        assertState(open, TaskState.Settled);
    }

    function test_post_unknownModel_reverts() public {
        TaskSpec memory s = _spec();
        s.modelId = keccak256("other");
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(MarketStorage.UnknownModel.selector, s.modelId));
        market.post(s, "");
    }

    function test_post_badPrices_revert() public {
        TaskSpec memory s = _spec();
        s.minPrice = s.maxPrice + 1;
        _expectPost(s, Market.PriceOutOfRange.selector);
        s.minPrice = 0;
        s.maxPrice = 0;
        _expectPost(s, Market.PriceOutOfRange.selector);
        s.maxPrice = 100 * UNIT + 1;
        _expectPost(s, Market.PriceOutOfRange.selector);
        s.maxPrice = type(uint128).max;
        _expectPost(s, Market.PriceOutOfRange.selector);
    }

    function test_post_deadlineBelowWork_reverts() public {
        ModelHeader memory big = _header();
        big.work = 1e12;
        bytes32 bigId = market.registerModel(big, "");
        // 1e12 work units a step, 100 steps, 1e9 a second
        assertEq(market.execFloor(bigId), 100_000);
        TaskSpec memory s = _spec();
        s.modelId = bigId;
        _expectPost(s, Market.ExecSecondsOutOfRange.selector);
        s = _spec();
        s.execSeconds = 0;
        _expectPost(s, Market.ExecSecondsOutOfRange.selector);
        s.execSeconds = 1 hours + 1;
        _expectPost(s, Market.ExecSecondsOutOfRange.selector);
    }

    function test_post_zeroInputDigest_reverts() public {
        TaskSpec memory s = _spec();
        s.inputDigest = 0;
        _expectPost(s, Market.ZeroDigest.selector);
    }

    function _expectPost(TaskSpec memory s, bytes4 selector) private {
        vm.prank(requester);
        vm.expectPartialRevert(selector);
        market.post(s, "");
    }

    // ---- price

    function testFuzz_priceNow_ramp_isMonotoneAndBounded(uint32 ramp, uint32 first, uint32 second) public {
        TaskSpec memory s = _spec();
        s.rampSeconds = ramp;
        vm.prank(requester);
        uint256 taskId = market.post(s, "");
        uint256 start = block.timestamp;
        (uint256 a, uint256 b) = first < second ? (first, second) : (second, first);
        vm.warp(start + a);
        uint128 early = market.priceNow(taskId);
        vm.warp(start + b);
        uint128 late = market.priceNow(taskId);
        assertLe(s.minPrice, early, "from min");
        assertLe(early, late, "never falls");
        assertLe(late, s.maxPrice, "to max");
        if (b >= ramp) assertEq(late, s.maxPrice);
        if (ramp > 0 && a == 0) assertEq(early, s.minPrice);
    }

    // ---- claim

    function test_claim_locksCollateralAtThePriceOfTheMoment() public {
        uint256 taskId = _post();
        skip(50);
        _claim(taskId, alice);
        Task memory t = market.task(taskId);
        assertEq(t.price, 2 * UNIT, "half way up the ramp");
        assertEq(t.collateral, 24 * UNIT, "eight times maxPrice");
        assertEq(t.provider, alice);
        assertEq(t.deadline, block.timestamp + 600);
        assertEq(vault.provider(alice).locked, 24 * UNIT);
        assertEq(vault.provider(alice).liveTasks, 1);
        skip(30);
        assertEq(market.priceNow(taskId), 2 * UNIT, "agreed is agreed");
    }

    function test_claim_taken_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        vm.prank(bob);
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.claim(taskId);
    }

    function test_claim_unregistered_reverts() public {
        uint256 taskId = _post();
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.NotRegistered.selector, address(this)));
        market.claim(taskId);
    }

    function test_claim_jailed_reverts() public {
        _missed(alice);
        uint256 taskId = _post();
        vm.prank(alice);
        vm.expectPartialRevert(StakeLedger.ProviderJailed.selector);
        market.claim(taskId);
    }

    function test_claim_jailServedButNotLeft_reverts() public {
        _missed(alice);
        skip(2 hours);
        uint256 taskId = _post();
        vm.prank(alice);
        vm.expectPartialRevert(StakeLedger.ProviderJailed.selector);
        market.claim(taskId);
    }

    function test_claim_tombstoned_reverts() public {
        vm.prank(court);
        vault.tombstone(alice);
        uint256 taskId = _post();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderTombstoned.selector, alice));
        market.claim(taskId);
    }

    function test_claim_beyondConcurrency_reverts() public {
        address dave = _provider("dave", 1_000 * UNIT, 1);
        _claim(_post(), dave);
        uint256 second = _post();
        vm.prank(dave);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ConcurrencyReached.selector, dave, 1, 1));
        market.claim(second);
    }

    function test_claim_beyondExposureCap_reverts() public {
        address dave = _provider("dave", 100 * UNIT, 8);
        _claim(_post(), dave); // 24 of 100 locked, the cap is 25
        uint256 second = _post();
        vm.prank(dave);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ExposureCap.selector, dave, 48 * UNIT, 25 * UNIT));
        market.claim(second);
    }

    function test_claim_stakeBelowMinimum_reverts() public {
        vm.prank(alice);
        vault.requestUnbond(950 * UNIT);
        TaskSpec memory s = _spec();
        s.maxPrice = 1 * UNIT;
        vm.prank(requester);
        uint256 taskId = market.post(s, "");
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.StakeTooLow.selector, alice, 50 * UNIT, 100 * UNIT));
        market.claim(taskId);
    }

    function test_claim_freeBelowCollateral_reverts() public {
        vm.prank(alice);
        vault.requestUnbond(990 * UNIT);
        uint256 taskId = _post();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.InsufficientFree.selector, alice, 10 * UNIT, 24 * UNIT));
        market.claim(taskId);
    }

    // ---- commit

    function test_commit_stranger_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        (bytes32 out, bytes32 root, bytes32[] memory proof) = _result(1);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(Market.NotProvider.selector, taskId, bob));
        market.commit(taskId, 1, out, root, proof, _stopProof(1, 0));
    }

    function test_commit_afterDeadline_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        (bytes32 out, bytes32 root, bytes32[] memory proof) = _result(1);
        skip(600);
        vm.prank(alice);
        market.commit(taskId, 1, out, root, proof, _stopProof(1, 0)); // the last second counts
        taskId = _post();
        _claim(taskId, alice);
        skip(601);
        vm.prank(alice);
        vm.expectPartialRevert(Market.DeadlinePassed.selector);
        market.commit(taskId, 1, out, root, proof, _stopProof(1, 0));
    }

    function test_commit_stepsOutOfRange_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        (bytes32 out, bytes32 root, bytes32[] memory proof) = _result(1);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(Market.StepsOutOfRange.selector, 0, 100));
        market.commit(taskId, 0, out, root, proof, _stopProof(1, 0));
        vm.expectRevert(abi.encodeWithSelector(Market.StepsOutOfRange.selector, 101, 100));
        market.commit(taskId, 101, out, root, proof, _stopProof(1, 0));
        vm.stopPrank();
    }

    function test_commit_outputNotTheLastLeaf_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        bytes32[] memory leaves = _leaves(2, 0);
        bytes32 root = TraceTree.root(leaves, 9);
        bytes32[] memory proof = TraceTree.open(leaves, 9, 3);
        // leaf 3 ends step 0; with two steps the output is leaf 7
        vm.prank(alice);
        vm.expectPartialRevert(Market.OutputNotInTrace.selector);
        market.commit(taskId, 2, leaves[3], root, proof, _stopProof(1, 0));
        vm.prank(alice);
        market.commit(taskId, 1, leaves[3], root, proof, _stopProof(1, 0));
    }

    function test_commit_proofOfWrongLength_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        (bytes32 out, bytes32 root,) = _result(1);
        bytes32[] memory short = new bytes32[](8);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Market.ProofLength.selector, 8, 9));
        market.commit(taskId, 1, out, root, short, _stopProof(1, 0));
    }

    /// P-T6: slot 0 of the output says that the run has stopped; a run of more steps, or of fewer, has to lie about an operator.
    function test_commit_notStopped_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        (bytes32 out, bytes32 root, bytes32[] memory proof) = _result(1);
        bytes32[] memory stop = _stopProof(2, 0); // of another leaf
        vm.prank(alice);
        vm.expectPartialRevert(Market.NotStopped.selector);
        market.commit(taskId, 1, out, root, proof, stop);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Market.ProofLength.selector, 0, 2));
        market.commit(taskId, 1, out, root, proof, new bytes32[](0));
        // a tensor that holds 2, or of another type, or in another slot
        bytes32[3] memory others = [
            sha256(abi.encodePacked(hex"02010201", uint64(1), sha256(hex"000200000000000000"))),
            sha256(abi.encodePacked(hex"02010301", uint64(1), sha256(hex"0001000000"))),
            keccak256("slot 0")
        ];
        bytes32[] memory slots = new bytes32[](2);
        slots[1] = StopLeaf.stopped();
        bytes32[] memory leaves = new bytes32[](4);
        for (uint256 i = 0; i < 3; i++) {
            slots[0] = others[i];
            leaves[3] = TraceTree.root(slots, 2);
            root = TraceTree.root(leaves, 9);
            proof = TraceTree.open(leaves, 9, 3);
            stop = TraceTree.open(slots, 2, 0);
            bytes32 asked = _rootWith(StopLeaf.stopped(), slots);
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(Market.NotStopped.selector, asked, leaves[3]));
            market.commit(taskId, 1, leaves[3], root, proof, stop);
        }
        slots[0] = StopLeaf.stopped();
        leaves[3] = TraceTree.root(slots, 2);
        root = TraceTree.root(leaves, 9);
        vm.prank(alice);
        market.commit(taskId, 1, leaves[3], root, proof, stop);
    }

    function _rootWith(bytes32 first, bytes32[] memory slots) private pure returns (bytes32) {
        bytes32[] memory row = new bytes32[](2);
        (row[0], row[1]) = (first, slots[1]);
        return TraceTree.root(row, 2);
    }

    /// A model of one step says nothing about stopping.
    function test_commit_modelOfOneStep_needsNoStop() public {
        header.maxSteps = 1;
        header.traceHeight = 2;
        modelId = market.registerModel(header, "mem://one step");
        uint256 taskId = _post();
        _claim(taskId, alice);
        bytes32[] memory leaves = new bytes32[](4);
        leaves[3] = keccak256("whatever is live");
        bytes32 root = TraceTree.root(leaves, 2);
        bytes32[] memory proof = TraceTree.open(leaves, 2, 3);
        vm.prank(alice);
        market.commit(taskId, 1, leaves[3], root, proof, new bytes32[](0));
        assertState(taskId, TaskState.Committed);
    }

    function test_commit_twice_reverts() public {
        uint256 taskId = _committed(alice);
        (bytes32 out, bytes32 root, bytes32[] memory proof) = _result(1);
        vm.prank(alice);
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.commit(taskId, 1, out, root, proof, _stopProof(1, 0));
    }

    function test_commit_traceRoot_bindsStepsAndLevel1Root() public {
        uint256 taskId = _committed(alice);
        (, bytes32 root,) = _result(1);
        assertEq(market.level1RootOf(taskId), root);
        assertEq(market.task(taskId).traceRoot, sha256(abi.encodePacked(bytes1(0x03), uint32(1), root)));
    }

    function testFuzz_commit_anySteps_acceptsHonestRefusesTampered(uint8 steps, uint8 level, bytes32 noise) public {
        uint32 n = uint32(bound(steps, 1, 100));
        uint256 taskId = _post();
        _claim(taskId, alice);
        bytes32[] memory leaves = _leaves(n, 0);
        uint256 last = leaves.length - 1;
        bytes32 root = TraceTree.root(leaves, 9);
        bytes32[] memory proof = TraceTree.open(leaves, 9, last);
        bytes32[] memory stop = _stopProof(n, 0);
        uint256 at = bound(level, 0, 8);
        bytes32 honest = proof[at];
        vm.assume(noise != honest);
        proof[at] = noise;
        vm.prank(alice);
        vm.expectPartialRevert(Market.OutputNotInTrace.selector);
        market.commit(taskId, n, leaves[last], root, proof, stop);
        proof[at] = honest;
        vm.prank(alice);
        market.commit(taskId, n, leaves[last], root, proof, stop);
        assertEq(market.task(taskId).outputDigest, leaves[last]);
    }

    function _result(uint32 steps) private view returns (bytes32 out, bytes32 root, bytes32[] memory proof) {
        bytes32[] memory leaves = _leaves(steps, 0);
        out = leaves[leaves.length - 1];
        root = TraceTree.root(leaves, 9);
        proof = TraceTree.open(leaves, 9, leaves.length - 1);
    }

    // ---- retract

    function test_retract_inTime_costsLivenessAndRequeuesWithoutJail() public {
        uint256 taskId = _committed(alice);
        vm.prank(alice);
        market.retract(taskId);
        assertState(taskId, TaskState.Open);
        assertEq(vault.burned(), 2.4e18, "a tenth of the collateral, burned");
        Provider memory a = vault.provider(alice);
        assertEq(a.locked, 0);
        assertEq(a.jailedUntil, 0);
        assertEq(market.task(taskId).attempt, 1);
        assertTrue(market.isExcluded(taskId, alice), "not twice");
    }

    function test_retract_atWindowEnd_reverts() public {
        uint256 taskId = _committed(alice);
        skip(2 minutes);
        vm.prank(alice);
        vm.expectPartialRevert(Market.RetractWindowClosed.selector);
        market.retract(taskId);
    }

    /// A retract as a free option: wait for challenges, and pull out when one comes.
    function test_retract_afterACommittedChallenge_reverts() public {
        uint256 taskId = _committed(alice);
        vm.prank(court);
        market.challengeCommitted(taskId, 0);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Market.AlreadyChallenged.selector, taskId));
        market.retract(taskId);
    }

    function test_retract_stranger_reverts() public {
        uint256 taskId = _committed(alice);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(Market.NotProvider.selector, taskId, bob));
        market.retract(taskId);
    }

    // ---- deadline

    function test_missDeadline_early_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        skip(600);
        vm.expectPartialRevert(Market.DeadlineNotPassed.selector);
        market.missDeadline(taskId);
    }

    function test_missDeadline_burnsAndJailsAndNeverPaysTheRequester() public {
        uint128 creditBefore = vault.credit(requester);
        uint256 taskId = _missed(alice);
        assertEq(vault.burned(), 2.4e18);
        assertEq(vault.credit(requester), creditBefore);
        assertEq(vault.pot(Pots.task(taskId)), 3 * UNIT + 0.25e18, "the escrow stays with the task");
        assertEq(vault.provider(alice).jailedUntil, block.timestamp + 1 hours);
        assertEq(vault.provider(alice).free, 1_000 * UNIT - 2.4e18, "the rest of the collateral is free again");
    }

    function test_missDeadline_twice_reverts() public {
        uint256 taskId = _missed(alice);
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.missDeadline(taskId);
    }

    // ---- settle

    function test_settle_paysPriceRefundAndLevy() public {
        uint256 taskId = _post();
        skip(50);
        _claim(taskId, alice);
        _commit(taskId, alice);
        uint128 poolBefore = vault.pot(Pots.AUDIT_POOL);
        _decideNoAudit(taskId);
        _settle(taskId);
        assertEq(vault.credit(_payoutOf(alice)), 2 * UNIT);
        assertEq(vault.credit(requester), 1 * UNIT);
        assertEq(vault.pot(Pots.AUDIT_POOL) - poolBefore, 0.25e18);
        assertEq(vault.pot(Pots.task(taskId)), 0);
        Provider memory a = vault.provider(alice);
        assertEq(a.locked, 0);
        assertEq(a.liveTasks, 0);
        assertEq(a.settledTasks, 1);
    }

    function test_settle_early_reverts() public {
        uint256 taskId = _committed(alice);
        _decideNoAudit(taskId);
        vm.warp(market.settleableAt(taskId) - 1);
        vm.expectPartialRevert(Market.TooEarlyToSettle.selector);
        market.settle(taskId);
    }

    function test_settle_auditUndecidedOrPending_reverts() public {
        uint256 taskId = _committed(alice);
        vm.warp(market.settleableAt(taskId));
        vm.expectRevert(abi.encodeWithSelector(Market.AuditOpen.selector, taskId));
        market.settle(taskId);
        vm.prank(audits);
        market.auditDecided(taskId, 0, true);
        vm.expectRevert(abi.encodeWithSelector(Market.AuditOpen.selector, taskId));
        market.settle(taskId);
        vm.prank(audits);
        market.auditClosed(taskId, 0);
        market.settle(taskId);
    }

    function test_settle_disputed_reverts() public {
        uint256 taskId = _committed(alice);
        _decideNoAudit(taskId);
        vm.prank(court);
        market.disputeOpened(taskId, 0);
        vm.warp(market.settleableAt(taskId));
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.settle(taskId);
    }

    function test_settle_tombstonedProvider_revertsAndReverses() public {
        uint256 taskId = _committed(alice);
        _decideNoAudit(taskId);
        vm.prank(court);
        vault.tombstone(alice);
        vm.warp(market.settleableAt(taskId));
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderTombstoned.selector, alice));
        market.settle(taskId);
        market.reverse(taskId);
        assertState(taskId, TaskState.Open);
        assertEq(vault.provider(alice).liveTasks, 0, "nothing holds the rest of its stake");
    }

    function test_settle_twice_reverts() public {
        uint256 taskId = _committed(alice);
        _decideNoAudit(taskId);
        _settle(taskId);
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.settle(taskId);
    }

    // ---- cancel and expire

    function test_cancel_open_refundsAllToCredit() public {
        uint256 taskId = _post();
        vm.prank(requester);
        market.cancel(taskId);
        assertState(taskId, TaskState.Cancelled);
        assertEq(vault.credit(requester), 3 * UNIT + 0.25e18);
        uint256 before = token.balanceOf(requester);
        vm.prank(requester);
        vault.withdrawCredit(requester, 3 * UNIT + 0.25e18);
        assertEq(token.balanceOf(requester) - before, 3 * UNIT + 0.25e18);
    }

    function test_cancel_strangerOrClaimed_reverts() public {
        uint256 taskId = _post();
        vm.expectRevert(abi.encodeWithSelector(Market.NotRequester.selector, taskId, address(this)));
        market.cancel(taskId);
        _claim(taskId, alice);
        vm.prank(requester);
        vm.expectPartialRevert(MarketStorage.WrongState.selector);
        market.cancel(taskId);
    }

    function test_expire_noBid_refundsAndSaysSo() public {
        uint256 taskId = _post();
        vm.expectPartialRevert(Market.NotExpired.selector);
        market.expire(taskId);
        skip(1 days + 1);
        vm.expectEmit(address(market));
        emit TaskExpired(taskId, 3 * UNIT + 0.25e18, true);
        market.expire(taskId);
        assertState(taskId, TaskState.Expired);
        assertEq(vault.credit(requester), 3 * UNIT + 0.25e18);
    }

    event TaskExpired(uint256 indexed taskId, uint128 refund, bool hadNoBid);

    function test_task_unknown_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(MarketStorage.UnknownTask.selector, 5, 0));
        market.task(5);
    }

    /// Rules are pinned at the posting: new numbers do not move a running task's window.
    function test_settleableAt_parametersChange_keepsTheTasksOwn() public {
        uint256 taskId = _committed(alice);
        uint64 before = market.settleableAt(taskId);
        Params memory next = parameters.paramsAt(1);
        next.market.challengeWindow = 4 minutes;
        vm.prank(timelock);
        parameters.set(next);
        assertEq(market.settleableAt(taskId), before);
        assertEq(market.rulesOf(taskId), 1);
        assertEq(market.rulesOf(_post()), 2);
    }
}
