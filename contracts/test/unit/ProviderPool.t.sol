// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {Params} from "../../src/interfaces/IParameters.sol";
import {DefaultParams} from "../utils/DefaultParams.sol";
import {ProviderPool} from "../../src/stake/ProviderPool.sol";

/// @notice Draws by stake from a snapshot in the past (P-R1, P-A2).
contract ProviderPoolTest is MarketFixture {
    address[] private none;

    function _join(address key) private {
        vm.prank(key);
        pool.join(modelId);
    }

    function _joinAll() private returns (uint64 snapshot) {
        _join(alice);
        _join(bob);
        _join(carol);
        snapshot = uint64(block.timestamp);
        skip(1);
    }

    function _only(address a) private pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = a;
    }

    function test_join_notEligible_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(ProviderPool.NotEligible.selector, address(this)));
        pool.join(modelId);
        vm.prank(court);
        vault.freeze(alice);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ProviderPool.NotEligible.selector, alice));
        pool.join(modelId);
    }

    function test_join_twice_reverts() public {
        _join(alice);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ProviderPool.AlreadyMember.selector, modelId, alice));
        pool.join(modelId);
    }

    function test_draw_emptyPool_isZero() public {
        skip(1);
        assertEq(pool.draw(modelId, uint64(block.timestamp - 1), "seed", none), address(0));
    }

    function test_draw_presentOrFutureSnapshot_reverts() public {
        _joinAll();
        vm.expectPartialRevert(ProviderPool.SnapshotInFuture.selector);
        pool.draw(modelId, uint64(block.timestamp), "seed", none);
    }

    /// Joining, or raising the stake, after the snapshot changes nothing.
    function testFuzz_draw_sybilsAfterTheSnapshot_changeNothing(bytes32 seed) public {
        uint64 snapshot = _joinAll();
        address drawn = pool.draw(modelId, snapshot, seed, none);
        for (uint256 i = 0; i < 5; i++) {
            _join(_provider(string.concat("sybil", vm.toString(i)), 5_000 * UNIT, 1));
        }
        vm.prank(carol);
        vault.stake(carol, 50_000 * UNIT);
        pool.refresh(modelId, carol);
        assertEq(pool.draw(modelId, snapshot, seed, none), drawn);
    }

    function testFuzz_draw_excludedAndTheirSides_areNeverDrawn(bytes32 seed) public {
        uint64 snapshot = _joinAll();
        assertTrue(pool.draw(modelId, snapshot, seed, _only(alice)) != alice, "key");
        assertTrue(pool.draw(modelId, snapshot, seed, _only(_ownerOf(alice))) != alice, "owner");
        assertTrue(pool.draw(modelId, snapshot, seed, _only(_payoutOf(alice))) != alice, "payout");
        address[] memory all = new address[](4);
        (all[0], all[1], all[2], all[3]) = (alice, _ownerOf(bob), _payoutOf(carol), alice);
        assertEq(pool.draw(modelId, snapshot, seed, all), address(0), "nobody is left");
    }

    function testFuzz_draw_unfit_areDrawnAround(bytes32 seed) public {
        uint64 snapshot = _joinAll();
        vm.startPrank(court);
        vault.freeze(alice);
        vault.tombstone(bob);
        vm.stopPrank();
        assertEq(pool.draw(modelId, snapshot, seed, none), carol);
        vm.prank(carol);
        vault.requestUnbond(1 * UNIT);
        assertEq(pool.draw(modelId, snapshot, seed, none), address(0), "whose stake left carries no weight");
        pool.refresh(modelId, carol);
        snapshot = uint64(block.timestamp);
        skip(1);
        assertEq(pool.draw(modelId, snapshot, seed, none), carol);
    }

    function test_draw_frequencies_followStake() public {
        address whale = _provider("whale", 7_000 * UNIT, 1);
        _join(alice);
        _join(bob);
        _join(carol);
        _join(whale);
        uint64 snapshot = uint64(block.timestamp);
        skip(1);
        uint256 hits;
        uint256 hitsWithoutAlice;
        for (uint256 i = 0; i < 1_000; i++) {
            if (pool.draw(modelId, snapshot, keccak256(abi.encode(i)), none) == whale) hits++;
            if (pool.draw(modelId, snapshot, keccak256(abi.encode(i)), _only(alice)) == whale) hitsWithoutAlice++;
        }
        // 7,000 of 10,000: 700 expected, four deviations are 58; of 9,000: 778, 53
        assertGe(hits, 642, "not too few");
        assertLe(hits, 758, "not too many");
        assertGe(hitsWithoutAlice, 725, "not too few without alice");
        assertLe(hitsWithoutAlice, 831, "not too many without alice");
    }

    function test_leave_thenSlotReused_pastDrawsStayWithTheOldHolder() public {
        uint64 snapshot = _joinAll();
        vm.prank(alice);
        pool.leave(modelId);
        address dave = _provider("dave", 1_000 * UNIT, 1);
        _join(dave);
        assertEq(pool.weightAt(modelId, dave, snapshot), 0);
        uint64 later = uint64(block.timestamp);
        skip(1);
        bool daveDrawn;
        for (uint256 i = 0; i < 64; i++) {
            bytes32 seed = keccak256(abi.encode(i));
            address past = pool.draw(modelId, snapshot, seed, none);
            assertTrue(past == bob || past == carol, "alice left, dave was not there");
            daveDrawn = daveDrawn || pool.draw(modelId, later, seed, none) == dave;
        }
        assertTrue(daveDrawn, "dave is in the present");
    }

    function test_members_listsWhoIsIn() public {
        _joinAll();
        assertEq(pool.members(modelId).length, 3);
        vm.prank(bob);
        pool.leave(modelId);
        address[] memory list = pool.members(modelId);
        assertEq(list.length, 2);
        assertEq(list[0], alice);
        assertEq(list[1], carol);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(ProviderPool.NotMember.selector, modelId, bob));
        pool.leave(modelId);
    }

    function test_refresh_tombstoned_freesThePlace() public {
        _joinAll();
        vm.prank(court);
        vault.tombstone(bob);
        pool.refresh(modelId, bob);
        assertEq(pool.members(modelId).length, 2);
    }

    /// Whoever fills a pool and takes its stake out again leaves it without referees and auditors: anyone clears its places.
    function test_refresh_membersWithoutStake_freeAFullPool() public {
        address[] memory squatters = new address[](64);
        for (uint256 i = 0; i < 64; i++) {
            squatters[i] = _provider(string.concat("s", vm.toString(i)), 100 * UNIT, 1);
            _join(squatters[i]);
            vm.prank(squatters[i]);
            vault.requestUnbond(100 * UNIT);
        }
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ProviderPool.PoolFull.selector, modelId, 64));
        pool.join(modelId);
        for (uint256 i = 0; i < 64; i++) {
            pool.refresh(modelId, squatters[i]);
        }
        assertEq(pool.members(modelId).length, 0);
        _join(alice);
        uint64 snapshot = uint64(block.timestamp);
        skip(1);
        assertEq(pool.draw(modelId, snapshot, "seed", none), alice);
    }

    /// Others' doing, and a jail that lasts, take no place away; a jail long over does.
    function test_refresh_frozenOrJailed_staysForNow() public {
        _joinAll();
        vm.prank(court);
        vault.freeze(alice);
        uint64 until = uint64(block.timestamp + 1 hours);
        vm.prank(court);
        vault.jail(bob, until);
        pool.refresh(modelId, alice);
        vm.warp(until + 1 days);
        pool.refresh(modelId, bob);
        assertEq(pool.members(modelId).length, 3);
        skip(1);
        pool.refresh(modelId, bob);
        assertEq(pool.members(modelId).length, 2, "it never came back");
    }

    function test_refresh_bannedOwner_freesThePlace() public {
        _joinAll();
        address key = _funded("sister");
        address owner = _ownerOf(bob);
        vm.prank(owner);
        vault.consent(key, true);
        vm.prank(key);
        vault.register(owner, key, 1, 100 * UNIT);
        vm.prank(court);
        vault.tombstone(key);
        pool.refresh(modelId, bob);
        assertEq(pool.members(modelId).length, 2);
    }

    function test_join_full_reverts() public {
        for (uint256 i = 0; i < 64; i++) {
            _join(_provider(string.concat("m", vm.toString(i)), 100 * UNIT, 1));
        }
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ProviderPool.PoolFull.selector, modelId, 64));
        pool.join(modelId);
        // every slot of a full pool can be drawn and the sums agree
        uint64 snapshot = uint64(block.timestamp);
        skip(1);
        for (uint256 i = 0; i < 32; i++) {
            assertTrue(pool.draw(modelId, snapshot, keccak256(abi.encode(i)), none) != address(0), "drawn");
        }
    }
}

