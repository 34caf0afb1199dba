// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {StakeLedger} from "../../src/stake/StakeLedger.sol";
import {Provider} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

contract StakeVaultTest is MarketFixture {
    bytes32 private constant POT = bytes32(uint256(0x77) << 240);

    function _unbond(address key, uint128 amount) private returns (uint256 entry) {
        vm.prank(key);
        return vault.requestUnbond(amount);
    }

    function _slashSafety(address key, uint256 taskId) private returns (uint128) {
        vm.prank(court);
        return vault.slashTask(key, taskId, true, 5_000, POT);
    }

    // ---- registration

    function test_register_feeAndStake_landInPoolAndFree() public {
        uint128 poolBefore = vault.pot(Pots.AUDIT_POOL);
        address dave = _provider("dave", 200 * UNIT, 2);
        assertEq(vault.provider(dave).free, 200 * UNIT);
        assertEq(vault.pot(Pots.AUDIT_POOL) - poolBefore, 4 * UNIT, "registration fee");
        assertTrue(vault.isEligible(dave), "eligible at once");
    }

    function test_register_zeroStake_reverts() public {
        address dave = _funded("dave");
        vm.prank(dave);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.StakeBelowMinimum.selector, uint128(0), 100 * UNIT));
        vault.register(dave, dave, 1, 0);
    }

    function test_register_zeroConcurrency_reverts() public {
        address dave = _funded("dave");
        vm.prank(dave);
        vm.expectPartialRevert(StakeVault.ConcurrencyOutOfRange.selector);
        vault.register(dave, dave, 0, 200 * UNIT);
    }

    function test_register_twice_reverts() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.AlreadyRegistered.selector, alice));
        vault.register(alice, alice, 1, 200 * UNIT);
    }

    /// A provider that names a stranger as its owner or payout would bar the stranger from challenging it and ban it.
    function test_register_strangerAsOwnerWithoutConsent_reverts() public {
        address dave = _funded("dave");
        address victim = makeAddr("victim");
        vm.prank(dave);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.NoConsent.selector, victim, dave));
        vault.register(victim, dave, 1, 200 * UNIT);
        vm.prank(dave);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.NoConsent.selector, victim, dave));
        vault.register(dave, victim, 1, 200 * UNIT);
    }

    function test_register_tombstonedOwnerOrPayoutUnderNewKey_reverts() public {
        address owner = _ownerOf(alice);
        address payout = _payoutOf(alice);
        vm.prank(court);
        vault.tombstone(alice);
        address fresh = _funded("fresh");
        vm.prank(owner);
        vault.consent(fresh, true);
        vm.prank(payout);
        vault.consent(fresh, true);
        vm.prank(fresh);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.Banned.selector, owner));
        vault.register(owner, fresh, 1, 200 * UNIT);
        vm.prank(fresh);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.Banned.selector, payout));
        vault.register(fresh, payout, 1, 200 * UNIT);
        assertTrue(vault.isBanned(alice) && vault.isBanned(owner) && vault.isBanned(payout), "all three are banned");
    }

    function test_claim_siblingKeyOfTombstonedOwner_reverts() public {
        address owner = _ownerOf(alice);
        address sibling = _funded("sibling");
        vm.prank(owner);
        vault.consent(sibling, true);
        vm.prank(sibling);
        vault.register(owner, sibling, 1, 200 * UNIT);
        vm.prank(court);
        vault.tombstone(alice);
        assertFalse(vault.isEligible(sibling), "not drawn either");
        uint256 taskId = _post();
        vm.prank(sibling);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderBanned.selector, owner));
        market.claim(taskId);
    }

    // ---- unbonding

    function test_withdrawUnbonded_beforeMaturity_reverts() public {
        uint256 entry = _unbond(alice, 10 * UNIT);
        skip(2 days - 1);
        vm.prank(alice);
        vm.expectPartialRevert(StakeVault.NotMature.selector);
        vault.withdrawUnbonded(entry);
    }

    function test_withdrawUnbonded_afterMaturity_paysOwnerOnce() public {
        uint256 entry = _unbond(alice, 10 * UNIT);
        skip(2 days);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(token.balanceOf(_ownerOf(alice)), 10 * UNIT);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.UnknownEntry.selector, alice, entry));
        vault.withdrawUnbonded(entry);
    }

    function test_withdrawUnbonded_withLiveTask_reverts() public {
        uint256 entry = _unbond(alice, 10 * UNIT);
        _claim(_post(), alice);
        skip(10 days);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.ObligationsOpen.selector, 1, 0, 0));
        vault.withdrawUnbonded(entry);
    }

    function test_withdrawUnbonded_whileFrozenOrOnDuty_reverts() public {
        uint256 entry = _unbond(alice, 10 * UNIT);
        vm.prank(court);
        vault.freeze(alice);
        vm.prank(audits);
        vault.addDuty(alice);
        skip(10 days);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.ObligationsOpen.selector, 0, 1, 1));
        vault.withdrawUnbonded(entry);
        vm.prank(court);
        vault.unfreeze(alice);
        vm.prank(audits);
        vault.removeDuty(alice);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
    }

    function test_requestUnbond_moreThanFree_reverts() public {
        vm.prank(alice);
        vm.expectPartialRevert(StakeLedger.InsufficientFree.selector);
        vault.requestUnbond(1_000 * UNIT + 1);
    }

    function test_requestUnbond_ninthEntry_reverts() public {
        for (uint256 i = 0; i < 8; i++) {
            _unbond(alice, UNIT);
        }
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.TooManyUnbondings.selector, 8));
        vault.requestUnbond(UNIT);
    }

    /// The escape: cheat, and have the stake on its way out when the verdict falls.
    function test_slashTask_stakeInUnbonding_isReached() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        uint128 collateral = vault.lockedFor(alice, taskId);
        uint256 first = _unbond(alice, 400 * UNIT);
        uint256 second = _unbond(alice, 1_000 * UNIT - collateral - 400 * UNIT);
        assertEq(vault.provider(alice).free, 0);
        uint128 taken = _slashSafety(alice, taskId);
        assertEq(taken, collateral + (1_000 * UNIT - collateral) / 2, "collateral and half of what was leaving");
        (uint128 left,) = vault.unbondingEntry(alice, first);
        assertEq(left, 200 * UNIT);
        (left,) = vault.unbondingEntry(alice, second);
        assertEq(left, (1_000 * UNIT - collateral - 400 * UNIT) / 2);
        assertEq(vault.pot(POT), taken, "the slash is in the pot");
    }

    // ---- slashes

    function test_slashTask_twice_takesOnce() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        assertGt(_slashSafety(alice, taskId), 0, "first");
        uint128 stake = vault.totalStake(alice);
        assertEq(_slashSafety(alice, taskId), 0, "second");
        assertEq(vault.totalStake(alice), stake, "unchanged");
    }

    function test_slashTask_nothingThere_returnsZero() public {
        vm.prank(court);
        assertEq(vault.slashTask(alice, 99, false, 1_000, POT), 0);
        uint256 entry = _unbond(alice, 1_000 * UNIT);
        skip(2 days);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(_slashSafety(alice, 98), 0, "no stake, no revert");
    }

    /// A late slash of the first provider must not eat the collateral of the one that has the task now.
    function test_slashTask_afterRequeue_sparesTheNextProvider() public {
        uint256 taskId = _missed(alice);
        vm.prank(bob);
        market.claimRetry(modelId);
        uint128 locked = vault.lockedFor(bob, taskId);
        vm.prank(court);
        vault.slashTask(alice, taskId, true, 0, POT);
        assertEq(vault.lockedFor(bob, taskId), locked);
        assertEq(vault.provider(bob).locked, locked);
        assertEq(vault.provider(alice).locked, 0);
    }

    function test_penalise_sameCauseTwice_takesOnce() public {
        vm.prank(court);
        assertEq(vault.penalise(alice, "draw 1", 2 * UNIT, POT), 2 * UNIT);
        vm.prank(court);
        assertEq(vault.penalise(alice, "draw 1", 2 * UNIT, POT), 0);
    }

    function test_penalise_beyondFree_reachesUnbondingAndStops() public {
        _unbond(alice, 990 * UNIT);
        vm.prank(court);
        assertEq(vault.penalise(alice, "draw 1", 20 * UNIT, Pots.BURN), 20 * UNIT, "free, then unbonding");
        assertEq(vault.burned(), 20 * UNIT);
        vm.prank(court);
        assertEq(vault.penalise(alice, "draw 2", 5_000 * UNIT, Pots.BURN), 980 * UNIT, "no more than there is");
        assertEq(vault.totalStake(alice), 0);
    }

    // ---- standing

    function test_freeze_twoDisputes_needTwoUnfreezes() public {
        vm.startPrank(court);
        vault.freeze(alice);
        vault.freeze(alice);
        vault.unfreeze(alice);
        vm.stopPrank();
        assertFalse(vault.isEligible(alice), "one dispute is still open");
        vm.prank(court);
        vault.unfreeze(alice);
        assertTrue(vault.isEligible(alice), "free again");
    }

    function test_claim_whileFrozen_reverts() public {
        vm.prank(court);
        vault.freeze(alice);
        uint256 taskId = _post();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderFrozen.selector, alice, 1));
        market.claim(taskId);
    }

    function test_commit_whileFrozen_passes() public {
        uint256 taskId = _post();
        _claim(taskId, alice);
        vm.prank(court);
        vault.freeze(alice);
        _commit(taskId, alice);
    }

    function test_unjail_beforeTime_reverts() public {
        _missed(alice);
        vm.prank(alice);
        vm.expectPartialRevert(StakeVault.JailedUntil.selector);
        vault.unjail();
    }

    function test_unjail_tombstoned_reverts() public {
        _missed(alice);
        vm.prank(court);
        vault.tombstone(alice);
        skip(365 days);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderTombstoned.selector, alice));
        vault.unjail();
    }

    function test_jail_shorterThanStanding_keepsLonger() public {
        uint64 start = uint64(block.timestamp);
        vm.startPrank(court);
        vault.jail(alice, start + 100);
        vault.jail(alice, start + 50);
        vm.stopPrank();
        assertEq(vault.provider(alice).jailedUntil, start + 100);
    }

    function test_stake_tombstoned_reverts() public {
        vm.prank(court);
        vault.tombstone(alice);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeLedger.ProviderTombstoned.selector, alice));
        vault.stake(alice, UNIT);
    }

    function test_withdrawUnbonded_tombstoned_takesWhatRemains() public {
        vm.prank(court);
        vault.tombstone(alice);
        uint256 entry = _unbond(alice, 1_000 * UNIT);
        skip(2 days);
        vm.prank(alice);
        vault.withdrawUnbonded(entry);
        assertEq(token.balanceOf(_ownerOf(alice)), 1_000 * UNIT);
    }

    // ---- who may

    function test_modules_stranger_isRefusedEverywhere() public {
        bytes memory refused = abi.encodeWithSelector(StakeLedger.NotModule.selector, address(this));
        vm.expectRevert(refused);
        vault.fundPot(POT, alice, 1);
        vm.expectRevert(refused);
        vault.payFromPot(Pots.AUDIT_POOL, alice, 1, "x");
        vm.expectRevert(refused);
        vault.payProvider(Pots.AUDIT_POOL, alice, 1, "x");
        vm.expectRevert(refused);
        vault.movePot(Pots.AUDIT_POOL, POT, 1, "x");
        vm.expectRevert(refused);
        vault.slashTask(alice, 1, true, 1, POT);
        vm.expectRevert(refused);
        vault.penalise(alice, "x", 1, POT);
        vm.expectRevert(refused);
        vault.freeze(alice);
        vm.expectRevert(refused);
        vault.unfreeze(alice);
        vm.expectRevert(refused);
        vault.jail(alice, 1);
        vm.expectRevert(refused);
        vault.tombstone(alice);
        vm.expectRevert(refused);
        vault.addDuty(alice);
        vm.expectRevert(refused);
        vault.removeDuty(alice);
        bytes memory marketOnly = abi.encodeWithSelector(StakeLedger.NotMarket.selector, court);
        vm.startPrank(court);
        vm.expectRevert(marketOnly);
        vault.lockTask(alice, 1, 1, 1, 1);
        vm.expectRevert(marketOnly);
        vault.unlockTask(alice, 1);
        vm.expectRevert(marketOnly);
        vault.settleTask(alice, 1, alice, 1, 1);
        vm.stopPrank();
    }

    function test_movePot_moreThanHeld_reverts() public {
        vm.prank(court);
        vm.expectPartialRevert(StakeLedger.PotTooSmall.selector);
        vault.movePot(POT, Pots.BURN, 1, "x");
    }

    function test_fundPot_burn_reverts() public {
        vm.prank(court);
        vm.expectRevert(StakeVault.ZeroAddress.selector);
        vault.fundPot(Pots.BURN, alice, 1);
    }

    function test_withdrawCredit_moreThanCredit_reverts() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(StakeVault.InsufficientCredit.selector, alice, 0, 1));
        vault.withdrawCredit(alice, 1);
    }

    function testFuzz_pots_anyMoves_conserve(uint96 fund, uint96 pay, uint96 burn) public {
        uint128 f = uint128(bound(fund, 2, 1_000 * UNIT));
        uint128 p = uint128(bound(pay, 0, f));
        uint128 b = uint128(bound(burn, 0, f - p));
        uint256 held = token.balanceOf(address(vault));
        vm.startPrank(court);
        vault.fundPot(POT, alice, f);
        vault.payProvider(POT, alice, p, "x");
        vault.movePot(POT, Pots.BURN, b, "x");
        vm.stopPrank();
        assertEq(token.balanceOf(address(vault)), held + f);
        assertEq(uint256(vault.pot(POT)) + vault.credit(_payoutOf(alice)) + vault.burned(), f);
        vm.prank(_payoutOf(alice));
        vault.withdrawCredit(address(0xbeef), p);
        assertEq(token.balanceOf(address(0xbeef)), p);
    }

    function testFuzz_slashTask_anyShare_conserves(uint16 bps, uint96 unbond) public {
        bps = uint16(bound(bps, 0, 10_000));
        uint256 taskId = _post();
        _claim(taskId, alice);
        uint128 free = vault.provider(alice).free;
        uint128 leaving = uint128(bound(unbond, 1, free));
        _unbond(alice, leaving);
        uint128 before = vault.totalStake(alice);
        vm.prank(court);
        uint128 taken = vault.slashTask(alice, taskId, true, bps, POT);
        assertEq(vault.totalStake(alice) + taken, before);
        Provider memory a = vault.provider(alice);
        assertEq(a.locked, 0);
        assertLe(taken, before, "capped");
    }
}
