// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealOutcome, AppealPhase, NodeFacts, SlotProof, StepProof} from "../interfaces/IAppealLevels.sol";
import {IStepMachine} from "../interfaces/IStepMachine.sol";
import {IsolatedPlace, ModelHeader} from "../interfaces/Types.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {TensorShape} from "../lib/TensorShape.sol";
import {TraceHash} from "../lib/TraceHash.sol";
import {AppealGames} from "./AppealGames.sol";
import {AppealProofs} from "./AppealProofs.sol";

/// @notice From the isolated place to one executed batch of machine steps (spec/protocol.md, "Appeal levels").
contract AppealLevels is AppealGames {
    error OtherClaim(uint256 disputeId, bytes32 answered, bytes32 standing);
    error OtherRow(uint256 disputeId, bytes32 answered, bytes32 standing);
    error OtherTensor(bytes32 found, bytes32 claimed);
    error RowOfAnotherNode(bytes32 folded, bytes32 node);
    error ChunkOfAnotherNode(bytes32 found, bytes32 node);
    error ChunkLength(uint256 found, uint256 wanted);
    error ChildOutsideRow(uint8 childIndex, uint256 length);
    error ElementOutside(uint256 within, uint256 count);
    error BatchCount(uint64 found, uint64 wanted);
    error StateCount(uint256 found, uint256 wanted);
    error PartOutside(uint8 part, uint256 parts);
    error OtherNode(bytes32 found, bytes32 opened);
    error OtherMachine(bytes32 found, bytes32 start);
    error MachineLength(uint256 found);
    error NotHalted(uint256 disputeId);

    /// @dev Steps of a batch.
    uint256 private constant BATCH = 128;
    /// @dev An element takes at most 2^42 steps.
    uint64 private constant BATCHES_MAX = 1 << 35;
    /// @dev Parts that a run is cut into.
    uint64 private constant PARTS = 32;
    /// @dev counter:u32 || registers 1..63, u64 each
    uint256 private constant MACHINE_BYTES = 4 + 63 * 8;
    /// @dev value:u64
    uint256 private constant HALTED_BYTES = 8;

    IStepMachine public immutable machine;

    constructor(IStepMachine machine_, uint32[] memory numericsVersions, bytes32[] memory tableRoots)
        AppealGames(numericsVersions, tableRoots)
    {
        machine = machine_;
    }

    // ---- from the digest to an element

    function openTensor(
        address court,
        uint256 disputeId,
        bytes32 claimed,
        NodeFacts calldata node,
        bytes32[] calldata nodeProof,
        bytes32 chunkRoot,
        bytes32[] calldata row,
        bytes calldata chunk
    ) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.Tensor);
        {
            (IsolatedPlace memory d, ModelHeader memory h) = _scene(court, disputeId);
            _answers(disputeId, claimed, d.claimedDigest);
            r.nodeLeaf = AppealProofs.node(node, nodeProof, d, h);
        }
        uint256 size = TensorShape.bytesOf(node.dtype, node.dims);
        bytes32 found = TraceHash.tensorDigest(node.dtype, node.dims, chunkRoot);
        // INVARIANT P-L2: Element type and extents are the model's; the claimed digest is one of such a tensor, or nothing opens.
        if (found != claimed) revert OtherTensor(found, claimed);
        uint256 chunks = TensorShape.chunkCount(size);
        r.size = uint48(size);
        r.elementBytes = TensorShape.elementBytes(node.dtype);
        r.height = ModelHash.height(chunks);
        r.index = 0;
        r.claim = chunkRoot;
        emit TensorOpened(court, disputeId, chunkRoot);
        if (chunks > 1) {
            _showRow(court, disputeId, r, chunkRoot, row);
        } else if (chunks == 1) {
            _showChunk(court, disputeId, r, chunkRoot, chunk);
        } else {
            // INVARIANT P-L2: An empty tensor has no chunk: its tree is one empty leaf.
            _end(court, disputeId, r, chunkRoot == 0 ? AppealOutcome.Cleared : AppealOutcome.Guilty, "empty");
        }
    }

    function revealRow(address court, uint256 disputeId, bytes32 node, bytes32[] calldata row) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.Row);
        _answers(disputeId, node, r.claim);
        _showRow(court, disputeId, r, node, row);
    }

    function pickChunk(address court, uint256 disputeId, bytes32[] calldata row, uint8 childIndex) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.PickChunk);
        _onlyAccuser(disputeId, r);
        uint8 height = r.height;
        _isStanding(disputeId, TraceHash.foldRow(row, height), r.claim);
        // INVARIANT P-L3: A child is in its row.
        if (childIndex >= row.length) revert ChildOutsideRow(childIndex, row.length);
        uint256 levels = TraceHash.rowLevels(height);
        height -= uint8(levels);
        uint32 index = (r.index << uint32(levels)) | childIndex;
        bytes32 node = row[childIndex];
        r.height = height;
        r.index = index;
        r.claim = node;
        emit ChunkPicked(court, disputeId, childIndex, node, height, index);
        if (height != 0) {
            _pass(r, AppealPhase.Row);
        } else if (index < TensorShape.chunkCount(r.size)) {
            _pass(r, AppealPhase.Chunk);
        } else {
            // INVARIANT P-L3: Padding is zero; who says otherwise has lost, on either side.
            _end(court, disputeId, r, node == 0 ? AppealOutcome.Cleared : AppealOutcome.Guilty, "padding");
        }
    }

    function revealChunk(address court, uint256 disputeId, bytes32 node, bytes calldata chunk) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.Chunk);
        _answers(disputeId, node, r.claim);
        _showChunk(court, disputeId, r, node, chunk);
    }

    function pickElement(address court, uint256 disputeId, bytes calldata chunk, uint16 within) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.PickElement);
        _onlyAccuser(disputeId, r);
        _isStanding(disputeId, TraceHash.chunkLeaf(chunk), r.claim);
        uint256 width = r.elementBytes;
        // INVARIANT P-L4: The element is in the chunk.
        if (within >= chunk.length / width) revert ElementOutside(within, chunk.length / width);
        uint64 value;
        for (uint256 i = width; i > 0; i--) {
            value = (value << 8) | uint8(chunk[within * width + i - 1]);
        }
        r.within = within;
        r.firstBatch = 0;
        r.batches = 0;
        r.value = value;
        // INVARIANT P-L5: The run's end is computed here, from the claimed value, as its start is from the element's index.
        r.claim = keccak256(abi.encodePacked(value));
        emit ElementPicked(court, disputeId, _elementOf(r), value);
        _pass(r, AppealPhase.States);
    }

    // ---- from an element to a batch

    function revealStates(address court, uint256 disputeId, bytes32 end, uint64 batches, bytes32[] calldata states) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.States);
        _onlyDefender(disputeId, r);
        _answers(disputeId, end, r.claim);
        uint64 standing = r.batches;
        if (standing == 0) {
            // INVARIANT P-L6: A run has a batch, and no more than an element can take.
            if (batches == 0 || batches > BATCHES_MAX) revert BatchCount(batches, BATCHES_MAX);
            r.batches = uint40(batches);
        } else if (batches != standing) {
            // INVARIANT P-L6: The length of a run is said once.
            revert BatchCount(batches, standing);
        }
        uint256 parts = batches < PARTS ? batches : PARTS;
        // INVARIANT P-L6: A run of n batches is cut into min(32, n) parts.
        if (states.length != parts - 1) revert StateCount(states.length, parts - 1);
        emit StatesRevealed(court, disputeId, r.firstBatch, batches, states);
        if (batches == 1) return _pass(r, AppealPhase.Step);
        r.shown = _hash(states);
        _pass(r, AppealPhase.PickState);
    }

    function pickState(address court, uint256 disputeId, bytes32[] calldata states, uint8 part) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.PickState);
        _onlyAccuser(disputeId, r);
        _isStanding(disputeId, _hash(states), r.shown);
        uint256 parts = states.length + 1;
        // INVARIANT P-L6: A part is one of the run's.
        if (part >= parts) revert PartOutside(part, parts);
        uint64 batches = r.batches;
        uint64 from = uint64(part * uint256(batches) / parts);
        batches = uint64((uint256(part) + 1) * batches / parts) - from;
        from += r.firstBatch;
        (r.firstBatch, r.batches) = (uint40(from), uint40(batches));
        if (part != 0) r.start = states[part - 1];
        if (part != parts - 1) r.claim = states[part];
        emit StatePicked(court, disputeId, part, from, batches, _startOf(r), r.claim);
        _pass(r, batches == 1 ? AppealPhase.Step : AppealPhase.States);
    }

    // ---- verdicts

    function step(address court, uint256 disputeId, bytes32 end, StepProof calldata proof) external {
        (Record storage r, bool whole) = _inStep(court, disputeId);
        _answers(disputeId, end, r.claim);
        bytes32 found = keccak256(proof.machine);
        bytes32 start = _startOf(r);
        // INVARIANT P-L7: The batch starts from the agreed state.
        if (found != start) revert OtherMachine(found, start);
        bytes32 computed;
        bool halted;
        if (proof.machine.length == HALTED_BYTES) {
            // INVARIANT P-L5: A machine that has halted stays so.
            (computed, halted) = (found, true);
        } else {
            // INVARIANT P-L5: A state has one preimage.
            if (proof.machine.length != MACHINE_BYTES) revert MachineLength(proof.machine.length);
            (computed, halted) = _execute(court, disputeId, r.nodeLeaf, proof);
        }
        // INVARIANT P-L7: A run that goes on is dissected first: its claimed end is not this batch's.
        if (whole && !halted) revert NotHalted(disputeId);
        emit StepExecuted(court, disputeId, r.firstBatch, end, computed);
        // INVARIANT P-L7: The contract's own step decides.
        _end(court, disputeId, r, computed == end ? AppealOutcome.Cleared : AppealOutcome.Guilty, "step");
    }

    function resolveSlot(address court, uint256 disputeId, bytes32 claimed, SlotProof calldata proof) external {
        Record storage r = _inPhase(court, disputeId, AppealPhase.Slot);
        (IsolatedPlace memory d, ModelHeader memory h) = _scene(court, disputeId);
        _answers(disputeId, claimed, d.claimedDigest);
        AppealProofs.slot(proof, d, h);
        emit SlotResolved(court, disputeId, claimed, proof.digest);
        // INVARIANT P-L10: What a slot copies does not depend on how anybody plays: there is nothing to play again.
        _close(court, disputeId, r, proof.digest == claimed ? AppealOutcome.Cleared : AppealOutcome.Guilty, "slot");
    }

    // ---- inside

    function _execute(address court, uint256 disputeId, bytes32 nodeLeaf, StepProof calldata proof)
        private
        view
        returns (bytes32 computed, bool halted)
    {
        bytes32 found = ModelHash.nodeLeaf(proof.node);
        // INVARIANT P-L7: The operator is the one whose tensor was opened.
        if (found != nodeLeaf) revert OtherNode(found, nodeLeaf);
        (IsolatedPlace memory d, ModelHeader memory h) = _scene(court, disputeId);
        AppealProofs.program(proof, tableRoot(h.numericsVersion));
        IStepMachine.Environment memory env = AppealProofs.environment(proof, d, h);
        return machine.run(proof.program, proof.machine, BATCH, env);
    }

    function _showRow(address court, uint256 disputeId, Record storage r, bytes32 node, bytes32[] calldata row) private {
        uint8 height = r.height;
        bytes32 folded = TraceHash.foldRow(row, height);
        // INVARIANT P-L3: A row is authenticated by its node, so that anyone may send it and nobody can make one up.
        if (folded != node) revert RowOfAnotherNode(folded, node);
        emit ChunkRowRevealed(court, disputeId, node, height, row);
        _pass(r, AppealPhase.PickChunk);
    }

    function _showChunk(address court, uint256 disputeId, Record storage r, bytes32 node, bytes calldata chunk) private {
        bytes32 found = TraceHash.chunkLeaf(chunk);
        // INVARIANT P-L3: A chunk is authenticated by its leaf.
        if (found != node) revert ChunkOfAnotherNode(found, node);
        uint256 wanted = TensorShape.chunkLength(r.size, r.index);
        // INVARIANT P-L3: A chunk has all the bytes that the shape gives it, and no more.
        if (chunk.length != wanted) revert ChunkLength(chunk.length, wanted);
        emit ChunkRevealed(court, disputeId, r.index, chunk);
        _pass(r, AppealPhase.PickElement);
    }

    function _answers(uint256 disputeId, bytes32 answered, bytes32 standing) private pure {
        // INVARIANT P-L1: A move carries the claim that it answers, so that a reorg cannot turn it into another move.
        if (answered != standing) revert OtherClaim(disputeId, answered, standing);
    }

    function _isStanding(uint256 disputeId, bytes32 answered, bytes32 standing) private pure {
        // INVARIANT P-L1: A pick is from what was shown last: rows and chunks by the node that they hash to, states by their hash.
        if (answered != standing) revert OtherRow(disputeId, answered, standing);
    }

    function _hash(bytes32[] calldata row) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(row));
    }
}
