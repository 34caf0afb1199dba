// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Dissection} from "../../src/court/Dissection.sol";
import {Refereeing} from "../../src/court/Refereeing.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, SegmentOpening, Side, TaskState} from "../../src/interfaces/Types.sol";

/// @notice P-D5 and P-D6: clocks, time-outs, and the end of every dispute.
contract CourtClocksTest is CourtFixture {
    uint256 private taskId;
    uint256 private id;
    Run private wrong;
    Run private right;
    CourtParams private c;

    function setUp() public override {
        super.setUp();
        wrong = _wrong();
        right = _right(2);
        c = _courtParams();
        taskId = _committedRun(alice, wrong);
        id = _challenge(taskId, watcher, right);
    }

    /// @dev The next move, `seconds_` after the one before.
    function _moveAfter(uint256 seconds_) private {
        vm.warp(theCourt.dispute(id).turnStartedAt + seconds_ - 1); // a move of the fixture takes a second
        _move(id, wrong, right);
    }

    function _deadline() private view returns (uint256) {
        Dispute memory d = theCourt.dispute(id);
        return d.turnStartedAt + (d.turn == Side.Provider ? d.providerClock : d.challengerClock);
    }

    function _timeout() private view returns (bytes memory) {
        return abi.encodeCall(ICourt.claimTimeout, (id));
    }

    // ---- accounts of time

    function test_clock_startsFull() public view {
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.providerClock, c.clockBudget);
        assertEq(d.challengerClock, c.clockBudget);
        assertEq(d.turnStartedAt, block.timestamp);
    }

    function test_clock_onlyTheMoverIsCharged_andGainsItsIncrement() public {
        _moveAfter(500);
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.providerClock, c.clockBudget - 500 + c.clockIncrement);
        assertEq(d.challengerClock, c.clockBudget, "not its turn");
        _moveAfter(700);
        d = theCourt.dispute(id);
        assertEq(d.providerClock, c.clockBudget - 500 + c.clockIncrement, "not its turn");
        assertEq(d.challengerClock, c.clockBudget - 700 + c.clockIncrement);
        _moveAfter(1_000);
        assertEq(theCourt.dispute(id).providerClock, c.clockBudget - 1_500 + 2 * c.clockIncrement);
    }

    /// Quick moves save up nothing beyond the budget, or the end of a game would have no bound.
    function test_clock_isCappedAtTheBudget() public {
        _moveAfter(1);
        assertEq(theCourt.dispute(id).providerClock, c.clockBudget);
        _moveAfter(c.clockIncrement);
        assertEq(theCourt.dispute(id).challengerClock, c.clockBudget);
        _moveAfter(c.clockIncrement + 1);
        assertEq(theCourt.dispute(id).providerClock, c.clockBudget - 1);
    }

    /// Every kind of move charges.
    function test_clock_runsThroughBothLevels() public {
        uint256 spent;
        while (theCourt.dispute(id).state != DisputeState.Isolated) {
            bool providers = theCourt.dispute(id).turn == Side.Provider;
            _moveAfter(c.clockIncrement + 10);
            if (providers) spent += 10;
        }
        Dispute memory d = theCourt.dispute(id);
        assertEq(spent, 50, "three rows, the segment, one row");
        assertEq(d.providerClock, c.clockBudget - 50);
        assertEq(d.challengerClock, c.clockBudget - 50);
    }

    // ---- time-outs

    function test_timeout_early_reverts() public {
        uint256 deadline = _deadline();
        bytes memory why = abi.encodeWithSelector(Dissection.ClockRunning.selector, id, Side.Provider, deadline);
        _refused(watcher, _timeout(), why);
        vm.warp(deadline);
        _refused(watcher, _timeout(), why);
    }

    function test_timeout_provider_isGuilty_whoeverClaims() public {
        vm.warp(_deadline() + 1);
        vm.prank(anyone);
        theCourt.claimTimeout(id);
        assertDispute(id, DisputeState.Upheld);
        assertState(taskId, TaskState.Open);
        assertTrue(vault.isTombstoned(alice));
        assertPotsEmpty(id);
    }

    function test_timeout_challenger_isCleared_evenByTheProvider() public {
        _moveAfter(1);
        uint256 deadline = _deadline();
        vm.warp(deadline);
        _refused(alice, _timeout(), abi.encodeWithSelector(Dissection.ClockRunning.selector, id, Side.Challenger, deadline));
        vm.warp(deadline + 1);
        vm.prank(alice);
        theCourt.claimTimeout(id);
        assertDispute(id, DisputeState.Cleared);
        assertState(taskId, TaskState.Committed);
        assertPotsEmpty(id);
    }

    function test_timeout_inEveryStateOfTheGame() public {
        for (uint256 moves = 0; theCourt.dispute(id).state != DisputeState.Isolated; moves++) {
            uint256 before = vm.snapshotState();
            bool providers = theCourt.dispute(id).turn == Side.Provider;
            vm.warp(_deadline() + 1);
            theCourt.claimTimeout(id);
            assertDispute(id, providers ? DisputeState.Upheld : DisputeState.Cleared);
            vm.revertToState(before);
            _move(id, wrong, right);
        }
    }

    /// Long after, too: nobody has to be there at the second.
    function test_timeout_late_stillCounts() public {
        vm.warp(_deadline() + 30 days);
        theCourt.claimTimeout(id);
        assertDispute(id, DisputeState.Upheld);
    }

    /// A side that is late has lost before anybody says so: its move does not save it.
    function test_move_afterTheClock_isRefused_untilSomebodyClaims() public {
        Dispute memory d = theCourt.dispute(id);
        bytes32[] memory row = _row(d, wrong);
        uint256 deadline = _deadline();
        bytes memory reveal = abi.encodeCall(ICourt.revealRow, (id, d.node, row));
        vm.warp(deadline + 1);
        _refused(alice, reveal, abi.encodeWithSelector(Dissection.ClockRanOut.selector, id, Side.Provider, deadline));
        vm.warp(deadline);
        vm.prank(alice);
        theCourt.revealRow(id, d.node, row); // the last second is a second
        assertEq(theCourt.dispute(id).providerClock, c.clockIncrement, "nothing was left");
        deadline = _deadline();
        vm.warp(deadline + 1);
        bytes memory pick = abi.encodeCall(ICourt.pick, (id, row, 0));
        _refused(watcher, pick, abi.encodeWithSelector(Dissection.ClockRanOut.selector, id, Side.Challenger, deadline));
    }

    function test_segmentMoves_afterTheClock_areRefused() public {
        _playTo(id, wrong, right, DisputeState.SegmentWanted, Side.Provider);
        uint256 deadline = _deadline();
        SegmentOpening memory segment;
        bytes32[] memory none;
        bytes memory post = abi.encodeCall(ICourt.postSegment, (id, 0, 0, none, segment, none, none));
        vm.warp(deadline + 1);
        _refused(alice, post, abi.encodeWithSelector(Dissection.ClockRanOut.selector, id, Side.Provider, deadline));
        vm.warp(deadline - 1);
        _move(id, wrong, right);
        deadline = _deadline();
        vm.warp(deadline + 1);
        bytes memory pick = abi.encodeCall(ICourt.pickSegment, (id, none, none, false, 0));
        _refused(watcher, pick, abi.encodeWithSelector(Dissection.ClockRanOut.selector, id, Side.Challenger, deadline));
    }

    /// The clocks are the game's: a referee's deadline is another matter.
    function test_timeout_outsideTheGame_reverts() public {
        _play(id, wrong, right);
        vm.warp(block.timestamp + 2 * c.clockBudget);
        bytes4 notHere = Dissection.NotDissecting.selector;
        _refused(anyone, _timeout(), abi.encodeWithSelector(notHere, id, DisputeState.Isolated));
        _drawReferee(id);
        _refused(anyone, _timeout(), abi.encodeWithSelector(notHere, id, DisputeState.Refereed));
        _rule(id, wrong);
        _refused(anyone, _timeout(), abi.encodeWithSelector(notHere, id, DisputeState.Ruled));
        _finalize(id);
        _refused(anyone, _timeout(), abi.encodeWithSelector(notHere, id, DisputeState.Upheld));
    }

    /// A time-out in a dispute that another verdict has overtaken slashes nobody twice.
    function test_timeout_moot_reverts() public {
        vm.warp(theCourt.dispute(id).turnStartedAt);
        _commitChallenge(taskId, bob, GameTrace.traceRoot(right, shape));
        uint256 other = _reveal(taskId, bob, GameTrace.traceRoot(right, shape));
        _judge(id, wrong, right);
        vm.warp(block.timestamp + c.clockBudget + 1);
        _refused(
            bob, abi.encodeCall(ICourt.claimTimeout, (other)), abi.encodeWithSelector(CourtStorage.DisputeMoot.selector, other)
        );
    }

    // ---- P-D6

    /// Both sides use every second that they have.
    function test_slowestGame_endsInTime() public {
        uint256 from = block.timestamp;
        while (theCourt.dispute(id).state != DisputeState.Isolated) {
            _moveAfter(_deadline() - theCourt.dispute(id).turnStartedAt);
        }
        uint256 rounds = 5; // three of level 1, the segment's, one of level 2
        assertEq(
            block.timestamp - from, 2 * (uint256(c.clockBudget) + (rounds - 1) * c.clockIncrement), "the last gain is unused"
        );
        uint256 seconds_ = block.timestamp - from;
        assertLt(seconds_, theCourt.disputeDurationMax(modelId), "the bound");
        assertLt(theCourt.disputeDurationMax(modelId), parameters.disputeSecondsMax(1) + 1, "which no model exceeds");
    }

    /// ... then every referee stays silent but the last, who rules about an earlier operator in the last second.
    function test_slowestDispute_endsInTime() public {
        uint256 from = block.timestamp;
        while (theCourt.dispute(id).state != DisputeState.Isolated) {
            _moveAfter(_deadline() - theCourt.dispute(id).turnStartedAt);
        }
        for (uint256 missed = 0; missed < c.maxRedraws; missed++) {
            _register(string(abi.encodePacked("referee", missed)));
            _drawReferee(id);
            vm.warp(theCourt.dispute(id).refereeDeadline + 1);
            theCourt.refereeTimeout(id);
        }
        address referee = _drawReferee(id);
        vm.warp(theCourt.dispute(id).refereeDeadline);
        _ruleEarlier(referee, 10);
        _finalize(id);
        assertTrue(theCourt.dispute(id).state > DisputeState.Appealed, "closed");
        assertLe(block.timestamp - from, theCourt.disputeDurationMax(modelId), "the bound");
    }

    function _ruleEarlier(address referee, uint32 index) private {
        bytes32[] memory ops = GameTrace.ops(wrong, shape, 4);
        bytes32[] memory proof = TraceTree.open(ops, shape.opsHeight, index);
        vm.prank(referee);
        theCourt.ruleEarlier(id, index, ops[index], "own", proof);
    }

    function _register(string memory name) private {
        _join(_provider(name, 1_000 * UNIT, 8));
        vm.roll(block.number + 1);
    }

    /// Whatever is tried on a closed dispute, nothing moves it.
    function test_closed_acceptsNothing() public {
        Run memory good = right;
        uint256 cleared = _challenge(_committedRun(carol, good), watcher, wrong);
        _judge(cleared, good, wrong);
        _closedAcceptsNothing(cleared);
        vm.warp(_deadline() + 1);
        theCourt.claimTimeout(id);
        _closedAcceptsNothing(id);
    }

    function _closedAcceptsNothing(uint256 closed) private {
        Dispute memory d = theCourt.dispute(closed);
        bytes32 before = keccak256(abi.encode(d));
        bytes32[] memory row = new bytes32[](16);
        SegmentOpening memory segment;
        ICourt.IsolateDirect memory direct;
        bytes4 state = CourtStorage.WrongDisputeState.selector;
        bytes4 dissecting = Dissection.NotDissecting.selector;
        _refused(d.provider, abi.encodeCall(ICourt.revealRow, (closed, d.node, row)), dissecting);
        _refused(d.challenger, abi.encodeCall(ICourt.pick, (closed, row, 0)), dissecting);
        _refused(d.provider, abi.encodeCall(ICourt.postSegment, (closed, d.leaf, 0, row, segment, row, row)), state);
        _refused(d.challenger, abi.encodeCall(ICourt.pickSegment, (closed, row, row, false, 0)), state);
        _refused(d.challenger, abi.encodeCall(ICourt.isolateDirect, (closed, direct)), state);
        _refused(anyone, abi.encodeCall(ICourt.claimTimeout, (closed)), dissecting);
        _refused(anyone, abi.encodeCall(ICourt.drawReferee, (closed)), state);
        _refused(d.referee, abi.encodeCall(ICourt.rule, (closed, d.node, 0)), state);
        _refused(d.referee, abi.encodeCall(ICourt.ruleEarlier, (closed, 0, 0, 0, row)), state);
        _refused(anyone, abi.encodeCall(ICourt.refereeTimeout, (closed)), state);
        _refused(d.challenger, abi.encodeCall(ICourt.appeal, (closed)), state);
        _refused(d.provider, abi.encodeCall(ICourt.appeal, (closed)), state);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (closed)), state);
        _refused(
            anyone,
            abi.encodeCall(ICourt.closeMoot, (closed)),
            abi.encodeWithSelector(Refereeing.AlreadyClosed.selector, closed, d.state)
        );
        assertEq(keccak256(abi.encode(theCourt.dispute(closed))), before, "something changed");
    }
}
