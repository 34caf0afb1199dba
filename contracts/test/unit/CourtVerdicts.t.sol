// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Refereeing} from "../../src/court/Refereeing.sol";
import {Market} from "../../src/market/Market.sol";
import {MarketStorage} from "../../src/market/MarketStorage.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {StakeLedger} from "../../src/stake/StakeLedger.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Correlation, Dispute, DisputeState, Provider, Side, Task, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice P-V1 to P-V5: who pays whom, to the wei.
contract CourtVerdictsTest is CourtFixture {
    Run private wrong;
    Run private right;
    CourtParams private c;
    uint128 private bond;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        c = _courtParams();
        bond = theCourt.bondOf(alice);
        // an amount that no share divides, some of it on its way out
        vm.prank(alice);
        vault.stake(alice, 987_654_321_987_654_307);
        vm.prank(alice);
        vault.requestUnbond(33_333_333_333_333_333_333);
    }

    /// @dev What P-V4 takes for one task.
    function _slash() private view returns (uint128) {
        Provider memory p = vault.provider(alice);
        return 24 * UNIT + p.free * c.safetySlashBps / 10_000 + p.unbonding * c.safetySlashBps / 10_000;
    }

    // ---- guilty

    function test_guilty_split_toTheWei() public {
        (uint256 taskId, uint256 id, address referee) = _ruled(wrong, right);
        uint128 taken = _slash();
        uint128 stake = vault.totalStake(alice);
        uint128 burned = vault.burned();
        uint256 coins = token.balanceOf(address(vault));
        _finalize(id);
        uint128 toRequester = taken / 10;
        uint128 toWatcher = taken / 4;
        uint128 toReferee = taken / 20;
        uint128 topUp = taken / 10;
        assertEq(stake - vault.totalStake(alice), taken, "slashed");
        assertEq(vault.credit(requester), toRequester, "requester");
        assertEq(vault.credit(watcher), bond + toWatcher, "challenger: bond and reward");
        assertEq(vault.credit(_payoutOf(referee)), toReferee, "referee");
        assertEq(vault.pot(Pots.task(taskId)), 3.25e18 + 3 * UNIT, "escrow, levy and what raises the price");
        uint128 rest = taken - toRequester - toWatcher - toReferee - topUp;
        assertEq(vault.burned() - burned, rest + (topUp - 3 * UNIT), "the rest, remainders and the excess");
        assertGt(rest, taken / 2, "division leaves something over, and it burns");
        assertGe(vault.burned() - burned, taken / 2, "half at least");
        assertEq(token.balanceOf(address(vault)), coins, "nothing left the vault");
        assertEq(vault.credit(_payoutOf(alice)) + vault.credit(alice) + vault.credit(_ownerOf(alice)), 0);
        assertPotsEmpty(id);
    }

    function test_guilty_tombstonesEveryName() public {
        (, uint256 id,) = _ruled(wrong, right);
        _finalize(id);
        assertTrue(vault.isTombstoned(alice));
        assertEq(_frozen(alice), 0, "not frozen any more: there is nothing to wait for");
        address[3] memory sides = [alice, _ownerOf(alice), _payoutOf(alice)];
        for (uint256 i = 0; i < 3; i++) {
            assertTrue(vault.isBanned(sides[i]), "banned");
        }
        uint256 next = _post();
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderTombstoned.selector, alice));
        vm.prank(alice);
        market.claim(next);
        address fresh = _funded("fresh");
        vm.prank(sides[1]);
        vault.consent(fresh, true);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.Banned.selector, sides[1]));
        vm.prank(fresh);
        vault.register(sides[1], fresh, 1, 200 * UNIT);
    }

    /// What was not slashed leaves after unbonding, and no sooner.
    function test_guilty_theRestLeavesAfterUnbonding() public {
        (, uint256 id,) = _ruled(wrong, right);
        _finalize(id);
        uint128 free = vault.provider(alice).free;
        Correlation memory attack = vault.correlationOf(alice);
        uint256 owed = uint256(free) * attack.multiplier * attack.slashedStake / attack.totalStake;
        vm.prank(alice);
        uint256 entry = vault.requestUnbond(free);
        vm.warp(block.timestamp + parameters.stake().unbondingSeconds);
        address owner = _ownerOf(alice);
        uint256 before = token.balanceOf(owner);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(token.balanceOf(owner) - before, free - owed, "less what it owes with the others of its time");
    }

    function test_guilty_requeues_inTheRetryLane_withARaisedCeiling() public {
        (uint256 taskId, uint256 id,) = _ruled(wrong, right);
        uint128 price = market.task(taskId).price;
        _finalize(id);
        Task memory t = market.task(taskId);
        assertState(taskId, TaskState.Open);
        assertEq(t.attempt, 1);
        assertEq(t.minPrice, price, "from the last clearing price");
        assertEq(t.maxPrice, 6 * UNIT, "at most doubled");
        assertEq(t.openedAt, block.timestamp, "the clock restarts");
        assertEq(market.retryHead(modelId), taskId);
        assertTrue(market.isExcluded(taskId, alice));
        vm.prank(carol);
        assertEq(market.claimRetry(modelId), taskId);
        _commitRun(taskId, carol, right);
        _decideNoAudit(taskId);
        _settle(taskId);
        assertState(taskId, TaskState.Settled);
        assertEq(vault.pot(Pots.task(taskId)), 0);
    }

    function test_guilty_byTimeout_noRefereeIsPaid() public {
        uint256 taskId = _committedRun(alice, wrong);
        uint256 id = _challenge(taskId, watcher, right);
        uint128 taken = _slash();
        uint128 burned = vault.burned();
        vm.warp(block.timestamp + c.clockBudget + 1);
        theCourt.claimTimeout(id);
        uint128 topUp = taken / 10;
        assertEq(vault.credit(watcher), bond + taken / 4);
        assertEq(vault.credit(requester), taken / 10);
        assertEq(vault.burned() - burned, taken - taken / 10 - taken / 4 - topUp + (topUp - 3 * UNIT), "its share burns");
        assertPotsEmpty(id);
    }

    /// The second conviction of a provider takes from what the first one left, never more than there is.
    function test_guilty_twice_takesWhatIsThere() public {
        uint256 first = _committedRun(alice, wrong);
        uint256 second = _committedRun(alice, wrong);
        uint256 a = _challenge(first, watcher, right);
        uint256 b = _challenge(second, watcher, right);
        vm.warp(block.timestamp + c.clockBudget + 1);
        uint128 taken = _slash();
        uint128 stake = vault.totalStake(alice);
        theCourt.claimTimeout(a);
        assertEq(stake - vault.totalStake(alice), taken);
        stake = vault.totalStake(alice);
        taken = _slash();
        theCourt.claimTimeout(b);
        assertEq(stake - vault.totalStake(alice), taken);
        assertEq(vault.provider(alice).locked, 0);
        assertEq(vault.provider(alice).liveTasks, 0);
        assertEq(_frozen(alice), 0);
    }

    // ---- cleared

    function test_cleared_bond_toTheWei() public {
        uint256 taskId = _committedRun(alice, right);
        uint256 id = _challenge(taskId, watcher, wrong);
        assertEq(_frozen(alice), 1);
        uint128 stake = vault.totalStake(alice);
        uint128 burned = vault.burned();
        _judge(id, right, wrong);
        Dispute memory d = theCourt.dispute(id);
        assertEq(vault.credit(_payoutOf(d.referee)), c.refereeFee, "the referee's fee");
        assertEq(vault.credit(_payoutOf(alice)), bond - c.refereeFee, "the rest");
        assertEq(vault.credit(watcher), 0);
        assertEq(vault.burned(), burned);
        assertEq(vault.totalStake(alice), stake);
        assertEq(_frozen(alice), 0);
        assertState(taskId, TaskState.Committed);
        assertEq(market.task(taskId).openChallenges, 0);
        assertPotsEmpty(id);
        vm.expectRevert(abi.encodeWithSelector(Market.AuditOpen.selector, taskId));
        market.settle(taskId);
        _decideNoAudit(taskId);
        market.settle(taskId);
        assertState(taskId, TaskState.Settled);
    }

    function test_cleared_byTimeout_theWholeBond() public {
        uint256 id = _challenge(_committedRun(alice, right), watcher, wrong);
        _move(id, right, wrong);
        vm.warp(block.timestamp + c.clockBudget + 1);
        theCourt.claimTimeout(id);
        assertDispute(id, DisputeState.Cleared);
        assertEq(vault.credit(_payoutOf(alice)), bond, "nobody had to rule");
    }

    /// While a dispute runs: no new claims, no withdrawals; what was begun goes on.
    function test_frozen_finishesWhatItHas() public {
        uint256 begun = _post();
        _claim(begun, alice);
        _challenge(_committedRun(alice, right), watcher, wrong);
        uint256 fresh = _post();
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderFrozen.selector, alice, 1));
        vm.prank(alice);
        market.claim(fresh);
        _commitRun(begun, alice, right);
        assertState(begun, TaskState.Committed);
        vm.warp(block.timestamp + parameters.stake().unbondingSeconds);
        vm.expectPartialRevert(StakeVault.ObligationsOpen.selector);
        vm.prank(alice);
        vault.withdrawUnbonded(0);
    }

    // ---- credits

    function test_payouts_areCredits_pulledByTheirOwners() public {
        (, uint256 id,) = _ruled(wrong, right);
        uint256 before = token.balanceOf(watcher);
        _finalize(id);
        assertEq(token.balanceOf(watcher), before, "nothing is pushed");
        uint128 credit = vault.credit(watcher);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.InsufficientCredit.selector, anyone, 0, credit));
        vm.prank(anyone);
        vault.withdrawCredit(anyone, credit);
        vm.prank(watcher);
        vault.withdrawCredit(watcher, credit);
        assertEq(token.balanceOf(watcher) - before, credit);
    }

    // ---- whoever owns both sides

    /// A doomed provider that challenges itself through a friend, with the requester and the referee its friends too, and the
    /// requeued task served by another of them, loses half of the slash for good.
    function test_selfChallenge_losesHalf() public {
        uint256 taskId = _committedRun(alice, wrong);
        uint256 id = _challenge(taskId, watcher, right);
        uint256 friends = _wealth(taskId, id);
        uint128 taken = _slash();
        vm.warp(block.timestamp + c.clockBudget + 1);
        theCourt.claimTimeout(id);
        assertGe((friends - _wealth(taskId, id)) * 2, taken, "half is gone");
    }

    function _wealth(uint256 taskId, uint256 id) private view returns (uint256) {
        return uint256(vault.totalStake(alice)) + vault.credit(watcher) + vault.credit(requester) + vault.pot(Pots.task(taskId))
            + vault.pot(Pots.dispute(id));
    }
}

