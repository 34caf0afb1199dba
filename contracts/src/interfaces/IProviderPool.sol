// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Who serves a class (a model, or a family of models) as auditor and referee; draws by stake from a snapshot in the
/// past. And what families there are, and of which of their bindings it was shown that they are.
interface IProviderPool {
    event Joined(bytes32 indexed classId, address indexed provider, uint128 weight);
    event Left(bytes32 indexed classId, address indexed provider);
    event WeightChanged(bytes32 indexed classId, address indexed provider, uint128 weight);
    event FamilyRegistered(
        bytes32 indexed familyId, address indexed by, uint32 count, bytes32 bindingsRoot, bytes domain, string uri
    );
    event BindingShown(bytes32 indexed familyId, bytes32 indexed modelId, uint32 index);

    // ---- families
    /// @param count bindings, 1 to 4096
    /// @param bindingsRoot root of the tree over them
    /// @param domain extents of the open dimensions (spec/model.md, "Families"); nothing here reads it
    function registerFamily(uint32 count, bytes32 bindingsRoot, bytes calldata domain, string calldata uri)
        external
        returns (bytes32 familyId);
    /// @notice Show that `modelId` is binding `index` of a family. Anyone, once; the model need not be registered yet.
    function showBinding(bytes32 familyId, uint32 index, bytes32 modelId, bytes32[] calldata proof) external;
    function isBinding(bytes32 familyId, bytes32 modelId) external view returns (bool);
    function family(bytes32 familyId) external view returns (uint32 count, bytes32 bindingsRoot); // 0, 0 when unknown
    // ---- pools
    function join(bytes32 classId) external;
    function leave(bytes32 classId) external;
    /// @notice Bring the recorded weight in line with the vault's stake. Anyone.
    function refresh(bytes32 classId, address provider) external;
    /// @notice Provider drawn by `seed` over weights as of `snapshotTime`, skipping the ineligible and `excluded`; 0 if none.
    function draw(bytes32 classId, uint64 snapshotTime, bytes32 seed, address[] calldata excluded) external view returns (address);
    function members(bytes32 classId) external view returns (address[] memory);
}
