// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Tasks and their auction. Times in seconds, shares in basis points (1 bp = 1/10,000), amounts in units of the asset.
struct MarketParams {
    // slot 0: read by every post
    uint128 maxTaskPrice; // largest `maxPrice` of a new task
    uint64 minThroughput; // work units per second that a deadline may assume
    uint32 execMax; // largest execSeconds
    uint16 priceFloorBps; // minPrice >= this share of maxPrice
    uint16 retryEvery; // k: one retry claim opens the gate for this many normal claims
    // slot 1: read by every post
    uint128 auditLevy; // on top of maxPrice, per task; feeds the audit pool at settlement
    uint32 challengeWindow; // W, from the commit
    uint32 revealWindow; // after W
    uint32 retractWindow; // from the commit, shorter than W
    uint32 seedDelay; // finality and drift, between the retract window and the audit's round
    // slot 2: read by every claim
    uint128 minCollateral;
    uint32 collateralBps; // of maxPrice; the larger of this and minCollateral is locked
    uint16 maxLockedBps; // exposure cap: locked <= this share of (free + locked) after a claim
    uint16 livenessBps; // of the collateral: missed deadline, retract
    uint32 jailSeconds; // after a missed deadline
    uint32 openLifetime; // attempt 0 without a claim may be expired after this
    // slot 3
    uint32 retryGrace; // a retry that waited longer closes the normal lane of its class
    uint32 retryLifetime; // from enqueueing; then anyone may expire it
}

/// @notice The dispute game, the referee and the verdict.
struct CourtParams {
    // slot 0
    uint32 clockBudget; // per side
    uint32 clockIncrement; // per own move, capped at the budget
    uint32 refereeSeconds; // from the draw
    uint32 appealWindow;
    uint32 ospSeconds; // D_osp: time that one appeal may take
    uint32 beaconSlack; // time within which a due beacon round is published
    uint8 maxRedraws; // referee draws beyond the first
    uint8 maxEarlier; // rulings about an earlier operator in one dispute
    uint16 safetySlashBps; // of the stake beyond the task's collateral
    uint32 unused;
    // slot 1: split of a safety slash; sums to 10,000
    uint16 requesterBps;
    uint16 challengerBps; // or the auditor
    uint16 refereeBps;
    uint16 requeueBps; // raises the price of the next attempt
    uint16 burnBps; // >= 5,000
    uint160 reserved;
    // bond = providerGasCost + refereeFee + min(freezeRate * D_max, freezeCap)
    uint128 providerGasCost; // provider's worst-case gas in one dispute, priced in the asset
    uint128 refereeFee;
    uint128 freezeRate; // per second
    uint128 freezeCap;
    uint128 refereePenalty; // missed deadline of a drawn referee
    uint128 appealBond;
    address appealLevels; // IAppealLevels, or zero while none is installed
}

/// @notice Random audits.
struct AuditParams {
    uint32 ratePpm; // p, parts per million of results: the floor, which no record lowers
    uint32 probationTasks; // first tasks of a provider: audited always
    uint32 freshRatePpm; // of the first task after them
    uint32 recordTasks; // over which the rate falls from there to the floor
    uint32 commitSeconds; // from the draw
    uint32 openSeconds; // from the chunk seed
    uint8 maxRedraws; // auditor draws beyond the first
    uint128 fee; // paid from the audit pool whatever the auditor finds
    uint128 penalty; // not committing, or not being able to open
}

/// @notice Stake.
struct StakeParams {
    uint128 minStake; // least stake of an eligible provider
    uint128 registrationFee; // to the audit pool: prepays the probation audits, and those above the floor after them
    uint32 unbondingSeconds;
    uint32 unbondingMargin; // spare time inside unbondingSeconds
    uint32 maxMembers; // providers in one model's pool
    uint32 correlationWindowSeconds; // safety faults within half of it, before and after, count as one attack
    uint16 correlationMultiplier; // of the attack's share of all stake: what an offender loses of the rest
}

/// @notice What the deployer assumes about cheats; only the checks read it.
struct EconomicParams {
    uint32 gainBps; // D: gain from one wrong result, as a share of its maxPrice
    uint16 detectionBps; // d: chance that an honest audit sees a wrong result
    uint16 colludingBps; // r: share of the audit capacity that colludes
}

struct Params {
    MarketParams market;
    CourtParams court;
    AuditParams audit;
    StakeParams stake;
    EconomicParams economics;
}

/// @notice The numbers of the protocol, in versions. A task lives under the version in force when it was posted
/// (`IMarketCourt.rulesOf`); stake, registration and the pools read the newest. Versions are never changed.
interface IParameters {
    event ParametersSet(uint16 indexed version, Params params);
    event PausedSet(bool paused);
    event GuardianSet(address guardian);

    /// @notice Newest version; the first is 1.
    function version() external view returns (uint16);
    /// @notice New tasks are refused while true; nothing else is.
    function paused() external view returns (bool);
    function guardian() external view returns (address);
    function marketAt(uint16 v) external view returns (MarketParams memory);
    function courtAt(uint16 v) external view returns (CourtParams memory);
    function auditAt(uint16 v) external view returns (AuditParams memory);
    function economicsAt(uint16 v) external view returns (EconomicParams memory);
    /// @notice Stake rules of the newest version.
    function stake() external view returns (StakeParams memory);
    function paramsAt(uint16 v) external view returns (Params memory);
    // ---- narrow reads for the calls that every task and every appeal makes
    function forClaim(uint16 v)
        external
        view
        returns (uint128 minCollateral, uint32 collateralBps, uint16 maxLockedBps, uint128 minStake);
    function forAppeal(uint16 v) external view returns (uint32 appealWindow, uint128 appealBond, address appealLevels);
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
        );
    /// @notice Longest time from the opening of a dispute to its end under version `v`.
    function disputeSecondsMax(uint16 v) external view returns (uint64);
}
