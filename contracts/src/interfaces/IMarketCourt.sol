// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IMarket} from "./IMarket.sol";
import {ModelHeader, TaskState} from "./Types.sol";

/// @notice What the court and the audits may tell the market. Each call names the attempt it is about and reverts with
/// `StaleAttempt` when the task has left it: then the dispute or audit is moot.
interface IMarketCourt is IMarket {
    // ---- court only
    /// @notice A challenge commitment was taken: `retract` is closed for this attempt. Committed or Disputed only.
    function challengeCommitted(uint256 taskId, uint8 attempt) external;
    /// @notice One more open dispute; Committed | Disputed -> Disputed. The court freezes the provider itself.
    function disputeOpened(uint256 taskId, uint8 attempt) external;
    /// @notice One open dispute was cleared. The last one to end: -> Committed, or -> Open* where any of them was voided.
    function disputeClosed(uint256 taskId, uint8 attempt) external;
    /// @notice Final conviction: Disputed -> Open*. The court has slashed and tombstoned, and has moved `topUp` into `Pots.task(taskId)`.
    /// The ceiling rises by it, at most to twice what it was; the excess is burned here.
    function convict(uint256 taskId, uint8 attempt, uint128 topUp) external;
    /// @notice One open dispute ended in favour of nobody. The last one to end: -> Open* without a penalty, collateral back.
    function disputeVoided(uint256 taskId, uint8 attempt) external;
    // ---- audits only
    /// @notice selected: `auditPending`; else the audit is closed at once. Once per attempt.
    function auditDecided(uint256 taskId, uint8 attempt, bool selected) external;
    /// @notice The audit ended (matched, waived, or handed to the court as a dispute).
    function auditClosed(uint256 taskId, uint8 attempt) external;
    // ---- views
    /// @notice Version of the parameters the task lives under.
    function rulesOf(uint256 taskId) external view returns (uint16);
    /// @notice Model of a task, and its numerics version alone: what the appeal levels need, cheaper than by `task`.
    function modelOf(uint256 taskId) external view returns (ModelHeader memory);
    function numericsOf(uint256 taskId) external view returns (uint32);
    /// @notice The part of `task` that guards need, cheaper.
    function standing(uint256 taskId)
        external
        view
        returns (TaskState state, uint8 attempt, address provider, uint64 committedAt, uint32 steps);
}
