// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealFixture} from "../utils/AppealFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {AppealProofs} from "../../src/appeal/AppealProofs.sol";
import {AppealGame, AppealPhase, NodeFacts} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute} from "../../src/interfaces/Types.sol";
import {TensorShape} from "../../src/lib/TensorShape.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice Every link between the claimed digest and the chosen element, attacked.
contract AppealTensorLinksTest is AppealFixture {
    bytes32 private claimed;
    bytes32 private root;
    bytes32[] private row;
    bytes32[] private none;

    function setUp() public override {
        super.setUp();
        _open(_disputed(SCAN, tensors[SCAN]));
        claimed = _game().node;
        root = _chunkRoot(claim.data);
        (, row,) = _opening();
    }

    function _call(NodeFacts memory n, bytes32[] memory proof) private view returns (bytes memory) {
        return abi.encodeCall(levels.openTensor, (address(stage), ID, claimed, n, proof, root, row, ""));
    }

    function test_tensor_staleClaim_reverts() public {
        bytes32 other = keccak256("a claim before a reorg");
        bytes memory call =
            abi.encodeCall(levels.openTensor, (address(stage), ID, other, _node(SCAN), _nodeProof(SCAN), root, row, ""));
        _refused(anyone, call, abi.encodeWithSelector(AppealLevels.OtherClaim.selector, ID, other, claimed));
    }

    function test_tensor_headerOfAnotherNode_reverts() public {
        bytes4 notThere = AppealProofs.NodeNotInModel.selector;
        _refused(anyone, _call(_node(FOLD), _nodeProof(FOLD)), notThere); // a node of the model, at another place
        _refused(anyone, _call(_node(SCAN), _nodeProof(FOLD)), notThere);
        NodeFacts memory n = _node(SCAN);
        n.dtype = 5;
        _refused(anyone, _call(n, _nodeProof(SCAN)), notThere);
        n = _node(SCAN);
        n.op = 5;
        _refused(anyone, _call(n, _nodeProof(SCAN)), notThere);
        n = _node(SCAN);
        n.attributes[1] += 1;
        _refused(anyone, _call(n, _nodeProof(SCAN)), notThere);
        n = _node(SCAN);
        (n.dims[0], n.dims[1]) = (N, 1);
        _refused(anyone, _call(n, _nodeProof(SCAN)), notThere);
        // an attribute that says that it is an extent
        n = _node(SCAN);
        n.dims = _dims(1);
        n.attributes = new uint64[](3);
        _refused(anyone, _call(n, _nodeProof(SCAN)), notThere);
        bytes memory short = abi.encodeWithSelector(TraceHash.ProofLength.selector, 1, 2);
        _refused(anyone, _call(_node(SCAN), new bytes32[](1)), short);
    }

    function test_tensor_chunkRootOfAnotherDigest_reverts() public {
        root = _chunkRoot(_altered(SCAN, 0, 1).data);
        _refused(anyone, _call(_node(SCAN), _nodeProof(SCAN)), AppealLevels.OtherTensor.selector);
    }

    function test_tensor_rowOfAnotherNode_reverts() public {
        row[3] = keccak256("made up");
        _refused(anyone, _call(_node(SCAN), _nodeProof(SCAN)), AppealLevels.RowOfAnotherNode.selector);
        row.pop();
        bytes memory length = abi.encodeWithSelector(TraceHash.RowLength.selector, 15, 16);
        _refused(anyone, _call(_node(SCAN), _nodeProof(SCAN)), length);
    }

    function test_tensor_aModelThatLies_isBounded() public {
        NodeFacts memory n = _node(SCAN);
        n.dims = new uint64[](9);
        _refusedModel(n, abi.encodeWithSelector(TensorShape.RankTooLarge.selector, 9, 8));
        n.dims = _dims(1 << 40, 1 << 40);
        _refusedModel(n, abi.encodeWithSelector(TensorShape.TensorTooLarge.selector, 1 << 42));
        n.dims = _dims(1);
        n.dtype = 14;
        _refusedModel(n, abi.encodeWithSelector(TensorShape.UnknownDType.selector, 14));
    }

    /// @dev A model whose first node is `n`.
    function _refusedModel(NodeFacts memory n, bytes memory why) private {
        bytes memory head = abi.encodePacked(hex"06", n.op, uint16(2), n.attributes[0], n.attributes[1], n.dtype);
        bytes32[] memory leaves = _nodeLeaves();
        leaves[0] = sha256(abi.encodePacked(head, uint8(n.dims.length), _words(n.dims)));
        model.nodesRoot = TraceTree.root(leaves, 2);
        stage.set(model, rules);
        _refused(anyone, _call(n, TraceTree.open(leaves, 2, 0)), why);
    }

    /// P-D4: a segment table that lies gives a place that no node has.
    function test_tensor_noSuchNode_reverts() public {
        Dispute memory d = stage.dispute(ID);
        d.firstNode = type(uint32).max;
        stage.put(ID, d);
        bytes memory why = abi.encodeWithSelector(TraceHash.IndexOutsideTree.selector, type(uint32).max, 2);
        _refused(anyone, _call(_node(SCAN), _nodeProof(SCAN)), why);
    }

    // ---- below the tensor

    function test_row_ofAnotherNode_reverts() public {
        _openTensor();
        _pickChunk(3);
        AppealGame memory g = _game();
        bytes32[] memory own = _chunkRow(g);
        AppealGame memory sibling = g;
        sibling.index += 1;
        bytes32[] memory others = _chunkRow(sibling);
        _refused(
            anyone, abi.encodeCall(levels.revealRow, (address(stage), ID, g.node, others)), AppealLevels.RowOfAnotherNode.selector
        );
        bytes memory stale = abi.encodeCall(levels.revealRow, (address(stage), ID, root, own));
        _refused(anyone, stale, abi.encodeWithSelector(AppealLevels.OtherClaim.selector, ID, root, g.node));
    }

    function test_pickChunk_fromAnotherRow_orOutside_reverts() public {
        _openTensor();
        bytes32[] memory made = row;
        made[2] = keccak256("made up");
        _refused(challenger, abi.encodeCall(levels.pickChunk, (address(stage), ID, made, 2)), AppealLevels.OtherRow.selector);
        bytes memory outside = abi.encodeWithSelector(AppealLevels.ChildOutsideRow.selector, 16, 16);
        _refused(challenger, abi.encodeCall(levels.pickChunk, (address(stage), ID, row, 16)), outside);
    }

    function _toChunk() private {
        _openTensor();
        _pickChunk(8);
        levels.revealRow(address(stage), ID, _game().node, _chunkRow(_game()));
        _pickChunk(1); // the last, of 192 bytes
    }

    function test_chunk_ofAnotherLeaf_reverts() public {
        _toChunk();
        bytes32 leaf = _game().node;
        bytes4 other = AppealLevels.ChunkOfAnotherNode.selector;
        bytes memory data = claim.data;
        _refused(anyone, abi.encodeCall(levels.revealChunk, (address(stage), ID, leaf, _chunk(data, 16))), other);
        bytes memory chunk = _chunk(data, 17);
        chunk[0] ^= 0x01;
        _refused(anyone, abi.encodeCall(levels.revealChunk, (address(stage), ID, leaf, chunk)), other);
        bytes memory stale = abi.encodeCall(levels.revealChunk, (address(stage), ID, root, _chunk(data, 17)));
        _refused(anyone, stale, abi.encodeWithSelector(AppealLevels.OtherClaim.selector, ID, root, leaf));
    }

    /// A leaf over bytes of another length is no chunk of the tensor.
    function test_chunk_ofAnotherLength_reverts() public {
        bytes memory data = abi.encodePacked(tensors[FOLD].data, uint64(1));
        Dispute memory d = _disputed(FOLD, tensors[FOLD]);
        bytes32 leaf = sha256(abi.encodePacked(hex"00", data));
        d.claimedDigest = _digestOf(I64, _dims(3), leaf);
        stage.put(ID + 1, d);
        stage.handOver(levels, ID + 1, challenger);
        bytes memory call = abi.encodeCall(
            levels.openTensor, (address(stage), ID + 1, d.claimedDigest, _node(FOLD), _nodeProof(FOLD), leaf, none, data)
        );
        _refused(anyone, call, abi.encodeWithSelector(AppealLevels.ChunkLength.selector, 32, 24));
    }

    function test_element_outside_orOfAnotherChunk_reverts() public {
        _toChunk();
        bytes memory chunk = _chunk(claim.data, 17);
        levels.revealChunk(address(stage), ID, _game().node, chunk);
        bytes memory call = abi.encodeCall(levels.pickElement, (address(stage), ID, chunk, 24));
        _refused(challenger, call, abi.encodeWithSelector(AppealLevels.ElementOutside.selector, 24, 24));
        call = abi.encodeCall(levels.pickElement, (address(stage), ID, _chunk(claim.data, 16), 0));
        _refused(challenger, call, AppealLevels.OtherRow.selector);
        _pickElement(23);
        assertEq(_game().element, N - 1, "the last of all");
    }

    function testFuzz_tensor_anyOtherProof_neverOpens(uint256 seed) public {
        NodeFacts memory n = _node(SCAN);
        bytes32[] memory proof = _nodeProof(SCAN);
        bytes32 at = keccak256(abi.encode(seed));
        uint256 what = seed % 4;
        if (what == 0) proof[seed / 4 % 2] = at;
        else if (what == 1) n.dims[seed / 4 % 2] = uint64(uint256(at));
        else if (what == 2) root = at;
        else row[seed / 4 % 16] = at;
        vm.prank(anyone);
        (bool done,) = address(levels).call(_call(n, proof));
        assertFalse(done, "opened by another proof");
    }
}

