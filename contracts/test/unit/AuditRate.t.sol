// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {DefaultParams} from "../utils/DefaultParams.sol";
import {AuditRate} from "../../src/audits/AuditRate.sol";
import {AuditParams, Params} from "../../src/interfaces/IParameters.sol";
import {ParameterChecks} from "../../src/lib/ParameterChecks.sol";

contract AuditRateTest is Test {
    /// @dev Three tasks of probation, then seven from one half down to a quarter.
    function test_rateOf_defaults_isTheLine() public pure {
        AuditParams memory rules = DefaultParams.get().audit;
        uint24[12] memory wanted =
            [1_000_000, 1_000_000, 1_000_000, 500_000, 464_285, 428_571, 392_857, 357_142, 321_428, 285_714, 250_000, 250_000];
        for (uint256 n = 0; n < wanted.length; n++) {
            assertEq(AuditRate.rateOf(rules, n), wanted[n]);
        }
        assertEq(AuditRate.rateOf(rules, type(uint64).max), 250_000, "no record lowers it");
    }

    function _rules(uint32 rate, uint32 fresh, uint32 probation, uint32 record) private pure returns (AuditParams memory rules) {
        rules.ratePpm = uint32(bound(rate, 0, 1_000_000));
        rules.freshRatePpm = uint32(bound(fresh, rules.ratePpm, 1_000_000));
        rules.probationTasks = probation;
        rules.recordTasks = record;
    }

    function testFuzz_rateOf_afterProbation_isBoundedAndFalls(
        uint32 rate,
        uint32 fresh,
        uint32 probation,
        uint32 record,
        uint64 settled
    ) public pure {
        AuditParams memory rules = _rules(rate, fresh, probation, record);
        uint256 n = bound(settled, probation, uint256(probation) + 2 * uint256(record) + 2);
        uint256 now_ = AuditRate.rateOf(rules, n);
        assertGe(now_, rules.ratePpm, "the floor");
        assertLe(now_, rules.freshRatePpm, "where it starts");
        assertLe(AuditRate.rateOf(rules, n + 1), now_, "a record never raises it");
        assertLe(now_, 1_000_000, "a share");
    }

    function testFuzz_rateOf_ends_areExact(uint32 rate, uint32 fresh, uint32 probation, uint32 record) public pure {
        AuditParams memory rules = _rules(rate, fresh, probation, record);
        if (probation != 0) assertEq(AuditRate.rateOf(rules, uint256(probation) - 1), 1_000_000, "probation");
        assertEq(AuditRate.rateOf(rules, probation), record == 0 ? rules.ratePpm : rules.freshRatePpm, "fresh");
        assertEq(AuditRate.rateOf(rules, uint256(probation) + record), rules.ratePpm, "the floor");
    }

    /// P-A4: what registration prepays covers the audits above the floor, and exceeds them by less than a record's rounding.
    function testFuzz_registrationFeeMin_coversTheAuditsAboveTheFloor(
        uint32 rate,
        uint32 fresh,
        uint8 probation,
        uint8 record,
        uint96 fee
    ) public pure {
        Params memory p = DefaultParams.get();
        AuditParams memory rules = _rules(rate, fresh, probation, record);
        rules.fee = uint128(bound(fee, 1e6, 1e24));
        p.audit = rules;
        uint256 aboveFloorPpm;
        uint256 tasks = uint256(probation) + record;
        for (uint256 n = 0; n < tasks; n++) {
            aboveFloorPpm += AuditRate.rateOf(rules, n) - (n < probation ? 0 : rules.ratePpm);
        }
        uint256 prepaid = ParameterChecks.registrationFeeMin(p);
        assertGe(prepaid * 1_000_000, rules.fee * aboveFloorPpm, "covered");
        assertLe(prepaid * 1_000_000, rules.fee * (aboveFloorPpm + record + 1) + 1_000_000, "and not much more");
    }
}
