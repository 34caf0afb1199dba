// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IStakeVault} from "./IStakeVault.sol";

/// @notice What the market, the court, the audits and the traps may do with the vault; every call is refused to anyone else.
/// Pots are named by `lib/Pots.sol`. No call here sends the asset out: outflows are `withdraw*` by their owners.
interface IStakeVaultModule is IStakeVault {
    // ---- pots
    /// @notice Pull `amount` from `from` (who approved the vault) into a pot. The module passes its own caller as `from`.
    function fundPot(bytes32 id, address from, uint128 amount) external;
    /// @notice From a pot to an account's credit. Reverts if the pot holds less.
    function payFromPot(bytes32 id, address to, uint128 amount, bytes32 reason) external;
    /// @notice From pot to pot; `to == Pots.BURN` burns.
    function movePot(bytes32 from, bytes32 to, uint128 amount, bytes32 reason) external;
    /// @notice A registered provider's part of a pot goes to the credit of its payout address.
    function payProvider(bytes32 id, address provider, uint128 amount, bytes32 reason) external;

    // ---- stake
    /// @notice Take from a provider's stake into pot `toPot` (`Pots.BURN` burns); at most once per (provider, task, kind):
    /// a second call returns 0. Never reverts because there is too little.
    /// safety: all of the task's collateral and `bps` of the rest, free and unbonding. The provider's first one convicts it:
    /// its whole stake counts against it and the others of its time (`penaliseCorrelated`).
    /// liveness: `bps` of the task's collateral.
    function slashTask(address provider, uint256 taskId, bool safety, uint16 bps, bytes32 toPot) external returns (uint128 amount);
    /// @notice Liveness penalty of a referee or auditor: up to `amount` from free, then from unbonding; at most once per `key`
    /// (e.g. keccak256(abi.encode(disputeId, draw))): a second call returns 0.
    function penalise(address provider, bytes32 key, uint128 amount, bytes32 toPot) external returns (uint128 taken);

    // ---- standing
    /// @notice Count one more / one fewer open dispute. Frozen: no claims, no withdrawals, not drawn.
    function freeze(address provider) external;
    function unfreeze(address provider) external;
    /// @notice A liveness fault; `unjail` works from `until` on. Never shortens a jail.
    function jail(address provider, uint64 until) external;
    /// @notice For ever; bans key, owner and payout. Idempotent.
    function tombstone(address provider) external;
    /// @notice Count one more / one fewer duty (drawn referee or auditor): no withdrawal while any is open.
    function addDuty(address provider) external;
    function removeDuty(address provider) external;
    /// @notice True if `a` is the provider's key, owner or payout.
    function isSide(address provider, address a) external view returns (bool);

    function isTombstoned(address provider) external view returns (bool);

    // ---- market only
    /// @notice True if `lockTask` would pass.
    function canLock(address provider, uint128 collateral, uint16 maxLockedBps, uint128 minStake) external view returns (bool);
    /// @notice Claim: check standing and caps, move `collateral` from free to locked.
    function lockTask(address provider, uint256 taskId, uint128 collateral, uint16 maxLockedBps, uint128 minStake)
        external
        returns (address owner, uint32 index);
    /// @notice Providers are numbered by registration, so that a task can name its own in four bytes.
    function keyAt(uint32 index) external view returns (address);
    function indexOf(address provider) external view returns (uint32);
    /// @notice The provider's part in the attempt is over: what is left of its collateral goes back to free.
    function unlockTask(address provider, uint256 taskId) external;
    /// @notice Settlement in one call: price to the payout's credit, the rest of `maxPrice` to the requester's credit, what
    /// the pot holds beyond `maxPrice` (the levy) to the audit pool; collateral unlocked; the provider's settled count
    /// goes up. Returns the refund.
    function settleTask(address provider, uint256 taskId, address requester, uint128 price, uint128 maxPrice)
        external
        returns (uint128 refund);
}
