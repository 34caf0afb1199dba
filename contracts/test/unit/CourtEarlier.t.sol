// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {ScriptedLevels} from "../utils/ScriptedLevels.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Refereeing} from "../../src/court/Refereeing.sol";
import {AppealOutcome} from "../../src/interfaces/IAppealLevels.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {CourtParams, Params} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, Side, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice A dispute whose challenger isolated an operator after the first wrong one.
abstract contract EarlierFixture is CourtFixture {
    /// @dev Wrong from operator 5 on; its challenger isolates operator 20 instead.
    Run internal wrong = Run({steps: 2, salt: 1, leaf: 4, live: false, index: 5});
    Run internal late = Run({steps: 2, salt: 2, leaf: 4, live: false, index: 20});
    bytes32 internal constant OWN = keccak256("what the referee computed");
    uint256 internal taskId;
    uint256 internal id;
    address internal referee;

    function setUp() public virtual override {
        super.setUp();
        _join(_provider("erin", 1_000 * UNIT, 8));
        _join(_provider("frank", 1_000 * UNIT, 8));
        skip(1);
        taskId = _committedRun(alice, wrong);
        id = _challenge(taskId, watcher, _right(2));
        _isolateAt(20);
        referee = _drawReferee(id);
    }

    /// @dev The challenger goes down to an operator that is not the first wrong one.
    function _isolateAt(uint8 index) private {
        _playTo(id, wrong, late, DisputeState.Level2, Side.Challenger);
        bytes32[] memory ops = _opsRow(wrong, 4);
        bytes32[] memory lives = _liveRow(wrong, 4);
        vm.prank(watcher);
        theCourt.pickSegment(id, ops, lives, false, index / 4);
        bytes32[] memory row = _row(theCourt.dispute(id), wrong);
        theCourt.revealRow(id, theCourt.dispute(id).node, row);
        vm.prank(watcher);
        theCourt.pick(id, row, index % 4);
    }

    function _proof(uint32 index) internal view returns (bytes32 digest, bytes32[] memory proof) {
        bytes32[] memory ops = GameTrace.ops(wrong, shape, 4);
        return (ops[index], TraceTree.open(ops, shape.opsHeight, index));
    }

    function _call(uint32 index) internal view returns (bytes memory) {
        (bytes32 digest, bytes32[] memory proof) = _proof(index);
        return abi.encodeCall(ICourt.ruleEarlier, (id, index, digest, OWN, proof));
    }

    function _earlier(uint32 index) internal {
        (bytes32 digest, bytes32[] memory proof) = _proof(index);
        address by = theCourt.dispute(id).referee;
        vm.prank(by);
        theCourt.ruleEarlier(id, index, digest, OWN, proof);
    }
}

