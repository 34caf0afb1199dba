// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Audit, AuditState, ChunkOpening, IAudits} from "../interfaces/IAudits.sol";
import {IBeacon} from "../interfaces/IBeacon.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {AuditParams, IParameters, MarketParams} from "../interfaces/IParameters.sol";
import {IProviderPool} from "../interfaces/IProviderPool.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {System} from "../interfaces/System.sol";
import {DisputeState, ModelHeader, Provider, Task, TaskState} from "../interfaces/Types.sol";
import {Pots} from "../lib/Pots.sol";
import {TraceHash} from "../lib/TraceHash.sol";
import {AuditRate} from "./AuditRate.sol";
import {ChunkOpenings} from "./ChunkOpenings.sol";

/// @notice Random challenges. Per attempt of a task: decide -> draw -> commit -> open -> matched or mismatched; an auditor that
/// misses a deadline pays and another is drawn. An audit never outlives its attempt and never keeps a task from settling
/// for longer than its draws' deadlines.
contract Audits is IAudits {
    error NoResult(uint256 taskId, TaskState state);
    error ResultIsReversed(uint256 taskId, address provider);
    error AlreadyDecided(uint256 taskId, uint8 attempt);
    error RoundNotOut(uint64 round);
    error WrongAuditState(uint256 taskId, AuditState found, AuditState wanted);
    error NotAuditor(uint256 taskId, address caller, address auditor);
    error DeadlinePassed(uint256 taskId, uint64 deadline);
    error DeadlineNotPassed(uint256 taskId, uint64 deadline);
    error StepsOutOfRange(uint32 steps, uint32 least, uint32 most);
    error OtherDraw(uint256 taskId, uint8 attempt, uint64 leafIndex);
    error CommitmentMismatch(bytes32 found, bytes32 wanted);
    error AuditNotOver(uint256 taskId, uint8 attempt, AuditState state);
    error NotOnDuty(uint256 taskId, uint8 attempt, AuditState state);

    struct Record {
        // slot 0: all that an audit not drawn writes
        AuditState state;
        uint8 draws;
        bool onDuty;
        address auditor;
        uint64 drawnAt;
        // slot 1
        uint64 deadline;
        uint64 leafIndex;
        uint64 committedAt;
        uint64 disputeId;
        // slots 2, 3
        bytes32 saltedRoot;
        bytes32 rootCommitment;
    }

    /// @dev A result as the market has it, and what its audit reads again and again.
    struct Result {
        uint256 taskId;
        uint8 attempt;
        address provider;
        uint64 committedAt;
        uint32 steps;
        uint16 rules;
    }

    IParameters public immutable parameters;
    IBeacon public immutable beacon;
    IStakeVaultModule public immutable vault;
    IProviderPool public immutable pool;
    IMarketCourt public immutable market;
    ICourt public immutable court;

    mapping(uint256 => mapping(uint8 => Record)) private _records; // task -> attempt
    mapping(uint256 => mapping(uint8 => address[])) private _drawn; // everyone ever drawn for an attempt

    constructor(System memory system) {
        parameters = IParameters(system.parameters);
        beacon = IBeacon(system.beacon);
        vault = IStakeVaultModule(system.vault);
        pool = IProviderPool(system.pool);
        market = IMarketCourt(system.market);
        court = ICourt(system.court);
    }

    // ---- anyone

    function decide(uint256 taskId) external {
        Result memory t = _result(taskId);
        Record storage r = _records[taskId][t.attempt];
        // INVARIANT P-A1: One decision per attempt.
        if (r.state != AuditState.None) revert AlreadyDecided(taskId, t.attempt);
        uint64 round = _auditRound(t);
        bytes32 value = _value(round);
        AuditParams memory rules = parameters.auditAt(t.rules);
        uint256 ratePpm = AuditRate.rateOf(rules, vault.provider(t.provider).settledTasks);
        // INVARIANT P-A1: A spoiled round saves no result from its audit.
        bool selected =
            beacon.spoiled(round) || uint256(keccak256(abi.encode(value, taskId, t.attempt))) % AuditRate.PPM < ratePpm;
        emit AuditDecided(taskId, t.attempt, selected, round);
        market.auditDecided(taskId, t.attempt, selected);
        if (selected) _draw(t, r, value, rules);
        else r.state = AuditState.NotDrawn;
    }

    function auditTimeout(uint256 taskId) external {
        Result memory t = _result(taskId);
        Record storage r = _records[taskId][t.attempt];
        AuditState s = r.state;
        if (s != AuditState.Drawn && s != AuditState.Committed) revert WrongAuditState(taskId, s, AuditState.Drawn);
        // INVARIANT P-A3: An auditor has its whole deadline.
        uint64 deadline = _deadline(r, t.rules);
        if (block.timestamp <= deadline) revert DeadlineNotPassed(taskId, deadline);
        // INVARIANT P-A3: Nobody is penalised for a seed that is not there.
        if (s == AuditState.Committed) _value(beacon.roundAfter(r.committedAt));
        AuditParams memory rules = parameters.auditAt(t.rules);
        address auditor = r.auditor;
        bytes32 cause = keccak256(abi.encode(address(this), taskId, t.attempt, r.draws));
        // INVARIANT P-A4: The pool gains nothing by a penalty; it is burned.
        uint128 penalty = vault.penalise(auditor, cause, rules.penalty, Pots.BURN);
        emit AuditFailed(taskId, auditor, penalty, s == AuditState.Drawn ? bytes32("commit") : bytes32("open"));
        _next(t, r, rules);
    }

    function releaseAuditor(uint256 taskId, uint8 attempt) external {
        Record storage r = _records[taskId][attempt];
        // INVARIANT P-A6: One duty, ended once.
        if (!r.onDuty) revert NotOnDuty(taskId, attempt, r.state);
        if (r.state == AuditState.Mismatched) {
            DisputeState d = court.dispute(r.disputeId).state;
            // INVARIANT P-A6: Whoever said "mismatch" answers for it until the verdict is final.
            if (d != DisputeState.Upheld && d != DisputeState.Cleared && d != DisputeState.Void) {
                revert AuditNotOver(taskId, attempt, r.state);
            }
        } else {
            // INVARIANT P-A6: A duty ends early only with the result it is about.
            if (!_isMoot(taskId, attempt)) revert AuditNotOver(taskId, attempt, r.state);
            r.state = AuditState.Moot;
        }
        emit AuditorReleased(taskId, attempt, r.auditor);
        _endDuty(r);
    }

    // ---- auditor

    function commitAudit(uint256 taskId, uint8 attempt, uint64 leafIndex, bytes32 saltedRoot, bytes32 rootCommitment) external {
        Result memory t = _result(taskId);
        Record storage r = _due(t, AuditState.Drawn);
        // INVARIANT P-A2: A commitment answers its own draw: one that a reorg took out and that comes back later opens for no other.
        if (attempt != t.attempt || leafIndex != r.leafIndex) revert OtherDraw(taskId, t.attempt, r.leafIndex);
        uint64 seedTime = beacon.timeOf(beacon.roundAfter(uint64(block.timestamp)));
        r.state = AuditState.Committed;
        r.committedAt = uint64(block.timestamp);
        r.deadline = seedTime + parameters.courtAt(t.rules).beaconSlack + parameters.auditAt(t.rules).openSeconds;
        r.saltedRoot = saltedRoot;
        r.rootCommitment = rootCommitment;
        emit AuditCommitted(taskId, msg.sender, saltedRoot);
    }

    function inputUnavailable(uint256 taskId) external {
        Result memory t = _result(taskId);
        Record storage r = _due(t, AuditState.Drawn);
        // INVARIANT P-A7: Whoever is drawn for a task whose input was taken away is not the one to pay for it.
        emit AuditFailed(taskId, msg.sender, 0, "input");
        _next(t, r, parameters.auditAt(t.rules));
    }

    function openAudit(uint256 taskId, uint32 ownSteps, bytes32 ownLevel1Root, bytes32 salt, ChunkOpening calldata opening)
        external
    {
        Result memory t = _result(taskId);
        Record storage r = _due(t, AuditState.Committed);
        bytes32 ownRoot = TraceHash.traceRoot(ownSteps, ownLevel1Root);
        bytes32 commitment = keccak256(abi.encode(msg.sender, taskId, t.attempt, ownRoot, salt));
        // INVARIANT P-A2: What the auditor found is what it committed to before anyone showed anything.
        if (commitment != r.rootCommitment) revert CommitmentMismatch(commitment, r.rootCommitment);
        _checkOpening(t, r, ownSteps, ownLevel1Root, opening);
        if (ownRoot == TraceHash.traceRoot(t.steps, market.level1RootOf(taskId))) {
            r.state = AuditState.Matched;
            uint128 fee = _payFee(t.rules, msg.sender);
            emit AuditMatched(taskId, msg.sender, fee);
            _endDuty(r);
        } else {
            _accuse(t, r, ownRoot);
        }
        market.auditClosed(taskId, t.attempt);
    }

    // ---- views

    function audit(uint256 taskId, uint8 attempt) external view returns (Audit memory) {
        Record storage r = _records[taskId][attempt];
        return Audit({
            taskId: taskId,
            attempt: attempt,
            state: r.state,
            auditor: r.auditor,
            draws: r.draws,
            drawnAt: r.drawnAt,
            deadline: r.state == AuditState.Committed ? _deadline(r, market.rulesOf(taskId)) : r.deadline,
            saltedRoot: r.saltedRoot,
            rootCommitment: r.rootCommitment,
            leafIndex: r.leafIndex,
            committedAt: r.committedAt,
            disputeId: r.disputeId,
            onDuty: r.onDuty
        });
    }

    function rateOf(address provider, uint16 rules) external view returns (uint256 ppm) {
        return AuditRate.rateOf(parameters.auditAt(rules), vault.provider(provider).settledTasks);
    }

    function auditRound(uint256 taskId) external view returns (uint64) {
        return _auditRound(_result(taskId));
    }

    function chunkSeed(uint256 taskId) external view returns (bool known, uint256 a, uint256 b) {
        (, uint8 attempt,,,) = market.standing(taskId);
        Record storage r = _records[taskId][attempt];
        if (r.state != AuditState.Committed) return (false, 0, 0);
        bytes32 value = beacon.valueOf(beacon.roundAfter(r.committedAt));
        if (value == 0) return (false, 0, 0);
        (a, b) = _chunkSeed(value, taskId, attempt, r.auditor);
        known = true;
    }

    // ---- inside

    function _draw(Result memory t, Record storage r, bytes32 value, AuditParams memory rules) private {
        uint8 draw = r.draws;
        bytes32 seed = keccak256(abi.encode(value, t.taskId, t.attempt, draw));
        address auditor = _pick(t, seed);
        // INVARIANT P-A5: With nobody to draw the result is not kept waiting.
        if (auditor == address(0)) return _waive(t, r);
        Task memory task = market.task(t.taskId);
        uint256 leaves = uint256(t.steps) * market.model(task.modelId).commitPoints;
        r.state = AuditState.Drawn;
        r.draws = draw + 1;
        r.auditor = auditor;
        r.drawnAt = uint64(block.timestamp);
        r.deadline = uint64(block.timestamp) + rules.commitSeconds;
        r.leafIndex = uint64(uint256(keccak256(abi.encode(seed, "leaf"))) % leaves);
        r.committedAt = 0;
        r.saltedRoot = 0;
        r.rootCommitment = 0;
        _drawn[t.taskId][t.attempt].push(auditor);
        emit AuditorDrawn(t.taskId, auditor, r.leafIndex, r.deadline);
        r.onDuty = true;
        vault.addDuty(auditor);
    }

    /// @dev The auditor is out; another one is drawn, or none.
    function _next(Result memory t, Record storage r, AuditParams memory rules) private {
        _endDuty(r);
        // INVARIANT P-A5: At most 1 + maxRedraws auditors, so that a result is not kept for ever.
        if (r.draws <= rules.maxRedraws) _draw(t, r, _value(_auditRound(t)), rules);
        else _waive(t, r);
    }

    function _endDuty(Record storage r) private {
        r.onDuty = false;
        vault.removeDuty(r.auditor);
    }

    /// @dev By stake as it was at the commit, among those who have no part in the task.
    function _pick(Result memory t, bytes32 seed) private view returns (address) {
        Task memory task = market.task(t.taskId);
        address[] storage before = _drawn[t.taskId][t.attempt];
        uint256 count = before.length;
        address[] memory excluded = new address[](4 + 3 * count);
        // INVARIANT P-A2: Neither the provider's side nor the requester audits, nor who was drawn before, under any key.
        excluded[0] = task.requester;
        _side(excluded, 1, t.provider);
        for (uint256 i = 0; i < count; i++) {
            _side(excluded, 4 + 3 * i, before[i]);
        }
        return pool.draw(task.classId, t.committedAt, seed, excluded);
    }

    function _side(address[] memory list, uint256 at, address key) private view {
        Provider memory p = vault.provider(key);
        (list[at], list[at + 1], list[at + 2]) = (key, p.owner, p.payout);
    }

    function _waive(Result memory t, Record storage r) private {
        r.state = AuditState.Waived;
        emit AuditWaived(t.taskId);
        market.auditClosed(t.taskId, t.attempt);
    }

    /// @dev The duty stays until the verdict (`releaseAuditor`). The bond comes before the fee, so that a provider accused
    /// wrongly is not the one who finds the pool empty.
    function _accuse(Result memory t, Record storage r, bytes32 ownRoot) private {
        r.state = AuditState.Mismatched;
        uint256 disputeId = court.openForAudit(t.taskId, msg.sender, ownRoot);
        r.disputeId = uint64(disputeId);
        emit AuditMismatched(t.taskId, msg.sender, disputeId);
        _payFee(t.rules, msg.sender);
    }

    /// @dev P-A3: the same whatever was found. A pool that is short pays what it has and blocks nothing.
    function _payFee(uint16 rules, address auditor) private returns (uint128 fee) {
        fee = parameters.auditAt(rules).fee;
        uint128 have = vault.pot(Pots.AUDIT_POOL);
        if (fee > have) fee = have;
        vault.payProvider(Pots.AUDIT_POOL, auditor, fee, "audit");
    }

    function _checkOpening(
        Result memory t,
        Record storage r,
        uint32 ownSteps,
        bytes32 ownLevel1Root,
        ChunkOpening calldata opening
    ) private view {
        bytes32 value = _value(beacon.roundAfter(r.committedAt));
        ModelHeader memory h = market.model(market.task(t.taskId).modelId);
        // INVARIANT P-A2: The auditor's own run is one the model can have, and goes on at least as far as the result: the drawn leaf is in it.
        if (ownSteps < t.steps || ownSteps > h.maxSteps) revert StepsOutOfRange(ownSteps, t.steps, h.maxSteps);
        ChunkOpenings.Place memory p;
        p.leafIndex = r.leafIndex;
        p.commitPoints = h.commitPoints;
        p.traceHeight = h.traceHeight;
        p.liveHeight = h.liveHeight;
        p.segmentsRoot = h.segmentsRoot;
        p.level1Root = ownLevel1Root;
        p.auditor = msg.sender;
        p.taskId = t.taskId;
        p.saltedRoot = r.saltedRoot;
        (p.slotSeed, p.chunkSeed) = _chunkSeed(value, t.taskId, t.attempt, msg.sender);
        ChunkOpenings.check(opening, p);
    }

    /// @dev The record of the result's audit, in `wanted`, when its auditor calls in time.
    function _due(Result memory t, AuditState wanted) private view returns (Record storage r) {
        r = _records[t.taskId][t.attempt];
        if (r.state != wanted) revert WrongAuditState(t.taskId, r.state, wanted);
        // INVARIANT P-A2: Nobody answers for the drawn auditor.
        if (msg.sender != r.auditor) revert NotAuditor(t.taskId, msg.sender, r.auditor);
        // INVARIANT P-A3: Nothing is accepted after the deadline.
        uint64 deadline = _deadline(r, t.rules);
        if (block.timestamp > deadline) revert DeadlinePassed(t.taskId, deadline);
    }

    function _deadline(Record storage r, uint16 rules) private view returns (uint64 deadline) {
        deadline = r.deadline;
        if (r.state != AuditState.Committed || block.timestamp <= deadline) return deadline;
        uint64 seedAt = beacon.publishedAt(beacon.roundAfter(r.committedAt));
        // INVARIANT P-A3: A seed that came late leaves the auditor its whole time.
        uint64 late = seedAt == 0 ? 0 : seedAt + parameters.auditAt(rules).openSeconds;
        if (late > deadline) deadline = late;
    }

    function _result(uint256 taskId) private view returns (Result memory t) {
        TaskState state;
        t.taskId = taskId;
        (state, t.attempt, t.provider, t.committedAt, t.steps) = market.standing(taskId);
        // INVARIANT P-A1: Only a result is audited.
        if (state != TaskState.Committed && state != TaskState.Disputed) revert NoResult(taskId, state);
        // INVARIANT P-T9: The result of a tombstoned provider never settles; there is nothing left to audit.
        if (vault.isTombstoned(t.provider)) revert ResultIsReversed(taskId, t.provider);
        t.rules = market.rulesOf(taskId);
    }

    function _isMoot(uint256 taskId, uint8 attempt) private view returns (bool) {
        (TaskState state, uint8 now_, address provider,,) = market.standing(taskId);
        if (now_ != attempt) return true;
        if (state != TaskState.Committed && state != TaskState.Disputed) return true;
        return vault.isTombstoned(provider);
    }

    function _auditRound(Result memory t) private view returns (uint64) {
        MarketParams memory m = parameters.marketAt(t.rules);
        // INVARIANT P-A1: The round is fixed by the commit, and its value cannot exist while the result may be retracted.
        return beacon.roundAfter(t.committedAt + m.retractWindow + m.seedDelay);
    }

    function _value(uint64 round) private view returns (bytes32 value) {
        value = beacon.valueOf(round);
        // INVARIANT P-A1: Nothing is drawn before its round is out.
        if (value == 0) revert RoundNotOut(round);
    }

    function _chunkSeed(bytes32 value, uint256 taskId, uint8 attempt, address auditor)
        private
        pure
        returns (uint256 a, uint256 b)
    {
        uint256 seed = uint256(keccak256(abi.encode(value, taskId, attempt, auditor)));
        return (seed >> 128, seed & type(uint128).max);
    }
}
