// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Correlation, Provider} from "./Types.sol";

/// @notice Holds every coin of the system: stake, pots (escrow, bonds, audit pool) and the credit ledger.
/// Invariant I1: asset.balanceOf(vault) == sum(free + locked + unbonding) + sum(pots) + sum(credit) + burned-not-yet-sent.
/// Only modules (market, court, audits, traps) move value between buckets; nothing leaves but by `withdraw*` (pull).
interface IStakeVault {
    event Registered(address indexed provider, address indexed owner, address payout, uint32 maxConcurrency);
    event Staked(address indexed provider, uint128 amount);
    event UnbondRequested(address indexed provider, uint256 indexed entry, uint128 amount, uint64 matureAt);
    event Unbonded(address indexed provider, uint256 indexed entry, uint128 amount);
    event Locked(address indexed provider, uint256 indexed taskId, uint128 amount);
    event Unlocked(address indexed provider, uint256 indexed taskId, uint128 amount);
    event Slashed(address indexed provider, uint256 indexed taskId, bool safety, uint128 amount);
    event Convicted(address indexed provider, uint128 stake, uint64 correlationDueAt);
    event CorrelatedPenalty(address indexed provider, uint128 amount, uint128 slashedStake, uint128 totalStake);
    event Frozen(address indexed provider, uint32 count);
    event Jailed(address indexed provider, uint64 until);
    event Unjailed(address indexed provider);
    event Tombstoned(address indexed provider, address owner, address payout);
    event PotFunded(bytes32 indexed pot, address indexed from, uint128 amount);
    event PotPaid(bytes32 indexed pot, address indexed to, uint128 amount, bytes32 reason);
    event Burned(bytes32 indexed pot, uint128 amount);
    event Consented(address indexed account, address indexed key, bool allowed);
    event CreditWithdrawn(address indexed account, address to, uint128 amount);

    /// @notice Let `key` register naming the caller as owner or payout. Without it nobody can tie a stranger's address to
    /// a provider (which would bar that stranger from challenging it, and ban it with it).
    function consent(address key, bool allowed) external;

    // ---- providers (msg.sender is the provider key)
    /// @dev pulls stakeAmount and the registration fee; owner and payout are the key itself or consented; stake returns to the owner
    function register(address owner, address payout, uint32 maxConcurrency, uint128 stakeAmount) external;
    function stake(address provider, uint128 amount) external;
    function requestUnbond(uint128 amount) external returns (uint256 entry);
    function withdrawUnbonded(uint256 entry) external;
    function unjail() external;
    // ---- anyone
    /// @notice Burn what a convicted provider loses with the others of its time, once its half window is over. Takes once;
    /// where nothing is due any more it returns 0.
    function penaliseCorrelated(address provider) external returns (uint128 amount);
    function withdrawCredit(address to, uint128 amount) external;
    // ---- views
    function asset() external view returns (address);
    function provider(address key) external view returns (Provider memory);
    function credit(address account) external view returns (uint128);
    function pot(bytes32 id) external view returns (uint128);
    function burned() external view returns (uint128);
    function totalStake(address key) external view returns (uint128);
    /// @notice Stake, unbonding included, of all providers that were never convicted of a safety fault.
    function totalActiveStake() external view returns (uint128);
    function correlationOf(address key) external view returns (Correlation memory);
    function isBanned(address anyKey) external view returns (bool);
    /// @notice Active, not frozen, jailed or tombstoned, minimum stake met.
    function isEligible(address key) external view returns (bool);
    function lockedFor(address key, uint256 taskId) external view returns (uint128);
}