/// @notice P-R3: the referee's own run differs before the isolated operator.
contract CourtEarlierTest is EarlierFixture {
    function test_earlier_isARuling_atThatPlace() public {
        bytes32 passed = theCourt.dispute(id).claimedDigest;
        (bytes32 claimed, bytes32[] memory proof) = _proof(5);
        vm.expectEmit(address(theCourt));
        emit ICourt.EarlierDivergence(id, referee, 5, claimed, OWN, proof);
        _earlier(5);
        assertEq(theCourt.disputeCount(), 1, "the same dispute");
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Ruled);
        assertEq(d.challenger, watcher);
        assertEq(d.bond, theCourt.bondOf(alice));
        assertEq(d.isolatedIndex, 5);
        assertEq(d.claimedDigest, claimed);
        assertEq(d.ruledDigest, OWN);
        assertTrue(d.ruledGuilty);
        assertEq(d.ruledAt, block.timestamp);
        assertTrue(d.earlier);
        assertEq(d.passedIndex, 20);
        assertEq(d.passedDigest, passed);
        assertEq(d.hops, 1);
        assertState(taskId, TaskState.Disputed);
        assertEq(_frozen(alice), 1);
        assertEq(vault.dutiesOf(referee), 0);
        assertFalse(vault.isTombstoned(alice), "provisional like any ruling");
    }

    function test_earlier_unappealed_convicts_andEverybodyIsPaid() public {
        _earlier(5);
        uint128 stake = vault.totalStake(alice);
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
        uint128 taken = stake - vault.totalStake(alice);
        CourtParams memory c = _courtParams();
        assertEq(vault.credit(requester), taken * c.requesterBps / 10_000);
        assertEq(vault.credit(_payoutOf(referee)), taken * c.refereeBps / 10_000);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice) + taken * c.challengerBps / 10_000);
        assertEq(_frozen(alice), 0);
        assertPotsEmpty(id);
    }

    /// Only the provider has lost; without levels its appeal is void.
    function test_earlier_appeal_isTheProviders() public {
        _earlier(5);
        bytes memory call = abi.encodeCall(ICourt.appeal, (id));
        _refused(watcher, call, abi.encodeWithSelector(Refereeing.NotLosingSide.selector, id, watcher));
        _refused(referee, call, abi.encodeWithSelector(Refereeing.NotLosingSide.selector, id, referee));
        vm.prank(alice);
        theCourt.appeal(id);
        assertDispute(id, DisputeState.Void);
        assertState(taskId, TaskState.Open);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
        assertEq(vault.totalStake(alice), 1_000 * UNIT);
        assertPotsEmpty(id);
    }

    function test_earlier_isTheLastWordOfThatReferee() public {
        _earlier(5);
        bytes32 claimed = theCourt.dispute(id).claimedDigest;
        bytes4 state = CourtStorage.WrongDisputeState.selector;
        _refused(referee, abi.encodeCall(ICourt.rule, (id, claimed, claimed)), state);
        _refused(referee, _call(4), state);
    }

    // ---- what it may not be

    function test_earlier_digestNotUnderTheRoot_reverts() public {
        (, bytes32[] memory proof) = _proof(5);
        bytes32 right = GameTrace.op(_right(2), 4, 5);
        bytes4 notThere = CourtStorage.ClaimedNotInTrace.selector;
        _refused(referee, abi.encodeCall(ICourt.ruleEarlier, (id, 5, right, OWN, proof)), notThere);
        (bytes32 digest,) = _proof(5);
        _refused(referee, abi.encodeCall(ICourt.ruleEarlier, (id, 4, digest, OWN, proof)), notThere);
        bytes memory short = abi.encodeWithSelector(TraceHash.ProofLength.selector, 5, 6);
        _refused(referee, abi.encodeCall(ICourt.ruleEarlier, (id, 5, digest, OWN, new bytes32[](5))), short);
    }

    /// Forwards, a chain of disputes would never end.
    function test_earlier_notEarlier_reverts() public {
        _refused(referee, _call(20), abi.encodeWithSelector(Refereeing.NotEarlier.selector, 20, 20));
        _refused(referee, _call(39), abi.encodeWithSelector(Refereeing.NotEarlier.selector, 39, 20));
    }

    function test_earlier_byAnybodyElse_orLate_reverts() public {
        _refused(watcher, _call(5), abi.encodeWithSelector(Refereeing.NotReferee.selector, id, watcher));
        uint256 deadline = theCourt.dispute(id).refereeDeadline;
        vm.warp(deadline + 1);
        _refused(referee, _call(5), abi.encodeWithSelector(Refereeing.RefereeTooLate.selector, id, deadline));
    }

    function test_earlier_butNoOtherDigest_reverts() public {
        (bytes32 digest, bytes32[] memory proof) = _proof(5);
        bytes memory call = abi.encodeCall(ICourt.ruleEarlier, (id, 5, digest, digest, proof));
        _refused(referee, call, abi.encodeWithSelector(Refereeing.NoDivergence.selector, digest));
    }

    function test_earlier_thanALiveSlot_reverts() public {
        Run memory badCopy = Run({steps: 2, salt: 1, leaf: 6, live: true, index: 2});
        uint256 other = _committedRun(carol, badCopy);
        uint256 slot = _challenge(other, watcher, _right(2));
        _play(slot, badCopy, _right(2));
        address by = _drawReferee(slot);
        bytes memory call = abi.encodeCall(ICourt.ruleEarlier, (slot, 0, 0, OWN, new bytes32[](6)));
        _refused(by, call, abi.encodeWithSelector(Refereeing.NoEarlierThanLive.selector, slot));
    }

    /// When another verdict has ended the attempt there is nothing to open.
    function test_earlier_moot_reverts() public {
        vm.prank(address(theCourt));
        vault.tombstone(alice); // convicted of another task
        market.reverse(taskId);
        _refused(referee, _call(5), abi.encodeWithSelector(CourtStorage.DisputeMoot.selector, id));
        theCourt.closeMoot(id);
        assertEq(vault.dutiesOf(referee), 0, "its duty ended with the dispute");
        assertDispute(id, DisputeState.Void);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
    }
}

