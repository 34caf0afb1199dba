// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditFixture} from "../utils/AuditFixture.sol";
import {AuditTrace} from "../utils/AuditTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {Audits} from "../../src/audits/Audits.sol";
import {ChunkOpenings} from "../../src/audits/ChunkOpenings.sol";
import {TensorShape} from "../../src/lib/TensorShape.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";
import {Audit, AuditState, ChunkOpening} from "../../src/interfaces/IAudits.sol";

/// @notice What an auditor must show, and every way to show something else. The audit waits for its opening in each test.
contract AuditOpeningsTest is AuditFixture {
    AuditTrace.Run private honest = AuditTrace.Run(2, 0, 0);
    uint256 private taskId;

    function setUp() public override {
        super.setUp();
        taskId = _served(alice, honest);
        _decide(taskId);
    }

    /// @dev Commit honestly, and publish a seed that draws a chunk of the wanted slot (any with bytes for 4).
    function _ready(uint256 slot) private returns (ChunkOpening memory o) {
        _commitAudit(taskId, honest);
        return _seeded(slot, 9);
    }

    /// @dev `chunk` is the index wanted, or 9 for any.
    function _seeded(uint256 slot, uint256 chunk) private returns (ChunkOpening memory o) {
        Audit memory a = _audit(taskId);
        uint64 round = beacon.roundAfter(a.committedAt);
        for (uint256 i = 0;; i++) {
            uint256 id = vm.snapshotState();
            vm.prevrandao(bytes32(i));
            _publish(round);
            (, uint256 slotSeed, uint256 chunkSeed) = auditor_.chunkSeed(taskId);
            uint256 drawn = slotSeed % AuditTrace.liveCount(a.leafIndex);
            uint256 chunks = AuditTrace.chunkCount(AuditTrace.size(_audit(taskId).leafIndex, drawn));
            bool fits = slot == 4 ? chunks != 0 : drawn == slot;
            if (fits && (chunk == 9 || chunkSeed % chunks == chunk)) return _opening(taskId, honest);
            vm.revertToState(id);
        }
    }

    /// @dev Decide again under other randomness until the drawn commit point has at least `slots` live tensors.
    function _redecide(uint256 slots) private {
        if (AuditTrace.liveCount(_audit(taskId).leafIndex) >= slots) return;
        taskId = _served(alice, honest);
        uint64 round = auditor_.auditRound(taskId);
        for (uint256 i = 0;; i++) {
            uint256 id = vm.snapshotState();
            vm.prevrandao(bytes32(i));
            _publish(round);
            auditor_.decide(taskId);
            if (AuditTrace.liveCount(_audit(taskId).leafIndex) >= slots) return;
            vm.revertToState(id);
        }
    }

    function _refused(ChunkOpening memory o, bytes4 why) private {
        bytes32 level1 = _level1(honest);
        address auditor = _audit(taskId).auditor;
        vm.expectPartialRevert(why);
        vm.prank(auditor);
        auditor_.openAudit(taskId, honest.steps, level1, SALT, o);
    }

    // ---- honest

    /// Whatever leaf, slot and chunk are drawn: who holds the bytes opens them.
    /// forge-config: default.fuzz.runs = 48
    function testFuzz_open_honest_alwaysMatches(bytes32 randomness, bytes32 more, uint32 steps) public {
        AuditTrace.Run memory run = AuditTrace.Run(uint32(bound(steps, 1, 4)), 0, 0);
        uint256 id = _served(bob, run);
        vm.prevrandao(randomness);
        _decide(id);
        vm.prevrandao(more);
        _finish(id, run);
        assertAudit(id, AuditState.Matched);
    }

    function test_open_everySlot_matches() public {
        _redecide(4);
        for (uint256 slot = 0; slot < 4; slot++) {
            uint256 id = vm.snapshotState();
            ChunkOpening memory o = _ready(slot);
            _submit(taskId, honest, o);
            assertAudit(taskId, AuditState.Matched);
            vm.revertToState(id);
        }
    }

    /// The provider's result differs only from some leaf on: the opening is of the auditor's own run, the verdict a dispute's.
    /// forge-config: default.fuzz.runs = 48
    function testFuzz_open_wrongResult_alwaysMismatches(bytes32 randomness, uint256 from) public {
        uint256 id = _served(bob, _wrongRun(2, bound(from, 0, 7)));
        vm.prevrandao(randomness);
        _decide(id);
        _finish(id, honest);
        assertAudit(id, AuditState.Mismatched);
    }

    // ---- when and by whom

    function test_open_beforeTheSeed_reverts() public {
        _commitAudit(taskId, honest);
        ChunkOpening memory o;
        Audit memory a = _audit(taskId);
        bytes32 level1 = _level1(honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.RoundNotOut.selector, beacon.roundAfter(a.committedAt)));
        vm.prank(a.auditor);
        auditor_.openAudit(taskId, 2, level1, SALT, o);
    }

    function test_open_frontRun_reverts() public {
        ChunkOpening memory o = _ready(4);
        Audit memory a = _audit(taskId);
        address thief = a.auditor == bob ? carol : bob;
        bytes32 level1 = _level1(honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.NotAuditor.selector, taskId, thief, a.auditor));
        vm.prank(thief);
        auditor_.openAudit(taskId, 2, level1, SALT, o);
    }

    function test_open_twice_reverts() public {
        ChunkOpening memory o = _ready(4);
        _submit(taskId, honest, o);
        Audit memory a = _audit(taskId);
        bytes32 level1 = _level1(honest);
        vm.expectRevert(abi.encodeWithSelector(Audits.WrongAuditState.selector, taskId, AuditState.Matched, AuditState.Committed));
        vm.prank(a.auditor);
        auditor_.openAudit(taskId, 2, level1, SALT, o);
    }

    /// Having seen the answer, an auditor cannot turn its commitment into it.
    function test_open_otherRootThanCommitted_reverts() public {
        AuditTrace.Run memory other = _wrongRun(2, 0);
        _commitAudit(taskId, other);
        _publishChunkSeed(taskId);
        _refused(_opening(taskId, honest), Audits.CommitmentMismatch.selector);
    }

    function test_open_otherSalt_reverts() public {
        ChunkOpening memory o = _ready(4);
        Audit memory a = _audit(taskId);
        bytes32 level1 = _level1(honest);
        vm.expectPartialRevert(Audits.CommitmentMismatch.selector);
        vm.prank(a.auditor);
        auditor_.openAudit(taskId, 2, level1, bytes32(0), o);
    }

    // ---- lazy auditors

    /// It copies the provider's root and digests, which are public, and invents a salted root.
    function test_lazy_copiedDigests_cannotOpen() public {
        _redecide(4);
        Audit memory a = _audit(taskId);
        bytes32 salted = TraceTree.root(AuditTrace.digests(honest, a.leafIndex), AuditTrace.LIVE_HEIGHT);
        bytes32 commitment = _commitment(a, _root(honest));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, a.attempt, a.leafIndex, salted, commitment);
        // afterwards it may even get hold of the drawn chunk
        ChunkOpening memory o = _seeded(4, 9);
        o.saltedLiveProof = o.liveProof;
        _refused(o, ChunkOpenings.NotInSaltedTree.selector);
        _refused(_opening(taskId, honest), ChunkOpenings.NotInSaltedTree.selector);
        // and pays for it
        vm.warp(_audit(taskId).deadline + 1);
        uint128 stake = vault.totalStake(a.auditor);
        auditor_.auditTimeout(taskId);
        assertEq(stake - vault.totalStake(a.auditor), parameters.auditAt(1).penalty);
    }

    /// It holds the provider's chunk hashes, not the chunks: a tree over them is not a salted tree.
    function test_lazy_treeOfUnsaltedLeaves_cannotOpen() public {
        Audit memory a = _audit(taskId);
        uint256 slots = AuditTrace.liveCount(a.leafIndex);
        bytes32[] memory roots = new bytes32[](slots);
        for (uint256 s = 0; s < slots; s++) {
            roots[s] = AuditTrace.chunkRoot(AuditTrace.content(honest, a.leafIndex, s), hex"00");
        }
        bytes32 salted = TraceTree.root(roots, AuditTrace.LIVE_HEIGHT);
        bytes32 commitment = _commitment(a, _root(honest));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, a.attempt, a.leafIndex, salted, commitment);
        ChunkOpening memory o = _seeded(4, 9);
        o.saltedChunkProof = o.chunkProof;
        o.saltedLiveProof = TraceTree.open(roots, AuditTrace.LIVE_HEIGHT, o.slot);
        _refused(o, ChunkOpenings.NotInSaltedTree.selector);
    }

    /// A redrawn auditor copies the salted root that the one before it showed.
    function test_lazy_otherAuditorsSaltedRoot_cannotOpen() public {
        Audit memory first = _audit(taskId);
        _commitAudit(taskId, honest);
        bytes32 shown = _audit(taskId).saltedRoot;
        _publishChunkSeed(taskId);
        vm.warp(_audit(taskId).deadline + 1);
        auditor_.auditTimeout(taskId);
        Audit memory second = _audit(taskId);
        assertTrue(second.auditor != first.auditor);
        bytes32 commitment = _commitment(second, _root(honest));
        vm.prank(second.auditor);
        auditor_.commitAudit(taskId, 0, second.leafIndex, shown, commitment);
        _refused(_seeded(4, 9), ChunkOpenings.NotInSaltedTree.selector);
    }

    /// Its own salted root of another task with the same input.
    function test_lazy_otherTasksSaltedRoot_cannotOpen() public {
        Audit memory a = _audit(taskId);
        bytes32 other = AuditTrace.saltedRoot(honest, a.leafIndex, a.auditor, taskId + 1);
        bytes32 commitment = _commitment(a, _root(honest));
        vm.prank(a.auditor);
        auditor_.commitAudit(taskId, 0, a.leafIndex, other, commitment);
        _refused(_seeded(4, 9), ChunkOpenings.NotInSaltedTree.selector);
        // not even with the proofs of that other tree
        (, uint256 x, uint256 y) = auditor_.chunkSeed(taskId);
        _refused(AuditTrace.open(honest, a.leafIndex, a.auditor, taskId, x, y), ChunkOpenings.NotInSaltedTree.selector);
        ChunkOpening memory o = AuditTrace.open(honest, a.leafIndex, a.auditor, taskId + 1, x, y);
        _refused(o, ChunkOpenings.NotInSaltedTree.selector);
    }

    // ---- another place than the drawn one

    function test_open_otherSlot_reverts() public {
        _redecide(4);
        ChunkOpening memory o = _ready(1);
        Audit memory a = _audit(taskId);
        for (uint256 slot = 0; slot < 4; slot++) {
            if (slot == 1) continue;
            ChunkOpening memory other = AuditTrace.open(honest, a.leafIndex, a.auditor, taskId, slot, 0);
            _refused(other, ChunkOpenings.WrongSlot.selector);
        }
        o.slot += 4; // the same low bits
        _refused(o, ChunkOpenings.WrongSlot.selector);
    }

    function test_open_otherChunk_reverts() public {
        _redecide(4);
        ChunkOpening memory drawn = _ready(1);
        Audit memory a = _audit(taskId);
        for (uint256 chunk = 0; chunk < 5; chunk++) {
            if (chunk == drawn.chunkIndex) continue;
            _refused(AuditTrace.open(honest, a.leafIndex, a.auditor, taskId, 1, chunk), ChunkOpenings.WrongChunk.selector);
        }
        drawn.chunkIndex += 8;
        _refused(drawn, ChunkOpenings.WrongChunk.selector);
    }

    function test_open_otherLeaf_reverts() public {
        _redecide(4);
        ChunkOpening memory o = _ready(1);
        Audit memory a = _audit(taskId);
        // the same commit point in the other step
        o.traceProof = TraceTree.open(AuditTrace.liveRoots(honest), AuditTrace.TRACE_HEIGHT, a.leafIndex ^ 4);
        _refused(o, ChunkOpenings.NotInTrace.selector);
    }

    /// Fewer live slots than the model has would move the draw.
    function test_open_forgedSegment_reverts() public {
        ChunkOpening memory o = _ready(4);
        uint32 liveCount = o.segment.liveCount;
        o.segment.liveCount = 1;
        if (liveCount == 1) o.segment.liveCount = 2;
        _refused(o, ChunkOpenings.SegmentNotInModel.selector);
        o.segment.liveCount = 0;
        _refused(o, ChunkOpenings.SegmentNotInModel.selector);
        o.segment = AuditTrace.segment((o.segment.index + 1) % 4);
        _refused(o, ChunkOpenings.SegmentIndex.selector);
    }

    // ---- shapes that lie

    function test_open_shortChunk_hasItsLength() public {
        _redecide(4);
        _commitAudit(taskId, honest);
        ChunkOpening memory o = _seeded(2, 2);
        bytes memory good = o.chunk;
        assertEq(good.length, 452);
        o.chunk = AuditTrace.chunk(abi.encodePacked(good, new bytes(572)), 0); // padded with zeros
        _refused(o, ChunkOpenings.ChunkLength.selector);
        o.chunk = new bytes(451);
        _refused(o, ChunkOpenings.ChunkLength.selector);
        o.chunk = new bytes(0);
        _refused(o, ChunkOpenings.ChunkLength.selector);
        o.chunk = good;
        _submit(taskId, honest, o);
        assertAudit(taskId, AuditState.Matched);
    }

    function test_open_header_isParsedStrictly() public {
        _redecide(4);
        _commitAudit(taskId, honest);
        ChunkOpening memory o = _seeded(1, 0);
        bytes memory good = o.tensorHeader;
        o.tensorHeader = abi.encodePacked(good, hex"00"); // a byte more
        _refused(o, ChunkOpenings.HeaderLength.selector);
        o.tensorHeader = abi.encodePacked(good, bytes32(0)); // what could be another digest's chunk root
        _refused(o, ChunkOpenings.HeaderLength.selector);
        o.tensorHeader = hex"0101";
        _refused(o, ChunkOpenings.HeaderLength.selector);
        o.tensorHeader = "";
        _refused(o, ChunkOpenings.HeaderLength.selector);
        o.tensorHeader = abi.encodePacked(hex"0203", uint8(1), uint64(5 * 256)); // another hash
        _refused(o, ChunkOpenings.UnknownHash.selector);
        o.tensorHeader = abi.encodePacked(hex"010e", uint8(1), uint64(5 * 256));
        _refused(o, TensorShape.UnknownDType.selector);
        o.tensorHeader = abi.encodePacked(hex"0103", uint8(2), type(uint64).max, type(uint64).max);
        _refused(o, TensorShape.TensorTooLarge.selector);
        o.tensorHeader = abi.encodePacked(hex"0103", uint8(2), uint64(256), uint64(5)); // transposed: as many bytes
        _refused(o, ChunkOpenings.NotInTrace.selector);
        o.tensorHeader = abi.encodePacked(hex"0101", uint8(2), uint64(5), uint64(256)); // another type of the same width
        _refused(o, ChunkOpenings.NotInTrace.selector);
        o.tensorHeader = abi.encodePacked(hex"0103", uint8(1), uint64(0)); // "nothing to show"
        _refused(o, ChunkOpenings.ChunkLength.selector);
        o.chunk = "";
        _refused(o, TraceHash.ProofLength.selector);
        (o.chunkProof, o.saltedChunkProof) = (new bytes32[](0), new bytes32[](0));
        _refused(o, ChunkOpenings.NotInTrace.selector);
    }

    /// Dimensions that would wrap 256 bits, or end in a zero, are bounded before they are used.
    function test_tensorBytes_boundsAndZeros() public view {
        assertEq(this.size(hex"010100"), 4);
        assertEq(this.size(abi.encodePacked(hex"010202", uint64(3), uint64(5))), 120);
        assertEq(this.size(abi.encodePacked(hex"010403", type(uint64).max, type(uint64).max, uint64(0))), 0);
        assertEq(this.size(abi.encodePacked(hex"010401", uint64(1) << 42)), 1 << 42);
    }

    function test_tensorBytes_tooLarge_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(TensorShape.TensorTooLarge.selector, 1 << 42));
        this.size(abi.encodePacked(hex"010401", (uint64(1) << 42) + 1));
        bytes memory wide = hex"0102ff";
        for (uint256 i = 0; i < 255; i++) {
            wide = abi.encodePacked(wide, uint64(1) << 63);
        }
        vm.expectRevert(abi.encodeWithSelector(TensorShape.TensorTooLarge.selector, 1 << 42));
        this.size(wide);
    }

    function size(bytes calldata header) external pure returns (uint256) {
        return ChunkOpenings.tensorBytes(header);
    }

    /// A model with a commit point that keeps nothing alive: its auditor is not left without an answer.
    function test_check_noLiveTensors_nothingToOpen() public {
        ChunkOpening memory o;
        o.segment = AuditTrace.segment(0);
        o.segment.liveCount = 0;
        o.segment.proof = new bytes32[](0);
        ChunkOpenings.Place memory p;
        p.commitPoints = 1;
        p.leafIndex = 3;
        p.segmentsRoot = sha256(
            abi.encodePacked(bytes1(0x04), uint32(0), uint32(0), uint32(10), uint32(0), keccak256(abi.encode("live list", 0)))
        );
        this.check(o, p);
        p.segmentsRoot ^= bytes32(uint256(1));
        vm.expectPartialRevert(ChunkOpenings.SegmentNotInModel.selector);
        this.check(o, p);
    }

    function check(ChunkOpening calldata o, ChunkOpenings.Place memory p) external view {
        ChunkOpenings.check(o, p);
    }

    // ---- anything else

    /// Any change of one byte anywhere in an opening is refused.
    function testFuzz_open_oneByteChanged_reverts(uint256 where, uint256 at, uint8 by) public {
        ChunkOpening memory o = _ready(4);
        by = uint8(bound(by, 1, 255));
        where = bound(where, 0, 7);
        bytes32 mask = bytes32(uint256(by)) << (8 * (at % 32));
        if (where == 0 && o.chunk.length != 0) {
            o.chunk[at % o.chunk.length] ^= bytes1(by);
        } else if (where == 1) {
            o.tensorHeader[at % o.tensorHeader.length] ^= bytes1(by);
        } else if (where == 2 && o.chunkProof.length != 0) {
            o.chunkProof[at % o.chunkProof.length] ^= mask;
        } else if (where == 3 && o.saltedChunkProof.length != 0) {
            o.saltedChunkProof[at % o.saltedChunkProof.length] ^= mask;
        } else if (where == 4) {
            o.liveProof[at % o.liveProof.length] ^= mask;
        } else if (where == 5) {
            o.saltedLiveProof[at % o.saltedLiveProof.length] ^= mask;
        } else if (where == 6) {
            o.segment.proof[at % o.segment.proof.length] ^= mask;
        } else {
            o.traceProof[at % o.traceProof.length] ^= mask;
        }
        bytes32 level1 = _level1(honest);
        address auditor = _audit(taskId).auditor;
        vm.expectRevert();
        vm.prank(auditor);
        auditor_.openAudit(taskId, honest.steps, level1, SALT, o);
    }

    function test_open_proofOfAnotherHeight_reverts() public {
        ChunkOpening memory o = _ready(4);
        bytes32[] memory good = o.traceProof;
        o.traceProof = new bytes32[](good.length + 1);
        _refused(o, TraceHash.ProofLength.selector);
        o.traceProof = good;
        good = o.liveProof;
        o.liveProof = new bytes32[](1);
        _refused(o, TraceHash.ProofLength.selector);
        o.liveProof = good;
        o.saltedLiveProof = new bytes32[](3);
        _refused(o, TraceHash.ProofLength.selector);
    }
}
