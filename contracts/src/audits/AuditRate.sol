// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditParams} from "../interfaces/IParameters.sol";

/// @notice How likely a provider's result is audited, by its record.
library AuditRate {
    uint256 internal constant PPM = 1_000_000;

    /// @notice Parts per million, for a provider with `settled` tasks: all during probation, then on a line from `freshRatePpm`
    /// down to `ratePpm`, rounded down, which it reaches `recordTasks` later and never leaves.
    function rateOf(AuditParams memory rules, uint256 settled) internal pure returns (uint256) {
        if (settled < rules.probationTasks) return PPM;
        uint256 record = settled - rules.probationTasks;
        // INVARIANT P-A1: No record lowers the rate below the one that P-E1 asks for.
        if (record >= rules.recordTasks) return rules.ratePpm;
        uint256 fallPpm = uint256(rules.freshRatePpm) - rules.ratePpm;
        uint256 all = rules.recordTasks;
        return rules.freshRatePpm - (fallPpm * record + all - 1) / all;
    }
}
