// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemandFixture} from "../utils/DemandFixture.sol";
import {Test} from "../utils/Test.sol";
import {Demands} from "../../src/availability/Demands.sol";
import {AnsweredChunk, Demand} from "../../src/interfaces/IDemands.sol";
import {DevToken} from "../../src/token/DevToken.sol";

/// @notice Random histories of demands, each call with the situation it needs; what must be refused is tried and must be
/// refused. The ghosts are kept from what the handler did, and never read back from the contract.
contract DemandHandler is DemandFixture {
    uint256 private taskId;
    address[2] private holders = [address(0xe7e), address(0xf7a)];

    struct Ghost {
        uint128 fee;
        uint64 first;
        uint16 count;
        uint64 deadline;
        bool over;
    }

    uint256 public escrowed; // fees of chunks that wait
    uint256 public paid; // to holders
    uint256 public had; // the demander's money at the start
    mapping(uint256 => Ghost) private ghosts;
    mapping(uint256 => mapping(uint64 => bool)) private shown;

    constructor() {
        setUp();
        taskId = _claimed();
        _commit(taskId, alice);
        had = token.balanceOf(dave);
    }

    function parts() external view returns (Demands, DevToken, address, address[2] memory) {
        return (demands, token, dave, holders);
    }

    /// @dev Of slot 1, which has five chunks.
    function ask(uint256 r) public returns (uint256 id) {
        uint64 first = uint64(r % 5);
        uint16 count = uint16(1 + (r >> 8) % (5 - first));
        uint128 fee = demands.leastFee(taskId) + uint128((r >> 16) % 1000);
        id = _demand(taskId, 1, first, count, fee);
        ghosts[id] = Ghost(fee, first, count, uint64(block.timestamp) + demands.answerSeconds(taskId), false);
        escrowed += uint256(fee) * count;
    }

    function show(uint256 r) external {
        uint256 id = demands.demandCount() == 0 ? ask(r) : 1 + r % demands.demandCount();
        Ghost storage g = ghosts[id];
        uint64 index = g.first + uint64((r >> 8) % g.count);
        bool ok = !g.over && block.timestamp <= g.deadline && !shown[id][index];
        bytes memory head = _header(1);
        bytes32[] memory proof = _liveProof(input, 1);
        AnsweredChunk[] memory list = _range(1, index, index + 1);
        vm.prank(holders[(r >> 16) % 2]);
        try demands.answer(id, head, proof, list) {
            assertTrue(ok, "a chunk was taken that should not be");
            shown[id][index] = true;
            paid += g.fee;
            escrowed -= g.fee;
            g.over = _left(id) == 0;
        } catch {
            assertFalse(ok, "an honest answer was refused");
        }
    }

    function close(uint256 r) external {
        uint256 id = demands.demandCount() == 0 ? ask(r) : 1 + r % demands.demandCount();
        Ghost storage g = ghosts[id];
        bool ok = !g.over && block.timestamp > g.deadline;
        try demands.close(id) {
            assertTrue(ok, "a demand was closed that should not be");
            escrowed -= uint256(g.fee) * _left(id);
            g.over = true;
        } catch {
            assertFalse(ok, "an overdue demand was not closed");
        }
    }

    function wait_(uint256 r) external {
        skip(r % 200);
    }

    function _left(uint256 id) private view returns (uint256 left) {
        for (uint64 i = 0; i < ghosts[id].count; i++) {
            if (!shown[id][ghosts[id].first + i]) left++;
        }
        assertEq(left, uint256(ghosts[id].count) - demands.demandOf(id).answered, "answered once, answered for ever");
    }
}

/// @notice I1 and I8 for demands: every coin is in an open demand, with whoever showed a chunk, or back.
contract DemandInvariantsTest is Test {
    DemandHandler private handler;
    Demands private demands;
    DevToken private token;
    address private demander;
    address[2] private holders;

    function setUp() public {
        vm.warp(1_700_000_000);
        handler = new DemandHandler();
        (demands, token, demander, holders) = handler.parts();
        bytes4[] memory actions = new bytes4[](4);
        (actions[0], actions[1], actions[2], actions[3]) =
        (handler.ask.selector, handler.show.selector, handler.close.selector, handler.wait_.selector);
        _targetOnly(address(handler), actions);
    }

    function invariant_money() public view {
        assertEq(token.balanceOf(address(demands)), handler.escrowed(), "open demands are backed, and nothing is left over");
        assertEq(token.balanceOf(holders[0]) + token.balanceOf(holders[1]), handler.paid(), "chunks are paid once");
        assertEq(token.balanceOf(demander), handler.had() - handler.escrowed() - handler.paid(), "the rest is the demander's");
    }
}
