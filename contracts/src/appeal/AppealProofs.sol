// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ChunkProof, NodeFacts, OperandProof, SlotProof, Source, SourceOpening, StepProof} from "../interfaces/IAppealLevels.sol";
import {IStepMachine} from "../interfaces/IStepMachine.sol";
import {IsolatedPlace, ModelHeader, SegmentOpening} from "../interfaces/Types.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {TensorShape} from "../lib/TensorShape.sol";
import {TraceHash} from "../lib/TraceHash.sol";

/// @notice What ties a batch of steps to the dispute: the operator to the model, its inputs to the committed tensors, chunks to
/// inputs, the program to the numerics version (P-L2, P-L7, P-L9). Every link of the chain is a hash under a root that was
/// there before the dispute; nothing that a proof says about itself is believed.
library AppealProofs {
    error NodeNotInModel(bytes32 found, bytes32 wanted);
    error EdgeNotInModel(bytes32 found, bytes32 wanted);
    error WeightNotInModel(bytes32 found, bytes32 wanted);
    error SegmentNotInModel(bytes32 found, bytes32 wanted);
    error ListEntryNotInModel(bytes32 found, bytes32 wanted);
    error ProgramNotInTable(bytes32 found, bytes32 wanted);
    error DigestNotInOps(bytes32 found, bytes32 wanted);
    error DigestNotInLeaf(bytes32 found, bytes32 wanted);
    error ChunkNotInOperand(bytes32 found, bytes32 wanted);
    error WrongSegment(uint256 found, uint256 wanted);
    error NotCanonical(uint8 kind, uint32 stepOffset, uint32 port);
    error WeightInSlot(uint32 index);
    error NotInput(uint32 node);
    error WrongSlot(uint256 found, uint256 wanted);
    error SlotOutside(uint256 slot, uint256 count);
    error NotBefore(uint256 operator, uint256 readable);
    error NoOperand();
    error TooManyInputs(uint256 found, uint256 most);
    error InputCount(uint256 found, uint256 wanted);
    error PositionOutside(uint256 position, uint256 count);
    error OperandTwice(uint256 position);
    error OperandMissing(uint256 position);
    error ChunkOutside(uint256 index, uint256 count);
    error ChunkLength(uint256 found, uint256 wanted);

    uint8 private constant KIND_INPUT = 0;
    uint8 private constant KIND_WEIGHT = 1;
    uint8 private constant KIND_NODE = 2;
    uint256 private constant HEIGHT_MAX = 32;
    /// @dev The program table has 38 places (spec/numerics.md, "Program table").
    uint256 private constant TABLE_HEIGHT = 6;
    /// @dev The list of inputs goes through memory; an operator with more is beyond what one transaction can judge.
    uint256 private constant INPUTS_MAX = 256;

    /// @notice The operator's canonical bytes under the model.
    function node(NodeFacts calldata facts, bytes32[] calldata proof, IsolatedPlace memory d, ModelHeader memory h)
        internal
        view
        returns (bytes32 leaf)
    {
        leaf = ModelHash.nodeLeaf(facts);
        bytes32 found = TraceHash.rootOf(leaf, _nodeIndex(d), proof, ModelHash.height(h.nodeCount));
        // INVARIANT P-L2: Operator and shape are the model's.
        if (found != h.nodesRoot) revert NodeNotInModel(found, h.nodesRoot);
    }

    /// @notice The operator's program under the table of its numerics version.
    function program(StepProof calldata p, bytes32 tableRoot) internal view {
        bytes32 leaf = ModelHash.programLeaf(p.node.op, p.program);
        bytes32 found = TraceHash.rootOf(leaf, p.node.op, p.programProof, TABLE_HEIGHT);
        // INVARIANT P-L7: What is executed is the operator's program, as the numerics version has it.
        if (found != tableRoot) revert ProgramNotInTable(found, tableRoot);
    }

    /// @notice What the machine may ask for.
    function environment(StepProof calldata p, IsolatedPlace memory d, ModelHeader memory h)
        internal
        view
        returns (IStepMachine.Environment memory env)
    {
        env.attributes = p.node.attributes;
        env.dtype = p.node.dtype;
        env.dims = p.node.dims;
        env.operands = _operands(p, d, h);
        env.chunks = new IStepMachine.Chunk[](p.chunks.length);
        for (uint256 i = 0; i < p.chunks.length; i++) {
            _checkChunk(p.chunks[i], _operandAt(p.operands, p.chunks[i].position));
            env.chunks[i] = IStepMachine.Chunk(p.chunks[i].position, p.chunks[i].index, p.chunks[i].data);
        }
    }

    /// @notice The digest that a live slot must have: that of the value which the model's live list names there.
    function slot(SlotProof calldata p, IsolatedPlace memory d, ModelHeader memory h) internal view {
        uint256 segment = d.leafIndex % h.commitPoints;
        _checkSegment(p.segment, segment, h);
        _checkListEntry(d.isolatedIndex, p.at.source, p.listProof, p.segment);
        // INVARIANT P-L9: Weights are not live.
        if (p.at.source.kind == KIND_WEIGHT) revert WeightInSlot(p.at.source.index);
        // A slot may hold any operator of its segment.
        _checkSource(p.at, p.digest, p.before, d, h, d.opCount);
    }

    // ---- operands

    function _operands(StepProof calldata p, IsolatedPlace memory d, ModelHeader memory h)
        private
        view
        returns (IStepMachine.Operand[] memory list)
    {
        // INVARIANT P-L7: An edge says how many inputs the operator has; without one nobody knows.
        if (p.operands.length == 0) revert NoOperand();
        uint256 count = p.operands[0].count;
        if (count > INPUTS_MAX) revert TooManyInputs(count, INPUTS_MAX);
        list = new IStepMachine.Operand[](count);
        for (uint256 i = 0; i < p.operands.length; i++) {
            OperandProof calldata o = p.operands[i];
            if (o.count != count) revert InputCount(o.count, count);
            if (o.position >= count) revert PositionOutside(o.position, count);
            IStepMachine.Operand memory known = list[o.position];
            // INVARIANT P-L7: One answer for every input.
            if (known.shown) revert OperandTwice(o.position);
            _checkOperand(o, p.before, d, h);
            known.shown = true;
            known.dtype = o.dtype;
            known.dims = o.dims;
        }
    }

    function _checkOperand(OperandProof calldata o, SegmentOpening calldata before, IsolatedPlace memory d, ModelHeader memory h)
        private
        view
    {
        // Its type is known and its shape small.
        TensorShape.bytesOf(o.dtype, o.dims);
        bytes32 leaf = ModelHash.edgeLeaf(uint32(_nodeIndex(d)), o.position, o.count, o.at.source);
        bytes32 found = _rootOf(leaf, o.edgeIndex, o.edgeProof);
        // INVARIANT P-L7: Where an input comes from is the model's business.
        if (found != h.edgesRoot) revert EdgeNotInModel(found, h.edgesRoot);
        // INVARIANT P-L7: An operator reads only what was computed before it.
        _checkSource(o.at, TraceHash.tensorDigest(o.dtype, o.dims, o.chunkRoot), before, d, h, d.isolatedIndex);
    }

    function _operandAt(OperandProof[] calldata operands, uint256 position) private pure returns (OperandProof calldata o) {
        for (uint256 i = 0; i < operands.length; i++) {
            o = operands[i];
            if (o.position == position) return o;
        }
        // INVARIANT P-L7: A chunk is a chunk of something that was shown.
        revert OperandMissing(position);
    }

    function _checkChunk(ChunkProof calldata c, OperandProof calldata o) private view {
        uint256 size = TensorShape.bytesOf(o.dtype, o.dims);
        uint256 chunks = TensorShape.chunkCount(size);
        // INVARIANT P-L7: Padding holds no elements.
        if (c.index >= chunks) revert ChunkOutside(c.index, chunks);
        uint256 wanted = TensorShape.chunkLength(size, c.index);
        // INVARIANT P-L7: A chunk has all the bytes that the shape gives it, and no more.
        if (c.data.length != wanted) revert ChunkLength(c.data.length, wanted);
        bytes32 found = TraceHash.rootOf(TraceHash.chunkLeaf(c.data), c.index, c.proof, ModelHash.height(chunks));
        // INVARIANT P-L7: Its bytes are those of the committed input.
        if (found != o.chunkRoot) revert ChunkNotInOperand(found, o.chunkRoot);
    }

    // ---- sources

    /// @dev `digest` is that of the value at the source. `readable` operators of the segment may be read.
    function _checkSource(
        SourceOpening calldata at,
        bytes32 digest,
        SegmentOpening calldata before,
        IsolatedPlace memory d,
        ModelHeader memory h,
        uint256 readable
    ) private view {
        Source calldata s = at.source;
        // INVARIANT P-L7: Version 1 has no value of a step before other than the live ones, and operators have one output.
        if (s.kind > KIND_NODE || s.stepOffset != 0 || s.port != 0) revert NotCanonical(s.kind, s.stepOffset, s.port);
        if (s.kind == KIND_WEIGHT) {
            bytes32 root = _rootOf(ModelHash.weightLeaf(s.index, digest), s.index, at.proof);
            // INVARIANT P-L7: A weight is the model's.
            if (root != h.weightsRoot) revert WeightNotInModel(root, h.weightsRoot);
        } else if (s.kind == KIND_NODE && s.index >= d.firstNode) {
            uint256 place = s.index - d.firstNode;
            if (place >= readable) revert NotBefore(place, readable);
            bytes32 root = TraceHash.rootOf(digest, place, at.proof, h.opsHeight);
            // INVARIANT P-L7: An operator of the segment gave what the provider's fine trace says, which the parties agreed to.
            if (root != d.opsRoot) revert DigestNotInOps(root, d.opsRoot);
        } else {
            _checkSlotBefore(at, before, d, h);
            bytes32 root = TraceHash.rootOf(digest, at.slot, at.proof, h.liveHeight);
            // INVARIANT P-L7: What was there before the segment is the agreed leaf before.
            if (root != d.previousLeaf) revert DigestNotInLeaf(root, d.previousLeaf);
        }
    }

    /// @dev The slot of the live root before that holds the source.
    function _checkSlotBefore(
        SourceOpening calldata at,
        SegmentOpening calldata before,
        IsolatedPlace memory d,
        ModelHeader memory h
    ) private view {
        uint256 segment = d.leafIndex % h.commitPoints;
        if (segment == 0) {
            // INVARIANT P-L7: Before a step there are its graph inputs in their order: the task's, or the outputs of the step before.
            if (at.source.kind != KIND_INPUT) revert NotInput(at.source.index);
            if (at.slot != at.source.index) revert WrongSlot(at.slot, at.source.index);
        } else {
            _checkSegment(before, segment - 1, h);
            // INVARIANT P-L7: A slot is one that the segment before has.
            if (at.slot >= before.liveCount) revert SlotOutside(at.slot, before.liveCount);
            _checkListEntry(at.slot, at.source, at.listProof, before);
        }
    }

    function _checkSegment(SegmentOpening calldata s, uint256 wanted, ModelHeader memory h) private view {
        if (s.index != wanted) revert WrongSegment(s.index, wanted);
        bytes32 found = TraceHash.rootOf(TraceHash.segmentEntry(s), s.index, s.proof, ModelHash.height(h.commitPoints));
        // INVARIANT P-L7: A segment's live list is the model's.
        if (found != h.segmentsRoot) revert SegmentNotInModel(found, h.segmentsRoot);
    }

    function _checkListEntry(uint32 at, Source calldata s, bytes32[] calldata proof, SegmentOpening calldata segment)
        private
        view
    {
        bytes32 found = _rootOf(ModelHash.liveLeaf(at, s), at, proof);
        // INVARIANT P-L9: Which value a slot holds is what the live list says.
        if (found != segment.liveListRoot) revert ListEntryNotInModel(found, segment.liveListRoot);
    }

    /// @dev The model's header does not give the heights of edges, weights and live lists. Their leaves have a tag of their own
    /// and carry their place, so that an opening of another height opens nothing else.
    function _rootOf(bytes32 leaf, uint256 index, bytes32[] calldata proof) private view returns (bytes32) {
        if (proof.length > HEIGHT_MAX) revert TraceHash.ProofLength(proof.length, HEIGHT_MAX);
        return TraceHash.rootOf(leaf, index, proof, proof.length);
    }

    /// @dev A segment table that lies may give a sum that no node has: nothing opens there.
    function _nodeIndex(IsolatedPlace memory d) private pure returns (uint256) {
        return uint256(d.firstNode) + d.isolatedIndex;
    }
}
