// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {Run} from "../utils/GameTrace.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Refereeing} from "../../src/court/Refereeing.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, TaskState} from "../../src/interfaces/Types.sol";

/// @notice P-R1 and P-R2: who is drawn, by what, and what a referee may say until when.
contract CourtRefereeTest is CourtFixture {
    Run private wrong;
    Run private right;
    CourtParams private c;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        c = _courtParams();
    }

    function _draw(uint256 id) private pure returns (bytes memory) {
        return abi.encodeCall(ICourt.drawReferee, (id));
    }

    // ---- the draw

    /// A round that is out already would let the challenger choose its referee by the moment of its last pick.
    function test_draw_beforeTheRound_reverts() public {
        (, uint256 id) = _isolated(wrong, right);
        uint64 isolatedAt = theCourt.dispute(id).isolatedAt;
        uint64 round = beacon.roundAfter(isolatedAt);
        assertGt(beacon.timeOf(round), isolatedAt, "later than the isolation");
        beacon.publish(round - 1);
        bytes memory notReady = abi.encodeWithSelector(Refereeing.BeaconNotReady.selector, round);
        _refused(anyone, _draw(id), notReady);
        vm.warp(beacon.timeOf(round + 3));
        beacon.publish(round + 1); // a later round is not it either
        _refused(anyone, _draw(id), notReady);
        beacon.publish(round);
        theCourt.drawReferee(id);
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Refereed);
        assertEq(d.refereeDeadline, block.timestamp + c.refereeSeconds);
        assertEq(d.draws, 1);
        assertEq(vault.dutiesOf(d.referee), 1);
    }

    function test_draw_beforeTheIsolation_reverts() public {
        uint256 id = _challenge(_committedRun(alice, wrong), watcher, right);
        bytes4 state = CourtStorage.WrongDisputeState.selector;
        _refused(anyone, _draw(id), abi.encodeWithSelector(state, id, DisputeState.Level1, DisputeState.Isolated));
        _play(id, wrong, right);
        _drawReferee(id);
        _refused(anyone, _draw(id), abi.encodeWithSelector(state, id, DisputeState.Refereed, DisputeState.Isolated));
    }

    /// Both sides serve the model, and siblings of both by owner or payout too: none of them judges.
    function test_draw_excludesBothSides_underEveryKey() public {
        _join(alice);
        _sibling("alice-two", _ownerOf(alice), makeAddr("fresh-payout"));
        _sibling("alice-three", makeAddr("fresh-owner"), _payoutOf(alice));
        _sibling("bob-two", _ownerOf(bob), makeAddr("another-payout"));
        skip(1);
        uint256 id = _challenge(_committedRun(alice, wrong), bob, right);
        _play(id, wrong, right);
        address dora = makeAddr("dora");
        bool[2] memory seen;
        for (uint256 i = 0; i < 24; i++) {
            uint256 before = vm.snapshotState();
            vm.prevrandao(keccak256(abi.encode("seed", i)));
            address referee = _drawReferee(id);
            assertTrue(referee == carol || referee == dora, "a side, or a friend of one");
            seen[referee == carol ? 0 : 1] = true;
            vm.revertToState(before);
            if (referee == carol) seen[0] = true;
            else seen[1] = true;
        }
        assertTrue(seen[0] && seen[1], "and nobody else is left out");
    }

    function _sibling(string memory name, address owner, address payout) private {
        address key = _funded(name);
        vm.prank(owner);
        vault.consent(key, true);
        vm.prank(payout);
        vault.consent(key, true);
        vm.prank(key);
        vault.register(owner, payout, 8, 1_000 * UNIT);
        _join(key);
    }

    /// Whoever joins once the place is known is too late for its draw.
    function test_draw_weightsAreThoseOfTheIsolation() public {
        (, uint256 id) = _isolated(wrong, right);
        vm.warp(block.timestamp + 1);
        for (uint256 i = 0; i < 5; i++) {
            _join(_provider(string(abi.encodePacked("late", i)), 10_000 * UNIT, 8));
        }
        for (uint256 i = 0; i < 8; i++) {
            uint256 before = vm.snapshotState();
            vm.prevrandao(keccak256(abi.encode("seed", i)));
            address referee = _drawReferee(id);
            assertTrue(referee == bob || referee == carol || referee == makeAddr("dora"), "bought after the fact");
            vm.revertToState(before);
        }
    }

    function test_draw_nobodyLeft_isVoid() public {
        (uint256 taskId, uint256 id) = _isolated(wrong, right);
        for (uint256 i = 0; i < 3; i++) {
            address member = [bob, carol, makeAddr("dora")][i];
            vm.prank(member);
            pool.leave(modelId);
        }
        uint64 round = beacon.roundAfter(theCourt.dispute(id).isolatedAt);
        vm.warp(beacon.timeOf(round));
        beacon.publish(round);
        theCourt.drawReferee(id);
        _assertVoid(taskId, id);
    }

    function _assertVoid(uint256 taskId, uint256 id) private view {
        assertDispute(id, DisputeState.Void);
        assertState(taskId, TaskState.Open);
        assertEq(market.task(taskId).attempt, 1, "requeued");
        assertEq(vault.credit(watcher), theCourt.bondOf(alice), "bond back");
        assertFalse(vault.isTombstoned(alice), "nobody is slashed");
        assertEq(vault.totalStake(alice), 1_000 * UNIT);
        assertEq(vault.provider(alice).locked, 0, "collateral back");
        assertEq(_frozen(alice), 0);
        assertPotsEmpty(id);
    }

    // ---- deadlines and redraws

    function test_refereeTimeout_early_reverts() public {
        (, uint256 id,) = _refereed(wrong, right);
        uint256 deadline = theCourt.dispute(id).refereeDeadline;
        vm.warp(deadline);
        bytes memory why = abi.encodeWithSelector(Refereeing.RefereeHasTime.selector, id, deadline);
        _refused(watcher, abi.encodeCall(ICourt.refereeTimeout, (id)), why);
    }

    function test_refereeTimeout_penalisesAndRedraws() public {
        (, uint256 id, address first) = _refereed(wrong, right);
        vm.warp(theCourt.dispute(id).refereeDeadline + 1);
        uint128 burned = vault.burned();
        vm.prank(anyone);
        theCourt.refereeTimeout(id);
        assertEq(vault.totalStake(first), 1_000 * UNIT - c.refereePenalty);
        assertEq(vault.burned() - burned, c.refereePenalty, "burned: nobody gains by a silent referee");
        assertEq(vault.dutiesOf(first), 0);
        assertFalse(vault.isTombstoned(first), "a liveness fault");
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Isolated);
        assertEq(d.isolatedAt, block.timestamp, "its own round");
        assertEq(d.referee, address(0));
        // the new round did not exist when the first one was asked to stay silent
        _refused(anyone, _draw(id), abi.encodeWithSelector(Refereeing.BeaconNotReady.selector, beacon.roundAfter(d.isolatedAt)));
        address second = _drawReferee(id);
        assertTrue(second != first, "drawn once");
        assertEq(theCourt.dispute(id).draws, 2);
        _rule(id, wrong);
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
    }

    /// P-R6: a referee without the input is out and whole; only the drawn one may say so, in time; the draws are as bounded.
    function test_inputUnavailable_slashesNobody_andRedraws() public {
        (uint256 taskId, uint256 id, address referee) = _refereed(_wrong(), _right(2));
        bytes memory call = abi.encodeCall(ICourt.inputUnavailable, (id));
        _refused(anyone, call, abi.encodeWithSelector(Refereeing.NotReferee.selector, id, anyone));
        uint256 before = vm.snapshotState();
        vm.warp(theCourt.dispute(id).refereeDeadline + 1);
        _refused(referee, call, Refereeing.RefereeTooLate.selector);
        vm.revertToState(before);
        for (uint256 i = 0;; i++) {
            referee = theCourt.dispute(id).referee;
            uint128 stake = vault.totalStake(referee);
            vm.prank(referee);
            theCourt.inputUnavailable(id);
            assertEq(vault.totalStake(referee), stake, "whole");
            assertEq(vault.dutiesOf(referee), 0, "free");
            if (i == _courtParams().maxRedraws) break;
            assertDispute(id, DisputeState.Isolated);
            _join(_provider(string(abi.encodePacked("spare", i)), 1_000 * UNIT, 8));
            assertTrue(_drawReferee(id) != referee, "another one");
        }
        assertDispute(id, DisputeState.Void);
        assertState(taskId, TaskState.Open);
    }

    /// 1 + maxRedraws referees, every one another; then the dispute is void.
    function test_redraws_areFew_thenVoid() public {
        _join(_provider("erin", 1_000 * UNIT, 8));
        (uint256 taskId, uint256 id) = _isolated(wrong, right);
        address[] memory drawn = new address[](3);
        for (uint256 i = 0; i <= c.maxRedraws; i++) {
            drawn[i] = _drawReferee(id);
            for (uint256 j = 0; j < i; j++) {
                assertTrue(drawn[i] != drawn[j], "drawn twice");
            }
            vm.warp(theCourt.dispute(id).refereeDeadline + 1);
            theCourt.refereeTimeout(id);
        }
        _assertVoid(taskId, id);
        for (uint256 i = 0; i < 3; i++) {
            assertEq(vault.totalStake(drawn[i]), 1_000 * UNIT - c.refereePenalty);
            assertEq(vault.dutiesOf(drawn[i]), 0);
        }
    }

    /// A drawn referee cannot take its stake away before it has ruled.
    function test_duty_keepsTheStake() public {
        (, uint256 id, address referee) = _refereed(wrong, right);
        vm.prank(referee);
        uint256 entry = vault.requestUnbond(10 * UNIT);
        uint256 later = vm.snapshotState();
        vm.warp(block.timestamp + parameters.stake().unbondingSeconds);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.ObligationsOpen.selector, 0, 0, 1));
        vm.prank(referee);
        vault.withdrawUnbonded(entry);
        vm.revertToState(later);
        _rule(id, wrong);
        assertEq(vault.dutiesOf(referee), 0);
        vm.warp(block.timestamp + parameters.stake().unbondingSeconds);
        vm.prank(referee);
        vault.withdrawUnbonded(entry);
    }

    // ---- the ruling

    function test_rule_byAnybodyElse_reverts() public {
        (, uint256 id, address referee) = _refereed(wrong, right);
        Dispute memory d = theCourt.dispute(id);
        bytes memory call = abi.encodeCall(ICourt.rule, (id, d.claimedDigest, 0));
        address[6] memory others = [alice, watcher, bob, carol, makeAddr("dora"), anyone];
        for (uint256 i = 0; i < others.length; i++) {
            if (others[i] == referee) continue;
            _refused(others[i], call, abi.encodeWithSelector(Refereeing.NotReferee.selector, id, others[i]));
        }
    }

    function test_rule_onAnotherClaim_reverts() public {
        (, uint256 id, address referee) = _refereed(wrong, right);
        bytes32 claimed = theCourt.dispute(id).claimedDigest;
        bytes memory why = abi.encodeWithSelector(CourtStorage.OtherClaim.selector, id, keccak256("x"), claimed);
        _refused(referee, abi.encodeCall(ICourt.rule, (id, keccak256("x"), keccak256("x"))), why);
    }

    function test_rule_atTheDeadline_andAfter() public {
        (, uint256 id, address referee) = _refereed(wrong, right);
        Dispute memory d = theCourt.dispute(id);
        bytes memory call = abi.encodeCall(ICourt.rule, (id, d.claimedDigest, 0));
        vm.warp(uint256(d.refereeDeadline) + 1);
        _refused(referee, call, abi.encodeWithSelector(Refereeing.RefereeTooLate.selector, id, d.refereeDeadline));
        vm.warp(d.refereeDeadline);
        vm.prank(referee);
        theCourt.rule(id, d.claimedDigest, 0);
        _refused(referee, call, CourtStorage.WrongDisputeState.selector);
    }

    /// Equal digests clear, anything else convicts; both wait for the appeal window.
    function test_rule_isADigest_andProvisional() public {
        (uint256 taskId, uint256 id, address referee) = _refereed(wrong, right);
        Dispute memory d = theCourt.dispute(id);
        uint256 before = vm.snapshotState();
        bytes32 own = d.claimedDigest ^ bytes32(uint256(1));
        vm.prank(referee);
        theCourt.rule(id, d.claimedDigest, own);
        d = theCourt.dispute(id);
        assertTrue(d.ruledGuilty, "another digest");
        assertEq(d.ruledDigest, own);
        assertEq(d.ruledAt, block.timestamp);
        _stillOpen(taskId, id);
        vm.revertToState(before);
        vm.prank(referee);
        theCourt.rule(id, d.claimedDigest, d.claimedDigest);
        assertFalse(theCourt.dispute(id).ruledGuilty, "the same digest");
        _stillOpen(taskId, id);
    }

    function _stillOpen(uint256 taskId, uint256 id) private {
        assertState(taskId, TaskState.Disputed);
        assertFalse(vault.isTombstoned(alice));
        assertEq(_frozen(alice), 1);
        uint256 closesAt = block.timestamp + c.appealWindow;
        vm.warp(closesAt);
        bytes memory why = abi.encodeWithSelector(Refereeing.AppealWindowOpen.selector, id, closesAt);
        _refused(watcher, abi.encodeCall(ICourt.finalize, (id)), why);
        vm.warp(closesAt + 1);
        theCourt.finalize(id);
        assertTrue(theCourt.dispute(id).state >= DisputeState.Upheld, "final");
    }

    function test_finalize_withoutRuling_reverts() public {
        (, uint256 id) = _isolated(wrong, right);
        bytes memory call = abi.encodeCall(ICourt.finalize, (id));
        bytes4 state = CourtStorage.WrongDisputeState.selector;
        _refused(watcher, call, abi.encodeWithSelector(state, id, DisputeState.Isolated, DisputeState.Ruled));
        _drawReferee(id);
        _refused(watcher, call, abi.encodeWithSelector(state, id, DisputeState.Refereed, DisputeState.Ruled));
    }
}
