// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {PublishedRounds} from "./PublishedRounds.sol";
import {Rounds} from "./Rounds.sol";

/// @title DEVELOPMENT BEACON: NOT RANDOM AGAINST WHOEVER MAKES THE BLOCKS
/// @notice A round's value is taken from the block that publishes it, so a block producer can choose it and a publisher can
/// choose its block. It keeps the one property tests need: no value exists before its round's time, and none changes
/// after. A real network installs a beacon nobody steers (drand) behind the same interface.
contract DevBeacon is PublishedRounds {
    bytes32 public constant scheme = "development";

    constructor(uint64 period_) Rounds(uint64(block.timestamp), period_, 0) {}

    /// @notice Publish a round that is due. Anyone, once.
    function publish(uint64 round) external returns (bytes32 value) {
        _requireOpen(round);
        value = keccak256(abi.encode(block.prevrandao, blockhash(block.number - 1), address(this), round));
        _publish(round, value);
    }

    function spoiled(uint64) external pure returns (bool) {
        return false;
    }
}
