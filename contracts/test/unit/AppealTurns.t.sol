// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealFixture} from "../utils/AppealFixture.sol";
import {AppealGames} from "../../src/appeal/AppealGames.sol";
import {AppealGame, AppealOutcome, AppealPhase, NodeFacts, SlotProof} from "../../src/interfaces/IAppealLevels.sol";
import {Side} from "../../src/interfaces/Types.sol";

/// @notice P-L1: turns, callers and clocks, in every phase of a game.
contract AppealTurnsTest is AppealFixture {
    uint256 private constant PHASES = 8;

    AppealPhase[PHASES] private phases = [
        AppealPhase.Tensor,
        AppealPhase.PickChunk,
        AppealPhase.Row,
        AppealPhase.Chunk,
        AppealPhase.PickElement,
        AppealPhase.States,
        AppealPhase.PickState,
        AppealPhase.Step
    ];
    bytes[] private run;
    bytes32[] private shown;

    function setUp() public override {
        super.setUp();
        run = _run(LONG);
    }

    /// @dev A game about a wrong element, played to this phase.
    function _to(AppealPhase wanted) private {
        _open(_disputed(SCAN, _wrongScan(LONG, 9)));
        while (_game().phase != wanted) {
            _next();
        }
    }

    /// @dev The move that is due, now.
    function _next() private {
        AppealGame memory g = _game();
        if (g.phase == AppealPhase.Tensor) _openTensor();
        else if (g.phase == AppealPhase.PickChunk) _pickChunk(_childTowards(g, LONG / 128));
        else if (g.phase == AppealPhase.Row) levels.revealRow(address(stage), ID, g.node, _chunkRow(g));
        else if (g.phase == AppealPhase.Chunk) levels.revealChunk(address(stage), ID, g.node, _chunk(claim.data, g.index));
        else if (g.phase == AppealPhase.PickElement) _pickElement(LONG % 128);
        else if (g.phase == AppealPhase.States) shown = _revealStates(run, g.batches == 0 ? 83 : g.batches, 1e9);
        else if (g.phase == AppealPhase.PickState) _pickState(run, shown);
        else _step(_scanStep(run, g.firstBatch));
    }

    /// @dev Every call there is, as good as a call for that phase can be.
    function _calls() private view returns (bytes[] memory calls, AppealPhase[] memory due) {
        AppealGame memory g = _game();
        calls = new bytes[](9);
        due = new AppealPhase[](9);
        NodeFacts memory n = _node(SCAN);
        bytes32[] memory row = new bytes32[](16);
        SlotProof memory slot;
        calls[0] = abi.encodeCall(levels.openTensor, (address(stage), ID, g.node, n, row, 0, row, ""));
        calls[1] = abi.encodeCall(levels.pickChunk, (address(stage), ID, row, 0));
        calls[2] = abi.encodeCall(levels.revealRow, (address(stage), ID, g.node, row));
        calls[3] = abi.encodeCall(levels.revealChunk, (address(stage), ID, g.node, ""));
        calls[4] = abi.encodeCall(levels.pickElement, (address(stage), ID, "", 0));
        calls[5] = abi.encodeCall(levels.revealStates, (address(stage), ID, g.end, 1, row));
        calls[6] = abi.encodeCall(levels.pickState, (address(stage), ID, row, 0));
        calls[7] = abi.encodeCall(levels.step, (address(stage), ID, g.end, _stepProof(FOLD, "")));
        calls[8] = abi.encodeCall(levels.resolveSlot, (address(stage), ID, g.node, slot));
        for (uint256 i = 0; i < PHASES; i++) {
            due[i] = phases[i];
        }
        due[8] = AppealPhase.Slot;
    }

    /// Every phase takes its own move and no other: none twice, none out of turn, none from another level.
    function test_everyPhase_takesItsOwnMoveOnly() public {
        for (uint256 i = 0; i < PHASES; i++) {
            uint256 before = vm.snapshotState();
            _to(phases[i]);
            _onlyTheDueMove(phases[i]);
            vm.revertToState(before);
        }
        _open(_disputedSlot(0, 1, keccak256("copy")));
        _onlyTheDueMove(AppealPhase.Slot);
    }

    function _onlyTheDueMove(AppealPhase phase) private {
        (bytes[] memory calls, AppealPhase[] memory due) = _calls();
        for (uint256 k = 0; k < calls.length; k++) {
            bool ofThisPhase = due[k] == phase || (due[k] == AppealPhase.Step && phase == AppealPhase.States);
            if (ofThisPhase) continue;
            bytes memory why = abi.encodeWithSelector(AppealGames.WrongPhase.selector, ID, phase, due[k]);
            _refused(due[k] == AppealPhase.PickState ? challenger : provider, calls[k], why);
        }
    }

    function test_afterTheEnd_nothingIsAccepted() public {
        _to(AppealPhase.Step);
        _next();
        _closed();
    }

    function test_beforeTheStart_nothingIsAccepted() public {
        _disputed(SCAN, tensors[SCAN]);
        stage.put(ID, _disputed(SCAN, tensors[SCAN]));
        (bytes[] memory calls, AppealPhase[] memory due) = _calls();
        for (uint256 k = 0; k < calls.length; k++) {
            bytes memory why = abi.encodeWithSelector(AppealGames.WrongPhase.selector, ID, AppealPhase.None, due[k]);
            _refused(provider, calls[k], why);
        }
        _refused(anyone, abi.encodeCall(levels.claimTimeout, (address(stage), ID)), AppealGames.WrongPhase.selector);
        assertOutcome(AppealOutcome.Pending);
    }

    function _closed() private {
        bytes32 before = keccak256(abi.encode(_game()));
        (bytes[] memory calls, AppealPhase[] memory due) = _calls();
        for (uint256 k = 0; k < calls.length; k++) {
            bytes memory why = abi.encodeWithSelector(AppealGames.WrongPhase.selector, ID, AppealPhase.Ended, due[k]);
            _refused(provider, calls[k], why);
            _refused(challenger, calls[k], why);
        }
        vm.warp(block.timestamp + 10 days);
        _refused(anyone, abi.encodeCall(levels.claimTimeout, (address(stage), ID)), AppealGames.WrongPhase.selector);
        assertEq(keccak256(abi.encode(_game())), before, "something changed");
    }

    // ---- callers

    /// The defender's states and the accuser's picks are theirs; everything else anybody sent in the games above.
    function test_states_byAnybodyElse_revert() public {
        _to(AppealPhase.States);
        bytes memory call = abi.encodeCall(levels.revealStates, (address(stage), ID, _game().end, 2, new bytes32[](1)));
        address[3] memory others = [challenger, referee, anyone];
        for (uint256 i = 0; i < 3; i++) {
            _refused(others[i], call, abi.encodeWithSelector(AppealGames.NotDefender.selector, ID, others[i]));
        }
    }

    function test_picks_byAnybodyElse_revert() public {
        address[3] memory others = [provider, referee, anyone];
        for (uint256 i = 0; i < 3; i++) {
            bytes memory why = abi.encodeWithSelector(AppealGames.NotAccuser.selector, ID, others[i]);
            uint256 before = vm.snapshotState();
            _to(AppealPhase.PickChunk);
            _refused(others[i], abi.encodeCall(levels.pickChunk, (address(stage), ID, _chunkRow(_game()), 0)), why);
            while (_game().phase != AppealPhase.PickElement) {
                _next();
            }
            bytes memory chunk = _chunk(claim.data, _game().index);
            _refused(others[i], abi.encodeCall(levels.pickElement, (address(stage), ID, chunk, 0)), why);
            _next();
            _next();
            _refused(others[i], abi.encodeCall(levels.pickState, (address(stage), ID, shown, 0)), why);
            vm.revertToState(before);
        }
    }

    // ---- clocks

    function _side(AppealGame memory g) private pure returns (uint32) {
        return g.turn == Side.Provider ? g.defenderClock : g.accuserClock;
    }

    /// In every phase the last second is in time, the one after it is not, and only then a time-out may be claimed.
    function test_everyPhase_lastSecond() public {
        for (uint256 i = 0; i < PHASES; i++) {
            uint256 before = vm.snapshotState();
            _to(phases[i]);
            AppealGame memory g = _game();
            uint256 deadline = g.turnStartedAt + _side(g);
            bytes memory claimed = abi.encodeCall(levels.claimTimeout, (address(stage), ID));
            vm.warp(deadline);
            _refused(anyone, claimed, abi.encodeWithSelector(AppealGames.ClockRunning.selector, ID, g.turn, deadline));
            uint256 inTime = vm.snapshotState();
            _next();
            vm.revertToState(inTime);
            vm.warp(deadline + 1);
            (bytes[] memory calls,) = _calls();
            address mover = g.turn == Side.Provider ? provider : challenger;
            _refused(mover, calls[i], abi.encodeWithSelector(AppealGames.ClockRanOut.selector, ID, g.turn, deadline));
            vm.prank(anyone);
            levels.claimTimeout(address(stage), ID);
            assertOutcome(g.turn == Side.Provider ? AppealOutcome.Guilty : AppealOutcome.Cleared);
            _closed();
            vm.revertToState(before);
        }
    }

    function test_clock_chargesTheMoverOnly_andGainsUpToTheBudget() public {
        _open(_disputed(SCAN, _wrongScan(LONG, 9)));
        skip(1_000);
        _openTensor();
        AppealGame memory g = _game();
        assertEq(g.defenderClock, rules.clockBudget - 1_000 + rules.clockIncrement);
        assertEq(g.accuserClock, rules.clockBudget);
        assertEq(g.turnStartedAt, block.timestamp);
        skip(10);
        _next();
        g = _game();
        assertEq(g.accuserClock, rules.clockBudget, "never above the budget");
        assertEq(g.defenderClock, rules.clockBudget - 1_000 + rules.clockIncrement);
    }

    /// P-L11: both sides use every second of the longest game, twice, and the court still waits.
    function test_slowestGame_endsInTime() public {
        uint256 from = block.timestamp;
        _open(_ruling(_disputed(SCAN, _wrongScan(LONG, 9)), false));
        for (uint256 game = 0; game < 2; game++) {
            while (_game().phase != AppealPhase.Step) {
                AppealGame memory g = _game();
                vm.warp(g.turnStartedAt + _side(g));
                _next();
            }
            _timeout();
        }
        assertOutcome(AppealOutcome.Guilty);
        assertLe(block.timestamp - from, 4 * (uint256(rules.clockBudget) + 16 * rules.clockIncrement), "the bound");
        assertLe(block.timestamp - from, rules.ospSeconds, "the court's");
    }
}