/// @notice P-C3: several disputes about one result.
contract CourtParallelTest is CourtFixture {
    Run private wrong;
    Run private right;
    CourtParams private c;
    uint128 private bond;
    uint256 private taskId;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        c = _courtParams();
        bond = theCourt.bondOf(alice);
        taskId = _committedRun(alice, wrong);
    }

    /// @dev An accuser that has it wrong: it disagrees with the one segment that is right.
    function _badRun() private pure returns (Run memory) {
        return Run({steps: 2, salt: 8, leaf: 0, live: false, index: 7});
    }

    function test_parallel_oneCleared_leavesTheOther() public {
        uint256 bad = _challenge(taskId, bob, _badRun());
        uint256 good = _challenge(taskId, watcher, right);
        assertEq(market.task(taskId).openChallenges, 2);
        assertEq(_frozen(alice), 2);
        _judge(bad, wrong, _badRun());
        assertDispute(bad, DisputeState.Cleared);
        assertState(taskId, TaskState.Disputed);
        assertEq(market.task(taskId).openChallenges, 1);
        assertEq(_frozen(alice), 1);
        assertDispute(good, DisputeState.Level1);
        _decideNoAudit(taskId);
        vm.warp(market.settleableAt(taskId));
        vm.expectRevert(
            abi.encodeWithSelector(MarketStorage.WrongState.selector, taskId, TaskState.Disputed, TaskState.Committed)
        );
        market.settle(taskId);
        _judge(good, wrong, right);
        assertDispute(good, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice));
        assertEq(_frozen(alice), 0);
        assertPotsEmpty(bad);
        assertPotsEmpty(good);
    }

    /// The cheat's friend challenges first and loses on purpose, before anybody honest has revealed. Nothing is won by it.
    function test_sockPuppet_losingOnPurpose_savesNobody() public {
        address puppet = _funded("puppet");
        _commitChallenge(taskId, watcher, GameTrace.traceRoot(right, shape));
        uint256 id = _challenge(taskId, puppet, _badRun());
        _move(id, wrong, _badRun());
        bytes32[] memory row = _row(theCourt.dispute(id), wrong);
        vm.prank(puppet);
        theCourt.pick(id, row, 15); // padding that is zero: lost at once
        while (theCourt.dispute(id).state == DisputeState.Level1) {
            Dispute memory d = theCourt.dispute(id);
            row = _row(d, wrong);
            theCourt.revealRow(id, d.node, row);
            vm.prank(puppet);
            theCourt.pick(id, row, 0);
        }
        assertDispute(id, DisputeState.Cleared);
        assertState(taskId, TaskState.Committed);
        _decideNoAudit(taskId);
        uint64 from = market.settleableAt(taskId);
        vm.expectRevert(abi.encodeWithSelector(Market.TooEarlyToSettle.selector, taskId, from));
        market.settle(taskId);
        uint256 honest = _reveal(taskId, watcher, GameTrace.traceRoot(right, shape));
        _judge(honest, wrong, right);
        assertDispute(honest, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice));
    }

    /// ... and one that drags its game out keeps nobody from the verdict.
    function test_sockPuppet_playingForTime_savesNobody() public {
        address puppet = _funded("puppet");
        uint256 slow = _challenge(taskId, puppet, _badRun());
        uint256 id = _challenge(taskId, watcher, right);
        _judge(id, wrong, right);
        assertDispute(id, DisputeState.Upheld);
        theCourt.closeMoot(slow);
        assertDispute(slow, DisputeState.Void);
        assertEq(_frozen(alice), 0);
        assertEq(vault.credit(puppet), bond, "not guilty of anything the chain can see");
    }

    // ---- moot

    function test_moot_inEveryState_givesTheBondBack() public {
        DisputeState[7] memory states = [
            DisputeState.Level1,
            DisputeState.Level1,
            DisputeState.SegmentWanted,
            DisputeState.Level2,
            DisputeState.Isolated,
            DisputeState.Refereed,
            DisputeState.Ruled
        ];
        for (uint256 i = 0; i < states.length; i++) {
            uint256 before = vm.snapshotState();
            uint256 other = _challenge(taskId, bob, right);
            uint256 id = _challenge(taskId, watcher, right);
            if (i == 1) _move(other, wrong, right);
            _bringTo(other, states[i]);
            assertDispute(other, states[i]);
            _bringTo(id, DisputeState.Ruled);
            bytes memory notMoot = abi.encodeWithSelector(Refereeing.NotMoot.selector, other);
            _refused(anyone, abi.encodeCall(ICourt.closeMoot, (other)), notMoot);
            _finalize(id);
            vm.prank(anyone);
            theCourt.closeMoot(other);
            assertDispute(other, DisputeState.Void);
            assertEq(vault.credit(bob), bond, "bond back");
            assertEq(_frozen(alice), 0);
            assertPotsEmpty(other);
            address referee = theCourt.dispute(other).referee;
            if (referee != address(0)) assertEq(vault.dutiesOf(referee), 0);
            bytes memory closed = abi.encodeWithSelector(Refereeing.AlreadyClosed.selector, other, DisputeState.Void);
            _refused(anyone, abi.encodeCall(ICourt.closeMoot, (other)), closed);
            vm.revertToState(before);
        }
    }

    function _bringTo(uint256 id, DisputeState state) private {
        while (theCourt.dispute(id).state < state && theCourt.dispute(id).state < DisputeState.Isolated) {
            _move(id, wrong, right);
        }
        if (theCourt.dispute(id).state < state) _drawReferee(id);
        if (theCourt.dispute(id).state < state) _rule(id, wrong);
    }

    /// A second verdict about a result that is gone: refused, whatever it would say.
    function test_moot_verdictsAreRefused() public {
        uint256 other = _challenge(taskId, bob, right);
        uint256 id = _challenge(taskId, watcher, right);
        _bringTo(other, DisputeState.Ruled);
        _bringTo(id, DisputeState.Ruled);
        _finalize(id);
        uint128 stake = vault.totalStake(alice);
        bytes memory moot = abi.encodeWithSelector(CourtStorage.DisputeMoot.selector, other);
        vm.warp(block.timestamp + c.appealWindow);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (other)), moot);
        _refused(alice, abi.encodeCall(ICourt.appeal, (other)), moot);
        assertEq(vault.totalStake(alice), stake);
        // also when the task has been served and disputed anew
        _claim(taskId, carol);
        _commitRun(taskId, carol, wrong);
        _challenge(taskId, watcher, right);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (other)), moot);
        assertFalse(vault.isTombstoned(carol), "not for another's result");
        theCourt.closeMoot(other);
    }

    function test_moot_draw_reverts() public {
        uint256 other = _challenge(taskId, bob, right);
        uint256 id = _challenge(taskId, watcher, right);
        _bringTo(other, DisputeState.Isolated);
        _bringTo(id, DisputeState.Ruled);
        _finalize(id);
        bytes memory moot = abi.encodeWithSelector(CourtStorage.DisputeMoot.selector, other);
        _refused(anyone, abi.encodeCall(ICourt.drawReferee, (other)), moot);
    }

    /// A silent referee of a dispute that is moot pays nothing for it.
    function test_moot_refereeTimeout_reverts() public {
        uint256 other = _challenge(taskId, bob, right);
        uint256 id = _challenge(taskId, watcher, right);
        _bringTo(other, DisputeState.Refereed);
        _bringTo(id, DisputeState.Ruled);
        vm.warp(theCourt.dispute(other).refereeDeadline + 1);
        _finalize(id);
        bytes memory moot = abi.encodeWithSelector(CourtStorage.DisputeMoot.selector, other);
        _refused(anyone, abi.encodeCall(ICourt.refereeTimeout, (other)), moot);
        theCourt.closeMoot(other);
        assertEq(vault.dutiesOf(theCourt.dispute(other).referee), 0);
    }

    /// A verdict about another task of the same provider: its result here is reversed, and the dispute about it moot. A cheat that
    /// has a friend convict it of its cheapest task first loses the collateral of the dearest all the same.
    function test_moot_byAReversal() public {
        uint256 elsewhere = _committedRun(alice, wrong);
        uint256 id = _challenge(taskId, watcher, right);
        uint256 other = _challenge(elsewhere, bob, right);
        _judge(id, wrong, right);
        bytes memory notMoot = abi.encodeWithSelector(Refereeing.NotMoot.selector, other);
        _refused(anyone, abi.encodeCall(ICourt.closeMoot, (other)), notMoot);
        (uint128 stake, uint128 collateral) = (vault.totalStake(alice), market.task(elsewhere).collateral);
        market.reverse(elsewhere);
        assertTrue(collateral != 0);
        assertEq(vault.totalStake(alice), stake - collateral);
        theCourt.closeMoot(other);
        assertEq(vault.credit(bob), bond);
        assertEq(_frozen(alice), 0);
    }
}
