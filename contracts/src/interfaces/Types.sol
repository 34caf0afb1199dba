// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Where a task stands. Allowed edges: spec/protocol.md, "Task lifecycle".
enum TaskState {
    None,
    Open,
    Claimed,
    Committed,
    Disputed,
    Settled,
    Cancelled,
    Expired
}

/// @notice The committed facts of a model; `sha256` of its packed encoding is the `model_id` (spec/trace.md).
struct ModelHeader {
    uint32 numericsVersion;
    uint32 loweringVersion;
    uint32 nodeCount;
    uint32 maxSteps;
    uint32 commitPoints;
    uint8 traceHeight;
    uint8 opsHeight;
    uint8 liveHeight;
    uint64 work;
    bytes32 nodesRoot;
    bytes32 edgesRoot;
    bytes32 weightsRoot;
    bytes32 segmentsRoot;
    bytes32 assetsRoot;
}

/// @notice What a requester asks for. Amounts in units of the asset, times in seconds.
struct TaskSpec {
    bytes32 modelId;
    bytes32 familyId; // whose binding the model is served as; 0: the model is a class of its own
    bytes32 inputDigest;
    uint64 seed;
    uint128 minPrice;
    uint128 maxPrice;
    uint32 rampSeconds;
    uint32 execSeconds;
}

/// @notice A task as the chain sees it.
struct Task {
    // who and what
    address requester;
    bytes32 modelId;
    bytes32 classId; // the family, or the model itself
    bytes32 inputDigest;
    uint64 seed;
    // auction
    TaskState state;
    uint8 attempt;
    uint64 openedAt;
    uint128 minPrice;
    uint128 maxPrice;
    uint32 rampSeconds;
    uint32 execSeconds;
    // claim
    address provider;
    uint128 price;
    uint128 collateral;
    uint64 deadline;
    // result
    uint64 committedAt;
    uint32 steps;
    bytes32 outputDigest;
    bytes32 traceRoot;
    // judgement
    uint16 openChallenges;
    bool auditPending;
    bool auditClosed;
}

/// @notice Standing of a provider identity. `free + locked + unbonding` is its stake.
struct Provider {
    address owner;
    address payout;
    uint128 free;
    uint128 locked;
    uint128 unbonding;
    uint32 frozen;
    uint64 jailedUntil;
    bool tombstoned;
    uint32 liveTasks;
    uint32 maxConcurrency;
    uint64 settledTasks;
    uint64 registeredAt;
}

/// @notice What a convicted provider loses with the others of its time. All zero for one that was never convicted; once the
/// penalty was taken only `slashedAt` is left.
struct Correlation {
    uint64 slashedAt;
    uint64 dueAt; // from then on the penalty can be taken
    uint16 multiplier;
    uint128 slashedStake; // full stakes of all convicted within the window
    uint128 totalStake; // theirs, and what everyone else had after the last of them
    uint128 penalty; // of what is there now; until `dueAt` more may be convicted
}

/// @notice One row of a model's segment table with its opening under `segmentsRoot`.
struct SegmentOpening {
    uint32 index;
    uint32 firstNode;
    uint32 opCount;
    uint32 liveCount;
    bytes32 liveListRoot;
    bytes32[] proof;
}

enum DisputeState {
    None,
    Level1, // dissecting the level-1 tree down to one commit point
    SegmentWanted, // commit point found; the provider owes the fine trace's root rows
    Level2, // dissecting operators (or live slots) of the segment
    Isolated, // one operator found; a referee is to be drawn
    Refereed, // a referee is drawn and owes a ruling
    Ruled, // provisional ruling, appeal window runs
    Appealed, // handed to the appeal levels
    Upheld, // provider guilty: final
    Cleared, // provider cleared: final
    Void // neither: bonds back
}

enum Side {
    Provider,
    Challenger
}

/// @notice A dispute as the chain sees it.
struct Dispute {
    uint256 taskId;
    uint8 attempt;
    address provider;
    address challenger; // the auditor, where an audit opened it
    DisputeState state;
    Side turn;
    uint64 turnStartedAt;
    uint32 providerClock; // seconds left
    uint32 challengerClock;
    uint128 bond;
    // dissection
    bytes32 node; // the claim under dissection
    uint8 height; // height of `node` above the leaves of its tree; 0 in Level2: the pick from the segment's two rows is due
    uint64 index; // index of `node` among the nodes of that height
    bytes32 rowHash; // keccak256 of the row (abi.encode of the segment's two rows) that waits for a pick, else 0
    // level 1 result
    uint64 leafIndex; // step * C + c
    bytes32 leaf; // provider's live root there
    bytes32 previousLeaf; // agreed live root before
    // level 2
    bytes32 opsRoot;
    bool inLive; // dissecting live slots, not operators
    uint32 firstNode;
    uint32 opCount;
    uint32 liveCount;
    // isolated
    uint32 isolatedIndex; // operator index within the segment, or live slot
    bytes32 claimedDigest; // provider's digest of the isolated output
    // referee
    uint64 isolatedAt; // the referee's beacon round is the first after it; a missed deadline renews it
    address referee;
    uint8 draws;
    uint64 refereeDeadline;
    bytes32 ruledDigest;
    bool ruledGuilty;
    uint64 ruledAt;
    uint64 openedAt;
    // a referee's earlier operator
    bool earlier; // the isolated place is the referee's; what the challenger had isolated is kept in the next two
    uint32 passedIndex;
    bytes32 passedDigest;
    uint8 hops; // rulings about an earlier operator so far
    // appeal
    address appellant; // 0 where no referee could be had
    uint64 appealedAt;
}

/// @notice Who plays an appeal by which clocks, and what the levels must know to begin: a part of `Dispute`, cheaper.
struct AppealTerms {
    uint256 taskId;
    address provider;
    bool inLive;
    uint32 clockBudget; // by the rules that the task was posted under
    uint32 clockIncrement;
    address referee;
    bool ruledGuilty;
    uint64 ruledAt;
}

/// @notice What an appeal is about and what opens under it: a part of `Dispute`, cheaper.
struct IsolatedPlace {
    uint256 taskId;
    uint64 leafIndex;
    bytes32 previousLeaf;
    bytes32 opsRoot;
    uint32 firstNode;
    uint32 opCount;
    uint32 isolatedIndex;
    bytes32 claimedDigest;
}
