// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBeacon} from "../interfaces/IBeacon.sol";

/// @notice Rounds at fixed times.
abstract contract Rounds is IBeacon {
    error ZeroPeriod();
    error NoRoundZero();

    uint64 public immutable genesis;
    uint64 public immutable period;
    uint64 public immutable drift;

    constructor(uint64 genesis_, uint64 period_, uint64 drift_) {
        // INVARIANT P-B1: Rounds follow each other.
        if (period_ == 0) revert ZeroPeriod();
        (genesis, period, drift) = (genesis_, period_, drift_);
    }

    function roundAfter(uint64 time) public view returns (uint64) {
        // Who makes a block late may know by then what the beacon says later than the block's time.
        uint64 latest = time + drift;
        return latest < genesis ? 1 : (latest - genesis) / period + 2;
    }

    function timeOf(uint64 round) public view returns (uint64) {
        // INVARIANT P-B1: Round 1 is at genesis, and there is none before it.
        if (round == 0) revert NoRoundZero();
        return genesis + (round - 1) * period;
    }
}
