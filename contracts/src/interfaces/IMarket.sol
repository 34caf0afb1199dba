// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Task, TaskSpec, ModelHeader} from "./Types.sol";

/// @notice Model registry, task lifecycle and reverse Dutch auction with retry lanes.
/// A class is what one kind of provider can serve: a model, or a family of models, on a hardware tier; in this version there is one tier.
interface IMarket {
    event ModelRegistered(bytes32 indexed modelId, address indexed by, ModelHeader header, string uri);
    event TaskPosted(uint256 indexed taskId, address indexed requester, bytes32 indexed modelId, TaskSpec spec, string inputUri);
    event TaskClaimed(
        uint256 indexed taskId, address indexed provider, uint128 price, uint128 collateral, uint64 deadline, uint8 attempt
    );
    event ResultCommitted(
        uint256 indexed taskId, address indexed provider, uint32 steps, bytes32 outputDigest, bytes32 traceRoot
    );
    event ResultRetracted(uint256 indexed taskId, address indexed provider, uint128 penalty);
    event DeadlineMissed(uint256 indexed taskId, address indexed provider, uint128 penalty);
    event TaskRequeued(uint256 indexed taskId, uint8 attempt, uint128 startPrice, uint128 newMaxPrice, bytes32 reason);
    event TaskSettled(uint256 indexed taskId, address indexed provider, uint128 price, uint128 refund);
    event TaskCancelled(uint256 indexed taskId, uint128 refund);
    event TaskExpired(uint256 indexed taskId, uint128 refund, bool hadNoBid);
    event ResultReversed(uint256 indexed taskId, address indexed provider);

    // ---- models
    function registerModel(ModelHeader calldata header, string calldata uri) external returns (bytes32 modelId);
    function model(bytes32 modelId) external view returns (ModelHeader memory);
    // ---- requester
    /// @dev pulls maxPrice + audit levy from msg.sender (approve or permit the vault first)
    function post(TaskSpec calldata spec, string calldata inputUri) external returns (uint256 taskId);
    function cancel(uint256 taskId) external; // Open (any attempt) only
    // ---- provider
    function claim(uint256 taskId) external;
    function claimRetry(bytes32 classId) external returns (uint256 taskId);
    /// @param level1Root root of the level-1 tree; traceRoot = H(0x03 || steps || level1Root) is computed here
    /// @param outputProof opening of leaf steps*C-1 (= outputDigest) under level1Root
    /// @param stopProof of a model of more than one step: opening of slot 0 (= i64[1] that holds 1) under outputDigest; else not looked at
    function commit(
        uint256 taskId,
        uint32 steps,
        bytes32 outputDigest,
        bytes32 level1Root,
        bytes32[] calldata outputProof,
        bytes32[] calldata stopProof
    ) external;
    function retract(uint256 taskId) external;
    // ---- anyone
    function missDeadline(uint256 taskId) external;
    function expire(uint256 taskId) external;
    function settle(uint256 taskId) external;
    /// @notice Reverse and requeue the pending result of a tombstoned provider.
    function reverse(uint256 taskId) external;
    // ---- views
    function task(uint256 taskId) external view returns (Task memory);
    function taskCount() external view returns (uint256); // ids run 1..taskCount
    function priceNow(uint256 taskId) external view returns (uint128);
    function retryHead(bytes32 classId) external view returns (uint256 taskId); // 0 when no retry waits
    function isExcluded(uint256 taskId, address provider) external view returns (bool);
    function collateralFor(uint128 maxPrice) external view returns (uint128);
    function level1RootOf(uint256 taskId) external view returns (bytes32);
    /// @notice Earliest time at which `settle` can pass if nothing is disputed.
    function settleableAt(uint256 taskId) external view returns (uint64);
    // ---- wiring, so that one address finds the rest
    function vault() external view returns (address);
    function parameters() external view returns (address);
    function pool() external view returns (address);
    function court() external view returns (address);
    function audits() external view returns (address);
    function beacon() external view returns (address);
}
