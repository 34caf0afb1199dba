// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run, Shape} from "../utils/GameTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Dissection} from "../../src/court/Dissection.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {Dispute, DisputeState, ModelHeader, SegmentOpening, Side, TaskState} from "../../src/interfaces/Types.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice P-D1: rows and picks.
contract CourtRowsTest is CourtFixture {
    uint256 private id;
    Run private wrong;
    bytes32[] private row; // of the standing claim

    function setUp() public override {
        super.setUp();
        wrong = _wrong();
        id = _challenge(_committedRun(alice, wrong), watcher, _right(2));
        row = _row(theCourt.dispute(id), wrong);
    }

    function _reveal(bytes32 node, bytes32[] memory r) private view returns (bytes memory) {
        return abi.encodeCall(ICourt.revealRow, (id, node, r));
    }

    function _pickCall(bytes32[] memory r, uint8 child) private view returns (bytes memory) {
        return abi.encodeCall(ICourt.pick, (id, r, child));
    }

    function _cut(bytes32[] memory r, uint256 length) private pure returns (bytes32[] memory out) {
        out = new bytes32[](length);
        for (uint256 i = 0; i < length && i < r.length; i++) {
            out[i] = r[i];
        }
    }

    function _revealed() private returns (Dispute memory) {
        theCourt.revealRow(id, theCourt.dispute(id).node, row);
        return theCourt.dispute(id);
    }

    function test_reveal_anyoneMaySendIt_evenTheChallenger() public {
        bytes32 node = theCourt.dispute(id).node;
        vm.prank(watcher);
        theCourt.revealRow(id, node, row);
        Dispute memory d = theCourt.dispute(id);
        assertTrue(d.turn == Side.Challenger, "the turn passed");
        assertEq(d.rowHash, keccak256(abi.encodePacked(row)));
        assertEq(d.node, node, "the claim stays until a pick");
    }

    function test_reveal_wrongLength_reverts() public {
        bytes32 node = theCourt.dispute(id).node;
        uint8[5] memory lengths = [0, 1, 8, 15, 17];
        for (uint256 i = 0; i < lengths.length; i++) {
            bytes memory why = abi.encodeWithSelector(TraceHash.RowLength.selector, lengths[i], 16);
            _refused(alice, _reveal(node, _cut(row, lengths[i])), why);
        }
    }

    /// Near the leaves a row is shorter; sixteen entries of another level would fold to the node too.
    function test_reveal_lastRow_hasTheLengthOfItsHeight() public {
        _playTo(id, wrong, _right(2), DisputeState.Level1, Side.Challenger);
        _move(id, wrong, _right(2));
        _playTo(id, wrong, _right(2), DisputeState.Level1, Side.Challenger);
        _move(id, wrong, _right(2));
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.height, 1);
        bytes32[] memory last = _row(d, wrong);
        assertEq(last.length, 2);
        _refused(alice, _reveal(d.node, row), abi.encodeWithSelector(TraceHash.RowLength.selector, 16, 2));
        _refused(alice, _reveal(d.node, _cut(last, 1)), abi.encodeWithSelector(TraceHash.RowLength.selector, 1, 2));
        theCourt.revealRow(id, d.node, last);
        bytes memory outside = abi.encodeWithSelector(Dissection.ChildOutsideRow.selector, 2, 2);
        _refused(watcher, _pickCall(last, 2), outside);
    }

    /// A made-up row would lead the challenger where the provider likes.
    function test_reveal_rowThatDoesNotFold_reverts() public {
        bytes32 node = theCourt.dispute(id).node;
        bytes4 another = Dissection.RowOfAnotherNode.selector;
        bytes32[] memory honest = _row(theCourt.dispute(id), _right(2));
        bytes32 folded = GameTrace.level1Root(_right(2), shape);
        _refused(alice, _reveal(node, honest), abi.encodeWithSelector(another, folded, node));
        (row[0], row[1]) = (row[1], row[0]);
        _refused(alice, _reveal(node, row), another);
        (row[0], row[1]) = (row[1], row[0]);
        row[15] ^= bytes32(uint256(1));
        _refused(alice, _reveal(node, row), another);
    }

    /// A move that was sent for one claim is no move for another (reorgs).
    function test_reveal_staleClaim_reverts() public {
        Dispute memory before = _revealed();
        bytes32[] memory first = row;
        _move(id, wrong, _right(2));
        bytes32 standing = theCourt.dispute(id).node;
        bytes memory other = abi.encodeWithSelector(CourtStorage.OtherClaim.selector, id, before.node, standing);
        _refused(alice, _reveal(before.node, first), other);
        _refused(alice, _reveal(0, first), abi.encodeWithSelector(CourtStorage.OtherClaim.selector, id, 0, standing));
    }

    function test_reveal_outOfTurn_reverts() public {
        bytes32 node = theCourt.dispute(id).node;
        _revealed();
        _refused(alice, _reveal(node, row), abi.encodeWithSelector(Dissection.NotTurnOf.selector, id, Side.Provider));
    }

    function test_pick_outOfTurn_reverts() public {
        bytes memory notYet = abi.encodeWithSelector(Dissection.NotTurnOf.selector, id, Side.Challenger);
        _refused(watcher, _pickCall(row, 0), notYet);
        _revealed();
        _move(id, wrong, _right(2));
        _refused(watcher, _pickCall(row, 0), notYet);
    }

    /// A pick by anybody else would throw the challenger's game.
    function test_pick_byAnybodyElse_reverts() public {
        _revealed();
        address[4] memory others = [alice, bob, requester, anyone];
        for (uint256 i = 0; i < others.length; i++) {
            _refused(others[i], _pickCall(row, 0), abi.encodeWithSelector(Dissection.NotChallenger.selector, id, others[i]));
        }
    }

    function test_pick_ofARowThatDoesNotWait_reverts() public {
        bytes32 waiting = _revealed().rowHash;
        bytes32[] memory own = _row(theCourt.dispute(id), _right(2));
        bytes32 answered = keccak256(abi.encodePacked(own));
        _refused(watcher, _pickCall(own, 0), abi.encodeWithSelector(Dissection.OtherRow.selector, id, answered, waiting));
        _refused(watcher, _pickCall(_cut(row, 15), 0), Dissection.OtherRow.selector);
        _refused(watcher, _pickCall(_cut(row, 17), 16), Dissection.OtherRow.selector);
    }

    /// The row before is a stale claim.
    function test_pick_ofTheRowBefore_reverts() public {
        _revealed();
        _move(id, wrong, _right(2));
        _move(id, wrong, _right(2));
        _refused(watcher, _pickCall(row, 0), Dissection.OtherRow.selector);
    }

    function test_pick_outsideTheRow_reverts() public {
        _revealed();
        bytes4 outside = Dissection.ChildOutsideRow.selector;
        _refused(watcher, _pickCall(row, 16), abi.encodeWithSelector(outside, 16, 16));
        _refused(watcher, _pickCall(row, 255), abi.encodeWithSelector(outside, 255, 16));
    }

    /// Two dissections of one task do not touch: a row of the one answers nothing in the other.
    function test_pick_inAnotherDispute_reverts() public {
        Run memory early = Run({steps: 2, salt: 9, leaf: 0, live: false, index: 3});
        uint256 other = _challenge(_committedRun(carol, early), watcher, _right(2));
        _revealed();
        bytes32[] memory its = _row(theCourt.dispute(other), early);
        theCourt.revealRow(other, theCourt.dispute(other).node, its);
        _refused(watcher, abi.encodeCall(ICourt.pick, (other, row, 0)), Dissection.OtherRow.selector);
        address stranger = makeAddr("stranger");
        _refused(stranger, abi.encodeCall(ICourt.pick, (other, its, 0)), Dissection.NotChallenger.selector);
    }

    function test_moves_inAnUnknownDispute_revert() public {
        bytes memory unknown = abi.encodeWithSelector(Dissection.NotDissecting.selector, 7, DisputeState.None);
        _refused(alice, abi.encodeCall(ICourt.revealRow, (7, 0, row)), unknown);
        _refused(watcher, abi.encodeCall(ICourt.pick, (7, row, 0)), unknown);
        _refused(anyone, abi.encodeCall(ICourt.claimTimeout, (7)), unknown);
    }
}