/// @notice P-L10: a referee answers for its ruling, and not for how others play.
contract AppealReplayTest is AppealFixture {
    bytes[] private run;

    function setUp() public override {
        super.setUp();
        run = _run(LONG);
    }

    function _playOn(uint64 batches) private {
        _toElement(LONG);
        _toStep(LONG, batches, 1e9);
        _step(_scanStep(run, _game().firstBatch));
    }

    function _replaying(address defender, address accuser) private view {
        AppealGame memory g = _game();
        assertOutcome(AppealOutcome.Pending);
        assertTrue(g.replay);
        assertPhase(AppealPhase.Tensor);
        assertEq(g.defender, defender);
        assertEq(g.accuser, accuser);
        assertEq(g.node, stage.dispute(ID).claimedDigest, "from the claim on");
        assertEq(g.turnStartedAt, block.timestamp);
        assertEq(g.defenderClock, rules.clockBudget);
        assertEq(g.accuserClock, rules.clockBudget);
        assertEq(g.element + g.value + g.firstBatch + g.batches + g.index + g.height, 0, "nothing is left");
        assertEq(g.start | g.end | g.rowHash, 0);
    }

    /// The challenger is the provider's friend and lets it win; the honest referee accuses in its place, and keeps its stake.
    function test_replay_challengerThrowsTheGame() public {
        _open(_ruling(_disputed(SCAN, _wrongScan(LONG, 9)), true));
        _toElement(5); // a right one
        _step(_scanStep(_run(5), 0));
        _replaying(provider, referee);
        // the friend plays no more
        bytes32[] memory row = new bytes32[](16);
        _openTensor();
        _refused(challenger, abi.encodeCall(levels.pickChunk, (address(stage), ID, row, 0)), AppealGames.NotAccuser.selector);
        _playOn(83);
        assertOutcome(AppealOutcome.Guilty);
    }

    function test_replay_challengerLetsItsClockRunOut() public {
        _open(_ruling(_disputed(SCAN, _wrongScan(LONG, 9)), true));
        _openTensor();
        _timeout();
        _replaying(provider, referee);
        _playOn(83);
        assertOutcome(AppealOutcome.Guilty);
    }

    /// The provider is out to ruin a referee that cleared it: it loses on purpose, and the referee defends the claim itself.
    function test_replay_providerThrowsTheGame() public {
        for (uint256 i = 0; i < 2; i++) {
            uint256 before = vm.snapshotState();
            _open(_ruling(_disputed(SCAN, tensors[SCAN]), false));
            if (i == 0) {
                _timeout();
            } else {
                _toElement(LONG);
                _toStep(LONG, 83, 10); // lies about the states
                _step(_scanStep(run, _game().firstBatch));
            }
            _replaying(referee, challenger);
            _toElement(LONG);
            bytes32 end = _game().end;
            bytes memory call = abi.encodeCall(levels.revealStates, (address(stage), ID, end, 2, new bytes32[](1)));
            _refused(provider, call, abi.encodeWithSelector(AppealGames.NotDefender.selector, ID, provider));
            _toStep(LONG, 83, 1e9);
            _step(_scanStep(run, _game().firstBatch));
            assertOutcome(AppealOutcome.Cleared);
            vm.revertToState(before);
        }
    }

    /// A bribed referee finds an honest provider guilty: the provider wins twice.
    function test_replay_bribedReferee_honestProvider() public {
        _open(_ruling(_disputed(SCAN, tensors[SCAN]), true));
        for (uint256 game = 0; game < 2; game++) {
            _toElement(LONG);
            _toStep(LONG, 83, 1e9);
            _step(_scanStep(run, _game().firstBatch));
            if (game == 0) _replaying(provider, referee);
        }
        assertOutcome(AppealOutcome.Cleared);
    }

    /// A bribed referee clears a liar: the challenger wins twice.
    function test_replay_bribedReferee_honestChallenger() public {
        _open(_ruling(_disputed(SCAN, _wrongScan(LONG, 9)), false));
        _playOn(83);
        _replaying(referee, challenger);
        _playOn(83);
        assertOutcome(AppealOutcome.Guilty);
    }

    /// The second game is the last, whoever plays it badly.
    function test_replay_onlyOnce() public {
        _open(_ruling(_disputed(SCAN, tensors[SCAN]), false));
        _timeout();
        _replaying(referee, challenger);
        _timeout();
        assertOutcome(AppealOutcome.Guilty);
    }

    /// What agrees with the ruling needs no second game; nor is there anybody to play it where nobody ruled.
    function test_noReplay_whereTheRulingStands_orThereIsNone() public {
        uint256 before = vm.snapshotState();
        _open(_ruling(_disputed(SCAN, tensors[SCAN]), true));
        _timeout();
        assertOutcome(AppealOutcome.Guilty);
        vm.revertToState(before);
        _open(_ruling(_disputed(SCAN, tensors[SCAN]), false));
        _openTensor();
        _timeout();
        assertOutcome(AppealOutcome.Cleared);
        vm.revertToState(before);
        _open(_disputed(SCAN, tensors[SCAN]));
        _timeout();
        assertOutcome(AppealOutcome.Guilty);
    }

    /// P-R3: the referee that pointed to the operator accused already.
    function test_noReplay_whereTheRefereeAccused() public {
        _open(_ruling(_disputed(SCAN, tensors[SCAN]), true), referee);
        _openTensor();
        _timeout();
        assertOutcome(AppealOutcome.Cleared);
    }

    /// A slot says for itself what it copies; a defender that does not show it may still have thrown the game.
    function test_slot_replays_onlyATimeout() public {
        uint256 before = vm.snapshotState();
        _open(_ruling(_disputedSlot(0, 1, _digest(tensors[FOLD])), true));
        _resolve(_slotProof(0, 1));
        assertOutcome(AppealOutcome.Cleared);
        vm.revertToState(before);
        _open(_ruling(_disputedSlot(0, 1, _digest(tensors[FOLD])), false));
        _timeout();
        assertOutcome(AppealOutcome.Pending);
        assertPhase(AppealPhase.Slot);
        assertEq(_game().defender, referee);
        _resolve(_slotProof(0, 1));
        assertOutcome(AppealOutcome.Cleared);
    }

    /// P-L8: there is nothing to play, so nobody is contradicted.
    function test_void_isFinal() public {
        model.numericsVersion = 9;
        stage.set(model, rules);
        _open(_ruling(_disputed(SCAN, tensors[SCAN]), true));
        assertOutcome(AppealOutcome.Void);
    }
}
