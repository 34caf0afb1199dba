// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketParams} from "../interfaces/IParameters.sol";
import {TaskState} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {Pots} from "../lib/Pots.sol";
import {MarketStorage} from "./MarketStorage.sol";
import {RetryLanes} from "./RetryLanes.sol";

/// @notice What happens to a task when judgement falls: the calls of the court and the audits, the reversal of a
/// tombstoned provider's results, and the way back to the auction.
abstract contract MarketVerdicts is RetryLanes {
    error NotCourt(address caller);
    error NotAudits(address caller);
    error StaleAttempt(uint256 taskId, uint8 found, uint8 wanted);
    error NotUnderJudgement(uint256 taskId, TaskState state);
    error AuditAlreadyDecided(uint256 taskId);
    error AuditNotPending(uint256 taskId);
    error ProviderNotTombstoned(uint256 taskId, address provider);

    modifier onlyCourt() {
        // INVARIANT P-V1: Only the court judges.
        if (msg.sender != court) revert NotCourt(msg.sender);
        _;
    }

    modifier onlyAudits() {
        // INVARIANT P-A1: Only the audits contract says whether a result is audited.
        if (msg.sender != audits) revert NotAudits(msg.sender);
        _;
    }

    constructor(System memory system) MarketStorage(system) {}

    // ---- court

    function challengeCommitted(uint256 taskId, uint8 attempt) external onlyCourt {
        _result(taskId, attempt).flags |= FLAG_CHALLENGED;
    }

    function disputeOpened(uint256 taskId, uint8 attempt) external onlyCourt {
        Record storage r = _result(taskId, attempt);
        r.openChallenges += 1;
        r.state = TaskState.Disputed;
    }

    function disputeClosed(uint256 taskId, uint8 attempt) external onlyCourt {
        _endDispute(taskId, _disputed(taskId, attempt));
    }

    function disputeVoided(uint256 taskId, uint8 attempt) external onlyCourt {
        Record storage r = _disputed(taskId, attempt);
        r.flags |= FLAG_VOIDED;
        _endDispute(taskId, r);
    }

    function convict(uint256 taskId, uint8 attempt, uint128 topUp) external onlyCourt {
        Record storage r = _disputed(taskId, attempt);
        // INVARIANT P-T2: A ceiling at most doubles. Collateral grows with it, and a large slash must not make the task
        // too dear to claim; what is beyond is burned.
        uint128 raise = topUp < r.maxPrice ? topUp : r.maxPrice;
        if (topUp > raise) _vault.movePot(Pots.task(taskId), Pots.BURN, topUp - raise, "excess");
        _requeue(taskId, r, "guilty", raise);
    }

    // ---- audits

    function auditDecided(uint256 taskId, uint8 attempt, bool selected) external onlyAudits {
        Record storage r = _result(taskId, attempt);
        // INVARIANT P-A1: One decision per attempt.
        if (r.flags & (FLAG_AUDIT_PENDING | FLAG_AUDIT_CLOSED) != 0) revert AuditAlreadyDecided(taskId);
        r.flags |= selected ? FLAG_AUDIT_PENDING : FLAG_AUDIT_CLOSED;
    }

    function auditClosed(uint256 taskId, uint8 attempt) external onlyAudits {
        Record storage r = _result(taskId, attempt);
        // INVARIANT P-A1: Only an audit that was drawn can close.
        if (r.flags & FLAG_AUDIT_PENDING == 0) revert AuditNotPending(taskId);
        r.flags = (r.flags & ~FLAG_AUDIT_PENDING) | FLAG_AUDIT_CLOSED;
    }

    // ---- anyone

    function reverse(uint256 taskId) external {
        Record storage r = _known(taskId);
        TaskState s = r.state;
        if (s != TaskState.Claimed && s != TaskState.Committed && s != TaskState.Disputed) {
            revert NotUnderJudgement(taskId, s);
        }
        address provider = _providerOf(r);
        // INVARIANT P-T9: Only a tombstone reverses a result without a verdict of its own.
        if (!_vault.isTombstoned(provider)) revert ProviderNotTombstoned(taskId, provider);
        emit ResultReversed(taskId, provider);
        // INVARIANT P-T9: A tombstone for another fault is no way out with the collateral of this one: who sees an audit or a challenge
        // come would have itself convicted of its cheapest task first.
        if (s != TaskState.Claimed) _vault.slashTask(provider, taskId, true, 0, Pots.BURN);
        _requeue(taskId, r, "reversed", 0);
    }

    // ---- shared

    function _endDispute(uint256 taskId, Record storage r) private {
        uint24 left = r.openChallenges - 1;
        r.openChallenges = left;
        // INVARIANT P-C3: Clearing or voiding one dispute closes only that one; no friend of a cheat ends the others.
        if (left != 0) return;
        // INVARIANT P-C3: A result about which a dispute came to nothing does not stand because others were cleared.
        if (r.flags & FLAG_VOIDED != 0) _requeue(taskId, r, "void", 0);
        else r.state = TaskState.Committed;
    }

    /// @dev P-T2, P-T5: back to the auction, at the last clearing price, in front of new tasks, without whoever had it.
    function _requeue(uint256 taskId, Record storage r, bytes32 reason, uint128 topUp) internal {
        address provider = _providerOf(r);
        uint128 price = _clearingPrice(r);
        uint8 attempt = r.attempt;
        r.minPrice = uint96(price); // between the old bounds
        // At most doubled 31 times from a price that fits the parameters' bound; a pot cannot hold more than the supply.
        uint256 raised = uint256(r.maxPrice) + topUp;
        r.maxPrice = raised > type(uint96).max ? type(uint96).max : uint96(raised);
        r.openedAt = uint40(block.timestamp);
        r.committedAt = 0;
        r.steps = 0;
        r.flags &= FLAG_FAMILY;
        r.openChallenges = 0;
        r.state = TaskState.Open;
        _excluded[taskId][_vault.provider(provider).owner] = true;
        _vault.unlockTask(provider, taskId);
        // A task that so many failed goes home instead.
        if (attempt == ATTEMPT_MAX) return _expire(taskId, r);
        r.attempt = attempt + 1;
        _enqueue(_laneOf(r), attempt + 1, taskId);
        emit TaskRequeued(taskId, attempt + 1, price, r.maxPrice, reason);
    }

    function _expire(uint256 taskId, Record storage r) internal {
        r.state = TaskState.Expired;
        bool hadNoBid = r.attempt == 0;
        _leaveLane(r);
        emit TaskExpired(taskId, _refund(taskId, r.requester), hadNoBid);
    }

    /// @dev The whole pot, levy and top-ups included, to the requester's credit.
    function _refund(uint256 taskId, address requester) internal returns (uint128 amount) {
        bytes32 id = Pots.task(taskId);
        amount = _vault.pot(id);
        _vault.payFromPot(id, requester, amount, "refund");
    }

    function _expiresAt(Record storage r) internal view returns (uint64) {
        MarketParams memory m = _parameters.marketAt(r.rules);
        return uint64(r.openedAt) + (r.attempt == 0 ? m.openLifetime : m.retryLifetime);
    }

    function _result(uint256 taskId, uint8 attempt) private view returns (Record storage r) {
        r = _known(taskId);
        // INVARIANT P-D6: A verdict reaches the attempt it is about, or nothing.
        if (r.attempt != attempt) revert StaleAttempt(taskId, r.attempt, attempt);
        if (r.state != TaskState.Committed && r.state != TaskState.Disputed) revert NotUnderJudgement(taskId, r.state);
    }

    function _disputed(uint256 taskId, uint8 attempt) private view returns (Record storage r) {
        r = _result(taskId, attempt);
        if (r.state != TaskState.Disputed) revert WrongState(taskId, r.state, TaskState.Disputed);
    }
}
