// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "./CourtFixture.sol";
import {GameTrace, Shape} from "./GameTrace.sol";
import {TraceTree} from "./TraceTree.sol";
import {Audit, ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {Trap, TrapOpening} from "../../src/interfaces/ITraps.sol";
import {Dispute, DisputeState, ModelHeader} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice The real court, audits and traps; a trap is the right run of two steps with one leaf that is none.
abstract contract TrapFixture is CourtFixture {
    uint32 internal constant STEPS = 2;
    uint64 internal constant TRAP_LEAF = 1;
    uint128 internal constant JACKPOT = 64e18;
    bytes32 internal constant TRAP_SALT = keccak256("salt of a trap");
    bytes32 internal constant NONCE = keccak256("nonce of a seal");

    address internal sealer;

    function setUp() public virtual override {
        super.setUp();
        sealer = _funded("sealer");
    }

    /// @dev Small trees, built often.
    function _shape() internal view override returns (Shape memory s) {
        s = super._shape();
        s.traceHeight = 3;
    }

    function _header() internal view override returns (ModelHeader memory) {
        return _headerOf(shape, STEPS);
    }

    // ---- the trap

    function _commitmentOf(address requester_, address provider, bytes32 nonce) internal view returns (bytes32) {
        bytes32 leaf = TraceHash.trapLeaf(TRAP_SALT);
        return
            keccak256(abi.encode(bytes32("Gavel trap"), block.chainid, address(traps), sealer, requester_, provider, leaf, nonce));
    }

    function _seal(bytes32 commitment) internal {
        vm.prank(sealer);
        traps.seal(commitment, JACKPOT);
    }

    function _potOf(bytes32 commitment) internal view returns (bytes32) {
        return Pots.trap(sealer, commitment);
    }

    function _trapLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = GameTrace.level1(_right(STEPS), shape);
        leaves[TRAP_LEAF] = TraceHash.trapLeaf(TRAP_SALT);
    }

    function _trapRoot() internal view returns (bytes32) {
        return TraceTree.root(_trapLeaves(), shape.traceHeight);
    }

    function _rightRoot() internal view returns (bytes32) {
        return GameTrace.traceRoot(_right(STEPS), shape);
    }

    function _commitTrap(uint256 taskId, address provider) internal {
        bytes32[] memory leaves = _trapLeaves();
        uint256 last = leaves.length - 1;
        bytes32[] memory proof = TraceTree.open(leaves, shape.traceHeight, last);
        bytes32[] memory stop = GameTrace.stopProof(_right(STEPS), shape);
        bytes32 root = _trapRoot();
        vm.prank(provider);
        market.commit(taskId, STEPS, leaves[last], root, proof, stop);
    }

    /// @dev Sealed, and a second later served.
    function _trapped(bytes32 nonce) internal returns (uint256 taskId) {
        _seal(_commitmentOf(requester, alice, nonce));
        skip(1);
        taskId = _post();
        _claim(taskId, alice);
        _commitTrap(taskId, alice);
    }

    function _opening(bytes32 nonce) internal view returns (TrapOpening memory o) {
        o.sealer = sealer;
        o.salt = TRAP_SALT;
        o.nonce = nonce;
        o.leafIndex = TRAP_LEAF;
        o.proof = TraceTree.open(_trapLeaves(), shape.traceHeight, TRAP_LEAF);
    }

    function _showTrap(uint256 taskId) internal {
        _showTrap(taskId, NONCE);
    }

    function _showTrap(uint256 taskId, bytes32 nonce) internal {
        TrapOpening memory o = _opening(nonce);
        vm.prank(requester);
        traps.reveal(taskId, o);
    }

    function _trapOf(uint256 taskId) internal view returns (Trap memory) {
        return traps.trapOf(taskId, 0);
    }

    /// @dev No challenge can be committed any more.
    function _toWindowsEnd(uint256 taskId) internal {
        uint64 end = market.task(taskId).committedAt + parameters.marketAt(1).challengeWindow;
        if (block.timestamp < end) vm.warp(end);
    }

    function _toClaimsEnd(uint256 taskId) internal {
        uint64 end = _trapOf(taskId).claimsUntil;
        if (block.timestamp <= end) vm.warp(end + 1);
    }

    // ---- auditors

    /// @dev It has the tensors of the drawn commit point and the level-1 tree from the provider, and runs nothing.
    function _auditByCopying(uint256 taskId) internal returns (address auditor) {
        auditor = _decideAudit(taskId);
        _commitCopied(taskId);
        _openCopied(taskId);
    }

    function _commitCopied(uint256 taskId) internal {
        Audit memory a = _auditOf(taskId);
        bytes32 root = TraceHash.traceRoot(STEPS, _trapRoot());
        bytes32 commitment = keccak256(abi.encode(a.auditor, taskId, a.attempt, root, SALT));
        bytes32 salted = GameTrace.saltedRoot(shape, a.leafIndex, a.auditor, taskId);
        vm.prank(a.auditor);
        theAudits.commitAudit(taskId, a.attempt, a.leafIndex, salted, commitment);
    }

    function _openCopied(uint256 taskId) internal {
        Audit memory a = _auditOf(taskId);
        assertTrue(a.leafIndex != TRAP_LEAF, "what is no live root cannot be opened");
        _publish(beacon.roundAfter(a.committedAt));
        (, uint256 slotSeed,) = theAudits.chunkSeed(taskId);
        ChunkOpening memory o = GameTrace.opening(_right(STEPS), shape, a.leafIndex, a.auditor, taskId, slotSeed);
        o.traceProof = TraceTree.open(_trapLeaves(), shape.traceHeight, a.leafIndex);
        bytes32 level1 = _trapRoot();
        vm.prank(a.auditor);
        theAudits.openAudit(taskId, STEPS, level1, SALT, o);
    }

    function _auditByRunning(uint256 taskId) internal returns (address auditor) {
        auditor = _decideAudit(taskId);
        _commitAudit(taskId, _right(STEPS));
        _openAudit(taskId, _right(STEPS));
    }

    // ---- the game about a trap: the leaf is found, and nothing can be posted under it

    function _playToTheLeaf(uint256 id) internal {
        bytes32[] memory theirs = _trapLeaves();
        bytes32[] memory own = GameTrace.level1(_right(STEPS), shape);
        while (theCourt.dispute(id).state == DisputeState.Level1) {
            Dispute memory d = theCourt.dispute(id);
            bytes32[] memory row = GameTrace.row(theirs, shape.traceHeight, d.height, d.index);
            theCourt.revealRow(id, d.node, row);
            (, uint8 child) = GameTrace.leftmost(row, GameTrace.row(own, shape.traceHeight, d.height, d.index));
            vm.prank(d.challenger);
            theCourt.pick(id, row, child);
        }
        assertDispute(id, DisputeState.SegmentWanted);
    }

    function _convictByTimeout(uint256 id) internal {
        _playToTheLeaf(id);
        skip(parameters.courtAt(1).clockBudget + 1);
        theCourt.claimTimeout(id);
    }
}
