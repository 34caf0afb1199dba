// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {IParameters, MarketParams} from "../interfaces/IParameters.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {ModelHeader, Task, TaskState} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {ParameterChecks} from "../lib/ParameterChecks.sol";

/// @notice The market's books: packed records of models and tasks, and what can be read off them.
abstract contract MarketStorage is IMarketCourt {
    error UnknownModel(bytes32 modelId);
    error UnknownTask(uint256 taskId, uint256 taskCount);
    error WrongState(uint256 taskId, TaskState found, TaskState wanted);

    /// @dev What a task needs for its whole life fits six slots, and a seventh if it is about a binding of a family; price, deadline and collateral follow from them. A claim
    /// writes slot 0 alone, a commit slot 0 and the last two.
    struct Record {
        // slot 0
        TaskState state;
        uint8 attempt;
        uint8 flags;
        uint24 openChallenges; // more than anyone can afford: a full count would refuse the next reveal
        uint16 rules; // version of the parameters
        uint24 model; // index in `_modelIds`
        uint32 provider; // of the current or last attempt, its number in the vault
        uint24 execSeconds;
        uint40 claimedAt;
        uint40 committedAt;
        uint32 steps;
        // slot 1
        address requester;
        uint64 seed;
        uint32 rampSeconds;
        // slot 2
        uint96 minPrice;
        uint96 maxPrice;
        uint40 openedAt;
        uint24 settleDelay; // challenge and reveal windows
        // slots 3 to 5
        bytes32 inputDigest;
        bytes32 outputDigest;
        bytes32 level1Root;
        // slot 6, of a task with FLAG_FAMILY
        bytes32 familyId;
    }

    uint8 internal constant FLAG_AUDIT_PENDING = 1;
    uint8 internal constant FLAG_AUDIT_CLOSED = 2;
    uint8 internal constant FLAG_CHALLENGED = 4;
    /// @dev A dispute about this result ended in favour of nobody.
    uint8 internal constant FLAG_VOIDED = 8;
    /// @dev The task's class is a family; the only flag that outlives an attempt.
    uint8 internal constant FLAG_FAMILY = 16;

    bytes1 private constant TAG_TRACE_ROOT = 0x03;

    IStakeVaultModule internal immutable _vault;
    IParameters internal immutable _parameters;
    address public immutable pool;
    address public immutable court;
    address public immutable audits;
    address public immutable beacon;

    uint256 public taskCount;
    mapping(uint256 => Record) internal _tasks;
    mapping(uint256 => mapping(address => bool)) internal _excluded; // task -> owner of a provider that had an attempt
    bytes32[] internal _modelIds;
    mapping(bytes32 => uint256) internal _modelIndexPlusOne;
    mapping(uint256 => ModelHeader) internal _models; // by index; the counts share one slot

    constructor(System memory system) {
        _vault = IStakeVaultModule(system.vault);
        _parameters = IParameters(system.parameters);
        pool = system.pool;
        court = system.court;
        audits = system.audits;
        beacon = system.beacon;
    }

    function vault() external view returns (address) {
        return address(_vault);
    }

    function parameters() external view returns (address) {
        return address(_parameters);
    }

    function task(uint256 taskId) external view returns (Task memory t) {
        Record storage r = _known(taskId);
        t.requester = r.requester;
        t.modelId = _modelIds[r.model];
        t.classId = r.flags & FLAG_FAMILY != 0 ? r.familyId : t.modelId;
        t.inputDigest = r.inputDigest;
        t.seed = r.seed;
        t.state = r.state;
        t.attempt = r.attempt;
        t.openedAt = r.openedAt;
        t.minPrice = r.minPrice;
        t.maxPrice = r.maxPrice;
        t.rampSeconds = r.rampSeconds;
        t.execSeconds = r.execSeconds;
        t.openChallenges = r.openChallenges < type(uint16).max ? uint16(r.openChallenges) : type(uint16).max;
        t.auditPending = r.flags & FLAG_AUDIT_PENDING != 0;
        t.auditClosed = r.flags & FLAG_AUDIT_CLOSED != 0;
        if (!_served(r.state)) return t;
        t.provider = _providerOf(r);
        t.price = _clearingPrice(r);
        t.collateral = _vault.lockedFor(t.provider, taskId);
        t.deadline = _deadline(r);
        if (r.committedAt == 0) return t;
        t.committedAt = r.committedAt;
        t.steps = r.steps;
        t.outputDigest = r.outputDigest;
        t.traceRoot = _traceRoot(r.steps, r.level1Root);
    }

    function standing(uint256 taskId)
        external
        view
        returns (TaskState state, uint8 attempt, address provider, uint64 committedAt, uint32 steps)
    {
        Record storage r = _tasks[taskId];
        state = r.state;
        attempt = r.attempt;
        if (!_served(state)) return (state, attempt, address(0), 0, 0);
        return (state, attempt, _providerOf(r), r.committedAt, r.steps);
    }

    function rulesOf(uint256 taskId) external view returns (uint16) {
        return _known(taskId).rules;
    }

    function level1RootOf(uint256 taskId) external view returns (bytes32) {
        Record storage r = _known(taskId);
        return r.committedAt == 0 ? bytes32(0) : r.level1Root;
    }

    /// @notice Price of a claim made now while the task is open; the price agreed once it is claimed.
    function priceNow(uint256 taskId) external view returns (uint128) {
        Record storage r = _known(taskId);
        return r.state == TaskState.Open ? _priceAt(r, block.timestamp) : _clearingPrice(r);
    }

    function settleableAt(uint256 taskId) external view returns (uint64) {
        Record storage r = _known(taskId);
        if (r.committedAt == 0) return type(uint64).max;
        return uint64(r.committedAt) + r.settleDelay;
    }

    function collateralFor(uint128 maxPrice) external view returns (uint128) {
        MarketParams memory m = _parameters.marketAt(_parameters.version());
        return uint128(ParameterChecks.collateral(m, maxPrice));
    }

    /// @notice P-T4: the owner of `provider` has had an attempt at this task.
    function isExcluded(uint256 taskId, address provider) public view returns (bool) {
        return _excluded[taskId][_vault.provider(provider).owner];
    }

    // ---- shared by the parts of the market

    function _known(uint256 taskId) internal view returns (Record storage r) {
        r = _tasks[taskId];
        if (r.state == TaskState.None) revert UnknownTask(taskId, taskCount);
    }

    function _inState(uint256 taskId, TaskState wanted) internal view returns (Record storage r) {
        r = _known(taskId);
        if (r.state != wanted) revert WrongState(taskId, r.state, wanted);
    }

    function _providerOf(Record storage r) internal view returns (address) {
        return _vault.keyAt(r.provider);
    }

    /// @dev By what lanes are told apart: the family, or the index of a model that is a class of its own.
    function _laneOf(Record storage r) internal view returns (uint256) {
        return r.flags & FLAG_FAMILY != 0 ? uint256(r.familyId) : r.model;
    }

    function _served(TaskState s) internal pure returns (bool) {
        return s == TaskState.Claimed || s == TaskState.Committed || s == TaskState.Disputed || s == TaskState.Settled;
    }

    function _deadline(Record storage r) internal view returns (uint64) {
        return uint64(r.claimedAt) + r.execSeconds;
    }

    function _clearingPrice(Record storage r) internal view returns (uint128) {
        return _served(r.state) ? _priceAt(r, r.claimedAt) : 0;
    }

    /// @dev P-T2: min + (max - min) * min(1, elapsed / ramp), rounded down.
    function _priceAt(Record storage r, uint256 time) internal view returns (uint128) {
        uint256 low = r.minPrice;
        uint256 high = r.maxPrice;
        uint256 elapsed = time - r.openedAt;
        uint256 ramp = r.rampSeconds;
        if (elapsed >= ramp) return uint128(high);
        return uint128(low + (high - low) * elapsed / ramp);
    }

    function _traceRoot(uint32 steps, bytes32 level1Root) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_TRACE_ROOT, steps, level1Root));
    }
}
