// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Params, MarketParams, CourtParams, AuditParams, StakeParams, EconomicParams} from "../../src/interfaces/IParameters.sol";

/// @notice A set of parameters that passes every check, with short windows; amounts have 18 decimals.
library DefaultParams {
    function get() internal pure returns (Params memory p) {
        p.market = MarketParams({
            maxTaskPrice: 100e18,
            auditLevy: 0.25e18,
            minCollateral: 1e18,
            collateralBps: 80_000,
            maxLockedBps: 2_500,
            livenessBps: 1_000,
            priceFloorBps: 0,
            retryEvery: 2,
            jailSeconds: 1 hours,
            minThroughput: 1e9,
            execMax: 1 hours,
            challengeWindow: 10 minutes,
            revealWindow: 5 minutes,
            retractWindow: 2 minutes,
            seedDelay: 30,
            openLifetime: 1 days,
            retryGrace: 1 minutes,
            retryLifetime: 1 hours
        });
        p.court = CourtParams({
            clockBudget: 1 hours,
            clockIncrement: 1 minutes,
            refereeSeconds: 30 minutes,
            appealWindow: 30 minutes,
            ospSeconds: 6 hours,
            beaconSlack: 1 minutes,
            maxRedraws: 2,
            maxEarlier: 2,
            safetySlashBps: 5_000,
            unused: 0,
            requesterBps: 1_000,
            challengerBps: 2_500,
            refereeBps: 500,
            requeueBps: 1_000,
            burnBps: 5_000,
            reserved: 0,
            providerGasCost: 1e18,
            refereeFee: 1e18,
            freezeRate: 3e13,
            freezeCap: 3e18,
            refereePenalty: 2e18,
            appealBond: 3e18,
            appealLevels: address(0)
        });
        p.audit = AuditParams({
            ratePpm: 250_000,
            probationTasks: 3,
            freshRatePpm: 500_000,
            recordTasks: 7,
            commitSeconds: 10 minutes,
            openSeconds: 10 minutes,
            maxRedraws: 2,
            fee: 1e18,
            penalty: 2e18
        });
        p.stake = StakeParams({
            minStake: 100e18,
            registrationFee: 4e18,
            unbondingSeconds: 2 days,
            unbondingMargin: 1 hours,
            maxMembers: 64,
            correlationWindowSeconds: 3 days,
            correlationMultiplier: 3
        });
        p.economics = EconomicParams({gainBps: 10_000, detectionBps: 10_000, colludingBps: 2_000});
    }
}
