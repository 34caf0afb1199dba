// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealModel} from "./AppealModel.sol";
import {TraceTree} from "./TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {
    AppealGame,
    AppealOutcome,
    AppealPhase,
    ChunkProof,
    OperandProof,
    SlotProof,
    StepProof
} from "../../src/interfaces/IAppealLevels.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {Dispute, Side} from "../../src/interfaces/Types.sol";
import {StepMachine} from "../../src/step/StepMachine.sol";

/// @notice Players of both sides of an appeal about the tests' model: dispute `ID` of the court `at`, in which the provider
/// claims `claim`. The real machine executes.
abstract contract AppealPlayers is AppealModel {
    address internal constant STRANGER = address(0x57a);
    uint64 internal constant LONG = 2100; // an element of `scan` whose run is cut twice: 83 batches

    uint256 internal ID = 7;
    address internal at;
    StepMachine internal machine;
    AppealLevels internal levels;

    /// @dev What the provider claims of the isolated operator; its operators' digests.
    Tensor internal claim;
    bytes32[] internal ops;

    function _deployLevels() internal {
        _buildModel();
        machine = new StepMachine();
        uint32[] memory versions = new uint32[](1);
        bytes32[] memory roots = new bytes32[](1);
        (versions[0], roots[0]) = (1, table);
        levels = new AppealLevels(machine, versions, roots);
    }

    /// @dev `scan` with one wrong element.
    function _wrongScan(uint64 element, uint64 value) internal view returns (Tensor memory) {
        return _altered(SCAN, element, value);
    }

    // ---- moves

    function _game() internal view returns (AppealGame memory) {
        return levels.game(at, ID);
    }

    function _openTensor() internal {
        (bytes32 root, bytes32[] memory row, bytes memory chunk) = _opening();
        uint256 tensor = _isolated();
        vm.prank(STRANGER);
        levels.openTensor(at, ID, _game().node, _node(tensor), _nodeProof(tensor), root, row, chunk);
    }

    function _opening() internal view returns (bytes32 root, bytes32[] memory row, bytes memory chunk) {
        root = _chunkRoot(claim.data);
        uint8 height = _chunkHeight(claim.data);
        if (claim.data.length > 1024) row = TraceTree.level(_chunkLeaves(claim.data), height, height < 4 ? 0 : height - 4);
        else chunk = claim.data;
    }

    function _nodeProof(uint256 tensor) internal view returns (bytes32[] memory) {
        return TraceTree.open(_nodeLeaves(), 2, tensor - SCAN);
    }

    function _isolated() internal view returns (uint256) {
        Dispute memory d = ICourt(at).dispute(ID);
        return SCAN + d.firstNode + d.isolatedIndex;
    }

    function _chunkRow(AppealGame memory g) internal view returns (bytes32[] memory row) {
        uint256 down = g.height < 4 ? g.height : 4;
        bytes32[] memory all = TraceTree.level(_chunkLeaves(claim.data), _chunkHeight(claim.data), g.height - down);
        row = new bytes32[](1 << down);
        for (uint256 i = 0; i < row.length; i++) {
            row[i] = all[(uint256(g.index) << down) + i];
        }
    }

    function _pickChunk(uint8 child) internal {
        AppealGame memory g = _game();
        bytes32[] memory row = _chunkRow(g);
        vm.prank(g.accuser);
        levels.pickChunk(at, ID, row, child);
    }

    function _pickElement(uint256 within) internal {
        AppealGame memory g = _game();
        bytes memory chunk = _chunk(claim.data, g.index);
        vm.prank(g.accuser);
        levels.pickElement(at, ID, chunk, uint16(within));
    }

    /// @dev Both sides down to this element, wherever they are.
    function _toElement(uint256 element) internal {
        uint256 perChunk = 1024 / (claim.dtype == I32 ? 4 : 8);
        uint256 chunk = element / perChunk;
        for (AppealPhase p = _game().phase; p != AppealPhase.States; p = _game().phase) {
            skip(1);
            AppealGame memory g = _game();
            if (p == AppealPhase.Tensor) _openTensor();
            else if (p == AppealPhase.Row) levels.revealRow(at, ID, g.node, _chunkRow(g));
            else if (p == AppealPhase.PickChunk) _pickChunk(_childTowards(g, chunk));
            else if (p == AppealPhase.Chunk) levels.revealChunk(at, ID, g.node, _chunk(claim.data, g.index));
            else _pickElement(element % perChunk);
        }
    }

    function _childTowards(AppealGame memory g, uint256 chunk) internal pure returns (uint8) {
        uint256 down = g.height < 4 ? g.height : 4;
        return uint8((chunk >> (g.height - down)) & ((1 << down) - 1));
    }

    /// @dev The states inside a run, true up to batch `lieFrom`, made up from there on.
    function _states(bytes[] memory run, AppealGame memory g, uint64 batches, uint256 lieFrom)
        internal
        pure
        returns (bytes32[] memory out)
    {
        uint256 parts = batches < 32 ? batches : 32;
        out = new bytes32[](parts - 1);
        for (uint256 i = 1; i < parts; i++) {
            uint256 batch = g.firstBatch + i * batches / parts;
            out[i - 1] = batch >= lieFrom
                ? keccak256(abi.encode("lie", batch))
                : keccak256(run[batch < run.length ? batch : run.length - 1]);
        }
    }

    function _revealStates(bytes[] memory run, uint64 batches, uint256 lieFrom) internal returns (bytes32[] memory states) {
        AppealGame memory g = _game();
        states = _states(run, g, batches, lieFrom);
        vm.prank(g.defender);
        levels.revealStates(at, ID, g.end, batches, states);
    }

    /// @dev The leftmost part whose end is not the true run's.
    function _pickState(bytes[] memory run, bytes32[] memory states) internal {
        AppealGame memory g = _game();
        uint256 parts = states.length + 1;
        uint256 part = 0;
        for (; part < parts - 1; part++) {
            uint256 batch = g.firstBatch + (part + 1) * g.batches / parts;
            if (states[part] != keccak256(run[batch < run.length ? batch : run.length - 1])) break;
        }
        vm.prank(g.accuser);
        levels.pickState(at, ID, states, uint8(part));
    }

    /// @dev From the chosen element of `scan` to Step, the defender lying from batch `lieFrom` on.
    function _toStep(uint64 element, uint64 batches, uint256 lieFrom) internal returns (bytes[] memory run) {
        run = _run(element);
        while (_game().phase != AppealPhase.Step) {
            skip(1);
            AppealGame memory g = _game();
            bytes32[] memory states = _revealStates(run, g.batches == 0 ? batches : g.batches, lieFrom);
            skip(1);
            if (_game().phase == AppealPhase.PickState) _pickState(run, states);
        }
    }

    // ---- the executed step

    function _stepProof(uint256 tensor, bytes memory preimage) internal view returns (StepProof memory p) {
        p.machine = preimage;
        p.node = _node(tensor);
        p.program = _program(p.node.op);
        p.programProof = TraceTree.open(_programLeaves(), 6, p.node.op);
        uint256 edge = 2 * (tensor - SCAN);
        p.operands = new OperandProof[](tensor == NONE ? 1 : 2);
        for (uint256 i = 0; i < p.operands.length; i++) {
            p.operands[i] = _operand(edge + i, ops);
        }
        if (tensor >= SUM) p.before = _segment(0);
    }

    /// @dev With the chunks [from, to) of input 0 and the only one of input 1.
    function _withChunks(StepProof memory p, uint256 from, uint256 to) internal view returns (StepProof memory) {
        p.chunks = new ChunkProof[](to - from + 1);
        for (uint256 i = from; i < to; i++) {
            p.chunks[i - from] = _chunkProof(p, 0, i);
        }
        p.chunks[to - from] = _chunkProof(p, 1, 0);
        return p;
    }

    function _chunkProof(StepProof memory p, uint16 position, uint256 index) internal view returns (ChunkProof memory c) {
        bytes memory data = tensors[_tensorAt(p.operands[position].at.source)].data;
        c.position = position;
        c.index = uint64(index);
        c.data = _chunk(data, index);
        c.proof = TraceTree.open(_chunkLeaves(data), _chunkHeight(data), index);
    }

    /// @dev The proof of batch `batch` of an element of `scan`.
    function _scanStep(bytes[] memory run, uint256 batch) internal view returns (StepProof memory p) {
        p = _stepProof(SCAN, run[batch < run.length ? batch : run.length - 1]);
        uint256 first = 128 * batch / 5 * 8 / 1024;
        uint256 last = (128 * (batch + 1) / 5 + 1) * 8 / 1024;
        if (last > 17) last = 17;
        return first > 17 ? p : _withChunks(p, first, last + 1);
    }

    function _step(StepProof memory p) internal {
        bytes32 end = _game().end;
        vm.prank(STRANGER);
        levels.step(at, ID, end, p);
    }

    // ---- slots

    function _slotProof(uint256 segment, uint32 slot) internal view returns (SlotProof memory p) {
        p.segment = _segment(segment);
        p.listProof = TraceTree.open(_listLeaves(segment), 1, slot);
        uint256 tensor;
        (p.at.source, tensor) = _live(segment, slot);
        _openSource(p.at, segment, ops);
        p.digest = _digest(tensors[tensor]);
        if (segment == 1) p.before = _segment(0);
    }

    function _resolve(SlotProof memory p) internal {
        bytes32 claimed = _game().node;
        vm.prank(STRANGER);
        levels.resolveSlot(at, ID, claimed, p);
    }

    // ---- checks

    function assertPhase(AppealPhase wanted) internal view {
        assertEq(uint256(_game().phase), uint256(wanted), "phase");
    }

    function assertOutcome(AppealOutcome wanted) internal view {
        assertEq(uint256(levels.outcome(at, ID)), uint256(wanted), "outcome");
        assertTrue((_game().phase == AppealPhase.Ended) == (wanted != AppealOutcome.Pending), "ended with an outcome");
    }

    function _timeout() internal {
        AppealGame memory g = _game();
        vm.warp(g.turnStartedAt + (g.turn == Side.Provider ? g.defenderClock : g.accuserClock) + 1);
        vm.prank(STRANGER);
        levels.claimTimeout(at, ID);
    }
}
