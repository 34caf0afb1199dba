// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {CommitRevealBeacon} from "../../src/beacon/CommitRevealBeacon.sol";
import {DevToken} from "../../src/token/DevToken.sol";

contract CommitRevealBeaconTest is Test {
    uint64 private constant GENESIS = 1_000;
    uint64 private constant PERIOD = 600;
    uint128 private constant BOND = 100e18;

    DevToken private token;
    CommitRevealBeacon private beacon;
    address[5] private people;

    function setUp() public {
        token = new DevToken(address(this), 1_000_000e18);
        beacon = new CommitRevealBeacon(token, BOND, 2, GENESIS, PERIOD);
        for (uint160 i = 0; i < people.length; i++) {
            people[i] = address(0xbeac00 + i);
            token.transfer(people[i], 1_000e18);
            vm.startPrank(people[i]);
            token.approve(address(beacon), type(uint256).max);
            beacon.join();
            vm.stopPrank();
        }
        vm.warp(GENESIS);
    }

    function _secret(uint256 who, uint64 round) private pure returns (bytes32) {
        return keccak256(abi.encode("secret", who, round));
    }

    function _commit(uint256 who, uint64 round) private {
        bytes32 commitment = beacon.commitmentOf(round, people[who], _secret(who, round));
        vm.prank(people[who]);
        beacon.commit(round, commitment);
    }

    function _reveal(uint256 who, uint64 round) private {
        bytes32 secret = _secret(who, round);
        vm.prank(people[who]);
        beacon.reveal(secret);
    }

    function _at(uint64 round) private {
        vm.warp(beacon.timeOf(round));
    }

    /// @dev `round` committed to by the first `count`, and its time come.
    function _committed(uint64 round, uint256 count) private {
        vm.warp(beacon.timeOf(round) - 1);
        for (uint256 i = 0; i < count; i++) {
            _commit(i, round);
        }
        _at(round);
    }

    function _valued(uint64 round, uint256 from, uint256 to) private {
        vm.warp(beacon.timeOf(round) - 1);
        for (uint256 i = from; i < to; i++) {
            _commit(i, round);
        }
        _at(round);
        for (uint256 i = from; i < to; i++) {
            _reveal(i, round);
        }
    }

    // ---- P-B3: a round

    function test_round_hasItsValueWithTheLastSecret() public {
        _committed(2, 3);
        _reveal(0, 2);
        _reveal(1, 2);
        assertEq(beacon.valueOf(2), bytes32(0), "one secret is missing");
        skip(10);
        _reveal(2, 2);
        assertTrue(beacon.valueOf(2) != 0, "value");
        assertEq(beacon.publishedAt(2), block.timestamp);
        assertFalse(beacon.spoiled(2));
        assertEq(beacon.valueOf(3), bytes32(0), "the next one is to come");
        vm.warp(beacon.timeOf(9));
        assertFalse(beacon.spoiled(2), "for ever");
    }

    /// Who makes the blocks orders the secrets: that gives it no choice.
    function test_round_orderOfTheSecretsChangesNothing() public {
        _committed(2, 3);
        uint256 before = vm.snapshotState();
        _reveal(0, 2);
        _reveal(1, 2);
        _reveal(2, 2);
        bytes32 value = beacon.valueOf(2);
        vm.revertToState(before);
        skip(77);
        _reveal(2, 2);
        _reveal(0, 2);
        skip(1);
        _reveal(1, 2);
        assertEq(beacon.valueOf(2), value);
    }

    function test_round_everySecretCounts() public {
        _committed(2, 2);
        uint256 before = vm.snapshotState();
        _reveal(0, 2);
        _reveal(1, 2);
        bytes32 value = beacon.valueOf(2);
        vm.revertToState(before);
        vm.warp(beacon.timeOf(2) - 1);
        _commit(2, 2);
        _at(2);
        _reveal(0, 2);
        _reveal(1, 2);
        _reveal(2, 2);
        assertTrue(beacon.valueOf(2) != value, "a third one changes it");
    }

    // ---- P-B4: nobody gains by withholding

    /// Whichever secrets are withheld, and by how many, there is no value: a withholder cannot pick among values, it can only
    /// spoil the round, at the price of its bond and its place.
    function testFuzz_withheld_spoilsTheRound(uint256 revealed) public {
        revealed = bound(revealed, 0, 31);
        _committed(2, 5);
        for (uint256 i = 0; i < 5; i++) {
            if (revealed >> i & 1 == 1) _reveal(i, 2);
        }
        assertTrue((beacon.valueOf(2) != 0) == (revealed == 31), "a value needs all secrets");
        assertFalse(beacon.spoiled(2), "there is time yet");
        vm.warp(beacon.timeOf(3) - 1);
        assertFalse(beacon.spoiled(2), "to the last second");
        vm.warp(beacon.timeOf(3));
        assertEq(beacon.spoiled(2), revealed != 31);
        for (uint256 i = 0; i < 5; i++) {
            bool owes = revealed >> i & 1 == 0;
            vm.startPrank(people[i]);
            bytes memory out = abi.encodeWithSelector(CommitRevealBeacon.WithheldSecret.selector, people[i], 2);
            if (owes) vm.expectRevert(out);
            beacon.commit(4, keccak256("next"));
            if (owes) {
                vm.expectRevert(out);
                beacon.leave();
                vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.AlreadyJoined.selector, people[i]));
                beacon.join();
                bytes32 secret = _secret(i, 2);
                vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.RevealTooLate.selector, 2, beacon.timeOf(3)));
                beacon.reveal(secret);
            }
            vm.stopPrank();
        }
    }

    /// The bond is out of everybody's reach, so that no friend of the withholder gets it: it stays here.
    function test_withheld_bondIsLost() public {
        _committed(2, 3);
        _reveal(0, 2);
        _reveal(1, 2);
        _at(3);
        for (uint256 i = 0; i < 5; i++) {
            if (i == 2) continue;
            vm.prank(people[i]);
            beacon.leave();
            assertEq(token.balanceOf(people[i]), 1_000e18, "the others have theirs back");
        }
        assertEq(token.balanceOf(address(beacon)), BOND);
        assertEq(token.balanceOf(people[2]), 1_000e18 - BOND);
    }

    /// What a spoiled round draws is decided by secrets that are committed to after it has begun, and not by the withholder.
    function test_withheld_nextRoundDraws() public {
        _committed(2, 3);
        _reveal(0, 2);
        _reveal(1, 2);
        _valued(4, 0, 2);
        bytes32 value = beacon.valueOf(4);
        assertTrue(value != 0, "value");
        assertEq(beacon.valueOf(2), value);
        assertEq(beacon.valueOf(3), value, "nobody committed to this one");
        assertEq(beacon.publishedAt(2), block.timestamp);
        assertTrue(beacon.spoiled(2) && beacon.spoiled(3) && !beacon.spoiled(4), "spoiled");
        _valued(5, 0, 2);
        assertEq(beacon.valueOf(2), value, "for ever");
        assertTrue(beacon.valueOf(5) != value, "another");
    }

    // ---- liveness

    function test_everybodyWithholds_othersGoOn() public {
        _committed(2, 3);
        _at(3);
        assertTrue(beacon.spoiled(2), "ended");
        _valued(5, 3, 5);
        assertEq(beacon.valueOf(2), beacon.valueOf(5));
    }

    function test_nobodyTakesPart_endsWithItsTime() public {
        assertFalse(beacon.spoiled(7), "to come");
        vm.warp(beacon.timeOf(7) - 1);
        assertFalse(beacon.spoiled(7), "to come");
        _at(7);
        assertTrue(beacon.spoiled(7), "nobody can commit any more");
        _valued(900, 0, 2);
        assertEq(beacon.valueOf(7), beacon.valueOf(900), "however long nobody does");
    }

    /// One alone would choose the value; the round comes to nothing, and nothing is owed.
    function test_oneAlone_choosesNothing() public {
        _committed(2, 1);
        assertTrue(beacon.spoiled(2), "too few");
        _reveal(0, 2);
        assertEq(beacon.valueOf(2), bytes32(0));
        assertTrue(beacon.spoiled(2), "still");
        _committed(3, 1);
        _at(5);
        vm.prank(people[0]);
        beacon.leave();
        assertEq(token.balanceOf(people[0]), 1_000e18, "it owed nobody a secret");
    }

    function test_leaveAndComeBack() public {
        _valued(2, 0, 2);
        vm.startPrank(people[0]);
        beacon.leave();
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.NotJoined.selector, people[0]));
        beacon.commit(3, keccak256("x"));
        beacon.join();
        beacon.commit(3, keccak256("x"));
        vm.stopPrank();
    }

    // ---- what is refused

    function test_commit_otherThanTheOpenRound_reverts() public {
        vm.warp(beacon.timeOf(3) - 1);
        vm.startPrank(people[0]);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.WrongRound.selector, 2, 3));
        beacon.commit(2, keccak256("late"));
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.WrongRound.selector, 4, 3));
        beacon.commit(4, keccak256("early"));
        beacon.commit(3, keccak256("in time"));
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.AlreadyCommitted.selector, people[0], 3));
        beacon.commit(3, keccak256("another"));
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.RevealFirst.selector, people[0], 3));
        beacon.leave();
        vm.stopPrank();
    }

    function test_commit_whileASecretIsOwed_reverts() public {
        _committed(2, 2);
        vm.startPrank(people[0]);
        bytes memory first = abi.encodeWithSelector(CommitRevealBeacon.RevealFirst.selector, people[0], 2);
        vm.expectRevert(first);
        beacon.commit(3, keccak256("x"));
        vm.expectRevert(first);
        beacon.leave();
        vm.stopPrank();
        _reveal(0, 2);
        _commit(0, 3);
    }

    function test_reveal_outOfItsTime_reverts() public {
        vm.warp(beacon.timeOf(2) - 1);
        _commit(0, 2);
        _commit(1, 2);
        (bytes32 secret, uint64 opensAt) = (_secret(0, 2), beacon.timeOf(2));
        vm.startPrank(people[0]);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.RevealTooEarly.selector, 2, opensAt));
        beacon.reveal(secret);
        vm.warp(opensAt + PERIOD);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.RevealTooLate.selector, 2, opensAt + PERIOD));
        beacon.reveal(secret);
        vm.stopPrank();
    }

    function test_reveal_anotherSecret_reverts() public {
        _committed(2, 2);
        vm.startPrank(people[0]);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.WrongSecret.selector, people[0], 2));
        beacon.reveal(keccak256("another"));
        vm.stopPrank();
        _reveal(0, 2);
        bytes32 secret = _secret(0, 2);
        vm.prank(people[0]);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.NothingToReveal.selector, people[0]));
        beacon.reveal(secret);
    }

    /// A copied commitment opens for nobody else, so that two secrets never cancel each other out.
    function test_commit_copied_opensForNobodyElse() public {
        vm.warp(beacon.timeOf(2) - 1);
        _commit(0, 2);
        bytes32 copied = beacon.commitmentOf(2, people[0], _secret(0, 2));
        vm.prank(people[1]);
        beacon.commit(2, copied);
        _at(2);
        _reveal(0, 2);
        bytes32 secret = _secret(0, 2);
        vm.prank(people[1]);
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.WrongSecret.selector, people[1], 2));
        beacon.reveal(secret);
    }

    function test_constructor_refuses() public {
        vm.expectRevert(abi.encodeWithSelector(CommitRevealBeacon.QuorumTooSmall.selector, 1));
        new CommitRevealBeacon(token, BOND, 1, GENESIS, PERIOD);
        vm.expectRevert(CommitRevealBeacon.ZeroBond.selector);
        new CommitRevealBeacon(token, 0, 2, GENESIS, PERIOD);
    }
}
