// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run, Shape} from "../utils/GameTrace.sol";
import {StopLeaf} from "../utils/StopLeaf.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {Dispute, DisputeState, ModelHeader} from "../../src/interfaces/Types.sol";

/// @notice Gas of every action of the court, whole transactions (run with `--isolate`), each under its budget.
contract CourtGasTest is CourtFixture {
    Run private wrong;
    Run private right;
    uint256 private taskId;
    uint256 private id;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        taskId = _committedRun(alice, wrong);
    }

    /// @dev The last call, on record and under its budget.
    function _spent(string memory name, uint256 budget) private returns (uint256 gas) {
        gas = vm.snapshotGasLastCall("court", name);
        assertLe(gas, budget, name);
    }

    function _open() private {
        id = _challenge(taskId, watcher, right);
    }

    function test_gas_wholeDispute() public {
        bytes32 root = GameTrace.traceRoot(right, shape);
        _commitChallenge(taskId, watcher, root);
        _spent("commit_challenge", 200_000);
        _toReveal(taskId);
        id = _reveal(taskId, watcher, root);
        _spent("reveal_challenge", 340_000);
        _game();
        _ruling();
        _finalize(id);
        _spent("finalize_guilty", 630_000);
        assertDispute(id, DisputeState.Upheld);
    }

    function _game() private {
        _move(id, wrong, right);
        _spent("reveal_row", 80_000);
        _move(id, wrong, right);
        _spent("pick", 60_000);
        _move(id, wrong, right);
        _move(id, wrong, right);
        _move(id, wrong, right);
        _move(id, wrong, right);
        _spent("pick_leaf", 105_000);
        assertDispute(id, DisputeState.SegmentWanted);
        _move(id, wrong, right);
        _spent("post_segment", 215_000);
        _move(id, wrong, right);
        _spent("pick_segment", 60_000);
        _move(id, wrong, right);
        _spent("reveal_row_short", 50_000);
        _move(id, wrong, right);
        _spent("pick_operator", 60_000);
        assertDispute(id, DisputeState.Isolated);
    }

    function _ruling() private {
        _publish(beacon.roundAfter(theCourt.dispute(id).isolatedAt));
        theCourt.drawReferee(id);
        _spent("draw_referee", 350_000);
        _rule(id, wrong);
        _spent("rule", 80_000);
    }

    function test_gas_cleared() public {
        uint256 good = _committedRun(carol, right);
        id = _challenge(good, watcher, wrong);
        _play(id, right, wrong);
        _drawReferee(id);
        _rule(id, right);
        _finalize(id);
        _spent("finalize_cleared", 205_000);
        assertDispute(id, DisputeState.Cleared);
    }

    function test_gas_isolateDirect() public {
        _open();
        (, uint256 key) = makeKey("alice");
        ICourt.IsolateDirect memory p = _direct(key);
        vm.prank(watcher);
        theCourt.isolateDirect(id, p);
        _spent("isolate_direct", 260_000);
        assertDispute(id, DisputeState.Isolated);
    }

    function _direct(uint256 key) private view returns (ICourt.IsolateDirect memory p) {
        bytes32[] memory leaves = GameTrace.level1(wrong, shape);
        bytes32[] memory ops = GameTrace.ops(wrong, shape, 4);
        (p.leafIndex, p.leaf, p.index, p.claimedDigest) = (4, leaves[4], 20, ops[20]);
        p.leafProof = TraceTree.open(leaves, shape.traceHeight, 4);
        (p.previousLeaf, p.previousProof) = _previous(wrong, 4);
        p.segment = GameTrace.segment(shape, 0);
        p.opsRoot = TraceTree.root(ops, shape.opsHeight);
        p.claimedProof = TraceTree.open(ops, shape.opsHeight, 20);
        p.signature = _signFine(key, taskId, p.leafIndex, p.opsRoot);
    }

    function test_gas_timeouts() public {
        _open();
        uint256 before = vm.snapshotState();
        _move(id, wrong, right);
        vm.warp(block.timestamp + 2 hours);
        theCourt.claimTimeout(id);
        _spent("claim_timeout_challenger", 120_000);
        vm.revertToState(before);
        vm.warp(block.timestamp + 2 hours);
        theCourt.claimTimeout(id);
        _spent("claim_timeout_provider", 570_000);
    }

    function test_gas_referee() public {
        _open();
        _play(id, wrong, right);
        address referee = _drawReferee(id);
        uint256 before = vm.snapshotState();
        vm.warp(theCourt.dispute(id).refereeDeadline + 1);
        theCourt.refereeTimeout(id);
        _spent("referee_timeout", 160_000);
        _publish(beacon.roundAfter(theCourt.dispute(id).isolatedAt));
        theCourt.drawReferee(id);
        _spent("redraw_referee", 380_000);
        vm.revertToState(before);
        bytes32[] memory ops = GameTrace.ops(wrong, shape, 4);
        bytes32[] memory proof = TraceTree.open(ops, shape.opsHeight, 5);
        vm.prank(referee);
        theCourt.ruleEarlier(id, 5, ops[5], "own", proof);
        _spent("rule_earlier", 490_000);
    }

    function test_gas_otherEnds() public {
        _commitChallenge(taskId, bob, GameTrace.traceRoot(right, shape));
        _commitChallenge(taskId, requester, GameTrace.traceRoot(right, shape));
        _open();
        uint256 moot = _reveal(taskId, bob, GameTrace.traceRoot(right, shape));
        _play(id, wrong, right);
        _drawReferee(id);
        _rule(id, wrong);
        uint256 before = vm.snapshotState();
        vm.prank(alice);
        theCourt.appeal(id);
        _spent("appeal_void", 280_000);
        vm.revertToState(before);
        _finalize(id);
        theCourt.closeMoot(moot);
        _spent("close_moot", 100_000);
        theCourt.reclaimChallenge(taskId, 0, requester);
        _spent("reclaim_challenge", 55_000);
    }
}

