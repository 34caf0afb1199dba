// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealOutcome} from "../../src/interfaces/IAppealLevels.sol";

/// @notice Levels that say what the test tells them.
contract ScriptedLevels {
    mapping(uint256 => AppealOutcome) private _outcomes;
    mapping(uint256 => address) public accuserOf;
    mapping(uint256 => uint256) public opened;
    address public court;

    function open(uint256 disputeId, address accuser) external {
        court = msg.sender;
        accuserOf[disputeId] = accuser;
        opened[disputeId]++;
    }

    function say(uint256 disputeId, AppealOutcome outcome_) external {
        _outcomes[disputeId] = outcome_;
    }

    function outcome(address, uint256 disputeId) external view returns (AppealOutcome) {
        return _outcomes[disputeId];
    }
}