/// @notice P-R3, P-R4: a ruling about an earlier operator, appealed.
contract CourtEarlierAppealTest is EarlierFixture {
    uint128 private constant RESTITUTION = 125 * UNIT; // a quarter of the half that a referee loses
    ScriptedLevels private levels = ScriptedLevels(address(0x1e7e15));
    bytes32 private passed;
    uint256 private balance;
    CourtParams private c;

    function setUp() public override {
        super.setUp();
        passed = theCourt.dispute(id).claimedDigest;
        c = _courtParams();
    }

    function _params() internal view virtual override returns (Params memory p) {
        p = super._params();
        p.court.appealLevels = address(levels);
    }

    function _deployCourt() internal override {
        super._deployCourt();
        vm.etch(address(levels), address(new ScriptedLevels()).code);
    }

    function _appealed() private {
        vm.prank(alice);
        theCourt.appeal(id);
        assertDispute(id, DisputeState.Appealed);
        assertEq(levels.accuserOf(id), referee, "the challenger had agreed to it");
        assertEq(theCourt.dispute(id).appellant, alice);
        assertEq(vault.pot(Pots.appeal(id)), c.appealBond);
    }

    function _decide(AppealOutcome outcome) private {
        levels.say(id, outcome);
        vm.prank(anyone);
        theCourt.finalize(id);
    }

    function test_overturned_givesTheChallengersPlaceBack() public {
        _earlier(5);
        balance = token.balanceOf(alice);
        _appealed();
        skip(100);
        _decide(AppealOutcome.Cleared);
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Isolated);
        assertEq(d.isolatedIndex, 20);
        assertEq(d.claimedDigest, passed);
        assertEq(d.isolatedAt, block.timestamp, "the next draw has its own round");
        assertFalse(d.earlier);
        assertEq(uint256(d.passedIndex) | uint256(d.passedDigest), 0);
        assertEq(d.hops, 1);
        assertEq(d.draws, 1);
        assertEq(d.referee, address(0));
        assertEq(uint256(d.ruledAt) | d.refereeDeadline | d.appealedAt | uint256(d.ruledDigest), 0);
        assertFalse(d.ruledGuilty);
        assertEq(d.appellant, address(0));
        assertTrue(vault.isTombstoned(referee), "it lied");
        assertEq(vault.totalStake(referee), 500 * UNIT);
        assertEq(vault.credit(alice), c.appealBond + RESTITUTION);
        assertEq(vault.totalStake(alice), 1_000 * UNIT);
        assertEq(vault.pot(Pots.dispute(id)), theCourt.bondOf(alice), "the challenger's bond stays where it is");
        assertEq(vault.pot(Pots.appeal(id)), 0);
        assertEq(_frozen(alice), 1);
        assertState(taskId, TaskState.Disputed);
    }

    /// A lie about an earlier operator never takes the challenger's claim out of court.
    function test_overturned_thenRuled_convictsAtTheChallengersPlace() public {
        _earlier(5);
        _appealed();
        _decide(AppealOutcome.Cleared);
        for (uint256 i = 0; i < 8; i++) {
            uint256 before = vm.snapshotState();
            vm.prevrandao(keccak256(abi.encode(i)));
            assertTrue(_drawReferee(id) != referee, "the liar again");
            vm.revertToState(before);
        }
        address second = _drawReferee(id);
        vm.prank(second);
        theCourt.rule(id, passed, OWN);
        vm.prank(alice);
        theCourt.appeal(id);
        assertEq(levels.accuserOf(id), watcher, "its own place now");
        assertEq(levels.opened(id), 2);
        uint128 stake = vault.totalStake(alice);
        _decide(AppealOutcome.Guilty);
        assertDispute(id, DisputeState.Upheld);
        uint128 taken = stake - vault.totalStake(alice);
        uint256 won = theCourt.bondOf(alice) + taken * c.challengerBps / 10_000 + c.appealBond;
        assertEq(vault.credit(watcher), won);
        assertEq(vault.credit(_payoutOf(second)), taken * c.refereeBps / 10_000);
        assertFalse(vault.isTombstoned(second));
        assertPotsEmpty(id);
    }

    function test_confirmed_convicts_andTheBondIsTheReferees() public {
        _earlier(5);
        _appealed();
        uint128 stake = vault.totalStake(alice);
        _decide(AppealOutcome.Guilty);
        assertDispute(id, DisputeState.Upheld);
        uint128 taken = stake - vault.totalStake(alice);
        assertEq(vault.credit(_payoutOf(referee)), taken * c.refereeBps / 10_000 + c.appealBond, "it played the game");
        assertEq(vault.credit(watcher), theCourt.bondOf(alice) + taken * c.challengerBps / 10_000);
        assertFalse(vault.isTombstoned(referee));
        assertPotsEmpty(id);
    }

    function test_void_orLapsed_isVoid() public {
        _earlier(5);
        _appealed();
        uint256 before = vm.snapshotState();
        _decide(AppealOutcome.Void);
        for (uint256 i = 0; i < 2; i++) {
            assertDispute(id, DisputeState.Void);
            assertEq(vault.credit(watcher), theCourt.bondOf(alice));
            assertEq(vault.credit(alice), c.appealBond);
            assertEq(vault.totalStake(referee), 1_000 * UNIT, "nobody is slashed");
            assertPotsEmpty(id);
            if (i == 1) break;
            vm.revertToState(before);
            vm.warp(block.timestamp + c.ospSeconds + 1);
            theCourt.finalize(id);
        }
    }

    /// A referee that lied is not saved by another verdict.
    function test_moot_whileAppealed_bondsBack_andTheRulingIsJudged() public {
        _earlier(5);
        _appealed();
        vm.prank(address(theCourt));
        vault.tombstone(alice);
        market.reverse(taskId);
        levels.say(id, AppealOutcome.Cleared);
        bytes memory moot = abi.encodeWithSelector(CourtStorage.DisputeMoot.selector, id);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (id)), moot);
        theCourt.closeMoot(id);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
        assertEq(vault.credit(alice), c.appealBond + RESTITUTION);
        assertTrue(vault.isTombstoned(referee));
        assertPotsEmpty(id);
    }

    /// Two lies are two referees' stakes; the third rules on what is isolated.
    function test_hopsAreFew() public {
        for (uint32 i = 0; i < c.maxEarlier; i++) {
            if (i != 0) referee = _drawReferee(id);
            _earlier(5 - i);
            _appealed();
            _decide(AppealOutcome.Cleared);
            assertDispute(id, DisputeState.Isolated);
        }
        address last = _drawReferee(id);
        _refused(last, _call(3), abi.encodeWithSelector(Refereeing.EarlierExhausted.selector, id, 2));
        vm.prank(last);
        theCourt.rule(id, passed, OWN);
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
        assertEq(vault.credit(alice), 2 * (c.appealBond + RESTITUTION), "paid for each");
    }

    /// The last draw lied: the levels judge the challenger's place, and nobody has appealed that.
    function test_overturned_withoutDrawsLeft_goesToTheLevels() public {
        for (uint256 i = 0; i < c.maxRedraws; i++) {
            vm.warp(theCourt.dispute(id).refereeDeadline + 1);
            theCourt.refereeTimeout(id);
            referee = _drawReferee(id);
        }
        _earlier(5);
        _appealed();
        _decide(AppealOutcome.Cleared);
        assertDispute(id, DisputeState.Appealed);
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.isolatedIndex, 20);
        assertEq(d.appellant, address(0));
        assertEq(d.ruledAt, 0);
        assertEq(d.appealedAt, block.timestamp);
        assertEq(levels.opened(id), 2);
        assertEq(levels.accuserOf(id), watcher);
        uint128 stake = vault.totalStake(alice);
        _decide(AppealOutcome.Guilty);
        assertDispute(id, DisputeState.Upheld);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice) + (stake - vault.totalStake(alice)) / 4);
        assertPotsEmpty(id);
    }

    /// Everybody takes all the time there is: lies, appeals, games, and the last of them lapses.
    function test_slowest_endsInTime() public {
        uint256 from = theCourt.dispute(id).openedAt;
        uint256 spare = 2 * (uint256(c.clockBudget) + 5 * c.clockIncrement) - (block.timestamp - from);
        for (uint32 i = 0; i <= c.maxRedraws; i++) {
            vm.warp(theCourt.dispute(id).refereeDeadline);
            _earlierOrRule(i);
            vm.warp(theCourt.dispute(id).ruledAt + c.appealWindow);
            vm.prank(alice);
            theCourt.appeal(id);
            vm.warp(block.timestamp + c.ospSeconds);
            if (i == c.maxRedraws) break;
            _decide(AppealOutcome.Cleared);
            vm.warp(theCourt.dispute(id).isolatedAt + c.beaconSlack);
            referee = _drawReferee(id);
        }
        vm.warp(block.timestamp + 1);
        theCourt.finalize(id);
        assertDispute(id, DisputeState.Void);
        assertLe(block.timestamp - from + spare, theCourt.disputeDurationMax(modelId), "the bound");
        assertLe(theCourt.disputeDurationMax(modelId), parameters.disputeSecondsMax(1), "which no model exceeds");
    }

    function _earlierOrRule(uint32 i) private {
        if (i < c.maxEarlier) return _earlier(5 - i);
        levels.say(id, AppealOutcome.Pending);
        vm.prank(referee);
        theCourt.rule(id, passed, OWN);
    }
}
