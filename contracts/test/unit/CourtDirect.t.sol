// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Dissection} from "../../src/court/Dissection.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {Dispute, DisputeState, Side} from "../../src/interfaces/Types.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice A provider's key that is a contract: it signs by saying so.
contract SigningWallet {
    mapping(bytes32 => bool) public signed;

    function sign(bytes32 digest) external {
        signed[digest] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return signed[digest] ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @notice P-D7: with the provider's signature over the fine root, one move reaches the operator.
contract CourtDirectTest is CourtFixture {
    /// @dev What is signed, so that a test can sign something else.
    struct Fine {
        uint256 chainId;
        address verifier;
        uint256 taskId;
        uint8 attempt;
        bytes32 traceRoot;
        uint64 leafIndex;
        bytes32 opsRoot;
    }

    uint256 private taskId;
    uint256 private id;
    Run private wrong;
    uint256 private key;

    function setUp() public override {
        super.setUp();
        (, key) = makeKey("alice");
        wrong = _wrong();
        taskId = _committedRun(alice, wrong);
        id = _challenge(taskId, watcher, _right(2));
    }

    function _fine(uint64 leafIndex) private view returns (Fine memory f) {
        f.chainId = block.chainid;
        f.verifier = address(theCourt);
        f.taskId = taskId;
        f.attempt = market.task(taskId).attempt;
        f.traceRoot = market.task(taskId).traceRoot;
        f.leafIndex = leafIndex;
        f.opsRoot = TraceTree.root(GameTrace.ops(wrong, shape, leafIndex), shape.opsHeight);
    }

    /// @dev EIP-712, spelt out: the tests' other opinion.
    function _digest(Fine memory f) private pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Gavel"),
                keccak256("1"),
                f.chainId,
                f.verifier
            )
        );
        bytes32 body = keccak256(
            abi.encode(
                keccak256("FineRoot(uint256 taskId,uint8 attempt,bytes32 traceRoot,uint64 leafIndex,bytes32 opsRoot)"),
                f.taskId,
                f.attempt,
                f.traceRoot,
                f.leafIndex,
                f.opsRoot
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, body));
    }

    function _signature(uint256 signer, Fine memory f) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer, _digest(f));
        return abi.encodePacked(r, s, v);
    }

    function _proof(uint64 leafIndex, bool live, uint32 index) private view returns (ICourt.IsolateDirect memory p) {
        bytes32[] memory leaves = GameTrace.level1(wrong, shape);
        p.leafIndex = leafIndex;
        p.leaf = leaves[leafIndex];
        p.leafProof = TraceTree.open(leaves, shape.traceHeight, leafIndex);
        (p.previousLeaf, p.previousProof) = _previous(wrong, leafIndex);
        p.segment = GameTrace.segment(shape, leafIndex % shape.ops.length);
        Fine memory f = _fine(leafIndex);
        p.opsRoot = f.opsRoot;
        p.signature = _signature(key, f);
        p.live = live;
        p.index = index;
        bytes32[] memory places = live ? GameTrace.lives(wrong, shape, leafIndex) : GameTrace.ops(wrong, shape, leafIndex);
        p.claimedDigest = places[index];
        p.claimedProof = TraceTree.open(places, live ? shape.liveHeight : shape.opsHeight, index);
    }

    function _call(ICourt.IsolateDirect memory p) private view returns (bytes memory) {
        return abi.encodeCall(ICourt.isolateDirect, (id, p));
    }

    function _isolate(ICourt.IsolateDirect memory p) private {
        vm.prank(watcher);
        theCourt.isolateDirect(id, p);
    }

    // ---- the good case

    function test_direct_oneMove_thenARuling() public {
        _isolate(_proof(4, false, 20));
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Isolated);
        assertEq(d.leafIndex, 4);
        assertEq(d.isolatedIndex, 20);
        assertEq(d.claimedDigest, GameTrace.op(wrong, 4, 20));
        assertEq(d.leaf, GameTrace.level1(wrong, shape)[4]);
        assertEq(d.previousLeaf, GameTrace.level1(wrong, shape)[3]);
        assertEq(d.opsRoot, TraceTree.root(GameTrace.ops(wrong, shape, 4), shape.opsHeight));
        assertEq(d.opCount, 40);
        _drawReferee(id);
        _rule(id, wrong);
        _finalize(id);
        assertDispute(id, DisputeState.Upheld);
    }

    function test_direct_firstLeaf_startsFromTheInput() public {
        _isolate(_proof(0, false, 3));
        assertEq(theCourt.dispute(id).previousLeaf, keccak256("input"));
    }

    function test_direct_liveSlot_opensUnderTheCommittedLeaf() public {
        ICourt.IsolateDirect memory p = _proof(6, true, 3);
        _isolate(p);
        Dispute memory d = theCourt.dispute(id);
        assertTrue(d.inLive, "a live slot");
        assertEq(d.isolatedIndex, 3);
        assertEq(d.claimedDigest, GameTrace.live(wrong, 6, 3));
    }

    /// The provider hurried and revealed its first row: still before the challenger's first pick.
    function test_direct_afterTheFirstRow() public {
        _move(id, wrong, _right(2));
        assertTrue(theCourt.dispute(id).turn == Side.Challenger, "a pick is due");
        _isolate(_proof(4, false, 20));
        assertDispute(id, DisputeState.Isolated);
    }

    function test_direct_providerIsAContract() public {
        SigningWallet wallet = new SigningWallet();
        bytes memory code = address(wallet).code;
        vm.etch(alice, code);
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        _refused(watcher, _call(p), Dissection.NotSignedByProvider.selector);
        SigningWallet(alice).sign(_digest(_fine(4)));
        _isolate(p);
        assertDispute(id, DisputeState.Isolated);
    }

    // ---- who and when

    function test_direct_byAnybodyElse_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        _refused(alice, _call(p), abi.encodeWithSelector(Dissection.NotChallenger.selector, id, alice));
        _refused(anyone, _call(p), abi.encodeWithSelector(Dissection.NotChallenger.selector, id, anyone));
    }

    /// It takes the place of the game, not of a part of it.
    function test_direct_afterTheFirstPick_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        _move(id, wrong, _right(2));
        _move(id, wrong, _right(2));
        _refused(watcher, _call(p), abi.encodeWithSelector(Dissection.NotAtRoot.selector, id));
        _playTo(id, wrong, _right(2), DisputeState.SegmentWanted, Side.Provider);
        _refused(watcher, _call(p), CourtStorage.WrongDisputeState.selector);
    }

    function test_direct_afterAClockRanOut_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        uint256 deadline = block.timestamp + _courtParams().clockBudget;
        vm.warp(deadline + 1);
        _refused(watcher, _call(p), abi.encodeWithSelector(Dissection.ClockRanOut.selector, id, Side.Provider, deadline));
        vm.warp(deadline - 1);
        _move(id, wrong, _right(2));
        deadline = block.timestamp + _courtParams().clockBudget;
        vm.warp(deadline + 1);
        _refused(watcher, _call(p), abi.encodeWithSelector(Dissection.ClockRanOut.selector, id, Side.Challenger, deadline));
    }

    // ---- the signature

    function _unsigned(ICourt.IsolateDirect memory p) private {
        _refused(watcher, _call(p), abi.encodeWithSelector(Dissection.NotSignedByProvider.selector, alice, _digest(_fine(4))));
    }

    /// A fine trace that anyone makes up binds nobody.
    function test_direct_anotherSigner_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        string[4] memory others = ["watcher", "bob", "alice-owner", "alice-payout"];
        for (uint256 i = 0; i < others.length; i++) {
            (, uint256 other) = makeKey(others[i]);
            p.signature = _signature(other, _fine(4));
            _unsigned(p);
        }
        p.signature = "";
        _unsigned(p);
        p.signature = new bytes(65);
        _unsigned(p);
    }

    /// What the provider signed elsewhere, or for another trace, says nothing here.
    function test_direct_signatureOfAnotherPlace_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        for (uint256 field = 0; field < 7; field++) {
            Fine memory f = _fine(4);
            if (field == 0) f.chainId += 1;
            if (field == 1) f.verifier = theCourt.proceedings();
            if (field == 2) f.taskId += 1;
            if (field == 3) f.attempt += 1;
            if (field == 4) f.traceRoot = GameTrace.traceRoot(_right(2), shape);
            if (field == 5) f.leafIndex += 1;
            if (field == 6) f.opsRoot ^= bytes32(uint256(1));
            p.signature = _signature(key, f);
            _unsigned(p);
        }
        p.signature = _signature(key, _fine(4));
        _isolate(p);
    }

    function test_direct_onAnotherChain_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        vm.chainId(block.chainid + 1);
        _refused(watcher, _call(p), Dissection.NotSignedByProvider.selector);
    }

    /// The same signature with the other s: malleable signatures are refused.
    function test_direct_malleableSignature_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(_fine(4)));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        p.signature = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _unsigned(p);
    }

    // ---- the links

    function test_direct_leafNotCommitted_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        p.leaf = GameTrace.level1(_right(2), shape)[4];
        _refused(watcher, _call(p), Dissection.LeafNotInTrace.selector);
        p = _proof(4, false, 20);
        p.leafProof = new bytes32[](8);
        _refused(watcher, _call(p), abi.encodeWithSelector(TraceHash.ProofLength.selector, 8, 9));
    }

    function test_direct_previousLeafMadeUp_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        p.previousLeaf = keccak256("made up");
        _refused(watcher, _call(p), Dissection.WrongPreviousLeaf.selector);
        p = _proof(0, false, 3);
        p.previousLeaf = keccak256("made up");
        _refused(
            watcher, _call(p), abi.encodeWithSelector(Dissection.WrongPreviousLeaf.selector, p.previousLeaf, keccak256("input"))
        );
    }

    function test_direct_segmentOfAnotherPlace_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        p.segment = GameTrace.segment(shape, 1);
        _refused(watcher, _call(p), abi.encodeWithSelector(Dissection.WrongSegment.selector, 1, 0));
        p.segment = GameTrace.segment(shape, 0);
        p.segment.opCount += 1;
        _refused(watcher, _call(p), Dissection.SegmentNotInModel.selector);
    }

    function test_direct_claimedNotUnderTheRoot_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        p.claimedDigest = GameTrace.op(_right(2), 4, 20); // "the provider said the right thing here"
        _refused(watcher, _call(p), CourtStorage.ClaimedNotInTrace.selector);
        p = _proof(4, false, 20);
        p.index = 21; // the digest of another operator
        _refused(watcher, _call(p), CourtStorage.ClaimedNotInTrace.selector);
        p = _proof(4, false, 1);
        p.live = true; // an operator as a live slot
        _refused(watcher, _call(p), abi.encodeWithSelector(TraceHash.ProofLength.selector, 6, 2));
        p = _proof(4, true, 1);
        p.live = false; // and the other way
        _refused(watcher, _call(p), abi.encodeWithSelector(TraceHash.ProofLength.selector, 2, 6));
    }

    // ---- padding has no operators

    function test_direct_padding_reverts() public {
        ICourt.IsolateDirect memory p = _proof(4, false, 20);
        bytes4 outside = Dissection.IndexOutside.selector;
        p.index = 40;
        _refused(watcher, _call(p), abi.encodeWithSelector(outside, 40, 40));
        p = _proof(4, true, 1);
        p.index = 3;
        _refused(watcher, _call(p), abi.encodeWithSelector(outside, 3, 3));
        p = _proof(4, false, 20);
        p.leafIndex = 8;
        Fine memory f = _fine(4);
        f.leafIndex = 8;
        p.signature = _signature(key, f);
        _refused(watcher, _call(p), abi.encodeWithSelector(outside, 8, 8));
        f.leafIndex = p.leafIndex = uint64(1) << 32 | 4; // the same place to whoever looks at 32 bits
        p.signature = _signature(key, f);
        _refused(watcher, _call(p), abi.encodeWithSelector(outside, p.leafIndex, 8));
    }
}
