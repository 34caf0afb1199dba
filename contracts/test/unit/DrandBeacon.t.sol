// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DrandFixture} from "../utils/DrandFixture.sol";
import {Test} from "../utils/Test.sol";
import {Bls12} from "../../src/beacon/Bls12.sol";
import {DrandBeacon} from "../../src/beacon/DrandBeacon.sol";
import {PublishedRounds} from "../../src/beacon/PublishedRounds.sol";
import {Rounds} from "../../src/beacon/Rounds.sol";

/// forge-config: default.evm_version = "prague"
contract DrandBeaconTest is DrandFixture {
    DrandBeacon private beacon;

    function setUp() public override {
        super.setUp();
        beacon = _quicknet();
    }

    // ---- P-B2: signatures

    /// Rounds as the network published them, of both signs of y.
    function test_publish_roundsOfQuicknet() public {
        uint256 count;
        for (; vm.keyExistsJson(json, _at(count, "round")); count++) {
            (uint64 round, uint256[4] memory point, bytes32 randomness) = _vector(count);
            assertEq(beacon.valueOf(round), bytes32(0));
            assertEq(beacon.publish(round, point), randomness);
            assertEq(beacon.valueOf(round), randomness);
            assertEq(beacon.publishedAt(round), block.timestamp);
            assertFalse(beacon.spoiled(round));
        }
        assertEq(count, 6);
    }

    function test_publish_anotherRoundsSignature_reverts() public {
        (, uint256[4] memory point,) = _vector(0);
        vm.expectRevert(abi.encodeWithSelector(DrandBeacon.WrongSignature.selector, 42));
        beacon.publish(42, point);
    }

    function test_publish_theOtherRoot_reverts() public {
        (uint64 round, uint256[4] memory point,) = _vector(1);
        // p - y, which gives another compressed signature
        unchecked {
            uint256 low = P_LOW - point[3];
            point[2] = P_HIGH - point[2] - (point[3] > P_LOW ? 1 : 0);
            point[3] = low;
        }
        vm.expectRevert(abi.encodeWithSelector(DrandBeacon.WrongSignature.selector, round));
        beacon.publish(round, point);
    }

    function test_publish_offTheCurve_reverts() public {
        (uint64 round, uint256[4] memory point,) = _vector(1);
        point[3] ^= 1;
        vm.expectRevert(Bls12.NotOnCurve.selector);
        beacon.publish(round, point);
    }

    function test_publish_elementNotReduced_reverts() public {
        (uint64 round, uint256[4] memory point,) = _vector(1);
        // x + p is the same element
        unchecked {
            uint256 low = point[1] + P_LOW;
            point[0] += P_HIGH + (low < P_LOW ? 1 : 0);
            point[1] = low;
        }
        vm.expectRevert(Bls12.NotOnCurve.selector);
        beacon.publish(round, point);
    }

    function test_publish_bytesAboveTheElement_reverts() public {
        (uint64 round, uint256[4] memory point,) = _vector(1);
        point[0] |= 1 << 255;
        vm.expectRevert(Bls12.NotOnCurve.selector);
        beacon.publish(round, point);
    }

    /// (0, 2) is on the curve, and of order 3.
    function test_publish_outOfTheSubgroup_reverts() public {
        vm.expectRevert(Bls12.NotInSubgroup.selector);
        beacon.publish(1, [uint256(0), 0, 0, 2]);
    }

    function test_publish_infinity_reverts() public {
        vm.expectRevert(Bls12.PointAtInfinity.selector);
        beacon.publish(1, [uint256(0), 0, 0, 0]);
    }

    function test_publish_anotherNetworksSignature_reverts() public {
        uint256[4] memory point = _sign(1);
        vm.expectRevert(abi.encodeWithSelector(DrandBeacon.WrongSignature.selector, 1));
        beacon.publish(1, point);
    }

    /// Whatever bit of a signature is changed, it is refused.
    function testFuzz_publish_mutated_isRefused(uint64 round, uint256 bit) public {
        round = uint64(bound(round, 1, 10_000_000));
        DrandBeacon own = new DrandBeacon(_key(), QUICKNET_GENESIS, 3, 0);
        uint256[4] memory point = _sign(round);
        bit = bound(bit, 0, 1023);
        point[bit / 256] ^= 1 << (bit % 256);
        vm.expectRevert();
        own.publish(round, point);
        assertEq(own.valueOf(round), bytes32(0));
        assertEq(own.publishedAt(round), 0);
    }

    /// Any round of any network is taken with its own signature and with no other's.
    function testFuzz_publish_anyNetwork(uint64 round, uint64 otherRound) public {
        (round, otherRound) = (uint64(bound(round, 1, 10_000_000)), uint64(bound(otherRound, 1, 10_000_000)));
        vm.assume(round != otherRound);
        DrandBeacon own = new DrandBeacon(_key(), QUICKNET_GENESIS, 3, 0);
        uint256[4] memory point = _sign(round);
        vm.expectRevert(abi.encodeWithSelector(DrandBeacon.WrongSignature.selector, otherRound));
        own.publish(otherRound, point);
        assertEq(own.publish(round, point), sha256(Bls12.compress(point)));
    }

    // ---- P-A1: once, and not before its time

    function test_publish_beforeItsTime_reverts() public {
        (uint64 round, uint256[4] memory point,) = _vector(3);
        uint64 due = beacon.timeOf(round);
        assertEq(due, QUICKNET_GENESIS + (round - 1) * 3);
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(PublishedRounds.TooEarly.selector, round, due, due - 1));
        beacon.publish(round, point);
        vm.warp(due);
        beacon.publish(round, point);
    }

    function test_publish_twice_reverts() public {
        (uint64 round, uint256[4] memory point,) = _vector(3);
        beacon.publish(round, point);
        vm.expectRevert(abi.encodeWithSelector(PublishedRounds.AlreadyPublished.selector, round));
        beacon.publish(round, point);
    }

    function test_publish_roundZero_reverts() public {
        uint256[4] memory point = _sign(0);
        vm.expectRevert(Rounds.NoRoundZero.selector);
        beacon.publish(0, point);
    }

    // ---- P-B1: rounds

    /// drand's own arithmetic: at time t the newest round is (t - genesis) / period + 1.
    function testFuzz_roundAfter_isTheFirstThatCannotBeKnown(uint64 time, uint64 genesis, uint64 period, uint64 drift) public {
        (time, genesis) = (uint64(bound(time, 0, 1 << 40)), uint64(bound(genesis, 0, 1 << 40)));
        (period, drift) = (uint64(bound(period, 1, 1 << 20)), uint64(bound(drift, 0, 1 << 20)));
        DrandBeacon any = new DrandBeacon(_key(), genesis, period, drift);
        uint64 round = any.roundAfter(time);
        assertGt(any.timeOf(round), time + drift, "not known");
        if (round > 1) assertLe(any.timeOf(round - 1), time + drift, "and the first such");
        if (time + drift >= genesis) assertEq(round, (time + drift - genesis) / period + 1 + 1, "the one after the newest");
        else assertEq(round, 1, "before there is one");
    }

    function test_constructor_zeroPeriod_reverts() public {
        uint256[8] memory key = _key();
        vm.expectRevert(Rounds.ZeroPeriod.selector);
        new DrandBeacon(key, 1, 0, 0);
    }

    // ---- P-B2: what it is deployed with

    function test_constructor_badKeys_revert() public {
        uint256[8] memory key;
        vm.expectRevert(DrandBeacon.BadPublicKey.selector);
        new DrandBeacon(key, 1, 3, 0);
        key = _key();
        key[7] ^= 1;
        vm.expectRevert(DrandBeacon.BadPublicKey.selector);
        new DrandBeacon(key, 1, 3, 0);
    }

    function test_constructor_keyOutOfTheSubgroup_reverts() public {
        // the first x whose x^3 + 4 (1 + u) is a square
        uint256[8] memory key = _keyOutOfTheSubgroup();
        // it is a point of the curve: adding it to infinity is possible
        _precompile(0x0d, abi.encodePacked(key, new bytes(256)));
        vm.expectRevert(DrandBeacon.BadPublicKey.selector);
        new DrandBeacon(key, 1, 3, 0);
    }

    function test_views() public view {
        uint256[8] memory key = _quicknetKey();
        assertEq(keccak256(abi.encode(beacon.publicKey())), keccak256(abi.encode(key)));
        assertEq(beacon.scheme(), bytes32("drand"));
        assertEq(beacon.drift(), 0);
    }

    function _keyOutOfTheSubgroup() private pure returns (uint256[8] memory) {
        return [
            uint256(0),
            2,
            0,
            0,
            0x18c6b864ae17dc9da64203ffefb96630,
            0x6425a7bc6aeb7c75247438372716284a4173830420cd476ba1a365b95bfcec38,
            0x172e93db764a8400a7d5071b6b6f5de0,
            0xda2f0f4a063119abca014006b7c40a2cfe291a1924e65db0d6d0fcfbf3bf3d5c
        ];
    }
}

/// @notice Says yes to whatever it is asked: an answer of as many bytes as a precompile's that are not zero.
contract YesMan {
    uint256 private immutable _length;

    constructor(uint256 length) {
        _length = length;
    }

    fallback() external {
        uint256 length = _length;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(add(at, sub(length, 32)), 1)
            return(at, length)
        }
    }
}

/// @notice Chains that are not ready for it. The key is not looked at before the chain is.
contract DrandBeaconOnOldChainsTest is Test {
    uint256[8] private key;

    function test_constructor_noPrecompiles_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Bls12.PrecompileMissing.selector, address(0x0b)));
        new DrandBeacon(key, 1, 3, 0);
    }

    /// A chain with something else where the precompiles should be.
    function test_constructor_otherContractsThere_reverts() public {
        (bytes memory point, bytes memory word) = (address(new YesMan(128)).code, address(new YesMan(32)).code);
        vm.etch(address(0x0b), point);
        vm.etch(address(0x10), point);
        vm.etch(address(0x0f), word);
        vm.expectRevert(DrandBeacon.SelfTestFailed.selector);
        new DrandBeacon(key, 1, 3, 0);
    }
}
