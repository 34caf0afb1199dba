// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AuditTrace} from "../utils/AuditTrace.sol";
import {DemandFixture} from "../utils/DemandFixture.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ChunkOpenings} from "../../src/audits/ChunkOpenings.sol";
import {Demands} from "../../src/availability/Demands.sol";
import {AnsweredChunk, Demand, IDemands} from "../../src/interfaces/IDemands.sol";
import {TaskState} from "../../src/interfaces/Types.sol";

/// @notice What may be demanded, what answers a demand, who gets the money, and every way to do it wrong.
contract DemandsTest is DemandFixture {
    uint256 private taskId;
    uint128 private fee;
    address private eve = address(0xe7e); // whoever has the input

    function setUp() public override {
        super.setUp();
        taskId = _claimed();
        fee = demands.leastFee(taskId);
    }

    // ---- demanding

    function test_demand_readsTheTaskAndTakesTheFees() public {
        uint256 before = token.balanceOf(dave);
        uint256 id = _demand(taskId, 1);
        Demand memory d = _open(id);
        assertEq(id, 1);
        assertEq(demands.demandCount(), 1);
        assertEq(d.inputDigest, market.task(taskId).inputDigest);
        assertEq(d.taskId, taskId);
        assertEq(d.demander, dave);
        assertEq(uint256(d.count), 5);
        assertEq(uint256(d.deadline), block.timestamp + demands.answerSeconds(taskId));
        assertEq(before - token.balanceOf(dave), uint256(fee) * 5);
        assertEq(token.balanceOf(address(demands)), uint256(fee) * 5);
    }

    /// P-I3 and P-I5, by the rules of the task.
    function test_demand_termsFollowFromTheParameters() public view {
        assertEq(uint256(fee), (parameters.courtAt(1).providerGasCost + 15) / 16);
        uint256 referee = parameters.courtAt(1).refereeSeconds;
        uint256 auditor = parameters.auditAt(1).commitSeconds;
        assertEq(uint256(demands.answerSeconds(taskId)), (referee < auditor ? referee : auditor) / 2);
    }

    function test_demand_ofWhatNobodyServes_reverts() public {
        uint256 open = _post();
        _refusedDemand(open, 0, 0, 1, fee, abi.encodeWithSelector(Demands.NotServed.selector, open, TaskState.Open));
        vm.prank(requester);
        market.cancel(open);
        _refusedDemand(open, 0, 0, 1, fee, abi.encodeWithSelector(Demands.NotServed.selector, open, TaskState.Cancelled));
        _commit(taskId, alice);
        _demand(taskId, 0);
        vm.prank(court);
        market.challengeCommitted(taskId, 0);
        vm.prank(court);
        market.disputeOpened(taskId, 0);
        _demand(taskId, 0);
        vm.prank(court);
        market.disputeClosed(taskId, 0);
        _decideNoAudit(taskId);
        _settle(taskId);
        _refusedDemand(taskId, 0, 0, 1, fee, abi.encodeWithSelector(Demands.NotServed.selector, taskId, TaskState.Settled));
    }

    function test_demand_ofAnUnknownTask_reverts() public {
        vm.expectRevert();
        vm.prank(dave);
        demands.demand(99, 0, 0, 1, fee);
    }

    function test_demand_outOfRange_reverts() public {
        bytes4 chunks = Demands.ChunksOutOfRange.selector;
        _refusedDemand(taskId, 0, 0, 0, fee, abi.encodeWithSelector(chunks, 0, 0, 256));
        _refusedDemand(taskId, 0, 0, 257, fee, abi.encodeWithSelector(chunks, 0, 257, 256));
        uint64 last = uint64(1 << 32) - 1;
        _refusedDemand(taskId, 0, last, 2, fee, abi.encodeWithSelector(chunks, last, 2, 256));
        _refusedDemand(taskId, 0, type(uint64).max, 1, fee, abi.encodeWithSelector(chunks, type(uint64).max, 1, 256));
        _demand(taskId, 0, last, 1, fee);
        _demand(taskId, 0, 0, 256, fee);
        uint8 height = header.liveHeight;
        _refusedDemand(taskId, 4, 0, 1, fee, abi.encodeWithSelector(Demands.SlotOutOfRange.selector, 4, height));
    }

    function test_demand_belowTheFee_reverts() public {
        _refusedDemand(taskId, 0, 0, 1, fee - 1, abi.encodeWithSelector(Demands.FeeTooSmall.selector, fee - 1, fee));
    }

    function test_demand_withoutTheMoney_reverts() public {
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        demands.demand(taskId, 0, 0, 1, fee);
        assertEq(demands.demandCount(), 0);
    }

    function _refusedDemand(uint256 id, uint32 slot, uint64 first, uint16 count, uint128 price, bytes memory why) private {
        vm.expectRevert(why);
        vm.prank(dave);
        demands.demand(id, slot, first, count, price);
    }

    // ---- answering

    function test_answer_wholeTensor_paysAndCloses() public {
        uint256 id = _demand(taskId, 2);
        vm.expectEmit(address(demands));
        emit IDemands.ChunkAnswered(id, eve, 0, _header(2), _chunk(input, 2, 0).chunk);
        vm.expectEmit(address(demands));
        emit IDemands.ChunkAnswered(id, eve, 1, _header(2), _chunk(input, 2, 1).chunk);
        vm.expectEmit(address(demands));
        emit IDemands.ChunkAnswered(id, eve, 2, _header(2), _chunk(input, 2, 2).chunk);
        vm.expectEmit(address(demands));
        emit IDemands.DemandClosed(id, 0, 0);
        _answer(eve, id, 2, _range(2, 0, 3));
        assertTrue(_open(id).closed);
        assertEq(token.balanceOf(eve), uint256(fee) * 3);
        assertEq(token.balanceOf(address(demands)), 0);
        _refusedAnswer(id, 2, _range(2, 0, 1), abi.encodeWithSelector(Demands.DemandIsClosed.selector, id));
        vm.warp(_open(id).deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Demands.DemandIsClosed.selector, id));
        demands.close(id);
    }

    /// An empty tensor is shown by an empty chunk: so who lacks it learns its shape.
    function test_answer_emptyTensor_isShown() public {
        uint256 id = _demand(taskId, 3);
        _answer(eve, id, 3, _range(3, 0, 1));
        assertEq(token.balanceOf(eve), fee);
    }

    function test_answer_twice_paysOnce() public {
        uint256 id = _demand(taskId, 1);
        _answer(eve, id, 1, _range(1, 1, 3));
        _refusedAnswer(id, 1, _range(1, 1, 3), abi.encodeWithSelector(Demands.NothingNew.selector, id));
        // what is new of a batch is paid, the rest is passed over
        address frank = address(0xf7a);
        _answer(frank, id, 1, _range(1, 0, 4));
        assertEq(token.balanceOf(eve), uint256(fee) * 2);
        assertEq(token.balanceOf(frank), uint256(fee) * 2);
        assertEq(uint256(_open(id).answered), 4);
        assertEq(_open(id).bitmap, 15);
        // nor twice within one call
        AnsweredChunk[] memory same = new AnsweredChunk[](2);
        same[0] = _chunk(input, 1, 4);
        same[1] = same[0];
        _answer(frank, id, 1, same);
        assertEq(token.balanceOf(frank), uint256(fee) * 3);
        assertEq(token.balanceOf(address(demands)), 0);
    }

    function test_answer_nothing_reverts() public {
        uint256 id = _demand(taskId, 1);
        _refusedAnswer(id, 1, new AnsweredChunk[](0), abi.encodeWithSelector(Demands.NothingNew.selector, id));
    }

    function test_answer_notDemanded_reverts() public {
        uint256 id = _demand(taskId, 1, 1, 2, fee);
        _refusedAnswer(id, 1, _range(1, 0, 1), abi.encodeWithSelector(Demands.NotDemanded.selector, 0, 1, 2));
        _refusedAnswer(id, 1, _range(1, 2, 4), abi.encodeWithSelector(Demands.NotDemanded.selector, 3, 1, 2));
        _answer(eve, id, 1, _range(1, 1, 3));
    }

    function test_answer_beyondTheTensor_reverts() public {
        uint256 id = _demand(taskId, 2, 3, 1, fee);
        AnsweredChunk[] memory list = _range(2, 2, 3);
        list[0].index = 3;
        _refusedAnswer(id, 2, list, abi.encodeWithSelector(ChunkOpenings.WrongChunk.selector, 3, 3));
    }

    function test_answer_late_reverts() public {
        uint256 id = _demand(taskId, 0);
        uint64 deadline = _open(id).deadline;
        vm.warp(deadline + 1);
        _refusedAnswer(id, 0, _range(0, 0, 1), abi.encodeWithSelector(Demands.DeadlinePassed.selector, id, deadline));
        vm.warp(deadline);
        _answer(eve, id, 0, _range(0, 0, 1));
    }

    function test_answer_unknownDemand_reverts() public {
        _refusedAnswer(7, 0, _range(0, 0, 1), abi.encodeWithSelector(Demands.UnknownDemand.selector, 7));
        vm.expectRevert(abi.encodeWithSelector(Demands.UnknownDemand.selector, 7));
        demands.close(7);
    }

    /// A task that ended meanwhile changes nothing: the demander wanted the bytes.
    function test_answer_afterTheTaskLeftTheAttempt_isPaid() public {
        vm.warp(market.task(taskId).deadline);
        uint256 id = _demand(taskId, 0);
        skip(1);
        market.missDeadline(taskId);
        assertState(taskId, TaskState.Open);
        _answer(eve, id, 0, _range(0, 0, 1));
        assertEq(token.balanceOf(eve), fee);
    }

    function _refusedAnswer(uint256 id, uint32 slot, AnsweredChunk[] memory list, bytes memory why) private {
        bytes memory head = _header(slot);
        bytes32[] memory proof = _liveProof(input, slot);
        vm.expectRevert(why);
        vm.prank(eve);
        demands.answer(id, head, proof, list);
    }

    // ---- wrong openings

    /// Bytes of another task's input open nothing here, whatever is shown with them.
    function test_answer_withAnotherInput_reverts() public {
        AuditTrace.Run memory other = AuditTrace.Run(1, 1, 0);
        for (uint32 slot = 0; slot < 3; slot++) {
            uint256 id = _demand(taskId, slot);
            AnsweredChunk[] memory list = new AnsweredChunk[](1);
            list[0] = _chunk(other, slot, 0);
            bytes memory head = _header(slot);
            bytes32[] memory proof = _liveProof(other, slot);
            vm.expectRevert(abi.encodeWithSelector(Demands.NotInInput.selector, _inputDigest(other), _inputDigest(input)));
            vm.prank(eve);
            demands.answer(id, head, proof, list);
        }
    }

    /// A tensor of the right input that was not asked for.
    function test_answer_withAnotherSlot_reverts() public {
        uint256 id = _demand(taskId, 0);
        bytes memory head = _header(2);
        bytes32[] memory proof = _liveProof(input, 2);
        AnsweredChunk[] memory list = _range(2, 0, 1);
        vm.expectPartialRevert(Demands.NotInInput.selector);
        vm.prank(eve);
        demands.answer(id, head, proof, list);
    }

    /// A right chunk does not carry a wrong one.
    function test_answer_ofTwoTensors_reverts() public {
        uint256 id = _demand(taskId, 1);
        AnsweredChunk[] memory list = _range(1, 0, 2);
        list[1] = _chunk(AuditTrace.Run(1, 1, 0), 1, 1);
        bytes memory head = _header(1);
        bytes32[] memory proof = _liveProof(input, 1);
        vm.expectPartialRevert(Demands.NotOfOneTensor.selector);
        vm.prank(eve);
        demands.answer(id, head, proof, list);
    }

    function test_answer_withAnotherShape_reverts() public {
        uint256 id = _demand(taskId, 0);
        AnsweredChunk[] memory list = _range(0, 0, 1);
        bytes32[] memory proof = _liveProof(input, 0);
        // 3 x 2 of what is 2 x 3
        bytes memory head = abi.encodePacked(uint8(1), uint8(1), uint8(2), uint64(3), uint64(2));
        vm.expectPartialRevert(Demands.NotInInput.selector);
        vm.prank(eve);
        demands.answer(id, head, proof, list);
        head = abi.encodePacked(_header(0), bytes1(0));
        vm.expectRevert(abi.encodeWithSelector(ChunkOpenings.HeaderLength.selector, 20, 19));
        vm.prank(eve);
        demands.answer(id, head, proof, list);
    }

    /// Any single change of an honest answer is refused, and nothing moves.
    /// forge-config: default.fuzz.runs = 96
    function testFuzz_answer_changed_reverts(uint32 slot, uint256 what, uint256 at, uint256 bit) public {
        slot = uint32(bound(slot, 0, 2));
        uint256 id = _demand(taskId, slot);
        uint64 index = uint64(bound(at, 0, _chunks(slot) - 1));
        AnsweredChunk[] memory list = _range(slot, index, index + 1);
        bytes memory head = _header(slot);
        bytes32[] memory proof = _liveProof(input, slot);
        what %= 4;
        if (what == 0) list[0].chunk[at % list[0].chunk.length] ^= bytes1(uint8(1 << (bit % 8)));
        else if (what == 1) head[at % head.length] ^= bytes1(uint8(1 << (bit % 8)));
        else if (what == 2) proof[at % proof.length] ^= bytes32(uint256(1) << (bit % 256));
        else if (list[0].proof.length != 0) list[0].proof[at % list[0].proof.length] ^= bytes32(uint256(1) << (bit % 256));
        else list[0].proof = new bytes32[](1);
        vm.prank(eve);
        try demands.answer(id, head, proof, list) {
            revert("a changed answer was taken");
        } catch {}
        assertEq(token.balanceOf(eve), 0);
        assertEq(_open(id).bitmap, 0);
    }

    // ---- the end

    function test_close_givesBackWhatIsUnanswered() public {
        uint256 before = token.balanceOf(dave);
        uint256 id = _demand(taskId, 1);
        _answer(eve, id, 1, _range(1, 2, 4));
        uint64 deadline = _open(id).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(Demands.DeadlineNotPassed.selector, id, deadline));
        demands.close(id);
        vm.warp(deadline + 1);
        vm.expectEmit(address(demands));
        emit IDemands.DemandClosed(id, 3, uint256(fee) * 3);
        vm.prank(address(0xabc));
        demands.close(id);
        assertEq(before - token.balanceOf(dave), uint256(fee) * 2);
        assertEq(token.balanceOf(address(demands)), 0);
        Demand memory d = _open(id);
        assertTrue(d.closed);
        assertEq(uint256(d.count - d.answered), 3);
        vm.expectRevert(abi.encodeWithSelector(Demands.DemandIsClosed.selector, id));
        demands.close(id);
    }

    /// Nobody answers: the provider is what it was, and so is the task.
    function test_close_unanswered_slashesNobody() public {
        uint128 stake = vault.totalStake(alice);
        uint256 id = _demand(taskId, 0);
        vm.warp(_open(id).deadline + 1);
        demands.close(id);
        assertEq(vault.totalStake(alice), stake);
        assertEq(vault.provider(alice).frozen, 0);
        assertState(taskId, TaskState.Claimed);
    }

    /// Money is conserved over any sequence of demands, answers and closes.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_moneyIsConserved(uint256 seed) public {
        uint256 had = token.balanceOf(dave);
        uint256 spent;
        for (uint256 i = 0; i < 6; i++) {
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            uint32 slot = uint32(r % 3);
            uint64 first = uint64((r >> 8) % _chunks(slot));
            uint16 count = uint16(1 + (r >> 16) % (_chunks(slot) - first));
            uint128 price = fee + uint128((r >> 24) % UNIT);
            uint256 id = _demand(taskId, slot, first, count, price);
            uint64 to = first + uint64((r >> 90) % (uint256(count) + 1));
            if (to != first) _answer(eve, id, slot, _range(slot, first, to));
            spent += uint256(price) * (to - first);
            if ((r >> 128) % 2 == 0) skip(demands.answerSeconds(taskId) + 1);
            // whatever can be closed is
            for (uint256 k = 1; k <= id; k++) {
                Demand memory d = _open(k);
                if (!d.closed && block.timestamp > d.deadline) demands.close(k);
            }
        }
        uint256 held;
        for (uint256 k = 1; k <= demands.demandCount(); k++) {
            Demand memory d = _open(k);
            if (!d.closed) held += uint256(d.fee) * (d.count - d.answered);
        }
        assertEq(token.balanceOf(eve), spent, "answers are paid");
        assertEq(token.balanceOf(address(demands)), held, "open demands are backed");
        assertEq(token.balanceOf(dave), had - spent - held, "the rest came back");
    }
}
