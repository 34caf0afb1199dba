// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealTerms, Dispute, IsolatedPlace, SegmentOpening} from "./Types.sol";

/// @notice Challenges by commit and reveal, the dissection game over both trace levels, referee, appeal window, verdict.
interface ICourt {
    event ChallengeCommitted(uint256 indexed taskId, address indexed challenger, bytes32 commitment, uint128 bond);
    event ChallengeForfeited(uint256 indexed taskId, address indexed challenger, uint128 bond);
    event DisputeOpened(
        uint256 indexed disputeId,
        uint256 indexed taskId,
        address provider,
        address challenger,
        bytes32 providerRoot,
        bytes32 challengerRoot
    );
    event RowRevealed(uint256 indexed disputeId, bytes32 node, uint8 height, bytes32[] row);
    event Picked(uint256 indexed disputeId, uint8 childIndex, bytes32 child, uint8 height, uint64 index);
    event SegmentPosted(uint256 indexed disputeId, bytes32 opsRoot, bytes32 previousLeaf, bytes32[] opsRow, bytes32[] liveRow);
    event OperatorIsolated(
        uint256 indexed disputeId, uint32 step, uint32 segment, bool live, uint32 nodeOrSlot, bytes32 claimedDigest
    );
    event RefereeDrawn(uint256 indexed disputeId, address indexed referee, uint64 deadline, uint8 draw);
    event RefereeMissed(uint256 indexed disputeId, address indexed referee, uint128 penalty);
    event Ruled(uint256 indexed disputeId, address indexed referee, bytes32 ruledDigest, bool guilty);
    /// @notice A ruling: the provider is wrong at operator `index` already, which is the isolated place from here on.
    /// `proof` opens `providerDigest` under `opsRoot`: what the referee may have to play its ruling with.
    event EarlierDivergence(
        uint256 indexed disputeId,
        address indexed referee,
        uint32 index,
        bytes32 providerDigest,
        bytes32 ownDigest,
        bytes32[] proof
    );
    event Appealed(uint256 indexed disputeId, address indexed by, uint128 bond);
    event DisputeClosed(uint256 indexed disputeId, uint8 finalState, bytes32 reason);
    event VerdictPaid(uint256 indexed disputeId, address indexed to, uint128 amount, bytes32 what);

    // ---- challenge: commitment = keccak256(abi.encode(chainid, court, challenger, taskId, attempt, ownTraceRoot, salt))
    function commitChallenge(uint256 taskId, uint8 attempt, bytes32 commitment) external;
    function revealChallenge(uint256 taskId, bytes32 ownTraceRoot, bytes32 salt) external returns (uint256 disputeId);
    /// @notice Bond of a commitment that was overtaken (task retracted, reversed or requeued) back to its owner; a commitment never revealed is forfeited.
    function reclaimChallenge(uint256 taskId, uint8 attempt, address challenger) external;
    function bondOf(address provider) external view returns (uint128);
    /// @notice The same by version `rules` of the parameters.
    function bondAt(uint16 rules) external view returns (uint128);
    // ---- moves. Each carries the claim it answers, so that a reorg cannot turn it into another move.
    function revealRow(uint256 disputeId, bytes32 node, bytes32[] calldata row) external; // anyone, for the provider
    function pick(uint256 disputeId, bytes32[] calldata row, uint8 childIndex) external; // challenger
    /// @param previousProof opening of leaf leafIndex-1 under the level-1 root (empty for leaf 0, whose previous leaf is the input digest)
    function postSegment(
        uint256 disputeId,
        bytes32 leaf,
        bytes32 previousLeaf,
        bytes32[] calldata previousProof,
        SegmentOpening calldata segment,
        bytes32[] calldata opsRow,
        bytes32[] calldata liveRow
    ) external; // the provider's key: nothing else authenticates the operators' row
    /// @notice After postSegment: choose the leftmost wrong child among the ops row, or, if all ops agree, among the live row.
    function pickSegment(uint256 disputeId, bytes32[] calldata opsRow, bytes32[] calldata liveRow, bool live, uint8 childIndex)
        external; // challenger
    /// @notice One move to the operator where the provider signed the fine root (EIP-712 FineRoot(taskId,attempt,traceRoot,leafIndex,opsRoot)). Challenger, in Level1 before its first pick.
    function isolateDirect(uint256 disputeId, IsolateDirect calldata proof) external;
    function claimTimeout(uint256 disputeId) external; // anyone
    // ---- referee
    function drawReferee(uint256 disputeId) external; // anyone, once the beacon round after isolation is out
    function rule(uint256 disputeId, bytes32 claimedDigest, bytes32 ownDigest) external; // drawn referee
    /// @notice The referee's own run differs at operator `index` < isolated index of the same segment.
    /// @param proof opening of `providerDigest` under `opsRoot`
    function ruleEarlier(uint256 disputeId, uint32 index, bytes32 providerDigest, bytes32 ownDigest, bytes32[] calldata proof)
        external;
    function refereeTimeout(uint256 disputeId) external; // anyone
    /// @notice The drawn referee cannot get what it would compute on: it is out, unpaid and unpunished, and another one is drawn.
    function inputUnavailable(uint256 disputeId) external; // drawn referee
    // ---- end
    function appeal(uint256 disputeId) external; // losing side within the appeal window; bond pulled from msg.sender
    function finalize(uint256 disputeId) external; // anyone, after the appeal window
    /// @notice Anyone: the task left this attempt by another verdict, or the result was shown to be a trap before a referee was drawn.
    function closeMoot(uint256 disputeId) external;
    // ---- opened by the audits contract on a mismatch
    function openForAudit(uint256 taskId, address auditor, bytes32 ownTraceRoot) external returns (uint256 disputeId);
    // ---- views
    function dispute(uint256 disputeId) external view returns (Dispute memory);
    /// @notice The parts of `dispute` that the appeal levels read, of one that is isolated.
    function appealTerms(uint256 disputeId) external view returns (AppealTerms memory);
    function isolatedPlace(uint256 disputeId) external view returns (IsolatedPlace memory);
    function disputeCount() external view returns (uint256); // ids run 1..disputeCount
    function challengeOf(uint256 taskId, uint8 attempt, address challenger)
        external
        view
        returns (bytes32 commitment, uint128 bond, bool revealed, uint64 committedAt);
    function disputeDurationMax(bytes32 modelId) external view returns (uint64);
    function market() external view returns (address);
    function parameters() external view returns (address);

    struct IsolateDirect {
        uint64 leafIndex;
        bytes32 leaf;
        bytes32[] leafProof;
        bytes32 previousLeaf;
        bytes32[] previousProof;
        SegmentOpening segment;
        bytes32 opsRoot;
        bytes signature;
        bool live;
        uint32 index; // operator index in the segment, or live slot
        bytes32 claimedDigest;
        bytes32[] claimedProof; // under opsRoot, or under leaf when live
    }
}
