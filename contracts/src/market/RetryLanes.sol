// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketParams} from "../interfaces/IParameters.sol";
import {TaskState} from "../interfaces/Types.sol";
import {ParameterChecks} from "../lib/ParameterChecks.sol";
import {ModelRegistry} from "./ModelRegistry.sol";

/// @notice Retry lanes (P-T5): per class one FIFO for each attempt number, the highest attempt first. An entry is live
/// while its task is open at that attempt; entries that left by another door are dropped when they reach the front.
abstract contract RetryLanes is ModelRegistry {
    error RetryWaits(uint256 headTaskId, uint64 enqueuedAt, uint32 grace);
    error NoRetryWaits(bytes32 classId);

    struct Lane {
        uint64 head;
        uint64 tail;
    }

    /// @dev Attempts are numbered 0 (normal lane) to this; a task that fails once more expires.
    uint8 internal constant ATTEMPT_MAX = 31;
    /// @dev Dead entries dropped in one call; whoever comes next goes on.
    uint256 private constant PRUNE_MAX = 8;
    /// @dev Entries looked at in one call. Each dead one cost somebody a penalty, so that hiding a head behind this many is dear.
    uint256 private constant LOOK_MAX = 128;

    /// @dev The lanes of a class, which `_laneOf` tells from others'.
    struct Lanes {
        uint256 bits; // set of attempts whose lane has entries
        mapping(uint256 => Lane) at; // attempt
        mapping(uint256 => uint256) entries; // attempt << 64 | position -> task
        mapping(address => uint16) credit; // provider -> normal claims it may still make
    }

    mapping(uint256 => Lanes) private _lanes;

    function retryHead(bytes32 classId) external view returns (uint256) {
        Lanes storage lanes = _lanes[_laneOfClass(classId)];
        uint256 bits = lanes.bits;
        while (bits != 0) {
            uint256 attempt = _highestBit(bits);
            Lane memory lane = lanes.at[attempt];
            for (; lane.head < lane.tail; lane.head++) {
                uint256 taskId = lanes.entries[attempt << 64 | lane.head];
                if (_waits(taskId, attempt)) return taskId;
            }
            bits &= ~(uint256(1) << attempt);
        }
        return 0;
    }

    /// @notice Normal claims that `provider` may make while a retry of the class waits.
    function retryCredit(bytes32 classId, address provider) external view returns (uint16) {
        return _lanes[_laneOfClass(classId)].credit[provider];
    }

    /// @dev A class that nobody has heard of has empty lanes. The index of a model is its class by another name.
    function _laneOfClass(bytes32 classId) internal view returns (uint256) {
        uint256 indexPlusOne = _modelIndexPlusOne[classId];
        return indexPlusOne == 0 ? uint256(classId) : indexPlusOne - 1;
    }

    function _enqueue(uint256 class, uint8 attempt, uint256 taskId) internal {
        Lanes storage lanes = _lanes[class];
        Lane storage lane = lanes.at[attempt];
        uint64 tail = lane.tail;
        lanes.entries[uint256(attempt) << 64 | tail] = taskId;
        lane.tail = tail + 1;
        lanes.bits |= uint256(1) << attempt;
    }

    /// @notice Called once a task is no longer open; only retries are in a lane.
    function _leaveLane(Record storage r) internal {
        if (r.attempt != 0) _front(_laneOf(r));
    }

    /// @notice Called before `provider` takes `taskId`; refuses while it owes the class a retry.
    function _passGate(uint256 class, uint256 taskId, address provider) internal {
        Lanes storage lanes = _lanes[class];
        // One read decides the common case.
        if (lanes.bits == 0) return;
        uint256 head = _front(class);
        if (head == 0) return;
        if (head == taskId) {
            lanes.credit[provider] = _parameters.marketAt(_tasks[head].rules).retryEvery;
            return;
        }
        Record storage r = _tasks[head];
        MarketParams memory m = _parameters.marketAt(r.rules);
        uint256 waited = block.timestamp - r.openedAt;
        if (waited <= m.retryGrace || waited > m.retryLifetime) return;
        if (isExcluded(head, provider)) return;
        (,,, uint128 minStake) = _parameters.forClaim(r.rules);
        if (!_vault.canLock(provider, uint128(ParameterChecks.collateral(m, r.maxPrice)), m.maxLockedBps, minStake)) return;
        uint16 credit = lanes.credit[provider];
        // INVARIANT P-T5: While an eligible retry waits, a normal claim costs a retry taken before.
        if (credit == 0) revert RetryWaits(head, r.openedAt, m.retryGrace);
        lanes.credit[provider] = credit - 1;
    }

    /// @notice Head of the highest lane; 0 when none (or when it lies behind more dead entries than anyone looks at). Some of
    /// the dead in front of it are dropped on the way.
    function _front(uint256 class) internal returns (uint256 found) {
        Lanes storage lanes = _lanes[class];
        uint256 budget = PRUNE_MAX;
        uint256 looks = LOOK_MAX;
        uint256 before = lanes.bits;
        uint256 left = before; // lanes with entries, dead ones included
        for (uint256 bits = before; bits != 0 && found == 0;) {
            uint256 attempt = _highestBit(bits);
            Lane memory lane = lanes.at[attempt];
            uint64 start = lane.head;
            uint64 at = start;
            for (; at < lane.tail && looks != 0; looks--) {
                uint256 taskId = lanes.entries[attempt << 64 | at];
                if (_waits(taskId, attempt)) {
                    found = taskId;
                    break;
                }
                if (budget != 0) {
                    delete lanes.entries[attempt << 64 | at];
                    lane.head = at + 1;
                    budget--;
                }
                at++;
            }
            if (lane.head != start) lanes.at[attempt] = lane;
            if (at < lane.tail) break; // found, or nobody looks further
            bits &= ~(uint256(1) << attempt);
            if (lane.head == lane.tail) left &= ~(uint256(1) << attempt);
        }
        if (left != before) lanes.bits = left;
    }

    function _waits(uint256 taskId, uint256 attempt) private view returns (bool) {
        Record storage r = _tasks[taskId];
        return r.state == TaskState.Open && r.attempt == attempt;
    }

    function _highestBit(uint256 bits) private pure returns (uint256 at) {
        for (at = ATTEMPT_MAX; bits >> at == 0;) {
            at--;
        }
    }
}
