// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ModelHeader} from "../interfaces/Types.sol";

/// @notice `model_id` of a header (spec/trace.md, "Model commitment").
library ModelHash {
    bytes1 private constant TAG_MODEL = 0x05;

    function modelId(ModelHeader calldata h) internal pure returns (bytes32) {
        bytes memory counts = abi.encodePacked(
            TAG_MODEL, h.numericsVersion, h.loweringVersion, h.nodeCount, h.maxSteps, h.commitPoints, h.traceHeight, h.opsHeight
        );
        return sha256(
            abi.encodePacked(
                counts, h.liveHeight, h.work, h.nodesRoot, h.edgesRoot, h.weightsRoot, h.segmentsRoot, h.assetsRoot
            )
        );
    }

    /// @notice Height of the smallest tree with at least `n` leaves: ceil(log2(max(n, 1))).
    function height(uint256 n) internal pure returns (uint8 h) {
        while ((uint256(1) << h) < n) h++;
    }
}
