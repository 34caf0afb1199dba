// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DrandFixture} from "../utils/DrandFixture.sol";
import {CommitRevealBeacon} from "../../src/beacon/CommitRevealBeacon.sol";
import {FallbackBeacon} from "../../src/beacon/FallbackBeacon.sol";
import {PublishedRounds} from "../../src/beacon/PublishedRounds.sol";
import {DevToken} from "../../src/token/DevToken.sol";

/// forge-config: default.evm_version = "prague"
contract FallbackBeaconTest is DrandFixture {
    uint64 private constant GENESIS = 1_000_000;
    uint64 private constant SLACK = 900;
    uint64 private constant PERIOD = 600; // of the other beacon

    CommitRevealBeacon private other;
    FallbackBeacon private beacon;
    uint64 private round;
    uint64 private last; // time at which drand still counts for it

    function setUp() public override {
        super.setUp();
        vm.warp(GENESIS);
        DevToken token = new DevToken(address(this), 1_000e18);
        other = new CommitRevealBeacon(token, 1e18, 2, GENESIS, PERIOD);
        beacon = new FallbackBeacon(_key(), GENESIS, 3, 0, other, SLACK);
        for (uint160 i = 1; i <= 2; i++) {
            token.transfer(address(i << 40), 1e18);
            vm.startPrank(address(i << 40));
            token.approve(address(other), 1e18);
            other.join();
            vm.stopPrank();
        }
        round = 100;
        last = beacon.timeOf(round) + SLACK;
    }

    function _otherRound(uint64 r) private {
        vm.warp(other.timeOf(r) - 1);
        for (uint160 i = 1; i <= 2; i++) {
            bytes32 commitment = other.commitmentOf(r, address(i << 40), bytes32(uint256(i)));
            vm.prank(address(i << 40));
            other.commit(r, commitment);
        }
        vm.warp(other.timeOf(r));
        for (uint160 i = 1; i <= 2; i++) {
            vm.prank(address(i << 40));
            other.reveal(bytes32(uint256(i)));
        }
    }

    function test_withinTheSlack_isDrand() public {
        vm.warp(last);
        vm.expectRevert(abi.encodeWithSelector(FallbackBeacon.FallbackTooEarly.selector, round, last));
        beacon.fallBack(round);
        bytes32 value = beacon.publish(round, _sign(round));
        assertEq(beacon.valueOf(round), value);
        assertFalse(beacon.spoiled(round));
        _otherRound(other.roundAfter(last));
        vm.expectRevert(abi.encodeWithSelector(PublishedRounds.AlreadyPublished.selector, round));
        beacon.fallBack(round);
    }

    /// Who waits cannot choose: once the slack is over drand's value counts no more, also before the other is known.
    function test_afterTheSlack_isTheOther() public {
        uint256[4] memory signature = _sign(round);
        vm.warp(last + 1);
        bytes memory tooLate = abi.encodeWithSelector(FallbackBeacon.TooLate.selector, round, last);
        vm.expectRevert(tooLate);
        beacon.publish(round, signature);
        uint64 otherRound = other.roundAfter(last);
        assertGt(other.timeOf(otherRound), last, "could not be known while drand counted");
        vm.expectRevert(abi.encodeWithSelector(FallbackBeacon.FallbackNotReady.selector, round, otherRound));
        beacon.fallBack(round);
        _otherRound(otherRound);
        vm.expectRevert(tooLate);
        beacon.publish(round, signature);
        assertEq(beacon.fallBack(round), other.valueOf(otherRound));
        assertEq(beacon.valueOf(round), other.valueOf(otherRound));
        assertFalse(beacon.spoiled(round));
        vm.expectRevert(abi.encodeWithSelector(PublishedRounds.AlreadyPublished.selector, round));
        beacon.publish(round, signature);
    }

    /// A round that the other beacon's participants spoil is spoiled here too.
    function test_afterTheSlack_spoiledStaysSpoiled() public {
        uint64 otherRound = other.roundAfter(last);
        _otherRound(otherRound + 2);
        assertEq(beacon.fallBack(round), other.valueOf(otherRound + 2));
        assertTrue(beacon.spoiled(round), "spoiled");
        assertEq(beacon.scheme(), bytes32("drand, commit-reveal"));
    }

    /// At any time one of the two counts at most.
    function testFuzz_never_bothAtOnce(uint64 wait) public {
        uint256[4] memory signature = _sign(round);
        uint64 due = beacon.timeOf(round);
        _otherRound(other.roundAfter(last));
        vm.warp(due + bound(wait, 0, 10 * SLACK));
        (bool drand,) = address(beacon).call(abi.encodeCall(beacon.publish, (round, signature)));
        (bool fallen,) = address(beacon).call(abi.encodeCall(beacon.fallBack, (round)));
        assertEq(drand, block.timestamp <= last);
        assertEq(fallen, block.timestamp > last);
    }
}