/// @notice P-D3 and P-D4: the fine trace is bound to the committed one at both ends, and to the model.
contract CourtSegmentTest is CourtFixture {
    uint256 private id;
    Run private wrong;

    struct Move {
        bytes32 leaf;
        bytes32 previous;
        bytes32[] proof;
        SegmentOpening segment;
        bytes32[] ops;
        bytes32[] lives;
    }

    function _ready(Run memory theirs, Run memory own) private returns (Move memory v) {
        wrong = theirs;
        id = _challenge(_committedRun(alice, theirs), watcher, own);
        _playTo(id, theirs, own, DisputeState.SegmentWanted, Side.Provider);
        return _honest(theirs);
    }

    function _ready() private returns (Move memory) {
        return _ready(_wrong(), _right(2));
    }

    function _honest(Run memory run) private view returns (Move memory v) {
        Dispute memory d = theCourt.dispute(id);
        v.leaf = d.node;
        (v.previous, v.proof) = _previous(run, d.leafIndex);
        v.segment = GameTrace.segment(shape, d.leafIndex % shape.ops.length);
        v.ops = _opsRow(run, d.leafIndex);
        v.lives = _liveRow(run, d.leafIndex);
    }

    function _call(Move memory v) private view returns (bytes memory) {
        return abi.encodeCall(ICourt.postSegment, (id, v.leaf, v.previous, v.proof, v.segment, v.ops, v.lives));
    }

    function _post(Move memory v) private {
        vm.prank(alice);
        theCourt.postSegment(id, v.leaf, v.previous, v.proof, v.segment, v.ops, v.lives);
    }

    function _pickCall(bytes32[] memory ops, bytes32[] memory lives, bool live, uint8 child) private view returns (bytes memory) {
        return abi.encodeCall(ICourt.pickSegment, (id, ops, lives, live, child));
    }

    function test_segment_binds() public {
        Move memory v = _ready();
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.leafIndex, 4);
        assertEq(d.leaf, v.leaf, "the disputed leaf stays on record");
        _post(v);
        d = theCourt.dispute(id);
        assertEq(d.opsRoot, TraceTree.root(GameTrace.ops(wrong, shape, 4), shape.opsHeight));
        assertEq(d.previousLeaf, GameTrace.level1(wrong, shape)[3]);
        assertEq(d.opCount, 40);
        assertEq(d.liveCount, 3);
        assertEq(d.firstNode, 0);
        assertTrue(d.turn == Side.Challenger, "its turn");
        assertEq(d.height, 0, "the pick from two rows is due");
        assertEq(d.rowHash, keccak256(abi.encode(v.ops, v.lives)));
    }

    /// Leaf, previous leaf, segment and live row of a right run are known to everybody; the operators' row is bound by nothing.
    /// A challenger that could post it would isolate an operator that the provider never claimed, and have it convicted.
    function test_segment_madeUpByTheChallenger_isRefused() public {
        Move memory v = _ready(_right(2), _wrong());
        v.ops[0] = keccak256("made up");
        address[5] memory others = [watcher, anyone, bob, _ownerOf(alice), _payoutOf(alice)];
        for (uint256 i = 0; i < others.length; i++) {
            _refused(others[i], _call(v), abi.encodeWithSelector(Dissection.NotProvider.selector, id, others[i]));
        }
        assertEq(theCourt.dispute(id).opsRoot, 0, "nothing is bound");
    }

    // ---- the end: the disputed leaf

    function test_segment_anotherLeaf_reverts() public {
        Move memory v = _ready();
        bytes32 standing = v.leaf;
        v.leaf = GameTrace.level1(_right(2), shape)[4];
        _refused(alice, _call(v), abi.encodeWithSelector(CourtStorage.OtherClaim.selector, id, v.leaf, standing));
    }

    /// A fine trace that ends in the right tensors would show no fault, and is another trace than the one committed.
    function test_segment_liveRowOfAnotherTrace_reverts() public {
        Move memory v = _ready();
        v.lives = _liveRow(_right(2), 4);
        bytes32 folded = GameTrace.level1(_right(2), shape)[4];
        _refused(alice, _call(v), abi.encodeWithSelector(Dissection.RowOfAnotherNode.selector, folded, v.leaf));
        v.lives = new bytes32[](3);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.RowLength.selector, 3, 4));
        v.lives = new bytes32[](0);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.RowLength.selector, 0, 4));
    }

    // ---- the start: the agreed leaf before

    /// Made-up inputs would make any output right.
    function test_segment_madeUpPreviousLeaf_reverts() public {
        Move memory v = _ready();
        v.previous = keccak256("made up");
        _refused(alice, _call(v), Dissection.WrongPreviousLeaf.selector);
        v.previous = 0;
        _refused(alice, _call(v), Dissection.WrongPreviousLeaf.selector);
    }

    /// Any other leaf of the same trace opens, but not at the place before.
    function test_segment_previousLeafOfAnotherPlace_reverts() public {
        Move memory v = _ready();
        bytes32[] memory leaves = GameTrace.level1(wrong, shape);
        for (uint256 at = 0; at < leaves.length; at++) {
            if (at == 3) continue;
            v.previous = leaves[at];
            v.proof = TraceTree.open(leaves, shape.traceHeight, at);
            _refused(alice, _call(v), Dissection.WrongPreviousLeaf.selector);
        }
    }

    function test_segment_previousProofOfAnotherHeight_reverts() public {
        Move memory v = _ready();
        v.proof = new bytes32[](shape.traceHeight - 1);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.ProofLength.selector, 8, 9));
        v.proof = new bytes32[](0);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.ProofLength.selector, 0, 9));
    }

    function test_segment_first_startsFromTheInput() public {
        Run memory early = Run({steps: 2, salt: 3, leaf: 0, live: false, index: 2});
        Move memory v = _ready(early, _right(2));
        assertEq(theCourt.dispute(id).leafIndex, 0);
        v.previous = keccak256("another input");
        bytes memory other = abi.encodeWithSelector(Dissection.WrongPreviousLeaf.selector, v.previous, keccak256("input"));
        _refused(alice, _call(v), other);
        v.previous = keccak256("input");
        v.proof = new bytes32[](9);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.ProofLength.selector, 9, 0));
        v.proof = new bytes32[](0);
        _post(v);
        assertEq(theCourt.dispute(id).previousLeaf, keccak256("input"));
    }

    // ---- the model's segment table

    function test_segment_ofAnotherCommitPoint_reverts() public {
        Move memory v = _ready();
        for (uint32 c = 1; c < 4; c++) {
            v.segment = GameTrace.segment(shape, c);
            _refused(alice, _call(v), abi.encodeWithSelector(Dissection.WrongSegment.selector, c, 0));
        }
        v.segment.index = 0; // another's entry under this one's number
        _refused(alice, _call(v), Dissection.SegmentNotInModel.selector);
    }

    /// Counts that are too small would turn the wrong operator into padding.
    function test_segment_entryChanged_reverts() public {
        Move memory v = _ready();
        bytes4 forged = Dissection.SegmentNotInModel.selector;
        v.segment.opCount = 20;
        _refused(alice, _call(v), forged);
        v.segment = GameTrace.segment(shape, 0);
        v.segment.liveCount = 1;
        _refused(alice, _call(v), forged);
        v.segment = GameTrace.segment(shape, 0);
        v.segment.firstNode = 1;
        _refused(alice, _call(v), forged);
        v.segment = GameTrace.segment(shape, 0);
        v.segment.liveListRoot = 0;
        _refused(alice, _call(v), forged);
        v.segment = GameTrace.segment(shape, 0);
        v.segment.proof[1] ^= bytes32(uint256(1));
        _refused(alice, _call(v), forged);
        v.segment.proof = new bytes32[](3);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.ProofLength.selector, 3, 2));
    }

    function test_segment_opsRowOfAnotherLength_reverts() public {
        Move memory v = _ready();
        v.ops = new bytes32[](15);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.RowLength.selector, 15, 16));
        v.ops = new bytes32[](64);
        _refused(alice, _call(v), abi.encodeWithSelector(TraceHash.RowLength.selector, 64, 16));
    }

    /// Who cannot link its fine trace has nothing to post, and loses by its clock.
    function test_segment_notLinked_isLostByWhoOwesIt() public {
        _ready();
        vm.warp(block.timestamp + theCourt.dispute(id).providerClock + 1);
        theCourt.claimTimeout(id);
        assertDispute(id, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice));
    }

    // ---- turns

    function test_segment_beforeOrAfterItsTurn_reverts() public {
        id = _challenge(_committedRun(carol, _wrong()), watcher, _right(2));
        bytes4 state = CourtStorage.WrongDisputeState.selector;
        Move memory nothing;
        _refused(alice, _call(nothing), abi.encodeWithSelector(state, id, DisputeState.Level1, DisputeState.SegmentWanted));
        _refused(
            watcher,
            _pickCall(nothing.ops, nothing.lives, false, 0),
            abi.encodeWithSelector(state, id, DisputeState.Level1, DisputeState.Level2)
        );
        Move memory v = _ready();
        bytes32[] memory row = new bytes32[](1);
        bytes memory notHere = abi.encodeWithSelector(Dissection.NotDissecting.selector, id, DisputeState.SegmentWanted);
        _refused(alice, abi.encodeCall(ICourt.revealRow, (id, v.leaf, row)), notHere);
        _refused(watcher, abi.encodeCall(ICourt.pick, (id, row, 0)), notHere);
        _post(v);
        _refused(alice, _call(v), abi.encodeWithSelector(state, id, DisputeState.Level2, DisputeState.SegmentWanted));
        bytes memory notYours = abi.encodeWithSelector(Dissection.NotTurnOf.selector, id, Side.Provider);
        _refused(alice, abi.encodeCall(ICourt.revealRow, (id, v.leaf, row)), notYours);
    }

    /// The pick after a segment is from both rows, never from one of them.
    function test_pickSegment_rules() public {
        Move memory v = _ready();
        _post(v);
        _refused(
            watcher, abi.encodeCall(ICourt.pick, (id, v.ops, 0)), abi.encodeWithSelector(Dissection.SegmentWanted.selector, id)
        );
        bytes32[] memory other = _opsRow(_right(2), 4);
        _refused(watcher, _pickCall(other, v.lives, false, 0), Dissection.OtherRow.selector);
        _refused(watcher, _pickCall(v.ops, _liveRow(_right(2), 4), false, 0), Dissection.OtherRow.selector);
        _refused(watcher, _pickCall(v.lives, v.ops, false, 0), Dissection.OtherRow.selector);
        _refused(alice, _pickCall(v.ops, v.lives, false, 5), abi.encodeWithSelector(Dissection.NotChallenger.selector, id, alice));
        bytes4 outside = Dissection.ChildOutsideRow.selector;
        _refused(watcher, _pickCall(v.ops, v.lives, false, 16), abi.encodeWithSelector(outside, 16, 16));
        _refused(watcher, _pickCall(v.ops, v.lives, true, 4), abi.encodeWithSelector(outside, 4, 4));
        vm.prank(watcher);
        theCourt.pickSegment(id, v.ops, v.lives, false, 5);
        _refused(
            watcher,
            _pickCall(v.ops, v.lives, false, 5),
            abi.encodeWithSelector(Dissection.NotTurnOf.selector, id, Side.Challenger)
        );
    }

    // ---- what is isolated

    function test_isolated_operator_namesTheNode() public {
        Run memory theirs = Run({steps: 2, salt: 1, leaf: 7, live: false, index: 32});
        _ready(theirs, _right(2));
        _play(id, theirs, _right(2));
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Isolated);
        assertEq(d.isolatedIndex, 32, "the last operator of its segment");
        assertEq(d.firstNode, 40 + 17 + 1);
        assertEq(d.claimedDigest, GameTrace.op(theirs, 7, 32));
        assertFalse(d.inLive);
        assertEq(d.isolatedAt, block.timestamp);
    }

    /// P-D4: every operator is right and a live slot is a bad copy.
    function test_isolated_liveSlot() public {
        Run memory theirs = Run({steps: 2, salt: 1, leaf: 6, live: true, index: 2});
        _ready(theirs, _right(2));
        _play(id, theirs, _right(2));
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Isolated);
        assertTrue(d.inLive, "among the live slots");
        assertEq(d.isolatedIndex, 2);
        assertEq(d.claimedDigest, GameTrace.live(theirs, 6, 2));
        _drawReferee(id);
        _rule(id, theirs);
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
    }

    /// A challenger that passes over the first difference arrives at an operator that is right on its own inputs.
    function test_isolated_notTheLeftmost_losesTheChallenger() public {
        Move memory v = _ready();
        _post(v);
        vm.prank(watcher);
        theCourt.pickSegment(id, v.ops, v.lives, false, 9);
        Dispute memory d = theCourt.dispute(id);
        bytes32[] memory row = _row(d, wrong);
        theCourt.revealRow(id, d.node, row);
        vm.prank(watcher);
        theCourt.pick(id, row, 3);
        assertEq(theCourt.dispute(id).isolatedIndex, 39);
        _drawReferee(id);
        _rule(id, wrong);
        _finalize(id);
        assertDispute(id, DisputeState.Cleared);
    }
}

