// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SystemSituations} from "./SystemSituations.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {Traps} from "../../src/audits/Traps.sol";
import {Audit, AuditState} from "../../src/interfaces/IAudits.sol";
import {ITraps, TrapOpening} from "../../src/interfaces/ITraps.sol";
import {Task, TaskState} from "../../src/interfaces/Types.sol";

/// @notice What may happen with known-answer tasks among everything else: an honest sealer sets them with whoever serves a task, whoever
/// looks finds them, whoever copies lets them pass; finders claim and are paid. What must be refused is tried each time.
abstract contract TrapActions is SystemSituations {
    struct Shown {
        uint256 taskId;
        uint8 attempt;
    }

    /// @dev Where the claims on a trap stand: finders can be entered; not closed; closed, and somebody is due a share.
    enum Stage {
        Claims,
        Open,
        Due
    }

    function setTrap(uint256 seed) external counted("setTrap") {
        if (_setTrap(seed) != 0) worked["setTrap"]++;
    }

    /// @dev Somebody looks at a trap, or should.
    function answerTrap(uint256 seed) external counted("answerTrap") {
        uint256 id = _findHidden(seed);
        if (id == 0) id = _setTrap(seed);
        if (id == 0) return;
        uint256 who = _rand(seed, 7) % 4;
        if (who >= 2) {
            if (_stepAudit(id, seed)) worked["answerTrap"]++;
            return;
        }
        address challenger = who == 0 ? watcher : griefer;
        if (!_challengeable(id, challenger)) return;
        _commitOwn(id, challenger, who == 0 ? _right(2) : _wrongRun(seed));
        worked["answerTrap"]++;
    }

    /// @dev One that nobody has found yet, once nobody can find it any more; or found while it waits.
    function revealTrap(uint256 seed) external counted("revealTrap") {
        uint256 id = _findHidden(seed);
        if (id == 0) id = _setTrap(seed);
        if (id == 0) return;
        (, uint8 attempt,,,) = market.standing(id);
        if (_rand(seed, 8) % 3 == 0) _refuseEarly(id, attempt);
        _finishAudit(id, seed);
        _passTo(market.task(id).committedAt + m.challengeWindow);
        if (!_isHidden(id, attempt) || !_isShowable(id, attempt) || !_canShow(id)) {
            if (books[id][attempt].shownAt != 0) worked["revealTrap"]++; // found on the way
            return;
        }
        _showSet(id, attempt);
        _refuse(requester, abi.encodeCall(ITraps.reveal, (id, _trapOpening(sealer, runOf[id][attempt], 0))), "P-K3: shown twice");
        worked["revealTrap"]++;
    }

    /// @dev A finder is entered, by anybody or by itself; whoever found nothing is refused, and so is whoever is entered already.
    function claimTrap(uint256 seed) external counted("claimTrap") {
        Shown memory s = _findShown(seed, Stage.Claims);
        if (s.taskId == 0) s = _shownNow(seed);
        if (s.taskId == 0) return;
        address[5] memory all = [watcher, griefer, friend, theAudits.audit(s.taskId, s.attempt).auditor, requester];
        for (uint256 i = 0; i < all.length; i++) {
            if (_rand(seed, 20 + i) % 4 != 0) _claimFor(s, all[i]);
        }
    }

    function closeTrap(uint256 seed) external counted("closeTrap") {
        Shown memory s = _findShown(seed, Stage.Open);
        if (s.taskId == 0) s = _shownNow(seed);
        if (s.taskId == 0) return;
        bytes memory call = abi.encodeCall(ITraps.close, (s.taskId, s.attempt));
        uint64 until = traps.trapOf(s.taskId, s.attempt).claimsUntil;
        if (block.timestamp <= until) _refuse(anyone, call, "P-K5: closed before its time");
        _passTo(uint256(until) + 1);
        (bool done,) = _try(anyone, address(traps), call);
        assertTrue(done, "P-K5: not closed in time");
        _refuse(anyone, call, "P-K5: closed twice");
        worked["closeTrap"]++;
    }

    /// @dev Everybody tries; each finder is paid once.
    function collectTrap(uint256 seed) external counted("collectTrap") {
        Shown memory s = _findShown(seed, Stage.Due);
        if (s.taskId == 0) return;
        address[5] memory all = [watcher, griefer, friend, theAudits.audit(s.taskId, s.attempt).auditor, sealer];
        for (uint256 i = 0; i < all.length; i++) {
            bytes memory call = abi.encodeCall(ITraps.collect, (s.taskId, s.attempt, all[i]));
            bool due = entered[s.taskId][s.attempt][all[i]] && !collected[s.taskId][s.attempt][all[i]];
            uint128 before = vault.credit(all[i]);
            (bool done,) = _try(anyone, address(traps), call);
            assertTrue(done == due, due ? "P-K5: a finder was not paid" : "P-K5: paid without a claim, or twice");
            assertEq(vault.credit(all[i]) - before, due ? _shareOf(books[s.taskId][s.attempt]) : 0, "P-K5: what a finder gets");
            _refuse(anyone, call, "P-K5: paid twice");
            if (done) worked["collectTrap"]++;
            if (_rand(seed, i) % 4 == 0) return; // the others wait
        }
    }

    /// @dev The auditor that let it pass and opened after the reveal.
    function penaliseAuditor(uint256 seed) external counted("penaliseAuditor") {
        for (uint256 k = 0; k < sets.length; k++) {
            Set storage s = sets[(seed % sets.length + k) % sets.length];
            Book storage b = books[s.taskId][s.attempt];
            if (b.shownAt == 0) continue;
            bool due = !b.fined && theAudits.audit(s.taskId, s.attempt).state == AuditState.Matched;
            (bool done,) = _try(anyone, address(traps), abi.encodeCall(ITraps.penaliseAuditor, (s.taskId, s.attempt)));
            assertTrue(done == due, "P-K4: only who said \"matched\", and once");
            worked["penaliseAuditor"]++;
            if (done) return;
        }
    }

    /// @dev The deposit of a trap that settled or lapsed, or of one that was never set.
    function unsealTrap(uint256 seed) external counted("unsealTrap") {
        bytes32 commitment = keccak256(abi.encode("nothing", seed, block.timestamp));
        for (uint256 k = 0; k < sets.length; k++) {
            Set storage s = sets[(seed % sets.length + k) % sets.length];
            if (s.used || _isServed(s.taskId, s.attempt)) continue;
            s.used = true;
            commitment = _trapCommitment(sealer, s.provider, runOf[s.taskId][s.attempt], s.nonce);
            break;
        }
        if (traps.sealOf(sealer, commitment).sealedAt == 0) {
            vm.prank(sealer);
            traps.seal(commitment, JACKPOT);
            _after();
        }
        bytes memory call = abi.encodeCall(ITraps.unseal, (commitment));
        _refuse(watcher, call, "P-K7: another's deposit");
        uint128 before = vault.credit(sealer);
        (bool done,) = _try(sealer, address(traps), call);
        assertTrue(done, "P-K7: a deposit that is kept");
        assertEq(vault.credit(sealer) - before, JACKPOT, "P-K7: the deposit");
        _refuse(sealer, call, "P-K7: twice");
        worked["unsealTrap"]++;
    }

    /// @dev A cheat that calls itself a trap once it is found: its seal is not older than its result.
    function excuse(uint256 seed) external counted("excuse") {
        uint256 id = _claimed(seed, true);
        Task memory t = market.task(id);
        Run memory r = _trapRun(seed);
        runOf[id][t.attempt] = r;
        _commitRun(id, t.provider, r);
        _after();
        bytes32 commitment = _trapCommitment(griefer, t.provider, r, 0);
        vm.prank(griefer);
        traps.seal(commitment, JACKPOT);
        _after();
        _commitOwn(id, watcher, _right(2));
        _passTo(market.task(id).committedAt + m.retractWindow);
        uint256 last = pending.length - 1;
        if (!pending[last].done && _isCurrent(pending[last])) _revealPending(last);
        if (market.task(id).state != TaskState.Disputed) return;
        bytes memory call = abi.encodeCall(ITraps.reveal, (id, _trapOpening(griefer, r, 0)));
        vm.prank(requester);
        (bool done, bytes memory why) = address(traps).call(call);
        vm.getRecordedLogs();
        assertFalse(done, "P-K2: a cheat became a trap");
        assertEq(bytes32(bytes4(why)), bytes32(Traps.SealedTooLate.selector), "P-K2: refused for another reason");
        worked["excuse"]++;
    }

    // ---- how situations are found and made

    /// @dev A task whose provider is won for a trap when it has claimed; 0 where it was late.
    function _setTrap(uint256 seed) internal returns (uint256 id) {
        id = _claimed(seed, seed % 3 == 0);
        Task memory t = market.task(id);
        Run memory r = _trapRun(_rand(seed, 11));
        bytes32 nonce = bytes32(sets.length + 1);
        bytes32 commitment = _trapCommitment(sealer, t.provider, r, nonce);
        vm.prank(sealer);
        traps.seal(commitment, JACKPOT);
        _after();
        runOf[id][t.attempt] = r;
        sets.push(Set(id, t.attempt, t.provider, nonce, false));
        setOf[id][t.attempt] = sets.length;
        _pass(1);
        (TaskState state, uint8 attempt,,,) = market.standing(id);
        if (state != TaskState.Claimed || attempt != t.attempt || vault.isTombstoned(t.provider)) return 0;
        _commitRun(id, t.provider, r);
        _after();
    }

    function _findHidden(uint256 seed) private view returns (uint256) {
        for (uint256 k = 0; k < sets.length; k++) {
            Set storage s = sets[(seed % sets.length + k) % sets.length];
            if (!s.used && _isShowable(s.taskId, s.attempt)) return s.taskId;
        }
        return 0;
    }

    function _findShown(uint256 seed, Stage stage) private view returns (Shown memory) {
        for (uint256 k = 0; k < sets.length; k++) {
            Set storage s = sets[(seed % sets.length + k) % sets.length];
            Book storage b = books[s.taskId][s.attempt];
            if (b.shownAt == 0 || b.closed != (stage == Stage.Due)) continue;
            if (stage == Stage.Claims && block.timestamp > traps.trapOf(s.taskId, s.attempt).claimsUntil) continue;
            if (stage == Stage.Due && vault.pot(b.pot) == 0) continue;
            return Shown(s.taskId, s.attempt);
        }
        return Shown(0, 0);
    }

    /// @dev One that the honest challenger finds and the sealer shows.
    function _shownNow(uint256 seed) private returns (Shown memory) {
        uint256 id = _setTrap(seed);
        if (id == 0 || !_challengeable(id, watcher)) return Shown(0, 0);
        (, uint8 attempt,,,) = market.standing(id);
        _commitOwn(id, watcher, _right(2));
        if (_rand(seed, 12) % 4 != 0) _commitOwn(id, friend, _right(2));
        if (_rand(seed, 13) % 4 != 0) _commitOwn(id, griefer, _wrongRun(seed));
        _pass(m.retractWindow + 1);
        for (uint256 i = pending.length; i > 0 && pending[i - 1].taskId == id; i--) {
            if (!pending[i - 1].done && _isCurrent(pending[i - 1])) _revealPending(i - 1);
            if (_rand(seed, 14 + i) % 3 == 0) break; // the others are not heard
        }
        _pass(1);
        return books[id][attempt].shownAt == 0 ? Shown(0, 0) : Shown(id, attempt);
    }

    function _claimFor(Shown memory s, address who) private {
        bool open = block.timestamp <= traps.trapOf(s.taskId, s.attempt).claimsUntil && !entered[s.taskId][s.attempt][who];
        bool due = open && _foundIt(s.taskId, s.attempt, who);
        (bool done,) = _try(anyone, address(traps), abi.encodeCall(ITraps.enter, (s.taskId, s.attempt, who)));
        assertTrue(done == due, due ? "P-K5: a finder was refused" : "P-K5: one was entered that was not heard before");
        if (!done) {
            (bool has, bytes32 root) = _ownRoot(s, who);
            if (!has) return;
            due = open && _said(s.taskId, s.attempt, who) && root != traps.trapOf(s.taskId, s.attempt).traceRoot;
            bytes memory call = abi.encodeCall(ITraps.show, (s.taskId, s.attempt, root, SALT));
            (done,) = _try(who, address(traps), call);
            assertTrue(done == due, due ? "P-K5: a finder was not heard" : "P-K5: one was heard that had said nothing");
            if (done) happened["heard late"]++;
        }
        if (done) worked["claimTrap"]++;
    }

    /// @dev What this account had committed to about the attempt.
    function _ownRoot(Shown memory s, address who) private view returns (bool has, bytes32 root) {
        for (uint256 i = 0; i < pending.length; i++) {
            Pending storage p = pending[i];
            if (p.taskId != s.taskId || p.attempt != s.attempt || p.challenger != who) continue;
            return (true, GameTrace.traceRoot(p.own, shape));
        }
        Audit memory a = theAudits.audit(s.taskId, s.attempt);
        if (a.auditor != who || a.committedAt == 0) return (false, 0);
        return (true, GameTrace.traceRoot(auditRun[s.taskId][s.attempt], shape));
    }

    /// @dev While somebody may still find it, and nobody has, it stays hidden.
    function _refuseEarly(uint256 id, uint8 attempt) private {
        if (_canShow(id)) return;
        Set storage s = sets[setOf[id][attempt] - 1];
        TrapOpening memory o = _trapOpening(sealer, runOf[id][attempt], s.nonce);
        _refuse(requester, abi.encodeCall(ITraps.reveal, (id, o)), "P-K3: shown before it could be found");
        _refuse(sealer, abi.encodeCall(ITraps.reveal, (id, o)), "P-K3: shown by another");
    }

    function _canShow(uint256 id) private view returns (bool) {
        Task memory t = market.task(id);
        if (t.state == TaskState.Disputed) return true;
        return t.auditClosed && block.timestamp >= uint256(t.committedAt) + m.challengeWindow;
    }

    /// @dev It stands, or it has settled because an auditor let it pass.
    function _isShowable(uint256 id, uint8 attempt) private view returns (bool) {
        if (_isServed(id, attempt)) return true;
        (TaskState state, uint8 now_,,,) = market.standing(id);
        return state == TaskState.Settled && now_ == attempt && theAudits.audit(id, attempt).state == AuditState.Matched;
    }

    function _isServed(uint256 id, uint8 attempt) private view returns (bool) {
        (TaskState state, uint8 now_, address provider,,) = market.standing(id);
        bool stands = state == TaskState.Committed || state == TaskState.Disputed;
        return stands && now_ == attempt && !vault.isTombstoned(provider);
    }

    function _passTo(uint256 time) private {
        if (block.timestamp < time) _pass(time - block.timestamp);
    }

    function _refuse(address by, bytes memory call, string memory why) private {
        (bool done,) = _try(by, address(traps), call);
        assertFalse(done, why);
    }
}
