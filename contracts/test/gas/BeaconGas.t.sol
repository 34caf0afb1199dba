// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DrandFixture} from "../utils/DrandFixture.sol";
import {CommitRevealBeacon} from "../../src/beacon/CommitRevealBeacon.sol";
import {DrandBeacon} from "../../src/beacon/DrandBeacon.sol";
import {DevToken} from "../../src/token/DevToken.sol";

/// @notice Gas of a round of each beacon, whole transactions (run with `--isolate`).
/// forge-config: default.evm_version = "prague"
contract BeaconGasTest is DrandFixture {
    function test_gas_drand_publish() public {
        DrandBeacon beacon = _quicknet();
        (uint64 round, uint256[4] memory point,) = _vector(3);
        beacon.publish(round, point);
        assertLe(vm.snapshotGasLastCall("beacon", "drand_publish"), 300_000, "publish");
    }

    function test_gas_commitReveal() public {
        DevToken token = new DevToken(address(this), 1_000e18);
        CommitRevealBeacon beacon = new CommitRevealBeacon(token, 1e18, 2, uint64(block.timestamp) + 1, 600);
        bytes32 secret = keccak256("secret");
        for (uint160 i = 1; i <= 2; i++) {
            token.transfer(address(i << 40), 1e18);
            vm.startPrank(address(i << 40));
            token.approve(address(beacon), 1e18);
            beacon.join();
            vm.snapshotGasLastCall("beacon", "commit_reveal_join");
            beacon.commit(1, beacon.commitmentOf(1, address(i << 40), secret));
            assertLe(vm.snapshotGasLastCall("beacon", "commit_reveal_commit"), 100_000, "commit");
            vm.stopPrank();
        }
        skip(1);
        for (uint160 i = 1; i <= 2; i++) {
            vm.prank(address(i << 40));
            beacon.reveal(secret);
            string memory name = i == 1 ? "commit_reveal_reveal" : "commit_reveal_last_reveal";
            assertLe(vm.snapshotGasLastCall("beacon", name), 120_000, "reveal");
        }
    }
}
