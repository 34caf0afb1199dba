// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {Dispute, DisputeState, TaskState} from "../../src/interfaces/Types.sol";

/// @notice Whole disputes from the challenge to the money.
contract CourtGameTest is CourtFixture {
    function test_wrongResult_isIsolated_andConvicted() public {
        Run memory wrong = _wrong();
        uint256 taskId = _committedRun(alice, wrong);
        uint256 id = _challenge(taskId, watcher, _right(2));
        assertState(taskId, TaskState.Disputed);
        assertEq(_frozen(alice), 1);
        _play(id, wrong, _right(2));
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.leafIndex, 4);
        assertEq(d.isolatedIndex, 20);
        assertEq(d.claimedDigest, GameTrace.op(wrong, 4, 20));
        _drawReferee(id);
        _rule(id, wrong);
        assertTrue(theCourt.dispute(id).ruledGuilty);
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
        assertState(taskId, TaskState.Open);
        assertTrue(vault.isTombstoned(alice));
        assertEq(_frozen(alice), 0);
        assertPotsEmpty(id);
    }

    function test_rightResult_falseChallenge_isCleared() public {
        uint256 taskId = _committedRun(alice, _right(2));
        uint256 id = _challenge(taskId, watcher, _wrong());
        _judge(id, _right(2), _wrong());
        assertDispute(id, DisputeState.Cleared);
        assertState(taskId, TaskState.Committed);
        assertFalse(vault.isTombstoned(alice));
        assertEq(_frozen(alice), 0);
        assertPotsEmpty(id);
        _decideNoAudit(taskId);
        _settle(taskId);
    }
}
