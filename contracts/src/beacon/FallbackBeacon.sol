// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBeacon} from "../interfaces/IBeacon.sol";
import {DrandBeacon} from "./DrandBeacon.sol";

/// @notice drand, and another beacon for the rounds that nobody has published within `slack` of their time. Time alone decides
/// between the two, so that who waits cannot choose.
contract FallbackBeacon is DrandBeacon {
    error TooLate(uint64 round, uint64 lastTime);
    error FallbackTooEarly(uint64 round, uint64 lastTime);
    error FallbackNotReady(uint64 round, uint64 fallbackRound);

    IBeacon public immutable other;
    uint64 public immutable slack;

    mapping(uint64 => bool) private _spoiled;

    constructor(uint256[8] memory key, uint64 genesis_, uint64 period_, uint64 drift_, IBeacon other_, uint64 slack_)
        DrandBeacon(key, genesis_, period_, drift_)
    {
        (other, slack) = (other_, slack_);
    }

    function publish(uint64 round, uint256[4] calldata signature) external override returns (bytes32 value) {
        _requireOpen(round);
        uint64 last = timeOf(round) + slack;
        // INVARIANT P-B5: What drand says of a round counts within the slack and not after.
        if (block.timestamp > last) revert TooLate(round, last);
        value = _verified(round, signature);
        _publish(round, value);
    }

    /// @notice Take the other beacon's value for a round that is due for longer than the slack. Anyone, once.
    function fallBack(uint64 round) external returns (bytes32 value) {
        _requireOpen(round);
        uint64 last = timeOf(round) + slack;
        // INVARIANT P-B5: The other beacon's value counts after the slack and not within.
        if (block.timestamp <= last) revert FallbackTooEarly(round, last);
        // INVARIANT P-B5: It could not be known while drand's still counted.
        uint64 fallbackRound = other.roundAfter(last);
        value = other.valueOf(fallbackRound);
        if (value == 0) revert FallbackNotReady(round, fallbackRound);
        _spoiled[round] = other.spoiled(fallbackRound);
        _publish(round, value);
    }

    function spoiled(uint64 round) external view override returns (bool) {
        return _spoiled[round];
    }

    function scheme() external pure override returns (bytes32) {
        return "drand, commit-reveal";
    }
}
