// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealGame, AppealOutcome, AppealPhase, IAppealLevels} from "../interfaces/IAppealLevels.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {AppealTerms, IsolatedPlace, ModelHeader, Side} from "../interfaces/Types.sol";
import {TensorShape} from "../lib/TensorShape.sol";

/// @notice The games' books: opening, turns, clocks, end and replay (P-L1, P-L8, P-L10).
abstract contract AppealGames is IAppealLevels {
    error GameRunning(uint256 disputeId, AppealPhase phase);
    error WrongPhase(uint256 disputeId, AppealPhase found, AppealPhase wanted);
    error ClockRanOut(uint256 disputeId, Side side, uint256 deadline);
    error ClockRunning(uint256 disputeId, Side side, uint256 deadline);
    error NotDefender(uint256 disputeId, address caller);
    error NotAccuser(uint256 disputeId, address caller);
    error TablesMismatch(uint256 versions, uint256 roots);

    /// @dev Every move writes slot 0; a fresh slot costs more than a move, so that the first three are full and the others wait
    /// until there is something to keep. What a game before has left there is not looked at before it is written again.
    struct Record {
        // slot 0
        AppealPhase phase;
        AppealOutcome result; // how it ended; before, what the referee ruled, Pending where there is nobody to play again
        bool replay;
        uint40 turnStartedAt;
        uint32 defenderClock;
        uint32 accuserClock;
        uint32 clockBudget;
        uint32 clockIncrement;
        uint64 value; // claimed bits of the element
        // slot 1
        address defender;
        uint48 size; // bytes of the disputed tensor, at most 2^42
        uint32 index; // of the node, then of the chunk that has the element
        uint8 height;
        uint8 elementBytes;
        // slot 2
        address accuser;
        uint16 within; // the element's place in its chunk
        uint40 firstBatch;
        uint40 batches;
        // slot 3: a node of the chunk tree; once an element is picked, the state at the end of the run
        bytes32 claim;
        // slot 4: leaf of the disputed operator's canonical bytes
        bytes32 nodeLeaf;
        // slot 5: hash of the states that wait for a pick
        bytes32 shown;
        // slot 6: state at the start of the run, where that is not the machine's own
        bytes32 start;
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
        AppealTerms memory t = ICourt(msg.sender).appealTerms(disputeId);
        r.defender = t.provider;
        r.accuser = accuser;
        r.replay = false;
        r.clockBudget = t.clockBudget;
        r.clockIncrement = t.clockIncrement;
        // INVARIANT P-L10: A referee that is the accuser already has nobody else to blame.
        bool bound = t.ruledAt != 0 && accuser != t.referee;
        r.result = !bound ? AppealOutcome.Pending : t.ruledGuilty ? AppealOutcome.Guilty : AppealOutcome.Cleared;
        _begin(disputeId, msg.sender, r, t.inLive ? AppealPhase.Slot : AppealPhase.Tensor);
        uint32 version = IMarketCourt(ICourt(msg.sender).market()).numericsOf(t.taskId);
        // INVARIANT P-L8: What this version has no rule for is nobody's fault.
        if (_tableRoots[version] == 0) _close(msg.sender, disputeId, r, AppealOutcome.Void, "no rule");
    }

    function claimTimeout(address court, uint256 disputeId) external {
        Record storage r = _games[court][disputeId];
        // INVARIANT P-L1: Clocks run in a game only.
        if (r.phase == AppealPhase.None || r.phase == AppealPhase.Ended) {
            revert WrongPhase(disputeId, r.phase, AppealPhase.Tensor);
        }
        Side late = _turnOf(r.phase);
        uint256 deadline = _deadline(r);
        // INVARIANT P-L1: A side has its whole clock.
        if (block.timestamp <= deadline) revert ClockRunning(disputeId, late, deadline);
        _end(court, disputeId, r, late == Side.Provider ? AppealOutcome.Guilty : AppealOutcome.Cleared, "timeout");
    }

    // ---- views

    function outcome(address court, uint256 disputeId) external view returns (AppealOutcome) {
        return _outcomeOf(_games[court][disputeId]);
    }

    function tableRoot(uint32 numericsVersion) public view returns (bytes32) {
        return _tableRoots[numericsVersion];
    }

    function game(address court, uint256 disputeId) external view returns (AppealGame memory g) {
        Record storage r = _games[court][disputeId];
        g.phase = r.phase;
        g.turn = _turnOf(r.phase);
        g.replay = r.replay;
        g.outcome = _outcomeOf(r);
        g.defender = r.defender;
        g.accuser = r.accuser;
        g.turnStartedAt = r.turnStartedAt;
        g.defenderClock = r.defenderClock;
        g.accuserClock = r.accuserClock;
        if (r.phase == AppealPhase.Slot || r.phase == AppealPhase.Tensor) {
            g.node = ICourt(court).isolatedPlace(disputeId).claimedDigest;
        } else if (r.phase < AppealPhase.States) {
            g.node = r.claim;
            g.height = r.height;
            g.index = r.index;
        } else if (r.phase < AppealPhase.Ended) {
            g.index = r.index;
            g.element = _elementOf(r);
            g.value = r.value;
            g.start = _startOf(r);
            g.end = r.claim;
            g.firstBatch = r.firstBatch;
            g.batches = r.batches;
            if (r.phase == AppealPhase.PickState) g.rowHash = r.shown;
        }
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
    function _pass(Record storage r, AppealPhase next) internal {
        uint256 left = _deadline(r) - block.timestamp + r.clockIncrement;
        uint32 clock = left < r.clockBudget ? uint32(left) : r.clockBudget;
        if (_turnOf(r.phase) == Side.Provider) r.defenderClock = clock;
        else r.accuserClock = clock;
        r.phase = next;
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
        AppealOutcome ruling = r.result;
        if (r.replay || ruling == AppealOutcome.Pending || ruling == result) {
            return _close(court, disputeId, r, result, reason);
        }
        emit AppealEnded(court, disputeId, AppealOutcome.Pending, reason);
        address referee = ICourt(court).appealTerms(disputeId).referee;
        // INVARIANT P-L10: The referee takes the place of the side that lost, so that it pays for its own ruling only.
        if (ruling == AppealOutcome.Guilty) r.accuser = referee;
        else r.defender = referee;
        r.replay = true;
        _begin(disputeId, court, r, r.phase == AppealPhase.Slot ? AppealPhase.Slot : AppealPhase.Tensor);
    }

    function _close(address court, uint256 disputeId, Record storage r, AppealOutcome result, bytes32 reason) internal {
        r.phase = AppealPhase.Ended;
        r.result = result;
        emit AppealEnded(court, disputeId, result, reason);
    }

    /// @dev The disputed place with its model.
    function _scene(address court, uint256 disputeId) internal view returns (IsolatedPlace memory d, ModelHeader memory h) {
        d = ICourt(court).isolatedPlace(disputeId);
        h = IMarketCourt(ICourt(court).market()).modelOf(d.taskId);
    }

    // ---- the run of an element

    function _elementOf(Record storage r) internal view returns (uint64) {
        return uint64(r.index) * uint64(TensorShape.CHUNK_BYTES / r.elementBytes) + r.within;
    }

    /// @dev State at the start of the run.
    function _startOf(Record storage r) internal view returns (bytes32) {
        if (r.firstBatch != 0) return r.start;
        // INVARIANT P-L5: The machine's own start is computed from the element's index: counter 0, register 1, all others 0.
        return keccak256(abi.encodePacked(uint32(0), _elementOf(r), new bytes(62 * 8)));
    }

    /// @dev The first turn.
    function _begin(uint256 disputeId, address court, Record storage r, AppealPhase phase) private {
        r.phase = phase;
        r.turnStartedAt = uint40(block.timestamp);
        // INVARIANT P-L1: Clocks are fresh for every game.
        r.defenderClock = r.clockBudget;
        r.accuserClock = r.clockBudget;
        emit AppealOpened(court, disputeId, r.defender, r.accuser, r.replay, phase);
    }

    function _outcomeOf(Record storage r) private view returns (AppealOutcome) {
        return r.phase == AppealPhase.Ended ? r.result : AppealOutcome.Pending;
    }

    function _inTime(uint256 disputeId, Record storage r) private view {
        uint256 deadline = _deadline(r);
        // INVARIANT P-L1: A move after the clock ran out is refused, claimed or not.
        if (block.timestamp > deadline) revert ClockRanOut(disputeId, _turnOf(r.phase), deadline);
    }

    /// @dev Last second at which the side to move still has a clock.
    function _deadline(Record storage r) private view returns (uint256) {
        return uint256(r.turnStartedAt) + (_turnOf(r.phase) == Side.Provider ? r.defenderClock : r.accuserClock);
    }

    /// @dev The defender shows, the accuser picks.
    function _turnOf(AppealPhase phase) private pure returns (Side) {
        bool picks = phase == AppealPhase.PickChunk || phase == AppealPhase.PickElement || phase == AppealPhase.PickState;
        return picks ? Side.Challenger : Side.Provider;
    }
}
