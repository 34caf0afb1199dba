// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Params, MarketParams, CourtParams} from "../interfaces/IParameters.sol";

/// @notice The rules that a set of parameters must keep so that the promises of the protocol hold: honest parties are
/// paid, stake outlives every dispute about it, and cheating does not pay.
/// Symbols: R price that a cheat forgoes, S stake that one isolated fault costs, D gain, d detection, r collusion,
/// b share of a slash that leaves to parties the cheater may control.
library ParameterChecks {
    error Zero(bytes32 what);
    error SharesSum(uint256 sum, uint256 wanted);
    error BurnFloor(uint256 burnBps, uint256 leastBps);
    error TooLarge(bytes32 what, uint256 value, uint256 most);
    error RetractNotInsideWindow(uint256 retractWindow, uint256 challengeWindow);
    error IncrementAboveBudget(uint256 clockIncrement, uint256 clockBudget);
    error AuditRateTooLow(uint256 ratePpm, uint256 leastPpm);
    error ExposureTooHigh(uint256 gainAtRisk, uint256 expectedLoss);
    error UnbondingTooShort(uint256 unbondingSeconds, uint256 leastSeconds);
    error OspTooShort(uint256 ospSeconds, uint256 leastSeconds);
    error CorrelationWindowTooShort(uint256 correlationWindowSeconds, uint256 leastSeconds);
    error CorrelationWindowTooLong(uint256 correlationWindowSeconds, uint256 mostSeconds);
    error FreshRateTooLow(uint256 freshRatePpm, uint256 leastPpm);
    error LevyTooLow(uint256 auditLevy, uint256 least);
    error RegistrationFeeTooLow(uint256 fee, uint256 least);
    error MinStakeTooLow(uint256 minStake, uint256 least);

    uint256 internal constant BPS = 10_000;
    uint256 internal constant PPM = 1_000_000;
    /// @dev Trees are at most 32 high, a round descends four levels: 8 rounds per tree, the segment's round and spare.
    uint256 internal constant ROUNDS_MAX = 20;
    /// @dev A tensor and 8 rows of its chunks, an element, 7 rounds over at most 2^35 batches.
    uint256 internal constant APPEAL_ROUNDS_MAX = 16;
    /// @dev Longest time a single window may last; keeps every sum of windows far inside 64 bits.
    uint256 internal constant SECONDS_MAX = 365 days;
    /// @dev The vault keeps counts of pool members in this many leaves.
    uint256 internal constant MEMBERS_MAX = 1024;
    /// @dev A draw looks at everyone drawn before in its dispute.
    uint256 internal constant CHAIN_MAX = 8;

    function check(Params memory p) internal pure {
        _checkWindows(p);
        _checkShares(p);
        _checkBond(p);
        _checkRate(p);
        _checkExposure(p);
        _checkAuditPool(p);
        _checkUnbonding(p);
        _checkCorrelation(p);
    }

    /// @notice Both sides spend their whole budget and every increment, every draw takes its whole time, and every ruling
    /// about an earlier operator is appealed and overturned before the last one is appealed too. A deadline that passed is
    /// claimed in the second after it.
    function disputeSecondsMax(CourtParams memory c) internal pure returns (uint64) {
        uint256 game = 2 * (uint256(c.clockBudget) + ROUNDS_MAX * c.clockIncrement);
        uint256 referees = (1 + uint256(c.maxRedraws)) * (uint256(c.beaconSlack) + c.refereeSeconds + 1);
        uint256 appeals = (1 + uint256(c.maxEarlier)) * (uint256(c.appealWindow) + c.ospSeconds);
        return uint64(game + referees + appeals + 1);
    }

    /// @notice Two games of the appeal levels in which both sides run their clocks down.
    function ospSecondsMin(CourtParams memory c) internal pure returns (uint256) {
        return 4 * (uint256(c.clockBudget) + APPEAL_ROUNDS_MAX * c.clockIncrement);
    }

    /// @notice From a result to the last moment at which a verdict about it may fall.
    function verdictSecondsMax(Params memory p) internal pure returns (uint256) {
        uint256 audits =
            (1 + uint256(p.audit.maxRedraws)) * (2 * uint256(p.court.beaconSlack) + p.audit.commitSeconds + p.audit.openSeconds);
        return uint256(p.market.retractWindow) + p.market.seedDelay + p.market.challengeWindow + p.market.revealWindow + audits
            + disputeSecondsMax(p.court);
    }

    /// @notice From a claim to the last moment at which its stake may still be called for.
    function unbondingSecondsMin(Params memory p) internal pure returns (uint256) {
        return uint256(p.market.execMax) + verdictSecondsMax(p) + p.stake.unbondingMargin;
    }

    /// @notice Fees of the audits that a newcomer causes beyond what its levies pay: its probation, and the way down to the
    /// floor, on the average. The rates on the way are `recordTasks` steps from `freshRatePpm` to just above `ratePpm`.
    function registrationFeeMin(Params memory p) internal pure returns (uint256) {
        uint256 steps = p.audit.recordTasks;
        uint256 above = steps == 0 ? 0 : (steps + 1) * (uint256(p.audit.freshRatePpm) - p.audit.ratePpm);
        uint256 halves = 2 * PPM * uint256(p.audit.probationTasks) + above;
        return (p.audit.fee * halves + 2 * PPM - 1) / (2 * PPM);
    }

    /// @notice Collateral that a task of price ceiling `maxPrice` locks.
    function collateral(MarketParams memory m, uint256 maxPrice) internal pure returns (uint256) {
        uint256 byShare = maxPrice * m.collateralBps / BPS;
        return byShare > m.minCollateral ? byShare : m.minCollateral;
    }

    /// @notice S: what one isolated fault on the dearest task costs: its collateral and a share of what is not locked.
    function stakeAtFault(Params memory p) internal pure returns (uint256) {
        uint256 locked = collateral(p.market, p.market.maxTaskPrice);
        uint256 total = locked * BPS / p.market.maxLockedBps;
        if (total < p.stake.minStake) total = p.stake.minStake;
        uint256 unlocked = total * (BPS - p.market.maxLockedBps) / BPS;
        return locked + unlocked * p.court.safetySlashBps / BPS;
    }

    /// @notice Least audit rate: p >= D / (d (1-r) (R + (1-b) S)), in parts per million, rounded up.
    function auditRateMin(Params memory p) internal pure returns (uint256) {
        uint256 gain = uint256(p.market.maxTaskPrice) * p.economics.gainBps / BPS;
        uint256 price = uint256(p.market.maxTaskPrice) * p.market.priceFloorBps / BPS;
        uint256 loss = price + stakeAtFault(p) * p.court.burnBps / BPS; // 1-b is what nobody gets back: the burned share
        uint256 honest = uint256(p.economics.detectionBps) * (BPS - p.economics.colludingBps); // d (1-r), in 1e-8
        uint256 weighed = loss * honest;
        return (gain * PPM * BPS * BPS + weighed - 1) / weighed;
    }

    function _checkWindows(Params memory p) private pure {
        _nonZero("challengeWindow", p.market.challengeWindow);
        _nonZero("revealWindow", p.market.revealWindow);
        _nonZero("retractWindow", p.market.retractWindow);
        _nonZero("seedDelay", p.market.seedDelay);
        _nonZero("execMax", p.market.execMax);
        _nonZero("openLifetime", p.market.openLifetime);
        _nonZero("retryLifetime", p.market.retryLifetime);
        _nonZero("jailSeconds", p.market.jailSeconds);
        _nonZero("minThroughput", p.market.minThroughput);
        _nonZero("clockBudget", p.court.clockBudget);
        _nonZero("clockIncrement", p.court.clockIncrement);
        _nonZero("refereeSeconds", p.court.refereeSeconds);
        _nonZero("appealWindow", p.court.appealWindow);
        _nonZero("beaconSlack", p.court.beaconSlack);
        _nonZero("commitSeconds", p.audit.commitSeconds);
        _nonZero("openSeconds", p.audit.openSeconds);
        _nonZero("unbondingSeconds", p.stake.unbondingSeconds);
        // The market stores the sum of both in three bytes.
        _atMost("challengeWindow", p.market.challengeWindow, type(uint24).max / 2);
        _atMost("revealWindow", p.market.revealWindow, type(uint24).max / 2);
        _atMost("seedDelay", p.market.seedDelay, SECONDS_MAX);
        _atMost("execMax", p.market.execMax, type(uint24).max); // the market stores it so
        _atMost("openLifetime", p.market.openLifetime, SECONDS_MAX);
        _atMost("retryLifetime", p.market.retryLifetime, SECONDS_MAX);
        _atMost("retryGrace", p.market.retryGrace, p.market.retryLifetime);
        _atMost("jailSeconds", p.market.jailSeconds, SECONDS_MAX);
        _atMost("clockBudget", p.court.clockBudget, SECONDS_MAX);
        _atMost("ospSeconds", p.court.ospSeconds, SECONDS_MAX);
        _atMost("unbondingSeconds", p.stake.unbondingSeconds, 10 * SECONDS_MAX);
        // INVARIANT P-R1: Redraws and hops are few, so that a draw's gas is bounded.
        _atMost("maxRedraws", p.court.maxRedraws, CHAIN_MAX);
        _atMost("maxEarlier", p.court.maxEarlier, CHAIN_MAX);
        _atMost("auditRedraws", p.audit.maxRedraws, CHAIN_MAX);
        // INVARIANT P-T7: The retract window closes before the challenge window, so that a reveal cannot invite a retract.
        if (p.market.retractWindow >= p.market.challengeWindow) {
            revert RetractNotInsideWindow(p.market.retractWindow, p.market.challengeWindow);
        }
        // INVARIANT P-D5: An increment is part of the budget, so that a clock never exceeds it.
        if (p.court.clockIncrement > p.court.clockBudget) {
            revert IncrementAboveBudget(p.court.clockIncrement, p.court.clockBudget);
        }
        uint256 least = ospSecondsMin(p.court);
        // INVARIANT P-L11: The levels have the time that two games may take.
        if (p.court.appealLevels != address(0) && p.court.ospSeconds < least) revert OspTooShort(p.court.ospSeconds, least);
    }

    function _checkShares(Params memory p) private pure {
        CourtParams memory c = p.court;
        uint256 sum = uint256(c.requesterBps) + c.challengerBps + c.refereeBps + c.requeueBps + c.burnBps;
        // INVARIANT P-V1: The shares of a slash sum to the whole.
        if (sum != BPS) revert SharesSum(sum, BPS);
        // INVARIANT P-V1: At least half of a slash is burned, so that challenging oneself loses money.
        if (c.burnBps < BPS / 2) revert BurnFloor(c.burnBps, BPS / 2);
        _atMost("safetySlashBps", c.safetySlashBps, BPS);
        _atMost("livenessBps", p.market.livenessBps, BPS);
        _nonZero("livenessBps", p.market.livenessBps);
        _atMost("priceFloorBps", p.market.priceFloorBps, BPS);
        _nonZero("collateralBps", p.market.collateralBps);
        _nonZero("minCollateral", p.market.minCollateral);
        _nonZero("maxLockedBps", p.market.maxLockedBps);
        _atMost("maxLockedBps", p.market.maxLockedBps, BPS);
        _atMost("ratePpm", p.audit.ratePpm, PPM);
        _atMost("freshRatePpm", p.audit.freshRatePpm, PPM);
        _nonZero("detectionBps", p.economics.detectionBps);
        _atMost("detectionBps", p.economics.detectionBps, BPS);
        _atMost("colludingBps", p.economics.colludingBps, BPS - 1);
        _nonZero("gainBps", p.economics.gainBps);
        _nonZero("maxTaskPrice", p.market.maxTaskPrice);
        _atMost("maxTaskPrice", p.market.maxTaskPrice, type(uint96).max);
        _atMost("minCollateral", p.market.minCollateral, type(uint96).max);
        _nonZero("minStake", p.stake.minStake);
        _nonZero("maxMembers", p.stake.maxMembers);
        _atMost("maxMembers", p.stake.maxMembers, MEMBERS_MAX);
        _nonZero("correlationMultiplier", p.stake.correlationMultiplier);
    }

    function _checkBond(Params memory p) private pure {
        // INVARIANT P-C2: The bond pays the defence, the referee and an idle provider; none of the parts may be missing.
        _nonZero("providerGasCost", p.court.providerGasCost);
        _nonZero("refereeFee", p.court.refereeFee);
        _nonZero("freezeRate", p.court.freezeRate);
        _nonZero("freezeCap", p.court.freezeCap);
        _nonZero("appealBond", p.court.appealBond);
        _nonZero("refereePenalty", p.court.refereePenalty);
        _nonZero("auditPenalty", p.audit.penalty);
        _atMost("providerGasCost", p.court.providerGasCost, type(uint96).max);
        _atMost("refereeFee", p.court.refereeFee, type(uint96).max);
        _atMost("freezeRate", p.court.freezeRate, type(uint96).max);
        _atMost("freezeCap", p.court.freezeCap, type(uint96).max);
    }

    function _checkRate(Params memory p) private pure {
        uint256 least = auditRateMin(p);
        // INVARIANT P-E1: With the audit rate alone, and nobody watching, a wrong result loses money on average.
        if (p.audit.ratePpm < least) revert AuditRateTooLow(p.audit.ratePpm, least);
        // INVARIANT P-A1: A record lowers the rate of audits; it does not raise it.
        if (p.audit.freshRatePpm < p.audit.ratePpm) revert FreshRateTooLow(p.audit.freshRatePpm, p.audit.ratePpm);
    }

    function _checkExposure(Params memory p) private pure {
        // Per unit of stake: gain on everything that may be open at once, and the expected loss of the part not locked.
        uint256 gain = uint256(p.market.maxLockedBps) * p.economics.gainBps * BPS / p.market.collateralBps; // 1e-8
        uint256 honest = uint256(p.audit.ratePpm) * p.economics.detectionBps * (BPS - p.economics.colludingBps); // 1e-14
        uint256 slash = (BPS - p.market.maxLockedBps) * p.court.safetySlashBps * p.court.burnBps; // 1e-12
        uint256 loss = honest * slash / 1e18; // back to 1e-8
        // INVARIANT P-E2: Open exposure is at most p' ((1-b) S), so that cheating on everything at once does not pay either.
        if (gain > loss) revert ExposureTooHigh(gain, loss);
    }

    function _checkAuditPool(Params memory p) private pure {
        // INVARIANT P-A4: Levies pay the audits they cause, with every redraw's fee forfeited.
        uint256 levy = (uint256(p.audit.fee) * p.audit.ratePpm + PPM - 1) / PPM;
        if (p.market.auditLevy < levy) revert LevyTooLow(p.market.auditLevy, levy);
        // INVARIANT P-A4: A newcomer prepays the audits of its probation, and those above the floor after it.
        uint256 fee = registrationFeeMin(p);
        if (p.stake.registrationFee < fee) revert RegistrationFeeTooLow(p.stake.registrationFee, fee);
        uint256 penalty = p.court.refereePenalty > p.audit.penalty ? uint256(p.court.refereePenalty) : uint256(p.audit.penalty);
        // INVARIANT P-R2: Whoever may be drawn has at least one penalty to lose.
        if (p.stake.minStake < penalty) revert MinStakeTooLow(p.stake.minStake, penalty);
    }

    function _checkUnbonding(Params memory p) private pure {
        uint256 least = unbondingSecondsMin(p);
        // INVARIANT P-V4: Stake outlives every task, audit, dispute and appeal it may be called for.
        if (p.stake.unbondingSeconds < least) revert UnbondingTooShort(p.stake.unbondingSeconds, least);
    }

    function _checkCorrelation(Params memory p) private pure {
        uint256 window = p.stake.correlationWindowSeconds;
        uint256 least = 2 * verdictSecondsMax(p);
        // INVARIANT P-V6: Wrong results of one moment fall in one window, however long some of them are argued about.
        if (window < least) revert CorrelationWindowTooShort(window, least);
        uint256 most = 2 * uint256(p.stake.unbondingSeconds) - 1;
        // INVARIANT P-V6: The penalty is due before stake that began to unbond at the verdict may leave.
        if (window > most) revert CorrelationWindowTooLong(window, most);
    }

    function _nonZero(bytes32 what, uint256 value) private pure {
        if (value == 0) revert Zero(what);
    }

    function _atMost(bytes32 what, uint256 value, uint256 most) private pure {
        if (value > most) revert TooLarge(what, value, most);
    }
}
