// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Who serves a model as auditor and referee; draws by stake from a snapshot in the past.
interface IProviderPool {
    event Joined(bytes32 indexed modelId, address indexed provider, uint128 weight);
    event Left(bytes32 indexed modelId, address indexed provider);
    event WeightChanged(bytes32 indexed modelId, address indexed provider, uint128 weight);

    function join(bytes32 modelId) external;
    function leave(bytes32 modelId) external;
    /// @notice Bring the recorded weight in line with the vault's stake. Anyone.
    function refresh(bytes32 modelId, address provider) external;
    /// @notice Provider drawn by `seed` over weights as of `snapshotTime`, skipping the ineligible and `excluded`; 0 if none.
    function draw(bytes32 modelId, uint64 snapshotTime, bytes32 seed, address[] calldata excluded) external view returns (address);
    function members(bytes32 modelId) external view returns (address[] memory);
}