/// @notice P-D2: padding is zero; whoever says otherwise has lost, on either side.
contract CourtPaddingTest is CourtFixture {
    uint256 private taskId;
    uint256 private id;

    /// @dev A trace of these leaves, whatever the runs say.
    function _commitLeaves(bytes32[] memory leaves, uint32 steps) private {
        taskId = _post();
        _claim(taskId, alice);
        uint256 last = uint256(steps) * 4 - 1;
        bytes32 root = TraceTree.root(leaves, shape.traceHeight);
        bytes32[] memory proof = TraceTree.open(leaves, shape.traceHeight, last);
        bytes32[] memory stop = GameTrace.stopProof(_right(steps), shape);
        vm.prank(alice);
        market.commit(taskId, steps, leaves[last], root, proof, stop);
        id = _challenge(taskId, watcher, _right(2)); // whatever it thinks
    }

    /// @dev Provider and challenger go straight to `leaf`.
    function _descendTo(bytes32[] memory leaves, uint256 leaf) private {
        while (theCourt.dispute(id).state == DisputeState.Level1) {
            Dispute memory d = theCourt.dispute(id);
            bytes32[] memory row = GameTrace.row(leaves, shape.traceHeight, d.height, d.index);
            uint8 down = d.height < 4 ? d.height : 4;
            theCourt.revealRow(id, d.node, row);
            vm.prank(watcher);
            theCourt.pick(id, row, uint8((leaf >> (d.height - down)) & (row.length - 1)));
        }
    }

    function _assertCleared(uint128 creditBefore) private view {
        assertDispute(id, DisputeState.Cleared);
        assertState(taskId, TaskState.Committed);
        assertEq(vault.credit(_payoutOf(alice)) - creditBefore, theCourt.bondOf(alice), "no referee to pay");
        assertPotsEmpty(id);
    }

    /// A trace with something after its end.
    function test_level1_notZero_convictsAtOnce() public {
        bytes32[] memory leaves = new bytes32[](300);
        bytes32[] memory honest = GameTrace.level1(_right(1), shape);
        for (uint256 i = 0; i < 4; i++) {
            leaves[i] = honest[i];
        }
        leaves[299] = keccak256("hidden");
        _commitLeaves(leaves, 1);
        _descendTo(leaves, 299);
        assertDispute(id, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice));
        assertEq(theCourt.dispute(id).ruledAt, 0, "nobody had to rule");
        assertPotsEmpty(id);
    }

    function test_level1_zero_clearsAtOnce() public {
        bytes32[] memory leaves = GameTrace.level1(_right(1), shape);
        uint256[3] memory at = [uint256(4), 400, 511]; // the first after the end; above the leaves of any run; the last
        for (uint256 i = 0; i < at.length; i++) {
            _commitLeaves(leaves, 1);
            uint128 before = vault.credit(_payoutOf(alice));
            _descendTo(leaves, at[i]);
            _assertCleared(before);
        }
    }

    /// The last leaf of the trace is no padding, even if the provider wrote zero there.
    function test_level1_lastLeaf_isNoPadding() public {
        bytes32[] memory leaves = GameTrace.level1(_right(1), shape);
        leaves[2] = 0;
        _commitLeaves(leaves, 1);
        _descendTo(leaves, 2);
        assertDispute(id, DisputeState.SegmentWanted);
    }

    // ---- level 2: the provider's own rows, posted for leaf 1 of one step (17 operators of 64, one live slot of 4)

    function _segment(bytes32[] memory ops, bytes32[] memory lives) private returns (bytes32[] memory, bytes32[] memory) {
        bytes32[] memory leaves = GameTrace.level1(_right(1), shape);
        leaves[1] = TraceTree.root(lives, shape.liveHeight);
        _commitLeaves(leaves, 1);
        _descendTo(leaves, 1);
        bytes32[] memory proof = TraceTree.open(leaves, shape.traceHeight, 0);
        bytes32[] memory opsRow = GameTrace.row(ops, shape.opsHeight, shape.opsHeight, 0);
        bytes32[] memory liveRow = GameTrace.row(lives, shape.liveHeight, shape.liveHeight, 0);
        SegmentOpening memory segment = GameTrace.segment(shape, 1);
        vm.prank(alice);
        theCourt.postSegment(id, leaves[1], leaves[0], proof, segment, opsRow, liveRow);
        return (opsRow, liveRow);
    }

    /// @dev The challenger picks operator or live slot `index`.
    function _pickLeaf(bytes32[] memory ops, bytes32[] memory lives, bool live, uint8 index) private {
        (bytes32[] memory opsRow, bytes32[] memory liveRow) = _segment(ops, lives);
        vm.prank(watcher);
        theCourt.pickSegment(id, opsRow, liveRow, live, live ? index : index / 4);
        if (live) return;
        bytes32[] memory row = GameTrace.row(ops, shape.opsHeight, 2, index / 4);
        theCourt.revealRow(id, theCourt.dispute(id).node, row);
        vm.prank(watcher);
        theCourt.pick(id, row, index % 4);
    }

    function _ops(uint256 length, uint256 junk) private pure returns (bytes32[] memory ops) {
        ops = new bytes32[](length);
        for (uint256 i = 0; i < 17; i++) {
            ops[i] = GameTrace.op(_right(1), 1, i);
        }
        if (junk != 0) ops[junk] = keccak256("hidden");
    }

    function _lives(uint256 junk) private pure returns (bytes32[] memory lives) {
        lives = new bytes32[](4);
        lives[0] = GameTrace.live(_right(1), 1, 0);
        if (junk != 0) lives[junk] = keccak256("hidden");
    }

    function test_level2_operatorsNotZero_convictsAtOnce() public {
        _pickLeaf(_ops(64, 63), _lives(0), false, 63);
        assertDispute(id, DisputeState.Upheld);
    }

    function test_level2_operatorsZero_clearsAtOnce() public {
        uint128 before = vault.credit(_payoutOf(alice));
        _pickLeaf(_ops(64, 0), _lives(0), false, 17);
        _assertCleared(before);
    }

    function test_level2_lastOperator_isNoPadding() public {
        _pickLeaf(_ops(64, 0), _lives(0), false, 16);
        assertDispute(id, DisputeState.Isolated);
    }

    function test_level2_liveSlotsNotZero_convictsAtOnce() public {
        _pickLeaf(_ops(64, 0), _lives(3), true, 3);
        assertDispute(id, DisputeState.Upheld);
    }

    function test_level2_liveSlotsZero_clearsAtOnce() public {
        uint128 before = vault.credit(_payoutOf(alice));
        _pickLeaf(_ops(64, 0), _lives(0), true, 1);
        _assertCleared(before);
    }

    function test_level2_lastLiveSlot_isNoPadding() public {
        _pickLeaf(_ops(64, 0), _lives(0), true, 0);
        assertDispute(id, DisputeState.Isolated);
    }
}

