// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TraceTree} from "./TraceTree.sol";
import {ProviderPool} from "../../src/stake/ProviderPool.sol";

/// @notice A family of some models, hashed the slow way.
library FamilyTree {
    function leaves(bytes32[] memory models) internal pure returns (bytes32[] memory out) {
        out = new bytes32[](models.length);
        for (uint32 i = 0; i < models.length; i++) {
            out[i] = sha256(abi.encodePacked(bytes1(0x08), bytes1(0x05), i, models[i]));
        }
    }

    function height(bytes32[] memory models) internal pure returns (uint8 h) {
        while (1 << h < models.length) h++;
    }

    function root(bytes32[] memory models) internal pure returns (bytes32) {
        return TraceTree.root(leaves(models), height(models));
    }

    function open(bytes32[] memory models, uint256 index) internal pure returns (bytes32[] memory) {
        return TraceTree.open(leaves(models), height(models), index);
    }

    function register(ProviderPool pool, bytes32[] memory models, bytes memory domain) internal returns (bytes32 familyId) {
        familyId = pool.registerFamily(uint32(models.length), root(models), domain, "mem://family");
    }

    function show(ProviderPool pool, bytes32 familyId, bytes32[] memory models, uint32 index) internal {
        pool.showBinding(familyId, index, models[index], open(models, index));
    }
}
