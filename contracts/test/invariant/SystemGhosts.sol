// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TrapGhosts} from "./TrapGhosts.sol";
import {Vm} from "../utils/Vm.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IStakeVault} from "../../src/interfaces/IStakeVault.sol";
import {Dispute, DisputeState, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice A second bookkeeping of the whole system, kept from the events of every single call, and the assertions that must
/// hold at that call (I3, I4, I5, I8). Nothing here knows what the players meant to do.
abstract contract SystemGhosts is TrapGhosts {
    struct Seen {
        TaskState state;
        uint8 attempt;
        uint64 requeuedAs; // place in the order of requeues, 0 while at the first attempt
    }

    mapping(uint256 => Seen) internal seen;
    mapping(uint256 => DisputeState) public seenDispute;
    mapping(uint256 => uint64) public disputeOpenedAt;
    uint256[] internal openDisputes;
    mapping(bytes32 => bool) private _slashed; // provider, task, kind
    mapping(address => bool) public ghostTombstoned;
    mapping(address => bool) public ghostCorrelated;
    mapping(address => uint256) public ghostLocked;
    mapping(address => uint256) public ghostLive;
    mapping(address => uint256) public ghostFrozen;
    mapping(address => uint256) public ghostWithdrawn;
    mapping(uint256 => uint128) private _collateral;
    bytes32[] public challengePots;
    uint64 private _requeues;
    uint256 public verdictIn;
    uint256 public verdictOut;
    uint256 public slashes;

    function _watch() internal {
        vm.recordLogs();
    }

    /// @dev A call that may be refused. What a refused call said before it failed is recorded too, and never happened.
    function _try(address caller, address target, bytes memory call) internal returns (bool done, bytes memory answer) {
        vm.prank(caller);
        (done, answer) = target.call(call);
        if (done) _after();
        else vm.getRecordedLogs();
    }

    /// @dev Called after every single call into the system.
    function _after() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; i++) {
            if (logs[i].emitter == address(vault)) _vaultLog(logs[i]);
            else if (logs[i].emitter == address(market)) _marketLog(logs[i]);
            else if (logs[i].emitter == address(theCourt)) _courtLog(logs[i], logs);
            else if (logs[i].emitter == address(theAudits)) _auditLog(logs[i]);
            else if (logs[i].emitter == address(traps)) _trapLog(logs[i]);
            _moneyLog(logs[i], logs);
        }
        _observeTasks();
        _observeDisputes();
    }

    function openDisputeCount() external view returns (uint256) {
        return openDisputes.length;
    }

    function openDisputeAt(uint256 i) external view returns (uint256) {
        return openDisputes[i];
    }

    function challengePotCount() external view returns (uint256) {
        return challengePots.length;
    }

    // ---- the vault

    function _vaultLog(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        if (topic == IStakeVault.Locked.selector) {
            (address key, uint256 taskId) = (_address(log.topics[1]), uint256(log.topics[2]));
            uint128 amount = abi.decode(log.data, (uint128));
            assertFalse(ghostTombstoned[key], "I3: collateral of a tombstoned provider");
            _collateral[taskId] = amount;
            ghostLocked[key] += amount;
            ghostLive[key] += 1;
        } else if (topic == IStakeVault.Unlocked.selector) {
            (address key, uint256 taskId) = (_address(log.topics[1]), uint256(log.topics[2]));
            uint128 amount = abi.decode(log.data, (uint128));
            assertEq(amount, _collateral[taskId], "I2: what was locked and not slashed");
            _collateral[taskId] = 0;
            ghostLocked[key] -= amount;
            ghostLive[key] -= 1;
        } else if (topic == IStakeVault.Slashed.selector) {
            _slashLog(_address(log.topics[1]), uint256(log.topics[2]), log.data);
        } else if (topic == IStakeVault.Frozen.selector) {
            ghostFrozen[_address(log.topics[1])] = abi.decode(log.data, (uint32));
        } else if (topic == IStakeVault.Tombstoned.selector) {
            ghostTombstoned[_address(log.topics[1])] = true;
            happened["tombstoned"]++;
        } else if (topic == IStakeVault.CorrelatedPenalty.selector) {
            address key = _address(log.topics[1]);
            assertTrue(ghostTombstoned[key] && !ghostCorrelated[key], "P-V6: of a convict, once");
            ghostCorrelated[key] = true;
            happened["correlated"]++;
        } else if (topic == IStakeVault.Unbonded.selector) {
            _unbondedLog(_address(log.topics[1]), abi.decode(log.data, (uint128)));
        }
    }

    /// @dev I3: one slash per provider, task and kind.
    function _slashLog(address key, uint256 taskId, bytes memory data) private {
        (bool safety, uint128 amount) = abi.decode(data, (bool, uint128));
        if (taskId == 0) {
            happened["penalised"]++;
            return;
        }
        bytes32 cause = keccak256(abi.encode(key, taskId, safety));
        assertFalse(_slashed[cause], "I3: slashed twice for one task");
        _slashed[cause] = true;
        slashes++;
        uint128 fromLock = safety ? _collateral[taskId] : amount;
        _collateral[taskId] -= fromLock;
        ghostLocked[key] -= fromLock;
    }

    /// @dev I4: nothing leaves under an open obligation.
    function _unbondedLog(address key, uint128 amount) private {
        assertEq(ghostLive[key], 0, "I4: withdrawn with a live task");
        assertEq(ghostFrozen[key], 0, "I4: withdrawn under a dispute");
        assertEq(vault.dutiesOf(key), 0, "I4: withdrawn on duty");
        assertTrue(ghostCorrelated[key] || !ghostTombstoned[key], "P-V6: a convict's stake left before the penalty");
        ghostWithdrawn[key] += amount;
        happened["withdrawn"]++;
    }

    // ---- the market

    function _marketLog(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        if (topic == IMarket.TaskClaimed.selector) {
            assertFalse(ghostTombstoned[_address(log.topics[2])], "I3: a tombstoned provider claimed");
        } else if (topic == IMarket.TaskRequeued.selector) {
            seen[uint256(log.topics[1])].requeuedAs = ++_requeues;
            happened["requeued"]++;
        } else if (topic == IMarket.TaskSettled.selector) {
            assertFalse(ghostTombstoned[_address(log.topics[2])], "P-T9: the result of a tombstoned provider settled");
            happened["settled"]++;
        } else if (topic == IMarket.ResultReversed.selector) {
            happened["reversed"]++;
        }
    }

    /// @dev I5: only the edges of the lifecycle, attempts only upwards, one step at a time.
    function _observeTasks() private {
        uint256 count = market.taskCount();
        for (uint256 id = 1; id <= count; id++) {
            (TaskState to, uint8 attempt,,,) = market.standing(id);
            Seen storage s = seen[id];
            TaskState from = s.state;
            if (to == from && attempt == s.attempt) continue;
            if (attempt != s.attempt) {
                assertEq(attempt, uint256(s.attempt) + 1, "I5: attempts count up");
                assertTrue(to == TaskState.Open && _served(from), "I5: an attempt ends where there was one");
            } else {
                assertTrue(_taskEdge(from, to), "I5: an edge that the lifecycle does not have");
            }
            (s.state, s.attempt) = (to, attempt);
        }
    }

    function _served(TaskState s) private pure returns (bool) {
        return s == TaskState.Claimed || s == TaskState.Committed || s == TaskState.Disputed;
    }

    function _taskEdge(TaskState from, TaskState to) private pure returns (bool) {
        if (from == TaskState.None) return to == TaskState.Open;
        if (from == TaskState.Open) return to == TaskState.Claimed || to == TaskState.Cancelled || to == TaskState.Expired;
        if (from == TaskState.Claimed) return to == TaskState.Committed;
        if (from == TaskState.Committed) return to == TaskState.Disputed || to == TaskState.Settled;
        return from == TaskState.Disputed && to == TaskState.Committed;
    }

    // ---- the court

    function _courtLog(Vm.Log memory log, Vm.Log[] memory all) private {
        bytes32 topic = log.topics[0];
        if (topic == ICourt.ChallengeCommitted.selector) {
            uint256 taskId = uint256(log.topics[1]);
            (, uint8 attempt,,,) = market.standing(taskId);
            address challenger = _address(log.topics[2]);
            challengePots.push(Pots.challenge(taskId, attempt, challenger));
            _challengedAt[taskId][attempt][challenger] = block.timestamp;
        } else if (topic == ICourt.ChallengeForfeited.selector) {
            happened["forfeited"]++;
        } else if (topic == ICourt.DisputeOpened.selector) {
            uint256 id = uint256(log.topics[1]);
            openDisputes.push(id);
            disputeOpenedAt[id] = uint64(block.timestamp);
            Dispute memory d = theCourt.dispute(id);
            _heard[d.taskId][d.attempt][d.challenger] = true;
        } else if (topic == ICourt.EarlierDivergence.selector) {
            happened["earlier"]++;
        } else if (topic == ICourt.RefereeMissed.selector) {
            happened["referee missed"]++;
        } else if (topic == ICourt.DisputeClosed.selector) {
            _closedLog(uint256(log.topics[1]), all);
        }
    }

    /// @dev I8: bond and slash in; credits, burns, top-up and returns out; nothing stays.
    function _closedLog(uint256 id, Vm.Log[] memory all) private {
        Dispute memory d = theCourt.dispute(id);
        bytes32 pot = Pots.dispute(id);
        uint256 moneyIn = d.bond;
        uint256 moneyOut;
        for (uint256 i = 0; i < all.length; i++) {
            if (all[i].emitter != address(vault)) continue;
            bytes32 topic = all[i].topics[0];
            if (topic == IStakeVault.Slashed.selector && uint256(all[i].topics[2]) == d.taskId) {
                (, uint128 amount) = abi.decode(all[i].data, (bool, uint128));
                moneyIn += amount;
            } else if (topic == IStakeVault.PotPaid.selector && all[i].topics[1] == pot) {
                (uint128 amount,) = abi.decode(all[i].data, (uint128, bytes32));
                moneyOut += amount;
            } else if (topic == IStakeVault.Burned.selector && all[i].topics[1] == pot) {
                moneyOut += abi.decode(all[i].data, (uint128));
            }
        }
        assertEq(moneyOut, moneyIn, "I8: in and out of a verdict");
        assertEq(vault.pot(pot), 0, "I8: nothing stays in a closed dispute");
        verdictIn += moneyIn;
        verdictOut += moneyOut;
        happened[
            d.state == DisputeState.Upheld
                ? bytes32("upheld")
                : d.state == DisputeState.Cleared ? bytes32("cleared") : bytes32("void")
        ]++;
    }

    /// @dev I5: a dispute moves forward, and from its end nowhere.
    function _observeDisputes() private {
        for (uint256 i = openDisputes.length; i > 0; i--) {
            uint256 id = openDisputes[i - 1];
            DisputeState from = seenDispute[id];
            DisputeState to = theCourt.dispute(id).state;
            if (to != from) {
                assertTrue(_disputeEdge(from, to), "I5: an edge that a dispute does not have");
                seenDispute[id] = to;
            }
            if (to >= DisputeState.Upheld) {
                openDisputes[i - 1] = openDisputes[openDisputes.length - 1];
                openDisputes.pop();
            }
        }
    }

    function _disputeEdge(DisputeState from, DisputeState to) private pure returns (bool) {
        if (to == DisputeState.Void && from != DisputeState.None) return true; // moot, wherever it was
        if (from == DisputeState.None) return to == DisputeState.Level1 || to == DisputeState.Isolated;
        if (from <= DisputeState.Level2) {
            if (to == DisputeState.Upheld || to == DisputeState.Cleared) return true;
            if (from == DisputeState.Level1) return to == DisputeState.SegmentWanted || to == DisputeState.Isolated;
            return from == DisputeState.SegmentWanted ? to == DisputeState.Level2 : to == DisputeState.Isolated;
        }
        if (from == DisputeState.Isolated) return to == DisputeState.Refereed;
        if (from == DisputeState.Refereed) return to == DisputeState.Ruled || to == DisputeState.Isolated;
        return from == DisputeState.Ruled && (to == DisputeState.Upheld || to == DisputeState.Cleared);
    }
}