/// @notice Trees without height: one step, one commit point, one operator, one live tensor.
contract CourtSmallestModelTest is CourtFixture {
    function _shape() internal pure override returns (Shape memory s) {
        s.ops = new uint32[](1);
        s.lives = new uint32[](1);
        (s.ops[0], s.lives[0]) = (1, 1);
    }

    function _header() internal view override returns (ModelHeader memory) {
        return _headerOf(shape, 1);
    }

    function test_smallest_needsNoReveal() public {
        Run memory wrong = Run({steps: 1, salt: 1, leaf: 0, live: false, index: 0});
        uint256 id = _challenge(_committedRun(alice, wrong), watcher, _right(1));
        assertDispute(id, DisputeState.SegmentWanted);
        assertEq(theCourt.dispute(id).leaf, market.level1RootOf(1), "the root is the leaf");
        _judge(id, wrong, _right(1));
        assertDispute(id, DisputeState.Upheld);
        assertEq(theCourt.dispute(id).isolatedIndex, 0);
    }

    function test_smallest_liveSlot() public {
        Run memory wrong = Run({steps: 1, salt: 1, leaf: 0, live: true, index: 0});
        uint256 id = _challenge(_committedRun(alice, wrong), watcher, _right(1));
        _judge(id, wrong, _right(1));
        assertDispute(id, DisputeState.Upheld);
        assertTrue(theCourt.dispute(id).inLive, "a bad copy");
    }
}

