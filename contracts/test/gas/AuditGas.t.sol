// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {Run} from "../utils/GameTrace.sol";
import {AuditState} from "../../src/interfaces/IAudits.sol";

/// @notice Gas of every action of an audit, whole transactions (run with `--isolate`), each under its budget.
contract AuditGasTest is CourtFixture {
    function _spent(string memory name, uint256 budget) private {
        assertLe(vm.snapshotGasLastCall("audits", name), budget, name);
    }

    /// @dev As far as the decision; the provider is on probation, so somebody is drawn.
    function _decided(Run memory run) private returns (uint256 taskId) {
        taskId = _committedRun(alice, run);
        _publish(theAudits.auditRound(taskId));
        theAudits.decide(taskId);
        _spent("decide_drawn", 400_000);
    }

    function _committedAudit(Run memory theirs, Run memory own) private returns (uint256 taskId) {
        taskId = _decided(theirs);
        _commitAudit(taskId, own);
        _spent("commit", 145_000);
    }

    function test_gas_audit_matched() public {
        uint256 taskId = _committedAudit(_right(2), _right(2));
        _openAudit(taskId, _right(2));
        _spent("open_matched", 220_000);
        assertTrue(_auditOf(taskId).state == AuditState.Matched, "matched");
    }

    function test_gas_audit_mismatched() public {
        uint256 taskId = _committedAudit(_wrong(), _right(2));
        _openAudit(taskId, _right(2));
        _spent("open_mismatched", 465_000);
        assertTrue(_auditOf(taskId).state == AuditState.Mismatched, "mismatched");
    }

    function test_gas_audit_timeout() public {
        uint256 taskId = _decided(_right(2));
        vm.warp(_auditOf(taskId).deadline + 1);
        theAudits.auditTimeout(taskId);
        _spent("timeout_redraw", 450_000);
    }

    /// The common case: a provider beyond its probation, and the beacon says no.
    function test_gas_audit_notDrawn() public {
        for (uint256 i = 0; i < 3; i++) {
            uint256 served = _committedRun(alice, _right(1));
            _decideNoAudit(served);
            _settle(served);
        }
        uint256 taskId = _committedRun(alice, _right(2));
        uint64 round = theAudits.auditRound(taskId);
        for (uint256 i = 0;; i++) {
            uint256 before = vm.snapshotState();
            vm.prevrandao(keccak256(abi.encode(i)));
            _publish(round);
            if (uint256(keccak256(abi.encode(beacon.valueOf(round), taskId, uint8(0)))) % 1_000_000 >= 500_000) break; // its first
            vm.revertToState(before);
        }
        theAudits.decide(taskId);
        _spent("decide_not_drawn", 130_000);
        assertTrue(_auditOf(taskId).state == AuditState.NotDrawn, "not drawn");
    }
}
