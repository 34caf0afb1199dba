// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealFixture} from "../utils/AppealFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {AppealProofs} from "../../src/appeal/AppealProofs.sol";
import {AppealOutcome, SlotProof, Source, StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute, SegmentOpening} from "../../src/interfaces/Types.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

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

    /// @dev A dispute in the first segment of the second step, whose input is slot 0 of what the first step left.
    function _laterStep(Dispute memory d) private view returns (Dispute memory) {
        d.leafIndex = 2;
        d.previousLeaf = TraceTree.root(_outputs(), 1);
        return d;
    }

    function _outputs() private view returns (bytes32[] memory outputs) {
        outputs = new bytes32[](2);
        (outputs[0], outputs[1]) = (_digest(tensors[X]), _digest(tensors[FOLD]));
    }

    function test_source_outputOfTheStepBefore_attacked() public {
        Dispute memory d = _laterStep(_disputed(SCAN, tensors[SCAN]));
        _open(d);
        _toElement(3);
        StepProof memory p = _withChunks(_stepProof(SCAN, _initial(3)), 0, 1);
        p.operands[0].at.proof = TraceTree.open(_lives(-1), 1, 0); // what was before the first step
        _stepRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p.operands[0].at.slot = 1; // another output
        p.operands[0].at.proof = TraceTree.open(_outputs(), 1, 1);
        _stepRefused(p, AppealProofs.WrongSlot.selector);
        p.operands[0].at.slot = 0;
        p.operands[0].at.proof = TraceTree.open(_outputs(), 1, 0);
        p.operands[0].at.listProof = new bytes32[](33); // no list is asked
        p.before = _segment(1);
        d.previousLeaf = TraceTree.root(_lives(1), 1); // other outputs
        stage.put(ID, d);
        _stepRefused(p, AppealProofs.DigestNotInLeaf.selector);
        stage.put(ID, _laterStep(d));
        _step(p);
        assertOutcome(AppealOutcome.Cleared);
    }

    /// An operator that is not there yet: the source is a node, and before a step there are inputs only.
    function test_source_nodeBeforeAStep_reverts() public {
        Dispute memory d = _laterStep(_disputed(FOLD, tensors[FOLD]));
        _open(d);
        _toElement(1);
        (d.firstNode, d.isolatedIndex) = (1, 0);
        stage.put(ID, d);
        StepProof memory p = _withChunks(_stepProof(FOLD, _initial(1)), 5, 6);
        p.operands[0].at.proof = TraceTree.open(_outputs(), 1, 0);
        _stepRefused(p, AppealProofs.NotInput.selector);
    }

    function test_slot_outputOfTheStepBefore() public {
        _open(_laterStep(_disputedSlot(0, 0, _digest(tensors[X]))));
        SlotProof memory p = _slotProof(0, 0);
        _slotRefused(p, AppealProofs.DigestNotInLeaf.selector);
        p.at.proof = TraceTree.open(_outputs(), 1, 0);
        _resolve(p);
        assertOutcome(AppealOutcome.Cleared);
        _open(_laterStep(_disputedSlot(0, 0, keccak256("another"))));
        _resolve(p);
        assertOutcome(AppealOutcome.Guilty);
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