/// @notice The dearest draw that the parameters allow: the last of the longest chain of disputes, in a pool with a history, where
/// everybody else has become unfit. A draw that does not fit a transaction would keep its dispute open for ever.
contract ProviderPoolGasTest is MarketFixture {
    uint256 private constant TRANSACTION_GAS = 1 << 24; // EIP-7825
    uint256 private constant DRAWN = 81; // (1 + CHAIN_MAX)^2
    uint256 private constant UNFIT = 24;

    function _params() internal pure override returns (Params memory p) {
        p = DefaultParams.get();
        p.stake.maxMembers = 1_024;
    }

    function test_draw_longestChain_fitsATransaction() public {
        address[] memory excluded = new address[](3 * (DRAWN + 2 + 8));
        uint256 members = DRAWN + 2 + 8;
        for (uint256 i = 0; i < members + UNFIT; i++) {
            address key = _provider(string.concat("m", vm.toString(i)), 1_000 * UNIT, 1);
            vm.prank(key);
            pool.join(modelId);
            skip(1);
            if (i >= members) continue;
            (excluded[3 * i], excluded[3 * i + 1], excluded[3 * i + 2]) = (key, _ownerOf(key), _payoutOf(key));
        }
        uint64 snapshot = uint64(block.timestamp);
        for (uint256 i = 0; i < UNFIT; i++) {
            vm.prank(makeAddr(string.concat("m", vm.toString(members + i))));
            vault.requestUnbond(1);
        }
        skip(1);
        uint256 before = gasleft();
        assertEq(pool.draw(modelId, snapshot, "seed", excluded), address(0));
        uint256 used = before - gasleft();
        // Half is left for whoever calls: the court collects the excluded, and takes the dispute on.
        assertLe(used, TRANSACTION_GAS / 2, "gas of a draw");
    }
}
