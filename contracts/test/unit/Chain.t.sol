// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {MarketFixture} from "../utils/MarketFixture.sol";
import {Test} from "../utils/Test.sol";
import {DevBeacon} from "../../src/beacon/DevBeacon.sol";
import {PublishedRounds} from "../../src/beacon/PublishedRounds.sol";
import {Rounds} from "../../src/beacon/Rounds.sol";
import {ModelRegistry} from "../../src/market/ModelRegistry.sol";
import {WiringCheck} from "../../src/WiringCheck.sol";
import {ModelHash} from "../../src/lib/ModelHash.sol";
import {ModelHeader} from "../../src/interfaces/Types.sol";

contract DevBeaconTest is Test {
    DevBeacon private beacon;

    function setUp() public {
        vm.warp(1_000);
        beacon = new DevBeacon(30);
    }

    function test_publish_beforeItsTime_reverts() public {
        uint64 round = beacon.roundAfter(1_000);
        assertEq(round, 2);
        assertEq(beacon.timeOf(round), 1_030);
        vm.warp(1_029);
        vm.expectRevert(abi.encodeWithSelector(PublishedRounds.TooEarly.selector, round, 1_030, 1_029));
        beacon.publish(round);
        vm.warp(1_030);
        assertTrue(beacon.publish(round) != 0, "a value");
    }

    function test_publish_twice_reverts() public {
        bytes32 value = beacon.publish(1);
        vm.prevrandao(keccak256("another block"));
        vm.expectRevert(abi.encodeWithSelector(PublishedRounds.AlreadyPublished.selector, 1));
        beacon.publish(1);
        assertEq(beacon.valueOf(1), value);
    }

    function testFuzz_roundAfter_isStrictlyLaterAndNext(uint32 time) public view {
        uint64 round = beacon.roundAfter(time);
        assertGt(beacon.timeOf(round), time >= 1_000 ? time : 999, "later");
        if (round > 1) assertLe(beacon.timeOf(round - 1), time, "and the first such");
    }

    function test_timeOf_roundZero_reverts() public {
        vm.expectRevert(Rounds.NoRoundZero.selector);
        beacon.timeOf(0);
    }
}

contract ModelRegistryTest is MarketFixture {
    function test_registerModel_idIsTheHashOfThePackedHeader() public view {
        ModelHeader memory h = header;
        bytes memory packed = abi.encodePacked(
            bytes1(0x05), h.numericsVersion, h.loweringVersion, h.nodeCount, h.maxSteps, h.commitPoints, h.traceHeight
        );
        packed = abi.encodePacked(packed, h.opsHeight, h.liveHeight, h.work, h.nodesRoot, h.edgesRoot, h.weightsRoot);
        packed = abi.encodePacked(packed, h.segmentsRoot, h.assetsRoot);
        assertEq(packed.length, 1 + 5 * 4 + 3 + 8 + 5 * 32);
        assertEq(modelId, sha256(packed));
        assertEq(keccak256(abi.encode(market.model(modelId))), keccak256(abi.encode(h)));
    }

    function test_registerModel_again_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.ModelExists.selector, modelId));
        market.registerModel(header, "");
    }

    function test_registerModel_badHeaders_revert() public {
        ModelHeader memory h = _header();
        h.traceHeight = 8;
        _refused(h);
        h = _header();
        h.traceHeight = 10;
        _refused(h);
        h = _header();
        h.maxSteps = 0;
        _refused(h);
        h = _header();
        h.commitPoints = 0;
        _refused(h);
        h = _header();
        h.commitPoints = 41;
        _refused(h);
        h = _header();
        h.opsHeight = 7;
        _refused(h);
        h = _header();
        h.liveHeight = 33;
        _refused(h);
        h = _header();
        h.work = 0;
        _refused(h);
        h = _header();
        (h.maxSteps, h.nodeCount, h.commitPoints, h.traceHeight) = (type(uint32).max, type(uint32).max, type(uint32).max, 64);
        _refused(h);
    }

    function _refused(ModelHeader memory h) private {
        vm.expectPartialRevert(ModelRegistry.BadHeader.selector);
        market.registerModel(h, "");
    }

    function testFuzz_height_isTheLeastThatFits(uint32 n) public pure {
        uint8 h = ModelHash.height(n);
        assertGe(uint256(1) << h, n, "fits");
        if (h > 0) assertLt(uint256(1) << (h - 1), n, "and no smaller one does");
    }

    function test_wiringCheck_placeholders_areNamed() public {
        WiringCheck check = new WiringCheck();
        vm.expectRevert(
            abi.encodeWithSelector(WiringCheck.WiringMismatch.selector, bytes32("court.market"), address(market), address(0))
        );
        check.check(system);
    }
}
