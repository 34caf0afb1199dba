// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {Run} from "../utils/GameTrace.sol";
import {ScriptedLevels} from "../utils/ScriptedLevels.sol";
import {CourtStorage} from "../../src/court/CourtStorage.sol";
import {Refereeing} from "../../src/court/Refereeing.sol";
import {AppealOutcome} from "../../src/interfaces/IAppealLevels.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {CourtParams, Params} from "../../src/interfaces/IParameters.sol";
import {DisputeState, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice P-R4 while no levels are installed.
contract CourtAppealTest is CourtFixture {
    Run private wrong;
    Run private right;
    CourtParams private c;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        c = _courtParams();
    }

    function _appeal(uint256 id) private pure returns (bytes memory) {
        return abi.encodeCall(ICourt.appeal, (id));
    }

    function test_appeal_byWhoWon_orByNobody_reverts() public {
        (, uint256 id, address referee) = _ruled(wrong, right);
        address[4] memory others = [watcher, referee, requester, anyone];
        for (uint256 i = 0; i < others.length; i++) {
            _refused(others[i], _appeal(id), abi.encodeWithSelector(Refereeing.NotLosingSide.selector, id, others[i]));
        }
        uint256 cleared = _challenge(_committedRun(carol, right), watcher, wrong);
        _play(cleared, right, wrong);
        _drawReferee(cleared);
        _rule(cleared, right);
        others = [carol, _ownerOf(carol), _payoutOf(carol), anyone];
        for (uint256 i = 0; i < others.length; i++) {
            _refused(others[i], _appeal(cleared), abi.encodeWithSelector(Refereeing.NotLosingSide.selector, cleared, others[i]));
        }
    }

    function test_appeal_inTheWindow_byAnyNameOfTheProvider() public {
        (, uint256 id,) = _ruled(wrong, right);
        address[3] memory sides = [alice, _ownerOf(alice), _payoutOf(alice)];
        for (uint256 i = 0; i < 3; i++) {
            uint256 before = vm.snapshotState();
            vm.prank(sides[i]);
            theCourt.appeal(id);
            assertDispute(id, DisputeState.Void);
            vm.revertToState(before);
        }
        uint256 closedAt = theCourt.dispute(id).ruledAt + c.appealWindow;
        vm.warp(closedAt + 1);
        _refused(alice, _appeal(id), abi.encodeWithSelector(Refereeing.AppealWindowClosed.selector, id, closedAt));
        vm.warp(closedAt);
        vm.prank(alice);
        theCourt.appeal(id);
    }

    function test_appeal_guilty_isVoid_nobodyPays() public {
        (uint256 taskId, uint256 id, address referee) = _ruled(wrong, right);
        uint128 burned = vault.burned();
        uint256 balance = token.balanceOf(alice);
        vm.prank(alice);
        theCourt.appeal(id);
        assertDispute(id, DisputeState.Void);
        assertState(taskId, TaskState.Open);
        assertEq(market.task(taskId).attempt, 1);
        assertEq(market.task(taskId).maxPrice, 3 * UNIT, "no top-up without a slash");
        assertTrue(market.isExcluded(taskId, alice), "not the same hands again");
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
        assertEq(vault.totalStake(alice), 1_000 * UNIT);
        assertEq(vault.provider(alice).locked, 0);
        assertFalse(vault.isTombstoned(alice));
        assertEq(_frozen(alice), 0);
        assertEq(vault.burned(), burned);
        assertEq(token.balanceOf(alice), balance, "its bond would come back in the same breath");
        assertEq(vault.dutiesOf(referee), 0);
        assertPotsEmpty(id);
    }

    /// A friend of the cheat challenges, loses, and appeals: its own dispute is void, and the honest one goes on to the verdict.
    function test_appeal_byAFriend_endsNoOtherDispute() public {
        address puppet = _funded("puppet");
        uint256 taskId = _committedRun(alice, wrong);
        Run memory bad = Run({steps: 2, salt: 8, leaf: 0, live: false, index: 7});
        uint256 honest = _challenge(taskId, watcher, right);
        uint256 friend = _challenge(taskId, puppet, bad);
        _play(friend, wrong, bad);
        _drawReferee(friend);
        _rule(friend, wrong);
        vm.prank(puppet);
        theCourt.appeal(friend);
        assertDispute(friend, DisputeState.Void);
        assertState(taskId, TaskState.Disputed);
        _play(honest, wrong, right);
        _drawReferee(honest);
        _rule(honest, wrong);
        _finalize(honest);
        assertDispute(honest, DisputeState.Upheld);
        assertTrue(vault.isTombstoned(alice));
    }

    function test_appeal_cleared_isVoid() public {
        uint256 taskId = _committedRun(alice, right);
        uint256 id = _challenge(taskId, watcher, wrong);
        _play(id, right, wrong);
        _drawReferee(id);
        _rule(id, right);
        vm.prank(watcher);
        theCourt.appeal(id);
        assertDispute(id, DisputeState.Void);
        assertState(taskId, TaskState.Open);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
    }

    function test_appeal_beforeARuling_reverts() public {
        (, uint256 id,) = _refereed(wrong, right);
        _refused(alice, _appeal(id), CourtStorage.WrongDisputeState.selector);
    }
}

