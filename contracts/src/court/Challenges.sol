// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICourt} from "../interfaces/ICourt.sol";
import {CourtParams, MarketParams} from "../interfaces/IParameters.sol";
import {DisputeState, ModelHeader, Side, Task, TaskState} from "../interfaces/Types.sol";
import {Pots} from "../lib/Pots.sol";
import {CourtStorage} from "./CourtStorage.sol";

/// @notice Challenges by commitment and reveal, their bonds, and the opening of disputes.
abstract contract Challenges is CourtStorage {
    error NothingToChallenge(uint256 taskId, TaskState state);
    error OwnTask(uint256 taskId, address caller);
    error AlreadyCommitted(uint256 taskId, uint8 attempt, address challenger);
    error OtherAttempt(uint256 taskId, uint8 attempt);
    error CommitWindowClosed(uint256 taskId, uint256 closedAt);
    error RevealWindowNotOpen(uint256 taskId, uint256 opensAt);
    error RevealWindowClosed(uint256 taskId, uint256 closedAt);
    error NoSuchCommitment(uint256 taskId, uint8 attempt, address challenger);
    error AlreadyRevealed(uint256 taskId, uint8 attempt, address challenger);
    error CommitmentMismatch(bytes32 found, bytes32 wanted);
    error SameTrace(bytes32 traceRoot);
    error StillRevealable(uint256 taskId, uint256 until);
    error NotAudits(address caller);

    function commitChallenge(uint256 taskId, uint8 attempt, bytes32 commitment) external {
        (uint8 current, address provider, uint64 committedAt) = _result(taskId);
        // INVARIANT P-C1: It opens for its own attempt only; one that a reorg took out and that comes back later costs no bond.
        if (attempt != current) revert OtherAttempt(taskId, current);
        uint16 rules = _market.rulesOf(taskId);
        uint256 closedAt = uint256(committedAt) + _parameters.marketAt(rules).challengeWindow;
        // INVARIANT P-C1: Challenges are committed inside the challenge window.
        if (block.timestamp >= closedAt) revert CommitWindowClosed(taskId, closedAt);
        // INVARIANT P-C4: A provider, under any of its names, does not challenge itself.
        if (_vault.isSide(provider, msg.sender)) revert OwnTask(taskId, msg.sender);
        Challenge storage c = _challenges[taskId][attempt][msg.sender];
        // INVARIANT P-C1: One commitment per challenger and attempt; a second one would hide what the first one said.
        if (c.bond != 0) revert AlreadyCommitted(taskId, attempt, msg.sender);
        uint128 bond = _bond(rules);
        c.commitment = commitment;
        c.bond = bond;
        c.committedAt = uint40(block.timestamp);
        emit ICourt.ChallengeCommitted(taskId, msg.sender, commitment, bond);
        _market.challengeCommitted(taskId, attempt);
        // INVARIANT P-C1: The bond is there before the challenge counts.
        _vault.fundPot(Pots.challenge(taskId, attempt, msg.sender), msg.sender, bond);
    }

    function revealChallenge(uint256 taskId, bytes32 ownTraceRoot, bytes32 salt) external returns (uint256 disputeId) {
        (uint8 attempt,, uint64 committedAt) = _result(taskId);
        MarketParams memory m = _parameters.marketAt(_market.rulesOf(taskId));
        uint256 opensAt = uint256(committedAt) + m.retractWindow;
        // INVARIANT P-C1: A reveal before the retract deadline would invite a retract.
        if (block.timestamp < opensAt) revert RevealWindowNotOpen(taskId, opensAt);
        uint256 closedAt = uint256(committedAt) + m.challengeWindow + m.revealWindow;
        // INVARIANT P-C1: Settlement does not wait longer than this for a reveal.
        if (block.timestamp >= closedAt) revert RevealWindowClosed(taskId, closedAt);
        Challenge storage c = _challenges[taskId][attempt][msg.sender];
        if (c.bond == 0) revert NoSuchCommitment(taskId, attempt, msg.sender);
        // INVARIANT P-C3: A challenge opens one dispute.
        if (c.revealed) revert AlreadyRevealed(taskId, attempt, msg.sender);
        bytes32 found = keccak256(abi.encode(block.chainid, address(this), msg.sender, taskId, attempt, ownTraceRoot, salt));
        // INVARIANT P-C1: The commitment binds chain, court, challenger, task and attempt: a copy opens for nobody else.
        if (found != c.commitment) revert CommitmentMismatch(found, c.commitment);
        c.revealed = true;
        disputeId = _open(taskId, msg.sender, ownTraceRoot, c.bond, 0);
        _vault.movePot(Pots.challenge(taskId, attempt, msg.sender), Pots.dispute(disputeId), c.bond, "bond");
    }

    function reclaimChallenge(uint256 taskId, uint8 attempt, address challenger) external {
        Challenge storage c = _challenges[taskId][attempt][challenger];
        uint128 bond = c.bond;
        if (bond == 0) revert NoSuchCommitment(taskId, attempt, challenger);
        // INVARIANT P-C1: A bond that has gone into a dispute is the verdict's.
        if (c.revealed) revert AlreadyRevealed(taskId, attempt, challenger);
        (TaskState state, uint8 current,, uint64 committedAt,) = _market.standing(taskId);
        bool judged = state == TaskState.Committed || state == TaskState.Disputed || state == TaskState.Settled;
        // What was said, and when, stays: it may be worth a share of a jackpot (P-K5).
        c.bond = 0;
        bytes32 pot = Pots.challenge(taskId, attempt, challenger);
        if (current != attempt || !judged) return _vault.payFromPot(pot, challenger, bond, "bond");
        MarketParams memory m = _parameters.marketAt(_market.rulesOf(taskId));
        uint256 until = uint256(committedAt) + m.challengeWindow + m.revealWindow;
        // INVARIANT P-C1: A challenger has its whole window to reveal.
        if (block.timestamp < until) revert StillRevealable(taskId, until);
        emit ICourt.ChallengeForfeited(taskId, challenger, bond);
        // Burned: it took the provider's right to retract, and nobody shall gain by keeping a reveal off the chain.
        _vault.movePot(pot, Pots.BURN, bond, "forfeited");
    }

    function openForAudit(uint256 taskId, address auditor, bytes32 ownTraceRoot) external returns (uint256 disputeId) {
        // INVARIANT P-A3: Only an audit spends the audit pool.
        if (msg.sender != _audits) revert NotAudits(msg.sender);
        uint128 bond = _bond(_market.rulesOf(taskId));
        uint128 funds = _vault.pot(Pots.AUDIT_POOL);
        // A pool that has run dry stops no dispute; it only pays a cleared provider less.
        if (bond > funds) bond = funds;
        disputeId = _open(taskId, auditor, ownTraceRoot, bond, FLAG_AUDIT);
        _vault.movePot(Pots.AUDIT_POOL, Pots.dispute(disputeId), bond, "bond");
    }

    // ---- inside

    function _open(uint256 taskId, address challenger, bytes32 ownTraceRoot, uint128 bond, uint8 flags)
        private
        returns (uint256 disputeId)
    {
        Task memory t = _market.task(taskId);
        // INVARIANT P-C1: A challenge says that the trace is another.
        if (ownTraceRoot == t.traceRoot) revert SameTrace(ownTraceRoot);
        disputeId = ++_disputeCount;
        Record storage d = _disputes[disputeId];
        d.challenger = challenger;
        d.provider = t.provider;
        d.attempt = t.attempt;
        d.steps = t.steps;
        d.taskId = uint128(taskId); // counted up by the market
        d.bond = bond;
        d.flags = flags;
        d.openedAt = uint40(block.timestamp);
        _start(d, t.modelId, taskId);
        emit ICourt.DisputeOpened(disputeId, taskId, t.provider, challenger, t.traceRoot, ownTraceRoot);
        _market.disputeOpened(taskId, t.attempt);
        // INVARIANT P-C3: Frozen once for every open dispute.
        _vault.freeze(t.provider);
    }

    /// @dev The provider's first turn, at the root of level 1.
    function _start(Record storage d, bytes32 modelId, uint256 taskId) private {
        uint16 rules = _market.rulesOf(taskId);
        CourtParams memory c = _parameters.courtAt(rules);
        ModelHeader memory h = _market.model(modelId);
        d.rules = rules;
        d.commitPoints = h.commitPoints;
        d.traceHeight = h.traceHeight;
        d.opsHeight = h.opsHeight;
        d.liveHeight = h.liveHeight;
        // A tree of one leaf needs no dissection.
        d.state = h.traceHeight == 0 ? DisputeState.SegmentWanted : DisputeState.Level1;
        d.turn = Side.Provider;
        d.height = h.traceHeight;
        d.turnStartedAt = uint40(block.timestamp);
        d.providerClock = c.clockBudget;
        d.challengerClock = c.clockBudget;
        d.clockBudget = c.clockBudget;
        d.clockIncrement = c.clockIncrement;
        bytes32 root = _market.level1RootOf(taskId);
        d.node = root;
        if (h.traceHeight == 0) d.leaf = root;
    }

    /// @dev A result that can be challenged.
    function _result(uint256 taskId) private view returns (uint8 attempt, address provider, uint64 committedAt) {
        TaskState state;
        (state, attempt, provider, committedAt,) = _market.standing(taskId);
        // INVARIANT P-C1: There is a result, and it is not settled.
        if (state != TaskState.Committed && state != TaskState.Disputed) revert NothingToChallenge(taskId, state);
    }
}
