// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {StakeParams} from "../interfaces/IParameters.sol";
import {Correlation} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {Pots} from "../lib/Pots.sol";
import {StakeLedger} from "./StakeLedger.sol";

/// @notice The second part of a safety slash: half a window after the first, when everyone is known who fell at about the same
/// time, a convict loses of what it has left a multiple of their share of all stake. An accident costs next to nothing more,
/// an attack everything, and all of an attack pay alike, whichever of them was caught first.
abstract contract CorrelatedSlashing is StakeLedger {
    using Checkpoints for Checkpoints.Trace208;

    error CorrelationNotDue(address key, uint64 dueAt);
    error TasksLive(address key, uint32 liveTasks);

    /// @dev Full stakes of everyone convicted until then; one entry per second with a conviction.
    Checkpoints.Trace208 private _convicted;
    /// @dev What everyone else had right after it.
    Checkpoints.Trace208 private _active;

    constructor(IERC20 asset_, System memory system) StakeLedger(asset_, system) {}

    function penaliseCorrelated(address key) external returns (uint128) {
        return _penaliseCorrelated(key, _accounts[key]);
    }

    function correlationOf(address key) external view returns (Correlation memory c) {
        Account storage a = _accounts[key];
        c.slashedAt = a.slashedAt;
        c.dueAt = a.correlationDueAt;
        if (c.dueAt == 0) return c;
        c.multiplier = a.correlationMultiplier;
        (c.slashedStake, c.totalStake) = _attack(a);
        if (c.totalStake == 0) return c;
        uint256 part = _part(c.multiplier, c.slashedStake, c.totalStake);
        c.penalty = _shareOf(a.free, part, c.totalStake);
        uint256[] storage open = _openEntries[key];
        for (uint256 i = 0; i < open.length; i++) {
            c.penalty += _shareOf(_entries[key][open[i]].amount, part, c.totalStake);
        }
    }

    /// @dev Before anything is taken. The rules of the moment are kept: no later version makes it more, or later.
    function _convict(address key, Account storage a) internal {
        // INVARIANT P-V6: A provider's stake counts once, whole, as it was at its first safety slash.
        if (a.slashedAt != 0) return;
        StakeParams memory rules = parameters.stake();
        uint128 whole = uint128(a.free) + a.locked + a.unbonding;
        uint128 rest = totalActiveStake - whole;
        uint40 dueAt = uint40(block.timestamp) + rules.correlationWindowSeconds / 2 + 1;
        a.slashedAt = uint40(block.timestamp);
        a.correlationDueAt = dueAt;
        a.correlationMultiplier = rules.correlationMultiplier;
        totalActiveStake = rest;
        _convicted.push(uint48(block.timestamp), _convicted.latest() + whole);
        _active.push(uint48(block.timestamp), rest);
        emit Convicted(key, whole, dueAt);
    }

    function _penaliseCorrelated(address key, Account storage a) internal returns (uint128 amount) {
        uint40 dueAt = a.correlationDueAt;
        // INVARIANT P-V6: Once; and whoever was never convicted owes nothing.
        if (dueAt == 0) return 0;
        // INVARIANT P-V6: Not before everyone is known who falls in its window, so that the order of verdicts is no matter.
        if (block.timestamp < dueAt) revert CorrelationNotDue(key, dueAt);
        // INVARIANT P-V6: Collateral of tasks not yet reversed comes back to free; it does not pass the penalty by.
        if (a.liveTasks != 0) revert TasksLive(key, a.liveTasks);
        (uint128 slashed, uint128 total) = _attack(a);
        a.correlationDueAt = 0;
        if (total != 0) amount = _takeShare(key, a, _part(a.correlationMultiplier, slashed, total), total);
        emit CorrelatedPenalty(key, amount, slashed, total);
        // INVARIANT P-V6: Nobody earns from an attack, least of all who was in it and challenges itself.
        _put(Pots.BURN, Pots.BURN, amount);
    }

    /// @dev The same share of free stake and of every open entry.
    function _takeShare(address key, Account storage a, uint256 part, uint256 whole) internal returns (uint128 amount) {
        uint256[] storage open = _openEntries[key];
        for (uint256 i = 0; i < open.length; i++) {
            Entry storage e = _entries[key][open[i]];
            uint128 cut = _shareOf(e.amount, part, whole);
            e.amount -= cut;
            amount += cut;
        }
        a.unbonding -= uint96(amount); // entries sum to it
        uint128 fromFree = _shareOf(a.free, part, whole);
        a.free -= uint96(fromFree);
        amount += fromFree;
    }

    /// @dev Stake of all convicted within half a window of `a`, and of all who could have been.
    function _attack(Account storage a) private view returns (uint128 slashed, uint128 total) {
        uint48 last = a.correlationDueAt - 1;
        uint48 half = last - a.slashedAt;
        uint208 before = half < a.slashedAt ? _convicted.upperLookupRecent(a.slashedAt - half - 1) : 0;
        slashed = uint128(_convicted.upperLookupRecent(last) - before); // sums of uint96
        total = slashed + uint128(_active.upperLookupRecent(last));
    }

    /// @dev Out of `total`, at most all.
    function _part(uint256 multiplier, uint256 slashed, uint256 total) private pure returns (uint256) {
        return multiplier * slashed < total ? multiplier * slashed : total;
    }

    function _shareOf(uint256 amount, uint256 part, uint256 whole) private pure returns (uint128) {
        return uint128(amount * part / whole); // part <= whole
    }
}
