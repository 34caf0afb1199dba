// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "./CourtFixture.sol";
import {GameTrace, Run, Shape} from "./GameTrace.sol";
import {TraceTree} from "./TraceTree.sol";
import {Trap, TrapOpening} from "../../src/interfaces/ITraps.sol";
import {DisputeState, ModelHeader} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice The real court, audits and traps; a trap is the right run of two steps with one leaf that is none.
abstract contract TrapFixture is CourtFixture {
    uint32 internal constant STEPS = 2;
    uint64 internal constant TRAP_LEAF = 1;
    uint128 internal constant JACKPOT = 64e18;
    bytes32 internal constant TRAP_SALT = bytes32(uint256(keccak256("salt of a trap")) | GameTrace.TRAP);
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

    function _trapRun() internal pure returns (Run memory r) {
        r.steps = STEPS;
        r.salt = uint256(TRAP_SALT);
        r.leaf = TRAP_LEAF;
    }

    function _trapLeaves() internal view returns (bytes32[] memory) {
        return GameTrace.level1(_trapRun(), shape);
    }

    function _trapRoot() internal view returns (bytes32) {
        return GameTrace.level1Root(_trapRun(), shape);
    }

    function _rightRoot() internal view returns (bytes32) {
        return GameTrace.traceRoot(_right(STEPS), shape);
    }

    function _commitTrap(uint256 taskId, address provider) internal {
        _commitRun(taskId, provider, _trapRun());
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
        _commitAudit(taskId, _trapRun());
    }

    function _openCopied(uint256 taskId) internal {
        assertTrue(_auditOf(taskId).leafIndex != TRAP_LEAF, "what is no live root cannot be opened");
        _openAudit(taskId, _trapRun());
    }

    function _auditByRunning(uint256 taskId) internal returns (address auditor) {
        auditor = _decideAudit(taskId);
        _commitAudit(taskId, _right(STEPS));
        _openAudit(taskId, _right(STEPS));
    }

    // ---- the game about a trap: the leaf is found, and nothing can be posted under it

    function _playToTheLeaf(uint256 id) internal {
        while (theCourt.dispute(id).state == DisputeState.Level1) {
            _moveNow(id, _trapRun(), _right(STEPS));
        }
        assertDispute(id, DisputeState.SegmentWanted);
    }

    function _convictByTimeout(uint256 id) internal {
        _playToTheLeaf(id);
        skip(parameters.courtAt(1).clockBudget + 1);
        theCourt.claimTimeout(id);
    }
}
