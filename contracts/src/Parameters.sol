// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {
    IParameters,
    Params,
    MarketParams,
    CourtParams,
    AuditParams,
    StakeParams,
    EconomicParams
} from "./interfaces/IParameters.sol";
import {ParameterChecks} from "./lib/ParameterChecks.sol";

/// @notice Append-only versions of the protocol's numbers. The owner is a timelock; the guardian can pause new tasks and
/// nothing else. A version that breaks a rule of `ParameterChecks` cannot be stored.
contract Parameters is IParameters, Ownable {
    error NotGuardian(address caller, address guardian);
    error UnknownVersion(uint16 asked, uint16 newest);

    uint16 public version;
    bool public paused;
    address public guardian;

    mapping(uint16 => Params) private _params;

    modifier known(uint16 v) {
        if (v == 0 || v > version) revert UnknownVersion(v, version);
        _;
    }

    constructor(address timelock, address guardian_, Params memory first) Ownable(timelock) {
        guardian = guardian_;
        emit GuardianSet(guardian_);
        _append(first);
    }

    /// @notice Append a version; tasks that exist keep theirs.
    function set(Params calldata next) external onlyOwner {
        _append(next);
    }

    function setGuardian(address next) external onlyOwner {
        guardian = next;
        emit GuardianSet(next);
    }

    /// @notice Stop or resume the posting of new tasks.
    function setPaused(bool value) external {
        // INVARIANT P-G1: Only the guardian or the timelock pauses, and a pause touches new tasks only.
        if (msg.sender != guardian && msg.sender != owner()) revert NotGuardian(msg.sender, guardian);
        paused = value;
        emit PausedSet(value);
    }

    function marketAt(uint16 v) external view known(v) returns (MarketParams memory) {
        return _params[v].market;
    }

    function courtAt(uint16 v) external view known(v) returns (CourtParams memory) {
        return _params[v].court;
    }

    function auditAt(uint16 v) external view known(v) returns (AuditParams memory) {
        return _params[v].audit;
    }

    function economicsAt(uint16 v) external view known(v) returns (EconomicParams memory) {
        return _params[v].economics;
    }

    function stake() external view returns (StakeParams memory) {
        return _params[version].stake;
    }

    function paramsAt(uint16 v) external view known(v) returns (Params memory) {
        return _params[v];
    }

    function forClaim(uint16 v)
        external
        view
        returns (uint128 minCollateral, uint32 collateralBps, uint16 maxLockedBps, uint128 minStake)
    {
        MarketParams storage m = _params[v].market;
        return (m.minCollateral, m.collateralBps, m.maxLockedBps, _params[v].stake.minStake);
    }

    function forAppeal(uint16 v) external view returns (uint32 appealWindow, uint128 appealBond, address appealLevels) {
        CourtParams storage c = _params[v].court;
        return (c.appealWindow, c.appealBond, c.appealLevels);
    }

    function forPost()
        external
        view
        returns (
            uint16 v,
            bool isPaused,
            uint128 maxTaskPrice,
            uint64 minThroughput,
            uint32 execMax,
            uint16 priceFloorBps,
            uint128 auditLevy,
            uint32 settleDelay
        )
    {
        v = version;
        MarketParams storage m = _params[v].market;
        settleDelay = m.challengeWindow + m.revealWindow;
        return (v, paused, m.maxTaskPrice, m.minThroughput, m.execMax, m.priceFloorBps, m.auditLevy, settleDelay);
    }

    function disputeSecondsMax(uint16 v) external view known(v) returns (uint64) {
        return ParameterChecks.disputeSecondsMax(_params[v].court);
    }

    function _append(Params memory next) private {
        ParameterChecks.check(next);
        uint16 v = version + 1;
        version = v;
        _params[v] = next;
        emit ParametersSet(v, next);
    }
}
