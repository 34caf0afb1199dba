// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {GameTrace, Run, Shape} from "./GameTrace.sol";
import {MarketFixture} from "./MarketFixture.sol";
import {TraceTree} from "./TraceTree.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {Court} from "../../src/court/Court.sol";
import {Audit, ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, ModelHeader, SegmentOpening, Side, Task} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice The market's fixture with the real court and audits, referees in the pool, and players of the game.
abstract contract CourtFixture is MarketFixture {
    bytes32 internal constant SALT = keccak256("salt of a commitment");
    uint8 internal constant MAX_MOVES = 60;

    Court internal theCourt;
    Audits internal theAudits;
    Shape internal shape;
    address internal watcher;
    address internal anyone = address(0xa17);

    function setUp() public virtual override {
        shape = _shape();
        super.setUp();
        watcher = _funded("watcher");
        _join(bob);
        _join(carol);
        _join(_provider("dora", 1_000 * UNIT, 8));
        skip(1);
    }

    function _placeCourt(uint256 nonce) internal view override returns (address, address) {
        return (vm.computeCreateAddress(address(this), nonce), vm.computeCreateAddress(address(this), nonce + 1));
    }

    function _deployCourt() internal virtual override {
        theCourt = new Court(system);
        theAudits = new Audits(system);
    }

    /// @dev Four segments, of more and of fewer operators than a row.
    function _shape() internal view virtual returns (Shape memory s) {
        s.traceHeight = 9;
        s.opsHeight = 6;
        s.liveHeight = 2;
        s.ops = new uint32[](4);
        (s.ops[0], s.ops[1], s.ops[2], s.ops[3]) = (40, 17, 1, 33);
        s.lives = new uint32[](4);
        (s.lives[0], s.lives[1], s.lives[2], s.lives[3]) = (3, 1, 4, 2);
    }

    function _header() internal view virtual override returns (ModelHeader memory h) {
        return _headerOf(shape, 100);
    }

    function _headerOf(Shape memory s, uint32 maxSteps) internal view returns (ModelHeader memory h) {
        h = super._header();
        h.nodeCount = GameTrace.nodeCount(s);
        h.commitPoints = uint32(s.ops.length);
        h.maxSteps = maxSteps;
        h.traceHeight = s.traceHeight;
        h.opsHeight = s.opsHeight;
        h.liveHeight = s.liveHeight;
        h.segmentsRoot = GameTrace.segmentsRoot(s);
    }

    function _join(address provider) internal virtual {
        vm.prank(provider);
        pool.join(modelId);
    }

    function _courtParams() internal view returns (CourtParams memory) {
        return parameters.courtAt(parameters.version());
    }

    // ---- runs

    function _right(uint32 steps) internal pure returns (Run memory r) {
        r.steps = steps;
    }

    /// @dev Two steps, wrong from operator 20 of the first segment of step 1 on.
    function _wrong() internal pure returns (Run memory) {
        return Run({steps: 2, salt: 1, leaf: 4, live: false, index: 20});
    }

    // ---- towards a dispute

    function _committedRun(address provider, Run memory run) internal returns (uint256 taskId) {
        taskId = _post();
        _claim(taskId, provider);
        _commitRun(taskId, provider, run);
    }

    function _commitRun(uint256 taskId, address provider, Run memory run) internal {
        bytes32[] memory leaves = GameTrace.level1(run, shape);
        uint256 last = leaves.length - 1;
        bytes32 root = TraceTree.root(leaves, shape.traceHeight);
        bytes32[] memory proof = TraceTree.open(leaves, shape.traceHeight, last);
        bytes32[] memory stop = GameTrace.stopProof(run, shape);
        vm.prank(provider);
        market.commit(taskId, run.steps, leaves[last], root, proof, stop);
    }

    function _commitment(uint256 taskId, address challenger, bytes32 ownRoot) internal view returns (bytes32) {
        uint8 attempt = market.task(taskId).attempt;
        return keccak256(abi.encode(block.chainid, address(court), challenger, taskId, attempt, ownRoot, SALT));
    }

    function _commitChallenge(uint256 taskId, address challenger, bytes32 ownRoot) internal {
        bytes32 commitment = _commitment(taskId, challenger, ownRoot);
        uint8 attempt = market.task(taskId).attempt;
        vm.prank(challenger);
        theCourt.commitChallenge(taskId, attempt, commitment);
    }

    function _toReveal(uint256 taskId) internal {
        uint64 opens = market.task(taskId).committedAt + parameters.marketAt(1).retractWindow;
        if (block.timestamp < opens) vm.warp(opens);
    }

    function _reveal(uint256 taskId, address challenger, bytes32 ownRoot) internal returns (uint256) {
        vm.prank(challenger);
        return theCourt.revealChallenge(taskId, ownRoot, SALT);
    }

    function _challenge(uint256 taskId, address challenger, Run memory own) internal returns (uint256 id) {
        bytes32 root = GameTrace.traceRoot(own, shape);
        _commitChallenge(taskId, challenger, root);
        _toReveal(taskId);
        return _reveal(taskId, challenger, root);
    }

    // ---- the game

    /// @dev Both sides play to the isolated place, or to the end.
    function _play(uint256 id, Run memory theirs, Run memory own) internal {
        for (uint256 moves = 0; moves < MAX_MOVES; moves++) {
            DisputeState s = theCourt.dispute(id).state;
            if (s != DisputeState.Level1 && s != DisputeState.SegmentWanted && s != DisputeState.Level2) return;
            _move(id, theirs, own);
        }
        revert("the game does not end");
    }

    /// @dev The next move of whoever has the turn, a second later.
    function _move(uint256 id, Run memory theirs, Run memory own) internal {
        skip(1);
        _moveNow(id, theirs, own);
    }

    function _moveNow(uint256 id, Run memory theirs, Run memory own) internal {
        Dispute memory d = theCourt.dispute(id);
        if (d.turn == Side.Challenger) {
            if (d.height == 0) _pickSegment(id, d, theirs, own);
            else _pick(id, d, theirs, own);
        } else if (d.state == DisputeState.SegmentWanted) {
            _postSegment(id, d, theirs);
        } else {
            bytes32[] memory row = _row(d, theirs);
            vm.prank(anyone);
            theCourt.revealRow(id, d.node, row);
        }
    }

    /// @dev Moves until the dispute is in this state with this side to move.
    function _playTo(uint256 id, Run memory theirs, Run memory own, DisputeState state, Side turn) internal {
        for (uint256 moves = 0; moves < MAX_MOVES; moves++) {
            Dispute memory d = theCourt.dispute(id);
            if (d.state == state && d.turn == turn) return;
            _move(id, theirs, own);
        }
        revert("no such state in this game");
    }

    /// @dev The row of the claim under dissection, as `run` has it.
    function _row(Dispute memory d, Run memory run) internal view returns (bytes32[] memory) {
        if (d.state == DisputeState.Level1) {
            return GameTrace.row(GameTrace.level1(run, shape), shape.traceHeight, d.height, d.index);
        }
        if (d.inLive) return GameTrace.row(GameTrace.lives(run, shape, d.leafIndex), shape.liveHeight, d.height, d.index);
        return GameTrace.row(GameTrace.ops(run, shape, d.leafIndex), shape.opsHeight, d.height, d.index);
    }

    function _opsRow(Run memory run, uint256 leaf) internal view returns (bytes32[] memory) {
        return GameTrace.row(GameTrace.ops(run, shape, leaf), shape.opsHeight, shape.opsHeight, 0);
    }

    function _liveRow(Run memory run, uint256 leaf) internal view returns (bytes32[] memory) {
        return GameTrace.row(GameTrace.lives(run, shape, leaf), shape.liveHeight, shape.liveHeight, 0);
    }

    function _pick(uint256 id, Dispute memory d, Run memory theirs, Run memory own) private {
        bytes32[] memory row = _row(d, theirs);
        (, uint8 child) = GameTrace.leftmost(row, _row(d, own));
        vm.prank(d.challenger);
        theCourt.pick(id, row, child);
    }

    function _pickSegment(uint256 id, Dispute memory d, Run memory theirs, Run memory own) private {
        bytes32[] memory ops = _opsRow(theirs, d.leafIndex);
        bytes32[] memory lives = _liveRow(theirs, d.leafIndex);
        (bool inOps, uint8 child) = GameTrace.leftmost(ops, _opsRow(own, d.leafIndex));
        if (!inOps) (, child) = GameTrace.leftmost(lives, _liveRow(own, d.leafIndex));
        vm.prank(d.challenger);
        theCourt.pickSegment(id, ops, lives, !inOps, child);
    }

    function _postSegment(uint256 id, Dispute memory d, Run memory theirs) private {
        (bytes32 previous, bytes32[] memory proof) = _previous(theirs, d.leafIndex);
        bytes32[] memory ops = _opsRow(theirs, d.leafIndex);
        bytes32[] memory lives = _liveRow(theirs, d.leafIndex);
        SegmentOpening memory segment = GameTrace.segment(shape, d.leafIndex % shape.ops.length);
        vm.prank(d.provider);
        theCourt.postSegment(id, d.node, previous, proof, segment, ops, lives);
    }

    function _previous(Run memory run, uint256 leafIndex) internal view returns (bytes32 leaf, bytes32[] memory proof) {
        if (leafIndex == 0) return (keccak256("input"), new bytes32[](0));
        bytes32[] memory leaves = GameTrace.level1(run, shape);
        return (leaves[leafIndex - 1], TraceTree.open(leaves, shape.traceHeight, leafIndex - 1));
    }

    /// @dev The provider's signature over a fine root, by EIP-712 spelt out.
    function _signFine(uint256 key, uint256 taskId, uint64 leafIndex, bytes32 opsRoot) internal view returns (bytes memory) {
        Task memory t = market.task(taskId);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Gavel"),
                keccak256("1"),
                block.chainid,
                address(theCourt)
            )
        );
        bytes32 body = keccak256(
            abi.encode(
                keccak256("FineRoot(uint256 taskId,uint8 attempt,bytes32 traceRoot,uint64 leafIndex,bytes32 opsRoot)"),
                taskId,
                t.attempt,
                t.traceRoot,
                leafIndex,
                opsRoot
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, body)));
        return abi.encodePacked(r, s, v);
    }

    // ---- audits

    /// @dev The audit's round is out and the decision made; a provider on probation is always selected.
    function _decideAudit(uint256 taskId) internal returns (address auditor) {
        _publish(theAudits.auditRound(taskId));
        theAudits.decide(taskId);
        return _auditOf(taskId).auditor;
    }

    function _commitAudit(uint256 taskId, Run memory own) internal {
        Audit memory a = _auditOf(taskId);
        bytes32 root = GameTrace.traceRoot(own, shape);
        bytes32 commitment = keccak256(abi.encode(a.auditor, taskId, a.attempt, root, SALT));
        bytes32 salted = GameTrace.saltedRoot(shape, a.leafIndex, a.auditor, taskId);
        vm.prank(a.auditor);
        theAudits.commitAudit(taskId, a.attempt, a.leafIndex, salted, commitment);
    }

    function _openAudit(uint256 taskId, Run memory own) internal {
        Audit memory a = _auditOf(taskId);
        _publish(beacon.roundAfter(a.committedAt));
        (, uint256 slotSeed,) = theAudits.chunkSeed(taskId);
        ChunkOpening memory o = GameTrace.opening(own, shape, a.leafIndex, a.auditor, taskId, slotSeed);
        bytes32 level1 = GameTrace.level1Root(own, shape);
        vm.prank(a.auditor);
        theAudits.openAudit(taskId, own.steps, level1, SALT, o);
    }

    function _auditOf(uint256 taskId) internal view returns (Audit memory) {
        return theAudits.audit(taskId, market.task(taskId).attempt);
    }

    /// @dev Warp to the round's time and publish it.
    function _publish(uint64 round) internal {
        uint64 due = beacon.timeOf(round);
        if (block.timestamp < due) vm.warp(due);
        if (beacon.valueOf(round) == 0) beacon.publish(round);
    }

    // ---- the end

    function _drawReferee(uint256 id) internal returns (address) {
        _publish(beacon.roundAfter(theCourt.dispute(id).isolatedAt));
        theCourt.drawReferee(id);
        return theCourt.dispute(id).referee;
    }

    /// @dev A referee that tells the truth.
    function _rule(uint256 id, Run memory theirs) internal {
        Dispute memory d = theCourt.dispute(id);
        bytes32 truth = GameTrace.truth(theirs, shape, d.leafIndex, d.inLive, d.isolatedIndex);
        vm.prank(d.referee);
        theCourt.rule(id, d.claimedDigest, truth);
    }

    function _finalize(uint256 id) internal {
        vm.warp(theCourt.dispute(id).ruledAt + _courtParams().appealWindow + 1);
        theCourt.finalize(id);
    }

    /// @dev The whole dispute, every part honest but the runs.
    function _judge(uint256 id, Run memory theirs, Run memory own) internal {
        _play(id, theirs, own);
        if (theCourt.dispute(id).state != DisputeState.Isolated) return;
        _drawReferee(id);
        _rule(id, theirs);
        _finalize(id);
    }

    function _isolated(Run memory theirs, Run memory own) internal returns (uint256 taskId, uint256 id) {
        taskId = _committedRun(alice, theirs);
        id = _challenge(taskId, watcher, own);
        _play(id, theirs, own);
        assertDispute(id, DisputeState.Isolated);
    }

    function _refereed(Run memory theirs, Run memory own) internal returns (uint256 taskId, uint256 id, address referee) {
        (taskId, id) = _isolated(theirs, own);
        referee = _drawReferee(id);
        assertDispute(id, DisputeState.Refereed);
    }

    function _ruled(Run memory theirs, Run memory own) internal returns (uint256 taskId, uint256 id, address referee) {
        (taskId, id, referee) = _refereed(theirs, own);
        _rule(id, theirs);
    }

    // ---- checks

    function assertDispute(uint256 id, DisputeState wanted) internal view {
        assertEq(uint256(theCourt.dispute(id).state), uint256(wanted), "dispute state");
    }

    /// @dev Nothing is left where a closed dispute kept its money.
    function assertPotsEmpty(uint256 id) internal view {
        assertEq(vault.pot(Pots.dispute(id)), 0, "dispute's pot");
        assertEq(vault.pot(Pots.appeal(id)), 0, "appeal's pot");
    }

    /// @dev The court refuses this call, for exactly this reason.
    function _refused(address caller, bytes memory call, bytes memory why) internal {
        vm.prank(caller);
        (bool done, bytes memory answer) = address(theCourt).call(call);
        assertFalse(done, "was accepted");
        assertEq(keccak256(answer), keccak256(why), "refused for another reason");
    }

    /// @dev The court refuses this call, with this error.
    function _refused(address caller, bytes memory call, bytes4 why) internal {
        vm.prank(caller);
        (bool done, bytes memory answer) = address(theCourt).call(call);
        assertFalse(done, "was accepted");
        assertEq(bytes32(bytes4(answer)), bytes32(why), "refused for another reason");
    }

    function _frozen(address provider) internal view returns (uint32) {
        return vault.provider(provider).frozen;
    }
}
