// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealSystemFixture} from "../utils/AppealSystemFixture.sol";
import {TraceTree} from "../utils/TraceTree.sol";
import {AppealGame, AppealOutcome, AppealPhase, StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {Dispute, DisputeState, Side} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Disputes that end in appeals, several at a time. Honest players answer at once and rightly; the others do what the
/// seed says: lie about rulings, earlier operators, states and batches, pick anything, or let their clocks run out.
contract AppealHandler is AppealSystemFixture {
    uint256 private constant OPEN_MAX = 4;
    uint256 private constant TRUE = type(uint256).max;
    uint64 private constant MIDDLE = 300; // an element of `scan` whose run has 12 batches

    enum Kind {
        Liar, // a wrong result and an honest challenger
        FalseAlarm, // a right result and a challenger that lies
        Friends // a wrong result and a challenger that is the provider's friend
    }

    struct Case {
        Kind kind;
        uint256 id;
        uint256 taskId;
        address provider;
        address challenger;
        uint256 tensor; // isolated by the challenger
        uint64 element; // the wrong one
        bool wrongBefore; // the operator before is wrong too
        uint256 wealth; // coins of an honest provider at the start
        bool closed;
        AppealOutcome last; // of the levels
        bool moot; // the provider was convicted elsewhere
    }

    Case[] private _cases;
    mapping(uint256 => bytes32[]) private _shown; // states that wait for a pick, by dispute
    mapping(uint256 => mapping(address => bool)) private _bribed; // dispute, referee
    mapping(address => bool) private _liedOnce;
    address[] private _referees;
    mapping(address => bool) private _left; // the pool
    uint256 private _names;
    uint256 private _began; // the honest challenger's coins
    mapping(bytes32 => uint256) public happened;

    constructor() {
        setUp();
        _began = token.balanceOf(watcher);
        _referees = [bob, carol, makeAddr("dora")];
    }

    // ---- actions

    function begin(uint256 seed) external {
        if (_openCases() >= OPEN_MAX) return act(seed);
        _keepReferees();
        Kind kind = Kind(seed % 3);
        uint256 tensor = [SCAN, FOLD, SUM][(seed >> 8) % 3];
        uint64 element = tensor != SCAN ? uint64((seed >> 16) % 3) : (seed >> 16) % 4 == 0 ? LONG : MIDDLE;
        bool before = kind == Kind.Friends && tensor == FOLD && (seed >> 24) % 4 != 0;
        string memory name = string.concat("provider", vm.toString(_names++));
        address provider = _provider(name, 1_000 * UNIT, 8);
        address challenger = kind == Kind.Liar ? watcher : _funded(string.concat("puppet", vm.toString(_names++)));
        wrongBefore = before ? _digest(_wrongScan(MIDDLE, 9)) : bytes32(0);
        uint256 wealth = token.balanceOf(provider);
        Tensor memory t = kind == Kind.FalseAlarm ? tensors[tensor] : _altered(tensor, element, 9);
        uint256 taskId = _isolatedAt(name, challenger, tensor, t);
        _cases.push(
            Case(kind, ID, taskId, provider, challenger, tensor, element, before, wealth, false, AppealOutcome.Pending, false)
        );
        _settle();
    }

    /// @notice One of those that are not honest does something.
    function act(uint256 seed) public {
        uint256 at_ = _pickOpen(seed);
        if (at_ == type(uint256).max) return;
        Case storage c = _cases[at_];
        _load(c);
        DisputeState s = theCourt.dispute(ID).state;
        seed >>= 16;
        if (s == DisputeState.Refereed) _liesAsReferee(c, seed);
        else if (s == DisputeState.Ruled) _maybeAppeals(c, seed);
        else if (s == DisputeState.Appealed && c.kind == Kind.Friends && !c.moot && seed % 8 == 1) _convictedElsewhere(c);
        else if (s == DisputeState.Appealed) _playsBadly(seed);
        _settle();
    }

    function wait(uint256 seed) external {
        skip(1 + seed % 20 minutes);
        _settle();
    }

    // ---- read by the invariants

    function cases() external view returns (Case[] memory) {
        return _cases;
    }

    function deployed() external view returns (address court_, address vault_, address levels_) {
        return (address(theCourt), address(vault), address(levels));
    }

    /// @notice What the honest challenger had, and has: coins, credit, and bonds that are out.
    function watchersWealth() external view returns (uint256 began, uint256 has) {
        has = token.balanceOf(watcher) + vault.credit(watcher);
        for (uint256 i = 0; i < _cases.length; i++) {
            if (_cases[i].kind != Kind.Liar || _cases[i].closed) continue;
            has += vault.pot(Pots.dispute(_cases[i].id));
            if (theCourt.dispute(_cases[i].id).appellant == watcher) has += vault.pot(Pots.appeal(_cases[i].id));
        }
        return (_began, has);
    }

    function wealthOf(Case memory c) external view returns (uint256 has) {
        has = token.balanceOf(c.provider) + vault.credit(c.provider);
        if (theCourt.dispute(c.id).appellant == c.provider) has += vault.pot(Pots.appeal(c.id));
    }

    function honestReferees() external view returns (address[] memory list) {
        list = new address[](_referees.length);
        uint256 n;
        for (uint256 i = 0; i < _referees.length; i++) {
            if (!_liedOnce[_referees[i]]) list[n++] = _referees[i];
        }
        assembly ("memory-safe") {
            mstore(list, n)
        }
    }

    // ---- the honest, and whoever may be anyone

    /// @dev Until only the others have something to do.
    function _settle() private {
        for (uint256 i = 0; i < _cases.length; i++) {
            if (_cases[i].closed) continue;
            for (uint256 moves = 0; !_cases[i].closed; moves++) {
                assertLe(moves, 200, "it goes on and on");
                _load(_cases[i]);
                if (!_settles(_cases[i])) break;
            }
        }
    }

    function _settles(Case storage c) private returns (bool) {
        Dispute memory d = theCourt.dispute(ID);
        if (d.state == DisputeState.Isolated) return _draws(d);
        if (d.state == DisputeState.Refereed) return _rulesHonestly(c, d);
        if (d.state == DisputeState.Ruled) return _afterRuling(c, d);
        if (d.state == DisputeState.Appealed) return _inAppeal(c, d);
        c.closed = true;
        if (d.state == DisputeState.Upheld) _cancels(c);
        happened[d.state == DisputeState.Upheld ? bytes32("upheld") : c.moot ? bytes32("moot") : bytes32("cleared")]++;
        return false;
    }

    /// @dev A task that waits in the retry lane closes the other.
    function _cancels(Case storage c) private {
        vm.prank(requester);
        market.cancel(c.taskId);
    }

    function _draws(Dispute memory d) private returns (bool) {
        address referee = _drawReferee(ID);
        // Who is bribed is known by the draw.
        bool bribed = uint256(keccak256(abi.encode(referee, ID, d.draws))) % 2 == 0;
        _bribed[ID][referee] = bribed;
        if (bribed) _liedOnce[referee] = true;
        return true;
    }

    function _rulesHonestly(Case storage c, Dispute memory d) private returns (bool) {
        if (block.timestamp > d.refereeDeadline) {
            theCourt.refereeTimeout(ID);
            happened["silent referee"]++;
            return true;
        }
        if (_bribed[ID][d.referee]) return false;
        if (c.wrongBefore && d.hops < 2) {
            _points(c, d.referee);
            happened["earlier, rightly"]++;
        } else {
            bytes32 truth = _truth();
            vm.prank(d.referee);
            theCourt.rule(ID, d.claimedDigest, truth);
        }
        return true;
    }

    function _points(Case storage c, address referee) private {
        bytes32[] memory all = _ops(0, c.tensor, _digest(_caseClaim(c)));
        if (c.wrongBefore) all[0] = _digest(_wrongScan(MIDDLE, 9));
        bytes32 truth = _digest(tensors[SCAN]);
        bytes32[] memory proof = TraceTree.open(all, 1, 0);
        vm.prank(referee);
        theCourt.ruleEarlier(ID, 0, all[0], all[0] == truth ? keccak256("a lie") : truth, proof);
    }

    function _afterRuling(Case storage c, Dispute memory d) private returns (bool) {
        address loser = d.ruledGuilty ? c.provider : c.challenger;
        if (_honest(c, loser)) {
            // INVARIANT: an honest party is ruled against by a liar only.
            assertTrue(_bribed[ID][d.referee], "an honest referee against an honest party");
            _appeals(loser);
            happened["honest appeal"]++;
            return true;
        }
        if (block.timestamp <= d.ruledAt + _courtParams().appealWindow) return false;
        theCourt.finalize(ID);
        happened["unappealed"]++;
        return true;
    }

    function _inAppeal(Case storage c, Dispute memory d) private returns (bool) {
        AppealGame memory g = _game();
        if (c.moot && d.ruledAt == 0) {
            theCourt.closeMoot(ID);
            c.last = g.outcome;
            return true;
        }
        if (g.phase == AppealPhase.Ended) {
            _finishes(c, d, g);
            return true;
        }
        uint256 deadline = g.turnStartedAt + (g.turn == Side.Provider ? g.defenderClock : g.accuserClock);
        if (block.timestamp > deadline) {
            assertFalse(_honest(c, g.turn == Side.Provider ? g.defender : g.accuser), "honest players are in time");
            levels.claimTimeout(at, ID);
            happened["timeout"]++;
        } else if (_honest(c, g.turn == Side.Provider ? g.defender : g.accuser)) {
            _playsWell(c, g);
        } else {
            return false;
        }
        if (!g.replay && _game().replay) happened["replay"]++;
        return true;
    }

    function _finishes(Case storage c, Dispute memory d, AppealGame memory g) private {
        // I7: the levels have answered in their time.
        assertLe(block.timestamp, d.appealedAt + _courtParams().ospSeconds, "an appeal that took too long");
        if (d.ruledAt != 0 && d.ruledGuilty != (g.outcome == AppealOutcome.Guilty)) {
            assertTrue(_bribed[ID][d.referee], "an honest referee overturned");
            happened["overturned"]++;
        } else {
            happened["confirmed"]++;
        }
        if (d.ruledAt == 0) happened["no ruling"]++;
        c.last = g.outcome;
        if (c.moot) return theCourt.closeMoot(ID);
        theCourt.finalize(ID);
        if (theCourt.dispute(ID).state < DisputeState.Upheld) happened["restored"]++;
        else if (d.earlier) happened["earlier convicted"]++;
    }

    function _playsWell(Case storage c, AppealGame memory g) private {
        (uint256 tensor, uint64 element) = _place(c);
        if (g.phase == AppealPhase.States) {
            bytes[] memory run = _runOf(tensor, g.element);
            uint64 batches = g.batches == 0 ? uint64(run.length - 1) : g.batches;
            _shown[ID] = _revealStates(run, batches, TRUE);
        } else if (g.phase == AppealPhase.PickState) {
            _pickState(_runOf(tensor, g.element), _shown[ID]);
        } else if (g.phase == AppealPhase.Step) {
            _step(_proofOf(tensor, g));
            happened[_game().replay ? bytes32("step in a replay") : bytes32("step")]++;
        } else if (g.phase == AppealPhase.PickChunk) {
            _pickChunk(_childTowards(g, element / 128));
        } else if (g.phase == AppealPhase.PickElement) {
            _pickElement(element % 128);
        } else {
            _answers(g);
        }
    }

    // ---- the others

    function _liesAsReferee(Case storage c, uint256 seed) private {
        Dispute memory d = theCourt.dispute(ID);
        uint256 what = seed % 4;
        if (what == 0) {
            vm.warp(d.refereeDeadline + 1); // silent
        } else if (what == 1 && c.tensor == FOLD && d.isolatedIndex == 1 && d.hops < 2) {
            _points(c, d.referee);
            happened["earlier, lying"]++;
        } else {
            bytes32 truth = _truth();
            vm.prank(d.referee);
            theCourt.rule(ID, d.claimedDigest, d.claimedDigest == truth ? keccak256("a lie") : d.claimedDigest);
        }
    }

    function _maybeAppeals(Case storage c, uint256 seed) private {
        Dispute memory d = theCourt.dispute(ID);
        if (seed % 4 == 0) return vm.warp(d.ruledAt + _courtParams().appealWindow + 1);
        _appeals(d.ruledGuilty ? c.provider : c.challenger);
        happened["dishonest appeal"]++;
    }

    /// @dev The appeal goes on, and the honest referee with it.
    function _convictedElsewhere(Case storage c) private {
        vm.prank(address(theCourt));
        vault.tombstone(c.provider);
        market.reverse(c.taskId);
        _cancels(c);
        c.moot = true;
    }

    function _playsBadly(uint256 seed) private {
        AppealGame memory g = _game();
        uint256 deadline = g.turnStartedAt + (g.turn == Side.Provider ? g.defenderClock : g.accuserClock);
        if (seed % 8 == 0) return vm.warp(deadline + 1);
        seed >>= 8;
        uint256 tensor = _isolated();
        if (g.phase == AppealPhase.States) {
            uint64 batches = g.batches == 0 ? [uint64(1), 2, 12, 40, 100][seed % 5] : g.batches;
            _shown[ID] = _revealStates(_runOf(tensor, g.element), batches, (seed >> 8) % 2 == 0 ? TRUE : (seed >> 16) % batches);
        } else if (g.phase == AppealPhase.PickState) {
            bytes32[] memory shown = _shown[ID];
            vm.prank(g.accuser);
            levels.pickState(at, ID, shown, uint8(seed % (shown.length + 1)));
        } else if (g.phase == AppealPhase.Step) {
            bytes[] memory run = _runOf(tensor, g.element);
            bytes memory known = run[g.firstBatch < run.length ? g.firstBatch : run.length - 1];
            if (keccak256(known) != g.start) return vm.warp(deadline + 1); // nobody knows what it made up
            _step(_proofOf(tensor, g));
            happened["step"]++;
        } else if (g.phase == AppealPhase.PickChunk) {
            _pickChunk(uint8(g.height == 1 ? seed % 2 : seed % 16 == 0 ? 15 : seed % 3));
        } else if (g.phase == AppealPhase.PickElement) {
            uint256 width = claim.dtype == I32 ? 4 : 8;
            _pickElement(seed % (_chunk(claim.data, g.index).length / width));
        } else {
            _answers(g);
        }
        if (!g.replay && _game().replay) happened["replay"]++;
    }

    // ---- both

    /// @dev What a hash says for itself.
    function _answers(AppealGame memory g) private {
        if (g.phase == AppealPhase.Tensor) _openTensor();
        else if (g.phase == AppealPhase.Row) levels.revealRow(at, ID, g.node, _chunkRow(g));
        else levels.revealChunk(at, ID, g.node, _chunk(claim.data, g.index));
    }

    function _runOf(uint256 tensor, uint64 element) private view returns (bytes[] memory run) {
        if (tensor == SCAN) return _run(element);
        run = new bytes[](2);
        run[0] = _initial(element);
        uint256 width = tensors[tensor].dtype == I32 ? 4 : 8;
        uint64 value;
        for (uint256 k = width; k > 0; k--) {
            value = (value << 8) | uint8(tensors[tensor].data[element * width + k - 1]);
        }
        run[1] = abi.encodePacked(value);
    }

    function _proofOf(uint256 tensor, AppealGame memory g) private view returns (StepProof memory) {
        if (tensor == SCAN) return _scanStep(_run(g.element), g.firstBatch);
        bytes[] memory run = _runOf(tensor, g.element);
        StepProof memory p = _stepProof(tensor, run[g.firstBatch == 0 ? 0 : 1]);
        if (tensor == SUM) return _withChunks(p, 0, 1);
        uint256 chunk = 700 * uint256(g.element) / 128;
        p = _withChunks(p, chunk, chunk + 1);
        if (ops[0] == _digest(tensors[SCAN])) return p;
        // on the inputs that the provider committed to: another element is wrong, in another chunk
        bytes memory data = _wrongScan(MIDDLE, 9).data;
        p.operands[0].chunkRoot = _chunkRoot(data);
        p.chunks[0].proof = TraceTree.open(_chunkLeaves(data), _chunkHeight(data), chunk);
        return p;
    }

    /// @dev The players' books for this case.
    function _load(Case storage c) private {
        ID = c.id;
        Dispute memory d = theCourt.dispute(ID);
        Tensor memory t = _caseClaim(c);
        uint256 segment = (c.tensor - SCAN) / 2;
        ops = _ops(segment, c.tensor, _digest(t));
        if (c.wrongBefore) ops[0] = _digest(_wrongScan(MIDDLE, 9));
        if (d.earlier) t = c.wrongBefore ? _wrongScan(MIDDLE, 9) : tensors[SCAN];
        claim = t;
    }

    function _caseClaim(Case storage c) private view returns (Tensor memory) {
        return c.kind == Kind.FalseAlarm ? tensors[c.tensor] : _altered(c.tensor, c.element, 9);
    }

    /// @dev The operator that is judged, and its wrong element.
    function _place(Case storage c) private view returns (uint256 tensor, uint64 element) {
        return theCourt.dispute(ID).earlier ? (SCAN, MIDDLE) : (c.tensor, c.element);
    }

    function _honest(Case storage c, address who) private view returns (bool) {
        if (who == c.provider) return c.kind == Kind.FalseAlarm;
        if (who == c.challenger) return c.kind == Kind.Liar;
        return !_bribed[c.id][who];
    }

    function _keepReferees() private {
        uint256 able;
        for (uint256 i = 0; i < _referees.length; i++) {
            if (!vault.isTombstoned(_referees[i])) able++;
            else if (!_left[_referees[i]]) pool.refresh(modelId, _referees[i]);
            _left[_referees[i]] = vault.isTombstoned(_referees[i]);
        }
        for (; able < 5; able++) {
            address referee = _provider(string.concat("referee", vm.toString(_names++)), 1_000 * UNIT, 8);
            _join(referee);
            _referees.push(referee);
        }
        skip(1);
    }

    function _openCases() private view returns (uint256 count) {
        for (uint256 i = 0; i < _cases.length; i++) {
            if (!_cases[i].closed) count++;
        }
    }

    function _pickOpen(uint256 seed) private view returns (uint256) {
        uint256 count = _openCases();
        if (count == 0) return type(uint256).max;
        uint256 wanted = seed % count;
        for (uint256 i = 0;; i++) {
            if (_cases[i].closed) continue;
            if (wanted == 0) return i;
            wanted--;
        }
        revert("there are as many as were counted");
    }
}
