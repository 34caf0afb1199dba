// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditFixture} from "../utils/AuditFixture.sol";
import {AuditTrace} from "../utils/AuditTrace.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {Audit, AuditState} from "../../src/interfaces/IAudits.sol";
import {IBeacon} from "../../src/interfaces/IBeacon.sol";
import {Params} from "../../src/interfaces/IParameters.sol";

/// @notice What audits make of a beacon's bad days: rounds that are spoiled, values that come late.
contract AuditBeaconTest is AuditFixture {
    AuditTrace.Run private honest = AuditTrace.Run(1, 0, 0);

    function _params() internal view override returns (Params memory p) {
        p = super._params();
        p.audit.probationTasks = 0;
    }

    /// @dev A result whose round says no audit.
    function _spared() private returns (uint256 taskId, uint64 round) {
        taskId = _served(alice, honest);
        round = auditor_.auditRound(taskId);
        for (uint256 i = 0;; i++) {
            uint256 before = vm.snapshotState();
            vm.prevrandao(bytes32(i));
            _publish(round);
            bytes32 draw = keccak256(abi.encode(beacon.valueOf(round), taskId, uint8(0)));
            if (uint256(draw) % 1_000_000 >= parameters.auditAt(1).ratePpm) return (taskId, round);
            vm.revertToState(before);
        }
    }

    function test_decide_notSelected_isNotDrawn() public {
        (uint256 taskId,) = _spared();
        auditor_.decide(taskId);
        assertAudit(taskId, AuditState.NotDrawn);
    }

    /// Who withholds a secret because the value would have an audit drawn has the audit for certain.
    function test_decide_spoiledRound_isAuditedForCertain() public {
        (uint256 taskId, uint64 round) = _spared();
        vm.mockCall(address(beacon), abi.encodeCall(IBeacon.spoiled, (round)), abi.encode(true));
        auditor_.decide(taskId);
        assertAudit(taskId, AuditState.Drawn);
        assertTrue(market.task(taskId).auditPending);
    }

    /// A seed that comes after the auditor's deadline leaves it the whole time to open, and then no more.
    function test_lateSeed_auditorHasItsWholeTime() public {
        uint256 taskId = _served(alice, honest);
        uint64 round = auditor_.auditRound(taskId);
        vm.mockCall(address(beacon), abi.encodeCall(IBeacon.spoiled, (round)), abi.encode(true));
        _decide(taskId);
        _commitAudit(taskId, honest);
        Audit memory a = _audit(taskId);
        uint64 seedRound = beacon.roundAfter(a.committedAt);
        vm.warp(a.deadline + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(Audits.RoundNotOut.selector, seedRound));
        auditor_.auditTimeout(taskId);
        _publish(seedRound);
        uint64 deadline = beacon.publishedAt(seedRound) + parameters.auditAt(1).openSeconds;
        assertEq(_audit(taskId).deadline, deadline);
        vm.expectRevert(abi.encodeWithSelector(Audits.DeadlineNotPassed.selector, taskId, deadline));
        auditor_.auditTimeout(taskId);
        vm.warp(deadline);
        uint256 before = vm.snapshotState();
        _submit(taskId, honest, _opening(taskId, honest));
        assertAudit(taskId, AuditState.Matched);
        vm.revertToState(before);
        vm.warp(deadline + 1);
        auditor_.auditTimeout(taskId);
        assertTrue(_audit(taskId).auditor != a.auditor, "another is drawn");
    }
}
