// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {System} from "../interfaces/System.sol";
import {CourtStorage} from "./CourtStorage.sol";
import {CourtViews} from "./CourtViews.sol";
import {Dissection} from "./Dissection.sol";
import {Proceedings} from "./Proceedings.sol";

/// @notice Challenges, the dissection game, referee and verdict (spec/protocol.md, P-C, P-D, P-R, P-V).
/// It holds no money: bonds and slashes are pots of the vault, and every payment is a credit there.
/// The moves of the game are here, where they are cheap; the rest is `Proceedings`, a second piece of code that runs on
/// this contract's storage and is never called but by the functions below.
contract Court is Dissection, CourtViews {
    address public immutable proceedings;

    constructor(System memory system) CourtStorage(system) {
        proceedings = address(new Proceedings(system));
    }

    // ---- challenge

    function commitChallenge(uint256, uint8, bytes32) external {
        _proceed();
    }

    function revealChallenge(uint256, bytes32, bytes32) external returns (uint256) {
        _proceed();
    }

    function reclaimChallenge(uint256, uint8, address) external {
        _proceed();
    }

    function openForAudit(uint256, address, bytes32) external returns (uint256) {
        _proceed();
    }

    // ---- referee

    function drawReferee(uint256) external {
        _proceed();
    }

    function rule(uint256, bytes32, bytes32) external {
        _proceed();
    }

    function ruleEarlier(uint256, uint32, bytes32, bytes32, bytes32[] calldata) external {
        _proceed();
    }

    function refereeTimeout(uint256) external {
        _proceed();
    }

    function inputUnavailable(uint256) external {
        _proceed();
    }

    // ---- end

    function appeal(uint256) external {
        _proceed();
    }

    function finalize(uint256) external {
        _proceed();
    }

    function closeMoot(uint256) external {
        _proceed();
    }

    /// @dev The same call, run by `Proceedings` on this storage; its answer or error is this call's.
    function _proceed() private {
        address code = proceedings;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let done := delegatecall(gas(), code, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if done { return(free, returndatasize()) }
            revert(free, returndatasize())
        }
    }
}
