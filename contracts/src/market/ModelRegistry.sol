// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ModelHeader} from "../interfaces/Types.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {MarketStorage} from "./MarketStorage.sol";

/// @notice Models by the hash of their header. Anyone may register one; a header says everything a dispute needs.
abstract contract ModelRegistry is MarketStorage {
    error ModelExists(bytes32 modelId);
    error BadHeader(bytes32 field, uint256 found, uint256 wanted);
    error RegistryFull();

    uint256 private constant HEIGHT_MAX = 32;

    function registerModel(ModelHeader calldata header, string calldata uri) external returns (bytes32 modelId) {
        _checkHeader(header);
        modelId = ModelHash.modelId(header);
        // INVARIANT P-M1: A model id has one header, the one it hashes.
        if (_modelIndexPlusOne[modelId] != 0) revert ModelExists(modelId);
        uint256 index = _modelIds.length;
        if (index > type(uint24).max) revert RegistryFull();
        _modelIds.push(modelId);
        _modelIndexPlusOne[modelId] = index + 1;
        _models[index] = header;
        emit ModelRegistered(modelId, msg.sender, header, uri);
    }

    function model(bytes32 modelId) external view returns (ModelHeader memory) {
        return _models[_modelIndex(modelId)];
    }

    function modelOf(uint256 taskId) external view returns (ModelHeader memory) {
        return _models[_known(taskId).model];
    }

    function numericsOf(uint256 taskId) external view returns (uint32) {
        return _models[_known(taskId).model].numericsVersion;
    }

    function _modelIndex(bytes32 modelId) internal view returns (uint256) {
        uint256 indexPlusOne = _modelIndexPlusOne[modelId];
        if (indexPlusOne == 0) revert UnknownModel(modelId);
        return indexPlusOne - 1;
    }

    /// @dev The heights are functions of the counts; one that lies would let a dispute open what is not there.
    function _checkHeader(ModelHeader calldata h) private pure {
        _positive("numericsVersion", h.numericsVersion);
        _positive("loweringVersion", h.loweringVersion);
        _positive("nodeCount", h.nodeCount);
        _positive("maxSteps", h.maxSteps);
        _positive("commitPoints", h.commitPoints);
        _positive("work", h.work);
        uint256 leaves = uint256(h.maxSteps) * h.commitPoints;
        // INVARIANT P-M2: The level-1 tree has room for every step and no more.
        if (h.traceHeight != ModelHash.height(leaves)) revert BadHeader("traceHeight", h.traceHeight, ModelHash.height(leaves));
        if (h.traceHeight > HEIGHT_MAX) revert BadHeader("traceHeight", h.traceHeight, HEIGHT_MAX);
        // INVARIANT P-M2: Segments partition the nodes: there is no more of the one than of the other.
        if (h.commitPoints > h.nodeCount) revert BadHeader("commitPoints", h.commitPoints, h.nodeCount);
        uint8 opsMax = ModelHash.height(h.nodeCount);
        if (h.opsHeight > opsMax) revert BadHeader("opsHeight", h.opsHeight, opsMax);
        if (h.liveHeight > HEIGHT_MAX) revert BadHeader("liveHeight", h.liveHeight, HEIGHT_MAX);
    }

    function _positive(bytes32 field, uint256 value) private pure {
        if (value == 0) revert BadHeader(field, 0, 1);
    }
}
