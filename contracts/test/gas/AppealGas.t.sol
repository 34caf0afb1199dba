// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealSystemFixture} from "../utils/AppealSystemFixture.sol";
import {AppealGame, AppealOutcome, AppealPhase} from "../../src/interfaces/IAppealLevels.sol";
import {DisputeState} from "../../src/interfaces/Types.sol";

/// @notice Gas of every move of an appeal, whole transactions (run with `--isolate`), each under its budget.
contract AppealGasTest is AppealSystemFixture {
    bytes[] private run;
    uint256 private total;

    function setUp() public override {
        super.setUp();
        run = _run(LONG);
    }

    /// @dev The last call, on record and under its budget.
    function _spent(string memory name, uint256 budget) private {
        uint256 gas = vm.snapshotGasLastCall("appeal", name);
        assertLe(gas, budget, name);
        total += gas;
    }

    function _toRow() private {
        _openTensor();
        _spent("open_tensor_row", 170_000);
        _pickChunk(uint8(_childTowards(_game(), LONG / 128)));
        _spent("pick_chunk", 65_000);
    }

    function _toElement() private {
        AppealGame memory g = _game();
        levels.revealRow(at, ID, g.node, _chunkRow(g));
        _spent("reveal_row_short", 45_000);
        _pickChunk(uint8(_childTowards(_game(), LONG / 128)));
        _spent("pick_chunk_last", 55_000);
        g = _game();
        levels.revealChunk(at, ID, g.node, _chunk(claim.data, g.index));
        _spent("reveal_chunk", 65_000);
        _pickElement(LONG % 128);
        _spent("pick_element", 65_000);
    }

    function _toStep() private {
        bytes32[] memory states = _revealStates(run, 83, 40);
        _spent("reveal_states_first", 95_000);
        _pickState(run, states);
        _spent("pick_state", 90_000);
        states = _revealStates(run, _game().batches, 40);
        _spent("reveal_states_short", 50_000);
        _pickState(run, states);
        _spent("pick_state_last", 60_000);
        assertPhase(AppealPhase.Step);
    }

    /// 18 chunks, 83 batches; every level is met once or twice.
    function test_gas_wholeAppeal() public {
        _isolatedAt("alice", watcher, SCAN, _wrongScan(LONG, 9));
        _rules(true);
        _appeals(alice);
        _spent("appeal", 235_000);
        _toRow();
        _toElement();
        _toStep();
        _step(_scanStep(run, _game().firstBatch));
        _spent("step_integers", 300_000);
        theCourt.finalize(ID);
        _spent("finalize_guilty", 650_000);
        assertDispute(ID, DisputeState.Upheld);
        vm.snapshotValue("appeal", "whole", total);
    }

    function test_gas_shortRun_laterSegment() public {
        _isolatedAt("alice", watcher, SUM, _altered(SUM, 1, 5));
        _rules(true);
        _appeals(alice);
        _openTensor();
        _spent("open_tensor_chunk", 150_000);
        _pickElement(1);
        bytes32 end = _game().end;
        vm.prank(alice);
        levels.revealStates(at, ID, end, 1, new bytes32[](0));
        _spent("reveal_states_one_batch", 50_000);
        _step(_withChunks(_stepProof(SUM, _initial(1)), 0, 1));
        _spent("step_two_operands", 225_000);
    }

    function test_gas_replay_andOverturned() public {
        _isolatedAt("alice", watcher, SCAN, tensors[SCAN]);
        _rules(true);
        _appeals(alice);
        _openTensor();
        _timeout();
        _spent("timeout_replay", 65_000);
        _openTensor();
        _timeout();
        _spent("timeout_end", 35_000);
        assertEq(uint256(levels.outcome(at, ID)), uint256(AppealOutcome.Cleared));
        theCourt.finalize(ID);
        _spent("finalize_overturned", 440_000);
    }

    function test_gas_earlierOverturned() public {
        _isolatedAt("alice", watcher, FOLD, _altered(FOLD, 2, 77));
        _pointsEarlier();
        _appeals(alice);
        claim = tensors[SCAN];
        _openTensor();
        _timeout();
        theCourt.finalize(ID);
        _spent("finalize_earlier_overturned", 400_000);
        _rules(true);
        _appeals(alice);
        _spent("appeal_again", 180_000);
    }
}