/// @notice P-R4 with levels installed.
contract CourtAppealLevelsTest is CourtFixture {
    /// @dev A quarter of the half that a referee loses.
    uint128 private constant RESTITUTION = 125 * UNIT;
    Run private wrong;
    Run private right;
    CourtParams private c;
    ScriptedLevels private levels;

    function setUp() public override {
        super.setUp();
        (wrong, right) = (_wrong(), _right(2));
        c = _courtParams();
    }

    function _params() internal view override returns (Params memory p) {
        p = super._params();
        p.court.appealLevels = address(0x1e7e15);
    }

    function _deployCourt() internal override {
        super._deployCourt();
        vm.etch(address(0x1e7e15), address(new ScriptedLevels()).code);
        levels = ScriptedLevels(address(0x1e7e15));
    }

    /// @dev A referee that lies when told to.
    function _ruledAs(Run memory theirs, Run memory own, bool guilty)
        private
        returns (uint256 taskId, uint256 id, address referee)
    {
        (taskId, id, referee) = _refereed(theirs, own);
        bytes32 claimed = theCourt.dispute(id).claimedDigest;
        vm.prank(referee);
        theCourt.rule(id, claimed, guilty ? bytes32("something else") : claimed);
    }

    function _appealed(uint256 id, address by) private {
        vm.prank(by);
        theCourt.appeal(id);
        assertDispute(id, DisputeState.Appealed);
        assertEq(levels.accuserOf(id), watcher, "the challenger accuses, whoever appeals");
        assertEq(theCourt.dispute(id).appellant, by);
        assertEq(levels.opened(id), 1, "handed over once");
        assertEq(levels.court(), address(theCourt));
        assertEq(vault.pot(Pots.appeal(id)), c.appealBond);
    }

    function _decide(uint256 id, AppealOutcome outcome) private {
        levels.say(id, outcome);
        vm.prank(anyone);
        theCourt.finalize(id);
        assertPotsEmpty(id);
        assertEq(_frozen(alice), 0);
    }

    function _overturned(address referee) private view {
        assertTrue(vault.isTombstoned(referee), "overturned: slashed like a provider");
        assertEq(vault.correlationOf(referee).slashedAt, block.timestamp, "and counted with the others of its time");
        assertEq(vault.totalStake(referee), 500 * UNIT);
        assertEq(vault.credit(_payoutOf(referee)), 0, "and paid nothing");
    }

    function test_levels_confirmGuilty() public {
        (, uint256 id, address referee) = _ruledAs(wrong, right, true);
        _appealed(id, alice);
        uint128 stake = vault.totalStake(alice);
        _decide(id, AppealOutcome.Guilty);
        assertDispute(id, DisputeState.Upheld);
        uint128 taken = stake - vault.totalStake(alice);
        assertEq(
            vault.credit(watcher), theCourt.bondOf(alice) + taken / 4 + c.appealBond, "bond, reward and the appellant's bond"
        );
        assertEq(vault.credit(_payoutOf(referee)), taken / 20);
        assertFalse(vault.isTombstoned(referee));
    }

    /// The referee lied against an honest provider.
    function test_levels_overturnGuilty() public {
        (uint256 taskId, uint256 id, address referee) = _ruledAs(right, wrong, true);
        _appealed(id, alice);
        _decide(id, AppealOutcome.Cleared);
        assertDispute(id, DisputeState.Cleared);
        assertState(taskId, TaskState.Committed);
        _overturned(referee);
        assertEq(vault.credit(_payoutOf(alice)), theCourt.bondOf(alice), "the whole bond");
        assertEq(vault.credit(alice), c.appealBond + RESTITUTION, "and its own back, with a part of the slash");
        assertFalse(vault.isTombstoned(alice));
    }

    /// The referee lied for a friend.
    function test_levels_overturnCleared() public {
        (, uint256 id, address referee) = _ruledAs(wrong, right, false);
        _appealed(id, watcher);
        uint128 stake = vault.totalStake(alice);
        _decide(id, AppealOutcome.Guilty);
        assertDispute(id, DisputeState.Upheld);
        _overturned(referee);
        uint128 taken = stake - vault.totalStake(alice);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice) + taken / 4 + c.appealBond + RESTITUTION);
        assertTrue(vault.isTombstoned(alice));
    }

    function test_levels_confirmCleared() public {
        (, uint256 id, address referee) = _ruledAs(right, wrong, false);
        _appealed(id, watcher);
        _decide(id, AppealOutcome.Cleared);
        assertDispute(id, DisputeState.Cleared);
        assertEq(vault.credit(_payoutOf(referee)), c.refereeFee);
        assertEq(vault.credit(_payoutOf(alice)), theCourt.bondOf(alice) - c.refereeFee + c.appealBond);
        assertEq(vault.credit(watcher), 0);
    }

    function test_levels_void_bondsBack() public {
        (uint256 taskId, uint256 id,) = _ruledAs(wrong, right, true);
        _appealed(id, alice);
        _decide(id, AppealOutcome.Void);
        assertDispute(id, DisputeState.Void);
        assertState(taskId, TaskState.Open);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
        assertEq(vault.credit(alice), c.appealBond);
    }

    /// Levels that do not answer in their time have not answered.
    function test_levels_lapse() public {
        (, uint256 id,) = _ruledAs(wrong, right, true);
        _appealed(id, alice);
        uint256 lapsesAt = block.timestamp + c.ospSeconds;
        bytes memory pending = abi.encodeWithSelector(Refereeing.AppealPending.selector, id, lapsesAt);
        vm.warp(lapsesAt);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (id)), pending);
        vm.warp(lapsesAt + 1);
        theCourt.finalize(id);
        assertDispute(id, DisputeState.Void);
        assertPotsEmpty(id);
    }

    function test_levels_withoutTheAppealBond_reverts() public {
        (, uint256 id,) = _ruledAs(wrong, right, true);
        address owner = _ownerOf(alice); // has no coins
        vm.prank(owner);
        (bool done,) = address(theCourt).call(abi.encodeCall(ICourt.appeal, (id)));
        assertFalse(done, "for free");
        assertDispute(id, DisputeState.Ruled);
        assertEq(levels.opened(id), 0);
    }

    /// No referee could be had: the levels judge, nobody has appealed, and no bond moves but the challenger's.
    function test_levels_withoutReferee() public {
        (, uint256 id) = _isolated(wrong, right);
        for (uint256 i = 0; i < 3; i++) {
            address member = [bob, carol, makeAddr("dora")][i];
            vm.prank(member);
            pool.leave(modelId);
        }
        _publish(beacon.roundAfter(theCourt.dispute(id).isolatedAt));
        theCourt.drawReferee(id);
        assertDispute(id, DisputeState.Appealed);
        assertEq(levels.accuserOf(id), watcher);
        assertEq(theCourt.dispute(id).appellant, address(0));
        uint128 stake = vault.totalStake(alice);
        _decide(id, AppealOutcome.Guilty);
        assertDispute(id, DisputeState.Upheld);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice) + (stake - vault.totalStake(alice)) / 4);
    }

    function _moot(uint256 taskId) private {
        vm.prank(address(theCourt));
        vault.tombstone(alice);
        market.reverse(taskId);
    }

    /// A cheat that is convicted elsewhere anyway does not appeal for free.
    function test_levels_moot_aFailedAppealIsPaidFor() public {
        (uint256 taskId, uint256 id, address referee) = _ruledAs(wrong, right, true);
        _appealed(id, alice);
        _moot(taskId);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (id)), Refereeing.AppealPending.selector);
        // the ruling is judged all the same
        _refused(anyone, abi.encodeCall(ICourt.closeMoot, (id)), Refereeing.AppealPending.selector);
        levels.say(id, AppealOutcome.Guilty);
        _refused(anyone, abi.encodeCall(ICourt.finalize, (id)), CourtStorage.DisputeMoot.selector);
        uint256 before = vm.snapshotState();
        theCourt.closeMoot(id);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice) + c.appealBond, "it accused");
        assertEq(vault.credit(alice), 0);
        assertPotsEmpty(id);
        vm.revertToState(before);
        levels.replayed(id);
        theCourt.closeMoot(id);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
        assertEq(vault.credit(_payoutOf(referee)), c.appealBond, "the referee accused");
        assertPotsEmpty(id);
    }

    /// Nobody ruled, so nobody's ruling is at stake: the challenger's bond waits for nothing.
    function test_levels_moot_withoutARuling_closesAtOnce() public {
        (uint256 taskId, uint256 id) = _isolated(wrong, right);
        for (uint256 i = 0; i < 3; i++) {
            vm.prank([bob, carol, makeAddr("dora")][i]);
            pool.leave(modelId);
        }
        _publish(beacon.roundAfter(theCourt.dispute(id).isolatedAt));
        theCourt.drawReferee(id);
        assertDispute(id, DisputeState.Appealed);
        _moot(taskId);
        theCourt.closeMoot(id);
        assertDispute(id, DisputeState.Void);
        assertEq(vault.credit(watcher), theCourt.bondOf(alice));
        assertPotsEmpty(id);
    }

    function test_levels_moot_aLyingRefereeIsNotSaved() public {
        for (uint256 i = 0; i < 2; i++) {
            bool guilty = i == 0;
            uint256 before = vm.snapshotState();
            (uint256 taskId, uint256 id, address referee) = _ruledAs(guilty ? right : wrong, guilty ? wrong : right, guilty);
            address appellant = guilty ? alice : watcher;
            _appealed(id, appellant);
            _moot(taskId);
            levels.say(id, guilty ? AppealOutcome.Cleared : AppealOutcome.Guilty);
            theCourt.closeMoot(id);
            assertDispute(id, DisputeState.Void);
            assertTrue(vault.isTombstoned(referee));
            uint256 own = guilty ? 0 : theCourt.bondOf(alice);
            assertEq(vault.credit(appellant), own + c.appealBond + 125 * UNIT);
            assertPotsEmpty(id);
            vm.revertToState(before);
        }
    }

    /// Levels that never answer keep no bonds.
    function test_levels_moot_lapsed() public {
        (uint256 taskId, uint256 id, address referee) = _ruledAs(wrong, right, true);
        _appealed(id, alice);
        _moot(taskId);
        vm.warp(block.timestamp + c.ospSeconds + 1);
        theCourt.closeMoot(id);
        assertFalse(vault.isTombstoned(referee));
        assertPotsEmpty(id);
    }
}
