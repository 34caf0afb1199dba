// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {StageCourt} from "../utils/AppealFixture.sol";
import {DefaultParams} from "../utils/DefaultParams.sol";
import {Test} from "../utils/Test.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {AppealOutcome, ChunkProof, NodeFacts, OperandProof, Source, StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute, ModelHeader} from "../../src/interfaces/Types.sol";
import {StepMachine} from "../../src/step/StepMachine.sol";

/// @notice The real machine with the programs of numerics version 1, as spec/vectors has them: Relu of an input of four
/// floats, and the sum of that and a weight of one.
contract AppealTableTest is Test {
    uint256 private constant ID = 1;
    uint32 private constant ONE = 0x3f800000;
    uint32 private constant HALF = 0x3f000000;
    uint32 private constant NAN = 0x7fc00000;
    uint16 private constant ADD = 4;
    uint16 private constant RELU = 8;

    string private json;
    bytes32[] private programs;
    // of the ids 1 to 41
    uint256 private constant PROGRAMS = 44;

    mapping(uint16 => bytes) private codes;
    AppealLevels private levels;
    StageCourt private stage;
    ModelHeader private model;
    bytes private x;
    bytes private w;
    bytes[2] private results; // of the two operators
    bytes32[] private ops;
    address private provider = address(0x11);
    address private challenger = address(0x12);

    function setUp() public {
        vm.warp(1_700_000_000);
        json = vm.readFile("../spec/vectors/numerics/programs.json");
        programs = new bytes32[](PROGRAMS + 1);
        for (uint256 i = 0; i < PROGRAMS; i++) {
            string memory at = string.concat(".programs[", vm.toString(i), "]");
            uint16 id = uint16(vm.parseJsonUint(json, string.concat(at, ".id")));
            codes[id] = vm.parseJsonBytes(json, string.concat(at, ".code"));
            programs[id] = sha256(abi.encodePacked(hex"0870", id, codes[id]));
        }
        uint32[] memory versions = new uint32[](1);
        bytes32[] memory roots = new bytes32[](1);
        (versions[0], roots[0]) = (1, vm.parseJsonBytes32(json, ".root"));
        levels = new AppealLevels(new StepMachine(), versions, roots);
        x = _floats(ONE, 0xc0000000, 0, NAN);
        w = abi.encodePacked(_little(HALF));
        results[0] = _floats(ONE, 0, 0, NAN);
        results[1] = _floats(0x3fc00000, HALF, HALF, NAN);
        model.numericsVersion = 1;
        model.nodeCount = 2;
        model.commitPoints = 1;
        model.opsHeight = 1;
        model.nodesRoot = TraceTree.root(_nodeLeaves(), 1);
        model.edgesRoot = TraceTree.root(_edgeLeaves(), 2);
        model.weightsRoot = sha256(abi.encodePacked(hex"0802", uint32(0), _digest(_dims(1), w)));
        stage = new StageCourt();
        stage.set(model, DefaultParams.get().court);
    }

    function test_tableRoot_isThatOfThePrograms() public view {
        assertEq(TraceTree.root(programs, 6), levels.tableRoot(1));
    }

    function test_rightElements_areCleared() public {
        for (uint256 node = 0; node < 2; node++) {
            for (uint16 i = 0; i < 4; i++) {
                assertEq(uint256(_judge(node, results[node], i)), uint256(AppealOutcome.Cleared));
            }
        }
    }

    function test_wrongElements_areGuilty() public {
        // a rounding, a sign of zero, a number for a NaN, and a NaN that is not the canonical one
        uint32[4] memory relus = [0x3f800001, 0x80000000, ONE, 0x7fc00001];
        uint32[4] memory sums = [0x3fbfffff, 0xbf000000, 0x3f000001, 0xffc00000];
        for (uint256 node = 0; node < 2; node++) {
            for (uint16 i = 0; i < 4; i++) {
                bytes memory claim = results[node];
                bytes4 wrong = _little(node == 0 ? relus[i] : sums[i]);
                for (uint256 k = 0; k < 4; k++) {
                    claim[4 * i + k] = wrong[k];
                }
                assertEq(uint256(_judge(node, claim, i)), uint256(AppealOutcome.Guilty));
            }
        }
    }

    // ---- one game

    function _judge(uint256 node, bytes memory claim, uint16 element) private returns (AppealOutcome outcome) {
        uint256 before = vm.snapshotState();
        Dispute memory d;
        (d.provider, d.challenger, d.opCount, d.isolatedIndex) = (provider, challenger, 2, uint32(node));
        d.claimedDigest = _digest(_dims(4), claim);
        ops = new bytes32[](2);
        (ops[0], ops[1]) = (_digest(_dims(4), results[0]), _digest(_dims(4), results[1]));
        ops[node] = d.claimedDigest;
        d.opsRoot = TraceTree.root(ops, 1);
        d.previousLeaf = _digest(_dims(4), x);
        stage.put(ID, d);
        stage.handOver(levels, ID, challenger);
        levels.openTensor(
            address(stage),
            ID,
            d.claimedDigest,
            _node(node),
            TraceTree.open(_nodeLeaves(), 1, node),
            _chunkRoot(claim),
            new bytes32[](0),
            claim
        );
        vm.prank(challenger);
        levels.pickElement(address(stage), ID, claim, element);
        levels.step(address(stage), ID, levels.game(address(stage), ID).end, _proof(node, element));
        outcome = levels.outcome(address(stage), ID);
        vm.revertToState(before);
    }

    function _proof(uint256 node, uint64 element) private view returns (StepProof memory p) {
        p.machine = abi.encodePacked(uint32(0), element, new bytes(496));
        p.node = _node(node);
        p.program = codes[p.node.op];
        p.programProof = TraceTree.open(programs, 6, p.node.op);
        uint256 count = node + 1;
        p.operands = new OperandProof[](count);
        p.chunks = new ChunkProof[](count);
        for (uint16 i = 0; i < count; i++) {
            uint256 edge = node == 0 ? 0 : 1 + i;
            OperandProof memory o = p.operands[i];
            (o.position, o.count, o.edgeIndex) = (i, uint16(count), uint32(edge));
            o.edgeProof = TraceTree.open(_edgeLeaves(), 2, edge);
            o.at.source = _source(edge);
            bytes memory data = edge == 0 ? x : edge == 1 ? results[0] : w;
            if (edge == 1) o.at.proof = TraceTree.open(ops, 1, 0);
            (o.dtype, o.dims, o.chunkRoot) = (1, _dims(uint64(data.length / 4)), _chunkRoot(data));
            (p.chunks[i].position, p.chunks[i].data) = (i, data);
        }
    }

    // ---- the model

    function _node(uint256 node) private pure returns (NodeFacts memory n) {
        (n.op, n.dtype, n.dims) = (node == 0 ? RELU : ADD, 1, _dims(4));
    }

    function _nodeLeaves() private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2);
        for (uint256 i = 0; i < 2; i++) {
            NodeFacts memory n = _node(i);
            leaves[i] = sha256(abi.encodePacked(hex"06", n.op, uint16(0), n.dtype, uint8(1), n.dims[0]));
        }
    }

    function _source(uint256 edge) private pure returns (Source memory) {
        return edge == 0 ? Source(0, 0, 0, 0) : edge == 1 ? Source(2, 0, 0, 0) : Source(1, 0, 0, 0);
    }

    function _edgeLeaves() private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](3);
        for (uint256 edge = 0; edge < 3; edge++) {
            Source memory s = _source(edge);
            bytes memory place = edge == 0
                ? abi.encodePacked(uint32(0), uint16(0), uint16(1))
                : abi.encodePacked(uint32(1), uint16(edge - 1), uint16(2));
            leaves[edge] = sha256(abi.encodePacked(hex"0801", place, s.kind, s.stepOffset, s.index, s.port));
        }
    }

    function _digest(uint64[] memory dims, bytes memory data) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"020101", uint8(1), dims[0], _chunkRoot(data)));
    }

    function _chunkRoot(bytes memory data) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", data));
    }

    function _dims(uint64 a) private pure returns (uint64[] memory dims) {
        dims = new uint64[](1);
        dims[0] = a;
    }

    function _floats(uint32 a, uint32 b, uint32 c, uint32 d) private pure returns (bytes memory) {
        return abi.encodePacked(_little(a), _little(b), _little(c), _little(d));
    }

    function _little(uint32 v) private pure returns (bytes4) {
        return bytes4((v << 24) | ((v & 0xff00) << 8) | ((v >> 8) & 0xff00) | (v >> 24));
    }
}
