// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditTrace} from "./AuditTrace.sol";
import {MarketFixture} from "./MarketFixture.sol";
import {TraceTree} from "./TraceTree.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {Audit, AuditState, ChunkOpening} from "../../src/interfaces/IAudits.sol";
import {IMarketCourt} from "../../src/interfaces/IMarketCourt.sol";
import {AuditParams} from "../../src/interfaces/IParameters.sol";
import {IStakeVaultModule} from "../../src/interfaces/IStakeVaultModule.sol";
import {Dispute, DisputeState, ModelHeader} from "../../src/interfaces/Types.sol";
import {System} from "../../src/interfaces/System.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice As much of a court as an audit touches: it takes the bond, tells the market, and ends as the test says.
contract ScriptedCourt {
    uint128 public constant BOND = 5e18;

    IMarketCourt public immutable market;
    address public immutable traps;
    IStakeVaultModule private immutable _vault;
    uint256 public disputeCount;
    address public accuser;
    bytes32 public accusedRoot;
    mapping(uint256 => Dispute) private _disputes;

    constructor(System memory system) {
        market = IMarketCourt(system.market);
        traps = system.traps;
        _vault = IStakeVaultModule(system.vault);
    }

    function openForAudit(uint256 taskId, address auditor, bytes32 ownTraceRoot) external returns (uint256 disputeId) {
        (, uint8 attempt, address provider,,) = market.standing(taskId);
        disputeId = ++disputeCount;
        (accuser, accusedRoot) = (auditor, ownTraceRoot);
        uint128 have = _vault.pot(Pots.AUDIT_POOL);
        _vault.movePot(Pots.AUDIT_POOL, Pots.dispute(disputeId), have < BOND ? have : BOND, "bond");
        market.disputeOpened(taskId, attempt);
        _vault.freeze(provider);
        Dispute storage d = _disputes[disputeId];
        (d.taskId, d.attempt, d.provider, d.state) = (taskId, attempt, provider, DisputeState.Level1);
    }

    function dispute(uint256 disputeId) external view returns (Dispute memory) {
        return _disputes[disputeId];
    }

    function clear(uint256 disputeId) external {
        Dispute storage d = _disputes[disputeId];
        d.state = DisputeState.Cleared;
        bytes32 pot = Pots.dispute(disputeId);
        _vault.payProvider(pot, d.provider, _vault.pot(pot), "cleared");
        _vault.unfreeze(d.provider);
        market.disputeClosed(d.taskId, d.attempt);
    }

    function uphold(uint256 disputeId) external {
        Dispute storage d = _disputes[disputeId];
        d.state = DisputeState.Upheld;
        _vault.movePot(Pots.dispute(disputeId), Pots.AUDIT_POOL, _vault.pot(Pots.dispute(disputeId)), "bond");
        convict(d.taskId, d.attempt, d.provider);
    }

    /// @notice A conviction by another dispute.
    function convictByAnother(uint256 taskId) external {
        (, uint8 attempt, address provider,,) = market.standing(taskId);
        market.disputeOpened(taskId, attempt);
        _vault.freeze(provider);
        convict(taskId, attempt, provider);
    }

    function convict(uint256 taskId, uint8 attempt, address provider) private {
        _vault.slashTask(provider, taskId, true, 5_000, Pots.BURN);
        _vault.tombstone(provider);
        _vault.unfreeze(provider);
        market.convict(taskId, attempt, 0);
    }

    function tombstone(address provider) external {
        _vault.tombstone(provider);
    }

    function drainAuditPool(uint128 keep) external {
        _vault.movePot(Pots.AUDIT_POOL, Pots.BURN, _vault.pot(Pots.AUDIT_POOL) - keep, "test");
    }
}

