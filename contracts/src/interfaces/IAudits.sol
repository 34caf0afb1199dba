// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SegmentOpening} from "./Types.sol";

enum AuditState {
    None,
    NotDrawn, // the beacon said no audit
    Drawn, // an auditor owes its commitment
    Committed, // waits for the chunk seed, then for openings
    Matched, // closed: paid, task may settle
    Mismatched, // closed: a dispute was opened
    Moot, // closed: the task left the attempt by another door; nobody owes anything
    Waived // closed: no auditor could be had
}

struct Audit {
    uint256 taskId;
    uint8 attempt;
    AuditState state;
    address auditor;
    uint8 draws;
    uint64 drawnAt;
    uint64 deadline;
    bytes32 saltedRoot;
    bytes32 rootCommitment; // keccak256(abi.encode(auditor, taskId, attempt, ownTraceRoot, salt))
    uint64 leafIndex; // commit point drawn for the content check
    uint64 committedAt;
    uint256 disputeId;
    bool onDuty; // the auditor's duty has not ended (`releaseAuditor`)
}

/// @notice A chunk of a live tensor, opened from its bytes up to a level-1 root and, in parallel, under the auditor's salted root.
struct ChunkOpening {
    bytes chunk;
    uint32 slot; // live slot
    uint64 chunkIndex; // 0, with an empty chunk and no chunk proofs, for a tensor without elements
    bytes tensorHeader; // hash_id..dims of the tensor digest preimage, without chunk_root
    bytes32[] chunkProof; // chunk leaf -> chunk root
    bytes32[] liveProof; // tensor digest -> live root
    bytes32[] traceProof; // live root -> level-1 root
    bytes32[] saltedChunkProof;
    bytes32[] saltedLiveProof;
    SegmentOpening segment; // of the drawn commit point: says how many live slots there are
}

/// @notice Random challenges: a beacon round fixed at commit time selects results and draws an auditor by stake.
interface IAudits {
    event AuditDecided(uint256 indexed taskId, uint8 attempt, bool selected, uint64 round);
    event AuditorDrawn(uint256 indexed taskId, address indexed auditor, uint64 leafIndex, uint64 deadline);
    event AuditCommitted(uint256 indexed taskId, address indexed auditor, bytes32 saltedRoot);
    event AuditMatched(uint256 indexed taskId, address indexed auditor, uint128 fee);
    event AuditMismatched(uint256 indexed taskId, address indexed auditor, uint256 disputeId);
    event AuditFailed(uint256 indexed taskId, address indexed auditor, uint128 penalty, bytes32 reason);
    event AuditWaived(uint256 indexed taskId);
    event AuditorReleased(uint256 indexed taskId, uint8 attempt, address indexed auditor);

    /// @notice Decide, and draw when selected. Anyone, once the round is out.
    function decide(uint256 taskId) external;
    /// @notice By the auditor. `attempt` and `leafIndex` are those of the draw that it answers.
    function commitAudit(uint256 taskId, uint8 attempt, uint64 leafIndex, bytes32 saltedRoot, bytes32 rootCommitment) external;
    /// @notice After the chunk seed: open the drawn chunk under the salted root and under the auditor's own level-1 root, which
    /// is the provider's when they match. Own trace root = H(0x03 || ownSteps || ownLevel1Root). The opening is not looked at
    /// when the auditor's own run ended before the drawn leaf (leafIndex >= ownSteps * C): such a run matches nothing.
    function openAudit(uint256 taskId, uint32 ownSteps, bytes32 ownLevel1Root, bytes32 salt, ChunkOpening calldata opening)
        external; // auditor
    function auditTimeout(uint256 taskId) external; // anyone
    /// @notice The drawn auditor cannot get the task's input: it is out, unpaid and unpunished, and another one is drawn.
    function inputUnavailable(uint256 taskId) external; // auditor
    /// @notice Ends the auditor's duty when the task has left the attempt, or when the dispute about its mismatch is over. Anyone.
    function releaseAuditor(uint256 taskId, uint8 attempt) external;
    // ---- views
    function audit(uint256 taskId, uint8 attempt) external view returns (Audit memory);
    /// @notice Beacon round that decides about the task's current result.
    /// @notice Parts per million at which the next result of `provider` is audited, under version `rules`.
    function rateOf(address provider, uint16 rules) external view returns (uint256 ppm);
    function auditRound(uint256 taskId) external view returns (uint64);
    /// @notice Slot selector and chunk selector once known: slot = a % liveCount, chunk = b % chunks(slot).
    function chunkSeed(uint256 taskId) external view returns (bool known, uint256 a, uint256 b);
}
