// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ChunkOpenings} from "../audits/ChunkOpenings.sol";
import {AnsweredChunk, Demand, IDemands} from "../interfaces/IDemands.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {Task, TaskState} from "../interfaces/Types.sol";
import {TraceHash} from "../lib/TraceHash.sol";

/// @notice Whoever lacks a task's input pays to have it shown on chain. It reads the market and has no rights in any other
/// contract; the fees of open demands are all that it holds.
contract Demands is IDemands, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    error NotServed(uint256 taskId, TaskState state);
    error ChunksOutOfRange(uint64 first, uint256 count, uint256 most);
    error SlotOutOfRange(uint32 slot, uint8 liveHeight);
    error FeeTooSmall(uint128 fee, uint128 least);
    error UnknownDemand(uint256 demandId);
    error DemandIsClosed(uint256 demandId);
    error DeadlinePassed(uint256 demandId, uint64 deadline);
    error DeadlineNotPassed(uint256 demandId, uint64 deadline);
    error NotDemanded(uint64 index, uint64 first, uint16 count);
    error NothingNew(uint256 demandId);
    error NotOfOneTensor(bytes32 found, bytes32 wanted);
    error NotInInput(bytes32 found, bytes32 wanted);

    /// @dev Chunks of one demand: the bits of a word.
    uint256 private constant CHUNKS_MAX = 256;
    /// @dev Chunks of one tensor.
    uint256 private constant TENSOR_CHUNKS_MAX = 1 << 32;
    /// @dev The gas of a whole dispute pays for that of this many answers; `test/gas/DemandGas.t.sol` measures it.
    uint128 private constant ANSWERS_PER_DISPUTE = 16;

    address public immutable market;
    address public immutable asset;
    IParameters private immutable _parameters;

    uint256 public demandCount;
    mapping(uint256 => Demand) private _demands;

    constructor(address market_) {
        market = market_;
        asset = IStakeVault(IMarketCourt(market_).vault()).asset();
        _parameters = IParameters(IMarketCourt(market_).parameters());
    }

    function demand(uint256 taskId, uint32 slot, uint64 first, uint16 count, uint128 fee)
        external
        nonReentrant
        returns (uint256 demandId)
    {
        Task memory task = IMarketCourt(market).task(taskId);
        // INVARIANT P-I1: Claiming asserts possession of the input; where nobody has claimed nobody has said so.
        if (task.state != TaskState.Claimed && task.state != TaskState.Committed && task.state != TaskState.Disputed) {
            revert NotServed(taskId, task.state);
        }
        // INVARIANT P-I2: A demand is bounded, and of chunks that a tensor can have.
        if (count == 0 || count > CHUNKS_MAX || uint256(first) + count > TENSOR_CHUNKS_MAX) {
            revert ChunksOutOfRange(first, count, CHUNKS_MAX);
        }
        uint8 liveHeight = IMarketCourt(market).model(task.modelId).liveHeight;
        // INVARIANT P-I2: The tensor is a leaf of the input's tree.
        if (uint256(slot) >> liveHeight != 0) revert SlotOutOfRange(slot, liveHeight);
        uint128 least = leastFee(taskId);
        // INVARIANT P-I3: An answer is never at the answerer's cost.
        if (fee < least) revert FeeTooSmall(fee, least);
        uint64 deadline = uint64(block.timestamp) + answerSeconds(taskId);

        demandId = ++demandCount;
        Demand storage d = _demands[demandId];
        d.demander = msg.sender;
        d.deadline = deadline;
        d.count = count;
        d.fee = fee;
        d.first = first;
        d.slot = slot;
        d.liveHeight = liveHeight;
        d.inputDigest = task.inputDigest;
        d.taskId = taskId;
        emit Demanded(demandId, taskId, msg.sender, task.inputDigest, slot, first, count, fee, deadline);
        // INVARIANT P-I3: The fees of all chunks are here before anyone answers.
        IERC20(asset).safeTransferFrom(msg.sender, address(this), uint256(fee) * count);
    }

    function answer(uint256 demandId, bytes calldata tensorHeader, bytes32[] calldata liveProof, AnsweredChunk[] calldata chunks)
        external
        nonReentrant
    {
        Demand storage d = _open(demandId);
        // INVARIANT P-I5: Nothing is accepted after the deadline.
        if (block.timestamp > d.deadline) revert DeadlinePassed(demandId, d.deadline);
        (uint16 shown, bytes32 digest) = _show(demandId, d, tensorHeader, chunks);
        if (shown == 0) revert NothingNew(demandId);
        bytes32 input = TraceHash.rootOf(digest, d.slot, liveProof, d.liveHeight);
        // INVARIANT P-I4: The bytes are those that the task's input digest binds.
        if (input != d.inputDigest) revert NotInInput(input, d.inputDigest);

        d.answered += shown;
        if (d.answered == d.count) {
            d.closed = true;
            emit DemandClosed(demandId, 0, 0);
        }
        IERC20(asset).safeTransfer(msg.sender, uint256(d.fee) * shown);
    }

    function close(uint256 demandId) external nonReentrant {
        Demand storage d = _open(demandId);
        // INVARIANT P-I5: Whoever has the input has the whole time to show it.
        if (block.timestamp <= d.deadline) revert DeadlineNotPassed(demandId, d.deadline);
        uint16 unanswered = d.count - d.answered;
        uint256 refund = uint256(d.fee) * unanswered;
        // INVARIANT P-I6: What is left goes back, once, and to the demander; nobody else gains or loses by it.
        d.closed = true;
        emit DemandClosed(demandId, unanswered, refund);
        IERC20(asset).safeTransfer(d.demander, refund);
    }

    // ---- views

    function demandOf(uint256 demandId) external view returns (Demand memory) {
        return _demands[demandId];
    }

    function leastFee(uint256 taskId) public view returns (uint128) {
        uint16 rules = IMarketCourt(market).rulesOf(taskId);
        return (_parameters.courtAt(rules).providerGasCost + ANSWERS_PER_DISPUTE - 1) / ANSWERS_PER_DISPUTE;
    }

    /// @dev Half of what a referee or an auditor has, whichever has less: who asks at once can still act on the answer.
    function answerSeconds(uint256 taskId) public view returns (uint64) {
        uint16 rules = IMarketCourt(market).rulesOf(taskId);
        uint32 referee = _parameters.courtAt(rules).refereeSeconds;
        uint32 auditor = _parameters.auditAt(rules).commitSeconds;
        return (referee < auditor ? referee : auditor) / 2;
    }

    // ---- inside

    /// @dev Takes the chunks that are new; the digest of the tensor that they all open under.
    function _show(uint256 demandId, Demand storage d, bytes calldata tensorHeader, AnsweredChunk[] calldata chunks)
        private
        returns (uint16 shown, bytes32 digest)
    {
        uint256 bitmap = d.bitmap;
        for (uint256 i = 0; i < chunks.length; i++) {
            AnsweredChunk calldata c = chunks[i];
            uint256 bit = _bitOf(d, c.index);
            // INVARIANT P-I4: A chunk is paid for once; one that somebody else was faster with does not stop the others.
            if (bitmap & bit != 0) continue;
            bytes32 found = ChunkOpenings.digestOf(tensorHeader, c.chunk, c.index, c.proof);
            if (shown == 0) digest = found;
            // INVARIANT P-I4: Every chunk opens under the digest that opens under the input.
            else if (found != digest) revert NotOfOneTensor(found, digest);
            bitmap |= bit;
            shown++;
            emit ChunkAnswered(demandId, msg.sender, c.index, tensorHeader, c.chunk);
        }
        d.bitmap = bitmap;
    }

    function _open(uint256 demandId) private view returns (Demand storage d) {
        d = _demands[demandId];
        if (d.demander == address(0)) revert UnknownDemand(demandId);
        // INVARIANT P-I6: What is closed stays closed.
        if (d.closed) revert DemandIsClosed(demandId);
    }

    /// @dev The bit of a chunk that was asked for.
    function _bitOf(Demand storage d, uint64 index) private view returns (uint256) {
        // INVARIANT P-I4: Nobody is paid for what nobody asked for.
        if (index < d.first || index - d.first >= d.count) revert NotDemanded(index, d.first, d.count);
        return uint256(1) << (index - d.first);
    }
}