/// @notice The market's fixture with the real audits and a scripted court; results have bytes behind them.
abstract contract AuditFixture is MarketFixture {
    bytes32 internal constant SALT = keccak256("salt of a commitment");

    Audits internal auditor_; // the contract
    ScriptedCourt internal scriptedCourt;
    address internal dora; // provider

    function setUp() public virtual override {
        super.setUp();
        dora = _provider("dora", 1_000 * UNIT, 8);
        _join(bob);
        _join(carol);
        _join(dora);
        skip(1);
    }

    function _rules() internal view returns (AuditParams memory) {
        return parameters.auditAt(1);
    }

    /// @dev A result of alice's with this run, and the auditor that was drawn for it.
    function _drawn(AuditTrace.Run memory run) internal returns (uint256 taskId, Audit memory a) {
        taskId = _served(alice, run);
        a = _decide(taskId);
    }

    function _placeCourt(uint256 nonce) internal virtual override returns (address, address) {
        return (vm.computeCreateAddress(address(this), nonce), vm.computeCreateAddress(address(this), nonce + 1));
    }

    function _deployCourt() internal virtual override {
        scriptedCourt = new ScriptedCourt(system);
        auditor_ = new Audits(system);
    }

    function _header() internal view virtual override returns (ModelHeader memory h) {
        h = super._header();
        h.maxSteps = 4;
        h.commitPoints = AuditTrace.COMMIT_POINTS;
        h.traceHeight = AuditTrace.TRACE_HEIGHT;
        h.liveHeight = AuditTrace.LIVE_HEIGHT;
        h.segmentsRoot = TraceTree.root(AuditTrace.entries(), 2);
    }

    // ---- people

    function _join(address provider) internal {
        vm.prank(provider);
        pool.join(modelId);
    }

    function _run(uint32 steps) internal pure returns (AuditTrace.Run memory) {
        return AuditTrace.Run(steps, 0, 0);
    }

    function _wrongRun(uint32 steps, uint256 from) internal pure returns (AuditTrace.Run memory) {
        return AuditTrace.Run(steps, 1, from);
    }

    function _root(AuditTrace.Run memory run) internal pure returns (bytes32) {
        return TraceHash.traceRoot(run.steps, _level1(run));
    }

    function _level1(AuditTrace.Run memory run) internal pure returns (bytes32) {
        return TraceTree.root(AuditTrace.liveRoots(run), AuditTrace.TRACE_HEIGHT);
    }

    // ---- one audit, step by step

    function _served(address provider, AuditTrace.Run memory run) internal returns (uint256 taskId) {
        taskId = _post();
        _claim(taskId, provider);
        _commitRun(taskId, provider, run);
    }

    function _commitRun(uint256 taskId, address provider, AuditTrace.Run memory run) internal {
        bytes32[] memory leaves = AuditTrace.liveRoots(run);
        uint256 last = leaves.length - 1;
        bytes32 root = TraceTree.root(leaves, AuditTrace.TRACE_HEIGHT);
        bytes32[] memory proof = TraceTree.open(leaves, AuditTrace.TRACE_HEIGHT, last);
        bytes32[] memory stop = AuditTrace.stopProof(run);
        vm.prank(provider);
        market.commit(taskId, run.steps, leaves[last], root, proof, stop);
    }

    /// @dev Warp to the round's time and publish it.
    function _publish(uint64 round) internal {
        uint64 due = beacon.timeOf(round);
        if (block.timestamp < due) {
            vm.warp(due);
            vm.roll(block.number + 1);
        }
        if (beacon.valueOf(round) == 0) beacon.publish(round);
    }

    function _decide(uint256 taskId) internal returns (Audit memory) {
        _publish(auditor_.auditRound(taskId));
        auditor_.decide(taskId);
        return _audit(taskId);
    }

    function _audit(uint256 taskId) internal view returns (Audit memory) {
        return auditor_.audit(taskId, market.task(taskId).attempt);
    }

    function _commitment(Audit memory a, bytes32 root) internal pure returns (bytes32) {
        return keccak256(abi.encode(a.auditor, a.taskId, a.attempt, root, SALT));
    }

    function _commitAudit(uint256 taskId, AuditTrace.Run memory run) internal {
        Audit memory a = _audit(taskId);
        bytes32 salted = AuditTrace.saltedRoot(run, a.leafIndex, a.auditor, taskId);
        bytes32 commitment = _commitment(a, _root(run));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, a.attempt, a.leafIndex, salted, commitment);
    }

    function _publishChunkSeed(uint256 taskId) internal {
        _publish(beacon.roundAfter(_audit(taskId).committedAt));
    }

    function _opening(uint256 taskId, AuditTrace.Run memory run) internal view returns (ChunkOpening memory) {
        Audit memory a = _audit(taskId);
        (bool known, uint256 slotSeed, uint256 chunkSeed) = auditor_.chunkSeed(taskId);
        require(known, "no seed");
        return AuditTrace.open(run, a.leafIndex, a.auditor, taskId, slotSeed, chunkSeed);
    }

    function _submit(uint256 taskId, AuditTrace.Run memory run, ChunkOpening memory o) internal {
        bytes32 level1 = _level1(run);
        vm.prank(_audit(taskId).auditor);
        auditor_.openAudit(taskId, run.steps, level1, SALT, o);
    }

    /// @dev From the draw to the end, with what `run` found.
    function _finish(uint256 taskId, AuditTrace.Run memory run) internal {
        _commitAudit(taskId, run);
        _publishChunkSeed(taskId);
        _submit(taskId, run, _opening(taskId, run));
    }

    // ---- checks

    function assertAudit(uint256 taskId, AuditState wanted) internal view {
        assertEq(uint256(_audit(taskId).state), uint256(wanted), "audit state");
    }

    function assertDuties(address provider, uint32 wanted) internal view {
        assertEq(vault.dutiesOf(provider), wanted, "duties");
    }
}
