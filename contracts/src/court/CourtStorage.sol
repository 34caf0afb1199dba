// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IBeacon} from "../interfaces/IBeacon.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {CourtParams, IParameters} from "../interfaces/IParameters.sol";
import {IProviderPool} from "../interfaces/IProviderPool.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {ITraps} from "../interfaces/ITraps.sol";
import {DisputeState, Side, TaskState} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";

/// @notice The court's books: packed records of challenges and disputes. `Court` and `Proceedings` run on the same storage;
/// both have this contract as their first base and keep nothing that the other would not see at the same place.
abstract contract CourtStorage {
    error WrongDisputeState(uint256 disputeId, DisputeState found, DisputeState wanted);
    error DisputeMoot(uint256 disputeId);
    error OtherClaim(uint256 disputeId, bytes32 answered, bytes32 standing);
    error ClaimedNotInTrace(bytes32 found, bytes32 wanted);

    struct Challenge {
        bytes32 commitment;
        uint128 bond;
        uint40 committedAt;
        bool revealed;
    }

    /// @dev A move of the dissection writes slot 0 and one of the next two. Trees are at most 32 high, so that an index fits
    /// four bytes.
    struct Record {
        // slot 0
        DisputeState state;
        Side turn;
        uint8 height;
        bool inLive;
        uint40 turnStartedAt;
        uint32 providerClock;
        uint32 challengerClock;
        uint32 index;
        uint32 clockBudget;
        uint32 clockIncrement;
        // slots 1, 2
        bytes32 node; // the claim under dissection; once isolated, the provider's digest there
        bytes32 rowHash; // means something while the challenger has the turn
        // slot 3
        address challenger;
        uint32 steps;
        uint32 commitPoints;
        uint8 attempt;
        uint8 traceHeight;
        uint8 opsHeight;
        uint8 liveHeight;
        // slot 4
        address provider;
        uint16 rules; // version of the parameters
        uint8 flags;
        uint8 hops; // rulings about an earlier operator so far
        uint8 draws;
        uint40 openedAt;
        // slot 5
        uint128 taskId;
        uint128 bond;
        // slots 6 to 8
        bytes32 leaf;
        bytes32 previousLeaf;
        bytes32 opsRoot;
        // slot 9
        uint32 leafIndex;
        uint32 firstNode;
        uint32 opCount;
        uint32 liveCount;
        uint32 isolatedIndex;
        uint40 isolatedAt;
        // slot 10
        address referee;
        uint40 refereeDeadline;
        uint40 ruledAt;
        bool ruledGuilty;
        // slot 11
        bytes32 ruledDigest;
        // slot 12
        address appellant;
        uint40 appealedAt;
        uint32 passedIndex; // the challenger's place, while a referee's earlier one is judged
        // slot 13
        bytes32 passedDigest;
    }

    /// @dev The bond came from the audit pool and returns there.
    uint8 internal constant FLAG_AUDIT = 1;
    /// @dev The isolated place is a referee's, before the one that the challenger had isolated.
    uint8 internal constant FLAG_EARLIER = 2;

    IMarketCourt internal immutable _market;
    IStakeVaultModule internal immutable _vault;
    IParameters internal immutable _parameters;
    IProviderPool internal immutable _pool;
    IBeacon internal immutable _beacon;
    address internal immutable _audits;
    ITraps internal immutable _traps;

    uint256 internal _disputeCount; // ids run 1.._disputeCount
    mapping(uint256 => Record) internal _disputes;
    mapping(uint256 => address[]) internal _barred; // dispute -> who was drawn before
    mapping(uint256 => mapping(uint8 => mapping(address => Challenge))) internal _challenges; // task, attempt, challenger

    constructor(System memory system) {
        _market = IMarketCourt(system.market);
        _vault = IStakeVaultModule(system.vault);
        _parameters = IParameters(system.parameters);
        _pool = IProviderPool(system.pool);
        _beacon = IBeacon(system.beacon);
        _audits = system.audits;
        _traps = ITraps(system.traps);
    }

    // ---- shared by the parts of the court

    function _inState(uint256 disputeId, DisputeState wanted) internal view returns (Record storage d) {
        d = _disputes[disputeId];
        // INVARIANT P-D6: A call meets the state it is made for; nothing is accepted after resolution.
        if (d.state != wanted) revert WrongDisputeState(disputeId, d.state, wanted);
    }

    /// @dev True while the task is at the attempt that this dispute is about. An open dispute keeps its task `Disputed`.
    function _stands(Record storage d) internal view returns (bool) {
        (TaskState state, uint8 attempt,,,) = _market.standing(d.taskId);
        return attempt == d.attempt && state == TaskState.Disputed;
    }

    function _requireStanding(uint256 disputeId, Record storage d) internal view {
        // INVARIANT P-C3: The first verdict that ends an attempt ends it for every dispute about it.
        if (!_stands(d)) revert DisputeMoot(disputeId);
    }

    /// @dev The rules that the task was posted under.
    function _rulesOf(Record storage d) internal view returns (CourtParams memory) {
        return _parameters.courtAt(d.rules);
    }

    function _payoutOf(address provider) internal view returns (address) {
        return _vault.provider(provider).payout;
    }

    /// @dev P-C2: worst gas of the defence, the referee's fee, and the capped idle time of a frozen provider.
    function _bond(uint16 rules) internal view returns (uint128) {
        CourtParams memory c = _parameters.courtAt(rules);
        uint256 idle = uint256(c.freezeRate) * _parameters.disputeSecondsMax(rules);
        if (idle > c.freezeCap) idle = c.freezeCap;
        return uint128(uint256(c.providerGasCost) + c.refereeFee + idle); // each at most 96 bits, by the parameters' checks
    }

    /// @dev `d.node` is the provider's digest at `place`.
    function _isolate(uint256 disputeId, Record storage d, uint32 place) internal {
        d.state = DisputeState.Isolated;
        d.isolatedIndex = place;
        d.isolatedAt = uint40(block.timestamp);
        uint32 step = d.leafIndex / d.commitPoints;
        uint32 segment = d.leafIndex % d.commitPoints;
        uint32 nodeOrSlot = place;
        // A model whose table lies must not keep an operator from being isolated: the sum wraps.
        unchecked {
            if (!d.inLive) nodeOrSlot += d.firstNode;
        }
        emit ICourt.OperatorIsolated(disputeId, step, segment, d.inLive, nodeOrSlot, d.node);
    }
}
