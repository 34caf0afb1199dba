// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SystemPlayers} from "./SystemPlayers.sol";
import {GameTrace, Run} from "../utils/GameTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {Market} from "../../src/market/Market.sol";
import {RetryLanes} from "../../src/market/RetryLanes.sol";
import {Audit, AuditState} from "../../src/interfaces/IAudits.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {MarketParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, Task, TaskState} from "../../src/interfaces/Types.sol";
import {ParameterChecks} from "../../src/lib/ParameterChecks.sol";

/// @notice How the situations that actions need are found, or made where there are none; and what is counted of actions.
abstract contract SystemSituations is SystemPlayers {
    mapping(bytes32 => uint256) public calls;
    mapping(bytes32 => uint256) public worked;
    uint256 public total;
    uint256 public totalWorked;

    modifier counted(bytes32 action) {
        _watch();
        calls[action]++;
        total++;
        uint256 before = worked[action];
        _;
        if (worked[action] != before) totalWorked++;
        while (_liars() < 2) {
            _newLiar();
        }
    }

    // ---- how situations are found and made

    function _do(address target, bytes memory call) internal returns (bool done) {
        (done,) = _try(anyone, target, call);
        if (done) worked["swept"]++;
    }

    function _find(uint256 seed, TaskState wanted) internal view returns (uint256) {
        uint256 count = market.taskCount();
        for (uint256 k = 0; k < count; k++) {
            uint256 id = 1 + (seed % count + k) % count;
            (TaskState state,, address provider,,) = market.standing(id);
            if (state == wanted && (provider == address(0) || !vault.isTombstoned(provider))) return id;
        }
        return 0;
    }

    function _findWrong(uint256 seed) internal view returns (uint256) {
        uint256 count = market.taskCount();
        for (uint256 k = 0; k < count; k++) {
            uint256 id = 1 + (seed % count + k) % count;
            if (_challengeable(id, watcher) && _runNow(id).salt != 0) return id;
        }
        return 0;
    }

    function _findDispute(uint256 seed, DisputeState from, DisputeState to) internal view returns (uint256) {
        uint256 count = openDisputes.length;
        for (uint256 k = 0; k < count; k++) {
            uint256 id = openDisputes[(seed % count + k) % count];
            if (seenDispute[id] >= from && seenDispute[id] <= to) return id;
        }
        return 0;
    }

    function _runNow(uint256 id) internal view returns (Run memory) {
        (, uint8 attempt,,,) = market.standing(id);
        return runOf[id][attempt];
    }

    function _challengeable(uint256 id, address by) internal view returns (bool) {
        (TaskState state, uint8 attempt, address provider, uint64 committedAt,) = market.standing(id);
        if (state != TaskState.Committed && state != TaskState.Disputed) return false;
        (, uint128 bond,,) = theCourt.challengeOf(id, attempt, by);
        return bond == 0 && block.timestamp < committedAt + m.challengeWindow && !vault.isTombstoned(provider);
    }

    function _liars() internal view returns (uint256 count) {
        for (uint256 i = 0; i < providers.length; i++) {
            if (!honest[providers[i]] && vault.isEligible(providers[i])) count++;
        }
    }

    function _posted() internal returns (uint256 id) {
        id = _post();
        _after();
    }

    /// @dev A claimed task, by a liar if wanted.
    function _claimed(uint256 seed, bool liar) internal returns (uint256 id) {
        id = _posted();
        for (uint256 i = 0; i < 8; i++) {
            address p = providers[_rand(seed, 50 + i) % providers.length];
            if (!(liar && honest[p]) && _tryClaim(id, p)) return id;
        }
        address fresh = _newLiar();
        if (_tryClaim(id, fresh)) return id;
        assertTrue(_tryRetry(fresh), "who is gated can take the retry that gates it");
        assertTrue(_tryClaim(id, fresh), "and may claim then");
    }

    /// @dev A fresh result; a liar's and wrong if wanted.
    function _result(uint256 seed, bool wrong) internal returns (uint256 id) {
        id = _claimed(seed, wrong);
        _commitResult(id, wrong ? 3 * (seed >> 2) + 1 : seed); // a liar errs unless three divides
    }

    /// @dev A fresh dispute by the honest challenger; 0 if another verdict came between.
    function _disputed(uint256 seed) internal returns (uint256) {
        _commitOwn(_result(seed, true), watcher, _right(2));
        uint256 last = pending.length - 1;
        _pass(m.retractWindow);
        return pending[last].done || !_isCurrent(pending[last]) ? 0 : _revealPending(last);
    }

    /// @dev I9: while a retry that the provider could take has waited longer than the grace, it claims no other task without
    /// having taken one before.
    function _tryClaim(uint256 id, address provider) internal returns (bool done) {
        uint256 head = market.retryHead(modelId);
        bool gated = head != 0 && head != id && _gates(head, provider);
        uint16 credit = market.retryCredit(modelId, provider);
        bytes memory why;
        (done, why) = _try(provider, address(market), abi.encodeCall(Market.claim, (id)));
        if (gated && credit == 0) {
            assertFalse(done, "I9: a normal claim passed while a retry waits");
            if (bytes4(why) == RetryLanes.RetryWaits.selector) worked["gated"]++;
        } else if (!done) {
            assertTrue(bytes4(why) != RetryLanes.RetryWaits.selector, "I9: gated without reason");
        }
        if (done && gated) assertEq(market.retryCredit(modelId, provider), credit - 1, "I9: a retry pays for few claims");
    }

    function _gates(uint256 head, address provider) internal view returns (bool) {
        Task memory t = market.task(head);
        uint256 waited = block.timestamp - t.openedAt;
        if (waited <= m.retryGrace || waited > m.retryLifetime || market.isExcluded(head, provider)) return false;
        MarketParams memory rules = m;
        return vault.canLock(provider, uint128(ParameterChecks.collateral(rules, t.maxPrice)), m.maxLockedBps, 100 * UNIT);
    }

    /// @dev I9: the oldest of the highest attempt is served first.
    function _tryRetry(address provider) internal returns (bool done) {
        bytes memory answer;
        (done, answer) = _try(provider, address(market), abi.encodeCall(Market.claimRetry, (modelId)));
        if (!done) return false;
        uint256 got = abi.decode(answer, (uint256));
        uint256 count = market.taskCount();
        for (uint256 id = 1; id <= count; id++) {
            (TaskState state, uint8 attempt,,,) = market.standing(id);
            if (state != TaskState.Open || attempt == 0) continue;
            bool behind =
                attempt < seen[got].attempt || (attempt == seen[got].attempt && seen[id].requeuedAs > seen[got].requeuedAs);
            assertTrue(behind, "I9: FIFO, highest attempt first");
        }
    }

    function _direct(Dispute memory d, Run memory theirs) internal view returns (ICourt.IsolateDirect memory p) {
        bytes32[] memory leaves = GameTrace.level1(theirs, shape);
        p.leafIndex = theirs.leaf;
        p.leaf = leaves[theirs.leaf];
        p.leafProof = TraceTree.open(leaves, shape.traceHeight, theirs.leaf);
        (p.previousLeaf, p.previousProof) = _previous(theirs, theirs.leaf);
        p.segment = GameTrace.segment(shape, theirs.leaf % 4);
        bytes32[] memory ops = GameTrace.ops(theirs, shape, theirs.leaf);
        p.opsRoot = TraceTree.root(ops, shape.opsHeight);
        (p.live, p.index) = (theirs.live, theirs.index);
        bytes32[] memory places = theirs.live ? GameTrace.lives(theirs, shape, theirs.leaf) : ops;
        p.claimedDigest = places[p.index];
        p.claimedProof = TraceTree.open(places, p.live ? shape.liveHeight : shape.opsHeight, p.index);
        p.signature = _signFine(keyOf[d.provider], d.taskId, p.leafIndex, p.opsRoot);
    }

    // ---- an audit, step by step

    function _auditable(uint256 id) internal view returns (bool) {
        (TaskState state,, address provider,,) = market.standing(id);
        return (state == TaskState.Committed || state == TaskState.Disputed) && !vault.isTombstoned(provider);
    }

    function _publishDue(uint64 round) internal {
        uint64 due = beacon.timeOf(round);
        if (block.timestamp < due) _pass(due - block.timestamp);
        _publish(round);
    }

    /// @dev One step on, if there is one.
    function _stepAudit(uint256 id, uint256 seed) internal returns (bool) {
        if (!_auditable(id)) return false;
        Audit memory a = _auditOf(id);
        if (a.state == AuditState.None) {
            _publishDue(theAudits.auditRound(id));
            if (!_auditable(id) || _auditOf(id).state != AuditState.None) return false;
            theAudits.decide(id);
            _after();
            return true;
        }
        if (block.timestamp > a.deadline) return false;
        if (a.state == AuditState.Drawn) {
            _auditCommit(id, seed);
            return true;
        }
        if (a.state != AuditState.Committed) return false;
        _publishDue(beacon.roundAfter(a.committedAt));
        a = _auditOf(id);
        if (!_auditable(id) || a.state != AuditState.Committed || block.timestamp > a.deadline) return false;
        _auditOpen(id);
        return true;
    }

    function _finishAudit(uint256 id, uint256 seed) internal {
        for (uint256 i = 0; i < 4 && _stepAudit(id, _rand(seed, i)); i++) {}
    }
}
