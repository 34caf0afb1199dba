// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MarketParams} from "../interfaces/IParameters.sol";
import {ModelHeader, TaskSpec, TaskState} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {Pots} from "../lib/Pots.sol";
import {MarketVerdicts} from "./MarketVerdicts.sol";

/// @notice Task lifecycle and reverse Dutch auction. Edges: spec/protocol.md, "Task lifecycle".
contract Market is MarketVerdicts, ReentrancyGuardTransient {
    error NewTasksPaused();
    error PriceOutOfRange(uint128 minPrice, uint128 maxPrice, uint256 floor, uint256 ceiling);
    error ExecSecondsOutOfRange(uint32 asked, uint256 least, uint256 most);
    error ZeroDigest(bytes32 what);
    error NotRequester(uint256 taskId, address caller);
    error NotProvider(uint256 taskId, address caller);
    error ExcludedFromTask(uint256 taskId, address provider);
    error DeadlinePassed(uint256 taskId, uint64 deadline);
    error DeadlineNotPassed(uint256 taskId, uint64 deadline);
    error StepsOutOfRange(uint32 steps, uint32 most);
    error ProofLength(uint256 found, uint256 wanted);
    error OutputNotInTrace(bytes32 found, bytes32 wanted);
    error RetractWindowClosed(uint256 taskId, uint64 closedAt);
    error AlreadyChallenged(uint256 taskId);
    error NotExpired(uint256 taskId, uint64 expiresAt);
    error TooEarlyToSettle(uint256 taskId, uint64 settleableAt);
    error AuditOpen(uint256 taskId);
    error WiringMismatch(bytes32 what, address expected, address found);

    bytes1 private constant TAG_NODE = 0x01;

    constructor(System memory system) MarketVerdicts(system) {}

    // ---- requester

    function post(TaskSpec calldata spec, string calldata inputUri) external nonReentrant returns (uint256 taskId) {
        (uint16 rules, bool paused, MarketParams memory m) = _parameters.forPost();
        // INVARIANT P-G1: A pause stops new tasks and nothing else.
        if (paused) revert NewTasksPaused();
        uint256 model = _modelIndex(spec.modelId);
        _checkSpec(spec, m, model);

        taskId = ++taskCount;
        Record storage r = _tasks[taskId];
        r.requester = msg.sender;
        r.model = uint32(model);
        r.rules = rules;
        r.state = TaskState.Open;
        r.seed = spec.seed;
        r.rampSeconds = spec.rampSeconds;
        r.execSeconds = spec.execSeconds;
        r.openedAt = uint40(block.timestamp);
        r.minPrice = spec.minPrice;
        r.maxPrice = spec.maxPrice;
        r.inputDigest = spec.inputDigest;
        emit TaskPosted(taskId, msg.sender, spec.modelId, spec, inputUri);
        // INVARIANT P-T1: The escrow is in the task's pot before anyone can claim.
        _vault.fundPot(Pots.task(taskId), msg.sender, spec.maxPrice + m.auditLevy);
    }

    function cancel(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Open);
        // INVARIANT P-T1: Only the requester takes the escrow back, and only while nobody works for it.
        if (msg.sender != r.requester) revert NotRequester(taskId, msg.sender);
        r.state = TaskState.Cancelled;
        if (r.attempt != 0) _front(r.model);
        emit TaskCancelled(taskId, _refund(taskId, r.requester));
    }

    // ---- provider

    function claim(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Open);
        _passGate(r.model, taskId, msg.sender);
        _claim(taskId, r);
    }

    function claimRetry(bytes32 classId) external returns (uint256 taskId) {
        uint256 model = _modelIndex(classId);
        taskId = _front(model);
        // Entries that outlived their life are sent home on the way.
        while (taskId != 0 && block.timestamp > _expiresAt(_tasks[taskId])) {
            _expire(taskId, _tasks[taskId]);
            taskId = _front(model);
        }
        // INVARIANT P-T5: Retries are served from the head; nobody picks inside a lane.
        if (taskId == 0) revert NoRetryWaits(classId);
        _passGate(model, taskId, msg.sender);
        _claim(taskId, _tasks[taskId]);
    }

    function commit(uint256 taskId, uint32 steps, bytes32 outputDigest, bytes32 level1Root, bytes32[] calldata outputProof)
        external
    {
        Record storage r = _inState(taskId, TaskState.Claimed);
        // INVARIANT P-T6: The provider answers for its own result.
        if (msg.sender != r.provider) revert NotProvider(taskId, msg.sender);
        uint64 deadline = _deadline(r);
        // INVARIANT P-T6: Nothing is accepted after the deadline.
        if (block.timestamp > deadline) revert DeadlinePassed(taskId, deadline);
        ModelHeader storage h = _models[r.model];
        // INVARIANT P-T6: The trace has an end, inside the model's bound.
        if (steps == 0 || steps > h.maxSteps) revert StepsOutOfRange(steps, h.maxSteps);
        // INVARIANT P-T6: A tree has the height the model says.
        if (outputProof.length != h.traceHeight) revert ProofLength(outputProof.length, h.traceHeight);
        if (outputDigest == 0) revert ZeroDigest("outputDigest");
        bytes32 root = _rootOf(outputDigest, uint256(steps) * h.commitPoints - 1, outputProof);
        // INVARIANT P-T6: The output is the trace's last leaf.
        if (root != level1Root) revert OutputNotInTrace(root, level1Root);

        r.state = TaskState.Committed;
        r.committedAt = uint40(block.timestamp);
        r.steps = steps;
        r.outputDigest = outputDigest;
        r.level1Root = level1Root;
        emit ResultCommitted(taskId, msg.sender, steps, outputDigest, _traceRoot(steps, level1Root));
    }

    function retract(uint256 taskId) external {
        Record storage r = _inState(taskId, TaskState.Committed);
        if (msg.sender != r.provider) revert NotProvider(taskId, msg.sender);
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
        address provider = r.provider;
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
        (uint32 challengeWindow, uint32 revealWindow, uint128 levy) = _parameters.forSettle(r.rules);
        uint64 from = uint64(r.committedAt) + challengeWindow + revealWindow;
        // INVARIANT P-T8: Every challenge committed in time has had its chance to be revealed.
        if (block.timestamp < from) revert TooEarlyToSettle(taskId, from);
        // INVARIANT P-T8: The audit is decided and closed.
        if (r.flags & FLAG_AUDIT_CLOSED == 0) revert AuditOpen(taskId);
        uint128 price = _clearingPrice(r);
        address provider = r.provider;
        r.state = TaskState.Settled;
        uint128 refund = _vault.settleTask(provider, taskId, r.requester, price, levy);
        emit TaskSettled(taskId, provider, price, refund);
    }

    // ---- views

    /// @notice P-T3: least `execSeconds` of a task of this model.
    function execFloor(bytes32 modelId) external view returns (uint256) {
        (,, MarketParams memory m) = _parameters.forPost();
        return _execFloor(_modelIndex(modelId), m.minThroughput);
    }

    /// @notice Reverts unless all contracts of the deployment name each other.
    function checkWiring() external view {
        _sameAddress("vault.market", address(this), _read(address(_vault), "market()"));
        _sameAddress("vault.court", court, _read(address(_vault), "court()"));
        _sameAddress("vault.audits", audits, _read(address(_vault), "audits()"));
        _sameAddress("vault.parameters", address(_parameters), _read(address(_vault), "parameters()"));
        _sameAddress("pool.vault", address(_vault), _read(pool, "vault()"));
        _sameAddress("pool.parameters", address(_parameters), _read(pool, "parameters()"));
        _sameAddress("court.market", address(this), _read(court, "market()"));
        _sameAddress("audits.market", address(this), _read(audits, "market()"));
        _sameAddress("audits.court", court, _read(audits, "court()"));
    }

    // ---- inside

    function _claim(uint256 taskId, Record storage r) private {
        (uint128 minCollateral, uint32 collateralBps, uint16 maxLockedBps, uint128 minStake) = _parameters.forClaim(r.rules);
        uint256 share = uint256(r.maxPrice) * collateralBps / 10_000;
        uint128 collateral = share > minCollateral ? uint128(share) : minCollateral;
        uint128 price = _priceAt(r, block.timestamp);
        uint8 attempt = r.attempt;

        r.state = TaskState.Claimed;
        r.provider = msg.sender;
        r.claimedAt = uint40(block.timestamp);
        address owner = _vault.lockTask(msg.sender, taskId, collateral, maxLockedBps, minStake);
        // INVARIANT P-T4: Whoever failed a task, under any key of the same owner, does not get it again.
        if (attempt != 0 && _excluded[taskId][owner]) revert ExcludedFromTask(taskId, msg.sender);
        if (attempt != 0) _front(r.model);
        emit TaskClaimed(taskId, msg.sender, price, collateral, _deadline(r), attempt);
    }

    function _checkSpec(TaskSpec calldata spec, MarketParams memory m, uint256 model) private view {
        uint256 floor = (uint256(spec.maxPrice) * m.priceFloorBps + 9_999) / 10_000;
        // INVARIANT P-T1: A price range is a range, worth something, inside what the audit rate was computed for.
        if (spec.maxPrice == 0 || spec.minPrice > spec.maxPrice || spec.minPrice < floor || spec.maxPrice > m.maxTaskPrice) {
            revert PriceOutOfRange(spec.minPrice, spec.maxPrice, floor, m.maxTaskPrice);
        }
        uint256 least = _execFloor(model, m.minThroughput);
        // INVARIANT P-T3: A deadline leaves time for the model's declared work.
        if (spec.execSeconds < least || spec.execSeconds > m.execMax || spec.execSeconds == 0) {
            revert ExecSecondsOutOfRange(spec.execSeconds, least, m.execMax);
        }
        if (spec.inputDigest == 0) revert ZeroDigest("inputDigest");
    }

    function _execFloor(uint256 model, uint64 minThroughput) private view returns (uint256) {
        ModelHeader storage h = _models[model];
        return (uint256(h.work) * h.maxSteps + minThroughput - 1) / minThroughput;
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

    function _read(address from, string memory signature) private view returns (address) {
        (bool done, bytes memory data) = from.staticcall(abi.encodeWithSignature(signature));
        return done && data.length == 32 ? abi.decode(data, (address)) : address(0);
    }

    function _sameAddress(bytes32 what, address expected, address found) private pure {
        if (expected != found) revert WiringMismatch(what, expected, found);
    }
}
