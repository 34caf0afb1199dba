// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealSystemFixture} from "../utils/AppealSystemFixture.sol";
import {AppealOutcome, AppealPhase, StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, TaskState} from "../../src/interfaces/Types.sol";

/// @notice Court and levels together, from a claim to who is paid.
contract AppealSystemTest is AppealSystemFixture {
    uint256 private constant TRUE = type(uint256).max; // a defender that never lies about the states
    uint128 private constant STAKE = 1_000 * UNIT;

    CourtParams private c;
    uint128 private bond;

    function setUp() public override {
        super.setUp();
        c = _courtParams();
        bond = theCourt.bondOf(alice);
    }

    function _finished(DisputeState wanted) private {
        vm.prank(anyone);
        theCourt.finalize(ID);
        assertDispute(ID, wanted);
        assertPotsEmpty(ID);
        assertEq(_frozen(alice), 0);
    }

    function _overturned(address referee, address appellant) private view {
        assertTrue(vault.isTombstoned(referee));
        assertEq(vault.totalStake(referee), STAKE / 2);
        assertGe(vault.credit(appellant), c.appealBond + STAKE / 2 * c.challengerBps / 10_000, "bond and restitution");
    }

    function test_liar_bribedReferee_honestChallengerWins() public {
        _isolatedAt("alice", watcher, SCAN, _wrongScan(LONG, 9));
        address referee = _rules(false);
        _appeals(watcher);
        _playScan(LONG, TRUE);
        assertTrue(_game().replay);
        assertEq(_game().defender, referee);
        _playScan(LONG, 3); // the referee lies itself
        _finished(DisputeState.Upheld);
        _overturned(referee, watcher);
        assertTrue(vault.isTombstoned(alice));
        assertEq(vault.credit(_payoutOf(referee)), 0);
    }

    function test_honestProvider_bribedReferee_providerWins() public {
        uint256 taskId = _isolatedAt("alice", watcher, SCAN, tensors[SCAN]);
        address referee = _rules(true);
        _appeals(alice);
        _playScan(3, TRUE);
        assertEq(_game().accuser, referee);
        _playScan(LONG, TRUE);
        _finished(DisputeState.Cleared);
        _overturned(referee, alice);
        assertState(taskId, TaskState.Committed);
        assertEq(vault.totalStake(alice), STAKE);
        assertEq(vault.credit(_payoutOf(alice)), bond, "the challenger's bond");
    }

    /// The challenger is the liar's friend, and throws the game: the referee's own makes the verdict.
    function test_liar_honestReferee_theFriendThrowsTheGame() public {
        _isolatedAt("alice", watcher, SCAN, _wrongScan(LONG, 9));
        address referee = _rules(true);
        _appeals(alice);
        _playScan(3, TRUE);
        assertEq(uint256(levels.outcome(at, ID)), uint256(AppealOutcome.Pending));
        _playScan(LONG, TRUE);
        uint128 stake = vault.totalStake(alice);
        _finished(DisputeState.Upheld);
        assertEq(vault.totalStake(referee), STAKE, "keeps its stake");
        assertFalse(vault.isTombstoned(referee));
        uint128 reward = (stake - vault.totalStake(alice)) * c.refereeBps / 10_000;
        assertEq(vault.credit(_payoutOf(referee)), reward + c.appealBond, "it played, so the liar's bond is its own");
    }

    /// The liar is convicted elsewhere while its friend throws the game: the referee plays on, for the bond of the appeal.
    function test_moot_theFriendThrowsTheGame() public {
        uint256 taskId = _isolatedAt("alice", watcher, SCAN, _wrongScan(LONG, 9));
        address referee = _rules(true);
        _appeals(alice);
        _playScan(3, TRUE);
        vm.prank(address(theCourt));
        vault.tombstone(alice);
        market.reverse(taskId);
        _playScan(LONG, TRUE);
        theCourt.closeMoot(ID);
        assertDispute(ID, DisputeState.Void);
        assertPotsEmpty(ID);
        assertEq(vault.totalStake(referee), STAKE);
        assertEq(vault.credit(_payoutOf(referee)), c.appealBond);
        assertEq(vault.credit(watcher), bond);
        assertEq(vault.credit(alice), 0, "its appeal was not free");
    }

    /// The provider throws the game to ruin the referee that cleared it.
    function test_provider_honestReferee_theProviderThrowsTheGame() public {
        _isolatedAt("alice", watcher, SCAN, tensors[SCAN]);
        address referee = _rules(false);
        _appeals(watcher);
        _timeout();
        assertEq(_game().defender, referee);
        _playScan(LONG, TRUE);
        _finished(DisputeState.Cleared);
        assertEq(vault.totalStake(referee), STAKE);
        assertEq(vault.credit(_payoutOf(referee)), c.refereeFee + c.appealBond, "two friends pay for the game they made it play");
        assertEq(vault.credit(_payoutOf(alice)), bond - c.refereeFee);
    }

    /// The referee lies about an earlier operator: the provider wins there, and the challenger's place is judged after all.
    function test_earlierLie_againstALiar_itIsConvictedAfterAll() public {
        _isolatedAt("alice", watcher, FOLD, _altered(FOLD, 2, 77));
        address liar = _pointsEarlier();
        assertEq(theCourt.dispute(ID).isolatedIndex, 0);
        _appeals(alice);
        assertEq(_game().accuser, liar);
        claim = tensors[SCAN];
        _playScan(LONG, TRUE);
        assertEq(uint256(levels.outcome(at, ID)), uint256(AppealOutcome.Cleared), "no replay: it accused itself");
        theCourt.finalize(ID);
        _overturned(liar, alice);
        Dispute memory d = theCourt.dispute(ID);
        assertDispute(ID, DisputeState.Isolated);
        assertEq(d.isolatedIndex, 1);
        claim = _altered(FOLD, 2, 77);
        assertEq(d.claimedDigest, _digest(claim));
        address second = _rules(true);
        _appeals(alice);
        assertEq(_game().accuser, watcher);
        _toElement(2);
        _step(_withChunks(_stepProof(FOLD, _initial(2)), 10, 11));
        _finished(DisputeState.Upheld);
        assertEq(vault.totalStake(second), STAKE);
        assertTrue(vault.isTombstoned(alice));
    }

    /// A referee that is right about an earlier operator accuses there itself; the challenger, which had passed it over, has its bond.
    function test_earlier_rightly_convicts() public {
        wrongBefore = _digest(_wrongScan(LONG, 9));
        _isolatedAt("alice", watcher, FOLD, _altered(FOLD, 2, 77));
        address referee = _pointsEarlier();
        _appeals(alice);
        claim = _wrongScan(LONG, 9);
        _playScan(LONG, TRUE);
        uint128 stake = vault.totalStake(alice);
        _finished(DisputeState.Upheld);
        uint128 taken = stake - vault.totalStake(alice);
        assertEq(vault.totalStake(referee), STAKE);
        assertEq(vault.credit(_payoutOf(referee)), taken * c.refereeBps / 10_000 + c.appealBond);
        assertEq(vault.credit(watcher), bond + taken * c.challengerBps / 10_000);
    }

    /// A referee that leaves its accusation alone has lied as far as anybody can tell.
    function test_earlier_accuserGone_isOverturned() public {
        _isolatedAt("alice", watcher, FOLD, _altered(FOLD, 2, 77));
        address liar = _pointsEarlier();
        _appeals(alice);
        claim = tensors[SCAN];
        _openTensor();
        _timeout();
        theCourt.finalize(ID);
        _overturned(liar, alice);
        assertDispute(ID, DisputeState.Isolated);
    }

    /// Nobody can be drawn: challenger and provider settle it without an appellant.
    function test_noReferee_levelsJudge() public {
        _isolatedAt("alice", watcher, SUM, _altered(SUM, 1, 5));
        for (uint256 i = 0; i < 3; i++) {
            address member = [bob, carol, makeAddr("dora")][i];
            vm.prank(member);
            pool.leave(modelId);
        }
        _publish(beacon.roundAfter(theCourt.dispute(ID).isolatedAt));
        theCourt.drawReferee(ID);
        assertEq(theCourt.dispute(ID).appellant, address(0));
        _toElement(1);
        _step(_withChunks(_stepProof(SUM, _initial(1)), 0, 1));
        uint128 stake = vault.totalStake(alice);
        _finished(DisputeState.Upheld);
        assertEq(vault.credit(watcher), bond + (stake - vault.totalStake(alice)) / 4);
    }

    function test_finalize_beforeTheEnd_reverts_andTheOutcomeStays() public {
        _isolatedAt("alice", watcher, SUM, _altered(SUM, 1, 5));
        _rules(true);
        _appeals(alice);
        (bool done,) = address(theCourt).call(abi.encodeCall(theCourt.finalize, (ID)));
        assertFalse(done, "before the levels have spoken");
        _toElement(1);
        StepProof memory p = _withChunks(_stepProof(SUM, _initial(1)), 0, 1);
        _step(p);
        assertPhase(AppealPhase.Ended);
        vm.warp(block.timestamp + 10 * uint256(c.ospSeconds));
        _finished(DisputeState.Upheld);
    }
}
