// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealGame, AppealOutcome} from "../../src/interfaces/IAppealLevels.sol";

/// @notice Levels that say what the test tells them.
contract ScriptedLevels {
    mapping(uint256 => AppealOutcome) private _outcomes;
    mapping(uint256 => address) public accuserOf;
    mapping(uint256 => uint256) public opened;
    mapping(uint256 => bool) private _replays;
    address public court;

    function open(uint256 disputeId, address accuser) external {
        court = msg.sender;
        accuserOf[disputeId] = accuser;
        opened[disputeId]++;
    }

    function say(uint256 disputeId, AppealOutcome outcome_) external {
        _outcomes[disputeId] = outcome_;
    }

    function replayed(uint256 disputeId) external {
        _replays[disputeId] = true;
    }

    function game(address, uint256 disputeId) external view returns (AppealGame memory g) {
        g.replay = _replays[disputeId];
    }

    function outcome(address, uint256 disputeId) external view returns (AppealOutcome) {
        return _outcomes[disputeId];
    }
}
