// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketGhosts} from "./MarketGhosts.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {Market} from "../../src/market/Market.sol";
import {RetryLanes} from "../../src/market/RetryLanes.sol";
import {TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Random but valid histories of vault and market. Each action makes the situation it needs when there is none,
/// so that every call does its work; what must be refused is tried and must be refused. The handler speaks for the
/// court and the audits.
contract MarketHandler is MarketGhosts {
    constructor(Wiring memory wiring, address[] memory first) MarketGhosts(wiring, first) {}

    // ---- requester

    function post(uint256 seed) external counted("post") {
        _post(seed);
    }

    function cancel(uint256 seed) external counted("cancel") {
        uint256 taskId = _pick(TaskState.Open, seed);
        vm.prank(w.requester);
        w.market.cancel(taskId);
        _leaves(taskId, TaskState.Cancelled);
    }

    function expire(uint256 seed) external counted("expire") {
        uint256 taskId = _pick(TaskState.Open, seed);
        Ghost storage g = ghosts[taskId];
        uint256 life = g.attempt == 0 ? rules.openLifetime : rules.retryLifetime;
        if (block.timestamp <= g.enqueuedAt + life) vm.warp(g.enqueuedAt + life + 1);
        w.market.expire(taskId);
        _leaves(taskId, TaskState.Expired);
    }

    // ---- providers

    /// @dev I9: a normal claim passes exactly when the second bookkeeping of the lanes says so.
    function claim(uint256 seed) external counted("claim") {
        uint256 taskId = _post(seed);
        address provider = _fit(seed, taskId);
        uint256 head = _ghostHead();
        bool gated = head != 0 && _gates(head, provider);
        if (gated && ghostRetryCredit[provider] == 0) {
            vm.prank(provider);
            (bool ok, bytes memory why) = address(w.market).call(abi.encodeCall(Market.claim, (taskId)));
            assertFalse(ok, "I9: a normal claim passed while a retry waits");
            assertTrue(bytes4(why) == RetryLanes.RetryWaits.selector, "I9: refused for another reason");
            return;
        }
        if (gated) ghostRetryCredit[provider]--;
        _claim(taskId, provider);
    }

    function claimRetry(uint256 seed) external counted("claimRetry") {
        _ensureRetry(seed);
        uint256 head = _sweepExpired();
        if (head == 0) {
            _ensureRetry(seed);
            head = _ghostHead();
        }
        address provider = _fit(seed, head);
        vm.prank(provider);
        uint256 got = w.market.claimRetry(w.classId);
        assertEq(got, head, "I9: FIFO, highest attempt first");
        ghostRetryCredit[provider] = rules.retryEvery;
        _claimed(head, provider);
    }

    function commit(uint256 seed) external counted("commit") {
        if (!_commit(_pick(TaskState.Claimed, seed))) _freshResult(seed);
    }

    function retract(uint256 seed) external counted("retract") {
        _retract(seed);
    }

    function missDeadline(uint256 seed) external counted("missDeadline") {
        uint256 taskId = _pick(TaskState.Claimed, seed);
        address provider = ghosts[taskId].provider;
        uint64 deadline = w.market.task(taskId).deadline;
        if (block.timestamp <= deadline) vm.warp(deadline + 1);
        w.market.missDeadline(taskId);
        _slashedLiveness(taskId, provider);
        _requeued(taskId, 0);
    }

    function unjail(uint256 seed) external counted("unjail") {
        address provider = _standing(seed);
        uint64 until = w.vault.provider(provider).jailedUntil;
        if (until == 0) {
            vm.prank(w.court);
            w.vault.jail(provider, uint64(block.timestamp) + 60);
            until = uint64(block.timestamp) + 60;
        }
        if (block.timestamp < until) vm.warp(until);
        vm.prank(provider);
        w.vault.unjail();
    }

    /// @dev I4: with an obligation open a mature entry stays; without one it leaves, and no wei more than the entry.
    function unbond(uint256 seed) external counted("unbond") {
        address provider = providers[seed % providers.length];
        uint128 free = w.vault.provider(provider).free;
        if (free == 0) {
            provider = _register();
            free = w.vault.provider(provider).free;
        }
        vm.prank(provider);
        uint256 entry = w.vault.requestUnbond(uint128(bound(seed, 1, free > 20 * UNIT ? 20 * UNIT : free)));
        (, uint64 matureAt) = w.vault.unbondingEntry(provider, entry);
        vm.warp(matureAt);
        if (_obligations(provider) != 0) {
            vm.prank(provider);
            (bool ok,) = address(w.vault).call(abi.encodeCall(StakeVault.withdrawUnbonded, (entry)));
            assertFalse(ok, "I4: stake left under an open obligation");
            _finishObligations(provider);
        }
        _payCorrelated(provider);
        (uint128 amount,) = w.vault.unbondingEntry(provider, entry);
        address owner = w.vault.provider(provider).owner;
        uint256 before = w.token.balanceOf(owner);
        vm.prank(provider);
        w.vault.withdrawUnbonded(entry);
        assertEq(w.token.balanceOf(owner) - before, amount, "I4: the entry, no more");
    }

    function withdrawCredit(uint256 seed) external counted("withdrawCredit") {
        address account = seed % 2 == 0 ? w.requester : w.vault.provider(providers[seed % providers.length]).payout;
        uint128 have = w.vault.credit(account);
        uint128 amount = uint128(bound(seed >> 8, 0, have));
        vm.prank(account);
        w.vault.withdrawCredit(account, amount);
    }

    // ---- judgement

    function decideAudit(uint256 seed) external counted("decideAudit") {
        uint256 taskId = _undecided(seed);
        _decide(taskId, seed % 3 == 0);
    }

    function openDispute(uint256 seed) external counted("openDispute") {
        _openDispute(_result(seed));
    }

    function clearDispute(uint256 seed) external counted("clearDispute") {
        _clear(_pick(TaskState.Disputed, seed));
    }

    /// @dev I3 and I8: one slash per task, and all of it accounted for.
    function convict(uint256 seed) external counted("convict") {
        _convict(seed);
    }

    /// @dev P-V6, against the handler's own list of convictions.
    function penaliseCorrelated(uint256 seed) external counted("penaliseCorrelated") {
        for (uint256 k = 0; k < convictions.length; k++) {
            Conviction storage c = convictions[(seed % convictions.length + k) % convictions.length];
            if (!c.paid) return _payCorrelated(c.provider);
        }
        _payCorrelated(_convict(seed));
    }

    function _convict(uint256 seed) internal returns (address provider) {
        uint256 taskId = _pick(TaskState.Disputed, seed);
        Ghost storage g = ghosts[taskId];
        provider = g.provider;
        convictions.push(
            Conviction(
                provider,
                uint64(block.timestamp),
                w.vault.totalStake(provider),
                _activeStake() - w.vault.totalStake(provider),
                false
            )
        );
        vm.startPrank(w.court);
        uint128 taken = w.vault.slashTask(provider, taskId, true, verdict.safetySlashBps, SLASH_POT);
        assertEq(w.vault.slashTask(provider, taskId, true, verdict.safetySlashBps, SLASH_POT), 0, "I3: second slash");
        assertGe(taken, g.collateral, "the collateral at least");
        w.vault.tombstone(provider);
        for (uint256 i = 0; i < g.disputes; i++) {
            w.vault.unfreeze(provider);
        }
        uint128 toRequester = taken * verdict.requesterBps / 10_000;
        uint128 toChallenger = taken * verdict.challengerBps / 10_000;
        uint128 topUp = taken * verdict.requeueBps / 10_000;
        uint128 burn = taken - toRequester - toChallenger - topUp;
        w.vault.payFromPot(SLASH_POT, w.requester, toRequester, "requester");
        w.vault.payFromPot(SLASH_POT, w.audits, toChallenger, "challenger");
        w.vault.movePot(SLASH_POT, Pots.task(taskId), topUp, "requeue");
        w.vault.movePot(SLASH_POT, Pots.BURN, burn, "burn");
        w.market.convict(taskId, g.attempt, topUp);
        vm.stopPrank();
        ghostSlashed += taken;
        ghostSplit += uint256(toRequester) + toChallenger + topUp + burn;
        ghostTombstoned[provider] = true;
        g.collateral = 0;
        _requeued(taskId, topUp);
        // I3: a tombstoned provider gets nothing any more
        uint256 fresh = _post(seed);
        vm.prank(provider);
        (bool ok,) = address(w.market).call(abi.encodeCall(Market.claim, (fresh)));
        assertFalse(ok, "I3: a tombstoned provider claimed");
        _reverseAll(provider);
        _register();
    }

    /// @dev What `provider` owes with the others of its time, if it does.
    function _payCorrelated(address provider) internal {
        if (!ghostTombstoned[provider]) return;
        uint256 i;
        while (convictions[i].provider != provider) {
            i++;
        }
        Conviction storage c = convictions[i];
        if (c.paid) return;
        uint256 half = w.parameters.stake().correlationWindowSeconds / 2;
        if (block.timestamp <= c.at + half) {
            vm.warp(c.at + half);
            (bool ok,) = address(w.vault).call(abi.encodeCall(w.vault.penaliseCorrelated, (provider)));
            assertFalse(ok, "P-V6: taken before everyone is known");
            vm.warp(c.at + half + 1);
        }
        (uint256 slashed, uint256 whole) = _attack(c.at, half);
        uint256 part = w.parameters.stake().correlationMultiplier * slashed;
        if (part > whole) part = whole;
        uint256 before = w.vault.totalStake(provider);
        uint256 burned = w.vault.burned();
        uint128 taken = w.vault.penaliseCorrelated(provider);
        assertEq(w.vault.penaliseCorrelated(provider), 0, "P-V6: once");
        assertLe(taken, before * part / whole, "P-V6: the share");
        assertGe(taken + 8, before * part / whole, "P-V6: rounded down for free stake and each entry");
        assertEq(before - w.vault.totalStake(provider), taken, "P-V6: taken from the stake");
        ghostSlashed += taken;
        ghostSplit += w.vault.burned() - burned;
        c.paid = true;
    }

    /// @dev Whoever was convicted at most `half` before or after, and everyone who was not.
    function _attack(uint64 at, uint256 half) internal view returns (uint256 slashed, uint256 whole) {
        for (uint256 i = 0; i < convictions.length; i++) {
            Conviction storage c = convictions[i];
            if (c.at > at + half) break;
            whole = c.activeAfter;
            if (c.at + half >= at) slashed += c.stake;
        }
        whole += slashed;
    }

    function _activeStake() internal view returns (uint256 sum) {
        for (uint256 i = 0; i < providers.length; i++) {
            if (!ghostTombstoned[providers[i]]) sum += w.vault.totalStake(providers[i]);
        }
    }

    function voidDispute(uint256 seed) external counted("voidDispute") {
        uint256 taskId = _pick(TaskState.Disputed, seed);
        Ghost storage g = ghosts[taskId];
        vm.startPrank(w.court);
        for (uint256 i = 0; i < g.disputes; i++) {
            w.vault.unfreeze(g.provider);
            w.market.disputeVoided(taskId, g.attempt);
        }
        vm.stopPrank();
        _requeued(taskId, 0);
    }

    function penalise(uint256 seed) external counted("penalise") {
        address provider = _register();
        bytes32 cause = keccak256(abi.encode(sequence++));
        vm.startPrank(w.court);
        w.vault.penalise(provider, cause, uint128(bound(seed, 1, 10 * UNIT)), Pots.AUDIT_POOL);
        assertEq(w.vault.penalise(provider, cause, 1, Pots.AUDIT_POOL), 0, "I3: second penalty");
        vm.stopPrank();
    }

    function settle(uint256 seed) external counted("settle") {
        uint256 taskId = _pick(TaskState.Committed, seed);
        _settle(taskId);
    }

    function wait(uint256 seed) external counted("wait") {
        skip(bound(seed, 1, 10 minutes));
    }
}