/// @notice P-D6: provider and challenger are friends and would keep a task disputed for ever. They write a row of leaves that
/// reads as the two rows of a segment, so as to pick from the segment again.
contract CourtEndlessGameTest is CourtFixture {
    function _shape() internal view override returns (Shape memory s) {
        s = super._shape();
        s.opsHeight = 8;
        s.ops[0] = 200;
    }

    function test_pickSegment_again_isRefused() public {
        Run memory run = _right(1);
        uint256 id = _challenge(_committedRun(alice, run), watcher, _wrong());
        _playTo(id, run, Run({steps: 1, salt: 1, leaf: 0, live: false, index: 0}), DisputeState.SegmentWanted, Side.Provider);
        bytes32[] memory inner = new bytes32[](12);
        inner[0] = keccak256("the next such row");
        bytes32[] memory none = new bytes32[](0);
        bytes32[] memory forged = _words(abi.encode(inner, none));
        assertEq(forged.length, 16, "as long as a row of leaves");
        bytes32[] memory ops = new bytes32[](16);
        ops[0] = TraceTree.root(forged, 4);
        bytes32[] memory lives = _liveRow(run, 0);
        Dispute memory d = theCourt.dispute(id);
        (bytes32 previous, bytes32[] memory proof) = _previous(run, 0);
        SegmentOpening memory segment = GameTrace.segment(shape, 0);
        vm.prank(alice);
        theCourt.postSegment(id, d.node, previous, proof, segment, ops, lives);
        vm.prank(watcher);
        theCourt.pickSegment(id, ops, lives, false, 0);
        theCourt.revealRow(id, ops[0], forged);
        bytes memory again = abi.encodeCall(ICourt.pickSegment, (id, inner, none, false, 0));
        _refused(watcher, again, abi.encodeWithSelector(Dissection.NotAtRoot.selector, id));
        vm.prank(watcher);
        theCourt.pick(id, forged, 3);
        assertDispute(id, DisputeState.Isolated);
    }

    function _words(bytes memory data) private pure returns (bytes32[] memory words) {
        words = new bytes32[](data.length / 32);
        for (uint256 i = 0; i < words.length; i++) {
            assembly ("memory-safe") {
                mstore(add(add(words, 32), mul(32, i)), mload(add(add(data, 32), mul(32, i))))
            }
        }
    }
}

