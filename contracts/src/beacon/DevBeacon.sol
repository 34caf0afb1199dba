// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBeacon} from "../interfaces/IBeacon.sol";

/// @title DEVELOPMENT BEACON: NOT RANDOM AGAINST WHOEVER MAKES THE BLOCKS
/// @notice A round's value is taken from the block that publishes it, so a block producer can choose it and a publisher can
/// choose its block. It keeps the one property tests need: no value exists before its round's time, and none changes
/// after. A real network installs a beacon nobody steers (drand) behind the same interface.
contract DevBeacon is IBeacon {
    error TooEarly(uint64 round, uint64 timeOfRound, uint256 nowSeconds);
    error AlreadyPublished(uint64 round);
    error ZeroPeriod();
    error BeforeGenesis(uint64 time, uint64 genesis);

    uint64 public immutable genesis; // time of round 1
    uint64 public immutable period; // seconds between rounds

    mapping(uint64 => bytes32) public valueOf;

    constructor(uint64 period_) {
        if (period_ == 0) revert ZeroPeriod();
        genesis = uint64(block.timestamp);
        period = period_;
    }

    /// @notice Publish a round that is due. Anyone, once.
    function publish(uint64 round) external returns (bytes32 value) {
        uint64 due = timeOf(round);
        // INVARIANT P-A1: A round's value does not exist before its time.
        if (block.timestamp < due) revert TooEarly(round, due, block.timestamp);
        // INVARIANT P-A1: A round has one value.
        if (valueOf[round] != 0) revert AlreadyPublished(round);
        value = keccak256(abi.encode(block.prevrandao, blockhash(block.number - 1), address(this), round));
        valueOf[round] = value;
        emit RoundPublished(round, value);
    }

    function roundAfter(uint64 time) external view returns (uint64) {
        return time < genesis ? 1 : (time - genesis) / period + 2;
    }

    function timeOf(uint64 round) public view returns (uint64) {
        if (round == 0) revert BeforeGenesis(0, genesis);
        return genesis + (round - 1) * period;
    }
}
