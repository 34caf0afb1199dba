// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {CorrelatedSlashing} from "../../src/stake/CorrelatedSlashing.sol";
import {IStakeVault} from "../../src/interfaces/IStakeVault.sol";
import {Params} from "../../src/interfaces/IParameters.sol";
import {Correlation} from "../../src/interfaces/Types.sol";
import {DefaultParams} from "../utils/DefaultParams.sol";

/// @notice P-V6. Three providers of 1,000 each unless a test adds some; half the window is 36 hours, the multiplier 3.
contract CorrelatedSlashingTest is MarketFixture {
    bytes32 private constant POT = bytes32(uint256(0x77) << 240);
    uint256 private constant HALF = 36 hours;

    uint256 private _tasks;

    /// @dev A verdict about a task without collateral: half of everything goes, and 500 of 1,000 remain.
    function _convict(address key) private returns (uint128 taken) {
        vm.startPrank(court);
        taken = vault.slashTask(key, 1_000 + _tasks++, true, 5_000, POT);
        vault.tombstone(key);
        vm.stopPrank();
    }

    function _more(uint256 count) private {
        for (uint256 i = 0; i < count; i++) {
            _provider(string.concat("more", vm.toString(i)), 1_000 * UNIT, 1);
        }
    }

    function _due(address key) private {
        vm.warp(vault.correlationOf(key).dueAt);
    }

    // ---- how much

    function test_penaliseCorrelated_oneOfAHundred_losesThreePercentOfTheRest() public {
        _more(97);
        assertEq(_convict(alice), 500 * UNIT);
        _due(alice);
        uint128 burned = vault.burned();
        vm.expectEmit(address(vault));
        emit IStakeVault.CorrelatedPenalty(alice, 15 * UNIT, 1_000 * UNIT, 100_000 * UNIT);
        assertEq(vault.penaliseCorrelated(alice), 15 * UNIT, "3 x 1 % of 500");
        assertEq(vault.totalStake(alice), 485 * UNIT);
        assertEq(vault.burned() - burned, 15 * UNIT, "all of it burned");
    }

    function test_penaliseCorrelated_threeOfAHundred_loseNinePercentEach() public {
        _more(97);
        address[3] memory attack = [alice, bob, carol];
        for (uint256 i = 0; i < 3; i++) {
            _convict(attack[i]);
            skip(7 hours);
        }
        for (uint256 i = 0; i < 3; i++) {
            _due(attack[i]);
            assertEq(vault.penaliseCorrelated(attack[i]), 45 * UNIT, "whoever was caught first");
        }
    }

    function test_penaliseCorrelated_aThirdOfAllStake_losesEverything() public {
        _convict(alice);
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 500 * UNIT);
        assertEq(vault.totalStake(alice), 0);
    }

    function test_penaliseCorrelated_moreThanAThird_losesNoMoreThanEverything() public {
        _convict(alice);
        _convict(bob);
        _due(bob);
        assertEq(vault.penaliseCorrelated(bob), 500 * UNIT, "capped");
        assertEq(vault.penaliseCorrelated(alice), 500 * UNIT, "capped");
    }

    function test_penaliseCorrelated_aloneInTheNetwork_losesEverything() public {
        _convict(alice);
        _convict(bob);
        _convict(carol);
        _due(carol);
        assertEq(vault.totalActiveStake(), 0);
        assertEq(vault.penaliseCorrelated(carol), 500 * UNIT);
    }

    function test_penaliseCorrelated_twice_takesOnce() public {
        _more(7);
        _convict(alice);
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 150 * UNIT, "3 x 10 % of 500");
        assertEq(vault.penaliseCorrelated(alice), 0, "again");
        assertEq(vault.totalStake(alice), 350 * UNIT);
    }

    function test_penaliseCorrelated_secondVerdict_countsTheStakeOnce() public {
        _more(7);
        _convict(alice);
        uint64 at = uint64(block.timestamp);
        skip(1 hours);
        assertEq(_convict(alice), 250 * UNIT, "half of what was left");
        assertEq(vault.correlationOf(alice).slashedAt, at, "the first");
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 75 * UNIT, "3 x 10 % of 250");
    }

    // ---- who counts

    function test_penaliseCorrelated_aSecondOutsideTheWindow_doesNotCount() public {
        _more(7);
        _convict(alice);
        skip(HALF);
        _convict(bob); // the last second
        skip(1);
        _convict(carol); // outside of alice's, inside of bob's
        assertEq(vault.correlationOf(alice).dueAt, block.timestamp, "due at once after it");
        assertEq(vault.penaliseCorrelated(alice), 300 * UNIT, "two of ten");
        _due(bob);
        assertEq(vault.penaliseCorrelated(bob), 450 * UNIT, "three of ten");
        _due(carol);
        Correlation memory c = vault.correlationOf(carol);
        assertEq(c.slashedStake, 2_000 * UNIT, "bob and carol");
        assertEq(c.totalStake, 9_000 * UNIT, "alice was out before");
        assertEq(vault.penaliseCorrelated(carol), uint256(500 * UNIT) * 6_000 / 9_000, "two of nine");
    }

    function test_penaliseCorrelated_livenessFaults_areNoPartOfIt() public {
        _missed(bob);
        assertEq(vault.correlationOf(bob).slashedAt, 0, "no conviction");
        assertEq(vault.penaliseCorrelated(bob), 0, "nothing due");
        uint128 lost = 3_000 * UNIT - vault.totalActiveStake();
        assertGt(lost, 0, "but a slash");
        _convict(alice);
        assertEq(vault.correlationOf(alice).slashedStake, 1_000 * UNIT, "alice's alone");
        assertEq(vault.correlationOf(alice).totalStake, 3_000 * UNIT - lost);
    }

    function test_penaliseCorrelated_stakeThatJoinsAfterTheWindow_dilutesNothing() public {
        _more(7);
        _convict(alice);
        skip(HALF + 1);
        uint128 due = vault.correlationOf(alice).penalty;
        _provider("rich", 50_000 * UNIT, 1);
        assertEq(vault.penaliseCorrelated(alice), due);
    }

    function test_penaliseCorrelated_laterRules_changeNoConviction() public {
        _more(7);
        _convict(alice);
        Params memory p = DefaultParams.get();
        p.stake.correlationMultiplier = 9;
        p.stake.correlationWindowSeconds = 4 days - 1;
        vm.prank(timelock);
        parameters.set(p);
        assertEq(vault.correlationOf(alice).dueAt, block.timestamp + HALF + 1);
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 150 * UNIT);
    }

    /// Caught and penalised in any order, everybody pays the same.
    function testFuzz_penaliseCorrelated_anyOrder_isTheSame(uint256 seed) public {
        _more(5);
        vm.prank(alice);
        vault.stake(alice, uint128(bound(seed, 1, 700 * UNIT)));
        vm.prank(bob);
        vault.stake(bob, uint128(bound(seed >> 64, 1, 700 * UNIT)));
        address[3] memory caught = [alice, bob, carol];
        uint256[3] memory lost;
        for (uint256 k = 0; k < 2; k++) {
            uint256 before = vm.snapshotState();
            uint256 begin = block.timestamp;
            uint256 r = uint256(keccak256(abi.encode(seed, k)));
            _shuffle(caught, r);
            for (uint256 i = 0; i < 3; i++) {
                _convict(caught[i]);
                skip((r >> (32 + 16 * i)) % (HALF / 2));
            }
            vm.warp(begin + 2 * HALF + 1);
            _shuffle(caught, r >> 128);
            uint256[3] memory now_ = lost;
            for (uint256 i = 0; i < 3; i++) {
                uint256 place = caught[i] == alice ? 0 : caught[i] == bob ? 1 : 2;
                uint256 taken = vault.penaliseCorrelated(caught[i]);
                if (k == 1) assertEq(taken, now_[place], "in another order");
                now_[place] = taken;
            }
            vm.revertToState(before);
            lost = now_;
        }
        assertGt(lost[0], 0, "something was taken");
    }

    function _shuffle(address[3] memory list, uint256 r) private pure {
        (uint256 i, uint256 j) = (r % 3, (r >> 8) % 3);
        (list[i], list[j]) = (list[j], list[i]);
        j = (r >> 16) % 3;
        (list[0], list[j]) = (list[j], list[0]);
    }

    // ---- when

    function test_penaliseCorrelated_early_reverts() public {
        _convict(alice);
        uint64 dueAt = uint64(block.timestamp + HALF + 1);
        skip(HALF);
        vm.expectRevert(abi.encodeWithSelector(CorrelatedSlashing.CorrelationNotDue.selector, alice, dueAt));
        vault.penaliseCorrelated(alice);
    }

    function test_penaliseCorrelated_neverConvicted_takesNothing() public {
        assertEq(vault.penaliseCorrelated(alice), 0);
        assertEq(vault.penaliseCorrelated(address(0xdead)), 0, "nor of a stranger");
    }

    function test_penaliseCorrelated_nothingThere_doesNotRevert() public {
        vm.prank(alice);
        uint256 entry = vault.requestUnbond(1_000 * UNIT);
        skip(2 days);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(_convict(alice), 0);
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 0);
        assertEq(vault.correlationOf(alice).dueAt, 0, "done");
    }

    /// A network of nobody: no stake is left anywhere.
    function test_penaliseCorrelated_noStakeAnywhere_doesNotRevert() public {
        address[3] memory all = [alice, bob, carol];
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(all[i]);
            vault.requestUnbond(1_000 * UNIT);
        }
        skip(2 days);
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(all[i]);
            vault.withdrawUnbonded(0);
        }
        assertEq(vault.totalActiveStake(), 0);
        _convict(alice);
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 0);
    }

    // ---- what is on its way out

    function test_penaliseCorrelated_stakeInUnbonding_isReached() public {
        _more(7);
        vm.prank(alice);
        uint256 before = vault.requestUnbond(400 * UNIT);
        _convict(alice);
        vm.prank(alice);
        uint256 after_ = vault.requestUnbond(100 * UNIT);
        _due(alice);
        assertEq(vault.penaliseCorrelated(alice), 150 * UNIT, "3 x 10 % of 500");
        (uint128 left,) = vault.unbondingEntry(alice, before);
        assertEq(left, 140 * UNIT);
        (left,) = vault.unbondingEntry(alice, after_);
        assertEq(left, 70 * UNIT);
        assertEq(vault.provider(alice).free, 140 * UNIT);
    }

    /// The escape: stake that began to unbond long before the verdict matures before the penalty is known.
    function test_withdrawUnbonded_matureBeforeThePenalty_waitsForItAndPaysIt() public {
        _more(7);
        vm.prank(alice);
        uint256 entry = vault.requestUnbond(1_000 * UNIT);
        skip(2 days - 60);
        _convict(alice);
        skip(60);
        uint64 dueAt = vault.correlationOf(alice).dueAt;
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(CorrelatedSlashing.CorrelationNotDue.selector, alice, dueAt));
        vault.withdrawUnbonded(entry);
        vm.warp(dueAt);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(token.balanceOf(_ownerOf(alice)), 350 * UNIT, "half, less 30 % of it");
        assertEq(vault.burned(), 150 * UNIT);
        assertEq(vault.penaliseCorrelated(alice), 0, "paid");
    }

    function test_withdrawUnbonded_askedForAtTheVerdict_waitsForNothingElse() public {
        _convict(alice);
        vm.prank(alice);
        uint256 entry = vault.requestUnbond(500 * UNIT);
        (, uint64 matureAt) = vault.unbondingEntry(alice, entry);
        assertLe(vault.correlationOf(alice).dueAt, matureAt, "due by then");
        vm.warp(matureAt);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(token.balanceOf(_ownerOf(alice)), 0, "a third of the network");
    }

    /// Collateral of a claim that nobody has reversed yet would come back to free after the penalty.
    function test_penaliseCorrelated_claimNotReversed_waitsForIt() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        uint128 collateral = vault.lockedFor(alice, taskId);
        _convict(alice);
        _due(alice);
        vm.expectRevert(abi.encodeWithSelector(CorrelatedSlashing.TasksLive.selector, alice, 1));
        vault.penaliseCorrelated(alice);
        market.reverse(taskId);
        assertEq(vault.penaliseCorrelated(alice), (1_000 * UNIT - collateral) / 2 + collateral, "the collateral with it");
        assertEq(vault.totalStake(alice), 0);
    }

    // ---- the total

    function test_totalActiveStake_everyWayInAndOut() public {
        assertEq(vault.totalActiveStake(), 3_000 * UNIT);
        vm.prank(bob);
        vault.stake(alice, 10 * UNIT);
        assertEq(vault.totalActiveStake(), 3_010 * UNIT, "stake");
        vm.prank(alice);
        uint256 entry = vault.requestUnbond(10 * UNIT);
        assertEq(vault.totalActiveStake(), 3_010 * UNIT, "unbonding counts");
        skip(2 days);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(vault.totalActiveStake(), 3_000 * UNIT, "withdrawn");
        vm.prank(court);
        vault.penalise(bob, "draw", 2 * UNIT, POT);
        assertEq(vault.totalActiveStake(), 2_998 * UNIT, "penalty");
        uint256 taskId = _post();
        _claim(taskId, carol);
        assertEq(vault.totalActiveStake(), 2_998 * UNIT, "locked counts");
        uint128 collateral = vault.lockedFor(carol, taskId);
        vm.warp(market.task(taskId).deadline + 1);
        market.missDeadline(taskId);
        assertEq(vault.totalActiveStake(), 2_998 * UNIT - collateral / 10, "liveness");
        _convict(bob);
        assertEq(vault.totalActiveStake(), 2_000 * UNIT - collateral / 10, "all of a convict's, at once");
        vm.prank(court);
        vault.penalise(bob, "another", UNIT, POT);
        _due(bob);
        vault.penaliseCorrelated(bob);
        assertEq(vault.totalActiveStake(), 2_000 * UNIT - collateral / 10, "and no more of it");
    }

    /// What is told beforehand is what is taken, of every part.
    function testFuzz_correlationOf_due_isWhatIsTaken(uint96 first, uint96 second, uint8 others) public {
        _more(bound(others, 0, 20));
        vm.startPrank(alice);
        vault.requestUnbond(uint128(bound(first, 1, 400 * UNIT)));
        vault.requestUnbond(uint128(bound(second, 1, 400 * UNIT)));
        vm.stopPrank();
        _convict(alice);
        _due(alice);
        uint128 before = vault.totalStake(alice);
        uint128 told = vault.correlationOf(alice).penalty;
        assertEq(vault.penaliseCorrelated(alice), told);
        assertEq(vault.totalStake(alice), before - told, "and no less is left");
    }
}
