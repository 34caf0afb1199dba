// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SystemGhosts} from "./SystemGhosts.sol";
import {GameTrace, Run, Shape} from "../utils/GameTrace.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {Audit, AuditState} from "../../src/interfaces/IAudits.sol";
import {TrapOpening} from "../../src/interfaces/ITraps.sol";
import {CourtParams, MarketParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, ModelHeader, SegmentOpening, Side, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {TraceHash} from "../../src/lib/TraceHash.sol";

/// @notice Honest players, who do what they owe in time, and liars, who do it or not; and a clock that passes only after the
/// honest have done what would be late otherwise, while keepers make every call open to anyone as soon as it can be made.
abstract contract SystemPlayers is SystemGhosts {
    struct Pending {
        uint256 taskId;
        uint8 attempt;
        address challenger;
        bool done; // revealed, or its bond is back or gone
        Run own;
    }

    /// @dev A trap that the honest sealer stands for.
    struct Set {
        uint256 taskId;
        uint8 attempt;
        address provider;
        bytes32 nonce;
        bool used; // shown, or its deposit is back
    }

    uint128 internal constant JACKPOT = 64e18;

    address internal griefer;
    address internal sealer;
    address internal friend; // of the sealer: claims to have found what somebody else found
    uint256 internal sealersBegan;
    Set[] internal sets;
    mapping(uint256 => mapping(uint8 => uint256)) internal setOf; // task -> attempt -> place in `sets`, from 1
    address[] public providers;
    mapping(address => bool) public honest;
    mapping(address => uint256) internal keyOf;
    mapping(address => uint256) public honestStake; // what it began with
    uint256 internal watcherBegan;
    uint256 private _salts;

    mapping(uint256 => mapping(uint8 => Run)) internal runOf; // what was committed
    mapping(uint256 => Run) internal ownRun; // dispute -> its challenger's
    mapping(uint256 => mapping(uint8 => Run)) internal auditRun;
    Pending[] internal pending;

    CourtParams internal c;
    MarketParams internal m;

    constructor() {
        setUp();
        c = parameters.courtAt(1);
        m = parameters.marketAt(1);
        griefer = _funded("griefer");
        watcherBegan = token.balanceOf(watcher);
        sealer = _funded("sealer");
        friend = _funded("friend");
        sealersBegan = token.balanceOf(sealer) + token.balanceOf(friend);
        _join(alice);
        providers.push(alice);
        providers.push(bob);
        (honest[alice], honest[bob], honest[watcher]) = (true, true, true);
        (honestStake[alice], honestStake[bob]) = (vault.totalStake(alice), vault.totalStake(bob));
        providers.push(carol);
        providers.push(makeAddr("dora"));
        (, keyOf[alice]) = makeKey("alice");
        (, keyOf[bob]) = makeKey("bob");
        (, keyOf[carol]) = makeKey("carol");
        (, keyOf[makeAddr("dora")]) = makeKey("dora");
        skip(1);
        ghostPool = vault.pot(Pots.AUDIT_POOL);
    }

    function _shape() internal pure override returns (Shape memory s) {
        s.traceHeight = 5;
        s.opsHeight = 5;
        s.liveHeight = 2;
        s.ops = new uint32[](4);
        (s.ops[0], s.ops[1], s.ops[2], s.ops[3]) = (18, 3, 1, 5);
        s.lives = new uint32[](4);
        (s.lives[0], s.lives[1], s.lives[2], s.lives[3]) = (3, 1, 4, 2);
    }

    function _header() internal view override returns (ModelHeader memory) {
        return _headerOf(shape, 8);
    }

    function providerCount() external view returns (uint256) {
        return providers.length;
    }

    function _newLiar() internal returns (address key) {
        string memory name = string.concat("liar", vm.toString(providers.length));
        key = _provider(name, 1_000 * UNIT, 8);
        (, keyOf[key]) = makeKey(name);
        _join(key);
        providers.push(key);
        _after();
    }

    function _rand(uint256 seed, uint256 salt) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, salt)));
    }

    /// @dev A run that nobody else has, wrong from some place on.
    function _wrongRun(uint256 seed) internal returns (Run memory r) {
        r.steps = 2;
        r.salt = ++_salts;
        r.leaf = uint64(seed % 8);
        r.live = _rand(seed, 1) % 4 == 0;
        uint32[] memory counts = r.live ? shape.lives : shape.ops;
        r.index = uint32(_rand(seed, 2) % counts[r.leaf % 4]);
    }

    // ---- providers

    function _commitResult(uint256 taskId, uint256 seed) internal {
        (, uint8 attempt, address provider,,) = market.standing(taskId);
        Run memory r = honest[provider] || seed % 3 == 0 ? _right(2) : _wrongRun(seed);
        runOf[taskId][attempt] = r;
        _commitRun(taskId, provider, r);
        _after();
    }

    // ---- traps

    /// @dev Right, but for one leaf that is none; not the last one, which says "stop".
    function _trapRun(uint256 seed) internal returns (Run memory r) {
        r.steps = 2;
        r.salt = GameTrace.TRAP + ++_salts;
        r.leaf = uint64(seed % 7);
    }

    function _trapCommitment(address by, address provider, Run memory r, bytes32 nonce) internal view returns (bytes32) {
        bytes32 leaf = TraceHash.trapLeaf(bytes32(r.salt));
        return keccak256(abi.encode(bytes32("Gavel trap"), block.chainid, address(traps), by, requester, provider, leaf, nonce));
    }

    function _trapOpening(address by, Run memory r, bytes32 nonce) internal view returns (TrapOpening memory o) {
        o.sealer = by;
        o.salt = bytes32(r.salt);
        o.nonce = nonce;
        o.leafIndex = r.leaf;
        o.proof = TraceTree.open(GameTrace.level1(r, shape), shape.traceHeight, r.leaf);
    }

    /// @dev The honest requester shows what was set, as soon as somebody has found it.
    function _showSet(uint256 taskId, uint8 attempt) internal {
        Set storage s = sets[setOf[taskId][attempt] - 1];
        s.used = true;
        TrapOpening memory o = _trapOpening(sealer, runOf[taskId][attempt], s.nonce);
        vm.prank(requester);
        traps.reveal(taskId, o);
        _after();
    }

    /// @dev Set, not shown, and not taken back.
    function _isHidden(uint256 taskId, uint8 attempt) internal view returns (bool) {
        uint256 place = setOf[taskId][attempt];
        return place != 0 && !sets[place - 1].used;
    }

    /// @dev The dispute has come to the leaf that is wrong on purpose.
    function _isTrapLeaf(Dispute memory d) internal view returns (bool) {
        Run memory theirs = runOf[d.taskId][d.attempt];
        return GameTrace.isTrap(theirs) && d.leafIndex == theirs.leaf;
    }

    /// @dev A dispute that the trap's word ends.
    function _isVoid(Dispute memory d) internal view returns (bool) {
        return d.draws == 0 && books[d.taskId][d.attempt].shownAt != 0;
    }

    // ---- challengers

    function _commitOwn(uint256 taskId, address challenger, Run memory own) internal {
        (, uint8 attempt,,,) = market.standing(taskId);
        _commitChallenge(taskId, challenger, GameTrace.traceRoot(own, shape));
        pending.push(Pending(taskId, attempt, challenger, false, own));
        _after();
    }

    function _revealPending(uint256 i) internal returns (uint256 id) {
        Pending storage p = pending[i];
        p.done = true;
        id = _reveal(p.taskId, p.challenger, GameTrace.traceRoot(p.own, shape));
        ownRun[id] = p.own;
        _after();
    }

    /// @dev The result that it is about is still there.
    function _isCurrent(Pending storage p) internal view returns (bool) {
        (TaskState state, uint8 attempt,,,) = market.standing(p.taskId);
        return attempt == p.attempt && (state == TaskState.Committed || state == TaskState.Disputed);
    }

    function _window(Pending storage p) internal view returns (uint256 opensAt, uint256 closesAt) {
        (,,, uint64 committedAt,) = market.standing(p.taskId);
        return (uint256(committedAt) + m.retractWindow, uint256(committedAt) + m.challengeWindow + m.revealWindow);
    }

    // ---- the game

    function _inGame(DisputeState s) internal pure returns (bool) {
        return s == DisputeState.Level1 || s == DisputeState.SegmentWanted || s == DisputeState.Level2;
    }

    function _stands(Dispute memory d) internal view returns (bool) {
        (TaskState state, uint8 attempt,,,) = market.standing(d.taskId);
        return attempt == d.attempt && state == TaskState.Disputed;
    }

    function _mover(Dispute memory d) internal pure returns (address) {
        return d.turn == Side.Provider ? d.provider : d.challenger;
    }

    function _clockEnd(Dispute memory d) internal pure returns (uint256) {
        return uint256(d.turnStartedAt) + (d.turn == Side.Provider ? d.providerClock : d.challengerClock);
    }

    /// @dev Whoever's turn it is moves: an honest challenger to the leftmost difference, another one anywhere.
    function _play1(uint256 id, uint256 seed) internal {
        Dispute memory d = theCourt.dispute(id);
        Run memory theirs = runOf[d.taskId][d.attempt];
        if (d.state == DisputeState.SegmentWanted) _usurp(id, d, theirs);
        if (d.turn == Side.Provider || honest[d.challenger] || seed % 2 == 0) {
            _moveNow(id, theirs, ownRun[id]);
        } else if (d.height == 0) {
            bytes32[] memory ops = _opsRow(theirs, d.leafIndex);
            bytes32[] memory lives = _liveRow(theirs, d.leafIndex);
            bool live = seed % 4 == 1;
            vm.prank(d.challenger);
            theCourt.pickSegment(id, ops, lives, live, uint8(_rand(seed, 3) % (live ? lives.length : ops.length)));
        } else {
            bytes32[] memory row = _row(d, theirs);
            vm.prank(d.challenger);
            theCourt.pick(id, row, uint8(_rand(seed, 3) % row.length));
        }
        _after();
    }

    /// @dev Everything in a segment but the operators' row is public: the challenger tries to post it in the provider's place.
    function _usurp(uint256 id, Dispute memory d, Run memory theirs) private {
        (bytes32 previous, bytes32[] memory proof) = _previous(theirs, d.leafIndex);
        bytes32[] memory ops = _opsRow(theirs, d.leafIndex);
        ops[0] = keccak256("an operator that nobody claimed");
        bytes32[] memory lives = _liveRow(theirs, d.leafIndex);
        SegmentOpening memory segment = GameTrace.segment(shape, d.leafIndex % shape.ops.length);
        bytes memory call = abi.encodeCall(theCourt.postSegment, (id, d.node, previous, proof, segment, ops, lives));
        vm.prank(d.challenger);
        (bool done,) = address(theCourt).call(call);
        assertFalse(done, "a segment in the provider's name");
    }

    // ---- referees

    function _ruleTruly(uint256 id) internal {
        Dispute memory d = theCourt.dispute(id);
        Run memory theirs = runOf[d.taskId][d.attempt];
        bool before =
            theirs.salt != 0 && !theirs.live && !d.inLive && theirs.leaf == d.leafIndex && theirs.index < d.isolatedIndex;
        if (before && _ruleBefore(id, theirs.index)) return;
        _rule(id, theirs);
        _after();
    }

    /// @dev False when there were as many as there may be.
    function _ruleBefore(uint256 id, uint32 index) internal returns (bool done) {
        Dispute memory d = theCourt.dispute(id);
        bytes32[] memory ops = GameTrace.ops(runOf[d.taskId][d.attempt], shape, d.leafIndex);
        bytes32[] memory proof = TraceTree.open(ops, shape.opsHeight, index);
        bytes memory call = abi.encodeCall(theCourt.ruleEarlier, (id, index, ops[index], keccak256("own"), proof));
        (done,) = _try(d.referee, address(theCourt), call);
    }

    function _ruleFalsely(uint256 id, uint256 seed) internal {
        Dispute memory d = theCourt.dispute(id);
        uint256 lie = seed % 3;
        if (lie == 0 && !d.inLive && d.isolatedIndex > 0 && _ruleBefore(id, uint32(_rand(seed, 4) % d.isolatedIndex))) {
            return;
        }
        bytes32 own = lie == 1 ? d.claimedDigest : keccak256(abi.encode("a lie", seed));
        vm.prank(d.referee);
        theCourt.rule(id, d.claimedDigest, own);
        _after();
    }

    /// @dev An honest side that a ruling goes against, which is then a false one.
    function _wronged(Dispute memory d) internal view returns (address) {
        address loser = d.ruledGuilty ? d.provider : d.challenger;
        return honest[loser] ? loser : address(0);
    }

    function _appealBy(uint256 id, address side) internal {
        vm.prank(side);
        theCourt.appeal(id);
        happened["appealed"]++;
        _after();
    }

    // ---- auditors

    function _auditCommit(uint256 taskId, uint256 seed) internal {
        Audit memory a = _auditOf(taskId);
        Run memory theirs = runOf[taskId][a.attempt];
        Run memory own = honest[a.auditor] || seed % 2 == 0 ? _right(2) : _wrongRun(seed);
        // who runs nothing shows what the provider of a trap hands over; the leaf that is none cannot be opened
        if (!honest[a.auditor] && GameTrace.isTrap(theirs) && theirs.leaf != a.leafIndex) own = theirs;
        auditRun[taskId][a.attempt] = own;
        _commitAudit(taskId, own);
        _after();
    }

    /// @dev The round is out.
    function _auditOpen(uint256 taskId) internal {
        uint8 attempt = market.task(taskId).attempt;
        uint256 before = theCourt.disputeCount();
        Run memory own = auditRun[taskId][attempt];
        _openAudit(taskId, own);
        if (theCourt.disputeCount() != before) {
            ownRun[before + 1] = own;
            happened["mismatch"]++;
        } else {
            happened["match"]++;
        }
        _after();
    }

    // ---- time

    /// @dev Everything that an honest player owes before the target is done first; everything that anybody may call is called
    /// at the first second it can be.
    function _pass(uint256 seconds_) internal {
        uint256 target = block.timestamp + seconds_;
        for (uint256 guard = 0; guard < 500; guard++) {
            (uint256 next, uint256 reveal, uint256 open) = _attendTasks(target);
            uint256 dispute;
            for (uint256 i = openDisputes.length; i > 0; i--) {
                if (i > openDisputes.length) continue; // closed on the way
                uint256 id = openDisputes[i - 1];
                uint256 due = _keep(id, target);
                if (due < next) (next, dispute, reveal, open) = (due, id, 0, 0);
            }
            if (next > target) break;
            if (next > block.timestamp) _warp(next);
            if (dispute != 0) _crank(dispute);
            else if (reveal != 0) _revealPending(reveal - 1);
            else _auditOpen(open);
        }
        if (block.timestamp < target) _warp(target);
    }

    function _warp(uint256 time) private {
        vm.warp(time);
        vm.roll(block.number + 1);
        vm.prevrandao(keccak256(abi.encode(time)));
    }

    /// @return next when the first thing is due that can only be done then: `reveal` - 1 is a challenge, `open` an audit's task
    function _attendTasks(uint256 target) private returns (uint256 next, uint256 reveal, uint256 open) {
        next = type(uint256).max;
        for (uint256 i = 0; i < pending.length; i++) {
            Pending storage p = pending[i];
            if (p.done || !honest[p.challenger] || !_isCurrent(p)) continue;
            (uint256 opensAt, uint256 closesAt) = _window(p);
            if (closesAt > target) continue;
            uint256 at = opensAt > block.timestamp ? opensAt : block.timestamp;
            if (at < next) (next, reveal, open) = (at, i + 1, 0);
        }
        uint256 count = market.taskCount();
        for (uint256 id = 1; id <= count; id++) {
            (TaskState state, uint8 attempt, address provider,,) = market.standing(id);
            if (state == TaskState.Claimed && honest[provider] && market.task(id).deadline < target) _commitResult(id, 0);
            if (state != TaskState.Committed && state != TaskState.Disputed) continue;
            Audit memory a = theAudits.audit(id, attempt);
            if (!honest[a.auditor] || a.deadline >= target || vault.isTombstoned(provider)) continue;
            if (a.state == AuditState.Drawn) {
                _auditCommit(id, 0);
                a = theAudits.audit(id, attempt);
            }
            if (a.state != AuditState.Committed || a.deadline >= target) continue;
            uint256 at = beacon.timeOf(beacon.roundAfter(a.committedAt));
            if (at < block.timestamp) at = block.timestamp;
            if (at < next) (next, reveal, open) = (at, 0, id);
        }
    }

    /// @dev What the honest owe in this dispute before the target; then when a keeper is wanted.
    function _keep(uint256 id, uint256 target) private returns (uint256) {
        for (uint256 moves = 0; moves < MAX_MOVES; moves++) {
            Dispute memory d = theCourt.dispute(id);
            if (d.state >= DisputeState.Upheld) return type(uint256).max;
            if (!_stands(d) || _isVoid(d)) return block.timestamp;
            if (d.draws == 0 && _isHidden(d.taskId, d.attempt)) {
                _showSet(d.taskId, d.attempt);
                return block.timestamp;
            }
            if (d.state == DisputeState.Isolated) {
                uint256 at = beacon.timeOf(beacon.roundAfter(d.isolatedAt));
                return at > block.timestamp ? at : block.timestamp;
            }
            if (d.state == DisputeState.Ruled) {
                address side = _wronged(d);
                if (side == address(0)) return _later(uint256(d.ruledAt) + c.appealWindow);
                _appealBy(id, side);
                continue;
            }
            bool game = _inGame(d.state);
            uint256 deadline = game ? _clockEnd(d) : d.refereeDeadline;
            if (deadline >= target || !honest[game ? _mover(d) : d.referee]) return _later(deadline);
            if (game) _play1(id, 0);
            else _ruleTruly(id);
        }
        revert("the honest never come to an end");
    }

    function _later(uint256 deadline) private view returns (uint256) {
        return deadline + 1 > block.timestamp ? deadline + 1 : block.timestamp;
    }

    /// @dev The call that anybody may make now.
    function _crank(uint256 id) internal {
        Dispute memory d = theCourt.dispute(id);
        if (!_stands(d) || _isVoid(d)) {
            theCourt.closeMoot(id);
            happened["moot"]++;
        } else if (_inGame(d.state)) {
            theCourt.claimTimeout(id);
            happened["timeout"]++;
        } else if (d.state == DisputeState.Isolated) {
            _publish(beacon.roundAfter(d.isolatedAt));
            theCourt.drawReferee(id);
        } else if (d.state == DisputeState.Refereed) {
            theCourt.refereeTimeout(id);
        } else {
            theCourt.finalize(id);
            happened["finalized"]++;
        }
        _after();
    }
}
