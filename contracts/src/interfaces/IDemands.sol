// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice A demand for chunks of one tensor of a task's input.
struct Demand {
    // slot 0: all that an answer writes, its bitmap apart
    address demander;
    uint64 deadline; // last second of an answer
    uint16 count; // chunks `first .. first + count`
    uint16 answered;
    // slot 1
    uint128 fee; // per chunk
    uint64 first;
    uint32 slot; // which graph input
    uint8 liveHeight; // of the tree under the input digest
    bool closed;
    // slots 2 to 4
    bytes32 inputDigest;
    uint256 taskId;
    uint256 bitmap; // bit i: chunk `first + i` is answered
}

/// @notice A chunk of the demanded tensor with its opening under the chunk root.
struct AnsweredChunk {
    uint64 index;
    bytes chunk; // empty, with index 0 and no proof, of a tensor without elements
    bytes32[] proof;
}

/// @notice Inputs of tasks, shown on chain at the cost of whoever wants them. It can do nothing to anyone: what is not
/// answered is on record, and goes back to the demander.
interface IDemands {
    event Demanded(
        uint256 indexed demandId,
        uint256 indexed taskId,
        address indexed demander,
        bytes32 inputDigest,
        uint32 slot,
        uint64 first,
        uint16 count,
        uint128 fee,
        uint64 deadline
    );
    /// @param tensorHeader hash id, element type, rank and extents, as the tensor's digest has them
    event ChunkAnswered(uint256 indexed demandId, address indexed by, uint64 index, bytes tensorHeader, bytes chunk);
    event DemandClosed(uint256 indexed demandId, uint16 unanswered, uint256 refund);

    /// @notice Ask for chunks `first .. first + count` of input `slot` of a task that somebody serves. Pulls `count * fee` from
    /// the caller, who approved this contract.
    function demand(uint256 taskId, uint32 slot, uint64 first, uint16 count, uint128 fee) external returns (uint256 demandId);
    /// @notice Show chunks. Anyone; pays the caller the fee of every chunk that nobody has shown before.
    /// @param tensorHeader `hash_id || dtype || rank || dims` of the tensor
    /// @param liveProof opening of the tensor's digest under the input digest
    function answer(uint256 demandId, bytes calldata tensorHeader, bytes32[] calldata liveProof, AnsweredChunk[] calldata chunks)
        external;
    /// @notice After the deadline: the fees of what was not shown go back to the demander. Anyone.
    function close(uint256 demandId) external;
    // ---- views
    function demandOf(uint256 demandId) external view returns (Demand memory);
    function demandCount() external view returns (uint256); // ids run 1..demandCount
    /// @notice Least fee per chunk of a demand about this task.
    function leastFee(uint256 taskId) external view returns (uint128);
    /// @notice Seconds that a demand about this task is open.
    function answerSeconds(uint256 taskId) external view returns (uint64);
    function market() external view returns (address);
    function asset() external view returns (address);
}
