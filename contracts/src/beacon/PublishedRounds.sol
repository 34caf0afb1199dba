// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Rounds} from "./Rounds.sol";

/// @notice Rounds that are published one by one, in any order, by anyone.
abstract contract PublishedRounds is Rounds {
    error TooEarly(uint64 round, uint64 timeOfRound, uint256 nowSeconds);
    error AlreadyPublished(uint64 round);

    mapping(uint64 => bytes32) public valueOf;
    mapping(uint64 => uint64) public publishedAt;

    function _requireOpen(uint64 round) internal view {
        uint64 due = timeOf(round);
        // INVARIANT P-A1: A round's value does not exist before its time.
        if (block.timestamp < due) revert TooEarly(round, due, block.timestamp);
        // INVARIANT P-A1: A round has one value.
        if (publishedAt[round] != 0) revert AlreadyPublished(round);
    }

    function _publish(uint64 round, bytes32 value) internal {
        valueOf[round] = value;
        publishedAt[round] = uint64(block.timestamp);
        emit RoundPublished(round, value);
    }
}
