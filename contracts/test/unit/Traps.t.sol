// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TrapFixture} from "../utils/TrapFixture.sol";
import {GameTrace} from "../utils/GameTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {Traps} from "../../src/audits/Traps.sol";
import {Refereeing} from "../../src/court/Refereeing.sol";
import {AuditState} from "../../src/interfaces/IAudits.sol";
import {ITraps, Seal, Trap, TrapOpening} from "../../src/interfaces/ITraps.sol";
import {DisputeState, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice What a trap is, who pays, who is paid, and every way to abuse one.
contract TrapsTest is TrapFixture {
    uint128 private bond;

    function setUp() public override {
        super.setUp();
        bond = theCourt.bondAt(1);
    }

    function _refuse(address by, bytes memory call, bytes memory why) private {
        vm.prank(by);
        (bool done, bytes memory answer) = address(traps).call(call);
        assertFalse(done, "was accepted");
        assertEq(keccak256(answer), keccak256(why), "refused for another reason");
    }

    function _refuseReveal(uint256 taskId, TrapOpening memory o, bytes memory why) private {
        _refuse(requester, abi.encodeCall(ITraps.reveal, (taskId, o)), why);
    }

    function _found(uint256 taskId, address finder) private returns (uint256 id) {
        _commitChallenge(taskId, finder, _rightRoot());
        _toReveal(taskId);
        return _reveal(taskId, finder, _rightRoot());
    }

    function _finish(uint256 taskId) private {
        _toClaimsEnd(taskId);
        traps.close(taskId, 0);
    }

    // ---- the seal

    function test_seal_takesTheDeposit_andSaysNothing() public {
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        uint256 before = token.balanceOf(sealer);
        _seal(commitment);
        assertEq(before - token.balanceOf(sealer), JACKPOT);
        assertEq(vault.pot(_potOf(commitment)), JACKPOT);
        Seal memory s = traps.sealOf(sealer, commitment);
        assertEq(uint256(s.sealedAt), block.timestamp);
        assertFalse(s.used);
    }

    function test_seal_twice_reverts() public {
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        _seal(commitment);
        bytes memory call = abi.encodeCall(ITraps.seal, (commitment, JACKPOT));
        _refuse(sealer, call, abi.encodeWithSelector(Traps.AlreadySealed.selector, sealer, commitment));
    }

    /// Else a copy from the pool of waiting transactions would keep traps from being set.
    function test_seal_copiedByAnother_isAnothers() public {
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        vm.prank(watcher);
        traps.seal(commitment, JACKPOT);
        uint256 taskId = _trapped(NONCE);
        TrapOpening memory o = _opening(NONCE);
        o.sealer = watcher;
        _found(taskId, bob);
        vm.prank(requester);
        (bool done,) = address(traps).call(abi.encodeCall(ITraps.reveal, (taskId, o)));
        assertFalse(done, "opened under a copy");
        _showTrap(taskId);
    }

    function test_seal_forLessThanABond_reverts() public {
        assertEq(traps.leastJackpot(), bond);
        bytes memory call = abi.encodeCall(ITraps.seal, (NONCE, bond - 1));
        _refuse(sealer, call, abi.encodeWithSelector(Traps.JackpotTooSmall.selector, bond - 1, bond));
    }

    function test_unseal_returnsTheDeposit_once_andExcusesNothing() public {
        uint256 taskId = _trapped(NONCE);
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        vm.prank(sealer);
        traps.unseal(commitment);
        assertEq(vault.credit(sealer), JACKPOT);
        bytes memory used = abi.encodeWithSelector(Traps.SealUsed.selector, sealer, commitment);
        _refuse(sealer, abi.encodeCall(ITraps.unseal, (commitment)), used);
        bytes memory again = abi.encodeCall(ITraps.seal, (commitment, JACKPOT));
        _refuse(sealer, again, abi.encodeWithSelector(Traps.AlreadySealed.selector, sealer, commitment));
        uint256 id = _found(taskId, watcher);
        _refuseReveal(taskId, _opening(NONCE), used);
        _convictByTimeout(id);
        assertDispute(id, DisputeState.Upheld);
    }

    function test_unseal_ofAnother_reverts() public {
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        _seal(commitment);
        bytes memory call = abi.encodeCall(ITraps.unseal, (commitment));
        _refuse(watcher, call, abi.encodeWithSelector(Traps.NoSuchSeal.selector, watcher, commitment));
    }

    // ---- the reveal, and what it refuses

    function test_reveal_sealedLate_reverts() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        _commitTrap(taskId, alice);
        _seal(_commitmentOf(requester, alice, NONCE)); // in the same second
        _found(taskId, watcher);
        uint64 at = market.task(taskId).committedAt;
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.SealedTooLate.selector, at, at));
    }

    function test_reveal_neverSealed_reverts_andTheCheatIsConvicted() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        _commitTrap(taskId, alice);
        uint256 id = _found(taskId, watcher);
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.NoSuchSeal.selector, sealer, commitment));
        _convictByTimeout(id);
        assertDispute(id, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice), "a cheat like any other");
    }

    /// The seal of a pair excuses nothing on a stranger's task, and the stranger cannot lend its name afterwards.
    function test_reveal_ofAStrangersTask_reverts() public {
        _seal(_commitmentOf(sealer, alice, NONCE));
        skip(1);
        uint256 taskId = _post(); // by `requester`
        _claim(taskId, alice);
        _commitTrap(taskId, alice);
        _found(taskId, watcher);
        bytes memory call = abi.encodeCall(ITraps.reveal, (taskId, _opening(NONCE)));
        _refuse(sealer, call, abi.encodeWithSelector(Traps.NotRequester.selector, taskId, sealer));
        bytes32 wanted = _commitmentOf(requester, alice, NONCE);
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.NoSuchSeal.selector, sealer, wanted));
    }

    function test_reveal_ofAnotherProvider_reverts() public {
        _seal(_commitmentOf(requester, bob, NONCE));
        skip(1);
        uint256 taskId = _post();
        _claim(taskId, alice);
        _commitTrap(taskId, alice);
        _found(taskId, watcher);
        bytes32 wanted = _commitmentOf(requester, alice, NONCE);
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.NoSuchSeal.selector, sealer, wanted));
    }

    /// No correct result can be called a trap, whatever was sealed.
    function test_reveal_ofARightResult_reverts() public {
        _seal(_commitmentOf(requester, alice, NONCE));
        skip(1);
        uint256 taskId = _committedRun(alice, _right(STEPS));
        _toWindowsEnd(taskId);
        bytes32 root = GameTrace.level1Root(_right(STEPS), shape);
        TrapOpening memory o = _opening(NONCE);
        o.proof = TraceTree.open(GameTrace.level1(_right(STEPS), shape), shape.traceHeight, TRAP_LEAF);
        bytes32 found = TraceTree.root(_trapLeaves(), shape.traceHeight);
        _refuseReveal(taskId, o, abi.encodeWithSelector(Traps.TrapNotInTrace.selector, found, root));
    }

    function test_reveal_byAWrongPath_reverts() public {
        uint256 taskId = _trapped(NONCE);
        _found(taskId, watcher);
        TrapOpening memory o = _opening(NONCE);
        o.leafIndex = 2;
        vm.prank(requester);
        (bool done, bytes memory answer) = address(traps).call(abi.encodeCall(ITraps.reveal, (taskId, o)));
        assertFalse(done);
        assertEq(bytes32(bytes4(answer)), bytes32(Traps.TrapNotInTrace.selector));
        o.leafIndex = STEPS * 4;
        _refuseReveal(taskId, o, abi.encodeWithSelector(Traps.LeafOutsideRun.selector, STEPS * 4, STEPS * 4));
    }

    function test_reveal_twice_reverts() public {
        uint256 taskId = _trapped(NONCE);
        _found(taskId, watcher);
        _showTrap(taskId);
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.AlreadyRevealed.selector, taskId, 0));
    }

    /// One deposit stands for one result.
    function test_reveal_ofASecondResultByTheSameSeal_reverts() public {
        uint256 first = _trapped(NONCE);
        uint256 second = _post();
        _claim(second, alice);
        _commitTrap(second, alice);
        _found(first, watcher);
        _found(second, watcher);
        _showTrap(first);
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        _refuseReveal(second, _opening(NONCE), abi.encodeWithSelector(Traps.SealUsed.selector, sealer, commitment));
    }

    function test_reveal_ofASettledResult_thatNobodyLetPass_reverts() public {
        uint256 taskId = _trapped(NONCE);
        _decideAudit(taskId);
        while (_auditOf(taskId).state == AuditState.Drawn) {
            vm.prank(_auditOf(taskId).auditor);
            theAudits.inputUnavailable(taskId);
        }
        _settle(taskId);
        bytes memory why = abi.encodeWithSelector(Traps.NotUnderJudgement.selector, taskId, TaskState.Settled);
        _refuseReveal(taskId, _opening(NONCE), why);
    }

    /// Whoever is about to find it must have had the chance.
    function test_reveal_beforeItCouldBeFound_reverts() public {
        uint256 taskId = _trapped(NONCE);
        uint256 until = market.task(taskId).committedAt + parameters.marketAt(1).challengeWindow;
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.StillHidden.selector, taskId, until));
        _decideAudit(taskId);
        _commitCopied(taskId);
        _toWindowsEnd(taskId);
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.AuditOpen.selector, taskId));
        _openCopied(taskId);
        _showTrap(taskId);
    }

    // ---- the auditor

    function test_lazyAuditor_paysABond_halfOfItBurned() public {
        uint256 taskId = _trapped(NONCE);
        address auditor = _auditByCopying(taskId);
        assertTrue(_auditOf(taskId).state == AuditState.Matched, "it says that this is what it computed");
        _toWindowsEnd(taskId);
        (uint128 stake, uint128 burned) = (vault.totalStake(auditor), vault.burned());
        _showTrap(taskId);
        assertEq(stake - vault.totalStake(auditor), bond);
        assertEq(vault.burned() - burned, bond / 2);
        assertEq(vault.credit(sealer), bond / 2);
        bytes memory again = abi.encodeCall(ITraps.penaliseAuditor, (taskId, 0));
        _refuse(anyone, again, abi.encodeWithSelector(Traps.AlreadyPenalised.selector, taskId, 0));
        // nobody was harmed but who asked for it, and nobody found it: the deposit is the sealer's
        _settle(taskId);
        _finish(taskId);
        assertEq(vault.credit(sealer), bond / 2 + JACKPOT);
        assertEq(vault.pot(_trapOf(taskId).pot), 0);
    }

    /// It opens when everything else has had its time, and settles at once: there is no moment before, in which the trap may be shown.
    function test_lazyAuditor_thatSettlesAtOnce_pays() public {
        uint256 taskId = _trapped(NONCE);
        vm.warp(market.settleableAt(taskId));
        address auditor = _decideAudit(taskId);
        _commitCopied(taskId);
        _refuseReveal(taskId, _opening(NONCE), abi.encodeWithSelector(Traps.AuditOpen.selector, taskId));
        _openCopied(taskId);
        market.settle(taskId);
        (uint128 stake, uint128 credit) = (vault.totalStake(auditor), vault.credit(sealer));
        _showTrap(taskId);
        assertEq(stake - vault.totalStake(auditor), bond);
        assertEq(vault.credit(sealer) - credit, bond / 2);
        _finish(taskId);
        assertEq(vault.credit(sealer) - credit, bond / 2 + JACKPOT);
        assertEq(vault.pot(_trapOf(taskId).pot), 0);
    }

    /// A watcher ends the trap while the lazy auditor has committed and not opened: what it says then is punished then.
    function test_lazyAuditor_thatOpensAfterTheReveal_pays() public {
        uint256 taskId = _trapped(NONCE);
        address auditor = _decideAudit(taskId);
        _commitCopied(taskId);
        _found(taskId, watcher);
        _showTrap(taskId);
        bytes memory call = abi.encodeCall(ITraps.penaliseAuditor, (taskId, 0));
        _refuse(anyone, call, abi.encodeWithSelector(Traps.NotMatched.selector, taskId, 0, AuditState.Committed));
        uint128 stake = vault.totalStake(auditor);
        _openCopied(taskId);
        traps.penaliseAuditor(taskId, 0);
        assertEq(stake - vault.totalStake(auditor), bond);
    }

    function test_diligentAuditor_getsTheJackpot() public {
        uint256 taskId = _trapped(NONCE);
        address auditor = _auditByRunning(taskId);
        assertState(taskId, TaskState.Disputed);
        (uint128 stake, uint128 pool_) = (vault.totalStake(alice), vault.pot(Pots.AUDIT_POOL));
        _showTrap(taskId);
        theCourt.closeMoot(1);
        assertDispute(1, DisputeState.Void);
        assertPotsEmpty(1);
        assertEq(vault.pot(Pots.AUDIT_POOL), pool_ + bond, "the pool has its bond again");
        assertEq(vault.totalStake(alice), stake, "the provider of a trap is no cheat");
        assertEq(_frozen(alice), 0);
        theAudits.releaseAuditor(taskId, 0);
        assertEq(vault.dutiesOf(auditor), 0);

        traps.enter(taskId, 0, auditor);
        _finish(taskId);
        uint128 credit = vault.credit(auditor);
        traps.collect(taskId, 0, auditor);
        assertEq(vault.credit(auditor) - credit, JACKPOT);
        assertEq(vault.totalStake(auditor), 1_000 * UNIT);
        // the task is back in the auction, and its requester takes the escrow
        assertState(taskId, TaskState.Open);
        vm.prank(requester);
        market.cancel(taskId);
    }

    function test_honestAuditor_ofAnotherTask_cannotBePenalised() public {
        uint256 taskId = _committedRun(alice, _right(STEPS));
        _decideAudit(taskId);
        _commitAudit(taskId, _right(STEPS));
        _openAudit(taskId, _right(STEPS));
        bytes memory call = abi.encodeCall(ITraps.penaliseAuditor, (taskId, 0));
        _refuse(anyone, call, abi.encodeWithSelector(Traps.NoTrap.selector, taskId, 0));
    }

    // ---- finders

    function test_challenger_getsBondAndJackpot() public {
        uint256 before = token.balanceOf(watcher);
        uint256 taskId = _trapped(NONCE);
        uint256 id = _found(taskId, watcher);
        _showTrap(taskId);
        theCourt.closeMoot(id);
        traps.enter(taskId, 0, watcher);
        assertTrue(traps.isFinder(taskId, 0, watcher), "entered");
        _refuse(
            anyone,
            abi.encodeCall(ITraps.enter, (taskId, 0, watcher)),
            abi.encodeWithSelector(Traps.AlreadyEntered.selector, taskId, 0, watcher)
        );
        _finish(taskId);
        traps.collect(taskId, 0, watcher);
        assertEq(token.balanceOf(watcher) + vault.credit(watcher), before + JACKPOT);
        _refuse(
            anyone,
            abi.encodeCall(ITraps.collect, (taskId, 0, watcher)),
            abi.encodeWithSelector(Traps.NotFinder.selector, taskId, 0, watcher)
        );
    }

    function test_enter_ofWhoSaidNothing_orSaidItLate_reverts() public {
        uint256 taskId = _trapped(NONCE);
        _found(taskId, watcher);
        _showTrap(taskId);
        bytes memory why = abi.encodeWithSelector(Traps.NotFinder.selector, taskId, 0, bob);
        _refuse(anyone, abi.encodeCall(ITraps.enter, (taskId, 0, bob)), why);
        _commitChallenge(taskId, bob, _rightRoot()); // in the same second: it may have read the reveal
        _reveal(taskId, bob, _rightRoot());
        _refuse(anyone, abi.encodeCall(ITraps.enter, (taskId, 0, bob)), why);
        _refuse(bob, abi.encodeCall(ITraps.show, (taskId, 0, _rightRoot(), SALT)), why);
    }

    /// A friend of the sealer reveals first, the trap is shown and the attempt ended, all in one block: a challenger that
    /// could not reveal, and whose bond somebody reclaimed, has its share all the same.
    function test_show_ofAChallengerThatWasNotHeard() public {
        uint256 taskId = _trapped(NONCE);
        _commitChallenge(taskId, watcher, _rightRoot());
        uint256 id = _found(taskId, bob);
        _showTrap(taskId);
        theCourt.closeMoot(id);
        theCourt.reclaimChallenge(taskId, 0, watcher);
        bytes memory why = abi.encodeWithSelector(Traps.NotFinder.selector, taskId, 0, watcher);
        _refuse(anyone, abi.encodeCall(ITraps.enter, (taskId, 0, watcher)), why);
        _refuse(watcher, abi.encodeCall(ITraps.show, (taskId, 0, _rightRoot(), TRAP_SALT)), why);
        bytes32 root = _rightRoot();
        vm.prank(watcher);
        traps.show(taskId, 0, root, SALT);
        traps.enter(taskId, 0, bob);
        _finish(taskId);
        traps.collect(taskId, 0, watcher);
        assertEq(uint256(_trapOf(taskId).share), JACKPOT / 2);
    }

    function test_show_ofAnAuditorThatWasNotHeard() public {
        uint256 taskId = _trapped(NONCE);
        address auditor = _decideAudit(taskId);
        _commitAudit(taskId, _right(STEPS));
        skip(1);
        uint256 id = _found(taskId, watcher);
        _showTrap(taskId);
        theCourt.closeMoot(id);
        theAudits.releaseAuditor(taskId, 0);
        bytes32 root = _rightRoot();
        vm.prank(auditor);
        traps.show(taskId, 0, root, SALT);
        assertTrue(traps.isFinder(taskId, 0, auditor), "its commitment says what it found");
    }

    function test_show_ofAnAuditorThatCopied_reverts() public {
        uint256 taskId = _trapped(NONCE);
        address auditor = _decideAudit(taskId);
        _commitCopied(taskId);
        skip(1);
        _found(taskId, watcher);
        _showTrap(taskId);
        bytes32 copied = TraceHash.traceRoot(STEPS, _trapRoot());
        bytes memory why = abi.encodeWithSelector(Traps.NotFinder.selector, taskId, 0, auditor);
        _refuse(auditor, abi.encodeCall(ITraps.show, (taskId, 0, copied, SALT)), why);
    }

    function test_enter_afterTheTimeForClaims_reverts() public {
        uint256 taskId = _trapped(NONCE);
        _found(taskId, watcher);
        _showTrap(taskId);
        uint64 until = _trapOf(taskId).claimsUntil;
        bytes memory open = abi.encodeWithSelector(Traps.ClaimsOpen.selector, taskId, until);
        _refuse(anyone, abi.encodeCall(ITraps.close, (taskId, 0)), open);
        bytes memory notClosed = abi.encodeWithSelector(Traps.NotClosed.selector, taskId, 0);
        _refuse(anyone, abi.encodeCall(ITraps.collect, (taskId, 0, watcher)), notClosed);
        vm.warp(until + 1);
        bytes memory over = abi.encodeWithSelector(Traps.ClaimsOver.selector, taskId, until);
        _refuse(anyone, abi.encodeCall(ITraps.enter, (taskId, 0, watcher)), over);
        traps.close(taskId, 0);
        bytes memory closed = abi.encodeWithSelector(Traps.AlreadyClosed.selector, taskId, 0);
        _refuse(anyone, abi.encodeCall(ITraps.close, (taskId, 0)), closed);
    }

    // ---- the dispute

    function test_closeMoot_withoutTheTrapsWord_reverts() public {
        uint256 taskId = _trapped(NONCE);
        uint256 id = _found(taskId, watcher);
        _refused(anyone, abi.encodeCall(theCourt.closeMoot, (id)), abi.encodeWithSelector(Refereeing.NotMoot.selector, id));
    }

    /// Several disputes: each is closed by itself, the last one ends the attempt.
    function test_closeMoot_ofSeveralDisputes() public {
        uint256 taskId = _trapped(NONCE);
        uint256 first = _found(taskId, watcher);
        uint256 second = _found(taskId, bob);
        _showTrap(taskId);
        theCourt.closeMoot(first);
        assertState(taskId, TaskState.Disputed);
        theCourt.closeMoot(second);
        assertState(taskId, TaskState.Open);
        assertPotsEmpty(first);
        assertPotsEmpty(second);
        assertEq(_frozen(alice), 0);
    }

    /// The trap is not shown: its provider is a cheat, and loses like one.
    function test_sealedButNotShown_isConvicted() public {
        uint256 taskId = _trapped(NONCE);
        uint256 id = _found(taskId, watcher);
        _convictByTimeout(id);
        assertDispute(id, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice), "no trap's word, no excuse");
    }

    // ---- the jackpot

    /// However many keys one finder is: it gets no more than with one, and nobody gets more than there is.
    function testFuzz_jackpot_splittingGainsNothing(uint8 others, uint8 clones, uint96 jackpot) public {
        others = uint8(bound(others, 0, 3));
        clones = uint8(bound(clones, 1, 5));
        uint128 deposit = uint128(bound(jackpot, traps.leastJackpot(), 50_000e18));
        bytes32 commitment = _commitmentOf(requester, alice, NONCE);
        vm.prank(sealer);
        traps.seal(commitment, deposit);
        skip(1);
        uint256 taskId = _post();
        _claim(taskId, alice);
        _commitTrap(taskId, alice);
        uint256 finders = uint256(others) + clones;
        for (uint256 i = 0; i < finders; i++) {
            _found(taskId, _funded(string(abi.encodePacked("finder", bytes1(uint8(65 + i))))));
        }
        skip(1);
        _showTrap(taskId);
        uint128 burned = vault.burned();
        uint128 clonesGot;
        for (uint256 i = 0; i < finders; i++) {
            traps.enter(taskId, 0, makeAddr(string(abi.encodePacked("finder", bytes1(uint8(65 + i))))));
        }
        _finish(taskId);
        uint128 paid;
        for (uint256 i = 0; i < finders; i++) {
            address finder = makeAddr(string(abi.encodePacked("finder", bytes1(uint8(65 + i)))));
            traps.collect(taskId, 0, finder);
            paid += vault.credit(finder);
            if (i >= others) clonesGot += vault.credit(finder);
        }
        assertLe(clonesGot, deposit >> others, "more than it had got under one key");
        assertEq(paid + (vault.burned() - burned), deposit, "paid or burned");
        assertEq(vault.pot(_potOf(commitment)), 0, "nothing is left");
        assertEq(vault.credit(sealer), 0, "the sealer gets nothing back of what was found");
    }

    function test_wiring() public view {
        assertEq(traps.market(), address(market));
        assertEq(address(traps.court()), address(theCourt));
        assertEq(address(traps.audits()), address(theAudits));
        assertEq(theCourt.traps(), address(traps));
        assertEq(vault.traps(), address(traps));
    }
}
