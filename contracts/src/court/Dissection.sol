// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {DisputeState, ModelHeader, SegmentOpening, Side, Task} from "../interfaces/Types.sol";
import {ModelHash} from "../lib/ModelHash.sol";
import {TraceHash} from "../lib/TraceHash.sol";
import {Verdicts} from "./Verdicts.sol";

/// @notice The game over both levels of the provider's trace, with its clocks.
abstract contract Dissection is ICourt, Verdicts, EIP712 {
    error NotDissecting(uint256 disputeId, DisputeState state);
    error NotTurnOf(uint256 disputeId, Side side);
    error NotChallenger(uint256 disputeId, address caller);
    error NotProvider(uint256 disputeId, address caller);
    error ClockRanOut(uint256 disputeId, Side side, uint256 deadline);
    error ClockRunning(uint256 disputeId, Side side, uint256 deadline);
    error RowOfAnotherNode(bytes32 folded, bytes32 node);
    error OtherRow(uint256 disputeId, bytes32 answered, bytes32 standing);
    error ChildOutsideRow(uint8 childIndex, uint256 length);
    error SegmentWanted(uint256 disputeId);
    error WrongPreviousLeaf(bytes32 found, bytes32 wanted);
    error WrongSegment(uint32 found, uint32 wanted);
    error SegmentNotInModel(bytes32 found, bytes32 wanted);
    error LeafNotInTrace(bytes32 found, bytes32 wanted);
    error IndexOutside(uint256 index, uint256 count);
    error NotAtRoot(uint256 disputeId);
    error NotSignedByProvider(address provider, bytes32 digest);

    bytes32 private constant FINE_ROOT_TYPEHASH =
        keccak256("FineRoot(uint256 taskId,uint8 attempt,bytes32 traceRoot,uint64 leafIndex,bytes32 opsRoot)");

    constructor() EIP712("Gavel", "1") {}

    function revealRow(uint256 disputeId, bytes32 node, bytes32[] calldata row) external {
        Record storage d = _dissecting(disputeId);
        _onTurn(disputeId, d, Side.Provider);
        bytes32 standing = d.node;
        // INVARIANT P-D1: A move carries the claim that it answers.
        if (node != standing) revert OtherClaim(disputeId, node, standing);
        uint8 height = d.height;
        bytes32 folded = TraceHash.foldRow(row, height);
        // INVARIANT P-D1: A row is authenticated by its node, so that anyone may send it and nobody can make one up.
        if (folded != node) revert RowOfAnotherNode(folded, node);
        d.rowHash = _hash(row);
        _passTurn(d, Side.Provider);
        emit RowRevealed(disputeId, node, height, row);
    }

    function pick(uint256 disputeId, bytes32[] calldata row, uint8 childIndex) external {
        Record storage d = _dissecting(disputeId);
        _onTurn(disputeId, d, Side.Challenger);
        uint256 height = d.height;
        // INVARIANT P-D3: After the segment the pick is from both rows.
        if (height == 0) revert SegmentWanted(disputeId);
        bytes32 answered = _hash(row);
        // INVARIANT P-D1: A pick is from the row that the provider revealed.
        if (answered != d.rowHash) revert OtherRow(disputeId, answered, d.rowHash);
        _descend(disputeId, d, row, childIndex, height, d.index);
    }

    function postSegment(
        uint256 disputeId,
        bytes32 leaf,
        bytes32 previousLeaf,
        bytes32[] calldata previousProof,
        SegmentOpening calldata segment,
        bytes32[] calldata opsRow,
        bytes32[] calldata liveRow
    ) external {
        Record storage d = _inState(disputeId, DisputeState.SegmentWanted);
        _onTurn(disputeId, d, Side.Provider);
        // INVARIANT P-D3: No hash authenticates the operators' row: whoever else posted one would have the provider convicted of
        // operators that it never claimed.
        if (msg.sender != d.provider) revert NotProvider(disputeId, msg.sender);
        // INVARIANT P-D1: A move carries the claim that it answers.
        if (leaf != d.node) revert OtherClaim(disputeId, leaf, d.node);
        {
            bytes32 folded = TraceHash.foldRow(liveRow, d.liveHeight);
            // INVARIANT P-D3: The fine trace ends in the tensors that were committed: its live root is the disputed leaf.
            if (folded != leaf) revert RowOfAnotherNode(folded, leaf);
        }
        {
            Task memory t = _task(disputeId, d);
            _bindPrevious(d, t, d.leafIndex, previousLeaf, previousProof);
            _bindSegment(d, t.modelId, d.leafIndex, segment);
        }
        bytes32 opsRoot = TraceHash.foldRow(opsRow, d.opsHeight);
        d.opsRoot = opsRoot;
        d.state = DisputeState.Level2;
        d.rowHash = keccak256(abi.encode(opsRow, liveRow));
        _passTurn(d, Side.Provider);
        emit SegmentPosted(disputeId, opsRoot, previousLeaf, opsRow, liveRow);
    }

    function pickSegment(uint256 disputeId, bytes32[] calldata opsRow, bytes32[] calldata liveRow, bool live, uint8 childIndex)
        external
    {
        Record storage d = _inState(disputeId, DisputeState.Level2);
        _onTurn(disputeId, d, Side.Challenger);
        // INVARIANT P-D6: The segment is picked from once. A row of leaves can be written so that it reads as the two rows of a
        // segment; two friends would start level 2 again and again, and the dispute would have no end.
        if (d.height != 0) revert NotAtRoot(disputeId);
        bytes32 answered = keccak256(abi.encode(opsRow, liveRow));
        // INVARIANT P-D1: A pick is from the rows that the provider revealed.
        if (answered != d.rowHash) revert OtherRow(disputeId, answered, d.rowHash);
        d.inLive = live;
        _descend(disputeId, d, live ? liveRow : opsRow, childIndex, live ? d.liveHeight : d.opsHeight, 0);
    }

    function isolateDirect(uint256 disputeId, IsolateDirect calldata proof) external {
        Record storage d = _inState(disputeId, DisputeState.Level1);
        if (msg.sender != d.challenger) revert NotChallenger(disputeId, msg.sender);
        // INVARIANT P-D7: One move takes the place of the game, not of a part of it.
        if (d.height != d.traceHeight) revert NotAtRoot(disputeId);
        _inTime(disputeId, d, d.turn);
        Task memory t = _task(disputeId, d);
        _bindSigned(d, t, proof);
        _bindLeaf(d, t, proof);
        _bindSegment(d, t.modelId, uint32(proof.leafIndex), proof.segment);
        _bindClaimed(d, proof);
        d.leaf = proof.leaf;
        d.leafIndex = uint32(proof.leafIndex); // below steps * commitPoints, which a tree of height 32 holds
        d.opsRoot = proof.opsRoot;
        d.node = proof.claimedDigest;
        d.height = 0;
        d.index = proof.index;
        d.inLive = proof.live;
        d.turn = Side.Provider;
        _isolate(disputeId, d, proof.index);
    }

    function claimTimeout(uint256 disputeId) external {
        Record storage d = _disputes[disputeId];
        DisputeState s = d.state;
        // INVARIANT P-D6: Clocks run in the game only.
        if (s != DisputeState.Level1 && s != DisputeState.SegmentWanted && s != DisputeState.Level2) {
            revert NotDissecting(disputeId, s);
        }
        Side late = d.turn;
        uint256 deadline = _deadline(d, late);
        // INVARIANT P-D5: A side has its whole clock.
        if (block.timestamp <= deadline) revert ClockRunning(disputeId, late, deadline);
        if (late == Side.Provider) _uphold(disputeId, d, "timeout");
        else _clear(disputeId, d, "timeout");
    }

    /// @dev P-D2, P-D4: a claim above the leaves waits for its row; a leaf leads to the next level, a padding leaf to a verdict.
    function _arrive(uint256 disputeId, Record storage d, uint32 index) private {
        DisputeState s = d.state;
        uint256 count = s == DisputeState.Level1 ? uint256(d.steps) * d.commitPoints : d.inLive ? d.liveCount : d.opCount;
        if (index >= count) {
            // INVARIANT P-D2: Padding is zero; who says otherwise has lost, on either side.
            if (d.node == 0) _clear(disputeId, d, "padding");
            else _uphold(disputeId, d, "padding");
        } else if (s == DisputeState.Level1) {
            d.state = DisputeState.SegmentWanted;
            d.leaf = d.node;
            d.leafIndex = index;
        } else {
            _isolate(disputeId, d, index);
        }
    }

    function _descend(
        uint256 disputeId,
        Record storage d,
        bytes32[] calldata row,
        uint8 childIndex,
        uint256 height,
        uint256 index
    ) private {
        // INVARIANT P-D1: Only the challenger says what it disagrees with.
        if (msg.sender != d.challenger) revert NotChallenger(disputeId, msg.sender);
        // INVARIANT P-D1: A child is in its row.
        if (childIndex >= row.length) revert ChildOutsideRow(childIndex, row.length);
        uint256 levels = TraceHash.rowLevels(height);
        uint32 childAt = uint32((index << levels) | childIndex); // trees are at most 32 high
        uint8 childHeight = uint8(height - levels);
        bytes32 child = row[childIndex];
        d.node = child;
        d.height = childHeight;
        d.index = childAt;
        _passTurn(d, Side.Challenger);
        emit Picked(disputeId, childIndex, child, childHeight, childAt);
        if (childHeight == 0) _arrive(disputeId, d, childAt);
    }

    // ---- what binds a fine trace to the committed one

    /// @dev The task as long as it is at this attempt: roots of another attempt bind nobody here.
    function _task(uint256 disputeId, Record storage d) private view returns (Task memory) {
        _requireStanding(disputeId, d);
        return _market.task(d.taskId);
    }

    function _bindPrevious(Record storage d, Task memory t, uint256 leafIndex, bytes32 previousLeaf, bytes32[] calldata proof)
        private
    {
        if (leafIndex == 0) {
            if (proof.length != 0) revert TraceHash.ProofLength(proof.length, 0);
            // INVARIANT P-D3: Before the first segment there is the task's input.
            if (previousLeaf != t.inputDigest) revert WrongPreviousLeaf(previousLeaf, t.inputDigest);
        } else {
            bytes32 found = TraceHash.rootOf(previousLeaf, leafIndex - 1, proof, d.traceHeight);
            bytes32 wanted = _market.level1RootOf(d.taskId);
            // INVARIANT P-D3: The segment starts from the agreed tensors of the leaf before.
            if (found != wanted) revert WrongPreviousLeaf(found, wanted);
        }
        d.previousLeaf = previousLeaf;
    }

    function _bindSegment(Record storage d, bytes32 modelId, uint32 leafIndex, SegmentOpening calldata segment) private {
        ModelHeader memory h = _market.model(modelId);
        uint32 wanted = leafIndex % h.commitPoints;
        // INVARIANT P-D3: The segment is the one that the leaf closes.
        if (segment.index != wanted) revert WrongSegment(segment.index, wanted);
        bytes32 found =
            TraceHash.rootOf(TraceHash.segmentEntry(segment), segment.index, segment.proof, ModelHash.height(h.commitPoints));
        // INVARIANT P-D3: How many operators and live tensors it has is the model's business, not the provider's.
        if (found != h.segmentsRoot) revert SegmentNotInModel(found, h.segmentsRoot);
        d.firstNode = segment.firstNode;
        d.opCount = segment.opCount;
        d.liveCount = segment.liveCount;
    }

    function _bindSigned(Record storage d, Task memory t, IsolateDirect calldata proof) private view {
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(FINE_ROOT_TYPEHASH, uint256(d.taskId), d.attempt, t.traceRoot, proof.leafIndex, proof.opsRoot))
        );
        // INVARIANT P-D7: An unsigned fine trace binds nobody.
        if (!SignatureChecker.isValidSignatureNow(d.provider, digest, proof.signature)) {
            revert NotSignedByProvider(d.provider, digest);
        }
    }

    function _bindLeaf(Record storage d, Task memory t, IsolateDirect calldata proof) private {
        uint256 count = uint256(d.steps) * d.commitPoints;
        // INVARIANT P-D2: Padding has no operators.
        if (proof.leafIndex >= count) revert IndexOutside(proof.leafIndex, count);
        bytes32 found = TraceHash.rootOf(proof.leaf, proof.leafIndex, proof.leafProof, d.traceHeight);
        // INVARIANT P-D7: The leaf is the committed one.
        if (found != d.node) revert LeafNotInTrace(found, d.node);
        _bindPrevious(d, t, proof.leafIndex, proof.previousLeaf, proof.previousProof);
    }

    function _bindClaimed(Record storage d, IsolateDirect calldata proof) private view {
        uint256 count = proof.live ? d.liveCount : d.opCount;
        // INVARIANT P-D3: Padding is no operator.
        if (proof.index >= count) revert IndexOutside(proof.index, count);
        bytes32 wanted = proof.live ? proof.leaf : proof.opsRoot;
        bytes32 found =
            TraceHash.rootOf(proof.claimedDigest, proof.index, proof.claimedProof, proof.live ? d.liveHeight : d.opsHeight);
        // INVARIANT P-D7: The digest is the one under the signed root, or under the committed leaf.
        if (found != wanted) revert ClaimedNotInTrace(found, wanted);
    }

    // ---- turns and clocks

    function _dissecting(uint256 disputeId) private view returns (Record storage d) {
        d = _disputes[disputeId];
        DisputeState s = d.state;
        // INVARIANT P-D6: Nothing is accepted after resolution.
        if (s != DisputeState.Level1 && s != DisputeState.Level2) revert NotDissecting(disputeId, s);
    }

    function _onTurn(uint256 disputeId, Record storage d, Side side) private view {
        // INVARIANT P-D1: Reveal and pick alternate.
        if (d.turn != side) revert NotTurnOf(disputeId, side);
        _inTime(disputeId, d, side);
    }

    function _inTime(uint256 disputeId, Record storage d, Side side) private view {
        uint256 deadline = _deadline(d, side);
        // INVARIANT P-D5: A move after the clock ran out is refused, claimed or not.
        if (block.timestamp > deadline) revert ClockRanOut(disputeId, side, deadline);
    }

    /// @dev Last second at which `side`, whose turn it is, still has a clock.
    function _deadline(Record storage d, Side side) private view returns (uint256) {
        return uint256(d.turnStartedAt) + (side == Side.Provider ? d.providerClock : d.challengerClock);
    }

    /// @dev P-D5: the mover is charged and gains its increment, up to the budget. It moved in time.
    function _passTurn(Record storage d, Side mover) private {
        uint256 left = _deadline(d, mover) - block.timestamp + d.clockIncrement;
        uint32 clock = left < d.clockBudget ? uint32(left) : d.clockBudget;
        if (mover == Side.Provider) {
            d.providerClock = clock;
            d.turn = Side.Challenger;
        } else {
            d.challengerClock = clock;
            d.turn = Side.Provider;
        }
        d.turnStartedAt = uint40(block.timestamp);
    }

    function _hash(bytes32[] calldata row) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(row));
    }
}
