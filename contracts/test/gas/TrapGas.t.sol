// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TrapFixture} from "../utils/TrapFixture.sol";

/// @notice Gas of traps, whole transactions (run with `--isolate`), each under its budget.
contract TrapGasTest is TrapFixture {
    function _spent(string memory name, uint256 budget) private {
        assertLe(vm.snapshotGasLastCall("traps", name), budget, name);
    }

    function test_gas_trap_found() public {
        uint256 taskId = _trapped(NONCE);
        bytes32 root = _rightRoot();
        _commitChallenge(taskId, watcher, root);
        _toReveal(taskId);
        uint256 id = _reveal(taskId, watcher, root);
        _showTrap(taskId);
        _spent("reveal", 280_000);
        theCourt.closeMoot(id);
        _spent("close_moot", 250_000);
        traps.enter(taskId, 0, watcher);
        _spent("enter", 130_000);
        _toClaimsEnd(taskId);
        traps.close(taskId, 0);
        _spent("close", 110_000);
        traps.collect(taskId, 0, watcher);
        _spent("collect", 110_000);
    }

    function test_gas_trap_passed() public {
        _seal(_commitmentOf(requester, bob, NONCE));
        _spent("seal", 140_000);
        uint256 taskId = _trapped(NONCE);
        _auditByCopying(taskId);
        _toWindowsEnd(taskId);
        _showTrap(taskId);
        _spent("reveal_passed", 420_000);
    }
}
