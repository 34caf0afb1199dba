// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ChunkOpening} from "../interfaces/IAudits.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {TensorShape} from "../lib/TensorShape.sol";
import {TraceHash} from "../lib/TraceHash.sol";

/// @notice One chunk of one live tensor, opened twice from the same bytes: up to a level-1 root, and up to an auditor's salted
/// root. Which chunk is drawn by the seed; what the opening says about place and shape is checked, never believed.
library ChunkOpenings {
    error SegmentIndex(uint256 found, uint256 wanted);
    error SegmentNotInModel(bytes32 found, bytes32 wanted);
    error WrongSlot(uint256 found, uint256 wanted);
    error WrongChunk(uint256 found, uint256 wanted);
    error HeaderLength(uint256 found, uint256 wanted);
    error UnknownHash(uint8 hashId);
    error ChunkLength(uint256 found, uint256 wanted);
    error NotInTrace(bytes32 found, bytes32 wanted);
    error NotInSaltedTree(bytes32 found, bytes32 wanted);

    uint8 private constant HASH_SHA256 = 1;

    /// @notice What an opening has to agree with.
    struct Place {
        uint256 leafIndex;
        uint32 commitPoints;
        uint8 traceHeight;
        uint8 liveHeight;
        bytes32 segmentsRoot;
        bytes32 level1Root;
        address auditor;
        uint256 taskId;
        bytes32 saltedRoot;
        uint256 slotSeed; // slot = slotSeed % live slots
        uint256 chunkSeed; // chunk = chunkSeed % chunks of the slot's tensor
    }

    function check(ChunkOpening calldata o, Place memory p) internal view {
        uint256 liveCount = _liveCount(o, p);
        // A commit point without live tensors has no content to show.
        if (liveCount == 0) return;
        uint256 slot = p.slotSeed % liveCount;
        // INVARIANT P-A2: The seed says which live tensor, not the auditor.
        if (o.slot != slot) revert WrongSlot(o.slot, slot);
        uint256 chunks = TensorShape.chunkCount(tensorBytes(o.tensorHeader));
        uint256 index = chunks == 0 ? 0 : p.chunkSeed % chunks;
        // INVARIANT P-A2: The seed says which chunk, not the auditor.
        if (o.chunkIndex != index) revert WrongChunk(o.chunkIndex, index);
        _checkTrace(o, p);
        _checkSalted(o, p, chunks);
    }

    /// @notice Digest of the tensor whose chunk `index` this is.
    function digestOf(bytes calldata header, bytes calldata chunk, uint256 index, bytes32[] calldata proof)
        internal
        view
        returns (bytes32)
    {
        uint256 size = tensorBytes(header);
        uint256 chunks = TensorShape.chunkCount(size);
        // An empty tensor has no chunk, and its tree no leaf.
        if (index != 0 && index >= chunks) revert WrongChunk(index, chunks);
        uint256 wanted = TensorShape.chunkLength(size, index);
        // INVARIANT P-A2: A chunk has all the bytes that the shape gives it, and no more.
        if (chunk.length != wanted) revert ChunkLength(chunk.length, wanted);
        bytes32 leaf = chunks == 0 ? bytes32(0) : TraceHash.chunkLeaf(chunk);
        return TraceHash.tensorDigest(header, TraceHash.rootOf(leaf, index, proof, ModelHash.height(chunks)));
    }

    /// @notice Bytes of a tensor with this header (`hash_id || dtype || rank || dims`), which is parsed strictly.
    function tensorBytes(bytes calldata header) internal pure returns (uint256 size) {
        // INVARIANT P-A2: A header is as long as its rank says; no byte is left over that could hide another digest.
        if (header.length < 3) revert HeaderLength(header.length, 3);
        uint256 rank = uint8(header[2]);
        if (header.length != 3 + 8 * rank) revert HeaderLength(header.length, 3 + 8 * rank);
        if (uint8(header[0]) != HASH_SHA256) revert UnknownHash(uint8(header[0]));
        size = TensorShape.elementBytes(uint8(header[1]));
        bool empty;
        bool tooLarge;
        for (uint256 i = 0; i < rank; i++) {
            uint256 dim = uint64(bytes8(header[3 + 8 * i:11 + 8 * i]));
            if (dim == 0) empty = true;
            // A product past the bound stays where it is; a later zero still makes the tensor empty.
            else if (!tooLarge) tooLarge = (size *= dim) > TensorShape.BYTES_MAX;
        }
        if (empty) return 0;
        // INVARIANT P-A2: A shape fits the tallest tree.
        if (tooLarge) revert TensorShape.TensorTooLarge(TensorShape.BYTES_MAX);
    }

    function _liveCount(ChunkOpening calldata o, Place memory p) private view returns (uint256) {
        uint256 segment = p.leafIndex % p.commitPoints;
        // INVARIANT P-A2: The number of live slots is the model's, for the drawn commit point.
        if (o.segment.index != segment) revert SegmentIndex(o.segment.index, segment);
        bytes32 entry = TraceHash.segmentEntry(o.segment);
        bytes32 root = TraceHash.rootOf(entry, segment, o.segment.proof, ModelHash.height(p.commitPoints));
        if (root != p.segmentsRoot) revert SegmentNotInModel(root, p.segmentsRoot);
        return o.segment.liveCount;
    }

    function _checkTrace(ChunkOpening calldata o, Place memory p) private view {
        bytes32 digest = digestOf(o.tensorHeader, o.chunk, o.chunkIndex, o.chunkProof);
        bytes32 live = TraceHash.rootOf(digest, o.slot, o.liveProof, p.liveHeight);
        bytes32 root = TraceHash.rootOf(live, p.leafIndex, o.traceProof, p.traceHeight);
        // INVARIANT P-A2: The bytes are those of the trace that the auditor stands for.
        if (root != p.level1Root) revert NotInTrace(root, p.level1Root);
    }

    function _checkSalted(ChunkOpening calldata o, Place memory p, uint256 chunks) private view {
        bytes32 leaf = chunks == 0 ? bytes32(0) : TraceHash.auditLeaf(p.auditor, p.taskId, o.chunk);
        bytes32 tensor = TraceHash.rootOf(leaf, o.chunkIndex, o.saltedChunkProof, ModelHash.height(chunks));
        bytes32 root = TraceHash.rootOf(tensor, o.slot, o.saltedLiveProof, p.liveHeight);
        // INVARIANT P-A2: The auditor held these bytes, under its own address, before the seed said which.
        if (root != p.saltedRoot) revert NotInSaltedTree(root, p.saltedRoot);
    }
}
