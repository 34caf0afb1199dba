// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICourt} from "../interfaces/ICourt.sol";
import {CourtParams} from "../interfaces/IParameters.sol";
import {AppealTerms, Dispute, IsolatedPlace, ModelHeader, Side} from "../interfaces/Types.sol";
import {CourtStorage} from "./CourtStorage.sol";

/// @notice What can be read off the court's books.
abstract contract CourtViews is ICourt, CourtStorage {
    function dispute(uint256 disputeId) external view returns (Dispute memory v) {
        Record storage d = _disputes[disputeId];
        v.taskId = d.taskId;
        v.attempt = d.attempt;
        v.provider = d.provider;
        v.challenger = d.challenger;
        v.state = d.state;
        v.turn = d.turn;
        v.turnStartedAt = d.turnStartedAt;
        v.providerClock = d.providerClock;
        v.challengerClock = d.challengerClock;
        v.bond = d.bond;
        v.node = d.node;
        v.height = d.height;
        v.index = d.index;
        if (d.turn == Side.Challenger) v.rowHash = d.rowHash;
        v.leafIndex = d.leafIndex;
        v.leaf = d.leaf;
        v.previousLeaf = d.previousLeaf;
        v.opsRoot = d.opsRoot;
        v.inLive = d.inLive;
        v.firstNode = d.firstNode;
        v.opCount = d.opCount;
        v.liveCount = d.liveCount;
        v.openedAt = d.openedAt;
        if (d.isolatedAt == 0) return v;
        v.isolatedIndex = d.isolatedIndex;
        v.claimedDigest = d.node;
        v.isolatedAt = d.isolatedAt;
        v.referee = d.referee;
        v.draws = d.draws;
        v.refereeDeadline = d.refereeDeadline;
        v.ruledDigest = d.ruledDigest;
        v.ruledGuilty = d.ruledGuilty;
        v.ruledAt = d.ruledAt;
        v.earlier = d.flags & FLAG_EARLIER != 0;
        v.passedIndex = d.passedIndex;
        v.passedDigest = d.passedDigest;
        v.hops = d.hops;
        v.appellant = d.appellant;
        v.appealedAt = d.appealedAt;
    }

    function appealTerms(uint256 disputeId) external view returns (AppealTerms memory t) {
        Record storage d = _disputes[disputeId];
        t.taskId = d.taskId;
        t.provider = d.provider;
        t.inLive = d.inLive;
        t.clockBudget = d.clockBudget;
        t.clockIncrement = d.clockIncrement;
        t.referee = d.referee;
        t.ruledGuilty = d.ruledGuilty;
        t.ruledAt = d.ruledAt;
    }

    function isolatedPlace(uint256 disputeId) external view returns (IsolatedPlace memory p) {
        Record storage d = _disputes[disputeId];
        p.taskId = d.taskId;
        p.leafIndex = d.leafIndex;
        p.previousLeaf = d.previousLeaf;
        p.opsRoot = d.opsRoot;
        p.firstNode = d.firstNode;
        p.opCount = d.opCount;
        p.isolatedIndex = d.isolatedIndex;
        p.claimedDigest = d.node;
    }

    function disputeCount() external view returns (uint256) {
        return _disputeCount;
    }

    function challengeOf(uint256 taskId, uint8 attempt, address challenger)
        external
        view
        returns (bytes32 commitment, uint128 bond, bool revealed, uint64 committedAt)
    {
        Challenge storage c = _challenges[taskId][attempt][challenger];
        return (c.commitment, c.bond, c.revealed, c.committedAt);
    }

    /// @notice P-C2, by the newest rules. It is the same for every provider in this version.
    function bondOf(address) external view returns (uint128) {
        return _bond(_parameters.version());
    }

    function bondAt(uint16 rules) external view returns (uint128) {
        return _bond(rules);
    }

    /// @notice Longest time from the opening to the end of a dispute about this model, by the newest rules, if time-outs
    /// are claimed and calls open to everybody are made as soon as they can be.
    function disputeDurationMax(bytes32 modelId) external view returns (uint64) {
        ModelHeader memory h = _market.model(modelId);
        CourtParams memory c = _parameters.courtAt(_parameters.version());
        uint256 second = h.opsHeight > h.liveHeight ? h.opsHeight : h.liveHeight;
        uint256 rounds = _rounds(h.traceHeight) + 1 + (second > 4 ? _rounds(second - 4) : 0);
        uint256 game = 2 * (uint256(c.clockBudget) + rounds * c.clockIncrement);
        uint256 referees = (1 + uint256(c.maxRedraws)) * (uint256(c.beaconSlack) + c.refereeSeconds + 1);
        // An overturned ruling about an earlier operator is followed by another; where none is overturned there is one.
        uint256 appeals = c.appealLevels == address(0)
            ? c.appealWindow
            : (1 + uint256(c.maxEarlier)) * (uint256(c.appealWindow) + c.ospSeconds);
        return uint64(game + referees + appeals + 1);
    }

    // ---- wiring

    function market() external view returns (address) {
        return address(_market);
    }

    function vault() external view returns (address) {
        return address(_vault);
    }

    function parameters() external view returns (address) {
        return address(_parameters);
    }

    function pool() external view returns (address) {
        return address(_pool);
    }

    function beacon() external view returns (address) {
        return address(_beacon);
    }

    function audits() external view returns (address) {
        return _audits;
    }

    function traps() external view returns (address) {
        return address(_traps);
    }

    /// @dev Rounds from a node of this height to a leaf.
    function _rounds(uint256 height) private pure returns (uint256) {
        return (height + 3) / 4;
    }
}