/// @notice P-L6: what may be said about a run.
contract AppealStatesTest is AppealFixture {
    bytes[] private run;

    function setUp() public override {
        super.setUp();
        _open(_disputed(SCAN, _wrongScan(LONG, 9)));
        _toElement(LONG);
        run = _run(LONG);
    }

    function _call(bytes32 end, uint64 batches, uint256 states) private view returns (bytes memory) {
        return abi.encodeCall(levels.revealStates, (address(stage), ID, end, batches, new bytes32[](states)));
    }

    function test_states_ofAnotherEnd_reverts() public {
        bytes32 end = _game().end;
        bytes memory why = abi.encodeWithSelector(AppealLevels.OtherClaim.selector, ID, bytes32(uint256(1)), end);
        _refused(provider, _call(bytes32(uint256(1)), 83, 31), why);
    }

    function test_states_countsOutOfBounds_revert() public {
        bytes32 end = _game().end;
        bytes4 count = AppealLevels.BatchCount.selector;
        _refused(provider, _call(end, 0, 0), abi.encodeWithSelector(count, 0, uint64(1) << 35));
        _refused(provider, _call(end, (1 << 35) + 1, 31), abi.encodeWithSelector(count, (1 << 35) + 1, uint64(1) << 35));
        bytes4 states = AppealLevels.StateCount.selector;
        _refused(provider, _call(end, 83, 30), abi.encodeWithSelector(states, 30, 31));
        _refused(provider, _call(end, 83, 32), abi.encodeWithSelector(states, 32, 31));
        _refused(provider, _call(end, 5, 5), abi.encodeWithSelector(states, 5, 4));
        _refused(provider, _call(end, 1, 1), abi.encodeWithSelector(states, 1, 0));
    }

    function test_states_lengthIsSaidOnce() public {
        bytes32[] memory states = _revealStates(run, 83, 1e9);
        _pickState(run, states);
        AppealGame memory g = _game();
        assertEq(g.batches, 3, "the last part");
        assertEq(g.firstBatch, 80);
        bytes4 count = AppealLevels.BatchCount.selector;
        _refused(provider, _call(g.end, 4, 3), abi.encodeWithSelector(count, 4, 3));
        _refused(provider, _call(g.end, 83, 31), abi.encodeWithSelector(count, 83, 3));
    }

    function test_pickState_fromOthers_orOutside_reverts() public {
        bytes32[] memory states = _revealStates(run, 83, 1e9);
        bytes memory outside = abi.encodeWithSelector(AppealLevels.PartOutside.selector, 32, 32);
        _refused(challenger, abi.encodeCall(levels.pickState, (address(stage), ID, states, 32)), outside);
        states[4] = keccak256("made up");
        _refused(challenger, abi.encodeCall(levels.pickState, (address(stage), ID, states, 4)), AppealLevels.OtherRow.selector);
    }

    /// Parts are cut where every player can say, and together they are the run.
    function testFuzz_parts_areTheRun(uint64 batches, uint8 part) public {
        batches = uint64(bound(batches, 2, 1 << 35));
        bytes32[] memory states = new bytes32[]((batches < 32 ? batches : 32) - 1);
        for (uint256 i = 0; i < states.length; i++) {
            states[i] = bytes32(i + 1);
        }
        AppealGame memory g = _game();
        vm.prank(provider);
        levels.revealStates(address(stage), ID, g.end, batches, states);
        uint256 parts = states.length + 1;
        part = uint8(bound(part, 0, parts - 1));
        vm.prank(challenger);
        levels.pickState(address(stage), ID, states, part);
        AppealGame memory h = _game();
        assertEq(h.firstBatch, uint256(part) * batches / parts);
        assertEq(h.firstBatch + h.batches, (uint256(part) + 1) * batches / parts);
        assertEq(h.start, part == 0 ? g.start : bytes32(uint256(part)));
        assertEq(h.end, part == parts - 1 ? g.end : bytes32(uint256(part) + 1));
        assertPhase(h.batches == 1 ? AppealPhase.Step : AppealPhase.States);
    }
}
