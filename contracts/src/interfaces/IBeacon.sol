// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Public randomness in rounds. The value of a round cannot exist before the round's time.
interface IBeacon {
    event RoundPublished(uint64 indexed round, bytes32 value);

    /// @notice First round whose value cannot be known at or before `time`: `1` before `genesis`, else
    /// `(time + drift - genesis) / period + 2`.
    function roundAfter(uint64 time) external view returns (uint64);
    /// @notice When `round`'s value can first exist: `genesis + (round - 1) * period`.
    function timeOf(uint64 round) external view returns (uint64);
    /// @notice What is drawn by `round`: its value, or where it was spoiled that of the next round that was not. Zero while
    /// that is not published.
    function valueOf(uint64 round) external view returns (bytes32);
    /// @notice When `valueOf(round)` came to be known here; zero while it is not.
    function publishedAt(uint64 round) external view returns (uint64);
    /// @notice The round has ended without a value of its own, which somebody may have wanted.
    function spoiled(uint64 round) external view returns (bool);

    function genesis() external view returns (uint64); // time of round 1
    function period() external view returns (uint64); // seconds between rounds
    function drift() external view returns (uint64); // seconds by which a block's time may lag behind the beacon's clock
    /// @notice How values come about: "development", "drand", "commit-reveal", "drand, commit-reveal".
    function scheme() external view returns (bytes32);
}
