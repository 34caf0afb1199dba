// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealGame, AppealOutcome, AppealPhase, IAppealLevels} from "../interfaces/IAppealLevels.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {CourtParams, IParameters} from "../interfaces/IParameters.sol";
import {Dispute, ModelHeader, Side} from "../interfaces/Types.sol";

/// @notice The games' books: opening, turns, clocks, end and replay (P-L1, P-L8, P-L10).
abstract contract AppealGames is IAppealLevels {
    error GameRunning(uint256 disputeId, AppealPhase phase);
    error WrongPhase(uint256 disputeId, AppealPhase found, AppealPhase wanted);
    error ClockRanOut(uint256 disputeId, Side side, uint256 deadline);
    error ClockRunning(uint256 disputeId, Side side, uint256 deadline);
    error NotDefender(uint256 disputeId, address caller);
    error NotAccuser(uint256 disputeId, address caller);
    error TablesMismatch(uint256 versions, uint256 roots);

    /// @dev Every move writes slot 0. Rows, chunks and states are kept by their hash.
    struct Record {
        // slot 0
        AppealPhase phase;
        Side turn;
        AppealOutcome outcome;
        AppealOutcome ruling; // what the referee ruled; Pending where there is nobody to play again
        bool replay;
        uint8 height;
        uint8 elementBytes;
        uint40 turnStartedAt;
        uint32 defenderClock;
        uint32 accuserClock;
        uint32 clockBudget;
        uint32 clockIncrement;
        // slots 1, 2
        address defender;
        uint64 index;
        address accuser;
        uint64 element;
        // slots 3 to 6
        bytes32 node;
        bytes32 rowHash;
        bytes32 start;
        bytes32 end;
        // slot 7
        uint64 firstBatch;
        uint64 batches;
        uint64 value;
        uint64 size; // bytes of the disputed tensor
        // slot 8
        bytes32 nodeLeaf; // of the disputed operator's canonical bytes, once they were opened
    }

    mapping(uint32 => bytes32) private _tableRoots;
    mapping(address => mapping(uint256 => Record)) private _games; // court, dispute

    constructor(uint32[] memory numericsVersions, bytes32[] memory tableRoots) {
        if (numericsVersions.length != tableRoots.length) revert TablesMismatch(numericsVersions.length, tableRoots.length);
        // INVARIANT P-L8: A version's programs are fixed when the levels are deployed.
        for (uint256 i = 0; i < numericsVersions.length; i++) {
            _tableRoots[numericsVersions[i]] = tableRoots[i];
        }
    }

    function open(uint256 disputeId, address accuser) external {
        // INVARIANT P-L1: A court speaks for its own disputes; nobody can open another's.
        Record storage r = _games[msg.sender][disputeId];
        // INVARIANT P-L1: A game that runs is not started anew.
        if (r.phase != AppealPhase.None && r.phase != AppealPhase.Ended) revert GameRunning(disputeId, r.phase);
        (Dispute memory d, ModelHeader memory h) = _scene(msg.sender, disputeId);
        CourtParams memory c = _rules(msg.sender, d.taskId);
        r.defender = d.provider;
        r.accuser = accuser;
        r.outcome = AppealOutcome.Pending;
        r.replay = false;
        r.clockBudget = c.clockBudget;
        r.clockIncrement = c.clockIncrement;
        // INVARIANT P-L10: A referee that is the accuser already has nobody else to blame.
        bool bound = d.ruledAt != 0 && accuser != d.referee;
        r.ruling = !bound ? AppealOutcome.Pending : d.ruledGuilty ? AppealOutcome.Guilty : AppealOutcome.Cleared;
        _begin(disputeId, msg.sender, r, d);
        // INVARIANT P-L8: What this version has no rule for is nobody's fault.
        if (_tableRoots[h.numericsVersion] == 0 || (d.leafIndex != 0 && d.leafIndex % h.commitPoints == 0)) {
            _close(msg.sender, disputeId, r, AppealOutcome.Void, "no rule");
        }
    }

    function claimTimeout(address court, uint256 disputeId) external {
        Record storage r = _games[court][disputeId];
        // INVARIANT P-L1: Clocks run in a game only.
        if (r.phase == AppealPhase.None || r.phase == AppealPhase.Ended) {
            revert WrongPhase(disputeId, r.phase, AppealPhase.Tensor);
        }
        Side late = r.turn;
        uint256 deadline = _deadline(r);
        // INVARIANT P-L1: A side has its whole clock.
        if (block.timestamp <= deadline) revert ClockRunning(disputeId, late, deadline);
        _end(court, disputeId, r, late == Side.Provider ? AppealOutcome.Guilty : AppealOutcome.Cleared, "timeout");
    }

    // ---- views

    function outcome(address court, uint256 disputeId) external view returns (AppealOutcome) {
        return _games[court][disputeId].outcome;
    }

    function tableRoot(uint32 numericsVersion) public view returns (bytes32) {
        return _tableRoots[numericsVersion];
    }

    function game(address court, uint256 disputeId) external view returns (AppealGame memory g) {
        Record storage r = _games[court][disputeId];
        g.phase = r.phase;
        g.turn = r.turn;
        g.replay = r.replay;
        g.outcome = r.outcome;
        g.defender = r.defender;
        g.accuser = r.accuser;
        g.turnStartedAt = r.turnStartedAt;
        g.defenderClock = r.defenderClock;
        g.accuserClock = r.accuserClock;
        g.node = r.node;
        g.height = r.height;
        g.index = r.index;
        g.rowHash = r.rowHash;
        g.element = r.element;
        g.value = r.value;
        g.start = r.start;
        g.end = r.end;
        g.firstBatch = r.firstBatch;
        g.batches = r.batches;
    }

    // ---- turns and clocks

    function _inPhase(address court, uint256 disputeId, AppealPhase wanted) internal view returns (Record storage r) {
        r = _games[court][disputeId];
        // INVARIANT P-L1: A move meets the phase that it is made for; nothing is accepted after the end.
        if (r.phase != wanted) revert WrongPhase(disputeId, r.phase, wanted);
        _inTime(disputeId, r);
    }

    /// @dev `step` has two phases.
    function _inStep(address court, uint256 disputeId) internal view returns (Record storage r, bool whole) {
        r = _games[court][disputeId];
        whole = r.phase == AppealPhase.States;
        if (whole) _inTime(disputeId, r);
        else r = _inPhase(court, disputeId, AppealPhase.Step);
    }

    /// @dev The mover is charged and gains its increment, up to the budget. It moved in time.
    function _pass(Record storage r, AppealPhase next, Side turn) internal {
        uint256 left = _deadline(r) - block.timestamp + r.clockIncrement;
        uint32 clock = left < r.clockBudget ? uint32(left) : r.clockBudget;
        if (r.turn == Side.Provider) r.defenderClock = clock;
        else r.accuserClock = clock;
        r.phase = next;
        r.turn = turn;
        r.turnStartedAt = uint40(block.timestamp);
    }

    function _onlyDefender(uint256 disputeId, Record storage r) internal view {
        // INVARIANT P-L1: Only the defender says what the states are: no hash could tell who made them up.
        if (msg.sender != r.defender) revert NotDefender(disputeId, msg.sender);
    }

    function _onlyAccuser(uint256 disputeId, Record storage r) internal view {
        // INVARIANT P-L1: Only the accuser says what it disagrees with.
        if (msg.sender != r.accuser) revert NotAccuser(disputeId, msg.sender);
    }

    // ---- end

    /// @dev P-L10: a result that contradicts the referee is played once more, by the referee.
    function _end(address court, uint256 disputeId, Record storage r, AppealOutcome result, bytes32 reason) internal {
        if (r.replay || r.ruling == AppealOutcome.Pending || r.ruling == result) {
            return _close(court, disputeId, r, result, reason);
        }
        emit AppealEnded(court, disputeId, AppealOutcome.Pending, reason);
        Dispute memory d = ICourt(court).dispute(disputeId);
        // INVARIANT P-L10: The referee takes the place of the side that lost, so that it pays for its own ruling only.
        if (r.ruling == AppealOutcome.Guilty) r.accuser = d.referee;
        else r.defender = d.referee;
        r.replay = true;
        _begin(disputeId, court, r, d);
    }

    function _close(address court, uint256 disputeId, Record storage r, AppealOutcome result, bytes32 reason) internal {
        r.phase = AppealPhase.Ended;
        r.outcome = result;
        emit AppealEnded(court, disputeId, result, reason);
    }

    /// @dev The dispute with its model.
    function _scene(address court, uint256 disputeId) internal view returns (Dispute memory d, ModelHeader memory h) {
        d = ICourt(court).dispute(disputeId);
        IMarketCourt market = IMarketCourt(ICourt(court).market());
        h = market.model(market.task(d.taskId).modelId);
    }

    /// @dev The first turn, with nothing left of a game before.
    function _begin(uint256 disputeId, address court, Record storage r, Dispute memory d) private {
        AppealPhase phase = d.inLive ? AppealPhase.Slot : AppealPhase.Tensor;
        r.phase = phase;
        r.turn = Side.Provider;
        r.height = 0;
        r.elementBytes = 0;
        r.turnStartedAt = uint40(block.timestamp);
        // INVARIANT P-L1: Clocks are fresh for every game.
        r.defenderClock = r.clockBudget;
        r.accuserClock = r.clockBudget;
        r.index = 0;
        r.element = 0;
        r.node = d.claimedDigest;
        r.rowHash = 0;
        r.start = 0;
        r.end = 0;
        r.firstBatch = 0;
        r.batches = 0;
        r.value = 0;
        r.size = 0;
        r.nodeLeaf = 0;
        emit AppealOpened(court, disputeId, r.defender, r.accuser, r.replay, phase);
    }

    function _rules(address court, uint256 taskId) private view returns (CourtParams memory) {
        uint16 version = IMarketCourt(ICourt(court).market()).rulesOf(taskId);
        return IParameters(ICourt(court).parameters()).courtAt(version);
    }

    function _inTime(uint256 disputeId, Record storage r) private view {
        uint256 deadline = _deadline(r);
        // INVARIANT P-L1: A move after the clock ran out is refused, claimed or not.
        if (block.timestamp > deadline) revert ClockRanOut(disputeId, r.turn, deadline);
    }

    /// @dev Last second at which the side to move still has a clock.
    function _deadline(Record storage r) private view returns (uint256) {
        return uint256(r.turnStartedAt) + (r.turn == Side.Provider ? r.defenderClock : r.accuserClock);
    }
}
