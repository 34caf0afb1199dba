// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SegmentOpening, Side} from "./Types.sol";

enum AppealOutcome {
    Pending,
    Guilty,
    Cleared,
    Void
}

/// @notice What the game waits for. Moves and turns: spec/protocol.md, "Appeal levels".
enum AppealPhase {
    None,
    Slot, // a live slot: what it copies is to be shown
    Tensor, // the claimed digest is to be opened
    Row, // a node of the chunk tree is to be opened
    PickChunk,
    Chunk, // the bytes of a chunk are to be shown
    PickElement,
    States, // the machine's states in a run of batches are to be given
    PickState,
    Step, // one batch is to be executed
    Ended
}

/// @notice An appeal as the chain sees it. The defender has the turns of `Side.Provider`, the accuser those of `Side.Challenger`.
struct AppealGame {
    AppealPhase phase;
    Side turn;
    bool replay; // the referee plays the game again for its ruling
    AppealOutcome outcome;
    address defender;
    address accuser;
    uint64 turnStartedAt;
    uint32 defenderClock; // seconds left
    uint32 accuserClock;
    // up to the pick of an element
    bytes32 node; // the claim: the isolated digest, then a node of its chunk tree
    uint8 height; // height of `node` above the chunks
    uint64 index; // index of `node` among the nodes of that height
    bytes32 rowHash; // keccak256 of the states that wait for a pick; a row or chunk hashes to `node`
    // from there to the end
    uint64 element; // flat index of the disputed element
    uint64 value; // its claimed bits, zero-extended
    bytes32 start; // agreed state
    bytes32 end; // disputed state
    uint64 firstBatch; // batches before `start`
    uint64 batches; // batches between the two; 0 while the defender has not said how many
}

/// @notice Canonical bytes of a graph node (spec/model.md), as fields.
struct NodeFacts {
    uint16 op;
    uint64[] attributes;
    uint8 dtype;
    uint64[] dims;
}

/// @notice Where an edge says that an input comes from (spec/model.md). kind: 0 graph input, 1 weight, 2 node.
struct Source {
    uint8 kind;
    uint32 stepOffset;
    uint32 index;
    uint32 port;
}

/// @notice The digest at a source with its opening.
struct SourceOpening {
    Source source;
    uint32 slot; // of the live root before, where the source is read from there
    bytes32[] proof; // of the weight's leaf, or of the digest under `opsRoot` or `previousLeaf`
    bytes32[] listProof; // of the live list's entry for `slot` under the segment before; empty where no list is read
}

/// @notice One input of the operator: its edge, its digest, and the digest's header.
struct OperandProof {
    uint16 position;
    uint16 count; // inputs of the node
    uint32 edgeIndex; // place of the edge in the model's edge table
    bytes32[] edgeProof;
    SourceOpening at;
    uint8 dtype;
    uint64[] dims;
    bytes32 chunkRoot;
}

/// @notice A chunk of an operand that is read.
struct ChunkProof {
    uint16 position; // of the operand
    uint64 index; // of the chunk
    bytes data;
    bytes32[] proof;
}

/// @notice All that one batch needs.
struct StepProof {
    bytes machine; // preimage of the start: counter:u32 || registers 1..63, u64 each
    NodeFacts node;
    bytes program;
    bytes32[] programProof;
    SegmentOpening before; // where an operand is read from the live root before and the leaf is not 0; else empty
    OperandProof[] operands;
    ChunkProof[] chunks;
}

/// @notice What a live slot copies.
struct SlotProof {
    SegmentOpening segment; // the disputed one
    bytes32[] listProof; // of the slot's entry under its live list
    SegmentOpening before; // as in `StepProof`
    SourceOpening at;
    bytes32 digest; // at the source
}

