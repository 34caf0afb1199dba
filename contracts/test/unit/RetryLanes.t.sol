// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {Market} from "../../src/market/Market.sol";
import {RetryLanes} from "../../src/market/RetryLanes.sol";
import {MarketStorage} from "../../src/market/MarketStorage.sol";
import {Task, TaskSpec, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice P-T5: failed tasks are served first, and nobody can stall a class with them.
contract RetryLanesTest is MarketFixture {
    address internal dave;

    function setUp() public override {
        super.setUp();
        dave = _provider("dave", 1_000 * UNIT, 8);
    }

    function test_requeue_startsAtLastClearingPrice() public {
        uint256 taskId = _post();
        skip(50);
        _claim(taskId, alice);
        vm.warp(market.task(taskId).deadline + 1);
        market.missDeadline(taskId);
        Task memory t = market.task(taskId);
        assertEq(t.minPrice, 2 * UNIT, "last clearing price");
        assertEq(t.maxPrice, 3 * UNIT);
        assertEq(t.openedAt, block.timestamp, "the clock restarts");
        assertEq(t.attempt, 1);
        assertEq(t.provider, address(0));
        assertEq(market.retryHead(modelId), taskId);
    }

    function test_claim_retryWaitsPastGrace_reverts() public {
        uint256 retry = _missed(alice);
        uint256 fresh = _post();
        _claim(fresh, bob); // within the grace
        fresh = _post();
        skip(61);
        vm.prank(bob);
        vm.expectPartialRevert(RetryLanes.RetryWaits.selector);
        market.claim(fresh);
        vm.prank(bob);
        assertEq(market.claimRetry(modelId), retry);
        _claim(fresh, bob);
    }

    function test_claim_othersClass_isNotGated() public {
        _missed(alice);
        header.nodesRoot = keccak256("another model");
        bytes32 other = market.registerModel(header, "");
        skip(61);
        TaskSpec memory s = _spec();
        s.modelId = other;
        vm.prank(requester);
        uint256 fresh = market.post(s, "");
        _claim(fresh, bob);
    }

    /// The excluded cannot take the head, so the head does not hold them up.
    function test_claim_excludedFromHead_passesGate() public {
        _missed(alice);
        _unjailed(alice);
        uint256 fresh = _post();
        skip(61);
        _claim(fresh, alice);
    }

    function test_claimRetry_excluded_reverts() public {
        uint256 retry = _missed(alice);
        skip(1 hours - 1);
        // the jail lasts as long as the entry: leave it a second before the entry dies
        vm.warp(vault.provider(alice).jailedUntil);
        vm.prank(alice);
        vault.unjail();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Market.ExcludedFromTask.selector, retry, alice));
        market.claimRetry(modelId);
    }

    /// The failed provider's owner comes back with another key.
    function test_claimRetry_siblingOfExcluded_reverts() public {
        uint256 retry = _missed(alice);
        address owner = _ownerOf(alice);
        address sibling = _funded("sibling");
        vm.prank(owner);
        vault.consent(sibling, true);
        vm.prank(sibling);
        vault.register(owner, sibling, 8, 1_000 * UNIT);
        vm.prank(sibling);
        vm.expectRevert(abi.encodeWithSelector(Market.ExcludedFromTask.selector, retry, sibling));
        market.claimRetry(modelId);
    }

    /// A head that cannot be afforded does not gate: a small provider is not stopped by a big task.
    function test_claim_headNotAffordable_passesGate() public {
        address small = _provider("small", 100 * UNIT, 8);
        TaskSpec memory s = _spec();
        s.maxPrice = 20 * UNIT;
        vm.prank(requester);
        uint256 big = market.post(s, "");
        _claim(big, alice);
        vm.warp(market.task(big).deadline + 1);
        market.missDeadline(big);
        skip(61);
        uint256 fresh = _post();
        _claim(fresh, small);
    }

    /// k: one retry opens the gate for two normal claims, whatever waits. Unattractive retries cannot stall a class.
    function test_claim_afterARetry_passesKTimes() public {
        _missed(alice);
        _unjailedLater(alice);
        uint256 first = _missed(alice);
        uint256 second = _requeueFresh(dave);
        first;
        second;
        skip(61);
        vm.prank(bob);
        market.claimRetry(modelId);
        assertEq(market.retryCredit(modelId, bob), 2);
        assertGt(market.retryHead(modelId), 0, "another retry waits");
        uint256 a = _post();
        uint256 b = _post();
        uint256 c = _post();
        _claim(a, bob);
        _claim(b, bob);
        vm.prank(bob);
        vm.expectPartialRevert(RetryLanes.RetryWaits.selector);
        market.claim(c);
    }

    function _unjailedLater(address provider) private {
        vm.warp(vault.provider(provider).jailedUntil);
        vm.prank(provider);
        vault.unjail();
    }

    /// @dev A retry entry that is fresh now, failed by `provider`.
    function _requeueFresh(address provider) private returns (uint256 taskId) {
        taskId = _post();
        vm.prank(provider);
        market.claim(taskId);
        _commit(taskId, provider);
        vm.prank(provider);
        market.retract(taskId);
    }

    function test_lanes_higherAttemptFirst_thenFifo() public {
        uint256 first = _requeueFresh(alice);
        skip(1);
        uint256 second = _requeueFresh(alice);
        assertEq(market.retryHead(modelId), first, "fifo");
        // the second fails again: attempt 2 overtakes
        vm.prank(bob);
        assertEq(market.claimRetry(modelId), first);
        _commit(first, bob);
        vm.prank(bob);
        market.retract(first);
        assertEq(market.task(first).attempt, 2);
        assertEq(market.retryHead(modelId), first, "highest attempt first");
        vm.prank(carol);
        assertEq(market.claimRetry(modelId), first);
        assertEq(market.retryHead(modelId), second);
    }

    function test_lanes_cancelledEntryInTheMiddle_isSkipped() public {
        uint256 first = _requeueFresh(alice);
        uint256 second = _requeueFresh(alice);
        uint256 third = _requeueFresh(alice);
        vm.prank(requester);
        market.cancel(second);
        vm.prank(bob);
        assertEq(market.claimRetry(modelId), first);
        assertEq(market.retryHead(modelId), third);
        vm.prank(bob);
        assertEq(market.claimRetry(modelId), third);
        assertEq(market.retryHead(modelId), 0);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(RetryLanes.NoRetryWaits.selector, modelId));
        market.claimRetry(modelId);
    }

    function test_lanes_manyDeadEntries_areDroppedInSteps() public {
        uint256[] memory ids = new uint256[](20);
        for (uint256 i = 0; i < 20; i++) {
            ids[i] = _requeueFresh(alice);
        }
        for (uint256 i = 1; i < 19; i++) {
            vm.prank(requester);
            market.cancel(ids[i]);
        }
        assertEq(market.retryHead(modelId), ids[0]);
        vm.prank(bob);
        market.claimRetry(modelId);
        assertEq(market.retryHead(modelId), ids[19], "the view looks all the way");
        // Dead entries are dropped a few at a time, and hide the head from nobody meanwhile.
        skip(61);
        uint256 fresh = _post();
        vm.prank(carol);
        vm.expectPartialRevert(RetryLanes.RetryWaits.selector);
        market.claim(fresh);
        vm.prank(carol);
        assertEq(market.claimRetry(modelId), ids[19]);
        assertEq(market.retryHead(modelId), 0);
        _claim(fresh, bob);
    }

    /// Lane stalling: an entry that nobody wants lives `retryLifetime` from enqueueing, then it no longer gates.
    function test_claim_headOutlivedItsLife_passesGateAndAnyoneExpiresIt() public {
        uint256 retry = _requeueFresh(alice);
        skip(1 hours + 1);
        _claim(_post(), bob);
        uint128 before = vault.credit(requester);
        vm.prank(address(0xa11));
        market.expire(retry);
        assertState(retry, TaskState.Expired);
        assertEq(vault.credit(requester) - before, 3 * UNIT + 0.25e18, "escrow back");
        assertEq(market.retryHead(modelId), 0);
    }

    function test_claimRetry_expiredHeads_areSentHomeOnTheWay() public {
        uint256 old = _requeueFresh(alice);
        skip(50 minutes);
        uint256 young = _requeueFresh(alice);
        skip(20 minutes);
        vm.prank(bob);
        assertEq(market.claimRetry(modelId), young);
        assertState(old, TaskState.Expired);
    }

    function test_expire_youngRetry_reverts() public {
        uint256 retry = _requeueFresh(alice);
        skip(1 hours);
        vm.expectPartialRevert(Market.NotExpired.selector);
        market.expire(retry);
    }

    function test_cancel_retry_refundsWhole() public {
        uint256 retry = _requeueFresh(alice);
        vm.prank(requester);
        market.cancel(retry);
        assertEq(vault.credit(requester), 3 * UNIT + 0.25e18);
    }

    function test_claim_retryOutOfTurn_gatedLikeAnyOther() public {
        uint256 first = _requeueFresh(alice);
        uint256 second = _requeueFresh(alice);
        skip(61);
        vm.prank(bob);
        vm.expectPartialRevert(RetryLanes.RetryWaits.selector);
        market.claim(second);
        _claim(first, bob); // the head itself, by its id
        assertEq(market.retryCredit(modelId, bob), 2, "counts as a retry");
    }

    /// Thirty-two providers fail one task: it goes home instead of reverting for ever.
    function test_requeue_attemptsExhausted_expiresWithRefund() public {
        uint256 taskId = _post();
        for (uint256 i = 0; i <= 31; i++) {
            address p = _provider(string.concat("p", vm.toString(i)), 200 * UNIT, 1);
            _claim(taskId, p);
            _commit(taskId, p);
            vm.prank(p);
            market.retract(taskId);
        }
        assertState(taskId, TaskState.Expired);
        assertEq(vault.credit(requester), 3 * UNIT + 0.25e18);
        assertEq(vault.pot(Pots.task(taskId)), 0);
    }
}
