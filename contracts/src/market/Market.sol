// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MarketParams} from "../interfaces/IParameters.sol";
import {IProviderPool} from "../interfaces/IProviderPool.sol";
import {ModelHeader, TaskSpec, TaskState} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {Pots} from "../lib/Pots.sol";
import {MarketVerdicts} from "./MarketVerdicts.sol";

/// @notice Task lifecycle and reverse Dutch auction. Edges: spec/protocol.md, "Task lifecycle".
contract Market is MarketVerdicts, ReentrancyGuardTransient {
    error NewTasksPaused();
    error PriceOutOfRange(uint128 minPrice, uint128 maxPrice, uint256 floor, uint256 ceiling);
    error ExecSecondsOutOfRange(uint32 asked, uint256 least, uint256 most);
    error ZeroDigest(bytes32 what);
    error NotInFamily(bytes32 familyId, bytes32 modelId);
    error NotRequester(uint256 taskId, address caller);
    error NotProvider(uint256 taskId, address caller);
    error ExcludedFromTask(uint256 taskId, address provider);
    error DeadlinePassed(uint256 taskId, uint64 deadline);
    error DeadlineNotPassed(uint256 taskId, uint64 deadline);
    error StepsOutOfRange(uint32 steps, uint32 most);
    error ProofLength(uint256 found, uint256 wanted);
    error OutputNotInTrace(bytes32 found, bytes32 wanted);
    error NotStopped(bytes32 found, bytes32 wanted);
    error RetractWindowClosed(uint256 taskId, uint64 closedAt);
    error AlreadyChallenged(uint256 taskId);
    error NotExpired(uint256 taskId, uint64 expiresAt);
    error TooEarlyToSettle(uint256 taskId, uint64 settleableAt);
    error AuditOpen(uint256 taskId);

    bytes1 private constant TAG_NODE = 0x01;
    /// @dev Digest of the tensor i64[1] that holds 1.
    bytes32 private constant STOPPED = 0x4cbea8095ac31a66c1791695ae182f22bcc10d5fe531633de65ea167549acb7a;

    constructor(System memory system) MarketVerdicts(system) {}

    // ---- requester

    function post(TaskSpec calldata spec, string calldata inputUri) external nonReentrant returns (uint256 taskId) {
        uint256 model = _modelIndex(spec.modelId);
        taskId = ++taskCount;
        Record storage r = _tasks[taskId];
        uint128 auditLevy = _checkSpec(spec, model, r);
        r.requester = msg.sender;
        r.model = uint24(model); // the registry has no more
        r.state = TaskState.Open;
        r.seed = spec.seed;
        r.rampSeconds = spec.rampSeconds;
        r.execSeconds = uint24(spec.execSeconds); // <= execMax
        r.openedAt = uint40(block.timestamp);
        r.minPrice = uint96(spec.minPrice); // <= maxTaskPrice
        r.maxPrice = uint96(spec.maxPrice);
        r.inputDigest = spec.inputDigest;
        if (spec.familyId != 0) {
            // INVARIANT P-M5: A task of a family is about one of its models. Its class is what its requester named, for its whole life.
            if (!IProviderPool(pool).isBinding(spec.familyId, spec.modelId)) revert NotInFamily(spec.familyId, spec.modelId);
            r.familyId = spec.familyId;
            r.flags = FLAG_FAMILY;
        }
        emit TaskPosted(taskId, msg.sender, spec.modelId, spec, inputUri);
        // INVARIANT P-T1: The escrow is in the task's pot before anyone can claim.
        _vault.fundPot(Pots.task(taskId), msg.sender, spec.maxPrice + auditLevy);
    }

    function cancel(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Open);
        // INVARIANT P-T1: Only the requester takes the escrow back, and only while nobody works for it.
        if (msg.sender != r.requester) revert NotRequester(taskId, msg.sender);
        r.state = TaskState.Cancelled;
        _leaveLane(r);
        emit TaskCancelled(taskId, _refund(taskId, r.requester));
    }

    // ---- provider

    function claim(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Open);
        _passGate(_laneOf(r), taskId, msg.sender);
        _claim(taskId, r);
    }

    function claimRetry(bytes32 classId) external returns (uint256 taskId) {
        uint256 lane = _laneOfClass(classId);
        taskId = _front(lane);
        // Entries that outlived their life are sent home on the way.
        while (taskId != 0 && block.timestamp > _expiresAt(_tasks[taskId])) {
            _expire(taskId, _tasks[taskId]);
            taskId = _front(lane);
        }
        // INVARIANT P-T5: Retries are served from the head; nobody picks inside a lane.
        if (taskId == 0) revert NoRetryWaits(classId);
        _passGate(lane, taskId, msg.sender);
        _claim(taskId, _tasks[taskId]);
    }

    function commit(
        uint256 taskId,
        uint32 steps,
        bytes32 outputDigest,
        bytes32 level1Root,
        bytes32[] calldata outputProof,
        bytes32[] calldata stopProof
    ) external {
        Record storage r = _inState(taskId, TaskState.Claimed);
        // INVARIANT P-T6: The provider answers for its own result.
        if (_vault.indexOf(msg.sender) != r.provider) revert NotProvider(taskId, msg.sender);
        uint64 deadline = _deadline(r);
        // INVARIANT P-T6: Nothing is accepted after the deadline.
        if (block.timestamp > deadline) revert DeadlinePassed(taskId, deadline);
        _checkEnd(_models[r.model], steps, outputDigest, level1Root, outputProof, stopProof);

        r.state = TaskState.Committed;
        r.committedAt = uint40(block.timestamp);
        r.steps = steps;
        r.outputDigest = outputDigest;
        r.level1Root = level1Root;
        emit ResultCommitted(taskId, msg.sender, steps, outputDigest, _traceRoot(steps, level1Root));
    }

    function retract(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Committed);
        if (_vault.indexOf(msg.sender) != r.provider) revert NotProvider(taskId, msg.sender);
        MarketParams memory m = _parameters.marketAt(r.rules);
        uint64 closedAt = uint64(r.committedAt) + m.retractWindow;
        // INVARIANT P-T7: No retract once challenges may be revealed or the audit's seed may exist.
        if (block.timestamp >= closedAt) revert RetractWindowClosed(taskId, closedAt);
        // INVARIANT P-T7: No retract under a challenge: a retract is no free option.
        if (r.flags & FLAG_CHALLENGED != 0) revert AlreadyChallenged(taskId);
        uint128 penalty = _vault.slashTask(msg.sender, taskId, false, m.livenessBps, Pots.BURN);
        emit ResultRetracted(taskId, msg.sender, penalty);
        _requeue(taskId, r, "retract", 0);
    }

    // ---- anyone

    function missDeadline(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Claimed);
        uint64 deadline = _deadline(r);
        // INVARIANT P-T6: A provider has its whole deadline.
        if (block.timestamp <= deadline) revert DeadlineNotPassed(taskId, deadline);
        MarketParams memory m = _parameters.marketAt(r.rules);
        address provider = _providerOf(r);
        // INVARIANT P-T6: A liveness slash is burned; the requester gains nothing by making a provider late.
        uint128 penalty = _vault.slashTask(provider, taskId, false, m.livenessBps, Pots.BURN);
        _vault.jail(provider, uint64(block.timestamp) + m.jailSeconds);
        emit DeadlineMissed(taskId, provider, penalty);
        _requeue(taskId, r, "deadline", 0);
    }

    function expire(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Open);
        uint64 expiresAt = _expiresAt(r);
        // INVARIANT P-T5: A life runs from enqueueing, whatever the place in the lane.
        if (block.timestamp <= expiresAt) revert NotExpired(taskId, expiresAt);
        _expire(taskId, r);
    }

    function settle(uint256 taskId) external {
        // INVARIANT P-T8: No open challenge: a disputed task is in another state.
        Record storage r = _inState(taskId, TaskState.Committed);
        uint64 from = uint64(r.committedAt) + r.settleDelay;
        // INVARIANT P-T8: Every challenge committed in time has had its chance to be revealed.
        if (block.timestamp < from) revert TooEarlyToSettle(taskId, from);
        // INVARIANT P-T8: The audit is decided and closed.
        if (r.flags & FLAG_AUDIT_CLOSED == 0) revert AuditOpen(taskId);
        uint128 price = _clearingPrice(r);
        address provider = _providerOf(r);
        r.state = TaskState.Settled;
        uint128 refund = _vault.settleTask(provider, taskId, r.requester, price, r.maxPrice);
        emit TaskSettled(taskId, provider, price, refund);
    }

    // ---- views

    /// @notice P-T3: least `execSeconds` of a task of this model.
    function execFloor(bytes32 modelId) external view returns (uint256) {
        (,,, uint64 minThroughput,,,,) = _parameters.forPost();
        return _execFloor(_modelIndex(modelId), minThroughput);
    }

    // ---- inside

    function _claim(uint256 taskId, Record storage r) private {
        uint128 price = _priceAt(r, block.timestamp);
        uint8 attempt = r.attempt;

        r.state = TaskState.Claimed;
        r.claimedAt = uint40(block.timestamp);
        (address owner, uint32 index, uint128 collateral) = _lock(taskId, r.rules, r.maxPrice);
        r.provider = index;
        // INVARIANT P-T4: Whoever failed a task, under any key of the same owner, does not get it again.
        if (attempt != 0 && _excluded[taskId][owner]) revert ExcludedFromTask(taskId, msg.sender);
        _leaveLane(r);
        emit TaskClaimed(taskId, msg.sender, price, collateral, _deadline(r), attempt);
    }

    function _lock(uint256 taskId, uint16 rules, uint256 maxPrice)
        private
        returns (address owner, uint32 index, uint128 collateral)
    {
        (uint128 minCollateral, uint32 collateralBps, uint16 maxLockedBps, uint128 minStake) = _parameters.forClaim(rules);
        uint256 share = maxPrice * collateralBps / 10_000;
        collateral = share > minCollateral ? uint128(share) : minCollateral;
        (owner, index) = _vault.lockTask(msg.sender, taskId, collateral, maxLockedBps, minStake);
    }

    /// @dev Checks a spec against the newest rules and pins them in the record.
    function _checkSpec(TaskSpec calldata spec, uint256 model, Record storage r) private returns (uint128 auditLevy) {
        uint16 rules;
        uint32 settleDelay;
        bool paused;
        uint128 ceiling;
        uint64 minThroughput;
        uint32 execMax;
        uint16 priceFloorBps;
        (rules, paused, ceiling, minThroughput, execMax, priceFloorBps, auditLevy, settleDelay) = _parameters.forPost();
        r.rules = rules;
        r.settleDelay = uint24(settleDelay);
        // INVARIANT P-G1: A pause stops new tasks and nothing else.
        if (paused) revert NewTasksPaused();
        uint256 floor = (uint256(spec.maxPrice) * priceFloorBps + 9_999) / 10_000;
        // INVARIANT P-T1: A price range is a range, worth something, inside what the audit rate was computed for.
        if (spec.maxPrice == 0 || spec.minPrice > spec.maxPrice || spec.minPrice < floor || spec.maxPrice > ceiling) {
            revert PriceOutOfRange(spec.minPrice, spec.maxPrice, floor, ceiling);
        }
        uint256 least = _execFloor(model, minThroughput);
        // INVARIANT P-T3: A deadline leaves time for the model's declared work.
        if (spec.execSeconds < least || spec.execSeconds > execMax || spec.execSeconds == 0) {
            revert ExecSecondsOutOfRange(spec.execSeconds, least, execMax);
        }
        if (spec.inputDigest == 0) revert ZeroDigest("inputDigest");
    }

    function _execFloor(uint256 model, uint64 minThroughput) private view returns (uint256) {
        ModelHeader storage h = _models[model];
        return (uint256(h.work) * h.maxSteps + minThroughput - 1) / minThroughput;
    }

    /// @dev The output ends the trace, and the run.
    function _checkEnd(
        ModelHeader storage h,
        uint32 steps,
        bytes32 outputDigest,
        bytes32 level1Root,
        bytes32[] calldata outputProof,
        bytes32[] calldata stopProof
    ) private view {
        uint32 maxSteps = h.maxSteps;
        // INVARIANT P-T6: The trace has an end, inside the model's bound.
        if (steps == 0 || steps > maxSteps) revert StepsOutOfRange(steps, maxSteps);
        // INVARIANT P-T6: A tree has the height the model says.
        _checkLength(outputProof, h.traceHeight);
        if (outputDigest == 0) revert ZeroDigest("outputDigest");
        bytes32 root = _rootOf(outputDigest, uint256(steps) * h.commitPoints - 1, outputProof);
        // INVARIANT P-T6: The output is the trace's last leaf.
        if (root != level1Root) revert OutputNotInTrace(root, level1Root);
        if (maxSteps == 1) return;
        _checkLength(stopProof, h.liveHeight);
        root = _rootOf(STOPPED, 0, stopProof);
        // INVARIANT P-T6: A run ends where its graph says so: too few steps, or too many, take a wrong operator.
        if (root != outputDigest) revert NotStopped(root, outputDigest);
    }

    function _checkLength(bytes32[] calldata proof, uint256 wanted) private pure {
        if (proof.length != wanted) revert ProofLength(proof.length, wanted);
    }

    /// @dev Root of the tree in which `leaf` sits at `index` with these siblings (spec/trace.md, "opening").
    function _rootOf(bytes32 leaf, uint256 index, bytes32[] calldata proof) private pure returns (bytes32 node) {
        node = leaf;
        for (uint256 k = 0; k < proof.length; k++) {
            node = (index >> k) & 1 == 0
                ? sha256(abi.encodePacked(TAG_NODE, node, proof[k]))
                : sha256(abi.encodePacked(TAG_NODE, proof[k], node));
        }
    }
}
