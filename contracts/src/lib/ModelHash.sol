// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {NodeFacts, Source} from "../interfaces/IAppealLevels.sol";
import {ModelHeader} from "../interfaces/Types.sol";

/// @notice `model_id` of a header (spec/trace.md, "Model commitment") and the leaves of the trees below it (spec/model.md).
library ModelHash {
    bytes1 private constant TAG_MODEL = 0x05;
    bytes1 private constant TAG_NODE = 0x06;
    bytes1 private constant TAG_LEAF = 0x08;
    bytes1 private constant TAG_FAMILY = 0x09;
    bytes1 private constant SUB_EDGE = 0x01;
    bytes1 private constant SUB_WEIGHT = 0x02;
    bytes1 private constant SUB_LIVE_SLOT = 0x04;
    bytes1 private constant SUB_BINDING = 0x05;
    bytes1 private constant SUB_PROGRAM = 0x70;

    function modelId(ModelHeader calldata h) internal pure returns (bytes32) {
        bytes memory counts = abi.encodePacked(
            TAG_MODEL, h.numericsVersion, h.loweringVersion, h.nodeCount, h.maxSteps, h.commitPoints, h.traceHeight, h.opsHeight
        );
        return sha256(
            abi.encodePacked(counts, h.liveHeight, h.work, h.nodesRoot, h.edgesRoot, h.weightsRoot, h.segmentsRoot, h.assetsRoot)
        );
    }

    function familyId(uint32 count, bytes32 bindingsRoot, bytes calldata domain) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_FAMILY, count, bindingsRoot, domain));
    }

    function bindingLeaf(uint32 index, bytes32 model) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_LEAF, SUB_BINDING, index, model));
    }

    /// @dev Counts are cast: a node with more attributes or extents than its count can say has no such bytes.
    function nodeLeaf(NodeFacts calldata n) internal pure returns (bytes32) {
        return sha256(
            abi.encodePacked(
                TAG_NODE,
                n.op,
                uint16(n.attributes.length),
                packWords(n.attributes),
                n.dtype,
                uint8(n.dims.length),
                packWords(n.dims)
            )
        );
    }

    function edgeLeaf(uint32 node, uint16 position, uint16 inputs, Source calldata s) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_LEAF, SUB_EDGE, node, position, inputs, s.kind, s.stepOffset, s.index, s.port));
    }

    function weightLeaf(uint32 index, bytes32 digest) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_LEAF, SUB_WEIGHT, index, digest));
    }

    function liveLeaf(uint32 slot, Source calldata s) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_LEAF, SUB_LIVE_SLOT, slot, s.kind, s.stepOffset, s.index, s.port));
    }

    /// @notice Leaf of the program table (spec/numerics.md, "Program table").
    function programLeaf(uint16 op, bytes calldata program) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(TAG_LEAF, SUB_PROGRAM, op, program));
    }

    /// @notice Words of eight bytes each, big-endian, without the padding that `abi.encodePacked` gives an array.
    function packWords(uint64[] calldata words) internal pure returns (bytes memory out) {
        out = new bytes(8 * words.length);
        for (uint256 i = 0; i < words.length; i++) {
            uint256 word = words[i];
            // Writes 24 zero bytes past the word: into the next ones, which follow, or at the end into memory not yet given out.
            assembly ("memory-safe") {
                mstore(add(add(out, 32), shl(3, i)), shl(192, word))
            }
        }
    }

    /// @notice Height of the smallest tree with at least `n` leaves: ceil(log2(max(n, 1))).
    function height(uint256 n) internal pure returns (uint8 h) {
        while ((uint256(1) << h) < n) h++;
    }
}