/// @notice A level of 4,096 leaves, none of them padding: three rounds.
contract CourtLevelGasTest is CourtFixture {
    uint256 private constant LEAVES = 4_096;
    uint8 private constant HEIGHT = 12;

    bytes32[][3] private levels; // 0, 4 and 8 levels above the leaves

    function _shape() internal view override returns (Shape memory s) {
        s = super._shape();
        s.traceHeight = HEIGHT;
    }

    function _header() internal view override returns (ModelHeader memory) {
        return _headerOf(shape, uint32(LEAVES / 4));
    }

    function test_gas_levelOf4096_inThreeRounds_underBudget() public {
        uint256 taskId = _committedTree();
        uint256 id = _challenge(taskId, watcher, _right(2));
        uint256 total;
        uint256 rounds;
        for (; theCourt.dispute(id).state == DisputeState.Level1; rounds++) {
            total += _round(id, rounds, 0xabc);
        }
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.leafIndex, 0xabc);
        assertEq(d.leaf, levels[0][0xabc]);
        vm.snapshotValue("court", "level_4096_rounds", rounds);
        vm.snapshotValue("court", "level_4096_total", total);
        assertLe(rounds, 3, "rounds of reveal and pick");
        assertLe(total, 400_000, "reveals and picks of a level");
    }

    function _round(uint256 id, uint256 round, uint256 leaf) private returns (uint256 gas) {
        Dispute memory d = theCourt.dispute(id);
        bytes32[] memory row = new bytes32[](16);
        for (uint256 i = 0; i < 16; i++) {
            row[i] = levels[2 - round][16 * d.index + i];
        }
        vm.prank(alice);
        theCourt.revealRow(id, d.node, row);
        gas = vm.snapshotGasLastCall("court", string.concat("level_4096_reveal_", vm.toString(round + 1)));
        uint8 child = uint8((leaf >> (4 * (2 - round))) & 15);
        vm.prank(watcher);
        theCourt.pick(id, row, child);
        gas += vm.snapshotGasLastCall("court", string.concat("level_4096_pick_", vm.toString(round + 1)));
    }

    function _committedTree() private returns (uint256 taskId) {
        bytes32[] memory leaves = new bytes32[](LEAVES);
        for (uint256 i = 0; i < LEAVES; i++) {
            leaves[i] = keccak256(abi.encode("leaf", i));
        }
        leaves[LEAVES - 1] = StopLeaf.leaf("last", header.liveHeight);
        for (uint256 g = 0; g < 3; g++) {
            levels[g] = TraceTree.level(leaves, HEIGHT, 4 * g);
        }
        taskId = _post();
        _claim(taskId, alice);
        bytes32 root = TraceTree.root(leaves, HEIGHT);
        bytes32[] memory proof = TraceTree.open(leaves, HEIGHT, LEAVES - 1);
        vm.prank(alice);
        market.commit(taskId, uint32(LEAVES / 4), leaves[LEAVES - 1], root, proof, StopLeaf.proof("last", header.liveHeight));
    }
}