/// @notice The levels below the operator, down to one batch of steps that a contract executes: who judges when a ruling is
/// appealed or no referee could be had (P-R4, P-L1 to P-L11).
///
/// The court hands a dispute over by `open`, and takes no move in it until it has an outcome. What is to be judged it says by
/// `ICourt.isolatedPlace`: the place, the provider's digest there, `opsRoot` and `previousLeaf`, under which every input opens;
/// the parties and the ruling, if there was one, by `ICourt.appealTerms`. The levels hold no money of the dispute: its bonds
/// stay in the vault and move by the court's verdict. Disputes are kept apart by (court, disputeId).
interface IAppealLevels {
    event AppealOpened(
        address indexed court, uint256 indexed disputeId, address defender, address accuser, bool replay, AppealPhase phase
    );
    event TensorOpened(address indexed court, uint256 indexed disputeId, bytes32 chunkRoot);
    /// @notice `row` folds to `node`; of the chunk tree.
    event ChunkRowRevealed(address indexed court, uint256 indexed disputeId, bytes32 node, uint8 height, bytes32[] row);
    event ChunkPicked(
        address indexed court, uint256 indexed disputeId, uint8 childIndex, bytes32 node, uint8 height, uint64 index
    );
    event ChunkRevealed(address indexed court, uint256 indexed disputeId, uint64 index, bytes chunk);
    event ElementPicked(address indexed court, uint256 indexed disputeId, uint64 element, uint64 value);
    event StatesRevealed(address indexed court, uint256 indexed disputeId, uint64 firstBatch, uint64 batches, bytes32[] states);
    event StatePicked(
        address indexed court,
        uint256 indexed disputeId,
        uint8 part,
        uint64 firstBatch,
        uint64 batches,
        bytes32 start,
        bytes32 end
    );
    event StepExecuted(address indexed court, uint256 indexed disputeId, uint64 batch, bytes32 claimed, bytes32 computed);
    event SlotResolved(address indexed court, uint256 indexed disputeId, bytes32 claimed, bytes32 found);
    /// @notice A game is over. Pending: the referee plays it again.
    event AppealEnded(address indexed court, uint256 indexed disputeId, AppealOutcome outcome, bytes32 reason);

    /// @notice Called by a court, when it hands a dispute over; again where an earlier hand-over has ended and the court went on.
    /// @param accuser who says that the claimed digest is wrong: the challenger, or the referee of an earlier divergence
    function open(uint256 disputeId, address accuser) external;

    /// @notice How the appeal ended. Pending until then; it changes no more before the court opens the dispute again. It ends
    /// within `CourtParams.ospSeconds` of `open` if time-outs are claimed; after that the court treats it as void.
    function outcome(address court, uint256 disputeId) external view returns (AppealOutcome);

    function game(address court, uint256 disputeId) external view returns (AppealGame memory);

    /// @notice Root of the program table of a numerics version; 0 where it is not known here.
    function tableRoot(uint32 numericsVersion) external view returns (bytes32);

    /// @param claimed the digest that this answers
    /// @param row of the chunk root; empty where the tensor has one chunk
    /// @param chunk that one; else empty
    function openTensor(
        address court,
        uint256 disputeId,
        bytes32 claimed,
        NodeFacts calldata node,
        bytes32[] calldata nodeProof,
        bytes32 chunkRoot,
        bytes32[] calldata row,
        bytes calldata chunk
    ) external;
    function revealRow(address court, uint256 disputeId, bytes32 node, bytes32[] calldata row) external;
    function pickChunk(address court, uint256 disputeId, bytes32[] calldata row, uint8 childIndex) external;
    function revealChunk(address court, uint256 disputeId, bytes32 node, bytes calldata chunk) external;
    /// @param within the element's index in the chunk
    function pickElement(address court, uint256 disputeId, bytes calldata chunk, uint16 within) external;
    /// @param end the disputed state that this answers
    /// @param batches length of the run in batches; must repeat what stands, once it has been said
    function revealStates(address court, uint256 disputeId, bytes32 end, uint64 batches, bytes32[] calldata states) external;
    function pickState(address court, uint256 disputeId, bytes32[] calldata states, uint8 part) external;
    /// @param end the disputed state that this judges
    function step(address court, uint256 disputeId, bytes32 end, StepProof calldata proof) external;
    function resolveSlot(address court, uint256 disputeId, bytes32 claimed, SlotProof calldata proof) external;
    function claimTimeout(address court, uint256 disputeId) external;
}
