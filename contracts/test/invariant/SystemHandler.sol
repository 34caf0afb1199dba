// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TrapActions} from "./TrapActions.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {Market} from "../../src/market/Market.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {Audit, AuditState} from "../../src/interfaces/IAudits.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {AuditParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, Task, TaskState} from "../../src/interfaces/Types.sol";
import {Court} from "../../src/court/Court.sol";
import {DevToken} from "../../src/token/DevToken.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice What may happen to market, court and audits together. An action looks for the situation that it needs, makes it
/// when there is none, and says whether it did its work.
contract SystemHandler is TrapActions {
    struct Exit {
        address provider;
        uint256 entry;
    }

    Exit[] private _exits;

    // ---- read by the invariants

    function parts() external view returns (StakeVault, Market, Court, DevToken) {
        return (vault, market, theCourt, token);
    }

    function model() external view returns (bytes32) {
        return modelId;
    }

    function others() external view returns (address[5] memory) {
        return [requester, watcher, griefer, sealer, friend];
    }

    function auditRules() external view returns (AuditParams memory) {
        return parameters.auditAt(1);
    }

    /// @notice Whether an audit opened this dispute.
    function byAudit(uint256 id) external view returns (bool) {
        Dispute memory d = theCourt.dispute(id);
        return theAudits.audit(d.taskId, d.attempt).disputeId == id;
    }

    function seenTask(uint256 id) external view returns (TaskState, uint8) {
        return (seen[id].state, seen[id].attempt);
    }

    /// @notice Oldest entry of the highest attempt.
    function ghostHead() external view returns (uint256 head) {
        for (uint256 id = 1; id <= market.taskCount(); id++) {
            if (seen[id].state != TaskState.Open || seen[id].attempt == 0) continue;
            bool first = head == 0 || seen[id].attempt > seen[head].attempt
                || (seen[id].attempt == seen[head].attempt && seen[id].requeuedAs < seen[head].requeuedAs);
            if (first) head = id;
        }
    }

    /// @notice What the honest challenger had, and has: coins, credit and bonds that are out.
    function watchersWealth() external view returns (uint256 began, uint256 has) {
        return (watcherBegan, _wealth(watcher));
    }

    function _wealth(address challenger) private view returns (uint256 has) {
        has = token.balanceOf(challenger) + vault.credit(challenger);
        for (uint256 i = 0; i < pending.length; i++) {
            Pending storage p = pending[i];
            if (p.challenger == challenger) has += vault.pot(Pots.challenge(p.taskId, p.attempt, challenger));
        }
        for (uint256 i = 0; i < openDisputes.length; i++) {
            if (theCourt.dispute(openDisputes[i]).challenger == challenger) has += vault.pot(Pots.dispute(openDisputes[i]));
        }
    }

    /// @notice What the sealer of all honest traps and its friend had, and have: coins, credit, bonds, deposits that may be taken back.
    /// And what came to the sealer by penalties.
    function sealersWealth() external view returns (uint256 began, uint256 has, uint256 fines) {
        has = _wealth(sealer) + _wealth(friend);
        for (uint256 i = 0; i < sets.length; i++) {
            if (!sets[i].used) has += JACKPOT;
        }
        return (sealersBegan, has, trapIncome[sealer]);
    }

    // ---- market

    function post(uint256) external counted("post") {
        _post();
        _after();
        worked["post"]++;
    }

    function cancel(uint256 seed) external counted("cancel") {
        uint256 id = _find(seed, TaskState.Open);
        if (id == 0) return;
        vm.prank(requester);
        market.cancel(id);
        _after();
        worked["cancel"]++;
    }

    function claim(uint256 seed) external counted("claim") {
        uint256 id = _find(seed, TaskState.Open);
        if (id == 0) id = _posted();
        for (uint256 i = 0; i < providers.length; i++) {
            if (!_tryClaim(id, providers[_rand(seed, i) % providers.length])) continue;
            worked["claim"]++;
            return;
        }
    }

    function claimRetry(uint256 seed) external counted("claimRetry") {
        for (uint256 i = 0; i < providers.length; i++) {
            if (!_tryRetry(providers[_rand(seed, i) % providers.length])) continue;
            worked["claimRetry"]++;
            return;
        }
    }

    function commit(uint256 seed) external counted("commit") {
        uint256 id = _find(seed, TaskState.Claimed);
        if (id == 0) id = _claimed(seed, false);
        Task memory t = market.task(id);
        if (block.timestamp > t.deadline || vault.isTombstoned(t.provider)) return;
        _commitResult(id, seed);
        worked["commit"]++;
    }

    function missDeadline(uint256 seed) external counted("missDeadline") {
        uint256 id = _find(seed, TaskState.Claimed);
        if (id == 0 || honest[market.task(id).provider]) id = _claimed(seed, true);
        uint64 deadline = market.task(id).deadline;
        if (block.timestamp <= deadline) _pass(deadline + 1 - block.timestamp);
        (TaskState state,,,,) = market.standing(id);
        if (state != TaskState.Claimed) return;
        market.missDeadline(id);
        _after();
        worked["missDeadline"]++;
    }

    function retract(uint256 seed) external counted("retract") {
        uint256 id = _claimed(seed, true);
        _commitResult(id, seed);
        address provider = market.task(id).provider;
        vm.prank(provider);
        market.retract(id);
        _after();
        worked["retract"]++;
    }

    function unjail(uint256 seed) external counted("unjail") {
        for (uint256 i = 0; i < providers.length; i++) {
            address p = providers[_rand(seed, i) % providers.length];
            uint64 until = vault.provider(p).jailedUntil;
            if (until == 0 || vault.isTombstoned(p)) continue;
            if (block.timestamp < until) _pass(until - block.timestamp);
            if (vault.isTombstoned(p)) continue;
            vm.prank(p);
            vault.unjail();
            worked["unjail"]++;
            return _after();
        }
    }

    function settle(uint256 seed) external counted("settle") {
        uint256 id = _find(seed, TaskState.Committed);
        if (id == 0) id = _result(seed, false);
        _finishAudit(id, seed);
        uint64 from = market.settleableAt(id);
        if (from != type(uint64).max && block.timestamp < from) _pass(from - block.timestamp);
        Task memory t = market.task(id);
        if (t.state != TaskState.Committed || !t.auditClosed || vault.isTombstoned(t.provider)) return;
        market.settle(id);
        _after();
        worked["settle"]++;
    }

    function unbond(uint256 seed) external counted("unbond") {
        address p = providers[seed % providers.length];
        uint128 free = vault.provider(p).free;
        if (free < 2 * UNIT || _exitsOf(p) >= 8) return;
        vm.prank(p);
        uint256 entry = vault.requestUnbond(uint128(bound(_rand(seed, 0), 1, 2 * UNIT)));
        _exits.push(Exit(p, entry));
        _after();
        worked["unbond"]++;
    }

    /// @dev I4 is asserted on what left; here everybody tries.
    function withdraw(uint256) external counted("withdraw") {
        for (uint256 i = _exits.length; i > 0; i--) {
            Exit memory e = _exits[i - 1];
            (bool done,) = _try(e.provider, address(vault), abi.encodeCall(StakeVault.withdrawUnbonded, (e.entry)));
            if (!done) continue;
            _exits[i - 1] = _exits[_exits.length - 1];
            _exits.pop();
            worked["withdraw"]++;
        }
    }

    function withdrawCredit(uint256 seed) external counted("withdrawCredit") {
        address account = seed % 2 == 0 ? watcher : vault.provider(providers[seed % providers.length]).payout;
        uint128 have = vault.credit(account);
        vm.prank(account);
        vault.withdrawCredit(account, uint128(bound(_rand(seed, 0), 0, have)));
        _after();
        worked["withdrawCredit"]++;
    }

    /// @dev What a convict loses with the others of its time, once its tasks are reversed.
    function penaliseCorrelated(uint256 seed) external counted("penaliseCorrelated") {
        for (uint256 k = 0; k < providers.length; k++) {
            address p = providers[(seed % providers.length + k) % providers.length];
            uint64 dueAt = vault.correlationOf(p).dueAt;
            if (dueAt == 0 || (block.timestamp < dueAt && seed % 4 != 0)) continue; // a long wait, so a rare one
            if (block.timestamp < dueAt) _pass(dueAt - block.timestamp);
            _reverseAllOf(p);
            uint128 before = vault.totalStake(p);
            uint128 told = vault.correlationOf(p).penalty;
            (bool done,) = _try(anyone, address(vault), abi.encodeCall(vault.penaliseCorrelated, (p)));
            assertTrue(done, "P-V6: refused when due");
            assertEq(before - vault.totalStake(p), told, "P-V6: what was told");
            assertEq(vault.penaliseCorrelated(p), 0, "P-V6: once");
            worked["penaliseCorrelated"]++;
            return;
        }
    }

    function _reverseAllOf(address provider) private {
        for (uint256 id = 1; id <= market.taskCount(); id++) {
            (TaskState state,, address holder,,) = market.standing(id);
            if (holder != provider || state == TaskState.Settled) continue;
            _do(address(market), abi.encodeCall(IMarket.reverse, (id)));
        }
    }

    // ---- challenges

    /// @dev The honest challenger: only against what is wrong, always with the right trace.
    function challenge(uint256 seed) external counted("challenge") {
        uint256 id = _findWrong(seed);
        if (id == 0) id = _result(seed, true);
        if (!_challengeable(id, watcher) || _runNow(id).salt == 0) return;
        _commitOwn(id, watcher, _right(2));
        worked["challenge"]++;
    }

    /// @dev Somebody who challenges anything, with a trace of its own.
    function grief(uint256 seed) external counted("grief") {
        uint256 id = _find(seed, TaskState.Committed);
        if (id == 0 || !_challengeable(id, griefer)) id = _result(seed, false);
        if (!_challengeable(id, griefer)) return;
        _commitOwn(id, griefer, _wrongRun(seed));
        worked["grief"]++;
    }

    function reveal(uint256 seed) external counted("reveal") {
        uint256 from = _rand(seed, 0);
        for (uint256 k = 0; k < pending.length; k++) {
            uint256 i = (from % pending.length + k) % pending.length;
            if (pending[i].done || !_isCurrent(pending[i])) continue;
            (uint256 opensAt, uint256 closesAt) = _window(pending[i]);
            if (block.timestamp >= closesAt) continue;
            if (block.timestamp < opensAt) _pass(opensAt - block.timestamp);
            if (pending[i].done || !_isCurrent(pending[i])) continue;
            _revealPending(i);
            worked["reveal"]++;
            return;
        }
    }

    // ---- disputes

    function move(uint256 seed) external counted("move") {
        for (uint256 k = 0; k < 1 + seed % 5; k++) {
            uint256 id = _findDispute(_rand(seed, k), DisputeState.Level1, DisputeState.Level2);
            if (id == 0) id = _disputed(seed);
            if (id == 0) return;
            Dispute memory d = theCourt.dispute(id);
            if (block.timestamp > _clockEnd(d) || !_stands(d) || _isVoid(d)) continue;
            // under a leaf that is none nothing can be posted
            if (d.state == DisputeState.SegmentWanted && _isTrapLeaf(d)) continue;
            _play1(id, _rand(seed, 100 + k));
            worked["move"]++;
        }
    }

    /// @dev A provider that signed its fine root; the honest challenger needs one move.
    function direct(uint256 seed) external counted("direct") {
        uint256 id = _findDispute(seed, DisputeState.Level1, DisputeState.Level1);
        if (id == 0 || !_isolateDirectly(id)) {
            id = _disputed(seed);
            if (id == 0 || !_isolateDirectly(id)) return;
        }
        worked["direct"]++;
    }

    function _isolateDirectly(uint256 id) private returns (bool) {
        Dispute memory d = theCourt.dispute(id);
        Run memory theirs = runOf[d.taskId][d.attempt];
        if (d.state != DisputeState.Level1 || d.height != shape.traceHeight || theirs.salt == 0) return false;
        if (GameTrace.isTrap(theirs)) return false;
        if (!honest[d.challenger] || !_stands(d) || block.timestamp > _clockEnd(d)) return false;
        ICourt.IsolateDirect memory p = _direct(d, theirs);
        vm.prank(d.challenger);
        theCourt.isolateDirect(id, p);
        _after();
        return true;
    }

    function rule(uint256 seed) external counted("rule") {
        uint256 id = _findDispute(seed, DisputeState.Isolated, DisputeState.Refereed);
        if (id == 0) {
            id = _disputed(seed);
            if (id == 0 || !_isolateDirectly(id)) return;
        }
        if (theCourt.dispute(id).state == DisputeState.Isolated) _pass(BEACON_PERIOD + 1);
        Dispute memory d = theCourt.dispute(id);
        if (d.state != DisputeState.Refereed || block.timestamp > d.refereeDeadline || !_stands(d)) return;
        if (honest[d.referee] || seed % 2 == 0) _ruleTruly(id);
        else _ruleFalsely(id, _rand(seed, 5));
        worked["rule"]++;
    }

    /// @dev Whoever lost appeals: a guilty one to escape, too.
    function appeal(uint256 seed) external counted("appeal") {
        uint256 id = _findDispute(seed, DisputeState.Ruled, DisputeState.Ruled);
        if (id == 0) return;
        Dispute memory d = theCourt.dispute(id);
        address loser = d.ruledGuilty ? d.provider : d.challenger;
        if (loser == address(0) || !_stands(d) || block.timestamp > d.ruledAt + c.appealWindow) return;
        if (_rand(seed, 6) % 3 != 0 && !honest[loser]) return;
        _appealBy(id, loser);
        worked["appeal"]++;
    }

    function finalize(uint256 seed) external counted("finalize") {
        uint256 id = _findDispute(seed, DisputeState.Ruled, DisputeState.Ruled);
        if (id == 0) return;
        uint256 before = happened["finalized"];
        _pass(c.appealWindow + 2);
        if (happened["finalized"] != before) worked["finalize"]++;
    }

    // ---- audits

    function audit(uint256 seed) external counted("audit") {
        uint256 id = _find(seed, TaskState.Committed);
        if (id == 0) id = _result(seed, seed % 2 == 0);
        if (_stepAudit(id, seed)) worked["audit"]++;
    }

    /// @dev A liar that was drawn and stays silent.
    function auditTimeout(uint256 seed) external counted("auditTimeout") {
        uint256 id = _findSilent(seed);
        if (id == 0) {
            id = _result(seed, false);
            _stepAudit(id, seed);
        }
        Audit memory a = _auditOf(id);
        if ((a.state != AuditState.Drawn && a.state != AuditState.Committed) || honest[a.auditor]) return;
        if (block.timestamp <= a.deadline) _pass(a.deadline + 1 - block.timestamp);
        if (!_auditable(id) || _auditOf(id).state != a.state) return;
        if (a.state == AuditState.Committed) {
            _publishDue(beacon.roundAfter(a.committedAt));
            // a late seed renews the deadline
            uint64 deadline = _auditOf(id).deadline;
            if (block.timestamp <= deadline) _pass(deadline + 1 - block.timestamp);
            if (!_auditable(id) || _auditOf(id).state != a.state) return;
        }
        theAudits.auditTimeout(id);
        _after();
        worked["auditTimeout"]++;
    }

    function _findSilent(uint256 seed) private view returns (uint256) {
        uint256 count = market.taskCount();
        for (uint256 k = 0; k < count; k++) {
            uint256 id = 1 + (seed % count + k) % count;
            Audit memory a = _auditOf(id);
            bool owes = a.state == AuditState.Drawn || a.state == AuditState.Committed;
            if (owes && !honest[a.auditor] && _auditable(id)) return id;
        }
        return 0;
    }

    // ---- anyone

    /// @dev Everything that is left lying about.
    function sweep(uint256) external counted("sweep") {
        uint256 count = market.taskCount();
        for (uint256 id = 1; id <= count; id++) {
            (TaskState state, uint8 attempt, address provider,,) = market.standing(id);
            if (provider != address(0) && state != TaskState.Settled && vault.isTombstoned(provider)) {
                _do(address(market), abi.encodeCall(IMarket.reverse, (id)));
            }
            for (uint8 a = 0; a <= attempt; a++) {
                if (theAudits.audit(id, a).onDuty) _do(address(theAudits), abi.encodeCall(theAudits.releaseAuditor, (id, a)));
            }
            if (state == TaskState.Open) _do(address(market), abi.encodeCall(IMarket.expire, (id)));
        }
        for (uint256 i = 0; i < pending.length; i++) {
            if (pending[i].done) continue;
            bytes memory call =
                abi.encodeCall(ICourt.reclaimChallenge, (pending[i].taskId, pending[i].attempt, pending[i].challenger));
            if (_do(address(theCourt), call)) pending[i].done = true;
        }
        worked["sweep"]++;
    }

    function wait(uint256 seed) external counted("wait") {
        _pass(seed % 16 == 0 ? 2 days : bound(_rand(seed, 0), 1, 20 minutes));
        for (uint256 i = 0; i < providers.length; i++) {
            _try(anyone, address(pool), abi.encodeCall(pool.refresh, (modelId, providers[i]))); // or is no member
        }
        worked["wait"]++;
    }

    function _exitsOf(address p) internal view returns (uint256 count) {
        for (uint256 i = 0; i < _exits.length; i++) {
            if (_exits[i].provider == p) count++;
        }
    }
}