/// @notice A model whose segment table says that its operators lie beyond the last number there is. A challenger is not to lose
/// because the place that it found has no number.
contract CourtLyingTableTest is CourtFixture {
    SegmentOpening private table;

    function _shape() internal pure override returns (Shape memory s) {
        s.opsHeight = 1;
        s.ops = new uint32[](1);
        s.lives = new uint32[](1);
        (s.ops[0], s.lives[0]) = (2, 1);
    }

    function _header() internal view override returns (ModelHeader memory h) {
        h = _headerOf(shape, 1);
        h.segmentsRoot = sha256(abi.encodePacked(bytes1(0x04), uint32(0), type(uint32).max, uint32(2), uint32(1), bytes32(0)));
    }

    function test_lyingTable_operatorIsIsolated() public {
        Run memory wrong = Run({steps: 1, salt: 1, leaf: 0, live: false, index: 1});
        uint256 id = _challenge(_committedRun(alice, wrong), watcher, _right(1));
        (table.firstNode, table.opCount, table.liveCount) = (type(uint32).max, 2, 1);
        bytes32[] memory ops = _opsRow(wrong, 0);
        bytes32[] memory lives = _liveRow(wrong, 0);
        (bytes32 previous, bytes32[] memory proof) = _previous(wrong, 0);
        bytes32 leaf = theCourt.dispute(id).node;
        vm.prank(alice);
        theCourt.postSegment(id, leaf, previous, proof, table, ops, lives);
        vm.prank(watcher);
        theCourt.pickSegment(id, ops, lives, false, 1);
        assertDispute(id, DisputeState.Isolated);
        assertEq(theCourt.dispute(id).isolatedIndex, 1);
    }
}
