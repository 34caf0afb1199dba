// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {System} from "../interfaces/System.sol";
import {Pots} from "../lib/Pots.sol";
import {CorrelatedSlashing} from "./CorrelatedSlashing.sol";

/// @notice Slashes and penalties: capped at what is there, once per cause, reaching stake on its way out.
abstract contract StakeSlashing is CorrelatedSlashing {
    uint256 private constant BPS = 10_000;

    constructor(IERC20 asset_, System memory system) CorrelatedSlashing(asset_, system) {}

    function slashTask(address key, uint256 taskId, bool safety, uint16 bps, bytes32 toPot)
        external
        onlyModule
        returns (uint128 amount)
    {
        Account storage a = _registered(key);
        bytes32 cause = keccak256(abi.encode(key, taskId, safety));
        // INVARIANT P-V4: One slash per provider, task and kind; a second one takes nothing.
        if (_done[cause]) return 0;
        _done[cause] = true;
        if (safety) _convict(key, a);

        // Only the collateral of this provider's own attempt: after a requeue the slot holds another's.
        uint128 held = lockedFor(key, taskId);
        uint128 fromLock = safety ? held : uint128(uint256(held) * bps / BPS);
        if (fromLock != 0) _pots[Pots.task(taskId)].collateral = held - fromLock;
        a.locked -= uint96(fromLock);
        amount = fromLock;
        if (safety) amount += _takeShare(key, a, bps, BPS);
        _lose(a, amount);
        emit Slashed(key, taskId, safety, amount);
        _put(Pots.task(taskId), toPot, amount);
    }

    function penalise(address key, bytes32 cause, uint128 amount, bytes32 toPot) external onlyModule returns (uint128 taken) {
        Account storage a = _registered(key);
        bytes32 tagged = keccak256(abi.encode(key, cause));
        // INVARIANT P-V4: One penalty per cause.
        if (_done[tagged]) return 0;
        _done[tagged] = true;

        taken = amount < a.free ? amount : a.free;
        a.free -= uint96(taken);
        if (taken < amount) taken += _takeUnbonding(key, a, amount - taken);
        _lose(a, taken);
        emit Slashed(key, 0, false, taken);
        _put(Pots.BURN, toPot, taken);
    }

    /// @dev Up to `wanted`, oldest place first.
    function _takeUnbonding(address key, Account storage a, uint128 wanted) private returns (uint128 amount) {
        uint256[] storage open = _openEntries[key];
        for (uint256 i = 0; i < open.length && amount < wanted; i++) {
            Entry storage e = _entries[key][open[i]];
            uint128 cut = wanted - amount < e.amount ? wanted - amount : e.amount;
            e.amount -= cut;
            amount += cut;
        }
        a.unbonding -= uint96(amount);
    }
}
