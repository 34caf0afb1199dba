// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {StopLeaf} from "../utils/StopLeaf.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {DevToken} from "../../src/token/DevToken.sol";
import {Parameters} from "../../src/Parameters.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {Market} from "../../src/market/Market.sol";
import {CourtParams, MarketParams} from "../../src/interfaces/IParameters.sol";
import {Task, TaskSpec, TaskState} from "../../src/interfaces/Types.sol";
import {ParameterChecks} from "../../src/lib/ParameterChecks.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice How situations of vault and market are made, and a second bookkeeping of them, kept from what the handler did and never
/// read back from the contracts.
abstract contract MarketGhosts is Test {
    bytes32 internal constant SLASH_POT = bytes32(uint256(0x77) << 240);
    uint128 internal constant UNIT = 1e18;

    struct Wiring {
        DevToken token;
        Parameters parameters;
        StakeVault vault;
        Market market;
        address court;
        address audits;
        address requester;
        bytes32 modelId;
        bytes32 familyId; // or 0
        bytes32 classId;
        uint8 traceHeight;
        uint8 liveHeight;
        uint32 commitPoints;
    }

    struct Ghost {
        TaskState state;
        uint8 attempt;
        address provider;
        uint128 collateral;
        uint32 disputes;
        uint64 enqueuedAt;
        uint128 maxPrice;
    }

    Wiring internal w;
    MarketParams internal rules;
    CourtParams internal verdict;

    address[] public providers;
    uint256 public tasks;
    mapping(uint256 => Ghost) internal ghosts;
    mapping(uint256 => mapping(address => bool)) internal failedBy; // task -> provider that had an attempt
    mapping(address => bool) public ghostTombstoned;
    mapping(address => uint256) internal ghostRetryCredit;
    uint256[] internal waiting; // retries in order of enqueueing
    uint256 public ghostSlashed;
    uint256 public ghostSplit;
    uint256 public sequence;

    struct Conviction {
        address provider;
        uint64 at;
        uint256 stake; // whole, before the slash
        uint256 activeAfter; // everybody else's who was never convicted
        bool paid;
    }

    Conviction[] internal convictions;

    mapping(bytes32 => uint256) public calls;
    bytes32[] public actions;
    uint256 public total;

    constructor(Wiring memory wiring, address[] memory first) {
        w = wiring;
        rules = wiring.parameters.marketAt(1);
        verdict = wiring.parameters.courtAt(1);
        for (uint256 i = 0; i < first.length; i++) {
            providers.push(first[i]);
        }
    }

    function actionCount() external view returns (uint256) {
        return actions.length;
    }

    function providerCount() external view returns (uint256) {
        return providers.length;
    }

    function ghost(uint256 taskId) external view returns (Ghost memory) {
        return ghosts[taskId];
    }

    modifier counted(bytes32 action) {
        _;
        if (calls[action]++ == 0) actions.push(action);
        total++;
        _observeTime();
    }

    // ---- how situations are made

    function _post(uint256 seed) internal returns (uint256 taskId) {
        TaskSpec memory spec = TaskSpec({
            modelId: w.modelId,
            familyId: w.familyId,
            inputDigest: keccak256(abi.encode("input", seed)),
            seed: uint64(seed),
            minPrice: uint128(bound(seed, 0, UNIT)),
            maxPrice: uint128(bound(seed >> 64, UNIT, 5 * UNIT)),
            rampSeconds: uint32(bound(seed >> 128, 0, 600)),
            execSeconds: uint32(bound(seed >> 192, 60, 3_600))
        });
        vm.prank(w.requester);
        taskId = w.market.post(spec, "");
        assertEq(taskId, ++tasks, "ids run up");
        Ghost storage g = ghosts[taskId];
        g.enqueuedAt = uint64(block.timestamp);
        g.maxPrice = spec.maxPrice;
        _move(taskId, TaskState.Open);
    }

    /// @dev A task in `state`, made if there is none.
    function _pick(TaskState state, uint256 seed) internal returns (uint256 taskId) {
        for (uint256 i = 0; i < 12 && tasks != 0; i++) {
            taskId = 1 + uint256(keccak256(abi.encode(seed, i))) % tasks;
            if (ghosts[taskId].state == state && !ghostTombstoned[ghosts[taskId].provider]) return taskId;
        }
        if (state == TaskState.Open) return _post(seed);
        if (state == TaskState.Claimed) {
            taskId = _post(seed);
            _claimUngated(taskId, seed);
            return taskId;
        }
        taskId = _pick(TaskState.Claimed, seed);
        if (!_commit(taskId)) taskId = _freshResult(seed);
        if (state == TaskState.Disputed) _openDispute(taskId);
    }

    /// @dev A result, disputed or not.
    function _result(uint256 seed) internal returns (uint256) {
        return seed % 2 == 0 ? _pick(TaskState.Committed, seed) : _pick(TaskState.Disputed, seed);
    }

    function _freshResult(uint256 seed) internal returns (uint256 taskId) {
        taskId = _post(seed);
        _claimUngated(taskId, seed);
        _commit(taskId);
    }

    function _undecided(uint256 seed) internal returns (uint256 taskId) {
        taskId = _result(seed);
        Task memory t = w.market.task(taskId);
        if (t.auditPending || t.auditClosed) taskId = _freshResult(seed);
    }

    function _ensureRetry(uint256 seed) internal {
        if (_ghostHead() == 0) _retract(seed);
    }

    function _retract(uint256 seed) internal {
        uint256 taskId = _freshResult(seed);
        address provider = ghosts[taskId].provider;
        vm.prank(provider);
        w.market.retract(taskId);
        _slashedLiveness(taskId, provider);
        _requeued(taskId, 0);
    }

    /// @dev A new provider is never gated for long: it takes the head first, if it must.
    function _claimUngated(uint256 taskId, uint256 seed) internal {
        address provider = _fit(seed, taskId);
        uint256 head = _ghostHead();
        if (head != 0 && _gates(head, provider)) {
            if (ghostRetryCredit[provider] == 0) {
                vm.prank(provider);
                assertEq(w.market.claimRetry(w.classId), head, "I9: head");
                ghostRetryCredit[provider] = rules.retryEvery;
                _claimed(head, provider);
                // the head may have taken what the provider had left
                return _claimUngated(taskId, uint256(keccak256(abi.encode(seed))));
            }
            ghostRetryCredit[provider]--;
        }
        _claim(taskId, provider);
    }

    function _claim(uint256 taskId, address provider) internal {
        vm.prank(provider);
        w.market.claim(taskId);
        _claimed(taskId, provider);
    }

    function _claimed(uint256 taskId, address provider) internal {
        _unqueue(taskId);
        Ghost storage g = ghosts[taskId];
        g.provider = provider;
        g.collateral = uint128(ParameterChecks.collateral(rules, g.maxPrice));
        _move(taskId, TaskState.Claimed);
    }

    /// @dev False when it was too late and the task went back.
    function _commit(uint256 taskId) internal returns (bool inTime) {
        Task memory t = w.market.task(taskId);
        if (block.timestamp > t.deadline) {
            w.market.missDeadline(taskId);
            _slashedLiveness(taskId, t.provider);
            _requeued(taskId, 0);
            return false;
        }
        bytes32[] memory leaves = new bytes32[](w.commitPoints);
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = keccak256(abi.encode(taskId, t.attempt, i));
        }
        bytes32 seed = leaves[leaves.length - 1];
        leaves[leaves.length - 1] = StopLeaf.leaf(seed, w.liveHeight);
        bytes32 root = TraceTree.root(leaves, w.traceHeight);
        bytes32[] memory proof = TraceTree.open(leaves, w.traceHeight, leaves.length - 1);
        vm.prank(t.provider);
        w.market.commit(taskId, 1, leaves[leaves.length - 1], root, proof, StopLeaf.proof(seed, w.liveHeight));
        _move(taskId, TaskState.Committed);
        return true;
    }

    function _openDispute(uint256 taskId) internal {
        Ghost storage g = ghosts[taskId];
        if (g.state != TaskState.Committed && g.state != TaskState.Disputed) return;
        vm.startPrank(w.court);
        w.market.challengeCommitted(taskId, g.attempt);
        w.market.disputeOpened(taskId, g.attempt);
        w.vault.freeze(g.provider);
        vm.stopPrank();
        g.disputes++;
        if (g.state == TaskState.Committed) _move(taskId, TaskState.Disputed);
    }

    function _clear(uint256 taskId) internal {
        Ghost storage g = ghosts[taskId];
        vm.startPrank(w.court);
        w.market.disputeClosed(taskId, g.attempt);
        w.vault.unfreeze(g.provider);
        vm.stopPrank();
        if (--g.disputes == 0) _move(taskId, TaskState.Committed);
    }

    function _decide(uint256 taskId, bool selected) internal {
        uint8 attempt = ghosts[taskId].attempt;
        vm.startPrank(w.audits);
        w.market.auditDecided(taskId, attempt, selected);
        if (selected) w.market.auditClosed(taskId, attempt);
        vm.stopPrank();
    }

    function _settle(uint256 taskId) internal {
        Task memory t = w.market.task(taskId);
        if (!t.auditClosed) _decide(taskId, false);
        uint64 from = w.market.settleableAt(taskId);
        if (block.timestamp < from) vm.warp(from);
        w.market.settle(taskId);
        _leaves(taskId, TaskState.Settled);
    }

    /// @dev Bring all of a provider's tasks to an end it does not lose by.
    function _finishObligations(address provider) internal {
        for (uint256 id = 1; id <= tasks; id++) {
            Ghost storage g = ghosts[id];
            if (g.provider != provider) continue;
            if (ghostTombstoned[provider] && _live(g.state)) {
                _reverse(id);
                continue;
            }
            if (g.state == TaskState.Claimed) _commit(id);
            while (g.state == TaskState.Disputed) {
                _clear(id);
            }
            if (g.state == TaskState.Committed) _settle(id);
        }
    }

    function _reverseAll(address provider) internal {
        for (uint256 id = 1; id <= tasks; id++) {
            if (ghosts[id].provider == provider && _live(ghosts[id].state)) _reverse(id);
        }
    }

    function _reverse(uint256 taskId) internal {
        Ghost storage g = ghosts[taskId];
        vm.startPrank(w.court);
        for (uint256 i = 0; i < g.disputes; i++) {
            w.vault.unfreeze(g.provider);
        }
        vm.stopPrank();
        w.market.reverse(taskId);
        _requeued(taskId, 0);
    }

    function _register() internal returns (address key) {
        key = address(uint160(uint256(keccak256(abi.encode("provider", providers.length)))));
        require(w.token.transfer(key, 2_000 * UNIT));
        vm.startPrank(key);
        w.token.approve(address(w.vault), type(uint256).max);
        w.vault.register(key, key, 4, 400 * UNIT);
        vm.stopPrank();
        providers.push(key);
    }

    /// @dev A provider that may take `taskId`, registered if there is none.
    function _fit(uint256 seed, uint256 taskId) internal returns (address) {
        uint128 collateral = uint128(ParameterChecks.collateral(rules, ghosts[taskId].maxPrice));
        for (uint256 i = 0; i < 8; i++) {
            address p = providers[uint256(keccak256(abi.encode(seed, i, "fit"))) % providers.length];
            if (!failedBy[taskId][p] && w.vault.canLock(p, collateral, rules.maxLockedBps, 100 * UNIT)) return p;
        }
        return _register();
    }

    function _standing(uint256 seed) internal returns (address) {
        for (uint256 i = 0; i < 8; i++) {
            address p = providers[uint256(keccak256(abi.encode(seed, i))) % providers.length];
            if (!ghostTombstoned[p]) return p;
        }
        return _register();
    }

    // ---- the second bookkeeping

    function _live(TaskState s) internal pure returns (bool) {
        return s == TaskState.Claimed || s == TaskState.Committed || s == TaskState.Disputed;
    }

    function _obligations(address provider) internal view returns (uint256 n) {
        for (uint256 id = 1; id <= tasks; id++) {
            if (ghosts[id].provider == provider && _live(ghosts[id].state)) n += 1 + ghosts[id].disputes;
        }
    }

    /// @dev I5: only the edges of the lifecycle.
    function _move(uint256 taskId, TaskState to) internal {
        TaskState from = ghosts[taskId].state;
        bool allowed = (from == TaskState.None && to == TaskState.Open)
            || (from == TaskState.Open && (to == TaskState.Claimed || to == TaskState.Cancelled || to == TaskState.Expired))
            || (from == TaskState.Claimed && (to == TaskState.Committed || to == TaskState.Open))
            || (from == TaskState.Committed && (to == TaskState.Disputed || to == TaskState.Settled || to == TaskState.Open))
            || (from == TaskState.Disputed && (to == TaskState.Committed || to == TaskState.Open));
        assertTrue(allowed, "I5: an edge the lifecycle does not have");
        ghosts[taskId].state = to;
        assertEq(uint256(w.market.task(taskId).state), uint256(to), "I5: the state the history gives");
    }

    function _leaves(uint256 taskId, TaskState to) internal {
        _unqueue(taskId);
        _move(taskId, to);
        Ghost storage g = ghosts[taskId];
        g.collateral = 0;
        g.disputes = 0;
    }

    function _requeued(uint256 taskId, uint128 topUp) internal {
        Ghost storage g = ghosts[taskId];
        failedBy[taskId][g.provider] = true;
        g.attempt++;
        g.collateral = 0;
        g.disputes = 0;
        g.provider = address(0);
        g.enqueuedAt = uint64(block.timestamp);
        g.maxPrice += topUp < g.maxPrice ? topUp : g.maxPrice;
        _move(taskId, TaskState.Open);
        assertEq(w.market.task(taskId).attempt, g.attempt, "I5: one attempt further");
        waiting.push(taskId);
    }

    function _slashedLiveness(uint256 taskId, address provider) internal {
        Ghost storage g = ghosts[taskId];
        uint128 cut = g.collateral * rules.livenessBps / 10_000;
        ghostSlashed += cut;
        ghostSplit += cut;
        vm.prank(w.court);
        assertEq(w.vault.slashTask(provider, taskId, false, 10_000, Pots.BURN), 0, "I3: second liveness slash");
    }

    function _unqueue(uint256 taskId) internal {
        for (uint256 i = 0; i < waiting.length; i++) {
            if (waiting[i] != taskId) continue;
            for (uint256 j = i; j + 1 < waiting.length; j++) {
                waiting[j] = waiting[j + 1];
            }
            waiting.pop();
            return;
        }
    }

    /// @dev Oldest entry of the highest attempt.
    function _ghostHead() internal view returns (uint256 head) {
        for (uint256 i = 0; i < waiting.length; i++) {
            if (head == 0 || ghosts[waiting[i]].attempt > ghosts[head].attempt) head = waiting[i];
        }
    }

    function _gates(uint256 head, address provider) internal view returns (bool) {
        Ghost storage g = ghosts[head];
        uint256 waited = block.timestamp - g.enqueuedAt;
        if (waited <= rules.retryGrace || waited > rules.retryLifetime || failedBy[head][provider]) return false;
        uint128 collateral = uint128(ParameterChecks.collateral(rules, g.maxPrice));
        return w.vault.canLock(provider, collateral, rules.maxLockedBps, 100 * UNIT);
    }

    /// @dev What `claimRetry` does on its way: heads past their life go home.
    function _sweepExpired() internal returns (uint256 head) {
        head = _ghostHead();
        while (head != 0 && block.timestamp > ghosts[head].enqueuedAt + rules.retryLifetime) {
            w.market.expire(head);
            _leaves(head, TaskState.Expired);
            head = _ghostHead();
        }
    }

    function _observeTime() private {
        vm.roll(block.number + 1);
    }
}
