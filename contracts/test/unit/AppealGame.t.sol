// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealFixture} from "../utils/AppealFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealGames} from "../../src/appeal/AppealGames.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {AppealProofs} from "../../src/appeal/AppealProofs.sol";
import {AppealGame, AppealOutcome, AppealPhase, NodeFacts, StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute, Side} from "../../src/interfaces/Types.sol";

/// @notice Whole games, honest and not, to the executed batch.
contract AppealGameTest is AppealFixture {
    // ---- from the digest to the step

    function test_game_wrongElement_isGuilty() public {
        _open(_disputed(SCAN, _wrongScan(LONG, 1)));
        _toElement(LONG);
        AppealGame memory g = _game();
        assertEq(g.element, LONG);
        assertEq(g.value, 1);
        assertEq(g.start, keccak256(_initial(LONG)), "the machine at its start");
        assertEq(g.end, keccak256(abi.encodePacked(uint64(1))), "the claimed value, halted");
        bytes[] memory run = _toStep(LONG, 83, type(uint256).max);
        g = _game();
        assertEq(g.firstBatch, 82, "the last one: everything before is true");
        assertEq(g.batches, 1);
        _step(_scanStep(run, 82));
        assertOutcome(AppealOutcome.Guilty);
    }

    function test_game_rightTensor_isCleared_whateverIsPicked() public {
        uint64[4] memory elements = [uint64(0), 127, 128, N - 1];
        for (uint256 i = 0; i < 4; i++) {
            uint256 before = vm.snapshotState();
            _open(_disputed(SCAN, tensors[SCAN]));
            _toElement(elements[i]);
            bytes[] memory run = _run(elements[i]);
            uint64 batches = uint64(run.length - 1);
            while (_game().phase != AppealPhase.Step) {
                bytes32[] memory states = _revealStates(run, _game().batches == 0 ? batches : _game().batches, 1e9);
                if (batches == 1) break;
                vm.prank(challenger);
                levels.pickState(address(stage), ID, states, uint8(7 * i % (states.length + 1)));
            }
            _step(_scanStep(run, _game().firstBatch));
            assertOutcome(AppealOutcome.Cleared);
            vm.revertToState(before);
        }
    }

    /// Whatever the defender makes of the states, one of its batches is wrong.
    function test_game_lyingStates_areGuilty() public {
        uint256[3] memory lies = [uint256(1), 40, 82];
        for (uint256 i = 0; i < 3; i++) {
            uint256 before = vm.snapshotState();
            _open(_disputed(SCAN, _wrongScan(LONG, 9)));
            _toElement(LONG);
            bytes[] memory run = _toStep(LONG, 83, lies[i]);
            assertLe(_game().firstBatch, lies[i], "the first lie, or where its part was cut");
            _step(_scanStep(run, _game().firstBatch));
            assertOutcome(AppealOutcome.Guilty);
            vm.revertToState(before);
        }
    }

    /// P-L6: too few batches end in a halted state that is none; too many in one that does not stay.
    function test_game_wrongNumberOfBatches_isGuilty() public {
        uint64[3] memory counts = [uint64(20), 100, 1 << 35];
        for (uint256 i = 0; i < 3; i++) {
            uint256 before = vm.snapshotState();
            _open(_disputed(SCAN, _wrongScan(LONG, 9)));
            _toElement(LONG);
            bytes[] memory run = _toStep(LONG, counts[i], 1e12);
            _step(_scanStep(run, _game().firstBatch));
            assertOutcome(AppealOutcome.Guilty);
            vm.revertToState(before);
        }
    }

    /// P-L5: halted stays halted, and who says so has not lied.
    function test_game_haltedStaysHalted() public {
        _open(_disputed(SCAN, tensors[SCAN]));
        _toElement(3);
        bytes[] memory run = _run(3);
        assertEq(run.length, 2, "one batch");
        bytes32[] memory states = _revealStates(run, 2, 1e9);
        vm.prank(challenger);
        levels.pickState(address(stage), ID, states, 1);
        assertPhase(AppealPhase.Step);
        _step(_stepProof(SCAN, run[1]));
        assertOutcome(AppealOutcome.Cleared);
    }

    /// P-L6: the longest run ends within seven rounds.
    function test_game_longestRun_sevenRounds() public {
        _open(_disputed(SCAN, _wrongScan(LONG, 9)));
        _toElement(LONG);
        bytes[] memory run = _run(LONG);
        uint256 rounds;
        while (_game().phase == AppealPhase.States) {
            bytes32[] memory states = _revealStates(run, _game().batches == 0 ? 1 << 35 : _game().batches, 1e12);
            _pickState(run, states);
            rounds++;
        }
        assertEq(rounds, 7);
        assertPhase(AppealPhase.Step);
    }

    function test_game_shortRun_stepsAtOnce() public {
        _open(_disputed(FOLD, _altered(FOLD, 2, 77)));
        assertPhase(AppealPhase.Tensor);
        _toElement(2);
        StepProof memory p = _withChunks(_stepProof(FOLD, _initial(2)), 10, 11);
        _step(p);
        assertOutcome(AppealOutcome.Guilty);
    }

    /// Anybody may send what hashes authenticate, for a provider that is right too.
    function test_game_shortRun_right_isCleared_withOrWithoutStates() public {
        for (uint256 i = 0; i < 2; i++) {
            uint256 before = vm.snapshotState();
            _open(_disputed(FOLD, tensors[FOLD]));
            _toElement(1);
            if (i == 1) {
                bytes32 end = _game().end;
                vm.prank(provider);
                levels.revealStates(address(stage), ID, end, 1, new bytes32[](0));
                assertPhase(AppealPhase.Step);
                assertEq(uint256(_game().turn), uint256(Side.Provider), "still the defender's");
            }
            _step(_withChunks(_stepProof(FOLD, _initial(1)), 5, 6));
            assertOutcome(AppealOutcome.Cleared);
            vm.revertToState(before);
        }
    }

    /// Operands from the live root before, a graph input that is still live, and elements of four bytes.
    function test_game_laterSegment() public {
        for (uint64 i = 0; i < 3; i++) {
            uint256 before = vm.snapshotState();
            _open(_disputed(SUM, i == 1 ? _altered(SUM, 1, 5) : tensors[SUM]));
            _toElement(i);
            StepProof memory p = _stepProof(SUM, _initial(i));
            _step(_withChunks(p, 0, 1));
            assertOutcome(i == 1 ? AppealOutcome.Guilty : AppealOutcome.Cleared);
            vm.revertToState(before);
        }
    }

    // ---- P-L2

    function test_empty_isJudgedAtOnce() public {
        for (uint256 i = 0; i < 2; i++) {
            uint256 before = vm.snapshotState();
            Dispute memory d = _disputed(NONE, tensors[NONE]);
            bytes32 root = i == 0 ? bytes32(0) : keccak256("bytes where there are none");
            d.claimedDigest = _digestOf(I64, _dims(0), root);
            _open(d);
            levels.openTensor(address(stage), ID, d.claimedDigest, _node(NONE), _nodeProof(NONE), root, new bytes32[](0), "");
            assertOutcome(i == 0 ? AppealOutcome.Cleared : AppealOutcome.Guilty);
            vm.revertToState(before);
        }
    }

    /// A digest that is of no tensor of the model's shape opens in no way, and time convicts.
    function test_tensor_ofAnotherShape_neverOpens_timeConvicts() public {
        Dispute memory d = _disputed(FOLD, tensors[FOLD]);
        uint64[] memory dims = _dims(4);
        bytes32 root = _chunkRoot(tensors[FOLD].data);
        d.claimedDigest = _digestOf(I64, dims, root);
        _open(d);
        NodeFacts memory n = _node(FOLD);
        bytes memory data = tensors[FOLD].data;
        bytes32[] memory proof = _nodeProof(FOLD);
        bytes32[] memory none = new bytes32[](0);
        // with the model's own header the digest is another; with the claimed header the node is
        _refused(
            anyone,
            abi.encodeCall(levels.openTensor, (address(stage), ID, d.claimedDigest, n, proof, root, none, data)),
            AppealLevels.OtherTensor.selector
        );
        n.dims = dims;
        _refused(
            anyone,
            abi.encodeCall(levels.openTensor, (address(stage), ID, d.claimedDigest, n, proof, root, none, data)),
            AppealProofs.NodeNotInModel.selector
        );
        _timeout();
        assertOutcome(AppealOutcome.Guilty);
    }

    // ---- P-L3

    function test_padding_isZero_orGuilty() public {
        _open(_disputed(SCAN, tensors[SCAN]));
        _openTensor();
        _pickChunk(15); // chunks 30 and 31 of 18
        AppealGame memory g = _game();
        assertPhase(AppealPhase.Row);
        levels.revealRow(address(stage), ID, g.node, _chunkRow(g));
        _pickChunk(1);
        assertOutcome(AppealOutcome.Cleared);
    }

    function test_padding_notZero_isGuilty() public {
        Dispute memory d = _disputed(SCAN, tensors[SCAN]);
        bytes32[] memory leaves = _chunkLeaves(tensors[SCAN].data);
        bytes32[] memory longer = new bytes32[](19);
        for (uint256 i = 0; i < 18; i++) {
            longer[i] = leaves[i];
        }
        longer[18] = keccak256("more than there is");
        bytes32 root = TraceTree.root(longer, 5);
        d.claimedDigest = _digestOf(I64, _dims(1, N), root);
        _open(d);
        bytes32[] memory row = TraceTree.level(longer, 5, 1);
        levels.openTensor(address(stage), ID, d.claimedDigest, _node(SCAN), _nodeProof(SCAN), root, row, "");
        vm.prank(challenger);
        levels.pickChunk(address(stage), ID, row, 9);
        bytes32[] memory pair = new bytes32[](2);
        pair[0] = longer[18];
        levels.revealRow(address(stage), ID, _game().node, pair);
        vm.prank(challenger);
        levels.pickChunk(address(stage), ID, pair, 0);
        assertOutcome(AppealOutcome.Guilty);
    }

    // ---- P-L8

    function test_unknownNumerics_isVoid() public {
        model.numericsVersion = 2;
        stage.set(model, rules);
        _open(_disputed(SCAN, tensors[SCAN]));
        assertOutcome(AppealOutcome.Void);
        assertEq(levels.tableRoot(1), table);
        assertEq(levels.tableRoot(2), 0);
    }

    function test_tables_inPairs() public {
        vm.expectRevert(abi.encodeWithSelector(AppealGames.TablesMismatch.selector, 1, 0));
        new AppealLevels(machine, new uint32[](1), new bytes32[](0));
    }

    // ---- opening

    function test_open_startsFresh_andOnlyOnce() public {
        Dispute memory d = _disputed(SCAN, tensors[SCAN]);
        _open(d);
        AppealGame memory g = _game();
        assertPhase(AppealPhase.Tensor);
        assertEq(uint256(g.turn), uint256(Side.Provider));
        assertEq(g.defender, provider);
        assertEq(g.accuser, challenger);
        assertEq(g.node, d.claimedDigest);
        assertEq(g.defenderClock, rules.clockBudget);
        assertEq(g.accuserClock, rules.clockBudget);
        assertEq(g.turnStartedAt, block.timestamp);
        assertFalse(g.replay);
        vm.expectRevert(abi.encodeWithSelector(AppealGames.GameRunning.selector, ID, AppealPhase.Tensor));
        stage.handOver(levels, ID, challenger);
        // another court's dispute of the same number is another game
        vm.prank(anyone);
        (bool done,) = address(levels).call(abi.encodeCall(levels.open, (ID, anyone)));
        assertFalse(done, "an account is no court");
        assertEq(uint256(levels.outcome(anyone, ID)), uint256(AppealOutcome.Pending));
    }

    /// P-R3: the referee of an earlier divergence was the accuser; overturned, the challenger's own place comes here later.
    function test_open_again_afterTheEnd() public {
        Dispute memory d = _ruling(_disputed(FOLD, tensors[FOLD]), true);
        _open(d, referee);
        assertEq(_game().accuser, referee);
        _toElement(1);
        _step(_withChunks(_stepProof(FOLD, _initial(1)), 5, 6));
        assertOutcome(AppealOutcome.Cleared);
        (d.ruledAt, d.ruledGuilty, d.referee) = (0, false, address(0));
        d.claimedDigest = keccak256("another place");
        _open(d);
        AppealGame memory g = _game();
        assertOutcome(AppealOutcome.Pending);
        assertEq(g.accuser, challenger);
        assertEq(g.node, keccak256("another place"));
        assertEq(g.element + g.value + g.firstBatch + g.batches + g.index + g.height, 0, "nothing is left");
        assertEq(g.start | g.end | g.rowHash, 0);
    }

    // ---- P-L9

    function test_slot_ofAnInput_anOperator_andOneBefore() public {
        uint256[4] memory segments = [uint256(0), 0, 1, 1];
        uint256[4] memory holds = [X, FOLD, NONE, FOLD];
        for (uint256 i = 0; i < 4; i++) {
            uint32 slot = uint32(i % 2);
            uint256 before = vm.snapshotState();
            _open(_disputedSlot(segments[i], slot, _digest(tensors[holds[i]])));
            assertPhase(AppealPhase.Slot);
            _resolve(_slotProof(segments[i], slot));
            assertOutcome(AppealOutcome.Cleared);
            vm.revertToState(before);
            _open(_disputedSlot(segments[i], slot, keccak256("another")));
            _resolve(_slotProof(segments[i], slot));
            assertOutcome(AppealOutcome.Guilty);
            vm.revertToState(before);
        }
    }
}
