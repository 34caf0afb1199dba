// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IProviderPool} from "../interfaces/IProviderPool.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {TraceHash} from "../lib/TraceHash.sol";

/// @notice Families: models with open dimensions, as the Merkle root of their bindings (spec/model.md, "Families"). Anyone may
/// register one, and anyone may show that a model is a binding; both are facts about hashes, so that whoever does it first
/// takes nothing from the others. What is served as which is said by a task, and never changes for it.
abstract contract Families is IProviderPool {
    error FamilyExists(bytes32 familyId);
    error UnknownFamily(bytes32 familyId);
    error BindingsOutOfRange(uint32 count, uint256 most);
    error NoSuchBinding(bytes32 familyId, uint32 index, uint32 count);
    error NotOfFamily(bytes32 foundRoot, bytes32 wantedRoot);
    error AlreadyShown(bytes32 familyId, bytes32 modelId);

    struct Family {
        uint32 count;
        bytes32 bindingsRoot;
    }

    uint256 private constant BINDINGS_MAX = 4096;

    mapping(bytes32 => Family) public family;
    mapping(bytes32 => mapping(bytes32 => bool)) public isBinding; // family -> model

    function registerFamily(uint32 count, bytes32 bindingsRoot, bytes calldata domain, string calldata uri)
        external
        returns (bytes32 familyId)
    {
        // INVARIANT P-M3: A family has bindings, and as many as a provider can enumerate.
        if (count == 0 || count > BINDINGS_MAX) revert BindingsOutOfRange(count, BINDINGS_MAX);
        familyId = ModelHash.familyId(count, bindingsRoot, domain);
        // INVARIANT P-M3: A family id has one root, the one it hashes.
        if (family[familyId].count != 0) revert FamilyExists(familyId);
        family[familyId] = Family(count, bindingsRoot);
        emit FamilyRegistered(familyId, msg.sender, count, bindingsRoot, domain, uri);
    }

    function showBinding(bytes32 familyId, uint32 index, bytes32 modelId, bytes32[] calldata proof) external {
        Family memory f = family[familyId];
        // INVARIANT P-M4: There is a family for it to be of.
        if (f.count == 0) revert UnknownFamily(familyId);
        // INVARIANT P-M4: What lies beside the bindings in their tree is none.
        if (index >= f.count) revert NoSuchBinding(familyId, index, f.count);
        bytes32 root = TraceHash.rootOf(ModelHash.bindingLeaf(index, modelId), index, proof, ModelHash.height(f.count));
        // INVARIANT P-M4: A model is served as one of a family only if it is one: the providers of the family know no other.
        if (root != f.bindingsRoot) revert NotOfFamily(root, f.bindingsRoot);
        // INVARIANT P-M4: Once: nobody pays for what is known.
        if (isBinding[familyId][modelId]) revert AlreadyShown(familyId, modelId);
        isBinding[familyId][modelId] = true;
        emit BindingShown(familyId, modelId, index);
    }
}
