// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {GameTrace, Run, Shape} from "../utils/GameTrace.sol";
import {Dispute, DisputeState, ModelHeader, Side} from "../../src/interfaces/Types.sol";

/// @notice Any tree, any lie: an honest challenger isolates exactly the place where the provider first went wrong, in as
/// many rounds as the heights say, and the honest provider is cleared of anything.
contract DissectionFuzzTest is CourtFixture {
    /// @dev A model drawn from the seed: 1 to 5 commit points, 1 to 6 steps, up to 40 operators and 9 live tensors a segment.
    function _drawModel(uint256 seed) private returns (uint32 maxSteps) {
        Shape memory s;
        uint256 points = 1 + seed % 5;
        maxSteps = uint32(1 + _rand(seed, 1) % 6);
        s.ops = new uint32[](points);
        s.lives = new uint32[](points);
        uint32 mostOps;
        uint32 mostLives;
        for (uint256 k = 0; k < points; k++) {
            s.ops[k] = uint32(1 + _rand(seed, 10 + k) % 40);
            s.lives[k] = uint32(1 + _rand(seed, 20 + k) % 9);
            if (maxSteps > 1 && k == points - 1) s.lives[k]++; // the stop flag
            if (s.ops[k] > mostOps) mostOps = s.ops[k];
            if (s.lives[k] > mostLives) mostLives = s.lives[k];
        }
        s.traceHeight = _height(maxSteps * points);
        s.opsHeight = _height(mostOps);
        s.liveHeight = _height(mostLives);
        shape = s;
        header = _headerOf(s, maxSteps);
        modelId = market.registerModel(header, "mem://drawn");
        _join(bob);
        _join(carol);
        skip(1);
    }

    function _drawLie(uint256 seed, uint32 steps) private view returns (Run memory r) {
        r.steps = steps;
        r.salt = 1 + _rand(seed, 30) % 1_000;
        r.leaf = uint64(_rand(seed, 31) % (uint256(steps) * shape.ops.length));
        r.live = _rand(seed, 32) % 3 == 0;
        uint32[] memory counts = r.live ? shape.lives : shape.ops;
        r.index = uint32(_rand(seed, 33) % counts[r.leaf % counts.length]);
        // nobody commits to a run that does not stop
        if (r.live && GameTrace.stops(shape, r.leaf, r.index)) (r.live, r.index) = (false, 0);
    }

    function _rand(uint256 seed, uint256 salt) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, salt)));
    }

    function _height(uint256 n) private pure returns (uint8 h) {
        while ((uint256(1) << h) < n) h++;
    }

    /// @dev Plays to the isolated place; how often the challenger picked.
    function _count(uint256 id, Run memory theirs, Run memory own) private returns (uint256 picks) {
        for (uint256 moves = 0; moves < MAX_MOVES; moves++) {
            Dispute memory d = theCourt.dispute(id);
            if (d.state >= DisputeState.Isolated) return picks;
            if (d.turn == Side.Challenger) picks++;
            _move(id, theirs, own);
        }
        revert("the game does not end");
    }

    function _picksWanted(Run memory lie) private view returns (uint256) {
        uint256 second = lie.live ? shape.liveHeight : shape.opsHeight;
        return (uint256(shape.traceHeight) + 3) / 4 + (second > 4 ? (second + 3) / 4 : 1);
    }

    function testFuzz_honestChallenger_isolatesExactlyTheLie(uint256 seed) public {
        uint32 maxSteps = _drawModel(seed);
        uint32 steps = uint32(1 + _rand(seed, 40) % maxSteps);
        Run memory lie = _drawLie(seed, steps);
        uint256 id = _challenge(_committedRun(alice, lie), watcher, _right(steps));
        uint256 picks = _count(id, lie, _right(steps));
        Dispute memory d = theCourt.dispute(id);
        assertDispute(id, DisputeState.Isolated);
        assertEq(d.leafIndex, lie.leaf, "the first wrong commit point");
        assertTrue(d.inLive == lie.live, "operator or live slot");
        assertEq(d.isolatedIndex, lie.index, "the first wrong place in it");
        assertEq(picks, _picksWanted(lie), "rounds");
        bytes32 claimed = lie.live ? GameTrace.live(lie, lie.leaf, lie.index) : GameTrace.op(lie, lie.leaf, lie.index);
        assertEq(d.claimedDigest, claimed, "what the provider said there");
        (bytes32 previous,) = _previous(lie, lie.leaf);
        assertEq(d.previousLeaf, previous, "the agreed start");
        _drawReferee(id);
        _rule(id, lie);
        assertTrue(theCourt.dispute(id).ruledGuilty, "and it is a lie");
    }

    /// A challenger with any other trace, going for its leftmost difference, convicts nobody honest.
    function testFuzz_honestProvider_isCleared(uint256 seed) public {
        uint32 maxSteps = _drawModel(seed);
        uint32 steps = uint32(1 + _rand(seed, 40) % maxSteps);
        Run memory lie = _drawLie(seed, steps);
        uint256 id = _challenge(_committedRun(alice, _right(steps)), watcher, lie);
        _judge(id, _right(steps), lie);
        assertDispute(id, DisputeState.Cleared);
        assertPotsEmpty(id);
    }

    /// Nor does one that picks anywhere, padding included.
    function testFuzz_honestProvider_isClearedOfRandomPicks(uint256 seed) public {
        uint32 maxSteps = _drawModel(seed);
        uint32 steps = uint32(1 + _rand(seed, 40) % maxSteps);
        Run memory right = _right(steps);
        uint256 id = _challenge(_committedRun(alice, right), watcher, _drawLie(seed, steps));
        for (uint256 moves = 0; theCourt.dispute(id).state < DisputeState.Isolated; moves++) {
            Dispute memory d = theCourt.dispute(id);
            if (d.turn == Side.Provider) _move(id, right, right);
            else _pickAnywhere(id, d, right, _rand(seed, 100 + moves));
        }
        if (theCourt.dispute(id).state == DisputeState.Isolated) {
            _drawReferee(id);
            _rule(id, right);
            _finalize(id);
        }
        assertDispute(id, DisputeState.Cleared);
        assertFalse(vault.isTombstoned(alice));
    }

    function _pickAnywhere(uint256 id, Dispute memory d, Run memory right, uint256 seed) private {
        if (d.height != 0) {
            bytes32[] memory row = _row(d, right);
            vm.prank(watcher);
            theCourt.pick(id, row, uint8(seed % row.length));
            return;
        }
        bytes32[] memory ops = _opsRow(right, d.leafIndex);
        bytes32[] memory lives = _liveRow(right, d.leafIndex);
        bool live = (seed >> 8) % 2 == 0;
        vm.prank(watcher);
        theCourt.pickSegment(id, ops, lives, live, uint8(seed % (live ? lives.length : ops.length)));
    }
}
