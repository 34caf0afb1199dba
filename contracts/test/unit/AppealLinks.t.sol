// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealFixture} from "../utils/AppealFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {AppealProofs} from "../../src/appeal/AppealProofs.sol";
import {
    AppealGame,
    AppealOutcome,
    AppealPhase,
    ChunkProof,
    NodeFacts,
    OperandProof,
    SlotProof,
    Source,
    StepProof
} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute, SegmentOpening} from "../../src/interfaces/Types.sol";
import {TensorShape} from "../../src/lib/TensorShape.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";
import {Environments} from "../../src/step/Environments.sol";

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
        n.dtype = 7;
        _refusedModel(n, abi.encodeWithSelector(TensorShape.UnknownDType.selector, 7));
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

/// @notice Every link between a batch and the dispute, attacked. The honest proof passes each time.
contract AppealStepLinksTest is AppealFixture {
    bytes[] private run;
    StepProof private honest;

    function setUp() public override {
        super.setUp();
        _open(_disputed(SCAN, _wrongScan(LONG, 9)));
        _toElement(LONG);
        run = _toStep(LONG, 83, 30);
        _keep(_scanStep(run, _game().firstBatch));
    }

    function _keep(StepProof memory p) private {
        delete honest;
        _copy(p);
    }

    function _copy(StepProof memory p) private {
        honest.machine = p.machine;
        honest.node = p.node;
        honest.program = p.program;
        honest.programProof = p.programProof;
        honest.before = p.before;
        for (uint256 i = 0; i < p.operands.length; i++) {
            honest.operands.push(p.operands[i]);
        }
        for (uint256 i = 0; i < p.chunks.length; i++) {
            honest.chunks.push(p.chunks[i]);
        }
    }

    /// @dev That the attacks below fail for their own reason.
    function _stillHonest(AppealOutcome wanted) private {
        _step(honest);
        assertOutcome(wanted);
    }

    function test_step_staleEnd_reverts() public {
        bytes32 end = _game().end;
        bytes memory call = abi.encodeCall(levels.step, (address(stage), ID, keccak256("old"), honest));
        _refused(anyone, call, abi.encodeWithSelector(AppealLevels.OtherClaim.selector, ID, keccak256("old"), end));
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_machineOfAnotherState_reverts() public {
        StepProof memory p = honest;
        p.machine = run[_game().firstBatch + 1];
        _stepRefused(p, AppealLevels.OtherMachine.selector);
        p.machine = run[run.length - 1]; // halted, with the true value
        _stepRefused(p, AppealLevels.OtherMachine.selector);
        p.machine = "";
        _stepRefused(p, AppealLevels.OtherMachine.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    /// A state that a liar made up and its accuser let pass has to be the hash of a machine.
    function test_step_preimageOfAnotherLength_reverts() public {
        uint256 before = vm.snapshotState();
        _open(_disputedAgain());
        _toElement(LONG);
        bytes32[] memory states = new bytes32[](1);
        states[0] = keccak256("no machine");
        bytes32 end = _game().end;
        vm.prank(provider);
        levels.revealStates(address(stage), ID, end, 2, states);
        vm.prank(challenger);
        levels.pickState(address(stage), ID, states, 1);
        StepProof memory p = honest;
        p.machine = "no machine";
        bytes memory call = abi.encodeCall(levels.step, (address(stage), ID, _game().end, p));
        _refused(anyone, call, abi.encodeWithSelector(AppealLevels.MachineLength.selector, 10));
        vm.revertToState(before);
    }

    function _disputedAgain() private returns (Dispute memory d) {
        _step(honest);
        return _disputed(SCAN, _wrongScan(LONG, 9));
    }

    function test_step_anotherNode_reverts() public {
        StepProof memory p = honest;
        p.node = _node(FOLD);
        _stepRefused(p, AppealLevels.OtherNode.selector);
        p.node = honest.node;
        p.node.attributes[0] += 1;
        _stepRefused(p, AppealLevels.OtherNode.selector);
        p.node = honest.node;
        p.node.dims[1] += 1;
        _stepRefused(p, AppealLevels.OtherNode.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_anotherProgram_reverts() public {
        StepProof memory p = honest;
        bytes4 notThere = AppealProofs.ProgramNotInTable.selector;
        (p.program, p.programProof) = (_program(5), TraceTree.open(_programLeaves(), 5, 5));
        _stepRefused(p, notThere);
        p.programProof = honest.programProof;
        _stepRefused(p, notThere);
        p.program = abi.encodePacked(honest.program, hex"0100000000000000");
        _stepRefused(p, notThere);
        p.program = honest.program;
        p.programProof = new bytes32[](4);
        _stepRefused(p, TraceHash.ProofLength.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    /// The same program under the table of another version of the arithmetic.
    function test_step_wrongTable_reverts() public {
        uint32[] memory versions = new uint32[](1);
        bytes32[] memory roots = new bytes32[](1);
        (versions[0], roots[0]) = (1, keccak256("another table"));
        levels = new AppealLevels(machine, versions, roots);
        _open(_disputed(FOLD, tensors[FOLD]));
        _toElement(1);
        _stepRefused(_withChunks(_stepProof(FOLD, _initial(1)), 5, 6), AppealProofs.ProgramNotInTable.selector);
    }

    // ---- operands

    function test_step_noOperand_orMoreThanFit_reverts() public {
        StepProof memory p = honest;
        p.chunks = new ChunkProof[](0);
        p.operands = new OperandProof[](0);
        _stepRefused(p, AppealProofs.NoOperand.selector);
        p = honest;
        p.operands[0].count = 4097;
        _stepRefused(p, AppealProofs.TooManyInputs.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_operandTwice_orOutside_orOfAnotherCount_reverts() public {
        StepProof memory p = honest;
        p.operands[1] = p.operands[0];
        _stepRefused(p, AppealProofs.OperandTwice.selector);
        p = honest;
        p.operands[1].position = 2;
        _stepRefused(p, AppealProofs.PositionOutside.selector);
        p = honest;
        p.operands[1].count = 3;
        _stepRefused(p, AppealProofs.InputCount.selector);
        p = honest;
        (p.operands[0].count, p.operands[1].count) = (3, 3); // so that a third would read as absent, or shown
        _stepRefused(p, AppealProofs.EdgeNotInModel.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_edgeOfAnotherNodeOrPosition_reverts() public {
        bytes4 notThere = AppealProofs.EdgeNotInModel.selector;
        StepProof memory p = honest;
        p.operands[0] = _operand(2, ops); // of fold
        _stepRefused(p, notThere);
        p = honest;
        (p.operands[0].position, p.operands[1].position) = (1, 0); // swapped
        _stepRefused(p, notThere);
        p = honest;
        p.operands[0].at.source = Source(1, 0, 1, 0); // another source
        _stepRefused(p, notThere);
        p = honest;
        p.operands[0].edgeIndex = 3;
        _stepRefused(p, notThere);
        p.operands[0].edgeIndex = 8;
        _stepRefused(p, TraceHash.IndexOutsideTree.selector);
        p = honest;
        p.operands[0].edgeProof = new bytes32[](33);
        _stepRefused(p, TraceHash.ProofLength.selector);
        p.operands[0].edgeProof = new bytes32[](1000);
        _stepRefused(p, TraceHash.ProofLength.selector);
        p.operands[0].edgeProof = new bytes32[](2);
        _stepRefused(p, notThere);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_inputOfAnotherDigest_reverts() public {
        StepProof memory p = honest;
        p.operands[0].chunkRoot = _chunkRoot(tensors[SCAN].data);
        _stepRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p = honest;
        p.operands[0].at.slot = 1;
        bytes memory call = abi.encodeCall(levels.step, (address(stage), ID, _game().end, p));
        _refused(anyone, call, abi.encodeWithSelector(AppealProofs.WrongSlot.selector, 1, 0));
        p = honest;
        p.operands[0].at.proof[0] = keccak256("made up");
        _stepRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p.operands[0].at.proof = new bytes32[](2);
        _stepRefused(p, TraceHash.ProofLength.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_headerOfAnotherShape_reverts() public {
        bytes4 notThere = AppealProofs.DigestNotInLeaf.selector;
        StepProof memory p = honest;
        p.operands[0].dims = _dims(N, 1);
        _stepRefused(p, notThere);
        p = honest;
        p.operands[0].dtype = 1;
        _stepRefused(p, notThere);
        p.operands[0].dtype = 9;
        _stepRefused(p, TensorShape.UnknownDType.selector);
        p = honest;
        p.operands[0].dims = new uint64[](9);
        _stepRefused(p, TensorShape.RankTooLarge.selector);
        p.operands[0].dims = _dims(1 << 32, 1 << 32);
        _stepRefused(p, TensorShape.TensorTooLarge.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_anotherWeight_reverts() public {
        bytes4 notThere = AppealProofs.WeightNotInModel.selector;
        StepProof memory p = honest;
        (p.operands[1].chunkRoot, p.operands[1].dims) = (_chunkRoot(tensors[W1].data), _dims(3));
        _stepRefused(p, notThere);
        p.operands[1].at.proof = TraceTree.open(_weightLeaves(), 1, 1);
        _stepRefused(p, notThere);
        p = honest;
        p.operands[1].at.proof = new bytes32[](33);
        _stepRefused(p, TraceHash.ProofLength.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    // ---- chunks

    function test_step_chunkOfAnotherOperand_orPlace_reverts() public {
        bytes4 notThere = AppealProofs.ChunkNotInOperand.selector;
        StepProof memory p = honest;
        p.chunks[0].data[5] ^= 0x01;
        _stepRefused(p, notThere);
        p = honest;
        p.chunks[0].data = _chunk(tensors[SCAN].data, p.chunks[0].index);
        _stepRefused(p, notThere);
        p = honest;
        p.chunks[0].index ^= 1;
        _stepRefused(p, notThere);
        p = honest;
        p.chunks[0].index = 18;
        _stepRefused(p, AppealProofs.ChunkOutside.selector);
        p = honest;
        p.chunks[0].position = 1;
        p.chunks[0].index = 0;
        _stepRefused(p, AppealProofs.ChunkLength.selector);
        p.chunks[0].position = 2;
        _stepRefused(p, AppealProofs.OperandMissing.selector);
        p = honest;
        p.chunks[0].proof = new bytes32[](4);
        _stepRefused(p, TraceHash.ProofLength.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    /// What is read and not shown makes the call fail, and does not read as nothing.
    function test_step_whatIsReadAndNotShown_reverts() public {
        StepProof memory p = honest;
        p.chunks = new ChunkProof[](0);
        _stepRefused(p, Environments.ChunkNotShown.selector);
        OperandProof memory weight = p.operands[1];
        p.operands = new OperandProof[](1);
        p.operands[0] = weight;
        _stepRefused(p, Environments.OperandNotShown.selector);
        _stillHonest(AppealOutcome.Guilty);
    }

    function test_step_chunkTwice_isHarmless() public {
        StepProof memory p = honest;
        p.chunks[p.chunks.length - 1] = p.chunks[0]; // the weight is not read in this batch
        _step(p);
        assertOutcome(AppealOutcome.Guilty);
    }

    /// P-L7: in States the first batch counts only if the machine has halted in it.
    function test_step_aRunThatGoesOn_isDissectedFirst() public {
        _open(_disputedAgain());
        _toElement(LONG);
        bytes memory call = abi.encodeCall(levels.step, (address(stage), ID, _game().end, _scanStep(run, 0)));
        _refused(anyone, call, abi.encodeWithSelector(AppealLevels.NotHalted.selector, ID));
        assertPhase(AppealPhase.States);
    }

    // ---- random

    function testFuzz_step_anyOtherProof_changesNothing(uint256 seed) public {
        StepProof memory p = honest;
        bytes32 noise = keccak256(abi.encode(seed));
        uint256 what = seed % 12;
        uint256 pick = (seed >> 8) % 2;
        if (what == 0) p.machine[(seed >> 16) % 508] ^= bytes1(uint8(1 + (seed >> 32) % 255));
        else if (what == 1) p.program[(seed >> 16) % p.program.length] ^= bytes1(uint8(1 + (seed >> 32) % 255));
        else if (what == 2) p.programProof[(seed >> 16) % 5] = noise;
        else if (what == 3) p.operands[pick].edgeProof[(seed >> 16) % 3] = noise;
        else if (what == 4) p.operands[pick].chunkRoot = noise;
        else if (what == 5) p.operands[pick].at.proof[0] = noise;
        else if (what == 6) p.operands[pick].dims[0] = uint64(uint256(noise));
        else if (what == 7) p.operands[pick].at.source.index ^= uint32(1 + (seed >> 16) % 1e6);
        else if (what == 8) p.chunks[0].data[(seed >> 16) % p.chunks[0].data.length] ^= bytes1(uint8(1 + (seed >> 32) % 255));
        else if (what == 9) p.chunks[0].proof[(seed >> 16) % 5] = noise;
        else if (what == 10) p.node.dims[pick] = uint64(uint256(noise));
        else p.operands[pick].position = uint16(uint256(noise) % 65535) + 2;
        vm.prank(anyone);
        (bool done,) = address(levels).call(abi.encodeCall(levels.step, (address(stage), ID, _game().end, p)));
        assertFalse(done, "judged by another proof");
        assertPhase(AppealPhase.Step);
    }
}

/// @notice What an operator of a later segment, and a slot, read from before it, attacked.
contract AppealSourceLinksTest is AppealFixture {
    function _opened(uint256 tensor, uint64 element) private returns (StepProof memory) {
        _open(_disputed(tensor, tensors[tensor]));
        _toElement(element);
        return tensor == FOLD
            ? _withChunks(_stepProof(FOLD, _initial(element)), 5 * element, 5 * element + 1)
            : _withChunks(_stepProof(SUM, _initial(element)), 0, 1);
    }

    function test_source_segmentBefore_attacked() public {
        StepProof memory p = _opened(SUM, 2);
        SegmentOpening memory right = p.before;
        p.before = _segment(1); // the operator's own
        _stepRefused(p, AppealProofs.WrongSegment.selector);
        p.before.index = 0;
        _stepRefused(p, AppealProofs.SegmentNotInModel.selector);
        p.before = _segment(0);
        p.before.liveCount = 3;
        _stepRefused(p, AppealProofs.SegmentNotInModel.selector);
        p.before = _segment(0);
        p.before.liveListRoot = keccak256("made up");
        _stepRefused(p, AppealProofs.SegmentNotInModel.selector);
        p.before = _segment(0);
        p.before.proof = new bytes32[](2);
        _stepRefused(p, TraceHash.ProofLength.selector);
        p.before = right;
        _step(p);
        assertOutcome(AppealOutcome.Cleared);
    }

    function test_source_slotBefore_attacked() public {
        StepProof memory p = _opened(SUM, 2);
        bytes4 notListed = AppealProofs.ListEntryNotInModel.selector;
        p.operands[0].at.slot = 0; // where x is
        _stepRefused(p, notListed);
        p.operands[0].at.listProof = TraceTree.open(_listLeaves(0), 1, 0);
        _stepRefused(p, notListed);
        p.operands[0] = _operand(4, ops);
        p.operands[0].at.slot = 2;
        _stepRefused(p, AppealProofs.SlotOutside.selector);
        p.operands[0] = _operand(4, ops);
        p.operands[0].at.listProof = TraceTree.open(_listLeaves(1), 1, 1); // of another segment's list
        _stepRefused(p, notListed);
        p.operands[0].at.listProof = new bytes32[](33);
        _stepRefused(p, TraceHash.ProofLength.selector);
        p.operands[0] = _operand(4, ops);
        p.operands[0].at.proof = TraceTree.open(_lives(0), 1, 0); // of another slot
        _stepRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p.operands[0] = _operand(4, ops);
        p.operands[0].at.proof = TraceTree.open(_lives(1), 1, 1); // of another leaf
        _stepRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p.operands[0] = _operand(4, ops);
        _step(p);
        assertOutcome(AppealOutcome.Cleared);
    }

    /// In a later step the same segment reads the leaf before its own.
    function test_source_leafOfAnotherStep_reverts() public {
        Dispute memory d = _disputed(SUM, tensors[SUM]);
        d.leafIndex = 3;
        d.previousLeaf = keccak256("what the second step had there");
        _open(d);
        _toElement(2);
        _stepRefused(_withChunks(_stepProof(SUM, _initial(2)), 0, 1), AppealProofs.DigestNotInLeaf.selector);
        d = stage.dispute(ID);
        d.previousLeaf = TraceTree.root(_lives(0), 1);
        stage.put(ID, d);
        _step(_withChunks(_stepProof(SUM, _initial(2)), 0, 1));
        assertOutcome(AppealOutcome.Cleared);
    }

    function test_source_operatorOfTheSegment_attacked() public {
        StepProof memory p = _opened(FOLD, 1);
        p.operands[0].at.proof = TraceTree.open(ops, 1, 1);
        _stepRefused(p, AppealProofs.DigestNotInOps.selector);
        p.operands[0].at.proof = new bytes32[](0);
        _stepRefused(p, TraceHash.ProofLength.selector);
        p.operands[0] = _operand(2, ops);
        p.operands[0].chunkRoot = _chunkRoot(_wrongScan(0, 1).data);
        _stepRefused(p, AppealProofs.DigestNotInOps.selector);
        p.operands[0] = _operand(2, ops);
        _step(p);
        assertOutcome(AppealOutcome.Cleared);
    }

    /// Edges of a model that lies: to itself and forwards, to another step, to a second output, to a kind that there is not.
    function test_source_aModelThatLies_reverts() public {
        Source[5] memory sources =
            [Source(2, 0, 1, 0), Source(2, 1, 0, 0), Source(2, 0, 0, 1), Source(3, 0, 0, 0), Source(0, 1, 0, 0)];
        bytes4[5] memory why = [
            AppealProofs.NotBefore.selector,
            AppealProofs.NotCanonical.selector,
            AppealProofs.NotCanonical.selector,
            AppealProofs.NotCanonical.selector,
            AppealProofs.NotCanonical.selector
        ];
        StepProof memory p = _opened(FOLD, 1);
        for (uint256 i = 0; i < 5; i++) {
            bytes32[] memory leaves = _edgeLeaves();
            leaves[2] = sha256(abi.encodePacked(hex"0801", uint32(1), uint16(0), uint16(2), _source(sources[i])));
            model.edgesRoot = TraceTree.root(leaves, 3);
            stage.set(model, rules);
            p.operands[0].at.source = sources[i];
            p.operands[0].edgeProof = TraceTree.open(leaves, 3, 2);
            _stepRefused(p, why[i]);
        }
        // an operator of a segment before the first
        Dispute memory d = stage.dispute(ID);
        (d.firstNode, d.isolatedIndex) = (1, 0);
        stage.put(ID, d);
        p.operands[0].at.source = Source(2, 0, 0, 0);
        bytes32[] memory right = _edgeLeaves();
        model.edgesRoot = TraceTree.root(right, 3);
        stage.set(model, rules);
        p.operands[0].edgeProof = TraceTree.open(right, 3, 2);
        _stepRefused(p, AppealProofs.NotInput.selector);
    }

    // ---- slots

    function _slotRefused(SlotProof memory p, bytes4 why) private {
        _refused(anyone, abi.encodeCall(levels.resolveSlot, (address(stage), ID, _game().node, p)), why);
    }

    function test_slot_attacked() public {
        _open(_disputedSlot(0, 1, keccak256("not what fold gave")));
        SlotProof memory p = _slotProof(0, 1);
        p.digest = keccak256("not what fold gave");
        _slotRefused(p, AppealProofs.DigestNotInOps.selector);
        p = _slotProof(0, 0); // the entry of another slot
        _slotRefused(p, AppealProofs.ListEntryNotInModel.selector);
        p = _slotProof(0, 1);
        p.at.source = Source(2, 0, 0, 0);
        _slotRefused(p, AppealProofs.ListEntryNotInModel.selector);
        p = _slotProof(0, 1);
        p.segment = _segment(1);
        _slotRefused(p, AppealProofs.WrongSegment.selector);
        p.segment.index = 0;
        _slotRefused(p, AppealProofs.SegmentNotInModel.selector);
        p = _slotProof(0, 1);
        bytes32 old = keccak256("old");
        bytes memory stale = abi.encodeCall(levels.resolveSlot, (address(stage), ID, old, p));
        _refused(anyone, stale, AppealLevels.OtherClaim.selector);
        _resolve(p);
        assertOutcome(AppealOutcome.Guilty);
    }

    function test_slot_fromBefore_attacked() public {
        _open(_disputedSlot(1, 1, _digest(tensors[FOLD])));
        SlotProof memory p = _slotProof(1, 1);
        p.before = _segment(1);
        _slotRefused(p, AppealProofs.WrongSegment.selector);
        p = _slotProof(1, 1);
        p.digest = keccak256("another");
        _slotRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p = _slotProof(1, 1);
        p.at.slot = 0;
        _slotRefused(p, AppealProofs.ListEntryNotInModel.selector);
        _resolve(_slotProof(1, 1));
        assertOutcome(AppealOutcome.Cleared);
    }

    /// A live list that names a weight, or an operator after the segment.
    function test_slot_aModelThatLies_reverts() public {
        Source[2] memory sources = [Source(1, 0, 0, 0), Source(2, 0, 3, 0)];
        bytes4[2] memory why = [AppealProofs.WeightInSlot.selector, AppealProofs.NotBefore.selector];
        for (uint256 i = 0; i < 2; i++) {
            bytes32[] memory list = _listLeaves(0);
            list[0] = sha256(abi.encodePacked(hex"0804", uint32(0), _source(sources[i])));
            SlotProof memory p = _slotProof(0, 0);
            p.segment.liveListRoot = TraceTree.root(list, 1);
            p.listProof = TraceTree.open(list, 1, 0);
            p.at.source = sources[i];
            bytes32[] memory table_ = _segmentLeaves();
            table_[0] = sha256(abi.encodePacked(hex"04", uint32(0), uint32(0), uint32(2), uint32(2), p.segment.liveListRoot));
            p.segment.proof = TraceTree.open(table_, 1, 0);
            model.segmentsRoot = TraceTree.root(table_, 1);
            stage.set(model, rules);
            uint256 before = vm.snapshotState();
            _open(_disputedSlot(0, 0, keccak256("copy")));
            _slotRefused(p, why[i]);
            vm.revertToState(before);
        }
    }
}
