// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {DefaultParams} from "../utils/DefaultParams.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Parameters} from "../../src/Parameters.sol";
import {GovernanceTimelock} from "../../src/GovernanceTimelock.sol";
import {Params} from "../../src/interfaces/IParameters.sol";
import {ParameterChecks} from "../../src/lib/ParameterChecks.sol";

contract ParametersTest is Test {
    address private constant GUARDIAN = address(0x72);
    GovernanceTimelock private timelock;
    Parameters private parameters;

    function setUp() public {
        address[] memory council = new address[](1);
        council[0] = address(this);
        timelock = new GovernanceTimelock(2 days, council, council);
        parameters = new Parameters(address(timelock), GUARDIAN, DefaultParams.get());
    }

    function _refused(Params memory p, bytes4 selector) private {
        vm.expectPartialRevert(selector);
        new Parameters(address(timelock), GUARDIAN, p);
    }

    function test_constructor_defaults_areVersionOne() public view {
        assertEq(parameters.version(), 1);
        assertEq(parameters.courtAt(1).burnBps, 5_000);
        assertEq(keccak256(abi.encode(parameters.paramsAt(1))), keccak256(abi.encode(DefaultParams.get())));
    }

    function test_constructor_sharesNotWhole_reverts() public {
        Params memory p = DefaultParams.get();
        p.court.requesterBps += 1;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.SharesSum.selector, 10_001, 10_000));
        new Parameters(address(timelock), GUARDIAN, p);
    }

    function test_constructor_burnBelowHalf_reverts() public {
        Params memory p = DefaultParams.get();
        p.court.burnBps -= 1;
        p.court.challengerBps += 1;
        _refused(p, ParameterChecks.BurnFloor.selector);
    }

    function test_constructor_auditRateBelowBound_reverts() public {
        Params memory p = DefaultParams.get();
        uint256 least = ParameterChecks.auditRateMin(p);
        p.audit.ratePpm = uint32(least) - 1;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.AuditRateTooLow.selector, least - 1, least));
        new Parameters(address(timelock), GUARDIAN, p);
    }

    /// p >= D / (d (1-r) (R + (1-b) S)) by hand: D = 100, R = 0, S = 800 + half of the 2,400 unlocked = 2,000,
    /// 1-b = 1/2, d = 1, r = 1/5: 100 / (0.8 * 1,000) = 0.125.
    function test_auditRateMin_defaults_isTheClosedForm() public pure {
        Params memory p = DefaultParams.get();
        assertEq(ParameterChecks.stakeAtFault(p), 2_000e18);
        assertEq(ParameterChecks.auditRateMin(p), 125_000);
    }

    function testFuzz_auditRateMin_cheatingLosesOnAverage(uint32 gain, uint16 collude, uint32 collateral) public pure {
        Params memory p = DefaultParams.get();
        p.economics.gainBps = uint32(bound(gain, 1, 100_000));
        p.economics.colludingBps = uint16(bound(collude, 0, 9_000));
        p.market.collateralBps = uint32(bound(collateral, 10_000, 1_000_000));
        uint256 rate = ParameterChecks.auditRateMin(p);
        uint256 expectedGain = uint256(p.market.maxTaskPrice) * p.economics.gainBps / 10_000;
        uint256 caught = rate * (10_000 - p.economics.colludingBps); // 1e-10
        uint256 expectedLoss = ParameterChecks.stakeAtFault(p) * p.court.burnBps / 10_000 * caught / 1e10;
        assertGe(expectedLoss + 1e12, expectedGain, "loss covers gain");
    }

    function test_constructor_exposureTooHigh_reverts() public {
        Params memory p = DefaultParams.get();
        p.market.maxLockedBps = 7_000;
        p.audit.ratePpm = 1_000_000;
        p.audit.freshRatePpm = 1_000_000;
        p.market.auditLevy = 1e18;
        _refused(p, ParameterChecks.ExposureTooHigh.selector);
    }

    function test_constructor_unbondingShorterThanDisputes_reverts() public {
        Params memory p = DefaultParams.get();
        uint256 least = ParameterChecks.unbondingSecondsMin(p);
        p.stake.unbondingSeconds = uint32(least) - 1;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.UnbondingTooShort.selector, least - 1, least));
        new Parameters(address(timelock), GUARDIAN, p);
    }

    function test_unbondingSecondsMin_everyPartCounts() public pure {
        Params memory p = DefaultParams.get();
        uint256 before = ParameterChecks.unbondingSecondsMin(p);
        uint256 verdicts = ParameterChecks.verdictSecondsMax(p);
        p.market.execMax += 1;
        p.market.seedDelay += 1;
        p.market.challengeWindow += 1;
        p.market.revealWindow += 1;
        p.audit.commitSeconds += 1; // thrice, with two redraws
        p.court.clockBudget += 1; // two sides
        p.court.refereeSeconds += 1; // three draws
        p.court.appealWindow += 1; // with the next, thrice: two rulings about earlier operators, and the last
        p.court.ospSeconds += 1;
        p.stake.unbondingMargin += 1;
        assertEq(ParameterChecks.verdictSecondsMax(p), verdicts + 3 + 3 + 2 + 3 + 6);
        assertEq(ParameterChecks.unbondingSecondsMin(p), before + 5 + 3 + 2 + 3 + 6);
    }

    function test_constructor_freshRateBelowTheFloor_reverts() public {
        Params memory p = DefaultParams.get();
        p.audit.freshRatePpm = p.audit.ratePpm;
        new Parameters(address(timelock), GUARDIAN, p);
        p.audit.freshRatePpm -= 1;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.FreshRateTooLow.selector, 249_999, 250_000));
        new Parameters(address(timelock), GUARDIAN, p);
        p.audit.freshRatePpm = 1_000_001;
        _refused(p, ParameterChecks.TooLarge.selector);
    }

    /// P-V6: half the window is at least the time that verdicts about one moment's results may lie apart, and less than what
    /// unbonding takes.
    function test_constructor_correlationWindow_isTiedToVerdictsAndUnbonding() public {
        Params memory p = DefaultParams.get();
        uint256 least = 2 * (ParameterChecks.unbondingSecondsMin(p) - p.market.execMax - p.stake.unbondingMargin);
        p.stake.correlationWindowSeconds = uint32(least);
        new Parameters(address(timelock), GUARDIAN, p);
        p.stake.correlationWindowSeconds -= 1;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.CorrelationWindowTooShort.selector, least - 1, least));
        new Parameters(address(timelock), GUARDIAN, p);
        uint256 most = 4 days - 1;
        p.stake.correlationWindowSeconds = uint32(most);
        new Parameters(address(timelock), GUARDIAN, p);
        p.stake.correlationWindowSeconds += 1;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.CorrelationWindowTooLong.selector, most + 1, most));
        new Parameters(address(timelock), GUARDIAN, p);
        p = DefaultParams.get();
        p.stake.correlationMultiplier = 0;
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.Zero.selector, bytes32("correlationMultiplier")));
        new Parameters(address(timelock), GUARDIAN, p);
    }

    /// P-L11: two games of 16 rounds with both clocks run down; without levels nobody needs the time.
    function test_constructor_ospTooShort_reverts() public {
        Params memory p = DefaultParams.get();
        uint256 least = 4 * (uint256(p.court.clockBudget) + 16 * p.court.clockIncrement);
        p.court.ospSeconds = uint32(least - 1);
        new Parameters(address(timelock), GUARDIAN, p);
        p.court.appealLevels = address(1);
        vm.expectRevert(abi.encodeWithSelector(ParameterChecks.OspTooShort.selector, least - 1, least));
        new Parameters(address(timelock), GUARDIAN, p);
        p.court.ospSeconds = uint32(least);
        new Parameters(address(timelock), GUARDIAN, p);
    }

    function test_constructor_retractOutsideWindow_reverts() public {
        Params memory p = DefaultParams.get();
        p.market.retractWindow = p.market.challengeWindow;
        _refused(p, ParameterChecks.RetractNotInsideWindow.selector);
    }

    function test_constructor_zeroClocksOrBondParts_revert() public {
        Params memory p = DefaultParams.get();
        p.court.clockBudget = 0;
        _refused(p, ParameterChecks.Zero.selector);
        p = DefaultParams.get();
        p.court.clockIncrement = 0;
        _refused(p, ParameterChecks.Zero.selector);
        p = DefaultParams.get();
        p.court.clockIncrement = p.court.clockBudget + 1;
        _refused(p, ParameterChecks.IncrementAboveBudget.selector);
        p = DefaultParams.get();
        p.court.providerGasCost = 0;
        _refused(p, ParameterChecks.Zero.selector);
        p = DefaultParams.get();
        p.court.refereeFee = 0;
        _refused(p, ParameterChecks.Zero.selector);
        p = DefaultParams.get();
        p.court.freezeRate = 0;
        _refused(p, ParameterChecks.Zero.selector);
        p = DefaultParams.get();
        p.court.freezeCap = 0;
        _refused(p, ParameterChecks.Zero.selector);
    }

    function test_constructor_poolUnfunded_reverts() public {
        Params memory p = DefaultParams.get();
        p.market.auditLevy = 0.25e18 - 1;
        _refused(p, ParameterChecks.LevyTooLow.selector);
        p = DefaultParams.get();
        p.stake.registrationFee = 4e18 - 1; // three of probation, and on the way down one more
        _refused(p, ParameterChecks.RegistrationFeeTooLow.selector);
        p = DefaultParams.get();
        p.stake.minStake = 1e18;
        _refused(p, ParameterChecks.MinStakeTooLow.selector);
    }

    function test_constructor_absurdValues_revert() public {
        Params memory p = DefaultParams.get();
        p.market.maxTaskPrice = type(uint128).max;
        _refused(p, ParameterChecks.TooLarge.selector);
        p = DefaultParams.get();
        p.market.execMax = type(uint32).max;
        _refused(p, ParameterChecks.TooLarge.selector);
        p = DefaultParams.get();
        p.court.safetySlashBps = 10_001;
        _refused(p, ParameterChecks.TooLarge.selector);
        p = DefaultParams.get();
        p.stake.maxMembers = 1_025;
        _refused(p, ParameterChecks.TooLarge.selector);
        p = DefaultParams.get();
        p.audit.ratePpm = 1_000_001;
        _refused(p, ParameterChecks.TooLarge.selector);
        // The draw after the last auditor failed would not fit a block, and the task never settle.
        p = DefaultParams.get();
        p.audit.maxRedraws = 9;
        p.stake.unbondingSeconds = 10 days;
        _refused(p, ParameterChecks.TooLarge.selector);
    }

    function test_set_stranger_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        parameters.set(DefaultParams.get());
    }

    function test_set_throughTimelock_waitsAndAppends() public {
        Params memory p = DefaultParams.get();
        p.market.retryGrace = 5 minutes;
        bytes memory call = abi.encodeCall(parameters.set, (p));
        timelock.schedule(address(parameters), 0, call, 0, 0, 2 days);
        vm.expectRevert();
        timelock.execute(address(parameters), 0, call, 0, 0);
        skip(2 days);
        timelock.execute(address(parameters), 0, call, 0, 0);
        assertEq(parameters.version(), 2);
        assertEq(parameters.marketAt(1).retryGrace, 1 minutes);
        assertEq(parameters.marketAt(2).retryGrace, 5 minutes);
    }

    function test_setPaused_stranger_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Parameters.NotGuardian.selector, address(this), GUARDIAN));
        parameters.setPaused(true);
        vm.prank(GUARDIAN);
        parameters.setPaused(true);
        assertTrue(parameters.paused(), "paused");
    }

    function test_marketAt_unknownVersion_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Parameters.UnknownVersion.selector, 2, 1));
        parameters.marketAt(2);
        vm.expectRevert(abi.encodeWithSelector(Parameters.UnknownVersion.selector, 0, 1));
        parameters.courtAt(0);
    }
}
