// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {Challenges} from "../../src/court/Challenges.sol";
import {Market} from "../../src/market/Market.sol";
import {MarketVerdicts} from "../../src/market/MarketVerdicts.sol";
import {CourtParams, MarketParams, Params} from "../../src/interfaces/IParameters.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {Dispute, DisputeState, Side, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice P-C1 to P-C4: commitments, windows, bonds, and what becomes of a challenge that is never revealed.
contract CourtChallengesTest is CourtFixture {
    bytes32 private ownRoot;
    uint256 private taskId;
    uint64 private committedAt;
    MarketParams private m;

    function setUp() public override {
        super.setUp();
        ownRoot = GameTrace.traceRoot(_right(2), shape);
        taskId = _committedRun(alice, _wrong());
        committedAt = market.task(taskId).committedAt;
        m = parameters.marketAt(1);
    }

    function _commitCall() private pure returns (bytes memory) {
        return abi.encodeCall(ICourt.commitChallenge, (1, 0, keccak256("a commitment")));
    }

    function _revealCall() private view returns (bytes memory) {
        return abi.encodeCall(ICourt.revealChallenge, (taskId, ownRoot, SALT));
    }

    // ---- commitment

    function test_commit_pullsTheBondAtOnce() public {
        uint128 bond = theCourt.bondOf(alice);
        uint256 before = token.balanceOf(watcher);
        _commitChallenge(taskId, watcher, ownRoot);
        assertEq(before - token.balanceOf(watcher), bond);
        assertEq(vault.pot(Pots.challenge(taskId, 0, watcher)), bond);
        (bytes32 commitment, uint128 held, bool revealed,) = theCourt.challengeOf(taskId, 0, watcher);
        assertEq(commitment, _commitment(taskId, watcher, ownRoot));
        assertEq(held, bond);
        assertFalse(revealed);
        assertState(taskId, TaskState.Committed);
        assertEq(_frozen(alice), 0, "nobody is frozen by what nobody can read");
    }

    /// Without a bond nothing counts: the provider may still retract.
    function test_commit_withoutTheBond_leavesNothing() public {
        address pauper = makeAddr("pauper");
        vm.prank(pauper);
        (bool done,) = address(theCourt).call(_commitCall());
        assertFalse(done, "a challenge for free");
        (, uint128 held,,) = theCourt.challengeOf(taskId, 0, pauper);
        assertEq(held, 0);
        vm.prank(alice);
        market.retract(taskId);
        assertState(taskId, TaskState.Open);
    }

    function test_commit_closesTheRetract() public {
        _commitChallenge(taskId, watcher, ownRoot);
        vm.expectRevert(abi.encodeWithSelector(Market.AlreadyChallenged.selector, taskId));
        vm.prank(alice);
        market.retract(taskId);
    }

    function test_commit_window() public {
        uint256 closedAt = committedAt + m.challengeWindow;
        vm.warp(closedAt - 1);
        _commitChallenge(taskId, watcher, ownRoot);
        vm.warp(closedAt);
        _refused(bob, _commitCall(), abi.encodeWithSelector(Challenges.CommitWindowClosed.selector, taskId, closedAt));
    }

    function test_commit_withoutAResult_reverts() public {
        bytes4 nothing = Challenges.NothingToChallenge.selector;
        uint256 other = _post();
        bytes memory call = abi.encodeCall(ICourt.commitChallenge, (other, 0, keccak256("a commitment")));
        _refused(watcher, call, abi.encodeWithSelector(nothing, other, TaskState.Open));
        _claim(other, alice);
        _refused(watcher, call, abi.encodeWithSelector(nothing, other, TaskState.Claimed));
        _refused(watcher, abi.encodeCall(ICourt.commitChallenge, (99, 0, 0)), abi.encodeWithSelector(nothing, 99, TaskState.None));
        _decideNoAudit(taskId);
        _settle(taskId);
        _refused(watcher, _commitCall(), abi.encodeWithSelector(nothing, taskId, TaskState.Settled));
    }

    /// A provider that challenges itself would hold its own result open, or lose to a friend's cheap challenge.
    function test_commit_ownTask_underEveryName_reverts() public {
        address[3] memory sides = [alice, _ownerOf(alice), _payoutOf(alice)];
        for (uint256 i = 0; i < 3; i++) {
            _refused(sides[i], _commitCall(), abi.encodeWithSelector(Challenges.OwnTask.selector, taskId, sides[i]));
        }
    }

    function test_commit_requesterAndOtherProvidersMay() public {
        _commitChallenge(taskId, requester, ownRoot);
        _commitChallenge(taskId, bob, ownRoot);
        assertEq(vault.pot(Pots.challenge(taskId, 0, bob)), theCourt.bondOf(alice));
    }

    /// A second commitment would hide what the first one said.
    function test_commit_twice_reverts() public {
        _commitChallenge(taskId, watcher, ownRoot);
        bytes memory already = abi.encodeWithSelector(Challenges.AlreadyCommitted.selector, taskId, 0, watcher);
        _refused(watcher, _commitCall(), already);
        _toReveal(taskId);
        _reveal(taskId, watcher, ownRoot);
        _refused(watcher, _commitCall(), already);
    }

    // ---- bond

    function test_bond_isGasAndFeeAndIdleTime() public view {
        CourtParams memory c = _courtParams();
        uint256 idle = uint256(c.freezeRate) * parameters.disputeSecondsMax(1);
        assertLt(idle, c.freezeCap, "below the cap by these parameters");
        assertEq(theCourt.bondOf(alice), c.providerGasCost + c.refereeFee + idle);
    }

    /// Idle time is capped, and a task keeps the rules it was posted under.
    function test_bond_isCapped_andTheTasksOwn() public {
        uint128 old = theCourt.bondOf(alice);
        Params memory p = parameters.paramsAt(1);
        p.court.freezeRate = 1e18;
        vm.prank(timelock);
        parameters.set(p);
        assertEq(theCourt.bondOf(alice), p.court.providerGasCost + p.court.refereeFee + p.court.freezeCap);
        _commitChallenge(taskId, watcher, ownRoot);
        assertEq(vault.pot(Pots.challenge(taskId, 0, watcher)), old, "rules of its time");
    }

    // ---- reveal

    function test_reveal_opensOneDispute() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _toReveal(taskId);
        uint256 id = _reveal(taskId, watcher, ownRoot);
        assertEq(id, 1);
        assertEq(theCourt.disputeCount(), 1);
        Dispute memory d = theCourt.dispute(id);
        assertEq(d.taskId, taskId);
        assertEq(d.provider, alice);
        assertEq(d.challenger, watcher);
        assertEq(d.node, market.level1RootOf(taskId), "the provider's root is the only claim");
        assertEq(d.height, shape.traceHeight);
        assertTrue(d.turn == Side.Provider, "the provider moves first");
        assertEq(d.bond, theCourt.bondOf(alice));
        assertEq(vault.pot(Pots.dispute(id)), d.bond, "the bond went along");
        assertEq(vault.pot(Pots.challenge(taskId, 0, watcher)), 0);
        assertDispute(id, DisputeState.Level1);
        assertState(taskId, TaskState.Disputed);
        assertEq(market.task(taskId).openChallenges, 1);
        assertEq(_frozen(alice), 1);
        _refused(watcher, _revealCall(), abi.encodeWithSelector(Challenges.AlreadyRevealed.selector, taskId, 0, watcher));
    }

    /// Friends of a cheat, who get their bonds back through it, open disputes until two bytes cannot count them. The one honest
    /// challenger, who comes last, is heard all the same.
    function test_reveal_afterAFloodOfDisputes_isHeard() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _commitChallenge(taskId, bob, ownRoot);
        _toReveal(taskId);
        _reveal(taskId, bob, ownRoot);
        bytes32 record = keccak256(abi.encode(taskId, uint256(1))); // `_tasks`
        bytes32 account = keccak256(abi.encode(alice, uint256(1))); // `_accounts`
        uint256 more = type(uint16).max - 1;
        vm.store(address(market), record, bytes32(uint256(vm.load(address(market), record)) + (more << 24)));
        vm.store(address(vault), account, bytes32(uint256(vm.load(address(vault), account)) + (more << 200)));
        assertEq(market.task(taskId).openChallenges, type(uint16).max, "two bytes full");
        assertEq(_frozen(alice), type(uint16).max, "two bytes full");
        uint256 id = _reveal(taskId, watcher, ownRoot);
        assertDispute(id, DisputeState.Level1);
        assertEq(_frozen(alice), uint32(type(uint16).max) + 1);
        assertEq(market.task(taskId).openChallenges, type(uint16).max, "the view says: that many or more");
    }

    /// Whoever shows its root while a retract is possible warns the provider.
    function test_reveal_beforeTheRetractDeadline_reverts() public {
        _commitChallenge(taskId, watcher, ownRoot);
        uint256 opensAt = committedAt + m.retractWindow;
        vm.warp(opensAt - 1);
        _refused(watcher, _revealCall(), abi.encodeWithSelector(Challenges.RevealWindowNotOpen.selector, taskId, opensAt));
        vm.warp(opensAt);
        _reveal(taskId, watcher, ownRoot);
    }

    function test_reveal_window() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _commitChallenge(taskId, bob, ownRoot);
        uint256 closedAt = committedAt + m.challengeWindow + m.revealWindow;
        vm.warp(closedAt - 1);
        _reveal(taskId, watcher, ownRoot);
        vm.warp(closedAt);
        _refused(bob, _revealCall(), abi.encodeWithSelector(Challenges.RevealWindowClosed.selector, taskId, closedAt));
    }

    function test_reveal_withoutCommitment_reverts() public {
        _toReveal(taskId);
        _refused(watcher, _revealCall(), abi.encodeWithSelector(Challenges.NoSuchCommitment.selector, taskId, 0, watcher));
    }

    /// Copying a commitment off the chain buys nothing: it opens for its author alone, and the copier's bond burns.
    function test_reveal_copiedCommitment_opensForNobodyElse() public {
        _commitChallenge(taskId, watcher, ownRoot);
        bytes32 copied = _commitment(taskId, watcher, ownRoot);
        vm.prank(bob);
        theCourt.commitChallenge(taskId, 0, copied);
        _toReveal(taskId);
        _reveal(taskId, watcher, ownRoot);
        bytes32 bobs = _commitment(taskId, bob, ownRoot);
        _refused(bob, _revealCall(), abi.encodeWithSelector(Challenges.CommitmentMismatch.selector, bobs, copied));
        vm.warp(committedAt + m.challengeWindow + m.revealWindow);
        uint128 burned = vault.burned();
        theCourt.reclaimChallenge(taskId, 0, bob);
        assertEq(vault.burned() - burned, theCourt.bondOf(alice));
    }

    function test_reveal_anotherRootOrSalt_reverts() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _toReveal(taskId);
        bytes4 mismatch = Challenges.CommitmentMismatch.selector;
        _refused(watcher, abi.encodeCall(ICourt.revealChallenge, (taskId, keccak256("other"), SALT)), mismatch);
        _refused(watcher, abi.encodeCall(ICourt.revealChallenge, (taskId, ownRoot, keccak256("other"))), mismatch);
    }

    function test_reveal_onAnotherChain_reverts() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _toReveal(taskId);
        uint256 id = block.chainid;
        vm.chainId(id + 1);
        _refused(watcher, _revealCall(), Challenges.CommitmentMismatch.selector);
        vm.chainId(id);
        _reveal(taskId, watcher, ownRoot);
    }

    /// One that a reorg took out and that comes back behind the end of its attempt costs nothing.
    function test_commit_ofAnotherAttempt_reverts() public {
        bytes memory call = abi.encodeCall(ICourt.commitChallenge, (taskId, 1, keccak256("a commitment")));
        _refused(watcher, call, abi.encodeWithSelector(Challenges.OtherAttempt.selector, taskId, 0));
    }

    /// A commitment to another task, or to another attempt at this one, opens nothing here.
    function test_reveal_commitmentToAnotherPlace_reverts() public {
        uint256 other = _committedRun(alice, _wrong());
        bytes32 elsewhere = _commitment(other, watcher, ownRoot);
        vm.prank(watcher);
        theCourt.commitChallenge(taskId, 0, elsewhere);
        bytes32 later = keccak256(abi.encode(block.chainid, address(court), bob, taskId, uint8(1), ownRoot, SALT));
        vm.prank(bob);
        theCourt.commitChallenge(taskId, 0, later);
        _toReveal(other);
        _refused(watcher, _revealCall(), Challenges.CommitmentMismatch.selector);
        _refused(bob, _revealCall(), Challenges.CommitmentMismatch.selector);
    }

    /// Agreeing with the provider is no challenge, however it is spelt.
    function test_reveal_theProvidersOwnRoot_reverts() public {
        bytes32 same = market.task(taskId).traceRoot;
        _commitChallenge(taskId, watcher, same);
        _toReveal(taskId);
        bytes memory call = abi.encodeCall(ICourt.revealChallenge, (taskId, same, SALT));
        _refused(watcher, call, abi.encodeWithSelector(Challenges.SameTrace.selector, same));
        assertEq(theCourt.disputeCount(), 0);
        assertEq(_frozen(alice), 0);
    }

    function test_reveal_afterTheResultLeft_reverts() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _commitChallenge(taskId, bob, ownRoot);
        _toReveal(taskId);
        _judge(_reveal(taskId, watcher, ownRoot), _wrong(), _right(2));
        _refused(bob, _revealCall(), abi.encodeWithSelector(Challenges.NothingToChallenge.selector, taskId, TaskState.Open));
        _claim(taskId, carol);
        _commitRun(taskId, carol, _right(2));
        _toReveal(taskId);
        _refused(bob, _revealCall(), abi.encodeWithSelector(Challenges.NoSuchCommitment.selector, taskId, 1, bob));
    }

    // ---- bonds that went into no dispute

    function _reclaimCall(address challenger) private view returns (bytes memory) {
        return abi.encodeCall(ICourt.reclaimChallenge, (taskId, 0, challenger));
    }

    /// Nobody gains by keeping a reveal off the chain: the bond burns, the provider gets nothing of it.
    function test_reclaim_neverRevealed_isForfeited() public {
        _commitChallenge(taskId, watcher, ownRoot);
        uint256 until = committedAt + m.challengeWindow + m.revealWindow;
        vm.warp(until - 1);
        _refused(anyone, _reclaimCall(watcher), abi.encodeWithSelector(Challenges.StillRevealable.selector, taskId, until));
        vm.warp(until);
        uint128 burned = vault.burned();
        theCourt.reclaimChallenge(taskId, 0, watcher);
        assertEq(vault.burned() - burned, theCourt.bondOf(alice));
        assertEq(vault.credit(watcher), 0);
        assertEq(vault.pot(Pots.challenge(taskId, 0, watcher)), 0);
        _refused(anyone, _reclaimCall(watcher), abi.encodeWithSelector(Challenges.NoSuchCommitment.selector, taskId, 0, watcher));
    }

    /// It does not keep the task from settling, and is forfeited after that too.
    function test_reclaim_neverRevealed_settled_isForfeited() public {
        _commitChallenge(taskId, watcher, ownRoot);
        _decideNoAudit(taskId);
        vm.expectPartialRevert(Market.TooEarlyToSettle.selector);
        market.settle(taskId);
        _settle(taskId);
        uint128 burned = vault.burned();
        theCourt.reclaimChallenge(taskId, 0, watcher);
        assertEq(vault.burned() - burned, theCourt.bondOf(alice));
    }

    function test_reclaim_overtakenByAConviction_isWhole() public {
        _commitChallenge(taskId, bob, ownRoot);
        _judge(_challenge(taskId, watcher, _right(2)), _wrong(), _right(2));
        vm.prank(anyone);
        theCourt.reclaimChallenge(taskId, 0, bob);
        assertEq(vault.credit(bob), theCourt.bondOf(alice), "to its owner, whoever calls");
        _refused(bob, _reclaimCall(bob), abi.encodeWithSelector(Challenges.NoSuchCommitment.selector, taskId, 0, bob));
    }

    function test_reclaim_overtakenByAnExpiry_isWhole() public {
        _commitChallenge(taskId, bob, ownRoot);
        uint256 id = _challenge(taskId, watcher, _right(2));
        vm.warp(block.timestamp + _courtParams().clockBudget + 1);
        theCourt.claimTimeout(id);
        vm.warp(block.timestamp + m.retryLifetime + 1);
        market.expire(taskId);
        theCourt.reclaimChallenge(taskId, 0, bob);
        assertEq(vault.credit(bob), theCourt.bondOf(alice));
    }

    function test_reclaim_overtakenByAReversal_isWhole() public {
        uint256 other = _committedRun(alice, _wrong());
        _commitChallenge(other, bob, ownRoot);
        _judge(_challenge(taskId, watcher, _right(2)), _wrong(), _right(2));
        assertState(other, TaskState.Committed);
        market.reverse(other);
        theCourt.reclaimChallenge(other, 0, bob);
        assertEq(vault.credit(bob), theCourt.bondOf(alice));
    }

    /// A challenge that was cleared elsewhere leaves the others to their windows.
    function test_reclaim_anotherOneCleared_isForfeited() public {
        uint256 good = _committedRun(alice, _right(2));
        bytes32 wrongRoot = GameTrace.traceRoot(_wrong(), shape);
        _commitChallenge(good, bob, wrongRoot);
        _judge(_challenge(good, watcher, _wrong()), _right(2), _wrong());
        assertState(good, TaskState.Committed);
        uint128 burned = vault.burned();
        theCourt.reclaimChallenge(good, 0, bob);
        assertEq(vault.burned() - burned, theCourt.bondOf(alice));
    }

    /// Taking back the bond of a challenge that is being heard would leave the verdict without money.
    function test_reclaim_revealed_reverts() public {
        uint256 id = _challenge(taskId, watcher, _right(2));
        bytes memory revealed = abi.encodeWithSelector(Challenges.AlreadyRevealed.selector, taskId, 0, watcher);
        _refused(watcher, _reclaimCall(watcher), revealed);
        _judge(id, _wrong(), _right(2));
        _refused(watcher, _reclaimCall(watcher), revealed);
    }

    function test_reclaim_unknown_reverts() public {
        _refused(anyone, _reclaimCall(bob), abi.encodeWithSelector(Challenges.NoSuchCommitment.selector, taskId, 0, bob));
    }

    // ---- other doors

    function test_openForAudit_byAnybodyElse_reverts() public {
        bytes memory call = abi.encodeCall(ICourt.openForAudit, (taskId, watcher, ownRoot));
        _refused(watcher, call, abi.encodeWithSelector(Challenges.NotAudits.selector, watcher));
        _refused(alice, call, abi.encodeWithSelector(Challenges.NotAudits.selector, alice));
    }

    /// The court's second piece of code, called at its own address, is a court that nobody listens to.
    function test_proceedings_calledDirectly_isNobody() public {
        ICourt code = ICourt(theCourt.proceedings());
        vm.expectRevert(abi.encodeWithSelector(MarketVerdicts.NotCourt.selector, address(code)));
        vm.prank(watcher);
        code.commitChallenge(taskId, 0, keccak256("a commitment"));
        _challenge(taskId, watcher, _right(2));
        vm.expectPartialRevert(bytes4(keccak256("WrongDisputeState(uint256,uint8,uint8)")));
        code.drawReferee(1);
    }
}
