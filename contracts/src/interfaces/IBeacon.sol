// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Public randomness in rounds. The value of a round cannot exist before the round's time.
interface IBeacon {
    event RoundPublished(uint64 indexed round, bytes32 value);

    /// @notice First round whose value cannot be known at or before `time`.
    function roundAfter(uint64 time) external view returns (uint64);
    /// @notice When `round`'s value can first exist.
    function timeOf(uint64 round) external view returns (uint64);
    /// @notice Zero while not published.
    function valueOf(uint64 round) external view returns (bytes32);
}
