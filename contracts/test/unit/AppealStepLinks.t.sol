// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealFixture} from "../utils/AppealFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {AppealProofs} from "../../src/appeal/AppealProofs.sol";
import {AppealOutcome, AppealPhase, ChunkProof, OperandProof, Source, StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute} from "../../src/interfaces/Types.sol";
import {TensorShape} from "../../src/lib/TensorShape.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";
import {Environments} from "../../src/step/Environments.sol";

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
        (p.program, p.programProof) = (_program(5), TraceTree.open(_programLeaves(), 6, 5));
        _stepRefused(p, notThere);
        p.programProof = honest.programProof;
        _stepRefused(p, notThere);
        p.program = abi.encodePacked(honest.program, hex"0100000000000000");
        _stepRefused(p, notThere);
        p.program = honest.program;
        p.programProof = new bytes32[](5);
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
        p.operands[0].dtype = 14;
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
        else if (what == 2) p.programProof[(seed >> 16) % 6] = noise;
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
